//! Alerts: what webhooks get, once, signed, and again until they take it.

use std::collections::BTreeSet;

use aws_lc_rs::hmac;
use serde_json::{Value, json};

use crate::support::{
    Gateway, Provider, Redis, Seen, Setup, eventually, refused_address, step, tollgate,
};

const SECRET: &str = "a secret of the webhook";
/// A call costs 0.0018 USD.
const PRICES: &str = "[{model: gpt-4o-mini, input: 100, output: 100}]";

fn alerts(hook: &Provider, rules: &str) -> String {
    let url = format!("http://{}/hook", hook.address);
    format!("webhooks: {{ops: {{url: \"{url}\", secret: \"{SECRET}\"}}}}\nrules: [{rules}]")
}

fn setup(provider: &Provider, hook: &Provider, rules: &str) -> Setup {
    Setup::new(provider).section("prices", PRICES).section("alerts", &alerts(hook, rules))
}

fn limits(more: &str) -> String {
    format!("{{requests_per_minute: 60000, burst: 60000, {more}}}")
}

/// The alerts that arrived, each verified as its receiver would.
fn told(hook: &Provider, count: usize) -> Vec<Value> {
    hook.wait_for(count).iter().map(verified).collect()
}

fn verified(seen: &Seen) -> Value {
    let header = |name: &str| seen.header(name).unwrap_or_else(|| panic!("no {name}"));
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let hex: String =
        hmac::sign(&key, &seen.body).as_ref().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header("x-tollgate-signature"), format!("sha256={hex}"));
    assert_eq!((&*seen.method, &*seen.target), ("POST", "/hook"));
    assert_eq!(header("content-type"), "application/json");
    assert!(header("webhook-id").starts_with("msg_"));
    assert!(header("webhook-timestamp").parse::<u64>().is_ok());
    assert!(header("webhook-signature").starts_with("v1,"));
    seen.json()
}

/// Breaks the policy, which is told behind everything that was to be told before.
fn told_at_last(gateway: &Gateway, hook: &Provider) -> Vec<Value> {
    gateway.write_policy("broken", "no_such_section: {}\n");
    let is_last = |seen: &Seen| seen.json()["alert"] == "policy_rejected";
    eventually("the last alert", || hook.seen().iter().any(is_last).then_some(()));
    hook.seen().iter().map(verified).collect()
}

const LAST: &str = "{name: edits, on: policy_rejected, to: [ops]}";

#[test]
fn each_threshold_of_a_budget_is_told_once_also_after_kill_9() {
    let (provider, hook) = (Provider::start(), Provider::start());
    let rules = format!("{{name: budgets, on: budget, at_percent: [50, 100], to: [ops]}}, {LAST}");
    let gateway = setup(&provider, &hook, &rules)
        .section("limits", &limits("usd_per_day: 0.003, orgs: {free: {usd_per_day: \"off\"}}"))
        .start();
    gateway.chat("free", "hi").ok();
    gateway.chat("acme", "hi").ok();
    let first = &told(&hook, 1)[0];
    let keys: BTreeSet<&str> =
        first.as_object().expect("object").keys().map(String::as_str).collect();
    let expected =
        ["alert", "at", "audit_head", "org", "period", "rule", "text", "threshold", "value"];
    assert_eq!(keys, BTreeSet::from(expected));
    assert_eq!([&first["alert"], &first["rule"], &first["org"]], ["budget", "budgets", "acme"]);
    assert_eq!([&first["value"], &first["threshold"]], [60, 50]);
    let day = gateway.rows(2)[1]["created_at"].as_str().expect("a time")[..10].to_owned();
    assert_eq!(first["period"], day);
    gateway.chat("acme", "hi").ok();
    let second = &told(&hook, 2)[1];
    assert_eq!([&second["value"], &second["threshold"]], [120, 100]);
    gateway.counts("tollgate_alerts_fired_total{rule=\"budgets\"}", 2.0);
    let gateway = gateway.kill_and_restart();
    gateway.chat("acme", "hi").refused(429, "rate_limit_exceeded");
    gateway.chat("other", "hi").ok();
    let all = told_at_last(&gateway, &hook);
    // A delivery whose end the kill has hidden may have come again, under its id.
    let ids = |org: &str| -> BTreeSet<String> {
        let seen = hook.seen();
        let of = seen.iter().filter(|seen| seen.json()["org"] == org);
        of.filter_map(|seen| seen.header("webhook-id").map(str::to_owned)).collect()
    };
    let of = |org: &str| ids(org).len();
    assert_eq!((of("acme"), of("other"), of("free")), (2, 1, 0), "{all:#?}");
}

#[test]
fn errors_and_circuits_are_told_on_their_rising_edge() {
    let (provider, hook) = (Provider::start(), Provider::start());
    let rules = format!(
        "{{name: errors, on: error_rate, above_percent: 50, window: 1h, min_calls: 4, to: [ops]}}, \
         {{name: of-other, on: error_rate, org: other, above_percent: 0, min_calls: 1, to: \
         [ops]}}, \
         {{name: circuit, on: breaker_open, to: [ops]}}, {LAST}"
    );
    let gateway = setup(&provider, &hook, &rules)
        .section("breaker", "{consecutive_failures: 4}")
        .section("retry", "{max_retries: 0}")
        .start();
    provider.always(step::error(500, "x"));
    for _ in 0..8 {
        gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    }
    let both = told(&hook, 2);
    let find = |alert: &str| {
        both.iter().find(|a| a["alert"] == alert).unwrap_or_else(|| panic!("{both:#?}"))
    };
    let rate = find("error_rate");
    assert_eq!([&rate["org"], &rate["rule"], &rate["period"]], ["acme", "errors", "3600s"]);
    assert_eq!(rate["threshold"], 50);
    assert!(rate["value"].as_f64().is_some_and(|value| value > 50.0), "{rate}");
    assert_eq!(find("breaker_open")["provider"], "openai");
    for _ in 0..4 {
        gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    }
    assert_eq!(told_at_last(&gateway, &hook).len(), 3);
}

#[test]
fn a_delivery_is_tried_again_with_the_same_bytes_and_holds_no_other_up() {
    let (provider, hook) = (Provider::start(), Provider::start());
    let dead = refused_address();
    let alerts = format!(
        "webhooks:\n  ops: {{url: \"http://{}/hook\", secret: \"{SECRET}\"}}\n  \
         dead: {{url: \"http://{dead}/hook\", secret: x}}\n\
         rules: [{{name: edits, on: policy_rejected, to: [dead, ops]}}]",
        hook.address
    );
    hook.script([step::error(500, "x")]);
    let gateway = Setup::new(&provider).section("alerts", &alerts).start();
    gateway.write_policy("broken", "no_such_section: {}\n");
    // The first pause is of some seconds.
    let seen = hook.wait_for(2);
    let both: Vec<Value> = seen.iter().map(verified).collect();
    assert_eq!(both[0]["alert"], "policy_rejected");
    assert_eq!(seen[0].body, seen[1].body);
    assert_eq!(seen[0].header("webhook-id"), seen[1].header("webhook-id"));
    eventually("a delivery", || {
        let delivered = "tollgate_alerts_deliveries_total{result=\"delivered\",webhook=\"ops\"}";
        (gateway.metric(delivered) == 1.0).then_some(())
    });
    gateway.counts("tollgate_alerts_deliveries_total{result=\"failed\",webhook=\"ops\"}", 1.0);
    assert!(
        gateway.metric("tollgate_alerts_deliveries_total{result=\"failed\",webhook=\"dead\"}")
            >= 1.0
    );
    eventually("an empty queue", || {
        (gateway.metric("tollgate_alerts_queued{webhook=\"ops\"}") == 0.0).then_some(())
    });
    gateway.counts("tollgate_alerts_queued{webhook=\"dead\"}", 1.0);
}

#[test]
fn a_test_goes_out_at_once() {
    let (provider, hook) = (Provider::start(), Provider::start());
    let gateway = setup(&provider, &hook, LAST).start();
    let ask = |method: &str, query: &str, more: &[(&str, &str)]| {
        gateway.ask_operators(method, &format!("/api/alerts/test{query}"), more, "")
    };
    let answer = ask("POST", "?name=ops", &[]);
    assert_eq!(answer.ok().json(), json!({"tested": [{"webhook": "ops", "status": 200}]}));
    ask("POST", "?name=edits", &[]).ok();
    assert_eq!(ask("POST", "?name=none", &[]).status, 404);
    assert_eq!(ask("POST", "", &[]).status, 400);
    assert_eq!(ask("GET", "?name=ops", &[]).status, 405);
    assert_eq!(ask("POST", "?name=ops", &[("origin", "http://example.com")]).status, 403);
    hook.script([step::error(500, "x")]);
    let failed = ask("POST", "?name=ops", &[]);
    assert_eq!((failed.status, failed.json()["tested"][0]["status"].clone()), (502, json!(500)));
    let audit = gateway.operators("/api/audit?limit=3").ok().json();
    for (at, (name, delivered)) in
        [("ops", false), ("edits", true), ("ops", true)].iter().enumerate()
    {
        let record = &audit["records"][at];
        assert_eq!(record["event"], "alert_tested", "{record}");
        assert_eq!(record["subject"], json!({"name": name, "delivered": delivered}));
    }
    let run = |name: &str| {
        let mut command = tollgate();
        command.args(["alert", "test", name, "--config"]).arg(gateway.folder());
        command.output().expect("a command")
    };
    let done = run("ops");
    assert_eq!(String::from_utf8_lossy(&done.stdout), "ops: delivered (status 200)\n");
    assert_eq!(done.status.code(), Some(0));
    let none = run("none");
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("`none`; there is ops"));
    hook.script([step::error(404, "x")]);
    assert_eq!(run("edits").status.code(), Some(1));
    let all = told(&hook, 5);
    assert_eq!(all.len(), 5);
    assert!(all.iter().all(|alert| alert["alert"] == "test"), "{all:#?}");
    // Neither secret nor address is shown.
    let shown = gateway.config().to_string() + &gateway.printed();
    assert!(!shown.contains(SECRET));
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn of_several_gateways_one_tells() {
    let (provider, hook, redis) = (Provider::start(), Provider::start(), Redis::start());
    let rules = format!("{{name: budgets, on: budget, at_percent: [50, 100], to: [ops]}}, {LAST}");
    let start = || {
        setup(&provider, &hook, &rules)
            .setting("limits_store", &format!("\"{}\"", redis.url()))
            .setting("limits_store_timeout", "10s")
            .section("limits", &limits("usd_per_day: 0.0036, fail: closed"))
            .start()
    };
    let gateways = [start(), start()];
    gateways[0].chat("acme", "hi").ok();
    // Until the first call is settled in the shared store, its reservation leaves too little.
    let is_served = || (gateways[1].chat("acme", "hi").status == 200).then_some(());
    eventually("a place in the budget", is_served);
    // Both have spent 50 % by themselves, and together all of it.
    let mut thresholds: Vec<Value> =
        told(&hook, 2).iter().map(|alert| alert["threshold"].clone()).collect();
    thresholds.sort_by_key(Value::to_string);
    assert_eq!(thresholds, [json!(100), json!(50)]);
    told_at_last(&gateways[0], &hook);
    gateways[1].write_policy("broken", "no_such_section: {}\n");
    let all = hook.wait_for(4);
    assert_eq!(all.len(), 4, "two thresholds, and an edit at each gateway");
}

#[test]
#[ignore = "needs redis-server; run by scripts/test"]
fn calls_of_other_gateways_count_once_they_are_over() {
    let (provider, hook, redis) = (Provider::start(), Provider::start(), Redis::start());
    let rules = format!("{{name: budgets, on: budget, at_percent: [15, 40], to: [ops]}}, {LAST}");
    let start = || {
        setup(&provider, &hook, &rules)
            .setting("limits_store", &format!("\"{}\"", redis.url()))
            .setting("limits_store_timeout", "10s")
            .section("limits", &limits("usd_per_day: 0.01, fail: closed"))
            .start()
    };
    let gateways = [start(), start()];
    let (wait, open) = step::gate();
    provider.script([[vec![wait], step::chat("late")].concat()]);
    std::thread::scope(|scope| {
        // It reserves more than half of the budget until it is over.
        let late = scope.spawn(|| {
            let mut body = crate::support::chat("hi");
            body["max_tokens"] = 60.into();
            gateways[1].post("/v1/chat/completions", &crate::support::jwt("acme"), &body)
        });
        provider.wait_for(1);
        gateways[0].chat("acme", "hi").ok();
        let first = &told(&hook, 1)[0];
        assert_eq!([&first["value"], &first["threshold"]], [18, 15]);
        assert_eq!(told_at_last(&gateways[0], &hook).len(), 2, "and nothing of 40 %");
        open.send(()).expect("a call that waits");
        late.join().expect("a call").ok();
    });
    gateways[0].chat("acme", "hi").ok();
    let last = told(&hook, 3)[2].clone();
    assert_eq!(
        [&last["value"], &last["threshold"], &last["org"]],
        [&json!(54), &json!(40), &json!("acme")]
    );
}
