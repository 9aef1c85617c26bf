//! Intents that are fetched later: an id for each, and what has come of it.
//!
//! The id is random and known to its caller only; another organisation is told that there is none. Promises: at most
//! [`INTENT_RESULTS_MAX`] results, each for [`INTENTS_KEPT_FOR`] after it is there; at the bound the oldest finished one
//! goes. Does not: outlive the process.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;
use tokio::time::Instant;

use super::flights::{Ended, Landing};
use crate::bounds::{INTENT_RESULTS_MAX, INTENTS_KEPT_FOR};
use crate::ids::OrgId;
use crate::lock::lock;

/// Length of an id, and how it begins.
const ID_BYTES: usize = 28;
const ID_BEGINS: &str = "int_";

/// Results by their ids.
#[derive(Default)]
pub struct Results {
    slots: Mutex<HashMap<String, Slot>>,
}

struct Slot {
    org: OrgId,
    landing: Landing,
    begun: Instant,
}

impl Slot {
    fn is_over(&self) -> bool {
        self.landing.borrow().is_some() || self.landing.has_changed().is_err()
    }

    fn is_old(&self) -> bool {
        self.begun.elapsed() >= INTENTS_KEPT_FOR && self.is_over()
    }
}

impl Results {
    /// A new id of an organisation, and the hand that fills it in. `None` at the bound, with everything still at work.
    pub fn begin(&self, org: &OrgId) -> Option<(String, watch::Sender<Option<Ended>>, Landing)> {
        let mut slots = lock(&self.slots);
        if slots.len() >= INTENT_RESULTS_MAX {
            slots.retain(|_, slot| !slot.is_old());
        }
        if slots.len() >= INTENT_RESULTS_MAX {
            let over = slots.iter().filter(|(_, slot)| slot.is_over());
            let oldest = over.min_by_key(|(_, slot)| slot.begun).map(|(id, _)| id.clone())?;
            slots.remove(&oldest);
        }
        let (sender, landing) = watch::channel(None);
        let mut id = ID_BEGINS.to_owned();
        id.extend(std::iter::repeat_with(random).take(ID_BYTES - ID_BEGINS.len()));
        slots.insert(id.clone(), Slot { org: org.clone(), landing: landing.clone(), begun: Instant::now() });
        Some((id, sender, landing))
    }

    /// What has come, or will come, of an id of this organisation.
    pub fn find(&self, id: &str, org: &OrgId) -> Option<Landing> {
        let slots = lock(&self.slots);
        let slot = slots.get(id).filter(|slot| slot.org == *org && !slot.is_old())?;
        Some(slot.landing.clone())
    }

    /// Forgets an id that nobody was told: its ticket was answered while its caller waited.
    pub fn forget(&self, id: &str) {
        lock(&self.slots).remove(id);
    }
}

/// One of 62 letters and digits. 24 of them keep an id from being guessed by chance; who may read it is decided by its
/// organisation.
fn random() -> char {
    fastrand::alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::super::provider::IntentError;
    use super::*;

    fn org(name: &str) -> OrgId {
        OrgId::new(name).expect("name")
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_its_organisations_and_is_kept_for_a_while() {
        let results = Results::default();
        let (id, sender, _landing) = results.begin(&org("a")).expect("room");
        assert_eq!((id.len(), &id[..4]), (ID_BYTES, "int_"));
        assert!(results.find(&id, &org("b")).is_none() && results.find("int_", &org("a")).is_none());
        tokio::time::advance(2 * INTENTS_KEPT_FOR).await;
        // What is at work stays.
        assert!(results.find(&id, &org("a")).expect("kept").borrow().is_none());
        sender.send(Some(Err(IntentError::Timeout))).expect("kept");
        assert!(results.find(&id, &org("a")).is_none());

        let (id, sender, _landing) = results.begin(&org("a")).expect("room");
        sender.send(Some(Err(IntentError::Timeout))).expect("kept");
        assert!(results.find(&id, &org("a")).expect("kept").borrow().is_some());
        results.forget(&id);
        assert!(results.find(&id, &org("a")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_bounded_and_the_oldest_finished_one_goes() {
        let results = Results::default();
        let mut open = Vec::new();
        for _ in 0..INTENT_RESULTS_MAX {
            open.push(results.begin(&org("a")).expect("room"));
        }
        assert!(results.begin(&org("a")).is_none(), "everything is at work");
        let (id, sender, landing) = open.swap_remove(7);
        sender.send(Some(Err(IntentError::Timeout))).expect("kept");
        assert!(results.begin(&org("b")).is_some());
        assert!(results.find(&id, &org("a")).is_none());
        drop(landing);
    }
}
