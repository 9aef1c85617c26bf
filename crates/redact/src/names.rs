//! Long lists of names: up to a million words and phrases in some forty bytes each.
//!
//! Pure and immutable. A text is read word by word; each word asks a filter of bits whether a name
//! begins so, and few go on to the table. An automaton of as many words would take a hundred times
//! the memory. A list may ask for names inside longer words: then each character counts as a word.
//!
//! Guarantees: of the names that begin at one place, the longest is found; no name is found that is
//! not in the list. Does not: find names over line ends, because a line is one name.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::bounds::{CUSTOM_SPAN_MAX, NAMES_MAX};
use crate::fold::{self, Fold};

/// Bits of the filter for each beginning of a name.
const FILTER_BITS: usize = 12;
/// Begins a digest (FNV-1a, 64 bits).
const SEED: u64 = 0xCBF2_9CE4_8422_2325;
const FACTOR: u64 = 0x0000_0100_0000_01B3;

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

/// A list of names.
#[derive(Clone)]
pub struct Names(Arc<Table>);

struct Table {
    /// All names, one behind the other, as they are compared.
    text: Box<[u8]>,
    /// Where each begins; the last one is the end.
    starts: Box<[u32]>,
    /// By digest: the number of a name and one, or 0. Free places follow one another.
    places: Box<[u32]>,
    /// Bits for the digests of names and of their beginnings, at the ends of words.
    filter: Box<[u64]>,
    /// The bytes that names begin with.
    first: [bool; 256],
    /// Bytes of the longest.
    longest: usize,
    compare: Compare,
    /// Tells lists apart.
    digest: u64,
}

impl std::fmt::Debug for Names {
    /// Names are people's: none is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Table { starts, compare, digest, .. } = &*self.0;
        write!(f, "Names({}, {compare:?}, {digest:x})", starts.len() - 1)
    }
}

impl PartialEq for Names {
    /// The same names in the same order, compared in the same way.
    fn eq(&self, other: &Names) -> bool {
        let (own, other_table) = (&*self.0, &*other.0);
        self.is(other)
            || (own.digest, own.compare) == (other_table.digest, other_table.compare)
                && own.starts == other_table.starts
                && own.text == other_table.text
    }
}

impl Eq for Names {}

impl Hash for Names {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.digest.hash(state);
    }
}

/// Why a list cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamesError {
    /// It has no names.
    #[error("has no words; write one in each line")]
    Empty,
    /// It has too many.
    #[error("has more than {NAMES_MAX} words; give fewer")]
    TooMany,
    /// One is too long.
    #[error("line {line}: a word of {bytes} bytes; give at most {CUSTOM_SPAN_MAX}")]
    TooLong {
        /// Its line, from 1.
        line: usize,
        /// Its length.
        bytes: usize,
    },
}

impl Names {
    /// The names of a text, one in each line; white space around them and empty lines do not count.
    ///
    /// # Errors
    /// See [`NamesError`].
    pub fn of_lines(lines: &str, compare: Compare) -> Result<Names, NamesError> {
        let mut text = Vec::with_capacity(lines.len());
        let (mut starts, mut longest) = (vec![0_u32], 0);
        for (line, name) in lines.lines().enumerate() {
            let from = text.len();
            name.trim().chars().for_each(|c| plain(c, compare.case, &mut text));
            let bytes = text.len() - from;
            if bytes == 0 {
                continue;
            }
            if bytes > CUSTOM_SPAN_MAX {
                return Err(NamesError::TooLong { line: line + 1, bytes });
            }
            if starts.len() > NAMES_MAX {
                return Err(NamesError::TooMany);
            }
            longest = longest.max(bytes);
            starts.push(u32::try_from(text.len()).map_err(|_| NamesError::TooMany)?);
        }
        if starts.len() == 1 {
            return Err(NamesError::Empty);
        }
        text.shrink_to_fit();
        Ok(Names(Arc::new(Table::of(text.into(), starts.into(), longest, compare))))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.starts.len() - 1
    }

    /// Whether two are the same list in memory.
    pub fn is(&self, other: &Names) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        let Table { text, starts, places, filter, .. } = &*self.0;
        text.len() + 4 * (starts.len() + places.len()) + 8 * filter.len()
    }

    /// The first name in `text` that begins within `places` and ends before the end of `text`, or at
    /// it.
    pub(crate) fn find(
        &self,
        text: &[u8],
        places: std::ops::Range<usize>,
    ) -> Option<(usize, usize)> {
        let table = &*self.0;
        let mut at = places.start;
        let whole = table.compare.whole_words;
        let mut in_word = whole && is_part(before(text, at));
        let mut folded = Vec::new();
        while at < places.end {
            let b = text[at];
            if b < 0x80 && !table.first[usize::from(b)] {
                in_word = whole && b.is_ascii_alphanumeric();
                at += 1;
                continue;
            }
            let (c, len) = character(text, at);
            let part = whole && is_part(Some(c));
            if !(part && in_word)
                && table.first[usize::from(b)]
                && let Some(end) = table.longest_at(text, at, &mut folded)
            {
                return Some((at, end));
            }
            in_word = part;
            at += len;
        }
        None
    }
}

impl Table {
    fn of(text: Box<[u8]>, starts: Box<[u32]>, longest: usize, compare: Compare) -> Table {
        let count = starts.len() - 1;
        let (mut first, mut whole) = ([false; 256], SEED);
        let mut begins: usize = 0;
        for name in starts.windows(2).map(|w| &text[w[0] as usize..w[1] as usize]) {
            words(name, compare.whole_words, |_| begins += 1);
            first[usize::from(name[0])] = true;
            first[usize::from(name[0].to_ascii_uppercase())] |= !compare.case;
            whole = name.iter().fold(whole ^ 0xFF, |digest, b| hash(digest, *b));
        }
        // Other forms of a letter may fold to the first of a name.
        first[0x80..].fill(true);
        let bits = (begins * FILTER_BITS).next_power_of_two().max(64);
        let mut table = Table {
            places: vec![0; (count * 2).next_power_of_two()].into(),
            filter: vec![0; bits / 64].into(),
            text,
            starts,
            first,
            longest,
            compare,
            digest: whole,
        };
        for number in 0..count {
            table.add(number);
        }
        table
    }

    fn add(&mut self, number: usize) {
        let name = self.starts[number] as usize..self.starts[number + 1] as usize;
        let bits = self.filter.len() as u64 * 64;
        let filter = &mut self.filter;
        let mut digest = SEED;
        words(&self.text[name.clone()], self.compare.whole_words, |d| {
            let bit = spread(d) % bits;
            filter[(bit / 64) as usize] |= 1 << (bit % 64);
            digest = d;
        });
        let mask = self.places.len() - 1;
        let mut place = spread(digest) as usize & mask;
        while self.places[place] != 0 {
            if self.name(self.places[place]) == &self.text[name.clone()] {
                return;
            }
            place = (place + 1) & mask;
        }
        self.places[place] = number as u32 + 1;
    }

    fn name(&self, place: u32) -> &[u8] {
        let number = place as usize - 1;
        &self.text[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    /// Where the longest name ends that begins at `from`. `folded` is scratch space.
    fn longest_at(&self, text: &[u8], from: usize, folded: &mut Vec<u8>) -> Option<usize> {
        let (mut digest, mut at, mut end) = (SEED, from, None);
        folded.clear();
        while at < text.len() && folded.len() < self.longest {
            let word = folded.len();
            at = next_word(text, at, self.compare, folded);
            digest = folded[word..].iter().fold(digest, |digest, b| hash(digest, *b));
            let bit = spread(digest) % (self.filter.len() as u64 * 64);
            if self.filter[(bit / 64) as usize] >> (bit % 64) & 1 == 0 {
                break;
            }
            if self.has(digest, folded) {
                end = Some(at);
            }
        }
        end
    }

    fn has(&self, digest: u64, name: &[u8]) -> bool {
        let mask = self.places.len() - 1;
        let mut place = spread(digest) as usize & mask;
        while self.places[place] != 0 {
            if self.name(self.places[place]) == name {
                return true;
            }
            place = (place + 1) & mask;
        }
        false
    }
}

fn hash(digest: u64, b: u8) -> u64 {
    (digest ^ u64::from(b)).wrapping_mul(FACTOR)
}

/// The low bits of a digest depend on the last bytes alone.
fn spread(digest: u64) -> u64 {
    (digest ^ digest >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16
}

/// Appends a character as it is compared.
fn plain(c: char, case: bool, out: &mut Vec<u8>) {
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
fn next_word(text: &[u8], from: usize, compare: Compare, out: &mut Vec<u8>) -> usize {
    let mut at = from;
    while at < text.len() {
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
fn words(name: &[u8], whole_words: bool, mut tell: impl FnMut(u64)) {
    // The name has been folded already.
    let compare = Compare { case: true, whole_words };
    let (mut at, mut digest, mut word) = (0, SEED, Vec::new());
    while at < name.len() {
        word.clear();
        let end = next_word(name, at, compare, &mut word);
        digest = name[at..end].iter().fold(digest, |digest, b| hash(digest, *b));
        tell(digest);
        at = end;
    }
}

/// Whether a character is part of a word, and not one by itself.
fn is_part(c: Option<char>) -> bool {
    c.is_some_and(|c| fold::is_alphanumeric(c) && !fold::is_unspaced(c))
}

/// The character at `at`, and its length.
fn character(text: &[u8], at: usize) -> (char, usize) {
    if text[at] < 0x80 {
        return (char::from(text[at]), 1);
    }
    let rest = &text[at..text.len().min(at + 4)];
    let valid = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8()))
}

/// The character that ends before `at`.
fn before(text: &[u8], at: usize) -> Option<char> {
    let from = text[..at].iter().rposition(|b| b & 0xC0 != 0x80)?;
    std::str::from_utf8(&text[from..at]).ok()?.chars().next()
}
