//! Text that looks like a numbered placeholder of a call.
//!
//! Pure. A conversation may hold placeholders of earlier calls, and a document any text. In the
//! answer to this call they would be taken for values of this call, so they are found and get
//! placeholders of their own. Promise: what `restore` would take for a placeholder is found. Does
//! not: find placeholders with letters, which no other value has.

use aho_corasick::{Anchored, Input};

use super::tail::Tail;
use super::{Found, Scanner};
use crate::fold::BREAK;
use crate::placeholder::alike;
use crate::rules::{Compiled, Markers, kind};

/// Most digits of a number.
const DIGITS_MAX: usize = 4;

/// The next one, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NextMarker {
    found: Option<Found>,
    /// None begins before it that was not judged.
    from: usize,
}

impl NextMarker {
    /// The window slides.
    pub(crate) fn slide(&mut self, by: usize) {
        self.found = self.found.filter(|f| f.start >= by).map(|f| Found {
            start: f.start - by,
            end: f.end - by,
            ..f
        });
        self.from = self.from.saturating_sub(by);
    }
}

impl Scanner {
    /// The first one behind the last match whose name begins before `limit`.
    pub(crate) fn next_marker(&mut self, limit: usize, view_end: usize) -> Option<Found> {
        let markers = self.rules.markers.as_ref().filter(|_| self.marks)?;
        if let Some(found) = self.marker.found {
            if found.start >= self.barrier.max(self.cur) {
                return Some(found);
            }
            self.marker.found = None;
        }
        let text = &self.window[..view_end];
        let from = self.marker.from.max(self.cur);
        let until = view_end.min(limit);
        // A bracket stands before the name, with a blank between perhaps.
        let mut at = self.barrier.max(from.saturating_sub(markers.lead + 2));
        while at < until
            && let Some(bracket) = memchr::memchr2(b'[', BREAK, &text[at..until])
        {
            at += bracket + 1;
            let blank = usize::from(text.get(at) == Some(&b' '));
            let words = at..=at + blank + markers.lead;
            for word in words.filter(|word| (from..until).contains(word)) {
                let here = Input::new(text).range(word..).anchored(Anchored::Yes);
                if markers.stems.find(here).is_some()
                    && let Some((start, end)) = marker(markers, text, self.barrier, word)
                {
                    self.marker.from = word + 1;
                    let found = Found { start, end, kind: kind::TEXT, tail: Tail::None };
                    self.marker.found = Some(found);
                    return Some(found);
                }
            }
        }
        self.marker.from = from.max(until);
        None
    }
}

/// Whether a text may hold one.
pub(crate) fn may_hold(rules: &Compiled, text: &[u8]) -> bool {
    rules.markers.as_ref().is_some_and(|markers| markers.stems.is_match(text))
}

/// The placeholder whose name's first word stands at `word`; it begins behind `lo`.
fn marker(markers: &Markers, text: &[u8], lo: usize, word: usize) -> Option<(usize, usize)> {
    markers.names.iter().find_map(|name| {
        let lead = name.bytes().take_while(|b| *b == b'_').count();
        let from = word.checked_sub(lead)?;
        let start = opening(text, lo, from)?;
        let end = from + name.len();
        let written = text.get(from..end)?.iter();
        let is_name = written.zip(name.bytes()).all(|(b, part)| same(*b, part));
        if is_name { Some((start, closing(text, number(text, end)?)?)) } else { None }
    })
}

/// Whether a byte of a text is alike to one of a name.
fn same(b: u8, part: u8) -> bool {
    b == part || b.is_ascii() && alike(char::from(b)) == char::from(part)
}

/// Where the bracket begins that stands before `from`, with a blank between perhaps.
fn opening(text: &[u8], lo: usize, from: usize) -> Option<usize> {
    let before = text.get(lo..from)?;
    let before = before.strip_suffix(b" ").unwrap_or(before);
    // Other brackets are seen as a break.
    let left = before.strip_suffix(b"[").or_else(|| before.strip_suffix(&[BREAK]))?;
    Some(lo + left.len())
}

/// Where a number behind a separator ends.
fn number(text: &[u8], at: usize) -> Option<usize> {
    let digits = text.get(at + 1..)?.iter().take_while(|b| b.is_ascii_digit()).count();
    let fits = same(*text.get(at)?, b'_') && (1..=DIGITS_MAX).contains(&digits);
    fits.then_some(at + 1 + digits)
}

/// Where the bracket ends that stands at `at`, with a blank before it perhaps.
fn closing(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let right = rest.strip_prefix(b" ").unwrap_or(rest);
    let right = right.strip_prefix(b"]").or_else(|| right.strip_prefix(&[BREAK]))?;
    Some(text.len() - right.len())
}
