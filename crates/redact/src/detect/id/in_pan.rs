//! Indian taxpayers' numbers (PAN): five letters, of which the fourth tells the kind of holder,
//! four digits and a letter.
//!
//! Source: Income Tax Department, Rule 114 of the Income-tax Rules, 1962. Its check letter is not
//! published.

use super::super::places::{UPPER, after_letters};
use super::super::shape::written;
use super::super::{Detector, Digits, Span};

/// Indian taxpayers' numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "in_pan",
    digits: Some(find),
    places: &[after_letters(&[5], &[4], UPPER)],
    digits_min: 4,
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let start = q.checked_sub(5).filter(|start| *start >= view.lo)?;
    if !b"ABCFGHJLPT".contains(&view.text[start + 3]) {
        return None;
    }
    written(view, start, &["AAAAA9999A"])
}

#[cfg(test)]
#[test]
fn taxpayers_of_india() {
    super::super::shape::check(
        "in_pan",
        &[
            "PAN «ABCPE1234F».",
            "pan=«AFZPK7190K»",
            "ABCDE1234F abcpe1234f ABCPE12345 ABCPE1234FG XABCPE1234F",
        ],
    );
}
