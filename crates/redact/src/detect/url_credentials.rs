//! The user and the password in a URL: `scheme://user:password@host`.
//!
//! Source: RFC 3986 §3.2.1. The host stays. Not a password that is a variable or a placeholder.

use super::{Detector, Span, View};

/// Users with passwords in URLs.
pub(crate) const DETECTOR: Detector =
    Detector { name: "url_credentials", colon: Some(find), ..Detector::NEW };

/// Longest user and password that are found, in bytes.
const LEN_MAX: usize = 250;

fn find(view: &View<'_>, colon: usize) -> Option<Span> {
    let start = colon + 3;
    if view.text.get(colon..start)? != b"://"
        || !view.before(colon).is_some_and(|b| b.is_ascii_alphanumeric())
    {
        return None;
    }
    let rest = &view.text[start..view.text.len().min(start + LEN_MAX)];
    let ends = |b: &u8| *b <= b' ' || *b >= 0x7F || b"/?#\\\"'`<>(){}[],|@".contains(b);
    let len = rest.iter().position(ends).filter(|len| rest[*len] == b'@')?;
    let password = memchr::memchr(b':', &rest[..len]).map(|i| &rest[i + 1..len])?;
    let variable = matches!(password.first(), None | Some(b'$' | b'*' | b'%'))
        || password.iter().all(|b| b.eq_ignore_ascii_case(&b'x') || *b == b'.');
    // A host has to follow.
    let host = rest.get(len + 1).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'[');
    (!variable && host).then_some((start, start + len))
}

#[cfg(test)]
#[test]
fn passwords_in_urls() {
    super::shape::check(
        "url_credentials",
        &[
            "postgres://«app:s3cret»@db.internal:5432/x and https://«jane:pa55%21»@example.com/a.",
            "redis://«:hunter2»@localhost",
            "https://jane@example.com ssh://git@host:22/x http://host:80/a@b",
            "mysql://root:$PASSWORD@db postgres://u:***@h ftp://u:xxx@h x://u:{p}@h",
            "at 12:30 ://a:b@c",
        ],
    );
}
