//! The rate at which a request body has to come, as a wait that the client may use up.
//!
//! Stage 6 of the walk. Pure: instants are given. A body begins with [`BODY_GRACE`] of waiting;
//! each byte adds to it at [`BODY_RATE_MIN`], up to [`BODY_CREDIT_MAX`]; only time in which the
//! gateway waits for the client takes from it. So a client that sends nothing, or a byte now and
//! then, is given up after some seconds, and time that the provider or the gateway takes counts
//! against nobody. Does not: keep a timer.

use std::time::Duration;

use tokio::time::Instant;

use crate::bounds::{BODY_CREDIT_MAX, BODY_GRACE, BODY_RATE_MIN};

/// How long the client of one body may still be waited for.
#[derive(Debug)]
pub struct BodyRate {
    /// The longest single wait.
    idle: Duration,
    left: Duration,
    /// When the wait under way began.
    since: Option<Instant>,
}

impl BodyRate {
    /// A body of which nothing may come for `idle` at most.
    pub fn new(idle: Duration) -> BodyRate {
        BodyRate { idle, left: BODY_GRACE, since: None }
    }

    /// There is nothing to read now. Until when it may be waited for.
    pub fn waits(&mut self, now: Instant) -> Instant {
        *self.since.get_or_insert(now) + self.idle.min(self.left)
    }

    /// From when on the body has come too slowly without its grace.
    pub fn slow_from(&self, now: Instant) -> Instant {
        self.since.unwrap_or(now) + self.left.saturating_sub(BODY_GRACE)
    }

    /// So many bytes have come. How long they were waited for.
    pub fn came(&mut self, now: Instant, bytes: usize) -> Duration {
        let waited =
            self.since.take().map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let credit = Duration::from_micros(bytes as u64 * 1_000_000 / BODY_RATE_MIN);
        self.left = self.left.saturating_sub(waited).saturating_add(credit).min(BODY_CREDIT_MAX);
        waited
    }

    /// Whether it was the rate that ended the wait, and not a single silence.
    pub fn is_too_slow(&self) -> bool {
        self.left < self.idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(60);

    /// Bytes of `size`, each after `pause`; how many seconds until the body is given up, where that
    /// is within `most`.
    fn given_up(idle: Duration, size: usize, pause: Duration, most: u64) -> Option<u64> {
        let (mut rate, begun) = (BodyRate::new(idle), Instant::now());
        let mut now = begun;
        loop {
            let until = rate.waits(now);
            if until < now + pause {
                return Some((until - begun).as_secs());
            }
            now += pause;
            rate.came(now, size);
            if (now - begun).as_secs() >= most {
                return None;
            }
        }
    }

    #[test]
    fn a_body_that_comes_too_slowly_is_given_up_and_no_other() {
        let (ms, s) = (Duration::from_millis, Duration::from_secs);
        for (idle, size, pause, expected) in [
            (IDLE, 0, s(1000), Some(10)),
            (IDLE, 1, s(45), Some(10)),
            (IDLE, 1, s(1), Some(10)),
            (IDLE, 8, ms(300), Some(10)),
            (IDLE, 512, s(1), Some(19)),
            (IDLE, 1000, s(1), Some(384)),
            (IDLE, 1024, s(1), None),
            (IDLE, 100_000, s(9), None),
            (IDLE, 1 << 30, s(31), Some(10)),
            (s(2), 1024, s(3), Some(2)),
            (s(2), 1 << 20, ms(1900), None),
        ] {
            assert_eq!(given_up(idle, size, pause, 3600), expected, "{size} each {pause:?}");
        }
        // Much at once does not pay for a long silence later.
        let (mut rate, begun) = (BodyRate::new(IDLE), Instant::now());
        rate.came(begun, 100 << 20);
        assert_eq!(rate.waits(begun) - begun, BODY_CREDIT_MAX);
        assert!(rate.is_too_slow() && !BodyRate::new(s(2)).is_too_slow());
    }

    #[test]
    fn without_its_grace_a_body_is_slow_as_soon_as_it_is_waited_for() {
        let (mut rate, begun) = (BodyRate::new(IDLE), Instant::now());
        rate.waits(begun);
        assert_eq!(rate.slow_from(begun + IDLE), begun);
        assert_eq!(rate.came(begun + BODY_GRACE / 2, 1), BODY_GRACE / 2);
        rate.waits(begun + BODY_GRACE);
        assert_eq!(rate.slow_from(begun + IDLE), begun + BODY_GRACE);
        rate.came(begun + BODY_GRACE, 20 << 10);
        rate.waits(begun + BODY_GRACE);
        let fast = rate.slow_from(begun + BODY_GRACE) - (begun + BODY_GRACE);
        assert_eq!(fast.as_secs(), 15);
    }
}
