//! OpenAI's `audio/transcriptions` and `audio/translations`.
//!
//! The request is a form with a file of sound. The answer is JSON, a stream of events, or text in
//! one of several forms; `usage` counts tokens, or seconds, which are not priced.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "transcriptions",
    routes: &[
        Route {
            name: "/v1/audio/transcriptions",
            answer: Format::OpenAiTranscriptions,
            makes: Some(Makes::Nothing),
        },
        Route {
            name: "/v1/audio/translations",
            answer: Format::OpenAiTranscriptions,
            makes: Some(Makes::Nothing),
        },
    ],
    schema: Schema::REQUEST,
    ..other::SPEC
};
