//! Any server that speaks OpenAI's API: plain `chat/completions`, the form of the answer in the instructions alone.

use serde_json::{Value, json};

use super::super::prompt::Question;
use super::{Dialect, text_of};
use crate::provider::Wire;

/// Below the provider's base URL.
pub(super) const PATH: &str = "/chat/completions";

/// See the file.
pub(super) struct Compatible;

impl Dialect for Compatible {
    fn path(&self) -> &'static str {
        PATH
    }

    fn wire(&self) -> Wire {
        Wire::Chat
    }

    fn request(&self, question: &Question, instructions: &str, ticket: &str) -> Value {
        body(question, instructions, ticket)
    }

    fn text(&self, answer: &Value) -> String {
        text(answer)
    }
}

/// The first choice that says something.
pub(super) fn text(answer: &Value) -> String {
    let choices = answer["choices"].as_array().into_iter().flatten();
    choices.map(|choice| text_of(&choice["message"]["content"])).find(|text| !text.is_empty()).unwrap_or_default()
}

/// What every server of this kind understands.
pub(super) fn body(question: &Question, instructions: &str, ticket: &str) -> Value {
    json!({
        "model": question.model,
        "temperature": question.temperature,
        "messages": [{"role": "system", "content": instructions}, {"role": "user", "content": ticket}],
    })
}
