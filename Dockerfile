# The image of Tollgate: one program on distroless (glibc, CA certificates, no shell), as user
# 65532, with a read-only root and its state in /data.
#
#   docker build -t tollgate .
#   docker run --read-only -v tollgate:/data -p 127.0.0.1:8080:8080 -e TOLLGATE_JWT_SECRET=… tollgate
#
# /etc/tollgate holds deploy/image/gateway.yaml and the policies of config/. Mount your own folder
# there. The glibc of RUNTIME must be at least as new as that of BUILDER.
ARG BUILDER=rust:1.95-slim-trixie
ARG RUNTIME=gcr.io/distroless/cc-debian13:nonroot

FROM ${BUILDER} AS build
# The compiler of C: SQLite, zstd and the library of cryptography.
# hadolint ignore=DL3008
RUN command -v cc >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; }
WORKDIR /src
COPY . .
# Both folders are kept between builds: a second build compiles again only what has changed.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --bin tollgate \
    && mkdir -p /out/bin /out/etc/tollgate /out/data \
    && cp target/dist/tollgate /out/bin/tollgate \
    && cp deploy/image/gateway.yaml /out/etc/tollgate/ \
    && cp -r config/policies /out/etc/tollgate/policies

FROM ${RUNTIME}
COPY --from=build /out/bin/tollgate /usr/local/bin/tollgate
COPY --from=build /out/etc/tollgate /etc/tollgate
# A new volume takes its owner from here.
COPY --from=build --chown=65532:65532 /out/data /data
ENV TOLLGATE_CONFIG=/etc/tollgate
# By number: Kubernetes cannot tell from a name whether it is root.
USER 65532:65532
WORKDIR /data
VOLUME ["/data"]
EXPOSE 8080
# The start must not be taken for a failure while a long log is read again.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["/usr/local/bin/tollgate", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/tollgate"]
CMD ["serve"]
