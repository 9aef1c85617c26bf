//! The shape of a chat completion request, and the rules between its messages.
//!
//! # Source
//! The OpenAI API reference, as read in November 2026.

use serde_json::Value;

use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::{Problem, Shape, Step};

const BREAKPOINT: Shape = Shape::Fields(&[May("mode", Shape::Text), May("ttl", Shape::Text)]);
const TEXT: Shape =
    Shape::Fields(&[Must("text", Shape::Text), May("prompt_cache_breakpoint", BREAKPOINT)]);
const IMAGE: Shape = Shape::Fields(&[
    Must(
        "image_url",
        Shape::Fields(&[
            Must("url", Shape::Text),
            May("detail", Shape::Word(&["auto", "low", "high", "original"])),
        ]),
    ),
    May("prompt_cache_breakpoint", BREAKPOINT),
]);
const FILE: Shape = Shape::Fields(&[
    Must(
        "file",
        Shape::Fields(&[
            May("file_data", Shape::Text),
            May("file_id", Shape::Text),
            May("filename", Shape::Text),
        ]),
    ),
    May("prompt_cache_breakpoint", BREAKPOINT),
]);
const AUDIO: Shape = Shape::Fields(&[
    Must(
        "input_audio",
        Shape::Fields(&[Must("data", Shape::Text), Must("format", Shape::Word(&["wav", "mp3"]))]),
    ),
    May("prompt_cache_breakpoint", BREAKPOINT),
]);
const REFUSAL: Shape = Shape::Fields(&[Must("refusal", Shape::Text)]);

/// Content of text alone.
const TEXTS: Shape =
    Shape::Either(&[Shape::Text, Shape::List(1, &Shape::Tagged("type", "", &[("text", TEXT)]))]);
const USER_CONTENT: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(
        1,
        &Shape::Tagged(
            "type",
            "",
            &[("text", TEXT), ("image_url", IMAGE), ("input_audio", AUDIO), ("file", FILE)],
        ),
    ),
]);
const ASSISTANT_CONTENT: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(1, &Shape::Tagged("type", "", &[("text", TEXT), ("refusal", REFUSAL)])),
]);
const CALLED: Shape = Shape::Fields(&[Must("name", Shape::Text), Must("arguments", Shape::Text)]);
const CALL: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("function", Shape::Fields(&[Must("id", Shape::Text), Must("function", CALLED)])),
        (
            "custom",
            Shape::Fields(&[
                Must("id", Shape::Text),
                Must(
                    "custom",
                    Shape::Fields(&[Must("name", Shape::Text), Must("input", Shape::Text)]),
                ),
            ]),
        ),
    ],
);
const SYSTEM: Shape = Shape::Fields(&[Must("content", TEXTS), May("name", Shape::Text)]);
const MESSAGE: Shape = Shape::Tagged(
    "role",
    "",
    &[
        ("system", SYSTEM),
        ("developer", SYSTEM),
        ("user", Shape::Fields(&[Must("content", USER_CONTENT), May("name", Shape::Text)])),
        (
            "assistant",
            Shape::Fields(&[
                May("content", ASSISTANT_CONTENT),
                May("refusal", Shape::Text),
                May("name", Shape::Text),
                May("audio", Shape::Fields(&[Must("id", Shape::Text)])),
                May("tool_calls", Shape::List(1, &CALL)),
                May("function_call", CALLED),
                // Of an answer that is sent back as it came.
                May("annotations", Shape::List(0, &Shape::Open)),
            ]),
        ),
        ("tool", Shape::Fields(&[Must("content", TEXTS), Must("tool_call_id", Shape::Text)])),
        ("function", Shape::Fields(&[Must("content", Shape::Text), Must("name", Shape::Text)])),
    ],
);

const FUNCTION: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    May("description", Shape::Text),
    May("parameters", Shape::Open),
    May("strict", Shape::Flag),
]);
const NAMED: Shape = Shape::Fields(&[Must("name", Shape::Text)]);
const TOOL: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("function", Shape::Fields(&[Must("function", FUNCTION)])),
        (
            "custom",
            Shape::Fields(&[Must(
                "custom",
                Shape::Fields(&[
                    Must("name", Shape::Text),
                    May("description", Shape::Text),
                    May("format", Shape::Open),
                ]),
            )]),
        ),
    ],
);
const TOOL_CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        "",
        &[
            ("function", Shape::Fields(&[Must("function", NAMED)])),
            ("custom", Shape::Fields(&[Must("custom", NAMED)])),
            (
                "allowed_tools",
                Shape::Fields(&[Must(
                    "allowed_tools",
                    Shape::Fields(&[
                        Must("mode", Shape::Word(&["auto", "required"])),
                        Must("tools", Shape::List(1, &Shape::Open)),
                    ]),
                )]),
            ),
        ],
    ),
]);
const RESPONSE_FORMAT: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("text", Shape::Fields(&[])),
        ("json_object", Shape::Fields(&[])),
        (
            "json_schema",
            Shape::Fields(&[Must(
                "json_schema",
                Shape::Fields(&[
                    Must("name", Shape::Text),
                    May("description", Shape::Text),
                    May("schema", Shape::Open),
                    May("strict", Shape::Flag),
                ]),
            )]),
        ),
    ],
);

pub(crate) const EFFORTS: Shape =
    Shape::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]);
pub(crate) const TIERS: Shape =
    Shape::Word(&["auto", "default", "flex", "scale", "priority", "standard"]);
pub(crate) const VERBOSITY: Shape = Shape::Word(&["low", "medium", "high"]);

pub(crate) const BODY: Shape = Shape::Fields(&[
    Must("model", Shape::Text),
    Must("messages", Shape::List(1, &MESSAGE)),
    May("audio", Shape::Open),
    May("frequency_penalty", Shape::Number(-2.0, 2.0)),
    May("function_call", Shape::Either(&[Shape::Word(&["none", "auto"]), NAMED])),
    May("functions", Shape::List(1, &FUNCTION)),
    May("logit_bias", Shape::Open),
    May("logprobs", Shape::Flag),
    May("max_completion_tokens", Shape::Integer),
    May("max_tokens", Shape::Integer),
    May("metadata", Shape::Open),
    May("modalities", Shape::List(1, &Shape::Word(&["text", "audio"]))),
    May("moderation", Shape::Any),
    May("n", Shape::Integer),
    May("parallel_tool_calls", Shape::Flag),
    May("prediction", Shape::Open),
    May("presence_penalty", Shape::Number(-2.0, 2.0)),
    May("prompt_cache_key", Shape::Text),
    May("prompt_cache_options", Shape::Open),
    May("prompt_cache_retention", Shape::Text),
    May("reasoning_effort", EFFORTS),
    May("response_format", RESPONSE_FORMAT),
    May("safety_identifier", Shape::Text),
    May("seed", Shape::Integer),
    May("service_tier", TIERS),
    May("stop", Shape::Either(&[Shape::Text, Shape::List(1, &Shape::Text)])),
    May("store", Shape::Flag),
    May("stream", Shape::Flag),
    May(
        "stream_options",
        Shape::Fields(&[
            May("include_usage", Shape::Flag),
            May("include_obfuscation", Shape::Flag),
        ]),
    ),
    May("temperature", Shape::Number(0.0, 2.0)),
    May("tool_choice", TOOL_CHOICE),
    May("tools", Shape::List(1, &TOOL)),
    May("top_logprobs", Shape::Integer),
    May("top_p", Shape::Number(0.0, 1.0)),
    May("user", Shape::Text),
    May("verbosity", VERBOSITY),
    May("web_search_options", Shape::Open),
]);

/// The rules between the messages, and between the fields.
pub(crate) fn rules(body: &Value) -> Result<(), Problem> {
    let has = |name: &str| body.get(name).is_some_and(|value| !value.is_null());
    for name in ["tool_choice", "parallel_tool_calls"] {
        if has(name) && !has("tools") {
            let words = format!("'{name}' is only allowed when 'tools' are specified.");
            return Err(Problem::rule(&[name.into()], words));
        }
    }
    if has("stream_options") && body["stream"] != true {
        let words = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Problem::rule(&["stream_options".into()], words));
    }
    if body["stop"].as_array().is_some_and(|stop| stop.len() > 4) {
        return Err(Problem::rule(&["stop".into()], "'stop' takes at most 4 sequences."));
    }
    calls_are_answered(body["messages"].as_array().map_or(&[], Vec::as_slice))
}

/// Each call is answered by a tool message behind it, and each tool message answers a call.
fn calls_are_answered(messages: &[Value]) -> Result<(), Problem> {
    let mut open: Vec<&str> = vec![];
    let unanswered = |index: usize, open: &[&str]| {
        let words = format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding \
             to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
            open.join(", ")
        );
        let role: Step = "role".into();
        Err(Problem::rule(&["messages".into(), index.into(), role], words))
    };
    for (index, message) in messages.iter().enumerate() {
        let at = |field: &str| ["messages".into(), index.into(), field.into()];
        if message["role"] == "tool" {
            let id = message["tool_call_id"].as_str().unwrap_or_default();
            let Some(place) = open.iter().position(|open| *open == id) else {
                let words = "Invalid parameter: messages with role 'tool' must be a response to a \
                             preceeding message with 'tool_calls'.";
                return Err(Problem::rule(&at("role"), words));
            };
            open.remove(place);
            continue;
        }
        if !open.is_empty() {
            return unanswered(index, &open);
        }
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        open = calls.filter_map(|call| call["id"].as_str()).collect();
        if open.iter().any(|id| id.len() > 40) {
            let words = "Invalid 'tool_calls[].id': string too long. Expected a string with \
                         maximum length 40.";
            return Err(Problem::rule(&at("tool_calls"), words));
        }
        let is_empty = message["content"].is_null() && message["role"] == "assistant";
        if is_empty
            && open.is_empty()
            && message["function_call"].is_null()
            && message["refusal"].is_null()
        {
            let words = "Invalid value for 'content': expected a string, got null.";
            return Err(Problem::rule(&at("content"), words));
        }
    }
    if open.is_empty() { Ok(()) } else { unanswered(messages.len() - 1, &open) }
}
