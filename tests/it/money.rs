//! What a call may cost is reserved before it, and what it has cost is charged, also when its
//! client has left.

use std::sync::Mutex;

use serde_json::{Map, Value, json};

use crate::support::step::{self, Act};
use crate::support::{Gateway, Provider, Setup, chat, chunked, eventually, jwt, request};

const CHAT: &str = "/v1/chat/completions";

fn limits(more: &str) -> String {
    format!("{{requests_per_minute: 60000, burst: 60000, {more}}}")
}

fn numbers(row: &Map<String, Value>, columns: &[&str]) -> Vec<u64> {
    columns
        .iter()
        .map(|column| row[*column].as_u64().unwrap_or_else(|| panic!("{column} of {row:?}")))
        .collect()
}

fn is_quiet(gateway: &Gateway) {
    eventually("the call to be over", || {
        (gateway.metric("tollgate_requests_in_flight") == 0.0).then_some(())
    });
}

fn model(model: &str, text: &str, more: Value) -> Value {
    let mut body = chat(text);
    body["model"] = json!(model);
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn a_stream_that_is_left_at_its_first_event_costs_its_input() {
    let provider = Provider::start();
    let begin =
        step::chat_events(&["a"], true)[0].replace("gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06");
    let mut opened = step::sse_open(&[begin]);
    opened.push(Act::Hold);
    provider.always(opened);
    let gateway = Setup::new(&provider).section("limits", &limits("usd_per_day: 1")).start();
    let body = model("gpt-4o", &"word".repeat(25_000), json!({"stream": true})).to_string();
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut passed = 0;
    for _ in 0..80 {
        let mut connection = gateway.connect();
        connection.send(&request("POST", CHAT, &[("authorization", &bearer)], body.as_bytes()));
        let status = connection.head().expect("a head").status;
        if status == 429 {
            break;
        }
        assert_eq!(status, 200);
        connection.chunks_until("assistant");
        passed += 1;
        drop(connection);
        is_quiet(&gateway);
    }
    // 25,000 tokens at 2.50 USD a million are 0.0625 USD; sixteen of them are all of the dollar.
    assert!((14..=17).contains(&passed), "{passed} of 80 passed");
    let rows = gateway.rows(passed);
    for row in rows.iter().filter(|row| row["status"] == 499) {
        assert_eq!(
            (&row["usage_source"], &row["input_tokens"]),
            (&json!("estimated"), &json!(25_000)),
            "{row:?}"
        );
        assert!(row["cost_nano_usd"].as_u64().unwrap() >= 62_500_000, "{row:?}");
    }
    gateway.reaches("tollgate_cost_usd_total", 0.8);
    gateway.reaches("tollgate_tokens_total", 300_000.0);
}

#[test]
fn a_call_that_is_left_before_any_byte_costs_its_input() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .with_anthropic()
        .section("prices", "[{model: gpt-image-1, input: 5, output: 40}]")
        .section("limits", &limits("orgs: {poor: {usd_per_day: 0.0001}}"))
        .start();
    let text = "word".repeat(1_000);
    let messages = json!({"model": "claude-haiku-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": text}]});
    let table: [(&str, Value, u64, std::ops::RangeInclusive<u64>); 6] = [
        (CHAT, model("gpt-4o", &text, json!({"max_tokens": 5})), 1_000, 0..=5),
        ("/v1/messages", messages, 1_000, 0..=9),
        (
            "/v1/responses",
            json!({"model": "gpt-4o", "input": text, "max_output_tokens": 3}),
            1_000,
            0..=3,
        ),
        (
            "/v1/completions",
            json!({"model": "gpt-3.5-turbo-instruct", "prompt": [1, 2, 3], "max_tokens": 2}),
            3,
            0..=2,
        ),
        (
            "/v1/embeddings",
            json!({"model": "text-embedding-3-large", "input": [text, text]}),
            2_000,
            0..=0,
        ),
        (
            "/v1/images/generations",
            json!({"model": "gpt-image-1", "prompt": text, "n": 2}),
            1_000,
            12_480..=12_480,
        ),
    ];
    for (n, (path, body, input, output)) in table.into_iter().enumerate() {
        provider.script([step::silence()]);
        let bearer = format!("Bearer {}", jwt("acme"));
        let mut connection = gateway.connect();
        connection.send(&request(
            "POST",
            path,
            &[("authorization", &bearer)],
            body.to_string().as_bytes(),
        ));
        provider.wait_for(n + 1);
        drop(connection);
        is_quiet(&gateway);
        let rows = gateway.rows(n + 1);
        let row = rows
            .iter()
            .find(|row| row["endpoint"] == path)
            .unwrap_or_else(|| panic!("{path}: {rows:?}"));
        assert_eq!(
            (&row["status"], &row["usage_source"]),
            (&json!(499), &json!("estimated")),
            "{row:?}"
        );
        assert_eq!(numbers(row, &["input_tokens"]), [input], "{row:?}");
        assert!(output.contains(&row["output_tokens"].as_u64().unwrap()), "{row:?}");
        assert!(row["cost_nano_usd"].as_u64().unwrap() > 0, "{row:?}");
    }
    // It is what the budget says, too.
    provider.script([step::silence()]);
    let bearer = format!("Bearer {}", jwt("poor"));
    let body = model("gpt-4o", &text, json!({"max_tokens": 1})).to_string();
    let before = provider.seen().len();
    let mut connection = gateway.connect();
    connection.send(&request("POST", CHAT, &[("authorization", &bearer)], body.as_bytes()));
    provider.wait_for(before + 1);
    drop(connection);
    is_quiet(&gateway);
    gateway.chat("poor", "hi").refused(429, "rate_limit_exceeded");
}

#[test]
fn a_call_that_times_out_costs_its_input_and_what_was_refused_costs_nothing() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("timeouts", "{first_byte: 400ms}")
        .section("retry", "{max_retries: 0}")
        .section("limits", &limits("usd_per_day: 1"))
        .start();
    let body = model("gpt-4o", &"word".repeat(1_000), json!({}));
    provider.script([step::silence()]);
    gateway.post(CHAT, &jwt("slow"), &body).refused(504, "provider_timeout");
    // However slow the machine is, none of the others times out.
    gateway.edit_and_wait("timeouts", "{}");
    // Over a new connection: the silent one is closed.
    provider.script([vec![Act::Reset]]);
    gateway.post(CHAT, &jwt("reset"), &body);
    for status in [400, 401, 429, 500, 503] {
        provider.script([step::error(status, "x")]);
        gateway.post(CHAT, &jwt(&format!("refused-{status}")), &body);
    }
    // Half of the body, and the client is gone.
    let (bearer, text) = (format!("Bearer {}", jwt("half")), body.to_string());
    let bytes = request("POST", CHAT, &[("authorization", &bearer)], text.as_bytes());
    let mut connection = gateway.connect();
    connection.send(&bytes[..bytes.len() / 2]);
    drop(connection);
    let long = model("gpt-4o", &"word".repeat(100_000), json!({})).to_string();
    let bearer = format!("Bearer {}", jwt("long-half"));
    let bytes = request("POST", CHAT, &[("authorization", &bearer)], long.as_bytes());
    let mut connection = gateway.connect();
    connection.send(&bytes[..bytes.len() / 2]);
    eventually("the call to be under way", || {
        (gateway.metric("tollgate_requests_in_flight") > 0.0).then_some(())
    });
    drop(connection);
    let rows = gateway.rows(9);
    for row in &rows {
        let charged = row["org_id"] == "slow";
        assert_eq!(
            row["usage_source"],
            json!(if charged { "estimated" } else { "none" }),
            "{row:?}"
        );
        if charged {
            assert_eq!(row["input_tokens"], json!(1_000));
            // Fifty a second.
            assert!((20..=2_000).contains(&row["output_tokens"].as_u64().unwrap()), "{row:?}");
        } else {
            assert!(row["cost_usd"].is_null(), "{row:?}");
        }
    }
}

/// How many of `count` equal calls at once reach the provider whole before one of them has ended.
fn pass_at_once(
    gateway: &Gateway,
    provider: &Provider,
    org: &str,
    path: &str,
    body: &str,
    count: usize,
) -> usize {
    provider.take_seen();
    let (wait, open) = step::gate();
    let mut step = vec![wait];
    step.extend(step::chat_using(100_000));
    provider.always(step);
    let (ended, bearer) = (Mutex::new(vec![]), format!("Bearer {}", jwt(org)));
    let whole = || provider.seen().iter().filter(|seen| seen.complete).count();
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                let bytes = request("POST", path, &[("authorization", &bearer)], body.as_bytes());
                let status = gateway.connect().send(&bytes).reply().status;
                ended.lock().unwrap().push(status);
            });
        }
        eventually("all to be decided", || {
            (ended.lock().unwrap().len() + whole() >= count).then_some(())
        });
        drop(open);
    });
    whole()
}

#[test]
fn a_reservation_cannot_be_talked_down() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("limits", &limits("usd_per_day: 1")).start();
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let long = format!(r#""messages":[{{"role":"user","content":"{}"}}]"#, "word".repeat(25_000));
    let completions = r#""prompt":["a","b","c","d","e","f","g","h","i","j"]"#;
    // Each may cost a dollar or more: 100,000 tokens at 10 USD a million.
    let bodies = [
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":100000}}"#)),
        (
            CHAT,
            format!(
                r#"{{"metadata":{{"max_tokens":"1","x":{{"max_tokens":1}}}},"model":"gpt-5",{messages},"max_tokens":100000}}"#
            ),
        ),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max\u005ftokens":100000}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":1e5}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":100000.0}}"#)),
        (
            CHAT,
            format!(
                r#"{{"model":"gpt-5","max_tokens":1,{messages},"max_completion_tokens":100000}}"#
            ),
        ),
        (CHAT, format!(r#"{{"model":"gpt-5","max_tokens":1,{messages},"max_tokens":100000}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":1000,"n":100}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_output_tokens":1}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages}}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":null}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":0}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":-1}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{messages},"max_tokens":"100000"}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5",{long},"max_tokens":100000}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5","max_tokens":1,{long},"max_tokens":100000}}"#)),
        (CHAT, format!(r#"{{"model":"gpt-5","max_tokens":1000,{long},"n":100}}"#)),
        (CHAT, format!(r#"{{"model":"GPT-5",{messages}}}"#)),
        ("/v1/completions", format!(r#"{{"model":"gpt-5",{completions},"max_tokens":10000}}"#)),
        (
            "/v1/completions",
            r#"{"model":"gpt-5","prompt":"a","max_tokens":10000,"best_of":10}"#.to_owned(),
        ),
        (
            "/v1/responses",
            r#"{"model":"gpt-5","input":"a","metadata":{"max_output_tokens":"1"}}"#.to_owned(),
        ),
    ];
    for (n, (path, body)) in bodies.iter().enumerate() {
        let passed = pass_at_once(&gateway, &provider, &format!("org-{n}"), path, body, 10);
        assert!(passed <= 1, "{passed} of 10 passed: {path} {:.150}", body.replace("word", ""));
    }
    // And what may be passes.
    let small = format!(r#"{{"model":"gpt-5",{messages},"max_tokens":9000}}"#);
    assert_eq!(pass_at_once(&gateway, &provider, "small", CHAT, &small, 10), 10);
}

#[test]
fn the_end_of_a_long_body_is_held_against_its_beginning() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("limits", &limits("usd_per_day: 10")).start();
    let long = format!(r#""messages":[{{"role":"user","content":"{}"}}]"#, "word".repeat(50_000));
    let bearer = format!("Bearer {}", jwt("acme"));
    for (passes, body) in [
        (true, format!(r#"{{"model":"gpt-4o",{long},"max_tokens":300,"n":4}}"#)),
        (true, format!(r#"{{"model":"gpt-4o","n":4,"max_tokens":300,{long},"temperature":1}}"#)),
        (true, format!(r#"{{"model":"gpt-4o",{long}}}"#)),
        (false, format!(r#"{{"model":"gpt-4o",{long},"n":4}}"#)),
        (
            false,
            format!(r#"{{"model":"gpt-4o","max_tokens":300,{long},"max_completion_tokens":3000}}"#),
        ),
        (false, format!(r#"{{"model":"gpt-4o",{long},"max_tokens":100000}}"#)),
    ] {
        for is_chunked in [false, true] {
            provider.take_seen();
            let headers = [("authorization", bearer.as_str())];
            let bytes = if is_chunked {
                chunked(CHAT, &headers, &body.as_bytes().chunks(10_000).collect::<Vec<_>>())
            } else {
                request("POST", CHAT, &headers, body.as_bytes())
            };
            let reply = gateway.connect().send(&bytes).reply();
            let shown = body.replace("word", "");
            if passes {
                assert_eq!(reply.status, 200, "{shown}: {}", reply.text());
            } else {
                reply.refused(400, "invalid_request");
                assert!(reply.text().contains("before the messages"), "{}", reply.text());
                assert!(provider.seen().iter().all(|seen| !seen.complete), "{shown}");
            }
        }
    }
    // Without a limit on money or tokens nothing is held against anything.
    gateway.edit_and_wait("limits", &limits("calls_in_flight: 5"));
    let body = format!(r#"{{"model":"gpt-4o",{long},"n":4}}"#);
    gateway.send("POST", CHAT, &[("authorization", &bearer)], body.as_bytes()).ok();
}

#[test]
fn calls_without_a_bound_may_use_up_a_small_budget_one_by_one() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("limits", &limits("usd_per_day: 0.5")).start();
    // One may cost 1.28 USD, and each of them comes to next to nothing.
    for _ in 0..10 {
        gateway.post(CHAT, &jwt("acme"), &model("gpt-5", "hi", json!({}))).ok();
    }
    let mut spent = step::chat_body("hello");
    spent["model"] = json!("gpt-5");
    spent["usage"]["completion_tokens"] = json!(50_000);
    provider.script([step::json(200, &spent)]);
    gateway.post(CHAT, &jwt("acme"), &model("gpt-5", "hi", json!({}))).ok();
    let refused = gateway.post(CHAT, &jwt("acme"), &model("gpt-5", "hi", json!({})));
    refused.refused(429, "rate_limit_exceeded");
    assert!(refused.text().contains("smaller `max_tokens`"), "{}", refused.text());
}

#[test]
fn a_batch_of_tickets_stops_at_its_budget() {
    let provider = Provider::start();
    let mut answer = step::chat_body(r#"{"category":"billing","priority":"low","confidence":1}"#);
    answer["model"] = json!("gpt-4o");
    answer["usage"]["completion_tokens"] = json!(16_384);
    provider.always(step::json(200, &answer));
    let gateway = Setup::new(&provider)
        .section("intent", "{model: gpt-4o}")
        .section("limits", &limits("usd_per_day: 0.20"))
        .start();
    let tickets: Vec<Value> =
        (0..20).map(|n| json!({"title": format!("ticket {n}"), "body": "help"})).collect();
    let reply = gateway.post("/api/ai/intent/batch", &jwt("acme"), &json!({"tickets": tickets}));
    let results = reply.ok().json()["results"].clone();
    let of = |status: u64| {
        results.as_array().unwrap().iter().filter(|result| result["status"] == status).count()
    };
    assert!((1..=2).contains(&of(200)) && of(200) + of(429) == 20, "{results}");
    let spent: u64 =
        gateway.rows(of(200)).iter().filter_map(|row| row["cost_nano_usd"].as_u64()).sum();
    assert!(spent <= 2 * 164_000_000, "{spent}");
}
