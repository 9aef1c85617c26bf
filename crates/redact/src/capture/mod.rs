//! The part of a redacted body that a log keeps: valid JSON of a bounded length, and its text.
//!
//! Pure. A body that fits is kept as it is, and read once, at its end. Of a longer one, strings are
//! cut inside (they end with `…[cut]`) and what does not fit is left out; with [`Keep::HeadAndTail`]
//! a body whose middle was left out still has its last user message, behind the entry `"…[cut]"`.
//!
//! Guarantees: whatever the body, the bound and the chunking, the result is valid JSON of at most
//! that many bytes, the same for every chunking, or nothing; memory is a small multiple of the
//! bound. Does not: redact. It reads what the redactor has let pass, so it is [`Redacted`], too.

mod escapes;
mod finder;
mod scan;
mod sink;
#[cfg(test)]
mod tests;
mod whole;

use bytes::Bytes;

use self::escapes::{Escape, escape};
use self::finder::{Finder, Kind, Name};
use self::scan::{Scan, Token};
use self::sink::{Ended, MARK, Sink, Stop};
use super::Redacted;

/// Deeper containers are replaced by a mark: readers of JSON have a bound, too.
const DEPTH_MAX: usize = 100;
/// The beginning of a long body takes so many eighths of the bound.
const HEAD_EIGHTHS: usize = 5;
/// Names and words that are compared are not longer.
const WORD_BYTES_MAX: usize = 16;
/// Longer names of `metadata` are not compared to their end.
const NAME_BYTES_MAX: usize = 1 << 10;

/// Which part of a body is kept that is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Its beginning.
    Head,
    /// Its beginning and its last user message.
    HeadAndTail,
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
    /// The texts of `metadata`, by the names that were asked for.
    pub metadata: Vec<(String, Redacted)>,
}

/// Keeps a part of a body as it passes.
#[derive(Clone, Debug)]
pub struct Capture {
    kind: Kind,
    keep: Keep,
    bytes_max: usize,
    bytes: usize,
    /// Names in `metadata` whose texts are kept, and bytes of the longest.
    names: Vec<String>,
    note_max: usize,
    /// All of the body, while it fits: most bodies are kept as they are, without a copy.
    whole: Vec<Redacted>,
    /// Writes the part that is kept of a body that does not fit.
    writer: Option<Box<Writer>>,
}

/// A body that is written anew.
#[derive(Clone, Debug)]
struct Writer {
    scan: Scan,
    keeper: Keeper,
}

impl Writer {
    fn push(&mut self, bytes: &[u8]) {
        let Writer { scan, keeper } = self;
        scan.push(bytes, &mut |token| keeper.take(token));
    }

    fn finish(self) -> Captured {
        let Writer { mut scan, mut keeper } = self;
        scan.finish(&mut |token| keeper.take(token));
        keeper.finish()
    }
}

impl Capture {
    /// Of a request: at most `bytes_max` bytes.
    pub fn request(bytes_max: usize, keep: Keep) -> Capture {
        Capture::new(Kind::Request, bytes_max, keep)
    }

    /// Of an answer: at most `bytes_max` bytes.
    pub fn answer(bytes_max: usize) -> Capture {
        Capture::new(Kind::Answer, bytes_max, Keep::Head)
    }

    fn new(kind: Kind, bytes_max: usize, keep: Keep) -> Capture {
        let (names, whole) = (Vec::new(), Vec::new());
        Capture { kind, keep, bytes_max, bytes: 0, names, note_max: 0, whole, writer: None }
    }

    /// Keeps the texts of `metadata` under these names, too. Call it before the first piece.
    pub fn note_metadata(&mut self, names: Vec<String>, bytes_max: usize) {
        (self.names, self.note_max) = (names, bytes_max);
    }

    /// Bytes of the body so far.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next piece.
    pub fn push(&mut self, piece: &Redacted) {
        self.bytes = self.bytes.saturating_add(piece.as_bytes().len());
        if self.bytes > self.bytes_max {
            return self.writer().push(piece.as_bytes());
        }
        self.whole.push(piece.clone());
        Redacted::pack(&mut self.whole);
    }

    /// The body cannot be kept as it is: reads it from its beginning, and writes the part that is
    /// kept.
    fn writer(&mut self) -> &mut Writer {
        let Capture { kind, keep, bytes_max, names, note_max, whole, writer, .. } = self;
        writer.get_or_insert_with(|| {
            let mut keeper = Keeper::new(*kind, *bytes_max, *keep);
            keeper.metadata = names.drain(..).map(|name| (name, None)).collect();
            keeper.metadata_bytes_max = *note_max;
            let mut writer = Box::new(Writer { scan: Scan::new(), keeper });
            whole.drain(..).for_each(|piece| writer.push(piece.as_bytes()));
            writer
        })
    }

    /// Ends the body, and returns the part that the log keeps.
    pub fn finish(mut self) -> Captured {
        if self.writer.is_none() {
            let body = Redacted::concat(std::mem::take(&mut self.whole));
            if let Some(read) = whole::read(&body.0, self.kind, &self.names, self.note_max) {
                let noted = self.names.into_iter().zip(read.metadata);
                let metadata = noted.filter_map(|(name, text)| Some((name, text?))).collect();
                return Captured { body: Some(body), text: read.text, is_cut: false, metadata };
            }
            self.whole.push(body);
        }
        self.writer();
        self.writer.map(|writer| writer.finish()).unwrap_or_default()
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
    Captured { body, text: Some(redacted(text)), is_cut, metadata: Vec::new() }
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

/// Takes the tokens of a body, and writes the part that is kept.
#[derive(Clone, Debug)]
struct Keeper {
    keep: Keep,
    bytes_max: usize,
    finder: Finder,
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
    /// The head has the last message, too.
    head_has_last: bool,
    /// So many containers are open in the one that is left out.
    left_out: usize,
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
            keep,
            bytes_max,
            finder: Finder::new(kind),
            head: Sink::new(bytes_max, string_max),
            stop: Stop::default(),
            stops_in_list: false,
            message: Sink::new(message_max, message_max),
            last: Sink::new(message_max, message_max),
            last_in: None,
            head_has_last: true,
            left_out: 0,
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

    fn take(&mut self, token: Token<'_>) {
        if self.left_out > 0 {
            match token {
                Token::Open(_) => self.left_out += 1,
                Token::Close => self.left_out -= 1,
                _ => {}
            }
            return;
        }
        match token {
            Token::Byte(byte) => {
                if byte == b',' {
                    self.finder.comma();
                }
                self.sinks(|sink| sink.token(byte));
            }
            Token::Open(byte) => {
                self.value_begin(false);
                if self.finder.depth() == DEPTH_MAX {
                    self.left_out = 1;
                    return self.sinks(Sink::mark);
                }
                self.finder.open(byte == b'[');
                self.sinks(|sink| sink.open(byte));
            }
            Token::Close => {
                self.finder.close();
                self.sinks(Sink::close);
                self.value_end();
            }
            Token::ScalarEnd => {
                self.sinks(Sink::scalar_end);
                self.value_end();
            }
            Token::StringBegin(is_name) => {
                if !is_name {
                    self.value_begin(true);
                }
                (self.is_name, self.word_len) = (is_name, 0);
                self.name.clear();
                self.sinks(|sink| sink.string_begin(is_name));
            }
            Token::Text(text) => {
                self.sinks(|sink| sink.text(text));
                self.note(text);
            }
            Token::Escape(written) => {
                self.sinks(|sink| sink.escape(written));
                let c = match escape(written) {
                    Some(Escape::Char(c, _)) => c,
                    _ => char::REPLACEMENT_CHARACTER,
                };
                self.note(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            Token::StringEnd => {
                self.sinks(Sink::string_end);
                self.string_end();
            }
        }
    }

    fn sinks(&mut self, tell: impl Fn(&mut Sink)) {
        tell(&mut self.head);
        if self.finder.in_message() {
            tell(&mut self.message);
        }
    }

    /// A container or a string begins as a value.
    fn value_begin(&mut self, is_string: bool) {
        let begun = self.finder.begin(is_string);
        if begun.message {
            self.message.restart();
            self.text.clear();
        }
        self.is_text = begun.text;
        if begun.text && !self.text.is_empty() {
            self.keep_text(b"\n");
        }
        self.noted = None;
        if begun.noted {
            self.noted = self.metadata.iter().position(|(name, _)| name.as_bytes() == self.name);
            if let Some(at) = self.noted {
                self.metadata[at].1 = Some(Vec::new());
            }
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
        if self.is_name && self.finder.depth() == 2 && !self.metadata.is_empty() {
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
        let word = &self.word[..self.word_len];
        if self.is_name {
            return self.finder.name(word);
        }
        if !is_text {
            self.finder.string(word);
        }
        self.value_end();
    }

    /// A value has ended, perhaps a message.
    fn value_end(&mut self) {
        if self.finder.end() {
            std::mem::swap(&mut self.message, &mut self.last);
            std::mem::swap(&mut self.text, &mut self.last_text);
            self.last_in = Some(self.finder.top());
            self.head_has_last = !self.head.is_full();
        }
        let most = self.bytes_max / 8 * HEAD_EIGHTHS;
        let keeps_tail = self.keep == Keep::HeadAndTail;
        if keeps_tail && !self.head.is_full() && self.head.safe_len() <= most {
            self.head.stop(&mut self.stop);
            self.stops_in_list = self.finder.in_messages();
        }
    }

    /// The text of the last user message, or of the answer.
    fn text(&mut self) -> Option<Redacted> {
        let text = match self.finder.kind() {
            Kind::Request => self.last_in.map(|_| std::mem::take(&mut self.last_text)),
            Kind::Answer => Some(std::mem::take(&mut self.text)).filter(|_| self.finder.has_text()),
        };
        text.map(trimmed).map(redacted)
    }

    fn finish(mut self) -> Captured {
        let text = self.text();
        let noted = std::mem::take(&mut self.metadata).into_iter();
        let noted = noted.filter_map(|(name, text)| Some((name, redacted(trimmed(text?)))));
        let metadata = noted.collect();
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
        Captured { body, text, is_cut, metadata }
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
