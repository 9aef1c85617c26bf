//! Values as they are compared, and their digests.
//!
//! A leaf. Pure.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// A value as it is compared: without case; a number by its digits.
pub(crate) fn plain(value: &[u8]) -> Box<[u8]> {
    if value.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80) {
        value.trim_ascii().to_ascii_lowercase().into()
    } else {
        value.iter().copied().filter(u8::is_ascii_digit).collect()
    }
}

/// Tells one value from another.
pub(crate) fn digest(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    plain(value).hash(&mut hasher);
    hasher.finish()
}
