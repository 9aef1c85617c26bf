//! Tickets in progress and results that came late: the same ticket is asked about once.
//!
//! A flight is the work on one ticket of one organisation. The first caller leads it; callers that
//! come while it is in progress get its result; the result of work that outlives its caller is kept
//! for the next caller. The key is a digest of organisation, ticket and question, so that nothing
//! of a ticket is kept in clear and a changed prompt is a new question.
//!
//! Guarantees: one leader for one key; at most [`INTENTS_KEPT_MAX`] results, each for
//! [`INTENTS_KEPT_FOR`], of which the oldest goes first; a leader that is dropped lets the next
//! caller lead. There are at most as many flights as calls in flight. Does not do the work (see
//! `work`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::ticket::{IntentRequest, IntentResponse};
use crate::bounds::{INTENTS_KEPT_FOR, INTENTS_KEPT_MAX};
use crate::lock::lock;
use crate::pipeline::refusal::Refusal;

/// A ticket of an organisation and a way of asking, as a digest.
pub type Key = [u8; 32];

/// The classification of a ticket, and the provider that gave it.
#[derive(Clone, Debug, PartialEq)]
pub struct Classification {
    pub intent: IntentResponse,
    pub provider: Arc<str>,
    pub response_model: String,
}

/// The result of the work on a ticket.
pub type TicketResult = Result<Classification, Refusal>;

/// Receives the result of a flight; closed without one if its leader was dropped.
pub type ResultReceiver = watch::Receiver<Option<TicketResult>>;

/// The state of a ticket when a caller joins.
pub enum Joined {
    /// The work is this caller's.
    Lead(Leader),
    /// Another caller does the work.
    Follow(ResultReceiver),
    /// A result was kept.
    Done(Classification),
}

/// Tickets in progress, and results that were kept.
#[derive(Default)]
pub struct Flights {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
}

enum Slot {
    InProgress(ResultReceiver),
    Done(Classification, Instant),
}

/// The right to work on a ticket. Dropping it without a result lets the next caller lead.
pub struct Leader {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
    key: Key,
    sender: watch::Sender<Option<TicketResult>>,
}

impl Flights {
    /// The key of a ticket under a question, which is known by its digest.
    pub fn key(request: &IntentRequest, question: &[u8; 32]) -> Key {
        let mut digest = Context::new(&SHA256);
        digest.update(question);
        for part in [request.org_id.as_str(), &request.title, &request.body] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest.finish().as_ref());
        key
    }

    /// Joins the work on a ticket, or begins it.
    pub fn join(&self, key: Key) -> Joined {
        let mut slots = lock(&self.slots);
        match slots.get(&key) {
            Some(Slot::InProgress(receiver)) => return Joined::Follow(receiver.clone()),
            Some(Slot::Done(result, at)) if at.elapsed() < INTENTS_KEPT_FOR => {
                return Joined::Done(result.clone());
            }
            Some(Slot::Done(..)) | None => {}
        }
        let (sender, receiver) = watch::channel(None);
        slots.insert(key, Slot::InProgress(receiver));
        Joined::Lead(Leader { slots: Arc::clone(&self.slots), key, sender })
    }
}

impl Leader {
    /// Completes the flight: the followers get its result. With `keep`, later callers get it, too.
    pub fn complete(self, result: TicketResult, keep: bool) {
        if let (Ok(classification), true) = (&result, keep) {
            let mut slots = lock(&self.slots);
            make_room(&mut slots);
            slots.insert(self.key, Slot::Done(classification.clone(), Instant::now()));
        } else {
            lock(&self.slots).remove(&self.key);
        }
        // Without a receiver there is no follower.
        let _ = self.sender.send(Some(result));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        // After `complete` the slot is a result, gone, or the flight of the next caller.
        let is_own = matches!(
            slots.get(&self.key),
            Some(Slot::InProgress(receiver)) if self.sender.subscribe().same_channel(receiver)
        );
        if is_own {
            slots.remove(&self.key);
        }
    }
}

/// Waits for a result; `None` if there is none within `wait`, or if its leader was dropped.
pub async fn wait_for_result(
    receiver: &mut ResultReceiver,
    wait: Duration,
) -> Option<TicketResult> {
    let waited = tokio::time::timeout(wait, receiver.wait_for(Option::is_some)).await;
    waited.ok()?.ok()?.clone()
}

/// Forgets outdated results; at the bound, the oldest one.
fn make_room(slots: &mut HashMap<Key, Slot>) {
    let kept = |slot: &Slot| match slot {
        Slot::Done(_, at) => Some(*at),
        Slot::InProgress(_) => None,
    };
    if slots.values().filter_map(kept).count() < INTENTS_KEPT_MAX {
        return;
    }
    slots.retain(|_, slot| kept(slot).is_none_or(|at| at.elapsed() < INTENTS_KEPT_FOR));
    let ages = slots.iter().filter_map(|(key, slot)| Some((kept(slot)?, *key)));
    let ages: Vec<(Instant, Key)> = ages.collect();
    if ages.len() >= INTENTS_KEPT_MAX
        && let Some((_, oldest)) = ages.into_iter().min()
    {
        slots.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;
    use crate::ids::OrgId;

    fn finished(category: &str) -> Classification {
        let intent =
            IntentResponse { category: Some(category.into()), ..IntentResponse::default() };
        Classification { intent, provider: Arc::from("p"), response_model: String::new() }
    }

    fn lead(flights: &Flights, key: Key) -> Leader {
        match flights.join(key) {
            Joined::Lead(leader) => leader,
            _ => panic!("somebody leads already"),
        }
    }

    fn follow(flights: &Flights, key: Key) -> ResultReceiver {
        match flights.join(key) {
            Joined::Follow(receiver) => receiver,
            _ => panic!("nobody leads"),
        }
    }

    fn timed_out() -> TicketResult {
        Err(Refusal::new(Code::ProviderTimeout, "late"))
    }

    /// The result that a follower has received.
    fn received(receiver: &ResultReceiver) -> Option<Result<Classification, Code>> {
        receiver.borrow().clone().map(|result| result.map_err(|refusal| refusal.code))
    }

    #[test]
    fn one_leads_and_the_others_get_the_same_end() {
        let flights = Flights::default();
        let leader = lead(&flights, [1; 32]);
        let (first, second) = (follow(&flights, [1; 32]), follow(&flights, [1; 32]));
        leader.complete(Ok(finished("a")), false);
        assert_eq!(received(&first), Some(Ok(finished("a"))));
        assert_eq!(received(&second), Some(Ok(finished("a"))));
        // Nothing is kept of what its own caller got.
        let leader = lead(&flights, [1; 32]);
        let third = follow(&flights, [1; 32]);
        leader.complete(timed_out(), true);
        assert_eq!(received(&third), Some(Err(Code::ProviderTimeout)));
        drop(lead(&flights, [1; 32]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_a_while() {
        let flights = Flights::default();
        lead(&flights, [1; 32]).complete(Ok(finished("a")), true);
        assert!(matches!(flights.join([1; 32]), Joined::Done(kept) if kept == finished("a")));
        drop(lead(&flights, [2; 32]));
        tokio::time::advance(INTENTS_KEPT_FOR).await;
        drop(lead(&flights, [1; 32]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_leader_makes_room_for_the_next() {
        let flights = Flights::default();
        let leader = lead(&flights, [1; 32]);
        let mut left = follow(&flights, [1; 32]);
        drop(leader);
        assert!(left.wait_for(Option::is_some).await.is_err());
        let next = lead(&flights, [1; 32]);
        drop(follow(&flights, [1; 32]));
        next.complete(Ok(finished("b")), false);
    }

    #[tokio::test(start_paused = true)]
    async fn the_answers_kept_are_bounded_and_the_oldest_goes() {
        let flights = Flights::default();
        let key = |n: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&(n as u64).to_le_bytes());
            key
        };
        for n in 0..=INTENTS_KEPT_MAX {
            lead(&flights, key(n)).complete(Ok(finished("a")), true);
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        drop(lead(&flights, key(0)));
        assert!(matches!(flights.join(key(1)), Joined::Done(_)));
        assert!(matches!(flights.join(key(INTENTS_KEPT_MAX)), Joined::Done(_)));
    }

    #[test]
    fn keys_tell_tickets_organisations_and_questions_apart() {
        let ask = |org: &str, title: &str, body: &str| {
            let org_id = OrgId::new(org).expect("name");
            Flights::key(
                &IntentRequest { title: title.into(), body: body.into(), org_id },
                &[0; 32],
            )
        };
        let a = ask("a", "x", "y");
        assert_eq!(a, ask("a", "x", "y"));
        assert_ne!(a, ask("b", "x", "y"));
        assert_ne!(a, ask("a", "xy", ""));
        let request = IntentRequest {
            title: "x".into(),
            body: "y".into(),
            org_id: OrgId::new("a").expect("name"),
        };
        assert_ne!(a, Flights::key(&request, &[1; 32]));
    }
}
