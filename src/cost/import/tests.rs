//! Tests of the import: what becomes of each kind of entry, to the last digit.

use tollgate_wire::usage::TokenUsage;

use super::*;
use crate::cost::PriceList;

fn wanted(from: &[&str]) -> Wanted {
    Wanted { from: from.iter().map(|f| (*f).to_owned()).collect(), ..Wanted::default() }
}

fn lines(imported: &Imported) -> Vec<String> {
    imported.prices.iter().map(line).collect()
}

const LITELLM: &str = r#"{
  "sample_spec": {"litellm_provider": "one of", "input_cost_per_token": 0.0},
  "plain-1": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1.5e-07, "output_cost_per_token": 6e-07,
    "cache_read_input_token_cost": 7.5e-08, "supports_vision": true,
    "search_context_cost_per_query": {"search_context_size_low": 0.03}},
  "tiers-1": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1.5E-05,
    "cache_read_input_token_cost": 2.5e-07, "input_cost_per_token_flex": 1.25e-06, "output_cost_per_token_flex": 7.5e-06,
    "input_cost_per_token_priority": 0.000005, "output_cost_per_token_priority": 0.00003, "cache_read_input_token_cost_priority": 5e-07,
    "input_cost_per_token_above_272k_tokens": 5e-06, "output_cost_per_token_above_272k_tokens": 2.25e-05,
    "cache_read_input_token_cost_above_272k_tokens": 5e-07, "input_cost_per_token_ultrafast": 1},
  "claude-x": {"litellm_provider": "anthropic", "input_cost_per_token": 5e-06, "output_cost_per_token": 2.5e-05,
    "cache_read_input_token_cost": 5e-07, "cache_creation_input_token_cost": 6.25e-06, "cache_creation_input_token_cost_above_1hr": 1e-05},
  "groq/llama-9": {"litellm_provider": "groq", "input_cost_per_token": 7.000000000000001e-08, "output_cost_per_token": 0.0},
  "audio-1": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05,
    "input_cost_per_audio_token": 3.2e-05, "output_cost_per_audio_token": 6.4e-05},
  "ft:tuned-1": {"litellm_provider": "openai", "input_cost_per_token": 3e-06, "output_cost_per_token": 6e-06},
  "openai/plain-1": {"litellm_provider": "openai", "input_cost_per_token": 9e-06, "output_cost_per_token": 9e-06},
  "thinks-1": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06, "output_cost_per_reasoning_token": 3e-06},
  "whisper": {"litellm_provider": "openai", "input_cost_per_second": 0.0001, "output_cost_per_second": 0.0},
  "picture": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_image": 0.04},
  "words": {"litellm_provider": "openai", "input_cost_per_token": "cheap"},
  "negative": {"litellm_provider": "openai", "input_cost_per_token": -1e-06, "output_cost_per_token": 0}
}"#;

#[test]
fn an_entry_without_a_provider_is_counted() {
    let list = r#"{
      "a": {"litellm_provider": "openai", "input_cost_per_token": 1e-06, "output_cost_per_token": 2e-06},
      "b": {"litellm_provider": 7, "input_cost_per_token": "0.000001"},
      "c": {"input_cost_per_token": "0.000001"}}"#;
    let imported = read(list, &wanted(&["openai"])).expect("read");
    assert_eq!((imported.wanted, imported.taken), (3, 1));
    let why = "it names no provider (`litellm_provider`)".to_owned();
    assert_eq!(imported.refused, [("b".to_owned(), why.clone()), ("c".to_owned(), why)]);
}

#[test]
fn litellm_entry_by_entry() {
    let imported = read(LITELLM, &wanted(&["openai", "anthropic"])).expect("read");
    assert_eq!(
        lines(&imported),
        [
            "model: \"audio-1\", input: 2.5, output: 10, audio_input: 32, audio_output: 64",
            "model: \"claude-x\", input: 5, cached_input: 0.5, cache_write: 6.25, cache_write_1h: \
                10, output: 25",
            "model: \"ft:tuned-1*\", input: 3, output: 6",
            "model: \"plain-1\", input: 0.15, cached_input: 0.075, output: 0.6",
            "model: \"tiers-1\", input: 2.5, cached_input: 0.25, output: 15",
            "model: \"tiers-1\", above: 272000, input: 5, cached_input: 0.5, output: 22.5",
            "model: \"tiers-1\", tier: flex, input: 1.25, cached_input: 0.25, output: 7.5",
            "model: \"tiers-1\", tier: priority, input: 5, cached_input: 0.5, output: 30",
        ]
    );
    assert_eq!((imported.wanted, imported.taken, imported.charged_beside), (11, 5, 2));
    let refused: Vec<(&str, &str)> =
        imported.refused.iter().map(|(name, why)| (name.as_str(), why.as_str())).collect();
    assert_eq!(
        refused,
        [
            ("negative", "`input_cost_per_token` is -1e-06, which is not an amount"),
            ("picture", "`output_cost_per_image`: a charge that `prices` cannot express"),
            ("thinks-1", "thinking has a price of its own"),
            ("whisper", "`input_cost_per_second`: a charge that `prices` cannot express"),
            ("words", "`input_cost_per_token` is \"cheap\", which is not an amount"),
            // A bare name comes before the same with its provider in front.
            ("openai/plain-1", "an earlier entry is for the same calls"),
        ]
    );
    assert_eq!(imported.providers, ["anthropic", "groq", "openai"]);

    let groq = Wanted { provider: "fast".to_owned(), ..wanted(&["groq"]) };
    let expected = "provider: \"fast\", model: \"llama-9\", input: 0.07, output: 0";
    assert_eq!(lines(&read(LITELLM, &groq).expect("read")), [expected]);
    let chosen = Wanted { models: vec!["claude-*".to_owned()], ..wanted(&["openai", "anthropic"]) };
    assert_eq!(read(LITELLM, &chosen).expect("read").wanted, 1);
}

const GENAI: &str = r#"[
 {"id": "openai", "name": "OpenAI", "models": [
   {"id": "a", "match": {"or": [{"equals": "a"}, {"starts_with": "a-"}, {"regex": "^a\\.1-\\d{4}-\\d{2}-\\d{2}$"}]},
    "context_window": 1000, "prices": {"input_mtok": 1.25, "cache_read_mtok": 0.125, "output_mtok": 10, "web_searches_kcount": 10}},
   {"id": "long", "match": {"equals": "long"}, "prices": {
     "input_mtok": {"base": 2.5, "tiers": [{"start": 272000, "price": 5}]}, "output_mtok": {"base": 15, "tiers": [{"start": 272000, "price": 22.5}]}}},
   {"id": "dated", "match": {"contains": "dated"}, "prices": [
     {"prices": {"input_mtok": {"base": 5, "tiers": [{"start": 200000, "price": 10}]}, "output_mtok": 25}},
     {"constraint": {"start_date": "2026-03-13"}, "prices": {"input_mtok": 5, "output_mtok": 25}}]},
   {"id": "embed", "match": {"equals": "embed"}, "prices": {"input_mtok": 0.02}},
   {"id": "night", "match": {"equals": "night"}, "prices": [
     {"constraint": {"start_time": "00:30:00Z", "end_time": "16:30:00Z"}, "prices": {"input_mtok": 1, "output_mtok": 2}}]},
   {"id": "odd", "match": {"regex": "^(x|y)+$"}, "prices": {"input_mtok": 1}},
   {"id": "both", "match": {"or": [{"equals": "both"}, {"and": [{"starts_with": "x"}, {"contains": "y"}]}, {"regex": "^both[-@]\\d{8}$"}]},
    "prices": {"input_mtok": 1}},
   {"id": "star", "match": {"equals": "a*b"}, "prices": {"input_mtok": 1}},
   {"id": "picture", "match": {"equals": "picture"}, "prices": {"input_mtok": 1, "output_image_mtok": 40}},
   {"id": "free", "match": {"equals": "free"}, "prices": {}}]},
 {"id": "other", "models": [{"id": "z", "match": {"equals": "z"}, "prices": {"input_mtok": 1}}]}
]"#;

#[test]
fn genai_entry_by_entry() {
    let imported = read(GENAI, &wanted(&["openai"])).expect("read");
    assert_eq!(
        lines(&imported),
        [
            "model: \"a\", input: 1.25, cached_input: 0.125, output: 10",
            "model: \"a-*\", input: 1.25, cached_input: 0.125, output: 10",
            "model: \"a.1-20*\", input: 1.25, cached_input: 0.125, output: 10",
            "model: \"long\", input: 2.5, output: 15",
            "model: \"long\", above: 272000, input: 5, output: 22.5",
            "model: \"*dated*\", input: 5, output: 25",
            "model: \"*dated*\", above: 200000, input: 10, output: 25",
            "model: \"*dated*\", from: 2026-03-13, input: 5, output: 25",
            "model: \"embed\", input: 0.02, output: 0",
            "model: \"odd\", input: 1, output: 0",
            "model: \"both\", input: 1, output: 0",
            "model: \"both-20*\", input: 1, output: 0",
        ]
    );
    let refused: Vec<&str> = imported.refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(refused, ["openai/night", "openai/star", "openai/picture", "openai/free"]);
    assert_eq!((imported.wanted, imported.taken, imported.charged_beside), (10, 6, 1));
    assert_eq!(imported.narrowed, 2);
    // The long prompt costs more before that day and no more after it.
    let list = PriceList::built_in_with(imported.prices);
    let long = TokenUsage { input: 300_000, ..TokenUsage::default() };
    assert_eq!(list.cost("", "is-dated-1", &long, 1_773_359_999_999), Some(3_000_000_000));
    assert_eq!(list.cost("", "is-dated-1", &long, 1_773_360_000_000), Some(1_500_000_000));
}

#[test]
fn what_is_neither_is_refused() {
    for text in
        ["", "x", "7", "{}", "[1]", r#"{"a": 1}"#, r#"{"a": {"b": 1}}"#, "[{]", r#"[{"id": "x"}]"#]
    {
        assert!(read(text, &wanted(&["openai"])).is_err(), "{text}");
    }
}

#[test]
fn numbers_are_exact() {
    for (text, power, expected) in [
        ("1.5e-07", 15, Some(150_000_000)),
        ("0.00000015", 15, Some(150_000_000)),
        ("6E-07", 15, Some(600_000_000)),
        ("1e+1", 9, Some(10_000_000_000)),
        ("2.50", 9, Some(2_500_000_000)),
        ("0", 9, Some(0)),
        ("7.000000000000001e-08", 15, Some(70_000_000)),
        ("4.9999999999e-16", 15, Some(0)),
        ("5e-16", 15, Some(1)),
        ("1e-99", 15, Some(0)),
        ("-1", 9, None),
        ("\"1\"", 9, None),
        ("null", 9, None),
        ("true", 9, None),
        ("1e99", 9, None),
        ("1e99999999999", 9, None),
    ] {
        let raw = RawValue::from_string(text.to_owned()).expect("JSON");
        assert_eq!(scaled(&raw, power), expected, "{text}");
    }
}

#[test]
fn the_yaml_of_every_line_is_one_line() {
    let imported = read(LITELLM, &wanted(&["openai", "anthropic", "groq"])).expect("read");
    let yaml = yaml(&imported, "list.json", "2026-11-23");
    assert_eq!(
        yaml.lines().filter(|line| line.starts_with("  - {model: \"")).count(),
        imported.prices.len()
    );
    assert!(yaml.starts_with("# Prices in USD") && yaml.contains("\nprices:\n"));
}
