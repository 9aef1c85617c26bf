//! Brazilian companies' numbers (CNPJ): twelve digits or, since July 2026, letters, and two check
//! digits.
//!
//! Sources: Receita Federal, Instrução Normativa RFB 2.119/2022 and 2.229/2024 (letters count as
//! their ASCII code minus 48).

use super::super::places::{DOT, NO_LETTER, UPPER, digits};
use super::super::shape::{all_alike, called, written};
use super::super::{Detector, Digits, Span};

/// Brazilian companies' numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "br_cnpj",
    digits: Some(find),
    places: &[digits(&[1], UPPER), digits(&[2], DOT), digits(&[14], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if at.run <= 2 && view.at(q + 2) != Some(b'.') {
        return None;
    }
    let span = written(view, q, &["XX.XXX.XXX/XXXX-99", "99999999999999"])?;
    let mut values = [0u8; 14];
    let text = view.text[span.0..span.1].iter().filter(|b| b.is_ascii_alphanumeric());
    values.iter_mut().zip(text).for_each(|(value, b)| *value = b - b'0');
    let check = |n: usize| {
        // 2 to 9 from the right, and again.
        let sum: u32 =
            values[..n].iter().rev().zip((2..=9).cycle()).map(|(v, w)| u32::from(*v) * w).sum();
        let rest = sum % 11;
        u32::from(values[n]) == if rest < 2 { 0 } else { 11 - rest }
    };
    let right = check(12) && check(13) && !all_alike(&values);
    let grouped = span.1 - span.0 > values.len();
    (right && (grouped || called(view, q, &["cnpj"]))).then_some(span)
}

#[cfg(test)]
#[test]
fn companies_of_brazil() {
    super::super::shape::check(
        "br_cnpj",
        &[
            "CNPJ «11.222.333/0001-81», São Paulo",
            "cnpj: «11222333000181»",
            "«12.ABC.345/01DE-35»",
            "11.222.333/0001-82",
            "00.000.000/0000-00",
            "id 11222333000181",
            "CNPJ 112223330001811",
        ],
    );
}
