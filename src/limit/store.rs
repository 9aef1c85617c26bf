//! The buckets of all organisations: one map, bounded, kept across policy reloads.
//!
//! Stage 4 of the walk. Keyed by organisation and not part of the policy: otherwise every edit
//! would refill every bucket. Exact under concurrency (see `bounded`).
//!
//! Guarantees: at most [`ORGS_MAX`](crate::bounds::ORGS_MAX) organisations; none that owes
//! something is forgotten. Does not: read a clock, or share with other processes.

use super::bounded::{Bounded, Sharded};
use super::bucket::{Cell, Decision, Quota};
use crate::clock::Nanos;
use crate::ids::OrgId;

pub use super::bounded::Full;

/// The buckets.
pub struct Limiter {
    cells: Bounded<OrgId, Cell, Sharded<OrgId, Cell>>,
}

/// A million organisations are to fit: with the map's own bytes and a name of 12 letters at most
/// 150 each (`benches/limit.rs`).
const _: () = assert!(size_of::<(OrgId, Cell)>() <= 32);

impl Limiter {
    /// An empty map for at most `orgs_max` organisations.
    pub fn new(orgs_max: usize) -> Limiter {
        Limiter { cells: Bounded::new(orgs_max) }
    }

    /// Asks for one call of `org` under `quota`.
    ///
    /// # Errors
    /// [`Full`] for a newcomer at the bound.
    pub fn take(&self, org: &OrgId, quota: &Quota, now: Nanos) -> Result<Decision, Full> {
        let mut cell =
            self.cells.get_or_make(org, now.0, || quota.fresh(), |cell| cell.is_idle(now.0))?;
        Ok(cell.take(quota, now.0))
    }

    /// The rest of an organisation's quota, without asking for a call.
    pub fn look(&self, org: &OrgId, quota: &Quota, now: Nanos) -> Decision {
        let known = self.cells.get(org).map(|cell| cell.look(quota, now.0));
        known.unwrap_or_else(|| quota.fresh().look(quota, now.0))
    }

    /// Shows the use of every organisation.
    pub fn each(&self, show: impl FnMut(&OrgId, &Cell)) {
        self.cells.each(show);
    }

    /// Gives back a call that passed here and that another limit refused.
    pub fn give_back(&self, org: &OrgId, quota: &Quota) {
        if let Some(mut cell) = self.cells.get(org) {
            cell.give_back(quota);
        }
    }

    /// Drops every bucket that says no more than a fresh one would.
    pub fn forget_idle(&self, now: Nanos) {
        self.cells.forget(&|cell| cell.is_idle(now.0));
    }

    /// Organisations with a bucket.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether no organisation has one.
    pub fn is_empty(&self) -> bool {
        self.cells.len() == 0
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
