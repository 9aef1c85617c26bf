//! Time: one monotonic clock for limits and latencies, one wall clock for rows.
//!
//! A leaf, and the only file that asks the system what time it is.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A point on the monotonic clock, in nanoseconds since the gateway's start. Never goes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// Time from `earlier` to `self`; zero if `earlier` is later.
    pub fn since(self, earlier: Nanos) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The point `wait` later.
    pub fn plus(self, wait: Duration) -> Nanos {
        Nanos(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// The gateway's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// Starts the clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the monotonic clock is read"
    )]
    pub fn start() -> Clock {
        // An hour in hand, so that arithmetic on recent points never meets zero.
        let now = Instant::now();
        Clock { start: now.checked_sub(Duration::from_secs(3600)).unwrap_or(now) }
    }

    /// Now, monotonic.
    pub fn now(&self) -> Nanos {
        Nanos(u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }

    /// Now, in milliseconds since 1970 (UTC).
    pub fn wall_ms(&self) -> i64 {
        wall_ms()
    }
}

/// The wall clock, in milliseconds since 1970 (UTC).
#[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}
