//! Vectors: their length, and their form in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How far from 1 the square of a length may be to count as 1.
const TOLERANCE: f64 = 1e-4;

/// Brings a vector to the length 1. One that has it, or has none at all, stays as it is.
///
/// Returns whether it has changed.
pub(crate) fn normalise(vector: &mut [f64]) -> bool {
    let square: f64 = vector.iter().map(|value| value * value).sum();
    if (square - 1.0).abs() <= TOLERANCE || !(square.is_finite() && square > 0.0) {
        return false;
    }
    let length = square.sqrt();
    vector.iter_mut().for_each(|value| *value /= length);
    true
}

/// The base64 of the vector as 32-bit floats, least significant byte first.
pub(crate) fn base64(vector: &[f64]) -> String {
    let mut bytes = Vec::with_capacity(vector.len() * 4);
    for value in vector {
        #[expect(clippy::cast_possible_truncation, reason = "the form has 32 bits")]
        let value = *value as f32;
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    STANDARD.encode(bytes)
}
