//! OpenAI's `completions`, the API of the first models, which some servers still offer.
//!
//! Its stream has the chunks of `chat/completions` with `text` in place of `delta`, and ends in the
//! same way. An answer names no stored objects.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, openai_chat};
use crate::estimate::Makes;
use crate::reported::ReportedUsage;

pub(crate) const SPEC: Spec = Spec {
    name: "completions",
    routes: &[Route {
        name: "/v1/completions",
        answer: Format::OpenAiCompletions,
        makes: Some(Makes::Text),
    }],
    schema: Schema {
        prompts: true,
        store_option: false,
        token_field: "prompt",
        ..openai_chat::SCHEMA
    },
    usage: Some(ReportedUsage::included),
    objects: None,
    ..openai_chat::SPEC
};
