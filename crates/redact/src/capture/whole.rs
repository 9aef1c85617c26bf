//! Reads a body that is kept as it is: whether it may be, and where its texts stand in it.
//!
//! Pure. One pass over bytes that lie together. Promises: finds the texts that `Keeper` finds;
//! memory is a small multiple of the body. Does not: read what has to be written anew, because it
//! is no JSON, not UTF-8, too deep, or has half a character or a control character in a string.

use bytes::Bytes;

use super::escapes::{Escape, append, escape};
use super::finder::{Finder, Kind};
use super::{DEPTH_MAX, NAME_BYTES_MAX, trimmed};
use crate::Redacted;
use crate::json::number::Digits;
use crate::json::plain_len;

/// The texts of a body.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// The last user message, or the answer.
    pub(crate) text: Option<Redacted>,
    /// Those of `metadata`, in the order of their names.
    pub(crate) metadata: Vec<Option<Redacted>>,
}

/// The content of a string in the body.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: usize,
    to: usize,
    escaped: bool,
}

/// The strings of a text; most have one.
#[derive(Clone, Debug, Default)]
struct Spans {
    first: Option<Span>,
    more: Vec<Span>,
}

impl Spans {
    fn push(&mut self, span: Span) {
        if self.first.is_none() {
            self.first = Some(span);
        } else {
            self.more.push(span);
        }
    }

    fn clear(&mut self) {
        self.first = None;
        self.more.clear();
    }
}

/// Reads `body`, with the texts of `metadata` under `names`; `None` if it has to be written anew.
pub(crate) fn read(body: &Bytes, kind: Kind, names: &[String], note_max: usize) -> Option<Texts> {
    let mut reader = Reader {
        body,
        at: 0,
        objects: 0,
        is_ascii: true,
        finder: Finder::new(kind),
        text: Spans::default(),
        last: None,
        names,
        name: None,
        noted: vec![None; names.len()],
    };
    reader.all()?;
    if !reader.is_ascii && std::str::from_utf8(body).is_err() {
        return None;
    }
    let text = match kind {
        Kind::Request => reader.last,
        Kind::Answer => Some(reader.text).filter(|_| reader.finder.has_text()),
    };
    let noted = |span: Option<Span>| span.map(|span| note(body, span, note_max));
    Some(Texts {
        text: text.map(|spans| joined(body, &spans)),
        metadata: reader.noted.into_iter().map(noted).collect(),
    })
}

/// A text of `metadata`, at most `bytes_max` bytes of it.
fn note(body: &Bytes, span: Span, bytes_max: usize) -> Redacted {
    let mut text = Vec::new();
    append(&mut text, &body[span.from..span.to]);
    text.truncate(bytes_max);
    Redacted(Bytes::from(trimmed(text)))
}

/// The strings of a text, a line for each. A single one that has no escapes is not copied.
fn joined(body: &Bytes, spans: &Spans) -> Redacted {
    if let Spans { first: Some(Span { from, to, escaped: false }), more } = spans
        && more.is_empty()
    {
        return Redacted(body.slice(from..to));
    }
    let mut text = Vec::new();
    for span in spans.first.iter().chain(&spans.more) {
        if !text.is_empty() {
            text.push(b'\n');
        }
        append(&mut text, &body[span.from..span.to]);
    }
    Redacted(Bytes::from(text))
}

struct Reader<'a> {
    body: &'a [u8],
    at: usize,
    /// One bit for each open container: an object or not.
    objects: u128,
    is_ascii: bool,
    finder: Finder,
    /// The message at hand, or the answer.
    text: Spans,
    /// The last message of a user.
    last: Option<Spans>,
    names: &'a [String],
    /// The name of the field at depth 2 that is at hand.
    name: Option<Span>,
    noted: Vec<Option<Span>>,
}

const _: () = assert!(DEPTH_MAX <= 128, "one bit of `objects` for each");

impl Reader<'_> {
    /// Reads the whole body; nothing if it is not plain JSON.
    fn all(&mut self) -> Option<()> {
        loop {
            self.value()?;
            while self.finder.depth() > 0 {
                let in_object = self.objects & 1 == 1;
                match self.token()? {
                    b',' => {
                        self.finder.comma();
                        if in_object {
                            (self.token()? == b'"').then_some(())?;
                            self.name()?;
                        }
                        break;
                    }
                    b'}' if in_object => self.close(),
                    b']' if !in_object => self.close(),
                    _ => return None,
                }
            }
            if self.finder.depth() == 0 {
                self.blank();
                return (self.at == self.body.len()).then_some(());
            }
        }
    }

    /// Reads a value, or the beginning of a container up to its first value.
    fn value(&mut self) -> Option<()> {
        loop {
            let byte = self.token()?;
            match byte {
                b'"' => return self.string_value(),
                b'{' | b'[' => {
                    self.open(byte)?;
                    self.blank();
                    match (byte, self.body.get(self.at)?) {
                        (b'{', b'}') | (b'[', b']') => {
                            self.at += 1;
                            self.close();
                            return Some(());
                        }
                        (b'{', b'"') => {
                            self.at += 1;
                            self.name()?;
                        }
                        (b'{', _) => return None,
                        _ => {}
                    }
                }
                _ => return self.scalar(byte),
            }
        }
    }

    /// The next byte that is no white space.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        self.blank();
        let byte = *self.body.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    #[inline]
    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.body.get(self.at) {
            self.at += 1;
        }
    }

    fn open(&mut self, byte: u8) -> Option<()> {
        (self.finder.depth() < DEPTH_MAX).then_some(())?;
        if self.finder.begin(false).message {
            self.text.clear();
        }
        self.objects = self.objects << 1 | u128::from(byte == b'{');
        self.finder.open(byte == b'[');
        Some(())
    }

    fn close(&mut self) {
        self.objects >>= 1;
        self.finder.close();
        self.value_end();
    }

    #[inline]
    fn value_end(&mut self) {
        if self.finder.end() {
            self.last = Some(std::mem::take(&mut self.text));
        }
    }

    /// Reads the name of a field behind its first quotation mark, and the colon.
    fn name(&mut self) -> Option<()> {
        let span = self.string()?;
        if span.escaped {
            let mut name = Vec::new();
            append(&mut name, &self.body[span.from..span.to]);
            self.finder.name(&name);
        } else {
            self.finder.name(&self.body[span.from..span.to]);
        }
        self.name = Some(span);
        (self.token()? == b':').then_some(())
    }

    fn string_value(&mut self) -> Option<()> {
        let begun = self.finder.begin(true);
        let span = self.string()?;
        if begun.message {
            self.text.clear();
        }
        if begun.text {
            self.text.push(span);
        } else if span.escaped {
            let mut word = Vec::new();
            append(&mut word, &self.body[span.from..span.to]);
            self.finder.string(&word);
        } else {
            self.finder.string(&self.body[span.from..span.to]);
        }
        if begun.noted && !self.names.is_empty() {
            self.note(span);
        }
        self.value_end();
        Some(())
    }

    /// A text of `metadata`.
    fn note(&mut self, span: Span) {
        let mut name = Vec::new();
        if let Some(at) = self.name.filter(|_| self.objects & 1 == 1) {
            append(&mut name, &self.body[at.from..at.to]);
            name.truncate(NAME_BYTES_MAX);
        }
        if let Some(at) = self.names.iter().position(|asked| asked.as_bytes() == name) {
            self.noted[at] = Some(span);
        }
    }

    /// Reads a string behind its first quotation mark.
    fn string(&mut self) -> Option<Span> {
        let (from, mut escaped) = (self.at, false);
        loop {
            self.at += plain_len(&self.body[self.at..]);
            match *self.body.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(Span { from, to: self.at - 1, escaped });
                }
                b'\\' => {
                    escaped = true;
                    match escape(&self.body[self.at..])? {
                        Escape::Char(_, len) => self.at += len,
                        Escape::Half => return None,
                    }
                }
                0..=0x1F => return None,
                _ => {
                    self.is_ascii = false;
                    self.at += self.body[self.at..].iter().take_while(|b| !b.is_ascii()).count();
                }
            }
        }
    }

    fn scalar(&mut self, byte: u8) -> Option<()> {
        let rest = &self.body[self.at..];
        let literal: &[u8] = match byte {
            b't' => b"rue",
            b'f' => b"alse",
            b'n' => b"ull",
            _ => {
                let mut digits = Digits::first(byte)?;
                while let Some(next) = self.body.get(self.at).and_then(|b| digits.next(*b)) {
                    digits = next;
                    self.at += 1;
                }
                digits.may_end().then_some(())?;
                b""
            }
        };
        if !literal.is_empty() {
            rest.starts_with(literal).then_some(())?;
            self.at += literal.len();
        }
        self.value_end();
        Some(())
    }
}
