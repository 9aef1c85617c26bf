//! Series that are there from the start, at 0.
//!
//! A rate of a series that appears with its first event misses that event, so alerts on rare events
//! would be silent. Guarantees: a series that exists is not changed. Does not: know the policy (its
//! providers are given).

use super::Metrics;

/// Providers whose series are there from the start. Those of further ones appear when they are
/// used.
const PROVIDERS_MAX: usize = 32;

/// Routes, statuses and outcomes of calls.
const CALLS: &[(&str, &str)] = &[
    ("200", "ok"),
    ("400", "client_error"),
    ("401", "client_error"),
    ("404", "client_error"),
    ("429", "rate_limited"),
    ("429", "provider_rate_limited"),
    ("499", "client_disconnect"),
    ("502", "provider_error"),
    ("503", "provider_error"),
    ("503", "refused"),
    ("504", "timeout"),
];
const LIMITS: &[&str] = &[
    "requests_per_minute",
    "tokens_per_minute",
    "calls_in_flight",
    "usd_per_day",
    "usd_per_month",
];
const BOUNDS: &[&str] = &[
    "connections",
    "request_bodies",
    "calls_in_flight",
    "held_bytes",
    "decoders",
    "accept",
    "wal_bytes",
    "log_sync_wait",
    "otlp_backlog",
];
const ATTEMPTS: &[&str] = &[
    "ok",
    "status_4xx",
    "status_429",
    "status_5xx",
    "connect",
    "reset",
    "timeout",
    "protocol",
    "tls",
    "key_refused",
];
const RETRIES: &[&str] = &["connect", "reset", "status_429", "status_5xx"];
const DIRECTIONS: &[&str] = &["input", "cached", "output", "reasoning"];

impl Metrics {
    /// Makes the series that every gateway has.
    pub(super) fn announce(&self) {
        for (code, outcome) in CALLS {
            drop(self.requests.with_label_values(&["proxy", code, outcome]));
        }
        drop(self.requests.with_label_values(&["intent", "200", "ok"]));
        for route in ["proxy", "intent"] {
            drop(self.request_duration.with_label_values(&[route]));
        }
        for limit in LIMITS {
            drop(self.ratelimit_rejections.with_label_values(&["org", limit]));
        }
        for bound in BOUNDS {
            drop(self.bounds_reached.with_label_values(&[bound]));
        }
        for kind in ["email", "phone"] {
            drop(self.redactions.with_label_values(&[kind]));
        }
        for result in ["shared", "leased", "local", "open", "closed"] {
            drop(self.limits_decisions.with_label_values(&[result]));
        }
        for result in ["sent", "dropped", "rejected"] {
            drop(self.otlp_spans.with_label_values(&[result]));
        }
        for from in ["work", "kept"] {
            drop(self.intents_shared.with_label_values(&[from]));
        }
        for (code, reason) in [("missing_token", "missing"), ("invalid_token", "expired")] {
            drop(self.auth_failures.with_label_values(&[code, reason]));
        }
    }

    /// Makes the series of these providers.
    pub fn announce_providers<'p>(&self, names: impl Iterator<Item = &'p str>) {
        for name in names.take(PROVIDERS_MAX) {
            for outcome in ATTEMPTS {
                drop(self.upstream_attempts.with_label_values(&[name, outcome]));
            }
            for reason in RETRIES {
                drop(self.retries.with_label_values(&[name, reason]));
            }
            for direction in DIRECTIONS {
                drop(self.tokens.with_label_values(&[name, direction]));
            }
            drop(self.breaker_open.with_label_values(&[name]));
            drop(self.provider_key_refused.with_label_values(&[name]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_of_rare_events_begin_with_zero() {
        let metrics = Metrics::new();
        metrics.announce_providers(["openai"].into_iter());
        metrics.retries.with_label_values(&["openai", "connect"]).inc();
        metrics.announce_providers(["openai"].into_iter());
        let text = metrics.text();
        for line in [
            "tollgate_requests_total{code=\"504\",outcome=\"timeout\",route=\"proxy\"} 0",
            "tollgate_upstream_attempts_total{outcome=\"timeout\",provider=\"openai\"} 0",
            "tollgate_provider_key_refused_total{provider=\"openai\"} 0",
            "tollgate_retries_total{provider=\"openai\",reason=\"connect\"} 1",
            "tollgate_otlp_spans_total{result=\"dropped\"} 0",
            "tollgate_breaker_open{provider=\"openai\"} 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
        }
    }

    #[test]
    fn many_providers_have_few_series_before_they_are_used() {
        let metrics = Metrics::new();
        let before = metrics.text().lines().count();
        let names: Vec<String> = (0..1_000).map(|n| format!("p{n}")).collect();
        metrics.announce_providers(names.iter().map(String::as_str));
        let added = metrics.text().lines().count() - before;
        assert!((600..1_000).contains(&added), "{added} lines more");
    }
}
