//! The plus in text of a form (`Body=call+me`), which stands for a space.
//!
//! Promises: a plus is judged once, before a detector sees it, by at most [`FORM_REACH`] bytes before
//! it, the plus before it and [`PLUS_AHEAD`] bytes after it; one that may be of a number or of an
//! address stays one. Does not: look at a plus that no name and equals sign stand before.
//!
//! Source: WHATWG URL, "application/x-www-form-urlencoded".

use super::Scanner;
use crate::detect::BEHIND;
use crate::fold::NESTED_QUOTE;

/// How far behind a plus it is looked.
pub(crate) const PLUS_AHEAD: usize = 80;
/// How far before a plus its equals sign, or another plus of the form, may stand.
const FORM_REACH: usize = 200;
/// Longest name of a field.
const NAME_MAX: usize = 40;
/// So many digits in a row behind a plus may be a number that begins with it.
const NUMBER_MIN: usize = 8;

const _: () = assert!(FORM_REACH + NAME_MAX < BEHIND);

/// The pluses of a text, as far as they were judged.
#[derive(Debug, Default)]
pub(crate) struct Pluses {
    /// Each one before it was judged.
    from: usize,
    /// The last one that was asked about its form, and whether it stands in one.
    last: Option<(usize, bool)>,
    /// Text behind a plus that may be of one local part: where it begins, and how far it was read.
    local: (usize, usize),
}

impl Pluses {
    /// Before it each plus was judged.
    pub(crate) fn from(&self) -> usize {
        self.from
    }

    /// The window has lost its first bytes.
    pub(crate) fn slide(&mut self, by: usize) {
        self.from = self.from.saturating_sub(by);
        self.last = self.last.and_then(|(at, known)| Some((at.checked_sub(by)?, known)));
        self.local = (0, 0);
    }
}

impl Scanner {
    /// Sees each plus of a form as a space, as far as enough of the text is here.
    pub(crate) fn see_spaces(&mut self, end: bool) {
        let len = self.window.len();
        let to = if end { len } else { len.saturating_sub(PLUS_AHEAD) };
        let from = self.pluses.from;
        if to <= from {
            return;
        }
        // Most texts have no equals sign before a plus.
        let reach = from.saturating_sub(FORM_REACH);
        let begins = memchr::memchr(b'=', &self.window[reach..to]).map(|n| reach + n);
        let known = self.pluses.last.filter(|(at, known)| *known && *at >= reach);
        if let Some(begins) = known.map(|(at, _)| at).into_iter().chain(begins).min() {
            let mut next = begins.max(from);
            while let Some(n) = memchr::memchr(b'+', &self.window[next..to]) {
                if self.is_space(next + n) {
                    self.window[next + n] = b' ';
                }
                next += n + 1;
            }
        }
        self.pluses.from = to;
    }

    /// Whether a name and an equals sign, or another plus of a form, stand before `at` with nothing
    /// between that a form encodes.
    fn is_in_form(&mut self, at: usize) -> bool {
        let mut lo = at.saturating_sub(FORM_REACH);
        let last = self.pluses.last.filter(|(last, _)| *last >= lo);
        lo = last.map_or(lo, |(last, _)| last + 1);
        let begin = match memchr::memrchr(b'=', &self.window[lo..at]) {
            Some(n) => {
                let equals = lo + n;
                is_name(&self.window[equals.saturating_sub(NAME_MAX)..equals]).then_some(equals + 1)
            }
            None => last.filter(|(_, known)| *known).map(|_| lo),
        };
        let plain = |i: &usize| {
            let b = self.window[*i];
            b.is_ascii_alphanumeric()
                || b >= 0x80
                || b"*-._+&".contains(&b)
                || self.is_percent_encoded(*i)
        };
        let found = begin.is_some_and(|begin| (begin..at).all(|i| plain(&i)));
        self.pluses.last = Some((at, found));
        found
    }

    /// Whether the plus at `at` stands for a space.
    fn is_space(&mut self, at: usize) -> bool {
        let (text, seen) = (&self.window, self.window.len().min(at + PLUS_AHEAD));
        let word = |b: &u8| b.is_ascii_alphanumeric() || *b >= 0x80;
        let ends = |b: &u8| word(b) || b",.;:!?)'\"".contains(b);
        if !text.get(at + 1).is_some_and(|b| word(b) || *b == b'(')
            || !text[..at].last().is_some_and(ends)
            || !self.is_in_form(at)
        {
            return false;
        }
        let text = &self.window;
        let digits = text[at + 1..seen].iter().take_while(|b| b.is_ascii_digit()).count();
        let (begin, mut local) = self.pluses.local;
        if !(begin..=local).contains(&at) {
            local = at + 1;
        }
        let rest = text.get(local..seen).unwrap_or_default();
        local += rest.iter().take_while(|b| word(b) || b"._+-".contains(b)).count();
        self.pluses.local = (at, local);
        digits < NUMBER_MIN && !(local < seen && text[local] == b'@')
    }
}

/// Whether a text ends with the name of a field.
fn is_name(text: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"_-.[]".contains(b);
    let len = text.iter().rev().take_while(|b| part(b)).count();
    let before = text[..text.len() - len].last();
    let begins = |b: &u8| b" \n\t?&\"'`/#;({,:<>|".contains(b) || *b == NESTED_QUOTE;
    (1..NAME_MAX).contains(&len) && before.is_none_or(begins)
}
