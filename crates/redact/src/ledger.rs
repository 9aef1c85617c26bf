//! How many of what was taken out of a text, and where; never what.
//!
//! A leaf. Pure data.

use std::sync::Arc;

/// How many of what was taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Counts by kind, only kinds that occurred: entity names, and the names of custom patterns and
    /// word lists.
    pub counts: Vec<(Arc<str>, u32)>,
    /// The same of matches that stay (action `count`).
    pub left: Vec<(Arc<str>, u32)>,
    /// Messages removed.
    pub messages: u32,
    /// Attachments dropped.
    pub attachments: u32,
    /// Paths of the fields where something was taken out (`messages[0].content`), without values;
    /// bounded.
    pub fields: Vec<String>,
}

impl Ledger {
    /// Adds what another text held.
    pub fn absorb(&mut self, other: &Ledger) {
        for (all, others) in [(&mut self.counts, &other.counts), (&mut self.left, &other.left)] {
            for (kind, count) in others {
                match all.iter_mut().find(|(k, _)| k == kind) {
                    Some((_, total)) => *total += count,
                    None => all.push((Arc::clone(kind), *count)),
                }
            }
        }
        self.messages += other.messages;
        self.attachments += other.attachments;
    }

    /// Whether nothing was taken out.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.attachments == 0
    }

    /// How many of all kinds.
    pub fn total(&self) -> u32 {
        self.counts.iter().fold(0, |sum, (_, n)| sum.saturating_add(*n))
    }

    /// How many of one kind.
    pub fn count(&self, kind: &str) -> u32 {
        self.counts.iter().find(|(k, _)| &**k == kind).map_or(0, |(_, n)| *n)
    }

    /// Counts one of `kind`, which is likely to stand at `place`.
    pub(crate) fn add_at(&mut self, place: &mut usize, kind: &Arc<str>) {
        if !self.counts.get(*place).is_some_and(|(k, _)| Arc::ptr_eq(k, kind)) {
            *place = self.counts.iter().position(|(k, _)| k == kind).unwrap_or(self.counts.len());
        }
        match self.counts.get_mut(*place) {
            Some((_, n)) => *n = n.saturating_add(1),
            None => self.counts.push((Arc::clone(kind), 1)),
        }
    }

    /// Counts one of `kind` that stays.
    pub(crate) fn leave(&mut self, kind: &Arc<str>) {
        match self.left.iter_mut().find(|(k, _)| k == kind) {
            Some((_, n)) => *n = n.saturating_add(1),
            None => self.left.push((Arc::clone(kind), 1)),
        }
    }

    /// Takes one of `kind` back.
    pub(crate) fn remove(&mut self, kind: &Arc<str>) {
        if let Some((_, n)) = self.counts.iter_mut().find(|(k, _)| k == kind) {
            *n = n.saturating_sub(1);
        }
        self.counts.retain(|(_, n)| *n > 0);
    }
}
