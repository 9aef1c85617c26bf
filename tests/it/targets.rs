//! Where a call goes when there is more than one place: by order, by weight, by load, and under
//! another name.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::json;

use crate::support::{
    Connection, Gateway, Provider, Setup, chat, eventually, jwt, refused_address, request, step,
};

/// A gateway with these providers, and calls spread over `to`.
fn setup(providers: &[(&str, SocketAddr)], routing: &str) -> Setup {
    let section: Vec<String> = providers
        .iter()
        .map(|(name, at)| {
            format!("{name}: {{kind: openai, base_url: \"http://{at}/v1\", api_key: sk-of-{name}}}")
        })
        .collect();
    Setup::towards(providers[0].1)
        .section("providers", &section.join("\n"))
        .section("routing", routing)
        .section("intent", &format!("{{provider: {}}}", providers[0].0))
}

/// How many of `count` calls each provider answered.
fn answered(gateway: &Gateway, org: &str, count: usize) -> BTreeMap<String, usize> {
    let mut answered = BTreeMap::new();
    for _ in 0..count {
        let reply = gateway.chat(org, "hi");
        *answered
            .entry(reply.ok().header("x-tollgate-provider").unwrap().to_owned())
            .or_default() += 1;
    }
    answered
}

#[test]
fn calls_are_shared_by_weight() {
    let (a, b, c) = (Provider::start(), Provider::start(), Provider::start());
    let routing = "default: [{provider: a, weight: 9}, b, {provider: c, weight: 0}]";
    let gateway = setup(&[("a", a.address), ("b", b.address), ("c", c.address)], routing).start();
    let answered = answered(&gateway, "acme", 300);
    // Expected 270 to 30; five standard deviations to either side.
    assert!(
        (4..=56).contains(&answered["b"]) && answered["a"] == 300 - answered["b"],
        "{answered:?}"
    );
    assert_eq!(c.seen().len(), 0, "the reserve is asked when the others have failed");
    a.always(step::error(503, "x"));
    b.always(step::error(503, "x"));
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-tollgate-provider"), Some("c"));
}

#[test]
fn each_target_has_its_own_name_for_the_model() {
    let (a, b) = (Provider::start(), Provider::start());
    let routing = "models: [{match: 'gpt-4o*', to: [{provider: a, model: \"dep \\\"1\\\"\"}, \
        {provider: b, model: b-large}, a]}]";
    let gateway = setup(&[("a", a.address), ("b", b.address)], routing).start();
    let bearer = format!("Bearer {}", jwt("acme"));
    // A small body, and one that streams; `model` first, and last.
    let long = "word ".repeat(60_000);
    let bodies = [
        r#"{"messages":[{"role":"user","content":"mail jane@example.com"}],"model" : "gpt-4o-mini" ,"n":1}"#.to_owned(),
        format!(r#"{{"model":"gpt-4o-mini","messages":[{{"role":"user","content":"jane@example.com {long}"}}]}}"#),
    ];
    for (n, body) in bodies.iter().enumerate() {
        // One has to be asked a second time, and both have the name that is theirs.
        a.script([step::error(503, "x")]);
        b.script([step::error(503, "x")]);
        let reply = Connection::open(gateway.apps)
            .send(&request(
                "POST",
                "/v1/chat/completions",
                &[("authorization", &bearer)],
                body.as_bytes(),
            ))
            .reply();
        assert_eq!(reply.ok().header("x-tollgate-attempts"), Some("3"));
        let expected = |to: &str| {
            body.replace("jane@example.com", "[REDACTED_EMAIL]").replace("gpt-4o-mini", to)
        };
        let (at_a, at_b) = (a.take_seen(), b.take_seen());
        assert_eq!((at_a.len(), at_b.len()), (2, 1));
        assert!(
            at_a[0].text() == expected("dep \\\"1\\\"") && at_a[0].complete,
            "{:.200}",
            at_a[0].text()
        );
        assert!(at_b[0].text() == expected("b-large"), "{:.200}", at_b[0].text());
        assert!(
            at_a[1].text() == expected("gpt-4o-mini"),
            "a target without a name passes the caller's"
        );
        let row = gateway.rows(n + 1).pop().unwrap();
        assert_eq!(
            (&row["model"], &row["provider"], &row["attempts"]),
            (&json!("gpt-4o-mini"), &json!("a"), &json!(3))
        );
    }
}

#[test]
fn a_target_has_its_own_patience() {
    let (slow, quick) = (Provider::start(), Provider::start());
    let routing = "models: [{match: slow, to: [{provider: slow, timeouts: {first_byte: 200ms}}]}, \
        {match: stream, to: [{provider: slow, timeouts: {idle: 200ms}}]}]\ndefault: [{provider: \
        gone, timeouts: {connect: 300ms}}, quick]";
    // Connections are taken by the system's backlog, and nobody ever says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let gateway = setup(
        &[("slow", slow.address), ("quick", quick.address), ("gone", silent.local_addr().unwrap())],
        routing,
    )
    .section(
        "providers",
        &format!(
            "slow: {{base_url: \"http://{}/v1\", api_key: k}}\nquick: \
                    {{base_url: \"http://{}/v1\", api_key: k}}\ngone: \
                    {{base_url: \"https://{}/v1\", api_key: k}}",
            slow.address,
            quick.address,
            silent.local_addr().unwrap()
        ),
    )
    .section("timeouts", "{first_byte: 60s, idle: 60s, connect: 60s}")
    .start();
    // The section's minute is longer than this client waits for any answer.
    slow.always(step::silence());
    let body = |model: &str| json!({"model": model, "stream": model == "stream", "messages": []});
    gateway
        .post("/v1/chat/completions", &jwt("acme"), &body("slow"))
        .refused(504, "provider_timeout");
    let mut stalled = step::sse_open(&step::chat_events(&["first "], true)[..2]);
    stalled.push(step::Act::Hold);
    slow.always(stalled);
    let reply = gateway.post("/v1/chat/completions", &jwt("acme"), &body("stream"));
    assert!(reply.ok().text().contains("provider_timeout"), "{}", reply.text());
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-tollgate-provider"), Some("quick"));
}

#[test]
fn among_equals_the_one_with_the_fewest_calls_is_next() {
    let (a, b) = (Provider::start(), Provider::start());
    let routing = "default: [{provider: a, weight: 1}, {provider: b, weight: 1}]";
    let gateway = setup(&[("a", a.address), ("b", b.address)], routing).start();
    // A stream that is open at one of them: all other calls go to the other one.
    let mut open = step::sse_open(&step::chat_events(&["first "], true)[..2]);
    open.push(step::Act::Hold);
    a.always(open.clone());
    b.always(open);
    let mut body = chat("hi");
    body["stream"] = json!(true);
    let bearer = format!("Bearer {}", jwt("acme"));
    let mut connection = gateway.connect();
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.to_string().as_bytes(),
    ));
    let head = connection.head().unwrap();
    connection.chunks_until("first ");
    a.always(step::chat("hello"));
    b.always(step::chat("hello"));
    let busy = head.header("x-tollgate-provider").unwrap().to_owned();
    let idle = if busy == "a" { "b" } else { "a" };
    assert_eq!(answered(&gateway, "acme", 20), BTreeMap::from([(idle.to_owned(), 20)]));
    // When it is over both are equal again.
    drop(connection);
    eventually("a call at the one that was busy", || {
        answered(&gateway, "acme", 5).contains_key(&busy).then_some(())
    });
}

#[test]
fn a_sticky_organisation_stays_until_its_target_fails() {
    let (a, b) = (Provider::start(), Provider::start());
    let routing = "default: [{provider: a, weight: 1}, {provider: b, weight: 1}]\nsticky: true";
    let gateway = setup(&[("a", a.address), ("b", b.address)], routing)
        .section("breaker", "{consecutive_failures: 1, open_for: 60s}")
        .start();
    let home = answered(&gateway, "acme", 20);
    assert_eq!(home.len(), 1, "{home:?}");
    let orgs =
        (0..20).map(|n| answered(&gateway, &format!("org-{n}"), 1).into_keys().next().unwrap());
    assert_eq!(
        orgs.collect::<std::collections::BTreeSet<_>>().len(),
        2,
        "not everyone at the same one"
    );
    let (home, own, other) = if home.contains_key("a") { ("a", &a, "b") } else { ("b", &b, "a") };
    own.always(step::error(503, "x"));
    let away = answered(&gateway, "acme", 20);
    assert_eq!(away, BTreeMap::from([(other.to_owned(), 20)]), "from {home}");
}

#[test]
fn a_provider_that_fails_too_often_is_left_alone() {
    let (a, b) = (Provider::start(), Provider::start());
    let gateway = setup(&[("a", a.address), ("b", b.address)], "default: [a, b]")
        .section("retry", "{base_delay: 1ms, max_delay: 1ms, budget_percent: 1000}")
        .section("breaker", "{error_percent: 50, min_calls: 20, window: 10m, open_for: 10m}")
        .start();
    // Two of three fail, never ten in a row. A client's own mistakes are answers.
    for _ in 0..5 {
        a.script([step::error(400, "x")]);
        assert_eq!(gateway.chat("acme", "hi").status, 400);
    }
    for _ in 0..16 {
        a.script([step::error(503, "x"), step::error(500, "x"), step::chat("hello")]);
        for _ in 0..3 {
            gateway.chat("acme", "hi").ok();
        }
    }
    a.script([]);
    a.take_seen();
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-tollgate-provider"), Some("b"));
    assert_eq!(a.seen().len(), 0, "an open circuit sends nothing");
    gateway.reaches("tollgate_breaker_open{provider=\"a\"}", 0.5);
}

#[test]
fn a_refused_key_is_no_outage() {
    let (a, gone) = (Provider::start(), refused_address());
    let gateway = setup(&[("a", a.address), ("gone", gone)], "default: [a]")
        .section("breaker", "{consecutive_failures: 2, min_calls: 2, open_for: 10m}")
        .start();
    a.always(step::error(401, "invalid_api_key"));
    for _ in 0..5 {
        gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    }
    assert_eq!(a.take_seen().len(), 5, "it is asked every time, and once each time");
    a.always(step::chat("hello"));
    gateway.chat("acme", "hi").ok();
}
