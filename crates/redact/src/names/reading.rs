//! A text as names are compared with it: words, folded, with digests of which that of any row of
//! words follows.
//!
//! Pure. Promise: each word is read once, whatever is asked about it. Does not: know any name.

use crate::fold::{self, Fold};

/// Of digests, which are polynomials in it: that of a part of a text follows from two others.
const FACTOR: u64 = 0x9E37_79B9_7F4A_7C15;

/// How the names of a list are compared with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// Upper and lower case are different.
    pub case: bool,
    /// A name is found only between the ends of words, never inside a longer word.
    pub whole_words: bool,
}

impl Default for Compare {
    fn default() -> Compare {
        Compare { case: false, whole_words: true }
    }
}

/// How names and texts are compared, and how long a name may be.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) compare: Compare,
    /// Bytes of the longest name.
    longest: usize,
    /// Powers of [`FACTOR`].
    pub(crate) powers: Box<[u64]>,
}

impl Form {
    pub(crate) fn new(compare: Compare, longest: usize) -> Form {
        let mut powers = vec![1_u64; longest + 1];
        for n in 1..=longest {
            powers[n] = powers[n - 1].wrapping_mul(FACTOR);
        }
        Form { compare, longest, powers: powers.into() }
    }
}

/// A text as names are compared with it, word by word, as far as it was read: each word is read
/// once, however many names may begin before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    words: Vec<Word>,
    folded: Vec<u8>,
    /// The word that a name is looked for at.
    first: usize,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    /// Where it begins and ends in the text, and where it ends as it is compared.
    start: u32,
    end: u32,
    folded: u32,
    /// The digest of all words up to its end.
    digest: u64,
}

impl Reading {
    /// The text is another one.
    pub(crate) fn clear(&mut self) {
        self.words.clear();
        self.folded.clear();
        self.first = 0;
    }

    /// The text has lost its first bytes: the words behind them stay.
    pub(crate) fn slide(&mut self, by: usize) {
        let by = by as u32;
        let behind = self.words.partition_point(|word| word.end <= by);
        // The last one before them is what digests are counted from.
        let Some(base) = behind.checked_sub(1).map(|i| self.words[i]) else { return self.clear() };
        if self.words.get(behind).is_some_and(|word| word.start < by) {
            return self.clear();
        }
        self.words.drain(..behind - 1);
        self.folded.drain(..base.folded as usize);
        for word in &mut self.words {
            word.start = word.start.saturating_sub(by);
            word.end = word.end.saturating_sub(by);
            word.folded -= base.folded;
        }
        self.first = self.first.saturating_sub(behind - 1).max(1);
    }

    /// The text goes on: its last words are read again, because they or their last character may
    /// go on, too.
    pub(crate) fn go_on(&mut self) {
        let end = self.words.last().map_or(0, |word| word.end);
        let whole = self.words.partition_point(|word| word.end + 4 <= end);
        self.words.truncate(whole.max(1));
        self.folded.truncate(self.words.last().map_or(0, |word| word.folded as usize));
        self.first = self.first.min(self.words.len());
    }

    /// A name is looked for at `from`, where a word begins.
    pub(crate) fn begin(&mut self, from: usize) {
        while self.words.get(self.first).is_some_and(|word| (word.start as usize) < from) {
            self.first += 1;
        }
        if self.words.get(self.first).is_none_or(|word| word.start as usize != from)
            && self.words.last().is_none_or(|word| word.end as usize != from)
        {
            self.clear();
            self.words.push(Word { start: 0, end: from as u32, folded: 0, digest: 0 });
            self.first = 1;
        }
    }

    /// The word before the first one.
    fn before(&self) -> Word {
        self.words[self.first - 1]
    }

    /// The digest of the first `depth` words from there on, if there are as many and no longer than
    /// a name.
    #[inline]
    pub(crate) fn digest(&mut self, form: &Form, text: &[u8], depth: usize) -> Option<u64> {
        let last = self.first + depth - 1;
        if last >= self.words.len() {
            self.read(form, text, last)?;
        }
        let (before, last) = (self.words[self.first - 1], self.words[last]);
        let power = *form.powers.get((last.folded - before.folded) as usize)?;
        Some(last.digest.wrapping_sub(before.digest.wrapping_mul(power)))
    }

    /// Reads up to the word with this number; nothing if the text or the longest name ends before.
    fn read(&mut self, form: &Form, text: &[u8], to: usize) -> Option<()> {
        let from = self.before().folded;
        let mut last = self.words[self.words.len() - 1];
        while self.words.len() <= to {
            let start = last.end as usize;
            if start >= text.len() || (last.folded - from) as usize >= form.longest {
                return None;
            }
            let b = text[start];
            let (end, digest) = if !form.compare.whole_words && matches!(b, b' '..=b'~') {
                // Most characters are words of their own.
                let b = if form.compare.case { b } else { b.to_ascii_lowercase() };
                self.folded.push(b);
                (start + 1, hash(last.digest, b))
            } else {
                let end = next_word(text, start, form.compare, &mut self.folded);
                let word = &self.folded[last.folded as usize..];
                (end, word.iter().fold(last.digest, |digest, b| hash(digest, *b)))
            };
            let folded = self.folded.len() as u32;
            last = Word { start: last.end, end: end as u32, folded, digest };
            self.words.push(last);
        }
        Some(())
    }

    /// The first `depth` words as they are compared.
    pub(crate) fn name(&self, depth: usize) -> &[u8] {
        let to = self.words[self.first + depth - 1].folded;
        &self.folded[self.before().folded as usize..to as usize]
    }

    /// Where the first `depth` words end.
    pub(crate) fn end(&self, depth: usize) -> usize {
        self.words[self.first + depth - 1].end as usize
    }

    pub(crate) fn starts_with(&self, name: &[u8]) -> bool {
        self.folded[self.before().folded as usize..].starts_with(name)
    }

    /// Where the words end that are as long as a name, as they are compared.
    pub(crate) fn end_of(&self, len: usize) -> Option<usize> {
        let to = self.before().folded as usize + len;
        let words = &self.words[self.first..];
        let word = words.get(words.partition_point(|word| (word.folded as usize) < to))?;
        (word.folded as usize == to).then_some(word.end as usize)
    }
}

#[inline]
pub(crate) fn hash(digest: u64, b: u8) -> u64 {
    digest.wrapping_mul(FACTOR).wrapping_add(u64::from(b) + 1)
}

/// Appends a character as it is compared.
pub(crate) fn plain(c: char, case: bool, out: &mut Vec<u8>) {
    let c = match fold::fold(c) {
        Fold::Byte(b) => char::from(b),
        Fold::Keep => c,
        Fold::Skip => return,
    };
    if case || c.is_ascii() {
        let c = if case { c } else { c.to_ascii_lowercase() };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        for c in c.to_lowercase() {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

/// Appends the word at `from` as it is compared, or the one character that stands there and belongs
/// to none; returns where it ends. Where names inside longer words count, that is one character.
pub(crate) fn next_word(text: &[u8], from: usize, compare: Compare, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    while at < text.len() {
        let b = text[at];
        // Most characters.
        if matches!(b, b' '..=b'~') {
            let part = compare.whole_words && b.is_ascii_alphanumeric();
            if !part && at > from {
                break;
            }
            out.push(if compare.case { b } else { b.to_ascii_lowercase() });
            at += 1;
            if !part {
                break;
            }
            continue;
        }
        let (c, len) = character(text, at);
        let part = compare.whole_words && is_part(Some(c));
        if !part && at > from {
            break;
        }
        plain(c, compare.case, out);
        at += len;
        if !part {
            break;
        }
    }
    at
}

/// Tells the digests of a name, as it is compared, up to the end of each of its words.
pub(crate) fn words(name: &[u8], whole_words: bool, mut tell: impl FnMut(u64)) {
    // The name has been folded already.
    let compare = Compare { case: true, whole_words };
    let (mut at, mut digest, mut word) = (0, 0, Vec::new());
    while at < name.len() {
        word.clear();
        let end = next_word(name, at, compare, &mut word);
        digest = name[at..end].iter().fold(digest, |digest, b| hash(digest, *b));
        tell(digest);
        at = end;
    }
}

/// Whether a character is part of a word, and not one by itself.
pub(crate) fn is_part(c: Option<char>) -> bool {
    c.is_some_and(|c| fold::is_alphanumeric(c) && !fold::is_unspaced(c))
}

/// The character at `at`, and its length.
pub(crate) fn character(text: &[u8], at: usize) -> (char, usize) {
    if text[at] < 0x80 {
        return (char::from(text[at]), 1);
    }
    let rest = &text[at..text.len().min(at + 4)];
    let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

/// The character that ends before `at`.
pub(crate) fn before(text: &[u8], at: usize) -> Option<char> {
    let from = text[..at].iter().rposition(|b| b & 0xC0 != 0x80)?;
    std::str::from_utf8(&text[from..at]).ok()?.chars().next()
}
