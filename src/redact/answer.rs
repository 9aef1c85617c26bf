//! Text that is no request body: query values, error messages, plain files, and answers on their way to the log.
//!
//! Pure. Never fails: what cannot be understood as JSON is redacted as text, and bytes that are no UTF-8 stay as they are
//! and end what stands before them. The same promises as for bodies: any cut gives the same bytes, in bounded memory.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::out::Out;
use super::rules::kind;
use super::scan::{Look, Op, Scanner};
use super::{Attachments, BodyRedactor, Finding, Ledger, RedactError, Redacted, Rules, Shape};

/// Redacts a plain text, piece by piece.
#[derive(Debug)]
pub struct TextRedactor {
    rules: Rules,
    scanner: Scanner,
    out: Out,
    ledger: Ledger,
    offset: u64,
    /// The beginning of a character that is not complete.
    pending: [u8; 4],
    pending_len: usize,
    findings: Option<Vec<Finding>>,
}

impl TextRedactor {
    /// A redactor for one text.
    pub fn new(rules: &Rules) -> TextRedactor {
        let mut scanner = Scanner::new(Arc::clone(&rules.0), 0);
        scanner.begin(Look::All, None, false);
        TextRedactor {
            rules: Rules(Arc::clone(&rules.0)),
            scanner,
            out: Out::default(),
            ledger: Ledger::default(),
            offset: 0,
            pending: [0; 4],
            pending_len: 0,
            findings: None,
        }
    }

    /// From here on every match is kept for [`TextRedactor::findings`].
    pub fn explain(&mut self) {
        self.findings = Some(Vec::new());
    }

    /// Takes the matches found since the last time.
    pub fn findings(&mut self) -> Vec<Finding> {
        self.findings.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes the next piece and appends to `out` what may leave now.
    pub fn push(&mut self, piece: Bytes, out: &mut Vec<Redacted>) {
        self.out.begin(piece.clone());
        let mut i = 0;
        while self.pending_len > 0 && i < piece.len() {
            i += usize::from(self.complete(piece[i]));
        }
        for chunk in piece[i..].utf8_chunks() {
            self.text(chunk.valid());
            let invalid = chunk.invalid();
            let at_end = self.offset + invalid.len() as u64 == self.out.end_of_piece();
            let cut = at_end && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
            if cut {
                self.pending[..invalid.len()].copy_from_slice(invalid);
                self.pending_len = invalid.len();
            } else if !invalid.is_empty() {
                self.invalid(invalid.len());
            }
        }
        let safe = self.scanner.safe(self.offset);
        self.carry_out();
        self.out.end(safe, out);
    }

    /// Says that the text is complete.
    pub fn finish(&mut self, out: &mut Vec<Redacted>) {
        let pending = std::mem::take(&mut self.pending_len);
        self.invalid(pending);
        self.scanner.end();
        self.carry_out();
        self.out.end(self.offset, out);
    }

    /// What has been taken out so far.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Adds a byte to the character that is not complete; whether it was one of it.
    fn complete(&mut self, byte: u8) -> bool {
        self.pending[self.pending_len] = byte;
        let (pending, len) = (self.pending, self.pending_len + 1);
        match std::str::from_utf8(&pending[..len]) {
            Ok(text) => {
                self.pending_len = 0;
                self.text(text);
                true
            }
            Err(error) if error.error_len().is_none() => {
                self.pending_len = len;
                true
            }
            Err(_) => {
                let pending = std::mem::take(&mut self.pending_len);
                self.invalid(pending);
                false
            }
        }
    }

    fn text(&mut self, text: &str) {
        // In pieces, so that what was found is carried out before it piles up.
        let mut rest = text;
        while !rest.is_empty() {
            let mut n = rest.len().min(16 << 10);
            while !rest.is_char_boundary(n) {
                n -= 1;
            }
            self.scanner.text(&rest[..n], self.offset);
            self.offset += n as u64;
            self.carry_out();
            rest = &rest[n..];
        }
    }

    fn invalid(&mut self, n: usize) {
        for _ in 0..n {
            self.scanner.char(None, self.offset, self.offset + 1);
            self.offset += 1;
        }
        self.carry_out();
    }

    fn carry_out(&mut self) {
        for op in self.scanner.ops.drain(..) {
            match op {
                Op::Replace { from, to, kind, .. } => {
                    let what = &self.rules.0.kinds[kind as usize];
                    self.out.advance(from);
                    self.out.skip(to);
                    self.out.write(what.replacement.as_bytes());
                    if kind == kind::ATTACHMENT {
                        self.ledger.attachments += 1;
                    } else {
                        self.ledger.add(&what.name);
                    }
                    if let Some(findings) = &mut self.findings {
                        findings.push(Finding { kind: Arc::clone(&what.name), from, to, field: String::new() });
                    }
                }
                Op::Drop { to } => self.out.skip(to),
            }
        }
    }
}

/// Redacts plain text (a query value, an error message of a provider, text put together from a stream).
pub fn text(rules: &Rules, text: &str) -> (Redacted, Ledger) {
    let mut redactor = TextRedactor::new(rules);
    let mut out = Vec::new();
    redactor.push(Bytes::copy_from_slice(text.as_bytes()), &mut out);
    redactor.finish(&mut out);
    (Redacted(join(&out, usize::MAX)), redactor.ledger)
}

/// Redacts texts and lets `build` make a body of them: what the gateway itself writes around them is not looked at, so a
/// word list cannot change an instruction.
///
/// # Errors
/// An attachment (a `data:` URL) where the policy says `reject`.
pub fn within<const N: usize>(
    rules: &Rules,
    texts: [&str; N],
    build: impl FnOnce([&str; N]) -> String,
) -> Result<(Redacted, Ledger), RedactError> {
    let mut ledger = Ledger::default();
    let clean = texts.map(|raw| {
        let (clean, found) = text(rules, raw);
        ledger.absorb(&found);
        clean
    });
    if ledger.attachments > 0 && rules.0.attachments == Attachments::Reject {
        return Err(RedactError::Attachment { reason: "attachments are not allowed".to_owned() });
    }
    // What was text is text: placeholders stand for whole matches, and those begin and end between characters.
    let mut broken = false;
    let parts = clean.each_ref().map(|c| {
        std::str::from_utf8(c.as_bytes()).unwrap_or_else(|_| {
            broken = true;
            ""
        })
    });
    let body = build(parts);
    if broken { Err(RedactError::Internal) } else { Ok((Redacted(Bytes::from(body)), ledger)) }
}

/// Redacts a provider's answer for the log: JSON as JSON, anything else as text, cut at `bytes_max` after redaction.
/// `whole` says whether `answer` is the whole answer. Returns the text and whether it was cut. Never fails: what cannot
/// be understood as JSON is redacted as text.
pub fn answer(rules: &Arc<Rules>, answer: &Bytes, whole: bool, bytes_max: usize) -> (Redacted, bool) {
    let begins = answer.iter().find(|b| !b.is_ascii_whitespace());
    let mut redacted = None;
    if matches!(begins, Some(b'{' | b'[')) {
        let mut redactor = BodyRedactor::new(Arc::clone(rules), Shape::Answer, false);
        let mut out = Vec::new();
        let understood = redactor.push(answer.clone(), &mut out).is_ok();
        // Of an answer that was cut, what is certain so far is kept.
        if understood && (!whole || redactor.finish(&mut out).is_ok()) {
            redacted = Some(join(&out, bytes_max.saturating_add(4)));
        }
    }
    let redacted = redacted.unwrap_or_else(|| {
        let mut redactor = TextRedactor::new(rules);
        let mut out = Vec::new();
        redactor.push(Bytes::from(String::from_utf8_lossy(answer).into_owned()), &mut out);
        // What stands at the end of a text that goes on may be the beginning of a match.
        if whole {
            redactor.finish(&mut out);
        }
        join(&out, bytes_max.saturating_add(4))
    });
    if redacted.len() <= bytes_max {
        return (Redacted(redacted), !whole);
    }
    let mut end = bytes_max;
    while end > 0 && redacted[end] & 0xC0 == 0x80 {
        end -= 1;
    }
    (Redacted(redacted.slice(..end)), true)
}

/// Puts pieces together, as far as `bytes_max` needs.
fn join(pieces: &[Redacted], bytes_max: usize) -> Bytes {
    if let [Redacted(one)] = pieces {
        return one.clone();
    }
    let mut joined = BytesMut::new();
    for Redacted(piece) in pieces {
        if joined.len() > bytes_max {
            break;
        }
        joined.extend_from_slice(piece);
    }
    joined.freeze()
}
