//! The characters of a string that do not stand for themselves: escapes, and characters of several
//! bytes.
//!
//! Pure. The part of the tokenizer that reads them, wherever a text is cut.

use super::{Sink, State, Take, Tokenizer};
use crate::RedactError;

/// The character that a backslash and `byte` stand for.
#[inline]
pub(crate) fn short(byte: u8) -> Option<char> {
    Some(match byte {
        b'"' | b'\\' | b'/' => char::from(byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        _ => return None,
    })
}

/// Whether it stands for one.
#[inline]
pub(crate) fn is_short(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

impl Tokenizer {
    /// Takes a run of characters of several bytes; one that is cut is completed by
    /// [`Tokenizer::utf8`].
    pub(crate) fn multibyte(
        &mut self,
        rest: &[u8],
        sink: &mut impl Sink,
    ) -> Result<usize, RedactError> {
        self.lone_high(sink)?;
        let run = &rest[..rest.iter().position(u8::is_ascii).unwrap_or(rest.len())];
        let (text, error) = match std::str::from_utf8(run) {
            Ok(text) => (text, None),
            Err(e) => (std::str::from_utf8(&run[..e.valid_up_to()]).unwrap_or_default(), Some(e)),
        };
        if !text.is_empty() {
            if self.take == Take::Text {
                sink.wide(text, self.offset)?;
            }
            return Ok(text.len());
        }
        match error {
            // The rest of the character may be in the next piece, or be no part of one: byte by
            // byte.
            Some(e) if e.error_len().is_none() => {
                self.state = State::Utf8;
                self.utf8_len = 1;
                self.utf8[0] = rest[0];
                Ok(1)
            }
            _ => self.fail("it is not UTF-8"),
        }
    }

    /// Takes another byte of a character that was cut.
    pub(crate) fn utf8(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), RedactError> {
        self.utf8[self.utf8_len] = byte;
        self.utf8_len += 1;
        match std::str::from_utf8(&self.utf8[..self.utf8_len]) {
            Ok(s) => {
                self.state = State::Text;
                match (self.take, s.chars().next()) {
                    (Take::Text, c) => sink.char(c, self.from, self.offset + 1),
                    (Take::Skip, _) => Ok(()),
                }
            }
            Err(e) if e.error_len().is_none() => Ok(()),
            // The same offset as for a character that arrives in one piece.
            Err(_) => {
                Err(RedactError::InvalidJson { offset: self.from, reason: "it is not UTF-8" })
            }
        }
    }

    /// Takes the byte behind a backslash.
    pub(crate) fn escape(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), RedactError> {
        let c = match short(byte) {
            Some(c) => c,
            None if byte == b'u' => {
                self.state = State::Hex;
                self.hex = 0;
                self.hex_left = 4;
                return Ok(());
            }
            None => return self.fail("an escape is not known"),
        };
        self.state = State::Text;
        self.lone_high(sink)?;
        if self.take == Take::Text {
            sink.char(Some(c), self.from, self.offset + 1)?;
        }
        Ok(())
    }

    /// Takes a byte behind `\u`.
    pub(crate) fn hex(&mut self, byte: u8, sink: &mut impl Sink) -> Result<(), RedactError> {
        let Some(digit) = (byte as char).to_digit(16) else {
            return self.fail("an escape needs four hex digits");
        };
        self.hex = self.hex << 4 | digit;
        self.hex_left -= 1;
        if self.hex_left > 0 {
            return Ok(());
        }
        self.state = State::Text;
        let to = self.offset + 1;
        if let (Some((high, from)), 0xDC00..=0xDFFF) = (self.high, self.hex) {
            self.high = None;
            let c = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (self.hex - 0xDC00));
            return if self.take == Take::Text { sink.char(c, from, to) } else { Ok(()) };
        }
        self.lone_high(sink)?;
        if (0xD800..=0xDBFF).contains(&self.hex) {
            self.high = Some((self.hex, self.from));
            return Ok(());
        }
        if self.take == Take::Text {
            sink.char(char::from_u32(self.hex), self.from, to)
        } else {
            Ok(())
        }
    }

    /// Tells a first half of a surrogate pair that turned out to be alone.
    pub(crate) fn lone_high(&mut self, sink: &mut impl Sink) -> Result<(), RedactError> {
        match self.high.take() {
            Some((_, from)) if self.take == Take::Text => sink.char(None, from, from + 6),
            _ => Ok(()),
        }
    }
}
