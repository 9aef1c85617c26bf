//! Prices, and what a call cost: integers of 10⁻⁹ USD, exact.
//!
//! Stage 9 of the walk. Pure. A price is in 10⁻⁹ USD per million tokens, so the cost of a call is a sum of whole products,
//! divided by a million once, at the end, and rounded half up there.
//!
//! Promises: no floating point; no tokens cost nothing; a model without a price has no cost, not a cost of zero.
//! Does not: know discounts (batch, flex, committed use), or what audio and images cost apart from text.

mod built_in;

use crate::usage::TokenUsage;

/// Prices by provider and model.
#[derive(Debug, Default)]
pub struct PriceList {
    /// The policy's lines; the first that matches counts.
    overrides: Vec<Price>,
    /// The built-in lines; the longest that matches counts, since a family's name begins its members' names.
    built_in: Vec<built_in::Family>,
}

/// One line of `prices:`; amounts in 10⁻⁹ USD per million tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A provider's name in the policy, or empty for any.
    pub provider: String,
    /// A model, or a pattern with `*`.
    pub model: String,
    pub input: u64,
    /// Where absent, cached input costs what input costs.
    pub cached_input: Option<u64>,
    pub output: u64,
}

/// What is charged for one kind of token each, in 10⁻⁹ USD per million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rates {
    input: u64,
    cached: u64,
    cache_write: u64,
    output: u64,
}

impl PriceList {
    /// The built-in list, with `overrides` before it (the first line that matches counts).
    pub fn built_in_with(overrides: Vec<Price>) -> PriceList {
        PriceList { overrides, built_in: built_in::families() }
    }

    /// What a call cost, in 10⁻⁹ USD; nothing if the model has no price. `provider` is the provider's name in the policy;
    /// it may be empty.
    ///
    /// ```text
    /// gpt-4o-mini, 1000 tokens in (200 of them cached), 100 out:
    /// (800 × 0.15 + 200 × 0.075 + 100 × 0.60) USD / 10⁶ = 0.000195 USD
    /// ```
    pub fn cost(&self, provider: &str, model: &str, usage: &TokenUsage) -> Option<i64> {
        let rates = match self.own_line(provider, model) {
            Some(price) => Rates {
                input: price.input,
                cached: price.cached_input.unwrap_or(price.input),
                cache_write: price.input,
                output: price.output,
            },
            None => self.family(model)?.rates(usage.input),
        };
        Some(amount(&rates, usage))
    }

    fn own_line(&self, provider: &str, model: &str) -> Option<&Price> {
        self.overrides
            .iter()
            .find(|p| (p.provider.is_empty() || p.provider == provider) && matches_pattern(&p.model, model))
    }

    fn family(&self, model: &str) -> Option<&built_in::Family> {
        // Some servers name a model with its maker before it: `openai/gpt-4o`, `models/gemini-2.5-pro`.
        let name = model.rsplit('/').next().unwrap_or(model);
        self.built_in.iter().filter(|f| f.has(name)).max_by_key(|f| f.price.model.len())
    }
}

fn amount(rates: &Rates, usage: &TokenUsage) -> i64 {
    // A provider may report parts that are more than the whole; then there are no fresh tokens, not less than none.
    let fresh = usage.input.saturating_sub(usage.cached).saturating_sub(usage.cache_write);
    let parts = [
        (fresh, rates.input),
        (usage.cached, rates.cached),
        (usage.cache_write, rates.cache_write),
        (usage.output, rates.output),
    ];
    let sum = parts
        .iter()
        .fold(0u128, |sum, (tokens, rate)| sum.saturating_add(u128::from(*tokens).saturating_mul(u128::from(*rate))));
    i64::try_from(sum.saturating_add(500_000) / 1_000_000).unwrap_or(i64::MAX)
}

/// `*` stands for any text, also for none.
fn matches_pattern(pattern: &str, model: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or("");
    let Some(mut rest) = model.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const USD: u64 = 1_000_000_000;

    fn usage(input: u64, cached: u64, cache_write: u64, output: u64) -> TokenUsage {
        TokenUsage { input, cached, cache_write, output, ..TokenUsage::default() }
    }

    fn line(provider: &str, model: &str, input: u64) -> Price {
        Price {
            provider: provider.into(),
            model: model.into(),
            input,
            cached_input: None,
            output: input.saturating_mul(2),
        }
    }

    #[test]
    fn built_in_prices() {
        let prices = PriceList::built_in_with(vec![]);
        let check = |model: &str, usage: TokenUsage, nano: Option<i64>| {
            assert_eq!(prices.cost("any", model, &usage), nano, "{model}");
        };
        // 800 × 0.15 + 200 × 0.075 + 100 × 0.60 USD per million.
        check("gpt-4o-mini", usage(1_000, 200, 0, 100), Some(195_000));
        check("gpt-4o-mini-2024-07-18", usage(1_000, 200, 0, 100), Some(195_000));
        check("openai/gpt-4o-mini", usage(1_000, 200, 0, 100), Some(195_000));
        check("gpt-4o", usage(1_000_000, 0, 0, 1_000_000), Some(12_500_000_000));
        check("gpt-4o-2024-05-13", usage(1_000_000, 0, 0, 1_000_000), Some(20_000_000_000));
        check("text-embedding-3-small", usage(1_000_000, 0, 0, 0), Some(20_000_000));
        // Anthropic: 100 fresh, 1000 read from the cache, 500 written to it.
        check(
            "claude-sonnet-4-5-20250929",
            usage(1_600, 1_000, 500, 10),
            Some(300_000 + 300_000 + 1_875_000 + 150_000),
        );
        check("claude-3-5-haiku-latest", usage(1_000, 0, 0, 0), Some(800_000));
        // Beyond 200,000 tokens of prompt the whole call has the higher price.
        check("gemini-2.5-pro", usage(200_000, 0, 0, 0), Some(250_000_000));
        check("gemini-2.5-pro", usage(200_001, 0, 0, 0), Some(500_002_500));
        // Siblings that are priced otherwise are not taken for a dated member of the family.
        for unknown in [
            "gpt-4o-audio-preview",
            "gpt-4o-realtime-preview",
            "ft:gpt-4o-mini-2024-07-18:a::b",
            "claude-opus-4-9-20990101",
            "x",
            "",
        ] {
            check(unknown, usage(10, 0, 0, 10), None);
        }
        check("gpt-4o-mini", usage(0, 0, 0, 0), Some(0));
    }

    #[test]
    fn the_policys_lines_come_first() {
        let prices = PriceList::built_in_with(vec![
            line("azure", "gpt-4o*", 7 * USD),
            line("", "local-*", 0),
            line("", "gpt-4o-mini", 3 * USD),
        ]);
        let million = usage(1_000_000, 500_000, 0, 0);
        assert_eq!(prices.cost("azure", "gpt-4o-mini", &million), Some(7_000_000_000));
        assert_eq!(prices.cost("openai", "gpt-4o-mini", &million), Some(3_000_000_000));
        assert_eq!(prices.cost("openai", "gpt-4o", &million), Some(1_875_000_000));
        assert_eq!(prices.cost("", "local-llama", &million), Some(0));
    }

    #[test]
    fn rounds_half_up_once() {
        let list = |input| PriceList::built_in_with(vec![line("", "m", input)]);
        let one = usage(1, 0, 0, 0);
        assert_eq!(list(499_999).cost("", "m", &one), Some(0));
        assert_eq!(list(500_000).cost("", "m", &one), Some(1));
        assert_eq!(list(1_499_999).cost("", "m", &one), Some(1));
        // Two halves together are one, not two that were rounded up.
        assert_eq!(list(500_000).cost("", "m", &usage(2, 1, 0, 0)), Some(1));
    }

    #[test]
    fn patterns() {
        for (pattern, model, expected) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("a*", "a", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("*b*", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches_pattern(pattern, model), expected, "{pattern} {model}");
        }
    }

    proptest! {
        /// Against arithmetic with a remainder; and no part is charged twice.
        #[test]
        fn exact(input in 0u64..1_000_000, cached in 0u64..1_000_000, output in 0u64..1_000_000,
                 p in 0u64..100_000_000_000, c in 0u64..100_000_000_000, o in 0u64..100_000_000_000) {
            let cached = cached.min(input);
            let list = PriceList::built_in_with(vec![Price {
                provider: String::new(), model: "m".into(), input: p, cached_input: Some(c), output: o,
            }]);
            let cost = i128::from(list.cost("", "m", &usage(input, cached, 0, output)).expect("priced"));
            let exact = i128::from(input - cached) * i128::from(p) + i128::from(cached) * i128::from(c)
                + i128::from(output) * i128::from(o);
            let error = cost * 1_000_000 - exact;
            prop_assert!((-500_000 < error) && (error <= 500_000), "{error}");
        }

        #[test]
        fn never_panics(input: u64, cached: u64, cache_write: u64, output: u64, model in "[a-z0-9*/.-]{0,20}") {
            let list = PriceList::built_in_with(vec![line("", "*", u64::MAX)]);
            prop_assert!(list.cost("", &model, &usage(input, cached, cache_write, output)).is_some());
        }
    }
}
