//! Dutch citizens' service numbers (burgerservicenummer): nine digits that pass the eleven test,
//! beside a word.
//!
//! Source: Logisch Ontwerp BSN (the last digit counts minus one).

use super::super::places::{DOT, NO_LETTER, SPACE, digits as row};
use super::super::shape::{all_alike, called, digits, weighted, written};
use super::super::{Detector, Digits, Span};

/// Dutch citizens' service numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "nl_bsn",
    digits: Some(find),
    places: &[row(&[3], DOT | SPACE), row(&[4], DOT), row(&[9], NO_LETTER)],
    ..Detector::NEW
};

const WORDS: &[&str] =
    &["bsn", "bsn-nummer", "burgerservicenummer", "sofinummer", "sofi-nummer", "persoonsnummer"];

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let span = written(view, q, &["999999999", "9999.99.999", "999.999.999", "999 999 999"])?;
    let values = digits::<9>(view, span)?;
    passes(&values).then_some(span).filter(|_| called(view, q, WORDS))
}

/// The eleven test.
pub(crate) fn passes(values: &[u8; 9]) -> bool {
    let sum = weighted(&values[..8], &[9, 8, 7, 6, 5, 4, 3, 2]) + 10 * u32::from(values[8]);
    sum.is_multiple_of(11) && !all_alike(values)
}

#[cfg(test)]
#[test]
fn citizens_of_the_netherlands() {
    super::super::shape::check(
        "nl_bsn",
        &[
            "BSN «111222333», geboren te Utrecht",
            "burgerservicenummer: «1112.22.333»",
            "bsn 111222334, nummer 111222333",
            "BSN 1112223330",
        ],
    );
}
