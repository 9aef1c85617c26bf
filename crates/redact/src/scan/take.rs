//! Takes the characters of a string as the tokenizer tells them, many at once where they stand for
//! themselves.
//!
//! Promise: the same window for every way of cutting. Does not: look at what is found.

use super::escapes::{self, Decoded, Nested};
use super::{Coding, Scanner, WINDOW};
use crate::fold;
use crate::json::short;

impl Scanner {
    /// Takes ASCII text with short escapes of JSON in it, which stand at `escapes`.
    pub(crate) fn escaped(&mut self, raw: &[u8], escapes: &[usize], at: u64) {
        let mut from = 0;
        // Text before it stands for itself.
        let mut coded = next_coded(raw, 0);
        for &escape in escapes {
            if escape > from {
                let piece = &raw[from..escape];
                if escape <= coded {
                    self.piece(piece, at + from as u64);
                } else {
                    self.plain(piece, at + from as u64);
                    coded = next_coded(raw, escape);
                }
            }
            self.short_escape(raw[escape + 1], at + escape as u64);
            from = escape + 2;
        }
        if from < raw.len() {
            self.plain(&raw[from..], at + from as u64);
        }
    }

    /// Takes a piece of such text without escapes of any kind.
    #[inline]
    fn piece(&mut self, piece: &[u8], at: u64) {
        if self.unescape[0].n > 0 || self.unescape[1].n > 0 || self.soft_is_held() {
            return self.plain(piece, at);
        }
        let opens = self.just_opened && !matches!(piece[0], b'{' | b'[');
        let as_it_is = match self.nested {
            Nested::Unknown => false,
            Nested::No => true,
            Nested::Yes => self.quoted && (opens || !self.just_opened),
        };
        if !as_it_is || self.window.len() + piece.len() > WINDOW {
            return self.plain(piece, at);
        }
        if self.just_opened {
            (self.just_opened, self.inner) = (false, false);
        }
        self.run(piece, at);
        self.make_room();
    }

    /// Takes a backslash and `byte`, which stand for one character.
    #[inline]
    fn short_escape(&mut self, byte: u8, at: u64) {
        let c = short(byte);
        let b = match byte {
            b'n' | b'r' => b'\n',
            b't' => b'\t',
            _ => byte,
        };
        let simple = !self.is_pending() && matches!(byte, b'n' | b'r' | b't' | b'"' | b'/');
        match self.nested {
            Nested::No if simple => self.byte(b, at, at + 2),
            Nested::Yes if byte == b'"' && self.unescape[0].n == 0 => {
                self.first_level(c, at, at + 2);
            }
            _ => return self.char(c, at, at + 2),
        }
        self.make_room();
    }

    /// Takes ASCII text that stands unescaped at `at`.
    pub(crate) fn plain(&mut self, text: &[u8], at: u64) {
        let mut i = 0;
        // Most strings hold no JSON, as their first character shows.
        if self.nested == Nested::Unknown
            && self.unescape[0].n == 0
            && matches!(text.first(), Some(b'!'..=b'~'))
            && !matches!(text[0], b'{' | b'[' | b'"' | b'\\')
        {
            self.nested = Nested::No;
        }
        while i < text.len() {
            let rest = &text[i..];
            let slow = self.is_slow();
            if !slow && self.is_outside() {
                let n = self.outside(rest, at + i as u64);
                self.make_room();
                i += n;
                if n > 0 {
                    continue;
                }
            }
            let n = if slow || self.is_outside() { 0 } else { escapes::as_it_is(rest) };
            let mut from = 0;
            while from < n {
                let to = n.min(from + WINDOW - self.window.len().min(WINDOW - 1));
                self.run(&rest[from..to], at + (i + from) as u64);
                from = to;
                self.make_room();
            }
            i += n;
            if n < rest.len() {
                i += self.coded(&rest[n..], at + i as u64);
                self.make_room();
            }
        }
    }

    /// Takes what begins `text`, which may stand for another character: how many bytes were taken.
    #[inline]
    fn coded(&mut self, text: &[u8], at: u64) -> usize {
        if !self.is_slow() && !self.is_outside() {
            match escapes::decode(text, &self.window) {
                Decoded::Coded(b, coding, len) => {
                    self.coding = coding;
                    self.fold(Some(char::from(b)), at, at + len as u64);
                    self.coding = Coding::None;
                    return len;
                }
                Decoded::Wide(c, len) => {
                    self.percent_encoded(c, at, at + len as u64);
                    return len;
                }
                Decoded::Long(b, len) => {
                    self.byte(b, at, at + len as u64);
                    return len;
                }
                Decoded::AsItIs(len) => {
                    self.run(&text[..len], at);
                    return len;
                }
                Decoded::Open => {}
            }
        }
        self.character(Some(char::from(text[0])), at, at + 1);
        1
    }

    /// Takes one other character, which stands at `from..to`.
    pub(crate) fn char(&mut self, c: Option<char>, from: u64, to: u64) {
        match c {
            // White space is no part of an escape and says nothing of JSON.
            Some(' ' | '\t') if !self.is_pending() => {
                self.byte(c.map_or(b' ', |c| c as u8), from, to)
            }
            Some('\n' | '\r') if !self.is_pending() => self.byte(b'\n', from, to),
            Some('\\' | '"') => self.character(c, from, to),
            _ if self.is_slow() => self.character(c, from, to),
            _ => self.visible(c, from, to),
        }
        self.make_room();
    }

    /// Takes text that is not ASCII and stands unescaped at `at`.
    pub(crate) fn wide(&mut self, text: &str, at: u64) {
        let mut i = 0;
        while i < text.len() {
            // Letters are seen as they stand; runs of them go into the window at once.
            let n = if self.is_slow() { 0 } else { fold::kept_len(&text[i..]) };
            let to = i + n;
            while i < to {
                let mut part = (to - i).min(WINDOW / 4);
                while !text.is_char_boundary(i + part) {
                    part -= 1;
                }
                self.run(&text.as_bytes()[i..i + part], at + i as u64);
                self.make_room();
                i += part;
            }
            let Some(c) = text[i..].chars().next() else { break };
            let from = i;
            i += c.len_utf8();
            if self.is_slow() {
                self.character(Some(c), at + from as u64, at + i as u64);
            } else {
                self.visible(Some(c), at + from as u64, at + i as u64);
            }
            self.make_room();
        }
    }

    /// Takes text that is not escaped and stands at `base`.
    pub(crate) fn text(&mut self, text: &str, base: u64) {
        let mut i = 0;
        while i < text.len() {
            let n = text.as_bytes()[i..]
                .iter()
                .take_while(|b| b.is_ascii() && !matches!(b, b'\\' | b'"' | 0..=0x1F))
                .count();
            if n > 0 {
                self.plain(&text.as_bytes()[i..i + n], base + i as u64);
                i += n;
            } else if let Some(c) = text[i..].chars().next().filter(char::is_ascii) {
                self.char(Some(c), base + i as u64, base + i as u64 + 1);
                i += 1;
            } else {
                let n =
                    text.as_bytes()[i..].iter().position(u8::is_ascii).unwrap_or(text.len() - i);
                self.wide(&text[i..i + n], base + i as u64);
                i += n;
            }
        }
    }
}

/// Where the next byte stands that may stand for another character.
fn next_coded(text: &[u8], from: usize) -> usize {
    memchr::memchr3(b'%', b'=', 0x7F, &text[from..]).map_or(text.len(), |n| from + n)
}
