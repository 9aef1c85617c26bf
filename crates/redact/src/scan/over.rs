//! The e-mail address that a match of the policy's own lies in.
//!
//! Promise: what stands before an `@` is read once, however many matches stand in it, but where an
//! address may begin before a match. Does not: know what an address is; that is `detect::email`'s.

use super::super::detect::{AHEAD, BEHIND, View, email};
use super::{Found, Scanner};

/// The marks in the text before an `@` that exclude the beginning of an address.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalFacts {
    /// Where the `@` stands.
    at: usize,
    /// From here on it was read.
    from: usize,
    /// The last mark that an address begins behind, the last slash but one and the last equals
    /// sign, each counted from 1; where the text of a query before that sign begins.
    mark: usize,
    slash: usize,
    equals: usize,
    query: usize,
    /// Characters of which a local part with many is taken whole.
    odd: usize,
}

/// A local part with more of them is taken whole.
const ODD_MAX: usize = 8;

impl LocalFacts {
    /// Nothing is known.
    pub(crate) fn clear(&mut self) {
        *self = LocalFacts::default();
    }

    /// Whether it is certain that an address whose `@` stands at `at` begins at `start` or behind
    /// it. No text before `lo` counts, and all from `start` to `at` may be of a local part.
    fn begin_behind(&mut self, text: &[u8], (lo, start, at): (usize, usize, usize)) -> bool {
        if start <= lo || at - start > email::LOCAL_MAX {
            return true;
        }
        if self.at != at || lo < self.from {
            *self = LocalFacts::read(text, lo, at);
        }
        if self.odd > ODD_MAX {
            return false;
        }
        let before = &text[lo..start];
        // "bounce+1=jane@…" keeps its front.
        let is_query = self.equals > start
            && self.query <= lo
            && before.is_ascii()
            && !matches!(before[0] | 0x20, b'b' | b'm' | b'p' | b's');
        self.mark > start
            || self.slash > start
            || is_query
            || before.iter().all(|b| email::is_leading(*b) && *b != b'!')
    }

    fn read(text: &[u8], lo: usize, at: usize) -> LocalFacts {
        let mut facts = LocalFacts { at, from: lo, query: lo, ..LocalFacts::default() };
        let mut slashes = 0;
        for (i, b) in text[lo..at].iter().enumerate().rev() {
            let place = lo + i + 1;
            facts.odd += usize::from(email::is_odd(*b));
            match b {
                b'`' | b'{' | b'}' | b'*' => {
                    facts.mark = facts.mark.max(place);
                }
                b'/' => {
                    slashes += 1;
                    facts.slash = if slashes == 2 { place } else { facts.slash };
                }
                b'=' => facts.equals = facts.equals.max(place),
                _ => {}
            }
            if facts.equals > 0 && !email::is_of_query(*b) {
                facts.query = facts.query.max(place);
            }
        }
        facts
    }
}

impl Scanner {
    /// The e-mail address that a match of the policy's own at `start` lies in, if there is one.
    pub(crate) fn address_over(
        &mut self,
        start: usize,
        limit: usize,
        view_end: usize,
    ) -> Option<Found> {
        let text = &self.window[..view_end];
        if !self.local_run.contains(&start) {
            self.local_run = start..start;
        }
        let mut at = self.local_run.end;
        while at < view_end && at - start <= BEHIND && email::is_local(text[at]) {
            at += 1;
        }
        self.local_run.end = at;
        let lo = self.barrier.max(at.saturating_sub(BEHIND));
        if text.get(at) == Some(&b'@') && self.local_facts.begin_behind(text, (lo, start, at)) {
            return None;
        }
        if text[at..].starts_with(b"[bot]@") {
            at += 5;
        }
        if text.get(at) != Some(&b'@') {
            // "jane roe"@example.com
            let quoted = &text[start..view_end.min(start + email::QUOTED_MAX)];
            at = start
                + 1
                + memchr::memchr(b'"', quoted).filter(|i| quoted.get(i + 1) == Some(&b'@'))?;
        }
        if at >= limit {
            return None;
        }
        let view = View {
            text: &text[..text.len().min(at + AHEAD)],
            lo: self.barrier.max(at.saturating_sub(BEHIND)),
        };
        self.email(&view, at).filter(|address| address.start < start)
    }
}
