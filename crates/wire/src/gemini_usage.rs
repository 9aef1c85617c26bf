//! Gemini's report of usage, `usageMetadata`, in an answer of any format.
//!
//! Pure. Thoughts are reported beside the answer, cached tokens within the prompt. In a stream each
//! report holds the sums so far. Absent, null and odd values are "unknown".
//!
//! # Source
//! Gemini API reference (`UsageMetadata`), read November 2026.

use serde::de::{Deserialize, Deserializer};

use crate::lenient::{Count, Each, Lenient, Take, Text};
use crate::reported::{Tier, within};
use crate::usage::TokenUsage;

/// All fields of `usageMetadata`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GeminiUsage {
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
    /// The usage; `None` if no familiar field is present.
    pub(crate) fn tokens(&self) -> Option<TokenUsage> {
        let input = self.prompt_token_count.0;
        let (said, thought) =
            (self.candidates_token_count.or_zero(), self.thoughts_token_count.or_zero());
        if input.is_none() && said == 0 && thought == 0 {
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

/// The audio tokens in a list of `{modality, tokenCount}`.
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
                if let Some(entry) =
                    entry.filter(|entry| entry.modality.0.as_deref() == Some("AUDIO"))
                {
                    self.0 = self.0.saturating_add(entry.token_count.or_zero());
                }
            }
        }
        Ok(Sound(Each::<Sum>::deserialize(d)?.0.unwrap_or_default().0))
    }
}
