//! How each kind of provider is asked about a ticket. One file each.
//!
//! Pure. A new kind is a file beside these and a line in [`dialect_of`]. Does not: send, or read the answer (see
//! `provider/answer` for its text, and `parse` for what that says).

mod anthropic;
mod compatible;
mod openai;

use serde_json::Value;

use super::prompt::Question;
use crate::provider::{Kind, Wire};

/// One way of asking.
pub trait Dialect: Send + Sync {
    /// Below the provider's base URL.
    fn path(&self) -> &'static str;
    /// The format of the answer, for its usage.
    fn wire(&self) -> Wire;
    /// The request body: instructions, and the ticket in a message of its own.
    fn request(&self, question: &Question, instructions: &str, ticket: &str) -> Value;
}

/// The dialect of a kind of provider, for a model.
pub fn dialect_of(kind: Kind, model: &str) -> &'static dyn Dialect {
    match kind {
        Kind::OpenAi if openai::knows_schemas(model) => &openai::OpenAi,
        Kind::OpenAi => &compatible::Compatible,
        Kind::Anthropic => &anthropic::Anthropic,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::prompt::tests::question;
    use super::*;
    use crate::provider::answer::text;

    fn asked(kind: Kind, model: &str) -> Value {
        let mut question = question(&["billing", "other"], &["low", "vip"]);
        question.model = model.into();
        dialect_of(kind, model).request(&question, "do this", "the ticket")
    }

    #[test]
    fn each_kind_is_asked_in_its_own_way() {
        let body = asked(Kind::OpenAi, "gpt-4o-mini");
        let messages = json!([{"role": "system", "content": "do this"}, {"role": "user", "content": "the ticket"}]);
        assert_eq!((&body["messages"], &body["temperature"]), (&messages, &json!(0.2)));
        let schema = &body["response_format"]["json_schema"]["schema"];
        assert_eq!(schema["properties"]["category"]["enum"], json!(["billing", "other", null]));
        assert_eq!(schema["required"], json!(["category", "priority", "confidence"]));
        // Models that reason take no temperature but their own.
        assert!(asked(Kind::OpenAi, "gpt-5-mini").get("temperature").is_none());

        let body = asked(Kind::OpenAi, "llama-3");
        assert_eq!((&body["messages"], body.get("response_format")), (&messages, None));

        let body = asked(Kind::Anthropic, "claude-sonnet-5");
        assert_eq!((&body["system"], body["max_tokens"].as_u64()), (&json!("do this"), Some(200)));
        assert_eq!(body["messages"], json!([{"role": "user", "content": "the ticket"}]));
    }

    #[test]
    fn answers_are_found_where_they_are() {
        let chat = |content: Value| json!({"choices": [{"message": {"role": "assistant", "content": content}}]});
        let table = [
            (Kind::OpenAi, chat(json!("a")), "a"),
            (Kind::OpenAi, chat(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])), "ab"),
            (Kind::OpenAi, chat(Value::Null), ""),
            (Kind::OpenAi, json!({"choices": []}), ""),
            (Kind::OpenAi, json!("a"), ""),
            (
                Kind::Anthropic,
                json!({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]}),
                "a",
            ),
            (Kind::Anthropic, json!({"content": []}), ""),
            (Kind::Anthropic, json!({"content": {"text": "a"}}), ""),
            (
                Kind::Anthropic,
                json!({"content": [null, 1, [], {"text": {"text": "x"}}, {"text": "a", "more": [{}]}]}),
                "a",
            ),
            (Kind::OpenAi, json!({"choices": [{"message": {"content": ""}}, {"message": {"content": "b"}}]}), "b"),
            (Kind::OpenAi, json!({"choices": [{"message": "a"}, [], {"message": {"content": [7, {"text": 7}]}}]}), ""),
            (Kind::OpenAi, json!({"choices": {"message": {"content": "a"}}}), ""),
        ];
        for (kind, answer, expected) in table {
            assert_eq!(text(dialect_of(kind, "llama-3").wire(), answer.to_string().as_bytes()), expected, "{answer}");
        }
    }
}
