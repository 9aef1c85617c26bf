//! Token usage of one call, in one form for every provider.
//!
//! A leaf: `provider` reads it from the wire, `cost` prices it, `ailog` keeps it. Units: tokens.

/// What a provider said a call used.
///
/// Invariant: `cached` and `cache_write` are parts of `input`, `reasoning` is a part of `output`, whatever the
/// provider's own habit (Anthropic reports cache tokens beside the input; its dialect adds them up).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// All prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// All answer tokens, reasoning included.
    pub output: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning: u64,
}

impl TokenUsage {
    /// What two calls used together.
    pub fn plus(self, other: TokenUsage) -> TokenUsage {
        TokenUsage {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

/// Where the numbers come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider reported them.
    Provider,
    /// Nobody knows; the numbers are zero and there is no cost.
    #[default]
    None,
}

impl UsageSource {
    /// The form used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageSource::Provider => "provider",
            UsageSource::None => "none",
        }
    }
}
