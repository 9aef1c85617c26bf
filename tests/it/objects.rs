//! Objects that a provider keeps, under a shared key: a body may name those that answers to its own
//! organisation named, and no others, in no place and at no length.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, Setup, jwt, step};

const RESPONSES: &str = "/v1/responses";

/// A gateway whose provider answers each call of the Responses API with a new response.
fn start(routing: &str) -> (Provider, Gateway) {
    let provider = Provider::start();
    provider.always(vec![step::Act::Reply(Arc::new(|seen| {
        let given: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
        let id = given["metadata"]["make"].as_str().unwrap_or("1").to_owned();
        let body = json!({
            "id": format!("resp_{id}"), "object": "response", "status": "completed", "model": "gpt-4o-mini",
            "metadata": given["metadata"], "conversation": {"id": format!("conv_{id}")},
            "output": [
                {"type": "reasoning", "id": format!("rs_{id}"), "summary": []},
                {"type": "code_interpreter_call", "id": format!("ci_{id}"), "container_id": format!("cntr_{id}")},
                {"type": "function_call", "id": format!("fc_{id}"), "call_id": "c", "name": "f", "arguments": given["metadata"].to_string()},
                {"type": "message", "id": format!("msg_{id}"), "role": "assistant", "content": [{"type": "output_text", "text": "ok",
                    "annotations": [{"type": "container_file_citation", "file_id": format!("cfile_{id}"), "container_id": format!("cntr_{id}")}]}]},
            ],
        })
        .to_string();
        format!("HTTP/1.1 200 X\r\ncontent-type: application/json\r\ncontent-length: \
            {}\r\n\r\n{body}", body.len()).into_bytes()
    }))]);
    let gateway = setup(&provider, routing).start();
    (provider, gateway)
}

fn setup(provider: &Provider, routing: &str) -> Setup {
    let auth =
        format!("accept: [jwt, passthrough]\njwt: {{secret: \"{}\"}}", crate::support::SECRET);
    Setup::new(provider).with_anthropic().section("auth", &auth).section("routing", routing)
}

/// Bodies that name one object each, whose id ends with `id`.
fn naming(id: &str) -> Vec<(&'static str, Value)> {
    let of = |extra: Value| {
        let mut body = json!({"model": "gpt-4o-mini", "input": "hi"});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    vec![
        (RESPONSES, of(json!({"previous_response_id": format!("resp_{id}")}))),
        (RESPONSES, of(json!({"conversation": format!("conv_{id}")}))),
        (RESPONSES, of(json!({"conversation": {"id": format!("conv_{id}")}}))),
        (RESPONSES, of(json!({"input": [{"type": "item_reference", "id": format!("msg_{id}")}]}))),
        (RESPONSES, of(json!({"input": [{"id": format!("msg_{id}")}]}))),
        (
            RESPONSES,
            of(json!({"input": [{"type": "reasoning", "id": format!("rs_{id}"), "summary": []}]})),
        ),
        (
            RESPONSES,
            of(json!({"tools": [{"type": "code_interpreter", "container": format!("cntr_{id}")}]})),
        ),
        (
            RESPONSES,
            of(
                json!({"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [format!("cfile_{id}")]}}]}),
            ),
        ),
        ("/v1/responses/compact", of(json!({"previous_response_id": format!("resp_{id}")}))),
    ]
}

/// The same, of kinds that no answer of the tests names.
fn foreign() -> Vec<(&'static str, Value)> {
    vec![
        (
            RESPONSES,
            json!({"model": "m", "input": "x", "tools": [{"type": "file_search", "vector_store_ids": ["vs_A"]}]}),
        ),
        (RESPONSES, json!({"model": "m", "input": "x", "prompt": {"id": "pmpt_A"}})),
        (
            "/v1/messages",
            json!({"model": "m", "messages": [], "max_tokens": 5, "container": "container_A"}),
        ),
        (
            "/v1/messages",
            json!({"model": "m", "messages": [], "max_tokens": 5, "container": {"id": "container_A"}}),
        ),
    ]
}

#[test]
fn another_organizations_objects_cannot_be_named() {
    let (provider, gateway) = start("{default: [openai, anthropic]}");
    let make = json!({"model": "gpt-4o-mini", "input": "hi", "metadata": {"make": "a"}});
    gateway.post(RESPONSES, &jwt("acme"), &make).ok();
    for (path, body) in naming("a") {
        gateway.post(path, &jwt("acme"), &body).ok();
    }
    provider.take_seen();
    for (path, body) in naming("a").into_iter().chain(foreign()) {
        let reply = gateway.post(path, &jwt("other"), &body);
        reply.refused(403, "endpoint_not_allowed");
        assert!(
            !reply.text().contains("_a\"") && reply.text().contains("routing.stored_objects"),
            "{}",
            reply.text()
        );
        // The name of the field may be written otherwise.
        let escaped = body
            .to_string()
            .replace("_id\"", "_\\u0069d\"")
            .replace("\"conv", "\"\\u0063onv")
            .replace("_a\"", "\\u005fa\"");
        let bearer = format!("Bearer {}", jwt("other"));
        let reply = gateway.send("POST", path, &[("authorization", &bearer)], escaped.as_bytes());
        reply.refused(403, "endpoint_not_allowed");
    }
    for (path, body) in foreign() {
        gateway.post(path, &jwt("acme"), &body).refused(403, "endpoint_not_allowed");
    }
    assert!(provider.seen().is_empty(), "{:?}", provider.seen());
    // A caller's own key is an account of its own.
    for (path, body) in naming("a").into_iter().chain(foreign()) {
        gateway.post(path, "sk-callers-own-key-0123456789", &body).ok();
    }
}

#[test]
fn what_a_caller_has_repeated_is_not_its_own() {
    let (provider, gateway) = start("{default: [openai, anthropic]}");
    let repeated = json!({"id": "resp_a", "response_id": "resp_a", "container_id": "cntr_a", "conversation": "conv_a"});
    let mut body =
        json!({"model": "gpt-4o-mini", "input": "\"id\":\"resp_a\"", "metadata": repeated});
    body["metadata"]["make"] = json!("b");
    gateway.post(RESPONSES, &jwt("other"), &body).ok();
    provider.take_seen();
    for (path, body) in naming("a") {
        gateway.post(path, &jwt("other"), &body).refused(403, "endpoint_not_allowed");
    }
    assert!(provider.seen().is_empty());
    for (path, body) in naming("b") {
        gateway.post(path, &jwt("other"), &body).ok();
    }
}

#[test]
fn a_long_body_that_names_one_at_its_end_does_not_become_complete() {
    let (provider, gateway) = start("{default: [openai, anthropic]}");
    let long = "word ".repeat(60_000);
    let body = format!(
        "{{\"model\":\"gpt-4o-mini\",\"input\":\"{long}\",\"previous_response_id\":\"resp_a\"}}"
    );
    let bearer = format!("Bearer {}", jwt("other"));
    let reply = gateway.send("POST", RESPONSES, &[("authorization", &bearer)], body.as_bytes());
    reply.refused(403, "endpoint_not_allowed");
    for seen in provider.seen() {
        assert!(!seen.complete && !String::from_utf8_lossy(&seen.body).contains("resp_a"));
    }
    assert_eq!(gateway.only_row()["error_code"], "endpoint_not_allowed");
}

#[test]
fn streams_name_objects_too_and_a_restart_forgets_none() {
    let (provider, gateway) = start("{default: [openai, anthropic]}");
    let event = |kind: &str, extra: Value| {
        let mut data = json!({"type": kind});
        data.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {data}\n\n")
    };
    let events = [
        event(
            "response.created",
            json!({"response": {"id": "resp_s", "status": "in_progress", "output": []}}),
        ),
        event(
            "response.output_text.delta",
            json!({"item_id": "msg_x", "delta": "{\"id\":\"resp_x\"}"}),
        ),
        event(
            "response.output_item.done",
            json!({"item": {"type": "message", "id": "msg_s", "content": []}}),
        ),
        event(
            "response.completed",
            json!({"response": {"id": "resp_s", "status": "completed", "output": []}}),
        ),
    ]
    .concat();
    provider.script([step::with_headers(
        200,
        &[("content-type", "text/event-stream")],
        events.as_bytes(),
    )]);
    let mut body = json!({"model": "gpt-4o-mini", "input": "hi", "stream": true});
    gateway.post(RESPONSES, &jwt("acme"), &body).ok();
    body = json!({"model": "gpt-4o-mini", "input": [{"type": "item_reference", "id": "msg_s"}], "previous_response_id": "resp_s"});
    gateway.post(RESPONSES, &jwt("acme"), &body).ok();
    gateway.post(RESPONSES, &jwt("other"), &body).refused(403, "endpoint_not_allowed");
    for id in ["resp_x", "msg_x"] {
        let body = json!({"model": "m", "input": "x", "previous_response_id": id});
        gateway.post(RESPONSES, &jwt("acme"), &body).refused(403, "endpoint_not_allowed");
    }
    let mut gateway = gateway;
    gateway.stop();
    let gateway = gateway.start_again();
    gateway.post(RESPONSES, &jwt("acme"), &body).ok();
    gateway.post(RESPONSES, &jwt("other"), &body).refused(403, "endpoint_not_allowed");
}

#[test]
fn the_policy_may_open_or_close_them() {
    let (provider, gateway) = start("{default: [openai, anthropic], stored_objects: allow}");
    for (path, body) in naming("a").into_iter().chain(foreign()) {
        gateway.post(path, &jwt("other"), &body).ok();
    }
    gateway.edit_and_wait(
        "routing",
        "{default: [openai, anthropic], shared_objects: [pmpt_A, \"vs_*\"]}",
    );
    for (path, body) in foreign() {
        let reply = gateway.post(path, &jwt("other"), &body);
        assert_eq!(reply.status, if path == RESPONSES { 200 } else { 403 }, "{}", reply.text());
    }
    gateway.edit_and_wait("routing", "{default: [openai, anthropic], stored_objects: refuse}");
    gateway
        .post(
            RESPONSES,
            &jwt("acme"),
            &json!({"model": "m", "input": "hi", "metadata": {"make": "c"}}),
        )
        .ok();
    provider.take_seen();
    for (path, body) in naming("c") {
        gateway.post(path, &jwt("acme"), &body).refused(403, "endpoint_not_allowed");
    }
    assert!(provider.seen().is_empty());
}

#[test]
fn files_cannot_be_named_where_attachments_may_pass() {
    let provider = Provider::start();
    let gateway = setup(&provider, "{default: [openai, anthropic]}")
        .section("redaction", "{attachments: allow}")
        .start();
    for (path, body) in [
        (
            RESPONSES,
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-A"}]}]}),
        ),
        (
            RESPONSES,
            json!({"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-A"}]}]}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-A"}}]}]}),
        ),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": "file_A"}}]}]}),
        ),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": [{"type": "container_upload", "file_id": "file_A"}]}]}),
        ),
    ] {
        gateway.post(path, &jwt("acme"), &body).refused(403, "endpoint_not_allowed");
    }
    assert!(provider.seen().is_empty());
}
