//! Calls that this gateway holds of organisations' buckets and may spend without asking the store.
//!
//! Guarantees: an expired lease is not spent, and its rest is given back. The store decides how
//! much may be leased, for all gateways together, so the error is bounded by the policy
//! (`limits.lease_percent`) for any number of them.
//!
//! # Bounds
//! [`LEASES_MAX`](crate::bounds::LEASES_MAX) organisations; above it the store is asked for every
//! call.

use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::bounds::{LEASE_LASTS, LEASES_MAX};
use crate::clock::Nanos;
use crate::ids::OrgId;
use crate::limit::bucket::Decision;

/// The leases of this gateway.
#[derive(Debug, Default)]
pub struct Leases {
    map: DashMap<OrgId, Lease>,
}

#[derive(Clone, Debug)]
struct Lease {
    left: u32,
    until: Nanos,
    /// Another call is asking for the next lease, and should have it by then.
    asking_until: Nanos,
    /// The store's decision when it was granted.
    decision: Decision,
}

/// The result of a look at the leases.
#[derive(Debug, PartialEq, Eq)]
pub enum Look {
    /// The call passes on the lease.
    Pass(Decision),
    /// Ask the store for a lease; so many calls of the last one go back.
    Ask { unspent: u32 },
    /// Ask the store for this call alone: another call is asking for a lease.
    Alone,
}

impl Leases {
    /// Spends a call of the lease, or returns the alternative.
    pub fn take(&self, org: &OrgId, now: Nanos, asking: Duration) -> Look {
        let asking_until =
            Nanos(now.0.saturating_add(u64::try_from(asking.as_nanos()).unwrap_or(u64::MAX)));
        if let Some(mut lease) = self.map.get_mut(org) {
            if lease.left > 0 && now < lease.until {
                lease.left -= 1;
                let remaining = lease.decision.remaining.saturating_add(lease.left);
                return Look::Pass(Decision { remaining, ..lease.decision });
            }
            if now < lease.asking_until {
                return Look::Alone;
            }
            lease.asking_until = asking_until;
            return Look::Ask { unspent: std::mem::take(&mut lease.left) };
        }
        if self.map.len() >= LEASES_MAX {
            return Look::Alone;
        }
        let decision = Decision { wait: None, limit: 0, remaining: 0, reset: Duration::ZERO };
        match self.map.entry(org.clone()) {
            Entry::Occupied(_) => Look::Alone,
            Entry::Vacant(entry) => {
                entry.insert(Lease { left: 0, until: now, asking_until, decision });
                Look::Ask { unspent: 0 }
            }
        }
    }

    /// The store granted `left` more calls, asked for at `asked_at`.
    pub fn granted(&self, org: &OrgId, left: u32, decision: Decision, asked_at: Nanos) {
        if let Some(mut lease) = self.map.get_mut(org) {
            lease.left = lease.left.saturating_add(left);
            // Counted from before the question was sent, so that it ends here before it ends in the
            // store.
            lease.until = Nanos(asked_at.0 + LEASE_LASTS.as_nanos() as u64);
            lease.asking_until = Nanos(0);
            lease.decision = decision;
        }
    }

    /// Leases that have run out and have calls left: how many, and of how many a minute. All that
    /// have run out are forgotten here.
    pub fn ended(&self, now: Nanos) -> Vec<(OrgId, u32, u32)> {
        let mut ended = Vec::new();
        self.map.retain(|org, lease| {
            let over = now >= lease.until && now >= lease.asking_until;
            if over && lease.left > 0 {
                ended.push((org.clone(), lease.left, lease.decision.limit));
            }
            !over
        });
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_spent_once_and_not_after_its_end() {
        let (leases, org) = (Leases::default(), OrgId::new("acme").expect("name"));
        let ask = |now| leases.take(&org, Nanos(now), Duration::from_nanos(100));
        let decision = Decision { wait: None, limit: 1_000, remaining: 50, reset: Duration::ZERO };
        assert_eq!(ask(1_000), Look::Ask { unspent: 0 });
        assert_eq!(ask(1_001), Look::Alone);
        leases.granted(&org, 2, decision, Nanos(1_000));
        assert_eq!(ask(1_002), Look::Pass(Decision { remaining: 51, ..decision }));
        assert!(leases.ended(Nanos(1_003)).is_empty());
        // Run out with one left: it goes back, once.
        let end = 1_000 + LEASE_LASTS.as_nanos() as u64;
        assert_eq!(ask(end), Look::Ask { unspent: 1 });
        assert!(leases.ended(Nanos(end + 1)).is_empty(), "its successor is being asked for");
        leases.granted(&org, 3, decision, Nanos(end));
        assert_eq!(
            leases.ended(Nanos(end + LEASE_LASTS.as_nanos() as u64)),
            [(org.clone(), 3, 1_000)]
        );
        assert_eq!(ask(end * 2), Look::Ask { unspent: 0 });
        // A call that asked and never returned is not waited for.
        assert_eq!(ask(end * 2 + 100), Look::Ask { unspent: 0 });
    }
}
