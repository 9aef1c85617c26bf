//! Messages that hold what the policy removes with its message.
//!
//! Pure. The message keeps its place, its role and its ids, so that turns still alternate and calls
//! of tools still have their results; each of its texts becomes a note. Text outside of messages (a
//! prompt, instructions) is a message of its own. A message is held back until its end, up to
//! [`HELD_MAX`]; a longer one that holds such a value is refused, as is one with an attachment that
//! the policy allows. Does not: remove numbers, names and keys.

use std::sync::Arc;

use super::Body;
use crate::RedactError;
use crate::keys::Key;
use crate::out::HELD_MAX;
use crate::rules::KindId;
use crate::scan::Look;

/// The texts of a removed message.
const NOTE: &[u8] = b"[message removed]";
/// The same where a text is JSON.
const EMPTY: &[u8] = b"{}";

/// A message, or a text of its own, on its way.
#[derive(Debug)]
pub(crate) struct Message {
    /// Containers open outside of it.
    depth: usize,
    /// Its texts: where they begin and end among the held bytes, and what takes their place.
    texts: Vec<(usize, usize, &'static [u8])>,
    /// The text at hand begins there.
    text_from: Option<usize>,
    /// It is a text of its own.
    is_text: bool,
    /// The kinds for which it is removed.
    kinds: Vec<KindId>,
    /// It has an attachment that passes.
    attached: bool,
}

impl Body {
    /// Whether messages are held back at all.
    pub(crate) fn removes_messages(&self) -> bool {
        self.rules.removes && !self.schema.is_answer()
    }

    /// A message begins at `at`.
    pub(crate) fn begin_message(&mut self, at: u64, is_text: bool) {
        self.out.advance(at);
        self.out.hold();
        self.message = Some(Message {
            depth: self.frames.len(),
            texts: Vec::new(),
            text_from: None,
            is_text,
            kinds: Vec::new(),
            attached: false,
        });
    }

    /// A string value begins with the quotation mark at `at`.
    pub(crate) fn begin_text(&mut self, at: u64, look: Look) {
        if look != Look::All || self.top().is_some_and(|f| f.is_signed()) {
            return;
        }
        if self.message.is_none() {
            self.begin_message(at, true);
        }
        self.out.advance(at + 1);
        let from = self.out.held_at();
        if let Some(message) = &mut self.message {
            message.text_from = Some(from);
        }
    }

    /// The string value at hand ends with the quotation mark at `at`.
    pub(crate) fn end_text(&mut self, at: u64) -> Result<(), RedactError> {
        let Some(from) = self.message.as_mut().and_then(|m| m.text_from.take()) else {
            return Ok(());
        };
        self.out.advance(at);
        let to = self.out.held_at();
        let is_json = self.top().is_some_and(|f| f.key == Key::Arguments);
        let note = if is_json { EMPTY } else { NOTE };
        // More than can be held back is refused, if it is removed.
        if let Some(message) = self.message.as_mut().filter(|_| to > from) {
            message.texts.push((from, to, note));
        }
        if self.message.as_ref().is_some_and(|m| m.is_text) { self.end_message() } else { Ok(()) }
    }

    /// A container closes; `depth` containers around it stay open.
    pub(crate) fn close_message(&mut self, at: u64, depth: usize) -> Result<(), RedactError> {
        if self.message.as_ref().is_none_or(|m| m.depth != depth) {
            return Ok(());
        }
        self.out.advance(at);
        self.end_message()
    }

    fn end_message(&mut self) -> Result<(), RedactError> {
        let Some(message) = self.message.take() else { return Ok(()) };
        if !message.kinds.is_empty() {
            if message.attached || !self.out.replace(&message.texts) {
                return Err(self.sensitive(&message.kinds));
            }
            self.ledger.messages += 1;
        }
        self.out.release();
        Ok(())
    }

    /// A part of the message has been dropped: its texts are gone.
    pub(crate) fn cut_message(&mut self) {
        let to = self.out.held_at();
        if let Some(message) = &mut self.message {
            message.texts.retain(|text| text.1 <= to);
            message.text_from = None;
        }
    }

    /// An attachment passes.
    pub(crate) fn attach_to_message(&mut self) {
        if let Some(message) = &mut self.message {
            message.attached = true;
        }
    }

    /// The message at hand is removed.
    pub(crate) fn remove_message(&mut self, kind: KindId) {
        if let Some(message) = self.message.as_mut().filter(|m| !m.kinds.contains(&kind)) {
            message.kinds.push(kind);
        }
    }

    /// The refusal of a body that holds these kinds.
    pub(crate) fn sensitive(&self, kinds: &[KindId]) -> RedactError {
        let name = |kind: &KindId| Arc::clone(&self.rules.kinds[usize::from(*kind)].name);
        let mut kinds: Vec<Arc<str>> = kinds.iter().map(name).collect();
        kinds.sort_unstable();
        RedactError::Sensitive { kinds }
    }
}

const _: () = assert!(HELD_MAX == 32 << 10, "the documentation says 32 KiB");
