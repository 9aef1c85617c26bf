//! OpenAI's `images/generations`.
//!
//! Images are charged by the token: `usage` has `input_tokens` and `output_tokens`.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "images",
    routes: &[Route {
        name: "/v1/images/generations",
        answer: Format::OpenAiImages,
        makes: Some(Makes::Images),
    }],
    schema: Schema::REQUEST,
    ..other::SPEC
};
