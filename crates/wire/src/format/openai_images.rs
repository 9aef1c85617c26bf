//! OpenAI's `images/generations`, `images/edits` and `images/variations`.
//!
//! The last two take forms with pictures, the second also JSON. Images are charged by the token:
//! `usage` has `input_tokens` and `output_tokens`.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "images",
    routes: &[
        image_route("/v1/images/generations"),
        image_route("/v1/images/edits"),
        image_route("/v1/images/variations"),
    ],
    schema: Schema::REQUEST,
    ..other::SPEC
};

const fn image_route(name: &'static str) -> Route {
    Route { name, answer: Format::OpenAiImages, makes: Some(Makes::Images) }
}
