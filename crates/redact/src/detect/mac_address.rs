//! Addresses of network adapters (MAC-48): six pairs of hexadecimal digits with colons or dashes
//! between, or three groups of four with dots.
//!
//! Source: IEEE Std 802-2014 §8.1. Not those that address all adapters or none.

use super::places::{DASH, DOT, LETTER, after_letters, digits};
use super::{Detector, Digits, Span, View};

/// Addresses of network adapters.
pub(crate) const DETECTOR: Detector = Detector {
    name: "mac_address",
    digits: Some(at_digits),
    places: &[
        digits(&[1, 3], LETTER),
        digits(&[2], DASH | LETTER),
        digits(&[4], DOT),
        after_letters(&[1, 2, 3], &[1, 2, 3], DASH | DOT | LETTER),
    ],
    colon: Some(at_colon),
    digits_min: 1,
};

fn at_colon(view: &View<'_>, colon: usize) -> Option<Span> {
    from(view, colon.checked_sub(2)?, 2, b':')
}

/// With a dash or dots: the digit stands in one of the first groups.
fn at_digits(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    // One of its marks is near: most digits have none.
    let near = &view.text[q + 1..view.text.len().min(q + 5)];
    if !near.iter().any(|b| matches!(b, b'-' | b'.')) {
        return None;
    }
    let back = |n: usize| q.checked_sub(n);
    let pairs = || [0, 1, 3, 4].into_iter().find_map(|n| from(view, back(n)?, 2, b'-'));
    let fours = || (0..4).find_map(|n| from(view, back(n)?, 4, b'.'));
    pairs().or_else(fours)
}

/// The address that begins at `start`, in groups of `group` digits.
fn from(view: &View<'_>, start: usize, group: usize, mark: u8) -> Option<Span> {
    // Its first marks rule out nearly everything.
    if view.at(start + group) != Some(mark) || view.at(start + 2 * group + 1) != Some(mark) {
        return None;
    }
    let len = 12 + 12 / group - 1;
    let address = view.text.get(start..start + len).filter(|_| start >= view.lo)?;
    let shape = address.iter().enumerate().all(|(i, b)| match i % (group + 1) == group {
        true => *b == mark,
        false => b.is_ascii_hexdigit(),
    });
    let part =
        |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || b == mark);
    let (before, after) = (view.before(start), view.at(start + len));
    // A dot may end the sentence.
    let alone =
        !part(before) && !(part(after) && (after != Some(b'.') || part(view.at(start + len + 1))));
    let all = |digit: u8| address.iter().all(|b| *b == mark || b.eq_ignore_ascii_case(&digit));
    (shape && alone && !all(b'0') && !all(b'f')).then_some((start, start + len))
}

#[cfg(test)]
#[test]
fn adapters() {
    super::shape::check(
        "mac_address",
        &[
            "mac «00:1A:2b:3C:4d:5E», «aa:bb:cc:dd:ee:0f».",
            "«00-1A-2B-3C-4D-5E» and «AB-1A-2B-3C-4D-5E», «001a.2b3c.4d5e».",
            "00:00:00:00:00:00 ff:ff:ff:ff:ff:ff 00:1A:2B:3C:4D 00:1A:2B:3C:4D:5E:6F",
            "SHA1 AB:CD:EF:01:23:45:67:89, 12:30:45, 550e8400-e29b-41d4-a716-446655440000",
            "1a-2b-3c-4d-5e-6f-7a 001a.2b3c.4d5e.6f70",
        ],
    );
}
