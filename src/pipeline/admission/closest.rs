//! The limits that are closest to exhaustion, for operators.
//!
//! Looks at everything that is counted in this process, a part of the map at a time; calls wait at
//! most for such a part. Guarantees: the list is bounded, the fullest first; a limit that the
//! policy no longer has is not in it. Does not: ask a store that replicas share (this process
//! counts the calls that it admitted itself).

use crate::clock::Nanos;
use crate::config::policy::Policy;
use crate::ids::OrgId;
use crate::limit::caps::{Scope, Which};
use crate::limit::meters::moment;

use super::counters::Counters;

/// The use of one limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) org: OrgId,
    pub(crate) scope: Scope,
    which: Which,
    /// Calls, tokens or 10⁻⁹ USD.
    pub(crate) used: u64,
    pub(crate) most: u64,
}

impl Used {
    /// The used part of the limit.
    pub(crate) fn share(&self) -> f64 {
        self.used as f64 / self.most.max(1) as f64
    }

    /// The key of the limit in the policy.
    pub(crate) fn limit(&self) -> &'static str {
        self.which.as_str()
    }

    /// Whether it is an amount, in 10⁻⁹ USD.
    pub(crate) fn is_money(&self) -> bool {
        matches!(self.which, Which::UsdPerDay | Which::UsdPerMonth)
    }
}

/// The fullest so far.
struct Fullest {
    all: Vec<Used>,
    most: usize,
}

impl Fullest {
    fn add(&mut self, found: Used) {
        if found.used == 0 {
            return;
        }
        self.all.push(found);
        if self.all.len() >= 2 * self.most.max(1) {
            self.sort();
        }
    }

    fn sort(&mut self) {
        let key = |used: &Used| (used.org.clone(), used.scope.name().to_owned());
        self.all.sort_by(|a, b| b.share().total_cmp(&a.share()).then_with(|| key(a).cmp(&key(b))));
        self.all.truncate(self.most);
    }
}

impl Counters {
    /// The limits with the largest used part, at most `most`. Looks at all that is counted: call it
    /// where it may take a moment.
    pub(crate) fn closest(
        &self,
        policy: &Policy,
        now: Nanos,
        wall_ms: i64,
        most: usize,
    ) -> Vec<Used> {
        let mut fullest = Fullest { all: Vec::new(), most };
        self.limiter.each(|org, cell| {
            let (used, most) = cell.used(&policy.limits.requests.of(org).quota, now.0);
            let (org, scope, which) = (org.clone(), Scope::Org, Which::Requests);
            fullest.add(Used { org, scope, which, used, most });
        });
        let at = moment(now, wall_ms);
        self.meters.each(|subject, meter| {
            let limits = policy.limits.more.as_ref().map(|more| more.of(&subject.org));
            let Some(caps) = limits.and_then(|limits| limits.caps_of(&subject.scope)) else {
                return;
            };
            for (which, used, most) in meter.used(caps, at) {
                let (org, scope) = (subject.org.clone(), subject.scope.clone());
                fullest.add(Used { org, scope, which, used, most });
            }
        });
        fullest.sort();
        fullest.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_fullest_are_kept() {
        let used = |n: u64| Used {
            org: OrgId::new(&format!("org-{n}")).expect("a name"),
            scope: Scope::Org,
            which: Which::Tokens,
            used: n % 50,
            most: 100,
        };
        let mut fullest = Fullest { all: Vec::new(), most: 3 };
        (0..200).for_each(|n| fullest.add(used(n)));
        fullest.sort();
        let found: Vec<(&str, u64)> =
            fullest.all.iter().map(|used| (used.org.as_str(), used.used)).collect();
        assert_eq!(found, [("org-149", 49), ("org-199", 49), ("org-49", 49)]);
        let mut empty = Fullest { all: Vec::new(), most: 3 };
        empty.add(used(50));
        assert!(empty.all.is_empty(), "what is not used is not close");
    }
}
