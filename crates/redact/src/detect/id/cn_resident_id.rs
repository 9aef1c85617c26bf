//! Chinese resident identity numbers: region, date of birth, serial number and a check character.
//!
//! Source: GB 11643-1999 (ISO 7064, MOD 11-2).

use super::super::places::{LETTER, NO_LETTER, digits as row};
use super::super::shape::{digits, is_day, number, weighted, written};
use super::super::{Detector, Digits, Span};

/// Chinese resident identity numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "cn_resident_id",
    digits: Some(find),
    places: &[row(&[17], LETTER), row(&[18], NO_LETTER)],
    ..Detector::NEW
};

const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let span = written(view, q, &["99999999999999999X", "99999999999999999x"])?;
    let values = digits::<17>(view, span)?;
    let born = (1900..2100).contains(&number(&values[6..10]))
        && is_day(number(&values[10..12]), number(&values[12..14]));
    let region = (11..=82).contains(&number(&values[..2]));
    let check = b"10X98765432"[weighted(&values, &WEIGHTS) as usize % 11];
    let last = view.text[span.1 - 1].to_ascii_uppercase();
    (born && region && last == check).then_some(span)
}

#[cfg(test)]
#[test]
fn residents_of_china() {
    super::super::shape::check(
        "cn_resident_id",
        &[
            "身份证号码：«11010519491231002X»。",
            "«11010519491231002x» and 110105194912310021",
            "11010519491331002X",
            "911010519491231002X",
        ],
    );
}
