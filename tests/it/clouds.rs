//! Providers behind the addresses of clouds: Azure's dated API, Claude at Google Cloud.

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Reply, Setup, jwt, step};

/// A gateway with one provider, with these keys, and routing.
fn gateway(provider: &Provider, keys: &str, path: &str, routing: &str) -> Gateway {
    let address = provider.address;
    Setup::towards(address)
        .section(
            "providers",
            &format!(
                "cloud: {{{keys}, base_url: \"http://{address}{path}\", api_key: sk-cloud-own}}"
            ),
        )
        .section("routing", routing)
        .section("intent", "{provider: cloud, model: tickets}")
        .section("features", "{ai_intent_enabled: true}")
        .start()
}

fn azure(provider: &Provider, routing: &str) -> Gateway {
    gateway(provider, "kind: azure_openai, api_version: 2024-10-21", "/openai/v1/", routing)
}

const PUBLISHER: &str = "/v1/projects/p/locations/l/publishers/anthropic";

fn vertex(provider: &Provider, routing: &str) -> Gateway {
    gateway(provider, "kind: anthropic", PUBLISHER, routing)
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    gateway.post(path, &jwt("acme"), body)
}

#[test]
fn a_dated_api_of_azure_has_the_deployment_in_its_path() {
    let provider = Provider::start();
    let gateway = azure(&provider, "default: [cloud]");
    let chat =
        json!({"model": "my-dep", "messages": [{"role": "user", "content": "jane@example.com"}]});
    post(&gateway, "/v1/chat/completions?api-version=2023-05-15", &chat).ok();
    let seen = provider.take_seen().remove(0);
    assert_eq!(seen.target, "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21");
    assert_eq!(seen.header("api-key"), Some("sk-cloud-own"));
    assert!(seen.header("authorization").is_none() && !seen.text().contains("jane@"));

    // A call of another format is translated and goes to the same path.
    let messages = json!({"model": "my-dep", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let reply = post(&gateway, "/v1/messages", &messages);
    assert_eq!(reply.ok().json()["content"][0]["text"], "hello");
    post(&gateway, "/v1/responses", &json!({"model": "my-dep", "input": "hi"}));
    // The model comes late, behind more than is read at once.
    let late = json!({"input": "word ".repeat(40_000), "model": "embed"});
    let late = late.to_string();
    assert!(late.find("\"model\"") > Some(100_000));
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    gateway.send("POST", "/v1/embeddings", &headers, late.as_bytes()).ok();
    let targets: Vec<String> = provider.take_seen().into_iter().map(|seen| seen.target).collect();
    assert_eq!(
        targets,
        [
            "/openai/deployments/my-dep/chat/completions?api-version=2024-10-21",
            "/openai/responses?api-version=2024-10-21",
            "/openai/deployments/embed/embeddings?api-version=2024-10-21",
        ]
    );
    let nameless = json!({"messages": [{"role": "user", "content": "hi"}]});
    let reply = post(&gateway, "/v1/chat/completions", &nameless);
    reply.refused(400, "invalid_request");
    assert_eq!(reply.json()["error"]["param"], "model");
    assert!(provider.seen().is_empty());
}

#[test]
fn a_target_and_a_ticket_name_the_deployment_too() {
    let provider = Provider::start();
    let gateway = azure(&provider, "default: [{provider: cloud, model: mine}]");
    let chat = json!({"model": "gpt", "messages": [{"role": "user", "content": "hi"}]});
    post(&gateway, "/v1/chat/completions", &chat).ok();
    let ticket = json!({"title": "Refund", "body": "Charged twice"});
    post(&gateway, "/api/ai/intent", &ticket).ok();
    let targets: Vec<String> = provider.take_seen().into_iter().map(|seen| seen.target).collect();
    assert!(targets[0].starts_with("/openai/deployments/mine/chat/completions?"), "{targets:?}");
    assert!(targets[1].starts_with("/openai/deployments/tickets/chat/completions?"), "{targets:?}");
}

/// An answer of Claude.
fn message(text: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 20, "output_tokens": 7}
    })
}

#[test]
fn claude_at_google_cloud_takes_messages_almost_as_they_are() {
    let provider = Provider::start();
    let gateway =
        vertex(&provider, "default: [{provider: cloud, model: claude-sonnet-4-5@20250929}]");
    provider.always(step::json(200, &message("Hi.")));
    let mut body = json!({"model": "claude-x", "max_tokens": 50, "temperature": 0.25,
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "unknown": {"z": 1, "a": [1.50]},
        "messages": [{"role": "user", "content": "jane@example.com"}]});
    let bearer = format!("Bearer {}", jwt("acme"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "context-1m-2025-08-07"),
    ];
    let call = |body: &Value, path: &str| {
        gateway.send("POST", path, &headers, body.to_string().as_bytes())
    };
    let reply = call(&body, "/v1/messages");
    assert_eq!(reply.ok().json(), message("Hi."), "the answer is passed on as it is");
    assert_eq!(reply.header("x-tollgate-translation"), None);
    let seen = provider.take_seen().remove(0);
    let model = "/models/claude-sonnet-4-5%4020250929";
    assert_eq!(seen.target, format!("{PUBLISHER}{model}:rawPredict"));
    assert_eq!(seen.header("authorization"), Some("Bearer sk-cloud-own"));
    assert_eq!(seen.header("anthropic-beta"), Some("context-1m-2025-08-07"));
    assert!(seen.header("x-api-key").is_none());
    let mut expected = body.clone();
    expected["anthropic_version"] = json!("vertex-2023-10-16");
    expected["messages"][0]["content"] = json!("[REDACTED_EMAIL]");
    expected.as_object_mut().unwrap().remove("model");
    assert_eq!(seen.json(), expected);

    body["stream"] = json!(true);
    let events = "event: message_start\ndata: \
        {\"type\":\"message_start\",\"message\":{\"model\":\"claude-y\",\
        \"usage\":{\"input_tokens\":3}}}\n\nevent: message_delta\ndata: \
        {\"type\":\"message_delta\",\"delta\":\
        {\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\nevent: message_stop\n\
        data: {\"type\":\"message_stop\"}\n\n";
    let kind = [("content-type", "text/event-stream")];
    provider.script([step::with_headers(200, &kind, events.as_bytes())]);
    let reply = call(&body, "/v1/messages");
    assert_eq!(reply.ok().text(), events);
    let seen = provider.take_seen().remove(0);
    assert_eq!(seen.target, format!("{PUBLISHER}{model}:streamRawPredict"));

    provider.script([step::json(200, &json!({"input_tokens": 12}))]);
    let reply = call(&body, "/v1/messages/count_tokens");
    assert_eq!(reply.ok().json()["input_tokens"], 12);
    let seen = provider.take_seen().remove(0);
    assert_eq!(seen.target, format!("{PUBLISHER}/models/count-tokens:rawPredict"));
    assert_eq!(seen.json()["model"], "claude-sonnet-4-5@20250929");

    // Errors are the provider's own.
    let error =
        json!({"type": "error", "error": {"type": "invalid_request_error", "message": "no"}});
    provider.script([step::json(400, &error)]);
    assert_eq!(call(&body, "/v1/messages").json(), error);
    let rows = gateway.rows(4);
    assert_eq!([&rows[0]["translated"], &rows[0]["input_tokens"]], [&json!(""), &json!(20)]);
    assert_eq!([&rows[1]["output_tokens"], &rows[1]["stream"]], [&json!(4), &json!(1)]);
}

#[test]
fn chat_calls_are_translated_for_claude_at_google_cloud() {
    let provider = Provider::start();
    let routing = "models: [{match: '*', to: [cloud], max_output_tokens: 777, sampling: 'no'}]";
    let gateway = vertex(&provider, routing);
    provider.always(step::json(200, &message("Hi.")));
    let body = json!({"model": "house", "temperature": 0.5,
        "messages": [{"role": "user", "content": "jane@example.com"}]});
    let reply = post(&gateway, "/v1/chat/completions", &body);
    assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "Hi.");
    assert_eq!(
        reply.header("x-tollgate-translation"),
        Some("chat>anthropic; dropped=\"temperature\""),
        "the rule says that the model cannot be told how to sample"
    );
    let seen = provider.only();
    assert_eq!(seen.target, format!("{PUBLISHER}/models/house:rawPredict"));
    let sent = seen.json();
    assert_eq!(
        [&sent["max_tokens"], &sent["anthropic_version"]],
        [&json!(777), &json!("2026-10-21")]
    );
    assert!(sent.get("model").is_none() && !seen.text().contains("jane@"));
    let models = gateway.send(
        "GET",
        "/v1/models",
        &[("authorization", &format!("Bearer {}", jwt("acme")))],
        b"",
    );
    assert_eq!(models.ok().json()["data"], json!([]), "it has no list at this address");
}
