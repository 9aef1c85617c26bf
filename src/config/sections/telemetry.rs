//! The keys of `telemetry` and `metrics`.

use std::path::PathBuf;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Named, Shape, Size, section, words};
use super::ProxySource;
use crate::ids::Secret;

words! {
    /// Version of the OpenTelemetry conventions for GenAI.
    Semconv {
        /// The newest that this version of Tollgate knows.
        "current" => Current,
        /// Version 1.41, the last one before they moved to a repository of their own.
        "v1.41" => V141,
    }
}

section! {
    /// The metrics of the operators' side.
    RawMetrics => struct MetricsOptions: Clone, Copy {
        /// If true, /metrics has calls, tokens and cost of each organisation. The first 400 since the
        /// start have series of their own, further ones share `(other)`. Readers of /metrics see their
        /// names.
        per_org: bool = "false";
    }
}
section! {
    /// Data about calls that the gateway sends to other systems.
    RawTelemetry {
        /// Traces by OTLP over HTTP to a collector: one span for each call and one for each attempt.
        /// They are read from the write-ahead log, so a collector that is away loses nothing up to
        /// `backlog_bytes`. null: no traces.
        otlp: Option<RawOtlp> = "null", eg "{endpoint: 'http://127.0.0.1:4318'}";
    }
}
section! {
    /// Traces by OTLP over HTTP.
    RawOtlp => struct OtlpOptions: Clone {
        /// Base address of the collector; /v1/traces is added to it.
        endpoint: String => check;
        /// Headers of each request, such as {authorization: {file: /run/secrets/otlp}}.
        headers: Named<Secret> => check = "{}";
        /// Names of attributes: current or v1.41.
        semconv: Semconv = "current";
        /// Recorded part of the traces that begin here. If a caller sends `traceparent`, its
        /// decision holds.
        sample_percent: f64 = "100" in 0.0..=100.0;
        /// If true, the redacted messages of requests and answers are in the spans, as far as
        /// `ailog.capture` keeps them.
        content: bool = "false";
        /// Log that is kept for a collector that is away. Above it, the oldest spans are dropped and
        /// counted.
        backlog_bytes: Size = "1GiB" in 1 << 20..=1 << 44;
        /// Way to the collector: env (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), none, the URL of a proxy,
        /// or {url, username, password}.
        proxy: ProxySource => check = "env";
        /// PEM file with the authorities of the collector's certificate, instead of the machine's.
        ca_file: Option<PathBuf> => check = "null";
        /// PEM file with the gateway's certificate, for collectors that ask for one.
        client_cert_file: Option<PathBuf> => check = "null";
        /// PEM file with the key of that certificate.
        client_key_file: Option<PathBuf> => check = "null";
    }
}
