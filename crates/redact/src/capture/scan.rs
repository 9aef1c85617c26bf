//! Reads JSON as it comes, byte by byte, and tells its tokens.
//!
//! Pure. Guarantees: any chunking gives the same tokens; a byte that no JSON has there ends the
//! reading; memory is bounded by the depth, which is bounded. Does not: keep or decode text (the
//! tokenizer of `json` decodes it, and refuses a text at its first mistake; this one has to keep the
//! escapes as they are written).

use crate::json::number::Digits;

/// Deeper containers end the reading.
const DEPTH_MAX: usize = 1_024;

/// A token, or a part of one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Token<'a> {
    /// `{` or `[`
    Open(u8),
    Close,
    /// White space, `,`, `:`, or a byte of a number or literal.
    Byte(u8),
    ScalarEnd,
    /// A string; whether it names a field.
    StringBegin(bool),
    Text(&'a [u8]),
    /// One escape, or two that make one character.
    Escape(&'a [u8]),
    StringEnd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    NameOrEnd,
    Name,
    Colon,
    CommaOrEnd,
    Nothing,
    /// It was no JSON.
    Broken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Within {
    Structure,
    String {
        is_name: bool,
    },
    Number(Digits),
    /// `true`, `false` or `null`, and how much of it was seen.
    Literal(&'static [u8], usize),
}

/// The reader.
#[derive(Clone, Debug)]
pub(crate) struct Scan {
    expect: Expect,
    within: Within,
    containers: Vec<u8>,
    /// An escape in the making.
    escape: [u8; 12],
    escape_len: usize,
}

/// Stands for half a pair.
const REPLACEMENT: &[u8] = br"\ufffd";

impl Scan {
    pub(crate) fn new() -> Scan {
        Scan {
            expect: Expect::Value,
            within: Within::Structure,
            containers: Vec::new(),
            escape: [0; 12],
            escape_len: 0,
        }
    }

    /// Reads the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], tell: &mut impl FnMut(Token<'_>)) {
        let mut rest = bytes;
        while let [byte, after @ ..] = rest {
            match self.within {
                _ if self.expect == Expect::Broken => return,
                Within::String { .. } if self.escape_len > 0 => {
                    if self.escaped(*byte, tell) {
                        rest = after;
                    }
                }
                Within::String { is_name } => {
                    let end = memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
                    if end > 0 {
                        tell(Token::Text(&rest[..end]));
                        rest = &rest[end..];
                    } else if *byte == b'"' {
                        rest = after;
                        self.within = Within::Structure;
                        tell(Token::StringEnd);
                        if is_name { self.expect = Expect::Colon } else { self.value_end() }
                    } else {
                        rest = after;
                        (self.escape[0], self.escape_len) = (b'\\', 1);
                    }
                }
                Within::Number(number) => match number.next(*byte) {
                    Some(number) => {
                        self.within = Within::Number(number);
                        tell(Token::Byte(*byte));
                        rest = after;
                    }
                    None if number.may_end() => self.scalar_end(tell),
                    None => self.expect = Expect::Broken,
                },
                Within::Literal(literal, seen) => {
                    if literal[seen] != *byte {
                        self.expect = Expect::Broken;
                        return;
                    }
                    rest = after;
                    tell(Token::Byte(*byte));
                    self.within = Within::Literal(literal, seen + 1);
                    if seen + 1 == literal.len() {
                        self.scalar_end(tell);
                    }
                }
                Within::Structure => {
                    self.structure(*byte, tell);
                    rest = after;
                }
            }
        }
    }

    /// The body has ended.
    pub(crate) fn finish(&mut self, tell: &mut impl FnMut(Token<'_>)) {
        if let Within::Number(number) = self.within
            && number.may_end()
        {
            self.scalar_end(tell);
        }
    }

    fn scalar_end(&mut self, tell: &mut impl FnMut(Token<'_>)) {
        self.within = Within::Structure;
        tell(Token::ScalarEnd);
        self.value_end();
    }

    fn value_end(&mut self) {
        let is_inside = !self.containers.is_empty();
        self.expect = if is_inside { Expect::CommaOrEnd } else { Expect::Nothing };
    }

    fn structure(&mut self, byte: u8, tell: &mut impl FnMut(Token<'_>)) {
        use Expect::*;
        let innermost = self.containers.last().copied();
        match (byte, self.expect) {
            (b' ' | b'\t' | b'\n' | b'\r', _) => tell(Token::Byte(byte)),
            (b'{' | b'[', Value | ValueOrEnd) if self.containers.len() < DEPTH_MAX => {
                self.containers.push(byte);
                self.expect = if byte == b'{' { NameOrEnd } else { ValueOrEnd };
                tell(Token::Open(byte));
            }
            (b'}', NameOrEnd | CommaOrEnd) if innermost == Some(b'{') => self.close(tell),
            (b']', ValueOrEnd | CommaOrEnd) if innermost == Some(b'[') => self.close(tell),
            (b'"', Value | ValueOrEnd | Name | NameOrEnd) => {
                let is_name = matches!(self.expect, Name | NameOrEnd);
                self.within = Within::String { is_name };
                tell(Token::StringBegin(is_name));
            }
            (b':', Colon) => {
                self.expect = Value;
                tell(Token::Byte(byte));
            }
            (b',', CommaOrEnd) => {
                self.expect = if innermost == Some(b'{') { Name } else { Value };
                tell(Token::Byte(byte));
            }
            (_, Value | ValueOrEnd) => self.scalar(byte, tell),
            _ => self.expect = Broken,
        }
    }

    fn scalar(&mut self, byte: u8, tell: &mut impl FnMut(Token<'_>)) {
        let begun = match byte {
            b't' => Some(Within::Literal(b"true", 1)),
            b'f' => Some(Within::Literal(b"false", 1)),
            b'n' => Some(Within::Literal(b"null", 1)),
            _ => Digits::first(byte).map(Within::Number),
        };
        let Some(begun) = begun else {
            self.expect = Expect::Broken;
            return;
        };
        self.within = begun;
        tell(Token::Byte(byte));
    }

    fn close(&mut self, tell: &mut impl FnMut(Token<'_>)) {
        self.containers.pop();
        tell(Token::Close);
        self.value_end();
    }

    /// Takes the next byte of an escape; `false` if it does not belong to it.
    fn escaped(&mut self, byte: u8, tell: &mut impl FnMut(Token<'_>)) -> bool {
        let at = self.escape_len;
        let is_hex = byte.is_ascii_hexdigit();
        let fits = match at {
            1 => br#""\/bfnrtu"#.contains(&byte),
            // The second half of a pair; anything else leaves the first half alone.
            6 => byte == b'\\',
            7 => byte == b'u',
            _ => is_hex,
        };
        if !fits {
            if !matches!(at, 6 | 7) {
                self.expect = Expect::Broken;
                return true;
            }
            tell(Token::Escape(REPLACEMENT));
            // Another escape has begun: its bytes are read again.
            (self.escape[0], self.escape_len) = (b'\\', at - 6);
            return false;
        }
        self.escape[at] = byte;
        self.escape_len += 1;
        match self.escape_len {
            2 if byte != b'u' => self.escape_end(2, tell),
            6 => match self.half() {
                Half::None => self.escape_end(6, tell),
                Half::First => {}
                Half::Second => {
                    tell(Token::Escape(REPLACEMENT));
                    self.escape_len = 0;
                }
            },
            12 => self.pair_end(tell),
            _ => {}
        }
        true
    }

    fn escape_end(&mut self, len: usize, tell: &mut impl FnMut(Token<'_>)) {
        tell(Token::Escape(&self.escape[..len]));
        self.escape_len = 0;
    }

    /// A second `\uXXXX` after the first half of a pair is complete.
    fn pair_end(&mut self, tell: &mut impl FnMut(Token<'_>)) {
        let first: [u8; 6] = self.escape[..6].try_into().unwrap_or_default();
        self.escape.copy_within(6.., 0);
        match self.half() {
            Half::Second => {
                self.escape.copy_within(..6, 6);
                self.escape[..6].copy_from_slice(&first);
                self.escape_end(12, tell);
            }
            Half::First => {
                tell(Token::Escape(REPLACEMENT));
                self.escape_len = 6;
            }
            Half::None => {
                tell(Token::Escape(REPLACEMENT));
                self.escape_end(6, tell);
            }
        }
    }

    /// Which half of a pair the escape at hand is.
    fn half(&self) -> Half {
        match (self.escape[2].to_ascii_lowercase(), self.escape[3].to_ascii_lowercase()) {
            (b'd', b'8'..=b'9' | b'a'..=b'b') => Half::First,
            (b'd', b'c'..=b'f') => Half::Second,
            _ => Half::None,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    None,
    First,
    Second,
}
