//! Looks for the prefixes of secrets and the words of a policy's lists.
//!
//! Pure. Most searches end a few bytes further on, at a match of another kind, so the bytes near by
//! are looked at two at a time, and only the rest with what leaves out most of a long text.
//! Does not: judge what a prefix begins.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Anchored, Input, Match};

use super::super::detect::{View, secret};
use super::super::fold;
use super::super::pairs::Pairs;
use super::super::rules::{Prefixes, Terms};

/// In fewer bytes the search that leaves out most of a text takes longer.
const FEW: usize = 64;

/// The next prefix of a secret from `from` on, and where the search ended. Before `near` more are
/// expected.
pub(crate) fn next_prefix(
    prefixes: &Prefixes,
    text: &[u8],
    mut from: usize,
    near: usize,
) -> (Option<Match>, usize) {
    if from < near {
        let until = text.len().min(near + secret::PREFIX_MAX);
        let part = from.min(until)..until;
        let hit = at_pairs(&prefixes.near, &prefixes.pairs, text, part);
        if hit.is_some() {
            return (hit, from);
        }
        from = near;
    }
    from = from.min(text.len());
    if text.len() - from < FEW {
        // In few bytes the search takes less than its beginning.
        let Some(first) = prefixes.pairs.next(text, from, text.len()) else {
            return (None, text.len());
        };
        return (at_pairs(&prefixes.near, &prefixes.pairs, text, first..text.len()), first);
    }
    (prefixes.rare.find(Input::new(text).range(from..)), from)
}

/// The first word in this part of a text: tried where the first two bytes of one stand.
fn at_pairs(
    automaton: &AhoCorasick,
    pairs: &Pairs,
    text: &[u8],
    part: Range<usize>,
) -> Option<Match> {
    let (mut at, until) = (part.start, part.end);
    loop {
        at = pairs.next(text, at, until)?;
        let here = Input::new(text).range(at..until).anchored(Anchored::Yes);
        let hit = automaton.find(here);
        if hit.is_some() {
            return hit;
        }
        at += 1;
    }
}

impl Terms {
    /// The first word in `from..until`, the longest of those that begin there.
    pub(crate) fn find(&self, text: &[u8], from: usize, until: usize) -> Option<Match> {
        // Where words are near to each other the search takes less than its beginning.
        let near = until.min(from + FEW);
        let mut at = from;
        while let Some(next) = self.pairs.next(text, at, near) {
            let here = Input::new(text).range(next..until).anchored(Anchored::Yes);
            let hit = self.automaton.find(here);
            if hit.is_some() {
                return hit;
            }
            at = next + 1;
        }
        if near == until { None } else { self.automaton.find(Input::new(text).range(near..until)) }
    }
}

/// The longest term that is a whole word and begins where `found`, the longest of all, does.
pub(crate) fn whole_word(automaton: &AhoCorasick, view: &View<'_>, found: Match) -> Option<Match> {
    let mut next = Some(found);
    while let Some(found) = next {
        if is_word(view, found.start(), found.end()) {
            return Some(found);
        }
        let shorter = Input::new(view.text).range(found.start()..found.end() - 1);
        next = automaton.find(shorter.anchored(Anchored::Yes));
    }
    None
}

/// Whether no letter or digit beside a word makes it a part of another one.
fn is_word(view: &View<'_>, start: usize, end: usize) -> bool {
    let letter =
        |c: Option<char>| c.is_some_and(|c| fold::is_alphanumeric(c) && !fold::is_unspaced(c));
    !(letter(view.char_before(start)) && letter(view.char_at(start))
        || letter(view.char_at(end)) && letter(view.char_before(end)))
}
