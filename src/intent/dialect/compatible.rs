//! Any server that speaks OpenAI's API: plain `chat/completions`, the form of the answer in the instructions alone.

use serde_json::{Value, json};

use super::super::prompt::Question;
use super::Dialect;
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
}

/// What every server of this kind understands.
pub(super) fn body(question: &Question, instructions: &str, ticket: &str) -> Value {
    json!({
        "model": question.model,
        "temperature": question.temperature,
        "messages": [{"role": "system", "content": instructions}, {"role": "user", "content": ticket}],
    })
}
