//! The table of translated formats: which side each can be on.
//!
//! A format with a new side is a constant in its folder and a line here.

use super::sides::{CallerSide, ProviderSide};
use super::{anthropic_messages, bedrock_converse, gemini, openai_chat, openai_responses};
use crate::format::Format;

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
