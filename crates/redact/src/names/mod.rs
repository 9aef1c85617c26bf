//! Long lists of names: up to a million words and phrases in some forty bytes each.
//!
//! Pure and immutable. A text is read word by word, once; each word asks a filter of bits whether a
//! name begins so, and few go on to the table. An automaton of as many words would take a hundred
//! times the memory. A list may ask for names inside longer words: then each character counts as a
//! word.
//!
//! Guarantees: of the names that begin at one place, the longest is found (of names of more than
//! [`STEPS`] words as far as digests of 60 bits tell beginnings apart); no name is found that is
//! not in the list; a place of a text takes some twenty looks into tables at most, whatever the
//! names. Does not: find names over line ends, because a line is one name.

mod reading;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::bounds::{CUSTOM_SPAN_MAX, NAMES_MAX};
pub use reading::Compare;
pub(crate) use reading::Reading;
use reading::{Form, before, character, hash, is_part, next_word, plain, words};

/// Bits of the filter for each beginning of a name.
const FILTER_BITS: usize = 12;
/// Words of a name that are tried one after the other; longer ones are looked for in larger steps.
const STEPS: usize = 6;

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
    /// Bits for the digests of names and of their beginnings, at the ends of their first words.
    filter: Box<[u64]>,
    /// Beginnings of longer names: a tag, and one more than the place of the longest name in it.
    /// Free places have 0.
    marks: Box<[(u32, u32)]>,
    /// The bytes that names begin with.
    first: [bool; 256],
    form: Form,
    /// Tells lists apart.
    digest: u64,
}

impl std::fmt::Debug for Names {
    /// Names are people's: none is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Table { starts, form, digest, .. } = &*self.0;
        write!(f, "Names({}, {:?}, {digest:x})", starts.len() - 1, form.compare)
    }
}

impl PartialEq for Names {
    /// The same names in the same order, compared in the same way.
    fn eq(&self, other: &Names) -> bool {
        let (own, other_table) = (&*self.0, &*other.0);
        self.is(other)
            || (own.digest, own.form.compare) == (other_table.digest, other_table.form.compare)
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
        let Table { text, starts, places, filter, marks, form, .. } = &*self.0;
        let words = filter.len() + marks.len() + form.powers.len();
        text.len() + 4 * (starts.len() + places.len()) + 8 * words
    }

    /// The first name in `text` that begins within `places` and ends before the end of `text`, or at
    /// it. `reading`: the same text as it was read before, if it was.
    pub(crate) fn find(
        &self,
        text: &[u8],
        places: std::ops::Range<usize>,
        reading: &mut Reading,
    ) -> Option<(usize, usize)> {
        let table = &*self.0;
        let mut at = places.start;
        let whole = table.form.compare.whole_words;
        let mut in_word = whole && is_part(before(text, at));
        while at < places.end {
            let b = text[at];
            if b < 0x80 && !table.first[usize::from(b)] {
                in_word = whole && b.is_ascii_alphanumeric();
                at += 1;
                continue;
            }
            let (part, len) = if b < 0x80 {
                (whole && b.is_ascii_alphanumeric(), 1)
            } else {
                let (c, len) = character(text, at);
                (whole && is_part(Some(c)), len)
            };
            if !(part && in_word)
                && table.first[usize::from(b)]
                && let Some(end) = table.longest_at(text, at, reading)
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
        let (mut first, mut whole) = ([false; 256], 0);
        let (mut begins, mut marks): (usize, usize) = (0, 0);
        for name in starts.windows(2).map(|w| &text[w[0] as usize..w[1] as usize]) {
            let mut depth = 0;
            words(name, compare.whole_words, |_| depth += 1);
            begins += depth.min(STEPS);
            marks_of(depth, |_| marks += 1);
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
            marks: vec![(0, 0); (marks * 2).next_power_of_two()].into(),
            text,
            starts,
            first,
            form: Form::new(compare, longest),
            digest: whole,
        };
        (0..count).for_each(|number| table.add(number));
        if marks > 0 {
            (0..count).for_each(|number| table.mark(number));
        }
        table
    }

    fn add(&mut self, number: usize) {
        let name = self.starts[number] as usize..self.starts[number + 1] as usize;
        let bits = self.filter.len() as u64 * 64;
        let filter = &mut self.filter;
        let (mut digest, mut depth) = (0, 0);
        words(&self.text[name.clone()], self.form.compare.whole_words, |d| {
            if depth < STEPS {
                let bit = spread(d) % bits;
                filter[(bit / 64) as usize] |= 1 << (bit % 64);
            }
            (digest, depth) = (d, depth + 1);
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

    /// Marks the beginnings of a long name that a search comes to.
    fn mark(&mut self, number: usize) {
        let name = self.starts[number] as usize..self.starts[number + 1] as usize;
        let mut digests = Vec::new();
        let mut ends = Vec::new();
        let mut at = 0;
        words(&self.text[name.clone()], self.form.compare.whole_words, |d| digests.push(d));
        if digests.len() <= STEPS {
            return;
        }
        // The longest name that each beginning has.
        let (mut longest, mut word) = (0, Vec::new());
        let compare = Compare { case: true, ..self.form.compare };
        for digest in &digests {
            word.clear();
            at = next_word(&self.text[name.clone()], at, compare, &mut word);
            let own = self.place_of(*digest, &self.text[name.start..name.start + at]);
            longest = own.unwrap_or(longest);
            ends.push(longest);
        }
        let mask = self.marks.len() - 1;
        marks_of(digests.len(), |depth| {
            let (tag, mut place) = tagged(digests[depth - 1], mask);
            while self.marks[place].1 != 0 && self.marks[place].0 != tag {
                place = (place + 1) & mask;
            }
            self.marks[place] = (tag, ends[depth - 1] + 1);
        });
    }

    /// The longest name in the beginning with this digest, as one more than its number, or 0.
    /// `None` if no search for a name comes to that beginning.
    fn marked(&self, digest: u64) -> Option<u32> {
        let mask = self.marks.len() - 1;
        let (tag, mut place) = tagged(digest, mask);
        loop {
            match self.marks[place] {
                (_, 0) => return None,
                (known, name) if known == tag => return Some(name - 1),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn name(&self, place: u32) -> &[u8] {
        let number = place as usize - 1;
        &self.text[self.starts[number] as usize..self.starts[number + 1] as usize]
    }

    /// Where the longest name ends that begins at `from`.
    fn longest_at(&self, text: &[u8], from: usize, reading: &mut Reading) -> Option<usize> {
        reading.begin(from);
        let bits = self.filter.len() as u64 * 64;
        let mut digests = [0; STEPS];
        let mut depth = 0;
        while depth < STEPS
            && let Some(digest) = reading.digest(&self.form, text, depth + 1)
        {
            let bit = spread(digest) % bits;
            if self.filter[(bit / 64) as usize] >> (bit % 64) & 1 == 0 {
                break;
            }
            digests[depth] = digest;
            depth += 1;
        }
        if depth == STEPS
            && self.marks.len() > 1
            && let Some(end) = self.long_at(text, reading)
        {
            return Some(end);
        }
        (1..=depth).rev().find_map(|depth| {
            let name = reading.name(depth);
            self.place_of(digests[depth - 1], name).map(|_| reading.end(depth))
        })
    }

    /// The same for names of more than [`STEPS`] words: twice as many are tried until no name
    /// begins so, then half the way back. Each mark knows the longest name in it.
    fn long_at(&self, text: &[u8], reading: &mut Reading) -> Option<usize> {
        let (mut known, mut open, mut best) = (STEPS, 2 * STEPS, 0);
        let mut far = usize::MAX;
        while open > known + 1 || far == usize::MAX {
            let tried = if far == usize::MAX { open } else { known.midpoint(open) };
            match reading.digest(&self.form, text, tried).and_then(|digest| self.marked(digest)) {
                Some(name) => {
                    (known, best) = (tried, name);
                    open = if far == usize::MAX { 2 * tried } else { open };
                }
                None => (open, far) = (tried, tried),
            }
        }
        if best == 0 {
            return None;
        }
        let name = self.name(best);
        reading.end_of(name.len()).filter(|_| reading.starts_with(name))
    }

    /// The place of a name with this digest, if it is one.
    fn place_of(&self, digest: u64, name: &[u8]) -> Option<u32> {
        let mask = self.places.len() - 1;
        let mut place = spread(digest) as usize & mask;
        while self.places[place] != 0 {
            if self.name(self.places[place]) == name {
                return Some(self.places[place]);
            }
            place = (place + 1) & mask;
        }
        None
    }
}

/// Calls `tell` with each number of words at which a search for a name of `depth` words looks: see
/// [`Table::long_at`].
fn marks_of(depth: usize, mut tell: impl FnMut(usize)) {
    if depth <= STEPS {
        return;
    }
    let (mut known, mut open) = (STEPS, 2 * STEPS);
    while open <= depth {
        tell(open);
        (known, open) = (open, 2 * open);
    }
    while open > known + 1 {
        let tried = known.midpoint(open);
        if tried <= depth {
            tell(tried);
            known = tried;
        } else {
            open = tried;
        }
    }
}

/// The tag of a digest, and the place where it is looked for first.
fn tagged(digest: u64, mask: usize) -> (u32, usize) {
    let mixed = (digest ^ digest >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = mixed ^ mixed >> 32;
    ((mixed >> 32) as u32, mixed as usize & mask)
}

/// The low bits of a digest depend on the last bytes alone.
fn spread(digest: u64) -> u64 {
    (digest ^ digest >> 29).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 16
}
