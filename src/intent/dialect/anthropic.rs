//! Anthropic's `messages`.
//!
//! # Source
//! Anthropic API reference, Messages, read November 2026.

use serde_json::{Value, json};

use super::super::prompt::Question;
use super::Dialect;
use crate::provider::Wire;

/// Enough for the object, whatever the names.
const ANSWER_TOKENS: u32 = 200;
/// And a sentence.
const REASON_TOKENS: u32 = 200;

/// See the file.
pub(super) struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self) -> &'static str {
        "/messages"
    }

    fn wire(&self) -> Wire {
        Wire::Messages
    }

    fn request(&self, question: &Question, instructions: &str, ticket: &str) -> Value {
        json!({
            "model": question.model,
            // Its scale ends at 1.
            "temperature": question.temperature.min(1.0),
            "max_tokens": ANSWER_TOKENS + if question.reason { REASON_TOKENS } else { 0 },
            "system": instructions,
            "messages": [{"role": "user", "content": ticket}],
        })
    }
}
