//! A question that the gateway itself writes, and the text of its answer, in any format.
//!
//! Pure. A question is plain: instructions and one message. Does not redact (the message has passed
//! the redactor before), send anything, or interpret the text.

use serde_json::Value;

use crate::format::Format;

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
    /// [`TextExchange::takes_schema`]).
    pub schema: Option<(&'static str, Value)>,
}

/// How a format writes such a question and reads its answer.
#[derive(Debug)]
pub struct TextExchange {
    /// The format of request and answer.
    pub format: Format,
    pub(crate) takes_schema: fn(&str) -> bool,
    pub(crate) write: fn(&TextRequest<'_>) -> Value,
    pub(crate) read: fn(&[u8]) -> String,
}

impl TextExchange {
    /// The path below the provider's base URL.
    pub fn path(&self) -> &'static str {
        self.format.routes().first().map_or("/", |route| route.path())
    }

    /// Whether the model takes a JSON Schema of its answer.
    pub fn takes_schema(&self, model: &str) -> bool {
        (self.takes_schema)(model)
    }

    /// The request body.
    pub fn request(&self, request: &TextRequest<'_>) -> Value {
        (self.write)(request)
    }

    /// The text that the model has written in a whole JSON answer; empty if there is none. Keeps
    /// nothing else of it.
    pub fn text(&self, answer: &[u8]) -> String {
        (self.read)(answer)
    }
}
