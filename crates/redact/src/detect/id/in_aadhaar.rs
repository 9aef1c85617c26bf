//! Indian residents' numbers (Aadhaar): twelve digits with Verhoeff's check digit.
//!
//! Source: UIDAI; J. Verhoeff, Error Detecting Decimal Codes (1969).

use super::super::places::{DASH, NO_LETTER, SPACE, digits as row};
use super::super::shape::{all_alike, called, digits, written};
use super::super::{Detector, Digits, Span, View};

/// Indian residents' numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "in_aadhaar",
    digits: Some(find),
    places: &[row(&[4], SPACE | DASH), row(&[12], NO_LETTER)],
    ..Detector::NEW
};

/// The digits of the dihedral group D5, multiplied, and permuted by their place.
const TIMES: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];
const PLACED: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if view.text[q] < b'2' {
        return None;
    }
    let span = written(view, q, &["9999 9999 9999", "9999-9999-9999", "999999999999"])?;
    let values = digits::<12>(view, span)?;
    let check = values.iter().rev().enumerate().fold(0u8, |check, (i, digit)| {
        TIMES[usize::from(check)][usize::from(PLACED[i % 8][usize::from(*digit)])]
    });
    let named = || called(view, q, &["aadhaar", "aadhar", "adhaar", "uid", "uidai", "आधार"]);
    let grouped = span.1 - span.0 > values.len() && !in_row(view, span);
    (check == 0 && !all_alike(&values) && (grouped || named())).then_some(span)
}

/// Whether other digits stand beside it, as in a table or a longer number.
fn in_row(view: &View<'_>, (start, end): Span) -> bool {
    let digit = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_digit());
    start > view.lo + 1 && view.before(start) == Some(b' ') && digit(view.before(start - 1))
        || view.at(end) == Some(b' ') && digit(view.at(end + 1))
}

#[cfg(test)]
#[test]
fn residents_of_india() {
    super::super::shape::check(
        "in_aadhaar",
        &[
            "Aadhaar «2345 6789 0124», «2345-6789-0124».",
            "aadhaar no: «234567890124»",
            "234567890124 2345 6789 0123",
            "7 2345 6789 0124 2345 6789 0124 1",
            "1345 6789 0124",
        ],
    );
}
