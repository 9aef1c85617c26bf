//! Brazilian taxpayers' numbers (CPF): nine digits and two check digits.
//!
//! Source: Receita Federal, Instrução Normativa RFB 2.172/2024.

use super::super::places::{DASH, DOT, NO_LETTER, digits as row};
use super::super::shape::{all_alike, called, digits, weighted, written};
use super::super::{Detector, Digits, Span};

/// Brazilian taxpayers' numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "br_cpf",
    digits: Some(find),
    places: &[row(&[3], DOT), row(&[9], DASH), row(&[11], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let span = written(view, q, &["999.999.999-99", "999999999-99", "99999999999"])?;
    let values = digits::<11>(view, span)?;
    let check = |n: usize, weights: &[u32]| {
        weighted(&values[..n], weights) * 10 % 11 % 10 == u32::from(values[n])
    };
    let right = check(9, &[10, 9, 8, 7, 6, 5, 4, 3, 2])
        && check(10, &[11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
        && !all_alike(&values);
    let grouped = span.1 - span.0 > values.len();
    (right && (grouped || called(view, q, &["cpf"]))).then_some(span)
}

#[cfg(test)]
#[test]
fn taxpayers_of_brazil() {
    super::super::shape::check(
        "br_cpf",
        &[
            "CPF «529.982.247-25».",
            "cpf=«52998224725»",
            "«529982247-25»",
            "529.982.247-26 111.111.111-11",
            "id 52998224725",
            "1529.982.247-25 529.982.247-255",
        ],
    );
}
