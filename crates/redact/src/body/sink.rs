//! The tokenizer's calls: each moves the state of the body on.

use super::frame::{Frame, Place};
use super::{
    Body, NAME_MAX, TOKEN_BYTES, USAGE_FIELD, USAGE_MEMBER, USAGE_OPTION, invalid, refuse,
};
use crate::bounds::MODEL_BYTES_MAX;
use crate::facts::{Fact, Number};
use crate::json::{Scalar, Sink, Take, tell_apart, tell_key};
use crate::keys::{self, Key};
use crate::scan::{Blob, Look, Media};
use crate::{Attachments, RedactError, TokenArrays};

impl Sink for Body {
    fn open(&mut self, object: bool, at: u64) -> Result<(), RedactError> {
        self.value(at, true, object)?;
        self.spelt(at, object);
        let place = self.child(object);
        if place == Place::Item && self.message.is_none() && self.removes_messages() {
            self.begin_message(at, false);
        }
        if let Some(Frame { place: Place::Top, key, object: true, .. }) = self.top() {
            match key {
                Key::Model => return invalid("`model` must be a string"),
                Key::Store if self.forbid_store => return invalid("`store` must be true or false"),
                Key::Conversation => self.facts.stateful = true,
                _ => {}
            }
        }
        let mut held = false;
        if place == Place::Part && !object && !self.schema.lists_of_tokens {
            return refuse("a list of content parts holds another list".to_owned());
        }
        let typed = match place {
            Place::Part | Place::Typed => true,
            Place::Item => self.schema.typed_items,
            _ => false,
        };
        if object && typed && self.drop.is_none() {
            self.out.advance(at);
            self.out.hold();
            self.held += 1;
            held = true;
        }
        // The elements of a list stand under the list's key.
        let key = if object { Key::Other } else { self.top().map_or(Key::Other, |f| f.key) };
        let api = self.is_api(place);
        let merged = |f: &Frame| f.top && &f.name[..f.name_len as usize] == b"extra_body";
        let top = api && object && self.top().is_none_or(merged);
        let (fact, owner) = match self.top() {
            Some(f) if object => (Fact::None, f.fact),
            Some(f) => (f.fact, f.owner),
            None => (Fact::None, Fact::None),
        };
        let (mut name, mut name_len, mut says) = ([0; NAME_MAX], 0, None);
        if !object && let Some(frame) = self.top() {
            (name, name_len, says) = (frame.name, frame.name_len, frame.says);
        }
        self.frames.push(Frame {
            place,
            object,
            key,
            name,
            name_len,
            values: 0,
            held,
            kind: None,
            has_text: false,
            noted: self.noted.len(),
            fields: self.ledger.fields.len(),
            path: None,
            says,
            phones: None,
            api,
            top,
            fact,
            owner,
            id: String::new(),
            item: 0,
            stored: self.facts.stored.len(),
            document: false,
            text_source: false,
            media: Media::Unknown,
            encoded: false,
            opaque: false,
        });
        Ok(())
    }

    fn close(&mut self, at: u64) -> Result<(), RedactError> {
        if let Some(frame) = self.top() {
            let (place, object, values) = (frame.place, frame.object, frame.values);
            let untyped =
                place == Place::Part && object && frame.kind.is_none() && self.drop.is_none();
            if untyped && !frame.has_text && self.rules.attachments != Attachments::Allow {
                return refuse("a content part has no `type`".to_owned());
            }
            if self.top().is_some_and(|f| f.document) && self.drop.is_none() {
                // No source has shown it to be text.
                self.attachment_at(at, self.frames.len() - 1)?;
            }
            self.release();
            self.note_item();
            let ask = self.ask_for_usage
                && self.facts.stream
                && !self.facts.usage_asked
                && !self.facts.usage_injected;
            if place == Place::Top && ask && !self.seen(Key::StreamOptions) {
                self.out.advance(at);
                self.out.write(b",");
                self.out.write(USAGE_FIELD);
                self.facts.usage_injected = true;
            }
            if place == Place::Top && self.forbid_store && !self.store_seen {
                self.out.advance(at);
                self.out.write(if values > 0 { b"," } else { b"" });
                self.out.write(br#""store":false"#);
            }
            if place == Place::StreamOptions && object && ask && !frame_has_usage(self.seen) {
                self.out.advance(at);
                self.out.write(if values > 0 { b"," } else { b"" });
                self.out.write(USAGE_MEMBER);
                self.facts.usage_injected = true;
            }
        }
        self.frames.pop();
        self.close_message(at, self.frames.len())?;
        self.value_end(at + 1);
        Ok(())
    }

    fn key(&mut self, name: &[u8], at: u64) -> Result<(), RedactError> {
        let is_looked_at = self.drop.is_none();
        if is_looked_at && !self.is_harmless(name, Look::All) {
            return tell_key(self, name, at);
        }
        if is_looked_at && self.is_users_key() {
            self.text_bytes += name.len() as u64;
        }
        (self.scanning, self.place_noted, self.reading_key) = (false, false, false);
        self.key_end(&name[..name.len().min(MODEL_BYTES_MAX + 1)])
    }

    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError> {
        self.scanning = false;
        self.place_noted = false;
        self.reading_key = key;
        if key {
            self.begin_capture();
            if self.drop.is_none() {
                let users = self.is_users_key();
                self.key_at = (!users).then_some(at);
                self.scanning = true;
                self.data = !users;
                self.waiting = Some(Look::All);
            }
            return Ok(Take::Text);
        }
        self.value(at, true, false)?;
        self.facts.stops |= self.top().is_some_and(|f| f.fact == Fact::Stop);
        let (place, key) = self.top().map_or((Place::Data, Key::Other), |f| (f.place, f.key));
        let in_object = self.top().is_some_and(|f| f.object);
        if place == Place::Top
            && in_object
            && matches!(key, Key::PreviousResponseId | Key::Conversation)
        {
            self.facts.stateful = true;
        }
        if self.drop.is_some() {
            return Ok(Take::Skip);
        }
        if self.forbid_store && in_object && place == Place::Top && key == Key::Store {
            return invalid("`store` must be true or false");
        }
        if self.locate_model && in_object && place == Place::Top && key == Key::Model {
            self.out.advance(at);
            self.facts.model_at = Some((self.out.position(), 0));
        }
        let fact = self.top().is_some_and(|f| f.fact.takes_string());
        if in_object
            && (matches!(key, Key::Type | Key::Media) || place == Place::Top && key == Key::Model)
            || fact
        {
            self.begin_capture();
        }
        let look = self.look();
        if let Some(look) = look.filter(|_| self.removes_messages()) {
            self.begin_text(at, look);
        }
        let Some(look) = look else {
            return Ok(if self.captured.is_some() { Take::Text } else { Take::Skip });
        };
        (self.scanning, self.waiting) = (true, Some(look));
        let attached = |f: &Frame| matches!(f.key, Key::Blob | Key::Attachment | Key::Audio);
        let listed = place != Place::Data && matches!(key, Key::Type | Key::Role | Key::Media);
        self.data = listed || self.frames.iter().rev().take(2).any(attached);
        self.data_bytes = 0;
        Ok(Take::Text)
    }

    fn plain(&mut self, text: &[u8], at: u64, whole: bool) -> Result<(), RedactError> {
        if let Some(captured) = &mut self.captured {
            let room = (MODEL_BYTES_MAX + 1).saturating_sub(captured.len());
            captured.extend_from_slice(&text[..text.len().min(room)]);
        }
        if self.scanning {
            self.count_ascii(text.len());
            // Most strings: nothing in it could begin a match, so it need not go through the
            // window.
            if let Some(look) = self.waiting.filter(|_| whole)
                && self.is_harmless(text, look)
                && (self.reading_key || self.blob() == Blob::None)
            {
                self.scanning = false;
                return Ok(());
            }
            self.begin().plain(text, at);
            return self.carry_out();
        }
        Ok(())
    }

    fn escaped(&mut self, raw: &[u8], escapes: &[usize], at: u64) -> Result<(), RedactError> {
        if self.captured.is_some() {
            return tell_apart(self, raw, escapes, at);
        }
        if self.scanning {
            self.count_ascii(raw.len() - escapes.len());
            self.begin().escaped(raw, escapes, at);
            return self.carry_out();
        }
        Ok(())
    }

    fn wide(&mut self, text: &str, at: u64) -> Result<(), RedactError> {
        if let Some(captured) = &mut self.captured
            && captured.len() <= MODEL_BYTES_MAX
        {
            captured.extend_from_slice(&text.as_bytes()[..text.len().min(2 * MODEL_BYTES_MAX)]);
        }
        if self.scanning {
            self.count(text.as_bytes());
            self.begin().wide(text, at);
            return self.carry_out();
        }
        Ok(())
    }

    fn char(&mut self, c: Option<char>, from: u64, to: u64) -> Result<(), RedactError> {
        if let Some(captured) = &mut self.captured
            && captured.len() <= MODEL_BYTES_MAX
        {
            captured.extend_from_slice(
                c.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut [0; 4]).as_bytes(),
            );
        }
        if self.scanning {
            self.count(
                &c.unwrap_or_default().encode_utf8(&mut [0; 4]).as_bytes()
                    [..c.map_or(0, char::len_utf8)],
            );
            self.begin().char(c, from, to);
            return self.carry_out();
        }
        Ok(())
    }

    fn string_end(&mut self, at: u64) -> Result<(), RedactError> {
        if self.scanning {
            let own = self.key_at.take().is_some();
            if let Some(scanner) = &mut self.scanner {
                if self.waiting.is_none() {
                    scanner.end();
                }
                let found = own && !scanner.ops.is_empty();
                if found && self.captured.as_deref().is_some_and(keys::is_known) {
                    scanner.ops.clear();
                }
            }
            self.carry_out()?;
            self.scanning = false;
            self.attachment_end()?;
        }
        if !self.reading_key {
            self.end_text(at)?;
        }
        self.key_at = None;
        let Some(captured) = self.captured.take() else {
            self.value_end(at + 1);
            return Ok(());
        };
        let result = self.captured_end(&captured, at);
        self.spare = captured;
        result
    }

    fn scalar(&mut self, at: u64) -> Result<Take, RedactError> {
        self.value(at, false, false)?;
        let rewritten = self.top().is_some_and(|f| match f.place {
            Place::Top => {
                f.object
                    && (f.key == Key::StreamOptions || f.key == Key::Store && self.forbid_store)
            }
            Place::StreamOptions => f.object && f.key == Key::IncludeUsage,
            _ => false,
        });
        if rewritten || self.is_token_place() {
            self.scalar_at = Some(at);
        }
        if !self.top().is_some_and(|f| f.object && f.fact.takes_number()) {
            return Ok(Take::Skip);
        }
        self.number = Number::default();
        Ok(Take::Text)
    }

    fn number(&mut self, byte: u8) {
        self.number.push(byte);
    }

    fn scalar_end(&mut self, scalar: Scalar, to: u64) -> Result<(), RedactError> {
        let rewrite = self.scalar_at.take();
        let Some(&Frame { place, key, object: true, .. }) = self.top() else {
            // Text may come as a list of tokens.
            if scalar == Scalar::Number && self.is_token_place() {
                return self.unread_tokens();
            }
            self.text_bytes += if scalar == Scalar::Number { TOKEN_BYTES } else { 0 };
            self.value_end(to);
            return Ok(());
        };
        if scalar == Scalar::Number
            && let Some(fact) = self.top().map(|f| f.fact).filter(|f| f.takes_number())
        {
            self.tally.number(fact, &self.number, &mut self.facts);
        }
        let ask = self.ask_for_usage && self.facts.stream && !self.facts.usage_injected;
        match (place, key, scalar) {
            (Place::Top, Key::Model, _) => return invalid("`model` must be a string"),
            (Place::Top, Key::Stream, Scalar::True) => self.facts.stream = true,
            (Place::Top, Key::Store, _) if self.forbid_store => {
                self.store_seen = true;
                if scalar != Scalar::False {
                    self.rewrite(rewrite, to, b"false");
                }
            }
            (Place::Top, Key::Store | Key::Background, Scalar::True) => self.facts.stateful = true,
            (Place::Top, Key::Store, Scalar::False) => self.facts.unstored = true,
            (Place::Top, Key::StreamOptions, Scalar::Null) if ask => {
                self.rewrite(rewrite, to, USAGE_OPTION);
                self.facts.usage_injected = true;
            }
            (Place::StreamOptions, Key::IncludeUsage, Scalar::True) => {
                self.facts.usage_asked = true;
                self.seen |= USAGE_SEEN;
            }
            (Place::StreamOptions, Key::IncludeUsage, Scalar::False) => {
                self.seen |= USAGE_SEEN;
                if ask {
                    self.rewrite(rewrite, to, b"true");
                    self.facts.usage_injected = true;
                }
            }
            (Place::StreamOptions, Key::IncludeUsage, _) => self.seen |= USAGE_SEEN,
            _ => {}
        }
        self.value_end(to);
        Ok(())
    }
}

/// Bit of `seen`: `include_usage` stood in `stream_options`.
const USAGE_SEEN: u8 = 1 << 7;

fn frame_has_usage(seen: u8) -> bool {
    seen & USAGE_SEEN != 0
}

impl Body {
    /// Keeps the string that begins.
    fn begin_capture(&mut self) {
        self.spare.clear();
        self.spare.reserve(NAME_MAX);
        self.captured = Some(std::mem::take(&mut self.spare));
    }

    /// Whether the key at hand is text of the user: names that the API itself has stay.
    fn is_users_key(&self) -> bool {
        !self.schema.is_answer() && self.top().is_some_and(|f| f.place == Place::Data)
    }

    /// Whether a number here is a token that may not pass unread.
    fn is_token_place(&self) -> bool {
        if self.schema.token_field.is_empty() || self.rules.token_arrays == TokenArrays::Allow {
            return false;
        }
        // Lists within the list have its key.
        let holder = self.frames.iter().rev().find(|f| f.object);
        self.top().is_some_and(|f| !f.object)
            && holder.is_some_and(|f| f.api && matches!(f.key, Key::Input | Key::Prompt))
    }

    fn unread_tokens(&self) -> Result<(), RedactError> {
        let field = self.schema.token_field;
        Err(RedactError::Tokens {
            reason: format!(
                "token ids cannot be redacted here; send `{field}` as text (LangChain: check_embedding_ctx_length=False), or let \
                 the operator set `redaction.token_arrays`"
            ),
        })
    }

    /// Puts `bytes` in the place of a scalar that began at `from`.
    pub(crate) fn rewrite(&mut self, from: Option<u64>, to: u64, bytes: &[u8]) {
        if let Some(from) = from {
            self.out.advance(from);
            self.out.skip(to);
            self.out.write(bytes);
        }
    }
}
