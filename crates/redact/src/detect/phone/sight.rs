//! Text that is no number at first sight: few bytes tell, before groups are read.

use super::super::View;
use super::{DIGIT, run};

/// Whether `2024-11-05` or the like stands at `q`.
#[inline]
pub(crate) fn iso_date(view: &View<'_>, q: usize) -> bool {
    matches!(view.at(q), Some(b'1' | b'2'))
        && matches!(view.at(q + 4), Some(b'-' | b'/' | b'.'))
        && is_iso_date(view, q)
}

fn is_iso_date(view: &View<'_>, q: usize) -> bool {
    let Some(t) = view.text.get(q..).and_then(|t| t.first_chunk::<10>()) else { return false };
    let year = matches!(t[..2], [b'1', b'9'] | [b'2', b'0'])
        && t[2].is_ascii_digit()
        && t[3].is_ascii_digit();
    let month = matches!(t[5..7], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2']);
    let day = matches!(t[8..], [b'0' | b'1' | b'2', b'0'..=b'9'] | [b'3', b'0' | b'1']);
    year && month
        && day
        && matches!(t[4], b'-' | b'/' | b'.')
        && t[4] == t[7]
        && !view.at(q + 10).is_some_and(|b| b.is_ascii_digit())
}

/// Whether `192.168.100.200` or the like stands at `q`: what [`Candidate::machine`] says, found
/// sooner.
#[inline]
pub(crate) fn address(view: &View<'_>, q: usize) -> bool {
    let first = run(view.text, q, DIGIT);
    (1..=3).contains(&first) && view.at(q + first) == Some(b'.') && is_address(view, q)
}

fn is_address(view: &View<'_>, q: usize) -> bool {
    // "+ 49" is told from an address further down.
    let spaced = view.before(q) == Some(b' ') && q > view.lo + 1;
    if view.text[view.lo..q].last() == Some(&b'+') || spaced && view.before(q - 1) == Some(b'+') {
        return false;
    }
    let t = &view.text[q..view.text.len().min(q + 16)];
    let (mut octets, mut value, mut len, mut pairs, mut digits) = (0, 0u32, 0, 0, 0);
    for (i, b) in t.iter().enumerate() {
        match b {
            b'0'..=b'9' => {
                value = value * 10 + u32::from(b - b'0');
                (len, digits) = (len + 1, digits + 1);
                if len > 3 || value > 255 {
                    return false;
                }
            }
            b'.' if len > 0 && octets < 3 => {
                pairs += u8::from(len == 2);
                (octets, value, len) = (octets + 1, 0, 0);
            }
            // A dash, a bracket or a digit after it may make it something else.
            b' ' | b'\n' if octets == 3 && len > 0 => {
                let alone = !t
                    .get(i + 1)
                    .is_some_and(|b| b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'('));
                return alone && pairs + u8::from(len == 2) < 4 && digits < 12;
            }
            _ => return false,
        }
    }
    false
}

/// Whether the number whose digits begin at `q` is a value of a form, where `+` is a space:
/// "phone=%2B1+415+555+0132".
pub(crate) fn in_form(view: &View<'_>, q: usize) -> bool {
    let mut i = q;
    while q - i < 3 && matches!(view.before(i), Some(b'+' | b'(')) {
        i -= 1;
    }
    match view.before(i) {
        Some(b'=') => true,
        // "call+%2B1+415…"
        Some(b':' | b'&' | b'?' | b'"') | None => i < q,
        Some(b) => q - i >= 2 && b.is_ascii_alphabetic(),
    }
}

/// Whether three or more numbers stand right before `start`: a row of them, not a telephone number.
pub(crate) fn in_row(view: &View<'_>, start: usize) -> bool {
    let mut groups = 0;
    let mut i = start;
    while let Some(b) = view.before(i) {
        if start - i > 24 || !(b.is_ascii_digit() || matches!(b, b' ' | b'-' | b'.' | b'/')) {
            break;
        }
        groups += usize::from(b.is_ascii_digit() && view.at(i) == Some(b' '));
        if groups == 3 {
            return true;
        }
        i -= 1;
    }
    false
}
