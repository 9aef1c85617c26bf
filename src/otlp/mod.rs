//! Traces: spans are made of the rows in the write-ahead log, and sent to a collector by OTLP over
//! HTTP.
//!
//! Level 3 of the map, on a thread of its own at a low priority, so that no call waits for it.
//! `span` makes spans of a row, with names from `names` and messages from `content`; `answer`
//! judges what the collector says; `protobuf` and `value` write.
//!
//! Guarantees: a row whose call is traced is exported at least once, also after a crash, unless the
//! backlog passes its bound: then the oldest spans are dropped and counted. Spans have ids of the
//! row, so that one that is sent twice is known as the same. Redirects are not followed. Does not:
//! decide which calls are traced (see `pipeline/traces`).
//!
//! # Bounds
//! `OTLP_SPANS_MAX` spans or about `OTLP_REQUEST_BYTES_MAX` bytes in a request, one request at a
//! time; `telemetry.otlp.backlog_bytes` of log; `OTLP_FLUSH_MAX` at the end of the process.

mod answer;
mod content;
mod names;
mod protobuf;
mod span;
mod value;

use std::io::{self, Write as _};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Request, header};
use http_body_util::Full;
use prometheus::IntCounter;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::answer::{Verdict, judge};
use self::protobuf::{put_bytes, put_message};
use self::span::{Spans, Style, put_spans};
use self::value::put_attribute;
use crate::ailog::tap::Tap;
use crate::bounds::{
    OTLP_ANSWER_BYTES_MAX, OTLP_FLUSH_MAX, OTLP_REQUEST_BYTES_MAX, OTLP_SPANS_MAX, OTLP_TIMEOUT,
};
use crate::config::policy::{Otlp, Settings};
use crate::egress::outbound::{Outbound, Patience};
use crate::metrics::Metrics;
use crate::priority;

/// How long rows are gathered.
const TICK: Duration = Duration::from_millis(500);
/// How often the backlog is looked at while the collector is away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An exporter that runs.
pub(crate) struct Exporter {
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Exporter {
    /// Starts the export of what `tap` reads.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(crate) fn start(
        otlp: &Otlp,
        settings: &Settings,
        tap: Tap,
        metrics: &Arc<Metrics>,
    ) -> io::Result<Exporter> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stop = CancellationToken::new();
        let style = Style {
            semconv: otlp.options.semconv,
            content: otlp.options.content,
            scheme: if settings.options.tls.is_some() { "https" } else { "http" },
            address: settings.listen.ip().to_string(),
            port: settings.listen.port(),
        };
        let work = Work {
            resource: resource(),
            style,
            otlp: otlp.clone(),
            tap,
            outbound: Outbound::default(),
            counters: Counters::new(metrics),
            metrics: Arc::clone(metrics),
            stop: stop.clone(),
            flush_until: None,
            is_away: false,
        };
        let run = move || {
            priority::lower();
            runtime.block_on(work.run());
        };
        let thread = std::thread::Builder::new().name("otlp".to_owned()).spawn(run)?;
        Ok(Exporter { stop, thread })
    }

    /// Exports what is left, for `OTLP_FLUSH_MAX` at most, and ends. Blocks.
    pub(crate) fn end(self) {
        self.stop.cancel();
        if self.thread.join().is_err() {
            tracing::error!(event = "thread_panicked", "the thread of the traces panicked");
        }
    }
}

struct Counters {
    sent: IntCounter,
    dropped: IntCounter,
    rejected: IntCounter,
}

impl Counters {
    fn new(metrics: &Metrics) -> Counters {
        let of = |result: &str| metrics.otlp_spans.with_label_values(&[result]);
        Counters { sent: of("sent"), dropped: of("dropped"), rejected: of("rejected") }
    }
}

/// The state of the thread.
struct Work {
    /// `Resource`, encoded.
    resource: Vec<u8>,
    style: Style,
    otlp: Otlp,
    tap: Tap,
    outbound: Outbound,
    counters: Counters,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
    /// The process ends: when the rest must be sent.
    flush_until: Option<Instant>,
    /// The last request had no answer that counts.
    is_away: bool,
}

/// The end of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivered {
    /// The spans were sent, rejected or dropped.
    Yes,
    /// The process ends before the collector is back.
    No,
}

impl Work {
    async fn run(mut self) {
        loop {
            self.measure();
            if self.stop.is_cancelled() && self.flush_until.is_none() {
                self.flush_until = Some(Instant::now() + OTLP_FLUSH_MAX);
            }
            match self.tap.next() {
                Ok(true) => {
                    if self.export_batch().await == Delivered::No {
                        return;
                    }
                }
                Ok(false) if self.flush_until.is_some() => return,
                Ok(false) => self.pause(TICK).await,
                Err(_) if self.flush_until.is_some() => return,
                Err(error) => {
                    tracing::warn!(
                        event = "log_unreadable",
                        %error, "the log cannot be read for traces");
                    self.pause(LOOK_EVERY).await;
                }
            }
            if self.flush_until.is_some_and(|until| Instant::now() >= until) {
                return;
            }
        }
    }

    /// Waits, or until the process ends.
    async fn pause(&self, wait: Duration) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    fn measure(&self) {
        let bytes = self.tap.backlog_bytes();
        self.metrics.otlp_backlog_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Exports the rows that were read last, in as many requests as needed.
    async fn export_batch(&mut self) -> Delivered {
        let (mut row, rows) = (0, self.tap.batch().rows.len());
        while row < rows {
            let mut spans = Spans::default();
            while row < rows
                && (spans.ends.is_empty()
                    || spans.ends.len() < OTLP_SPANS_MAX
                        && spans.bytes.len() < OTLP_REQUEST_BYTES_MAX)
            {
                let batch = self.tap.batch();
                let (bytes, traced) = (batch.row(row), batch.trace(row));
                if !traced.is_empty() && !self.tap.is_expired(bytes) {
                    put_spans(&mut spans, bytes, traced, &self.style);
                }
                row += 1;
            }
            if self.deliver(&spans).await == Delivered::No {
                return Delivered::No;
            }
            let end = self.tap.batch().rows[row - 1].segment_end;
            self.done(end);
        }
        self.done(self.tap.batch().end);
        Delivered::Yes
    }

    fn done(&mut self, end: u64) {
        if let Err(error) = self.tap.done(end) {
            tracing::warn!(
                event = "trace_position_not_kept",
                %error, "the position of the traces cannot be kept");
        }
    }

    /// Sends spans until the collector has them, in parts if they are too long for it.
    async fn deliver(&mut self, spans: &Spans) -> Delivered {
        let mut parts = vec![(0, spans.ends.len())];
        while let Some((from, to)) = parts.pop() {
            let count = (to - from) as u64;
            if count == 0 {
                continue;
            }
            match self.send(spans, from, to).await {
                Some(Verdict::Taken { rejected, reason }) => {
                    let rejected = rejected.min(count);
                    if !reason.is_empty() || rejected > 0 {
                        // Its words may quote spans.
                        tracing::warn!(
                            event = "spans_rejected",
                            rejected,
                            "the collector rejected spans"
                        );
                    }
                    self.counters.rejected.inc_by(rejected);
                    self.counters.sent.inc_by(count - rejected);
                }
                Some(Verdict::Split) if count > 1 => {
                    let middle = from + (to - from) / 2;
                    parts.extend([(middle, to), (from, middle)]);
                }
                Some(_) => self.counters.dropped.inc_by(count),
                None => return Delivered::No,
            }
        }
        Delivered::Yes
    }

    /// Sends one request until it is answered for good. A backlog over its bound ends that, too:
    /// these are the oldest spans. `None`: the process ends first.
    async fn send(&mut self, spans: &Spans, from: usize, to: usize) -> Option<Verdict> {
        let body = self.request_body(spans, from, to);
        let mut failures = 0;
        loop {
            self.measure();
            if self.tap.backlog_bytes() > self.otlp.options.backlog_bytes && self.is_away {
                self.metrics.bound("otlp_backlog");
                return Some(Verdict::Refused);
            }
            let (verdict, reason) = self.exchange(&body).await;
            let Verdict::Again(asked) = verdict else {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(event = "collector_back", "the collector answers again");
                }
                if verdict == Verdict::Refused {
                    tracing::warn!(
                        event = "spans_refused",
                        reason,
                        "the collector refuses spans; they are dropped"
                    );
                }
                return Some(verdict);
            };
            if !std::mem::replace(&mut self.is_away, true) {
                tracing::warn!(
                    event = "collector_away",
                    reason,
                    "the collector takes no spans; they wait in the log"
                );
            }
            if self.stop.is_cancelled() {
                return None;
            }
            failures += 1;
            self.wait(asked.unwrap_or_else(|| answer::wait(failures, fastrand::f64()))).await;
        }
    }

    /// Waits before a request is repeated, unless the process ends or the backlog passes its bound.
    async fn wait(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while Instant::now() < until
            && !self.stop.is_cancelled()
            && self.tap.backlog_bytes() <= self.otlp.options.backlog_bytes
        {
            self.measure();
            let rest = until.saturating_duration_since(Instant::now());
            self.pause(rest.min(LOOK_EVERY)).await;
        }
    }

    /// Sends one request, once; the reason is for the operators' log.
    async fn exchange(&self, body: &Bytes) -> (Verdict, String) {
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.otlp.endpoint.clone();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let agent = concat!("tollgate/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        for (name, value) in &self.otlp.headers {
            if let Ok(mut value) = HeaderValue::from_str(&value.reveal()) {
                value.set_sensitive(true);
                headers.insert(name.clone(), value);
            }
        }
        let patience = Patience {
            connect: OTLP_TIMEOUT,
            whole: self.flush_until.map_or(OTLP_TIMEOUT, |until| {
                until.saturating_duration_since(Instant::now()).min(OTLP_TIMEOUT)
            }),
            bytes_max: OTLP_ANSWER_BYTES_MAX,
        };
        let sent = self.outbound.send(&self.otlp.egress, request, patience);
        let answer = tokio::select! {
            answer = sent => answer,
            () = self.cut() => return (Verdict::Again(None), "the process ends".to_owned()),
        };
        match answer {
            Ok(answer) => {
                let verdict = judge(answer.status(), answer.headers(), answer.body());
                (verdict, format!("status {}", answer.status().as_u16()))
            }
            Err(error) => (Verdict::Again(None), error.to_string()),
        }
    }

    /// Ready when a request that was begun before the end of the process has had its time.
    async fn cut(&self) {
        self.stop.cancelled().await;
        tokio::time::sleep(OTLP_FLUSH_MAX).await;
    }

    /// An `ExportTraceServiceRequest` with these spans, packed.
    fn request_body(&self, spans: &Spans, from: usize, to: usize) -> Bytes {
        let mut plain = Vec::with_capacity(spans.bytes.len() + self.resource.len() + 128);
        put_message(&mut plain, 1, |out| {
            put_bytes(out, 1, &self.resource);
            put_message(out, 2, |out| {
                put_message(out, 1, |out| {
                    put_bytes(out, 1, b"tollgate");
                    put_bytes(out, 2, env!("CARGO_PKG_VERSION").as_bytes());
                });
                (from..to).for_each(|index| out.extend_from_slice(spans.get(index)));
                put_bytes(out, 3, names::schema_url(self.style.semconv).as_bytes());
            });
        });
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        // Writing to memory cannot fail.
        drop(packed.write_all(&plain));
        packed.finish().unwrap_or_default().into()
    }
}

/// The `Resource` of this process.
fn resource() -> Vec<u8> {
    let mut out = Vec::new();
    let instance = Uuid::now_v7().to_string();
    for (name, value) in [
        ("service.name", "tollgate"),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("service.instance.id", &instance),
    ] {
        put_attribute(&mut out, 1, name, &value.into());
    }
    out
}
