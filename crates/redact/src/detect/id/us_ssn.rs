//! US social security numbers, and taxpayer numbers of the same form: 3-2-4 with one kind of
//! separator, or nine digits that are called one. Numbers from 900 on are taxpayers'.
//!
//! Sources: SSA randomization (area, group and serial that are never issued); IRS, Internal Revenue
//! Manual 3.21.263 (groups of individual taxpayer numbers).

use super::super::places::{DASH, NO_LETTER, SPACE, digits};
use super::super::{Detector, Digits, Span, View, glued};

/// US social security numbers.
pub(crate) const DETECTOR: Detector = Detector {
    name: "us_ssn",
    digits: Some(find),
    places: &[digits(&[3], SPACE | DASH), digits(&[9], NO_LETTER)],
    ..Detector::NEW
};

fn find(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    let t = &view.text[q..];
    let (group_at, serial_at, len) = match t {
        [_, _, _, b'-', _, _, b'-', ..] | [_, _, _, b' ', _, _, b' ', ..] => (4, 7, 11),
        _ => (3, 5, 9),
    };
    let number = |from: usize, to: usize| {
        let digits = t.get(from..to)?;
        digits
            .iter()
            .try_fold(0u32, |n, b| b.is_ascii_digit().then(|| n * 10 + u32::from(b - b'0')))
    };
    let area = number(0, 3)?;
    let (group, serial) = (number(group_at, group_at + 2)?, number(serial_at, len)?);
    let issued = match area {
        0 | 666 => false,
        // Written as one, it is taken: samples and test data have all groups.
        900.. if len == 9 => is_taxpayer_group(group),
        _ => group != 0 && serial != 0,
    };
    (issued && !glued(view, q, q + len) && (len == 11 || called_ssn(view, q)))
        .then_some((q, q + len))
}

/// Whether an individual taxpayer number may have this group.
pub(crate) fn is_taxpayer_group(group: u32) -> bool {
    matches!(group, 50..=65 | 70..=88 | 90..=92 | 94..=99)
}

/// Whether the words right before `q` name a social security number.
fn called_ssn(view: &View<'_>, q: usize) -> bool {
    /// How far before the number its name may end.
    const NEAR: usize = 12;
    let from = view.lo.max(q.saturating_sub(NEAR + b"social security".len()));
    let before = &view.text[from..q];
    let letter = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphabetic);
    let begins = |name: &&[u8], i: usize| {
        let alone = !letter(i.checked_sub(1).and_then(|i| before.get(i)))
            && !letter(before.get(i + name.len()));
        let word = before.get(i..i + name.len());
        let is_name = word.is_some_and(|w| w.eq_ignore_ascii_case(name));
        is_name && alone && before.len() - i - name.len() <= NEAR
    };
    memchr::memchr2_iter(b's', b'S', before)
        .any(|i| [&b"ssn"[..], b"social security"].iter().any(|name| begins(name, i)))
}
