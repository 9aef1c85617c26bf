//! Escapes of JSON inside the string: undone as far as they are ones, to two levels.
//!
//! Promises: what turns out to be no escape is told as it stands; what may be the beginning of one is held, six characters
//! a level at the most. Does not: decide what is found.

use super::super::fold::NESTED_QUOTE;
use super::Scanner;

/// Undoes escapes of JSON inside a string, as far as they are ones: what is held while it may be the beginning of one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unescape {
    /// ASCII all of it.
    chars: [u8; 6],
    pub(super) n: usize,
    /// Where the first begins, and where each ends, counted from there.
    pub(super) from: u64,
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

/// Whether the string holds a JSON text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Nested {
    /// Nothing but white space so far.
    #[default]
    Unknown,
    No,
    Yes,
}

impl Scanner {
    /// Whether the next character has to be looked at one by one.
    pub(super) fn is_slow(&self) -> bool {
        self.unescape[0].n > 0 || self.unescape[1].n > 0 || self.nested == Nested::Unknown || self.just_opened
    }

    /// Passes a character through the unescaping of level `k` on to the next.
    pub(super) fn level(&mut self, k: usize, c: Option<char>, from: u64, to: u64) {
        let Some(unescape) = self.unescape.get_mut(k) else { return self.fold(c, from, to) };
        let full = if k == 0 { self.nested == Nested::Yes } else { self.inner };
        match (unescape.n, c) {
            (0, Some('\\')) => unescape.push(b'\\', from, to),
            (0, _) if k == 0 => self.first_level(c, from, to),
            (0, _) => self.level(k + 1, c, from, to),
            (1, Some('u')) => unescape.push(b'u', from, to),
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
                if n == 5 {
                    let digits = unescape.chars[2..].iter();
                    let code = digits.fold(0, |v, h| v << 4 | char::from(*h).to_digit(16).unwrap_or(0));
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
        self.unescape[k].n = 0;
        self.just_opened &= k > 0;
        self.level(k + 1, c, self.unescape[k].from, to);
    }

    /// What was held as the beginning of an escape is none.
    pub(super) fn flush(&mut self, k: usize) {
        if self.unescape[k].n == 0 {
            return;
        }
        let held = self.unescape[k];
        self.unescape[k].n = 0;
        self.just_opened &= k > 0 || held.n == 0;
        let mut from = held.from;
        for (c, end) in held.chars.iter().zip(held.ends).take(held.n) {
            let to = held.from + u64::from(end);
            self.level(k + 1, Some(char::from(*c)), from, to);
            from = to;
        }
    }

    /// A character of the first level that is no escape: what shows whether JSON stands in the string.
    fn first_level(&mut self, c: Option<char>, from: u64, to: u64) {
        if self.nested == Nested::Unknown && !matches!(c, Some(' ' | '\n' | '\r' | '\t')) {
            self.nested = if matches!(c, Some('{' | '[')) { Nested::Yes } else { Nested::No };
        }
        if self.nested == Nested::Yes && c == Some('"') {
            self.flush(1);
            self.quoted = !self.quoted;
            self.just_opened = self.quoted;
            self.inner = false;
            return self.byte(NESTED_QUOTE, from, to);
        }
        if self.just_opened {
            self.just_opened = false;
            self.inner = matches!(c, Some('{' | '['));
        }
        self.level(1, c, from, to);
    }
}
