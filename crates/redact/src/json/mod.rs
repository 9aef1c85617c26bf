//! A push tokenizer for JSON (RFC 8259): takes a body in pieces cut anywhere and tells a [`Sink`]
//! what it meets, by byte offset.
//!
//! Pure. Promises: accepts exactly the JSON texts of RFC 8259 that are UTF-8, not nested deeper
//! than the bound and without a byte order mark; lone surrogates in escapes and numbers of any size
//! are accepted, because clients send them; the same calls to the sink for every way of cutting
//! (pieces of plain text aside, which are told as they come). Memory does not grow with the body.
//! Does not: keep values, convert numbers, or forgive.

mod chars;
pub(crate) mod number;
mod plain;
mod sink;

use chars::is_short;
pub(crate) use chars::short;
use number::Digits;
use plain::is_plain;
pub(crate) use plain::plain_len;
pub use sink::{Scalar, Sink, Take};
pub(crate) use sink::{tell_apart, tell_key};

use crate::RedactError;
use crate::bounds::JSON_DEPTH_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A value must follow.
    Value,
    /// After `[`: a value or the end.
    ValueOrEnd,
    /// After `,` in an object.
    Key,
    /// After `{`: a key or the end.
    KeyOrEnd,
    Colon,
    /// After a value: `,` or the end of what it is in.
    After,
    Text,
    Escape,
    Hex,
    /// Inside a character of several bytes.
    Utf8,
    Number(Digits),
    Literal(&'static [u8], Scalar),
    /// After the value of the whole text: white space only.
    Done,
}

/// Reads one JSON text.
#[derive(Debug)]
pub struct Tokenizer {
    state: State,
    /// Bytes taken.
    offset: u64,
    /// One bit for each open container: an object or not.
    objects: u128,
    depth: usize,
    key: bool,
    take: Take,
    /// Where the string at hand has its first character.
    text_at: u64,
    /// Where the escape or character began that is not complete.
    from: u64,
    hex: u32,
    hex_left: u8,
    /// First half of a surrogate pair and where it began; its end is six bytes on.
    high: Option<(u32, u64)>,
    utf8: [u8; 4],
    utf8_len: usize,
}

const _: () = assert!(JSON_DEPTH_MAX <= 128, "one bit of `objects` for each");

/// The most short escapes that one call reports.
const ESCAPES_MAX: usize = 32;

impl Default for Tokenizer {
    fn default() -> Tokenizer {
        Tokenizer::new()
    }
}

impl Tokenizer {
    /// At the beginning of a text.
    pub fn new() -> Tokenizer {
        Tokenizer {
            state: State::Value,
            offset: 0,
            objects: 0,
            depth: 0,
            key: false,
            take: Take::Skip,
            text_at: 0,
            from: 0,
            hex: 0,
            hex_left: 0,
            high: None,
            utf8: [0; 4],
            utf8_len: 0,
        }
    }

    /// Bytes taken so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Where the character begins that has not been told completely; the offset, if there is none.
    pub fn told_to(&self) -> u64 {
        match (self.high, self.state) {
            (Some((_, from)), _) => from,
            (None, State::Escape | State::Hex | State::Utf8) => self.from,
            _ => self.offset,
        }
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// It is not valid JSON, or the sink wants no more.
    pub fn push(&mut self, piece: &[u8], sink: &mut impl Sink) -> Result<(), RedactError> {
        let base = self.offset;
        let mut i = 0;
        while i < piece.len() {
            self.offset = base + i as u64;
            match self.state {
                State::Text => i += self.text(&piece[i..], sink)?,
                State::Escape => {
                    self.escape(piece[i], sink)?;
                    i += 1;
                }
                State::Hex => {
                    self.hex(piece[i], sink)?;
                    i += 1;
                }
                State::Utf8 => {
                    self.utf8(piece[i], sink)?;
                    i += 1;
                }
                State::Number(digits) => i += self.number(digits, &piece[i..], sink)?,
                State::Literal(rest, scalar) => {
                    self.literal(rest, scalar, piece[i], sink)?;
                    i += 1;
                }
                State::Key | State::KeyOrEnd if piece[i] == b'"' => {
                    i += self.key(&piece[i..], sink)?;
                }
                _ => {
                    if !matches!(piece[i], b' ' | b'\n' | b'\r' | b'\t') {
                        self.structure(piece[i], sink)?;
                    }
                    i += 1;
                }
            }
        }
        self.offset = base + piece.len() as u64;
        Ok(())
    }

    /// Says that the text is complete.
    ///
    /// # Errors
    /// As for [`Tokenizer::push`]; and it is not complete.
    pub fn finish(&mut self, sink: &mut impl Sink) -> Result<(), RedactError> {
        if let State::Number(digits) = self.state {
            self.number_end(digits, sink)?;
        }
        if self.state == State::Done { Ok(()) } else { self.fail("it ends too early") }
    }

    fn fail<T>(&self, reason: &'static str) -> Result<T, RedactError> {
        Err(RedactError::InvalidJson { offset: self.offset, reason })
    }

    fn structure(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), RedactError> {
        match (self.state, byte) {
            (State::Value | State::ValueOrEnd, b'{' | b'[') => self.open(byte == b'{', sink),
            (State::Value | State::ValueOrEnd, b'"') => self.string(false, sink),
            (State::ValueOrEnd, b']') | (State::KeyOrEnd, b'}') => self.close(sink),
            (State::Value | State::ValueOrEnd, b't') => {
                self.begin_literal(b"rue", Scalar::True, sink)
            }
            (State::Value | State::ValueOrEnd, b'f') => {
                self.begin_literal(b"alse", Scalar::False, sink)
            }
            (State::Value | State::ValueOrEnd, b'n') => {
                self.begin_literal(b"ull", Scalar::Null, sink)
            }
            (State::Value | State::ValueOrEnd, b'-' | b'0'..=b'9') => {
                self.take = sink.scalar(self.offset)?;
                if self.take == Take::Text {
                    sink.number(byte);
                }
                self.state = Digits::first(byte).map_or(State::Value, State::Number);
                Ok(())
            }
            (State::Colon, b':') => {
                self.state = State::Value;
                Ok(())
            }
            (State::After, b',') => {
                self.state = if self.in_object() { State::Key } else { State::Value };
                Ok(())
            }
            (State::After, b'}') if self.in_object() => self.close(sink),
            (State::After, b']') if !self.in_object() => self.close(sink),
            (State::Done, _) => self.fail("something follows the value"),
            (State::Key | State::KeyOrEnd, _) => self.fail("a key is expected"),
            (State::Colon, _) => self.fail("a colon is expected"),
            (State::After, _) => self.fail("a comma or the end is expected"),
            (_, 0xEF | 0xFE | 0xFF) if self.offset == 0 => {
                self.fail("a byte order mark is not allowed")
            }
            _ => self.fail("a value is expected"),
        }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn open(&mut self, object: bool, sink: &mut impl Sink) -> Result<(), RedactError> {
        if self.depth == JSON_DEPTH_MAX {
            return self.fail("it is nested too deep");
        }
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.state = if object { State::KeyOrEnd } else { State::ValueOrEnd };
        sink.open(object, self.offset)
    }

    fn close(&mut self, sink: &mut impl Sink) -> Result<(), RedactError> {
        self.depth -= 1;
        self.objects >>= 1;
        self.after_value();
        sink.close(self.offset)
    }

    fn after_value(&mut self) {
        self.state = if self.depth == 0 { State::Done } else { State::After };
    }

    fn string(&mut self, key: bool, sink: &mut impl Sink) -> Result<(), RedactError> {
        self.key = key;
        self.state = State::Text;
        self.text_at = self.offset + 1;
        self.take = sink.string(key, self.offset)?;
        Ok(())
    }

    /// Takes a key that `rest` begins with, and the colon if it follows at once. Returns the bytes
    /// taken.
    fn key(&mut self, rest: &[u8], sink: &mut impl Sink) -> Result<usize, RedactError> {
        let n = 1 + plain_len(&rest[1..]);
        if rest.get(n) != Some(&b'"') {
            // It goes on in another chunk, or has an escape: `string` reads it part by part.
            return self.string(true, sink).map(|()| 1);
        }
        sink.key(&rest[1..n], self.offset)?;
        let colon = rest.get(n + 1) == Some(&b':');
        self.state = if colon { State::Value } else { State::Colon };
        Ok(n + 1 + usize::from(colon))
    }

    /// Takes more of a number, or nothing if it has ended. Returns the bytes taken.
    fn number(
        &mut self,
        mut digits: Digits,
        rest: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, RedactError> {
        let tells = self.take == Take::Text;
        for (i, &byte) in rest.iter().enumerate() {
            let Some(next) = digits.next(byte) else {
                self.offset += i as u64;
                return self.number_end(digits, sink).map(|()| i);
            };
            digits = next;
            if tells {
                sink.number(byte);
            }
        }
        self.state = State::Number(digits);
        Ok(rest.len())
    }

    fn begin_literal(
        &mut self,
        rest: &'static [u8],
        scalar: Scalar,
        sink: &mut impl Sink,
    ) -> Result<(), RedactError> {
        self.state = State::Literal(rest, scalar);
        sink.scalar(self.offset).map(|_| ())
    }

    fn literal(
        &mut self,
        rest: &'static [u8],
        scalar: Scalar,
        byte: u8,
        sink: &mut impl Sink,
    ) -> Result<(), RedactError> {
        match rest {
            [expected, rest @ ..] if *expected == byte => {
                if rest.is_empty() {
                    self.after_value();
                    return sink.scalar_end(scalar, self.offset + 1);
                }
                self.state = State::Literal(rest, scalar);
                Ok(())
            }
            _ => self.fail("a value is expected"),
        }
    }

    fn number_end(&mut self, digits: Digits, sink: &mut impl Sink) -> Result<(), RedactError> {
        if !digits.may_end() {
            return self.fail("a digit is expected");
        }
        self.after_value();
        sink.scalar_end(Scalar::Number, self.offset)
    }

    /// Takes a run of a string: plain text with short escapes in it, and its end if it is here.
    /// Returns the bytes taken.
    fn text(&mut self, rest: &[u8], sink: &mut impl Sink) -> Result<usize, RedactError> {
        let n = if is_plain(rest[0]) { plain_len(rest) } else { 0 };
        if matches!(rest[n..], [b'\\', escaped, ..] if is_short(escaped)) {
            return self.escaped_text(rest, n, sink);
        }
        if n > 0 {
            let ends = rest.get(n) == Some(&b'"');
            if self.take == Take::Text {
                self.lone_high(sink)?;
                sink.plain(&rest[..n], self.offset, ends && self.offset == self.text_at)?;
            }
            self.high = None;
            if !ends {
                return Ok(n);
            }
            self.offset += n as u64;
            self.string_end(sink)?;
            return Ok(n + 1);
        }
        self.from = self.offset;
        match rest[0] {
            b'"' => {
                self.lone_high(sink)?;
                self.string_end(sink)?;
                Ok(1)
            }
            b'\\' => {
                self.state = State::Escape;
                Ok(1)
            }
            0..=0x1F => self.fail("a control character must be escaped"),
            _ => self.multibyte(rest, sink),
        }
    }

    /// Takes plain text with short escapes in it, the first of which stands at `n`, all of it at
    /// once.
    fn escaped_text(
        &mut self,
        rest: &[u8],
        mut n: usize,
        sink: &mut impl Sink,
    ) -> Result<usize, RedactError> {
        let (mut escapes, mut count) = ([0; ESCAPES_MAX], 0);
        while count < ESCAPES_MAX
            && let [b'\\', escaped, ref more @ ..] = rest[n..]
            && is_short(escaped)
        {
            escapes[count] = n;
            count += 1;
            n += 2;
            if more.first().is_some_and(|b| is_plain(*b)) {
                n += plain_len(more);
            }
        }
        if self.take == Take::Text {
            self.lone_high(sink)?;
            sink.escaped(&rest[..n], &escapes[..count], self.offset)?;
        }
        self.high = None;
        Ok(n)
    }

    fn string_end(&mut self, sink: &mut impl Sink) -> Result<(), RedactError> {
        if self.key {
            self.state = State::Colon;
        } else {
            self.after_value();
        }
        sink.string_end(self.offset)
    }
}
