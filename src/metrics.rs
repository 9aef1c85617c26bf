//! The metrics registry: every series the gateway shows, by name.
//!
//! A leaf: atomics only. Label values come from closed sets or from the configuration, never from a
//! request, so the number of series is bounded. Does not: serve anything (see `admin`).

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};

/// All series, ready to be counted on.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    /// `route` (`proxy`, `intent`, `none`), `code` (status), `outcome`.
    pub requests: IntCounterVec,
    /// `route`: seconds of a whole call.
    pub request_duration: HistogramVec,
    /// Seconds until a provider's first byte.
    pub time_to_first_byte: Histogram,
    /// Time spent in the gateway itself.
    pub overhead: Histogram,
    /// Calls at work.
    pub in_flight: IntGauge,
    /// Open connections of clients.
    pub connections: IntGauge,
    /// `provider`, `outcome` (`ok`, `status_4xx`, `status_5xx`, `connect`, `reset`, `timeout`,
    /// `protocol`).
    pub upstream_attempts: IntCounterVec,
    /// `provider`, `reason`.
    pub retries: IntCounterVec,
    /// `provider`: 0 closed, 1 open.
    pub breaker_open: GaugeVec,
    /// `provider`: the gateway's own key was refused.
    pub provider_key_refused: IntCounterVec,
    /// `kind`.
    pub redactions: IntCounterVec,
    /// Attachments that the redactor dropped.
    pub attachments_dropped: IntCounter,
    /// `scope` (`org`, `key`, `user`, `model`), `limit` (its key in the policy).
    pub ratelimit_rejections: IntCounterVec,
    /// 1 while the store that replicas share answers.
    pub limits_store_up: IntGauge,
    /// `result` (`shared`, `leased`, `local`, `open`, `closed`).
    pub limits_decisions: IntCounterVec,
    /// Organisations tracked by the limiter.
    pub limited_orgs: IntGauge,
    /// `from`: `work` under way for another call, or a `kept` answer.
    pub intents_shared: IntCounterVec,
    /// `code`, `reason` (`expired`, `audience`, `signature`, …; `auth::Reason` has all).
    pub auth_failures: IntCounterVec,
    /// `provider`, `direction` (`input`, `cached`, `output`, `reasoning`).
    pub tokens: IntCounterVec,
    /// Cost of all priced calls.
    pub cost_usd: Counter,
    /// `result`: `written`, `stored`, `lost`, `dead_letter`, `expired` (older than the retention
    /// before it could be stored), `suspect` (written, but the disk did not take the sync),
    /// `unfinished` (the end of the process cut the write off, before its answer was complete).
    pub log_rows: IntCounterVec,
    /// Bytes in the write-ahead log that are not stored yet.
    pub log_spool_bytes: IntGauge,
    /// Age of the oldest row that is not stored yet.
    pub log_oldest_unshipped_seconds: Gauge,
    /// How long the disk took for one sync of the write-ahead log.
    pub log_sync_seconds: Histogram,
    /// 1 if the last reload of the policy succeeded.
    pub config_last_reload_successful: IntGauge,
    /// Unix time of the last successful reload.
    pub config_last_reload_success_timestamp_seconds: Gauge,
    /// `bound`: how often a maximum was reached.
    pub bounds_reached: IntCounterVec,
    /// Defects that were caught.
    pub panics: IntCounter,
}

/// Seconds, from fifty microseconds (the gateway's own work) to ten minutes (a long answer).
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
];

impl Metrics {
    /// A registry of its own for each gateway, so that several may live in one process.
    ///
    /// # Panics
    /// If two series have one name: a defect that every test would meet.
    pub fn new() -> Arc<Metrics> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            add(&registry, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let counter = |name: &str, help: &str| add(&registry, IntCounter::new(name, help));
        let int = |name: &str, help: &str| add(&registry, IntGauge::new(name, help));
        let float = |name: &str, help: &str| add(&registry, Gauge::new(name, help));
        let seconds =
            |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let metrics = Metrics {
            requests: counters(
                "tollgate_requests_total",
                "Calls answered.",
                &["route", "code", "outcome"],
            ),
            request_duration: add(
                &registry,
                HistogramVec::new(
                    seconds(
                        "tollgate_request_duration_seconds",
                        "From the request head to the end of the answer.",
                    ),
                    &["route"],
                ),
            ),
            time_to_first_byte: add(
                &registry,
                Histogram::with_opts(seconds(
                    "tollgate_time_to_first_byte_seconds",
                    "From the request head to the provider's first byte.",
                )),
            ),
            overhead: add(
                &registry,
                Histogram::with_opts(seconds(
                    "tollgate_overhead_seconds",
                    "Time spent in the gateway itself, from the request head to the first attempt.",
                )),
            ),
            in_flight: int("tollgate_requests_in_flight", "Calls being worked on."),
            connections: int("tollgate_connections", "Open connections on the applications' side."),
            upstream_attempts: counters(
                "tollgate_upstream_attempts_total",
                "Sends to a provider.",
                &["provider", "outcome"],
            ),
            retries: counters(
                "tollgate_retries_total",
                "Sends after the first.",
                &["provider", "reason"],
            ),
            breaker_open: add(
                &registry,
                GaugeVec::new(
                    Opts::new("tollgate_breaker_open", "1 while a provider's circuit is open."),
                    &["provider"],
                ),
            ),
            provider_key_refused: counters(
                "tollgate_provider_key_refused_total",
                "Times a provider refused the gateway's own key.",
                &["provider"],
            ),
            redactions: counters(
                "tollgate_redactions_total",
                "Placeholders put into requests.",
                &["kind"],
            ),
            attachments_dropped: counter(
                "tollgate_attachments_dropped_total",
                "Attachments taken out of requests.",
            ),
            ratelimit_rejections: counters(
                "tollgate_ratelimit_rejections_total",
                "Calls over a limit.",
                &["scope", "limit"],
            ),
            limits_store_up: int(
                "tollgate_limits_store_up",
                "1 while the shared limits store answers.",
            ),
            limits_decisions: counters(
                "tollgate_limits_store_decisions_total",
                "Decisions with a shared limits store, by where they were made.",
                &["result"],
            ),
            limited_orgs: int(
                "tollgate_limited_organizations",
                "Organisations with a bucket in memory.",
            ),
            intents_shared: counters(
                "tollgate_intents_shared_total",
                "Tickets that needed no question of their own.",
                &["from"],
            ),
            auth_failures: counters(
                "tollgate_auth_failures_total",
                "Calls without a valid identity.",
                &["code", "reason"],
            ),
            tokens: counters("tollgate_tokens_total", "Tokens used.", &["provider", "direction"]),
            cost_usd: add(
                &registry,
                Counter::new("tollgate_cost_usd_total", "Cost of the priced calls."),
            ),
            log_rows: counters("tollgate_log_rows_total", "Rows of the AILog.", &["result"]),
            log_spool_bytes: int(
                "tollgate_log_spool_bytes",
                "Write-ahead log not yet in the store.",
            ),
            log_oldest_unshipped_seconds: float(
                "tollgate_log_oldest_unshipped_seconds",
                "Age of the oldest row that is not yet in the store.",
            ),
            log_sync_seconds: add(
                &registry,
                Histogram::with_opts(seconds(
                    "tollgate_log_sync_seconds",
                    "Syncs of the write-ahead log (ailog.durability: power).",
                )),
            ),
            config_last_reload_successful: int(
                "tollgate_config_last_reload_successful",
                "1 if the last policy edit was taken, 0 if it was refused.",
            ),
            config_last_reload_success_timestamp_seconds: float(
                "tollgate_config_last_reload_success_timestamp_seconds",
                "When the policy in force was loaded.",
            ),
            bounds_reached: counters(
                "tollgate_bounds_reached_total",
                "Times a maximum was reached.",
                &["bound"],
            ),
            panics: counter("tollgate_panics_total", "Calls that ended in a defect."),
            registry: registry.clone(),
        };
        let build = Opts::new("tollgate_build_info", "1, with the version as a label.");
        let build = add(&registry, GaugeVec::new(build, &["version"]));
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        // The series that everyone has is there from the start, at 0.
        drop(metrics.ratelimit_rejections.with_label_values(&["org", "requests_per_minute"]));
        #[cfg(target_os = "linux")]
        drop(
            registry
                .register(Box::new(prometheus::process_collector::ProcessCollector::for_self())),
        );
        Arc::new(metrics)
    }

    /// Notes that a maximum of `bounds` was reached.
    pub fn bound(&self, name: &'static str) {
        self.bounds_reached.with_label_values(&[name]).inc();
    }

    /// The Prometheus text format.
    pub fn text(&self) -> String {
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }
}

#[expect(clippy::expect_used, reason = "constant names; a clash is a defect that every test meets")]
fn add<C: Collector + Clone + 'static>(registry: &Registry, made: prometheus::Result<C>) -> C {
    let collector = made.expect("metric");
    registry.register(Box::new(collector.clone())).expect("metric name");
    collector
}

/// A status as a metric label, without an allocation for the usual ones; the others share a label.
pub fn status_label(status: u16) -> &'static str {
    match status {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        405 => "405",
        408 => "408",
        409 => "409",
        413 => "413",
        415 => "415",
        422 => "422",
        429 => "429",
        499 => "499",
        500 => "500",
        503 => "503",
        504 => "504",
        _ => "other",
    }
}
