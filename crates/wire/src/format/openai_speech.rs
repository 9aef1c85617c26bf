//! OpenAI's `audio/speech`.
//!
//! The answer is sound, or a stream of events with sound, and reports usage at most at its end.
//!
//! # Source
//! OpenAI API reference, read November 2026.

use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::estimate::Makes;

pub(crate) const SPEC: Spec = Spec {
    name: "speech",
    routes: &[Route {
        name: "/v1/audio/speech",
        answer: Format::OpenAiSpeech,
        makes: Some(Makes::Nothing),
    }],
    schema: Schema::REQUEST,
    ..other::SPEC
};
