//! The table of translated formats: which side each can be on, and its readers and writers.
//!
//! A format with a new side is a constant in its folder and a line here.

use super::error::{Invalid, ProviderError};
use super::framing::Framing;
use super::loss::{Losses, Refused};
use super::neutral::{Answer, Request};
use super::stream::{Bounds, ReadStream, WriteStream};
use super::{
    Context, Operation, Target, Written, anthropic_messages, bedrock_converse, gemini, openai_chat,
    openai_responses,
};
use crate::format::Format;

/// Reads a number of tokens; `None` if there is none.
pub(crate) type ReadCount = fn(&[u8]) -> Option<u64>;

/// The side of a format that faces the application.
pub(crate) struct CallerSide {
    /// Reads a request. Notes the fields that no target can express.
    pub(crate) read_request:
        for<'a> fn(&'a str, Operation, &mut Losses) -> Result<Request<'a>, Refused>,
    /// Writes a whole answer.
    pub(crate) write_answer: fn(&Answer<'_>, &Context, &mut Vec<u8>) -> Result<(), Invalid>,
    /// Writes a streamed answer.
    pub(crate) write_stream: fn(&Context, Bounds) -> Box<dyn WriteStream>,
    /// Writes the answer to a count of tokens. `None`: the format has no such call.
    pub(crate) write_count: Option<fn(u64, &mut Vec<u8>)>,
}

/// The side of a format that faces the provider.
pub(crate) struct ProviderSide {
    /// Writes a request, its path included. Notes what it cannot express.
    pub(crate) write_request: for<'a> fn(
        &mut Request<'a>,
        &Target<'_>,
        Operation,
        &mut Losses,
    ) -> Result<Written, Refused>,
    /// Reads a whole answer.
    pub(crate) read_answer: for<'a> fn(&'a str, &Context) -> Result<Answer<'a>, Invalid>,
    /// Cuts a stream into events, each of at most so many bytes.
    pub(crate) framing: fn(usize) -> Box<dyn Framing>,
    /// Reads the events of a stream.
    pub(crate) read_stream: fn(&Context, Bounds) -> Box<dyn ReadStream>,
    /// Reads an error body, by its status.
    pub(crate) read_error: fn(u16, &[u8]) -> ProviderError,
    /// Reads the answer to a count of tokens. `None`: the format has no such call.
    pub(crate) read_count: Option<ReadCount>,
}

/// The application's side of a format.
pub(crate) fn caller(format: Format) -> Option<&'static CallerSide> {
    match format {
        Format::OpenAiChat => Some(&openai_chat::CALLER),
        Format::OpenAiResponses => Some(&openai_responses::CALLER),
        Format::AnthropicMessages => Some(&anthropic_messages::CALLER),
        _ => None,
    }
}

/// The provider's side of a format.
pub(crate) fn provider(format: Format) -> Option<&'static ProviderSide> {
    match format {
        Format::OpenAiChat => Some(&openai_chat::PROVIDER),
        Format::Gemini => Some(&gemini::PROVIDER),
        Format::BedrockConverse => Some(&bedrock_converse::PROVIDER),
        // For counts only.
        Format::OpenAiResponses => Some(&openai_responses::COUNTER),
        Format::AnthropicMessages => Some(&anthropic_messages::PROVIDER),
        _ => None,
    }
}
