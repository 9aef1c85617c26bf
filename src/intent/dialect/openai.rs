//! OpenAI's own models: `chat/completions` with the form of the answer as a JSON Schema.
//!
//! # Source
//! OpenAI API reference, `response_format`; which models take it and which take no `temperature`, as of November 2026.

use serde_json::{Value, json};

use super::super::prompt::{Choice, Question};
use super::Dialect;
use super::compatible::{self, PATH};
use crate::provider::Wire;

/// See the file.
pub(super) struct OpenAi;

impl Dialect for OpenAi {
    fn path(&self) -> &'static str {
        PATH
    }

    fn wire(&self) -> Wire {
        Wire::Chat
    }

    fn request(&self, question: &Question, instructions: &str, ticket: &str) -> Value {
        let mut body = compatible::body(question, instructions, ticket);
        body["response_format"] = schema(question);
        if let Some(object) = body.as_object_mut().filter(|_| reasons(&question.model)) {
            object.remove("temperature");
        }
        body
    }
}

/// Models that take `response_format: json_schema`. Others get the plain prompt, which every model understands.
pub(super) fn knows_schemas(model: &str) -> bool {
    ["gpt-4o", "gpt-4.1", "gpt-5", "o3", "o4"].iter().any(|family| model.starts_with(family))
}

/// Models that refuse a temperature other than their own with 400.
fn reasons(model: &str) -> bool {
    ["gpt-5", "o3", "o4"].iter().any(|family| model.starts_with(family)) && !model.starts_with("gpt-5-chat")
}

fn schema(question: &Question) -> Value {
    let one_of = |choices: &[Choice]| {
        let mut values: Vec<Value> = choices.iter().map(|c| json!(c.name)).collect();
        values.push(Value::Null);
        json!({"type": ["string", "null"], "enum": values})
    };
    let mut properties = json!({
        "category": one_of(&question.categories),
        "priority": one_of(&question.priorities),
        "confidence": {"type": "number"},
    });
    let mut required = vec!["category", "priority", "confidence"];
    if question.reason {
        properties["reason"] = json!({"type": "string"});
        required.push("reason");
    }
    json!({"type": "json_schema", "json_schema": {"name": "ticket_intent", "strict": true, "schema": {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    }}})
}
