//! Intents whose caller could not wait: they go on, and their answer is kept for the same ticket asked again.
//!
//! Keyed by a digest of organisation, title and body, so that nothing of a ticket is kept in clear. Promises: at most
//! [`INTENTS_KEPT_MAX`] answers, each for [`INTENTS_KEPT_FOR`]; at most [`INTENTS_BACKGROUND_MAX`] at work; one at work
//! for one ticket. Does not: do the work (see `pipeline/intent`).

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ticket::{Intent, Ticket};
use crate::bounds::{INTENTS_BACKGROUND_MAX, INTENTS_KEPT_FOR, INTENTS_KEPT_MAX};
use crate::ids::OrgId;

/// A ticket of an organisation, as a digest.
pub type Key = [u8; 32];

/// A finished intent, and who answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    pub intent: Intent,
    pub provider: Arc<str>,
    pub response_model: String,
}

/// What is known of a ticket.
pub enum Known {
    Nothing,
    /// At work; resolves to the answer, or to nothing if the work failed.
    Running(watch::Receiver<Option<Finished>>),
    Done(Finished),
}

/// Tickets at work and finished.
#[derive(Default)]
pub struct Kept {
    slots: Arc<DashMap<Key, Slot>>,
}

enum Slot {
    Running(watch::Receiver<Option<Finished>>),
    Done(Finished, Instant),
}

/// The right to work on a ticket in the background. Dropping it without an answer forgets the ticket.
pub struct Working {
    slots: Arc<DashMap<Key, Slot>>,
    key: Key,
    answer: watch::Sender<Option<Finished>>,
}

impl Kept {
    /// The key of a ticket.
    pub fn key(org: &OrgId, ticket: &Ticket) -> Key {
        let mut digest = Context::new(&SHA256);
        for part in [org.as_str(), &ticket.title, &ticket.body] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest.finish().as_ref());
        key
    }

    /// What is known of a ticket.
    pub fn known(&self, key: &Key) -> Known {
        match self.slots.get(key).as_deref() {
            Some(Slot::Running(receiver)) => Known::Running(receiver.clone()),
            Some(Slot::Done(finished, at)) if at.elapsed() < INTENTS_KEPT_FOR => Known::Done(finished.clone()),
            Some(Slot::Done(..)) | None => Known::Nothing,
        }
    }

    /// Asks to work on a ticket in the background. `None`: the bound is reached, or somebody is at it already.
    pub fn begin(&self, key: Key) -> Option<Working> {
        if self.slots.len() >= INTENTS_KEPT_MAX {
            self.slots.retain(|_, slot| match slot {
                Slot::Running(_) => true,
                Slot::Done(_, at) => at.elapsed() < INTENTS_KEPT_FOR,
            });
        }
        let running = self.slots.iter().filter(|s| matches!(s.value(), Slot::Running(_))).count();
        if self.slots.len() >= INTENTS_KEPT_MAX || running >= INTENTS_BACKGROUND_MAX {
            return None;
        }
        let (answer, receiver) = watch::channel(None);
        match self.slots.entry(key) {
            Entry::Occupied(slot) if matches!(slot.get(), Slot::Running(_)) => return None,
            Entry::Occupied(mut slot) => drop(slot.insert(Slot::Running(receiver))),
            Entry::Vacant(slot) => drop(slot.insert(Slot::Running(receiver))),
        }
        Some(Working { slots: Arc::clone(&self.slots), key, answer })
    }
}

impl Working {
    /// The work is done: whoever waits gets the answer, and whoever asks later too.
    pub fn finish(self, finished: Finished) {
        self.slots.insert(self.key, Slot::Done(finished.clone(), Instant::now()));
        drop(self.answer.send(Some(finished)));
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.slots.remove_if(&self.key, |_, slot| matches!(slot, Slot::Running(_)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> Key {
        [n; 32]
    }

    fn finished() -> Finished {
        Finished { intent: Intent::default(), provider: Arc::from("p"), response_model: String::new() }
    }

    #[test]
    fn one_at_work_for_one_ticket_and_its_answer_is_kept() {
        let kept = Kept::default();
        let working = kept.begin(key(1)).expect("free");
        assert!(kept.begin(key(1)).is_none());
        let Known::Running(receiver) = kept.known(&key(1)) else { panic!("running") };
        working.finish(finished());
        assert_eq!(*receiver.borrow(), Some(finished()));
        assert!(matches!(kept.known(&key(1)), Known::Done(_)));
    }

    #[test]
    fn failed_work_is_forgotten_and_the_number_at_work_is_bounded() {
        let kept = Kept::default();
        drop(kept.begin(key(1)));
        assert!(matches!(kept.known(&key(1)), Known::Nothing));
        let mut at_work = Vec::new();
        for n in 0..INTENTS_BACKGROUND_MAX {
            let mut k = key(0);
            k[..8].copy_from_slice(&(n as u64).to_le_bytes());
            at_work.push(kept.begin(k).expect("room"));
        }
        assert!(kept.begin(key(255)).is_none());
        at_work.pop();
        assert!(kept.begin(key(255)).is_some());
    }

    #[test]
    fn keys_tell_tickets_and_organisations_apart() {
        let ticket = |t: &str, b: &str| Ticket { title: t.into(), body: b.into() };
        let org = |n: &str| OrgId::new(n).expect("name");
        let a = Kept::key(&org("a"), &ticket("x", "y"));
        assert_eq!(a, Kept::key(&org("a"), &ticket("x", "y")));
        assert_ne!(a, Kept::key(&org("b"), &ticket("x", "y")));
        assert_ne!(a, Kept::key(&org("a"), &ticket("xy", "")));
    }
}
