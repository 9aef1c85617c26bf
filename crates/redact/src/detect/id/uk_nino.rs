//! British National Insurance numbers: two letters, six digits and a letter.
//!
//! Source: HMRC, National Insurance Manual NIM39110 (letters and prefixes that are not used).

use super::super::places::{DASH, SPACE, UPPER, after_letters, behind_mark};
use super::super::shape::written;
use super::super::{Detector, Digits, Span};

/// British National Insurance numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "uk_nino",
    digits: Some(find),
    places: &[
        behind_mark(&[2], SPACE | DASH),
        after_letters(&[2], &[2], SPACE),
        after_letters(&[2], &[6], UPPER),
    ],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let back = match (at.run, view.before(q)) {
        (2, Some(b' ' | b'-')) => 3,
        (2 | 6, Some(b'A'..=b'Z')) => 2,
        _ => return None,
    };
    let start = q.checked_sub(back).filter(|start| *start >= view.lo)?;
    if !view.text[start].is_ascii_uppercase() {
        return None;
    }
    let ways = ["AA999999A", "AA 99 99 99 A", "AA-99-99-99-A", "AA 999999 A", "AA99 99 99A"];
    let (start, end) = written(view, start, &ways)?;
    let prefix = &view.text[start..start + 2];
    let used = !b"DFIQUV".contains(&prefix[0])
        && !b"DFIOQUV".contains(&prefix[1])
        && !matches!(prefix, b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ");
    let suffix = matches!(view.text[end - 1], b'A'..=b'D');
    (used && suffix).then_some((start, end))
}

#[cfg(test)]
#[test]
fn insured_of_britain() {
    super::super::shape::check(
        "uk_nino",
        &[
            "NI number «AB 12 34 56 C», «JG103759A».",
            "nino «AB123456C»",
            "«AB123456C» QQ123456C JG103759E GB123456A JG103759AB",
        ],
    );
}
