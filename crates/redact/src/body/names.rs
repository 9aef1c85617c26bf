//! Names of fields and strings that are kept: the facts of the call, and names that are refused.

use super::frame::{ITEM_CONTENT, ITEM_ECHO, ITEM_REFERENCE, ITEM_ROLE, ITEM_TYPED, Place};
use super::{Body, NAME_MAX, invalid};
use crate::RedactError;
use crate::bounds::MODEL_BYTES_MAX;
use crate::facts::{self, Fact, Number, StoredKind};
use crate::keys::{Key, PartKind};
use crate::scan::Media;

impl Body {
    /// Takes a key that has been read.
    pub(crate) fn key_end(&mut self, name: &[u8]) -> Result<(), RedactError> {
        let top = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let key = Key::of(name);
        frame.key = key;
        frame.says = None;
        frame.name_len = name.len().min(NAME_MAX) as u8;
        frame.name[..name.len().min(NAME_MAX)].copy_from_slice(&name[..name.len().min(NAME_MAX)]);
        // The output of a shell has no type.
        frame.has_text |= key == Key::Text || matches!(name, b"stdout" | b"stderr" | b"outcome");
        frame.fact = if frame.api {
            Fact::of(name, key, &self.schema, frame.top, frame.owner)
        } else {
            Fact::None
        };
        frame.item |= if key == Key::Role { ITEM_ROLE } else { 0 };
        let (in_top, owner) = (frame.top, frame.owner);
        let names_models = frame.api && owner == Fact::Models;
        if (in_top || matches!(owner, Fact::Models | Fact::Choice)) && !self.schema.is_answer() {
            self.routing_name(name, key, in_top, top)?;
        }
        if names_models && !matches!(name, b"model" | b"models") && self.facts.wants_model(name) {
            let param = self.path(self.frames.len());
            self.facts.named_model(name, param);
        }
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if frame.place == Place::Item && matches!(key, Key::Role | Key::Content) {
            // A message: it is not dropped whole.
            self.release();
        }
        if !top || self.schema.is_answer() {
            return Ok(());
        }
        if let Some(bit) = key.routing_bit() {
            if self.seen & 1 << bit != 0 {
                return invalid(&format!(
                    "`{}` stands twice in the request body",
                    String::from_utf8_lossy(name)
                ));
            }
            self.seen |= 1 << bit;
        }
        Ok(())
    }

    /// Refuses names that would send the call somewhere else, and spellings of routing names that
    /// some servers take for them.
    pub(crate) fn routing_name(
        &mut self,
        name: &[u8],
        key: Key,
        in_top: bool,
        top: bool,
    ) -> Result<(), RedactError> {
        if key.routing_bit().is_some() {
            return Ok(());
        }
        let mut folded = [0; facts::FOLD_MAX];
        let folded = facts::fold(name, &mut folded);
        if facts::is_override(folded, &self.schema) {
            // A longer name, or one of other characters, may hold data of the user.
            let plain = name.len() <= 24
                && name.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'-'));
            let shown = if plain { String::from_utf8_lossy(name) } else { "…".into() };
            return invalid(&format!(
                "`{shown}` is not allowed in a request body: the policy says where a call goes and \
                    with which key"
            ));
        }
        if in_top && self.facts.chooser.is_none() {
            self.facts.chooser = facts::chooser(folded);
        }
        match facts::routes(folded, &self.schema).filter(|_| top) {
            Some(meant) if self.seen(Key::of(meant.as_bytes())) => invalid(&format!(
                "`{meant}` stands twice in the request body, once in another spelling; leave one \
                    of them out"
            )),
            Some(meant) => invalid(&format!(
                "the request body has `{meant}` in another spelling, which providers read in \
                    different ways; write `{meant}`"
            )),
            None => Ok(()),
        }
    }

    /// Notes what a string that was kept says about the call.
    pub(crate) fn note_fact(&mut self, captured: &[u8]) {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else { return };
        match frame.fact {
            Fact::Stored(kind) => self.note_object(kind, captured, depth, ""),
            Fact::Id if !frame.id.is_empty() => {
                self.note_object(StoredKind::Item, captured, depth, "")
            }
            Fact::Id => frame.id = String::from_utf8_lossy(captured).into_owned(),
            Fact::Models if depth == 1 && frame.key == Key::Model => {}
            Fact::Models if self.facts.wants_model(captured) => {
                let param = self.path(depth);
                self.facts.named_model(captured, param);
            }
            fact if fact.takes_number() => {
                if let Some(number) = Number::of_text(captured) {
                    self.tally.number(fact, &number, &mut self.facts);
                }
            }
            _ => {}
        }
    }

    pub(crate) fn note_object(&mut self, kind: StoredKind, id: &[u8], depth: usize, field: &str) {
        if self.facts.wants_object(kind, id) {
            let param = self.path(depth) + field;
            self.facts.object(kind, id, param);
        }
    }

    /// An object closes: whether it was an item that the provider keeps.
    pub(crate) fn note_item(&mut self) {
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut().filter(|f| !f.id.is_empty()) else { return };
        let (id, item) = (std::mem::take(&mut frame.id), frame.item);
        let bare = frame.place == Place::Item && item & (ITEM_TYPED | ITEM_ROLE) == 0;
        if item & ITEM_REFERENCE != 0 || bare {
            self.note_object(StoredKind::Item, id.as_bytes(), depth - 1, ".id");
        } else if item & ITEM_ECHO != 0 && item & ITEM_CONTENT == 0 {
            self.note_object(StoredKind::Echo, id.as_bytes(), depth - 1, ".id");
        }
    }

    /// A string that was kept has ended.
    pub(crate) fn captured_end(&mut self, captured: &[u8], at: u64) -> Result<(), RedactError> {
        let Some(frame) = self.top() else { return Ok(()) };
        // The tokenizer tells keys and values alike; a key is one whose value has not begun.
        if self.reading_key {
            self.reading_key = false;
            return self.key_end(captured);
        }
        if frame.place == Place::Top && frame.key == Key::Model {
            if captured.len() > MODEL_BYTES_MAX {
                return invalid(&format!("`model` is longer than {MODEL_BYTES_MAX} bytes"));
            }
            self.facts.model = Some(String::from_utf8_lossy(captured).into_owned());
            if let Some((from, _)) = self.facts.model_at {
                self.out.advance(at + 1);
                self.facts.model_at = Some((from, self.out.position()));
            }
        } else if frame.key == Key::Type && frame.object {
            if let Some(frame) = self.frames.last_mut() {
                frame.item |= ITEM_TYPED
                    | match captured {
                        b"item_reference" => ITEM_REFERENCE,
                        b"reasoning"
                        | b"image_generation_call"
                        | b"web_search_call"
                        | b"file_search_call"
                        | b"compaction" => ITEM_ECHO,
                        _ => 0,
                    };
                frame.opaque |= captured == b"redacted_thinking";
                if frame.media == Media::Unknown {
                    frame.media = PartKind::media(captured);
                }
            }
            self.facts.json_answer |=
                self.is_in_format() && matches!(captured, b"json_schema" | b"json_object");
            self.typed(at, captured)?;
        } else if frame.key == Key::Media && frame.object {
            self.media(captured)?;
        }
        self.note_fact(captured);
        self.value_end(at + 1);
        Ok(())
    }

    /// Whether the object at hand says what form the answer is to have.
    pub(crate) fn is_in_format(&self) -> bool {
        let Some(top) = self.frames.first() else { return false };
        let name = &top.name[..usize::from(top.name_len)];
        top.place == Place::Top
            && self.frames.len() <= 3
            && matches!(name, b"response_format" | b"text" | b"output_format" | b"output_config")
    }
}
