//! The circuit breaker of one provider: after failures in a row it is left alone for a while, then probed once.
//!
//! Stage 7 of the walk. Pure: time is an argument. Does not: know what counts as a failure (see
//! [`Failure::counts_against_provider`](super::retry::Failure::counts_against_provider)).

use std::time::Duration;

/// `breaker` of the policy.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Failures in a row that open the circuit, at least 1.
    pub consecutive_failures: u32,
    /// How long it stays open before one probe.
    pub open_for: Duration,
}

/// The circuit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// Set while the circuit is open or being probed: no call before this moment.
    open_until_ns: Option<u64>,
}

impl Breaker {
    /// Whether a call may go out now. The first after the open time is the probe; while it is on its way the others
    /// are held off for another `open_for`, so that a probe that never returns does not hold the circuit for ever.
    ///
    /// # Errors
    /// How long the circuit stays open.
    pub fn admit(&mut self, options: &BreakerOptions, now_ns: u64) -> Result<(), Duration> {
        match self.open_until_ns {
            Some(until) if now_ns < until => Err(Duration::from_nanos(until - now_ns)),
            Some(_) => {
                self.open_until_ns = Some(now_ns.saturating_add(nanos(options.open_for)));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The provider answered.
    pub fn succeeded(&mut self) {
        *self = Breaker::default();
    }

    /// The provider failed.
    pub fn failed(&mut self, options: &BreakerOptions, now_ns: u64) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= options.consecutive_failures {
            self.open_until_ns = Some(now_ns.saturating_add(nanos(options.open_for)));
        }
    }

    /// Whether calls are held off now.
    pub fn is_open(&self, now_ns: u64) -> bool {
        self.open_until_ns.is_some_and(|until| now_ns < until)
    }
}

fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_probes_and_closes() {
        let options = BreakerOptions { consecutive_failures: 3, open_for: Duration::from_nanos(100) };
        let mut b = Breaker::default();
        for now in 0..2 {
            b.failed(&options, now);
            assert!(b.admit(&options, now).is_ok());
        }
        b.failed(&options, 10);
        assert_eq!(b.admit(&options, 50), Err(Duration::from_nanos(60)));
        assert!(b.is_open(50));
        // One probe; the others wait.
        assert!(b.admit(&options, 110).is_ok());
        assert!(b.admit(&options, 111).is_err());
        // The probe fails: open again. The next one answers: closed.
        b.failed(&options, 120);
        assert!(b.admit(&options, 219).is_err());
        assert!(b.admit(&options, 220).is_ok());
        b.succeeded();
        assert!(b.admit(&options, 221).is_ok() && !b.is_open(221));
        // A success in between starts the count again.
        for now in 0..20 {
            b.failed(&options, now);
            b.failed(&options, now);
            b.succeeded();
        }
        assert!(b.admit(&options, 30).is_ok());
    }
}
