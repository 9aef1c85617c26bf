//! Tests of the price list: what is charged, which line counts, and the arithmetic.

use proptest::prelude::*;

use super::*;

const USD: u64 = 1_000_000_000;
/// 2026-11-23.
const NOW: i64 = 1_795_392_000_000;

fn usage(input: u64, cached: u64, cache_write: u64, output: u64) -> TokenUsage {
    TokenUsage { input, cached, cache_write, output, ..TokenUsage::default() }
}

/// A line as the policy's short form gives it: everything that goes in costs the same.
fn line(provider: &str, model: &str, input: u64) -> Price {
    let rates = Rates::of(input, input.saturating_mul(2));
    Price {
        provider: provider.into(),
        model: model.into(),
        above: 0,
        tier: None,
        from_ms: 0,
        rates,
    }
}

#[test]
fn built_in_prices() {
    let prices = PriceList::built_in_with(vec![]);
    let check = |model: &str, usage: TokenUsage, nano: Option<i64>| {
        assert_eq!(prices.cost("any", model, &usage, NOW), nano, "{model}");
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
        "gpt-4o-",
        "-",
        "x",
        "",
    ] {
        check(unknown, usage(10, 0, 0, 10), None);
    }
    check("gpt-4o-mini", usage(0, 0, 0, 0), Some(0));
}

#[test]
fn tiers_writes_and_sound() {
    let prices = PriceList::built_in_with(vec![]);
    let million = usage(1_000_000, 0, 0, 1_000_000);
    let with = |tier: ServiceTier| TokenUsage { tier, ..million };
    for (model, usage, nano) in [
        ("gpt-5", with(ServiceTier::Standard), Some(11_250_000_000)),
        ("gpt-5", with(ServiceTier::Flex), Some(5_625_000_000)),
        ("gpt-5", with(ServiceTier::Batch), Some(5_625_000_000)),
        ("gpt-5", with(ServiceTier::Priority), Some(22_500_000_000)),
        ("gpt-4o-mini", with(ServiceTier::Priority), Some(1_250_000_000)),
        ("o4-mini", with(ServiceTier::Priority), Some(10_000_000_000)),
        // Not known, so not guessed.
        ("gpt-4o-mini", with(ServiceTier::Flex), None),
        ("gpt-5", with(ServiceTier::Other), None),
        ("claude-opus-4-5", with(ServiceTier::Priority), None),
        // Above 272,000 tokens, in haste: 2 × 2 × 2 and 2 × 1.5 × 10 USD per million.
        ("gpt-6-sol", with(ServiceTier::Priority), Some(38_000_000_000)),
        // An hour in the cache costs twice the input, five minutes a quarter more.
        (
            "claude-opus-4-5",
            TokenUsage { cache_write_1h: 600_000, ..usage(1_000_000, 0, 1_000_000, 0) },
            Some(8_500_000_000),
        ),
        // Sound: 0.4 M of text and 0.6 M of sound in, 0.5 M of each out.
        (
            "gpt-audio",
            TokenUsage { audio_input: 600_000, audio_output: 500_000, ..million },
            Some(1_000_000_000 + 19_200_000_000 + 5_000_000_000 + 32_000_000_000),
        ),
        ("gpt-4o", TokenUsage { audio_output: 1, ..million }, None),
        // Part of the sound must have come out of the cache, and no list has a rate for that.
        ("gpt-audio", TokenUsage { audio_input: 600_000, ..usage(1_000_000, 500_000, 0, 0) }, None),
    ] {
        assert_eq!(prices.cost("", model, &usage, NOW), nano, "{model} {usage:?}");
    }
}

#[test]
fn a_price_may_change_on_a_day() {
    let first_of_2027 = 1_798_761_600_000;
    let prices = PriceList::built_in_with(vec![
        Price { from_ms: first_of_2027, ..line("", "own", 3 * USD) },
        line("", "own", USD),
        Price { from_ms: first_of_2027, ..line("", "later", USD) },
    ]);
    let million = usage(1_000_000, 0, 0, 0);
    for (model, at_ms, nano) in [
        ("gemini-3.8-flash", first_of_2027 - 1, Some(750_000_000)),
        ("gemini-3.8-flash", first_of_2027, Some(1_500_000_000)),
        ("own", first_of_2027 - 1, Some(1_000_000_000)),
        ("own", first_of_2027, Some(3_000_000_000)),
        ("later", first_of_2027 - 1, None),
        ("later", first_of_2027, Some(1_000_000_000)),
    ] {
        assert_eq!(prices.cost("", model, &million, at_ms), nano, "{model} {at_ms}");
    }
}

#[test]
fn a_price_of_ones_own_for_the_name_asked_for_comes_before_a_built_in_one_for_the_answering_model()
{
    let prices = PriceList::built_in_with(vec![
        line("azure", "my-deployment", USD),
        line("", "gpt-4o-mini", 2 * USD),
    ]);
    let million = usage(1_000_000, 0, 0, 0);
    for (provider, response_model, model, nano) in [
        ("azure", "gpt-4o-2024-08-06", "my-deployment", Some(1_000_000_000)),
        ("openai", "gpt-4o-2024-08-06", "my-deployment", Some(2_500_000_000)),
        ("azure", "gpt-4o-mini", "my-deployment", Some(2_000_000_000)),
        ("openai", "", "gpt-4o-2024-08-06", Some(2_500_000_000)),
        ("openai", "nobody-knows", "gpt-4o", Some(2_500_000_000)),
        ("openai", "nobody-knows", "my-deployment", None),
    ] {
        let call = Call { provider, response_model, model, usage: million, at_ms: NOW };
        assert_eq!(
            prices.of_call(&call).map(|cost| cost.total),
            nano,
            "{provider} {response_model} {model}"
        );
    }
}

#[test]
fn the_policys_lines_come_first() {
    let prices = PriceList::built_in_with(vec![
        line("azure", "gpt-4o*", 7 * USD),
        line("", "local-*", 0),
        line("", "gpt-4o-mini", 3 * USD),
        line("", "gpt-4o-m*", 5 * USD),
        Price { tier: Some(ServiceTier::Flex), ..line("", "gpt-4o", USD) },
        Price { above: 100, ..line("", "gpt-4o", 2 * USD) },
        line("slow", "gpt-4o", 9 * USD),
    ]);
    let million = usage(1_000_000, 500_000, 0, 0);
    let small = usage(100, 0, 0, 0);
    let flex = TokenUsage { tier: ServiceTier::Flex, ..million };
    for (provider, model, usage, nano) in [
        ("azure", "gpt-4o-mini", million, 7_000_000_000),
        ("openai", "gpt-4o-mini", million, 3_000_000_000),
        ("openai", "gpt-4o-mega", million, 5_000_000_000),
        ("", "local-llama", million, 0),
        // Conditions: of the tier, above the bound, else the next group, else the built-in list.
        ("openai", "gpt-4o", flex, 1_000_000_000),
        ("openai", "gpt-4o", million, 2_000_000_000),
        ("slow", "gpt-4o", small, 900_000),
        ("openai", "gpt-4o", small, 250_000),
        // A tier without a line of its own costs what the policy says of the model.
        ("azure", "gpt-4o", flex, 7_000_000_000),
    ] {
        assert_eq!(
            prices.cost(provider, model, &usage, NOW),
            Some(nano),
            "{provider} {model} {usage:?}"
        );
    }
}

/// A place of inference has its factor, a line of its own, or no price; never the usual price.
#[test]
fn a_place_of_inference_is_priced_by_its_factor_or_not_at_all() {
    let tier = |name, price| Price { tier: Some(name), ..price };
    let prices = PriceList::built_in_with(vec![
        line("", "claude-opus-4-6", 3 * USD),
        line("", "claude-own", USD),
        tier(ServiceTier::Standard, line("", "claude-own", 2 * USD)),
        tier(ServiceTier::StandardUs, line("", "claude-far", 7 * USD)),
        line("", "claude-far", 5 * USD),
        Price { rates: Rates { input: 1, ..Rates::default() }, ..line("", "claude-odd", 0) },
    ]);
    let million = usage(1_000_000, 0, 0, 0);
    let us = TokenUsage { tier: ServiceTier::StandardUs, ..million };
    let elsewhere = TokenUsage { tier: ServiceTier::OtherGeo, ..million };
    for (model, usage, nano) in [
        ("claude-opus-4-6", us, Some(3_300_000_000)),
        ("claude-own", us, Some(2_200_000_000)),
        ("claude-far", us, Some(7_000_000_000)),
        // Half a nano-dollar is rounded once, at the end.
        ("claude-odd", us, Some(1)),
        ("claude-opus-4-8", us, Some(5_500_000_000)),
        // No such choice is offered for these.
        ("claude-opus-4-1", us, None),
        ("gpt-5", us, None),
        ("claude-opus-4-6", elsewhere, None),
        ("claude-own", elsewhere, None),
        ("claude-opus-4-8", elsewhere, None),
    ] {
        assert_eq!(prices.cost("", model, &usage, NOW), nano, "{model} {usage:?}");
    }
}

#[test]
fn the_version_names_the_list() {
    let version = |own: Vec<Price>| PriceList::built_in_with(own).version().to_string();
    assert_eq!(version(vec![]), version(vec![]));
    assert!(
        version(vec![]).starts_with("2026-11-23.") && version(vec![]).len() == 19,
        "{}",
        version(vec![])
    );
    assert_ne!(version(vec![]), version(vec![line("", "m", 1)]));
    assert_ne!(version(vec![line("", "m", 1)]), version(vec![line("", "m", 2)]));
    assert_ne!(
        version(vec![line("", "m", 1)]),
        version(vec![Price { above: 1, ..line("", "m", 1) }])
    );
}

#[test]
fn rounds_half_up_once() {
    let cost = |input, usage: TokenUsage| {
        PriceList::built_in_with(vec![line("", "m", input)]).cost("", "m", &usage, NOW)
    };
    assert_eq!(cost(499_999, usage(1, 0, 0, 0)), Some(0));
    assert_eq!(cost(500_000, usage(1, 0, 0, 0)), Some(1));
    assert_eq!(cost(1_499_999, usage(1, 0, 0, 0)), Some(1));
    // Two halves together are one, not two that were rounded up.
    assert_eq!(cost(500_000, usage(2, 1, 0, 0)), Some(1));
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
        assert_eq!(glob::matches(pattern, model), expected, "{pattern} {model}");
    }
}

/// Amounts of every kind, small enough that nothing saturates.
fn any_rates() -> impl Strategy<Value = Rates> {
    prop::array::uniform7(0u64..100_000_000_000).prop_map(
        |[input, cached, write, hour, output, heard, said]| Rates {
            cached,
            cache_write: write,
            cache_write_1h: hour,
            audio_input: Some(heard),
            audio_output: Some(said),
            ..Rates::of(input, output)
        },
    )
}

proptest! {
    /// Against arithmetic with a remainder; and no part is charged twice.
    #[test]
    fn exact(parts in prop::array::uniform7(0u64..1_000_000), rates in any_rates()) {
        let [fresh, cached, write, hour, output, heard, said] = parts;
        let usage = TokenUsage {
            input: fresh + cached + write + hour + heard,
            cached,
            cache_write: write + hour,
            cache_write_1h: hour,
            output: output + said,
            audio_input: heard,
            audio_output: said,
            ..TokenUsage::default()
        };
        let list = PriceList::built_in_with(vec![Price { rates, ..line("", "m", 0) }]);
        let cost = i128::from(list.cost("", "m", &usage, NOW).expect("priced"));
        let amounts = [rates.input, rates.cached, rates.cache_write, rates.cache_write_1h, rates.output,
                       rates.audio_input.unwrap_or(0), rates.audio_output.unwrap_or(0)];
        let exact: i128 = parts.iter().zip(amounts).map(|(n, amount)| i128::from(*n) * i128::from(amount)).sum();
        let error = cost * 1_000_000 - exact;
        prop_assert!((-500_000 < error) && (error <= 500_000), "{error}");
    }

    #[test]
    fn never_panics(input: u64, cached: u64, cache_write: u64, output: u64, model in "[a-z0-9*/.-]{0,20}") {
        let list = PriceList::built_in_with(vec![line("", "*", u64::MAX)]);
        let usage = TokenUsage { cache_write_1h: output, ..usage(input, cached, cache_write, output) };
        prop_assert!(list.cost("", &model, &usage, NOW).is_some());
    }

    /// A group is found as a slow search finds it: the first in the order of the policy.
    #[test]
    fn the_first_group_counts(names in prop::collection::vec(prop_oneof!["[ab]{1,2}", "[ab]{0,1}\\*", "\\*[ab]"], 1..9),
                              model in "[ab]{1,2}") {
        let own: Vec<Price> = names.iter().enumerate().map(|(n, name)| line("", name, (n as u64 + 1) * USD)).collect();
        let first = own.iter().find(|price| glob::matches(&price.model, &model)).map(|price| price.rates.input);
        let cost = PriceList::built_in_with(own).cost("", &model, &usage(1_000_000, 0, 0, 0), NOW);
        prop_assert_eq!(cost, first.map(|nano| nano as i64));
    }
}

proptest::proptest! {
    /// Whatever was used at whatever rates: the parts add up to the cost, which is rounded once.
    #[test]
    fn the_parts_of_a_cost_add_up(
        tokens in proptest::array::uniform7(0u64..200_000),
        amounts in proptest::array::uniform5(0u64..90_000_000_000_000),
        us in proptest::bool::ANY,
    ) {
        let [cached, cache_write, cache_write_1h, fresh, output, sound_in, sound_out] = tokens;
        let usage = TokenUsage {
            input: fresh + cached + cache_write + sound_in,
            cached,
            cache_write,
            cache_write_1h,
            output: output + sound_out,
            audio_input: sound_in,
            audio_output: sound_out,
            ..TokenUsage::default()
        };
        let [input, cached_rate, write, out, sound] = amounts;
        let rates = Rates {
            cached: cached_rate,
            cache_write: write,
            cache_write_1h: write * 2,
            audio_input: Some(sound),
            audio_output: Some(sound / 3),
            ..Rates::of(input, out)
        };
        let factor = if us { super::US } else { super::ONE };
        let cost = super::amount(&rates, &usage, factor).expect("priced");
        let parts = [cost.input, cost.cached, cost.cache_write, cost.output];
        proptest::prop_assert_eq!(parts.iter().sum::<i64>(), cost.total);
        let exact = |n: u64, rate: u64| {
            i128::from(n) * i128::from(rate) * i128::from(factor.0) / (1_000_000 * i128::from(factor.1))
        };
        proptest::prop_assert!((i128::from(cost.cached) - exact(cached, cached_rate)).abs() <= 1);
        let saved = exact(cached, input) - exact(cached, cached_rate);
        proptest::prop_assert!((i128::from(cost.saved) - saved).abs() <= 1);
        let cut = cost.at_most(cost.total / 2);
        proptest::prop_assert_eq!(cut.total, cost.total / 2);
        proptest::prop_assert_eq!(cut.input + cut.cached + cut.cache_write + cut.output, cut.total);
    }
}
