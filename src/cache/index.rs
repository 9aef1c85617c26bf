//! Which answers are kept, for whom, how long, and which ones have to go.
//!
//! Pure. Guarantees: never more bytes than the policy allows on disk, for all together and for each
//! organisation, nor more than [`CACHE_MEMORY_BYTES_MAX`] in memory or [`CACHE_ENTRIES_MAX`]
//! answers; the organisation with the most bytes makes room, by the answer that it has not used for
//! the longest time, so that no organisation displaces those that keep less. Does not: touch files;
//! keys whose files have to go are in [`Index::take_doomed`].

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::key::Key;
use super::stored::Stored;
use crate::bounds::{CACHE_ENTRIES_MAX, CACHE_MEMORY_BYTES_MAX};
use crate::ids::OrgId;

/// All kept answers.
#[derive(Default)]
pub struct Index {
    entries: HashMap<Key, Entry>,
    orgs: HashMap<OrgId, Part>,
    /// Those in memory, by their last use.
    recent: BTreeMap<u64, Key>,
    disk_bytes: u64,
    memory_bytes: u64,
    /// Counts uses.
    uses: u64,
    doomed: HashSet<Key>,
}

struct Entry {
    org: OrgId,
    bytes: u64,
    expires_ms: i64,
    /// The count at its last use.
    used: u64,
    in_memory: Option<Arc<Stored>>,
}

/// The answers of one organisation.
#[derive(Default)]
struct Part {
    bytes: u64,
    by_use: BTreeMap<u64, Key>,
}

/// The room on disk.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// For all organisations together.
    pub bytes_max: u64,
    /// For the one that keeps an answer.
    pub org_bytes_max: u64,
}

/// The place of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    Memory(Arc<Stored>),
    Disk,
}

impl Index {
    /// Keeps an answer; what is too much goes. Returns whether it is kept.
    pub fn keep(&mut self, key: Key, stored: &Arc<Stored>, room: Room) -> bool {
        let Some(org) = OrgId::new(&stored.head.org) else { return false };
        if !self.know(key, org, (stored.bytes(), stored.head.expires_ms), room) {
            return false;
        }
        self.remember(&key, stored);
        true
    }

    /// Notes an answer that is on disk, with its bytes and its end. Returns whether it is kept.
    pub fn know(
        &mut self,
        key: Key,
        org: OrgId,
        (bytes, expires_ms): (u64, i64),
        room: Room,
    ) -> bool {
        self.forget(&key);
        if bytes > room.bytes_max.min(room.org_bytes_max) {
            return false;
        }
        self.doomed.remove(&key);
        self.uses += 1;
        let part = self.orgs.entry(org.clone()).or_default();
        part.bytes += bytes;
        part.by_use.insert(self.uses, key);
        self.disk_bytes += bytes;
        let entry = Entry { org: org.clone(), bytes, expires_ms, used: self.uses, in_memory: None };
        self.entries.insert(key, entry);
        while self.orgs.get(&org).is_some_and(|part| part.bytes > room.org_bytes_max) {
            self.displace(&org);
        }
        self.shrink(room.bytes_max);
        self.entries.contains_key(&key)
    }

    /// Keeps an answer in memory, too.
    pub fn remember(&mut self, key: &Key, stored: &Arc<Stored>) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if entry.in_memory.is_none() {
            entry.in_memory = Some(Arc::clone(stored));
            self.memory_bytes += entry.bytes;
            self.recent.insert(entry.used, *key);
        }
        while self.memory_bytes > CACHE_MEMORY_BYTES_MAX as u64
            && let Some((_, key)) = self.recent.pop_first()
        {
            if let Some(entry) = self.entries.get_mut(&key)
                && entry.in_memory.take().is_some()
            {
                self.memory_bytes -= entry.bytes;
            }
        }
    }

    /// Where an answer is, if it is kept and still fresh.
    pub fn find(&mut self, key: &Key, now_ms: i64) -> Option<Place> {
        let entry = self.entries.get_mut(key)?;
        if entry.expires_ms <= now_ms {
            self.remove(key);
            return None;
        }
        self.uses += 1;
        let before = std::mem::replace(&mut entry.used, self.uses);
        if let Some(part) = self.orgs.get_mut(&entry.org) {
            part.by_use.remove(&before);
            part.by_use.insert(self.uses, *key);
        }
        Some(match &entry.in_memory {
            None => Place::Disk,
            Some(stored) => {
                self.recent.remove(&before);
                self.recent.insert(self.uses, *key);
                Place::Memory(Arc::clone(stored))
            }
        })
    }

    /// Whether an answer is kept.
    pub fn has(&self, key: &Key) -> bool {
        self.entries.contains_key(key)
    }

    /// Forgets an answer; its file has to go.
    pub fn remove(&mut self, key: &Key) {
        if self.forget(key) {
            self.doomed.insert(*key);
        }
    }

    /// Forgets all answers, or those of one organisation; returns how many there were.
    pub fn purge(&mut self, org: Option<&OrgId>) -> usize {
        let keys: Vec<Key> = match org {
            None => self.entries.keys().copied().collect(),
            Some(org) => {
                self.orgs.get(org).into_iter().flat_map(|p| p.by_use.values().copied()).collect()
            }
        };
        keys.iter().for_each(|key| self.remove(key));
        keys.len()
    }

    /// Forgets those that have ended, and those that are too much for all together.
    pub fn tend(&mut self, now_ms: i64, bytes_max: u64) {
        let ended = self.entries.iter().filter(|(_, entry)| entry.expires_ms <= now_ms);
        let ended: Vec<Key> = ended.map(|(key, _)| *key).collect();
        ended.iter().for_each(|key| self.remove(key));
        self.shrink(bytes_max);
    }

    /// The keys whose files have to go, once.
    pub fn take_doomed(&mut self) -> HashSet<Key> {
        std::mem::take(&mut self.doomed)
    }

    /// Kept answers, their bytes on disk and in memory.
    pub fn sizes(&self) -> (usize, u64, u64) {
        (self.entries.len(), self.disk_bytes, self.memory_bytes)
    }

    fn shrink(&mut self, bytes_max: u64) {
        while self.disk_bytes > bytes_max || self.entries.len() > CACHE_ENTRIES_MAX {
            let heaviest = self.orgs.iter().max_by_key(|(_, part)| part.bytes);
            let Some(org) = heaviest.map(|(org, _)| org.clone()) else { return };
            self.displace(&org);
        }
    }

    /// Removes the answer of an organisation that was not used for the longest time.
    fn displace(&mut self, org: &OrgId) {
        let oldest = self.orgs.get(org).and_then(|part| part.by_use.values().next().copied());
        if let Some(key) = oldest {
            self.remove(&key);
        }
    }

    fn forget(&mut self, key: &Key) -> bool {
        let Some(entry) = self.entries.remove(key) else { return false };
        self.disk_bytes -= entry.bytes;
        if entry.in_memory.is_some() {
            self.memory_bytes -= entry.bytes;
            self.recent.remove(&entry.used);
        }
        if let Some(part) = self.orgs.get_mut(&entry.org) {
            part.bytes -= entry.bytes;
            part.by_use.remove(&entry.used);
            if part.by_use.is_empty() {
                self.orgs.remove(&entry.org);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::stored::StoredHead;
    use super::*;

    const ROOM: Room = Room { bytes_max: 10_000, org_bytes_max: 10_000 };

    fn key(n: u8) -> Key {
        Key([n; 32])
    }

    /// An answer that takes `bytes`.
    fn stored(org: &str, bytes: u64, expires_ms: i64) -> Arc<Stored> {
        let head = StoredHead { org: org.to_owned(), expires_ms, ..StoredHead::default() };
        let body = Bytes::from(vec![0; usize::try_from(bytes).expect("short") - 512]);
        let stored = Stored { head, body };
        assert_eq!(stored.bytes(), bytes);
        Arc::new(stored)
    }

    #[test]
    fn answers_end_with_their_time() {
        let mut index = Index::default();
        let one = stored("a", 1_000, 50);
        assert!(index.keep(key(1), &one, ROOM));
        assert_eq!(index.find(&key(1), 49), Some(Place::Memory(one)));
        assert_eq!(index.find(&key(1), 50), None);
        assert_eq!(index.take_doomed(), HashSet::from([key(1)]));
        assert!(index.know(key(2), OrgId::new("a").expect("name"), (1_000, 90), ROOM));
        assert_eq!(index.find(&key(2), 50), Some(Place::Disk));
        index.tend(90, ROOM.bytes_max);
        assert_eq!((index.sizes(), index.take_doomed()), ((0, 0, 0), HashSet::from([key(2)])));
    }

    #[test]
    fn the_heaviest_organisation_makes_room_by_what_it_used_least() {
        let mut index = Index::default();
        assert!(index.keep(key(1), &stored("small", 2_000, 9), ROOM));
        for n in 2..6 {
            assert!(index.keep(key(n), &stored("large", 2_000, 9), ROOM));
        }
        assert!(index.find(&key(2), 1).is_some(), "used again");
        assert!(index.keep(key(6), &stored("large", 2_000, 9), ROOM));
        let kept: Vec<u8> = (1..=6).filter(|n| index.has(&key(*n))).collect();
        assert_eq!(kept, [1, 2, 4, 5, 6]);
        assert_eq!(index.sizes(), (5, 10_000, 10_000));
        // Of its own room an organisation cannot use more, and what fits nowhere is not kept.
        let narrow = Room { org_bytes_max: 2_500, ..ROOM };
        assert!(index.keep(key(7), &stored("small", 2_000, 9), narrow));
        assert!(!index.has(&key(1)));
        assert!(!index.keep(key(8), &stored("small", 3_000, 9), narrow));
        index.tend(1, 4_000);
        assert_eq!(index.sizes().0, 2);
        assert_eq!(index.purge(OrgId::new("small").as_ref()), 1);
        assert_eq!((index.purge(None), index.sizes()), (1, (0, 0, 0)));
    }

    #[test]
    fn a_key_that_comes_again_is_not_doomed() {
        let mut index = Index::default();
        index.keep(key(1), &stored("a", 1_000, 9), ROOM);
        index.remove(&key(1));
        assert!(index.keep(key(1), &stored("a", 1_500, 9), ROOM));
        assert!(index.keep(key(1), &stored("a", 1_200, 9), ROOM));
        assert_eq!((index.take_doomed(), index.sizes()), (HashSet::new(), (1, 1_200, 1_200)));
    }

    #[test]
    fn memory_has_a_bound_of_its_own() {
        let (mut index, all) = (Index::default(), CACHE_MEMORY_BYTES_MAX as u64);
        let room = Room { bytes_max: 10 * all, org_bytes_max: 10 * all };
        for n in 0..3 {
            assert!(index.keep(key(n), &stored("a", all / 2, 9), room));
        }
        assert_eq!(index.sizes(), (3, all / 2 * 3, all / 2 * 2));
        assert_eq!(index.find(&key(0), 1), Some(Place::Disk));
        index.remember(&key(0), &stored("a", all / 2, 9));
        assert_eq!(index.find(&key(1), 1), Some(Place::Disk));
        assert!(matches!(index.find(&key(0), 1), Some(Place::Memory(_))));
    }
}
