//! OpenAI's `moderations`.
//!
//! The answer reports no usage.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "moderations",
    routes: &[Route {
        name: "/v1/moderations",
        answer: Format::OpenAiModerations,
        makes: Some(Makes::Nothing),
    }],
    schema: Schema { input_is_parts: true, ..Schema::REQUEST },
    ..other::SPEC
};
