//! Failed calls are retried within bounds. If no attempt succeeds, the client gets an error that
//! says what to do.

use serde_json::{Map, Value, json};

use crate::support::{
    Connection, Gateway, Provider, Setup, chat, jwt, refused_address, request, span, step,
};

/// The gateway's own measure: no test reads a clock.
#[track_caller]
fn took_a_second(row: &Map<String, Value>) {
    assert!(row["latency_ms"].as_u64().unwrap() >= 1_000, "{row:?}");
}

#[test]
fn a_provider_that_fails_twice_and_then_answers() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    provider.script([step::error(503, "server_is_overloaded"), step::error(500, "x")]);
    let reply = gateway.chat("acme", "mail jane@example.com");
    assert_eq!(reply.ok().json(), step::chat_body("hello"));
    assert_eq!(reply.header("x-tollgate-attempts"), Some("3"));
    let seen = provider.seen();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|s| s.body == seen[0].body && !s.text().contains("jane")), "{seen:?}");
    let row = gateway.only_row();
    assert_eq!(
        (&row["attempts"], &row["outcome"], &row["status"]),
        (&json!(3), &json!("ok"), &json!(200))
    );
    gateway.counts("tollgate_retries_total", 2.0);
}

#[test]
fn a_provider_that_stays_down_gets_three_attempts_and_a_friendly_answer() {
    for failure in
        [step::error(503, "server_is_overloaded"), step::error(529, "x"), step::reset_before_head()]
    {
        let provider = Provider::start();
        provider.always(failure);
        let gateway = Gateway::start(&provider);
        let reply = gateway.chat("acme", "hi");
        reply.refused(503, "provider_unavailable");
        assert_eq!(reply.header("x-should-retry"), Some("false"));
        assert_eq!(reply.header("x-tollgate-attempts"), Some("3"));
        assert!(reply.header("retry-after").is_some());
        assert!(!reply.text().contains("the provider says no"), "{}", reply.text());
        assert!(!reply.text().contains(&provider.address.to_string()), "{}", reply.text());
        assert_eq!(provider.seen().len(), 3);
        let row = gateway.only_row();
        let expected = [
            ("attempts", json!(3)),
            ("outcome", json!("provider_error")),
            ("status", json!(503)),
            ("error_code", json!("provider_unavailable")),
            ("usage_source", json!("none")),
        ];
        for (column, value) in expected {
            assert_eq!(row[column], value, "{column}");
        }
        assert!(row["cost_usd"].is_null());
    }
}

#[test]
fn a_provider_that_is_not_there() {
    let gateway = Setup::towards(refused_address()).start();
    let reply = gateway.chat("acme", "hi");
    reply.refused(503, "provider_unavailable");
    assert_eq!(reply.header("x-should-retry"), Some("false"));
    assert_eq!(gateway.only_row()["attempts"], 3);
}

#[test]
fn each_status_is_asked_for_again_as_the_contract_says() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("breaker", "{consecutive_failures: 1000}").start();
    let table = [
        (408, 408, 3),
        (409, 409, 3),
        (429, 429, 3),
        (500, 503, 3),
        (502, 503, 3),
        (503, 503, 3),
        (504, 503, 3),
        (529, 503, 3),
        (400, 400, 1),
        (402, 402, 1),
        (404, 404, 1),
        (413, 413, 1),
        (422, 422, 1),
    ];
    for (status, expected, attempts) in table {
        provider.always(step::error(status, "some_code"));
        provider.take_seen();
        let reply = gateway.chat("acme", "hi");
        assert_eq!((reply.status, provider.seen().len()), (expected, attempts), "{status}");
        if expected == 503 {
            reply.refused(503, "provider_unavailable");
        }
        // What the gateway has tried often enough the SDK is not to try again.
        let is_final = attempts == 3 || status == 402;
        assert_eq!(reply.header("x-should-retry"), is_final.then_some("false"), "{status}");
    }
}

#[test]
fn a_refusal_that_waiting_does_not_help_says_so() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .setting("max_body_bytes", "1MiB")
        .section(
            "limits",
            "{requests_per_minute: 60000, burst: 60000, orgs: {limited: \
            {requests_per_minute: 1, burst: 1}}}",
        )
        .start();
    let good = format!("Bearer {}", jwt("acme"));
    let call = |method: &str, path: &str, bearer: &str, kind: &str, body: &str| {
        let headers = [("authorization", bearer), ("content-type", kind)];
        let bytes = request(method, path, &headers, body.as_bytes());
        Connection::open(gateway.apps).send(&bytes).reply()
    };
    let (json, chat_path, long) = ("application/json", "/v1/chat/completions", "x".repeat(2 << 20));
    for (status, method, path, bearer, kind, body) in [
        (400, "POST", chat_path, good.as_str(), json, "{"),
        (401, "POST", chat_path, "Bearer tg-unknown", json, "{}"),
        (403, "POST", "/v1/files", &good, json, "{}"),
        (404, "POST", "/v1/nothing", &good, json, "{}"),
        (405, "PUT", chat_path, &good, json, "{}"),
        (413, "POST", chat_path, &good, json, &long),
        (415, "POST", chat_path, &good, "text/plain", "hi"),
    ] {
        let reply = call(method, path, bearer, kind, body);
        assert_eq!(
            (reply.status, reply.header("x-should-retry")),
            (status, Some("false")),
            "{method} {path} {}",
            reply.text()
        );
    }
    // A limit that is free again soon is worth a retry.
    gateway.chat("limited", "hi");
    let reply = gateway.chat("limited", "hi");
    assert_eq!((reply.status, reply.header("x-should-retry")), (429, None));
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn an_idle_connection_that_ends_as_it_is_used_is_no_attempt() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("breaker", "{consecutive_failures: 1, open_for: 10m}")
        .section("retry", "{max_retries: 0}")
        .start();
    let responses = |store: &str| {
        let body = format!(r#"{{"model":"m","input":"hi"{store}}}"#);
        gateway.post("/v1/responses", &jwt("acme"), &serde_json::from_str(&body).unwrap())
    };
    // Each is sent over the connection of the call before it.
    gateway.chat("acme", "hi").ok();
    provider.take_seen();
    for _ in 0..5 {
        provider.script([step::reset_before_head()]);
        let reply = gateway.chat("acme", "hi");
        assert_eq!(reply.ok().header("x-tollgate-attempts"), Some("1"));
        assert_eq!(provider.take_seen().len(), 2);
        // The connection that answered is not kept.
        gateway.chat("acme", "hi").ok();
        provider.take_seen();
    }
    assert!(gateway.rows(11).iter().all(|row| row["attempts"] == 1 && row["outcome"] == "ok"));
    // An answer that the provider keeps is not asked for twice.
    provider.script([step::reset_before_head()]);
    responses("").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 1);
    // That was not the provider's failure: its circuit is closed.
    gateway.chat("acme", "hi").ok();
    provider.take_seen();
    provider.script([step::reset_before_head()]);
    assert_eq!(responses(r#","store":false"#).status, 200);
    assert_eq!(provider.take_seen().len(), 2);
}

#[test]
fn an_answer_that_the_provider_keeps_is_not_asked_for_twice() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).section("breaker", "{consecutive_failures: 1000}").start();
    let attempts = |body: serde_json::Value| {
        provider.take_seen();
        gateway.post("/v1/responses", &jwt("acme"), &body).refused(503, "provider_unavailable");
        provider.take_seen().len()
    };
    for failure in [step::reset_before_head(), step::error(500, "x")] {
        provider.always(failure);
        assert_eq!(attempts(json!({"model": "m", "input": "hi"})), 1);
        assert_eq!(attempts(json!({"model": "m", "input": "hi", "store": true})), 1);
        assert_eq!(attempts(json!({"model": "m", "input": "hi", "store": false})), 3);
    }
    gateway.edit_and_wait("routing", "{force_store_false: true}");
    assert_eq!(attempts(json!({"model": "m", "input": "hi"})), 3);
}

#[test]
fn money_is_not_asked_for_twice() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    for code in
        ["insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded"]
    {
        let body = json!({"error": {"message": "no money", "type": "insufficient_quota", "param": null, "code": code}});
        provider.script([step::json(429, &body)]);
        provider.take_seen();
        let reply = gateway.chat("acme", "hi");
        assert_eq!((reply.status, provider.seen().len()), (429, 1), "{code}");
        assert_eq!(reply.json()["error"]["code"], code);
    }
}

#[test]
fn a_provider_s_wishes_are_obeyed() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let answer = |status: u16, name: &str, value: &str| {
        step::with_headers(
            status,
            &[("content-type", "application/json"), (name, value)],
            b"{\"error\":{\"message\":\"m\"}}",
        )
    };
    // Told not to.
    provider.script([answer(503, "x-should-retry", "false")]);
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 1);
    // Told to wait a second: waited for in full.
    provider.script([answer(429, "retry-after", "1")]);
    gateway.chat("acme", "hi").ok();
    took_a_second(&gateway.rows(2)[1]);
    assert_eq!(provider.take_seen().len(), 2);
    // Told to wait longer than anybody would, this client included: the client is told instead.
    provider.script([answer(429, "retry-after", "120")]);
    let reply = gateway.chat("acme", "hi");
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("120")));
    assert_eq!(provider.take_seen().len(), 1);
    // Nonsense is no wish.
    for nonsense in ["-5", "NaN", "soon", ""] {
        provider.script([answer(503, "retry-after", nonsense)]);
        gateway.chat("acme", "hi").ok();
        assert_eq!(provider.take_seen().len(), 2, "{nonsense}");
    }
}

#[test]
fn a_wait_that_was_asked_for_is_kept_when_the_turn_comes_again() {
    let (first, second) = (Provider::start(), Provider::start());
    let gateway = Setup::new(&first)
        .section(
            "providers",
            &format!(
                "a: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-a}}\nb: {{kind: \
                    openai, base_url: \"http://{}/v1\", api_key: sk-b}}",
                first.address, second.address
            ),
        )
        .section("routing", "{default: [a, b]}")
        .section("intent", "{provider: a}")
        .start();
    let answer = |after: &str| {
        let headers = [("content-type", "application/json"), ("retry-after", after)];
        step::with_headers(429, &headers, b"{\"error\":{\"message\":\"m\"}}")
    };
    // The second is asked at once, the first again after its second.
    first.script([answer("1")]);
    second.script([step::error(503, "server_is_overloaded")]);
    assert_eq!(gateway.chat("acme", "hi").ok().header("x-tollgate-provider"), Some("a"));
    took_a_second(&gateway.only_row());
    assert_eq!((first.take_seen().len(), second.take_seen().len()), (2, 1));
    // A wait that is too long is not cut short: the call ends.
    first.script([answer("120")]);
    second.script([step::error(503, "server_is_overloaded")]);
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    assert_eq!((first.take_seen().len(), second.take_seen().len()), (1, 1));
}

#[test]
fn a_handshake_that_never_ends_is_a_failed_connect() {
    // Connections are taken by the system's backlog, and nobody ever says anything.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "providers",
            &format!(
                "openai: {{kind: openai, base_url: \"https://{}/v1\", api_key: sk-a}}",
                silent.local_addr().unwrap()
            ),
        )
        .section("timeouts", "{connect: 200ms, first_byte: 30s}")
        .start();
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    assert_eq!(gateway.only_row()["attempts"], 3, "it is safe to try again");
}

#[test]
fn a_first_byte_that_never_comes() {
    let provider = Provider::start();
    provider.always(step::silence());
    let gateway = Setup::new(&provider).section("timeouts", "{first_byte: 300ms}").start();
    let reply = gateway.chat("acme", "hi");
    reply.refused(504, "provider_timeout");
    assert_eq!(provider.seen().len(), 1, "a provider that may still be at work is not asked twice");
    let row = gateway.only_row();
    assert_eq!((&row["outcome"], &row["status"]), (&json!("timeout"), &json!(504)));
    crate::support::eventually("the provider's connection closed", || {
        (provider.closed_by_peer() == 1).then_some(())
    });
}

#[test]
fn the_deadline_is_the_deadline() {
    let provider = Provider::start();
    // The second attempt is silent, and would have all its time for itself.
    provider.script([step::error(503, "x"), step::silence()]);
    let gateway = Setup::new(&provider)
        .section("retry", "{max_retries: 10, base_delay: 10ms, max_delay: 10ms}")
        .section("timeouts", "{total: 500ms, first_byte: 60s}")
        .start();
    // The client waits for less than the first byte may take.
    gateway.chat("acme", "hi").refused(504, "provider_timeout");
    assert_eq!(provider.seen().len(), 2);
}

#[test]
fn a_body_over_the_replay_bound_is_sent_once() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("retry", "{replay_bytes: 1KiB, base_delay: 10ms}").start();
    // One that streams, and one that is gathered whole.
    for words in [40_000, 2_000] {
        provider.script([step::error(503, "x")]);
        let large = gateway.chat("acme", &"word ".repeat(words));
        large.refused(503, "provider_unavailable");
        assert_eq!(provider.take_seen().len(), 1);
    }
    provider.script([step::error(503, "x")]);
    gateway.chat("acme", "small").ok();
    assert_eq!(provider.take_seen().len(), 2);
}

#[test]
fn retries_can_be_turned_off_and_have_a_budget() {
    let provider = Provider::start();
    provider.always(step::error(503, "x"));
    let gateway = Setup::new(&provider)
        .section("retry", "{max_retries: 0}")
        .section("breaker", "{consecutive_failures: 100000}")
        .start();
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    assert_eq!(provider.take_seen().len(), 1);
    // An outage is not multiplied: ten retries a second and a fifth of the calls, not two for each.
    gateway.edit_and_wait(
        "retry",
        "{max_retries: 2, base_delay: 1ms, max_delay: 1ms, budget_percent: 0}",
    );
    for _ in 0..200 {
        assert_eq!(gateway.chat("acme", "hi").status, 503);
    }
    let retries = provider.take_seen().len() - 200;
    // Never under ten a second over ten seconds: at most that many may have been in hand at once.
    let rows = gateway.rows(201);
    let seconds = span(&rows.iter().collect::<Vec<_>>()).as_secs();
    let most = 100 + 10 * (usize::try_from(seconds).unwrap() + 1);
    assert!((100..=most.min(399)).contains(&retries), "{retries} retries of {most}");
}

#[test]
fn an_open_breaker_answers_at_once_and_closes_again() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("retry", "{max_retries: 0}")
        .section("breaker", "{consecutive_failures: 3, open_for: 5s}")
        .start();
    // A client's own mistakes do not count.
    provider.script((0..5).map(|_| step::error(400, "x")));
    for _ in 0..5 {
        assert_eq!(gateway.chat("acme", "hi").status, 400);
    }
    provider.script((0..3).map(|_| step::error(503, "x")));
    for _ in 0..3 {
        gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    }
    provider.take_seen();
    let open = gateway.chat("acme", "hi");
    open.refused(503, "provider_unavailable");
    assert!(open.header("retry-after").is_some());
    assert_eq!(provider.seen().len(), 0, "an open circuit sends nothing");
    crate::support::eventually("the circuit closed", || {
        (gateway.chat("acme", "hi").status == 200).then_some(())
    });
    gateway.chat("acme", "hi").ok();
}

#[test]
fn protocol_rubbish_is_not_tried_again() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    for rubbish in [
        "SSH-2.0-OpenSSH_9\r\n\r\n",
        "HTTP/1.1 42 x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad\x01header: x\r\n\r\n",
    ] {
        provider.take_seen();
        provider.script([vec![step::Act::Send(rubbish.as_bytes().to_vec()), step::Act::Close]]);
        let reply = gateway.chat("acme", "hi");
        reply.refused(503, "provider_unavailable");
        assert_eq!(provider.seen().len(), 1, "{rubbish}");
    }
    // A short JSON answer is checked whole, so a cut one becomes a clean error.
    provider.always(step::truncated_json(&step::chat_body("hello")));
    gateway
        .post("/v1/chat/completions", &jwt("acme"), &chat("hi"))
        .refused(503, "provider_unavailable");
    // A redirect is not followed.
    provider.take_seen();
    let elsewhere = Provider::start();
    let location = format!("http://{}/v1/chat/completions", elsewhere.address);
    provider.always(step::with_headers(307, &[("location", &location)], b""));
    gateway.chat("acme", "hi").refused(503, "provider_unavailable");
    assert_eq!(elsewhere.seen().len(), 0);
}
