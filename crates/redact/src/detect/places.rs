//! The places at which a detector is asked about digits: how many digits stand in a row, and the
//! bytes right before and after them.
//!
//! Pure. A table over all places rules out nearly every detector before one is called. Promise: a
//! detector is asked wherever its [`Place`]s say so. Does not: look further than a few bytes.

use super::{View, ends_escape};

/// Longest row of digits that has a bit of its own; the bit of the longest stands for more, too.
pub(crate) const RUN_MAX: usize = 20;

/// Classes of bytes after the digits, one bit for each.
const OTHER: u8 = 1;
pub(crate) const SPACE: u8 = 2;
pub(crate) const DASH: u8 = 4;
pub(crate) const DOT: u8 = 8;
/// `/` and `,`
pub(crate) const MARK: u8 = 16;
pub(crate) const UPPER: u8 = 32;
const LOWER: u8 = 64;
pub(crate) const LETTER: u8 = UPPER | LOWER;
/// Bytes outside ASCII.
pub(crate) const WIDE: u8 = 128;
pub(crate) const ANY: u8 = !0;
pub(crate) const NO_LETTER: u8 = !LETTER;

/// What stands before the digits: no letter; a space, a dash or a dot behind a letter; so many
/// letters, or more of them.
const APART: usize = 0;
const BEHIND_MARK: usize = 1;
const LETTERS_MAX: usize = 7;
const BEFORE: usize = BEHIND_MARK + LETTERS_MAX + 1;

/// Places where digits stand, as far as the bytes beside them tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// One bit for each thing that may stand before them.
    before: u16,
    /// One bit for each number of digits in a row.
    runs: u32,
    /// Classes of the byte after them.
    next: u8,
}

/// So many digits that no letter stands right before.
pub(crate) const fn digits(runs: &[usize], next: u8) -> Place {
    Place { before: bits(&[APART, BEHIND_MARK]) as u16, runs: bits(runs), next }
}

/// The same behind a letter and a space, a dash or a dot.
pub(crate) const fn behind_mark(runs: &[usize], next: u8) -> Place {
    Place { before: bits(&[BEHIND_MARK]) as u16, runs: bits(runs), next }
}

/// The same right behind so many letters.
pub(crate) const fn after_letters(letters: &[usize], runs: &[usize], next: u8) -> Place {
    Place { before: (bits(letters) << BEHIND_MARK) as u16, runs: bits(runs), next }
}

/// Any number of digits.
pub(crate) const ALL: &[usize] =
    &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, RUN_MAX];

const fn bits(numbers: &[usize]) -> u32 {
    let (mut bits, mut i) = (0, 0);
    while i < numbers.len() {
        bits |= 1 << numbers[i];
        i += 1;
    }
    bits
}

/// For each place one bit for each detector that is asked there.
#[derive(Debug)]
pub(crate) struct Table([[[u32; 8]; RUN_MAX + 1]; BEFORE]);

impl Table {
    pub(crate) const fn of(detectors: &[&[Place]]) -> Table {
        assert!(detectors.len() <= 32, "one bit for each");
        let mut table = [[[0; 8]; RUN_MAX + 1]; BEFORE];
        let mut n = 0;
        while n < detectors.len() {
            let mut i = 0;
            while i < detectors[n].len() {
                add(&mut table, &detectors[n][i], 1 << n);
                i += 1;
            }
            n += 1;
        }
        Table(table)
    }

    /// The detectors that are asked about `run` digits at `q`.
    #[inline]
    pub(crate) fn at(&self, view: &View<'_>, q: usize, run: usize) -> u32 {
        let next = view.at(q + run).map_or(0, |b| NEXT[usize::from(b)]);
        self.0[before(view, q)][run][usize::from(next)]
    }
}

const fn add(table: &mut [[[u32; 8]; RUN_MAX + 1]; BEFORE], place: &Place, bit: u32) {
    let mut before = 0;
    while before < BEFORE {
        let mut run = 0;
        while run <= RUN_MAX && place.before >> before & 1 == 1 {
            let mut next = 0;
            while next < 8 && place.runs >> run & 1 == 1 {
                if place.next >> next & 1 == 1 {
                    table[before][run][next] |= bit;
                }
                next += 1;
            }
            run += 1;
        }
        before += 1;
    }
}

/// For each byte the number of its class.
const NEXT: [u8; 256] = {
    let mut classes = [0; 256];
    let mut b = 0;
    while b < 256 {
        let class = match b as u8 {
            b' ' => SPACE,
            b'-' => DASH,
            b'.' => DOT,
            b'/' | b',' => MARK,
            b'A'..=b'Z' => UPPER,
            b'a'..=b'z' => LOWER,
            0x80.. => WIDE,
            _ => OTHER,
        };
        classes[b] = class.trailing_zeros() as u8;
        b += 1;
    }
    classes
};

/// What stands before the digits at `q`.
#[inline]
fn before(view: &View<'_>, q: usize) -> usize {
    let letter = |i: usize| view.before(i).is_some_and(|b| b.is_ascii_alphabetic());
    if letter(q) {
        let letters = view.text[view.lo.max(q.saturating_sub(LETTERS_MAX))..q].iter().rev();
        let count = letters.take_while(|b| b.is_ascii_alphabetic()).count();
        // The letter of "\\n" is not a letter of a word.
        let first = view.text[q - count];
        let escape = matches!(first, b'n' | b'r' | b't') && ends_escape(view, q + 1 - count);
        return match count - usize::from(escape) {
            0 => APART,
            count => BEHIND_MARK + count,
        };
    }
    let mark = matches!(view.before(q), Some(b' ' | b'-' | b'.')) && letter(q - 1);
    if mark { BEHIND_MARK } else { APART }
}
