//! Polish national numbers (PESEL): date of birth, serial number and check digit, beside a word.
//!
//! Source: Ustawa o ewidencji ludności of 24 September 2010 (the month also tells the century).

use super::super::places::{NO_LETTER, digits as row};
use super::super::shape::{called, digits, is_day, number, weighted, written};
use super::super::{Detector, Digits, Span};

/// Polish national numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "pl_pesel",
    digits: Some(find),
    places: &[row(&[11], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let span = written(view, q, &["99999999999"])?;
    let values = digits::<11>(view, span)?;
    let born = is_day(number(&values[2..4]) % 20, number(&values[4..6]));
    let right = weighted(&values, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1]).is_multiple_of(10);
    (born && right && called(view, q, &["pesel", "nr pesel", "pesele"])).then_some(span)
}

#[cfg(test)]
#[test]
fn citizens_of_poland() {
    super::super::shape::check(
        "pl_pesel",
        &[
            "PESEL: «44051401359», ur. w Łodzi",
            "pesel «02070803628»",
            "PESEL 44051401358 44051401359 pesel 44171401359",
            "numer 44051401359",
        ],
    );
}
