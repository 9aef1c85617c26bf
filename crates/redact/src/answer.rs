//! Text that is no request body: query values, error messages, plain files, and answers on their
//! way to the log.
//!
//! Pure. Never fails: what cannot be understood as JSON is redacted as text, and bytes that are no
//! UTF-8 stay as they are and end what stands before them. The same promises as for bodies: any cut
//! gives the same bytes, in bounded memory.

use std::sync::{Arc, LazyLock};

use bytes::{Bytes, BytesMut};

use super::RulesSpec;
use super::block::{self, Block};
use super::capture::{self, Capture, Captured};

use super::mask::Own;
use super::out::Out;
use super::rules::kind;
use super::scan::{Blob, Look, Op, Scanner, holds_quoted_at};
use super::{
    Action, Attachments, BodyRedactor, Finding, Ledger, RedactError, Redacted, Rules, Schema,
};

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
    /// Where each kind stands in the ledger.
    counted: Vec<usize>,
    /// The last match stays, and so does what belongs to it.
    leaving: bool,
    /// Values that stay.
    own: Option<Own>,
}

impl TextRedactor {
    /// A redactor for one text.
    pub fn new(rules: &Rules) -> TextRedactor {
        let mut scanner = Scanner::new(Arc::clone(&rules.0), 0);
        scanner.begin(Look::All, None, Blob::None);
        TextRedactor {
            rules: Rules(Arc::clone(&rules.0)),
            scanner,
            out: Out::default(),
            ledger: Ledger::default(),
            offset: 0,
            pending: [0; 4],
            pending_len: 0,
            findings: None,
            counted: Vec::new(),
            leaving: false,
            own: None,
        }
    }

    /// A redactor for an answer on its way to a caller whose values these are, which stay.
    pub fn masking(rules: &Rules, own: &Own) -> TextRedactor {
        let mut redactor = TextRedactor::new(rules);
        redactor.scanner.digests = true;
        redactor.own = Some(own.clone());
        redactor
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
            let cut =
                at_end && std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
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

    /// The ledger so far.
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
                Op::Replace { from, to, kind, value, .. } => {
                    let what = &self.rules.0.kinds[kind as usize];
                    let stays = |own: &Own| !self.rules.0.masks(kind) || own.has(value);
                    self.leaving = self.own.as_ref().is_some_and(stays);
                    if self.leaving {
                        continue;
                    }
                    self.leaving = what.action == Action::Count;
                    if self.leaving {
                        self.ledger.leave(&what.name);
                        continue;
                    }
                    self.out.advance(from);
                    self.out.skip(to);
                    self.out.write(what.replacement.as_bytes());
                    if kind == kind::ATTACHMENT {
                        self.ledger.attachments += 1;
                    } else {
                        self.counted.resize(self.rules.0.kinds.len(), 0);
                        self.ledger.add_at(&mut self.counted[kind as usize], &what.name);
                    }
                    if let Some(findings) = &mut self.findings {
                        findings.push(Finding {
                            kind: Arc::clone(&what.name),
                            from,
                            to,
                            field: String::new(),
                        });
                    }
                }
                Op::Drop { .. } if self.leaving => {}
                Op::Drop { to } => self.out.skip(to),
            }
        }
    }
}

/// Redacts plain text (a query value, an error message of a provider, text put together from a
/// stream).
pub fn text(rules: &Rules, text: &str) -> (Redacted, Ledger) {
    let mut redactor = TextRedactor::new(rules);
    let mut out = Vec::new();
    redactor.push(Bytes::copy_from_slice(text.as_bytes()), &mut out);
    redactor.finish(&mut out);
    (Redacted(join(&out, usize::MAX)), redactor.ledger)
}

impl Rules {
    /// Whether [`text`] would find nothing in this text, as far as that shows without a closer
    /// look.
    pub fn is_harmless(&self, text: &str) -> bool {
        let (rules, text) = (&self.0, text.as_bytes());
        let mut digits = 0;
        rules.secrets.is_none()
            && rules.at_colon.is_empty()
            && !rules.windowed()
            && !holds_quoted_at(text)
            && memchr::memchr(b'\\', text).is_none()
            && (0..text.len()).step_by(block::LEN).all(|at| {
                let block = Block::of(text, at);
                digits += block.digits().count_ones();
                block.marks() == 0 && digits < rules.digits_min
            })
    }

    /// Whether a call with an attachment is refused.
    pub fn rejects_attachments(&self) -> bool {
        self.0.attachments == Attachments::Reject
    }
}

/// Whether a text holds a credential that shows by its prefix, whatever a policy looks for.
pub fn holds_secret(suspect: &str) -> bool {
    static SECRETS: LazyLock<Option<Rules>> = LazyLock::new(|| {
        let entities = vec!["api_key".to_owned()];
        Rules::compile(&RulesSpec {
            entities,
            attachments: Attachments::Allow,
            ..RulesSpec::default()
        })
        .ok()
    });
    let Some(rules) = &*SECRETS else { return false };
    let prefixed = rules.0.secrets.as_ref().is_some_and(|prefixes| prefixes.rare.is_match(suspect));
    prefixed && !text(rules, suspect).1.is_empty()
}

/// So much is redacted at once where nobody says otherwise.
const STEP_BYTES: usize = 16 << 10;

/// Redacts texts step by step and lets a body be made of them: what the gateway itself writes
/// around them is not looked at, so a word list cannot change an instruction.
#[derive(Debug)]
pub struct TextsRedactor<const N: usize> {
    rules: Rules,
    texts: [Bytes; N],
    at: usize,
    redactor: TextRedactor,
    pieces: Vec<Redacted>,
    clean: [BytesMut; N],
    ledger: Ledger,
}

impl<const N: usize> TextsRedactor<N> {
    /// Nothing is done yet.
    pub fn new(rules: &Rules, texts: [String; N]) -> TextsRedactor<N> {
        TextsRedactor {
            rules: Rules(Arc::clone(&rules.0)),
            texts: texts.map(Bytes::from),
            at: 0,
            redactor: TextRedactor::new(rules),
            pieces: Vec::new(),
            clean: std::array::from_fn(|_| BytesMut::new()),
            ledger: Ledger::default(),
        }
    }

    /// Redacts the next `bytes_max` bytes at most; whether that was all.
    pub fn step(&mut self, bytes_max: usize) -> bool {
        let (Some(text), Some(clean)) = (self.texts.get_mut(self.at), self.clean.get_mut(self.at))
        else {
            return true;
        };
        let step = text.split_to(bytes_max.clamp(1, STEP_BYTES).min(text.len()));
        self.redactor.push(step, &mut self.pieces);
        let over = text.is_empty();
        if over {
            self.redactor.finish(&mut self.pieces);
            let done = std::mem::replace(&mut self.redactor, TextRedactor::new(&self.rules));
            self.ledger.absorb(&done.ledger);
            self.at += 1;
        }
        self.pieces.drain(..).for_each(|Redacted(piece)| clean.extend_from_slice(&piece));
        self.at == N
    }

    /// Redacts what is left, and makes the body.
    ///
    /// # Errors
    /// An attachment (a `data:` URL) where the policy says `reject`.
    pub fn finish(
        mut self,
        build: impl FnOnce([&str; N]) -> String,
    ) -> Result<(Redacted, Ledger), RedactError> {
        while !self.step(STEP_BYTES) {}
        if self.ledger.attachments > 0 && self.rules.0.attachments == Attachments::Reject {
            return Err(RedactError::Attachment {
                reason: "attachments are not allowed".to_owned(),
            });
        }
        let kinds = self.rules.rejected(&self.ledger);
        if !kinds.is_empty() {
            return Err(RedactError::Sensitive { kinds });
        }
        // Text stays text: placeholders stand for whole matches, and those begin and end
        // between characters.
        let mut broken = false;
        let parts = self.clean.each_ref().map(|clean| {
            std::str::from_utf8(clean).unwrap_or_else(|_| {
                broken = true;
                ""
            })
        });
        let body = build(parts);
        if broken {
            Err(RedactError::Internal)
        } else {
            Ok((Redacted(Bytes::from(body)), self.ledger))
        }
    }
}

/// Redacts a provider's answer for the log, step by step: JSON as JSON, anything else as text, which
/// is kept as a JSON string; see [`Captured`]. Never fails: what cannot be understood as JSON is
/// redacted as text.
#[derive(Debug)]
pub struct AnswerRedactor {
    rules: Arc<Rules>,
    answer: Bytes,
    /// Of the answer, still to be redacted.
    rest: Bytes,
    /// `answer` is the whole answer.
    whole: bool,
    bytes_max: usize,
    way: Way,
    /// It is kept as JSON, not as text.
    is_json: bool,
    pieces: Vec<Redacted>,
    /// The redacted answer, as JSON and as text.
    capture: Capture,
    clean: BytesMut,
}

/// As what an answer is redacted.
#[derive(Debug)]
enum Way {
    Json(Box<BodyRedactor>),
    Text(Box<TextRedactor>),
    Done,
}

impl AnswerRedactor {
    /// Nothing is done yet. `whole` says whether `answer` is the whole answer.
    pub fn new(rules: &Arc<Rules>, answer: Bytes, whole: bool, bytes_max: usize) -> AnswerRedactor {
        let is_json = matches!(answer.iter().find(|b| !b.is_ascii_whitespace()), Some(b'{' | b'['));
        let mut redactor = AnswerRedactor {
            rules: Arc::clone(rules),
            rest: answer.clone(),
            answer,
            whole,
            bytes_max,
            way: Way::Done,
            is_json,
            pieces: Vec::new(),
            capture: Capture::answer(bytes_max),
            clean: BytesMut::new(),
        };
        if is_json {
            redactor.way =
                Way::Json(Box::new(BodyRedactor::new(Arc::clone(rules), Schema::ANSWER, false)));
        } else {
            redactor.as_text();
        }
        redactor
    }

    /// Bytes of the answer that have not been looked at.
    pub fn left(&self) -> usize {
        self.rest.len()
    }

    /// Redacts the next `bytes_max` bytes at most; whether that was all that the log keeps.
    pub fn step(&mut self, bytes_max: usize) -> bool {
        let step = self.rest.split_to(bytes_max.clamp(1, STEP_BYTES).min(self.rest.len()));
        let over = self.rest.is_empty();
        let understood = match &mut self.way {
            Way::Json(redactor) => {
                let pushed = redactor.push(step, &mut self.pieces);
                // Of an answer that was cut, what is certain so far is kept.
                pushed
                    .and_then(|()| {
                        if over && self.whole { redactor.finish(&mut self.pieces) } else { Ok(()) }
                    })
                    .is_ok()
            }
            Way::Text(redactor) => {
                redactor.push(step, &mut self.pieces);
                // The end of a text that goes on may be the beginning of a match.
                if over && self.whole {
                    redactor.finish(&mut self.pieces);
                }
                true
            }
            Way::Done => return true,
        };
        if !understood {
            self.as_text();
            return false;
        }
        let kept = if self.is_json {
            self.pieces.drain(..).for_each(|piece| self.capture.push(&piece));
            self.capture.bytes()
        } else {
            self.pieces.drain(..).for_each(|Redacted(piece)| self.clean.extend_from_slice(&piece));
            self.clean.len()
        };
        // More would not be kept.
        let full = kept > self.bytes_max;
        if over || full {
            self.way = Way::Done;
        }
        over || full
    }

    /// Takes the redacted part of the text, as the log keeps it.
    pub fn finish(self) -> Captured {
        let is_whole = self.whole && matches!(self.way, Way::Done);
        if self.clean.is_empty() && self.capture.bytes() == 0 {
            return Captured { is_cut: !is_whole, ..Captured::default() };
        }
        let kept = if self.is_json {
            self.capture.finish()
        } else {
            capture::text(&self.clean, self.bytes_max)
        };
        Captured { is_cut: kept.is_cut || !is_whole, ..kept }
    }

    /// Begins again, as text.
    fn as_text(&mut self) {
        self.pieces.clear();
        self.clean.clear();
        self.capture = Capture::answer(self.bytes_max);
        self.is_json = false;
        self.rest = match String::from_utf8_lossy(&self.answer) {
            std::borrow::Cow::Borrowed(_) => self.answer.clone(),
            std::borrow::Cow::Owned(text) => Bytes::from(text),
        };
        self.way = Way::Text(Box::new(TextRedactor::new(&self.rules)));
    }
}

/// The same at once, for short answers.
pub fn answer(rules: &Arc<Rules>, answer: &Bytes, whole: bool, bytes_max: usize) -> Captured {
    let mut redactor = AnswerRedactor::new(rules, answer.clone(), whole, bytes_max);
    while !redactor.step(STEP_BYTES) {}
    redactor.finish()
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
