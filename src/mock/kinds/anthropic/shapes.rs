//! The shapes of requests. Blocks and tools that Anthropic runs itself are not looked into.
//!
//! # Source
//! The Anthropic API reference, as read in November 2026.

use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::{Field, Shape};

const CACHE: Shape = Shape::Either(&[
    Shape::Tagged(
        "type",
        "",
        &[("ephemeral", Shape::Fields(&[May("ttl", Shape::Word(&["5m", "1h"]))]))],
    ),
    Shape::Null,
]);
const TEXT: Shape = Shape::Fields(&[
    Must("text", Shape::Text),
    May("cache_control", CACHE),
    May("citations", Shape::Any),
]);
const MEDIA_TYPES: Shape = Shape::Word(&["image/jpeg", "image/png", "image/gif", "image/webp"]);
const URL: Shape = Shape::Fields(&[Must("url", Shape::Text)]);
const FILE: Shape = Shape::Fields(&[Must("file_id", Shape::Text)]);
const IMAGE: Shape = Shape::Fields(&[
    Must(
        "source",
        Shape::Tagged(
            "type",
            "",
            &[
                (
                    "base64",
                    Shape::Fields(&[Must("media_type", MEDIA_TYPES), Must("data", Shape::Text)]),
                ),
                ("url", URL),
                ("file", FILE),
            ],
        ),
    ),
    May("cache_control", CACHE),
]);
const DOCUMENT: Shape = Shape::Fields(&[
    Must(
        "source",
        Shape::Tagged(
            "type",
            "",
            &[
                (
                    "base64",
                    Shape::Fields(&[
                        Must("media_type", Shape::Word(&["application/pdf"])),
                        Must("data", Shape::Text),
                    ]),
                ),
                (
                    "text",
                    Shape::Fields(&[
                        Must("media_type", Shape::Word(&["text/plain"])),
                        Must("data", Shape::Text),
                    ]),
                ),
                ("content", Shape::Fields(&[Must("content", Shape::Any)])),
                ("url", URL),
                ("file", FILE),
            ],
        ),
    ),
    May("title", Shape::Either(&[Shape::Text, Shape::Null])),
    May("context", Shape::Either(&[Shape::Text, Shape::Null])),
    May("citations", Shape::Any),
    May("cache_control", CACHE),
]);
const RESULT_CONTENT: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(
        0,
        &Shape::Tagged(
            "type",
            "",
            &[
                ("text", TEXT),
                ("image", IMAGE),
                ("document", DOCUMENT),
                ("search_result", Shape::Open),
                ("tool_reference", Shape::Open),
            ],
        ),
    ),
]);
const TOOL_RESULT: Shape = Shape::Fields(&[
    Must("tool_use_id", Shape::Text),
    May("content", RESULT_CONTENT),
    May("is_error", Shape::Flag),
    May("cache_control", CACHE),
]);
const TOOL_USE: Shape = Shape::Fields(&[
    Must("id", Shape::Text),
    Must("name", Shape::Text),
    Must("input", Shape::Open),
    May("cache_control", CACHE),
    May("caller", Shape::Open),
]);
const BLOCK: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("text", TEXT),
        ("image", IMAGE),
        ("document", DOCUMENT),
        ("search_result", Shape::Open),
        ("tool_use", TOOL_USE),
        ("tool_result", TOOL_RESULT),
        (
            "thinking",
            Shape::Fields(&[Must("thinking", Shape::Text), Must("signature", Shape::Text)]),
        ),
        ("redacted_thinking", Shape::Fields(&[Must("data", Shape::Text)])),
        ("server_tool_use", Shape::Open),
        ("web_search_tool_result", Shape::Open),
        ("web_fetch_tool_result", Shape::Open),
        ("code_execution_tool_result", Shape::Open),
        ("bash_code_execution_tool_result", Shape::Open),
        ("text_editor_code_execution_tool_result", Shape::Open),
        ("tool_search_tool_result", Shape::Open),
        ("container_upload", Shape::Open),
        ("mcp_tool_use", Shape::Open),
        ("mcp_tool_result", Shape::Open),
    ],
);
const MESSAGE: Shape = Shape::Fields(&[
    Must("role", Shape::Word(&["user", "assistant", "system"])),
    Must("content", Shape::Either(&[Shape::Text, Shape::List(0, &BLOCK)])),
]);
const SYSTEM: Shape =
    Shape::Either(&[Shape::Text, Shape::List(0, &Shape::Tagged("type", "", &[("text", TEXT)]))]);
/// A tool of the caller; those of Anthropic have a dated type, and are held open by the rules.
pub(crate) const TOOL: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    Must("input_schema", Shape::Open),
    May("type", Shape::Word(&["custom"])),
    May("description", Shape::Text),
    May("strict", Shape::Flag),
    May("cache_control", CACHE),
    May("eager_input_streaming", Shape::Any),
    May("defer_loading", Shape::Flag),
    May("input_examples", Shape::List(0, &Shape::Open)),
    May("allowed_callers", Shape::List(0, &Shape::Text)),
]);
const PARALLEL: Field = May("disable_parallel_tool_use", Shape::Flag);
const TOOL_CHOICE: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("auto", Shape::Fields(&[PARALLEL])),
        ("any", Shape::Fields(&[PARALLEL])),
        ("tool", Shape::Fields(&[Must("name", Shape::Text), PARALLEL])),
        ("none", Shape::Fields(&[])),
    ],
);
const DISPLAY: Field = May("display", Shape::Word(&["summarized", "omitted"]));
const THINKING: Shape = Shape::Tagged(
    "type",
    "",
    &[
        ("enabled", Shape::Fields(&[Must("budget_tokens", Shape::Integer), DISPLAY])),
        ("adaptive", Shape::Fields(&[DISPLAY])),
        ("between_tools", Shape::Fields(&[DISPLAY])),
        ("disabled", Shape::Fields(&[])),
    ],
);
const FORMAT: Shape = Shape::Either(&[
    Shape::Tagged("type", "", &[("json_schema", Shape::Fields(&[Must("schema", Shape::Open)]))]),
    Shape::Null,
]);
const OUTPUT_CONFIG: Shape = Shape::Fields(&[
    May("effort", Shape::Word(&["low", "medium", "high", "xhigh", "max"])),
    May("format", FORMAT),
    May("task_budget", Shape::Open),
]);

const MODEL: Field = Must("model", Shape::Text);
const LIST: Field = Must("messages", Shape::List(1, &MESSAGE));
const SYSTEM_FIELD: Field = May("system", SYSTEM);
const TOOLS: Field = May("tools", Shape::List(0, &Shape::Open));
const CHOICE: Field = May("tool_choice", TOOL_CHOICE);
const THINKING_FIELD: Field = May("thinking", THINKING);
const OUTPUT: Field = May("output_config", OUTPUT_CONFIG);
const OLD_OUTPUT: Field = May("output_format", FORMAT);
const CACHE_FIELD: Field = May("cache_control", CACHE);
const CONTEXT: Field = May("context_management", Shape::Any);
const SERVERS: Field = May("mcp_servers", Shape::List(0, &Shape::Open));
const SPEED: Field = May("speed", Shape::Word(&["standard", "fast"]));

pub(crate) const MESSAGES: Shape = Shape::Fields(&[
    MODEL,
    LIST,
    Must("max_tokens", Shape::Integer),
    SYSTEM_FIELD,
    TOOLS,
    CHOICE,
    THINKING_FIELD,
    OUTPUT,
    OLD_OUTPUT,
    CACHE_FIELD,
    CONTEXT,
    SERVERS,
    SPEED,
    May("container", Shape::Any),
    May("diagnostics", Shape::Any),
    May("inference_geo", Shape::Any),
    May("metadata", Shape::Fields(&[May("user_id", Shape::Either(&[Shape::Text, Shape::Null]))])),
    May("service_tier", Shape::Word(&["auto", "standard_only"])),
    May("stop_sequences", Shape::List(0, &Shape::Text)),
    May("stream", Shape::Flag),
    May("temperature", Shape::Number(0.0, 1.0)),
    May("top_k", Shape::Integer),
    May("top_p", Shape::Number(0.0, 1.0)),
    May("user_profile_id", Shape::Text),
]);

/// Counting takes no fields of the answer.
pub(crate) const COUNT: Shape = Shape::Fields(&[
    MODEL,
    LIST,
    SYSTEM_FIELD,
    TOOLS,
    CHOICE,
    THINKING_FIELD,
    OUTPUT,
    OLD_OUTPUT,
    CACHE_FIELD,
    CONTEXT,
    SERVERS,
    SPEED,
]);
