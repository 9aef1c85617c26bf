//! The part of a redacted body that a log keeps: valid JSON of a bounded length, and its text.
//!
//! Pure. A body that fits is kept as it is. Of a longer one, strings are cut inside (they end with
//! `…[cut]`) and what does not fit is left out; with [`Keep::HeadAndTail`] a body whose middle was
//! left out still has its last user message, behind the entry `"…[cut]"`.
//!
//! Guarantees: whatever the body, the bound and the chunking, the result is valid JSON of at most
//! that many bytes, the same for every chunking, or nothing; memory is a small multiple of the
//! bound. Does not: redact. It reads what the redactor has let pass, so it is [`Redacted`], too.

mod scan;
mod sink;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::scan::{REPLACEMENT, Scan, Token};
use self::sink::{Ended, MARK, Sink, Stop, has_control};
use super::Redacted;

/// Deeper containers are replaced by a mark: readers of JSON have a bound, too.
const DEPTH_MAX: usize = 100;
/// The beginning of a long body takes so many eighths of the bound.
const HEAD_EIGHTHS: usize = 5;
/// Names and words that are compared are not longer.
const WORD_BYTES_MAX: usize = 16;
/// Longer names of `metadata` are not compared to their end.
const NAME_BYTES_MAX: usize = 1 << 10;
/// Depth to which the names of fields are looked at.
const NAMES: usize = 7;

/// Which part of a body is kept that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Its beginning.
    Head,
    /// Its beginning and its last user message.
    HeadAndTail,
}

/// The kind of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Request,
    Answer,
}

/// Names of fields that matter here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Other,
    Messages,
    Input,
    Prompt,
    Content,
    Text,
    Role,
    Choices,
    Message,
    Output,
    Metadata,
}

impl Name {
    fn of(word: &[u8]) -> Name {
        match word {
            b"messages" => Name::Messages,
            b"input" => Name::Input,
            b"prompt" => Name::Prompt,
            b"content" => Name::Content,
            b"text" => Name::Text,
            b"role" => Name::Role,
            b"choices" => Name::Choices,
            b"message" => Name::Message,
            b"output" => Name::Output,
            b"metadata" => Name::Metadata,
            _ => Name::Other,
        }
    }
}

/// The result of a [`Capture`].
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// JSON; nothing if not even the shortest fits.
    pub body: Option<Redacted>,
    /// The text of the last user message, or of the answer.
    pub text: Option<Redacted>,
    /// Not all of the body was kept.
    pub is_cut: bool,
}

/// Keeps a part of a body as it passes.
#[derive(Clone, Debug)]
pub struct Capture {
    scan: Scan,
    keeper: Keeper,
    /// All of the body, while it fits: most bodies are kept as they are, without a copy.
    whole: Option<Vec<Redacted>>,
    bytes: usize,
}

impl Capture {
    /// Of a request: at most `bytes_max` bytes.
    pub fn request(bytes_max: usize, keep: Keep) -> Capture {
        Capture::new(Keeper::new(Kind::Request, bytes_max, keep))
    }

    /// Of an answer: at most `bytes_max` bytes.
    pub fn answer(bytes_max: usize) -> Capture {
        Capture::new(Keeper::new(Kind::Answer, bytes_max, Keep::Head))
    }

    fn new(keeper: Keeper) -> Capture {
        Capture { scan: Scan::new(), keeper, whole: Some(Vec::new()), bytes: 0 }
    }

    /// Keeps the texts of `metadata` under these names, too.
    pub fn note_metadata(&mut self, names: Vec<String>, bytes_max: usize) {
        self.keeper.metadata_bytes_max = bytes_max;
        self.keeper.metadata = names.into_iter().map(|name| (name, None)).collect();
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &Redacted) {
        self.bytes = self.bytes.saturating_add(piece.as_bytes().len());
        if self.bytes > self.keeper.bytes_max {
            self.write();
        }
        if let Some(whole) = &mut self.whole {
            whole.push(piece.clone());
            Redacted::pack(whole);
        }
        self.read(piece.as_bytes());
    }

    fn read(&mut self, bytes: &[u8]) {
        let Capture { scan, keeper, .. } = self;
        scan.push(bytes, &mut |token| keeper.take(token));
    }

    /// The body cannot be kept as it is: reads it again from its beginning, and writes the part that
    /// is kept.
    fn write(&mut self) {
        let Some(whole) = self.whole.take() else { return };
        self.scan = Scan::new();
        self.keeper = self.keeper.anew();
        whole.iter().for_each(|piece| self.read(piece.as_bytes()));
    }

    /// The texts of `metadata`, by the names that were asked for.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, Redacted)> {
        let told = |text: &Option<Vec<u8>>| text.clone().map(trimmed).map(redacted);
        self.keeper.metadata.iter().filter_map(move |(name, text)| Some((&**name, told(text)?)))
    }

    /// Ends the body, and returns the part that the log keeps.
    pub fn finish(mut self) -> Captured {
        self.end();
        let is_valid = self.scan.is_complete() && self.keeper.is_plain;
        let whole = self.whole.clone().filter(|_| is_valid).map(Redacted::concat);
        if let Some(body) = whole.filter(|body| std::str::from_utf8(body.as_bytes()).is_ok()) {
            return Captured { body: Some(body), text: self.keeper.text(), is_cut: false };
        }
        if self.whole.is_some() {
            self.write();
            self.end();
        }
        self.keeper.finish()
    }

    fn end(&mut self) {
        let Capture { scan, keeper, .. } = self;
        scan.finish(&mut |token| keeper.take(token));
    }
}

/// Shortens a captured text to `bytes_max` bytes of JSON; `None` if it is no JSON.
pub fn shortened(text: &str, bytes_max: usize) -> Option<String> {
    let mut capture = Capture::request(bytes_max, Keep::HeadAndTail);
    capture.push(&Redacted(Bytes::copy_from_slice(text.as_bytes())));
    let body = capture.finish().body?;
    String::from_utf8(body.as_bytes().to_vec()).ok()
}

/// Keeps a text that is no JSON as a JSON string.
pub(crate) fn text(text: &[u8], bytes_max: usize) -> Captured {
    let mut sink = Sink::new(bytes_max, bytes_max);
    sink.string_begin(false);
    let mut rest = text;
    while let Some(at) = rest.iter().position(|b| matches!(b, b'"' | b'\\' | ..0x20)) {
        sink.text(&rest[..at]);
        let byte = rest[at];
        match byte {
            b'"' | b'\\' => sink.escape(&[b'\\', byte]),
            b'\n' => sink.escape(b"\\n"),
            b'\t' => sink.escape(b"\\t"),
            b'\r' => sink.escape(b"\\r"),
            other => sink.escape(format!("\\u{other:04x}").as_bytes()),
        }
        rest = &rest[at + 1..];
    }
    sink.text(rest);
    sink.string_end();
    let Ended { out, is_cut, .. } = sink.end(None);
    let body = (!out.is_empty()).then(|| redacted(out));
    let text = trimmed(text[..text.len().min(bytes_max)].to_vec());
    Captured { body, text: Some(redacted(text)), is_cut }
}

/// Text that came out of a redactor. Bytes outside UTF-8 become `?`, so that the length stays.
fn redacted(mut bytes: Vec<u8>) -> Redacted {
    let mut from = 0;
    while let Err(error) = std::str::from_utf8(&bytes[from..]) {
        let at = from + error.valid_up_to();
        bytes[at] = b'?';
        from = at + 1;
    }
    Redacted(Bytes::from(bytes))
}

#[derive(Clone, Debug)]
struct Keeper {
    kind: Kind,
    keep: Keep,
    bytes_max: usize,
    /// The body is written anew, because it does not fit or is not plain.
    writes: bool,
    /// Readers of JSON take the body as it is: nothing in it is too deep, half a character, or a
    /// control character in a string.
    is_plain: bool,
    head: Sink,
    /// Where the head is ended if the last message has to stand behind it, and whether that is in
    /// the list of messages.
    stop: Stop,
    stops_in_list: bool,
    /// The message at hand.
    message: Sink,
    /// The last one of a user, and the list that it stands in.
    last: Sink,
    last_in: Option<Name>,
    /// The container at depth 2 is a list.
    is_list: bool,
    /// The head has the last message, too.
    head_has_last: bool,
    /// A message is at hand.
    in_message: bool,
    is_user: bool,
    has_text: bool,
    depth: usize,
    /// The container of the mark began at this depth.
    left_out: Option<usize>,
    names: [Name; NAMES],
    /// Entries of the list at depth 2 so far.
    entries: usize,
    word: [u8; WORD_BYTES_MAX],
    word_len: usize,
    is_name: bool,
    /// The string at hand is text that is asked for.
    is_text: bool,
    text: Vec<u8>,
    last_text: Vec<u8>,
    metadata: Vec<(String, Option<Vec<u8>>)>,
    metadata_bytes_max: usize,
    /// The text of `metadata` at hand.
    noted: Option<usize>,
    name: Vec<u8>,
}

impl Keeper {
    fn new(kind: Kind, bytes_max: usize, keep: Keep) -> Keeper {
        let message_max = bytes_max / 8 * (8 - HEAD_EIGHTHS);
        let message_max = message_max.saturating_sub(2 * MARK.len() + 24);
        let string_max = if kind == Kind::Answer { bytes_max } else { bytes_max / 2 };
        Keeper {
            kind,
            keep,
            bytes_max,
            writes: false,
            is_plain: true,
            head: Sink::new(bytes_max, string_max),
            stop: Stop::default(),
            stops_in_list: false,
            message: Sink::new(message_max, message_max),
            last: Sink::new(message_max, message_max),
            last_in: None,
            is_list: false,
            head_has_last: true,
            in_message: false,
            is_user: false,
            has_text: false,
            depth: 0,
            left_out: None,
            names: [Name::Other; NAMES],
            entries: 0,
            word: [0; WORD_BYTES_MAX],
            word_len: 0,
            is_name: false,
            is_text: false,
            text: Vec::new(),
            last_text: Vec::new(),
            metadata: Vec::new(),
            metadata_bytes_max: 0,
            noted: None,
            name: Vec::new(),
        }
    }

    /// For the same body from its beginning, which is written.
    fn anew(&self) -> Keeper {
        let names = self.metadata.iter().map(|(name, _)| (name.clone(), None));
        Keeper {
            writes: true,
            metadata: names.collect(),
            metadata_bytes_max: self.metadata_bytes_max,
            ..Keeper::new(self.kind, self.bytes_max, self.keep)
        }
    }

    fn take(&mut self, token: Token<'_>) {
        // Most tokens are such a byte.
        if let Token::Byte(byte) = token
            && self.left_out.is_none()
        {
            self.entries += usize::from(byte == b',' && self.depth == 2);
            return self.sinks(|sink| sink.token(byte));
        }
        if self.left_out.is_some() {
            return self.leave_out(token);
        }
        if matches!(token, Token::Open(_) | Token::StringBegin(false)) {
            self.value_begin(matches!(token, Token::StringBegin(_)));
        }
        if let Token::Open(_) = token
            && self.depth == DEPTH_MAX
        {
            (self.left_out, self.is_plain) = (Some(self.depth), false);
            self.depth += 1;
            self.sinks(Sink::mark);
            return;
        }
        match token {
            Token::Open(byte) => {
                self.depth += 1;
                self.set_name(Name::Other);
                if self.depth == 2 {
                    (self.entries, self.is_list) = (0, byte == b'[');
                }
                self.sinks(|sink| sink.open(byte));
            }
            Token::Close => {
                self.depth -= 1;
                self.sinks(Sink::close);
                self.value_end();
            }
            Token::Byte(_) => {}
            Token::ScalarEnd => {
                self.sinks(Sink::scalar_end);
                self.value_end();
            }
            Token::StringBegin(is_name) => {
                (self.is_name, self.word_len) = (is_name, 0);
                self.name.clear();
                self.sinks(|sink| sink.string_begin(is_name));
            }
            Token::Text(text) => {
                self.is_plain &= self.writes || !has_control(text);
                self.sinks(|sink| sink.text(text));
                self.note(text);
            }
            Token::Escape(escape) => {
                self.is_plain &= escape != REPLACEMENT;
                self.sinks(|sink| sink.escape(escape));
                let mut utf8 = [0; 4];
                self.note(decoded(escape).encode_utf8(&mut utf8).as_bytes());
            }
            Token::StringEnd => {
                self.sinks(Sink::string_end);
                self.string_end();
            }
        }
    }

    fn leave_out(&mut self, token: Token<'_>) {
        match token {
            Token::Open(_) => self.depth += 1,
            Token::Close => {
                self.depth -= 1;
                if self.left_out == Some(self.depth) {
                    self.left_out = None;
                }
            }
            _ => {}
        }
    }

    fn sinks(&mut self, tell: impl Fn(&mut Sink)) {
        if !self.writes {
            return;
        }
        tell(&mut self.head);
        if self.in_message {
            tell(&mut self.message);
        }
    }

    fn set_name(&mut self, name: Name) {
        if let Some(place) = self.names.get_mut(self.depth) {
            *place = name;
        }
    }

    /// Whether the field at the top is the list of messages, or a prompt.
    fn holds_messages(&self) -> bool {
        matches!(self.names[1], Name::Messages | Name::Input | Name::Prompt)
    }

    /// A container or a string begins as a value.
    fn value_begin(&mut self, is_string: bool) {
        let at_top = self.depth == 1 && is_string && self.names[1] != Name::Messages;
        if self.kind == Kind::Request
            && !self.in_message
            && self.holds_messages()
            && (self.depth == 2 && self.is_list || at_top)
        {
            self.message.restart();
            (self.in_message, self.is_user, self.has_text) = (true, is_string, is_string);
            self.text.clear();
        }
        self.is_text = is_string && self.is_asked_for();
        if self.is_text {
            self.has_text = true;
            if !self.text.is_empty() {
                self.keep_text(b"\n");
            }
        }
        let is_noted = is_string && self.depth == 2 && self.names[1] == Name::Metadata;
        self.noted = None;
        if is_noted && self.kind == Kind::Request {
            self.noted = self.metadata.iter().position(|(name, _)| name.as_bytes() == self.name);
            if let Some(at) = self.noted {
                self.metadata[at].1 = Some(Vec::new());
            }
        }
    }

    /// Whether a string at hand is text of a message or of the answer.
    fn is_asked_for(&self) -> bool {
        use Name::*;
        let names = &self.names;
        match (self.kind, self.depth, names[1]) {
            (Kind::Request, 1 | 2, _) => self.in_message,
            (Kind::Request, 3, _) => self.in_message && names[3] == Content,
            (Kind::Request, 5, _) => self.in_message && names[3] == Content && names[5] == Text,
            (Kind::Answer, 1, Content) => true,
            (Kind::Answer, 3, Content) => names[3] == Text,
            (Kind::Answer, 3, Choices) => self.entries == 0 && matches!(names[3], Content | Text),
            (Kind::Answer, 4, Choices) => {
                self.entries == 0 && names[3] == Message && names[4] == Content
            }
            (Kind::Answer, 6, Choices) => {
                self.entries == 0 && names[3..7] == [Message, Content, Other, Text]
            }
            (Kind::Answer, 5, Output) => names[3] == Content && names[5] == Text,
            _ => false,
        }
    }

    /// A part of the string at hand, decoded.
    fn note(&mut self, text: &[u8]) {
        if let Some(at) = self.noted {
            let most = self.metadata_bytes_max;
            if let Some(noted) = &mut self.metadata[at].1 {
                noted.extend_from_slice(&text[..text.len().min(most - noted.len())]);
            }
        }
        if self.is_text {
            return self.keep_text(text);
        }
        let room = WORD_BYTES_MAX - self.word_len;
        let taken = text.len().min(room);
        self.word[self.word_len..self.word_len + taken].copy_from_slice(&text[..taken]);
        self.word_len += taken;
        if self.is_name && self.depth == 2 && !self.metadata.is_empty() {
            let room = NAME_BYTES_MAX.saturating_sub(self.name.len());
            self.name.extend_from_slice(&text[..text.len().min(room)]);
        }
    }

    fn keep_text(&mut self, text: &[u8]) {
        let room = self.bytes_max.saturating_sub(self.text.len()).min(text.len());
        self.text.extend_from_slice(&text[..room]);
    }

    fn string_end(&mut self) {
        self.noted = None;
        let is_text = std::mem::take(&mut self.is_text);
        if self.is_name {
            self.set_name(Name::of(&self.word[..self.word_len]));
            return;
        }
        if !is_text && self.depth == 3 && self.names[3] == Name::Role {
            self.is_user = &self.word[..self.word_len] == b"user";
        }
        self.value_end();
    }

    /// A value has ended, perhaps a message.
    fn value_end(&mut self) {
        let at_end = self.depth == 2 || self.depth == 1 && self.in_message;
        if self.in_message && at_end {
            self.in_message = false;
            if self.is_user && self.has_text {
                std::mem::swap(&mut self.message, &mut self.last);
                std::mem::swap(&mut self.text, &mut self.last_text);
                self.last_in = Some(self.names[1]);
                self.head_has_last = !self.head.is_full();
            }
        }
        let most = self.bytes_max / 8 * HEAD_EIGHTHS;
        let keeps_tail = self.writes && self.keep == Keep::HeadAndTail;
        if keeps_tail && !self.head.is_full() && self.head.safe_len() <= most {
            self.head.stop(&mut self.stop);
            self.stops_in_list = self.depth >= 2 && self.is_list && self.holds_messages();
        }
    }

    /// The text of the last user message, or of the answer.
    fn text(&mut self) -> Option<Redacted> {
        let text = match self.kind {
            Kind::Request => self.last_in.map(|_| std::mem::take(&mut self.last_text)),
            Kind::Answer => Some(std::mem::take(&mut self.text)).filter(|_| self.has_text),
        };
        text.map(trimmed).map(redacted)
    }

    fn finish(mut self) -> Captured {
        let text = self.text();
        let splices = self.head.is_full() && !self.head_has_last;
        let last = self.last_in.filter(|_| splices).map(|name| (name, closed(self.last.end(None))));
        let ended = match last.filter(|(_, last)| !last.out.is_empty()) {
            Some((name, last)) if !self.stop.open.is_empty() => {
                let head = self.head.end(Some(self.stop));
                splice(head, &last.out, name, self.stops_in_list)
            }
            _ => self.head.end(None),
        };
        let Ended { out, is_cut, .. } = closed(ended);
        let body = (!out.is_empty()).then(|| redacted(out));
        let is_cut = is_cut || body.is_none();
        Captured { body, text, is_cut }
    }
}

/// Without the beginning of a character at its end.
fn trimmed(mut text: Vec<u8>) -> Vec<u8> {
    if let Err(error) = std::str::from_utf8(&text)
        && error.error_len().is_none()
    {
        text.truncate(error.valid_up_to());
    }
    text
}

fn closed(mut ended: Ended) -> Ended {
    ended.close_to(0);
    ended
}

/// The head, a mark, and the last message behind it: in the list of messages if that has begun.
fn splice(mut head: Ended, last: &[u8], name: Name, in_list: bool) -> Ended {
    head.is_cut = true;
    if in_list {
        head.close_to(2);
        if head.has_entries() {
            head.out.push(b',');
        }
        head.out.extend_from_slice(format!("\"{MARK}\",").as_bytes());
        head.out.extend_from_slice(last);
        return head;
    }
    head.close_to(1);
    if head.has_entries() {
        head.out.push(b',');
    }
    let name = match name {
        Name::Input => "input",
        Name::Prompt => "prompt",
        _ => "messages",
    };
    head.out.extend_from_slice(format!("\"{name}\":[\"{MARK}\",").as_bytes());
    head.out.extend_from_slice(last);
    head.out.push(b']');
    head
}

/// The character of an escape.
fn decoded(escape: &[u8]) -> char {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 4).and_then(|digits| str::from_utf8(digits).ok());
        digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0)
    };
    match escape.get(1) {
        Some(b'n') => '\n',
        Some(b't') => '\t',
        Some(b'r') => '\r',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'u') if escape.len() == 12 => {
            let code = 0x10000 + ((unit(2) & 0x3ff) << 10) + (unit(8) & 0x3ff);
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
        Some(b'u') => char::from_u32(unit(2)).unwrap_or(char::REPLACEMENT_CHARACTER),
        Some(other) => char::from(*other),
        None => char::REPLACEMENT_CHARACTER,
    }
}
