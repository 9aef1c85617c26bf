//! Results that are fetched later, by their ids.
//!
//! An id is random and known to its caller only; for another organisation it does not exist.
//!
//! Guarantees: at most [`INTENT_RESULTS_MAX`] results, each for [`INTENTS_KEPT_FOR`] after its
//! ticket came; at the bound the oldest finished one goes. Does not outlive the process.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;
use tokio::time::Instant;

use super::flights::{ResultReceiver, TicketResult};
use super::ticket::TicketId;
use crate::bounds::{INTENT_RESULTS_MAX, INTENTS_KEPT_FOR};
use crate::ids::OrgId;
use crate::lock::lock;

/// Length of an id, and its beginning.
const ID_BYTES: usize = 28;
const ID_BEGINS: &str = "int_";

/// Completes a result.
pub type Sender = watch::Sender<Option<TicketResult>>;

/// Results by their ids.
#[derive(Default)]
pub struct Results {
    slots: Mutex<HashMap<String, Slot>>,
}

struct Slot {
    org: OrgId,
    /// The ticket's own id.
    ticket: Option<TicketId>,
    receiver: ResultReceiver,
    begun: Instant,
}

impl Slot {
    fn is_over(&self) -> bool {
        self.receiver.borrow().is_some() || self.receiver.has_changed().is_err()
    }

    fn is_old(&self) -> bool {
        self.begun.elapsed() >= INTENTS_KEPT_FOR && self.is_over()
    }
}

impl Results {
    /// A new id of an organisation, and the two ends of its result. `None` at the bound, if no
    /// result is finished.
    pub fn begin(
        &self,
        org: &OrgId,
        ticket: Option<&TicketId>,
    ) -> Option<(String, Sender, ResultReceiver)> {
        let mut slots = lock(&self.slots);
        if slots.len() >= INTENT_RESULTS_MAX {
            slots.retain(|_, slot| !slot.is_old());
        }
        if slots.len() >= INTENT_RESULTS_MAX {
            let over = slots.iter().filter(|(_, slot)| slot.is_over());
            let oldest = over.min_by_key(|(_, slot)| slot.begun).map(|(id, _)| id.clone())?;
            slots.remove(&oldest);
        }
        let (sender, receiver) = watch::channel(None);
        let mut id = ID_BEGINS.to_owned();
        id.extend(std::iter::repeat_with(random).take(ID_BYTES - ID_BEGINS.len()));
        let slot = Slot {
            org: org.clone(),
            ticket: ticket.cloned(),
            receiver: receiver.clone(),
            begun: Instant::now(),
        };
        slots.insert(id.clone(), slot);
        Some((id, sender, receiver))
    }

    /// The result of an id of this organisation, and the ticket's own id.
    pub fn find(&self, id: &str, org: &OrgId) -> Option<(ResultReceiver, Option<TicketId>)> {
        let slots = lock(&self.slots);
        let slot = slots.get(id).filter(|slot| slot.org == *org && !slot.is_old())?;
        Some((slot.receiver.clone(), slot.ticket.clone()))
    }

    /// Forgets an id that was not given out: its ticket was answered while its caller waited.
    pub fn forget(&self, id: &str) {
        lock(&self.slots).remove(id);
    }
}

/// One of 62 letters and digits. 24 of them keep an id from being guessed by chance; its
/// organisation decides whether a caller may read the result.
fn random() -> char {
    fastrand::alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::pipeline::refusal::Refusal;

    fn late() -> TicketResult {
        Err(Refusal::new(Code::ProviderTimeout, "late"))
    }

    fn org(name: &str) -> OrgId {
        OrgId::new(name).expect("name")
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_is_its_organisations_and_is_kept_for_a_while() {
        let results = Results::default();
        let (id, sender, _receiver) = results.begin(&org("a"), None).expect("room");
        assert_eq!((id.len(), &id[..4]), (ID_BYTES, "int_"));
        assert!(
            results.find(&id, &org("b")).is_none() && results.find("int_", &org("a")).is_none()
        );
        tokio::time::advance(2 * INTENTS_KEPT_FOR).await;
        // A ticket at work stays.
        assert!(results.find(&id, &org("a")).expect("kept").0.borrow().is_none());
        sender.send(Some(late())).expect("kept");
        assert!(results.find(&id, &org("a")).is_none());

        let (id, sender, _receiver) = results.begin(&org("a"), None).expect("room");
        sender.send(Some(late())).expect("kept");
        assert!(results.find(&id, &org("a")).expect("kept").0.borrow().is_some());
        results.forget(&id);
        assert!(results.find(&id, &org("a")).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn results_are_bounded_and_the_oldest_finished_one_goes() {
        let results = Results::default();
        let mut open = Vec::new();
        for _ in 0..INTENT_RESULTS_MAX {
            open.push(results.begin(&org("a"), None).expect("room"));
        }
        assert!(results.begin(&org("a"), None).is_none(), "everything is at work");
        let (id, sender, receiver) = open.swap_remove(7);
        sender.send(Some(late())).expect("kept");
        assert!(results.begin(&org("b"), None).is_some());
        assert!(results.find(&id, &org("a")).is_none());
        drop(receiver);
    }
}
