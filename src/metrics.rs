//! The metrics registry: every series the gateway shows, by name.
//!
//! A leaf: atomics only. Label values come from closed sets or from the configuration, never from a
//! request, so the number of series is bounded. Does not: serve anything (see `admin`).

use std::sync::Arc;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};

mod known;
#[cfg(target_os = "linux")]
mod process;

/// One series, as the documentation lists it.
pub(crate) struct Series {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    /// The name of its constructor, such as `counters`.
    pub(crate) make: &'static str,
    pub(crate) labels: &'static [&'static str],
    /// The comment of its field: the values of its labels, if it has labels.
    pub(crate) comment: &'static str,
}

/// Declares [`Metrics`] and [`SERIES`]: for each series a field, its name, its help text and its
/// labels.
macro_rules! series {
    (@labels) => { &[] };
    (@labels $labels:expr) => { $labels };
    ($(
        $(#[doc = $doc:literal])*
        $field:ident: $ty:ty = $make:ident($name:literal, $help:literal $(, $labels:expr)? $(,)?);
    )*) => {
        /// Every series in the order of the documentation.
        pub(crate) const SERIES: &[Series] = &[ $( Series {
            name: $name,
            help: $help,
            make: stringify!($make),
            labels: series!(@labels $($labels)?),
            comment: concat!($($doc),*),
        }, )* ];

        /// All series.
        #[derive(Clone)]
        pub struct Metrics {
            registry: Registry,
            $( $(#[doc = $doc])* pub $field: $ty, )*
        }

        impl Metrics {
            fn register(registry: &Registry) -> Metrics {
                Metrics {
                    $( $field: add(registry, make::$make($name, $help $(, $labels)?)), )*
                    registry: registry.clone(),
                }
            }
        }
    };
}

series! {
    /// `route` (`proxy`, `intent`, `none`), `code` (status), `outcome`.
    requests: IntCounterVec = counters(
        "tollgate_requests_total",
        "Calls answered.",
        &["route", "code", "outcome"]
    );
    /// `result` (`hit`, `miss`).
    cache_lookups: IntCounterVec = counters(
        "tollgate_cache_lookups_total",
        "Calls that the exact cache could answer.",
        &["result"]
    );
    /// Answers in the cache.
    cache_entries: IntGauge = int("tollgate_cache_entries", "Answers in the exact cache.");
    /// `place` (`disk`; `memory`: those of them that are in memory, too).
    cache_bytes: GaugeVec = gauges(
        "tollgate_cache_bytes",
        "Size of the answers in the exact cache.",
        &["place"]
    );
    /// Money that was not spent because of it.
    cache_saved_usd: Counter = amount(
        "tollgate_cache_saved_usd_total",
        "Cost of the first calls whose answers the exact cache gave again."
    );
    /// `route`.
    request_duration: HistogramVec = seconds_by(
        "tollgate_request_duration_seconds",
        "From the request head to the end of the answer.",
        &["route"]
    );
    /// Seconds until a provider's first byte.
    time_to_first_byte: Histogram = seconds(
        "tollgate_time_to_first_byte_seconds",
        "From the request head to the provider's first byte."
    );
    /// Time spent in the gateway itself.
    overhead: Histogram = short_seconds(
        "tollgate_overhead_seconds",
        "Time spent in the gateway itself, from the request head to the first attempt."
    );
    /// Calls at work.
    in_flight: IntGauge = int("tollgate_requests_in_flight", "Calls being worked on.");
    /// Open connections of clients.
    connections: IntGauge = int(
        "tollgate_connections",
        "Open connections on the applications' side."
    );
    /// `provider`, `outcome` (`ok`, `status_4xx`, `status_429`, `status_5xx`, `connect`, `reset`,
    /// `timeout`, `protocol`, `tls`, `truncated`, `invalid`, `exhausted`, `key_refused`, `proxy_connect`, `proxy_auth`, `proxy_refused`, `proxy_timeout`,
    /// `proxy_closed`).
    upstream_attempts: IntCounterVec = counters(
        "tollgate_upstream_attempts_total",
        "Sends to a provider.",
        &["provider", "outcome"]
    );
    /// `provider`, `reason` (`connect`, `reset`, `status_4xx`, `status_429`, `status_5xx`, and the
    /// `proxy_…` of attempts).
    retries: IntCounterVec = counters(
        "tollgate_retries_total",
        "Sends after the first.",
        &["provider", "reason"]
    );
    /// `provider`.
    breaker_open: GaugeVec = gauges(
        "tollgate_breaker_open",
        "1 while a provider's circuit is open.",
        &["provider"]
    );
    /// `provider`.
    provider_key_refused: IntCounterVec = counters(
        "tollgate_provider_key_refused_total",
        "Times a provider refused the gateway's own key.",
        &["provider"]
    );
    /// `provider`.
    provider_credential_expires: GaugeVec = gauges(
        "tollgate_provider_credential_expires_seconds",
        "Seconds until the fetched credential of a provider ends; 0 or less once it has, or if there is none.",
        &["provider"]
    );
    /// `provider`.
    provider_credential_failing: GaugeVec = gauges(
        "tollgate_provider_credential_failing",
        "1 while the credential of a provider cannot be fetched.",
        &["provider"]
    );
    /// `rule` (its name in the policy).
    alerts_fired: IntCounterVec = counters(
        "tollgate_alerts_fired_total",
        "Alerts raised.",
        &["rule"]
    );
    /// `webhook`, `result` (`delivered`, `failed`: it is tried again, `gone`: a 410, `given_up`: after
    /// three days).
    alerts_deliveries: IntCounterVec = counters(
        "tollgate_alerts_deliveries_total",
        "Notifications sent to webhooks.",
        &["webhook", "result"]
    );
    /// `webhook`.
    alerts_queued: GaugeVec = gauges(
        "tollgate_alerts_queued",
        "Notifications that wait for a webhook.",
        &["webhook"]
    );
    /// `kind` (`email`, `phone`, another entity, or the name of a pattern or word list).
    redactions: IntCounterVec = counters(
        "tollgate_redactions_total",
        "Placeholders put into requests.",
        &["kind"]
    );
    /// `action` (`count`, `drop_message`, `reject`), `kind` (as above; of removed messages, empty).
    redaction_actions: IntCounterVec = counters(
        "tollgate_redaction_actions_total",
        "Matches that were counted and left, messages removed, and matches that refused a call.",
        &["action", "kind"]
    );
    /// `kind` (as above).
    answers_masked: IntCounterVec = counters(
        "tollgate_answers_masked_total",
        "Values taken out of answers because their calls had not sent them.",
        &["kind"]
    );
    /// Attachments that the redactor dropped.
    attachments_dropped: IntCounter = counter(
        "tollgate_attachments_dropped_total",
        "Attachments removed from requests."
    );
    /// `scope` (`org`, `key`, `user`, `model`), `limit` (its key in the policy).
    ratelimit_rejections: IntCounterVec = counters(
        "tollgate_ratelimit_rejections_total",
        "Calls over a limit.",
        &["scope", "limit"]
    );
    /// `scope`, `limit` (as above).
    downgrades: IntCounterVec = counters(
        "tollgate_downgrades_total",
        "Calls over a budget that went to the cheaper model of `limits.on_exhausted`.",
        &["scope", "limit"]
    );
    /// 1 while the store that replicas share answers.
    limits_store_up: IntGauge = int(
        "tollgate_limits_store_up",
        "1 while the shared limits store answers."
    );
    /// `result` (`shared`, `leased`, `local`, `open`, `closed`).
    limits_decisions: IntCounterVec = counters(
        "tollgate_limits_store_decisions_total",
        "Decisions with a shared limits store, by where they were made.",
        &["result"]
    );
    /// Organisations tracked by the limiter.
    limited_orgs: IntGauge = int(
        "tollgate_limited_organizations",
        "Organisations that are counted in memory."
    );
    /// `from` (`work` in progress for another call, or a `kept` answer).
    intents_shared: IntCounterVec = counters(
        "tollgate_intents_shared_total",
        "Tickets answered with the result of an identical ticket.",
        &["from"]
    );
    /// `code` (error code), `reason` (`expired`, `audience`, `signature`, …).
    auth_failures: IntCounterVec = counters(
        "tollgate_auth_failures_total",
        "Calls without a valid credential.",
        &["code", "reason"]
    );
    /// `provider`, `direction` (`input`, `cached`, `output`, `reasoning`).
    tokens: IntCounterVec = counters(
        "tollgate_tokens_total",
        "Tokens used.",
        &["provider", "direction"]
    );
    /// Cost of all priced calls.
    cost_usd: Counter = amount("tollgate_cost_usd_total", "Cost of the priced calls.");
    /// `org`; beyond the first 400 organisations since the start, `(other)`.
    org_requests: IntCounterVec = counters(
        "tollgate_org_requests_total",
        "Calls of an organisation, with `metrics.per_org`.",
        &["org"]
    );
    /// `org` (as above), `direction` (`input`, `cached`, `output`, `reasoning`).
    org_tokens: IntCounterVec = counters(
        "tollgate_org_tokens_total",
        "Tokens of an organisation, with `metrics.per_org`.",
        &["org", "direction"]
    );
    /// `org` (as above).
    org_cost_usd: CounterVec = amounts(
        "tollgate_org_cost_usd_total",
        "Cost of the priced calls of an organisation, with `metrics.per_org`.",
        &["org"]
    );
    /// `result` (`written`; `stored`; `lost`; `dead_letter`; `expired`: older than the retention
    /// before it could be stored; `suspect`: written, but the disk refused the sync; `unfinished`:
    /// the end of the process cut the write off, before its answer was complete).
    log_rows: IntCounterVec = counters(
        "tollgate_log_rows_total",
        "Rows of the AILog.",
        &["result"]
    );
    /// Bytes in the write-ahead log that are not stored yet.
    log_spool_bytes: IntGauge = int(
        "tollgate_log_spool_bytes",
        "Write-ahead log not yet in the store."
    );
    /// Age of the oldest row that is not stored yet.
    log_oldest_unshipped_seconds: Gauge = float(
        "tollgate_log_oldest_unshipped_seconds",
        "Age of the oldest row that is not yet in the store."
    );
    /// How long the disk took for one sync of the write-ahead log.
    log_sync_seconds: Histogram = short_seconds(
        "tollgate_log_sync_seconds",
        "Syncs of the write-ahead log (ailog.durability: power)."
    );
    /// `result` (`sent`; `dropped`: the backlog was at its bound, or the collector refused the
    /// request; `rejected`: the collector took the request without these).
    otlp_spans: IntCounterVec = counters(
        "tollgate_otlp_spans_total",
        "Spans for the collector of traces.",
        &["result"]
    );
    /// Bytes of the write-ahead log that the exporter of traces has not read.
    otlp_backlog_bytes: IntGauge = int(
        "tollgate_otlp_backlog_bytes",
        "Write-ahead log whose spans are not exported yet."
    );
    /// 1 if the last reload of the policy succeeded.
    files_refused: IntGauge = int(
        "tollgate_files_refused",
        "Files of secrets and certificates whose present content cannot be used; the content before \
         it is in force."
    );
    /// 1 or 0.
    config_last_reload_successful: IntGauge = int(
        "tollgate_config_last_reload_successful",
        "1 if the last policy edit was accepted, 0 if it was refused."
    );
    /// Unix time of the last successful reload.
    config_last_reload_success_timestamp_seconds: Gauge = float(
        "tollgate_config_last_reload_success_timestamp_seconds",
        "When the policy in force was loaded."
    );
    /// 1 or 0.
    audit_chain_intact: IntGauge = int(
        "tollgate_audit_chain_intact",
        "1 if the chain of audit records is unbroken, 0 if a record was altered, removed or moved."
    );
    /// Records of the audit that could not be written.
    audit_write_failures: IntCounter = counter(
        "tollgate_audit_write_failures_total",
        "Audit records that could not be written."
    );
    /// `decision` (`refused`, `allowed`, `rerouted`, `redacted`, `same`).
    shadow_decisions: IntCounterVec = counters(
        "tollgate_shadow_decisions_total",
        "Calls by what the candidate policy would have decided.",
        &["decision"]
    );
    /// 1 or 0.
    shadow_last_reload_successful: IntGauge = int(
        "tollgate_shadow_last_reload_successful",
        "1 if the last edit of the candidate policy was accepted, or there is none; 0 if it was refused."
    );
    /// `bound`.
    bounds_reached: IntCounterVec = counters(
        "tollgate_bounds_reached_total",
        "Times that a bound was reached.",
        &["bound"]
    );
    /// Defects that were caught.
    panics: IntCounter = counter("tollgate_panics_total", "Calls that ended with an internal \
        error.");
}

impl Metrics {
    /// A registry of its own for each gateway, so that several may live in one process.
    ///
    /// # Panics
    /// If two series have one name: a defect that every test would meet.
    pub fn new() -> Arc<Metrics> {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry);
        let build = Opts::new("tollgate_build_info", "1, with the version as a label.");
        let build = add(&registry, GaugeVec::new(build, &["version"]));
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
        metrics.announce();
        #[cfg(target_os = "linux")]
        drop(process::Process::new().and_then(|process| registry.register(Box::new(process))));
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

/// One constructor for each type of series.
mod make {
    use prometheus::{
        Counter, CounterVec, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
        IntCounterVec, IntGauge, Opts, Result,
    };

    /// Seconds of a call: close together where answers of models are (half a second to a minute), up
    /// to the longest that a call may take by default.
    const SECONDS: &[f64] = &[
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0,
        15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0,
    ];

    /// Seconds of the gateway's own work, from twenty microseconds on.
    const SHORT_SECONDS: &[f64] = &[
        0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_3, 0.000_5, 0.000_75, 0.001, 0.002, 0.003,
        0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
    ];

    pub fn counter(name: &str, help: &str) -> Result<IntCounter> {
        IntCounter::new(name, help)
    }

    pub fn counters(name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec> {
        IntCounterVec::new(Opts::new(name, help), labels)
    }

    pub fn amount(name: &str, help: &str) -> Result<Counter> {
        Counter::new(name, help)
    }

    pub fn amounts(name: &str, help: &str, labels: &[&str]) -> Result<CounterVec> {
        CounterVec::new(Opts::new(name, help), labels)
    }

    pub fn int(name: &str, help: &str) -> Result<IntGauge> {
        IntGauge::new(name, help)
    }

    pub fn float(name: &str, help: &str) -> Result<Gauge> {
        Gauge::new(name, help)
    }

    pub fn gauges(name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
        GaugeVec::new(Opts::new(name, help), labels)
    }

    pub fn seconds(name: &str, help: &str) -> Result<Histogram> {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()))
    }

    pub fn short_seconds(name: &str, help: &str) -> Result<Histogram> {
        Histogram::with_opts(HistogramOpts::new(name, help).buckets(SHORT_SECONDS.to_vec()))
    }

    pub fn seconds_by(name: &str, help: &str, labels: &[&str]) -> Result<HistogramVec> {
        HistogramVec::new(HistogramOpts::new(name, help).buckets(SECONDS.to_vec()), labels)
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
