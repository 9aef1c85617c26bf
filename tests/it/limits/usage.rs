//! Limits beyond an organisation's requests: tokens, calls in flight, money; by key, user and
//! model.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::support::{
    Gateway, Provider, Reply, SECRET, Setup, chat, eventually, jwt, sign, span, step,
};

/// Room for any number of calls, and the limits under test.
fn limits(more: &str) -> String {
    format!("{{requests_per_minute: 60000, burst: 60000, {more}}}")
}

/// A chat that is estimated at about 30 tokens; the scripted provider says that it used 18, for
/// 5.55 micro-USD.
fn small_chat(gateway: &Gateway, bearer: &str) -> Reply {
    chat_bounded_by(gateway, bearer, 10)
}

/// A chat that is estimated at a little more than these tokens.
fn chat_bounded_by(gateway: &Gateway, bearer: &str, max_tokens: u64) -> Reply {
    let mut body = chat("hi");
    body["max_tokens"] = json!(max_tokens);
    gateway.post("/v1/chat/completions", bearer, &body)
}

/// Budgets are of a UTC day: a test that spends one does not begin in the last minute of it.
fn not_across_midnight() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() % 86_400;
    if now >= 86_340 {
        std::thread::sleep(Duration::from_secs(86_401 - now));
    }
}

/// Asserts a refusal that names its limit, in the message and on the metrics.
#[track_caller]
fn assert_refused_by(gateway: &Gateway, reply: &Reply, scope: &str, limit: &str, says: &str) {
    reply.refused(429, "rate_limit_exceeded");
    assert!(reply.text().contains(says), "{}", reply.text());
    let series =
        format!("tollgate_ratelimit_rejections_total{{limit=\"{limit}\",scope=\"{scope}\"}}");
    gateway.reaches(&series, 1.0);
}

#[test]
fn tokens_are_reserved_settled_and_owed() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("limits", &limits("tokens_per_minute: 1860")).start();
    // Estimated at over 1000, used 800: the second fits, which it would not were the first not
    // settled. The third would fit after 25 seconds.
    provider.script([step::chat_using(789), step::chat_using(789)]);
    chat_bounded_by(&gateway, &jwt("acme"), 1000).ok();
    chat_bounded_by(&gateway, &jwt("acme"), 1000).ok();
    let refused = chat_bounded_by(&gateway, &jwt("acme"), 1000);
    assert_refused_by(&gateway, &refused, "org", "tokens_per_minute", "1860 tokens a minute");
    let wait: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((1..=26_000).contains(&wait), "{wait}");
    // One that uses far more than was left passes whole; what it used too much is owed.
    let events = step::chat_events(&["a"; 5], true);
    let huge = events
        .iter()
        .map(|e| e.replace("\"completion_tokens\":7", "\"completion_tokens\":18607"))
        .collect::<Vec<_>>();
    provider.script([step::sse(&huge)]);
    let streamed = gateway.post(
        "/v1/chat/completions",
        &jwt("other"),
        &json!({"model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": true}, "messages": []}),
    );
    assert!(streamed.ok().text().contains("[DONE]"));
    let wait: u64 =
        small_chat(&gateway, &jwt("other")).header("retry-after").unwrap().parse().unwrap();
    // 18618 used, 1860 held, 31 gained a second.
    assert!((400..=600).contains(&wait), "{wait}");
    assert_eq!(provider.seen().len(), 3, "none of the refused reached the provider");
}

#[test]
fn what_a_failed_call_reserved_is_free_again() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "limits",
            &limits(
                "tokens_per_minute: 60, usd_per_day: 0.00003, calls_in_flight: 1, \
                 orgs: {left: {tokens_per_minute: off, usd_per_day: off}}",
            ),
        )
        .section("retry", "{max_retries: 0}")
        .start();
    for _ in 0..5 {
        provider.script([step::error(500, "x")]);
        small_chat(&gateway, &jwt("acme")).refused(503, "provider_unavailable");
        provider.script([step::error(400, "x")]);
        assert_eq!(small_chat(&gateway, &jwt("acme")).status, 400);
        // The place of a client that leaves before the answer. What the provider charges for it is
        // another matter.
        provider.script([step::silence()]);
        let before = provider.seen().len();
        let mut connection = gateway.connect();
        let bearer = format!("Bearer {}", jwt("left"));
        let body = chat("hi").to_string();
        connection.send(&crate::support::request(
            "POST",
            "/v1/chat/completions",
            &[("authorization", &bearer)],
            body.as_bytes(),
        ));
        provider.wait_for(before + 1);
        let refused = small_chat(&gateway, &jwt("left"));
        assert_refused_by(&gateway, &refused, "org", "calls_in_flight", "1 calls in flight");
        drop(connection);
        eventually("the call to be over", || {
            (gateway.metric("tollgate_requests_in_flight") == 0.0).then_some(())
        });
    }
    small_chat(&gateway, &jwt("acme")).ok();
    small_chat(&gateway, &jwt("left")).ok();
}

#[test]
fn keys_users_and_models_have_their_own_limits() {
    let provider = Provider::start();
    let key = |name: &str| {
        format!("{{name: {name}, org: acme, sha256: \"{}\"}}", sha256(&format!("tg-{name}")))
    };
    let auth = format!(
        "jwt: {{secret: \"{SECRET}\", user_claim: app.user}}\nkeys: [{}, {}]",
        key("one"),
        key("two")
    );
    let gateway = Setup::new(&provider)
        .section("auth", &auth)
        .section(
            "limits",
            &limits(
                "each_key: {requests_per_minute: 2}, each_user: {requests_per_minute: 1}, \
             models: [{match: \"gpt-4o*\", requests_per_minute: 2}, {match: \"*\", \
             tokens_per_minute: 1000}], \
             orgs: {free: {each_user: {tokens_per_minute: 100000}, models: []}}",
            ),
        )
        .start();
    let other = json!({"model": "text-embedding-3-small", "input": "hi"});
    let embed = |bearer: &str| gateway.post("/v1/embeddings", bearer, &other);
    small_chat(&gateway, "tg-one").ok();
    embed("tg-one").ok();
    let refused = small_chat(&gateway, "tg-one");
    assert_refused_by(
        &gateway,
        &refused,
        "key",
        "requests_per_minute",
        "your key one may make 2 calls",
    );
    // What the organisation has left is said all the same, and the refused call took nothing of it.
    assert_eq!(refused.header("x-ratelimit-limit-requests"), Some("60000"));
    assert_eq!(refused.header("x-ratelimit-remaining-requests").map(str::len), Some(5));
    let user = |org: &str, user: &str| {
        let claims = json!({"org_id": org, "app": {"user": user}, "exp": 4_000_000_000u64});
        sign(&json!({"alg": "HS256"}), &claims, SECRET)
    };
    embed(&user("acme", "ann")).ok();
    assert_refused_by(
        &gateway,
        &small_chat(&gateway, &user("acme", "ann")),
        "user",
        "requests_per_minute",
        "each user",
    );
    // Other keys and users are not touched, until all of them together have used up the model's
    // limit.
    small_chat(&gateway, "tg-two").ok();
    let refused = small_chat(&gateway, &user("acme", "bob"));
    assert_refused_by(&gateway, &refused, "model", "requests_per_minute", "models gpt-4o*,");
    embed("tg-two").ok();
    // An organisation with rules of its own.
    for _ in 0..6 {
        small_chat(&gateway, &user("free", "ann")).ok();
    }
    let rows = gateway.rows(12);
    assert!(
        rows.iter().any(|row| row["caller"] == "ann")
            && rows.iter().any(|row| row["caller"] == "two")
    );
}

#[test]
fn budgets_survive_a_restart() {
    not_across_midnight();
    let provider = Provider::start();
    // Four calls of 5.55 micro-USD: the fifth's estimate no longer fits.
    let gateway = Setup::new(&provider)
        .section(
            "limits",
            &limits("orgs: {acme: {usd_per_day: 0.00003}, monthly: {usd_per_month: 0.00003}}"),
        )
        .start();
    let spend = |gateway: &Gateway, org: &str| {
        let mut passed = 0;
        while passed < 20 && small_chat(gateway, &jwt(org)).status == 200 {
            passed += 1;
        }
        passed
    };
    let (day, month) = (spend(&gateway, "acme"), spend(&gateway, "monthly"));
    assert!((3..=5).contains(&day) && day == month, "{day} {month}");
    small_chat(&gateway, &jwt("unlimited")).ok();
    // Killed, not stopped: what had not reached the store is read from the write-ahead log.
    let gateway = gateway.kill_and_restart();
    let refused = eventually("the budgets to be known", || {
        Some(small_chat(&gateway, &jwt("acme"))).filter(|reply| reply.status == 429)
    });
    assert_refused_by(&gateway, &refused, "org", "usd_per_day", "may spend 0.00003 USD a day");
    assert_eq!(refused.header("x-should-retry"), Some("false"));
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() <= 86_400);
    assert_refused_by(
        &gateway,
        &small_chat(&gateway, &jwt("monthly")),
        "org",
        "usd_per_month",
        "may spend 0.00003 USD a month",
    );
    small_chat(&gateway, &jwt("unlimited")).ok();
}

#[test]
fn a_flood_over_a_token_limit_is_folded() {
    let provider = Provider::start();
    let mut gateway =
        Setup::new(&provider).section("limits", &limits("tokens_per_minute: 30")).start();
    // The first owes so much that no other passes.
    provider.script([step::chat_using(100_000)]);
    let refused = (0..60).filter(|_| small_chat(&gateway, &jwt("acme")).status == 429).count();
    assert_eq!(refused, 59);
    let rows = gateway.stop();
    let limited: Vec<_> = rows.iter().filter(|row| row["outcome"] == "rate_limited").collect();
    let calls: u64 = limited.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
    assert_eq!(calls, refused as u64);
    // The first by itself, then a row a second.
    let most = 3 + usize::try_from(span(&limited).as_secs()).unwrap();
    assert!((2..=most).contains(&limited.len()), "{} rows of {most}", limited.len());
}

#[test]
fn limits_are_edited_hot_and_nothing_is_refilled() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("limits", &limits("tokens_per_minute: 40")).start();
    // It owes for minutes.
    provider.script([step::chat_using(1000)]);
    small_chat(&gateway, &jwt("acme")).ok();
    small_chat(&gateway, &jwt("acme")).refused(429, "rate_limit_exceeded");
    gateway.edit_and_wait("limits", &limits("tokens_per_minute: 41"));
    small_chat(&gateway, &jwt("acme")).refused(429, "rate_limit_exceeded");
    gateway.edit_and_wait("limits", &limits("tokens_per_minute: off"));
    small_chat(&gateway, &jwt("acme")).ok();
}

#[test]
fn keys_expire_and_are_for_their_models_and_endpoints() {
    let provider = Provider::start();
    let key = |name: &str, more: &str| {
        format!(
            "{{name: {name}, org: acme, sha256: \"{}\", {more}}}",
            sha256(&format!("tg-{name}"))
        )
    };
    let keys = [
        key("old", "expires: 2026-01-31"),
        key("new", "expires: 2999-01-31T12:00:00Z"),
        key("mini", "models: [\"gpt-4o-mini*\"]"),
        key("chat", "endpoints: [/v1/chat/completions]"),
    ];
    let gateway = Setup::new(&provider)
        .section("auth", &format!("accept: [key]\nkeys: [{}]", keys.join(", ")))
        .start();
    small_chat(&gateway, "tg-new").ok();
    let expired = small_chat(&gateway, "tg-old");
    expired.refused(401, "invalid_token");
    assert!(expired.text().contains("has expired"), "{}", expired.text());
    small_chat(&gateway, "tg-mini").ok();
    let ask = |path: &str, key: &str, body: &serde_json::Value| gateway.post(path, key, body);
    let large =
        json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "x".repeat(200_000)}]});
    ask("/v1/chat/completions", "tg-mini", &large).refused(404, "model_not_found");
    // A large body whose model comes last is waited for, not sent.
    let late =
        json!({"messages": [{"role": "user", "content": "x".repeat(200_000)}], "model": "gpt-4o"});
    ask("/v1/chat/completions", "tg-mini", &late).refused(404, "model_not_found");
    ask("/v1/embeddings", "tg-mini", &json!({"input": "no model"})).refused(404, "model_not_found");
    small_chat(&gateway, "tg-chat").ok();
    ask("/v1/embeddings", "tg-chat", &json!({"model": "x", "input": "y"}))
        .refused(403, "endpoint_not_allowed");
    assert_eq!(provider.seen().len(), 3, "none of the refused reached the provider");
    assert_eq!(gateway.rows(7).len(), 7, "each call of a known caller has its row");
}

#[test]
fn a_key_s_models_hold_for_every_model_that_a_body_names() {
    let provider = Provider::start();
    let key = |name: &str, more: &str| {
        format!(
            "{{name: {name}, org: acme, sha256: \"{}\", {more}}}",
            sha256(&format!("tg-{name}"))
        )
    };
    let keys = [key("mini", "models: [\"gpt-4o-mini*\"]"), key("free", "endpoints: []")];
    let gateway = Setup::new(&provider)
        .section("auth", &format!("accept: [key]\nkeys: [{}]", keys.join(", ")))
        .start();
    let send = |path: &str, key: &str, body: &str| {
        let bearer = format!("Bearer {key}");
        gateway.send(
            "POST",
            path,
            &[("authorization", &bearer), ("content-type", "application/json")],
            body.as_bytes(),
        )
    };
    let model = r#""model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]"#;
    let long = "x".repeat(200_000);
    for (path, fields, status, code) in [
        ("chat/completions", r#""models":["o1-pro"]"#, 404, "model_not_found"),
        ("chat/completions", r#""models":["gpt-4o-mini-2","o1-pro"]"#, 404, "model_not_found"),
        ("chat/completions", r#""m\u006fdels":["o1-pro"]"#, 404, "model_not_found"),
        ("chat/completions", r#""Models":["o1-pro"]"#, 404, "model_not_found"),
        ("chat/completions", r#""fallbacks":[{"gpt-4o-mini":["o1-pro"]}]"#, 404, "model_not_found"),
        ("chat/completions", r#""fallbacks":[{"model":"o1-pro"}]"#, 404, "model_not_found"),
        ("chat/completions", r#""extra_body":{"model":"o1-pro"}"#, 404, "model_not_found"),
        (
            "responses",
            r#""tools":[{"type":"image_generation","model":"gpt-image-1"}]"#,
            404,
            "model_not_found",
        ),
        ("chat/completions", r#""route":"fallback""#, 400, "invalid_request"),
        ("chat/completions", r#""provider":{"order":["x"]}"#, 400, "invalid_request"),
        ("chat/completions", r#""Model":"o1-pro""#, 400, "invalid_request"),
        ("chat/completions", r#""MODEL":"gpt-4o-mini""#, 400, "invalid_request"),
    ] {
        let path = format!("/v1/{path}");
        send(&path, "tg-mini", &format!("{{{model},{fields}}}")).refused(status, code);
        send(&path, "tg-mini", &format!("{{{fields},{model}}}")).refused(status, code);
    }
    assert!(provider.seen().is_empty(), "none reached the provider");
    // Behind a text that is already on its way the call ends, and the provider never has the whole
    // body.
    let late = format!(r#"{{{model},"user":"{long}","models":["o1-pro"]}}"#);
    send("/v1/chat/completions", "tg-mini", &late).refused(404, "model_not_found");
    assert!(provider.seen().iter().all(|seen| !format!("{seen:?}").contains("o1-pro")));
    provider.take_seen();
    for (key, fields) in [
        ("tg-mini", r#""models":["gpt-4o-mini","gpt-4o-mini-2"],"fallbacks":["gpt-4o-mini"]"#),
        ("tg-mini", r#""metadata":{"model":"o1-pro","route":"x"}"#),
        (
            "tg-free",
            r#""models":["o1-pro"],"fallbacks":[{"model":"x"}],"route":"fallback","provider":{"order":["x"]}"#,
        ),
    ] {
        send("/v1/chat/completions", key, &format!("{{{model},{fields}}}")).ok();
    }
    // The call that was broken off may be seen this late; its body has no end.
    let whole = provider.seen().iter().filter(|seen| seen.complete).count();
    assert_eq!(whole, 3);
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
