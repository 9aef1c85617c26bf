//! Tickets at work and answers that came late: the same ticket is asked about once.
//!
//! A flight is the work on one ticket of one organisation. Who comes first leads it; who comes while it is under way gets
//! its outcome; work that outlives its caller leaves its answer for whoever asks again. Keyed by a digest of organisation,
//! ticket and question, so that nothing of a ticket is kept in clear and a changed prompt is a new question.
//!
//! Promises: one leader for one key; at most [`INTENTS_KEPT_MAX`] answers, each for [`INTENTS_KEPT_FOR`], the oldest going
//! first; a leader that is dropped makes room for the next. Flights are as many as there are calls in flight. Does not: do
//! the work (see `pipeline/intent`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::provider::IntentError;
use super::ticket::{IntentRequest, IntentResponse};
use crate::bounds::{INTENTS_KEPT_FOR, INTENTS_KEPT_MAX};
use crate::lock::lock;

/// A ticket of an organisation and a way of asking, as a digest.
pub type Key = [u8; 32];

/// A finished intent, and who answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub intent: IntentResponse,
    pub provider: Arc<str>,
    pub response_model: String,
}

/// How a flight ended.
pub type Ended = Result<Finished, IntentError>;

/// Resolves to the end of a flight; closed without one if its leader was dropped.
pub type Landing = watch::Receiver<Option<Ended>>;

/// What there is to do about a ticket.
pub enum Joined {
    /// The work is this caller's.
    Lead(Leader),
    /// Somebody is at it.
    Follow(Landing),
    /// There is an answer.
    Done(Finished),
}

/// Tickets at work and finished.
#[derive(Default)]
pub struct Flights {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
}

enum Slot {
    Flying(Landing),
    Done(Finished, Instant),
}

/// The right to work on a ticket. Dropping it without an end lets the next caller lead.
pub struct Leader {
    slots: Arc<Mutex<HashMap<Key, Slot>>>,
    key: Key,
    landing: watch::Sender<Option<Ended>>,
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
            Some(Slot::Flying(landing)) => return Joined::Follow(landing.clone()),
            Some(Slot::Done(finished, at)) if at.elapsed() < INTENTS_KEPT_FOR => return Joined::Done(finished.clone()),
            Some(Slot::Done(..)) | None => {}
        }
        let (landing, receiver) = watch::channel(None);
        slots.insert(key, Slot::Flying(receiver));
        Joined::Lead(Leader { slots: Arc::clone(&self.slots), key, landing })
    }
}

impl Leader {
    /// The work is done: whoever waits gets its end. With `keep`, whoever asks later gets the answer too.
    pub fn land(self, ended: Ended, keep: bool) {
        if let (Ok(finished), true) = (&ended, keep) {
            let mut slots = lock(&self.slots);
            make_room(&mut slots);
            slots.insert(self.key, Slot::Done(finished.clone(), Instant::now()));
        } else {
            lock(&self.slots).remove(&self.key);
        }
        drop(self.landing.send(Some(ended)));
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let mut slots = lock(&self.slots);
        // After `land` the slot is an answer, gone, or the flight of the next caller.
        let ours = matches!(slots.get(&self.key), Some(Slot::Flying(landing)) if self.landing.subscribe().same_channel(landing));
        if ours {
            slots.remove(&self.key);
        }
    }
}

/// Forgets answers that are out of date; at the bound, the oldest one.
fn make_room(slots: &mut HashMap<Key, Slot>) {
    let kept = |slot: &Slot| match slot {
        Slot::Done(_, at) => Some(*at),
        Slot::Flying(_) => None,
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
    use crate::ids::OrgId;

    fn finished(category: &str) -> Finished {
        let intent = IntentResponse { category: Some(category.into()), ..IntentResponse::default() };
        Finished { intent, provider: Arc::from("p"), response_model: String::new() }
    }

    fn lead(flights: &Flights, key: Key) -> Leader {
        match flights.join(key) {
            Joined::Lead(leader) => leader,
            _ => panic!("somebody leads already"),
        }
    }

    fn follow(flights: &Flights, key: Key) -> Landing {
        match flights.join(key) {
            Joined::Follow(landing) => landing,
            _ => panic!("nobody leads"),
        }
    }

    #[test]
    fn one_leads_and_the_others_get_the_same_end() {
        let flights = Flights::default();
        let leader = lead(&flights, [1; 32]);
        let (first, second) = (follow(&flights, [1; 32]), follow(&flights, [1; 32]));
        leader.land(Ok(finished("a")), false);
        assert_eq!(*first.borrow(), Some(Ok(finished("a"))));
        assert_eq!(*second.borrow(), Some(Ok(finished("a"))));
        // Nothing is kept of what its own caller got.
        let leader = lead(&flights, [1; 32]);
        let third = follow(&flights, [1; 32]);
        leader.land(Err(IntentError::Timeout), true);
        assert_eq!(*third.borrow(), Some(Err(IntentError::Timeout)));
        drop(lead(&flights, [1; 32]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_kept_for_a_while() {
        let flights = Flights::default();
        lead(&flights, [1; 32]).land(Ok(finished("a")), true);
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
        next.land(Ok(finished("b")), false);
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
            lead(&flights, key(n)).land(Ok(finished("a")), true);
            tokio::time::advance(std::time::Duration::from_millis(1)).await;
        }
        drop(lead(&flights, key(0)));
        assert!(matches!(flights.join(key(1)), Joined::Done(_)));
        assert!(matches!(flights.join(key(INTENTS_KEPT_MAX)), Joined::Done(_)));
    }

    #[test]
    fn keys_tell_tickets_organisations_and_questions_apart() {
        let ask = |org: &str, title: &str, body: &str| {
            let org_id = OrgId::new(org).expect("name");
            Flights::key(&IntentRequest { title: title.into(), body: body.into(), org_id }, &[0; 32])
        };
        let a = ask("a", "x", "y");
        assert_eq!(a, ask("a", "x", "y"));
        assert_ne!(a, ask("b", "x", "y"));
        assert_ne!(a, ask("a", "xy", ""));
        let request = IntentRequest { title: "x".into(), body: "y".into(), org_id: OrgId::new("a").expect("name") };
        assert_ne!(a, Flights::key(&request, &[1; 32]));
    }
}
