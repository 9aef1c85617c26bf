//! The object of an answer of `responses`, and its items.

use serde_json::{Value, json};

use crate::mock::signature::sign;
use crate::mock::think::{Question, Thought, ToolCall};

use super::call_id;

/// One answer, and the request that it repeats.
pub(crate) struct Form<'a> {
    id: String,
    number: u64,
    created: i64,
    body: &'a Value,
    model: &'a str,
    pub(crate) thought: &'a Thought,
}

impl<'a> Form<'a> {
    pub(crate) fn new(
        body: &'a Value,
        question: &'a Question,
        thought: &'a Thought,
        number: u64,
    ) -> Form<'a> {
        let created = crate::clock::wall_ms() / 1000;
        let id = format!("resp_mock{number:012}");
        Form { id, number, created, body, model: &question.model, thought }
    }

    /// The response object: begun, or finished.
    pub(crate) fn response(&self, done: bool) -> Value {
        let cut_short = done && self.thought.cut_short;
        let status = match (done, cut_short) {
            (false, _) => "in_progress",
            (true, true) => "incomplete",
            (true, false) => "completed",
        };
        let usage = self.thought.usage;
        let usage = done.then(|| {
            json!({
                "input_tokens": usage.input,
                "input_tokens_details": {"cached_tokens": usage.cached, "cache_write_tokens": 0},
                "output_tokens": usage.output,
                "output_tokens_details": {"reasoning_tokens": usage.reasoning},
                "total_tokens": usage.input + usage.output,
            })
        });
        let body = |name: &str, default: Value| {
            self.body.get(name).filter(|value| !value.is_null()).cloned().unwrap_or(default)
        };
        let output = if done { self.items() } else { vec![] };
        json!({
            "id": self.id, "object": "response", "created_at": self.created, "status": status,
            "error": null, "incomplete_details": cut_short.then(|| json!({"reason": "max_output_tokens"})),
            "instructions": body("instructions", Value::Null),
            "max_output_tokens": body("max_output_tokens", Value::Null), "model": self.model, "output": output,
            "parallel_tool_calls": body("parallel_tool_calls", json!(true)), "previous_response_id": null,
            "store": body("store", json!(true)),
            "reasoning": body("reasoning", json!({"effort": null, "summary": null})),
            "temperature": body("temperature", json!(1.0)), "top_p": body("top_p", json!(1.0)),
            "text": body("text", json!({"format": {"type": "text"}})),
            "tool_choice": body("tool_choice", json!("auto")), "tools": body("tools", json!([])),
            "truncation": "disabled", "metadata": body("metadata", json!({})), "service_tier": "default",
            "usage": usage, "user": body("user", Value::Null),
        })
    }

    /// All items of the answer.
    pub(crate) fn items(&self) -> Vec<Value> {
        let mut items = vec![];
        if !self.thought.thinking.is_empty() {
            items.push(self.reasoning());
        }
        if self.thought.calls.is_empty() {
            items.push(self.message());
        }
        let calls = self.thought.calls.iter().enumerate();
        items.extend(calls.map(|(index, call)| self.call(index, call)));
        items
    }

    /// Its text is told only if a summary is asked for, and its content only if it is.
    fn reasoning(&self) -> Value {
        let text = &self.thought.thinking;
        let is_told = !self.body["reasoning"]["summary"].is_null();
        let told = if is_told { text.as_str() } else { "" };
        let summary =
            if is_told { json!([{"type": "summary_text", "text": text}]) } else { json!([]) };
        let mut item =
            json!({"id": self.item_id("rs", 0), "type": "reasoning", "summary": summary});
        let include = self.body["include"].as_array().into_iter().flatten();
        if include.into_iter().any(|word| word == "reasoning.encrypted_content") {
            item["encrypted_content"] = json!(sign("openai", told));
        }
        item
    }

    fn message(&self) -> Value {
        let text = json!({"type": "output_text", "text": self.thought.text, "annotations": [], "logprobs": []});
        let status = if self.thought.cut_short { "incomplete" } else { "completed" };
        json!({"id": self.item_id("msg", 0), "type": "message", "status": status,
            "role": "assistant", "content": [text]})
    }

    fn call(&self, index: usize, call: &ToolCall) -> Value {
        let mut item = json!({"status": "completed", "call_id": call_id(self.number, index), "name": call.name});
        if let Value::String(input) = call.input() {
            item["id"] = json!(self.item_id("ctc", index));
            item["type"] = json!("custom_tool_call");
            item["input"] = json!(input);
        } else {
            item["id"] = json!(self.item_id("fc", index));
            item["type"] = json!("function_call");
            item["arguments"] = json!(call.arguments);
        }
        item
    }

    fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_mock{:012}{index}", self.number)
    }
}
