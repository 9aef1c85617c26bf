//! Every organisation within its limits, and no other touched.

use std::sync::{Arc, Barrier};

use crate::support::{Gateway, Provider, Setup, chat, jwt, span};

#[test]
fn two_hundred_calls_at_once_with_a_limit_of_sixty() {
    let provider = Provider::start();
    let gateway = Arc::new(
        Setup::new(&provider)
            .section(
                "limits",
                "{requests_per_minute: 1, burst: 60, \
                  orgs: {other: {requests_per_minute: 60, burst: 60}}}",
            )
            .start(),
    );
    let barrier = Arc::new(Barrier::new(20));
    let threads: Vec<_> = (0..20)
        .map(|_| {
            let (gateway, barrier) = (Arc::clone(&gateway), Arc::clone(&barrier));
            std::thread::spawn(move || {
                barrier.wait();
                (0..10).map(|_| gateway.chat("acme", "hi")).collect::<Vec<_>>()
            })
        })
        .collect();
    let replies: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let passed = replies.iter().filter(|reply| reply.status == 200).count();
    // One call a minute is gained, so at most one while this test runs.
    assert!((60..=61).contains(&passed), "{passed} passed");
    assert_eq!(provider.seen().len(), passed, "none of the refused reached the provider");
    for refused in replies.iter().filter(|reply| reply.status != 200) {
        refused.refused(429, "rate_limit_exceeded");
        let number = |name: &str| refused.header(name).and_then(|value| value.parse::<u64>().ok());
        assert!(
            number("retry-after").is_some_and(|seconds| (1..=60).contains(&seconds)),
            "{:?}",
            refused.headers
        );
        assert_eq!(number("x-ratelimit-limit-requests"), Some(1));
        assert_eq!(number("x-ratelimit-remaining-requests"), Some(0));
        assert!(refused.header("x-ratelimit-reset-requests").is_some());
    }
    let other = gateway.chat("other", "hi");
    assert_eq!(other.ok().header("x-ratelimit-remaining-requests"), Some("59"));
    assert_eq!(other.header("ratelimit-policy"), Some("\"org\";q=60;w=60"));
    assert_eq!(other.header("ratelimit"), Some("\"org\";r=59;t=1"));
    let limits = gateway.operators("/api/limits").ok().json();
    assert_eq!(limits["organizations"], 2);
    let most =
        serde_json::json!([{"org_id": "acme", "refused": 200 - passed, "at_least": 200 - passed}]);
    assert_eq!(limits["most_refused"], most);
    assert!(gateway.metric("tollgate_ratelimit_rejections_total") >= (200 - passed) as f64);
    // All two hundred and one are counted, though a flood of refusals need not cost a row each.
    let counted = || {
        let rows = gateway.rows(1);
        rows.iter()
            .map(|row| row.get("calls").and_then(serde_json::Value::as_u64).unwrap_or(1))
            .sum::<u64>()
    };
    crate::support::eventually("all calls in the log", || (counted() == 201).then_some(()));
}

#[test]
fn limits_are_an_organisation_s_own_and_retries_are_free() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "limits",
            "{requests_per_minute: 2, burst: 2, orgs: {large: {requests_per_minute: \
            100, burst: 5}}}",
        )
        .start();
    provider.script([
        crate::support::step::error(503, "server_is_overloaded"),
        crate::support::step::error(500, "x"),
    ]);
    let first = gateway.chat("small", "hi");
    assert_eq!(first.ok().header("x-tollgate-attempts"), Some("3"));
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("1"));
    gateway.chat("small", "hi").ok();
    gateway.chat("small", "hi").refused(429, "rate_limit_exceeded");
    let large = gateway.chat("large", "hi");
    assert_eq!(large.ok().header("x-ratelimit-limit-requests"), Some("100"));
    assert_eq!(large.header("x-ratelimit-remaining-requests"), Some("4"));
    // A refused call of another kind takes one too, an unknown caller takes none.
    gateway.post("/v1/chat/completions", "tg-nobody", &chat("x")).refused(401, "invalid_token");
    gateway
        .post("/api/ai/intent", &jwt("small"), &serde_json::json!({"title": "a", "body": "b"}))
        .refused(429, "rate_limit_exceeded");
}

#[test]
fn a_changed_limit_counts_at_once_and_refills_nobody() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("limits", "{requests_per_minute: 1, burst: 3}").start();
    for _ in 0..3 {
        gateway.chat("acme", "hi").ok();
    }
    gateway.chat("acme", "hi").refused(429, "rate_limit_exceeded");
    // What was owed takes minutes to be gained, under the new limit too.
    gateway.edit_and_wait("limits", "{requests_per_minute: 2, burst: 3}");
    gateway.chat("acme", "hi").refused(429, "rate_limit_exceeded");
    let fresh = gateway.chat("newcomer", "hi");
    assert_eq!(fresh.ok().header("x-ratelimit-limit-requests"), Some("2"));
}

#[test]
fn a_flood_of_refusals_costs_few_rows_and_all_are_counted() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("limits", "{requests_per_minute: 1, burst: 1}").start();
    let mut connection = gateway.connect();
    let bearer = format!("Bearer {}", jwt("acme"));
    let call = crate::support::request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        chat("x").to_string().as_bytes(),
    );
    let mut refused = 0;
    for _ in 0..400 {
        refused += u64::from(connection.send(&call).reply().status == 429);
    }
    // One passes, and one more a minute.
    assert!((398..=399).contains(&refused), "{refused}");
    let mut gateway: Gateway = gateway;
    let rows = gateway.stop();
    let limited: Vec<_> = rows.iter().filter(|row| row["outcome"] == "rate_limited").collect();
    let calls: u64 = limited.iter().map(|row| row["calls"].as_u64().unwrap()).sum();
    assert_eq!(calls, refused);
    // The first by itself, then a row a second.
    let most = 3 + usize::try_from(span(&limited).as_secs()).unwrap();
    assert!((2..=most).contains(&limited.len()), "{} rows of {most}", limited.len());
    assert!(limited.iter().all(|row| row["attempts"] == 0
        && row["usage_source"] == "none"
        && row["cost_usd"].is_null()));
}

#[test]
fn a_strict_limit_has_no_burst_above_it() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("limits", "{requests_per_minute: 5, burst: 50, strict: true}")
        .start();
    let statuses: Vec<u16> = (0..8).map(|_| gateway.chat("acme", "hi").status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    let refused = gateway.chat("acme", "hi");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    // A bucket would gain its next call within 12 s.
    assert!(
        (13..=60).contains(&wait),
        "the first of the five leaves the window in a minute: {wait}"
    );
}
