//! `data:` URLs (RFC 2397) inside text: an attachment in disguise. Only the head is found here; the
//! data after it may be of any length and is taken by the caller.

use super::View;

/// The rest of a `data:` URL after the part that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    Base64,
    Text,
    /// More of a head that is longer than what may be looked at.
    Head,
}

/// Finds the head of a `data:` URL whose colon is at `colon`: where it begins, where it ends, and
/// what comes then.
pub(crate) fn find(view: &View<'_>, colon: usize) -> Option<(usize, usize, Rest)> {
    let start = colon.checked_sub(4).filter(|s| *s >= view.lo)?;
    if !view.text[start..colon].eq_ignore_ascii_case(b"data") {
        return None;
    }
    if view.before(start).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let head = &view.text[colon + 1..];
    // A space beside a semicolon is read over, too: "data:image/png; base64,…".
    let parameter = |i: usize| i > 0 && (head[i - 1] == b';' || head.get(i + 1) == Some(&b';'));
    let comma = (0..head.len())
        .find(|i| !(is_head(head[*i]) || head[*i] == b' ' && parameter(*i)))
        .unwrap_or(head.len());
    let typed = |head: &[u8]| {
        head.iter().position(|b| *b == b'/').is_some_and(|i| i > 0) || head.first() == Some(&b';')
    };
    if comma == head.len() {
        // No text but a head is that long; what is looked at ends here.
        let long = comma >= super::AHEAD - 8 && typed(head) && head.contains(&b';');
        return long.then_some((start, colon + 1 + comma, Rest::Head));
    }
    if head[comma] != b',' {
        return None;
    }
    let (head, data) = (&head[..comma], &head[comma + 1..]);
    let base64 = is_base64_mark(head.trim_ascii_end());
    // "data:text/plain," in a program: nothing follows that could be data.
    let data = if base64 { data.trim_ascii_start() } else { data };
    let is_empty = data.first().is_none_or(|b| *b <= b' ' || b"\"'`)\\".contains(b));
    (!is_empty && (base64 || typed(head))).then_some((
        start,
        colon + 1 + comma + 1,
        if base64 { Rest::Base64 } else { Rest::Text },
    ))
}

/// Whether `b` may stand in the head.
pub(crate) fn is_head(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$&-^_.+/;=%*'\"".contains(&b)
}

/// Whether a head ends with the mark of base64.
pub(crate) fn is_base64_mark(head: &[u8]) -> bool {
    let Some((rest, mark)) = head.len().checked_sub(6).map(|i| head.split_at(i)) else {
        return false;
    };
    mark.eq_ignore_ascii_case(b"base64") && rest.trim_ascii_end().ends_with(b";")
}
