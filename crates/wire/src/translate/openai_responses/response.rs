//! The object of an answer, whole or in an event.

use crate::translate::Context;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::neutral::Stop;
use crate::usage::{ServiceTier, TokenUsage};

/// Fields that repeat the request, and what stands there if it has none.
const REPEATED: [(&str, &str); 10] = [
    ("max_output_tokens", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_p", "null"),
    ("user", "null"),
];

/// Fields that repeat the request only if it has them.
const REPEATED_IF_GIVEN: [&str; 3] = ["prompt_cache_key", "safety_identifier", "top_logprobs"];

/// How an answer stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) word: &'static str,
    /// Why it is not complete.
    pub(crate) reason: Option<&'static str>,
}

impl Status {
    pub(crate) const IN_PROGRESS: Status = Status { word: "in_progress", reason: None };
    const COMPLETED: Status = Status { word: "completed", reason: None };

    /// The status of an ended answer. A refusal that has a part of its own is a complete answer.
    pub(crate) const fn of(stop: Stop, has_refusal_part: bool) -> Status {
        let reason = match stop {
            Stop::MaxTokens | Stop::ContextWindow => "max_output_tokens",
            Stop::Refusal if has_refusal_part => return Status::COMPLETED,
            Stop::Refusal | Stop::Filter => "content_filter",
            _ => return Status::COMPLETED,
        };
        Status { word: "incomplete", reason: Some(reason) }
    }

    pub(crate) const fn is_incomplete(self) -> bool {
        self.reason.is_some()
    }
}

/// Writes the object. `output`: the items with commas between them.
pub(crate) fn write(
    context: &Context,
    model: &JsonText<'_>,
    status: Status,
    output: &[u8],
    usage: Option<&TokenUsage>,
    object: &mut JsonObject<'_>,
) {
    object.str("id", &context.ids.mint("resp_", 0));
    object.str("object", "response");
    object.number("created_at", context.created);
    object.str("status", status.word);
    object.null("error");
    match status.reason {
        Some(reason) => object.object("incomplete_details").str("reason", reason),
        None => object.null("incomplete_details"),
    }
    object.null("instructions");
    if model.is_empty() {
        object.str("model", &context.model);
    } else {
        object.text("model", model);
    }
    {
        let mut list = object.list("output");
        if !output.is_empty() {
            list.json(output);
        }
    }
    object.null("previous_response_id");
    object.bool("store", false);
    object.str("truncation", "disabled");
    let given = |name: &str| context.echo.iter().find(|(given, _)| *given == name);
    for (name, default) in REPEATED {
        object.json(name, given(name).map_or(default, |(_, json)| json));
    }
    for name in REPEATED_IF_GIVEN {
        if let Some((_, json)) = given(name) {
            object.json(name, json);
        }
    }
    if let Some(word) = usage.and_then(|usage| tier(usage.tier)) {
        object.str("service_tier", word);
    }
    match usage {
        Some(usage) => write_usage(usage, &mut object.object("usage")),
        None => object.null("usage"),
    }
}

/// The fields of `usage`: cached tokens are part of the input.
fn write_usage(usage: &TokenUsage, object: &mut JsonObject<'_>) {
    object.number("input_tokens", usage.input);
    {
        let mut details = object.object("input_tokens_details");
        details.number("cached_tokens", usage.cached);
        details.number("cache_write_tokens", usage.cache_write);
    }
    object.number("output_tokens", usage.output);
    object.object("output_tokens_details").number("reasoning_tokens", usage.reasoning);
    object.number("total_tokens", usage.input.saturating_add(usage.output));
}

/// The tier of service, in OpenAI's words.
const fn tier(tier: ServiceTier) -> Option<&'static str> {
    match tier {
        ServiceTier::Standard | ServiceTier::StandardUs => Some("default"),
        ServiceTier::Flex => Some("flex"),
        ServiceTier::Priority => Some("priority"),
        ServiceTier::Scale => Some("scale"),
        _ => None,
    }
}
