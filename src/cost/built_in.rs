//! The built-in price list: common models of OpenAI, Anthropic and Google, standard tier, text.
//!
//! Pure data. A line prices a family: the model of that name, its `-latest` alias and its dated snapshots
//! (`-2024-07-18`, `-20250929`, `-001`), nothing else, so that a sibling with another price (`gpt-4o-audio-preview`) is
//! unpriced rather than wrong.
//!
//! # Source
//! Price pages of the makers (platform.openai.com/docs/pricing, anthropic.com/pricing, ai.google.dev/gemini-api/docs/pricing)
//! as known in November 2025, compared with the public genai-prices data of that month. `prices:` in the policy comes first.

use super::{Price, Rates};

/// A model and its snapshots.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) price: Price,
    /// Input written to the provider's cache.
    cache_write: u64,
    /// Calls with more input than this many tokens have other rates, all of the call.
    long: Option<(u64, Rates)>,
}

impl Family {
    /// Whether `model` is this one or a snapshot of it.
    pub(super) fn has(&self, model: &str) -> bool {
        let Some(rest) = model.strip_prefix(self.price.model.as_str()) else { return false };
        let Some(tail) = rest.strip_prefix('-') else { return rest.is_empty() };
        tail == "latest" || is_date(tail)
    }

    /// The rates of a call with so much input.
    pub(super) fn rates(&self, input_tokens: u64) -> Rates {
        match self.long {
            Some((above, rates)) if input_tokens > above => rates,
            _ => Rates {
                input: self.price.input,
                cached: self.price.cached_input.unwrap_or(self.price.input),
                cache_write: self.cache_write,
                output: self.price.output,
            },
        }
    }
}

/// Digits and dashes, as snapshots are named: `2024-07-18`, `20250929`, `0613`, `001`, `1106`.
fn is_date(tail: &str) -> bool {
    let digits_or_dashes = tail.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    // Three digits at once, so that `4-1` is no snapshot of `4`.
    (3..=10).contains(&tail.len()) && digits_or_dashes && !tail.as_bytes()[..3].contains(&b'-')
}

/// 10⁻⁹ USD per million tokens, from micro-USD: the table is written in millionths of a USD to stay whole.
const MICRO: u64 = 1_000;

/// Model; micro-USD per million tokens of input, cached input, output.
const OPENAI: &[(&str, u64, Option<u64>, u64)] = &[
    ("gpt-5.2", 1_750_000, Some(175_000), 14_000_000),
    ("gpt-5.2-chat", 1_750_000, Some(175_000), 14_000_000),
    ("gpt-5.1", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5.1-chat", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5.1-codex", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5.1-codex-mini", 250_000, Some(25_000), 2_000_000),
    ("gpt-5", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5-chat", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5-codex", 1_250_000, Some(125_000), 10_000_000),
    ("gpt-5-mini", 250_000, Some(25_000), 2_000_000),
    ("gpt-5-nano", 50_000, Some(5_000), 400_000),
    ("gpt-5-pro", 15_000_000, None, 120_000_000),
    ("gpt-4.1", 2_000_000, Some(500_000), 8_000_000),
    ("gpt-4.1-mini", 400_000, Some(100_000), 1_600_000),
    ("gpt-4.1-nano", 100_000, Some(25_000), 400_000),
    ("gpt-4o", 2_500_000, Some(1_250_000), 10_000_000),
    ("gpt-4o-2024-05-13", 5_000_000, None, 15_000_000),
    ("gpt-4o-mini", 150_000, Some(75_000), 600_000),
    ("chatgpt-4o", 5_000_000, None, 15_000_000),
    ("gpt-4-turbo", 10_000_000, None, 30_000_000),
    ("gpt-4-turbo-preview", 10_000_000, None, 30_000_000),
    ("gpt-4-0125-preview", 10_000_000, None, 30_000_000),
    ("gpt-4-1106-preview", 10_000_000, None, 30_000_000),
    ("gpt-4", 30_000_000, None, 60_000_000),
    ("gpt-4-32k", 60_000_000, None, 120_000_000),
    ("gpt-3.5-turbo", 500_000, None, 1_500_000),
    ("gpt-3.5-turbo-0613", 1_500_000, None, 2_000_000),
    ("gpt-3.5-turbo-1106", 1_000_000, None, 2_000_000),
    ("gpt-3.5-turbo-16k", 3_000_000, None, 4_000_000),
    ("gpt-3.5-turbo-instruct", 1_500_000, None, 2_000_000),
    ("o1", 15_000_000, Some(7_500_000), 60_000_000),
    ("o1-mini", 1_100_000, Some(550_000), 4_400_000),
    ("o1-pro", 150_000_000, None, 600_000_000),
    ("o3", 2_000_000, Some(500_000), 8_000_000),
    ("o3-mini", 1_100_000, Some(550_000), 4_400_000),
    ("o3-pro", 20_000_000, None, 80_000_000),
    ("o4-mini", 1_100_000, Some(275_000), 4_400_000),
    ("codex-mini", 1_500_000, Some(375_000), 6_000_000),
    ("text-embedding-3-small", 20_000, None, 0),
    ("text-embedding-3-large", 130_000, None, 0),
    ("text-embedding-ada-002", 100_000, None, 0),
    ("omni-moderation", 0, None, 0),
    ("text-moderation", 0, None, 0),
];

/// Model; micro-USD per million tokens of input, cache read, cache write (five minutes), output.
const ANTHROPIC: &[(&str, u64, u64, u64, u64)] = &[
    ("claude-opus-4-5", 5_000_000, 500_000, 6_250_000, 25_000_000),
    ("claude-opus-4-1", 15_000_000, 1_500_000, 18_750_000, 75_000_000),
    ("claude-opus-4-0", 15_000_000, 1_500_000, 18_750_000, 75_000_000),
    ("claude-opus-4", 15_000_000, 1_500_000, 18_750_000, 75_000_000),
    ("claude-sonnet-4-5", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-sonnet-4-0", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-sonnet-4", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-3-7-sonnet", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-3-5-sonnet", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-3-sonnet", 3_000_000, 300_000, 3_750_000, 15_000_000),
    ("claude-haiku-4-5", 1_000_000, 100_000, 1_250_000, 5_000_000),
    ("claude-3-5-haiku", 800_000, 80_000, 1_000_000, 4_000_000),
    ("claude-3-opus", 15_000_000, 1_500_000, 18_750_000, 75_000_000),
    ("claude-3-haiku", 250_000, 30_000, 300_000, 1_250_000),
];

/// Micro-USD per million tokens of input, cached input, output.
type Micros = [u64; 3];

/// Model; its prices, and those for prompts over 200,000 tokens.
const GOOGLE: &[(&str, Micros, Option<Micros>)] = &[
    ("gemini-3-pro-preview", [2_000_000, 200_000, 12_000_000], Some([4_000_000, 400_000, 18_000_000])),
    ("gemini-2.5-pro", [1_250_000, 125_000, 10_000_000], Some([2_500_000, 250_000, 15_000_000])),
    ("gemini-2.5-flash", [300_000, 30_000, 2_500_000], None),
    ("gemini-2.5-flash-lite", [100_000, 10_000, 400_000], None),
    ("gemini-2.0-flash", [100_000, 25_000, 400_000], None),
    ("gemini-2.0-flash-lite", [75_000, 75_000, 300_000], None),
];

/// Sonnet with its long context: above 200,000 tokens of input the whole call costs more.
const SONNET_LONG: Rates = Rates {
    input: 6_000_000 * MICRO,
    cached: 600_000 * MICRO,
    cache_write: 7_500_000 * MICRO,
    output: 22_500_000 * MICRO,
};
const LONG_PROMPT: u64 = 200_000;

/// Every family.
pub(super) fn families() -> Vec<Family> {
    let price = |model: &str, input, cached: Option<u64>, output| Price {
        provider: String::new(),
        model: model.to_owned(),
        input: input * MICRO,
        cached_input: cached.map(|c| c * MICRO),
        output: output * MICRO,
    };
    let openai = OPENAI.iter().map(|&(model, input, cached, output)| Family {
        price: price(model, input, cached, output),
        cache_write: input * MICRO,
        long: None,
    });
    let anthropic = ANTHROPIC.iter().map(|&(model, input, cached, cache_write, output)| Family {
        price: price(model, input, Some(cached), output),
        cache_write: cache_write * MICRO,
        long: model.starts_with("claude-sonnet-4").then_some((LONG_PROMPT, SONNET_LONG)),
    });
    let google = GOOGLE.iter().map(|&(model, [input, cached, output], long)| Family {
        price: price(model, input, Some(cached), output),
        cache_write: input * MICRO,
        long: long.map(|[input, cached, output]| {
            (
                LONG_PROMPT,
                Rates {
                    input: input * MICRO,
                    cached: cached * MICRO,
                    cache_write: input * MICRO,
                    output: output * MICRO,
                },
            )
        }),
    });
    openai.chain(anthropic).chain(google).collect()
}
