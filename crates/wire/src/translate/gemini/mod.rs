//! Gemini's `generateContent`, of the Gemini API and of Vertex AI, as a provider's format.
//!
//! | module | content |
//! |---|---|
//! | `request`, `contents`, `config` | requests: the whole, the turns, the options |
//! | `answer`, `stream` | whole and streamed answers |
//! | `error` | errors, with the time to wait |
//!
//! # Source
//! Gemini API and Vertex AI references; google-genai 3.6 (`types.py`, `models.py`); Google's guide
//! on thought signatures. Read November 2026.

mod answer;
mod config;
mod contents;
mod error;
mod request;
mod stream;
#[cfg(test)]
mod tests;

use super::framing::Sse;
use super::sides::ProviderSide;

pub(crate) const PROVIDER: ProviderSide = ProviderSide {
    write_request: request::write,
    read_answer: answer::read,
    framing: Sse::boxed,
    read_stream: stream::boxed,
    read_error: error::read,
    read_count: Some(answer::read_count),
};
