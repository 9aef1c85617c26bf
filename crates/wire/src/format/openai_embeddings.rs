//! OpenAI's `embeddings`.
//!
//! The answer reports `prompt_tokens` and a total; only the input is charged.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "embeddings",
    routes: &[Route {
        name: "/v1/embeddings",
        answer: Format::OpenAiEmbeddings,
        makes: Some(Makes::Nothing),
    }],
    schema: Schema {
        input_is_parts: true,
        lists_of_tokens: true,
        token_field: "input",
        ..Schema::REQUEST
    },
    ..other::SPEC
};
