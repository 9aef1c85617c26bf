//! Forms (`multipart/form-data`): their text fields are redacted as fields of a JSON body, their
//! files by the policy for attachments.
//!
//! Stage 6 of the walk. Pure. The text fields of a form become one flat JSON object, which the
//! redactor reads like any other body, so that detection, placeholders, actions and facts are the
//! same; the redacted members become fields again. The form is written anew with another boundary,
//! so that nothing of the head of a part passes but its name, its file name and its media type.
//!
//! Guarantees: any cut of a form gives the same bytes; memory does not grow with it; bytes of binary
//! files leave as slices of the input. A file that is text is redacted as text while it passes;
//! bytes of it that are no UTF-8 stay. Does not: look into binary files, or take one file out of a
//! form: where files are not allowed, the form is refused.
//!
//! # Bounds
//! [`FORM_PARTS_MAX`] parts, [`FORM_HEAD_BYTES_MAX`](crate::bounds::FORM_HEAD_BYTES_MAX) for the
//! head of each.

mod head;
mod members;
mod parts;
#[cfg(test)]
mod tests;
mod writer;

use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use crate::body::ATTACHMENT_BYTES;
use crate::bounds::FORM_PARTS_MAX;
use crate::scan::{Media, is_wide_text};
use crate::{Attachments, BodyRedactor, RedactError, Redacted, Rules, TextRedactor, text};
use members::Members;
use parts::{Parts, Piece, invalid};
use writer::{FileField, Pending, Writer, extension};

/// Fields whose values are no strings in JSON, as far as the redactor looks for facts in them.
const TYPED: [&str; 2] = ["stream", "n"];
/// Longest value of such a field that is not a string.
const TYPED_BYTES_MAX: usize = 8;
/// So many bytes of a file show whether it is text.
const SNIFFED_BYTES: usize = 512;

/// Reads one form.
#[derive(Debug)]
pub(crate) struct Form {
    parts: Parts,
    count: usize,
    part: Part,
    /// The members of the fields that have not been redacted yet.
    json: Vec<u8>,
    members: Members,
    writer: Writer,
    /// Redacted members, for the log.
    fields: Vec<Redacted>,
}

/// The part at hand.
#[derive(Debug)]
enum Part {
    None,
    /// A text field.
    Text,
    /// A field that may be a number or a truth value: its value so far.
    Typed(Vec<u8>),
    /// A file of which too little has come to know whether it is text, and whether its media type
    /// says so.
    Unknown(Vec<u8>, Media),
    Binary,
    TextFile(Box<TextRedactor>),
}

impl BodyRedactor {
    /// The body is a form with this boundary, and is written with the boundary `written`, which must
    /// not be known to its client. Call it before the first piece, and no method that concerns JSON
    /// alone.
    pub fn read_form(&mut self, boundary: &[u8], written: &[u8]) {
        self.form = Some(Box::new(Form {
            parts: Parts::new(boundary),
            count: 0,
            part: Part::None,
            json: b"{".to_vec(),
            members: Members::default(),
            writer: Writer::new(written),
            fields: Vec::new(),
        }));
    }

    /// The redacted text fields and file names of a form as JSON, for the log, as far as they have
    /// come since the last time. Nothing if the body is no form: then it is the JSON itself.
    pub fn form_fields(&mut self) -> Option<Vec<Redacted>> {
        self.form.as_mut().map(|form| mem::take(&mut form.fields))
    }
}

impl Form {
    /// Takes the next bytes of the form.
    pub(crate) fn push(
        &mut self,
        chunk: Bytes,
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        self.parts.feed(chunk);
        let read = self.read(redactor, out);
        // A mistake in an earlier field is reported first, wherever the form is cut.
        self.redact(redactor)?;
        self.hand_on(out);
        read
    }

    fn read(
        &mut self,
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        while let Some(piece) = self.parts.next()? {
            match piece {
                Piece::Head(head) => self.begin(&head, redactor, out)?,
                Piece::Content(content) => self.content(content, redactor, out)?,
                Piece::PartEnd => self.end(redactor, out)?,
            }
        }
        Ok(())
    }

    /// The form has ended; its JSON is complete after it.
    pub(crate) fn finish(
        &mut self,
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        self.parts.finish()?;
        self.json.push(b'}');
        self.redact_all(redactor)?;
        self.writer.end_form();
        self.hand_on(out);
        Ok(())
    }

    /// Bytes that are kept between two pieces.
    pub(crate) fn held_bytes(&self) -> usize {
        let part = match &self.part {
            Part::Typed(value) | Part::Unknown(value, _) => value.len(),
            _ => 0,
        };
        self.parts.held_bytes() + self.json.len() + self.members.held_bytes() + part
    }

    fn begin(
        &mut self,
        head: &[u8],
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        self.count += 1;
        if self.count > FORM_PARTS_MAX {
            return invalid("it has too many parts");
        }
        let head = head::read(head)?;
        if self.count > 1 {
            self.json.push(b',');
        }
        let Some(filename) = head.filename else {
            self.json.push(b'"');
            escape(head.name.as_bytes(), &mut self.json);
            self.json.extend_from_slice(b"\":");
            self.part = if TYPED.contains(&head.name.as_str()) {
                Part::Typed(Vec::new())
            } else {
                self.json.push(b'"');
                Part::Text
            };
            self.writer.pending.push_back(Pending { media: head.media, file: None });
            return Ok(());
        };
        self.check_file(&head.name, redactor)?;
        self.json.extend_from_slice(b"\"filename\":\"");
        escape(filename.as_bytes(), &mut self.json);
        self.json.push(b'"');
        let file = FileField { name: head.name, extension: extension(&filename) };
        let media = head.media.as_ref().map_or(Media::Unknown, |m| Media::of(m.as_bytes()));
        self.writer.pending.push_back(Pending { media: head.media, file: Some(file) });
        // The content of the file follows at once.
        self.redact_all(redactor)?;
        redactor.body.text_bytes += ATTACHMENT_BYTES;
        self.part = Part::Unknown(Vec::new(), media);
        self.hand_on(out);
        Ok(())
    }

    /// Whether a file may pass, and its field is named by the API.
    fn check_file(&self, name: &str, redactor: &BodyRedactor) -> Result<(), RedactError> {
        let reason = match redactor.body.rules.attachments {
            Attachments::Allow => {
                let rules = Rules(Arc::clone(&redactor.body.rules));
                let plain =
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.[]".contains(&b));
                if plain && text(&rules, name).1.is_empty() {
                    return Ok(());
                }
                return invalid("the field of a file has a name that is none of an API");
            }
            Attachments::Drop => {
                "the form holds a file. The policy takes files out, and a form cannot do without \
                 its file, so the call was refused; `redaction.attachments: allow` lets files pass"
            }
            Attachments::Reject => "attachments are not allowed (the form holds a file)",
        };
        Err(RedactError::Attachment { reason: reason.to_owned() })
    }

    fn content(
        &mut self,
        mut content: Bytes,
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        match &mut self.part {
            Part::None => return Err(RedactError::Internal),
            Part::Text => escape(&content, &mut self.json),
            Part::Typed(value) if value.len() + content.len() <= TYPED_BYTES_MAX => {
                value.extend_from_slice(&content);
            }
            Part::Typed(value) => {
                self.json.push(b'"');
                escape(value, &mut self.json);
                escape(&content, &mut self.json);
                self.part = Part::Text;
            }
            Part::Unknown(begun, _) => {
                // So many bytes decide, however the file is cut.
                let first = content.split_to((SNIFFED_BYTES - begun.len()).min(content.len()));
                begun.extend_from_slice(&first);
                if begun.len() == SNIFFED_BYTES {
                    self.sniff(redactor, out)?;
                    return self.content(content, redactor, out);
                }
            }
            Part::Binary => self.writer.pass(content, out),
            Part::TextFile(redactor) => {
                let from = out.len();
                redactor.push(content, out);
                self.writer.given += bytes_of(&out[from..]);
            }
        }
        Ok(())
    }

    /// Enough of a file has come, or all of it.
    ///
    /// # Errors
    /// It is a text that cannot be read.
    fn sniff(
        &mut self,
        redactor: &BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        let Part::Unknown(begun, media) = mem::replace(&mut self.part, Part::Binary) else {
            return Err(RedactError::Internal);
        };
        let begun = Bytes::from(begun);
        let wide = is_wide_text(&begun) && !(media == Media::Binary && begun[0] >= 0xFE);
        if wide || media == Media::Text && !is_text(&begun) {
            let reason = "the form holds a text that cannot be read; send it in UTF-8";
            return Err(RedactError::Attachment { reason: reason.to_owned() });
        }
        if !is_text(&begun) {
            self.writer.pass(begun, out);
            return Ok(());
        }
        let mut text = TextRedactor::new(&Rules(Arc::clone(&redactor.body.rules)));
        let from = out.len();
        text.push(begun, out);
        self.writer.given += bytes_of(&out[from..]);
        self.part = Part::TextFile(Box::new(text));
        Ok(())
    }

    fn end(
        &mut self,
        redactor: &mut BodyRedactor,
        out: &mut Vec<Redacted>,
    ) -> Result<(), RedactError> {
        if matches!(self.part, Part::Unknown(..)) {
            self.sniff(redactor, out)?;
        }
        match mem::replace(&mut self.part, Part::None) {
            Part::None | Part::Unknown(..) => return Err(RedactError::Internal),
            Part::Text => self.json.push(b'"'),
            Part::Typed(value) if is_scalar(&value) => self.json.extend_from_slice(&value),
            Part::Typed(value) => {
                self.json.push(b'"');
                escape(&value, &mut self.json);
                self.json.push(b'"');
            }
            Part::Binary => self.writer.out.extend_from_slice(b"\r\n"),
            Part::TextFile(mut text) => {
                let from = out.len();
                text.finish(out);
                self.writer.given += bytes_of(&out[from..]);
                self.writer.out.extend_from_slice(b"\r\n");
                redactor.body.ledger.absorb(text.ledger());
                let kinds = Rules(Arc::clone(&redactor.body.rules)).rejected(text.ledger());
                if !kinds.is_empty() {
                    return Err(RedactError::Sensitive { kinds });
                }
            }
        }
        Ok(())
    }

    /// Redacts the members so far, all of which are whole.
    fn redact_all(&mut self, redactor: &mut BodyRedactor) -> Result<(), RedactError> {
        self.redact(redactor)?;
        if self.writer.pending.is_empty() {
            return Ok(());
        }
        // Nothing leaves a body that is refused.
        Err(redactor.body.refusal(None).unwrap_or(RedactError::Internal))
    }

    /// Redacts the members so far, and writes them as parts.
    fn redact(&mut self, redactor: &mut BodyRedactor) -> Result<(), RedactError> {
        if self.json.is_empty() {
            return Ok(());
        }
        let mut pieces = Vec::new();
        let json = Bytes::from(mem::take(&mut self.json));
        redactor.step(json, &mut pieces).map_err(of_a_field)?;
        for piece in &pieces {
            self.members
                .push(piece.as_bytes(), &mut self.writer)
                .map_err(|_| RedactError::Internal)?;
        }
        self.fields.append(&mut pieces);
        if redactor.body.locate_model {
            redactor.body.facts.model_at = self.writer.model_at;
        }
        Ok(())
    }

    fn hand_on(&mut self, out: &mut Vec<Redacted>) {
        self.writer.pass(Bytes::new(), out);
    }
}

/// Appends `text` as it stands in a JSON string.
fn escape(text: &[u8], json: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | 0..=0x1f)) {
        json.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'\n' => json.extend_from_slice(b"\\n"),
            b'\r' => json.extend_from_slice(b"\\r"),
            b'\t' => json.extend_from_slice(b"\\t"),
            b @ (b'"' | b'\\') => json.extend_from_slice(&[b'\\', b]),
            b => {
                let digits = [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]];
                json.extend_from_slice(b"\\u00");
                json.extend_from_slice(&digits);
            }
        }
        rest = &rest[at + 1..];
    }
    json.extend_from_slice(rest);
}

/// Whether a value is a truth value or a small number in JSON.
fn is_scalar(value: &[u8]) -> bool {
    let is_number =
        matches!(value, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit));
    is_number || matches!(value, b"true" | b"false" | b"0")
}

/// Whether a file that begins so is text: it has no control characters but those of texts, or one
/// and a few more. (Of data that are compressed a tenth are control characters.)
fn is_text(begun: &[u8]) -> bool {
    let control = |b: &&u8| matches!(b, 0..=8 | 0x0e..=0x1a | 0x1c..=0x1f | 0x7f);
    let controls = begun.iter().filter(control).count();
    !begun.starts_with(b"%PDF-") && controls <= 1 + begun.len() / 64
}

fn bytes_of(pieces: &[Redacted]) -> u64 {
    pieces.iter().map(|piece| piece.as_bytes().len() as u64).sum()
}

/// An error of the JSON, as the client of a form understands it.
fn of_a_field(error: RedactError) -> RedactError {
    match error {
        RedactError::InvalidJson { reason, .. } => RedactError::InvalidRequest {
            reason: format!(
                "a text field of the form cannot be read ({reason}); send files with a file name"
            ),
        },
        error => error,
    }
}
