//! Errors: those that a provider reports, and the one that ends a stream which has begun.
//!
//! Pure. An error body is read without regard to its format, because servers mix them. How a
//! failure is written into a stream is part of each format ([`crate::Format::error_event`]).

use std::borrow::Cow;

use crate::lenient::{Lenient, Text};

/// A failure to be reported in a stream.
#[derive(Clone, Copy, Debug)]
pub struct StreamFailure<'a> {
    /// `error.code`: `provider_unavailable`.
    pub code: &'a str,
    /// OpenAI's `error.type`: `service_unavailable_error`.
    pub kind: &'a str,
    /// The message for the client.
    pub message: &'a str,
    /// The number of the event, for formats that number them.
    pub sequence_number: u64,
}

/// The parts of a provider's error that decide what to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorFacts {
    /// `error.code`; empty if it is missing.
    pub code: String,
    /// `error.type`; empty if it is missing.
    pub kind: String,
}

impl ErrorFacts {
    /// Reads an error body; an unfamiliar one has empty fields.
    ///
    /// ```
    /// use tollgate_wire::ErrorFacts;
    /// let facts = ErrorFacts::read(br#"{"type":"error","error":{"type":"overloaded_error"}}"#);
    /// assert_eq!(facts.kind, "overloaded_error");
    /// ```
    pub fn read(answer: &[u8]) -> ErrorFacts {
        #[derive(serde::Deserialize)]
        struct Body<'a> {
            #[serde(borrow, default)]
            error: Lenient<Inner<'a>>,
        }
        #[derive(serde::Deserialize)]
        struct Inner<'a> {
            #[serde(borrow, default)]
            code: Text<'a>,
            #[serde(borrow, default, rename = "type")]
            kind: Text<'a>,
        }
        let Ok(Body { error: Lenient(Some(inner)) }) = serde_json::from_slice(answer) else {
            return ErrorFacts::default();
        };
        let text = |text: Text<'_>| text.0.map(Cow::into_owned).unwrap_or_default();
        ErrorFacts { code: text(inner.code), kind: text(inner.kind) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_read_if_they_look_like_one() {
        let facts = ErrorFacts::read(
            br#"{"error":{"message":"m","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
        );
        assert_eq!(
            (facts.code.as_str(), facts.kind.as_str()),
            ("insufficient_quota", "insufficient_quota")
        );
        for odd in [&b"{}"[..], b"{\"error\":\"x\"}", b"{\"error\":{\"code\":42}}", b"nope", b""] {
            assert_eq!(ErrorFacts::read(odd), ErrorFacts::default());
        }
    }
}
