//! Errors of a provider, in the caller's words; and answers that cannot be carried.
//!
//! Each format reads its provider's error bodies (`read_error` in its table) and writes the
//! caller's (`write_error`). The status stays, and the message; names of fields do not, unless they
//! are the caller's. Does not decide on retries.

use crate::format::Format;
use crate::lenient::{Lenient, Text};

use super::json::JsonObject;

/// Bytes of a provider's message that are shown.
const MESSAGE_BYTES_MAX: usize = 8 << 10;
/// Bytes of a provider's code that are shown.
const CODE_BYTES_MAX: usize = 64;

/// An error that a provider reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// The HTTP status; of an error inside a stream, the status that it would have had.
    pub status: u16,
    /// The provider's own word in snake case: `resource_exhausted`; empty if there is none.
    pub code: String,
    /// The message; empty if there is none.
    pub message: String,
    /// How long to wait before another attempt, where only the body says so. In milliseconds.
    pub retry_after_ms: Option<u64>,
    /// Waiting does not help: a quota per day.
    pub is_final: bool,
}

/// An answer that cannot be read or carried: `provider_answer_invalid`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Why, in a sentence without text of the answer.
    pub reason: &'static str,
}

impl Invalid {
    /// An answer that is not one, for this reason.
    pub const fn new(reason: &'static str) -> Invalid {
        Invalid { reason }
    }
}

impl ProviderError {
    /// An error with this status and message; both are cut to what is shown.
    pub fn new(status: u16, code: &str, message: &str) -> ProviderError {
        let cut = |text: &str, most: usize| text[..text.floor_char_boundary(most)].to_owned();
        ProviderError {
            status,
            code: snake_case(&cut(code, CODE_BYTES_MAX)),
            message: cut(message, MESSAGE_BYTES_MAX),
            retry_after_ms: None,
            is_final: false,
        }
    }

    /// The message, or a sentence in its place.
    pub fn shown_message(&self) -> &str {
        if self.message.is_empty() { "the provider reported an error" } else { &self.message }
    }
}

/// Reads `{"error": {"message", "type", "code"}}` of OpenAI and Anthropic, `{"message"}`, and plain
/// strings in place of either; Google's `status` is taken for the code.
pub fn read_error(status: u16, body: &[u8]) -> ProviderError {
    #[derive(Default, serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow, default)]
        error: Inner<'a>,
        #[serde(borrow, default)]
        message: Text<'a>,
    }
    let body = serde_json::from_slice::<Lenient<Body<'_>>>(body).ok().and_then(|body| body.0);
    let Some(body) = body else { return ProviderError::new(status, "", "") };
    let text = |text: &Text<'_>| text.0.as_deref().unwrap_or_default().to_owned();
    let inner = body.error;
    let code = [&inner.code, &inner.status, &inner.kind].map(text);
    let code = code.into_iter().find(|code| !code.is_empty()).unwrap_or_default();
    let message = [&inner.message, &body.message].map(text);
    let message = message.into_iter().find(|message| !message.is_empty()).unwrap_or_default();
    ProviderError::new(status, &code, &message)
}

/// The object under `error`, or a string in its place.
#[derive(Default)]
struct Inner<'a> {
    code: Text<'a>,
    kind: Text<'a>,
    status: Text<'a>,
    message: Text<'a>,
}

impl<'de: 'a, 'a> serde::Deserialize<'de> for Inner<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Inner<'a>, D::Error> {
        #[derive(serde::Deserialize)]
        struct Object<'a> {
            #[serde(borrow, default)]
            code: Text<'a>,
            #[serde(borrow, default, rename = "type")]
            kind: Text<'a>,
            #[serde(borrow, default)]
            status: Text<'a>,
            #[serde(borrow, default)]
            message: Text<'a>,
        }
        let raw = <&'de serde_json::value::RawValue>::deserialize(from)?.get();
        if let Ok(Lenient(Some(object))) = serde_json::from_str::<Lenient<Object<'a>>>(raw) {
            let Object { code, kind, status, message } = object;
            return Ok(Inner { code, kind, status, message });
        }
        let message = serde_json::from_str::<Text<'a>>(raw).unwrap_or_default();
        Ok(Inner { message, ..Inner::default() })
    }
}

/// `RESOURCE_EXHAUSTED` and `ThrottlingException` as `resource_exhausted` and
/// `throttling_exception`. Characters that are in no such word are left out.
pub fn snake_case(word: &str) -> String {
    let has_small = word.bytes().any(|byte| byte.is_ascii_lowercase());
    let mut snake = String::with_capacity(word.len() + 4);
    for c in word.chars() {
        if c.is_ascii_uppercase() && has_small && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') {
            snake.push(c.to_ascii_lowercase());
        }
    }
    snake
}

/// `error.type` for callers of OpenAI's formats.
pub const fn openai_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        408 | 424 | 500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// `error.type` for callers of Anthropic's format.
pub const fn anthropic_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        408 | 504 => "timeout_error",
        503 | 529 => "overloaded_error",
        424 | 500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// An error body in OpenAI's shape.
pub(crate) fn write_openai(error: &ProviderError, out: &mut Vec<u8>) {
    let mut body = JsonObject::new(out);
    openai_object(error, &mut body.object("error"));
}

/// The fields of OpenAI's `error`.
pub(crate) fn openai_object(error: &ProviderError, object: &mut JsonObject<'_>) {
    object.str("message", error.shown_message());
    object.str("type", openai_type(error.status));
    object.null("param");
    match (error.status, error.code.as_str()) {
        (529, _) => object.str("code", "overloaded"),
        (_, "") => object.null("code"),
        (_, code) => object.str("code", code),
    }
}

/// An error body in Anthropic's shape.
pub(crate) fn write_anthropic(error: &ProviderError, out: &mut Vec<u8>) {
    let mut body = JsonObject::new(out);
    body.str("type", "error");
    let mut object = body.object("error");
    object.str("type", anthropic_type(error.status));
    object.str("message", error.shown_message());
}

/// The status of an error inside a stream, by its type or code.
pub fn status_of_word(word: &str) -> u16 {
    match word {
        "invalid_request_error" | "validation_exception" | "invalid_argument" => 400,
        "authentication_error" => 401,
        "billing_error" | "insufficient_quota" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" | "rate_limit_exceeded" | "throttling_exception" => 429,
        "timeout_error" => 504,
        "overloaded_error" | "overloaded" => 529,
        "service_unavailable_exception" | "service_unavailable_error" | "unavailable" => 503,
        _ => 500,
    }
}

/// The body of a provider's error for a caller of this format.
///
/// ```
/// use tollgate_wire::Format;
/// use tollgate_wire::translate::error::{ProviderError, body};
/// let error = ProviderError::new(529, "overloaded_error", "Overloaded");
/// let expected = br#"{"error":{"message":"Overloaded","type":"server_error","param":null,"code":"overloaded"}}"#;
/// assert_eq!(body(Format::OpenAiChat, &error), expected);
/// ```
pub fn body(caller: Format, error: &ProviderError) -> Vec<u8> {
    let mut out = Vec::new();
    match caller {
        Format::AnthropicMessages => write_anthropic(error, &mut out),
        _ => write_openai(error, &mut out),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_bodies_of_all_kinds() {
        for (body, code, message) in [
            (
                r#"{"error":{"message":"m","type":"invalid_request_error","param":"x","code":"context_length_exceeded"}}"#,
                "context_length_exceeded",
                "m",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"m"},"request_id":"r"}"#,
                "overloaded_error",
                "m",
            ),
            (
                r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}"#,
                "resource_exhausted",
                "m",
            ),
            (r#"{"message":"m"}"#, "", "m"),
            (r#"{"error":"m"}"#, "", "m"),
            (r#"{"error":null,"message":7}"#, "", ""),
            ("<html>", "", ""),
            ("[]", "", ""),
        ] {
            let error = read_error(400, body.as_bytes());
            assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{body}");
        }
    }

    #[test]
    fn words_in_snake_case() {
        for (word, expected) in [
            ("RESOURCE_EXHAUSTED", "resource_exhausted"),
            ("ThrottlingException", "throttling_exception"),
            ("modelStreamErrorException", "model_stream_error_exception"),
            ("overloaded_error", "overloaded_error"),
            ("a b\"\n", "ab"),
        ] {
            assert_eq!(snake_case(word), expected);
        }
    }

    #[test]
    fn long_texts_are_cut_at_a_character() {
        let error = ProviderError::new(500, &"é".repeat(1000), &"é".repeat(100_000));
        assert_eq!(error.message.len(), MESSAGE_BYTES_MAX);
        assert!(error.code.len() <= CODE_BYTES_MAX);
    }

    #[test]
    fn each_status_has_a_type_of_the_callers_format() {
        for (status, openai, anthropic) in [
            (400, "invalid_request_error", "invalid_request_error"),
            (422, "invalid_request_error", "invalid_request_error"),
            (401, "authentication_error", "authentication_error"),
            (402, "insufficient_quota", "billing_error"),
            (403, "permission_error", "permission_error"),
            (404, "invalid_request_error", "not_found_error"),
            (413, "invalid_request_error", "request_too_large"),
            (429, "rate_limit_error", "rate_limit_error"),
            (408, "server_error", "timeout_error"),
            (504, "server_error", "timeout_error"),
            (503, "server_error", "overloaded_error"),
            (529, "server_error", "overloaded_error"),
            (500, "server_error", "api_error"),
            (424, "server_error", "api_error"),
        ] {
            assert_eq!(
                (openai_type(status), anthropic_type(status)),
                (openai, anthropic),
                "{status}"
            );
        }
    }
}
