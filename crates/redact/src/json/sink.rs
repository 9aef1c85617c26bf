//! The receiver of a tokenizer's calls.

use super::short;
use crate::RedactError;

/// Tells plain text and escapes one by one.
pub(crate) fn tell_apart(
    sink: &mut (impl Sink + ?Sized),
    raw: &[u8],
    escapes: &[usize],
    at: u64,
) -> Result<(), RedactError> {
    let mut from = 0;
    for &escape in escapes {
        if escape > from {
            sink.plain(&raw[from..escape], at + from as u64, false)?;
        }
        from = escape + 2;
        sink.char(short(raw[escape + 1]), at + escape as u64, at + from as u64)?;
    }
    if from < raw.len() { sink.plain(&raw[from..], at + from as u64, false) } else { Ok(()) }
}

/// Tells the parts of a key.
pub(crate) fn tell_key(
    sink: &mut (impl Sink + ?Sized),
    name: &[u8],
    at: u64,
) -> Result<(), RedactError> {
    let take = sink.string(true, at)?;
    if take == Take::Text && !name.is_empty() {
        sink.plain(name, at + 1, true)?;
    }
    sink.string_end(at + 1 + name.len() as u64)
}

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
    /// A key that is ASCII without escapes and lies in one piece; `at` is its first quotation mark.
    /// Has to do what the calls for its parts would do.
    fn key(&mut self, name: &[u8], at: u64) -> Result<(), RedactError> {
        tell_key(self, name, at)
    }
    /// A string opens; `at` is its quotation mark.
    fn string(&mut self, key: bool, at: u64) -> Result<Take, RedactError>;
    /// Characters of a string that are ASCII and not escaped. `whole`: they are all of it.
    fn plain(&mut self, text: &[u8], at: u64, whole: bool) -> Result<(), RedactError>;
    /// The same with escapes of one character in it: where their backslashes are in `raw`. At least
    /// one; nothing else is escaped.
    fn escaped(&mut self, raw: &[u8], escapes: &[usize], at: u64) -> Result<(), RedactError> {
        tell_apart(self, raw, escapes, at)
    }
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
