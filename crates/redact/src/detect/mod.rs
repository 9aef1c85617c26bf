//! Detectors: each finds one kind of personal data in folded text, around a trigger byte.
//!
//! Pure. Promise: what a detector says of a place depends only on the `BEHIND` bytes before it and
//! the `AHEAD` bytes after it; the caller cuts the text there, so that nothing else can be seen,
//! and so a text cut into pieces anywhere gives the same matches as the whole.

pub(crate) mod card;
pub(crate) mod data_url;
pub(crate) mod email;
pub(crate) mod ip;
pub(crate) mod phone;
pub(crate) mod secret;
mod tld;
pub(crate) mod words;

/// How far behind its trigger a detector may look, in folded bytes: a local part of 64 characters
/// of up to four bytes.
pub(crate) const BEHIND: usize = 256;
/// How far after its trigger a detector may look: a domain of 253 characters (RFC 5321 §4.5.3.1.2),
/// a phone number with its local part to come.
pub(crate) const AHEAD: usize = 512;

/// The text a detector may look at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Folded text, cut at the right.
    pub(crate) text: &'a [u8],
    /// Nothing before it may be looked at; a match begins here at the earliest.
    pub(crate) lo: usize,
}

impl View<'_> {
    /// The byte before `i`, if it may be looked at.
    pub(crate) fn before(&self, i: usize) -> Option<u8> {
        if i > self.lo { self.text.get(i - 1).copied() } else { None }
    }

    /// The byte at `i`.
    pub(crate) fn at(&self, i: usize) -> Option<u8> {
        self.text.get(i).copied()
    }

    /// The character that ends before `i`, if it may be looked at whole.
    pub(crate) fn char_before(&self, i: usize) -> Option<char> {
        let lo = self.lo.max(i.saturating_sub(4));
        let bytes = self.text.get(lo..i)?;
        let start = bytes.iter().rposition(|b| b & 0xC0 != 0x80)?;
        std::str::from_utf8(&bytes[start..]).ok()?.chars().next_back()
    }

    /// The character that begins at `i`.
    pub(crate) fn char_at(&self, i: usize) -> Option<char> {
        let bytes = self.text.get(i..self.text.len().min(i + 4))?;
        let end = (1..bytes.len()).find(|&k| bytes[k] & 0xC0 != 0x80).unwrap_or(bytes.len());
        std::str::from_utf8(&bytes[..end]).ok()?.chars().next()
    }
}
