//! Placeholders with numbers, put back in the answer: what one call's placeholders stand for, and
//! where in an answer's text they are.
//!
//! Stages 6 and 11 of the walk, only where a policy says `restore: true`. Pure. Promises: the
//! values live as long as the call and no longer, in memory only, and `Debug` shows none; the same
//! value has the same number within a call, in the order in which values first appear, so that a
//! body that goes on a longer one begins with the same bytes; no more text is held back than the
//! beginning of a placeholder that was given out; a placeholder in a URL stays. Does not: number
//! credentials, whose end is not kept, or attachments; or number more than the bounds allow
//! (further matches get the plain placeholder, which stays).
//!
//! `body` puts back in a JSON answer as it streams, `event` in the events of a stream; `watch` says
//! where URLs are.

mod body;
mod entity;
mod event;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Included, Unbounded};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rules::{KindId, kind};
use crate::bounds::{RESTORE_BYTES_MAX, RESTORE_VALUE_BYTES_MAX, RESTORE_VALUES_MAX};
use watch::Watch;

pub use body::BodyRestorer;
pub use event::{EventRestorer, Extra, Restored};

/// Longest name inside the brackets of a placeholder that gets a number.
const NAME_MAX: usize = 100;

/// The values behind the placeholders of one call. Clones are the same values.
#[derive(Clone)]
pub struct Values {
    known: Arc<Mutex<Known>>,
    /// They are put back in the arguments of tool calls, too.
    arguments: bool,
    /// The call asked for an answer in JSON.
    json: bool,
    /// The answer is translated: readable thinking goes back to its provider under a signature.
    translated: bool,
}

/// Placeholders and what they stand for.
type Table = BTreeMap<Box<str>, Box<str>>;

#[derive(Default)]
struct Known {
    /// For each kind, what has a number.
    numbers: Vec<HashMap<Box<[u8]>, u32>>,
    count: usize,
    table: Arc<Table>,
    bytes: usize,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values").field("count", &self.table().len()).finish_non_exhaustive()
    }
}

impl Values {
    /// A panic in another call leaves what is known whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new(arguments: bool) -> Values {
        Values { known: Arc::default(), arguments, json: false, translated: false }
    }

    /// The same values for an answer whose texts are JSON, as the call asked, if `json`.
    #[must_use]
    pub fn for_json(self, json: bool) -> Values {
        Values { json, ..self }
    }

    /// The same values for an answer that was translated, if `translated`: the text of its thinking
    /// stays as the provider has signed it.
    #[must_use]
    pub fn for_translated(self, translated: bool) -> Values {
        Values { translated, ..self }
    }

    /// Whether placeholders of this kind get numbers, where `replacement` is the plain one.
    pub(crate) fn are_numbered(kind: KindId, replacement: &str) -> bool {
        let name = replacement.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let plain = |name: &str| {
            !name.is_empty() && name.len() <= NAME_MAX && !name.contains(['[', ']', '"', '\\'])
        };
        let kept_whole = kind != kind::API_KEY && kind != kind::ATTACHMENT;
        kept_whole && name.is_some_and(plain)
    }

    /// The number of `value` in its placeholder, where `replacement` is the plain one and `kind`
    /// the first kind that has it; nothing if it gets none.
    pub(crate) fn number(&self, kind: KindId, replacement: &str, value: &[u8]) -> Option<u32> {
        if value.is_empty() || value.len() > RESTORE_VALUE_BYTES_MAX {
            return None;
        }
        let mut known = self.lock();
        let known = &mut *known;
        let kind = usize::from(kind);
        if known.numbers.len() <= kind {
            known.numbers.resize_with(kind + 1, HashMap::new);
        }
        let numbers = &mut known.numbers[kind];
        if let Some(number) = numbers.get(value) {
            return Some(*number);
        }
        if known.count == RESTORE_VALUES_MAX || known.bytes + value.len() > RESTORE_BYTES_MAX {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        let number = numbers.len() as u32 + 1;
        known.count += 1;
        known.bytes += value.len();
        numbers.insert(Box::from(value), number);
        let placeholder = format!("{}_{number}]", replacement.strip_suffix(']')?);
        // While a body comes in nobody else has the table, so it is changed in place.
        Arc::make_mut(&mut known.table).insert(placeholder.into(), Box::from(text));
        Some(number)
    }

    /// Whether there is anything to be put back.
    pub fn is_empty(&self) -> bool {
        self.table().is_empty()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.lock().table)
    }
}

/// Finds placeholders in text that comes character by character.
#[derive(Default)]
struct Matcher {
    /// The beginning of a placeholder, which may turn out to be none.
    held: String,
    /// Sees the whole text, placeholders and all.
    watch: Watch,
    /// The held text stands where no value may be put.
    barred: bool,
}

enum Step<'t> {
    /// The character belongs to no placeholder, and neither did what was held.
    Plain,
    Held,
    /// A placeholder is complete and stands for this.
    Whole(&'t str),
}

impl Matcher {
    /// Of a text that is JSON, if `json`.
    fn of(json: bool) -> Matcher {
        let watch = if json { Watch::of_json() } else { Watch::default() };
        Matcher { watch, ..Matcher::default() }
    }

    fn step<'t>(&mut self, table: &'t Table, c: char) -> Step<'t> {
        // Where the placeholder begins decides; no other character of one is a bracket.
        let barred = c == '[' && self.watch.bars();
        self.watch.push(c);
        if self.held.is_empty() && c != '[' {
            return Step::Plain;
        }
        if self.held.is_empty() {
            self.barred = barred;
        }
        self.held.push(c);
        let next = table.range::<str, _>((Included(self.held.as_str()), Unbounded)).next();
        match next.filter(|(placeholder, _)| placeholder.starts_with(self.held.as_str())) {
            // No placeholder begins with another: each ends with its only closing bracket.
            Some((placeholder, value)) if placeholder.len() == self.held.len() => {
                self.held.clear();
                if self.barred { Step::Plain } else { Step::Whole(value) }
            }
            Some(_) => Step::Held,
            None => {
                self.held.clear();
                // The held text is none; this character may begin another.
                if c == '[' {
                    self.held.push(c);
                    self.barred = barred;
                    return Step::Held;
                }
                Step::Plain
            }
        }
    }

    /// Takes text and appends to `out` what is certain. `escaped`: it is JSON itself, so values are
    /// escaped for it.
    fn text(&mut self, table: &Table, text: &str, escaped: bool, out: &mut String) {
        for c in text.chars() {
            let before = self.held.len();
            if before > 0 {
                out.push_str(&self.held);
            }
            match self.step(table, c) {
                Step::Plain => out.push(c),
                // The held text goes on, or another begins where it ended.
                Step::Held if self.held.len() > before => out.truncate(out.len() - before),
                Step::Held => {}
                Step::Whole(value) => {
                    out.truncate(out.len() - before);
                    out.push_str(&super::escape::escape(value, u8::from(escaped)));
                }
            }
        }
    }

    /// The text has ended: what is held is no placeholder.
    fn end(&mut self, out: &mut String) {
        out.push_str(&self.held);
        self.held.clear();
    }
}

/// The kind of the text under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leaf {
    /// JSON in a string: the arguments of a call.
    Arguments,
    /// The arguments of a call as they are, or what a client is to carry out: a command, a click, a
    /// change to a file.
    Input,
    /// Signed by the provider, or names of its own: what comes back has to be what was sent.
    Opaque,
    Text,
}

impl Leaf {
    fn of(key: &[u8]) -> Leaf {
        match key {
            b"arguments" | b"partial_json" => Leaf::Arguments,
            b"input" | b"action" | b"operation" | b"code" => Leaf::Input,
            key if watch::is_url_key(key) => Leaf::Opaque,
            b"thinking" | b"signature" | b"encrypted_content" | b"type" | b"role" | b"id"
            | b"object" | b"model" => Leaf::Opaque,
            _ => Leaf::Text,
        }
    }
}

/// Whether thinking stands under this key of a translated answer.
fn is_thinking(key: &[u8]) -> bool {
    matches!(key, b"reasoning_content" | b"thinking_blocks" | b"summary")
}

#[cfg(test)]
mod tests;
