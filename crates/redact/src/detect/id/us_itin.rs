//! US individual taxpayer identification numbers (ITIN): 9xx, a group that is given, a serial
//! number.
//!
//! Source: IRS, Internal Revenue Manual 3.21.263. [`super::us_ssn`] finds them, too: this entity is
//! for policies that look for them alone.

use super::super::places::{DASH, NO_LETTER, SPACE, digits as row};
use super::super::shape::{called, digits, number, written};
use super::super::{Detector, Digits, Span};
use super::us_ssn::is_taxpayer_group;

/// US individual taxpayer identification numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "us_itin",
    digits: Some(find),
    places: &[row(&[3], SPACE | DASH), row(&[9], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if view.text[q] != b'9' {
        return None;
    }
    let span = written(view, q, &["999-99-9999", "999 99 9999", "999999999"])?;
    let values = digits::<9>(view, span)?;
    let group = number(&values[3..5]) as u32;
    let named = || called(view, q, &["itin", "taxpayer id", "taxpayer identification number"]);
    let grouped = span.1 - span.0 > values.len();
    (is_taxpayer_group(group) && (grouped || named())).then_some(span)
}

#[cfg(test)]
#[test]
fn taxpayers_of_the_united_states() {
    super::super::shape::check(
        "us_itin",
        &[
            "ITIN «912-70-1234».",
            "itin «912701234», «999 88 1234»",
            "912701234 912-12-1234 812-70-1234 912-70-12345",
        ],
    );
}
