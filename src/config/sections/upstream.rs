//! The keys of `retry`, `timeouts` and `breaker`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Cap, Shape, Size, section};
use super::{DAY, HOUR, MINUTE, MS, SECOND};
use crate::bounds::REPLAY_BYTES_MAX;
use crate::upstream::breaker::BreakerOptions;
use crate::upstream::retry::RetryOptions;

section! {
    /// Retries of failed calls.
    RawRetry => RetryOptions {
        /// Attempts after the first.
        max_retries: u32 = "2" in 0..=10;
        /// Longest wait before the first retry. It doubles with each retry; the wait is a random
        /// part of it.
        base_delay: Duration = "500ms" in MS..=MINUTE;
        /// Longest wait before any retry.
        max_delay: Duration = "8s" in MS..=10 * MINUTE;
        /// Retries per hundred calls of a caller over 10 s. A caller's share of 10 retries a second
        /// is always allowed.
        budget_percent: u32 = "20" in 0..=1000;
        /// Longest redacted body that is kept for a retry. A call with a longer body is sent once.
        replay_bytes: Size<usize> = "1MiB" in 0..=REPLAY_BYTES_MAX as u64;
    }
}
section! {
    /// Time limits for the parts of a call.
    RawTimeouts => struct Timeouts: Clone, Copy {
        /// Until the connection to the provider is open.
        connect: Duration = "5s" in MS..=10 * MINUTE;
        /// From the end of the request to the head of the answer.
        first_byte: Duration = "60s" in MS..=DAY;
        /// Between two pieces of a body, in either direction.
        idle: Duration = "60s" in MS..=DAY;
        /// The whole call, with all attempts.
        total: Duration = "10m" in MS..=DAY;
        /// Interval of comments (`: keep-alive`) to the client of a silent stream, for proxies that
        /// close idle connections. It must be shorter than `idle` and does not prolong it.
        keep_alive: Cap<Duration> = "off" in 100 * MS..=DAY;
    }
}
section! {
    /// Timeouts of one target. Without a value here, the one of `timeouts` holds.
    RawTargetTimeouts => over Timeouts {
        /// Until the connection to the provider is open.
        connect: Option<Duration> = "null" in MS..=10 * MINUTE;
        /// From the end of the request to the head of the answer.
        first_byte: Option<Duration> = "null" in MS..=DAY;
        /// Between two pieces of the answer.
        idle: Option<Duration> = "null" in MS..=DAY;
        /// Interval of comments to the client of a silent stream.
        keep_alive: Option<Cap<Duration>> = "null" in 100 * MS..=DAY;
    }
}
section! {
    /// Circuit breaker, for each provider and caller. A 4xx that the client caused never counts.
    RawBreaker => BreakerOptions {
        /// Failures of a caller in a row that open its circuit.
        consecutive_failures: u32 = "10" in 1..=1_000_000;
        /// Share of failed calls within `window`, in percent, above which the circuit opens, too.
        error_percent: u32 = "50" in 1..=100;
        /// Calls within `window` that are needed for that share to count. Without it, 20, or twice
        /// `consecutive_failures` if that is more.
        min_calls: Option<u32> = "null" in 1..=1_000_000;
        /// Time over which shares are counted.
        window: Duration = "30s" in SECOND..=HOUR;
        /// Time that the circuit stays open before one call may probe the provider.
        open_for: Duration = "15s" in MS..=HOUR;
    }
}
