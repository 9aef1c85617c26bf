//! The circuit breaker of one provider.

use std::time::Duration;

/// `breaker` of the policy.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Failures in a row that open the circuit, at least 1.
    pub consecutive_failures: u32,
    /// How long it stays open before one probe.
    pub open_for: Duration,
}
