//! The organisations that are refused most often: a bounded sketch over all of them.
//!
//! Touched only by calls that are refused for a limit. Guarantees: an organisation that has more
//! than one in [`SLOTS`] of all refusals is in it; a count is never too low and says by how much it
//! may be too high. Does not: remember every organisation.
//!
//! # Source
//! Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data
//! streams" (2005): Space-Saving.

use std::sync::Mutex;

use crate::ids::OrgId;
use crate::lock::lock;

/// Organisations that are followed at once.
pub const SLOTS: usize = 64;

/// The sketch.
#[derive(Debug, Default)]
pub struct Sketch {
    slots: Mutex<Vec<Counted>>,
}

/// An organisation and its refusals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Which.
    pub org: OrgId,
    /// At most so many.
    pub refused: u64,
    /// At least `refused - error`.
    pub error: u64,
}

impl Sketch {
    /// Counts a refusal.
    pub fn count(&self, org: &OrgId) {
        let mut slots = lock(&self.slots);
        if let Some(known) = slots.iter_mut().find(|slot| slot.org == *org) {
            known.refused += 1;
        } else if slots.len() < SLOTS {
            slots.push(Counted { org: org.clone(), refused: 1, error: 0 });
        } else if let Some(least) = slots.iter_mut().min_by_key(|slot| slot.refused) {
            // The newcomer may have had as many as the one it replaces.
            *least = Counted { org: org.clone(), refused: least.refused + 1, error: least.refused };
        }
    }

    /// The most refused ones, most first.
    pub fn top(&self, most: usize) -> Vec<Counted> {
        let mut slots = lock(&self.slots).clone();
        slots.sort_by(|a, b| b.refused.cmp(&a.refused).then_with(|| a.org.cmp(&b.org)));
        slots.truncate(most);
        slots
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against exact counts: never too low, too high by no more than it says, and no
        /// organisation frequent is missing.
        #[test]
        fn frequent_organisations_are_found(orgs in proptest::collection::vec(0u32..400, 0..3_000)) {
            let (sketch, mut exact) = (Sketch::default(), HashMap::new());
            for org in &orgs {
                // The square makes some far more frequent than others.
                let org = OrgId::new(&format!("o{}", org * org / 400)).expect("name");
                sketch.count(&org);
                *exact.entry(org).or_insert(0u64) += 1;
            }
            let top = sketch.top(SLOTS);
            for counted in &top {
                let truth = exact[&counted.org];
                prop_assert!(counted.refused >= truth && counted.refused - counted.error <= truth);
            }
            for (org, truth) in exact {
                let frequent = truth > orgs.len() as u64 / SLOTS as u64;
                prop_assert!(!frequent || top.iter().any(|counted| counted.org == org));
            }
        }
    }
}
