//! Domains: labels, the last of which may be a top-level domain, and address literals.

use super::{DOMAIN_MAX, LABEL, LETTER, is};
use crate::detect::{View, tld};
use crate::fold::{IDEOGRAPHIC_STOP, SOFT_BREAK, is_unspaced};

/// A domain, as offsets of the text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Labels between dots; 0 for an address in brackets.
    pub(crate) labels: usize,
    /// Where the first label ends, and where the last one begins.
    pub(crate) first_end: usize,
    pub(crate) last: usize,
}

impl Host {
    /// The first label.
    pub(crate) fn first<'a>(&self, view: &View<'a>) -> &'a [u8] {
        &view.text[self.start..self.first_end]
    }

    /// The second label; nothing if there is none.
    pub(crate) fn second<'a>(&self, view: &View<'a>) -> &'a [u8] {
        let rest = view.text[..self.end].get(self.first_end + 1..).unwrap_or_default();
        &rest[..rest.iter().position(|b| *b == b'.').unwrap_or(rest.len())]
    }

    /// The last label.
    pub(crate) fn ending<'a>(&self, view: &View<'a>) -> &'a [u8] {
        &view.text[self.last..self.end]
    }
}

/// The domain that begins at `from`.
pub(crate) fn domain(view: &View<'_>, from: usize) -> Option<Host> {
    if view.at(from) == Some(b'[') {
        let end = literal(view, from)?;
        return Some(Host { start: from, end, labels: 0, first_end: end, last: from });
    }
    let mut host = Host { start: from, end: from, labels: 0, first_end: from, last: from };
    let mut labels = 0;
    let mut best = None;
    let mut i = from;
    loop {
        let (end, tld) = label(view, i);
        if end == i || end - from > DOMAIN_MAX {
            break;
        }
        labels += 1;
        // An ideographic stop parts labels of the host, but none of what is told by its labels.
        if host.labels == 0 || view.text[i - 1] == b'.' {
            (host.labels, host.last) = (host.labels + 1, i);
        }
        if labels >= 2 && tld > i {
            host.end = tld;
            best = Some(Host {
                first_end: if host.labels == 1 { tld } else { host.first_end },
                ..host
            });
        }
        if host.labels == 1 {
            host.first_end = end;
        }
        let stop = view.at(end);
        let dot = match stop {
            Some(b'.') => {
                follows(view, end + 1).is_some_and(|b| b.is_ascii_alphanumeric() || b >= 0x80)
            }
            Some(IDEOGRAPHIC_STOP) => {
                labels == 1 && follows(view, end + 1).is_some_and(|b| b.is_ascii_alphanumeric())
            }
            _ => false,
        };
        // Text glued behind a domain in another script is not followed by more of the domain, and
        // neither is a sentence: "example.com.Please".
        let glued =
            || labels >= 2 && tld > i && tld < end && view.at(tld).is_some_and(|b| b >= 0x80);
        if !dot || glued() || labels >= 2 && tld == end && sentence(view, i, end) {
            break;
        }
        i = end + 1;
    }
    best
}

/// The byte at `i`, or the next one if a line that goes on ends there.
pub(crate) fn follows(view: &View<'_>, i: usize) -> Option<u8> {
    view.at(i).filter(|b| *b != SOFT_BREAK).or_else(|| view.at(i + 1))
}

/// Whether what follows the label in small letters at `from..end` and its dot is a word with a
/// capital.
pub(crate) fn sentence(view: &View<'_>, from: usize, end: usize) -> bool {
    let next = &view.text[end + 1..view.text.len().min(end + 3)];
    matches!(next, [a, b] if a.is_ascii_uppercase() && b.is_ascii_lowercase())
        && view.text[from..end].iter().all(u8::is_ascii_lowercase)
}

/// The end of the label at `from`, and where it ends as a top-level domain (`from`, if it cannot be
/// one).
pub(crate) fn label(view: &View<'_>, from: usize) -> (usize, usize) {
    let rest = &view.text[from..];
    let letters = rest.iter().take_while(|b| is(**b, LETTER)).count();
    if letters == 0 && rest.first().is_none_or(|b| !b.is_ascii_digit() && *b != b'_') {
        return odd_label(view, from);
    }
    let len = letters + rest[letters..].iter().take_while(|b| is(**b, LABEL)).count();
    if rest.get(len).is_some_and(|b| *b >= 0x80 || *b == SOFT_BREAK) {
        return odd_label(view, from);
    }
    let len = len - rest[..len].iter().rev().take_while(|b| matches!(**b, b'-' | b'_')).count();
    let tld = match len {
        0 | 1 => 0,
        6.. if rest[..4].eq_ignore_ascii_case(b"xn--") => len,
        _ if (2..=63).contains(&letters) => letters.min(len),
        _ => 0,
    };
    (from + len, from + tld)
}

/// The same for one that is not ASCII alone, or that a soft end of a line parts.
pub(crate) fn odd_label(view: &View<'_>, from: usize) -> (usize, usize) {
    let mut i = from;
    let mut letters = None;
    let first_ascii = view.at(from).is_some_and(|b| b < 0x80);
    if first_ascii {
        while view.at(i).is_some_and(|b| b.is_ascii_alphabetic()) {
            i += 1;
        }
        letters = Some(i);
    }
    while let Some(b) = view.at(i) {
        if b < 0x80 {
            if b == SOFT_BREAK {
                // "jane@exam=⏎ple.com" goes on, "TO=jane@example.com=⏎next" does not.
                let known = |to: usize| tld::is_known(&view.text[from..to]);
                let word = view.text[i + 1..]
                    .iter()
                    .take(20)
                    .take_while(|b| b.is_ascii_alphabetic())
                    .count();
                if i > from && known(i) && view.before(from) == Some(b'.') && word != 2 {
                    break;
                }
                i += 1;
                continue;
            }
            if !(b.is_ascii_alphanumeric() || b == b'_' || b == b'-' && i > from) {
                break;
            }
            if !first_ascii
                && b.is_ascii_alphabetic()
                && view.char_before(i).is_some_and(is_unspaced)
            {
                break;
            }
            if letters.is_none() && !b.is_ascii_alphabetic() {
                letters = Some(i);
            }
            i += 1;
        } else {
            match view.char_at(i) {
                Some(c) if !(first_ascii && is_unspaced(c)) => i += c.len_utf8(),
                _ => break,
            }
        }
    }
    while i > from && matches!(view.at(i - 1), Some(b'-' | b'_')) {
        i -= 1;
    }
    let text = &view.text[from..i];
    let ace = text.len() > 5 && text[..4].eq_ignore_ascii_case(b"xn--");
    let tld = if ace {
        i
    } else if !first_ascii {
        // "пример.рф-030 901820"
        from + text
            .iter()
            .position(|b| b.is_ascii_digit() || matches!(b, b'-' | b'_'))
            .unwrap_or(text.len())
    } else {
        let end = letters.unwrap_or(i).min(i);
        // `ma\u{f1}ana`-like labels are letters too; a top-level domain of mixed scripts does not
        // exist.
        if end >= from + 2 && end - from <= 63 { end } else { from }
    };
    let tld = if !first_ascii && text.iter().all(u8::is_ascii_digit) { from } else { tld };
    (i, if text.len() < 2 { from } else { tld })
}

/// Letters of scripts that no address mixes with ASCII ones, and that are not taken for Latin
/// letters either: what stands in them before an ASCII address is the text's.
pub(crate) fn is_foreign(c: char) -> bool {
    matches!(
        c as u32,
        0x0590..=0x0DFF | 0x10A0..=0x10FF | 0x1200..=0x137F | 0xFB1D..=0xFDFF | 0xFE70..=0xFEFC
    )
}

/// `[192.0.2.1]` and `[IPv6:…]`.
pub(crate) fn literal(view: &View<'_>, from: usize) -> Option<usize> {
    let inside = &view.text[from + 1..view.text.len().min(from + 50)];
    let close = inside.iter().position(|b| *b == b']')?;
    let inside = &inside[..close];
    let v6 = inside.len() > 7 && inside[..5].eq_ignore_ascii_case(b"IPv6:");
    let v4 = inside.iter().filter(|b| **b == b'.').count() == 3
        && inside.iter().all(|b| b.is_ascii_digit() || *b == b'.')
        && inside.len() >= 7;
    (v4 || v6).then_some(from + close + 2)
}
