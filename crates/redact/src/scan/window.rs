//! The window: folded text, and the raw bytes that each piece of it came from.

use super::escapes::Nested;
use super::{Coding, SEGMENTS, SKIPPED_AHEAD_MAX, SKIPPED_MAX, Scanner, Segment, WINDOW};
use crate::detect::{BEHIND, phone};
use crate::fold::{self, BREAK, Fold, NESTED_QUOTE};

impl Scanner {
    /// Takes a character as the detectors see it.
    pub(crate) fn fold(&mut self, c: Option<char>, from: u64, to: u64) {
        let Some(c) = c else { return self.byte(BREAK, from, to) };
        match fold::fold(c) {
            Fold::Byte(b) => self.byte(b, from, to),
            Fold::Keep => {
                let mut utf8 = [0; 4];
                let utf8 = c.encode_utf8(&mut utf8).as_bytes();
                if utf8.len() as u64 == to - from {
                    self.run(utf8, from);
                } else {
                    self.segment(from, (to - from) as u32);
                    self.window.extend_from_slice(utf8);
                }
                self.seen(1);
            }
            Fold::Skip if self.skipped < SKIPPED_MAX && self.ahead < SKIPPED_AHEAD_MAX => {
                self.skipped += 1;
                self.ahead += 1;
            }
            Fold::Skip => self.byte(BREAK, from, to),
        }
    }

    /// Visible text was taken, at least so many characters.
    #[inline]
    pub(crate) fn seen(&mut self, chars: usize) {
        self.skipped = 0;
        self.ahead = self.ahead.saturating_sub(chars.min(usize::from(SKIPPED_AHEAD_MAX)) as u16);
    }

    #[inline]
    pub(crate) fn byte(&mut self, b: u8, from: u64, to: u64) {
        self.seen(1);
        // One byte for one byte: it goes on a run.
        if to - from != 1 || self.coding != Coding::None {
            self.segment(from, (to - from) as u32);
        } else if !self.goes_on(from) {
            self.segment(from, 0);
        }
        self.window.push(b);
    }

    /// A run in which window and raw bytes are alike.
    pub(crate) fn run(&mut self, text: &[u8], raw: u64) {
        self.seen(text.len());
        if !self.goes_on(raw) {
            self.segment(raw, 0);
        }
        self.window.extend_from_slice(text);
    }

    /// Whether what stands at `raw` goes on the run that was taken last.
    #[inline]
    pub(crate) fn goes_on(&self, raw: u64) -> bool {
        let last = self.segments.last();
        last.is_some_and(|s| {
            s.raw_len == 0 && s.raw + (self.window.len() as u64 - u64::from(s.at)) == raw
        })
    }

    pub(crate) fn segment(&mut self, raw: u64, raw_len: u32) {
        self.segments.push(Segment {
            at: self.window.len() as u32,
            raw_len,
            raw,
            coding: self.coding,
        });
    }

    pub(crate) fn segment_of(&self, i: usize) -> Segment {
        // Places are asked for in order, so it is mostly one of the next.
        let from = self.segment.get();
        let begins = |n: usize| self.segments.get(n).is_some_and(|s| s.at as usize <= i);
        let mut n = from;
        if begins(from) {
            while n < from + 8 && begins(n + 1) {
                n += 1;
            }
        }
        if !begins(n) || begins(n + 1) {
            n = self.segments.partition_point(|s| s.at as usize <= i).saturating_sub(1);
        }
        self.segment.set(n);
        self.segments[n]
    }

    /// Counts the quotation marks of the JSON text inside, up to `to`.
    pub(crate) fn count_marks(&mut self, to: usize) {
        let from = self.counted;
        self.counted = to.max(from);
        for mark in memchr::memchr_iter(NESTED_QUOTE, self.window.get(from..to).unwrap_or_default())
        {
            self.inside ^= true;
            self.inside_inner =
                self.inside && self.inner_marks.binary_search(&(from + mark)).is_ok();
        }
    }

    /// Where the characters begin and end of which `first` and `last` are bytes.
    pub(crate) fn raw_span(&self, first: usize, last: usize) -> (u64, u64) {
        let s = self.segment_of(first);
        let whole = s.raw_len == 0
            && self.segments.get(self.segment.get() + 1).is_none_or(|s| s.at as usize > last);
        if whole {
            let at = u64::from(s.at);
            (s.raw + (first as u64 - at), s.raw + (last as u64 - at) + 1)
        } else {
            (self.raw_start(first), self.raw_end(last))
        }
    }

    pub(crate) fn raw_start(&self, i: usize) -> u64 {
        let s = self.segment_of(i);
        if s.raw_len == 0 { s.raw + (i as u64 - u64::from(s.at)) } else { s.raw }
    }

    /// Where the character ends of which `i` is the last byte.
    pub(crate) fn raw_end(&self, i: usize) -> u64 {
        let s = self.segment_of(i);
        if s.raw_len == 0 {
            s.raw + (i as u64 - u64::from(s.at)) + 1
        } else {
            s.raw + u64::from(s.raw_len)
        }
    }

    /// Whether the character at `i` is percent-encoded.
    pub(crate) fn is_percent_encoded(&self, i: usize) -> bool {
        self.segment_of(i).coding == Coding::Percent
    }

    /// Whether the character at `i` is written as in quoted-printable text, or may be written so.
    pub(crate) fn is_quoted_printable(&self, i: usize) -> bool {
        self.segment_of(i).coding == Coding::QuotedPrintable
    }

    /// Looks at the window when it is full, and lets it slide.
    #[inline]
    pub(crate) fn make_room(&mut self) {
        if self.window.len() >= WINDOW || self.segments.len() >= SEGMENTS {
            self.slide();
        }
    }

    #[cold]
    pub(crate) fn slide(&mut self) {
        self.scan(false);
        let drop = self.cur.saturating_sub(BEHIND);
        if drop == 0 {
            return;
        }
        if self.nested == Nested::Yes {
            self.count_marks(drop);
        }
        self.counted = self.counted.saturating_sub(drop);
        self.inner_marks.drain(..self.inner_marks.partition_point(|mark| *mark < drop));
        self.inner_marks.iter_mut().for_each(|mark| *mark -= drop);
        let after = self.segments.partition_point(|s| s.at as usize <= drop);
        self.segments.drain(..after.saturating_sub(1));
        if let Some(first) = self.segments.first_mut()
            && first.raw_len == 0
        {
            first.raw += drop as u64 - u64::from(first.at);
            first.at = drop as u32;
        }
        for s in &mut self.segments {
            s.at = s.at.saturating_sub(drop as u32);
        }
        self.window.drain(..drop);
        self.cur -= drop;
        self.barrier = self.barrier.saturating_sub(drop);
        self.keys.slide(drop);
        self.listed =
            self.listed.filter(|l| l.end >= drop).map(|l| phone::Listed { end: l.end - drop, ..l });
        self.column = self.column.and_then(|column| column.slide(drop));
        self.from_start = false;
        self.secret.slide(drop);
        self.marker.slide(drop);
        self.pluses.slide(drop);
        self.terms_from = self.terms_from.saturating_sub(drop);
        self.words.get_mut().clear();
        self.groups.get_mut().clear();
        self.cards.get_mut().clear();
        self.names.iter_mut().for_each(|(_, reading)| reading.slide(drop));
        self.local_run = 0..0;
        self.local_facts.clear();
        self.local_stop.set((0, 0));
        self.segment.set(0);
    }
}
