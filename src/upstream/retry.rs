//! The decision whether a failed attempt is retried.
//!
//! Stage 10 of the walk. Pure: no clock, no network. One table for every way an attempt can fail.
//!
//! Guarantees: an attempt that is not safe to repeat is not retried; the wait is never shorter than
//! the provider asked for; failures about money and timeouts at the first byte are not retried.
//! Does not: count attempts or time (the loop over attempts does), or choose the provider.

use std::time::Duration;

use crate::egress::fault::ProxyFault;

/// `retry` of the policy.
#[derive(Clone, Copy, Debug)]
pub struct RetryOptions {
    /// Attempts beyond the first, 0 to 10.
    pub max_retries: u32,
    /// Backoff before the first retry, at most.
    pub base_delay: Duration,
    /// Backoff before any retry, at most.
    pub max_delay: Duration,
    /// Retries per hundred calls over 10 s (0 to 1000).
    pub budget_percent: u32,
    /// Redacted body that is kept for another attempt, in bytes.
    pub replay_bytes: usize,
}

/// How an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing was sent: name, route, connect or handshake.
    Connect,
    /// Nothing was sent, because this machine has no more descriptors or ports.
    Exhausted,
    /// The connection broke after something was sent and before the answer began.
    Reset,
    /// The same, on a connection that had answered before: the provider has probably closed it as
    /// idle just before the call was sent.
    Stale,
    /// No answer head within `first_byte`, or a short answer that stopped coming.
    FirstByteTimeout,
    /// The answer is not usable HTTP; another attempt would fail the same way.
    Protocol,
    /// Nothing was sent, because the provider's certificate does not verify; another attempt would
    /// fail the same way.
    Certificate,
    /// The provider demands a client certificate, or does not accept the configured one; another
    /// attempt would fail the same way.
    ClientCertificate,
    /// Nothing was sent, because the proxy on the way failed.
    Proxy(ProxyFault),
    /// An answer with this status.
    Status(StatusFacts),
    /// A short answer was truncated; no byte of it has been passed on.
    Truncated,
    /// A provider of another format gave an answer that cannot be read or carried; no byte of it
    /// has been passed on.
    Invalid,
    /// The same, because it is longer than the gateway translates; another attempt would fail the
    /// same way.
    TooLong,
    /// There is no memory for the answer of a provider of another format.
    NoRoom,
}

/// The facts of an error answer that decide about a retry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusFacts {
    pub status: u16,
    /// `x-should-retry`
    pub should_retry: Option<bool>,
    /// `retry-after-ms` or `retry-after`
    pub retry_after: Option<Duration>,
    /// The error is about money (such as `insufficient_quota`): waiting does not help.
    pub about_money: bool,
}

impl StatusFacts {
    /// Whether the client of a call that is not retried any more should not retry it either: the
    /// error is about money, or it is one that the gateway itself retries. If the provider asks for
    /// a longer wait than the gateway's, a moment does not help, and `retry-after` says how long.
    pub fn is_final(&self) -> bool {
        self.about_money || matches!(self.status, 408 | 409 | 429)
    }
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Retry, after at least this wait.
    Again(Option<Duration>),
    /// Do not retry.
    GiveUp,
}

/// Error codes that mean the account has no money or quota left.
///
/// # Source
/// OpenAI error codes guide and Anthropic API errors, read November 2026.
pub const MONEY_CODES: &[&str] = &[
    "insufficient_quota",
    "credit_balance_exhausted",
    "billing_hard_limit_reached",
    "billing_not_active",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached",
    "billing_error",
];

impl Failure {
    /// Label for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::Connect => "connect",
            Failure::Exhausted => "exhausted",
            Failure::Reset | Failure::Stale => "reset",
            Failure::FirstByteTimeout => "timeout",
            Failure::Protocol | Failure::Certificate => "protocol",
            Failure::ClientCertificate => "tls",
            Failure::Proxy(fault) => fault.reason(),
            Failure::Truncated => "truncated",
            Failure::Invalid | Failure::TooLong => "invalid",
            Failure::NoRoom => "exhausted",
            Failure::Status(facts) => match facts.status {
                429 => "status_429",
                500..=599 => "status_5xx",
                _ => "status_4xx",
            },
        }
    }

    /// The party to blame for the failure. A provider that answers with a client's own mistake or a
    /// limit counts as healthy.
    pub fn blame(&self) -> Blame {
        match self {
            Failure::Connect | Failure::Certificate | Failure::ClientCertificate => Blame::Provider,
            Failure::Reset | Failure::FirstByteTimeout | Failure::Protocol | Failure::Truncated => {
                Blame::Open
            }
            Failure::Status(facts) if facts.status >= 500 => Blame::Open,
            // The content of an answer says nothing about the provider's health.
            Failure::Status(_) | Failure::Invalid | Failure::TooLong => Blame::Nobody,
            // A connection that was idle for too long says nothing about the provider.
            // Nor does a proxy that fails.
            Failure::Exhausted | Failure::NoRoom | Failure::Stale | Failure::Proxy(_) => {
                Blame::Gateway
            }
        }
    }
}

/// The party to blame for the end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The provider is well: it has answered.
    Nobody,
    /// The provider, or a call that makes it fail.
    Open,
    /// The provider: the connection failed before anything of the call was sent.
    Provider,
    /// This machine, or a proxy. It is no evidence about the provider.
    Gateway,
}

/// Decides. `stateful`: the call changes state at the provider, so an attempt that may have arrived
/// is not repeated.
pub fn decide(failure: &Failure, stateful: bool) -> Verdict {
    match failure {
        Failure::Connect | Failure::Proxy(_) => Verdict::Again(None),
        Failure::Reset | Failure::Stale | Failure::Invalid if stateful => Verdict::GiveUp,
        Failure::Reset | Failure::Stale | Failure::Invalid => Verdict::Again(None),
        // The answer may have begun, and with it the charge.
        Failure::FirstByteTimeout
        | Failure::Protocol
        | Failure::Certificate
        | Failure::ClientCertificate
        | Failure::Truncated => Verdict::GiveUp,
        // Another attempt would need the same missing resource, or give the same answer.
        Failure::Exhausted | Failure::NoRoom | Failure::TooLong => Verdict::GiveUp,
        Failure::Status(facts) => decide_status(facts, stateful),
    }
}

fn decide_status(facts: &StatusFacts, stateful: bool) -> Verdict {
    if facts.about_money || facts.should_retry == Some(false) {
        return Verdict::GiveUp;
    }
    let transient = matches!(facts.status, 408 | 409 | 424 | 429 | 500 | 502 | 503 | 504 | 529);
    let asked_for = facts.should_retry == Some(true) && facts.status >= 400;
    // A provider that refuses with a time to retry has not done the work.
    let surely_undone = matches!(facts.status, 429 | 503) && facts.retry_after.is_some();
    if asked_for || (transient && (!stateful || surely_undone)) {
        Verdict::Again(facts.retry_after)
    } else {
        Verdict::GiveUp
    }
}

/// Reads `retry-after-ms` and `retry-after` (seconds, also with a fraction, or an HTTP date). A
/// past date, a negative, infinite or unreadable value gives `None`. At most a year.
pub fn retry_after(
    ms: Option<&str>,
    seconds_or_date: Option<&str>,
    now_ms: i64,
) -> Option<Duration> {
    // RFC 9110 allows digits only; SDKs also read fractions. Signs and exponents are treated as
    // mistakes.
    let number = |text: &str, unit: f64| {
        let text = text.trim();
        let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value: f64 = plain.then(|| text.parse().ok()).flatten()?;
        Some(Duration::from_secs_f64((value * unit).min(31_536_000.0)))
    };
    ms.and_then(|v| number(v, 0.001)).or_else(|| {
        let text = seconds_or_date?;
        number(text, 1.0).or_else(|| {
            let date = httpdate::parse_http_date(text.trim()).ok()?;
            let at_ms =
                i64::try_from(date.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()?;
            let wait = u64::try_from(at_ms - now_ms).ok()?;
            Some(Duration::from_millis(wait.min(31_536_000_000)))
        })
    })
}

/// Full jitter: anything from zero to `base · 2ⁿ`, at most `max`. `retry` counts from 0; `random`
/// is in 0..1.
pub fn backoff(options: &RetryOptions, retry: u32, random: f64) -> Duration {
    let ceiling = options
        .base_delay
        .saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX))
        .min(options.max_delay);
    ceiling.mul_f64(random.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16) -> StatusFacts {
        StatusFacts { status, ..StatusFacts::default() }
    }

    #[test]
    fn a_limit_is_final_however_long_the_provider_s_wait_is() {
        for (code, wait_s, expected) in [
            (429, None, true),
            (429, Some(1), true),
            (429, Some(60), true),
            (408, Some(60), true),
            (409, Some(60), true),
            (400, Some(60), false),
        ] {
            let retry_after = wait_s.map(Duration::from_secs);
            let facts = StatusFacts { retry_after, ..status(code) };
            assert_eq!(facts.is_final(), expected, "{code} {wait_s:?}");
        }
    }

    #[test]
    fn the_decision_table() {
        let s = |status| StatusFacts { status, ..StatusFacts::default() };
        let after = |status| StatusFacts { retry_after: Some(Duration::from_secs(2)), ..s(status) };
        let should = |status, yes| StatusFacts { should_retry: Some(yes), ..s(status) };
        // (failure, inference, stateful)
        let mut table = vec![
            (Failure::Connect, true, true),
            (Failure::Reset, true, false),
            (Failure::Truncated, false, false),
            (Failure::Invalid, true, false),
            (Failure::FirstByteTimeout, false, false),
            (Failure::Protocol, false, false),
            (Failure::Certificate, false, false),
            (Failure::ClientCertificate, false, false),
            (Failure::Proxy(ProxyFault::Auth), true, true),
            (Failure::Proxy(ProxyFault::Closed), true, true),
            (Failure::Exhausted, false, false),
            (Failure::Status(after(429)), true, true),
            (Failure::Status(after(503)), true, true),
            (Failure::Status(after(500)), true, false),
            (Failure::Status(should(400, true)), true, true),
            (Failure::Status(should(500, false)), false, false),
            (Failure::Status(StatusFacts { about_money: true, ..after(429) }), false, false),
            (Failure::Status(StatusFacts { about_money: true, ..should(429, true) }), false, false),
        ];
        table.extend(
            [408, 409, 429, 500, 502, 503, 504, 529]
                .map(|c| (Failure::Status(status(c)), true, false)),
        );
        table.extend(
            [400, 401, 402, 403, 404, 405, 413, 415, 422, 501, 505]
                .map(|c| (Failure::Status(status(c)), false, false)),
        );
        for (failure, inference, stateful) in table {
            let again = |stateful| matches!(decide(&failure, stateful), Verdict::Again(_));
            assert_eq!((again(false), again(true)), (inference, stateful), "{failure:?}");
        }
        assert_eq!(
            decide(&Failure::Status(after(429)), false),
            Verdict::Again(Some(Duration::from_secs(2)))
        );
    }

    #[test]
    fn retry_after_in_all_its_forms() {
        let now = 1_700_000_000_000;
        let date = |ms: i64| {
            httpdate::fmt_http_date(
                std::time::UNIX_EPOCH + Duration::from_millis(ms.unsigned_abs()),
            )
        };
        let (future, past) = (date(now + 3_000), date(now - 3_000));
        let table: &[(Option<&str>, Option<&str>, Option<u64>)] = &[
            (None, Some("2"), Some(2_000)),
            (None, Some("0.5"), Some(500)),
            (Some("800"), Some("2"), Some(800)),
            (Some("x"), Some("2"), Some(2_000)),
            (None, Some(&future), Some(3_000)),
            (None, Some(&past), None),
            (None, Some("-5"), None),
            (None, Some("NaN"), None),
            (None, Some("inf"), None),
            (None, Some(""), None),
            (None, Some("1e9"), None),
            (None, Some("9999999999"), Some(31_536_000_000)),
            (None, Some("."), None),
            (None, None, None),
        ];
        for (ms, text, expected) in table {
            assert_eq!(
                retry_after(*ms, *text, now),
                expected.map(Duration::from_millis),
                "{ms:?} {text:?}"
            );
        }
    }

    #[test]
    fn backoff_doubles_and_stays_in_range() {
        let options = RetryOptions {
            max_retries: 2,
            base_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(8),
            budget_percent: 20,
            replay_bytes: 0,
        };
        let most: Vec<u128> = (0..8).map(|n| backoff(&options, n, 1.0).as_millis()).collect();
        assert_eq!(most, [500, 1000, 2000, 4000, 8000, 8000, 8000, 8000]);
        assert_eq!(backoff(&options, 3, 0.0), Duration::ZERO);
        assert!(backoff(&options, 40, 0.5) <= Duration::from_secs(8));
    }
}
