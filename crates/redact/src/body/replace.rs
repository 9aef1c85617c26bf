//! Carries out the scanner's operations on the raw bytes, and keeps the ledger.

use std::sync::Arc;

use super::{Body, KindSeen, NAME_MAX, NOTED_MAX, refuse};
use crate::bounds::{REDACT_FIELDS_MAX, REJECT_LOOK_BYTES_MAX};
use crate::escape::escape;
use crate::placeholder::Mark;
use crate::rules::{KindId, kind};
use crate::scan::Op;
use crate::{Action, Attachments, Finding, RedactError};

/// Bytes that go on with a character. Counted in bytes first, of which compilers add up many at
/// once.
fn continuation_bytes(text: &[u8]) -> u64 {
    let continues = |byte: &u8| u8::from(byte & 0b1100_0000 == 0b1000_0000);
    let of = |part: &[u8]| part.iter().map(continues).sum::<u8>();
    text.chunks(usize::from(u8::MAX)).map(|part| u64::from(of(part))).sum()
}

impl Body {
    /// Does what the scanner found.
    #[inline]
    pub(crate) fn carry_out(&mut self) -> Result<(), RedactError> {
        let found = self.scanner.as_ref().is_some_and(|scanner| !scanner.ops.is_empty());
        if found { self.carry_out_ops() } else { Ok(()) }
    }

    pub(crate) fn carry_out_ops(&mut self) -> Result<(), RedactError> {
        if self.key_at.is_some() {
            if self.captured.as_ref().is_some_and(|name| name.len() <= NAME_MAX) {
                return Ok(());
            }
            self.key_at = None;
        }
        let Some(scanner) = &mut self.scanner else { return Ok(()) };
        let mut ops = std::mem::take(&mut scanner.ops);
        let rules = Arc::clone(&self.rules);
        for op in ops.drain(..) {
            match op {
                Op::Replace { from, to, kind, escapes, quote, value } => {
                    if self.drop.is_some() || kind == kind::TEXT && self.keep(from, to, escapes) {
                        continue;
                    }
                    if kind == kind::ATTACHMENT && self.rules.attachments == Attachments::Reject {
                        return refuse(
                            "attachments are not allowed (a `data:` URL in a text)".to_owned(),
                        );
                    }
                    self.leaving = self.is_own(kind, value);
                    if self.leaving {
                        continue;
                    }
                    match self.rules.kinds[kind as usize].action {
                        Action::Mask => {}
                        Action::Count => {
                            self.leave(kind, from, to);
                            continue;
                        }
                        Action::Reject if !self.schema.is_answer() => self.reject(kind, from),
                        Action::DropMessage => self.remove_message(kind),
                        Action::Reject => {}
                    }
                    self.out.advance(from);
                    let replacement = &*rules.kinds[kind as usize].replacement;
                    let seen = self.note(kind);
                    let mark = if seen.marked { self.mark(kind, from, to, escapes) } else { None };
                    if kind == kind::ATTACHMENT {
                        self.discount(to);
                    }
                    self.out.skip(to);
                    self.write_mark(quote);
                    if escapes > 0 && seen.escaped {
                        self.out
                            .write(escape(replacement, escapes + u8::from(quote > 0)).as_bytes());
                    } else if let Some(mark) = mark {
                        self.out.write(&replacement.as_bytes()[..replacement.len() - 1]);
                        self.out.write(b"_");
                        mark.with(|mark| self.out.write(mark.as_bytes()));
                        self.out.write(b"]");
                    } else {
                        self.out.write(replacement.as_bytes());
                    }
                    self.write_mark(quote);
                    self.explain(kind, from, to, self.frames.len());
                }
                Op::Drop { .. } if self.leaving => {}
                Op::Drop { to } => {
                    self.discount(to);
                    self.out.skip(to);
                }
            }
        }
        if let Some(scanner) = &mut self.scanner {
            scanner.ops = ops;
        }
        Ok(())
    }

    /// Whether a match in an answer stays. One in a request is noted.
    fn is_own(&self, kind: KindId, value: u64) -> bool {
        match &self.own {
            Some(own) if self.masking => !self.rules.masks(kind) || own.has(value),
            // The end of a credential is not kept.
            Some(own) if !kind::is_open(kind) && self.rules.masks(kind) => {
                own.add(value);
                false
            }
            _ => false,
        }
    }

    /// A match that stays is counted.
    fn leave(&mut self, kind: KindId, from: u64, to: u64) {
        self.leaving = true;
        let name = Arc::clone(&self.rules.kinds[kind as usize].name);
        self.ledger.leave(&name);
        self.explain(kind, from, to, self.frames.len());
    }

    /// A match for which the body is refused.
    fn reject(&mut self, kind: KindId, from: u64) {
        let first = *self.rejected_at.get_or_insert(from);
        if from <= first + REJECT_LOOK_BYTES_MAX && !self.rejected.contains(&kind) {
            self.rejected.push(kind);
        }
    }

    /// Writes a quotation mark, escaped so many times; 0 for none.
    pub(crate) fn write_mark(&mut self, escapes: u8) {
        match escapes {
            0 => {}
            1 => self.out.write(br#"\""#),
            _ => self.out.write(br#"\\\""#),
        }
    }

    /// Counts this number of ASCII characters.
    pub(crate) fn count_ascii(&mut self, chars: usize) {
        let counter = if self.data { &mut self.data_bytes } else { &mut self.text_bytes };
        *counter += chars as u64;
    }

    /// Counts text, which is what a model will read.
    pub(crate) fn count(&mut self, text: &[u8]) {
        let bytes = text.len() as u64;
        if self.data {
            self.data_bytes += bytes;
        } else {
            self.text_bytes += bytes;
            self.continuation_bytes += continuation_bytes(text);
        }
    }

    /// An attachment in a text is dropped up to `to`: it was no text.
    pub(crate) fn discount(&mut self, to: u64) {
        self.text_bytes = self.text_bytes.saturating_sub(to.saturating_sub(self.out.done()));
    }

    /// The mark of the placeholder for the match at `from..to`, where there is one.
    pub(crate) fn mark(&mut self, kind: KindId, from: u64, to: u64, escapes: u8) -> Option<Mark> {
        let id = self.rules.kinds[kind as usize].marked_as;
        self.with_raw(from, to, |this, raw| {
            let values = this.values.as_ref()?;
            let first = &this.rules.kinds[id as usize];
            if escapes == 0 || memchr::memchr(b'\\', raw).is_none() {
                return values.mark(id, first, raw);
            }
            let raw = std::str::from_utf8(raw).ok()?;
            values.mark(id, first, unescape(raw.to_owned(), escapes)?.as_bytes())
        })
    }

    /// Whether what looks like a placeholder stays, because the provider has signed the text or it
    /// is a name: then it stands for no value of this call.
    fn keep(&mut self, from: u64, to: u64, escapes: u8) -> bool {
        if self.changeable {
            return false;
        }
        self.with_raw(from, to, |this, raw| {
            let raw = String::from_utf8_lossy(raw).into_owned();
            let written = unescape(raw.clone(), escapes).unwrap_or(raw);
            if let Some(values) = &this.values {
                values.take(&written);
            }
        });
        true
    }

    /// Shows the raw bytes of a match.
    fn with_raw<T>(&mut self, from: u64, to: u64, take: impl FnOnce(&Body, &[u8]) -> T) -> T {
        let (kept, piece) = self.out.raw(from, to);
        if kept.is_empty() {
            return take(self, piece);
        }
        let mut value = std::mem::take(&mut self.value);
        value.clear();
        value.extend_from_slice(kept);
        value.extend_from_slice(piece);
        let taken = take(self, &value);
        self.value = value;
        taken
    }

    /// Counts a match of this kind.
    pub(crate) fn note(&mut self, kind: KindId) -> KindSeen {
        let rules = &self.rules.kinds[kind as usize];
        if self.kinds.len() <= kind as usize {
            self.kinds.resize(self.rules.kinds.len(), None);
        }
        let seen = self.kinds[kind as usize].get_or_insert_with(|| KindSeen {
            counted: 0,
            marked: self.values.is_some() && rules.mark.is_some(),
            escaped: rules.replacement.bytes().any(|b| matches!(b, b'"' | b'\\' | 0..=0x1F)),
        });
        match kind {
            // It was no value.
            kind::TEXT => return *seen,
            kind::ATTACHMENT => self.ledger.attachments += 1,
            _ => self.ledger.add_at(&mut seen.counted, &rules.name),
        }
        let seen = *seen;
        if self.held > 0 && self.noted.len() < NOTED_MAX {
            self.noted.push(kind);
        }
        if !std::mem::replace(&mut self.place_noted, true) {
            self.note_field(self.frames.len());
        }
        seen
    }

    /// Takes back what was noted in a part that is dropped whole.
    pub(crate) fn take_back(&mut self, noted: usize, fields: usize) {
        for kind in self.noted.drain(noted.min(self.noted.len())..) {
            if kind == kind::ATTACHMENT {
                self.ledger.attachments -= 1;
            } else {
                self.ledger.remove(&self.rules.kinds[kind as usize].name);
            }
        }
        self.ledger.fields.truncate(fields);
        self.digests.truncate(fields);
    }

    pub(crate) fn explain(&mut self, kind: KindId, from: u64, to: u64, depth: usize) {
        if self.findings.is_some() && kind != kind::TEXT {
            let field = self.path(depth);
            let kind = Arc::clone(&self.rules.kinds[kind as usize].name);
            self.findings.get_or_insert_default().push(Finding { kind, from, to, field });
        }
    }

    /// The place at hand, by the names of the API; names that are user data are not told.
    pub(crate) fn path(&mut self, depth: usize) -> String {
        self.write_path(depth);
        self.path.clone()
    }

    /// Writes the place at hand and tells its digest. Only what was opened since the last time is
    /// written.
    pub(crate) fn write_path(&mut self, depth: usize) -> u64 {
        let known = self.frames[..depth].iter().rposition(|f| f.path.is_some()).unwrap_or(0);
        let mut path = self.frames.get(known).and_then(|f| f.path).unwrap_or_default();
        self.path.truncate(path.len);
        for frame in &mut self.frames[known..depth] {
            frame.path = Some(path);
            frame.write_key(&mut self.path);
            for chunk in self.path.as_bytes()[path.len..].chunks(8) {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                path.digest = (path.digest.rotate_left(5) ^ u64::from_le_bytes(word))
                    .wrapping_mul(0x517c_c1b7_2722_0a95);
            }
            path.len = self.path.len();
        }
        path.digest
    }

    /// Notes in the ledger where the body is.
    pub(crate) fn note_field(&mut self, depth: usize) {
        if self.ledger.fields.len() >= REDACT_FIELDS_MAX {
            return;
        }
        let digest = self.write_path(depth);
        // Two paths with one digest would be told as one, which no count depends on.
        if !self.digests.contains(&digest) {
            self.ledger.fields.push(self.path.clone());
            self.digests.push(digest);
        }
    }
}

/// Undoes [`escape`]; nothing if `text` is not escaped so many times, or holds half a surrogate
/// pair.
fn unescape(text: String, times: u8) -> Option<String> {
    (0..times).try_fold(text, |text, _| match short_unescaped(&text) {
        Some(text) => Some(text),
        None => serde_json::from_str(&format!("\"{text}\"")).ok(),
    })
}

/// The same for one level of escapes, none of which has a number.
fn short_unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(n) = rest.bytes().position(|b| matches!(b, b'\\' | b'"' | 0..=0x1F)) {
        let (before, from) = rest.split_at(n);
        let [b'\\', byte @ (b'"' | b'\\' | b'/' | b'n' | b'r' | b't'), ..] = from.as_bytes() else {
            return None;
        };
        out.push_str(before);
        out.push(match byte {
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            other => char::from(*other),
        });
        rest = &from[2..];
    }
    out.push_str(rest);
    Some(out)
}
