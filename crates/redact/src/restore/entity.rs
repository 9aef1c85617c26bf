//! References to characters in HTML, as far as they may hide a URL.

/// Stands for a character that was written as an escape and is neither a letter, a digit nor part
/// of how a URL begins.
pub(crate) const CODED: u8 = b'~';

/// The meaning of a code point to a reader of URLs. One that would end a URL does not do so when it
/// is escaped.
pub(crate) fn meaning(code: u32) -> u8 {
    match u8::try_from(code) {
        Ok(b) if b.is_ascii_alphanumeric() || b":/\\.?#+-@".contains(&b) => b,
        _ => CODED,
    }
}

/// The character that an HTML entity stands for, without `&` and `;`.
pub(crate) fn entity(name: &[u8]) -> u8 {
    let number = |digits: &[u8], radix| {
        std::str::from_utf8(digits)
            .ok()
            .and_then(|d| u32::from_str_radix(d, radix).ok())
            .map_or(CODED, meaning)
    };
    match name {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16),
        [b'#', digits @ ..] => number(digits, 10),
        b"colon" => b':',
        b"sol" => b'/',
        b"bsol" => b'\\',
        b"period" => b'.',
        b"quest" => b'?',
        b"num" => b'#',
        _ => CODED,
    }
}
