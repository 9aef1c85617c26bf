//! One body on its way through: which strings are user text, which parts are attachments, what
//! routing has to know.
//!
//! Stage 6 of the walk. Pure. Listens to the tokenizer, hands user text to the scanner, and carries
//! out what the scanner found on the raw bytes. Deny by default: every string is looked at unless
//! its place is on a short list. Does not: parse values, re-serialise, or keep the body.

mod attachments;
mod frame;
mod messages;
mod names;
mod place;
mod replace;
mod sink;

use std::sync::Arc;

use frame::Frame;
use messages::Message;

use crate::bounds::REJECT_LOOK_BYTES_MAX;
use crate::detect::key_memo::KeyMemo;
use crate::facts::{Number, Tally};
use crate::mask::Own;
use crate::out::Out;
use crate::placeholder::{PlaceholderKey, Placeholders};
use crate::restore::Values;
use crate::rules::{Compiled, KindId};
use crate::scan::{Look, Scanner};
use crate::{Facts, Finding, Ledger, RedactError, Schema};

/// Bytes of a key, or of a `type`, that are kept to recognise it.
const NAME_MAX: usize = 64;
/// Kinds noted while a part is held, so that they can be taken back with it. Further ones are
/// counted either way.
const NOTED_MAX: usize = 1024;

/// The request for usage: the member of the option, the option, and the field of the body.
const USAGE_MEMBER: &[u8] = br#""include_usage":true"#;
const USAGE_OPTION: &[u8] = br#"{"include_usage":true}"#;
const USAGE_FIELD: &[u8] = br#""stream_options":{"include_usage":true}"#;

/// An attachment that is allowed counts as so much text: a picture takes some 1,600 tokens.
pub(crate) const ATTACHMENT_BYTES: u64 = 6_400;
/// A number of a list counts as so much text: it is a token.
pub(crate) const TOKEN_BYTES: u64 = 4;

/// `number` in decimal digits, without the machinery of formatting.
fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &str {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return std::str::from_utf8(&digits[at..]).unwrap_or_default();
        }
    }
}

/// A kind of match that was found at least once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KindSeen {
    /// Its place in the ledger.
    counted: usize,
    /// Its replacement may get a mark.
    marked: bool,
    /// Its replacement holds characters that have to be escaped.
    escaped: bool,
}

/// The replacement of a value that is dropped.
#[derive(Clone, Copy, Debug)]
struct Drop {
    /// Containers open outside of it.
    depth: usize,
    note: Note,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Note {
    Null,
    Empty,
    Text,
    Part,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Body {
    pub(crate) rules: Arc<Compiled>,
    schema: Schema,
    ask_for_usage: bool,
    pub(crate) facts: Facts,
    pub(crate) ledger: Ledger,
    /// See [`super::BodyRedactor::text_bytes`].
    pub(crate) text_bytes: u64,
    /// Those of them that do not begin a character.
    pub(crate) continuation_bytes: u64,
    pub(crate) out: Out,
    /// Made for the first string that needs a closer look.
    scanner: Option<Box<Scanner>>,
    /// Text like a placeholder of the call is looked for.
    marks: bool,
    frames: Vec<Frame>,
    /// The meaning of their keys for numbers.
    keys: KeyMemo,
    /// Routing keys seen.
    seen: u8,
    /// The string at hand is looked at.
    scanning: bool,
    /// How closely, if the scanner was not told of it: most strings are passed without it.
    waiting: Option<Look>,
    /// It stands where attachments do.
    data: bool,
    /// Its bytes, to be counted as text if it is no base64.
    data_bytes: u64,
    /// The key at hand begins there, and may be one of the API's own names: what is found in it
    /// waits.
    key_at: Option<u64>,
    /// The string at hand is kept, up to a bound: a key, a type, the model.
    captured: Option<Vec<u8>>,
    spare: Vec<u8>,
    /// The string at hand is a key.
    reading_key: bool,
    drop: Option<Drop>,
    /// A scalar that may be rewritten, and where it began.
    scalar_at: Option<u64>,
    noted: Vec<KindId>,
    kinds: Vec<Option<KindSeen>>,
    /// Frames that are held.
    held: usize,
    /// The place of the string at hand is in the ledger.
    place_noted: bool,
    /// The path that was asked for last; those of the open containers are beginnings of it.
    path: String,
    /// Of each of the ledger's fields: long paths are not compared for every match.
    digests: Vec<u64>,
    /// The value of a match, not escaped.
    value: Vec<u8>,
    /// Every match, for those who asked to be told.
    pub(crate) findings: Option<Vec<Finding>>,
    started: bool,
    /// The values of the call: of a request they are collected, in an answer they stay.
    pub(crate) own: Option<Own>,
    /// An answer for its caller: values of others are replaced, and nothing else changes.
    masking: bool,
    /// It was translated: its thinking is signed, whatever its name.
    translated: bool,
    /// The message at hand, where messages may be removed.
    message: Option<Message>,
    /// The kinds for which the body is refused, and where the first one stands.
    rejected: Vec<KindId>,
    rejected_at: Option<u64>,
    /// The last match stays, and so does what belongs to it.
    leaving: bool,
    /// The values behind the placeholders, where those have marks.
    pub(crate) values: Option<Values>,
    /// Texts in the form of a placeholder may be changed in the string at hand.
    changeable: bool,
    /// The provider is to keep nothing: `store` becomes `false`.
    pub(crate) forbid_store: bool,
    /// `store` was seen.
    store_seen: bool,
    /// The place of `model` is noted, because a target has another name for it.
    pub(crate) locate_model: bool,
    /// The number at hand, if it says something about the call.
    number: Number,
    tally: Tally,
}

impl Body {
    pub(crate) fn new(rules: Arc<Compiled>, schema: Schema, ask_for_usage: bool) -> Body {
        let ask_for_usage = ask_for_usage && schema.usage_option;
        // An answer is redacted for the log alone; letters need a key.
        let numbered = !schema.is_answer() && rules.placeholders == Placeholders::Numbered;
        let arguments = rules.restore.unwrap_or(false);
        let own = (rules.mask_answers && !schema.is_answer()).then(Own::default);
        Body {
            values: numbered.then(|| Values::new(arguments, None)),
            changeable: true,
            own,
            masking: false,
            translated: false,
            message: None,
            rejected: Vec::new(),
            rejected_at: None,
            leaving: false,
            scanner: None,
            marks: numbered,
            rules,
            schema,
            ask_for_usage,
            facts: Facts::default(),
            ledger: Ledger::default(),
            text_bytes: 0,
            continuation_bytes: 0,
            out: Out::default(),
            frames: Vec::with_capacity(8),
            keys: KeyMemo::default(),
            seen: 0,
            scanning: false,
            waiting: None,
            data: false,
            data_bytes: 0,
            key_at: None,
            captured: None,
            spare: Vec::new(),
            reading_key: false,
            drop: None,
            scalar_at: None,
            noted: Vec::new(),
            kinds: Vec::new(),
            held: 0,
            place_noted: false,
            path: String::new(),
            digests: Vec::new(),
            value: Vec::new(),
            findings: None,
            started: false,
            locate_model: false,
            forbid_store: false,
            store_seen: false,
            number: Number::default(),
            tally: Tally::default(),
        }
    }

    /// Placeholders get letters, made with this key, where the rules ask for them.
    pub(crate) fn stable(&mut self, key: Arc<dyn PlaceholderKey>) {
        if self.rules.placeholders == Placeholders::Stable && !self.schema.is_answer() {
            let arguments = self.rules.restore.unwrap_or(false);
            self.values = Some(Values::new(arguments, Some(key)));
        }
    }

    /// Raw bytes before this may leave, when characters have been told up to `told`.
    pub(crate) fn safe(&mut self, told: u64) -> Result<u64, RedactError> {
        if self.scanning {
            let scanner = self.scanner.as_mut().filter(|_| self.waiting.is_none());
            let safe = scanner.map_or(told, |scanner| scanner.safe(told));
            self.carry_out()?;
            return Ok(self.key_at.map_or(safe, |at| at.min(safe)));
        }
        Ok(self.scalar_at.unwrap_or(told))
    }

    /// An answer for a caller whose own values are these.
    pub(crate) fn mask(&mut self, own: &Own, translated: bool) {
        (self.own, self.masking, self.translated) = (Some(own.clone()), true, translated);
    }

    /// Refuses the body for the values found, once so much more of it has been read that others
    /// were found, too. `read`: the bytes read; `None` at its end.
    pub(crate) fn refusal(&self, read: Option<u64>) -> Option<RedactError> {
        let at = self.rejected_at?;
        let over = read.is_none_or(|read| read > at + REJECT_LOOK_BYTES_MAX);
        over.then(|| self.sensitive(&self.rejected))
    }

    /// Whether the body is refused, and nothing more leaves.
    pub(crate) fn is_refused(&self) -> bool {
        self.rejected_at.is_some()
    }

    /// Bytes of the body that are kept, to be looked at or until it is known whether they may
    /// leave.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.held_bytes()
            + self.scanner.as_ref().map_or(0, |scanner| scanner.held_bytes())
            + self.captured.as_ref().map_or(0, Vec::len)
    }

    /// How it is read.
    pub(crate) fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Whether anything but white space was met.
    pub(crate) fn started(&self) -> bool {
        self.started
    }

    /// Whether no body at all is one too.
    pub(crate) fn may_be_empty(&self) -> bool {
        self.schema.is_unknown()
    }

    fn top(&self) -> Option<&Frame> {
        self.frames.last()
    }
}

fn invalid<T>(reason: &str) -> Result<T, RedactError> {
    Err(RedactError::InvalidRequest { reason: reason.to_owned() })
}

fn text_in_base64<T>() -> Result<T, RedactError> {
    refuse(
        "attachments may not hold a text in base64, which cannot be redacted; send it as text"
            .to_owned(),
    )
}

fn refuse<T>(reason: String) -> Result<T, RedactError> {
    Err(RedactError::Attachment { reason })
}
