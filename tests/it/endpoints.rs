//! Calls at the wrong endpoint: each is told what to do instead, truly.

use serde_json::json;

use crate::support::{Gateway, Provider, Reply, Setup, jwt};

/// A call with these headers besides the token's.
fn ask(gateway: &Gateway, method: &str, path: &str, bearer: &str, more: &[(&str, &str)]) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let headers = [&[("authorization", bearer.as_str())], more].concat();
    let body = json!({"model": "m", "input": "x", "messages": []}).to_string();
    let body = if method == "GET" { "" } else { &body };
    gateway.send(method, path, &headers, body.as_bytes())
}

#[test]
fn paths_that_no_api_has_and_protocols_that_are_not_spoken() {
    let provider = Provider::start();
    let gateway = Gateway::start(&provider);
    // With the gateway's token and with a provider key of the caller's own.
    for bearer in [jwt("acme").as_str(), "sk-own"] {
        for path in ["/v1/chat/completion", "/v1/chat", "/v1/files/file-1/contents", "/v1/nonsense"]
        {
            ask(&gateway, "POST", path, bearer, &[]).refused(404, "not_found");
        }
        let doubled = ask(&gateway, "POST", "/v1/v1/messages", bearer, &[]);
        doubled.refused(404, "not_found");
        assert!(doubled.text().contains("base URL without /v1"), "{}", doubled.text());
        for (method, path) in [("POST", "/v1/realtime/client_secrets"), ("GET", "/v1/realtime")] {
            ask(&gateway, method, path, bearer, &[]).refused(501, "not_supported");
        }
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
        for path in ["/v1/responses", "/v1/realtime", "/v1/chat/completions"] {
            ask(&gateway, "GET", path, bearer, &upgrade).refused(501, "not_supported");
        }
    }
    ask(&gateway, "POST", "/v1/realtime/calls", "tg-unknown", &[]).refused(401, "invalid_token");
    assert!(provider.seen().is_empty());
}

#[test]
fn a_model_of_a_provider_with_another_format_names_the_right_endpoint() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .with_anthropic()
        .section(
            "routing",
            "{models: [{match: \"claude-*\", to: [anthropic]}, {match: \"both\", \
            to: [anthropic, openai]}], default: [openai]}",
        )
        .start();
    let post = |path: &str, model: &str| {
        let body = json!({"model": model, "input": "x", "messages": [], "max_tokens": 5});
        gateway.post(path, &jwt("acme"), &body)
    };
    for (path, model, instead) in [
        ("/v1/completions", "claude-x", "POST /v1/messages"),
        ("/v1/embeddings", "claude-x", "a model of another provider"),
        ("/v1/images/generations", "claude-x", "a model of another provider"),
    ] {
        let reply = post(path, model);
        reply.refused(400, "wrong_endpoint");
        assert!(reply.text().contains(instead), "{path}: {}", reply.text());
        assert_eq!(reply.header("x-should-retry"), Some("false"));
    }
    assert!(provider.seen().is_empty());
    // Among several providers, one that has the endpoint.
    for (path, model, name) in [
        ("/v1/messages", "claude-x", "anthropic"),
        ("/v1/messages", "both", "anthropic"),
        ("/v1/chat/completions", "both", "openai"),
        ("/v1/chat/completions", "gpt-4o", "openai"),
    ] {
        let reply = post(path, model);
        assert_eq!(reply.ok().header("x-tollgate-provider"), Some(name), "{path} {model}");
    }
}
