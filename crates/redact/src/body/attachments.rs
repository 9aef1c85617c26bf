//! Values that are attachments: found by their keys and types, then dropped, refused or let
//! through.
//!
//! A part is held back until its type is known, so that a dropped part leaves nothing behind.

use super::frame::{Frame, ITEM_CONTENT, Place};
use super::{ATTACHMENT_BYTES, Body, Drop, Note, invalid, refuse, text_in_base64};
use crate::facts::Fact;
use crate::keys::{Key, PartKind};
use crate::rules::kind;
use crate::scan::{Blob, Head, Media};
use crate::schema::Texts;
use crate::{Attachments, RedactError};

impl Body {
    /// A value begins at `at`: counts it, and decides whether it is dropped. `opaque`: it is a
    /// string or a container.
    pub(crate) fn value(&mut self, at: u64, opaque: bool, object: bool) -> Result<(), RedactError> {
        self.started = true;
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else {
            let any = self.schema.texts != Texts::Request;
            return if any || object {
                Ok(())
            } else {
                invalid("the request body must be a JSON object")
            };
        };
        frame.values += 1;
        if !opaque || self.drop.is_some() {
            return Ok(());
        }
        if frame.fact == Fact::Content {
            frame.item |= ITEM_CONTENT;
        }
        if self.schema.prompts && depth == 2 && frame.key == Key::Prompt && !frame.object {
            self.tally.prompts(u64::from(frame.values), &mut self.facts);
        }
        let (place, key, in_object) = (frame.place, frame.key, frame.object);
        if !in_object || self.schema.is_answer() {
            return Ok(());
        }
        match (place, key) {
            (Place::Part, Key::Attachment | Key::Blob | Key::Audio | Key::Source) => {
                self.part_key(at, object)
            }
            (Place::Item, Key::Audio) if object => self.drop_value(at, Note::Null),
            (
                Place::Item
                | Place::Typed
                | Place::Variables
                | Place::Plain
                | Place::Top
                | Place::Data,
                Key::Attachment,
            ) if place != Place::Data || self.schema.is_unknown() => {
                self.drop_value(at, Note::Text)
            }
            _ => Ok(()),
        }
    }

    /// A key that only attachments have stands in a content part.
    pub(crate) fn part_key(&mut self, at: u64, object: bool) -> Result<(), RedactError> {
        let waits = self.sees_documents();
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let named_by_string = frame.key == Key::Source && !object;
        if waits && frame.key == Key::Source && frame.text_source {
            return two_sources();
        }
        if waits && frame.key == Key::Source && object && frame.kind != Some(PartKind::Text) {
            // The source says what it is.
            return Ok(());
        }
        match frame.kind {
            Some(PartKind::Text) if frame.key == Key::Attachment || frame.key == Key::Audio => {
                refuse(format!(
                    "a content part of a text type may not carry `{}`",
                    String::from_utf8_lossy(&frame.name[..frame.name_len as usize])
                ))
            }
            None if !named_by_string => {
                frame.kind = Some(PartKind::Attachment);
                self.attachment_part(at)
            }
            _ => Ok(()),
        }
    }

    /// The part at hand is an attachment.
    pub(crate) fn attachment_part(&mut self, at: u64) -> Result<(), RedactError> {
        match self.rules.attachments {
            Attachments::Allow => {
                self.text_bytes += ATTACHMENT_BYTES;
                self.attach_to_message();
                self.release();
                Ok(())
            }
            Attachments::Reject => refuse("attachments are not allowed".to_owned()),
            Attachments::Drop => self.drop_part(at, self.frames.len() - 1),
        }
    }

    /// The part that is the frame of this number is an attachment, which its document or source has
    /// shown; what is open in it goes with it.
    pub(crate) fn attachment_at(&mut self, at: u64, part: usize) -> Result<(), RedactError> {
        if self.rules.attachments == Attachments::Reject {
            return refuse("attachments are not allowed".to_owned());
        }
        self.out.advance(at);
        for frame in &mut self.frames[part + 1..] {
            if std::mem::take(&mut frame.held) {
                self.held -= 1;
                // The part's own hold, which began before, says whether it can be dropped.
                let _ = self.out.discard();
            }
        }
        self.frames[part].document = false;
        self.drop_part(at, part)
    }

    fn drop_part(&mut self, at: u64, part: usize) -> Result<(), RedactError> {
        self.out.advance(at);
        let Some(frame) = self.frames.get_mut(part) else { return Ok(()) };
        let held = std::mem::take(&mut frame.held);
        self.held -= usize::from(held);
        let (noted, fields) = (frame.noted, frame.fields);
        self.facts.stored.truncate(frame.stored);
        if !held || !self.out.discard() {
            return refuse("the `type` of a content part must stand at its beginning".to_owned());
        }
        self.take_back(noted, fields);
        self.cut_message();
        self.attachment_noted(at, part);
        self.drop = Some(Drop { depth: part, note: Note::Part });
        self.out.set_dropping(true);
        Ok(())
    }

    /// Whether a document may be text: the format knows such, and attachments do not pass anyway.
    fn sees_documents(&self) -> bool {
        self.schema.text_documents && self.rules.attachments != Attachments::Allow
    }

    /// The type of an object is known, which may be the source of a document. Returns whether it
    /// decided about the document.
    fn source_typed(&mut self, at: u64, name: &[u8]) -> Result<bool, RedactError> {
        if !self.sees_documents() {
            return Ok(false);
        }
        let [.., part, source] = &mut self.frames[..] else { return Ok(false) };
        let may_hold = matches!(part.place, Place::Part | Place::Typed) && part.object;
        let is_source = part.key == Key::Source && source.place == Place::Typed && source.object;
        if !may_hold || !is_source {
            return Ok(false);
        }
        if part.text_source {
            return two_sources();
        }
        let is_text = matches!(name, b"text" | b"content");
        let may_be_document = part.document || part.kind.is_none();
        // Elsewhere a source may mean something else.
        if !may_be_document || !is_text && part.place == Place::Typed && !part.document {
            return Ok(false);
        }
        if source.kind.replace(PartKind::Text).is_some() {
            return refuse("the source of a content part has two types".to_owned());
        }
        let part_at = self.frames.len() - 2;
        if !is_text {
            self.frames[part_at].kind = Some(PartKind::Attachment);
            self.attachment_at(at, part_at)?;
            return Ok(true);
        }
        self.release();
        let part = &mut self.frames[part_at];
        part.text_source = true;
        if std::mem::take(&mut part.document) {
            part.kind = Some(PartKind::Text);
            self.release_at(part_at);
        }
        Ok(true)
    }

    /// Drops the value that begins at `at`.
    pub(crate) fn drop_value(&mut self, at: u64, note: Note) -> Result<(), RedactError> {
        match self.rules.attachments {
            Attachments::Allow => {
                self.text_bytes += ATTACHMENT_BYTES;
                self.attach_to_message();
                Ok(())
            }
            Attachments::Reject => refuse("attachments are not allowed".to_owned()),
            Attachments::Drop => {
                self.out.advance(at);
                self.attachment_noted(at, self.frames.len());
                self.drop = Some(Drop { depth: self.frames.len(), note });
                self.out.set_dropping(true);
                Ok(())
            }
        }
    }

    /// Lists of tokens spell a text out: in an answer that is masked they are emptied.
    pub(crate) fn spelt(&mut self, at: u64, object: bool) {
        let is = |f: &Frame| f.object && &f.name[..usize::from(f.name_len)] == b"logprobs";
        if self.masking && self.drop.is_none() && self.top().is_some_and(is) {
            self.out.advance(at);
            let note = if object { Note::Null } else { Note::Empty };
            self.drop = Some(Drop { depth: self.frames.len(), note });
            self.out.set_dropping(true);
        }
    }

    /// A value has ended before `to`; if it is the one that is dropped, its note takes its place.
    pub(crate) fn value_end(&mut self, to: u64) {
        if let Some(drop) = self.drop
            && drop.depth == self.frames.len()
        {
            self.out.skip(to);
            self.out.set_dropping(false);
            self.drop = None;
            let note: &[u8] = match drop.note {
                Note::Null => b"null",
                Note::Empty => b"[]",
                Note::Text => br#""[attachment removed]""#,
                Note::Part => self.schema.removed_part.as_bytes(),
            };
            self.out.write(note);
        }
    }

    pub(crate) fn attachment_noted(&mut self, at: u64, depth: usize) {
        self.ledger.attachments += 1;
        self.explain(kind::ATTACHMENT, at, at, depth);
        self.note_field(depth);
    }

    /// Lets the part at hand go.
    pub(crate) fn release(&mut self) {
        self.release_at(self.frames.len().wrapping_sub(1));
    }

    /// Lets the part go that is the frame of this number. What was opened in it is not held.
    fn release_at(&mut self, part: usize) {
        if let Some(frame) = self.frames.get_mut(part)
            && std::mem::take(&mut frame.held)
        {
            self.held -= 1;
            self.out.release();
            if self.held == 0 {
                self.noted.clear();
            }
        }
    }

    /// The `type` of an object is known.
    pub(crate) fn typed(&mut self, at: u64, name: &[u8]) -> Result<(), RedactError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if !matches!(frame.place, Place::Part | Place::Typed | Place::Item) || self.drop.is_some() {
            return Ok(());
        }
        let (strict, is_held) = (frame.place == Place::Part, frame.held);
        let kind = PartKind::of(name);
        if self.source_typed(at, name)? {
            return Ok(());
        }
        let waits = is_held && self.sees_documents() && name == b"document";
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        match (frame.kind, kind) {
            (None, _) if waits && frame.text_source => {
                frame.kind = Some(PartKind::Text);
                self.release();
                Ok(())
            }
            (None, _) if waits => {
                (frame.kind, frame.document) = (Some(PartKind::Attachment), true);
                Ok(())
            }
            // A key has shown it to be an attachment, which is allowed.
            (Some(PartKind::Attachment), _) if self.rules.attachments == Attachments::Allow => {
                Ok(())
            }
            (Some(_), _) if strict => refuse("a content part has two types".to_owned()),
            (_, PartKind::Attachment) => {
                frame.kind = Some(kind);
                self.attachment_part(at)
            }
            (_, PartKind::Text) => {
                frame.kind = Some(kind);
                self.release();
                Ok(())
            }
            (_, PartKind::Unknown) if strict && self.rules.attachments != Attachments::Allow => {
                refuse("a content part has a type that is not known".to_owned())
            }
            (_, PartKind::Unknown) => {
                self.release();
                Ok(())
            }
        }
    }

    /// The meaning of base64 in the string value at hand.
    pub(crate) fn blob(&self) -> Blob {
        let Some(frame) = self.top().filter(|_| !self.masking) else { return Blob::None };
        let users = frame.place == Place::Data && self.schema.texts == Texts::Request;
        if frame.key == Key::Opaque
            || frame.opaque && &frame.name[..frame.name_len as usize] == b"data"
        {
            return if users { Blob::None } else { Blob::Opaque };
        }
        let attached = |f: &Frame| matches!(f.key, Key::Blob | Key::Attachment | Key::Audio);
        if attached(frame) && self.drops_attachments() {
            return Blob::Replace;
        }
        if users || self.rules.attachments != Attachments::Allow || self.schema.is_answer() {
            return Blob::None;
        }
        let around = self.frames.iter().rev();
        let within = |f: &Frame| attached(f) || f.kind == Some(PartKind::Attachment);
        let url = matches!(&frame.name[..frame.name_len as usize], b"url" | b"uri" | b"bytes");
        let inside = attached(frame) || url && around.clone().take(3).any(within);
        if !inside {
            return Blob::None;
        }
        // The nearest that says something.
        let said = around.take(3).map(|f| match (f.media, f.key) {
            (Media::Unknown, Key::Attachment) => PartKind::media(&f.name[..f.name_len as usize]),
            (media, _) => media,
        });
        Blob::Allow(said.into_iter().find(|media| *media != Media::Unknown).unwrap_or_default())
    }

    /// The string at hand has ended, which stood where attachments do.
    pub(crate) fn attachment_end(&mut self) -> Result<(), RedactError> {
        let head = self.scanner.as_mut().and_then(|scanner| scanner.head.take());
        let bytes = std::mem::take(&mut self.data_bytes);
        if head == Some(Head::Plain) && !self.reading_key {
            self.text_bytes += bytes;
        }
        let Some(frame) =
            self.frames.last_mut().filter(|_| self.rules.attachments == Attachments::Allow)
        else {
            return Ok(());
        };
        if frame.key == Key::Opaque || frame.opaque || self.reading_key {
            return Ok(());
        }
        frame.encoded |= matches!(head, Some(Head::Sealed | Head::Text));
        if head == Some(Head::Text) || frame.encoded && frame.media == Media::Text {
            return text_in_base64();
        }
        Ok(())
    }

    /// The media type of the data at hand is known.
    pub(crate) fn media(&mut self, name: &[u8]) -> Result<(), RedactError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        frame.media = Media::of(name);
        let allowed = self.rules.attachments == Attachments::Allow && self.drop.is_none();
        if allowed && frame.encoded && frame.media == Media::Text {
            text_in_base64()
        } else {
            Ok(())
        }
    }

    /// Whether base64 where attachments stand is one.
    pub(crate) fn drops_attachments(&self) -> bool {
        self.rules.attachments != Attachments::Allow || self.schema.is_answer()
    }
}

fn two_sources<T>() -> Result<T, RedactError> {
    refuse("a content part has two sources".to_owned())
}
