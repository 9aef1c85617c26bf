//! What a provider reports as used, under every name that is in use, in the gateway's own form.
//!
//! Pure. One dialect's fields do not disturb another's, so all are read at once and `Wire` decides what they mean:
//!
//! | reported by | cached input | written to the cache | reasoning |
//! |---|---|---|---|
//! | OpenAI (chat, responses, embeddings) | part of the input | part of the input | part of the output |
//! | Anthropic | beside the input | beside the input | part of the output |
//! | Gemini (`usageMetadata`) | part of the input | – | beside the output |
//! | xAI, and Gemini's OpenAI endpoint | part of the input | – | beside the output, seen by the total |
//! | DeepSeek, Moonshot | part of the input, under names of their own | – | part of the output |
//!
//! Promises: absent, null and odd values are "not known"; the parts are never more than the whole. Does not: estimate (see
//! `tollgate_wire::estimate`).
//!
//! # Source
//! OpenAI OpenAPI 2.3 (`CompletionUsage`, `ResponseUsage`), Anthropic API reference (`Usage`), Gemini API reference
//! (`UsageMetadata`), DeepSeek, Moonshot and xAI API references, read November 2026.

use serde::de::{Deserialize, Deserializer};
use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::Wire;
use super::answer::{Count, Each, Lenient, Take, Text};

/// Every name under which usage is reported in an object `usage`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    prompt_tokens: Count,
    #[serde(default)]
    completion_tokens: Count,
    #[serde(default)]
    total_tokens: Count,
    #[serde(default)]
    input_tokens: Count,
    #[serde(default)]
    output_tokens: Count,
    #[serde(default)]
    cache_creation_input_tokens: Count,
    #[serde(default)]
    cache_read_input_tokens: Count,
    #[serde(default)]
    cache_creation: Lenient<CacheCreation>,
    #[serde(default)]
    prompt_tokens_details: Lenient<Details>,
    #[serde(default)]
    input_tokens_details: Lenient<Details>,
    /// So in transcriptions.
    #[serde(default)]
    input_token_details: Lenient<Details>,
    #[serde(default)]
    completion_tokens_details: Lenient<Details>,
    #[serde(default)]
    output_tokens_details: Lenient<Details>,
    /// DeepSeek.
    #[serde(default)]
    prompt_cache_hit_tokens: Count,
    /// Moonshot.
    #[serde(default)]
    cached_tokens: Count,
    /// Anthropic.
    #[serde(default)]
    service_tier: Tier,
    /// Anthropic: `fast` has prices of its own.
    #[serde(default)]
    speed: Tier,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    cache_write_tokens: Count,
    #[serde(default)]
    reasoning_tokens: Count,
    #[serde(default)]
    audio_tokens: Count,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
struct CacheCreation {
    #[serde(default)]
    ephemeral_5m_input_tokens: Count,
    #[serde(default)]
    ephemeral_1h_input_tokens: Count,
}

impl Usage {
    /// In the gateway's own form; `None` where nothing familiar was there, or the answer shows again what was counted
    /// before.
    pub(super) fn tokens(&self, wire: Wire) -> Option<TokenUsage> {
        let input = self.prompt_tokens.0.or(self.input_tokens.0);
        let output = self.completion_tokens.0.or(self.output_tokens.0);
        if wire == Wire::Stored || (input.is_none() && output.is_none() && self.total_tokens.0.is_none()) {
            return None;
        }
        let total = self.total_tokens.0.unwrap_or(0);
        let details = self
            .prompt_tokens_details
            .0
            .or(self.input_tokens_details.0)
            .or(self.input_token_details.0)
            .unwrap_or_default();
        let output_details = self.completion_tokens_details.0.or(self.output_tokens_details.0).unwrap_or_default();
        let cached = details.cached_tokens.0.or(self.prompt_cache_hit_tokens.0).or(self.cached_tokens.0);
        let mut usage = TokenUsage {
            input: input.unwrap_or_else(|| total.saturating_sub(output.unwrap_or(0))),
            cached: cached.unwrap_or(0),
            cache_write: details.cache_write_tokens.or_zero(),
            output: output.unwrap_or(0),
            reasoning: output_details.reasoning_tokens.or_zero(),
            audio_input: details.audio_tokens.or_zero(),
            audio_output: output_details.audio_tokens.or_zero(),
            tier: self.tier(),
            ..TokenUsage::default()
        };
        match wire {
            Wire::Messages => self.add_cache(&mut usage),
            Wire::Chat if input.is_some() && output.is_some() => add_hidden_reasoning(&mut usage, total),
            _ => {}
        }
        Some(within(usage))
    }

    /// Anthropic counts cache tokens beside the input, not within it.
    fn add_cache(&self, usage: &mut TokenUsage) {
        let by_time = self.cache_creation.0.unwrap_or_default();
        let (minutes, hour) =
            (by_time.ephemeral_5m_input_tokens.or_zero(), by_time.ephemeral_1h_input_tokens.or_zero());
        usage.cached = self.cache_read_input_tokens.or_zero();
        usage.cache_write = self.cache_creation_input_tokens.0.unwrap_or_else(|| minutes.saturating_add(hour));
        usage.cache_write_1h = hour;
        usage.input = usage.input.saturating_add(usage.cached).saturating_add(usage.cache_write);
    }

    fn tier(&self) -> ServiceTier {
        match self.speed.0 {
            ServiceTier::Unknown | ServiceTier::Standard => self.service_tier.0,
            // Whatever the tier, the speed has a price of its own.
            _ => ServiceTier::Other,
        }
    }

    /// Takes over what a later report says; a stream reports piece by piece.
    pub(super) fn update(&mut self, later: &Usage) {
        for (old, new) in [
            (&mut self.prompt_tokens, later.prompt_tokens),
            (&mut self.completion_tokens, later.completion_tokens),
            (&mut self.total_tokens, later.total_tokens),
            (&mut self.input_tokens, later.input_tokens),
            (&mut self.output_tokens, later.output_tokens),
            (&mut self.cache_creation_input_tokens, later.cache_creation_input_tokens),
            (&mut self.cache_read_input_tokens, later.cache_read_input_tokens),
            (&mut self.prompt_cache_hit_tokens, later.prompt_cache_hit_tokens),
            (&mut self.cached_tokens, later.cached_tokens),
        ] {
            if new.0.is_some() {
                *old = new;
            }
        }
        for (old, new) in [
            (&mut self.prompt_tokens_details, later.prompt_tokens_details),
            (&mut self.input_tokens_details, later.input_tokens_details),
            (&mut self.input_token_details, later.input_token_details),
            (&mut self.completion_tokens_details, later.completion_tokens_details),
            (&mut self.output_tokens_details, later.output_tokens_details),
        ] {
            if new.0.is_some() {
                *old = new;
            }
        }
        if later.cache_creation.0.is_some() {
            self.cache_creation = later.cache_creation;
        }
        self.service_tier.update(later.service_tier);
        self.speed.update(later.speed);
    }
}

/// Some servers leave what a model thought out of the completion and count it in the total alone.
fn add_hidden_reasoning(usage: &mut TokenUsage, total: u64) {
    let hidden = total.saturating_sub(usage.input.saturating_add(usage.output));
    if hidden > 0 && (usage.reasoning == 0 || usage.reasoning == hidden) {
        usage.reasoning = hidden;
        usage.output = usage.output.saturating_add(hidden);
    }
}

/// Holds the parts within the whole, whatever was reported.
fn within(usage: TokenUsage) -> TokenUsage {
    let cached = usage.cached.min(usage.input);
    let cache_write = usage.cache_write.min(usage.input - cached);
    TokenUsage {
        cached,
        cache_write,
        cache_write_1h: usage.cache_write_1h.min(cache_write),
        audio_input: usage.audio_input.min(usage.input),
        reasoning: usage.reasoning.min(usage.output),
        audio_output: usage.audio_output.min(usage.output),
        ..usage
    }
}

/// Gemini's own report, `usageMetadata`. In a stream each one holds the sums so far.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GeminiUsage {
    #[serde(default)]
    prompt_token_count: Count,
    #[serde(default)]
    tool_use_prompt_token_count: Count,
    #[serde(default)]
    cached_content_token_count: Count,
    #[serde(default)]
    candidates_token_count: Count,
    #[serde(default)]
    thoughts_token_count: Count,
    #[serde(default)]
    prompt_tokens_details: Sound,
    #[serde(default)]
    candidates_tokens_details: Sound,
    #[serde(default)]
    traffic_type: Tier,
}

impl GeminiUsage {
    /// In the gateway's own form; `None` where nothing familiar was there.
    pub(super) fn tokens(&self, wire: Wire) -> Option<TokenUsage> {
        let input = self.prompt_token_count.0;
        let (said, thought) = (self.candidates_token_count.or_zero(), self.thoughts_token_count.or_zero());
        if wire == Wire::Stored || (input.is_none() && said == 0 && thought == 0) {
            return None;
        }
        Some(within(TokenUsage {
            input: input.unwrap_or(0).saturating_add(self.tool_use_prompt_token_count.or_zero()),
            cached: self.cached_content_token_count.or_zero(),
            output: said.saturating_add(thought),
            reasoning: thought,
            audio_input: self.prompt_tokens_details.0,
            audio_output: self.candidates_tokens_details.0,
            tier: self.traffic_type.0,
            ..TokenUsage::default()
        }))
    }
}

/// Of a list of `{modality, tokenCount}`: the tokens of sound.
#[derive(Clone, Copy, Debug, Default)]
struct Sound(u64);

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Modality<'a> {
            #[serde(borrow, default)]
            modality: Text<'a>,
            #[serde(default)]
            token_count: Count,
        }
        #[derive(Default)]
        struct Sum(u64);
        impl<'de> Take<'de> for Sum {
            type Item = Lenient<Modality<'de>>;
            fn take(&mut self, Lenient(entry): Lenient<Modality<'de>>) {
                if let Some(entry) = entry.filter(|entry| entry.modality.0.as_deref() == Some("AUDIO")) {
                    self.0 = self.0.saturating_add(entry.token_count.or_zero());
                }
            }
        }
        Ok(Sound(Each::<Sum>::deserialize(d)?.0.unwrap_or_default().0))
    }
}

/// The name of a service tier, as far as it is one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tier(pub(super) ServiceTier);

impl Tier {
    /// What is said later counts, unless nothing is said.
    pub(super) fn update(&mut self, later: Tier) {
        if later.0 != ServiceTier::Unknown {
            *self = later;
        }
    }
}

impl<'de> Deserialize<'de> for Tier {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Text(name) = Text::deserialize(d)?;
        let name = name.as_deref().unwrap_or_default();
        let known = TIERS.iter().find(|(known, _)| name.eq_ignore_ascii_case(known));
        Ok(Tier(known.map_or(ServiceTier::Other, |(_, tier)| *tier)))
    }
}

/// Names of tiers: OpenAI's, Anthropic's, Gemini's (in capitals there). `auto` is what was asked for, not what was done.
const TIERS: [(&str, ServiceTier); 12] = [
    ("default", ServiceTier::Standard),
    ("standard", ServiceTier::Standard),
    ("on_demand", ServiceTier::Standard),
    ("", ServiceTier::Unknown),
    ("auto", ServiceTier::Unknown),
    ("flex", ServiceTier::Flex),
    ("on_demand_flex", ServiceTier::Flex),
    ("priority", ServiceTier::Priority),
    ("on_demand_priority", ServiceTier::Priority),
    ("scale", ServiceTier::Scale),
    ("provisioned_throughput", ServiceTier::Scale),
    ("batch", ServiceTier::Batch),
];
