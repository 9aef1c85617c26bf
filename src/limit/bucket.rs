//! The token bucket, and the strict window: arithmetic only.
//!
//! Stage 4 of the walk. Pure: no clock, no map, no lock. The bucket is kept in its
//! virtual-scheduling form: one number, the theoretical arrival time (`tat`) of the next call that
//! would find the bucket full. It holds `burst` calls and gains one every `emission_interval`.
//!
//! Guarantees: never more calls than `burst` plus what was refilled; a clock that goes back changes
//! nothing; a change of quota keeps debts. Does not: know organisations.
//!
//! # Source
//! ITU-T I.371, virtual scheduling form of the generic cell rate algorithm.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

const MINUTE_NS: u64 = 60_000_000_000;

/// A request quota that can be enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    requests_per_minute: NonZeroU32,
    burst: NonZeroU32,
    strict: bool,
}

/// The answer to one call that asks to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// `None`: the call passes and is counted. `Some(wait)`: it does not, and would after `wait` if
    /// there are no other calls.
    pub wait: Option<Duration>,
    /// Calls a minute.
    pub limit: u32,
    /// Calls that would pass right now, after this one.
    pub remaining: u32,
    /// Until the quota is whole again.
    pub reset: Duration,
}

/// The use of one organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Token bucket: theoretical arrival time, in nanoseconds of the gateway's clock.
    Bucket(u64),
    /// Strict: the moments of the calls of the last 60 s, oldest first; at most
    /// `requests_per_minute` of them. Boxed, so that the many cells that are buckets stay small.
    Window(Box<VecDeque<u64>>),
}

impl Quota {
    /// A quota of `requests_per_minute` with a bucket that holds `burst`; `strict` counts a sliding
    /// 60 s instead.
    pub const fn new(requests_per_minute: NonZeroU32, burst: NonZeroU32, strict: bool) -> Quota {
        Quota { requests_per_minute, burst, strict }
    }

    /// Calls a minute.
    pub const fn requests_per_minute(&self) -> u32 {
        self.requests_per_minute.get()
    }

    /// Calls that the bucket holds.
    pub const fn burst(&self) -> u32 {
        self.burst.get()
    }

    /// Whether a sliding 60 s is counted instead of a bucket.
    pub const fn is_strict(&self) -> bool {
        self.strict
    }

    /// Nanoseconds in which one call is gained. Rounded up, so that rounding never lets one call
    /// too many through.
    const fn emission_interval(&self) -> u64 {
        MINUTE_NS.div_ceil(self.requests_per_minute.get() as u64)
    }

    /// A cell that has used nothing.
    pub fn fresh(&self) -> Cell {
        if self.strict { Cell::Window(Box::default()) } else { Cell::Bucket(0) }
    }
}

impl Cell {
    /// Asks for one call at `now_ns`; counts it if it passes.
    ///
    /// A cell of the other kind (the policy changed between bucket and strict) is converted; the
    /// use stays.
    pub fn take(&mut self, quota: &Quota, now_ns: u64) -> Decision {
        if quota.strict != matches!(self, Cell::Window(_)) {
            *self = self.converted(quota, now_ns);
        }
        match self {
            Cell::Bucket(tat) => take_from_bucket(tat, quota, now_ns),
            Cell::Window(times) => take_from_window(times, quota, now_ns),
        }
    }

    /// The rest at `now_ns`, without asking for a call. A cell of the other kind is taken for a
    /// fresh one.
    pub fn look(&self, quota: &Quota, now_ns: u64) -> Decision {
        let limit = quota.requests_per_minute();
        let (remaining, reset) = match self {
            Cell::Bucket(tat) if !quota.strict => {
                let interval = quota.emission_interval();
                let capacity = interval.saturating_mul(u64::from(quota.burst()));
                let owed = tat.saturating_sub(now_ns).min(capacity);
                (u32::try_from((capacity - owed) / interval).unwrap_or(u32::MAX), owed)
            }
            Cell::Window(times) if quota.strict => {
                // Oldest first, so those that have left the window stand together.
                let gone = times.partition_point(|t| t.saturating_add(MINUTE_NS) <= now_ns);
                let last =
                    times.back().map_or(0, |t| t.saturating_add(MINUTE_NS).saturating_sub(now_ns));
                (limit.saturating_sub(u32::try_from(times.len() - gone).unwrap_or(u32::MAX)), last)
            }
            Cell::Bucket(_) | Cell::Window(_) => {
                (if quota.strict { limit } else { quota.burst() }, 0)
            }
        };
        Decision { wait: None, limit, remaining, reset: Duration::from_nanos(reset) }
    }

    /// The calls that a quota has used up now, and those that it has in all.
    pub fn used(&self, quota: &Quota, now_ns: u64) -> (u64, u64) {
        let most = if quota.strict { quota.requests_per_minute() } else { quota.burst() };
        let rest = self.look(quota, now_ns).remaining;
        (u64::from(most.saturating_sub(rest)), u64::from(most))
    }

    /// Gives back a call that was counted and then not made: another limit refused it.
    pub fn give_back(&mut self, quota: &Quota) {
        match self {
            Cell::Bucket(tat) => *tat = tat.saturating_sub(quota.emission_interval()),
            Cell::Window(times) => drop(times.pop_back()),
        }
    }

    /// Whether the cell says no more than a fresh one would, so that it may be forgotten.
    pub fn is_idle(&self, now_ns: u64) -> bool {
        match self {
            Cell::Bucket(tat) => *tat <= now_ns,
            Cell::Window(times) => {
                times.back().is_none_or(|last| last.saturating_add(MINUTE_NS) <= now_ns)
            }
        }
    }

    fn converted(&self, quota: &Quota, now_ns: u64) -> Cell {
        match self {
            Cell::Bucket(tat) => {
                let interval = quota.emission_interval();
                let used = tat
                    .saturating_sub(now_ns)
                    .div_ceil(interval)
                    .min(u64::from(quota.requests_per_minute()));
                Cell::Window(Box::new((0..used).map(|_| now_ns).collect()))
            }
            Cell::Window(times) => {
                let used =
                    times.iter().filter(|t| t.saturating_add(MINUTE_NS) > now_ns).count() as u64;
                Cell::Bucket(now_ns.saturating_add(used.saturating_mul(quota.emission_interval())))
            }
        }
    }
}

fn take_from_bucket(tat: &mut u64, quota: &Quota, now_ns: u64) -> Decision {
    let interval = quota.emission_interval();
    let capacity = interval.saturating_mul(u64::from(quota.burst.get()));
    // A smaller quota than before cannot owe more than all of itself.
    let start = (*tat).clamp(now_ns, now_ns.saturating_add(capacity));
    let after = start.saturating_add(interval);
    let wait = after.saturating_sub(now_ns.saturating_add(capacity));
    if wait == 0 {
        *tat = after;
    } else {
        *tat = start;
    }
    let owed = tat.saturating_sub(now_ns);
    Decision {
        wait: (wait > 0).then(|| Duration::from_nanos(wait)),
        limit: quota.requests_per_minute(),
        remaining: u32::try_from((capacity - owed.min(capacity)) / interval).unwrap_or(u32::MAX),
        reset: Duration::from_nanos(owed),
    }
}

fn take_from_window(times: &mut VecDeque<u64>, quota: &Quota, now_ns: u64) -> Decision {
    let limit = quota.requests_per_minute();
    while times.front().is_some_and(|t| t.saturating_add(MINUTE_NS) <= now_ns) {
        times.pop_front();
    }
    let over = (times.len() + 1).saturating_sub(limit as usize);
    let wait = match over {
        0 => {
            // Monotonic even if the clock is not, so that the front is always the oldest.
            times.push_back(times.back().map_or(now_ns, |last| now_ns.max(*last)));
            None
        }
        // A quota that was made smaller may have to see several calls leave the window.
        n => times.get(n - 1).map(|t| {
            Duration::from_nanos(t.saturating_add(MINUTE_NS).saturating_sub(now_ns).max(1))
        }),
    };
    let reset = times.back().map_or(0, |t| t.saturating_add(MINUTE_NS).saturating_sub(now_ns));
    Decision {
        wait,
        limit,
        remaining: limit.saturating_sub(u32::try_from(times.len()).unwrap_or(u32::MAX)),
        reset: Duration::from_nanos(reset),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: u64 = 1_000_000_000;

    fn quota(rpm: u32, burst: u32, strict: bool) -> Quota {
        Quota::new(
            NonZeroU32::new(rpm).expect("rpm"),
            NonZeroU32::new(burst).expect("burst"),
            strict,
        )
    }

    /// How many of `calls` at once pass at `now`.
    fn passed(cell: &mut Cell, q: &Quota, now: u64, calls: usize) -> usize {
        (0..calls).filter(|_| cell.take(q, now).wait.is_none()).count()
    }

    #[test]
    fn an_idle_organisation_may_spend_its_burst_and_then_one_a_second() {
        let q = quota(60, 60, false);
        let mut cell = q.fresh();
        assert_eq!(passed(&mut cell, &q, 100 * S, 200), 60);
        let refused = cell.take(&q, 100 * S);
        assert_eq!(refused.wait, Some(Duration::from_secs(1)));
        assert_eq!(
            (refused.limit, refused.remaining, refused.reset),
            (60, 0, Duration::from_secs(60))
        );
        assert_eq!(passed(&mut cell, &q, 101 * S, 5), 1);
        // 60 at once and 59 refilled: the documented most of a first minute.
        let mut cell = q.fresh();
        let first = passed(&mut cell, &q, 0, 100);
        let rest: usize = (1..60).map(|s| passed(&mut cell, &q, s * S, 100)).sum();
        assert_eq!(first + rest, 119);
    }

    #[test]
    fn one_a_second_is_never_refused() {
        for strict in [false, true] {
            let q = quota(60, 60, strict);
            let mut cell = q.fresh();
            assert!((0..600).all(|s| cell.take(&q, s * S).wait.is_none()), "strict {strict}");
        }
    }

    #[test]
    fn a_changed_quota_does_not_refill() {
        let (old, small, large) =
            (quota(60, 60, false), quota(10, 10, false), quota(600, 600, false));
        let mut cell = old.fresh();
        assert_eq!(passed(&mut cell, &old, S, 60), 60);
        assert_eq!(passed(&mut cell, &small, S, 60), 0);
        assert_eq!(passed(&mut cell, &large, S, 60), 0);
        // And between the two kinds.
        let strict = quota(60, 60, true);
        assert_eq!(passed(&mut cell, &strict, S, 60), 0);
        assert_eq!(passed(&mut cell, &old, S, 60), 0);
    }

    #[test]
    fn the_wait_is_the_truth() {
        for q in [quota(7, 3, false), quota(7, 3, true), quota(60, 1, false)] {
            let mut cell = q.fresh();
            let mut now = 5 * S;
            for _ in 0..50 {
                while let Some(wait) = cell.take(&q, now).wait {
                    let wait = u64::try_from(wait.as_nanos()).expect("short");
                    assert!(cell.clone().take(&q, now + wait - 1).wait.is_some());
                    now += wait;
                }
            }
        }
    }

    #[test]
    fn a_call_that_is_given_back_was_never_made() {
        for strict in [false, true] {
            let q = quota(60, 60, strict);
            let mut cell = q.fresh();
            assert_eq!(passed(&mut cell, &q, S, 100), 60);
            cell.give_back(&q);
            assert_eq!(passed(&mut cell, &q, S, 100), 1, "strict {strict}");
        }
    }

    proptest! {
        /// A look finds the same as a request would, and changes nothing.
        #[test]
        fn a_look_is_as_good_as_asking(rpm in 1u32..50, burst in 1u32..50, strict: bool,
                                       steps in proptest::collection::vec(0u64..9_000_000_000, 1..100)) {
            let q = quota(rpm, burst, strict);
            let (mut cell, mut now) = (q.fresh(), S);
            for step in steps {
                now += step;
                let look = cell.look(&q, now);
                prop_assert_eq!(passed(&mut cell.clone(), &q, now, 60), look.remaining as usize);
                let asked = cell.take(&q, now);
                prop_assert_eq!(asked.wait.is_some(), look.remaining == 0);
                prop_assert_eq!(cell.look(&q, now), Decision { wait: None, ..asked });
            }
        }
    }

    #[test]
    fn a_full_cell_is_idle() {
        for strict in [false, true] {
            let q = quota(60, 60, strict);
            let mut cell = q.fresh();
            assert!(cell.is_idle(0));
            cell.take(&q, S);
            assert!(!cell.is_idle(S));
            assert!(cell.is_idle(62 * S));
        }
    }

    proptest! {
        /// Strict: in no 60 s do more than the limit pass. Bucket: never more than burst plus
        /// refill, counted exactly.
        #[test]
        fn never_one_call_over(rpm in 1u32..120, burst in 1u32..120, strict: bool,
                               steps in proptest::collection::vec(0u64..3_000_000_000, 1..400)) {
            let q = quota(rpm, burst, strict);
            let mut cell = q.fresh();
            let (mut now, mut passed) = (S, Vec::new());
            for step in steps {
                now += step;
                if cell.take(&q, now).wait.is_none() { passed.push(now); }
            }
            for (i, from) in passed.iter().enumerate() {
                for (j, to) in passed.iter().enumerate().skip(i) {
                    let span = to - from;
                    let most = if strict {
                        if span >= MINUTE_NS { continue }
                        u128::from(rpm)
                    } else {
                        u128::from(burst) + u128::from(span) * u128::from(rpm) / u128::from(MINUTE_NS)
                    };
                    prop_assert!((j - i + 1) as u128 <= most, "{} calls in {} ns", j - i + 1, span);
                }
            }
        }
    }
}
