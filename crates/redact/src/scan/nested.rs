//! The keys of a JSON text inside the string, and their meaning for the values under them.
//!
//! Pure. Promises: lists and objects under a telephone key are remembered to a depth of 64,
//! whatever stands between the key and the value. Does not: check that it is JSON.

use super::super::detect::key_memo::KeyMemo;
use super::super::detect::words::{Says, Words};

/// A bit for each level; deeper ones count as the deepest.
const DEPTH_MAX: u32 = 63;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct NestedKeys {
    depth: u32,
    /// One bit for each level: it is an object.
    objects: u64,
    /// The values of a list are telephone numbers, or those of an object whose keys say nothing.
    phones: u64,
    /// The string that closed last: it may be a key.
    last: Option<(usize, usize)>,
    /// Where the present string opened.
    open: usize,
    /// The meaning of the key for the value to come.
    own: Option<Says>,
    /// It is a word for telephones and nothing else.
    strong: bool,
    /// Where values begin, in the window, and whether their keys say that they are telephone
    /// numbers.
    values: Vec<(usize, bool)>,
    /// Keys of the texts before, too.
    known: KeyMemo,
}

impl NestedKeys {
    pub(crate) fn clear(&mut self) {
        self.values.clear();
        (self.depth, self.objects, self.phones) = (0, 0, 0);
        (self.last, self.open) = (None, 0);
        (self.own, self.strong) = (None, false);
    }

    /// The window has lost its first bytes.
    pub(crate) fn slide(&mut self, drop: usize) {
        self.last = self.last.and_then(|(from, to)| Some((from.checked_sub(drop)?, to - drop)));
        self.open = self.open.saturating_sub(drop);
        if !self.values.is_empty() {
            // The one that `drop` lies in still counts.
            let after = self.values.partition_point(|(at, _)| *at <= drop);
            self.values.drain(..after.saturating_sub(1));
            self.values.iter_mut().for_each(|(at, _)| *at = at.saturating_sub(drop));
        }
    }

    /// A string opens at `at`, or closes there.
    pub(crate) fn quote(&mut self, at: usize, opens: bool) {
        if opens {
            self.open = at + 1;
        } else {
            self.last = (at >= self.open).then_some((self.open, at));
        }
    }

    /// Takes a character outside strings that stands at the end of `window`.
    pub(crate) fn mark(&mut self, mark: u8, window: &[u8], words: &Words) {
        let bit = 1u64 << self.depth.min(DEPTH_MAX);
        match mark {
            b'{' | b'[' => {
                let list = mark == b'[';
                let phones = self.strong || list && self.own == Some(Says::Phone);
                self.depth += 1;
                let bit = 1u64 << self.depth.min(DEPTH_MAX);
                self.objects = if list { self.objects & !bit } else { self.objects | bit };
                self.phones = if phones { self.phones | bit } else { self.phones & !bit };
                self.value(window.len() + 1, list && phones);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.value(window.len() + 1, false);
            }
            b':' => {
                let key = self
                    .last
                    .take()
                    .and_then(|(from, to)| window.get(from..to))
                    .unwrap_or_default();
                let strong;
                (self.own, strong) = self.known.meaning(words, key);
                let inherited =
                    self.own.is_none() && self.phones & bit != 0 && !words.is_neutral(key);
                if inherited {
                    self.own = Some(Says::Phone);
                }
                self.strong = inherited || strong;
                self.value(window.len() + 1, self.own == Some(Says::Phone));
            }
            b',' => {
                let phones = self.objects & bit == 0 && self.phones & bit != 0;
                (self.own, self.strong) = (phones.then_some(Says::Phone), phones);
                self.value(window.len() + 1, phones);
            }
            _ => {}
        }
    }

    fn value(&mut self, at: usize, phone: bool) {
        if phone || self.values.last().is_some_and(|(_, phone)| *phone) {
            self.values.push((at, phone));
        }
    }

    /// Whether the number at `q` stands at the beginning of a value whose key says that it is one,
    /// so many bytes into it at the most.
    pub(crate) fn says_phone(&self, q: usize, reach: usize) -> bool {
        if self.values.is_empty() {
            return false;
        }
        let after = self.values.partition_point(|(at, _)| *at <= q);
        after
            .checked_sub(1)
            .and_then(|i| self.values.get(i))
            .is_some_and(|(at, phone)| *phone && q - at < reach)
    }
}
