//! Finds placeholders in text that comes character by character.
//!
//! Pure. Promises: what is held back is no longer than a placeholder as a model may write it; a
//! placeholder where no value may be put stays; all cuts of a text give the same result. Does not:
//! know which values there are.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::ops::Bound::{Included, Unbounded};

use super::watch::Watch;
use crate::escape::escape;
use crate::placeholder::{Attempt, Known, Verdict};

/// Placeholders, by their cores, and what they stand for.
#[derive(Clone, Default)]
pub(crate) struct Table {
    pub(super) values: BTreeMap<Box<str>, Box<str>>,
    /// They are also known without brackets.
    pub(super) bare: bool,
}

impl Known for Table {
    fn begins(&self, core: &str) -> bool {
        let next = self.values.range::<str, _>((Included(core), Unbounded)).next();
        next.is_some_and(|(known, _)| known.starts_with(core))
    }

    fn has(&self, core: &str) -> bool {
        self.values.contains_key(core)
    }

    fn may_be_bare(&self, first: char) -> bool {
        self.bare && self.begins(first.to_ascii_uppercase().encode_utf8(&mut [0; 4]))
    }
}

/// The result for a text.
pub(super) enum Told<'t> {
    /// The character is part of no placeholder.
    Plain(char),
    /// At `from..to` stands a placeholder for this value.
    Value { from: u64, to: u64, value: &'t str },
}

/// A character that may be part of a placeholder.
struct Held {
    c: char,
    from: u64,
    to: u64,
    /// A placeholder may begin with it.
    begins: bool,
    /// It stands where no value may be put.
    barred: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Matcher {
    held: VecDeque<Held>,
    /// How many of them were read by the attempt.
    read: usize,
    attempt: Attempt,
    /// Sees the whole text, placeholders and all.
    pub(super) watch: Watch,
    /// The last character was a letter or a digit.
    in_word: bool,
    /// The text is JSON, where a backslash is written twice.
    json: bool,
}

impl Matcher {
    /// Of a text that is JSON, if `json`.
    pub(super) fn of(json: bool) -> Matcher {
        let watch = if json { Watch::of_json() } else { Watch::default() };
        Matcher { watch, json, ..Matcher::default() }
    }

    /// Whether nothing is held back.
    pub(super) fn is_idle(&self) -> bool {
        self.held.is_empty()
    }

    /// Where the text begins that is held back.
    pub(super) fn held_from(&self) -> Option<u64> {
        self.held.front().map(|held| held.from)
    }

    /// Takes the next character, which stands at `from..to`.
    pub(super) fn push<'t>(
        &mut self,
        table: &'t Table,
        c: char,
        (from, to): (u64, u64),
        tell: &mut impl FnMut(Told<'t>),
    ) {
        let begins = Attempt::may_begin(table, c, !self.in_word);
        // A bracket ends every escape that the watch may be in; other characters do not.
        let barred = match c {
            '[' => self.watch.bars(),
            _ => begins && self.watch.clone().bars(),
        };
        self.watch.push(c);
        self.in_word = c.is_alphanumeric();
        if self.held.is_empty() && !begins {
            return tell(Told::Plain(c));
        }
        self.held.push_back(Held { c, from, to, begins, barred });
        self.read(table, tell);
    }

    /// How many bytes of `text`, which is ASCII, can be passed without a closer look; none while
    /// something is held back.
    pub(super) fn skip(&mut self, table: &Table, text: &[u8]) -> usize {
        if !self.held.is_empty() {
            return 0;
        }
        let n = if table.bare {
            let mut in_word = self.in_word;
            text.iter().position(|b| {
                let bounded = !std::mem::replace(&mut in_word, b.is_ascii_alphanumeric());
                Attempt::may_begin(table, char::from(*b), bounded)
            })
        } else {
            memchr::memchr3(b'[', b'%', b'\\', text)
        };
        let n = n.unwrap_or(text.len());
        self.watch.ascii(&text[..n]);
        if let Some(last) = text[..n].last() {
            self.in_word = last.is_ascii_alphanumeric();
        }
        n
    }

    /// Reads what is held back, as far as it goes.
    fn read<'t>(&mut self, table: &'t Table, tell: &mut impl FnMut(Told<'t>)) {
        let slashes = if self.json { 2 } else { 1 };
        while let Some(held) = self.held.get(self.read) {
            match self.attempt.step(table, held.c, slashes) {
                Verdict::More => self.read += 1,
                Verdict::Whole => self.whole(table, self.read + 1, tell),
                Verdict::WholeBefore => self.whole(table, self.read, tell),
                Verdict::No => self.none(tell),
            }
        }
    }

    /// The first `n` characters are a placeholder.
    fn whole<'t>(&mut self, table: &'t Table, n: usize, tell: &mut impl FnMut(Told<'t>)) {
        let value = table.values.get(self.attempt.core());
        // A backslash before the bracket is taken with it: what stands before it counts.
        let escaped = self.held.front().is_some_and(|held| held.c == '\\');
        let seen = if escaped { 1 } else { n };
        let barred = self.held.iter().take(seen).any(|held| held.barred);
        let end = self.held.get(n.saturating_sub(1)).map(|held| held.to);
        match (value.filter(|_| !barred), self.held_from(), end) {
            (Some(value), Some(from), Some(to)) => {
                self.held.drain(..n);
                tell(Told::Value { from, to, value });
            }
            _ => self.held.drain(..n).for_each(|held| tell(Told::Plain(held.c))),
        }
        self.again(tell);
    }

    /// No placeholder begins with the first character.
    fn none<'t>(&mut self, tell: &mut impl FnMut(Told<'t>)) {
        if let Some(held) = self.held.pop_front() {
            tell(Told::Plain(held.c));
        }
        self.again(tell);
    }

    /// Begins with the next character that may begin a placeholder.
    fn again<'t>(&mut self, tell: &mut impl FnMut(Told<'t>)) {
        self.read = 0;
        self.attempt.reset();
        let next = self.held.iter().position(|held| held.begins).unwrap_or(self.held.len());
        self.held.drain(..next).for_each(|held| tell(Told::Plain(held.c)));
    }

    /// The text has ended.
    pub(super) fn end<'t>(&mut self, table: &'t Table, tell: &mut impl FnMut(Told<'t>)) {
        while !self.held.is_empty() {
            if self.attempt.is_whole_at_end(table) {
                self.whole(table, self.read, tell);
            } else {
                self.none(tell);
            }
            self.read(table, tell);
        }
    }

    /// Takes text and appends to `out` what is certain. `escaped`: it is JSON itself, so values are
    /// escaped for it.
    pub(super) fn text(&mut self, table: &Table, text: &str, escaped: bool, out: &mut String) {
        for c in text.chars() {
            self.push(table, c, (0, 0), &mut |told| write(out, &told, escaped));
        }
    }

    /// The text has ended; appends what was held back to `out`.
    pub(super) fn rest(&mut self, table: &Table, escaped: bool, out: &mut String) {
        self.end(table, &mut |told| write(out, &told, escaped));
    }
}

fn write(out: &mut String, told: &Told<'_>, escaped: bool) {
    match told {
        Told::Plain(c) => out.push(*c),
        Told::Value { value, .. } => out.push_str(&escape(value, u8::from(escaped))),
    }
}
