//! The grammar of a JSON number (RFC 8259, section 6), byte by byte.
//!
//! A leaf. Pure.

/// Where in a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digits {
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    E,
    ESign,
    Exponent,
}

impl Digits {
    /// The place after the first byte of a number; nothing if no number begins so.
    pub(crate) fn first(byte: u8) -> Option<Digits> {
        match byte {
            b'-' => Some(Digits::Minus),
            b'0' => Some(Digits::Zero),
            b'1'..=b'9' => Some(Digits::Integer),
            _ => None,
        }
    }

    /// The next place, or nothing if `byte` is no part of the number.
    pub(crate) fn next(self, byte: u8) -> Option<Digits> {
        use Digits::*;
        Some(match (self, byte) {
            (Minus, b'0') => Zero,
            (Minus, b'1'..=b'9') | (Integer, b'0'..=b'9') => Integer,
            (Zero | Integer, b'.') => Point,
            (Point | Fraction, b'0'..=b'9') => Fraction,
            (Zero | Integer | Fraction, b'e' | b'E') => E,
            (E, b'+' | b'-') => ESign,
            (E | ESign | Exponent, b'0'..=b'9') => Exponent,
            _ => return None,
        })
    }

    /// Whether the number may end here.
    pub(crate) fn may_end(self) -> bool {
        matches!(self, Digits::Zero | Digits::Integer | Digits::Fraction | Digits::Exponent)
    }
}
