//! Provider dialects: how each wire format names its credentials, usage, ends and errors.
//!
//! Between stages 7 and 9 of the walk. Pure: bytes and values in, values out. `answer` reads a whole JSON answer,
//! `stream` the events of a streamed one, `usage` what both report as used, `error` says how a failure is told in a
//! stream, `ids` reads which stored objects an answer names.
//!
//! Promises: a field of an unexpected type is "not known", never an error; what cannot be read changes nothing of what
//! is forwarded. Does not: translate one provider's format into another's, or send anything.

pub mod answer;
pub mod error;
pub mod ids;
pub mod stream;
mod usage;

#[cfg(test)]
mod tests;

/// Which dialect a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI and every server that speaks its API: `authorization: Bearer`.
    OpenAi,
    /// Anthropic: `x-api-key` and `anthropic-version`.
    Anthropic,
}

impl Kind {
    /// The header that carries a key, and what stands before it there.
    pub const fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Kind::OpenAi => ("authorization", "Bearer "),
            Kind::Anthropic => ("x-api-key", ""),
        }
    }

    /// A header that this provider insists on, where the client sent none.
    pub const fn version_header(self) -> Option<(&'static str, &'static str)> {
        match self {
            Kind::OpenAi => None,
            Kind::Anthropic => Some(("anthropic-version", "2023-06-01")),
        }
    }
}

/// Whether a call with this answer is charged by what a model reads and writes.
pub const fn is_generated(wire: Wire) -> bool {
    match wire {
        Wire::Chat | Wire::Completions | Wire::Responses | Wire::Messages => true,
        Wire::Other | Wire::Stored => false,
    }
}

/// The wire format of an endpoint's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    /// `chat/completions`
    Chat,
    /// `completions`
    Completions,
    /// `responses`
    Responses,
    /// Anthropic's `messages`
    Messages,
    /// Everything else: usage is read where it looks familiar.
    Other,
    /// A stored object is looked at or changed: what it shows as used was counted when it was made.
    Stored,
}
