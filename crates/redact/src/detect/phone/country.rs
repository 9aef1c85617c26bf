//! Country codes, and how many digits a number has under each.
//!
//! Source: `numbers.tsv`, which `scripts/phone-numbers` generates from libphonenumber's metadata:
//! the lengths that numbers have by their country code and the first two digits after it. Does not:
//! say which numbers are assigned; a number whose first digits are of no known range may have any
//! length that is usual in its country.

use std::sync::OnceLock;

const TABLE: &str = include_str!("numbers.tsv");

/// Fewest digits of a number whose length is not that of a known range.
const USUAL_MIN: usize = 9;
/// Digits that [`country`] looks at.
pub(crate) const SEEN: usize = 6;

/// How many digits the numbers have that begin with some digits, their country code counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    /// One bit for each number of digits.
    known: u32,
    /// Other numbers of digits that are taken.
    usual: (usize, usize),
}

impl Lengths {
    /// Whether a number may have this count of digits.
    pub(crate) fn fits(&self, digits: usize) -> bool {
        self.known >> digits.min(31) & 1 == 1 || (self.usual.0..=self.usual.1).contains(&digits)
    }

    /// The most digits of one.
    pub(crate) fn max(&self) -> usize {
        self.usual.1.max(self.known.checked_ilog2().unwrap_or(0) as usize)
    }
}

/// A country code.
#[derive(Debug)]
struct Country {
    code_len: usize,
    /// For the first two digits after the code, one bit for each number of digits after it.
    lengths: [u16; 100],
    /// The longest that is usual, and the longest that several prefixes have.
    usual_max: usize,
    most: usize,
}

/// So many prefixes with the longest numbers of a country are no exception.
const SEVERAL: u32 = 3;

#[derive(Debug)]
struct Table {
    /// For each three digits the number of the country whose code they begin with, counted from 1.
    codes: [u8; 1000],
    countries: Vec<Country>,
}

impl Table {
    fn all() -> &'static Table {
        static READ: OnceLock<Table> = OnceLock::new();
        READ.get_or_init(|| Table::read(TABLE))
    }

    fn read(text: &str) -> Table {
        let mut table = Table { codes: [0; 1000], countries: Vec::new() };
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split('\t');
            let Some(code) = columns.next() else { continue };
            let lengths = [0; 100];
            let mut country = Country { code_len: code.len(), lengths, usual_max: 0, most: 0 };
            columns.for_each(|column| country.add(column));
            (country.usual_max, country.most) = country.longest();
            table.countries.push(country);
            if let Some(codes) = table.codes.get_mut(of_digits(code, 3)) {
                codes.fill(table.countries.len() as u8);
            }
        }
        table
    }
}

impl Country {
    /// `7,8=22,24-29`
    fn add(&mut self, column: &str) {
        let Some((lengths, prefixes)) = column.split_once('=') else { return };
        let bits = ranges(lengths).fold(0, |bits, (from, to)| {
            let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
            (from..=to).fold(bits, |bits: u16, n: u32| bits | 1u16.checked_shl(n).unwrap_or(0))
        });
        for (from, to) in ranges(prefixes) {
            let first = of_digits(from, 2).next().unwrap_or(0);
            let last = of_digits(to, 2).last().unwrap_or(0);
            if let Some(prefixes) = self.lengths.get_mut(first..=last) {
                prefixes.fill(bits);
            }
        }
    }

    /// The length that the longest numbers have under most prefixes, and the longest under several.
    fn longest(&self) -> (usize, usize) {
        let mut times = [0u32; 16];
        for bits in self.lengths.iter().filter(|bits| **bits != 0) {
            times[bits.ilog2() as usize] += 1;
        }
        let most = times.iter().max().copied().unwrap_or(0);
        let last = |is: &dyn Fn(u32) -> bool| times.iter().rposition(|n| is(*n)).unwrap_or(0);
        let usual = last(&|n| n == most);
        (usual, last(&|n| n >= SEVERAL).max(usual))
    }
}

/// `7,9-11` as pairs.
fn ranges(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(',').map(|range| range.split_once('-').unwrap_or((range, range)))
}

/// The numbers of `digits` digits that begin with `text`.
fn of_digits(text: &str, digits: usize) -> std::ops::Range<usize> {
    let rest = 10usize.pow(digits.saturating_sub(text.len()) as u32);
    let first = text.parse().unwrap_or(0) * rest;
    first..first + rest
}

/// How many digits the numbers have that begin with these, which are digits; nothing for a country code that does not
/// exist.
pub(crate) fn country(digits: &[u8]) -> Option<Lengths> {
    let number = |digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + usize::from(d & 15));
    let table = Table::all();
    let row = usize::from(table.codes[number(digits.get(..3)?)]).checked_sub(1)?;
    let Country { code_len, lengths, usual_max, most } = &table.countries[row];
    let known = |from: usize| digits.get(from..from + 2).map_or(0, |d| lengths[number(d)]);
    let bits = match known(*code_len) {
        // "+49 (0)30 …": a trunk prefix that was left in.
        0 if digits.get(*code_len) == Some(&b'0') => known(code_len + 1),
        bits => bits,
    };
    let known_max = bits.checked_ilog2().map(|max| max as usize);
    let max = known_max.map_or(*most, |max| max.max(*usual_max)) + code_len;
    // North America and Russia: all numbers are alike.
    let min = if *code_len == 1 { max } else { USUAL_MIN };
    Some(Lengths { known: u32::from(bits) << code_len, usual: (min, max) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read_as_it_stands() {
        let table = Table::all();
        assert_eq!(table.countries.len(), TABLE.lines().filter(|l| !l.starts_with('#')).count());
        for (digits, lengths, max) in [
            ("35318", &[11usize, 12, 13][..], 13),
            ("35322", &[10], 12),
            ("14155", &[11], 11),
            ("24762", &[8], 8),
            ("49301", &[9, 10, 13, 14], 14),
            ("85019", &[13], 13),
        ] {
            let country = country(digits.as_bytes()).expect("a country");
            assert!(country.max() == max, "{digits} {country:?}");
            assert!(lengths.iter().all(|n| country.fits(*n)), "{digits} {country:?}");
            assert!(!country.fits(max + 1), "{digits}");
        }
        for none in ["", "1", "00123", "21012", "99912", "85912"] {
            assert_eq!(country(none.as_bytes()), None, "{none}");
        }
        // No such range: as long as numbers are there.
        let unknown = country(b"440012").expect("a country");
        assert!(unknown.known == 0 && unknown.fits(12) && !unknown.fits(8));
    }
}
