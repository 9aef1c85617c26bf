//! Budgets that guide: a cheaper model in place of a refusal, and headers about what is used.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::identity::sha256;
use crate::support::step::{self, Act};
use crate::support::{Gateway, Provider, Reply, SECRET, Seen, Setup, jwt};

/// A call costs 18 tokens at 100 USD a million with the dear model, at 1 USD with the cheap one.
const PRICES: &str =
    "[{model: dear, input: 100, output: 100}, {model: cheap, input: 1, output: 1}]";

fn setup(provider: &Provider, limits: &str) -> Setup {
    // Whatever model is asked answers under its own name.
    let made = |seen: &Seen| {
        let mut answer = step::chat_body("hello");
        answer["model"] = seen.json()["model"].clone();
        match &step::json(200, &answer)[..] {
            [Act::Send(bytes)] => bytes.clone(),
            _ => panic!("an answer is one piece"),
        }
    };
    provider.always(vec![Act::Reply(Arc::new(made))]);
    Setup::new(provider)
        .section("prices", PRICES)
        .section("limits", &format!("{{requests_per_minute: 60000, burst: 60000, {limits}}}"))
}

fn ask(gateway: &Gateway, org: &str, model: &str) -> Reply {
    let body =
        json!({"model": model, "max_tokens": 7, "messages": [{"role": "user", "content": "hi"}]});
    gateway.post("/v1/chat/completions", &jwt(org), &body)
}

fn asked(provider: &Provider) -> Vec<Value> {
    provider.seen().iter().map(|seen| seen.json()["model"].clone()).collect()
}

#[test]
fn over_a_budget_a_cheaper_model_is_asked() {
    let provider = Provider::start();
    let limits = "usd_per_day: 0.003, on_exhausted: {downgrade: {model: cheap}}";
    let gateway = setup(&provider, limits).start();
    let first = ask(&gateway, "acme", "dear");
    assert_eq!(first.ok().header("x-tollgate-budget"), Some("usd_per_day; used=0.60"));
    assert_eq!(first.header("x-tollgate-downgrade"), None);
    // The next one does not fit any more.
    let second = ask(&gateway, "acme", "dear");
    let told = second.ok().header("x-tollgate-downgrade");
    assert_eq!(told, Some("cheap; limit=\"org:usd_per_day\""));
    assert_eq!(second.json()["model"], "cheap");
    let third = ask(&gateway, "acme", "cheap");
    assert_eq!(third.ok().header("x-tollgate-downgrade"), None, "it got what it asked for");
    assert_eq!(asked(&provider), ["dear", "cheap", "cheap"]);
    let rows = gateway.rows(3);
    let of =
        |n: usize| ["model", "downgraded", "limited_by", "outcome"].map(|c| rows[n][c].clone());
    assert_eq!(of(0), ["dear", "", "", "ok"]);
    assert_eq!(of(1), ["dear", "cheap", "org:usd_per_day", "ok"]);
    assert_eq!(of(2), ["cheap", "", "", "ok"]);
    assert_eq!(rows[1]["cost_usd"], json!(0.000018), "priced as the model that was asked");
    // A call that fits is none.
    gateway.counts("tollgate_downgrades_total{limit=\"usd_per_day\",scope=\"org\"}", 1.0);
    // Once all of it is spent, the head of a call is enough to know that.
    for _ in 0..80 {
        ask(&gateway, "acme", "dear").ok();
    }
    let last = ask(&gateway, "acme", "dear");
    let used = last.ok().header("x-tollgate-budget").expect("a budget");
    assert!(used.starts_with("usd_per_day; used=1."), "{used}");
    assert_eq!(last.header("x-tollgate-downgrade"), Some("cheap; limit=\"org:usd_per_day\""));
}

#[test]
fn never_a_model_that_the_caller_may_not_use_and_never_past_its_own_limits() {
    let provider = Provider::start();
    let limits = "usd_per_day: 0.001, on_exhausted: {downgrade: {model: cheap}}, \
        models: [{match: cheap, requests_per_minute: 2}]";
    let key = "tg-a-key-for-the-dear-model-alone";
    let sha = sha256(key);
    let auth = format!(
        "accept: [jwt, key]\njwt: {{secret: \"{SECRET}\"}}\nkeys: [{{name: ci, org: acme, \
            sha256: \"{sha}\", models: [dear]}}]"
    );
    let gateway = setup(&provider, limits).section("auth", &auth).start();
    // The highest cost of a call is more than the budget: it counts as all of it.
    ask(&gateway, "acme", "dear").ok();
    let body = json!({"model": "dear", "messages": [{"role": "user", "content": "hi"}]});
    let refused = gateway.post("/v1/chat/completions", key, &body);
    refused.refused(429, "rate_limit_exceeded");
    assert!(refused.text().contains("a day"), "{}", refused.text());
    // No answer is text of a model.
    let embed = json!({"model": "dear", "input": "hi"});
    gateway.post("/v1/embeddings", &jwt("acme"), &embed).refused(429, "rate_limit_exceeded");
    for _ in 0..2 {
        ask(&gateway, "acme", "dear").ok();
    }
    let refused = ask(&gateway, "acme", "dear");
    refused.refused(429, "rate_limit_exceeded");
    assert!(refused.text().contains("models cheap"), "{}", refused.text());
    assert_eq!(asked(&provider), ["dear", "cheap", "cheap"]);
}

#[test]
fn without_a_cheaper_model_a_budget_refuses_as_before() {
    let provider = Provider::start();
    let gateway = setup(
        &provider,
        "usd_per_month: 0.001, each_user: {usd_per_day: 1}, orgs: {other: {on_exhausted: \
            {downgrade: {model: cheap}}}}",
    )
    .start();
    let used = ask(&gateway, "acme", "dear");
    let told = "usd_per_day; used=0.00; scope=user, usd_per_month; used=1.80";
    assert_eq!(used.ok().header("x-tollgate-budget"), Some(told));
    let refused = ask(&gateway, "acme", "dear");
    refused.refused(429, "rate_limit_exceeded");
    assert_eq!(refused.header("x-tollgate-budget"), Some(told), "a refusal says what is used, too");
    ask(&gateway, "other", "dear").ok();
    let downgraded = ask(&gateway, "other", "dear");
    assert!(downgraded.ok().header("x-tollgate-downgrade").is_some());
}

#[test]
fn an_answer_of_the_cache_says_what_is_used_and_uses_nothing() {
    let provider = Provider::start();
    let gateway = setup(&provider, "usd_per_day: 0.01").section("cache", "{mode: exact}").start();
    let first = ask(&gateway, "acme", "dear");
    let told = Some("usd_per_day; used=0.18");
    assert_eq!(first.ok().header("x-tollgate-budget"), told);
    for _ in 0..2 {
        let again = ask(&gateway, "acme", "dear");
        assert_eq!(again.ok().header("x-tollgate-cache"), Some("hit"));
        assert_eq!(again.header("x-tollgate-budget"), told);
    }
}
