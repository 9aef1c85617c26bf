//! Signatures under thinking, as opaque to a caller as those of the real providers.
//!
//! Guarantees: a signature that this program made is known again with its text, and no other is.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use super::vector::digest;

/// The signature of a text by one maker of models.
pub(crate) fn sign(maker: &str, text: &str) -> String {
    BASE64_STANDARD.encode(format!("{maker}/{:016x}", digest(&[maker, text].concat())))
}

/// Whether this is the signature of the text.
pub(crate) fn is_of(signature: &str, maker: &str, text: &str) -> bool {
    signature == sign(maker, text)
}
