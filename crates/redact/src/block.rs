//! Sixty-four bytes at once: one bit for each byte that belongs to a class.
//!
//! Pure. The comparisons are vector code on every machine, and the bits of sixteen bytes come out
//! with one instruction. Promise: bytes that are missing at the end of a text are 0. Does not: know
//! what the classes are good for.

use wide::{i8x16, u8x16};

/// Bytes of a block.
pub(crate) const LEN: usize = 64;

/// The bits of [`Block::special`] for the quarter of a block.
#[inline(always)]
pub(crate) fn special(bytes: &[u8; 16]) -> u32 {
    ends_plain(u8x16::new(*bytes)).to_bitmask()
}

/// Some bytes of a text, side by side.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block([u8x16; 4]);

impl Block {
    /// The block of `text` that begins at `at`.
    #[inline(always)]
    pub(crate) fn of(text: &[u8], at: usize) -> Block {
        match text[at..].first_chunk() {
            Some(whole) => Block::new(whole),
            None => {
                let mut padded = [0; LEN];
                let rest = &text[at..];
                padded[..rest.len()].copy_from_slice(rest);
                Block::new(&padded)
            }
        }
    }

    #[inline(always)]
    fn new(bytes: &[u8; LEN]) -> Block {
        let (parts, _) = bytes.as_chunks::<16>();
        Block([parts[0], parts[1], parts[2], parts[3]].map(u8x16::new))
    }

    /// The digits.
    #[inline(always)]
    pub(crate) fn digits(&self) -> u64 {
        self.bits(|v| within(v, b'0', b'9'))
    }

    /// `@`, `%` and `:`, where addresses and the like are looked for.
    #[inline(always)]
    pub(crate) fn marks(&self) -> u64 {
        self.bits(|v| is(v, b'@') | is(v, b'%') | is(v, b':'))
    }

    /// The bytes that may stand between two digits of one number: no other byte may, and some that
    /// may not are among them.
    #[inline(always)]
    pub(crate) fn in_number(&self) -> u64 {
        self.bits(|v| {
            let brackets = is(v | u8x16::splat(1), b')') | is(v, b'[') | is(v, b']');
            // The bytes of `ー`. 8 to 12: a long dash, a tab, new lines.
            let long_vowel = is(v, 0xE3) | is(v, 0x83) | is(v, 0xBC);
            within(v, b'-', b'9')
                | brackets
                | is(v, b' ')
                | within(v, 0x08, 0x0C)
                | is(v, b'+')
                | long_vowel
        })
    }

    /// ASCII letters.
    #[inline(always)]
    pub(crate) fn letters(&self) -> u64 {
        self.bits(|v| within(v | u8x16::splat(0x20), b'a', b'z'))
    }

    /// Capitals of ASCII.
    #[inline(always)]
    pub(crate) fn capitals(&self) -> u64 {
        self.bits(|v| within(v, b'A', b'Z'))
    }

    /// The first bytes of characters that are not ASCII, and the byte `other`.
    #[inline(always)]
    pub(crate) fn leads_or(&self, other: u8) -> u64 {
        self.bits(|v| within(v, 0xC0, 0xFF) | is(v, other))
    }

    /// These letters, in both cases.
    #[inline(always)]
    pub(crate) fn letters_of(&self, small: [u8; 3]) -> u64 {
        self.bits(|v| {
            let v = v | u8x16::splat(0x20);
            is(v, small[0]) | is(v, small[1]) | is(v, small[2])
        })
    }

    /// `+`
    #[inline(always)]
    pub(crate) fn pluses(&self) -> u64 {
        self.bits(|v| is(v, b'+'))
    }

    /// The bytes that end plain text in a JSON string: a quotation mark, a backslash, a control
    /// character, what is not ASCII.
    #[inline(always)]
    pub(crate) fn special(&self) -> u64 {
        self.bits(ends_plain)
    }

    /// Whether there is one of them.
    #[inline(always)]
    pub(crate) fn has_special(&self) -> bool {
        self.any(ends_plain)
    }

    /// Whether there may be a byte without which no match begins: a digit, one of
    /// [`Block::marks`], or an equals sign. Says yes for `;`, `<`, `>` and `?`, too.
    #[inline(always)]
    pub(crate) fn has_begin(&self) -> bool {
        // `0` becomes the least byte with a sign.
        let first = u8x16::splat(0x80 - b'0');
        self.any(|v| {
            less(v + first, (b'@' - b'0' + 1).wrapping_add(0x80).cast_signed()) | is(v, b'%')
        })
    }

    /// `-`, `.`, `,` and `:`: between two digits they make one number of both.
    #[inline(always)]
    pub(crate) fn joints(&self) -> u64 {
        self.bits(|v| within(v, b',', b'.') | is(v, b':'))
    }

    /// `,` and `:`, with which a field of a table may end.
    #[inline(always)]
    pub(crate) fn field_ends(&self) -> u64 {
        self.bits(|v| is(v, b',') | is(v, b':'))
    }

    #[inline(always)]
    fn any(&self, class: impl Fn(u8x16) -> u8x16) -> bool {
        let [a, b, c, d] = self.0.map(class);
        (a | b | c | d).to_bitmask() != 0
    }

    #[inline(always)]
    fn bits(&self, class: impl Fn(u8x16) -> u8x16) -> u64 {
        let [a, b, c, d] = self.0.map(|v| u64::from(class(v).to_bitmask()));
        a | b << 16 | c << 32 | d << 48
    }
}

/// The highest bit of each byte that ends plain text in a JSON string.
#[inline(always)]
fn ends_plain(v: u8x16) -> u8x16 {
    // Bytes that are not ASCII are less than 0.
    is(v, b'"') | is(v, b'\\') | less(v, 0x20)
}

/// The bytes that are less than `than`, both with a sign.
#[inline(always)]
fn less(v: u8x16, than: i8) -> u8x16 {
    let less = i8x16::new(v.to_array().map(u8::cast_signed)).simd_lt(i8x16::splat(than));
    u8x16::new(less.to_array().map(i8::cast_unsigned))
}

#[inline(always)]
fn is(v: u8x16, byte: u8) -> u8x16 {
    v.simd_eq(u8x16::splat(byte))
}

#[inline(always)]
fn within(v: u8x16, first: u8, last: u8) -> u8x16 {
    let from_first = v - u8x16::splat(first);
    from_first.min(u8x16::splat(last - first)).simd_eq(from_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_at_every_place_is_told_right() {
        for byte in 0..=255u8 {
            for len in [1, 15, 16, 63, 64, 65, 100] {
                for at in [0, len / 3, len / 2, len - 1] {
                    let mut text = vec![b'x'; len];
                    text[at] = byte;
                    let bit = if at < LEN { 1u64 << at } else { 0 };
                    let block = Block::of(&text, 0);
                    let expected = |class: bool| if class { bit } else { 0 };
                    assert_eq!(
                        block.digits(),
                        expected(byte.is_ascii_digit()),
                        "{byte} at {at} of {len}"
                    );
                    assert_eq!(
                        block.marks(),
                        expected(b"@%:".contains(&byte)),
                        "{byte} at {at} of {len}"
                    );
                    assert_eq!(
                        block.joints(),
                        expected(b"-.,:".contains(&byte)),
                        "{byte} at {at} of {len}"
                    );
                    let begin = matches!(byte, b'%' | b'0'..=b'@');
                    assert_eq!(block.has_begin(), begin && at < LEN, "{byte} at {at} of {len}");
                    // Bytes missing at the end are not told apart from control characters:
                    // callers ask whole blocks.
                    if len >= LEN {
                        let special = matches!(byte, b'"' | b'\\' | 0..=0x1F | 0x80..);
                        assert_eq!(block.special(), expected(special), "{byte} at {at} of {len}");
                        assert_eq!(block.has_special(), special && at < LEN);
                    }
                    assert_eq!(
                        block.letters() & bit,
                        expected(byte.is_ascii_alphabetic()),
                        "{byte}"
                    );
                    assert_eq!(
                        block.capitals() & bit,
                        expected(byte.is_ascii_uppercase()),
                        "{byte}"
                    );
                    assert_eq!(block.leads_or(4), expected(byte == 4 || byte >= 0xC0), "{byte}");
                    let of = matches!(byte, b'a' | b'A' | b'b' | b'B' | b'd' | b'D');
                    assert_eq!(block.letters_of(*b"abd") & bit, expected(of), "{byte}");
                    assert_eq!(block.pluses(), expected(byte == b'+'), "{byte} at {at} of {len}");
                    let number = (b'-'..=b'9').contains(&byte)
                        || b" ()[]+\x08\t\n\x0B\x0C".contains(&byte)
                        || "ー".as_bytes().contains(&byte);
                    assert_eq!(block.in_number(), expected(number), "{byte} at {at} of {len}");
                }
            }
        }
    }
}
