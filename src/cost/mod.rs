//! Prices, and what a call cost: integers of 10⁻⁹ USD, exact.
//!
//! Stage 12 of the walk. Pure. A price is in 10⁻⁹ USD per million tokens, so the cost of a call is
//! a sum of whole products, divided by a million once, at the end, and rounded half up there.
//!
//! Promises: no floating point; no tokens cost nothing; a call for which no line was made (an
//! unknown model, a built-in one in a service tier without a rate, sound without a rate or out of a
//! cache, an unknown place of inference) has no cost, not a cost of zero and not a guess. A
//! policy's line without a tier is for all tiers; a call that was computed in the United States
//! costs [`US`] times the usual line, unless there is a line for `standard_us`. Looking a price up
//! allocates nothing and takes the same time however long the list is (patterns with `*` apart).
//! Does not: know what is charged beside tokens (web searches, images, seconds), or discounts that
//! were negotiated.

mod built_in;
pub mod import;
pub mod output;

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use tollgate_wire::usage::{ServiceTier, TokenUsage};

use crate::digest::{hex, sha256};
use crate::glob;

pub use built_in::AS_OF;

/// Prices by provider and model, and the name of the whole list.
#[derive(Debug)]
pub struct PriceList {
    /// The policy's lines, those of the same provider and model together; the first group that has
    /// a line for a call counts.
    groups: Vec<Group>,
    /// Groups of exactly one model, by its name.
    exact: HashMap<String, Vec<usize>>,
    /// Groups whose model has a `*`.
    patterns: Vec<usize>,
    /// The built-in families, by the name that all members begin with.
    families: HashMap<&'static str, &'static built_in::Family>,
    version: Arc<str>,
}

#[derive(Debug)]
struct Group {
    provider: String,
    model: String,
    lines: Vec<Price>,
}

/// One line of `prices:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A provider's name in the policy, or empty for any.
    pub provider: String,
    /// A model, or a pattern with `*`.
    pub model: String,
    /// The line is for calls with more input than this many tokens, all of such a call; 0: for all
    /// calls.
    pub above: u64,
    /// The line is for calls that were served so; absent: for all of which there is no line of
    /// their own.
    pub tier: Option<ServiceTier>,
    /// The line is for calls that began at this millisecond (since 1970, UTC) or later, until a
    /// later line takes its place.
    pub from_ms: i64,
    pub rates: Rates,
}

/// The price of each kind of token, in 10⁻⁹ USD per million.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Input that is none of the following.
    pub input: u64,
    /// Input read from the provider's cache.
    pub cached: u64,
    /// Input written to the provider's cache.
    pub cache_write: u64,
    /// Input written to the provider's cache for an hour.
    pub cache_write_1h: u64,
    pub output: u64,
    /// Sound; without it, calls with sound have no price.
    pub audio_input: Option<u64>,
    pub audio_output: Option<u64>,
}

impl Rates {
    /// The rates of a model whose prompt tokens all cost the same, and which has no price for
    /// sound.
    pub const fn of(input: u64, output: u64) -> Rates {
        Rates {
            input,
            cached: input,
            cache_write: input,
            cache_write_1h: input,
            output,
            audio_input: None,
            audio_output: None,
        }
    }
}

/// The conditions on which the price of a call depends.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The provider's name in the policy.
    pub provider: &'a str,
    /// As answered; may be empty.
    pub response_model: &'a str,
    /// As asked for.
    pub model: &'a str,
    pub usage: TokenUsage,
    /// When the call began, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The cost of a call and its parts, in 10⁻⁹ USD. The four parts add up to the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    pub total: i64,
    /// Prompt tokens that the cache neither served nor took, sound included.
    pub input: i64,
    /// Prompt tokens read from the cache.
    pub cached: i64,
    /// Prompt tokens written to the cache.
    pub cache_write: i64,
    /// Answer tokens, sound included.
    pub output: i64,
    /// The cached tokens at the rate of input, less their part.
    pub saved: i64,
}

impl Cost {
    /// The cost, if it is not more than `most`; else one of `most`, with parts that still add up.
    pub fn at_most(mut self, most: i64) -> Cost {
        let mut left = most;
        for part in [&mut self.input, &mut self.cached, &mut self.cache_write, &mut self.output] {
            *part = (*part).min(left);
            left -= *part;
        }
        Cost { total: most - left, saved: self.saved.clamp(-most, most), ..self }
    }
}

/// One line of the whole list, for people to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub price: Price,
    /// `policy`, or where a built-in line is from and when it was looked up.
    pub source: String,
}

impl PriceList {
    /// The built-in list, with `own` lines before it.
    pub fn built_in_with(own: Vec<Price>) -> PriceList {
        let mut list = PriceList {
            groups: Vec::new(),
            exact: HashMap::new(),
            patterns: Vec::new(),
            families: built_in::FAMILIES.iter().map(|family| (family.model, family)).collect(),
            version: Arc::from(""),
        };
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for price in own {
            let at =
                *places.entry((price.provider.clone(), price.model.clone())).or_insert_with(|| {
                    list.groups.push(Group {
                        provider: price.provider.clone(),
                        model: price.model.clone(),
                        lines: Vec::new(),
                    });
                    list.groups.len() - 1
                });
            list.groups[at].lines.push(price);
        }
        for (at, group) in list.groups.iter().enumerate() {
            if group.model.contains('*') {
                list.patterns.push(at);
            } else {
                list.exact.entry(group.model.clone()).or_default().push(at);
            }
        }
        list.version = list.digest();
        list
    }

    /// Names this list: the day of the built-in lines and eight digits of a digest over every line
    /// that is in force.
    pub fn version(&self) -> &Arc<str> {
        &self.version
    }

    /// The cost of a call: by a line of the policy for the model that answered, or for the one that
    /// was asked for (a name of one's own, perhaps, with a price that was negotiated); then by the
    /// built-in prices of the one or the other.
    pub fn of_call(&self, call: &Call<'_>) -> Option<Cost> {
        let Call { provider, usage, at_ms, .. } = call;
        let names =
            || [call.response_model, call.model].into_iter().filter(|name| !name.is_empty());
        let own = names().find_map(|model| self.own_line(provider, model, usage, *at_ms));
        match own {
            Some(price) => price.amount(usage),
            None => names().find_map(|model| self.built_in(model, usage, *at_ms)),
        }
    }

    /// The cost of a call, in 10⁻⁹ USD; nothing if there is no price for it. `provider` is the
    /// provider's name in the policy; it may be empty. `at_ms` is when the call began, in
    /// milliseconds since 1970.
    ///
    /// ```text
    /// gpt-4o-mini, 1000 tokens in (200 of them cached), 100 out:
    /// (800 × 0.15 + 200 × 0.075 + 100 × 0.60) USD / 10⁶ = 0.000195 USD
    /// ```
    pub fn cost(&self, provider: &str, model: &str, usage: &TokenUsage, at_ms: i64) -> Option<i64> {
        let cost = match self.own_line(provider, model, usage, at_ms) {
            Some(price) => price.amount(usage),
            None => self.built_in(model, usage, at_ms),
        };
        cost.map(|cost| cost.total)
    }

    fn built_in(&self, model: &str, usage: &TokenUsage, at_ms: i64) -> Option<Cost> {
        amount(&self.family(model)?.rates(usage, at_ms)?, usage, ONE)
    }

    /// Every line, the policy's first.
    pub fn lines(&self) -> Vec<Listed> {
        let own = self.groups.iter().flat_map(|group| &group.lines);
        let own = own.map(|price| Listed { price: price.clone(), source: "policy".to_owned() });
        own.chain(built_in::FAMILIES.iter().flat_map(built_in::Family::lines)).collect()
    }

    fn own_line(
        &self,
        provider: &str,
        model: &str,
        usage: &TokenUsage,
        at_ms: i64,
    ) -> Option<&Price> {
        let line = |at: &usize| {
            let group = &self.groups[*at];
            let fits = group.provider.is_empty() || group.provider == provider;
            if fits { Some((*at, group.line(usage, at_ms)?)) } else { None }
        };
        let exact = self.exact.get(model).and_then(|groups| groups.iter().find_map(line));
        let pattern = self
            .patterns
            .iter()
            .take_while(|at| exact.is_none_or(|(first, _)| **at < first))
            .find_map(
                |at| if glob::matches(&self.groups[*at].model, model) { line(at) } else { None },
            );
        pattern.or(exact).map(|(_, price)| price)
    }

    fn family(&self, model: &str) -> Option<&'static built_in::Family> {
        // Some servers name a model with its maker before it: `openai/gpt-4o`,
        // `models/gemini-2.5-pro`.
        let name = model.rsplit('/').next().unwrap_or(model);
        let mut begin = name;
        loop {
            let (head, tail) = (begin, name.get(begin.len() + 1..));
            if let Some(family) = self.families.get(head)
                && tail.is_none_or(built_in::is_snapshot)
            {
                return Some(family);
            }
            begin = &begin[..begin.rfind('-')?];
        }
    }

    fn digest(&self) -> Arc<str> {
        let mut text = String::new();
        for Listed { price, source } in self.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{price:?} {source}");
        }
        let begin = hex(&sha256(text.as_bytes())[..4]);
        Arc::from(format!("{AS_OF}.{begin}"))
    }
}

impl Price {
    /// The cost of a call of this line.
    fn amount(&self, usage: &TokenUsage) -> Option<Cost> {
        let is_for_us = self.tier == Some(ServiceTier::StandardUs);
        let factor = if usage.tier == ServiceTier::StandardUs && !is_for_us { US } else { ONE };
        amount(&self.rates, usage, factor)
    }

    /// The day that the line begins with, `2027-01-01`; absent where it is for all days.
    pub fn first_day(&self) -> Option<String> {
        let begin =
            jiff::Timestamp::from_millisecond(self.from_ms).ok().filter(|_| self.from_ms != 0)?;
        Some(begin.to_zoned(jiff::tz::TimeZone::UTC).date().to_string())
    }
}

impl Group {
    /// The line for a call: one of its tier before one for all; of those the newest at its time,
    /// and of those the one with the highest bound that it is above.
    fn line(&self, usage: &TokenUsage, at_ms: i64) -> Option<&Price> {
        let best = |tier: Option<ServiceTier>| {
            let fits = |price: &&Price| {
                price.tier == tier
                    && price.from_ms <= at_ms
                    && (price.above == 0 || usage.input > price.above)
            };
            // Of two lines that are the same the first counts, which is the last of the greatest
            // here.
            self.lines.iter().rev().filter(fits).max_by_key(|price| (price.from_ms, price.above))
        };
        match usage.tier {
            ServiceTier::OtherGeo => None,
            ServiceTier::StandardUs => {
                best(Some(usage.tier)).or_else(|| best(Some(ServiceTier::Standard)))
            }
            tier => best(Some(tier)),
        }
        .or_else(|| best(None).filter(|_| usage.tier != ServiceTier::OtherGeo))
    }
}

/// A numerator and a denominator.
type Factor = (u64, u64);

const ONE: Factor = (1, 1);
/// Anthropic's `inference_geo: us`: every kind of token costs a tenth more.
///
/// # Source
/// platform.claude.com/docs/en/manage-claude/data-residency, November 2026.
pub const US: Factor = (11, 10);

fn amount(rates: &Rates, usage: &TokenUsage, factor: Factor) -> Option<Cost> {
    let rate = |tokens: u64, rate: Option<u64>| if tokens == 0 { Some(0) } else { rate };
    // Where the parts are more than the whole, some of the sound came out of the cache, for which
    // no list has a rate.
    let apart = usage.cached.saturating_add(usage.cache_write).saturating_add(usage.audio_input);
    if usage.audio_input > 0 && apart > usage.input {
        return None;
    }
    let fresh = usage
        .input
        .saturating_sub(usage.cached)
        .saturating_sub(usage.cache_write)
        .saturating_sub(usage.audio_input);
    let written_1h = usage.cache_write_1h.min(usage.cache_write);
    let sum = |parts: &[(u64, u64)]| {
        let products = parts.iter().map(|(tokens, rate)| u128::from(*tokens) * u128::from(*rate));
        products.fold(0, u128::saturating_add).saturating_mul(u128::from(factor.0))
    };
    let written = usage.cache_write - written_1h;
    let spoken = usage.output.saturating_sub(usage.audio_output);
    let sums = [
        sum(&[
            (fresh, rates.input),
            (usage.audio_input, rate(usage.audio_input, rates.audio_input)?),
        ]),
        sum(&[(usage.cached, rates.cached)]),
        sum(&[(written, rates.cache_write), (written_1h, rates.cache_write_1h)]),
        sum(&[
            (spoken, rates.output),
            (usage.audio_output, rate(usage.audio_output, rates.audio_output)?),
        ]),
    ];
    let uncached = sum(&[(usage.cached, rates.input)]);
    Some(shares(sums, uncached, 1_000_000 * u128::from(factor.1)))
}

/// Divides the sums so that the whole is rounded half up once, and its parts add up to it: they are
/// rounded down, and what is left goes to those that lost most.
fn shares(sums: [u128; 4], uncached: u128, divisor: u128) -> Cost {
    let int = |amount: u128| i64::try_from(amount).unwrap_or(i64::MAX);
    let whole = sums.iter().fold(0, |all: u128, sum| all.saturating_add(*sum));
    let total = int(whole.saturating_add(divisor / 2) / divisor);
    let saved = {
        let (more, less) = (uncached.max(sums[1]), uncached.min(sums[1]));
        let difference = int((more - less).saturating_add(divisor / 2) / divisor);
        if uncached < sums[1] { -difference } else { difference }
    };
    let mut parts = sums.map(|sum| int(sum / divisor));
    let mut lost = sums.map(|sum| sum % divisor);
    let mut left = total.saturating_sub(parts.iter().fold(0, |all: i64, p| all.saturating_add(*p)));
    while left > 0 {
        let most = (0..4).rev().max_by_key(|at| lost[*at]).unwrap_or(0);
        parts[most] += 1;
        (lost[most], left) = (0, left - 1);
    }
    let [input, cached, cache_write, output] = parts;
    let cost = Cost { total, input, cached, cache_write, output, saved };
    // Only an amount beyond the largest number has parts that do not fit.
    if total == i64::MAX { cost.at_most(total) } else { cost }
}

/// Whether a model matches one of the patterns, or there are none.
pub fn any_matches(patterns: &[String], model: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob::matches(pattern, model))
}

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
