//! Takes personal data and attachments out of JSON and text while they stream.
//!
//! Pure: no I/O, no clock. For every way of cutting a body the joined output is the same; no byte
//! of a match is ever released; the output so far is a prefix of the whole output; bytes outside
//! matches leave as they came, most of them as slices of the input; memory does not grow with the
//! body; a body that cannot be understood is refused. The crate does not look inside images or
//! archives, does not undo base64, knows no names and addresses, and does not change JSON numbers.
//!
//! A [`Schema`] says how a format of bodies is read. A JSON body, chunk by chunk:
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Bytes;
//! use tollgate_redact::{BodyRedactor, Rules, RulesSpec, Schema};
//!
//! let spec = RulesSpec { entities: vec!["email".into(), "phone".into()], ..RulesSpec::default() };
//! let rules = Arc::new(Rules::compile(&spec).expect("known entities"));
//! let mut redactor = BodyRedactor::new(rules, Schema::REQUEST, false);
//! let mut out = Vec::new();
//! let body = r#"{"messages":[{"role":"user","content":"I am jane@example.com"}]}"#;
//! let (first, second) = body.split_at(50);
//! for chunk in [first, second] {
//!     redactor.push(Bytes::from_static(chunk.as_bytes()), &mut out)?;
//! }
//! redactor.finish(&mut out)?;
//! let text: Vec<u8> = out.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect();
//! let expected = r#"{"messages":[{"role":"user","content":"I am [REDACTED_EMAIL]"}]}"#;
//! assert_eq!(text, expected.as_bytes());
//! assert_eq!(redactor.ledger().count("email"), 1);
//! # Ok::<(), tollgate_redact::RedactError>(())
//! ```
//!
//! Plain text, with the replacement of the kind in the place of each match:
//!
//! ```
//! use std::sync::Arc;
//! use tollgate_redact::{Rules, RulesSpec, text};
//!
//! let spec = RulesSpec { entities: vec!["phone".into()], ..RulesSpec::default() };
//! let rules = Arc::new(Rules::compile(&spec).expect("known entities"));
//! let (redacted, ledger) = text(&rules, "Call +44 20 7946 0958.");
//! assert_eq!(redacted.as_bytes(), "Call [REDACTED_PHONE].".as_bytes());
//! assert_eq!(ledger.count("phone"), 1);
//! ```
//!
//! Values that are put back in the events of a stream:
//!
//! ```
//! # use std::sync::Arc;
//! # use bytes::Bytes;
//! # use tollgate_redact::{BodyRedactor, EventRestorer, Rules, RulesSpec, Schema};
//! let entities = vec!["email".to_owned()];
//! let spec = RulesSpec { entities, restore: true, ..RulesSpec::default() };
//! let rules = Arc::new(Rules::compile(&spec).expect("known entities"));
//! let mut redactor = BodyRedactor::new(rules, Schema::REQUEST, false);
//! let body = r#"{"messages":[{"role":"user","content":"Write to jane@example.com"}]}"#;
//! let mut out = Vec::new();
//! redactor.push(Bytes::from_static(body.as_bytes()), &mut out)?;
//! redactor.finish(&mut out)?;
//! // The provider reads `[REDACTED_EMAIL_1]`, and may write it in an event of its answer.
//! let mut restorer = EventRestorer::new(&redactor.values().expect("rules with restore"));
//! let event = r#"{"choices":[{"index":0,"delta":{"content":"To [REDACTED_EMAIL_1]: hello"}}]}"#;
//! let restored = restorer.event(b"", event.as_bytes());
//! let data = String::from_utf8(restored.data.expect("it has changed").to_vec()).expect("UTF-8");
//! assert!(data.contains("To jane@example.com: hello"));
//! # Ok::<(), tollgate_redact::RedactError>(())
//! ```
//!
//! Modules: `json` reads tokens, `form` reads forms as JSON, `body` finds the strings that are text and the parts that are
//! attachments, `scan` shows text to the detectors in `detect`, `out` carries raw bytes,
//! `placeholder` says how placeholders are written, `restore` puts values back in an answer.
//! `COVERAGE.md` lists the forms that are found and missed.

mod answer;
mod beside;
mod block;
mod body;
pub mod bounds;
mod capture;
mod detect;
mod digest;
mod escape;
mod facts;
mod fold;
mod form;
pub mod json;
mod keys;
mod ledger;
mod mask;
mod names;
mod out;
mod pairs;
mod placeholder;
mod restore;
mod rules;
mod scan;
pub mod schema;
mod spec;
#[cfg(test)]
mod tests;
mod tokens;

use std::sync::Arc;

use bytes::Bytes;

use beside::Beside;
use body::Body;
use form::Form;
use json::Tokenizer;
use tokens::TokenReader;

pub use answer::{AnswerRedactor, TextRedactor, TextsRedactor, answer, holds_secret, text};
pub use beside::Counted;
pub use bounds::CUSTOM_SPAN_MAX;
pub use capture::{Capture, Captured, Keep, shortened};
pub use facts::{Facts, NamedModel, StoredKind, StoredObject};
pub use ledger::Ledger;
pub use mask::Own;
pub use names::{Compare, Names, NamesError};
pub use placeholder::{PlaceholderKey, Placeholders};
pub use restore::{BodyRestorer, EventRestorer, Extra, Restored, Values};
pub use rules::Rules;
pub use schema::Schema;
pub use spec::{
    Action, Answers, Attachments, CustomSpec, ENTITIES, ENTITY_GROUPS, NamesSpec, RulesError,
    RulesSpec, TermsSpec, TokenArrays,
};
pub use tokens::{Encodings, Vocabulary};

/// Bytes that have passed the redactor. Only this room makes them; upstream and the log accept text
/// in no other form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redacted(Bytes);

/// So few pieces are left as they are.
const PIECES_FREE: usize = 32;
/// Longer pieces are not put together.
const PACKED_MAX: usize = 4 << 10;

impl Redacted {
    /// The bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Text of the gateway's own, fixed at compile time: it holds nobody's data.
    pub fn from_gateway(text: &'static str) -> Redacted {
        Redacted(Bytes::from_static(text.as_bytes()))
    }

    /// The same content in another form, such as another wire format, and what `write` tells
    /// besides. `write` gets the redacted bytes, and writes from nothing else.
    ///
    /// # Errors
    /// That of `write`.
    pub fn rewritten<T, E>(
        &self,
        write: impl FnOnce(&[u8]) -> Result<(Vec<u8>, T), E>,
    ) -> Result<(Redacted, T), E> {
        write(&self.0).map(|(bytes, told)| (Redacted(Bytes::from(bytes)), told))
    }

    /// The same content in several parts, as [`rewritten`](Redacted::rewritten) has it in one.
    ///
    /// # Errors
    /// That of `write`.
    pub fn divided<T, E>(
        &self,
        write: impl FnOnce(&[u8]) -> Result<(Vec<Vec<u8>>, T), E>,
    ) -> Result<(Vec<Redacted>, T), E> {
        let (parts, told) = write(&self.0)?;
        Ok((parts.into_iter().map(|bytes| Redacted(Bytes::from(bytes))).collect(), told))
    }

    /// Pieces put together; a single piece is not copied.
    pub fn concat(mut pieces: Vec<Redacted>) -> Redacted {
        match pieces.len() {
            0 => Redacted::default(),
            1 => pieces.remove(0),
            _ => {
                let mut whole = Vec::with_capacity(pieces.iter().map(|p| p.0.len()).sum());
                pieces.iter().for_each(|p| whole.extend_from_slice(&p.0));
                Redacted(Bytes::from(whole))
            }
        }
    }

    /// Puts short pieces at the end of many together, so that a body that comes byte by byte is not
    /// kept byte by byte: of `n` bytes there are at most `n` / 4 KiB pieces and some forty more. A
    /// byte is copied a dozen times at most.
    pub fn pack(pieces: &mut Vec<Redacted>) {
        while pieces.len() > PIECES_FREE
            && let [.., before, last] = pieces.as_slice()
            && before.0.len() <= 2 * last.0.len()
            && before.0.len() + last.0.len() <= PACKED_MAX
        {
            let both = Redacted(Bytes::from([before.0.as_ref(), last.0.as_ref()].concat()));
            pieces.truncate(pieces.len() - 2);
            pieces.push(both);
        }
    }

    /// At most the first `bytes_max` bytes, and no part of a character at the end.
    pub fn prefix(&self, bytes_max: usize) -> Redacted {
        let mut end = bytes_max.min(self.0.len());
        while end < self.0.len() && end > 0 && self.0[end] & 0xc0 == 0x80 {
            end -= 1;
        }
        Redacted(self.0.slice(..end))
    }

    /// The bytes, to be sent.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Why a body is refused. `Display` is safe to show to the client: it holds no text of the body but
/// key names of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedactError {
    /// The body is no JSON (RFC 8259), not UTF-8, nested too deep, or something follows it.
    #[error("the request body is not valid JSON: {reason} at byte {offset}")]
    InvalidJson {
        /// Where it went wrong.
        offset: u64,
        /// How.
        reason: &'static str,
    },
    /// JSON, but not a body that can be routed and redacted: not an object, a routing key twice,
    /// `model` no string …
    #[error("{reason}")]
    InvalidRequest {
        /// The problem, for the client.
        reason: String,
    },
    /// An attachment where the policy says `reject`, or a part that cannot be understood.
    #[error("{reason}")]
    Attachment {
        /// The problem, for the client.
        reason: String,
    },
    /// Text as token ids that cannot be read, or where the policy says `refuse`.
    #[error("{reason}")]
    Tokens {
        /// The problem and its remedy, for the client.
        reason: String,
    },
    /// It holds what the policy does not send.
    #[error(
        "the request holds data that may not be sent ({}); remove it, or ask the operator",
        kinds.join(", ")
    )]
    Sensitive {
        /// The kinds found, in order.
        kinds: Vec<Arc<str>>,
    },
    /// A defect of the redactor.
    #[error("the request could not be redacted and was not forwarded")]
    Internal,
}

/// One match, for those who want to know what a policy does: its place, never its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Entity name, name of a custom pattern or word list, or `attachment`.
    pub kind: Arc<str>,
    /// Offset of its first byte.
    pub from: u64,
    /// Offset after its last byte.
    pub to: u64,
    /// Path of the field (`messages[0].content`); empty for plain text.
    pub field: String,
}

/// Redacts one body, piece by piece.
#[derive(Debug)]
pub struct BodyRedactor {
    /// Reads lists of tokens before the rest sees them.
    tokens: Option<Box<TokenReader>>,
    /// Reads a form, and writes it again.
    form: Option<Box<Form>>,
    tokenizer: Tokenizer,
    /// Boxed: it is large, and redactors are handed on.
    body: Box<Body>,
    state: State,
    /// Rules that look on.
    beside: Option<Box<Beside>>,
}

/// Whether a redactor may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Ready,
    /// A call has begun and not returned: after an unwinding the state is not to be trusted.
    Busy,
    Failed(RedactError),
}

impl BodyRedactor {
    /// A redactor for one body. `ask_for_usage`: where the body has `stream: true` and does not
    /// itself ask for usage, `stream_options.include_usage` is added (only where the schema knows
    /// the option).
    pub fn new(rules: Arc<Rules>, schema: Schema, ask_for_usage: bool) -> BodyRedactor {
        BodyRedactor {
            tokens: None,
            form: None,
            tokenizer: Tokenizer::new(),
            body: Box::new(Body::new(Arc::clone(&rules.0), schema, ask_for_usage)),
            state: State::Ready,
            beside: None,
        }
    }

    /// From here on `other` reads the same body, and only its counts are of use. Call it before the
    /// first piece.
    pub fn count_beside(&mut self, other: BodyRedactor) {
        self.beside = Some(Box::new(Beside::new(other)));
    }

    /// The counts of the redactor that looks on, if there is one.
    pub fn counted_beside(&self) -> Option<Counted<'_>> {
        self.beside.as_ref().map(|beside| beside.counted())
    }

    /// Takes the next piece of the body and appends to `out` what may leave now. Pieces that hold
    /// nothing to redact are passed on as slices of `chunk`, without a copy.
    ///
    /// # Errors
    /// See [`RedactError`]. After an error the redactor gives out nothing more.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<Redacted>) -> Result<(), RedactError> {
        if let Some(beside) = &mut self.beside {
            beside.push(chunk.clone());
        }
        self.guarded(|this| {
            if let Some(mut form) = this.form.take() {
                let pushed = form.push(chunk, this, out);
                this.form = Some(form);
                return pushed;
            }
            let Some(tokens) = &mut this.tokens else { return this.step(chunk, out) };
            let (piece, result) = tokens.push(&chunk);
            if result.is_ok() {
                return this.step(piece, out);
            }
            // Nothing leaves any more.
            this.step(piece, &mut Vec::new())?;
            result
        })
    }

    fn step(&mut self, piece: Bytes, out: &mut Vec<Redacted>) -> Result<(), RedactError> {
        self.body.out.begin(piece.clone());
        self.tokenizer.push(&piece, &mut *self.body)?;
        let safe = self.body.safe(self.tokenizer.told_to())?;
        self.leave(safe, out);
        self.body.refusal(Some(self.tokenizer.offset())).map_or(Ok(()), Err)
    }

    /// Safe bytes leave, unless the body is refused.
    fn leave(&mut self, safe: u64, out: &mut Vec<Redacted>) {
        let from = out.len();
        self.body.out.end(safe, out);
        if self.body.is_refused() {
            out.truncate(from);
        }
    }

    /// Says that the body is complete; appends the rest to `out`.
    ///
    /// # Errors
    /// As for [`BodyRedactor::push`]; an incomplete body is [`RedactError::InvalidJson`].
    pub fn finish(&mut self, out: &mut Vec<Redacted>) -> Result<(), RedactError> {
        if let Some(beside) = &mut self.beside {
            beside.finish();
        }
        self.guarded(|this| {
            if let Some(mut form) = this.form.take() {
                let finished = form.finish(this, out);
                this.form = Some(form);
                finished?;
                this.tokenizer.finish(&mut *this.body)?;
                return this.body.refusal(None).map_or(Ok(()), Err);
            }
            if let Some(tokens) = &mut this.tokens {
                tokens.finish()?;
            }
            // An empty body holds nothing to redact; endpoints that need one say so themselves.
            if this.body.started() || !this.body.may_be_empty() {
                this.tokenizer.finish(&mut *this.body)?;
            }
            this.leave(this.tokenizer.offset(), out);
            this.body.refusal(None).map_or(Ok(()), Err)
        })
    }

    /// The facts so far.
    pub fn facts(&self) -> &Facts {
        &self.body.facts
    }

    /// Bytes of text for a model so far, decoded: without the JSON around it and names that route.
    /// A number of a list counts as a token, an attachment that is allowed as a picture.
    pub fn text_bytes(&self) -> u64 {
        let (tokens, text) = self.tokens.as_ref().map_or((0, 0), |tokens| tokens.counts());
        (self.body.text_bytes + tokens * body::TOKEN_BYTES).saturating_sub(text)
    }

    /// [`BodyRedactor::text_bytes`] in characters.
    pub fn text_chars(&self) -> u64 {
        self.text_bytes().saturating_sub(self.body.continuation_bytes)
    }

    /// The ledger so far.
    pub fn ledger(&self) -> &Ledger {
        &self.body.ledger
    }

    /// Bytes of the body that are kept between two pieces: at most
    /// [`bounds::REDACT_HELD_BYTES_MAX`].
    pub fn held_bytes(&self) -> usize {
        self.body.held_bytes()
            + self.tokens.as_ref().map_or(0, |tokens| tokens.held_bytes())
            + self.form.as_ref().map_or(0, |form| form.held_bytes())
    }

    /// Text that comes as token ids is read with these encodings, where the schema has a field for
    /// it and the rules say [`TokenArrays::Decode`]. Without encodings it is refused. Offsets of
    /// findings are then those in the body with text.
    pub fn decode_tokens(&mut self, encodings: &'static dyn Encodings) {
        let field = self.body.schema().token_field;
        if !field.is_empty() && self.body.rules.token_arrays == TokenArrays::Decode {
            self.tokens = Some(Box::new(TokenReader::new(field, encodings)));
        }
    }

    /// The values behind the placeholders, where the rules ask for them to be restored.
    pub fn values(&self) -> Option<Values> {
        self.body.rules.restore.and(self.body.values.clone())
    }

    /// The values that the body has sent so far, where those of others are taken out of answers.
    pub fn own(&self) -> Option<Own> {
        self.body.own.clone()
    }

    /// A redactor for an answer on its way to a caller whose values these are: values of others are
    /// replaced, lists of tokens are emptied, and nothing else changes.
    /// `translated`: the answer was, and its thinking stays as the provider has signed it.
    pub fn masking(rules: Arc<Rules>, own: &Own, translated: bool) -> BodyRedactor {
        let mut redactor = BodyRedactor::new(rules, Schema::ANSWER, false);
        redactor.body.mask(own, translated);
        redactor
    }

    /// Placeholders get letters, made with this key, where the rules say [`Placeholders::Stable`].
    /// Without a key they are plain. Call it before the first piece.
    pub fn key_placeholders(&mut self, key: Arc<dyn PlaceholderKey>) {
        self.body.stable(key);
    }

    /// The provider is to keep nothing of this call: `store` becomes `false`, and is added where it
    /// is missing. Only where the schema knows it.
    pub fn forbid_store(&mut self) {
        self.body.forbid_store = self.body.schema().store_option;
    }

    /// From here on it is noted where `model` stands.
    pub fn locate_model(&mut self) {
        self.body.locate_model = true;
    }

    /// From here on every match is kept for [`BodyRedactor::findings`].
    pub fn explain(&mut self) {
        self.body.findings = Some(Vec::new());
    }

    /// Takes the matches found since the last time.
    pub fn findings(&mut self) -> Vec<Finding> {
        self.body.findings.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Runs one step; after an error, or a panic in a step before, nothing goes on.
    fn guarded(
        &mut self,
        step: impl FnOnce(&mut BodyRedactor) -> Result<(), RedactError>,
    ) -> Result<(), RedactError> {
        match std::mem::replace(&mut self.state, State::Busy) {
            State::Ready => {}
            State::Busy => return Err(RedactError::Internal),
            State::Failed(error) => {
                self.state = State::Failed(error.clone());
                return Err(error);
            }
        }
        let result = step(self);
        self.state = match &result {
            Ok(()) => State::Ready,
            Err(error) => State::Failed(error.clone()),
        };
        result
    }
}
