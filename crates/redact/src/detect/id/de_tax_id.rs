//! German tax identification numbers (Steuerliche Identifikationsnummer): eleven digits, of which
//! one occurs two or three times among the first ten, and the last is a check digit.
//!
//! Source: Abgabenordnung §139b; Bundeszentralamt für Steuern (ISO 7064, MOD 11,10).

use super::super::places::{NO_LETTER, SPACE, digits as row};
use super::super::shape::{digits, mod_11_10, written};
use super::super::{Detector, Digits, Span};

/// German tax identification numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "de_tax_id",
    digits: Some(find),
    places: &[row(&[2], SPACE), row(&[11], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if at.run == 2 && view.at(q + 6) != Some(b' ') {
        return None;
    }
    let span = written(view, q, &["99 999 999 999", "99999999999"])?;
    let values = digits::<11>(view, span)?;
    let mut times = [0u8; 10];
    values[..10].iter().for_each(|digit| times[usize::from(*digit)] += 1);
    let repeated = times.iter().filter(|n| **n > 1).count() == 1;
    let right = values[0] != 0 && repeated && times.iter().all(|n| *n <= 3) && mod_11_10(&values);
    right.then_some(span)
}

#[cfg(test)]
#[test]
fn taxpayers_of_germany() {
    super::super::shape::check(
        "de_tax_id",
        &[
            "Steuer-ID «86095742719».",
            "IdNr. «86 095 742 719»",
            "«47036892816», «65929970489»",
            "86095742718 12345678901 00000000000",
            "a86095742719 86095742719-1 186095742719",
        ],
    );
}
