//! A question that the gateway itself writes, and the text of its answer, in any format.
//!
//! Pure. A question is plain: instructions and one message. Does not redact (the message has passed
//! the redactor before), send anything, or interpret the text.

use serde_json::Value;

/// A question with a text answer.
#[derive(Debug)]
pub struct TextRequest<'a> {
    /// The model.
    pub model: &'a str,
    /// 0 to 2; formats with a shorter scale cut it.
    pub temperature: f64,
    /// The system message.
    pub instructions: &'a str,
    /// The user message.
    pub message: &'a str,
    /// The bound on the answer, for formats that require one.
    pub output_tokens_max: u32,
    /// Name and JSON Schema of the answer, for models that take one (see
    /// [`TextExchange::takes_schema`](crate::TextExchange::takes_schema)).
    pub schema: Option<(&'static str, Value)>,
}

/// How a format writes such a question and reads its answer.
#[derive(Debug)]
pub(crate) struct TextForm {
    /// Whether a model takes a JSON Schema of its answer.
    pub(crate) takes_schema: fn(&str) -> bool,
    pub(crate) write: fn(&TextRequest<'_>) -> Value,
    /// The text of an answer; empty if there is none.
    pub(crate) read: fn(&[u8]) -> String,
}
