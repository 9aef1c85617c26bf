//! Percent signs that stand for characters outside ASCII: "m%C3%BCller".
//!
//! Promise: one look at text that is here and byte by byte as it comes give the same. What is no
//! UTF-8 stands for itself. Does not: know which text is a URL.
//!
//! Source: RFC 3986 §2.5.

/// The character that begins a text and is not ASCII, with its first byte, `lead`, and its length.
pub(crate) fn wide(text: &[u8], lead: u8) -> Option<(char, usize)> {
    let (mut utf8, len) = ([0; 4], utf8_len(lead));
    for (byte, code) in utf8.iter_mut().zip(text.as_chunks::<3>().0).take(len) {
        let (b'%', Some(high), Some(low)) = (code[0], hex(code[1]), hex(code[2])) else {
            return None;
        };
        *byte = high << 4 | low;
    }
    let c = std::str::from_utf8(&utf8[..len]).ok()?.chars().next()?;
    // Bytes that have not come count as 0.
    (c.len_utf8() == len).then_some((c, 3 * len))
}

/// The bytes of the character that begins with `lead` and is not ASCII; 0 if none does.
pub(crate) fn utf8_len(lead: u8) -> usize {
    match lead {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => 0,
    }
}

#[inline]
pub(crate) fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).map(|v| v as u8)
}
