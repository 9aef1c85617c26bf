//! The shape of a request in `responses`, and the rules between its items.
//!
//! Items and tools that OpenAI keeps or runs itself are not looked into.
//!
//! # Source
//! The OpenAI API reference, as read in November 2026.

use serde_json::Value;

use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::{Problem, Shape};
use crate::mock::signature;

use super::chat_shape::{EFFORTS, TIERS, VERBOSITY};

const INPUT: Shape = Shape::Tagged(
    "type",
    "",
    &[
        (
            "input_text",
            Shape::Fields(&[
                Must("text", Shape::Text),
                May("prompt_cache_breakpoint", Shape::Open),
            ]),
        ),
        (
            "input_image",
            Shape::Fields(&[
                May("image_url", Shape::Text),
                May("file_id", Shape::Text),
                May("detail", Shape::Word(&["auto", "low", "high", "original"])),
                May("prompt_cache_breakpoint", Shape::Open),
            ]),
        ),
        (
            "input_file",
            Shape::Fields(&[
                May("file_data", Shape::Text),
                May("file_id", Shape::Text),
                May("file_url", Shape::Text),
                May("filename", Shape::Text),
                May("detail", Shape::Text),
                May("prompt_cache_breakpoint", Shape::Open),
            ]),
        ),
        (
            "output_text",
            Shape::Fields(&[
                Must("text", Shape::Text),
                May("annotations", Shape::List(0, &Shape::Open)),
                May("logprobs", Shape::List(0, &Shape::Open)),
            ]),
        ),
        ("refusal", Shape::Fields(&[Must("refusal", Shape::Text)])),
    ],
);
const CONTENT: Shape = Shape::Either(&[Shape::Text, Shape::List(0, &INPUT)]);
const STATUS: Shape = Shape::Word(&["in_progress", "completed", "incomplete"]);
const CALL: Shape = Shape::Fields(&[
    Must("call_id", Shape::Text),
    Must("name", Shape::Text),
    Must("arguments", Shape::Text),
    May("id", Shape::Text),
    May("namespace", Shape::Text),
    May("status", STATUS),
    May("caller", Shape::Open),
]);
const CALL_OUTPUT: Shape = Shape::Fields(&[
    Must("call_id", Shape::Text),
    Must("output", CONTENT),
    May("id", Shape::Text),
    May("status", STATUS),
    May("caller", Shape::Open),
]);
const SUMMARY: Shape =
    Shape::Tagged("type", "", &[("summary_text", Shape::Fields(&[Must("text", Shape::Text)]))]);
const ITEM: Shape = Shape::Tagged(
    "type",
    "message",
    &[
        (
            "message",
            Shape::Fields(&[
                Must("role", Shape::Word(&["user", "assistant", "system", "developer"])),
                Must("content", CONTENT),
                May("id", Shape::Text),
                May("status", STATUS),
                May("phase", Shape::Text),
            ]),
        ),
        ("function_call", CALL),
        ("function_call_output", CALL_OUTPUT),
        (
            "custom_tool_call",
            Shape::Fields(&[
                Must("call_id", Shape::Text),
                Must("name", Shape::Text),
                Must("input", Shape::Text),
                May("id", Shape::Text),
                May("namespace", Shape::Text),
                May("status", STATUS),
                May("caller", Shape::Open),
            ]),
        ),
        ("custom_tool_call_output", CALL_OUTPUT),
        (
            "reasoning",
            Shape::Fields(&[
                Must("summary", Shape::List(0, &SUMMARY)),
                May("id", Shape::Text),
                May("content", Shape::List(0, &Shape::Open)),
                May("encrypted_content", Shape::Text),
                May("status", STATUS),
            ]),
        ),
        ("item_reference", Shape::Open),
        ("web_search_call", Shape::Open),
        ("file_search_call", Shape::Open),
        ("code_interpreter_call", Shape::Open),
        ("mcp_call", Shape::Open),
        ("mcp_list_tools", Shape::Open),
        ("computer_call", Shape::Open),
        ("computer_call_output", Shape::Open),
        ("image_generation_call", Shape::Open),
        ("local_shell_call", Shape::Open),
        ("local_shell_call_output", Shape::Open),
        ("shell_call", Shape::Open),
        ("shell_call_output", Shape::Open),
        ("apply_patch_call", Shape::Open),
        ("apply_patch_call_output", Shape::Open),
        ("compaction", Shape::Open),
    ],
);
const FUNCTION: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    May("description", Shape::Text),
    May("parameters", Shape::Open),
    May("strict", Shape::Flag),
    May("defer_loading", Shape::Flag),
    May("allowed_callers", Shape::Any),
    May("output_schema", Shape::Open),
]);
const CUSTOM: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    May("description", Shape::Text),
    May("format", Shape::Open),
    May("defer_loading", Shape::Flag),
    May("allowed_callers", Shape::Any),
]);
const TOOL: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("function", FUNCTION),
        ("custom", CUSTOM),
        ("namespace", Shape::Open),
        ("web_search", Shape::Open),
        ("web_search_preview", Shape::Open),
        ("file_search", Shape::Open),
        ("code_interpreter", Shape::Open),
        ("computer", Shape::Open),
        ("computer_use_preview", Shape::Open),
        ("image_generation", Shape::Open),
        ("mcp", Shape::Open),
        ("local_shell", Shape::Open),
        ("shell", Shape::Open),
        ("apply_patch", Shape::Open),
        ("tool_search", Shape::Open),
    ],
);
const FORMAT: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("text", Shape::Fields(&[])),
        ("json_object", Shape::Fields(&[])),
        (
            "json_schema",
            Shape::Fields(&[
                Must("name", Shape::Text),
                Must("schema", Shape::Open),
                May("description", Shape::Text),
                May("strict", Shape::Flag),
            ]),
        ),
    ],
);

pub(crate) const BODY: Shape = Shape::Fields(&[
    Must("model", Shape::Text),
    Must("input", Shape::Either(&[Shape::Text, Shape::List(0, &ITEM)])),
    May("access_programs", Shape::Any),
    May("background", Shape::Flag),
    May("background_options", Shape::Any),
    May("context_management", Shape::Any),
    May("conversation", Shape::Any),
    May("image", Shape::Any),
    May("include", Shape::List(0, &Shape::Text)),
    May("instructions", Shape::Text),
    May("max_output_tokens", Shape::Integer),
    May("max_tool_calls", Shape::Integer),
    May("metadata", Shape::Open),
    May("moderation", Shape::Any),
    May("parallel_tool_calls", Shape::Flag),
    May("previous_response_id", Shape::Text),
    May("prompt", Shape::Open),
    May("prompt_cache_key", Shape::Text),
    May("prompt_cache_options", Shape::Open),
    May("prompt_cache_retention", Shape::Text),
    May(
        "reasoning",
        Shape::Fields(&[
            May("effort", EFFORTS),
            May("summary", Shape::Word(&["auto", "concise", "detailed"])),
            May("generate_summary", Shape::Text),
            May("context", Shape::Text),
            May("mode", Shape::Text),
        ]),
    ),
    May("safety_identifier", Shape::Text),
    May("service_tier", TIERS),
    May("store", Shape::Flag),
    May("stream", Shape::Flag),
    May("stream_options", Shape::Fields(&[May("include_obfuscation", Shape::Flag)])),
    May("temperature", Shape::Number(0.0, 2.0)),
    May("text", Shape::Fields(&[May("format", FORMAT), May("verbosity", VERBOSITY)])),
    May("tool_choice", Shape::Either(&[Shape::Word(&["none", "auto", "required"]), Shape::Open])),
    May("tools", Shape::List(0, &TOOL)),
    May("top_logprobs", Shape::Integer),
    May("top_p", Shape::Number(0.0, 1.0)),
    May("truncation", Shape::Word(&["auto", "disabled"])),
    May("user", Shape::Text),
    // Codex tells of itself here.
    May("client_metadata", Shape::Open),
]);

/// Outputs follow their calls, and opaque content is the provider's own.
pub(crate) fn rules(body: &Value) -> Result<(), Problem> {
    let items = body["input"].as_array().map_or(&[][..], Vec::as_slice);
    let mut open: Vec<&str> = vec![];
    for (index, item) in items.iter().enumerate() {
        let at = |field: &str| ["input".into(), index.into(), field.into()];
        let id = item["call_id"].as_str().unwrap_or_default();
        match item["type"].as_str() {
            Some("function_call" | "custom_tool_call") => {
                if id.len() > 64 {
                    let words = "Expected a string with maximum length 64.";
                    return Err(Problem::rule(&at("call_id"), words));
                }
                open.push(id);
            }
            Some("function_call_output" | "custom_tool_call_output") => {
                let Some(place) = open.iter().position(|open| *open == id) else {
                    let words =
                        format!("No tool call found for function call output with call_id {id}.");
                    return Err(Problem::rule(&at("call_id"), words));
                };
                open.remove(place);
            }
            Some("reasoning") => {
                let own = item["encrypted_content"]
                    .as_str()
                    .is_none_or(|content| signature::is_of(content, "openai", &summary_of(item)));
                if !own {
                    let words = "The encrypted content could not be verified. Reason: Encrypted \
                                 content could not be decrypted or parsed.";
                    return Err(Problem::rule(&at("encrypted_content"), words));
                }
            }
            _ => {}
        }
    }
    match open.first() {
        None => Ok(()),
        Some(id) => {
            let words = format!("No tool output found for function call {id}.");
            Err(Problem::rule(&["input".into()], words))
        }
    }
}

fn summary_of(item: &Value) -> String {
    let parts = item["summary"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}
