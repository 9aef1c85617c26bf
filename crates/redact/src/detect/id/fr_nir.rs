//! French social security numbers (NIR): sex, year and month of birth, department, municipality,
//! serial number and a key of two digits.
//!
//! Source: INSEE; Code de la sécurité sociale R.115-1 and following (97 minus the rest by 97; in
//! Corsica 2A counts as 19 and 2B as 18).

use super::super::places::{DOT, NO_LETTER, SPACE, UPPER, digits};
use super::super::shape::{number, written};
use super::super::{Detector, Digits, Span};

/// French social security numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "fr_nir",
    digits: Some(find),
    places: &[
        digits(&[1], SPACE | DOT),
        digits(&[6], UPPER),
        digits(&[13], SPACE),
        digits(&[15], NO_LETTER),
    ],
    ..Detector::NEW
};

const WAYS: &[&str] =
    &["999999X99999999", "9 99 99 9X 999 999 99", "999999X999999 99", "9.99.99.9X.999.999.99"];

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if !matches!(view.text[q], b'1'..=b'4' | b'7' | b'8') {
        return None;
    }
    if at.run == 1 && view.at(q + 1) != view.at(q + 4) {
        return None;
    }
    let span = written(view, q, WAYS)?;
    let mut values = [0u8; 15];
    let text = view.text[span.0..span.1].iter().filter(|b| b.is_ascii_alphanumeric());
    for (i, (value, b)) in values.iter_mut().zip(text).enumerate() {
        *value = match (i, b) {
            (_, b'0'..=b'9') => b - b'0',
            (6, b'A') => 9,
            (6, b'B') => 8,
            _ => return None,
        };
    }
    if view.text[span.0..span.1].iter().any(u8::is_ascii_uppercase) {
        // 2A is 19, 2B is 18.
        if values[5] != 2 {
            return None;
        }
        values[5] = 1;
    }
    let month = number(&values[3..5]);
    let born = matches!(month, 1..=12 | 20..=42 | 50..=99);
    (born && 97 - number(&values[..13]) % 97 == number(&values[13..])).then_some(span)
}

#[cfg(test)]
#[test]
fn insured_of_france() {
    super::super::shape::check(
        "fr_nir",
        &[
            "NIR «2 55 08 14 168 025 38».",
            "n° de sécurité sociale : «255081416802538»",
            "255081416802539 2550814168025381",
            "555081416802538",
        ],
    );
}
