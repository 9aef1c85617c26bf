//! Anthropic's `messages`, to and from the neutral form.
//!
//! | module | content |
//! |---|---|
//! | `request` | requests, read and written |
//! | `answer` | whole answers, read and written |
//! | `read_stream`, `write_stream` | streamed answers |
//!
//! # Source
//! anthropic-python 2.14 (types, `_streaming.py`, `lib/_parse`), read November 2026.

mod answer;
mod read_stream;
mod request;
mod write_stream;

use serde::Deserialize;

use super::error;
use super::framing::Sse;
use super::json::JsonObject;
use super::sides::{CallerSide, ProviderSide};

pub(crate) const CALLER: CallerSide = CallerSide {
    read_request: request::read,
    write_answer: answer::write,
    write_stream: write_stream::boxed,
    write_count: Some(write_count),
};

pub(crate) const PROVIDER: ProviderSide = ProviderSide {
    write_request: request::write,
    read_answer: answer::read,
    framing: Sse::boxed,
    read_stream: read_stream::boxed,
    read_error: error::read_error,
    read_count: Some(read_count),
};

fn write_count(tokens: u64, out: &mut Vec<u8>) {
    JsonObject::new(out).number("input_tokens", tokens);
}

fn read_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    struct Count {
        input_tokens: u64,
    }
    serde_json::from_slice::<Count>(body).ok().map(|count| count.input_tokens)
}
