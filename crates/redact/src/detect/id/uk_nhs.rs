//! British National Health Service numbers: nine digits and a check digit, beside a word.
//!
//! Source: NHS Data Dictionary (weights 10 to 2, modulus 11).

use super::super::places::{DASH, NO_LETTER, SPACE, digits as row};
use super::super::shape::{all_alike, called, digits, weighted, written};
use super::super::{Detector, Digits, Span};

/// British National Health Service numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "uk_nhs",
    digits: Some(find),
    places: &[row(&[3], SPACE | DASH), row(&[10], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let span = written(view, q, &["999 999 9999", "999-999-9999", "9999999999"])?;
    let values = digits::<10>(view, span)?;
    let sum = weighted(&values, &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
    let right = sum.is_multiple_of(11) && !all_alike(&values);
    (right && called(view, q, &["nhs", "nhs no", "nhs number"])).then_some(span)
}

#[cfg(test)]
#[test]
fn patients_of_britain() {
    super::super::shape::check(
        "uk_nhs",
        &[
            "NHS number: «943 476 5919».",
            "nhs «9434765919», NHS no «943-476-5919»",
            "NHS 943 476 5918, number 943 476 5919",
            "NHS 94347659190",
        ],
    );
}
