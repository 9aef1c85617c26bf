//! The shapes of requests.
//!
//! # Source
//! The Gemini API reference, as read in November 2026.

use crate::mock::shape::Field::{May, Must};
use crate::mock::shape::{Field, Shape};

const BLOB: Shape = Shape::Fields(&[
    Must("mimeType", Shape::Text),
    Must("data", Shape::Text),
    May("displayName", Shape::Text),
]);
const FILE: Shape = Shape::Fields(&[May("mimeType", Shape::Text), Must("fileUri", Shape::Text)]);
const CALL: Shape =
    Shape::Fields(&[Must("name", Shape::Text), May("args", Shape::Open), May("id", Shape::Text)]);
const RESPONSE_PART: Shape = Shape::One(&[May("inlineData", BLOB), May("fileData", FILE)], &[]);
const RESPONSE: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    Must("response", Shape::Open),
    May("id", Shape::Text),
    May("parts", Shape::List(0, &RESPONSE_PART)),
    May("willContinue", Shape::Flag),
    May("scheduling", Shape::Text),
]);
const PART: Shape = Shape::One(
    &[
        May("text", Shape::Text),
        May("inlineData", BLOB),
        May("fileData", FILE),
        May("functionCall", CALL),
        May("functionResponse", RESPONSE),
        May("executableCode", Shape::Open),
        May("codeExecutionResult", Shape::Open),
    ],
    &[
        May("thought", Shape::Flag),
        May("thoughtSignature", Shape::Text),
        May("videoMetadata", Shape::Open),
        May("mediaResolution", Shape::Open),
        May("partMetadata", Shape::Open),
    ],
);
const CONTENT: Shape = Shape::Fields(&[
    May("role", Shape::Word(&["user", "model"])),
    Must("parts", Shape::List(1, &PART)),
]);
const TEXT_PART: Shape = Shape::Fields(&[Must("text", Shape::Text)]);
const SYSTEM: Shape =
    Shape::Fields(&[May("role", Shape::Text), Must("parts", Shape::List(1, &TEXT_PART))]);
const DECLARATION: Shape = Shape::Fields(&[
    Must("name", Shape::Text),
    May("description", Shape::Text),
    May("behavior", Shape::Text),
    May("parameters", Shape::Open),
    May("parametersJsonSchema", Shape::Open),
    May("response", Shape::Open),
    May("responseJsonSchema", Shape::Open),
]);
const TOOL: Shape = Shape::Fields(&[
    May("functionDeclarations", Shape::List(1, &DECLARATION)),
    May("googleSearch", Shape::Open),
    May("googleSearchRetrieval", Shape::Open),
    May("googleMaps", Shape::Open),
    May("codeExecution", Shape::Open),
    May("urlContext", Shape::Open),
    May("computerUse", Shape::Open),
    May("fileSearch", Shape::Open),
]);
const TOOL_CONFIG: Shape = Shape::Fields(&[
    May(
        "functionCallingConfig",
        Shape::Fields(&[
            May("mode", Shape::Word(&["MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED"])),
            May("allowedFunctionNames", Shape::List(0, &Shape::Text)),
        ]),
    ),
    May("retrievalConfig", Shape::Open),
]);
const THINKING: Shape = Shape::Fields(&[
    May("includeThoughts", Shape::Flag),
    May("thinkingBudget", Shape::Integer),
    May(
        "thinkingLevel",
        Shape::Word(&["minimal", "low", "medium", "high", "MINIMAL", "LOW", "MEDIUM", "HIGH"]),
    ),
]);
const RESOLUTIONS: Shape = Shape::Word(&[
    "MEDIA_RESOLUTION_UNSPECIFIED",
    "MEDIA_RESOLUTION_LOW",
    "MEDIA_RESOLUTION_MEDIUM",
    "MEDIA_RESOLUTION_HIGH",
]);
const CONFIG: Shape = Shape::Fields(&[
    May("stopSequences", Shape::List(0, &Shape::Text)),
    May("responseMimeType", Shape::Word(&["text/plain", "application/json", "text/x.enum"])),
    May("responseSchema", Shape::Open),
    May("responseJsonSchema", Shape::Open),
    May("responseModalities", Shape::List(0, &Shape::Text)),
    May("candidateCount", Shape::Integer),
    May("maxOutputTokens", Shape::Integer),
    May("temperature", Shape::Number(0.0, 2.0)),
    May("topP", Shape::Number(0.0, 1.0)),
    May("topK", Shape::Integer),
    May("seed", Shape::Integer),
    May("presencePenalty", Shape::Number(-2.0, 2.0)),
    May("frequencyPenalty", Shape::Number(-2.0, 2.0)),
    May("responseLogprobs", Shape::Flag),
    May("logprobs", Shape::Integer),
    May("enableEnhancedCivicAnswers", Shape::Flag),
    May("speechConfig", Shape::Open),
    May("thinkingConfig", THINKING),
    May("imageConfig", Shape::Open),
    May("mediaResolution", RESOLUTIONS),
]);

const CONTENTS: Field = Must("contents", Shape::List(1, &CONTENT));
const SYSTEM_FIELD: Field = May("systemInstruction", SYSTEM);
const TOOLS: Field = May("tools", Shape::List(0, &TOOL));
const CONFIG_FIELD: Field = May("generationConfig", CONFIG);

pub(crate) const GENERATE: Shape = Shape::Fields(&[
    CONTENTS,
    SYSTEM_FIELD,
    TOOLS,
    CONFIG_FIELD,
    May("toolConfig", TOOL_CONFIG),
    May("safetySettings", Shape::List(0, &Shape::Open)),
    May("cachedContent", Shape::Text),
    May("serviceTier", Shape::Word(&["standard", "flex", "priority"])),
    May("store", Shape::Flag),
]);

/// The turns alone, or a whole request with its model.
pub(crate) const COUNT: Shape = Shape::One(
    &[
        May("contents", Shape::List(1, &CONTENT)),
        May(
            "generateContentRequest",
            Shape::Fields(&[
                Must("model", Shape::Text),
                CONTENTS,
                SYSTEM_FIELD,
                TOOLS,
                CONFIG_FIELD,
                May("toolConfig", TOOL_CONFIG),
                May("safetySettings", Shape::List(0, &Shape::Open)),
                May("cachedContent", Shape::Text),
            ]),
        ),
    ],
    &[],
);

pub(crate) const VERTEX_COUNT: Shape = Shape::Fields(&[
    CONTENTS,
    SYSTEM_FIELD,
    TOOLS,
    CONFIG_FIELD,
    May("model", Shape::Text),
    May("instances", Shape::Any),
]);

const EMBEDDED: Shape =
    Shape::Fields(&[May("role", Shape::Text), Must("parts", Shape::List(1, &TEXT_PART))]);
const TASK: Field = May(
    "taskType",
    Shape::Word(&[
        "TASK_TYPE_UNSPECIFIED",
        "RETRIEVAL_QUERY",
        "RETRIEVAL_DOCUMENT",
        "SEMANTIC_SIMILARITY",
        "CLASSIFICATION",
        "CLUSTERING",
        "QUESTION_ANSWERING",
        "FACT_VERIFICATION",
        "CODE_RETRIEVAL_QUERY",
    ]),
);
const EMBED_FIELDS: &[Field] = &[
    May("model", Shape::Text),
    Must("content", EMBEDDED),
    TASK,
    May("title", Shape::Text),
    May("outputDimensionality", Shape::Integer),
];

pub(crate) const EMBED: Shape = Shape::Fields(EMBED_FIELDS);
pub(crate) const BATCH_EMBED: Shape =
    Shape::Fields(&[Must("requests", Shape::List(1, &Shape::Fields(EMBED_FIELDS)))]);
