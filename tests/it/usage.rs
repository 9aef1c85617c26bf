//! What a call used and cost: as the provider says, as far as it came to say so, and about, where
//! it says nothing.

use serde_json::{Map, Value, json};

use crate::support::step::{self, Act, Step};
use crate::support::{Gateway, Provider, Setup, chat, jwt, request};

const CHAT: &str = "/v1/chat/completions";

/// Sends a streaming call, reads until `text` was there, and leaves.
fn read_until_and_leave(gateway: &Gateway, path: &str, body: &Value, text: &str) {
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        path,
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    ));
    assert_eq!(connection.head().expect("a head").status, 200);
    connection.chunks_until(text);
}

fn streamed(model: &str) -> Value {
    let mut body = chat("hi");
    body["stream"] = json!(true);
    body["model"] = json!(model);
    body
}

fn numbers(row: &Map<String, Value>, columns: &[&str]) -> Vec<u64> {
    columns
        .iter()
        .map(|column| row[*column].as_u64().unwrap_or_else(|| panic!("{column} of {row:?}")))
        .collect()
}

const TOKENS: [&str; 5] = [
    "input_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
];

#[test]
fn a_row_keeps_what_its_cost_was_made_of() {
    let provider = Provider::start();
    let prices = "[{model: 'gpt-4o-mini*', input: 1, output: 2}, {model: 'gpt-4o-mini*', tier: \
        flex, input: 0.5, output: 1, \
                  audio_input: 10, audio_output: 20}]";
    let gateway = Setup::new(&provider).section("prices", prices).start();
    let mut answer = step::chat_body("hello");
    answer["service_tier"] = json!("flex");
    answer["usage"] = json!({"prompt_tokens": 100, "completion_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 30, "audio_tokens": 40},
        "completion_tokens_details": {"audio_tokens": 5}});
    provider.script([step::json(200, &answer)]);
    gateway.chat("acme", "hi").ok();
    let row = gateway.only_row();
    assert_eq!(numbers(&row, &TOKENS), [100, 20, 30, 0, 10]);
    assert_eq!(numbers(&row, &["audio_input_tokens", "audio_output_tokens"]), [40, 5]);
    assert_eq!((&row["service_tier"], &row["usage_source"]), (&json!("flex"), &json!("provider")));
    // 60 × 0.50 + 40 × 10 + 5 × 1 + 5 × 20
    assert_eq!(row["cost_nano_usd"], json!(30_000 + 400_000 + 5_000 + 100_000));
    assert_eq!(
        row["price_version"].as_str().map(str::len),
        Some("2026-11-23.01234567".len()),
        "{row:?}"
    );

    // Another list, another version; and no price, no version.
    let before = row["price_version"].clone();
    gateway.edit_and_wait("prices", "[{model: gpt-4o-mini, input: 3, output: 3}]");
    gateway.chat("acme", "hi").ok();
    let mut unknown = chat("hi");
    unknown["model"] = json!("nobody-knows");
    answer["model"] = json!("nobody-knows");
    provider.script([step::json(200, &answer)]);
    gateway.post(CHAT, &jwt("acme"), &unknown).ok();
    let rows = gateway.rows(3);
    let with = |model: &str, version: &Value| {
        rows.iter().filter(|row| row["model"] == model && row["price_version"] == *version).count()
    };
    assert_eq!(
        (with("gpt-4o-mini", &before), with("nobody-knows", &json!(""))),
        (1, 1),
        "{rows:?}"
    );
    assert!(
        rows.iter().all(|row| row["cost_usd"].is_null() == (row["price_version"] == "")),
        "{rows:?}"
    );
}

#[test]
fn an_answer_without_usage_is_counted_by_its_text() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut answer = step::chat_body(&"word ".repeat(80));
    answer.as_object_mut().unwrap().remove("usage");
    provider
        .script([step::json(200, &answer), step::sse(&step::chat_events(&["abcd"; 50], false))]);
    gateway.chat("acme", &"hello ".repeat(100)).ok();
    gateway.post(CHAT, &jwt("acme"), &streamed("gpt-4o-mini")).ok();
    let rows = gateway.rows(2);
    let row = |stream: u64| rows.iter().find(|row| row["stream"] == stream).unwrap();
    for (stream, output) in [(0, 100), (1, 50)] {
        assert_eq!(
            (&row(stream)["usage_source"], &row(stream)["output_tokens"]),
            (&json!("estimated"), &json!(output))
        );
        assert!(row(stream)["cost_usd"].is_number() && row(stream)["price_version"] != "");
    }
    assert_eq!(row(0)["input_tokens"], json!(150), "six letters a hundred times");

    // What is no model's answer used nothing that anybody knows of.
    provider.script([
        step::json(200, &json!({"a": 1})),
        step::error(400, "bad"),
        step::error(429, "insufficient_quota"),
    ]);
    (0..3).for_each(|_| drop(gateway.chat("acme", "hi")));
    let rows = gateway.rows(5);
    let unknown: Vec<_> = rows.iter().filter(|row| row["usage_source"] == "none").collect();
    assert_eq!(unknown.len(), 3, "{rows:?}");
    assert!(
        unknown.iter().all(|row| row["cost_usd"].is_null() && row["input_tokens"] == 0),
        "{unknown:?}"
    );
}

#[test]
fn a_stream_that_is_left_or_cut_costs_what_was_sent() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let held = |events: &[String]| -> Step {
        let mut step = step::sse_open(events);
        step.push(Act::Hold);
        step
    };
    let mut words = ["abcd"; 20];
    words[19] = "wxyz";
    let events = step::chat_events(&words, true);
    provider.script([held(&events[..21])]);
    read_until_and_leave(&gateway, CHAT, &streamed("gpt-4o-mini"), "wxyz");
    provider.script([step::cut_mid_event(&events[..12])]);
    gateway.post(CHAT, &jwt("acme"), &streamed("gpt-4o-mini"));
    let rows = gateway.rows(2);
    for (outcome, output) in [("client_disconnect", 20), ("provider_error", 10)] {
        let row = rows.iter().find(|row| row["outcome"] == outcome).unwrap();
        assert_eq!(
            (&row["usage_source"], &row["output_tokens"]),
            (&json!("estimated"), &json!(output)),
            "{row:?}"
        );
        assert!(row["cost_usd"].is_number(), "{row:?}");
    }
}

#[test]
fn a_broken_message_keeps_the_input_that_was_told() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).with_anthropic().start();
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let events: Vec<String> = [
        json!({"type": "message_start", "message": {"model": "claude-haiku-4-5", "usage": {"input_tokens": 10,
            "cache_read_input_tokens": 1000, "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 60, "ephemeral_1h_input_tokens": 40}, "output_tokens": 1}}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x".repeat(400)}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 77}}),
        json!({"type": "message_stop"}),
    ]
    .iter()
    .map(event)
    .collect();
    let mut cut = step::sse_open(&events[..2]);
    cut.push(Act::Close);
    provider.script([cut, step::sse(&events)]);
    for _ in 0..2 {
        gateway.post("/v1/messages", &jwt("acme"), &streamed("claude-haiku-4-5"));
    }
    let rows = gateway.rows(2);
    for (source, output, nano) in [
        // 10 × 1 + 1000 × 0.10 + 60 × 1.25 + 40 × 2 + 100 × 5
        ("estimated", 100, 10_000 + 100_000 + 75_000 + 80_000 + 500_000),
        ("provider", 77, 10_000 + 100_000 + 75_000 + 80_000 + 385_000),
    ] {
        let row = rows
            .iter()
            .find(|row| row["usage_source"] == source)
            .unwrap_or_else(|| panic!("{rows:?}"));
        assert_eq!(numbers(row, &TOKENS), [1_110, 1_000, 100, 40, output]);
        assert_eq!(row["cost_nano_usd"], json!(nano), "{row:?}");
    }
}

/// What no call can have used is cut once, so that the row, metrics and budgets say the same.
#[test]
fn absurd_numbers_of_a_provider_poison_nothing() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("prices", "[{model: 'gpt-4o-mini*', input: 1, output: 2}]")
        .section("limits", "{requests_per_minute: 60000, burst: 60000, usd_per_month: 1000}")
        .start();
    let most = u64::MAX;
    let usages = [
        json!({"prompt_tokens": most, "completion_tokens": most, "prompt_tokens_details": {"cached_tokens": most}}),
        json!({"prompt_tokens": most, "completion_tokens": 1}),
        json!({"prompt_tokens": 1, "completion_tokens": 1_000_000_000_000_u64,
               "completion_tokens_details": {"reasoning_tokens": most}}),
    ];
    for usage in &usages {
        let mut answer = step::chat_body("hello");
        answer["usage"] = usage.clone();
        provider.script([step::json(200, &answer)]);
        gateway.chat("acme", "hi").ok();
    }
    let rows = gateway.rows(usages.len());
    let cost: f64 =
        rows.iter().map(|row| row["cost_nano_usd"].as_f64().expect("a cost") / 1e9).sum();
    for row in &rows {
        let numbers =
            numbers(row, &["input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens"]);
        assert!(numbers.iter().all(|n| *n <= 100_000_000), "{numbers:?}");
    }
    // 100 million tokens in at 1, out at 2 USD per million.
    assert!((299.9..=700.1).contains(&cost), "{cost}");
    let shown = gateway.metric("tollgate_cost_usd_total");
    assert!((shown - cost).abs() < 0.01, "{shown} is shown, {cost} is in the rows");
    assert!(gateway.metric("tollgate_tokens_total") <= 600_001_000.0);
    gateway.reaches("tollgate_bounds_reached_total{bound=\"tokens_per_call\"}", 3.0);
    gateway.chat("acme", "hi").ok();
}
