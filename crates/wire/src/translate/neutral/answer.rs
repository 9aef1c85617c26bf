//! A whole answer in neutral form.

use std::borrow::Cow;

use super::part::{Arguments, Part, PartKind, ToolCall};
use crate::translate::json::{JsonText, Raw};
use crate::usage::TokenUsage;

/// A whole answer.
#[derive(Debug, Default)]
pub struct Answer<'a> {
    /// The model that answered; empty if it is not named.
    pub model: JsonText<'a>,
    /// Texts, calls and thinking, in the provider's order.
    pub parts: Vec<Part<'a>>,
    /// Why it ended.
    pub stop: Stop,
    /// The provider's own word for it.
    pub stop_word: Cow<'a, str>,
    /// The stop sequence that ended it, where the provider says so.
    pub stop_sequence: Option<JsonText<'a>>,
    /// The provider's explanation of a refusal.
    pub refusal: Option<JsonText<'a>>,
    /// The usage, where it is reported.
    pub usage: Option<TokenUsage>,
    /// Log probabilities of the text: a list of OpenAI's `{token, logprob, bytes, top_logprobs}`.
    pub logprobs: Option<Raw<'a>>,
}

impl Answer<'_> {
    /// Whether it calls a tool.
    pub fn has_calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall(_)))
    }

    /// Whether the answer was cut before the arguments of its last call came, so that none is not
    /// the empty object.
    pub fn is_cut_before_arguments(&self, call: &ToolCall<'_>) -> bool {
        let last = self.parts.iter().rev().find_map(|part| match &part.kind {
            PartKind::ToolCall(call) => Some(call),
            _ => None,
        });
        let is_blank = matches!(&call.arguments, Arguments::Text(text) if text.is_blank());
        self.stop.is_cut() && is_blank && last.is_some_and(|last| std::ptr::eq(last, call))
    }

    /// Whether there is text or a call. Thinking is neither.
    pub fn has_content(&self) -> bool {
        self.parts.iter().any(|part| match &part.kind {
            PartKind::Text(text) => !text.text.is_empty(),
            PartKind::Reasoning(_) => false,
            _ => true,
        })
    }
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stop {
    /// It is complete.
    #[default]
    EndTurn,
    /// At one of the caller's stop sequences.
    StopSequence,
    /// With calls of tools.
    ToolUse,
    /// At the bound on the answer.
    MaxTokens,
    /// At the end of the model's context.
    ContextWindow,
    /// A server tool takes long; the caller may go on.
    Pause,
    /// The model refused.
    Refusal,
    /// A filter of the provider cut it.
    Filter,
    /// The provider could not read its own model: a failed attempt.
    Malformed,
    /// A word that is not known.
    Unknown,
}

impl Stop {
    /// The reason in the light of the content: calls make an ordinary end a [`Stop::ToolUse`],
    /// never a cut or a filter.
    pub fn with_calls(self, has_calls: bool) -> Stop {
        match self {
            Stop::EndTurn | Stop::StopSequence | Stop::Unknown | Stop::Pause if has_calls => {
                Stop::ToolUse
            }
            // The word without a call: there is nothing to be called.
            Stop::ToolUse if !has_calls => Stop::EndTurn,
            other => other,
        }
    }

    /// Whether the answer was cut, so that its last call may be half of one.
    pub fn is_cut(self) -> bool {
        !matches!(
            self,
            Stop::EndTurn | Stop::StopSequence | Stop::ToolUse | Stop::Pause | Stop::Unknown
        )
    }
}
