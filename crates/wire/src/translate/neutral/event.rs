//! An answer in pieces, in neutral form.

use super::answer::Stop;
use super::part::Opaque;
use crate::translate::error::{Invalid, ProviderError};
use crate::translate::json::{JsonText, Raw};
use crate::usage::TokenUsage;

/// A piece of a streamed answer.
///
/// The order, which every stream reader keeps: `Start`, then blocks one after the other (`Open`,
/// pieces, `Close`), then `Stop`, then `End`; `Usage` anywhere after `Start`. After `Failed`
/// nothing follows. A block that is cut off is not closed.
#[derive(Debug)]
pub enum Event<'a> {
    /// The answer begins. The first event.
    Start {
        /// The model that answers; empty if it is not named.
        model: JsonText<'a>,
    },
    /// A block begins.
    Open(Block<'a>),
    /// Text of the open block. Of a call: a piece of the text of its arguments' JSON.
    Delta(JsonText<'a>),
    /// Opaque data of the open block, whole; at most once per block.
    Signature(Opaque<'a>),
    /// Log probabilities of the text in the `Delta` before: a list in OpenAI's form.
    Logprobs(Raw<'a>),
    /// The open block is complete.
    Close,
    /// The usage so far; the last one counts.
    Usage(TokenUsage),
    /// All blocks are complete, or the last one is cut as the reason says.
    Stop {
        /// The reason, in the light of the blocks ([`Stop::with_calls`]).
        stop: Stop,
        /// The provider's own word.
        word: &'a str,
        /// The stop sequence that was met, where the provider says so.
        sequence: Option<JsonText<'a>>,
        /// The provider's explanation of a refusal.
        refusal: Option<JsonText<'a>>,
    },
    /// The answer is complete. The last event.
    End,
    /// The provider reports an error. The last event.
    Failed(ProviderError),
}

/// A block of a streamed answer.
#[derive(Clone, Debug)]
pub enum Block<'a> {
    /// Text.
    Text,
    /// Text of a refusal.
    Refusal,
    /// Thinking. Hidden thinking has no text and one `Signature` of kind `Hidden`.
    Reasoning,
    /// A call of a tool.
    ToolCall {
        /// Its id; empty if there is none (Gemini).
        id: JsonText<'a>,
        /// The name of the tool.
        name: JsonText<'a>,
        /// Opaque data that belongs to it.
        signature: Option<Opaque<'a>>,
    },
}

/// Takes the events of a stream reader, one after the other.
pub type Sink<'s> = dyn FnMut(Event<'_>) -> Result<(), Invalid> + 's;
