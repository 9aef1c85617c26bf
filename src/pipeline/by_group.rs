//! A queue in which turn groups take turns, however much one of them has put into it.
//!
//! Beside stages 6 and 11 of the walk. Pure. Guarantees: entries of one group leave in the order in
//! which they came, groups one after the other; an entry can be taken out before its time.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::turn_group::TurnGroup;

/// The queue.
pub struct ByGroup<T> {
    /// The number of the next entry.
    next: u64,
    entries: HashMap<TurnGroup, BTreeMap<u64, T>>,
    /// Groups that have entries, each once; the first is next.
    groups: VecDeque<TurnGroup>,
}

impl<T> Default for ByGroup<T> {
    fn default() -> ByGroup<T> {
        ByGroup { next: 0, entries: HashMap::new(), groups: VecDeque::new() }
    }
}

impl<T> ByGroup<T> {
    /// A number that no entry has.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Puts an entry at the end of its group.
    pub fn add(&mut self, group: TurnGroup, number: u64, entry: T) {
        let own = self.entries.entry(group).or_default();
        if own.is_empty() {
            self.groups.push_back(group);
        }
        own.insert(number, entry);
    }

    /// Takes the next entry: the first of the group whose turn it is.
    pub fn pop(&mut self) -> Option<(u64, T)> {
        while let Some(group) = self.groups.pop_front() {
            let Some(own) = self.entries.get_mut(&group) else { continue };
            let first = own.pop_first();
            if own.is_empty() {
                self.entries.remove(&group);
            } else {
                self.groups.push_back(group);
            }
            if first.is_some() {
                return first;
            }
        }
        None
    }

    /// An entry that is still here.
    pub fn get_mut(&mut self, group: TurnGroup, number: u64) -> Option<&mut T> {
        self.entries.get_mut(&group)?.get_mut(&number)
    }

    /// Takes an entry out, if it is still here.
    pub fn remove(&mut self, group: TurnGroup, number: u64) -> Option<T> {
        let own = self.entries.get_mut(&group)?;
        let entry = own.remove(&number);
        if own.is_empty() {
            self.entries.remove(&group);
            self.groups.retain(|other| *other != group);
        }
        entry
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.groups.is_empty()
    }
}
