//! Values behind placeholders, put back in the answer: what one call's placeholders stand for, and
//! where in an answer's text they are.
//!
//! Stages 6 and 11 of the walk, only where a policy says `restore: true`. Pure. Promises: the
//! values live as long as the call and no longer, in memory only, and `Debug` shows none; the same
//! value has the same placeholder within a call; numbers are given in the order in which values
//! first appear, so that a body that goes on a longer one begins with the same bytes; a placeholder
//! that a body holds already stands for no value of another; no more text is held back than the
//! beginning of a placeholder that was given out; a placeholder in a URL stays. Does not: mark
//! credentials, whose end is not kept, or attachments; or keep more values than the bounds allow
//! (further ones get the plain placeholder, or letters, and are not put back).
//!
//! `body` puts back in a JSON answer as it streams, `event` in the events of a stream; `matcher`
//! finds placeholders, `watch` says where URLs are.

mod body;
mod entity;
mod event;
mod matcher;
mod texts;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rules::{Kind, KindId};
use crate::bounds::{RESTORE_BYTES_MAX, RESTORE_VALUE_BYTES_MAX, RESTORE_VALUES_MAX};
use crate::placeholder::{LETTERS_OF_MARK, Mark, PlaceholderKey, core, core_of};
use matcher::Table;

pub use body::BodyRestorer;
pub use event::{EventRestorer, Extra, Restored};

/// The values behind the placeholders of one call. Clones are the same values.
#[derive(Clone)]
pub struct Values {
    known: Arc<Mutex<Known>>,
    /// Makes letters; without it marks are numbers.
    key: Option<Arc<dyn PlaceholderKey>>,
    /// They are put back in the arguments of tool calls, too.
    arguments: bool,
    /// The call asked for an answer in JSON.
    json: bool,
    /// The answer is translated: readable thinking goes back to its provider under a signature.
    translated: bool,
}

#[derive(Default)]
struct Known {
    /// For each kind, the values that have a mark.
    marks: Vec<HashMap<Box<[u8]>, Mark>>,
    /// For each kind, the last number that was given.
    numbers: Vec<u32>,
    count: usize,
    table: Arc<Table>,
    bytes: usize,
    /// Cores of placeholders that the body holds where they cannot be changed.
    taken: BTreeSet<Box<str>>,
}

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Values").field("count", &self.table().values.len()).finish_non_exhaustive()
    }
}

impl Values {
    /// A panic in another call leaves what is known whole.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// No value yet. `key`: makes letters instead of numbers.
    pub(crate) fn new(arguments: bool, key: Option<Arc<dyn PlaceholderKey>>) -> Values {
        let table = Arc::new(Table { bare: key.is_some(), ..Table::default() });
        let known = Known { table, ..Known::default() };
        Values {
            known: Arc::new(Mutex::new(known)),
            key,
            arguments,
            json: false,
            translated: false,
        }
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

    /// The mark of `value` in its placeholder; nothing if it gets none. `kind` and `id`: the first
    /// kind with this placeholder.
    pub(crate) fn mark(&self, id: KindId, kind: &Kind, value: &[u8]) -> Option<Mark> {
        let name = kind.mark.as_deref()?;
        let text = std::str::from_utf8(value).ok().filter(|text| !text.is_empty())?;
        let mut known = self.lock();
        let id = usize::from(id);
        if known.marks.len() <= id {
            known.marks.resize_with(id + 1, HashMap::new);
            known.numbers.resize(id + 1, 0);
        }
        if let Some(mark) = known.marks[id].get(value) {
            return Some(*mark);
        }
        let fits = value.len() <= RESTORE_VALUE_BYTES_MAX
            && known.count + known.taken.len() < RESTORE_VALUES_MAX
            && known.bytes + value.len() <= RESTORE_BYTES_MAX;
        let mark = match &self.key {
            Some(key) => known.letters(name, &key.digest(&kind.name, value)),
            None if fits => Some(known.number(id, name)),
            None => None,
        }?;
        if fits {
            known.count += 1;
            known.bytes += value.len();
            known.marks[id].insert(Box::from(value), mark);
            let core = mark.with(|mark| core(name, mark));
            // While a body comes in nobody else has the table, so it is changed in place.
            Arc::make_mut(&mut known.table).values.insert(core, Box::from(text));
        }
        Some(mark)
    }

    /// The body holds this placeholder where it cannot be changed: it stands for nothing that this
    /// call has sent.
    pub(crate) fn take(&self, written: &str) {
        let core = core_of(written);
        let mut known = self.lock();
        if known.table.values.contains_key(&*core) {
            Arc::make_mut(&mut known.table).values.remove(&*core);
        }
        if known.taken.len() < RESTORE_VALUES_MAX {
            known.taken.insert(core.into());
        }
    }

    /// Whether there is anything to be put back.
    pub fn is_empty(&self) -> bool {
        self.table().values.is_empty()
    }

    fn table(&self) -> Arc<Table> {
        Arc::clone(&self.lock().table)
    }
}

impl Known {
    /// The next number of a kind.
    fn number(&mut self, id: usize, name: &str) -> Mark {
        loop {
            self.numbers[id] += 1;
            let mark = Mark::Number(self.numbers[id]);
            if !self.taken.contains(&*mark.with(|mark| core(name, mark))) {
                return mark;
            }
        }
    }

    /// As few letters as no other value of the call has.
    fn letters(&self, name: &str, digest: &[u8; 32]) -> Option<Mark> {
        let letters = Mark::letters(digest);
        let marks = LETTERS_OF_MARK.map(|n| Mark::Letters(letters, n as u8));
        let table = &self.table.values;
        marks.into_iter().find(|mark| !table.contains_key(&*mark.with(|mark| core(name, mark))))
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

#[cfg(test)]
mod tests;
