//! The buckets of all organisations: one map, bounded, kept across policy reloads.
//!
//! Stage 4 of the walk. Keyed by organisation and not part of the policy: otherwise every edit would refill every
//! bucket. Exact under concurrency, because a bucket is only touched under its shard's lock, which is held for the
//! arithmetic and nothing else.
//!
//! Promises: at most [`ORGS_MAX`](crate::bounds::ORGS_MAX) organisations; none that owes something is forgotten. Does
//! not: read a clock, or share with other processes.

use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;

use super::bucket::{Cell, Decision, Quota};
use crate::clock::Nanos;
use crate::ids::OrgId;

/// The buckets.
pub struct Limiter {
    cells: DashMap<OrgId, Cell>,
    orgs_max: usize,
    sweep: Sweep,
}

/// A million organisations are to fit: with the map's own bytes and a name of 12 letters at most 150 each
/// (`benches/limit.rs`).
const _: () = assert!(size_of::<(OrgId, Cell)>() <= 32);

/// When a full map was last searched for what may be forgotten. At the bound every newcomer would search it, so that a
/// flood of newcomers would do nothing else: once a second is enough.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    /// Nanoseconds of the gateway's clock.
    last: AtomicU64,
}

impl Sweep {
    const EVERY_NS: u64 = 1_000_000_000;

    /// Whether it is time; the one who is told so does it.
    pub(super) fn is_due(&self, now: Nanos) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || now.0.saturating_sub(last) >= Sweep::EVERY_NS;
        due && self.last.compare_exchange(last, now.0.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

/// No more organisations can be tracked, and none tracked is idle.
#[derive(Debug, PartialEq, Eq)]
pub struct Full;

impl Limiter {
    /// An empty map for at most `orgs_max` organisations.
    pub fn new(orgs_max: usize) -> Limiter {
        Limiter { cells: DashMap::new(), orgs_max, sweep: Sweep::default() }
    }

    /// Asks for one call of `org` under `quota`.
    ///
    /// # Errors
    /// [`Full`] for a newcomer at the bound.
    pub fn take(&self, org: &OrgId, quota: &Quota, now: Nanos) -> Result<Decision, Full> {
        if let Some(mut cell) = self.cells.get_mut(org) {
            return Ok(cell.take(quota, now.0));
        }
        if self.cells.len() >= self.orgs_max {
            if self.sweep.is_due(now) {
                self.forget_idle(now);
            }
            if self.cells.len() >= self.orgs_max {
                return Err(Full);
            }
        }
        let mut cell = self.cells.entry(org.clone()).or_insert_with(|| quota.fresh());
        Ok(cell.take(quota, now.0))
    }

    /// Gives back a call that passed here and that another limit refused.
    pub fn give_back(&self, org: &OrgId, quota: &Quota) {
        if let Some(mut cell) = self.cells.get_mut(org) {
            cell.give_back(quota);
        }
    }

    /// Drops every bucket that says no more than a fresh one would.
    pub fn forget_idle(&self, now: Nanos) {
        self.cells.retain(|_, cell| !cell.is_idle(now.0));
    }

    /// Organisations with a bucket.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether no organisation has one.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn quota(rpm: u32) -> Quota {
        let rpm = NonZeroU32::new(rpm).expect("rpm");
        Quota::new(rpm, rpm, false)
    }

    fn org(name: &str) -> OrgId {
        OrgId::new(name).expect("name")
    }

    #[test]
    fn many_threads_on_one_bucket_get_exactly_its_calls() {
        let (limiter, passed) = (Limiter::new(10), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..64 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let decision = limiter.take(&org("a"), &quota(60), Nanos(1)).expect("room");
                        if decision.wait.is_none() {
                            passed.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(passed.into_inner(), 60);
        assert!(limiter.take(&org("b"), &quota(60), Nanos(1)).expect("room").wait.is_none());
    }

    #[test]
    fn at_the_bound_only_idle_buckets_are_forgotten() {
        let limiter = Limiter::new(2);
        let minute = Nanos(60_000_000_000);
        for name in ["a", "b"] {
            limiter.take(&org(name), &quota(60), Nanos(1)).expect("room");
        }
        assert_eq!(limiter.take(&org("c"), &quota(60), Nanos(2)), Err(Full));
        for _ in 0..59 {
            limiter.take(&org("a"), &quota(60), Nanos(3)).expect("known");
        }
        // `b` has refilled after a second; `a` still owes most of a minute.
        let later = Nanos(2_000_000_000);
        assert!(limiter.take(&org("c"), &quota(60), later).is_ok());
        assert_eq!(limiter.take(&org("a"), &quota(60), later).expect("kept").remaining, 0);
        limiter.forget_idle(Nanos(minute.0 * 3));
        assert!(limiter.is_empty());
    }
}
