//! Numbers of passports: six to nine digits and letters, beside a word.
//!
//! Source: ICAO Doc 9303 part 4 (a document number has at most nine characters).

use super::super::places::{ANY, UPPER, after_letters, digits};
use super::super::shape::Names;
use super::super::{Detector, Digits, Span, glued};

/// Numbers of passports.
pub(crate) const DETECTOR: Detector = Detector {
    name: "passport",
    digits: Some(find),
    places: &[
        digits(&[5], UPPER),
        digits(&[6, 7, 8, 9], ANY),
        after_letters(&[1, 2, 3], &[1, 2, 3, 4], UPPER),
        after_letters(&[1, 2, 3], &[5, 6, 7, 8], ANY),
    ],
    ..Detector::NEW
};

static WORDS: Names = Names::new(&[
    "passport",
    "passports",
    "passport no",
    "reisepass",
    "passnummer",
    "reisepassnummer",
    "passeport",
    "pasaporte",
    "passaporto",
    "passaporte",
    "paspoort",
    "paspoortnummer",
    "paszport",
    "paszportu",
    "pass nr",
    "pasaport",
    "паспорт",
    "паспорта",
    "护照",
    "護照",
    "旅券",
    "パスポート",
    "여권",
    "जवाज़",
    "جواز",
]);
/// Fewest digits.
const DIGITS_MIN: usize = 5;
/// Letters before the first digit.
const LETTERS_MAX: usize = 3;

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if at.run < DIGITS_MIN && !view.at(q + at.run).is_some_and(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let letters = view.text[view.lo.max(q.saturating_sub(LETTERS_MAX))..q]
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_uppercase())
        .count();
    let start = q - letters;
    let len = view.text[start..]
        .iter()
        .take(10)
        .take_while(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
        .count();
    let end = start + len;
    let digits = view.text[start..end].iter().filter(|b| b.is_ascii_digit()).count();
    let right = (6..=9).contains(&len) && digits >= DIGITS_MIN && !glued(view, start, end);
    (right && WORDS.call(view, start)).then_some((start, end))
}

#[cfg(test)]
#[test]
fn passports() {
    super::super::shape::check(
        "passport",
        &[
            "Passport number «123456789», issued in London",
            "Reisepass Nr. «C01X00T47».",
            "passport: «X1234567», pasaporte «AAA123456»",
            "护照号码：«E12345678»",
            "order C01X00T47, passport of 2024, passport 1234567890",
            "passports: 12 of 345",
        ],
    );
}
