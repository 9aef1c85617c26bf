//! Calls from pages of other origins: only configured ones, on answers and refusals alike.

use crate::support::{Connection, Gateway, Provider, Reply, Setup, chat, jwt, request};

const APP: &str = "https://app.example.com";
const CHAT: &str = "/v1/chat/completions";

fn send(gateway: &Gateway, method: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let bytes = request(method, CHAT, headers, body.as_bytes());
    Connection::open(gateway.apps).send(&bytes).reply()
}

fn preflight(gateway: &Gateway, origin: &str) -> Reply {
    let asked = "Authorization, content-type, x-stainless-os, x-team, x-evil";
    let headers = [
        ("origin", origin),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", asked),
    ];
    send(gateway, "OPTIONS", &headers, "")
}

#[test]
fn pages_of_configured_origins_may_call_and_no_others() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("cors", &format!("{{origins: [\"{APP}\"], headers: [X-Team], max_age: 10m}}"))
        .start();
    let asked = preflight(&gateway, APP);
    assert_eq!(asked.status, 204);
    for (name, value) in [
        ("access-control-allow-origin", APP),
        ("access-control-allow-methods", "GET, POST, DELETE"),
        ("access-control-allow-headers", "authorization, content-type, x-stainless-os, x-team"),
        ("access-control-max-age", "600"),
    ] {
        assert_eq!(asked.header(name), Some(value), "{:?}", asked.headers);
    }
    assert!(asked.header("access-control-allow-credentials").is_none());
    // On an answer, and on refusals at any stage.
    let body = chat("hi").to_string();
    let bearer = format!("Bearer {}", jwt("acme"));
    for (bearer, body, status) in
        [(bearer.as_str(), body.as_str(), 200), (&bearer, "{", 400), ("Bearer tg-x", &body, 401)]
    {
        let mut headers = vec![("authorization", bearer)];
        let reply = send(&gateway, "POST", &headers, body);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, None));
        headers.push(("origin", APP));
        let reply = send(&gateway, "POST", &headers, body);
        assert_eq!(
            (reply.status, reply.header("access-control-allow-origin"), reply.header("vary")),
            (status, Some(APP), Some("origin"))
        );
        let shown = reply.header("access-control-expose-headers").unwrap();
        assert!(shown.contains("x-request-id") && shown.contains("retry-after"), "{shown}");
        headers[1].1 = "https://evil.example.com";
        let reply = send(&gateway, "POST", &headers, body);
        assert_eq!((reply.status, reply.header("access-control-allow-origin")), (status, None));
    }
    let refused = preflight(&gateway, "https://evil.example.com");
    refused.refused(405, "method_not_allowed");
    assert!(refused.header("access-control-allow-origin").is_none());
    assert!(refused.text().contains("does not name this origin"), "{}", refused.text());
    // An edit is in force at once.
    gateway.edit_and_wait("cors", "{origins: [\"*\"]}");
    assert_eq!(preflight(&gateway, "null").header("access-control-allow-origin"), Some("null"));
}

#[test]
fn without_a_policy_no_page_may_call_and_options_says_so() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    let reply = preflight(&gateway, APP);
    reply.refused(405, "method_not_allowed");
    assert!(reply.text().contains("cors.origins"), "{}", reply.text());
    assert!(reply.headers.iter().all(|(name, _)| !name.starts_with("access-control")));
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("origin", APP)];
    let reply = send(&gateway, "POST", &headers, &chat("hi").to_string());
    assert!(reply.ok().headers.iter().all(|(name, _)| !name.starts_with("access-control")));
}
