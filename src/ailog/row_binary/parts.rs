//! The parts of encoded values: texts, numbers, and the bytes that are still to be read.
//!
//! A leaf of this folder. Pure. Guarantees: any bytes give parts or [`NotARow`], never a panic, and
//! nothing is copied. Does not: know columns.

use std::borrow::Cow;

/// The bytes are not a row of the expected columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record does not hold a row of this schema")]
pub(crate) struct NotARow;

/// The bytes of a row that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread<'a>(pub(crate) &'a [u8]);

impl<'a> Unread<'a> {
    /// The number of entries of a value that holds several.
    pub(crate) fn count(&mut self) -> Result<u8, NotARow> {
        let [count] = self.array()?;
        if count < 0x80 { Ok(count) } else { Err(NotARow) }
    }

    /// The next bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], NotARow> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(NotARow)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next number.
    pub(crate) fn u64(&mut self) -> Result<u64, NotARow> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Whether an optional value is absent.
    pub(crate) fn is_null(&mut self) -> Result<bool, NotARow> {
        match self.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(NotARow),
        }
    }

    /// A text of a length that stands before it as LEB128.
    pub(crate) fn text(&mut self) -> Result<&'a [u8], NotARow> {
        let mut length = 0usize;
        for shift in (0..28).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                let (text, rest) = self.0.split_at_checked(length).ok_or(NotARow)?;
                self.0 = rest;
                return Ok(text);
            }
        }
        Err(NotARow)
    }
}

/// Appends at most `bytes_max` bytes of a text.
pub(crate) fn put_text_of(out: &mut Vec<u8>, value: &str, bytes_max: usize) {
    put_text(out, prefix(value, bytes_max));
}

/// Appends a text, its length before it as LEB128.
pub(crate) fn put_text(out: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    while length >= 0x80 {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(value.as_bytes());
}

/// Redacted bodies are text, but a provider may have sent any bytes.
pub(crate) fn valid_utf8(bytes: &[u8]) -> Cow<'_, str> {
    // The check alone is several times as fast as the repair.
    std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// The longest prefix of at most `bytes_max` bytes that ends between two characters.
pub(crate) fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
