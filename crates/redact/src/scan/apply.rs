//! Turns a match in the window into an operation on raw bytes, with the escapes and quotation marks
//! that its place needs.

use super::escapes::Nested;
use super::sealed::{self, Head};
use super::tail::{Tail, is_base64};
use super::{BLOB_HEAD, BLOB_MIN, Blob, Found, Look, Op, QUOTE_REACH, Scanner};
use crate::detect::phone;
use crate::digest::digest;
use crate::fold::NESTED_QUOTE;
use crate::rules::kind;

impl Scanner {
    /// The beginning of a string is here that may be base64.
    pub(crate) fn judge_head(&mut self) {
        let head = &self.window[..self.window.len().min(BLOB_HEAD)];
        match std::mem::take(&mut self.blob) {
            Blob::None => {}
            Blob::Replace => {
                if head.len() >= BLOB_MIN && head.iter().all(|b| is_base64(*b)) {
                    let found = Found {
                        start: 0,
                        end: head.len(),
                        kind: kind::ATTACHMENT,
                        tail: Tail::Blob,
                    };
                    self.apply(found);
                }
            }
            Blob::Allow(media) => self.head = Some(sealed::attachment(head, media)),
            Blob::Opaque => self.head = Some(sealed::opaque(head)),
        }
        if self.head == Some(Head::Sealed) {
            self.look = Look::Speaker;
        }
    }

    /// How many times the quotation marks are to be escaped that a match needs which stands in the
    /// place of a number, in the JSON text inside or in one inside of that; 0 for a match that
    /// needs none. `inside`: inside a string of the JSON text.
    pub(crate) fn quote(&self, found: &Found, inside: bool) -> u8 {
        let blank = |b: &&u8| matches!(**b, b' ' | b'\n' | b'\t');
        let before = &self.window[found.start.saturating_sub(QUOTE_REACH)..found.start];
        let mut back = before.iter().rev().filter(|b| !blank(b));
        let is_value = match back.next() {
            Some(b':') => back.next() == Some(if inside { &b'"' } else { &NESTED_QUOTE }),
            Some(b'[' | b',') => {
                let next = self.window[found.end..].iter().find(|b| !blank(b));
                self.is_number(found)
                    && matches!(next, None | Some(b',' | b']' | b'}' | &NESTED_QUOTE))
            }
            _ => false,
        };
        if !is_value || !inside {
            return u8::from(is_value);
        }
        // The string that it stands in has to hold a JSON text, and to have opened as many strings
        // as it has closed.
        let inner = match before.iter().rposition(|b| *b == NESTED_QUOTE) {
            Some(i) => {
                let text = &before[i + 1..];
                let first = text.iter().find(|b| !blank(b));
                matches!(first, Some(b'{' | b'['))
                    && text.iter().filter(|b| **b == b'"').count() % 2 == 0
            }
            None => self.inside_inner,
        };
        if inner { 2 } else { 0 }
    }

    /// Whether a match is a number as JSON writes it.
    pub(crate) fn is_number(&self, found: &Found) -> bool {
        let text = &self.window[found.start..found.end];
        text.strip_prefix(b"-").unwrap_or(text).iter().all(u8::is_ascii_digit)
    }

    /// Whether a match is a number and all of the string.
    pub(crate) fn is_whole_number(&self, found: &Found) -> bool {
        let blank = |b: &u8| matches!(b, b' ' | b'\n' | b'\t');
        self.from_start
            && self.is_number(found)
            && self.window[..found.start].iter().all(blank)
            && self.window[found.end..].iter().all(blank)
    }

    /// Whether what begins at `start` is an entry of a list in brackets, as far as the number
    /// before it tells.
    pub(crate) fn is_bracketed(&self, start: usize) -> bool {
        let from =
            self.listed.map_or(start.saturating_sub(24), |l| l.end.max(start.saturating_sub(24)));
        let between = &self.window[from..start];
        let goes_on = |b: &u8| {
            matches!(b, b' ' | b'\n' | b'\t' | b',' | b';' | b'"' | b'\'' | b'`' | b'\\')
                || *b == NESTED_QUOTE
        };
        match between.iter().rposition(|b| !goes_on(b)) {
            Some(i) => between[i] == b'[',
            None => self.listed.is_some_and(|l| l.bracketed && from == l.end),
        }
    }

    /// Notes a match.
    pub(crate) fn apply(&mut self, found: Found) {
        self.listed = None;
        if found.kind == kind::PHONE {
            let Found { start, end, .. } = found;
            let digits = self.window[start..end].iter().filter(|b| b.is_ascii_digit()).count();
            let bracketed = self.is_bracketed(start);
            self.listed = Some(phone::Listed { end, digits, bracketed });
            // Only bare digits need it: others are known by their groups.
            if end - start == digits {
                self.column = phone::Column::of(&self.window, self.from_start, (start, end));
            }
        }
        if kind::may_stay(found.kind) && self.rules.allows(&self.window[found.start..found.end]) {
            (self.barrier, self.cur) = (found.end, found.end);
            return;
        }
        let (mut quote, mut escapes) = (0, self.level);
        if self.nested == Nested::Yes {
            self.count_marks(found.start);
            let inside = self.inside;
            quote = self.quote(&found, inside);
            // Within quotation marks of its own it is escaped as often as a string is there.
            escapes += u8::from(inside) + u8::from(inside && self.inside_inner && quote == 0);
        } else if self.json && self.is_whole_number(&found) {
            quote = 1;
        }
        let (from, to) = self.raw_span(found.start, found.end - 1);
        let value = match self.digests {
            true => digest(&self.window[found.start..found.end]),
            false => 0,
        };
        self.ops.push(Op::Replace { from, to, kind: found.kind, escapes, quote, value });
        (self.barrier, self.cur, self.tail) = (found.end, found.end, found.tail);
    }
}
