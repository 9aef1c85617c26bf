//! The meaning of JSON keys, remembered: the objects of a list have the same ones.
//!
//! Pure. Promise: the same answers as [`Words::key`]. Does not: grow.

use super::words::{Says, Words};

/// The meaning of the keys that were asked for last: those of a list of objects are the same ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyMemo(Option<Box<[KnownKey; KEYS_KNOWN]>>);

/// Keys that are remembered, and the bytes of the longest.
const KEYS_KNOWN: usize = 16;
const KNOWN_MAX: usize = 22;

/// A key and its meaning; an empty one has none.
#[derive(Clone, Copy, Debug, Default)]
struct KnownKey {
    name: [u8; KNOWN_MAX],
    len: u8,
    says: Option<Says>,
    strong: bool,
}

impl KeyMemo {
    /// The result of [`Words::key`].
    pub(crate) fn key(&mut self, words: &Words, key: &[u8]) -> Option<Says> {
        self.meaning(words, key).0
    }

    /// The result of [`Words::key`], and for one of a telephone that of [`Words::is_strong`].
    pub(crate) fn meaning(&mut self, words: &Words, key: &[u8]) -> (Option<Says>, bool) {
        let meaning = || {
            let says = words.key(key);
            (says, says == Some(Says::Phone) && words.is_strong(key))
        };
        if key.len() > KNOWN_MAX {
            return meaning();
        }
        let ends = key
            .first()
            .zip(key.last())
            .map_or(0, |(a, b)| usize::from(a.wrapping_mul(3) ^ b.wrapping_mul(5)));
        let known = self.0.get_or_insert_default();
        let known = &mut known[(ends + key.len() * 7) % KEYS_KNOWN];
        if known.name[..usize::from(known.len)] != *key {
            known.name[..key.len()].copy_from_slice(key);
            (known.len, (known.says, known.strong)) = (key.len() as u8, meaning());
        }
        (known.says, known.strong)
    }
}
