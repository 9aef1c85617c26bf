//! When a credential is fetched: before its end, again after a failure, at once when it is suspect.
//!
//! Pure: the time and the chance are arguments. Guarantees: between two fetches lies at least
//! [`PAUSE_MIN`]; a failing refresh is tried again before half of what is left of the token has
//! passed; a suspect token is fetched again at once, and then at most every [`SUSPECT_EVERY`]. Does
//! not: fetch, sleep, or hold the token.

use std::time::Duration;

use crate::clock::Nanos;

/// A refresh begins this part of the life before the end, within the limits that follow.
const LEAD_PART: u32 = 5;
const LEAD_MIN: Duration = Duration::from_secs(1);
const LEAD_MAX: Duration = Duration::from_secs(5 * 60);
/// Replicas that began together are spread over this part of the lead.
const JITTER_PART: u32 = 10;
/// The first wait after a failure; each further one is twice as long.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// The wait after a failure without a valid token.
const RETRY_EXPIRED: Duration = Duration::from_secs(5);
/// The shortest time from the end of a fetch to the next one.
const PAUSE_MIN: Duration = Duration::from_millis(250);
/// A token that providers refuse is fetched again this often at most.
const SUSPECT_EVERY: Duration = Duration::from_secs(30);

/// The failure of a fetch, as far as it decides about the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It may pass by itself.
    Passing,
    /// Only a change of the configuration, at one of the sides, helps.
    Lasting,
}

/// When the next fetch is due.
#[derive(Debug)]
pub struct Schedule {
    due: Nanos,
    /// The end of the newest token.
    ends: Option<Nanos>,
    /// Failures since the last success.
    failures: u32,
    /// The last fetch for a suspect token.
    suspect_at: Option<Nanos>,
}

impl Schedule {
    /// The first fetch is due now.
    pub fn new(now: Nanos) -> Schedule {
        Schedule { due: now, ends: None, failures: 0, suspect_at: None }
    }

    /// When the next fetch is due.
    pub fn due(&self) -> Nanos {
        self.due
    }

    /// A fetch that began at `asked` brought a token that lives until `ends`. `chance` is from 0 to
    /// 1.
    pub fn succeeded(&mut self, asked: Nanos, ends: Nanos, now: Nanos, chance: f64) {
        let life = ends.since(asked);
        let lead = (life / LEAD_PART).clamp(LEAD_MIN, LEAD_MAX);
        let early = lead + (lead / JITTER_PART).mul_f64(chance.clamp(0.0, 1.0));
        let due = asked.plus(life.saturating_sub(early));
        self.due = due.max(now.plus(PAUSE_MIN));
        (self.ends, self.failures) = (Some(ends), 0);
    }

    /// A fetch has failed.
    pub fn failed(&mut self, kind: Kind, now: Nanos) {
        self.failures = self.failures.saturating_add(1);
        let doubled = RETRY_FIRST.saturating_mul(1 << (self.failures - 1).min(10));
        let wait = match kind {
            Kind::Passing => doubled.min(RETRY_MAX),
            Kind::Lasting => RETRY_MAX,
        };
        let left = self.ends.map_or(Duration::ZERO, |ends| ends.since(now));
        let wait = if left.is_zero() {
            // After an expiry there is no reason to begin with short waits.
            if self.ends.is_none() { wait.min(RETRY_EXPIRED) } else { RETRY_EXPIRED }
        } else {
            wait.min(left / 2)
        };
        self.due = now.plus(wait.max(PAUSE_MIN));
    }

    /// A provider has refused the token that is in use. Whether the next fetch is earlier than it
    /// was.
    pub fn suspected(&mut self, now: Nanos) -> bool {
        let at = match self.suspect_at {
            Some(last) => last.plus(SUSPECT_EVERY).max(now),
            None => now,
        };
        let is_earlier = at < self.due;
        if is_earlier {
            (self.due, self.suspect_at) = (at, Some(at));
        }
        is_earlier
    }

    /// The request of a fetch has changed: it is due now.
    pub fn changed(&mut self, now: Nanos) {
        self.due = self.due.min(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn at(seconds: f64) -> Nanos {
        Nanos(Duration::from_secs_f64(seconds).as_nanos() as u64)
    }

    #[test]
    fn a_refresh_begins_a_fifth_of_the_life_before_its_end_within_limits() {
        for (life, chance, due) in [
            (3600.0, 0.0, 3300.0),
            (3600.0, 1.0, 3270.0),
            (100.0, 0.0, 80.0),
            (100.0, 1.0, 78.0),
            (3.0, 0.0, 2.0),
            (86_400.0, 0.0, 86_100.0),
            // Shorter than the lead: the pause holds.
            (0.5, 0.0, 0.35),
        ] {
            let mut schedule = Schedule::new(at(0.0));
            schedule.succeeded(at(0.0), at(life), at(0.1), chance);
            assert_eq!(schedule.due(), at(due), "{life} {chance}");
        }
    }

    #[test]
    fn a_server_that_hands_out_its_cached_token_is_not_asked_in_a_loop() {
        let (mut schedule, ends) = (Schedule::new(at(0.0)), at(3600.0));
        let mut fetches = 0;
        while schedule.due() < ends {
            let asked = schedule.due();
            // It renews the token five minutes before its end.
            let answer =
                if ends.since(asked) > Duration::from_secs(300) { ends } else { at(7200.0) };
            fetches += 1;
            schedule.succeeded(asked, answer, asked, 1.0);
            assert!(fetches < 10, "{schedule:?}");
        }
        assert_eq!(fetches, 3, "at the start, too early by a moment, and then in time");
    }

    #[test]
    fn failures_are_retried_with_growing_waits_that_fit_into_what_is_left() {
        let mut schedule = Schedule::new(at(0.0));
        schedule.succeeded(at(0.0), at(3600.0), at(0.0), 0.0);
        let (mut now, mut waits) = (3300.0, Vec::new());
        while now < 3600.0 {
            schedule.failed(Kind::Passing, at(now));
            let wait = schedule.due().since(at(now)).as_secs_f64();
            assert!(wait <= ((3600.0 - now) / 2.0).max(0.25) + 1e-6, "{now} {wait}");
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits[..6], [1.0, 2.0, 4.0, 8.0, 16.0, 30.0]);
        assert!(waits.iter().all(|wait| (0.25..=30.0).contains(wait)), "{waits:?}");
        for _ in 0..3 {
            schedule.failed(Kind::Passing, at(now));
            assert_eq!(schedule.due(), at(now).plus(RETRY_EXPIRED), "it has expired");
        }
    }

    #[test]
    fn without_a_first_token_the_waits_stay_short() {
        let mut schedule = Schedule::new(at(10.0));
        assert_eq!(schedule.due(), at(10.0));
        let mut wait = |kind| {
            schedule.failed(kind, at(10.0));
            schedule.due().since(at(10.0)).as_secs()
        };
        assert_eq!([(); 5].map(|()| wait(Kind::Passing)), [1, 2, 4, 5, 5]);
        assert_eq!(wait(Kind::Lasting), 5);
    }

    #[test]
    fn a_refusal_that_lasts_is_not_repeated_fast() {
        let mut schedule = Schedule::new(at(0.0));
        schedule.succeeded(at(0.0), at(3600.0), at(0.0), 0.0);
        schedule.failed(Kind::Lasting, at(3300.0));
        assert_eq!(schedule.due(), at(3330.0));
        schedule.changed(at(3301.0));
        assert_eq!(schedule.due(), at(3301.0));
    }

    #[test]
    fn a_suspect_token_is_fetched_at_once_and_then_every_thirty_seconds() {
        let mut schedule = Schedule::new(at(0.0));
        schedule.succeeded(at(0.0), at(3600.0), at(0.0), 0.0);
        assert!(schedule.suspected(at(100.0)));
        assert_eq!(schedule.due(), at(100.0));
        assert!(!schedule.suspected(at(100.5)), "it is due already");
        schedule.succeeded(at(100.0), at(3700.0), at(101.0), 0.0);
        assert!(schedule.suspected(at(101.0)));
        assert_eq!(schedule.due(), at(130.0));
        schedule.succeeded(at(130.0), at(3730.0), at(130.0), 0.0);
        assert!(schedule.suspected(at(500.0)));
        assert_eq!(schedule.due(), Nanos(500 * S));
    }
}
