//! The receiver of a tokenizer's calls.

use crate::RedactError;

/// How the string that begins is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Tell its characters.
    Text,
    /// Check it, and tell only its end.
    Skip,
}

/// A value that is neither string nor container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
    /// Any number.
    Number,
}

/// A listener to a [`Tokenizer`](super::Tokenizer). Offsets count from the first byte of the body.
pub trait Sink {
    /// An object or array opens; `at` is its bracket.
    fn open(&mut self, object: bool, at: u64) -> Result<(), RedactError>;
    /// It closes; `at` is its bracket.
    fn close(&mut self, at: u64) -> Result<(), RedactError>;
    /// A string opens; `at` is its quotation mark.
    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError>;
    /// Characters of a string that are ASCII and not escaped. `whole`: they are all of it.
    fn plain(&mut self, text: &[u8], at: u64, whole: bool) -> Result<(), RedactError>;
    /// Characters of a string that are not ASCII.
    fn wide(&mut self, text: &str, at: u64) -> Result<(), RedactError>;
    /// One other character; nothing stands for half a surrogate pair.
    fn char(&mut self, c: Option<char>, from: u64, to: u64) -> Result<(), RedactError>;
    /// The string closes; `at` is its quotation mark.
    fn string_end(&mut self, at: u64) -> Result<(), RedactError>;
    /// A scalar begins. [`Take::Text`] asks for the characters of a number.
    fn scalar(&mut self, at: u64) -> Result<Take, RedactError>;
    /// The next character of a number.
    fn number(&mut self, _byte: u8) {}
    /// It ends before `to`.
    fn scalar_end(&mut self, scalar: Scalar, to: u64) -> Result<(), RedactError>;
}
