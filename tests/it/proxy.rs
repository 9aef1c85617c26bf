//! A call passes: what reaches the provider, what comes back, what is refused on the way, what the
//! log says.

use serde_json::{Value, json};

use crate::support::{Connection, Gateway, Provider, Setup, chat, jwt, request, step};

#[test]
fn a_chat_call_goes_through_with_its_row() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let reply = gateway.chat("acme", "hello there");
    assert_eq!(reply.ok().json(), step::chat_body("hello"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-tollgate-provider"), Some("openai"));
    assert_eq!(reply.header("x-tollgate-attempts"), Some("1"));
    let request_id = reply.header("x-request-id").expect("x-request-id").to_owned();

    let seen = provider.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/chat/completions"));
    assert_eq!(seen.header("authorization"), Some("Bearer sk-gateway-own-key"));
    assert_eq!(seen.header("host"), Some(provider.address.to_string().as_str()));
    assert_eq!(seen.text(), chat("hello there").to_string());

    let row = gateway.only_row();
    let expected = json!({
        "org_id": "acme", "caller": "tests", "route": "proxy", "endpoint": "/v1/chat/completions", "provider": "openai",
        "model": "gpt-4o-mini", "response_model": "gpt-4o-mini-2024-07-18", "status": 200, "outcome": "ok",
        "attempts": 1, "input_tokens": 11, "cached_tokens": 4, "output_tokens": 7, "reasoning_tokens": 2,
        "usage_source": "provider", "redacted_emails": 0, "attachments_dropped": 0, "request_id": request_id,
        "request_bytes": chat("hello there").to_string().len(), "response_bytes": reply.body.len(),
        "policy_version": gateway.policy_version(),
    });
    for (column, value) in expected.as_object().unwrap() {
        assert_eq!(row[column], *value, "{column} of {row:?}");
    }
    // 7 input and 4 cached tokens, 7 output tokens at 0.15, 0.075 and 0.60 USD per million.
    let cost: f64 = row["cost_usd"]
        .as_str()
        .map_or_else(|| row["cost_usd"].as_f64(), |text| text.parse().ok())
        .unwrap();
    assert!((cost - 5.55e-6).abs() < 1e-15, "{cost}");
    assert!(row["request"].as_str().unwrap().contains("hello there"), "{row:?}");
    assert!(row["response"].as_str().unwrap().contains("hello"), "{row:?}");
}

#[test]
fn bytes_that_are_not_redacted_pass_unchanged() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // Numbers, escapes, duplicate keys and spaces that a JSON library would rewrite.
    let body = "{ \"model\" : \"gpt-4o-mini\",\"messages\":[{\"role\":\"user\",\"content\":\"a\\/\
        b \\u00e9 \\ud83d\"}],\r\n\
        \"seed\":123456789012345678901234567890,\"temperature\":0.10000000000000000555,\"top_p\":-\
        0,\"x\":1e999,\
        \"metadata\":{\"k\":\"1\",\"k\":\"2\"} }";
    let bearer = format!("Bearer {}", jwt("acme"));
    let reply = gateway.send(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        body.as_bytes(),
    );
    reply.ok();
    assert_eq!(provider.only().text(), body);
}

#[test]
fn request_headers_pass_by_an_allow_list() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "providers",
            &format!(
                "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-own, \
                    forward_headers: [x-team, x-hop, user-agent]}}",
                provider.address
            ),
        )
        .start();
    let bearer = format!("Bearer {}", jwt("acme"));
    let sent = [
        ("authorization", bearer.as_str()),
        ("accept", "application/json"),
        ("user-agent", "test/1"),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-lang", "python"),
        ("idempotency-key", "abc"),
        ("x-team", "blue"),
        ("cookie", "a=b"),
        ("x-forwarded-for", "10.0.0.1"),
        ("openai-organization", "org-1"),
        ("x-org-id", "other"),
        ("x-tollgate-org", "other"),
        ("x-other", "y"),
        ("api-key", "k"),
        ("x-request-id", "my-id.1"),
        ("connection", "x-team-not, X-Hop"),
        ("x-hop", "y"),
        ("proxy-authorization", "Basic x"),
    ];
    let reply =
        gateway.send("POST", "/v1/chat/completions", &sent, chat("hi").to_string().as_bytes());
    assert_eq!(reply.ok().header("x-request-id"), Some("my-id.1"));
    let seen = provider.only();
    let passed = [
        "accept",
        "user-agent",
        "openai-beta",
        "x-stainless-lang",
        "idempotency-key",
        "x-team",
        "content-type",
    ];
    for name in passed {
        assert!(seen.header(name).is_some(), "{name} did not pass: {seen:?}");
    }
    for (name, _) in sent {
        // The provider's own key stands in the caller's place.
        let is_there = passed.contains(&name) || name == "authorization";
        assert_eq!(seen.header(name).is_some(), is_there, "{name}: {seen:?}");
    }
    assert_eq!(seen.header("authorization"), Some("Bearer sk-own"));
    assert_eq!(
        seen.headers.iter().filter(|(name, _)| name == "user-agent").count(),
        1,
        "once: {seen:?}"
    );
}

#[test]
fn answers_pass_with_their_useful_headers_only() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let headers = [
        ("content-type", "application/json"),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-remaining-tokens", "99"),
        ("x-ratelimit-remaining-requests", "1"),
        ("set-cookie", "a=b"),
        ("openai-organization", "secret-org"),
        ("alt-svc", "h3=\":443\""),
        ("server", "nginx"),
        ("strict-transport-security", "max-age=1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    provider.script([step::with_headers(200, &headers, b"{\"a\":1}")]);
    let reply = gateway.chat("acme", "hi");
    assert_eq!(reply.ok().body, b"{\"a\":1}");
    assert_eq!(reply.header("openai-processing-ms"), Some("12"));
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some("99"));
    // The requests are counted by the gateway, not by the provider's account.
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("59999"));
    for gone in
        ["set-cookie", "openai-organization", "alt-svc", "strict-transport-security", "x-hop"]
    {
        assert_eq!(reply.header(gone), None, "{gone}");
    }
}

#[test]
fn the_text_endpoints_are_open_and_others_are_not() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .with_anthropic()
        .section("routing", "{default: [openai, anthropic], endpoints: [\"POST /v1/custom\"]}")
        .start();
    let bearer = format!("Bearer {}", jwt("acme"));
    let body = json!({"model": "m", "input": "x", "messages": [], "prompt": "x"}).to_string();
    let ask = |method: &str, path: &str| {
        let body = if method == "GET" { "" } else { &body };
        gateway.send(method, path, &[("authorization", &bearer)], body.as_bytes())
    };
    provider.always(step::with_models(&["gpt-4o"]));
    let open = [
        "chat/completions",
        "completions",
        "responses",
        "embeddings",
        "moderations",
        "images/generations",
        "audio/speech",
        "messages",
        "custom",
    ];
    for path in open {
        ask("POST", &format!("/v1/{path}")).ok();
    }
    ask("GET", "/v1/models").ok();
    assert_eq!(provider.take_seen().len(), open.len() + 2, "the lists of both providers");
    for path in ["files/file-1", "batches/b-1", "responses/resp_1", "chat/completions/c-1"] {
        ask("GET", &format!("/v1/{path}")).refused(403, "endpoint_not_allowed");
    }
    ask("GET", "/nothing").refused(404, "not_found");
    ask("GET", "/metrics").refused(404, "not_found");
    let wrong_method = ask("GET", "/v1/embeddings");
    wrong_method.refused(405, "method_not_allowed");
    assert!(
        wrong_method.header("allow").is_some_and(|allow| allow.contains("POST")),
        "{:?}",
        wrong_method.headers
    );
    assert_eq!(provider.seen().len(), 0);
}

#[test]
fn query_values_pass_and_are_redacted() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let path = "/v1/chat/completions?beta=true&user=jane%40example.com&x=a%20b";
    gateway
        .send("POST", path, &[("authorization", &bearer)], chat("hi").to_string().as_bytes())
        .ok();
    let target = provider.only().target;
    assert!(target.starts_with("/v1/chat/completions?beta=true&user="), "{target}");
    assert!(!target.contains("jane") && !target.contains("example.com"), "{target}");
}

#[test]
fn bodies_that_cannot_be_understood_are_refused() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("max_body_bytes", "64KiB").start();
    let bearer = format!("Bearer {}", jwt("acme"));
    let send = |headers: &[(&str, &str)], body: &[u8]| {
        let all: Vec<_> =
            [("authorization", bearer.as_str())].iter().chain(headers).copied().collect();
        gateway.send("POST", "/v1/chat/completions", &all, body)
    };
    let deep = format!("{{\"model\":\"m\",\"messages\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
    let long = format!("{{\"model\":\"m\",\"messages\":[\"{}\"]}}", "x".repeat(64 << 10));
    let bad: [&[u8]; 9] = [
        b"",
        b"{",
        b"null",
        b"[]",
        b"12",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\x01\"}",
        b"{} {}",
        deep.as_bytes(),
    ];
    for body in bad {
        let reply = send(&[], body);
        assert_eq!(reply.status, 400, "{body:?}: {}", reply.text());
        assert!(
            ["invalid_json", "invalid_request"].contains(&reply.error_code().as_str()),
            "{}",
            reply.text()
        );
    }
    send(&[], long.as_bytes()).refused(413, "body_too_large");
    send(&[("content-type", "multipart/form-data; boundary=x")], b"--x--")
        .refused(415, "attachments_not_allowed");
    send(&[("content-type", "application/json; charset=utf-16")], b"{}")
        .refused(415, "unsupported_media_type");
    send(&[("content-encoding", "gzip")], b"\x1f\x8b").refused(415, "unsupported_media_type");
    assert!(provider.seen().iter().all(|seen| !seen.complete), "{:?}", provider.seen());
    gateway.chat("acme", "still well").ok();
}

#[test]
fn a_length_over_the_limit_is_refused_before_the_body_is_read() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).setting("max_body_bytes", "1KiB").start();
    let mut connection = gateway.connect();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer \
            {}\r\ncontent-type: application/json\r\n\
         expect: 100-continue\r\ncontent-length: 5000\r\n\r\n",
        jwt("acme")
    );
    connection.send(head.as_bytes()).reply().refused(413, "body_too_large");
    let long = [("x-long", "y".repeat(70 << 10))];
    let headers: Vec<(&str, &str)> =
        long.iter().map(|(name, value)| (*name, value.as_str())).collect();
    gateway.send("POST", "/v1/chat/completions", &headers, b"{}").refused(413, "headers_too_large");
}

#[test]
fn a_provider_s_own_refusals_pass_unchanged() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    for status in [400, 404, 405, 413, 415, 422] {
        provider.script([step::error(status, "some_code")]);
        let reply = gateway.chat("acme", "hi");
        assert_eq!(reply.status, status);
        assert_eq!(reply.json()["error"]["code"], "some_code");
        assert_eq!(reply.json()["error"]["message"], "the provider says no");
        assert_eq!(reply.header("x-tollgate-attempts"), Some("1"));
    }
    let rows = gateway.rows(6);
    assert!(
        rows.iter().all(|row| row["outcome"] == "client_error" && row["attempts"] == 1),
        "{rows:?}"
    );
}

#[test]
fn a_refused_gateway_key_is_not_the_caller_s_business() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    for status in [401, 403] {
        let body = json!({"error": {"message": "Incorrect API key provided: \
            sk-gateway-own-key", "type": "x", "param": null, "code": "invalid_api_key"}});
        provider.script([step::json(status, &body)]);
        let reply = gateway.chat("acme", "hi");
        reply.refused(503, "provider_unavailable");
        assert!(!reply.text().contains("sk-gateway"), "{}", reply.text());
    }
    assert_eq!(provider.seen().len(), 2, "a refused key is not tried again");
    gateway.reaches("tollgate_provider_key_refused_total", 2.0);
    assert!(!gateway.printed().contains("sk-gateway-own-key"));
    let rows = gateway.rows(2);
    assert!(
        rows.iter().all(|row| row["outcome"] == "provider_error" && row["status"] == 503),
        "{rows:?}"
    );
}

#[test]
fn models_are_routed_and_unknown_ones_refused() {
    let (openai, other) = (Provider::start(), Provider::start());
    let gateway = Setup::new(&openai)
        .section("providers", &format!(
            "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-a}}\nother: {{kind: \
                openai, base_url: \"http://{}/base/v1\", api_key: sk-b}}",
            openai.address, other.address))
        .section("routing", "{default: [], models: [{match: \"gpt-*\", to: [openai]}, \
            {match: \"claude-*\", to: [other]}]}")
        .section("intent", "{provider: openai}")
        .start();
    let ask = |model: &str| {
        gateway.post(
            "/v1/chat/completions",
            &jwt("acme"),
            &json!({"messages": [{"role": "user", "content": "x"}], "model": model}),
        )
    };
    assert_eq!(ask("claude-x").ok().header("x-tollgate-provider"), Some("other"));
    assert_eq!(ask("gpt-4o").ok().header("x-tollgate-provider"), Some("openai"));
    ask("mistral").refused(404, "model_not_found");
    assert_eq!(openai.only().header("authorization"), Some("Bearer sk-a"));
    let seen = other.only();
    assert_eq!(
        (seen.target.as_str(), seen.header("authorization")),
        ("/base/v1/chat/completions", Some("Bearer sk-b"))
    );
}

#[test]
fn the_next_provider_is_tried_when_the_first_is_down() {
    let (first, second) = (Provider::start(), Provider::start());
    first.always(step::error(503, "server_is_overloaded"));
    let gateway = Setup::new(&first)
        .section("providers", &format!(
            "a: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-a}}\nb: {{kind: openai, \
                base_url: \"http://{}/v1\", api_key: sk-b}}",
            first.address, second.address))
        .section("routing", "{default: [a, b]}")
        .section("intent", "{provider: a}")
        .start();
    let reply = gateway.chat("acme", "hi");
    assert_eq!(reply.ok().header("x-tollgate-provider"), Some("b"));
    assert!(first.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer sk-a")));
    assert!(second.seen().iter().all(|seen| seen.header("authorization") == Some("Bearer sk-b")));
    let attempts = first.seen().len() + second.seen().len();
    assert!(attempts <= 3, "{attempts} attempts");
    assert_eq!(gateway.only_row()["attempts"], attempts);
}

#[test]
fn calls_on_one_connection_are_told_apart() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let mut connection = gateway.connect();
    // Fifty requests written at once, each of another organisation; every third has no token.
    let mut bytes = vec![];
    for n in 0..50 {
        let bearer = format!("Bearer {}", jwt(&format!("org-{n}")));
        let headers: &[(&str, &str)] = if n % 3 == 2 { &[] } else { &[("authorization", &bearer)] };
        bytes.extend(request(
            "POST",
            "/v1/chat/completions",
            headers,
            chat(&format!("call {n}")).to_string().as_bytes(),
        ));
    }
    connection.send(&bytes);
    for n in 0..50 {
        let reply = connection.reply();
        if n % 3 == 2 {
            reply.refused(401, "missing_token");
        } else {
            reply.ok();
        }
    }
    let rows = gateway.rows(34);
    assert_eq!(rows.len(), 34);
    for row in rows {
        let n = row["org_id"].as_str().unwrap().strip_prefix("org-").unwrap().to_owned();
        assert!(row["request"].as_str().unwrap().contains(&format!("call {n}\"")), "{row:?}");
    }
}

#[test]
fn http2_works_with_prior_knowledge() {
    use http_body_util::{BodyExt, Full};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (status, body) = runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(gateway.apps).await.unwrap();
        let (mut send, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        let task = tokio::task::spawn(connection);
        let request = http::Request::post(format!("http://{}/v1/chat/completions", gateway.apps))
            .header("authorization", format!("Bearer {}", jwt("acme")))
            .header("content-type", "application/json")
            .body(Full::new(bytes::Bytes::from(chat("hi").to_string())))
            .unwrap();
        let answer = send.send_request(request).await.unwrap();
        let status = answer.status();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        task.abort();
        (status, body)
    });
    assert_eq!(status, 200, "{body:?}");
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), step::chat_body("hello"));
    assert_eq!(provider.only().text(), chat("hi").to_string());
}

#[test]
fn a_large_answer_streams_through_whole() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let text = "lorem ipsum ".repeat(300_000);
    provider.script([step::json(200, &json!({"text": text}))]);
    let reply = gateway.chat("acme", "hi");
    assert_eq!(reply.ok().json()["text"].as_str().unwrap().len(), text.len());
    assert!(reply.complete);
    let row = gateway.only_row();
    assert_eq!(
        (&row["truncated"], &row["response_bytes"]),
        (&json!(1), &json!(reply.body.len())),
        "{row:?}"
    );
    // A body that is cut shorter than its length is never passed on as if it were whole.
    provider.script([step::truncated_json(&json!({"text": text}))]);
    let mut connection = Connection::open(gateway.apps);
    let bearer = format!("Bearer {}", jwt("acme"));
    connection.send(&request(
        "POST",
        "/v1/chat/completions",
        &[("authorization", &bearer)],
        chat("x").to_string().as_bytes(),
    ));
    let cut = connection.reply();
    assert_eq!((cut.status, cut.complete), (200, false));
}
