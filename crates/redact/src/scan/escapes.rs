//! Text that stands for another character: escapes of JSON inside the string, to two levels;
//! percent-encoding; a backslash before punctuation; the end of a line of quoted-printable text
//! that goes on.
//!
//! Promises: what turns out to be no escape is told as it stands; what may be the beginning of one
//! is held, six characters a level and [`SOFT_MAX`] after them at the most. Does not: decide what
//! is found.
//!
//! Sources: RFC 8259 §7, RFC 3986 §2.1, CommonMark 0.31 §2.4 (backslash escapes), RFC 2045 §6.7.

use super::super::fold::{NESTED_QUOTE, SOFT_BREAK};
use super::harmless::SHORT;
use super::percent::{hex, utf8_len, wide};
use super::{Coding, SKIPPED_AHEAD_MAX, Scanner, WINDOW};

/// Characters that are held after the escapes of JSON are undone.
const SOFT_MAX: usize = 12;
/// Backslashes that may stand in a row before a character.
const SLASHES_MAX: usize = 8;
/// How many times a percent sign may be encoded itself: "%40", "%2540", "%252540".
const PERCENT_LEVELS: u8 = 4;

/// Characters that may be the beginning of something that stands for another one, held until that
/// is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Soft {
    /// Each with the place where it begins and ends.
    pub(crate) chars: [(u8, u64, u64); SOFT_MAX],
    pub(crate) n: usize,
    /// How many times the percent sign at hand was encoded itself.
    pub(crate) encoded: u8,
}

impl Soft {
    /// Where the first one begins.
    pub(crate) fn from(&self) -> Option<u64> {
        (self.n > 0).then_some(self.chars[0].1)
    }

    fn first(&self) -> Option<u8> {
        (self.n > 0).then_some(self.chars[0].0)
    }

    pub(crate) fn push(&mut self, c: u8, from: u64, to: u64) {
        self.chars[self.n] = (c, from, to);
        self.n += 1;
    }
}

/// Undoes escapes of JSON inside a string, as far as they are ones: what is held while it may be
/// the beginning of one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unescape {
    /// ASCII all of it.
    chars: [u8; 6],
    pub(crate) n: usize,
    /// Where the first begins, and where each ends, counted from there.
    pub(crate) from: u64,
    ends: [u32; 6],
}

impl Unescape {
    fn push(&mut self, c: u8, from: u64, to: u64) {
        if self.n == 0 {
            self.from = from;
        }
        self.chars[self.n] = c;
        self.ends[self.n] = (to - self.from) as u32;
        self.n += 1;
    }
}

/// How many bytes of ASCII text are seen as they stand: no percent sign that encodes something, no
/// equals sign that does or ends its piece, no character that is not seen.
pub(crate) fn as_it_is(text: &[u8]) -> usize {
    // In few bytes the search takes less than its beginning.
    if text.len() < SHORT && !text.iter().any(|b| matches!(b, b'%' | b'=' | 0x7F)) {
        return text.len();
    }
    let mut from = 0;
    while let Some(n) = memchr::memchr3(b'%', b'=', 0x7F, &text[from..]) {
        let i = from + n;
        let coded = match text[i..] {
            [b'%', a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
            [b'=', a, b, ..] => is_pair(a, b),
            // The next byte decides.
            _ => true,
        };
        if coded {
            return i;
        }
        from = i + 1;
    }
    text.len()
}

/// Whether `=` and these two write a character of quoted-printable text that is looked for: a
/// space, `-`, `.`, `=`, `@`, `_`, `+`.
fn is_pair(a: u8, b: u8) -> bool {
    matches!((a, b), (b'2', b'0' | b'B' | b'D' | b'E') | (b'3', b'D') | (b'4', b'0') | (b'5', b'F'))
}

/// Whether a text may hold an `@` of quoted-printable text.
pub(crate) fn holds_quoted_at(text: &[u8]) -> bool {
    memchr::memchr_iter(b'=', text).any(|i| text[i + 1..].starts_with(b"40"))
}

/// Text that begins with a percent or an equals sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// It stands for this byte; so many bytes.
    Coded(u8, Coding, usize),
    /// Percent signs that stand for this character, which is not ASCII; so many bytes.
    Wide(char, usize),
    /// A percent sign that was encoded itself.
    Long(u8, usize),
    /// So many bytes stand for themselves.
    AsItIs(usize),
    /// More has to be known.
    Open,
}

/// Tells what begins `text` as one look shows it: what [`Scanner::visible`] would say byte by byte.
/// `seen`: the text before it.
#[inline]
pub(crate) fn decode(text: &[u8], seen: &[u8]) -> Decoded {
    match *text {
        [b'%', a, b, ..] => {
            let mut pair = (a, b);
            let mut len = 3;
            for encoded in 0..=PERCENT_LEVELS {
                let (Some(high), Some(low)) = (hex(pair.0), hex(pair.1)) else {
                    return Decoded::Open;
                };
                let byte = high << 4 | low;
                if byte >= 0x80 && encoded == 0 {
                    return wide(text, byte)
                        .map_or(Decoded::Open, |(c, len)| Decoded::Wide(c, len));
                }
                if byte >= 0x80 || byte == b'%' && encoded == PERCENT_LEVELS {
                    return Decoded::Open;
                }
                if byte != b'%' {
                    return Decoded::Coded(byte, Coding::Percent, len);
                }
                match text.get(len..) {
                    Some([next, ..]) if hex(*next).is_none() => return Decoded::Long(b'%', len),
                    Some([a, b, ..]) => pair = (*a, *b),
                    _ => return Decoded::Open,
                }
                len += 2;
            }
            Decoded::Open
        }
        [b'=', a, b, next, ..] if is_pair(a, b) => match quoted_printable((a, b), seen, next) {
            Some(byte) => Decoded::Coded(byte, Coding::QuotedPrintable, 3),
            None => Decoded::AsItIs(3),
        },
        _ => Decoded::Open,
    }
}

/// The character that an equals sign and two hex digits stand for in quoted-printable text, with
/// `seen` before them and `next` behind: where it makes sense as one, because an equals sign before
/// a number means something else as often.
fn quoted_printable(pair: (u8, u8), seen: &[u8], next: u8) -> Option<u8> {
    let last = seen.last().copied().unwrap_or_default();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b >= 0x80;
    let (b, fits) = match pair {
        (b'2', b'0') => (b' ', next.is_ascii_digit() && in_number(seen)),
        (b'2', b'B') => (b'+', next.is_ascii_digit()),
        (b'2', b'D') => (b'-', word(last) && next.is_ascii_alphabetic()),
        (b'2', _) => (b'.', word(last) && next.is_ascii_alphabetic()),
        (b'3', _) => (b'=', true),
        (b'4', _) => {
            (b'@', (word(last) || matches!(last, b'.' | b'-' | b'"')) && next.is_ascii_alphabetic())
        }
        _ => (b'_', word(last) && next.is_ascii_alphabetic()),
    };
    fits.then_some(b)
}

/// Whether a text ends inside a number that begins with a plus: "+1", "+1 415". Behind other digits
/// an equals sign and "20" may be an assignment: "1=202-555-0132".
fn in_number(text: &[u8]) -> bool {
    /// Bytes and digits of a number before its last group.
    const REACH: usize = 20;
    const DIGITS: usize = 10;
    let text = &text[text.len().saturating_sub(REACH)..];
    let is_part = |b: &u8| matches!(*b, b'0'..=b'9' | b' ' | b'-' | b'.' | b'(' | b')');
    let Some(plus) = text.iter().rposition(|b| !is_part(b)).filter(|i| text[*i] == b'+') else {
        return false;
    };
    (1..=DIGITS).contains(&text[plus..].iter().filter(|b| b.is_ascii_digit()).count())
}

/// Whether the string holds a JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nested {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    No,
    Yes,
}

impl Scanner {
    /// Whether the next character has to be looked at one by one.
    #[inline]
    pub(crate) fn is_slow(&self) -> bool {
        self.is_pending() || self.nested == Nested::Unknown
    }

    /// Whether the next character decides about those before it.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.unescape[0].n > 0 || self.unescape[1].n > 0 || self.soft.n > 0 || self.just_opened
    }

    /// Whether characters are held after the escapes of JSON are undone.
    #[inline]
    pub(crate) fn soft_is_held(&self) -> bool {
        self.soft.n > 0
    }

    /// Whether the next character stands in a JSON text inside, outside its strings.
    pub(crate) fn is_outside(&self) -> bool {
        self.nested == Nested::Yes && !self.quoted
    }

    /// Takes a character after the escapes of JSON are undone.
    pub(crate) fn visible(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.soft.n == 0
            && let Some(c @ ' '..='~') = c
            && !matches!(c, '%' | '\\' | '=')
        {
            return self.byte(c as u8, from, to);
        }
        // Full-width forms count as well.
        let ascii = match c {
            Some(c @ '\0'..='\x7F') => Some(c as u8),
            Some(c @ '\u{FF01}'..='\u{FF5E}') => Some((c as u32 - 0xFEE0) as u8),
            _ => None,
        };
        match (self.soft.first(), ascii) {
            (None, Some(b @ (b'%' | b'\\' | b'='))) => {
                self.soft.encoded = 0;
                self.soft.push(b, from, to);
            }
            (None, _) => self.fold(c, from, to),
            (Some(b'%'), Some(h)) if h.is_ascii_hexdigit() && !self.soft.n.is_multiple_of(3) => {
                self.percent(h, from, to);
            }
            // The next byte of a character.
            (Some(b'%'), Some(b'%')) if self.soft.n.is_multiple_of(3) => {
                self.soft.encoded = 0;
                self.soft.push(b'%', from, to);
            }
            (Some(b'\\'), Some(b'\\')) if self.soft.n < SLASHES_MAX => {
                self.soft.push(b'\\', from, to);
            }
            // "\\\\u00fc": an escape within strings of more levels than were undone.
            (Some(b'\\'), _) if self.undone && !matches!(ascii, Some(b'"' | b'\\')) => {
                let from = self.soft.chars[0].1;
                self.soft.n = 0;
                self.visible(c, from, to);
            }
            // A quotation mark keeps its backslash: it tells which mark closes what the other one
            // opened.
            (Some(b'\\'), Some(b))
                if b.is_ascii_punctuation() && b != b'"' && b != b'\\' && self.may_skip() =>
            {
                self.ahead += self.soft.n as u16;
                self.soft.n = 0;
                self.visible(c, from, to);
            }
            (Some(b'='), Some(b @ (b'\n' | b'\r')))
                if self.soft.n == 1
                    || self.soft.n == 2 && b == b'\n' && self.soft.chars[1].0 == b'\r' =>
            {
                self.soft.push(b, from, to);
            }
            (Some(b'='), Some(b)) if self.soft.n > 1 && self.soft.chars[1].0 <= b'\r' => {
                self.soft_break(b);
                self.visible(c, from, to);
            }
            (Some(b'='), Some(b)) if self.soft.n == 1 && (b'2'..=b'5').contains(&b) => {
                self.soft.push(b, from, to)
            }
            (Some(b'='), Some(b)) if self.soft.n == 2 && is_pair(self.soft.chars[1].0, b) => {
                self.soft.push(b, from, to);
            }
            (Some(b'='), Some(b)) if self.soft.n == 3 && self.soft.chars[1].0 > b'\r' => {
                self.quoted_printable(b);
                self.visible(c, from, to);
            }
            _ => {
                self.flush_soft();
                self.visible(c, from, to);
            }
        }
    }

    /// Whether what is held may count as not seen.
    fn may_skip(&self) -> bool {
        usize::from(self.ahead) + self.soft.n <= usize::from(SKIPPED_AHEAD_MAX)
    }

    /// Takes a hex digit after a percent sign.
    pub(crate) fn percent(&mut self, h: u8, from: u64, to: u64) {
        let soft = &mut self.soft;
        if soft.n % 3 == 1 {
            return soft.push(h, from, to);
        }
        // Bytes of a character may stand before it.
        let begin = soft.n - 2;
        let code = |at: usize, low: u8| {
            hex(soft.chars[at + 1].0).unwrap_or(0) << 4 | hex(low).unwrap_or(0)
        };
        let b = code(begin, h);
        let (start, place) = (soft.chars[0].1, soft.chars[begin].1);
        if b == b'%' && soft.encoded < PERCENT_LEVELS {
            soft.n = begin;
            soft.push(b'%', place, to);
            soft.encoded += 1;
        } else if begin == 0 && b < 0x80 && b != b'%' {
            soft.n = 0;
            self.percent_encoded(char::from(b), start, to);
        } else if begin == 0 && utf8_len(b) > 0 {
            soft.push(h, from, to);
        } else if begin > 0 && b & 0xC0 == 0x80 {
            let mut utf8 = [0; 4];
            for (i, byte) in utf8.iter_mut().enumerate().take(begin / 3) {
                *byte = code(3 * i, soft.chars[3 * i + 2].0);
            }
            utf8[begin / 3] = b;
            let len = utf8_len(utf8[0]);
            soft.push(h, from, to);
            if 3 * len > soft.n {
                return;
            }
            match std::str::from_utf8(&utf8[..len]).ok().and_then(|text| text.chars().next()) {
                Some(c) => {
                    soft.n = 0;
                    self.percent_encoded(c, start, to);
                }
                None => self.flush_soft(),
            }
        } else if begin > 0 {
            // The bytes before it are no character; it may begin one.
            let held = *soft;
            soft.n = begin;
            self.flush_soft();
            self.soft.chars[0] = held.chars[begin];
            self.soft.chars[1] = held.chars[begin + 1];
            self.soft.n = 2;
            self.percent(h, from, to);
        } else {
            self.flush_soft();
            self.visible(Some(char::from(h)), from, to);
        }
    }

    /// Takes a character that is percent-encoded.
    pub(crate) fn percent_encoded(&mut self, c: char, from: u64, to: u64) {
        self.coding = Coding::Percent;
        self.fold(Some(c), from, to);
        self.coding = Coding::None;
    }

    /// An equals sign and two hex digits, with `next` behind them.
    fn quoted_printable(&mut self, next: u8) {
        let soft = &mut self.soft;
        let pair = (soft.chars[1].0, soft.chars[2].0);
        let Some(b) = quoted_printable(pair, &self.window, next) else { return self.flush_soft() };
        let (from, to) = (soft.chars[0].1, soft.chars[2].2);
        soft.n = 0;
        self.coding = Coding::QuotedPrintable;
        self.fold(Some(char::from(b)), from, to);
        self.coding = Coding::None;
    }

    /// An equals sign at the end of a line, with `next` behind it: in the middle of a number or a
    /// word it may be no character of the text.
    fn soft_break(&mut self, next: u8) {
        let last = self.window.last().copied().unwrap_or_default();
        let (from, to) = (self.soft.chars[0].1, self.soft.chars[self.soft.n - 1].2);
        let number =
            |b: &u8| matches!(*b, b'0'..=b'9' | b' ' | b'+' | b'-' | b'.' | b'(' | b')' | b'/');
        let digits = last.is_ascii_digit() && next.is_ascii_digit();
        if digits && self.window.iter().rev().take(3).all(number) && self.may_skip() {
            self.ahead += self.soft.n as u16;
            self.soft.n = 0;
        } else if (last.is_ascii_alphanumeric()
            || matches!(last, b'@' | b'.' | b'_' | b'-' | b'+' | 0x80..))
            && (next.is_ascii_alphanumeric() || matches!(next, b'@' | b'.' | b'_' | b'+'))
        {
            self.soft.n = 0;
            self.byte(SOFT_BREAK, from, to);
        } else {
            self.flush_soft();
        }
    }

    /// The held text stands for itself.
    #[inline]
    pub(crate) fn flush_soft(&mut self) {
        if self.soft.n > 0 {
            self.tell_soft();
        }
    }

    fn tell_soft(&mut self) {
        let n = std::mem::take(&mut self.soft.n);
        for i in 0..n {
            let (c, from, to) = self.soft.chars[i];
            self.fold(Some(char::from(c)), from, to);
        }
    }

    /// Takes text that stands outside the strings of a JSON text inside, up to what may be coded or
    /// the end of the room for it: how many bytes were taken.
    pub(crate) fn outside(&mut self, text: &[u8], at: u64) -> usize {
        let room = WINDOW.saturating_sub(self.window.len()).min(text.len());
        let (mut from, mut end) = (0, room);
        for (i, &b) in text[..room].iter().enumerate() {
            match b {
                b'{' | b'}' | b'[' | b']' | b':' | b',' => {
                    if i > from {
                        self.run(&text[from..i], at + from as u64);
                        from = i;
                    }
                    self.keys.mark(b, &self.window, self.rules.words);
                }
                b'%' | b'=' | b'\\' | b'"' | 0x7F => {
                    end = i;
                    break;
                }
                _ => {}
            }
        }
        if end > from {
            self.run(&text[from..end], at + from as u64);
        }
        end
    }

    /// Takes a character that stands in the string.
    #[inline]
    pub(crate) fn character(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.unescape[0].n == 0 && c != Some('\\') {
            self.first_level(c, from, to);
        } else {
            self.level(0, c, from, to);
        }
    }

    /// Passes a character through the unescaping of level `k` on to the next.
    fn level(&mut self, k: usize, c: Option<char>, from: u64, to: u64) {
        let Some(unescape) = self.unescape.get_mut(k) else { return self.visible(c, from, to) };
        let full = if k == 0 { self.nested == Nested::Yes } else { self.inner };
        match (unescape.n, c) {
            (0, Some('\\')) => unescape.push(b'\\', from, to),
            (0, _) if k == 0 => self.first_level(c, from, to),
            // The last level.
            (0, _) if k == 1 => self.visible(c, from, to),
            (0, _) => self.level(k + 1, c, from, to),
            (1, Some(u @ ('u' | 'x'))) => unescape.push(u as u8, from, to),
            (1, Some(e @ ('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't'))) if full => {
                let c = match e {
                    'b' | 'f' => '\u{8}',
                    'n' | 'r' => '\n',
                    't' => '\t',
                    other => other,
                };
                self.unescaped(k, Some(c), to);
            }
            (n, Some(h)) if n >= 2 && h.is_ascii_hexdigit() => {
                unescape.push(h as u8, from, to);
                // "\x22": not of JSON, but logs and programs write marks like this; letters and
                // digits are left.
                let short = unescape.chars[1] == b'x';
                if short && n == 3 {
                    let code = [2, 3]
                        .map(|i| char::from(unescape.chars[i]).to_digit(16).unwrap_or(0) as u8);
                    let b = code[0] << 4 | code[1];
                    if b.is_ascii_punctuation() || b == b' ' {
                        self.unescaped(k, Some(char::from(b)), to);
                    } else {
                        self.flush(k);
                    }
                } else if n == 5 {
                    let digits = unescape.chars[2..].iter();
                    let code =
                        digits.fold(0, |v, h| v << 4 | char::from(*h).to_digit(16).unwrap_or(0));
                    self.unescaped(k, char::from_u32(code), to);
                }
            }
            _ => {
                self.flush(k);
                self.level(k, c, from, to);
            }
        }
    }

    /// An escape of level `k` is complete and stands for `c`.
    fn unescaped(&mut self, k: usize, c: Option<char>, to: u64) {
        // Not "\n": a backslash before the end of a line goes on it.
        self.undone = std::mem::take(&mut self.unescape[k].n) > 2;
        self.just_opened &= k > 0;
        self.level(k + 1, c, self.unescape[k].from, to);
        self.undone = false;
    }

    /// The text that was held as the beginning of an escape is none.
    pub(crate) fn flush(&mut self, k: usize) {
        if self.unescape[k].n == 0 {
            return;
        }
        let (held, undone) = (self.unescape[k], std::mem::take(&mut self.undone));
        self.unescape[k].n = 0;
        self.just_opened &= k > 0 || held.n == 0;
        let mut from = held.from;
        for (c, end) in held.chars.iter().zip(held.ends).take(held.n) {
            let to = held.from + u64::from(end);
            self.level(k + 1, Some(char::from(*c)), from, to);
            from = to;
        }
        self.undone = undone;
    }

    /// A character of the first level that is no escape: what shows whether JSON stands in the
    /// string.
    pub(crate) fn first_level(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.nested == Nested::Unknown && !matches!(c, Some(' ' | '\n' | '\r' | '\t')) {
            self.nested = if matches!(c, Some('{' | '[')) { Nested::Yes } else { Nested::No };
        }
        if self.nested == Nested::Yes && c == Some('"') {
            if self.unescape[1].n > 0 {
                self.flush(1);
            }
            self.flush_soft();
            self.quoted = !self.quoted;
            self.keys.quote(self.window.len(), self.quoted);
            self.just_opened = self.quoted;
            self.inner = false;
            return self.byte(NESTED_QUOTE, from, to);
        }
        if self.nested == Nested::Yes
            && !self.quoted
            && let Some(mark @ ('{' | '}' | '[' | ']' | ':' | ',')) = c
        {
            self.keys.mark(mark as u8, &self.window, self.rules.words);
        }
        if self.just_opened {
            self.just_opened = false;
            self.inner = matches!(c, Some('{' | '['));
            if self.inner {
                // The mark is the last byte.
                self.inner_marks.push(self.window.len().saturating_sub(1));
            }
        }
        if self.unescape[1].n == 0 && c != Some('\\') {
            self.visible(c, from, to);
        } else {
            self.level(1, c, from, to);
        }
    }
}
