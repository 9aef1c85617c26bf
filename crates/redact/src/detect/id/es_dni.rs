//! Spanish identity numbers: of citizens (DNI) eight digits, of foreigners (NIE) X, Y or Z and
//! seven, and a check letter.
//!
//! Source: Real Decreto 1553/2005; Orden INT/2058/2008.

use super::super::places::{DASH, LETTER, SPACE, after_letters, behind_mark, digits};
use super::super::shape::{called, number};
use super::super::{Detector, Digits, Span, glued};

/// Spanish identity numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "es_dni",
    digits: Some(find),
    places: &[
        digits(&[8], LETTER | DASH | SPACE),
        behind_mark(&[7], LETTER | DASH | SPACE),
        after_letters(&[1], &[7], LETTER | DASH | SPACE),
    ],
    ..Detector::NEW
};

const LETTERS: &[u8; 23] = b"TRWAGMYFPDXBNJZSQVHLCKE";

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let (start, first, count) = match at.run {
        8 => (q, 0, 8),
        // X1234567L, X-1234567-L
        7 => {
            let back = if view.before(q) == Some(b'-') { 2 } else { 1 };
            let letter = q.checked_sub(back)?;
            let first = view.text[letter].to_ascii_uppercase().checked_sub(b'X')?;
            (letter, first, 7)
        }
        _ => return None,
    };
    if start < view.lo || first > 2 {
        return None;
    }
    let mut end = q + count;
    if matches!(view.at(end), Some(b'-' | b' ')) {
        end += 1;
    }
    let letter = view.at(end)?;
    let mut values = [0u8; 9];
    values[0] = first;
    values[1..=count].iter_mut().zip(&view.text[q..]).for_each(|(v, b)| *v = b - b'0');
    let check = LETTERS[(number(&values[..=count]) % 23) as usize];
    let spaced = view.at(end - 1) == Some(b' ');
    let right = letter.to_ascii_uppercase() == check && !glued(view, start, end + 1);
    let named = || called(view, start, &["dni", "nie", "nif", "documento"]);
    let plain = letter.is_ascii_uppercase() && !spaced;
    (right && (plain || named())).then_some((start, end + 1))
}

#[cfg(test)]
#[test]
fn residents_of_spain() {
    super::super::shape::check(
        "es_dni",
        &[
            "DNI «12345678Z», NIE «X1234567L».",
            "«12345678-Z» «Y-1234567-X»",
            "dni «12345678z», nif: «12345678 Z»",
            "12345678A 12345678z 12345678 Z",
            "A12345678Z 912345678Z 12345678ZA W1234567L",
        ],
    );
}
