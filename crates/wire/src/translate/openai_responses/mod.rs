//! OpenAI's `responses` and `responses/input_tokens`, as the caller's format. Of the provider's
//! side there is the count of tokens only: no request is translated into one for a response.
//!
//! | module | content |
//! |---|---|
//! | `request` | requests, read |
//! | `response`, `item` | the object of an answer and its items, whole and in events |
//! | `answer`, `write_stream` | whole and streamed answers, written |
//! | `count` | requests for a count, written, and their answers, read |
//!
//! Reasoning items carry opaque data of the provider in `encrypted_content`: their own, that of the
//! call after them, or that of the text before them.
//!
//! # Source
//! openai-python 3.54 (types, `lib/streaming/responses`), read November 2026.

mod answer;
mod count;
mod item;
mod request;
mod response;
#[cfg(test)]
pub(crate) mod tests;
mod write_stream;

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

/// Counts tokens; does not answer.
pub(crate) const COUNTER: ProviderSide = ProviderSide {
    write_request: count::write,
    read_answer: count::no_answer,
    framing: Sse::boxed,
    read_stream: count::no_stream,
    read_error: error::read_error,
    read_count: Some(count::read),
};

fn write_count(tokens: u64, out: &mut Vec<u8>) {
    let mut object = JsonObject::new(out);
    object.str("object", "response.input_tokens");
    object.number("input_tokens", tokens);
}
