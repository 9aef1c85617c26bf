//! A circuit breaker: after failures in a row, or too many among its calls, calls are held off for
//! a while, then one probes.
//!
//! Stage 10 of the walk. Pure: time is an argument. Does not: know what counts as a failure (see
//! [`Failure::blame`](super::retry::Failure::blame)), or know callers (see `parties`).

use std::time::Duration;

/// `breaker` of the policy.
#[derive(Clone, Copy, Debug)]
pub struct BreakerOptions {
    /// Failures in a row that open the circuit, at least 1.
    pub consecutive_failures: u32,
    /// More failures than this share of the calls of `window` open it, 1 to 100.
    pub error_percent: u32,
    /// Calls within `window` that are needed for their share to count; see
    /// [`BreakerOptions::min_calls`].
    pub min_calls: Option<u32>,
    /// The time over which shares are counted, at least a second.
    pub window: Duration,
    /// How long it stays open before one probe.
    pub open_for: Duration,
}

impl BreakerOptions {
    /// Returns the calls that are needed for their share to count. An operator who allows more
    /// failures in a row does not want to be overruled by their share, so the default grows with
    /// that number.
    pub fn min_calls(&self) -> u32 {
        self.min_calls.unwrap_or_else(|| self.consecutive_failures.saturating_mul(2).max(20))
    }
}

/// Parts of the window; old calls are forgotten part by part.
const SLOTS: usize = 10;

/// Calls and failures of one part of the window.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    calls: u32,
    failures: u32,
}

/// The circuit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    slots: [Slot; SLOTS],
    /// The number of the newest part, counted from the start of time.
    newest: u64,
    /// Set while the circuit is open or being probed: no call before this moment.
    open_until_ns: Option<u64>,
}

impl Breaker {
    /// Whether a call may go out now. The first after the open time is the probe; while it is on
    /// its way the others are held off for another `open_for`, so that a probe that never returns
    /// does not hold the circuit for ever.
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

    /// The provider answered. An answer while the circuit is open closes it, and earlier failures
    /// are forgotten.
    pub fn succeeded(&mut self, options: &BreakerOptions, now_ns: u64) {
        if self.open_until_ns.is_some() {
            *self = Breaker::default();
        }
        self.failures = 0;
        let slot = self.slot(options, now_ns);
        slot.calls = slot.calls.saturating_add(1);
    }

    /// The provider failed.
    pub fn failed(&mut self, options: &BreakerOptions, now_ns: u64) {
        self.failures = self.failures.saturating_add(1);
        let slot = self.slot(options, now_ns);
        slot.calls = slot.calls.saturating_add(1);
        slot.failures = slot.failures.saturating_add(1);
        let is_probe = self.open_until_ns.is_some();
        if is_probe
            || self.failures >= options.consecutive_failures
            || self.fails_too_often(options)
        {
            self.open_until_ns = Some(now_ns.saturating_add(nanos(options.open_for)));
        }
    }

    fn fails_too_often(&self, options: &BreakerOptions) -> bool {
        let sum =
            |of: fn(&Slot) -> u32| self.slots.iter().map(|slot| u64::from(of(slot))).sum::<u64>();
        let (calls, failures) = (sum(|slot| slot.calls), sum(|slot| slot.failures));
        calls >= u64::from(options.min_calls())
            && failures * 100 > calls * u64::from(options.error_percent)
    }

    /// The current part of the window; skipped parts are cleared.
    fn slot(&mut self, options: &BreakerOptions, now_ns: u64) -> &mut Slot {
        let now = now_ns / (nanos(options.window) / SLOTS as u64).max(1);
        for gone in
            self.newest.saturating_add(1)..=now.min(self.newest.saturating_add(SLOTS as u64))
        {
            self.slots[gone as usize % SLOTS] = Slot::default();
        }
        self.newest = self.newest.max(now);
        &mut self.slots[self.newest as usize % SLOTS]
    }

    /// Whether calls are held off now.
    pub fn is_open(&self, now_ns: u64) -> bool {
        self.open_until_ns.is_some_and(|until| now_ns < until)
    }

    /// Whether it has opened and nothing has closed it since.
    pub(crate) fn has_opened(&self) -> bool {
        self.open_until_ns.is_some()
    }

    /// Holds calls off until a moment, or until an earlier one that was set before. The first call
    /// after it probes.
    pub(crate) fn hold_until(&mut self, until_ns: u64) {
        self.open_until_ns = Some(self.open_until_ns.map_or(until_ns, |until| until.min(until_ns)));
    }
}

pub(crate) fn nanos(d: Duration) -> u64 {
    u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn options(consecutive_failures: u32, min_calls: u32) -> BreakerOptions {
        let (window, open_for) = (Duration::from_secs(30), Duration::from_nanos(100));
        BreakerOptions {
            consecutive_failures,
            error_percent: 50,
            min_calls: Some(min_calls),
            window,
            open_for,
        }
    }

    #[test]
    fn opens_probes_and_closes() {
        let options = options(3, 1000);
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
        b.succeeded(&options, 221);
        assert!(b.admit(&options, 221).is_ok() && !b.is_open(221));
        // A success in between starts the count again.
        for now in 0..20 {
            b.failed(&options, now);
            b.failed(&options, now);
            b.succeeded(&options, now);
        }
        assert!(b.admit(&options, 30).is_ok());
    }

    /// Plays calls (`x` failed, `.` answered), one a step, and says after how many the circuit was
    /// open.
    fn opens_after(options: &BreakerOptions, calls: &str, step: u64) -> Option<usize> {
        let mut b = Breaker::default();
        calls.bytes().enumerate().find_map(|(i, call)| {
            let now = i as u64 * step;
            if call == b'x' {
                b.failed(options, now)
            } else {
                b.succeeded(options, now)
            }
            b.is_open(now).then_some(i + 1)
        })
    }

    #[test]
    fn a_share_of_failures_opens_too() {
        let half = ".x".repeat(50);
        let more = "x.x".repeat(50);
        let late = ".".repeat(300) + &"x.x.x".repeat(20);
        let table: &[(&str, u64, Option<std::ops::RangeInclusive<usize>>)] = &[
            // Half is not more than half.
            (&half, S / 10, None),
            // Not before there are twenty calls to speak of.
            (&more, S / 10, Some(21..=21)),
            (&more[..19], S / 10, None),
            // The window has moved on: never twenty calls within thirty seconds.
            (&more, 2 * S, None),
            // Answers of long ago do not outweigh failures of now. The window forgets by tenths.
            (&late, S, Some(320..=330)),
        ];
        for (calls, step, expected) in table {
            let opened = opens_after(&options(1000, 20), calls, *step);
            let right = expected
                .as_ref()
                .map_or(opened.is_none(), |range| opened.is_some_and(|n| range.contains(&n)));
            assert!(right, "{opened:?}, expected {expected:?} of {calls}");
        }
    }

    #[test]
    fn a_probe_that_answers_forgets_the_outage() {
        let options = options(1000, 20);
        let mut b = Breaker::default();
        for now in 0..25 {
            b.failed(&options, now);
        }
        assert!(b.is_open(25) && b.admit(&options, 25).is_err());
        assert!(b.admit(&options, 200).is_ok());
        b.succeeded(&options, 201);
        // One more failure is one of two calls, not one of many.
        b.failed(&options, 202);
        assert!(!b.is_open(202));
        // A clock that goes back, or far ahead, does no harm.
        b.failed(&options, 0);
        b.succeeded(&options, u64::MAX);
        assert!(!b.is_open(u64::MAX));
    }
}
