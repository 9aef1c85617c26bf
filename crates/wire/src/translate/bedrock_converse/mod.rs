//! Bedrock's `converse`, as a provider's format.
//!
//! | module | content |
//! |---|---|
//! | `request`, `messages` | requests: the whole, the turns |
//! | `tools`, `thinking` | the parts of requests that exclude each other |
//! | `answer`, `stream` | whole and streamed answers |
//! | `frames` | the binary framing of streams |
//! | `error` | errors, whole and in a stream |
//!
//! # Source
//! botocore 1.44 (`bedrock-runtime/2023-09-30`, `eventstream.py`); Amazon Nova guide. Read November
//! 2026.

mod answer;
mod error;
mod frames;
mod messages;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;

use super::sides::ProviderSide;

pub(crate) const PROVIDER: ProviderSide = ProviderSide {
    write_request: request::write,
    read_answer: answer::read,
    framing: frames::boxed,
    read_stream: stream::boxed,
    read_error: error::read,
    read_count: Some(answer::read_count),
};
