//! The built-in price list: models of OpenAI, Anthropic and Google that are charged by the token.
//!
//! Pure data. A line prices a family: the model of that name, its `-latest` alias and its dated
//! snapshots (`-2024-07-18`, `-20250929`, `-001`), nothing else, so that a sibling with another
//! price (`gpt-4o-search-preview`) is unpriced rather than wrong. A service tier that a line does
//! not name is unpriced, too.
//!
//! # Source
//! Price pages of the makers (platform.openai.com/docs/pricing, claude.com/pricing,
//! ai.google.dev/gemini-api/docs/pricing) as they are in two public collections of November 2026,
//! genai-prices 0.2.3 and LiteLLM 1.109.1. Where the two disagree about a model, or one lacks it
//! and it is recent, it is left out. `prices:` in the policy comes first.

use tollgate_wire::usage::{ServiceTier, TokenUsage};

use super::{Factor, Listed, ONE, Price, Rates, US};

/// The day on which the list was last compared with its sources.
pub const AS_OF: &str = "2026-11-23";

/// A model and its snapshots. Amounts in millionths of a USD per million tokens, so that all of
/// them are whole.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) model: &'static str,
    maker: Maker,
    input: u64,
    cached: u64,
    cache_write: u64,
    cache_write_1h: u64,
    output: u64,
    audio_input: Option<u64>,
    audio_output: Option<u64>,
    long: Option<Long>,
    flex: Option<Factor>,
    batch: Option<Factor>,
    priority: Option<Factor>,
    us: Option<Factor>,
    /// From this millisecond on all of it costs so many times as much.
    later: Option<(i64, Factor)>,
}

#[derive(Clone, Copy, Debug)]
enum Maker {
    OpenAi,
    Anthropic,
    Google,
}

/// Calls with more input than `above` tokens have other rates, all of the call.
#[derive(Clone, Copy, Debug)]
struct Long {
    above: u64,
    input: Factor,
    output: Factor,
}

/// The table is such that all divisions by factors are exact.
const HALF: Factor = (1, 2);

/// 10⁻⁹ USD, from millionths.
const MICRO: u64 = 1_000;

/// 2026-12-01 and 2027-01-01, midnight UTC.
const DECEMBER: i64 = 1_796_083_200_000;
const NEW_YEAR: i64 = 1_798_761_600_000;

impl Family {
    /// The rates of a call that began at `at_ms`; nothing if it was served in a way that this line
    /// does not price.
    pub(crate) fn rates(&self, usage: &TokenUsage, at_ms: i64) -> Option<Rates> {
        let tier = match usage.tier {
            ServiceTier::Unknown | ServiceTier::Standard => ONE,
            ServiceTier::Flex => self.flex?,
            ServiceTier::Priority => self.priority?,
            ServiceTier::Batch => self.batch?,
            ServiceTier::StandardUs => self.us?,
            ServiceTier::Scale | ServiceTier::OtherGeo | ServiceTier::Other => return None,
        };
        let later = self.later.filter(|(from, _)| at_ms >= *from).map_or(ONE, |(_, factor)| factor);
        let long = self
            .long
            .filter(|long| usage.input > long.above)
            .map_or((ONE, ONE), |l| (l.input, l.output));
        Some(self.times(&[tier, later, long.0], &[tier, later, long.1]))
    }

    fn times(&self, input: &[Factor], output: &[Factor]) -> Rates {
        let scale = |amount: u64, factors: &[Factor]| {
            let (up, down) =
                factors.iter().fold((1, 1), |(n, d), factor| (n * factor.0, d * factor.1));
            amount * MICRO * up / down
        };
        Rates {
            cached: scale(self.cached, input),
            cache_write: scale(self.cache_write, input),
            cache_write_1h: scale(self.cache_write_1h, input),
            audio_input: self.audio_input.map(|amount| scale(amount, input)),
            audio_output: self.audio_output.map(|amount| scale(amount, output)),
            ..Rates::of(scale(self.input, input), scale(self.output, output))
        }
    }

    /// The family as lines of a list.
    pub(crate) fn lines(&self) -> Vec<Listed> {
        let tiers = [
            (None, Some(ONE)),
            (Some(ServiceTier::Flex), self.flex),
            (Some(ServiceTier::Batch), self.batch),
            (Some(ServiceTier::Priority), self.priority),
            (Some(ServiceTier::StandardUs), self.us),
        ];
        let days = [Some((0, ONE)), self.later];
        let lengths =
            [Some((0, ONE, ONE)), self.long.map(|long| (long.above, long.input, long.output))];
        let mut lines = Vec::new();
        for (tier, factor) in tiers.into_iter().filter_map(|(tier, factor)| Some((tier, factor?))) {
            for (from_ms, later) in days.into_iter().flatten() {
                for (above, input, output) in lengths.into_iter().flatten() {
                    let rates = self.times(&[factor, later, input], &[factor, later, output]);
                    let price = Price {
                        provider: String::new(),
                        model: self.model.to_owned(),
                        above,
                        tier,
                        from_ms,
                        rates,
                    };
                    lines.push(Listed { price, source: format!("{}, {AS_OF}", self.maker.page()) });
                }
            }
        }
        lines
    }

    const fn new(
        maker: Maker,
        model: &'static str,
        input: u64,
        cached: u64,
        output: u64,
    ) -> Family {
        Family {
            model,
            maker,
            input,
            cached,
            cache_write: input,
            cache_write_1h: input,
            output,
            audio_input: None,
            audio_output: None,
            long: None,
            flex: None,
            batch: None,
            priority: None,
            us: None,
            later: None,
        }
    }

    const fn writes(mut self, five_minutes: u64, hour: u64) -> Family {
        self.cache_write = five_minutes;
        self.cache_write_1h = hour;
        self
    }

    const fn audio(mut self, input: Option<u64>, output: Option<u64>) -> Family {
        self.audio_input = input;
        self.audio_output = output;
        self
    }

    const fn long(mut self, above: u64, input: Factor, output: Factor) -> Family {
        self.long = Some(Long { above, input, output });
        self
    }

    const fn flex(mut self) -> Family {
        self.flex = Some(HALF);
        self
    }

    const fn batch(mut self) -> Family {
        self.batch = Some(HALF);
        self
    }

    const fn priority(mut self, factor: Factor) -> Family {
        self.priority = Some(factor);
        self
    }

    /// The place of inference can be chosen.
    const fn us(mut self) -> Family {
        self.us = Some(US);
        self
    }

    const fn later(mut self, from_ms: i64, factor: Factor) -> Family {
        self.later = Some((from_ms, factor));
        self
    }
}

impl Maker {
    const fn page(self) -> &'static str {
        match self {
            Maker::OpenAi => "platform.openai.com/docs/pricing",
            Maker::Anthropic => "claude.com/pricing",
            Maker::Google => "ai.google.dev/gemini-api/docs/pricing",
        }
    }
}

/// Whether what follows a family's name and a dash names a snapshot of it: `latest`, or digits and
/// dashes as in `2024-07-18`, `20250929`, `0613`, `001`.
pub(crate) fn is_snapshot(tail: &str) -> bool {
    let digits_or_dashes = tail.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    // Three digits at once, so that `4-1` is no snapshot of `4`.
    let date =
        (3..=10).contains(&tail.len()) && digits_or_dashes && !tail.as_bytes()[..3].contains(&b'-');
    tail == "latest" || date
}

/// Input, cached input, output.
const fn openai(model: &'static str, input: u64, cached: u64, output: u64) -> Family {
    Family::new(Maker::OpenAi, model, input, cached, output)
}

/// A model without a rate for cached input of its own.
const fn plain(model: &'static str, input: u64, output: u64) -> Family {
    Family::new(Maker::OpenAi, model, input, input, output)
}

/// From 5.6 on: writing to the cache costs a quarter more than input, long prompts twice as much,
/// haste too.
const fn openai_6(model: &'static str, input: u64, cached: u64, output: u64) -> Family {
    let (write, twice, more) = (input / 4 * 5, (2, 1), (3, 2));
    openai(model, input, cached, output)
        .writes(write, write)
        .long(272_000, twice, more)
        .flex()
        .batch()
        .priority(twice)
}

/// Writing to the cache costs a quarter more than input, for an hour twice as much as input.
const fn claude(model: &'static str, input: u64, cached: u64, output: u64) -> Family {
    Family::new(Maker::Anthropic, model, input, cached, output).writes(input / 4 * 5, input * 2)
}

const fn google(model: &'static str, input: u64, cached: u64, output: u64) -> Family {
    Family::new(Maker::Google, model, input, cached, output)
}

/// Every family.
pub(crate) static FAMILIES: &[Family] = &[
    openai_6("gpt-6.1-sol", 2_000_000, 100_000, 10_000_000),
    openai_6("gpt-6.1-terra", 1_000_000, 50_000, 5_000_000),
    openai_6("gpt-6-astra", 10_000_000, 1_000_000, 50_000_000),
    openai_6("gpt-6-sol", 2_000_000, 200_000, 10_000_000),
    openai_6("gpt-6-luna", 100_000, 10_000, 500_000),
    openai_6("gpt-5.6-sol", 4_000_000, 400_000, 20_000_000),
    openai_6("gpt-5.6-terra", 2_000_000, 200_000, 12_000_000),
    openai_6("gpt-5.6-luna", 200_000, 20_000, 1_200_000),
    openai("gpt-5.5", 5_000_000, 500_000, 30_000_000).long(272_000, (2, 1), (3, 2)).flex().batch(),
    plain("gpt-5.5-pro", 30_000_000, 180_000_000).long(272_000, (2, 1), (3, 2)),
    openai("gpt-5.4", 2_500_000, 250_000, 15_000_000).long(272_000, (2, 1), (3, 2)),
    plain("gpt-5.4-pro", 30_000_000, 180_000_000).long(272_000, (2, 1), (3, 2)).flex().batch(),
    openai("gpt-5.4-mini", 750_000, 75_000, 4_500_000).flex().batch().priority((2, 1)),
    openai("gpt-5.4-nano", 200_000, 20_000, 1_250_000).flex().batch(),
    openai("gpt-5.3-codex", 1_750_000, 175_000, 14_000_000).priority((2, 1)),
    openai("gpt-5.3-chat", 1_750_000, 175_000, 14_000_000),
    openai("gpt-5.2", 1_750_000, 175_000, 14_000_000).flex().batch().priority((2, 1)),
    openai("gpt-5.2-chat", 1_750_000, 175_000, 14_000_000),
    openai("gpt-5.2-codex", 1_750_000, 175_000, 14_000_000),
    plain("gpt-5.2-pro", 21_000_000, 168_000_000).batch(),
    openai("gpt-5.1", 1_250_000, 125_000, 10_000_000).flex().batch().priority((2, 1)),
    openai("gpt-5.1-chat", 1_250_000, 125_000, 10_000_000),
    openai("gpt-5.1-codex", 1_250_000, 125_000, 10_000_000),
    openai("gpt-5.1-codex-max", 1_250_000, 125_000, 10_000_000),
    openai("gpt-5.1-codex-mini", 250_000, 25_000, 2_000_000),
    openai("gpt-5", 1_250_000, 125_000, 10_000_000).flex().batch().priority((2, 1)),
    openai("gpt-5-chat", 1_250_000, 125_000, 10_000_000),
    openai("gpt-5-codex", 1_250_000, 125_000, 10_000_000),
    openai("gpt-5-mini", 250_000, 25_000, 2_000_000).flex().batch().priority((9, 5)),
    openai("gpt-5-nano", 50_000, 5_000, 400_000).flex().batch(),
    plain("gpt-5-pro", 15_000_000, 120_000_000).batch(),
    openai("gpt-4.1", 2_000_000, 500_000, 8_000_000).priority((7, 4)),
    openai("gpt-4.1-mini", 400_000, 100_000, 1_600_000).priority((7, 4)),
    openai("gpt-4.1-nano", 100_000, 25_000, 400_000).priority((2, 1)),
    openai("gpt-4o", 2_500_000, 1_250_000, 10_000_000).priority((17, 10)),
    plain("gpt-4o-2024-05-13", 5_000_000, 15_000_000).priority((7, 4)),
    openai("gpt-4o-mini", 150_000, 75_000, 600_000).priority((5, 3)),
    plain("gpt-audio", 2_500_000, 10_000_000).audio(Some(32_000_000), Some(64_000_000)),
    plain("gpt-audio-mini", 600_000, 2_400_000).audio(Some(10_000_000), Some(20_000_000)),
    plain("chatgpt-4o", 5_000_000, 15_000_000),
    plain("gpt-4-turbo", 10_000_000, 30_000_000),
    plain("gpt-4-turbo-preview", 10_000_000, 30_000_000),
    plain("gpt-4-0125-preview", 10_000_000, 30_000_000),
    plain("gpt-4-1106-preview", 10_000_000, 30_000_000),
    plain("gpt-4", 30_000_000, 60_000_000),
    plain("gpt-4-32k", 60_000_000, 120_000_000),
    plain("gpt-3.5-turbo", 500_000, 1_500_000),
    plain("gpt-3.5-turbo-0613", 1_500_000, 2_000_000),
    plain("gpt-3.5-turbo-1106", 1_000_000, 2_000_000),
    plain("gpt-3.5-turbo-16k", 3_000_000, 4_000_000),
    plain("gpt-3.5-turbo-instruct", 1_500_000, 2_000_000),
    openai("o1", 15_000_000, 7_500_000, 60_000_000),
    openai("o1-mini", 1_100_000, 550_000, 4_400_000),
    plain("o1-pro", 150_000_000, 600_000_000).batch(),
    openai("o3", 2_000_000, 500_000, 8_000_000).flex().priority((7, 4)),
    openai("o3-mini", 1_100_000, 550_000, 4_400_000),
    plain("o3-pro", 20_000_000, 80_000_000).batch(),
    openai("o3-deep-research", 10_000_000, 2_500_000, 40_000_000),
    openai("o4-mini", 1_100_000, 275_000, 4_400_000).priority((20, 11)),
    openai("o4-mini-deep-research", 2_000_000, 500_000, 8_000_000),
    openai("codex-mini", 1_500_000, 375_000, 6_000_000),
    plain("text-embedding-3-small", 20_000, 0).batch(),
    plain("text-embedding-3-large", 130_000, 0).batch(),
    plain("text-embedding-ada-002", 100_000, 0),
    plain("omni-moderation", 0, 0),
    plain("text-moderation", 0, 0),
    claude("claude-fable-5-1", 10_000_000, 250_000, 50_000_000).batch().us(),
    claude("claude-fable-5", 10_000_000, 1_000_000, 50_000_000).batch().us(),
    claude("claude-opus-5-5", 4_000_000, 200_000, 20_000_000).batch().us(),
    claude("claude-opus-5", 5_000_000, 500_000, 25_000_000).batch().us(),
    claude("claude-opus-4-8", 5_000_000, 500_000, 25_000_000).batch().us(),
    claude("claude-opus-4-7", 5_000_000, 500_000, 25_000_000).batch().us(),
    claude("claude-opus-4-6", 5_000_000, 500_000, 25_000_000).batch().us(),
    claude("claude-opus-4-5", 5_000_000, 500_000, 25_000_000).batch(),
    claude("claude-opus-4-1", 15_000_000, 1_500_000, 75_000_000),
    claude("claude-opus-4-0", 15_000_000, 1_500_000, 75_000_000),
    claude("claude-opus-4", 15_000_000, 1_500_000, 75_000_000),
    claude("claude-sonnet-5-5", 2_000_000, 100_000, 10_000_000).batch().us(),
    claude("claude-sonnet-5", 2_000_000, 200_000, 10_000_000).batch().us(),
    claude("claude-sonnet-4-6", 3_000_000, 300_000, 15_000_000).batch().us(),
    claude("claude-sonnet-4-5", 3_000_000, 300_000, 15_000_000)
        .long(200_000, (2, 1), (3, 2))
        .batch(),
    claude("claude-sonnet-4-0", 3_000_000, 300_000, 15_000_000).long(200_000, (2, 1), (3, 2)),
    claude("claude-sonnet-4", 3_000_000, 300_000, 15_000_000).long(200_000, (2, 1), (3, 2)),
    claude("claude-3-7-sonnet", 3_000_000, 300_000, 15_000_000),
    claude("claude-3-5-sonnet", 3_000_000, 300_000, 15_000_000),
    claude("claude-3-sonnet", 3_000_000, 300_000, 15_000_000),
    claude("claude-haiku-5-5", 100_000, 10_000, 500_000).long(100_000, (5, 1), (5, 1)).batch().us(),
    claude("claude-haiku-4-5", 1_000_000, 100_000, 5_000_000).batch(),
    claude("claude-3-5-haiku", 800_000, 80_000, 4_000_000),
    claude("claude-3-opus", 15_000_000, 1_500_000, 75_000_000),
    claude("claude-3-haiku", 250_000, 30_000, 1_250_000).writes(300_000, 500_000),
    google("gemini-4-argon", 2_000_000, 100_000, 10_000_000).later(DECEMBER, (2, 1)),
    google("gemini-3.8-flash", 750_000, 75_000, 3_750_000).later(NEW_YEAR, (2, 1)),
    google("gemini-3.7-flash", 750_000, 75_000, 3_750_000).later(NEW_YEAR, (2, 1)),
    google("gemini-3.6-flash", 750_000, 75_000, 3_750_000).later(NEW_YEAR, (2, 1)),
    google("gemini-3.5-flash", 1_500_000, 150_000, 9_000_000)
        .audio(Some(1_500_000), None)
        .priority((9, 5)),
    google("gemini-3.5-flash-lite", 300_000, 30_000, 2_500_000),
    google("gemini-3.1-flash-lite", 250_000, 25_000, 1_500_000)
        .audio(Some(500_000), None)
        .priority((9, 5)),
    google("gemini-3-flash-preview", 500_000, 50_000, 3_000_000)
        .audio(Some(1_000_000), None)
        .priority((9, 5)),
    google("gemini-3.1-pro-preview", 2_000_000, 200_000, 12_000_000)
        .long(200_000, (2, 1), (3, 2))
        .priority((9, 5)),
    google("gemini-3-pro-preview", 2_000_000, 200_000, 12_000_000).long(200_000, (2, 1), (3, 2)),
    google("gemini-2.5-pro", 1_250_000, 125_000, 10_000_000)
        .long(200_000, (2, 1), (3, 2))
        .priority((9, 5)),
    google("gemini-2.5-flash", 300_000, 30_000, 2_500_000)
        .audio(Some(1_000_000), None)
        .priority((9, 5)),
    google("gemini-2.5-flash-lite", 100_000, 10_000, 400_000)
        .audio(Some(300_000), None)
        .priority((9, 5)),
    google("gemini-2.0-flash", 100_000, 25_000, 400_000).audio(Some(700_000), None),
    google("gemini-2.0-flash-lite", 75_000, 75_000, 300_000),
    google("gemini-embedding-001", 150_000, 150_000, 0),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Every amount of every tier is a whole number: nothing was cut off by a division.
    #[test]
    fn every_factor_divides() {
        for family in FAMILIES {
            let amounts = [
                family.input,
                family.cached,
                family.cache_write,
                family.cache_write_1h,
                family.output,
            ];
            let long = family.long.map_or((ONE, ONE), |long| (long.input, long.output));
            for tier in
                [Some(ONE), family.flex, family.batch, family.priority].into_iter().flatten()
            {
                for factor in [ONE, long.0, long.1] {
                    for amount in amounts {
                        let (up, down) = (tier.0 * factor.0, tier.1 * factor.1);
                        assert_eq!(amount * MICRO * up % down, 0, "{} {tier:?}", family.model);
                    }
                }
            }
            assert!(family.cached <= family.input, "{}", family.model);
            assert!(
                family.cache_write_1h >= family.cache_write || family.input == 0,
                "{}",
                family.model
            );
        }
    }

    #[test]
    fn each_family_is_there_once() {
        let mut names: Vec<&str> = FAMILIES.iter().map(|family| family.model).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn days_are_what_they_are_called() {
        let ms = |day: jiff::civil::Date| {
            day.to_zoned(jiff::tz::TimeZone::UTC).expect("a day").timestamp().as_millisecond()
        };
        assert_eq!(DECEMBER, ms(jiff::civil::date(2026, 12, 1)));
        assert_eq!(NEW_YEAR, ms(jiff::civil::date(2027, 1, 1)));
        assert!(AS_OF.parse::<jiff::civil::Date>().is_ok());
    }
}
