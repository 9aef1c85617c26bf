//! The exact cache: which calls get the answer of an earlier one, and what such an answer is.

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, Setup, chat, eventually, jwt, step};

const CHAT: &str = "/v1/chat/completions";

fn setup(provider: &Provider) -> Setup {
    Setup::new(provider)
        .section("cache", "{mode: exact, ttl: 1h, max_bytes: 1MiB}")
        .section("prices", "[{model: gpt-4o-mini, input: 100, output: 100}]")
}

fn send(gateway: &Gateway, org: &str, body: &Value, more: &[(&str, &str)]) -> Reply {
    let bearer = format!("Bearer {}", jwt(org));
    let headers =
        [&[("authorization", &*bearer), ("content-type", "application/json")], more].concat();
    gateway.send("POST", CHAT, &headers, body.to_string().as_bytes())
}

fn cache(reply: &Reply) -> &str {
    reply.ok().header("x-tollgate-cache").unwrap_or_default()
}

fn streamed(text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": text}]})
}

#[test]
fn the_same_call_of_an_organisation_gets_the_same_answer_and_costs_nothing() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let first = send(&gateway, "acme", &chat("hi"), &[]);
    assert_eq!(cache(&first), "miss");
    // Written in another way, by another caller.
    let text = "{ \"messages\":[{\"content\":\"\\u0068i\",\"role\":\"user\"}\
        ],\n\"model\":\"gpt-4o-mini\"}";
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let second = gateway.send("POST", CHAT, &headers, text.as_bytes());
    assert_eq!((cache(&second), second.text()), ("hit", first.text()));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    assert_eq!(second.header("x-tollgate-attempts"), Some("0"));
    assert_eq!(second.header("x-tollgate-provider"), None);
    assert_eq!(provider.seen().len(), 1);
    // Something else, and somebody else.
    assert_eq!(cache(&send(&gateway, "acme", &chat("hi!"), &[])), "miss");
    assert_eq!(cache(&send(&gateway, "other", &chat("hi"), &[])), "miss");
    let rows = gateway.rows(4);
    let of = |n: usize, column: &str| rows[n][column].clone();
    assert_eq!([of(0, "cache"), of(1, "cache")], ["miss", "hit"]);
    // 11 + 7 tokens at 100 USD a million.
    assert_eq!([of(0, "cost_usd"), of(0, "saved_by_cache_usd")], [json!(0.0018), json!(0.0)]);
    assert_eq!([of(1, "cost_usd"), of(1, "saved_by_cache_usd")], [json!(0.0), json!(0.0018)]);
    assert_eq!([of(1, "input_tokens"), of(1, "attempts")], [json!(0), json!(0)]);
    assert_eq!([of(1, "outcome"), of(1, "model")], ["ok", "gpt-4o-mini"]);
    assert_eq!(of(1, "response"), of(0, "response"), "the log keeps the same text");
    gateway.counts("tollgate_cache_lookups_total{result=\"hit\"}", 1.0);
    gateway.counts("tollgate_cache_entries", 3.0);
    // An edit of the policy begins anew; so does the way back, whose version is another one's.
    gateway.edit_and_wait("features", "{ai_intent_enabled: false}");
    assert_eq!(cache(&send(&gateway, "acme", &chat("hi"), &[])), "miss");
}

#[test]
fn a_stream_is_replayed_as_it_came_and_only_if_it_was_whole() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let whole = step::sse(&step::chat_events(&["hel", "lo"], true));
    let mut cut = step::sse_open(&step::chat_events(&["hel", "lo"], true)[..2]);
    cut.push(step::Act::Reset);
    provider.script([cut, whole]);
    let broken = send(&gateway, "acme", &streamed("hi"), &[]);
    assert_eq!(broken.header("x-tollgate-cache"), Some("miss"));
    let first = send(&gateway, "acme", &streamed("hi"), &[]);
    assert_eq!(cache(&first), "miss", "what broke off was not kept");
    let second = send(&gateway, "acme", &streamed("hi"), &[]);
    assert_eq!((cache(&second), second.text()), ("hit", first.text()));
    assert!(second.text().ends_with("data: [DONE]\n\n"));
    assert_eq!(second.header("content-type"), first.header("content-type"));
    // The gateway asks for the usage of a stream itself; a caller who asks for it gets it.
    assert!(!second.text().contains("\"usage\":{"));
    let mut asked = streamed("hi");
    asked["stream_options"] = json!({"include_usage": true});
    provider.script([step::sse(&step::chat_events(&["hel", "lo"], true))]);
    let with_usage = send(&gateway, "acme", &asked, &[]);
    assert_eq!(cache(&with_usage), "miss");
    assert!(with_usage.text().contains("\"usage\":{"));
    let row = &gateway.rows(4)[2];
    assert_eq!(
        (&row["cache"], &row["stream"], &row["cost_usd"]),
        (&json!("hit"), &json!(1), &json!(0.0))
    );
}

#[test]
fn errors_are_not_kept_and_a_request_may_forbid_the_cache() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    provider.script([
        step::error(400, "x"),
        step::chat("one"),
        step::chat("two"),
        step::chat("three"),
    ]);
    let failed = send(&gateway, "acme", &chat("hi"), &[]);
    assert_eq!((failed.status, failed.header("x-tollgate-cache")), (400, Some("miss")));
    let say = |reply: Reply| {
        let text = reply.ok().json()["choices"][0]["message"]["content"].clone();
        (reply.header("x-tollgate-cache").unwrap_or_default().to_owned(), text)
    };
    let with = |directive: &str| {
        let header = [("cache-control", directive)];
        say(send(&gateway, "acme", &chat("hi"), if directive.is_empty() { &[] } else { &header }))
    };
    assert_eq!(with("no-store"), ("miss".to_owned(), json!("one")));
    assert_eq!(with(""), ("miss".to_owned(), json!("two")), "nothing had been kept");
    assert_eq!(with(""), ("hit".to_owned(), json!("two")));
    assert_eq!(with("no-cache"), ("miss".to_owned(), json!("three")));
    assert_eq!(with(""), ("hit".to_owned(), json!("three")), "the new answer has been kept");
}

#[test]
fn callers_keys_long_bodies_and_state_pass_by() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let own_key = |_: u8| gateway.post(CHAT, "sk-the-caller-s-own", &chat("hi"));
    for reply in [own_key(0), own_key(1)] {
        assert_eq!(reply.ok().header("x-tollgate-cache"), None);
    }
    let long = chat(&"x".repeat(70 << 10));
    for reply in [send(&gateway, "acme", &long, &[]), send(&gateway, "acme", &long, &[])] {
        assert_eq!(reply.ok().header("x-tollgate-cache"), None);
    }
    let stored = json!({"model": "gpt-4o-mini", "input": "hi"});
    let bearer = jwt("acme");
    assert_eq!(gateway.post("/v1/responses", &bearer, &stored).header("x-tollgate-cache"), None);
    let unstored = json!({"model": "gpt-4o-mini", "input": "hi", "store": false});
    let reply = gateway.post("/v1/responses", &bearer, &unstored);
    assert_eq!(reply.header("x-tollgate-cache"), Some("miss"));
    assert_eq!(provider.seen().len(), 6);
    assert!(gateway.rows(6)[..5].iter().all(|row| row["cache"] == ""));
}

#[test]
fn off_means_off_and_each_organisation_and_endpoint_may_differ() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("cache", "orgs:\n  acme: {mode: exact, endpoints: [\"/v1/embeddings\"]}")
        .start();
    let folder = gateway.folder().join("data/cache");
    for org in ["acme", "acme", "other", "other"] {
        assert_eq!(gateway.chat(org, "hi").ok().header("x-tollgate-cache"), None);
    }
    assert!(!folder.exists(), "nothing is made for calls that are not cached");
    gateway.edit_and_wait("cache", "orgs:\n  acme: {mode: exact}");
    assert_eq!(cache(&gateway.chat("acme", "hi")), "miss");
    assert_eq!(cache(&gateway.chat("acme", "hi")), "hit");
    assert_eq!(gateway.chat("other", "hi").ok().header("x-tollgate-cache"), None);
    let first = || std::fs::read_dir(&folder).ok()?.next()?.ok();
    eventually("a file", first);
    gateway.edit_and_wait("cache", "{mode: \"off\"}");
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-tollgate-cache"), None);
    eventually("the end of what was kept", || (!folder.exists()).then_some(()));
}

#[test]
fn values_are_put_back_and_taken_out_for_each_call_by_itself() {
    let provider = Provider::start();
    let gateway = setup(&provider).section("redaction", "{restore: true, answers: mask}").start();
    // The provider repeats the placeholder, and invents an address of somebody.
    provider.always(step::chat_by(|seen| {
        let text = seen.json()["messages"][0]["content"].as_str().expect("text").to_owned();
        format!("you wrote {text}, ask eve@example.org")
    }));
    let content = |reply: &Reply| {
        reply.ok().json()["choices"][0]["message"]["content"].as_str().expect("text").to_owned()
    };
    let ann = send(&gateway, "acme", &chat("ann@example.com"), &[]);
    let eve = send(&gateway, "acme", &chat("eve@example.org"), &[]);
    assert_eq!([cache(&ann), cache(&eve)], ["miss", "hit"]);
    assert_eq!(content(&ann), "you wrote ann@example.com, ask [REDACTED_EMAIL]");
    assert_eq!(content(&eve), "you wrote eve@example.org, ask eve@example.org");
    assert_eq!(provider.seen().len(), 1);
}

#[test]
fn a_hit_counts_as_a_request_and_spends_nothing() {
    let provider = Provider::start();
    let gateway = setup(&provider)
        .section("limits", "{requests_per_minute: 1, burst: 3, usd_per_day: 0.0036}")
        .start();
    let body = json!({"model": "gpt-4o-mini", "max_tokens": 7, "messages": [{"role": "user", "content": "hi"}]});
    for expected in ["miss", "hit", "hit"] {
        let reply = send(&gateway, "acme", &body, &[]);
        assert_eq!(cache(&reply), expected, "three calls would have cost more than the budget");
    }
    send(&gateway, "acme", &body, &[]).refused(429, "rate_limit_exceeded");
}

#[test]
fn answers_survive_kill_9_but_no_damage() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    let folder = gateway.folder().join("data/cache");
    for text in ["one", "two"] {
        assert_eq!(cache(&gateway.chat("acme", text)), "miss");
    }
    let files = || -> Vec<_> {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_none()).collect()
    };
    eventually("both files", || (files().len() == 2).then_some(()));
    let gateway = gateway.kill_and_restart();
    let folder = gateway.folder().join("data/cache");
    // The first question lets the folder be read.
    eventually("the answer of the last process", || {
        let reply = gateway.chat("acme", "one");
        (cache(&reply) == "hit" && reply.text().contains("hello")).then_some(())
    });
    assert_eq!(cache(&gateway.chat("acme", "two")), "hit");
    let gateway = gateway.kill_and_restart();
    for entry in std::fs::read_dir(gateway.folder().join("data/cache")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let mut bytes = std::fs::read(&path).expect("a file");
        *bytes.last_mut().expect("a byte") ^= 1;
        std::fs::write(&path, bytes).expect("written");
    }
    drop(folder);
    assert_eq!(cache(&gateway.chat("acme", "two")), "miss");
}

#[test]
fn operators_purge_all_or_one_organisation() {
    let provider = Provider::start();
    let gateway = setup(&provider).start();
    for org in ["acme", "other"] {
        assert_eq!(cache(&gateway.chat(org, "hi")), "miss");
    }
    let purge =
        |query: &str| gateway.ask_operators("POST", &format!("/api/cache/purge{query}"), &[], "");
    assert_eq!(purge("?org_id=acme").ok().json(), json!({"purged": 1}));
    assert_eq!(
        [cache(&gateway.chat("acme", "hi")), cache(&gateway.chat("other", "hi"))],
        ["miss", "hit"]
    );
    assert_eq!(purge("").ok().json(), json!({"purged": 2}));
    assert_eq!(cache(&gateway.chat("other", "hi")), "miss");
    assert_eq!(purge("?org_id=%20").status, 400);
    let other = purge("?org=nobody");
    assert_eq!(other.status, 400);
    assert!(other.text().contains("`org`") && other.text().contains("org_id"), "{}", other.text());
    let body = gateway.ask_operators("POST", "/api/cache/purge", &[], r#"{"org_id":"acme"}"#);
    assert_eq!(body.status, 400);
    assert_eq!(gateway.operators("/api/cache/purge").status, 405);
    let elsewhere = [("origin", "http://example.com")];
    assert_eq!(gateway.ask_operators("POST", "/api/cache/purge", &elsewhere, "").status, 403);
    let audit = gateway.operators("/api/audit").ok().json();
    let records = audit["records"].as_array().expect("records").iter();
    let purges: Vec<(Value, Value)> = records
        .filter(|record| record["event"] == "cache_purged")
        .map(|record| (record["by"]["kind"].clone(), record["subject"].clone()))
        .collect();
    let expected = [json!({"org": null, "answers": 2}), json!({"org": "acme", "answers": 1})];
    assert_eq!(purges, expected.map(|subject| (json!("api"), subject)), "newest first");
    let listed = crate::support::tollgate()
        .args(["audit", "list", "--config"])
        .arg(gateway.folder())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&listed.stdout);
    assert!(text.contains("1 answers, those of acme") && text.contains("2 answers, all"), "{text}");
}

#[test]
fn an_answer_ends_with_its_time() {
    let provider = Provider::start();
    let gateway = setup(&provider).section("cache", "{mode: exact, ttl: 1s}").start();
    assert_eq!(cache(&gateway.chat("acme", "hi")), "miss");
    eventually("a miss again", || (cache(&gateway.chat("acme", "hi")) == "miss").then_some(()));
}
