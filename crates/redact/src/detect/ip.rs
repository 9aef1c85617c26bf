//! Addresses of machines: IPv4 in dotted decimal, IPv6 in the forms of RFC 4291 §2.2.

use super::places::{DOT, digits};
use super::{Detector, Digits, Span, View, ends_escape, in_word};

/// Addresses of machines.
pub(crate) const DETECTOR: Detector = Detector {
    name: "ip",
    digits: Some(v4),
    places: &[digits(&[1, 2, 3], DOT)],
    colon: Some(v6),
    digits_min: 4,
};

fn word(b: Option<u8>) -> bool {
    b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An IPv4 address.
fn v4(at: &Digits<'_>) -> Option<Span> {
    let (view, q) = (at.view, at.q);
    if at.run > 3 || view.at(q + at.run) != Some(b'.') {
        return None;
    }
    let before = view.before(q);
    if before.is_some_and(|b| b.is_ascii_alphanumeric()) && !ends_escape(view, q)
        || before == Some(b'.')
        || before == Some(b'-') && q > view.lo + 1 && word(view.before(q - 1))
    {
        return None;
    }
    let mut i = q;
    for octet in 0..4 {
        if octet > 0 {
            if view.at(i) != Some(b'.') {
                return None;
            }
            i += 1;
        }
        let from = i;
        let mut value = 0u32;
        while let Some(b @ b'0'..=b'9') = view.at(i) {
            value = value * 10 + u32::from(b - b'0');
            i += 1;
            if i - from > 3 {
                return None;
            }
        }
        if i == from || value > 255 || i - from > 1 && view.text[from] == b'0' {
            return None;
        }
    }
    let more = in_word(view, q, i)
        || view.at(i) == Some(b'.') && view.at(i + 1).is_some_and(|b| b.is_ascii_digit());
    (!more).then_some((q, i))
}

/// An IPv6 address around the `:` at `at`, which is its first.
fn v6(view: &View<'_>, at: usize) -> Option<Span> {
    let mut start = at;
    while view.before(start).is_some_and(|b| b.is_ascii_hexdigit()) && at - start < 5 {
        start -= 1;
    }
    let before = view.before(start);
    let in_name = before.is_some_and(|b| b.is_ascii_alphanumeric()) && !ends_escape(view, start);
    if at - start > 4 || in_name || before == Some(b':') {
        return None;
    }
    // The byte after the first colon decides most of them.
    if !view.at(at + 1).is_some_and(|b| b.is_ascii_hexdigit() || b == b':') {
        return None;
    }
    let mut end = start;
    let (mut len, mut dotted, mut gap) = (0, false, false);
    while end - start < 46 {
        match view.at(end) {
            Some(b':') => {
                let double = end > start && view.text[end - 1] == b':';
                // A port is not of the address, and neither is a sentence's colon.
                let more = dotted && view.at(end + 1).is_some_and(|b| b.is_ascii_hexdigit());
                if more || double && std::mem::replace(&mut gap, true) {
                    return None;
                }
                len = 0;
            }
            Some(b'.') => (len, dotted) = (0, true),
            Some(b) if b.is_ascii_hexdigit() => {
                len += 1;
                if len > 4 {
                    return None;
                }
            }
            _ => break,
        }
        end += 1;
    }
    while end > start
        && (view.text[end - 1] == b'.'
            || view.text[end - 1] == b':' && !view.text[..end].ends_with(b"::"))
    {
        end -= 1;
    }
    if in_word(view, start, end) {
        return None;
    }
    let text = &view.text[start..end];
    // "::" is a token of programming languages, alone or between names.
    (is_v6(text) && text.iter().any(u8::is_ascii_digit)).then_some((start, end))
}

/// Whether the whole text, which consists of hexadecimal digits, colons and dots, is an IPv6
/// address that is not all zeros.
fn is_v6(text: &[u8]) -> bool {
    let (mut groups, mut len, mut gap, mut zero) = (0, 0, false, true);
    for (i, b) in text.iter().enumerate() {
        match b {
            b':' if i > 0 && text[i - 1] == b':' => {
                // One gap, and no third colon.
                if gap {
                    return false;
                }
                gap = true;
            }
            b':' if len > 0 => (groups, len) = (groups + 1, 0),
            // The first one is one of two.
            b':' if i == 0 && text.get(1) == Some(&b':') => {}
            b':' => return false,
            b'.' => return with_v4(text),
            _ => {
                len += 1;
                zero &= *b == b'0';
                if len > 4 {
                    return false;
                }
            }
        }
    }
    let ends_in_gap = text.ends_with(b"::");
    groups += usize::from(len > 0);
    !zero && (len > 0 || ends_in_gap) && if gap { groups < 8 } else { groups == 8 }
}

/// The same for one with an IPv4 address at its end, which is rare.
fn with_v4(text: &[u8]) -> bool {
    let address =
        std::str::from_utf8(text).ok().and_then(|text| text.parse::<std::net::Ipv6Addr>().ok());
    address.is_some_and(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_where_the_standard_library_says_so() {
        let parsed = |text: &str| {
            text.parse::<std::net::Ipv6Addr>().is_ok_and(|address| !address.is_unspecified())
        };
        let mut number = 0u64;
        for len in 1..=9 {
            for n in 0..4u64.pow(len) {
                let text: String =
                    (0..len).map(|i| [':', '0', '1', 'f'][(n >> (2 * i) & 3) as usize]).collect();
                assert_eq!(is_v6(text.as_bytes()), parsed(&text), "{text}");
            }
        }
        for _ in 0..200_000 {
            number = number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let parts = 5 + (number >> 60) as usize % 5;
            let part = |i: usize| {
                ["1:", ":", "0:", "ffff:", "12:", "a:", "10000:", "9"]
                    [(number >> (3 * i + 8) & 7) as usize]
            };
            let text: String = (0..parts).map(part).collect();
            for text in [&text[..], &text[..text.len() - 1]] {
                assert_eq!(is_v6(text.as_bytes()), parsed(text), "{text}");
            }
        }
        assert!(is_v6(b"::ffff:1.2.3.4") && !is_v6(b"::0.0.0.0") && !is_v6(b"1.2.3.4"));
    }
}
