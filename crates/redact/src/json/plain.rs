//! How long a run of plain text in a string is.

use crate::block::{self, Block};

const LOW: u64 = 0x0101_0101_0101_0101;
/// Bytes that are looked at before whole blocks.
const SHORT: usize = 32;
const TOP: u64 = 0x8080_8080_8080_8080;

/// How many bytes from the start are ASCII, no control characters, no quotation mark and no
/// backslash.
#[inline]
pub(crate) fn plain_len(text: &[u8]) -> usize {
    let mut n = 0;
    // Many strings are shorter than a block.
    while n < SHORT
        && let Some(part) = text[n..].first_chunk()
    {
        match block::special(part) {
            0 => n += part.len(),
            special => return n + special.trailing_zeros() as usize,
        }
    }
    while text.len() - n >= block::LEN {
        let block = Block::of(text, n);
        if block.has_special() {
            return n + block.special().trailing_zeros() as usize;
        }
        n += block::LEN;
    }
    for word in text[n..].as_chunks::<8>().0 {
        match special(*word) {
            0 => {}
            hit => return n + (hit.trailing_zeros() / 8) as usize,
        }
        n += 8;
    }
    n + text[n..].iter().take_while(|b| is_plain(**b)).count()
}

#[inline(always)]
pub(crate) fn is_plain(b: u8) -> bool {
    !matches!(b, b'"' | b'\\' | 0..=0x1F | 0x80..)
}

/// The highest bit of each byte that ends plain text. The lowest one is exact; others may be
/// borrowed.
#[inline(always)]
pub(crate) fn special(word: [u8; 8]) -> u64 {
    let w = u64::from_le_bytes(word);
    let quote = w ^ (LOW * b'"' as u64);
    let slash = w ^ (LOW * b'\\' as u64);
    (quote.wrapping_sub(LOW) & !quote
        | slash.wrapping_sub(LOW) & !slash
        | w.wrapping_sub(LOW * 0x20) & !w
        | w)
        & TOP
}
