//! Whether to try again: the decision, without the trying.
//!
//! Stage 7 of the walk. Pure: no clock, no network.

use std::time::Duration;

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
