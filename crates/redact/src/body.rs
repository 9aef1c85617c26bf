//! One body on its way through: which strings are user text, which parts are attachments, what
//! routing has to know.
//!
//! Stage 5 of the walk. Pure. Listens to the tokenizer, hands user text to the scanner, and carries
//! out what the scanner found on the raw bytes. Deny by default: every string is looked at unless
//! its place is on a short list. Does not: parse values, re-serialise, or keep the body.

use std::sync::Arc;

use super::detect::words::Says;
use super::facts::{self, Fact, Number, StoredKind, Tally};
use super::json::{Scalar, Sink, Take};
use super::keys::{self, Key, PartKind};
use super::out::Out;
use super::restore::Values;
use super::rules::{Compiled, KindId, kind};
use super::scan::{Blob, Head, Look, Media, Op, Scanner};
use super::schema::Texts;
use super::{Attachments, Facts, Finding, Ledger, RedactError, Schema};
use crate::bounds::{MODEL_BYTES_MAX, REDACT_FIELDS_MAX};

/// Bytes of a key, or of a `type`, that are kept to recognise it.
const NAME_MAX: usize = 64;
/// Kinds noted while a part is held, so that they can be taken back with it. Further ones are
/// counted either way.
const NOTED_MAX: usize = 1024;

/// What asks for usage: the member of the option, the option, and the field of the body.
const USAGE_MEMBER: &[u8] = br#""include_usage":true"#;
const USAGE_OPTION: &[u8] = br#"{"include_usage":true}"#;
const USAGE_FIELD: &[u8] = br#""stream_options":{"include_usage":true}"#;

/// An attachment that is allowed counts as so much text: a picture takes some 1,600 tokens.
const ATTACHMENT_BYTES: u64 = 6_400;
/// A number of a list counts as so much text: it is a token.
const NUMBER_BYTES: u64 = 4;

/// What stands where in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Top,
    /// `messages`, or the items of `input`.
    Items,
    /// A message or an item.
    Item,
    /// A list of content parts.
    Parts,
    /// A content part: its type must be known.
    Part,
    /// An object that may be an attachment by its type.
    Typed,
    /// User data: keys are text too.
    Data,
    /// Values for the variables of a stored prompt: whatever its key, a string is text.
    Variables,
    /// A JSON Schema.
    Schema,
    StreamOptions,
    Plain,
}

/// An open container.
#[derive(Clone, Debug)]
struct Frame {
    place: Place,
    object: bool,
    key: Key,
    name: [u8; NAME_MAX],
    name_len: u8,
    /// Values begun.
    values: u32,
    /// Held back until its type is known.
    held: bool,
    kind: Option<PartKind>,
    has_text: bool,
    noted: usize,
    fields: usize,
    /// The path of the object or array itself, once it was asked for.
    path: Option<Path>,
    /// What the key at hand says of a number, once it was asked for.
    says: Option<Option<Says>>,
    /// It stands under a key that is about telephones: `"phone": {"home": …}`.
    phones: bool,
    /// Its keys are the API's, not the user's.
    api: bool,
    /// The top level, or `extra_body`, which some servers merge into it.
    top: bool,
    /// What the key at hand says about the call, and the one under which the object stands.
    fact: Fact,
    owner: Fact,
    /// Its `id`, until it is known whether the object is an item that the provider keeps.
    id: String,
    /// What of an item was seen.
    item: u8,
    /// Objects kept at the provider that were named before it.
    stored: usize,
    /// What its type and media type say of the data in it.
    media: Media,
    /// It has data in base64.
    encoded: bool,
    /// What it has as `data` is the provider's own.
    opaque: bool,
}

/// Bits of [`Frame::item`]: it has a type, a type that names an item which is not sent, one whose
/// content may be left out, a role, or content.
const ITEM_TYPED: u8 = 1;
const ITEM_REFERENCE: u8 = 2;
const ITEM_ECHO: u8 = 4;
const ITEM_ROLE: u8 = 8;
const ITEM_CONTENT: u8 = 16;

impl Frame {
    /// Appends the element or key at hand to a path.
    fn write_key(&self, path: &mut String) {
        if !self.object {
            path.push('[');
            path.push_str(decimal(self.values.saturating_sub(1).into(), &mut [0; 20]));
            path.push(']');
            return;
        }
        let name = &self.name[..self.name_len as usize];
        let plain = self.place != Place::Data
            && self.place != Place::Schema
            && name.len() < NAME_MAX
            && name.iter().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b'0'..=b'9'))
            && name.iter().filter(|b| b.is_ascii_digit()).count() < 4;
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(if plain { std::str::from_utf8(name).unwrap_or("*") } else { "*" });
    }
}

/// `number` in decimal digits, without the machinery of formatting.
fn decimal(number: u64, digits: &mut [u8; 20]) -> &str {
    let len = decimal_into(number, digits);
    std::str::from_utf8(&digits[20 - len..]).unwrap_or_default()
}

/// Writes `number` to the end of `digits` and tells how many there are.
fn decimal_into(mut number: u64, digits: &mut [u8]) -> usize {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return digits.len() - at;
        }
    }
}

/// A path that stands in [`Body::path`].
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    len: usize,
    digest: u64,
}

/// What is known of a kind of match, once there was one.
#[derive(Clone, Copy, Debug)]
struct KindSeen {
    /// Its place in the ledger.
    counted: usize,
    /// What takes its place may get a number.
    numbered: bool,
    /// What takes its place holds something that has to be escaped.
    escaped: bool,
}

/// What to put in place of a value that is dropped.
#[derive(Clone, Copy, Debug)]
struct Drop {
    /// Containers open outside of it.
    depth: usize,
    note: Note,
}

#[derive(Clone, Copy, Debug)]
enum Note {
    Null,
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
    pub(crate) out: Out,
    scanner: Scanner,
    frames: Vec<Frame>,
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
    /// What the placeholders stand for, where they are to be put back.
    pub(crate) values: Option<Values>,
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
        // An answer is redacted for the log alone.
        let restore = if schema.is_answer() { None } else { rules.restore };
        Body {
            values: restore.map(Values::new),
            scanner: Scanner::new(Arc::clone(&rules), 1),
            rules,
            schema,
            ask_for_usage,
            facts: Facts::default(),
            ledger: Ledger::default(),
            text_bytes: 0,
            out: Out::default(),
            frames: Vec::with_capacity(8),
            seen: 0,
            scanning: false,
            waiting: None,
            data: false,
            data_bytes: 0,
            key_at: None,
            captured: None,
            spare: Vec::with_capacity(NAME_MAX),
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

    /// Raw bytes before this may leave, when characters have been told up to `told`.
    pub(crate) fn safe(&mut self, told: u64) -> Result<u64, RedactError> {
        if self.scanning {
            let safe = if self.waiting.is_some() { told } else { self.scanner.safe(told) };
            self.carry_out()?;
            return Ok(self.key_at.map_or(safe, |at| at.min(safe)));
        }
        Ok(self.scalar_at.unwrap_or(told))
    }

    /// Bytes of the body that are kept, to be looked at or until it is known whether they may
    /// leave.
    pub(crate) fn held_bytes(&self) -> usize {
        self.out.held_bytes()
            + self.scanner.held_bytes()
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

    // ---- values ---------------------------------------------------------------------------------

    /// A value begins at `at`: counts it, and decides whether it is dropped. `opaque`: it is a
    /// string or a container.
    fn value(&mut self, at: u64, opaque: bool, object: bool) -> Result<(), RedactError> {
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
    fn part_key(&mut self, at: u64, object: bool) -> Result<(), RedactError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let named_by_string = frame.key == Key::Source && !object;
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
    fn attachment_part(&mut self, at: u64) -> Result<(), RedactError> {
        match self.rules.attachments {
            Attachments::Allow => {
                self.text_bytes += ATTACHMENT_BYTES;
                self.release();
                Ok(())
            }
            Attachments::Reject => refuse("attachments are not allowed".to_owned()),
            Attachments::Drop => {
                self.out.advance(at);
                let Some(frame) = self.frames.last_mut() else { return Ok(()) };
                let held = std::mem::take(&mut frame.held);
                self.held -= usize::from(held);
                let (noted, fields) = (frame.noted, frame.fields);
                self.facts.stored.truncate(frame.stored);
                if !held || !self.out.discard() {
                    return refuse(
                        "the `type` of a content part must stand at its beginning".to_owned(),
                    );
                }
                self.take_back(noted, fields);
                self.attachment_noted(at, self.frames.len() - 1);
                self.drop = Some(Drop { depth: self.frames.len() - 1, note: Note::Part });
                self.out.set_dropping(true);
                Ok(())
            }
        }
    }

    /// Drops the value that begins at `at`.
    fn drop_value(&mut self, at: u64, note: Note) -> Result<(), RedactError> {
        match self.rules.attachments {
            Attachments::Allow => {
                self.text_bytes += ATTACHMENT_BYTES;
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

    /// A value has ended before `to`; if it is the one that is dropped, its note takes its place.
    fn value_end(&mut self, to: u64) {
        if let Some(drop) = self.drop
            && drop.depth == self.frames.len()
        {
            self.out.skip(to);
            self.out.set_dropping(false);
            self.drop = None;
            let note: &[u8] = match drop.note {
                Note::Null => b"null",
                Note::Text => br#""[attachment removed]""#,
                Note::Part => self.schema.removed_part.as_bytes(),
            };
            self.out.write(note);
        }
    }

    fn attachment_noted(&mut self, at: u64, depth: usize) {
        self.ledger.attachments += 1;
        self.explain(kind::ATTACHMENT, at, at, depth);
        self.note_field(depth);
    }

    // ---- content parts --------------------------------------------------------------------------

    /// Lets the part at hand go.
    fn release(&mut self) {
        if let Some(frame) = self.frames.last_mut()
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
    fn typed(&mut self, at: u64, name: &[u8]) -> Result<(), RedactError> {
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        if !matches!(frame.place, Place::Part | Place::Typed | Place::Item) || self.drop.is_some() {
            return Ok(());
        }
        let strict = frame.place == Place::Part;
        let kind = PartKind::of(name);
        match (frame.kind, kind) {
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

    // ---- what was taken out ---------------------------------------------------------------------

    /// Does what the scanner found.
    #[inline]
    fn carry_out(&mut self) -> Result<(), RedactError> {
        if self.scanner.ops.is_empty() { Ok(()) } else { self.carry_out_ops() }
    }

    fn carry_out_ops(&mut self) -> Result<(), RedactError> {
        if self.key_at.is_some() {
            if self.captured.as_ref().is_some_and(|name| name.len() <= NAME_MAX) {
                return Ok(());
            }
            self.key_at = None;
        }
        let mut ops = std::mem::take(&mut self.scanner.ops);
        let rules = Arc::clone(&self.rules);
        for op in ops.drain(..) {
            match op {
                Op::Replace { from, to, kind, escapes, quote } => {
                    if self.drop.is_some() {
                        continue;
                    }
                    if kind == kind::ATTACHMENT && self.rules.attachments == Attachments::Reject {
                        return refuse(
                            "attachments are not allowed (a `data:` URL in a text)".to_owned(),
                        );
                    }
                    self.out.advance(from);
                    let replacement = &*rules.kinds[kind as usize].replacement;
                    let seen = self.note(kind);
                    let number =
                        if seen.numbered { self.number(kind, from, to, escapes) } else { None };
                    if kind == kind::ATTACHMENT {
                        self.discount(to);
                    }
                    self.out.skip(to);
                    self.write_mark(quote);
                    if escapes > 0 && seen.escaped {
                        self.out
                            .write(escape(replacement, escapes + u8::from(quote > 0)).as_bytes());
                    } else if let Some(number) = number {
                        self.out.write(&replacement.as_bytes()[..replacement.len() - 1]);
                        let mut end = *b"_00000000000000000000]";
                        let from = end.len() - 2 - decimal_into(number.into(), &mut end[1..21]);
                        end[from] = b'_';
                        self.out.write(&end[from..]);
                    } else {
                        self.out.write(replacement.as_bytes());
                    }
                    self.write_mark(quote);
                    self.explain(kind, from, to, self.frames.len());
                }
                Op::Drop { to } => {
                    self.discount(to);
                    self.out.skip(to);
                }
            }
        }
        self.scanner.ops = ops;
        Ok(())
    }

    /// Writes a quotation mark, escaped so many times; 0 for none.
    fn write_mark(&mut self, escapes: u8) {
        match escapes {
            0 => {}
            1 => self.out.write(br#"\""#),
            _ => self.out.write(br#"\\\""#),
        }
    }

    /// Counts text, which is what a model will read.
    fn count(&mut self, bytes: usize) {
        if self.data {
            self.data_bytes += bytes as u64;
        } else {
            self.text_bytes += bytes as u64;
        }
    }

    /// An attachment in a text is dropped up to `to`: it was no text.
    fn discount(&mut self, to: u64) {
        self.text_bytes = self.text_bytes.saturating_sub(to.saturating_sub(self.out.done()));
    }

    /// The number of the placeholder for the match at `from..to`, where there is one.
    fn number(&mut self, kind: KindId, from: u64, to: u64, escapes: u8) -> Option<u32> {
        let values = self.values.as_ref()?;
        let (kept, piece) = self.out.raw(from, to);
        let raw = if kept.is_empty() {
            piece
        } else {
            self.value.clear();
            self.value.extend_from_slice(kept);
            self.value.extend_from_slice(piece);
            &self.value
        };
        let rules = &self.rules.kinds[kind as usize];
        let (kind, replacement) = (rules.numbered_as, &*rules.replacement);
        if escapes == 0 || memchr::memchr(b'\\', raw).is_none() {
            return values.number(kind, replacement, raw);
        }
        let raw = std::str::from_utf8(raw).ok()?;
        values.number(kind, replacement, unescape(raw.to_owned(), escapes)?.as_bytes())
    }

    /// Counts a match of this kind.
    fn note(&mut self, kind: KindId) -> KindSeen {
        let rules = &self.rules.kinds[kind as usize];
        if self.kinds.len() <= kind as usize {
            self.kinds.resize(self.rules.kinds.len(), None);
        }
        let seen = self.kinds[kind as usize].get_or_insert_with(|| KindSeen {
            counted: 0,
            numbered: self.values.is_some() && Values::are_numbered(kind, &rules.replacement),
            escaped: rules.replacement.bytes().any(|b| matches!(b, b'"' | b'\\' | 0..=0x1F)),
        });
        if kind == kind::ATTACHMENT {
            self.ledger.attachments += 1;
        } else {
            self.ledger.add_at(&mut seen.counted, &rules.name);
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
    fn take_back(&mut self, noted: usize, fields: usize) {
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

    fn explain(&mut self, kind: KindId, from: u64, to: u64, depth: usize) {
        if self.findings.is_some() {
            let field = self.path(depth);
            let kind = Arc::clone(&self.rules.kinds[kind as usize].name);
            self.findings.get_or_insert_default().push(Finding { kind, from, to, field });
        }
    }

    /// The place at hand, by the names of the API; names that are user data are not told.
    fn path(&mut self, depth: usize) -> String {
        self.write_path(depth);
        self.path.clone()
    }

    /// Writes the place at hand and tells its digest. Only what was opened since the last time is
    /// written.
    fn write_path(&mut self, depth: usize) -> u64 {
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
    fn note_field(&mut self, depth: usize) {
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

    /// What the key at hand says of a number in the string under it.
    fn hint(&mut self) -> Option<Says> {
        let frame = self.frames.last_mut()?;
        if let Some(says) = frame.says {
            return says;
        }
        let (words, name) = (self.rules.words, &frame.name[..frame.name_len as usize]);
        let inherited = || (frame.phones && !words.is_neutral(name)).then_some(Says::Phone);
        let says = words.key(name).or_else(inherited);
        // The lists that this one stands in have the same key, and so do those that follow in them.
        for frame in self.frames.iter_mut().rev() {
            frame.says = Some(says);
            if frame.object {
                break;
            }
        }
        says
    }

    // ---- strings --------------------------------------------------------------------------------

    /// How the string value at hand is looked at; nothing if it passes.
    fn look(&self) -> Option<Look> {
        let Some(frame) = self.top() else { return Some(Look::All) };
        match (frame.place, frame.key) {
            (Place::Top, Key::Model) => None,
            // Ids and names of an answer are made by the provider.
            (Place::Data, Key::Type | Key::Role | Key::Model) if self.schema.is_answer() => None,
            (Place::Data, Key::Name | Key::Called) if self.schema.is_answer() => Some(Look::Names),
            (Place::Data | Place::Variables, _) => Some(Look::All),
            (_, Key::Type | Key::Role | Key::Media) => Some(Look::Names),
            (Place::Schema, _) => Some(Look::All),
            (Place::Item, Key::Called) if !self.schema.is_answer() => Some(Look::Speaker),
            (_, Key::Name | Key::Called) => Some(Look::Names),
            _ => Some(Look::All),
        }
    }

    /// Tells the scanner of the string at hand, if it does not know of it.
    #[inline]
    fn begin(&mut self) {
        if let Some(look) = self.waiting.take() {
            self.begin_string(look);
        }
    }

    fn begin_string(&mut self, look: Look) {
        if self.reading_key {
            return self.scanner.begin(look, None, Blob::None);
        }
        let hint = match self.top() {
            Some(f) if look == Look::All && f.key == Key::Other => self.hint(),
            _ => None,
        };
        self.scanner.begin(look, hint, self.blob());
        self.scanner.json = self.top().is_some_and(|f| f.key == Key::Arguments);
    }

    /// What base64 in the string value at hand is.
    fn blob(&self) -> Blob {
        let Some(frame) = self.top() else { return Blob::None };
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
    fn attachment_end(&mut self) -> Result<(), RedactError> {
        let head = self.scanner.head.take();
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
    fn media(&mut self, name: &[u8]) -> Result<(), RedactError> {
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
    fn drops_attachments(&self) -> bool {
        self.rules.attachments != Attachments::Allow || self.schema.is_answer()
    }

    /// What a key that has been read means.
    fn key_end(&mut self, name: &[u8]) -> Result<(), RedactError> {
        let top = self.frames.len() == 1;
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let key = Key::of(name);
        frame.key = key;
        frame.says = None;
        frame.name_len = name.len().min(NAME_MAX) as u8;
        frame.name[..name.len().min(NAME_MAX)].copy_from_slice(&name[..name.len().min(NAME_MAX)]);
        // What a shell has printed has no type.
        frame.has_text |= key == Key::Text || matches!(name, b"stdout" | b"stderr" | b"outcome");
        frame.fact = if frame.api {
            Fact::of(name, &self.schema, frame.top, frame.owner)
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
    fn routing_name(
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
                "`{shown}` is not allowed in a request body: the policy says where a call goes and with which key"
            ));
        }
        if in_top && self.facts.chooser.is_none() {
            self.facts.chooser = facts::chooser(folded);
        }
        match facts::routes(folded, &self.schema).filter(|_| top) {
            Some(meant) if self.seen(Key::of(meant.as_bytes())) => invalid(&format!(
                "`{meant}` stands twice in the request body, once in another spelling; leave one of them out"
            )),
            Some(meant) => invalid(&format!(
                "the request body has `{meant}` in another spelling, which providers read in different ways; write `{meant}`"
            )),
            None => Ok(()),
        }
    }

    /// Notes what a string that was kept says about the call.
    fn note_fact(&mut self, captured: &[u8]) {
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

    fn note_object(&mut self, kind: StoredKind, id: &[u8], depth: usize, field: &str) {
        if self.facts.wants_object(kind, id) {
            let param = self.path(depth) + field;
            self.facts.object(kind, id, param);
        }
    }

    /// An object closes: whether it was an item that the provider keeps.
    fn note_item(&mut self) {
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

    /// Whether the keys of what opens as `child` under the key at hand are the API's.
    fn is_api(&self, child: Place) -> bool {
        let Some(frame) = self.top() else { return !self.schema.is_answer() };
        let users = match self.schema.texts {
            Texts::Unknown => matches!(frame.key, Key::Metadata | Key::Arguments | Key::Schema),
            _ => matches!(child, Place::Data | Place::Schema | Place::Variables),
        };
        // What an answer was drawn from is told there, and not asked for.
        let told = matches!(&frame.name[..frame.name_len as usize], b"annotations" | b"citations");
        frame.api && !users && !told || frame.place == Place::Variables
    }

    fn seen(&self, key: Key) -> bool {
        key.routing_bit().is_some_and(|bit| self.seen & 1 << bit != 0)
    }

    /// Whether the value that begins stands under a key that is about telephones, or in an object
    /// that does.
    fn under_phones(&self) -> bool {
        let Some(frame) = self.top() else { return false };
        let (words, name) = (self.rules.words, &frame.name[..frame.name_len as usize]);
        // The key of a list was looked at when it began, and no word is shorter.
        if !frame.object || name.len() < 3 {
            return frame.phones;
        }
        match words.key(name) {
            Some(Says::Phone) => words.is_strong(name),
            Some(Says::Identifier) => false,
            None => frame.phones && !words.is_neutral(name),
        }
    }

    /// What the object or array that opens under the key at hand is.
    fn child(&self, object: bool) -> Place {
        let Some(frame) = self.top() else {
            return if object && !self.schema.is_answer() { Place::Top } else { Place::Data };
        };
        if self.schema.texts != Texts::Request {
            return Place::Data;
        }
        match (frame.place, frame.key) {
            (Place::Data, _) => Place::Data,
            (Place::Schema, _) => Place::Schema,
            (Place::Items, _) => Place::Item,
            (Place::Parts, _) => Place::Part,
            (Place::Top, Key::Messages) => Place::Items,
            (Place::Top, Key::Input) if self.schema.input_is_parts => Place::Parts,
            (Place::Top, Key::Input) => Place::Items,
            (Place::Top, Key::System) if !object => Place::Parts,
            (Place::Top, Key::StreamOptions) => Place::StreamOptions,
            (Place::Top, Key::Prompt) => Place::Typed,
            (_, Key::Metadata) => Place::Data,
            (Place::Item | Place::Part | Place::Typed, Key::Content) => {
                if object {
                    Place::Typed
                } else {
                    Place::Parts
                }
            }
            (Place::Top | Place::Plain, Key::Content) if !object => Place::Parts,
            (_, Key::Arguments) => Place::Data,
            (Place::Part | Place::Item | Place::Plain, Key::Input) => Place::Data,
            (Place::Plain | Place::Typed, Key::Schema) => Place::Schema,
            (Place::Typed, Key::Variables) if object => Place::Variables,
            (Place::Part | Place::Typed | Place::Variables, _) => Place::Typed,
            _ if object && frame.place == Place::Top && frame.key == Key::Other => Place::Plain,
            _ => Place::Plain,
        }
    }
}

impl Sink for Body {
    fn open(&mut self, object: bool, at: u64) -> Result<(), RedactError> {
        self.value(at, true, object)?;
        let place = self.child(object);
        let phones = place == Place::Data && self.under_phones();
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
            phones,
            api,
            top,
            fact,
            owner,
            id: String::new(),
            item: 0,
            stored: self.facts.stored.len(),
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
        self.value_end(at + 1);
        Ok(())
    }

    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError> {
        self.scanning = false;
        self.place_noted = false;
        self.reading_key = key;
        if key {
            self.spare.clear();
            self.captured = Some(std::mem::take(&mut self.spare));
            if self.drop.is_none() {
                // Names that the API itself has stay; those of user data are the user's.
                let users =
                    !self.schema.is_answer() && self.top().is_some_and(|f| f.place == Place::Data);
                self.key_at = (!users).then_some(at);
                self.scanning = true;
                self.data = !users;
                self.waiting = Some(Look::All);
            }
            return Ok(Take::Text);
        }
        self.value(at, true, false)?;
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
            self.spare.clear();
            self.captured = Some(std::mem::take(&mut self.spare));
        }
        let Some(look) = self.look() else {
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
            self.count(text.len());
            // Most strings: nothing in it could begin a match, so it need not go through the
            // window.
            if let Some(look) = self.waiting.filter(|_| whole)
                && self.scanner.is_harmless(text, look)
                && (self.reading_key || self.blob() == Blob::None)
            {
                self.scanning = false;
                return Ok(());
            }
            self.begin();
            self.scanner.plain(text, at);
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
            self.count(text.len());
            self.begin();
            self.scanner.wide(text, at);
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
            self.count(c.map_or(0, char::len_utf8));
            self.begin();
            self.scanner.char(c, from, to);
            return self.carry_out();
        }
        Ok(())
    }

    fn string_end(&mut self, at: u64) -> Result<(), RedactError> {
        if self.scanning {
            if self.waiting.is_none() {
                self.scanner.end();
            }
            let own = self.key_at.take().is_some() && !self.scanner.ops.is_empty();
            if own && self.captured.as_deref().is_some_and(keys::is_known) {
                self.scanner.ops.clear();
            }
            self.carry_out()?;
            self.scanning = false;
            self.attachment_end()?;
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
        if rewritten {
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
            self.text_bytes += if scalar == Scalar::Number { NUMBER_BYTES } else { 0 };
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
    /// A string that was kept has ended.
    fn captured_end(&mut self, captured: &[u8], at: u64) -> Result<(), RedactError> {
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
    fn is_in_format(&self) -> bool {
        let Some(top) = self.frames.first() else { return false };
        let name = &top.name[..usize::from(top.name_len)];
        top.place == Place::Top
            && self.frames.len() <= 3
            && matches!(name, b"response_format" | b"text" | b"output_format" | b"output_config")
    }

    /// Puts `bytes` in the place of a scalar that began at `from`.
    fn rewrite(&mut self, from: Option<u64>, to: u64, bytes: &[u8]) {
        if let Some(from) = from {
            self.out.advance(from);
            self.out.skip(to);
            self.out.write(bytes);
        }
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

/// Undoes [`escape`]; nothing if `text` is not escaped so many times, or holds half a surrogate
/// pair.
fn unescape(text: String, times: u8) -> Option<String> {
    (0..times).try_fold(text, |text, _| serde_json::from_str(&format!("\"{text}\"")).ok())
}

/// Escapes `text` for a JSON string, `times` over.
pub(crate) fn escape(text: &str, times: u8) -> String {
    let mut text = text.to_owned();
    for _ in 0..times {
        let quoted = serde_json::Value::String(text).to_string();
        text = quoted[1..quoted.len() - 1].to_owned();
    }
    text
}
