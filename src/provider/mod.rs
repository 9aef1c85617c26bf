//! Provider dialects.

/// Which dialect a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// OpenAI and every server that speaks its API: `authorization: Bearer`.
    OpenAi,
    /// Anthropic: `x-api-key` and `anthropic-version`.
    Anthropic,
}
