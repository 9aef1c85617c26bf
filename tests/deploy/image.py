"""Builds the image from the Dockerfile and sends one call through a container.

    image.py PROGRAM         PROGRAM is a tollgate for this machine; needs root, buildah, podman, runc

No image registry is asked: stand-ins carry the names of the Dockerfile's FROM lines. The builder is
a busybox whose `cargo` copies PROGRAM; the last stage has glibc and nothing else. So every line of
the Dockerfile runs, and the compilation does not.

Then a container runs as the chart runs it (user 65532, read-only root, no capabilities): a call with
an e-mail address reaches a mock provider redacted, an edit of a mounted policy is in force, and a
SIGTERM ends it with 0. Uses loopback addresses alone; all of it is in one folder, which is removed.
"""

import base64
import contextlib
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SECRET = "0123456789abcdef0123456789abcdef"
PATIENCE = 30


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


class Images:
    """buildah and podman with their storage in a folder of the test."""

    def __init__(self, folder):
        self.storage = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "overlay"]
        self.folder = folder

    def build(self, tag, context, *options):
        run("buildah", *self.storage, "bud", "--isolation", "chroot", "--pull-never", "--format", "docker",
            *options, "-t", tag, context)

    def podman(self, *arguments, **options):
        return run("podman", "--runtime", "runc", *self.storage, *arguments, **options)

    def stand_ins(self, program):
        """What the FROM lines name."""
        lines = (ROOT / "Dockerfile").read_text().splitlines()
        names = dict(re.match(r"ARG (\w+)=(\S+)", line).groups() for line in lines if line.startswith("ARG "))
        builder = self.folder / "builder"
        (builder / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", builder / "bin/busybox")
        shutil.copy(program, builder / "tollgate")
        cargo = "#!/bin/sh\nmkdir -p target/dist && cp /tollgate target/dist/tollgate\n"
        (builder / "bin/cargo").write_text(cargo)
        (builder / "bin/cc").write_text("#!/bin/sh\n")
        for script in ("cargo", "cc"):
            (builder / "bin" / script).chmod(0o755)
        tools = ["sh", "mkdir", "cp", "install", "ls"]
        links = "\n".join(f'RUN ["/bin/busybox", "ln", "-sf", "busybox", "/bin/{tool}"]' for tool in tools)
        (builder / "Dockerfile").write_text(f"FROM scratch\nCOPY . /\nENV PATH=/bin\n{links}\n")
        self.build(names["BUILDER"], builder)
        runtime = self.folder / "runtime"
        for line in run("ldd", program).splitlines():
            found = re.search(r"(/\S+) \(0x", line)
            if found:
                target = runtime / found.group(1).lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(found.group(1), target)
        (runtime / "etc").mkdir()
        (runtime / "etc/passwd").write_text("nonroot:x:65532:65532::/home:/sbin/nologin\n")
        (runtime / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
        self.build(names["RUNTIME"], runtime)


class Provider(http.server.BaseHTTPRequestHandler):
    """Keeps the bodies that reach it."""

    seen = []

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        Provider.seen.append(body.decode())
        answer = json.dumps({
            "id": "x", "object": "chat.completion", "created": 1, "model": "m",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def token():
    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    claims = {"org_id": "acme", "sub": "u", "exp": int(time.time()) + 600}
    text = f'{part(b"""{"alg":"HS256","typ":"JWT"}""")}.{part(json.dumps(claims).encode())}'
    return f"{text}.{part(hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).digest())}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def call(port):
    body = {"model": "m", "messages": [{"role": "user", "content": "write to ada@example.com"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
        {"authorization": f"Bearer {token()}", "content-type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def until(sentence, ask):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if ask():
                return
        time.sleep(0.05)
    sys.exit(f"waited {PATIENCE} s for: {sentence}")


def configuration(folder, port, provider):
    policies = folder / "etc/policies"
    policies.mkdir(parents=True)
    (folder / "etc/gateway.yaml").write_text(
        f"listen: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{free_port()}\ndata_dir: /data\n"
    )
    (policies / "all.yaml").write_text(
        f"auth: {{jwt: {{secret: {SECRET}}}}}\n"
        f"providers: {{main: {{base_url: 'http://127.0.0.1:{provider}/v1', api_key: k}}}}\n"
    )
    data = folder / "data"
    data.mkdir()
    os.chown(data, 65532, 65532)
    return policies, data


def serve(images, folder):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = free_port()
    policies, data = configuration(folder, port, server.server_port)
    images.podman(
        "run", "--detach", "--no-healthcheck", "--name", "gateway", "--network=host", "--read-only", "--cap-drop=all",
        "--security-opt=no-new-privileges", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096",
        "-v", f"{folder}/etc:/etc/tollgate:ro", "-v", f"{data}:/data", "tollgate-under-test",
    )
    try:
        until("the gateway", lambda: call(port) == 200)
        assert "[REDACTED_EMAIL]" in Provider.seen[-1] and "ada@" not in Provider.seen[-1], Provider.seen
        images.podman("exec", "gateway", "/usr/local/bin/tollgate", "healthcheck")
        # A file beside it and a rename, as editors do.
        edited = policies / "new"
        edited.write_text((policies / "all.yaml").read_text() + "limits: {orgs: {acme: {requests_per_minute: 1, burst: 1}}}\n")
        edited.rename(policies / "all.yaml")
        until("the edit", lambda: call(port) == 429)
        for file in data.rglob("*"):
            mode = file.stat().st_mode & 0o077
            assert mode == 0, f"{file} is open to others: {mode:o}"
        images.podman("stop", "--time", "40", "gateway")
        code = images.podman("inspect", "--format", "{{.State.ExitCode}}", "gateway").strip()
        logs = images.podman("logs", "gateway")
        assert code == "0", f"ended with {code}: {logs}"
    finally:
        subprocess.run(["podman", "--runtime", "runc", *map(str, images.storage), "rm", "--force", "gateway"],
                       capture_output=True, timeout=60, check=False)


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = pathlib.Path(name)
        images = Images(folder)
        images.stand_ins(program)
        images.build("tollgate-under-test", ROOT, "-f", ROOT / "Dockerfile")
        found = json.loads(images.podman("inspect", "tollgate-under-test"))[0]
        assert found["Config"]["User"] == "65532:65532", found["Config"]
        shown = images.podman(
            "run", "--rm", "--network=none", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096",
            "--read-only", "--no-healthcheck", "-e", f"TOLLGATE_JWT_SECRET={SECRET}", "tollgate-under-test", "check",
        )
        assert "0.0.0.0" in shown or "ok" in shown.lower(), shown
        serve(images, folder)
    print("the image was built, and a container served a redacted call")


if __name__ == "__main__":
    main()
