//! The escapes of JSON strings, decoded.
//!
//! A leaf. Pure. Does not: accept what is no escape.

/// An escape at the beginning of a text.
pub(crate) enum Escape {
    /// It stands for this character, and is so long.
    Char(char, usize),
    /// It is half a pair.
    Half,
}

/// Reads the escape at the beginning of `text`; `None` if the escape is wrong or incomplete.
pub(crate) fn escape(text: &[u8]) -> Option<Escape> {
    let simple = |c| Some(Escape::Char(c, 2));
    match text.get(1)? {
        b'n' => simple('\n'),
        b't' => simple('\t'),
        b'r' => simple('\r'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        other @ (b'"' | b'\\' | b'/') => simple(char::from(*other)),
        b'u' => {
            let first = unit(text)?;
            if let Some(c) = char::from_u32(first) {
                return Some(Escape::Char(c, 6));
            }
            let second = text[6..].strip_prefix(b"\\u").and_then(|_| unit(&text[6..]));
            let second = second.filter(|second| (0xDC00..0xE000).contains(second));
            let pair = second.filter(|_| first < 0xDC00).and_then(|second| {
                char::from_u32(0x10000 + ((first & 0x3FF) << 10) + (second & 0x3FF))
            });
            Some(pair.map_or(Escape::Half, |c| Escape::Char(c, 12)))
        }
        _ => None,
    }
}

/// The four hex digits behind `\u`.
fn unit(text: &[u8]) -> Option<u32> {
    text.get(2..6)?
        .iter()
        .try_fold(0, |unit, digit| char::from(*digit).to_digit(16).map(|digit| unit << 4 | digit))
}

/// Appends the content of a string to `out`, decoded. Half a pair becomes the replacement character.
pub(crate) fn append(out: &mut Vec<u8>, content: &[u8]) {
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let (c, len) = match escape(rest) {
            Some(Escape::Char(c, len)) => (c, len),
            Some(Escape::Half) => (char::REPLACEMENT_CHARACTER, 6),
            None => (char::REPLACEMENT_CHARACTER, 1),
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[len..];
    }
    out.extend_from_slice(rest);
}
