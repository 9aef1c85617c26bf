//! OpenAI's `chat/completions`, to and from the neutral form.
//!
//! | module | content |
//! |---|---|
//! | `request` | requests, read and written |
//! | `answer` | whole answers, read and written |
//! | `read_stream`, `write_stream` | streamed answers |
//!
//! # Source
//! openai-python 3.57 (types, `_streaming.py`), openai-node 6.49, read November 2026.

mod answer;
mod read_stream;
mod request;
mod whole;
mod write_stream;

use super::error;
use super::framing::Sse;
use super::sides::{CallerSide, ProviderSide};

pub(crate) const CALLER: CallerSide = CallerSide {
    read_request: request::read,
    write_answer: answer::write,
    write_stream: write_stream::boxed,
    write_count: None,
};

pub(crate) const PROVIDER: ProviderSide = ProviderSide {
    write_request: request::write,
    read_answer: answer::read,
    framing: Sse::boxed,
    read_stream: read_stream::boxed,
    read_error: error::read_error,
    read_count: None,
};
