//! What of a request's head reaches the provider: no personal data and no credential, in no header,
//! path or query, over HTTP/1 and HTTP/2; and nothing of it is in rows or in the gateway's own log.

use crate::support::{Connection, Gateway, Provider, Seen, Setup, chat, jwt, request, step};

const CHAT: &str = "/v1/chat/completions";
/// What must not get through, in any of these forms.
const NEEDLES: &[&str] = &[
    "jane.roe",
    "example.com",
    "4155550132",
    "415 555",
    "415-555",
    "tg-lab",
    "sk-other",
    "sk-ant",
    "iVBOR",
];

fn gateway(provider: &Provider) -> Gateway {
    let providers = format!(
        "openai: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-gateway-own-key, \
            forward_headers: [x-team, traceparent]}}",
        provider.address
    );
    Setup::new(provider)
        .section("providers", &providers)
        .section(
            "routing",
            "{default: [openai], endpoints: [\"POST \
            /v1/engines/*/completions\", \"POST /v1/*/run\"]}",
        )
        .section(
            "redaction",
            "{terms: [{name: projects, words: [falcon], \
            replacement: \"[PROJECT]\"}]}",
        )
        .setting("log", "{level: trace}")
        .start()
}

#[track_caller]
fn is_clean(seen: &[Seen], gateway: &Gateway) {
    let heads: Vec<String> =
        seen.iter().map(|s| format!("{} {} {:?}", s.method, s.target, s.headers)).collect();
    let rows: Vec<String> = gateway.rows(1).iter().map(|row| format!("{row:?}")).collect();
    let printed = gateway.printed();
    for needle in NEEDLES {
        for (place, text) in
            [("head", heads.join("\n")), ("row", rows.join("\n")), ("log", printed.clone())]
        {
            assert!(!text.contains(needle), "{needle} is in a {place}: {text}");
        }
    }
}

#[test]
fn headers_hold_no_personal_data_and_no_credential() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let values = [
        "acme/1.0 (jane.roe@example.com)",
        "+14155550132",
        "call +1 415 555 0132",
        "Bearer tg-lab-key",
        "sk-ant-api03-abcdef",
        "jane.roe%40example.com",
        "application/json; by=jane.roe@example.com",
        "x=data:image/png;base64,iVBORw0KGgo=",
    ];
    let names = [
        "user-agent",
        "accept",
        "idempotency-key",
        "x-stainless-lang",
        "x-stainless-os",
        "x-stainless-runtime-version",
        "x-stainless-auth",
        "x-stainless-anything",
        "openai-beta",
        "openai-anything",
        "anthropic-beta",
        "anthropic-version",
        "anthropic-api-key",
        "anthropic-dangerous-direct-browser-access",
        "x-team",
        "traceparent",
        "x-request-id",
        "prefer",
        "cookie",
        "referer",
        "from",
    ];
    for value in values {
        let mut headers = vec![("authorization", bearer.as_str())];
        headers.extend(names.map(|name| (name, value)));
        headers.extend([("x-team", value), ("user-agent", value)]);
        gateway.send("POST", CHAT, &headers, chat("hi").to_string().as_bytes()).ok();
    }
    let typed = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json; by=jane.roe@example.com"),
    ];
    gateway.send("POST", CHAT, &typed, chat("hi").to_string().as_bytes()).ok();
    let term = [
        ("authorization", bearer.as_str()),
        ("user-agent", "falcon/1"),
        ("x-stainless-os", "falcon"),
    ];
    let reply = gateway.send("POST", CHAT, &term, chat("hi").to_string().as_bytes());
    assert_eq!(reply.ok().header("x-tollgate-redactions"), Some("projects=2"));
    let seen = provider.seen();
    assert_eq!(seen.len(), values.len() + 2);
    assert_eq!(seen[values.len()].header("content-type"), Some("application/json"));
    assert_eq!(seen[values.len() + 1].header("user-agent"), Some("[PROJECT]/1"));
    is_clean(&seen, &gateway);
    // Bytes that are no UTF-8.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: {bearer}\r\ncontent-type: \
            application/json\r\n"
    );
    let mut bytes = head.into_bytes();
    bytes.extend(b"x-team: jane.roe\xff@example.com\r\nuser-agent: jane.roe\xe9@example.com\r\n");
    let body = chat("hi").to_string();
    bytes.extend(format!("content-length: {}\r\n\r\n{body}", body.len()).into_bytes());
    Connection::open(gateway.apps).send(&bytes).reply().ok();
    is_clean(&provider.seen(), &gateway);
}

#[test]
fn paths_hold_no_personal_data() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let ask = |method: &str, path: &str| {
        let body = if method == "GET" { String::new() } else { chat("hi").to_string() };
        gateway.send(method, path, &[("authorization", &bearer)], body.as_bytes())
    };
    for (method, path, code) in [
        ("GET", "/v1/models/jane.roe@example.com", "invalid_request"),
        ("GET", "/models/jane.roe@example.com", "invalid_request"),
        ("GET", "/v1/models/+14155550132", "invalid_request"),
        ("GET", "/v1/models/14155550132", "invalid_request"),
        ("GET", "/v1/models/+1-415-555-0132", "invalid_request"),
        ("GET", "/v1/models/+1+415+555+0132", "invalid_request"),
        ("GET", "/v1/models/sk-other-credential", "invalid_request"),
        ("GET", "/v1/models/tg-lab-key", "invalid_request"),
        ("GET", "/v1/models/jane.roe%40example.com", "not_found"),
        ("GET", "/v1/models/jane.roe%2540example.com", "not_found"),
        ("POST", "/v1/engines/jane.roe@example.com/completions", "invalid_request"),
        ("POST", "/v1/jane.roe@example.com/run", "invalid_request"),
        ("POST", "/v1/falcon/run", "invalid_request"),
    ] {
        let reply = ask(method, path);
        assert_eq!(reply.error_code(), code, "{path}");
        assert!(!reply.text().contains("jane"), "{path}");
    }
    assert!(provider.seen().is_empty());
    let models = ["ft:gpt-4o:acme::a1b2c3", "gpt-4o-2024-08-06", "claude-3-5-sonnet-20241022"];
    provider.always(step::with_models(&models));
    for model in models {
        ask("GET", &["/v1/models/", model].concat()).ok();
    }
    ask("POST", "/v1/engines/gpt-4o-mini/completions").ok();
    is_clean(&provider.seen(), &gateway);
    // A caller's own key opens more paths, which are looked at alike.
    let own = "Bearer sk-callers-own-key-0123456789";
    let reply =
        gateway.send("GET", "/v1/files/jane.roe@example.com", &[("authorization", own)], b"");
    reply.refused(400, "invalid_request");
    for path in [
        "/v1/responses/resp_68af4030592c81938ec0a5fbab4a3e9f05438e46b5f69a3b",
        "/v1/batches/batch_67d97a5a0d1c81908f1ae5e4",
    ] {
        gateway.send("GET", path, &[("authorization", own)], b"").ok();
    }
}

#[test]
fn queries_hold_no_personal_data_and_no_credential() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    let bearer = format!("Bearer {}", jwt("acme"));
    let queries = [
        "p=+14155550132",
        "p=%2B14155550132",
        "p=%252B14155550132",
        "p=%2B1+415+555+0132",
        "p=%2B1%20415%20555%200132",
        "jane.roe@example.com",
        "jane.roe%40example.com=1",
        "p=jane.roe%2540example.com",
        "p=data:image/png;base64,iVBORw0KGgo=",
        "p=data%3Aimage%2Fpng%3Bbase64%2CiVBORw0KGgo%3D",
        "key=sk-other&api_key=sk-other",
        "KEY=sk-other-1&Api-Key=tg-lab-key&%61pikey=tg-lab-key",
        "access_token=tg-lab-key&x=Bearer+tg-lab-key",
        "a;key=sk-other",
        "sig=tg-lab&Signature=tg-lab&X-Amz-Signature=tg-lab",
    ];
    for query in queries {
        // Lists of models are asked for with a provider key of one's own, and forwarded.
        let own = "Bearer sk-callers-own-key-0123456789";
        for (method, path, bearer) in [("POST", CHAT, &*bearer), ("GET", "/v1/models", own)] {
            let body = if method == "GET" { String::new() } else { chat("hi").to_string() };
            let path = format!("{path}?beta=true&{query}&limit=5");
            gateway.send(method, &path, &[("authorization", bearer)], body.as_bytes()).ok();
        }
    }
    let seen = provider.seen();
    assert_eq!(seen.len(), 2 * queries.len());
    assert!(
        seen.iter().all(|s| s.target.contains("?beta=true&") && s.target.ends_with("limit=5")),
        "{seen:?}"
    );
    is_clean(&seen, &gateway);
}

#[test]
fn a_restricted_key_asks_for_no_other_model_in_the_head() {
    let provider = Provider::start();
    let key = "tg-restricted-key-0123456789";
    let sha256: String = {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let auth = format!(
        "accept: [key]\nkeys: [{{name: k, sha256: \"{sha256}\", org: acme, models: [gpt-4o-mini]}}]"
    );
    let gateway = Setup::new(&provider)
        .section("auth", &auth)
        .section("routing", "{default: [openai], endpoints: [\"POST /v1/engines/*/completions\"]}")
        .start();
    let bearer = format!("Bearer {key}");
    let ask = |method: &str, path: &str, body: &str| {
        Connection::open(gateway.apps)
            .send(&request(method, path, &[("authorization", &bearer)], body.as_bytes()))
            .reply()
    };
    let body = chat("hi").to_string();
    for path in [
        "model=gpt-4o",
        "Model=gpt-4o",
        "%6dodel=gpt-4o",
        "model=gpt-4o-mini&model=gpt-4o",
        "models[]=o1-pro",
        "engine=o1",
    ] {
        ask("POST", &format!("{CHAT}?{path}"), &body).refused(404, "model_not_found");
    }
    provider.always(step::with_models(&["gpt-4o", "gpt-4o-mini"]));
    ask("GET", "/v1/models/gpt-4o", "").refused(404, "model_not_found");
    ask("POST", "/v1/engines/gpt-4o/completions", &body).refused(404, "model_not_found");
    ask("POST", "/v1/engines/gpt-4o-mini/completions", r#"{"model":"gpt-4o","prompt":"x"}"#)
        .refused(404, "model_not_found");
    assert!(provider.seen().is_empty());
    ask("POST", &format!("{CHAT}?model=gpt-4o-mini"), &body).ok();
    ask("GET", "/v1/models/gpt-4o-mini", "").ok();
    ask("POST", "/v1/engines/gpt-4o-mini/completions", r#"{"prompt":"x"}"#).ok();
}
