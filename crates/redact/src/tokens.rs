//! Lists of tokens in a body, read as the text that they stand for.
//!
//! Before the redactor: `[9906, 11, 38]` in the field that may hold tokens becomes a JSON string,
//! and all other bytes pass as slices of the piece. The redactor then treats that string like any
//! other.
//!
//! Guarantees: any cut of the bytes gives the same text; at most [`WHITE_MAX`] bytes and one
//! character are kept between two pieces; a list of tokens is read whole or the body is refused.
//! Half a character at the end of a list becomes U+FFFD. Does not: know an encoding (see
//! [`Encodings`]), or count tokens for a bill.
//!
//! # Bounds
//! [`REDACT_TOKENS_MAX`] tokens of a body.

use std::fmt::Debug;
use std::mem;

use bytes::Bytes;

use super::RedactError;
use super::json::{Scalar, Sink, Take, Tokenizer};
use crate::bounds::{MODEL_BYTES_MAX, REDACT_TOKENS_MAX};

/// White space between the bracket of a list and its first element, in bytes.
const WHITE_MAX: u64 = 1024;

/// The tokens of one encoding.
pub trait Vocabulary: Debug + Sync {
    /// The name of the encoding.
    fn name(&self) -> &'static str;
    /// The bytes that a token stands for; they need not be whole characters.
    fn bytes_of(&self, token: u32) -> Option<&[u8]>;
}

/// The encodings of models.
pub trait Encodings: Debug + Sync {
    /// The vocabulary of a model, by its name in a body.
    fn of_model(&self, model: &str) -> Option<&'static dyn Vocabulary>;
    /// The vocabulary of most models. It is used for tokens that come before the model does; a
    /// model that turns out to have another is refused.
    fn usual(&self) -> &'static dyn Vocabulary;
}

/// Reads lists of tokens in one body.
#[derive(Debug)]
pub(crate) struct TokenReader {
    tokenizer: Tokenizer,
    lists: Lists,
}

impl TokenReader {
    /// For tokens in this top-level field.
    pub(crate) fn new(field: &'static str, encodings: &'static dyn Encodings) -> TokenReader {
        let lists = Lists {
            field,
            encodings,
            depth: 0,
            key: Key::Other,
            at: At::Nothing,
            name: Vec::new(),
            model: None,
            used: None,
            in_field: false,
            pending: None,
            list: false,
            number: Some(0),
            count: 0,
            text_bytes: 0,
            from: 0,
            held: Vec::new(),
            part: Vec::new(),
            text: Vec::new(),
            pieces: Vec::new(),
        };
        TokenReader { tokenizer: Tokenizer::new(), lists }
    }

    /// Takes the next piece of a body; returns what stands for it. If it is no JSON, or has tokens
    /// that cannot be read, that is what stands for the bytes before the mistake, and the error: a
    /// mistake of another kind that comes before is told first, wherever the body is cut.
    pub(crate) fn push(&mut self, chunk: &Bytes) -> (Bytes, Result<(), RedactError>) {
        let base = self.tokenizer.offset();
        let pushed = self.tokenizer.push(chunk, &mut self.lists);
        let end = self.tokenizer.offset();
        let chunk = &chunk.slice(..(end - base) as usize);
        let ended = self.lists.end_of_piece(base, end, chunk);
        (self.take(base, chunk), pushed.and(ended))
    }

    fn take(&mut self, base: u64, chunk: &Bytes) -> Bytes {
        let raw = |from: u64, to: u64| (from - base) as usize..(to - base) as usize;
        let pieces = mem::take(&mut self.lists.pieces);
        if let [Piece::Raw { from, to }] = pieces[..] {
            return chunk.slice(raw(from, to));
        }
        let mut whole = Vec::new();
        for piece in &pieces {
            match piece {
                Piece::Raw { from, to } => whole.extend_from_slice(&chunk[raw(*from, *to)]),
                Piece::Text(text) => whole.extend_from_slice(text),
            }
        }
        Bytes::from(whole)
    }

    /// The body is complete.
    ///
    /// # Errors
    /// It is not whole, or its tokens have no model.
    pub(crate) fn finish(&mut self) -> Result<(), RedactError> {
        self.tokenizer.finish(&mut self.lists)?;
        if self.lists.used.is_some() && self.lists.model.is_none() {
            let reason = "the body has token ids and no `model`, so they cannot be read; name it";
            return Err(RedactError::InvalidRequest { reason: reason.to_owned() });
        }
        Ok(())
    }

    /// The tokens so far, and the bytes of text that stand for them.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.lists.count as u64, self.lists.text_bytes)
    }

    /// Bytes that are kept between two pieces.
    pub(crate) fn held_bytes(&self) -> usize {
        self.lists.held.len() + self.lists.part.len() + self.lists.name.len()
    }
}

/// A name of the top level that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Other,
    Field,
    Model,
}

/// The string at hand, if it is one that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Nothing,
    Name,
    Model,
}

#[derive(Debug)]
enum Piece {
    /// Bytes of the piece at hand, by their offsets in the body.
    Raw {
        from: u64,
        to: u64,
    },
    Text(Vec<u8>),
}

#[derive(Debug)]
struct Lists {
    field: &'static str,
    encodings: &'static dyn Encodings,
    /// Objects and lists that are open.
    depth: usize,
    key: Key,
    at: At,
    /// The name, or the model, at hand.
    name: Vec<u8>,
    /// The vocabulary of the model, once that is known; `None` in it: not known here.
    model: Option<Option<&'static dyn Vocabulary>>,
    /// The vocabulary that was used.
    used: Option<&'static dyn Vocabulary>,
    /// The list that is the value of the field is open.
    in_field: bool,
    /// A list that may be one of tokens began here; its first element has not come.
    pending: Option<u64>,
    /// A list of tokens is open.
    list: bool,
    /// The number at hand; `None` where it is no token.
    number: Option<u32>,
    count: usize,
    /// Bytes of the text that stands for tokens, not escaped.
    text_bytes: u64,
    /// Raw bytes before it are dealt with.
    from: u64,
    /// Raw bytes of a pending list that came with earlier pieces.
    held: Vec<u8>,
    /// The beginning of a character whose end is in the next token.
    part: Vec<u8>,
    /// JSON text that stands for tokens.
    text: Vec<u8>,
    pieces: Vec<Piece>,
}

impl Lists {
    /// Raw bytes up to `to` pass.
    fn pass(&mut self, to: u64) {
        if self.from < to {
            self.pieces.push(Piece::Raw { from: self.from, to });
            self.from = to;
        }
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(Piece::Text(mem::take(&mut self.text)));
        }
    }

    fn end_of_piece(&mut self, base: u64, end: u64, chunk: &[u8]) -> Result<(), RedactError> {
        self.flush();
        match self.pending {
            Some(at) => {
                self.pass(at);
                check_white(at, end)?;
                let rest = chunk.get((self.from - base) as usize..);
                self.held.extend_from_slice(rest.unwrap_or_default());
            }
            None if self.list => {}
            None => self.pass(end),
        }
        self.from = end;
        Ok(())
    }

    /// A value begins at `at` that is no number: a pending list is one of other things.
    fn other_value(&mut self, at: u64) -> Result<(), RedactError> {
        if self.list {
            return Err(RedactError::InvalidRequest {
                reason: format!("a list of token ids in `{}` holds something else", self.field),
            });
        }
        if let Some(from) = self.pending.take() {
            check_white(from, at)?;
            if !self.held.is_empty() {
                let held = mem::take(&mut self.held);
                self.pieces.push(Piece::Text(held));
            }
        }
        Ok(())
    }

    fn begin_list(&mut self, at: u64) {
        self.pass(at);
        self.held.clear();
        self.list = true;
        self.text.push(b'"');
    }

    fn end_list(&mut self, at: u64) {
        if !mem::take(&mut self.part).is_empty() {
            self.text.extend_from_slice(REPLACEMENT);
            self.text_bytes += REPLACEMENT.len() as u64;
        }
        self.text.push(b'"');
        self.flush();
        self.list = false;
        self.from = at + 1;
    }

    fn vocabulary(&mut self) -> Result<&'static dyn Vocabulary, RedactError> {
        match (self.model, self.used) {
            (Some(Some(known)), _) => Ok(known),
            (Some(None), _) => Err(self.unknown()),
            (None, Some(used)) => Ok(used),
            (None, None) => Ok(self.encodings.usual()),
        }
    }

    /// The refusal of tokens of an encoding that is not known here.
    fn unknown(&self) -> RedactError {
        let field = self.field;
        RedactError::Tokens {
            reason: format!(
                "`{field}` holds token ids, and the encoding of this model is not known, so they cannot be redacted; send \
                 `{field}` as text (LangChain: check_embedding_ctx_length=False), or let the operator set \
                 `redaction.token_arrays: allow`"
            ),
        }
    }

    fn token(&mut self) -> Result<(), RedactError> {
        self.count += 1;
        if self.count > REDACT_TOKENS_MAX {
            let reason = format!("the body holds more than {REDACT_TOKENS_MAX} token ids");
            return Err(RedactError::InvalidRequest { reason });
        }
        let vocabulary = self.vocabulary()?;
        self.used = Some(vocabulary);
        let Some(bytes) = self.number.take().and_then(|token| vocabulary.bytes_of(token)) else {
            return Err(RedactError::InvalidRequest {
                reason: format!(
                    "`{}` holds a number that is no token of {}",
                    self.field,
                    vocabulary.name()
                ),
            });
        };
        let (text, counted) = (&mut self.text, &mut self.text_bytes);
        if self.part.is_empty() {
            self.part = append(text, counted, bytes);
        } else {
            let mut whole = mem::take(&mut self.part);
            whole.extend_from_slice(bytes);
            self.part = append(text, counted, &whole);
        }
        Ok(())
    }

    /// The model is known.
    fn model(&mut self) -> Result<(), RedactError> {
        let name = std::str::from_utf8(&self.name).ok().filter(|n| n.len() <= MODEL_BYTES_MAX);
        let found = name.and_then(|name| self.encodings.of_model(name));
        self.model = Some(found);
        match (self.used, found) {
            (Some(_), None) => Err(self.unknown()),
            (Some(used), Some(found)) if used.name() != found.name() => {
                let reason = format!(
                    "the token ids in `{}` came before `model`, which has the encoding {}; put `model` first",
                    self.field,
                    found.name()
                );
                Err(RedactError::InvalidRequest { reason })
            }
            _ => Ok(()),
        }
    }
}

fn check_white(from: u64, to: u64) -> Result<(), RedactError> {
    if to - from <= WHITE_MAX {
        return Ok(());
    }
    let reason = format!("more than {WHITE_MAX} bytes of white space at the beginning of a list");
    Err(RedactError::InvalidRequest { reason })
}

/// The replacement for half a character.
const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// Appends UTF-8 to the inside of a JSON string, and counts it; returns a character at the end that
/// is not whole.
fn append(text: &mut Vec<u8>, counted: &mut u64, bytes: &[u8]) -> Vec<u8> {
    let mut chunks = bytes.utf8_chunks().peekable();
    while let Some(chunk) = chunks.next() {
        *counted += chunk.valid().len() as u64;
        for byte in chunk.valid().bytes() {
            match byte {
                b'"' | b'\\' => text.extend_from_slice(&[b'\\', byte]),
                0..=0x1f => {
                    let hex = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                    text.extend_from_slice(b"\\u00");
                    text.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
                }
                _ => text.push(byte),
            }
        }
        let rest = chunk.invalid();
        let is_begun = std::str::from_utf8(rest).is_err_and(|e| e.error_len().is_none());
        if chunks.peek().is_none() && is_begun {
            return rest.to_vec();
        }
        if !rest.is_empty() {
            text.extend_from_slice(REPLACEMENT);
            *counted += REPLACEMENT.len() as u64;
        }
    }
    Vec::new()
}

impl Sink for Lists {
    fn open(&mut self, object: bool, at: u64) -> Result<(), RedactError> {
        self.other_value(at)?;
        let is_value = self.depth == 1 && self.key == Key::Field;
        if !object && (is_value || self.depth == 2 && self.in_field) {
            self.pending = Some(at);
        }
        if is_value {
            self.in_field = !object;
        }
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self, at: u64) -> Result<(), RedactError> {
        if self.list {
            self.end_list(at);
        } else {
            self.other_value(at)?;
        }
        self.depth -= 1;
        if self.depth == 1 {
            self.in_field = false;
        }
        Ok(())
    }

    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError> {
        if !key {
            self.other_value(at)?;
        }
        self.at = match (key, self.key) {
            _ if self.depth != 1 => At::Nothing,
            (true, _) => At::Name,
            (false, Key::Model) => At::Model,
            (false, _) => At::Nothing,
        };
        self.name.clear();
        Ok(if self.at == At::Nothing { Take::Skip } else { Take::Text })
    }

    fn plain(&mut self, text: &[u8], _: u64, _: bool) -> Result<(), RedactError> {
        let room = (MODEL_BYTES_MAX + 1).saturating_sub(self.name.len());
        self.name.extend_from_slice(&text[..text.len().min(room)]);
        Ok(())
    }

    fn wide(&mut self, text: &str, at: u64) -> Result<(), RedactError> {
        self.plain(text.as_bytes(), at, false)
    }

    fn char(&mut self, c: Option<char>, at: u64, _: u64) -> Result<(), RedactError> {
        let c = c.unwrap_or(char::REPLACEMENT_CHARACTER);
        self.plain(c.encode_utf8(&mut [0; 4]).as_bytes(), at, false)
    }

    fn string_end(&mut self, _: u64) -> Result<(), RedactError> {
        match mem::replace(&mut self.at, At::Nothing) {
            At::Nothing => {}
            At::Name if self.name == self.field.as_bytes() => self.key = Key::Field,
            At::Name if self.name == b"model" => self.key = Key::Model,
            At::Name => self.key = Key::Other,
            At::Model => self.model()?,
        }
        Ok(())
    }

    fn scalar(&mut self, at: u64) -> Result<Take, RedactError> {
        self.number = Some(0);
        if let Some(from) = self.pending {
            check_white(from, at)?;
        }
        let may_be_token = self.list || self.pending.is_some();
        Ok(if may_be_token { Take::Text } else { Take::Skip })
    }

    fn number(&mut self, byte: u8) {
        if let Some(at) = self.pending.take() {
            self.begin_list(at);
        }
        let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'));
        self.number =
            self.number.zip(digit).and_then(|(n, digit)| n.checked_mul(10)?.checked_add(digit));
    }

    fn scalar_end(&mut self, scalar: Scalar, to: u64) -> Result<(), RedactError> {
        if scalar == Scalar::Number {
            return if self.list { self.token() } else { Ok(()) };
        }
        self.other_value(to)
    }
}
