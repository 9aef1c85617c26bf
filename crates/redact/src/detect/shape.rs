//! Shared by the detectors of identifiers: the ways in which one is written, its digits, the words
//! before it.
//!
//! Pure. Does not: know any identifier.

use super::{Span, View, glued};

/// How far before an identifier its word may begin.
const WORD_REACH: usize = 48;

/// So many digits between a word and an identifier are another identifier.
const OTHER_MIN: usize = 6;

/// Where what stands at `start` ends if it is written in one of these ways, and no letter, digit or
/// further group beside it makes it a part of something longer. `9` is a digit, `A` a letter, `X`
/// a digit or a letter (both in upper case); all else stands for itself.
pub(crate) fn written(view: &View<'_>, start: usize, ways: &[&str]) -> Option<Span> {
    let rest = view.text.get(start..)?;
    let end = ways.iter().filter(|way| fits(rest, way)).map(|way| start + way.len()).max()?;
    (!glued(view, start, end)).then_some((start, end))
}

fn fits(text: &[u8], way: &str) -> bool {
    text.len() >= way.len()
        && way.bytes().zip(text).all(|(way, b)| match way {
            b'9' => b.is_ascii_digit(),
            b'A' => b.is_ascii_uppercase(),
            b'X' => b.is_ascii_digit() || b.is_ascii_uppercase(),
            _ => way == *b,
        })
}

/// The first `N` digits of a match, as numbers; fewer are no such digits.
pub(crate) fn digits<const N: usize>(view: &View<'_>, (start, end): Span) -> Option<[u8; N]> {
    let mut digits = [0; N];
    let mut text = view.text.get(start..end)?.iter().filter(|b| b.is_ascii_digit());
    for digit in &mut digits {
        *digit = text.next()? - b'0';
    }
    Some(digits)
}

/// The sum of the digits, each times its weight.
pub(crate) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| u32::from(*digit) * weight).sum()
}

/// The digits as one number.
pub(crate) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, digit| n * 10 + u64::from(*digit))
}

/// Whether the last digit is Luhn's check digit (ISO/IEC 7812-1).
pub(crate) fn luhn(digits: &[u8]) -> bool {
    let twice = |d: u8| u32::from(d * 2 / 10 + d * 2 % 10);
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(i, d)| if i % 2 == 1 { twice(*d) } else { u32::from(*d) })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the last digit is the check digit of ISO 7064, MOD 11,10.
pub(crate) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, digits)) = digits.split_last() else { return false };
    let product = digits.iter().fold(10, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*check)
}

/// Whether all of them are alike.
pub(crate) fn all_alike(digits: &[u8]) -> bool {
    digits.windows(2).all(|pair| pair[0] == pair[1])
}

/// Whether a day of a month, as far as months are alike.
pub(crate) fn is_day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

/// Words in small letters, and the bytes that they begin with.
#[derive(Debug)]
pub(crate) struct Names {
    words: &'static [&'static str],
    first: [bool; 256],
}

impl Names {
    pub(crate) const fn new(words: &'static [&'static str]) -> Names {
        let (mut first, mut i) = ([false; 256], 0);
        while i < words.len() {
            first[words[i].as_bytes()[0] as usize] = true;
            i += 1;
        }
        Names { words, first }
    }

    /// The same as [`called`], for many words.
    pub(crate) fn call(&self, view: &View<'_>, start: usize) -> bool {
        is_called(view, start, self.words, |b| self.first[usize::from(b)])
    }
}

/// Whether one of `words`, in small letters, stands before `start` in the same line and sentence,
/// with no other identifier between. A letter beside it makes it another word.
pub(crate) fn called(view: &View<'_>, start: usize, words: &[&str]) -> bool {
    is_called(view, start, words, |_| true)
}

/// `may_begin`: whether one of them may begin with a byte.
#[inline(always)]
fn is_called(
    view: &View<'_>,
    start: usize,
    words: &[&str],
    may_begin: impl Fn(u8) -> bool,
) -> bool {
    let text = &view.text[view.lo.max(start.saturating_sub(WORD_REACH))..start];
    let letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
    let mut digits = 0;
    for (i, b) in text.iter().enumerate().rev() {
        let before = i.checked_sub(1).and_then(|i| text.get(i));
        digits += usize::from(b.is_ascii_digit());
        // A dot may be that of an abbreviation.
        let ends = *b == b' ' && matches!(before, Some(b'!' | b'?' | b';'));
        if digits == OTHER_MIN || ends || *b == b'\n' {
            return false;
        }
        let begins = b.is_ascii_alphabetic() || *b >= 0xC0;
        if !begins || letter(before) || !may_begin(b.to_ascii_lowercase()) {
            continue;
        }
        let is = |word: &&str| {
            let word = word.as_bytes();
            word[0] == b.to_ascii_lowercase()
                && text.get(i..i + word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word))
                && !letter(text.get(i + word.len()))
        };
        if words.iter().any(is) {
            return true;
        }
    }
    false
}

/// Tests a detector: texts with what is to be found between « and ».
#[cfg(test)]
pub(crate) fn check(entity: &str, cases: &[&str]) {
    let rules = crate::tests::rules(&[entity]);
    for case in cases {
        let mut expected = String::new();
        for (i, part) in case.split(['«', '»']).enumerate() {
            if i % 2 == 1 {
                expected.push_str(&format!("[REDACTED_{}]", entity.to_uppercase()));
            } else {
                expected.push_str(part);
            }
        }
        let given = case.replace(['«', '»'], "");
        let (found, _) = crate::text(&rules, &given);
        assert_eq!(String::from_utf8_lossy(found.as_bytes()), expected, "{entity}: {given}");
    }
}
