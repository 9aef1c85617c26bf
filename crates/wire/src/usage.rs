//! Token usage of one call, in one form for every format. Unit: tokens.
//!
//! The formats read it from answers, the gateway prices and logs it. Pure arithmetic; does not
//! parse anything (see `reported`).

/// The tokens that a call used.
///
/// Invariant: `cached`, `cache_write` and `audio_input` are parts of `input`, `cache_write_1h` is a
/// part of `cache_write`, `reasoning` and `audio_output` are parts of `output`. A format whose
/// providers report them beside each other (Anthropic's cache tokens) adds them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// All prompt tokens, cached ones included.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cached: u64,
    /// Prompt tokens written to the provider's cache.
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for an hour, which costs more.
    pub cache_write_1h: u64,
    /// All answer tokens, reasoning included.
    pub output: u64,
    /// Answer tokens spent on reasoning.
    pub reasoning: u64,
    /// Prompt tokens of sound.
    pub audio_input: u64,
    /// Answer tokens of sound.
    pub audio_output: u64,
    /// How the provider served the call.
    pub tier: ServiceTier,
}

impl TokenUsage {
    /// Caps input and output at `most` tokens each, and every part at its whole. A larger report is
    /// not a number of tokens and must not become money.
    ///
    /// ```
    /// use tollgate_wire::usage::TokenUsage;
    /// let absurd = TokenUsage { input: u64::MAX, cached: u64::MAX, ..TokenUsage::default() };
    /// let capped = TokenUsage { input: 10, cached: 10, ..TokenUsage::default() };
    /// assert_eq!(absurd.at_most(10), capped);
    /// ```
    pub fn at_most(self, most: u64) -> TokenUsage {
        let (input, output) = (self.input.min(most), self.output.min(most));
        let cache_write = self.cache_write.min(input);
        TokenUsage {
            input,
            cached: self.cached.min(input),
            cache_write,
            cache_write_1h: self.cache_write_1h.min(cache_write),
            output,
            reasoning: self.reasoning.min(output),
            audio_input: self.audio_input.min(input),
            audio_output: self.audio_output.min(output),
            tier: self.tier,
        }
    }

    /// The sum of two calls. Its tier is that of `other`, unless that is unknown.
    pub fn plus(self, other: TokenUsage) -> TokenUsage {
        TokenUsage {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            audio_input: self.audio_input.saturating_add(other.audio_input),
            audio_output: self.audio_output.saturating_add(other.audio_output),
            tier: if other.tier == ServiceTier::Unknown { self.tier } else { other.tier },
        }
    }
}

/// The service tier that a provider reports; the price may depend on it. A closed set, so that no
/// text of a provider is copied into the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    /// The provider did not say.
    #[default]
    Unknown,
    /// The usual tier, whatever its name (`default`, `standard`, `on_demand`).
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and more expensive.
    Priority,
    /// Capacity bought beforehand (`scale`, `provisioned_throughput`).
    Scale,
    /// Answered within a day, cheaper.
    Batch,
    /// As `Standard`, within the United States (Anthropic's `inference_geo: us`), which costs more.
    StandardUs,
    /// Within a place, or in a tier at a place, whose price is not known.
    OtherGeo,
    /// A name that is not in this list.
    Other,
}

impl ServiceTier {
    /// All tiers that have a name in the log.
    pub const NAMED: [ServiceTier; 8] = [
        ServiceTier::Standard,
        ServiceTier::Flex,
        ServiceTier::Priority,
        ServiceTier::Scale,
        ServiceTier::Batch,
        ServiceTier::Other,
        ServiceTier::StandardUs,
        ServiceTier::OtherGeo,
    ];

    /// The tier with this name in the log; [`ServiceTier::Other`] if there is none.
    pub fn named(name: &str) -> ServiceTier {
        let named = ServiceTier::NAMED.into_iter().find(|tier| tier.as_str() == name);
        named.unwrap_or(if name.is_empty() { ServiceTier::Unknown } else { ServiceTier::Other })
    }

    /// The name used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            ServiceTier::Unknown => "",
            ServiceTier::Standard => "standard",
            ServiceTier::Flex => "flex",
            ServiceTier::Priority => "priority",
            ServiceTier::Scale => "scale",
            ServiceTier::Batch => "batch",
            ServiceTier::StandardUs => "standard_us",
            ServiceTier::OtherGeo => "other_geo",
            ServiceTier::Other => "other",
        }
    }
}

/// The source of the numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageSource {
    /// The provider reported them.
    Provider,
    /// The provider reported no usage, or the answer ended before it did: estimated from the text.
    Estimated,
    /// Unknown; the numbers are zero and there is no cost.
    #[default]
    None,
}

impl UsageSource {
    /// The name used in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            UsageSource::Provider => "provider",
            UsageSource::Estimated => "estimated",
            UsageSource::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_numbers_are_cut_and_parts_stay_within_their_whole() {
        let absurd = TokenUsage {
            input: 5,
            cached: u64::MAX,
            cache_write: 7,
            cache_write_1h: u64::MAX,
            output: u64::MAX,
            reasoning: u64::MAX,
            audio_input: 9,
            audio_output: 3,
            tier: ServiceTier::Flex,
        };
        let cut = TokenUsage {
            cached: 5,
            cache_write: 5,
            cache_write_1h: 5,
            output: 100,
            reasoning: 100,
            audio_input: 5,
            ..absurd
        };
        assert_eq!(absurd.at_most(100), cut);
        assert_eq!(cut.at_most(100), cut);
    }
}
