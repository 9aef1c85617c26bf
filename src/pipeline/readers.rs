//! Calls whose request body is being read, and which of them is given up when a party has no room
//! for another.
//!
//! Stages 4 and 6 of the walk. A call enters here at its head and leaves when its body (or the
//! beginning that is gathered) has come; only then it takes a place among the calls in flight, so
//! that slow bodies hold none. Promises: a body that is there at once costs no lock; a newcomer
//! takes the room of a body of its own party that comes too slowly, the one that began to wait
//! first. Does not: end a body that comes at its rate (see `rate`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};

use tokio::time::Instant;

use crate::bounds::SLOW_BODIES_LOOKED_AT;
use crate::lock::lock;
use crate::share::{Held, Party, Share, Short};

/// The readers that wait for their clients.
#[derive(Debug, Default)]
pub struct Readers(Mutex<Registry>);

#[derive(Debug, Default)]
struct Registry {
    waiting: BTreeMap<Key, Arc<Mutex<Waiting>>>,
    next: u64,
}

/// A party, the part of it, and a number that grows.
type Key = (usize, usize, u64);

/// A reader that waits.
#[derive(Debug)]
struct Waiting {
    /// Absent once it was given up.
    held: Option<Held>,
    /// Absent while something of the body is there to be read.
    slow_from: Option<Instant>,
    waker: Option<Waker>,
}

/// One call's room while its body is read.
#[derive(Debug)]
pub struct Entry {
    readers: Arc<Readers>,
    party: Arc<Party>,
    room: Room,
}

#[derive(Debug)]
enum Room {
    Held(Held),
    /// It has waited at least once.
    Listed(Key, Arc<Mutex<Waiting>>),
}

impl Readers {
    /// Room for another body of `party`, of its `share`.
    ///
    /// # Errors
    /// There is none, and no body of the party comes too slowly.
    pub fn enter(self: &Arc<Readers>, share: &Share, party: &Arc<Party>) -> Result<Entry, Short> {
        let held = share.take_one().or_else(|short| {
            // The one that is given up makes room: it is dropped first.
            self.give_up_one(party, short == Short::Part, Instant::now()).map(drop).ok_or(short)?;
            share.take_one()
        })?;
        Ok(Entry { readers: Arc::clone(self), party: Arc::clone(party), room: Room::Held(held) })
    }

    /// Takes the room of a slow body of a party, or of this part of it.
    fn give_up_one(&self, party: &Party, of_part: bool, now: Instant) -> Option<Held> {
        let (whole, part) = (id(party.whole()), id(party));
        let (first, last) = if of_part { (part, part) } else { (0, usize::MAX) };
        let mut registry = lock(&self.0);
        let candidates = registry
            .waiting
            .range((whole, first, 0)..=(whole, last, u64::MAX))
            .take(SLOW_BODIES_LOOKED_AT);
        let slow = candidates.filter(|(_, waiting)| {
            let waiting = lock(waiting);
            waiting.held.is_some() && waiting.slow_from.is_some_and(|from| from <= now)
        });
        let key = slow.map(|(key, _)| *key).min_by_key(|(.., number)| *number)?;
        let waiting = registry.waiting.remove(&key)?;
        drop(registry);
        let mut waiting = lock(&waiting);
        waiting.waker.take().into_iter().for_each(Waker::wake);
        waiting.held.take()
    }
}

/// A party, for as long as one of its readers is here.
fn id(party: &Party) -> usize {
    std::ptr::from_ref(party) as usize
}

impl Entry {
    /// The body is waited for, and comes too slowly `slow_from` then on. `false`: it was given up
    /// for another.
    pub fn waits(&mut self, cx: &Context<'_>, slow_from: Instant) -> bool {
        if let Room::Listed(_, waiting) = &self.room {
            let mut waiting = lock(waiting);
            waiting.slow_from = Some(slow_from);
            match &mut waiting.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
            return waiting.held.is_some();
        }
        let waiting =
            Waiting { held: None, slow_from: Some(slow_from), waker: Some(cx.waker().clone()) };
        let waiting = Arc::new(Mutex::new(waiting));
        let mut registry = lock(&self.readers.0);
        registry.next += 1;
        let key = (id(self.party.whole()), id(&self.party), registry.next);
        if let Room::Held(held) =
            std::mem::replace(&mut self.room, Room::Listed(key, Arc::clone(&waiting)))
        {
            lock(&waiting).held = Some(held);
        }
        registry.waiting.insert(key, waiting);
        true
    }

    /// Something has come: it is not slow while that is read. `false`: too late, it was given up
    /// for another.
    pub fn came(&self) -> bool {
        match &self.room {
            Room::Held(_) => true,
            Room::Listed(_, waiting) => {
                let mut waiting = lock(waiting);
                waiting.slow_from = None;
                waiting.held.is_some()
            }
        }
    }

    /// Whether it was given up for another.
    pub fn is_given_up(&self) -> bool {
        match &self.room {
            Room::Held(_) => false,
            Room::Listed(_, waiting) => lock(waiting).held.is_none(),
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Room::Listed(key, _) = &self.room {
            lock(&self.readers.0).waiting.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::Metrics;
    use crate::share::{Pool, Resource};

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_room_of_the_slowest_of_its_own() {
        let pool = Pool::new(Resource::Readers, 40, &Metrics::new());
        let (readers, cx) = (Arc::new(Readers::default()), Context::from_waker(Waker::noop()));
        let (ours, theirs) = (Party::new(), Party::new());
        let (part, other) = (ours.part(), ours.part());
        let enter = |party: &Arc<Party>| readers.enter(&pool.of(party), party);
        let now = Instant::now();
        let mut slow: Vec<Entry> = std::iter::from_fn(|| enter(&part).ok()).collect();
        let mut victim = enter(&theirs).expect("room for others");
        assert!(slow.len() > 3 && victim.waits(&cx, now));
        // Those whose body is there are not given up, nor those that come at their rate.
        assert_eq!(enter(&part).err(), Some(Short::Part));
        for (n, reader) in slow.iter_mut().enumerate() {
            let slow_from = if n == 0 { now + Duration::from_secs(1) } else { now };
            assert!(reader.waits(&cx, slow_from));
        }
        assert!(slow[1].came(), "it is read now");
        let newcomer = enter(&part).expect("the room of the third");
        assert!(
            !slow[2].waits(&cx, now) && slow[2].is_given_up() && !slow[2].came(),
            "it has been told"
        );
        assert!(slow[0].waits(&cx, now) && slow[1].waits(&cx, now) && slow[3].waits(&cx, now));
        assert!(!victim.is_given_up());
        // The room of others is left alone, also that of another part, as long as the whole has
        // some left.
        let of_other = enter(&other).expect("one of the other part");
        assert_eq!(slow.iter().filter(|reader| reader.is_given_up()).count(), 1);
        assert!(!victim.is_given_up());
        drop((slow, victim, newcomer, of_other));
        assert!(lock(&readers.0).waiting.is_empty());
    }
}
