//! Addresses of machines: IPv4 in dotted decimal, IPv6 in the forms of RFC 4291 §2.2.

use super::View;

fn word(b: Option<u8>) -> bool {
    b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An IPv4 address whose first digit is at `q`.
pub(in crate::redact) fn v4(view: &View<'_>, q: usize) -> Option<(usize, usize)> {
    let before = view.before(q);
    if word(before) || before == Some(b'.') || before == Some(b'-') && q > view.lo + 1 && word(view.before(q - 1)) {
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
    let more = word(view.at(i)) || view.at(i) == Some(b'.') && view.at(i + 1).is_some_and(|b| b.is_ascii_digit());
    (!more).then_some((q, i))
}

/// An IPv6 address around the `:` at `at`, which is its first.
pub(in crate::redact) fn v6(view: &View<'_>, at: usize) -> Option<(usize, usize)> {
    let mut start = at;
    while view.before(start).is_some_and(|b| b.is_ascii_hexdigit()) && at - start < 5 {
        start -= 1;
    }
    if at - start > 4 || word(view.before(start)) || view.before(start) == Some(b':') {
        return None;
    }
    let mut end = start;
    while end - start < 46 && view.at(end).is_some_and(|b| b.is_ascii_hexdigit() || b == b':' || b == b'.') {
        end += 1;
    }
    while end > start
        && (view.text[end - 1] == b'.' || view.text[end - 1] == b':' && !view.text[..end].ends_with(b"::"))
    {
        end -= 1;
    }
    if word(view.at(end)) {
        return None;
    }
    let text = std::str::from_utf8(&view.text[start..end]).ok()?;
    let address: std::net::Ipv6Addr = text.parse().ok()?;
    // "::" is a token of programming languages, alone or between names.
    (!address.is_unspecified() && text.bytes().any(|b| b.is_ascii_digit())).then_some((start, end))
}
