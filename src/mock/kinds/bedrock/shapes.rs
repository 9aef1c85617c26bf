//! The shapes of requests.
//!
//! # Source
//! The service model of `bedrock-runtime` in botocore, as read in November 2026.

use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::{Field, Shape};

const S3: Shape = Shape::Fields(&[Must("uri", Shape::Text), May("bucketOwner", Shape::Text)]);
const BYTES: &[Field] = &[May("bytes", Shape::Text), May("s3Location", S3)];
const IMAGE: Shape = Shape::Fields(&[
    Must("format", Shape::Word(&["png", "jpeg", "gif", "webp"])),
    Must("source", Shape::One(BYTES, &[])),
]);
const DOCUMENT: Shape = Shape::Fields(&[
    May("format", Shape::Word(&["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"])),
    Must("name", Shape::Text),
    Must(
        "source",
        Shape::One(
            &[
                May("bytes", Shape::Text),
                May("s3Location", S3),
                May("text", Shape::Text),
                May("content", Shape::List(1, &Shape::Open)),
            ],
            &[],
        ),
    ),
    May("context", Shape::Text),
    May("citations", Shape::Fields(&[Must("enabled", Shape::Flag)])),
]);
const VIDEO: Shape =
    Shape::Fields(&[Must("format", Shape::Text), Must("source", Shape::One(BYTES, &[]))]);
const AUDIO: Shape = VIDEO;
const SEARCH_RESULT: Shape = Shape::Fields(&[
    Must("source", Shape::Text),
    Must("title", Shape::Text),
    Must("content", Shape::List(1, &Shape::Fields(&[Must("text", Shape::Text)]))),
    May("citations", Shape::Fields(&[Must("enabled", Shape::Flag)])),
]);
const CACHE_POINT: Shape = Shape::Fields(&[
    Must("type", Shape::Word(&["default"])),
    May("ttl", Shape::Word(&["5m", "1h"])),
]);
const TOOL_USE: Shape = Shape::Fields(&[
    Must("toolUseId", Shape::Text),
    Must("name", Shape::Text),
    Must("input", Shape::Any),
    May("type", Shape::Text),
]);
const RESULT: Shape = Shape::One(
    &[
        May("json", Shape::Any),
        May("text", Shape::Text),
        May("image", IMAGE),
        May("document", DOCUMENT),
        May("video", VIDEO),
        May("searchResult", SEARCH_RESULT),
    ],
    &[],
);
const TOOL_RESULT: Shape = Shape::Fields(&[
    Must("toolUseId", Shape::Text),
    Must("content", Shape::List(1, &RESULT)),
    May("status", Shape::Word(&["success", "error"])),
    May("type", Shape::Text),
]);
const REASONING: Shape = Shape::One(
    &[
        May(
            "reasoningText",
            Shape::Fields(&[Must("text", Shape::Text), May("signature", Shape::Text)]),
        ),
        May("redactedContent", Shape::Text),
    ],
    &[],
);
const BLOCK: Shape = Shape::One(
    &[
        May("text", Shape::Text),
        May("image", IMAGE),
        May("document", DOCUMENT),
        May("video", VIDEO),
        May("audio", AUDIO),
        May("toolUse", TOOL_USE),
        May("toolResult", TOOL_RESULT),
        May("guardContent", Shape::Open),
        May("cachePoint", CACHE_POINT),
        May("reasoningContent", REASONING),
        May("citationsContent", Shape::Open),
        May("searchResult", SEARCH_RESULT),
    ],
    &[],
);
const MESSAGE: Shape = Shape::Fields(&[
    Must("role", Shape::Word(&["user", "assistant", "system"])),
    Must("content", Shape::List(1, &BLOCK)),
]);
const SYSTEM: Shape = Shape::One(
    &[May("text", Shape::Text), May("guardContent", Shape::Open), May("cachePoint", CACHE_POINT)],
    &[],
);
const TOOL: Shape = Shape::One(
    &[
        May(
            "toolSpec",
            Shape::Fields(&[
                Must("name", Shape::Text),
                May("description", Shape::Text),
                Must("inputSchema", Shape::One(&[May("json", Shape::Open)], &[])),
                May("strict", Shape::Flag),
            ]),
        ),
        May("systemTool", Shape::Open),
        May("cachePoint", CACHE_POINT),
    ],
    &[],
);
const TOOL_CONFIG: Shape = Shape::Fields(&[
    Must("tools", Shape::List(1, &TOOL)),
    May(
        "toolChoice",
        Shape::One(
            &[
                May("auto", Shape::Fields(&[])),
                May("any", Shape::Fields(&[])),
                May("tool", Shape::Fields(&[Must("name", Shape::Text)])),
            ],
            &[],
        ),
    ),
]);
const INFERENCE: Shape = Shape::Fields(&[
    May("maxTokens", Shape::Integer),
    May("temperature", Shape::Number(0.0, 1.0)),
    May("topP", Shape::Number(0.0, 1.0)),
    May("stopSequences", Shape::List(0, &Shape::Text)),
]);
const OUTPUT: Shape = Shape::Fields(&[
    May(
        "textFormat",
        Shape::Fields(&[
            Must("type", Shape::Word(&["json_schema"])),
            Must(
                "structure",
                Shape::One(
                    &[May(
                        "jsonSchema",
                        Shape::Fields(&[
                            Must("schema", Shape::Text),
                            May("name", Shape::Text),
                            May("description", Shape::Text),
                        ]),
                    )],
                    &[],
                ),
            ),
        ]),
    ),
    May("effort", Shape::Text),
]);

const MESSAGES: Field = Must("messages", Shape::List(1, &MESSAGE));
const SYSTEM_FIELD: Field = May("system", Shape::List(0, &SYSTEM));
const TOOLS: Field = May("toolConfig", TOOL_CONFIG);
const EXTRA: Field = May("additionalModelRequestFields", Shape::Open);

pub(crate) const CONVERSE: Shape = Shape::Fields(&[
    MESSAGES,
    SYSTEM_FIELD,
    TOOLS,
    EXTRA,
    May("inferenceConfig", INFERENCE),
    May("guardrailConfig", Shape::Open),
    May("promptVariables", Shape::Open),
    May("additionalModelResponseFieldPaths", Shape::List(0, &Shape::Text)),
    May("requestMetadata", Shape::Open),
    May("performanceConfig", Shape::Fields(&[May("latency", Shape::Text)])),
    May(
        "serviceTier",
        Shape::Fields(&[Must("type", Shape::Word(&["priority", "default", "flex", "reserved"]))]),
    ),
    May("outputConfig", OUTPUT),
]);

pub(crate) const COUNT: Shape = Shape::Fields(&[Must(
    "input",
    Shape::One(
        &[
            May("converse", Shape::Fields(&[MESSAGES, SYSTEM_FIELD, TOOLS, EXTRA])),
            May("invokeModel", Shape::Fields(&[Must("body", Shape::Text)])),
        ],
        &[],
    ),
)]);

pub(crate) const TITAN: Shape = Shape::Fields(&[
    Must("inputText", Shape::Text),
    May("dimensions", Shape::Integer),
    May("normalize", Shape::Flag),
    May("embeddingTypes", Shape::List(1, &Shape::Word(&["float", "binary"]))),
]);
const COHERE_TYPES: Shape = Shape::Word(&["float", "int8", "uint8", "binary", "ubinary", "base64"]);
const INPUT_TYPE: Field = Must(
    "input_type",
    Shape::Word(&["search_document", "search_query", "classification", "clustering", "image"]),
);
pub(crate) const COHERE_3: Shape = Shape::Fields(&[
    Must("texts", Shape::List(1, &Shape::Text)),
    INPUT_TYPE,
    May("truncate", Shape::Word(&["NONE", "START", "END"])),
    May("embedding_types", Shape::List(1, &COHERE_TYPES)),
]);
pub(crate) const COHERE_4: Shape = Shape::Fields(&[
    Must("texts", Shape::List(1, &Shape::Text)),
    INPUT_TYPE,
    May("truncate", Shape::Word(&["NONE", "LEFT", "RIGHT"])),
    May("embedding_types", Shape::List(1, &COHERE_TYPES)),
    May("output_dimension", Shape::Integer),
    May("max_tokens", Shape::Integer),
]);
