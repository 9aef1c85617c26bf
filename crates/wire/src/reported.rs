//! The `usage` object of an answer, under every name that providers use for its fields.
//!
//! Pure. The names of one provider do not collide with those of another, so all are read at once;
//! each format then says how they add up:
//!
//! | reported by | cached input | cache writes | reasoning |
//! |---|---|---|---|
//! | OpenAI (chat, responses, embeddings) | part of the input | part of the input | part of the output |
//! | Anthropic | beside the input | beside the input | part of the output |
//! | xAI, and Gemini's OpenAI endpoint | part of the input | – | beside the output; only the total includes it |
//! | DeepSeek, Moonshot | part of the input, under names of their own | – | part of the output |
//! | Bedrock | beside the input | beside the input | not told |
//!
//! Guarantees: absent, null and odd values are "unknown"; no part is larger than its whole. Does
//! not estimate (see `estimate`). Gemini's own report is in `gemini_usage`.
//!
//! # Source
//! OpenAI OpenAPI 2.3 (`CompletionUsage`, `ResponseUsage`), Anthropic API reference (`Usage`),
//! DeepSeek, Moonshot and xAI API references, botocore 1.44 (`TokenUsage`), read November 2026.
//! `inference_geo`: Anthropic, data residency (November 2026).

use serde::de::{Deserialize, Deserializer};

use crate::lenient::{Count, Each, Lenient, Take, Text};
use crate::usage::{ServiceTier, TokenUsage};

/// All fields of `usage`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
pub(crate) struct ReportedUsage {
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
    /// The name in transcriptions.
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
    /// Anthropic: where the call was computed.
    #[serde(default)]
    inference_geo: Geo,
    /// Bedrock, as those below.
    #[serde(default, rename = "inputTokens")]
    bedrock_input: Count,
    #[serde(default, rename = "outputTokens")]
    bedrock_output: Count,
    #[serde(default, rename = "cacheReadInputTokens")]
    bedrock_cache_read: Count,
    #[serde(default, rename = "cacheWriteInputTokens")]
    bedrock_cache_write: Count,
    #[serde(default, rename = "cacheDetails")]
    bedrock_cache_details: HourWrites,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Count,
    #[serde(default)]
    cache_write_tokens: Count,
    #[serde(default)]
    reasoning_tokens: Count,
    /// The same in Anthropic's answers.
    #[serde(default)]
    thinking_tokens: Count,
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

impl ReportedUsage {
    /// The fields of this JSON; `None` if it is not an object.
    pub(crate) fn of(json: &str) -> Option<ReportedUsage> {
        serde_json::from_str::<Lenient<ReportedUsage>>(json).ok()?.0
    }

    /// The usage if every part is reported within its whole, as OpenAI does it; `None` if no
    /// familiar field is present.
    pub(crate) fn included(&self) -> Option<TokenUsage> {
        Some(within(self.plain()?))
    }

    /// As [`ReportedUsage::included`]; in addition, a total above the sum of input and output is
    /// taken for reasoning that some servers count in the total alone.
    pub(crate) fn with_hidden_reasoning(&self) -> Option<TokenUsage> {
        let mut usage = self.plain()?;
        let has_both = self.input().is_some() && self.output().is_some();
        let hidden = self.total().saturating_sub(usage.input.saturating_add(usage.output));
        if has_both && hidden > 0 && (usage.reasoning == 0 || usage.reasoning == hidden) {
            usage.reasoning = hidden;
            usage.output = usage.output.saturating_add(hidden);
        }
        Some(within(usage))
    }

    /// The usage if cache tokens are reported beside the input, as Anthropic does it.
    pub(crate) fn with_cache_beside(&self) -> Option<TokenUsage> {
        let mut usage = self.plain()?;
        let by_time = self.cache_creation.0.unwrap_or_default();
        let (minutes, hour) = (
            by_time.ephemeral_5m_input_tokens.or_zero(),
            by_time.ephemeral_1h_input_tokens.or_zero(),
        );
        usage.cached = self.cache_read_input_tokens.or_zero();
        usage.cache_write =
            self.cache_creation_input_tokens.0.unwrap_or_else(|| minutes.saturating_add(hour));
        usage.cache_write_1h = hour;
        usage.input = usage.input.saturating_add(usage.cached).saturating_add(usage.cache_write);
        Some(within(usage))
    }

    /// The usage under Bedrock's names: cache tokens are beside the input.
    pub(crate) fn of_bedrock(&self) -> Option<TokenUsage> {
        if self.bedrock_input.0.is_none() && self.bedrock_output.0.is_none() {
            return None;
        }
        let (cached, cache_write) =
            (self.bedrock_cache_read.or_zero(), self.bedrock_cache_write.or_zero());
        let input = self.bedrock_input.or_zero().saturating_add(cached);
        Some(within(TokenUsage {
            input: input.saturating_add(cache_write),
            cached,
            cache_write,
            cache_write_1h: self.bedrock_cache_details.0,
            output: self.bedrock_output.or_zero(),
            ..TokenUsage::default()
        }))
    }

    /// The fields by their meaning, not yet held against each other.
    fn plain(&self) -> Option<TokenUsage> {
        let (input, output) = (self.input(), self.output());
        if input.is_none() && output.is_none() && self.total_tokens.0.is_none() {
            return None;
        }
        let details = self
            .prompt_tokens_details
            .0
            .or(self.input_tokens_details.0)
            .or(self.input_token_details.0)
            .unwrap_or_default();
        let output_details =
            self.completion_tokens_details.0.or(self.output_tokens_details.0).unwrap_or_default();
        let cached =
            details.cached_tokens.0.or(self.prompt_cache_hit_tokens.0).or(self.cached_tokens.0);
        Some(TokenUsage {
            input: input.unwrap_or_else(|| self.total().saturating_sub(output.unwrap_or(0))),
            cached: cached.unwrap_or(0),
            cache_write: details.cache_write_tokens.or_zero(),
            output: output.unwrap_or(0),
            reasoning: output_details
                .reasoning_tokens
                .0
                .or(output_details.thinking_tokens.0)
                .unwrap_or(0),
            audio_input: details.audio_tokens.or_zero(),
            audio_output: output_details.audio_tokens.or_zero(),
            tier: self.tier(),
            ..TokenUsage::default()
        })
    }

    fn input(&self) -> Option<u64> {
        self.prompt_tokens.0.or(self.input_tokens.0)
    }

    fn output(&self) -> Option<u64> {
        self.completion_tokens.0.or(self.output_tokens.0)
    }

    fn total(&self) -> u64 {
        self.total_tokens.or_zero()
    }

    fn tier(&self) -> ServiceTier {
        let tier = match self.speed.0 {
            ServiceTier::Unknown | ServiceTier::Standard => self.service_tier.0,
            // The speed has a price of its own, whatever the tier.
            _ => ServiceTier::Other,
        };
        match (self.inference_geo, tier) {
            (Geo::Unknown | Geo::Global, _) => tier,
            (Geo::Us, ServiceTier::Unknown | ServiceTier::Standard) => ServiceTier::StandardUs,
            // Factors of other places, and of tiers there, are not known.
            (Geo::Us | Geo::Other, _) => ServiceTier::OtherGeo,
        }
    }

    /// Takes over the fields that a later report of the same stream has.
    pub(crate) fn update(&mut self, later: &ReportedUsage) {
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
            (&mut self.bedrock_input, later.bedrock_input),
            (&mut self.bedrock_output, later.bedrock_output),
            (&mut self.bedrock_cache_read, later.bedrock_cache_read),
            (&mut self.bedrock_cache_write, later.bedrock_cache_write),
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
        if later.bedrock_cache_details.0 > 0 {
            self.bedrock_cache_details = later.bedrock_cache_details;
        }
        self.service_tier.update(later.service_tier);
        self.speed.update(later.speed);
        if later.inference_geo != Geo::Unknown {
            self.inference_geo = later.inference_geo;
        }
    }
}

/// Caps each part at its whole.
pub(crate) fn within(usage: TokenUsage) -> TokenUsage {
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

/// The tokens written to the cache for an hour, in a list of `{ttl, inputTokens}`.
#[derive(Clone, Copy, Debug, Default)]
struct HourWrites(u64);

impl<'de> Deserialize<'de> for HourWrites {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Entry<'a> {
            #[serde(borrow, default)]
            ttl: Text<'a>,
            #[serde(default)]
            input_tokens: Count,
        }
        #[derive(Default)]
        struct Sum(u64);
        impl<'de> Take<'de> for Sum {
            type Item = Lenient<Entry<'de>>;
            fn take(&mut self, Lenient(entry): Lenient<Entry<'de>>) {
                if let Some(entry) = entry.filter(|entry| entry.ttl.0.as_deref() == Some("1h")) {
                    self.0 = self.0.saturating_add(entry.input_tokens.or_zero());
                }
            }
        }
        Ok(HourWrites(Each::<Sum>::deserialize(d)?.0.unwrap_or_default().0))
    }
}

/// The service tier by its name in an answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tier(pub(crate) ServiceTier);

impl Tier {
    /// A later tier replaces the earlier one, unless it is unknown.
    pub(crate) fn update(&mut self, later: Tier) {
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

/// Where Anthropic computed the answer; the price may depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Geo {
    /// Not said, or of a model that has no choice of places.
    #[default]
    Unknown,
    /// Anywhere, at the usual price.
    Global,
    /// In the United States only.
    Us,
    Other,
}

impl<'de> Deserialize<'de> for Geo {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let Text(name) = Text::deserialize(d)?;
        Ok(match name.as_deref().unwrap_or_default() {
            "" | "not_available" => Geo::Unknown,
            "global" => Geo::Global,
            "us" => Geo::Us,
            _ => Geo::Other,
        })
    }
}

/// Names of tiers: OpenAI's, Anthropic's, Gemini's (in capitals there). `auto` is the tier asked
/// for, not the one served.
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
