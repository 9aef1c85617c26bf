//! `data:` URLs (RFC 2397) inside text: an attachment in disguise. Only the head is found here; the data after it may be
//! of any length and is taken by the caller.

use super::View;

/// Finds the head of a `data:` URL whose colon is at `colon`: where it begins, where its data begin, and whether they
/// are base64.
pub(in crate::redact) fn find(view: &View<'_>, colon: usize) -> Option<(usize, usize, bool)> {
    let start = colon.checked_sub(4).filter(|s| *s >= view.lo)?;
    if !view.text[start..colon].eq_ignore_ascii_case(b"data") {
        return None;
    }
    if view.before(start).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let head = &view.text[colon + 1..view.text.len().min(colon + 1 + 200)];
    let sane = |b: &u8| b.is_ascii_alphanumeric() || b"!#$&-^_.+/;=%*'\"".contains(b);
    let comma = head.iter().take_while(|b| sane(b)).count();
    if head.get(comma) != Some(&b',') {
        return None;
    }
    let head = &head[..comma];
    let base64 = head.len() >= 7 && head[head.len() - 7..].eq_ignore_ascii_case(b";base64");
    let typed = head.iter().position(|b| *b == b'/').is_some_and(|i| i > 0) || head.first() == Some(&b';');
    (base64 || typed).then_some((start, colon + 1 + comma + 1, base64))
}
