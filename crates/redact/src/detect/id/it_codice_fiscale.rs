//! Italian tax codes (codice fiscale): letters of the names, date of birth, municipality and a
//! check letter.
//!
//! Source: Decreto ministeriale 23 dicembre 1976. Codes in which letters stand for digits, because
//! two persons would have had the same one, are not found.

use super::super::places::{LETTER, after_letters};
use super::super::{Detector, Digits, Span, glued};

/// Italian tax codes.
pub(crate) const DETECTOR: Detector = Detector {
    name: "it_codice_fiscale",
    digits: Some(find),
    places: &[after_letters(&[6], &[2], LETTER)],
    ..Detector::NEW
};

/// The value of a character in an odd place, counted from 1.
const ODD: [u8; 26] =
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let start = q.checked_sub(6).filter(|start| *start >= view.lo)?;
    if glued(view, start, start + 16) {
        return None;
    }
    let code = view.text.get(start..start + 16)?;
    let shape = code.iter().zip(b"AAAAAA99A99A999A").all(|(b, way)| match way {
        b'9' => b.is_ascii_digit(),
        _ => b.is_ascii_alphabetic(),
    });
    if !shape {
        return None;
    }
    let day = (code[9] - b'0') * 10 + code[10] - b'0';
    let born =
        b"ABCDEHLMPRST".contains(&code[8].to_ascii_uppercase()) && matches!(day, 1..=31 | 41..=71);
    let value = |b: u8| match b {
        b'0'..=b'9' => b - b'0',
        _ => b.to_ascii_uppercase() - b'A',
    };
    let sum: u32 = code[..15]
        .iter()
        .enumerate()
        .map(|(i, b)| u32::from(if i % 2 == 0 { ODD[usize::from(value(*b))] } else { value(*b) }))
        .sum();
    (born && sum % 26 == u32::from(value(code[15]))).then_some((start, start + 16))
}

#[cfg(test)]
#[test]
fn taxpayers_of_italy() {
    super::super::shape::check(
        "it_codice_fiscale",
        &[
            "C.F. «RSSMRA85T10A562S», Roma",
            "cf: «rssmra85t10a562s»",
            "RSSMRA85T10A562T RSSMRA85Z10A562S RSSMRA85T10A562SX",
        ],
    );
}
