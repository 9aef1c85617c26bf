//! Calls whose provider speaks another format than the caller.

use serde_json::{Value, json};

use crate::support::{Connection, Gateway, Provider, Reply, Setup, eventually, jwt, request, step};

/// A gateway with a provider of each of these kinds, all of them targets, in this order.
fn gateway(providers: &[(&str, &Provider)], routing: &str) -> Gateway {
    let section: Vec<String> = providers
        .iter()
        .map(|(kind, provider)| {
            let at = provider.address;
            format!(
                "{kind}: {{kind: {kind}, base_url: \"http://{at}/v1\", api_key: sk-{kind}-own}}"
            )
        })
        .collect();
    let names: Vec<&str> = providers.iter().map(|(kind, _)| *kind).collect();
    let routing = format!("default: [{}]\n{routing}", names.join(", "));
    Setup::towards(providers[0].1.address)
        .section("providers", &section.join("\n"))
        .section("routing", &routing)
        .section("intent", &format!("{{provider: {}}}", names[0]))
        .start()
}

fn post(gateway: &Gateway, path: &str, body: &Value) -> Reply {
    gateway.post(path, &jwt("acme"), body)
}

fn chat(text: &str) -> Value {
    json!({"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": text}]})
}

/// An answer of Anthropic's API.
fn message(text: &str) -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [{"type": "text", "text": text}], "stop_reason": "end_turn", "stop_sequence": null,
        "usage": {"input_tokens": 20, "cache_read_input_tokens": 5, "output_tokens": 7}
    })
}

/// A stream of Anthropic's API, sent in these events.
fn events(events: &[Value]) -> Vec<u8> {
    let mut bytes = String::new();
    for event in events {
        bytes += &format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    }
    bytes.into_bytes()
}

fn started() -> Value {
    json!({"type": "message_start", "message": {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [],
        "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 20, "output_tokens": 1}
    }})
}

fn text(text: &str) -> [Value; 2] {
    [
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}}),
    ]
}

fn ended() -> [Value; 3] {
    [
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null},
               "usage": {"output_tokens": 9}}),
        json!({"type": "message_stop"}),
    ]
}

fn stream_of(events_: &[Value]) -> step::Step {
    step::with_headers(200, &[("content-type", "text/event-stream")], &events(events_))
}

/// The data of a stream's events.
fn data(reply: &Reply) -> Vec<String> {
    reply.text().lines().filter_map(|l| l.strip_prefix("data: ")).map(str::to_owned).collect()
}

#[test]
fn a_chat_call_is_answered_by_anthropic() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    anthropic.script([step::json(200, &message("Hello."))]);
    let mut body = chat("I am jane@example.com, call +1 415 555 0132");
    body["seed"] = json!(7);
    body["temperature"] = json!(0.5);
    let reply = post(&gateway, "/v1/chat/completions", &body);
    let answer = reply.ok().json();
    assert_eq!(answer["object"], "chat.completion");
    assert_eq!(answer["choices"][0]["message"]["content"], "Hello.");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    // OpenAI's convention: cached tokens are among those of the prompt.
    assert_eq!(answer["usage"]["prompt_tokens"], 25);
    assert_eq!(answer["usage"]["completion_tokens"], 7);
    assert_eq!(reply.header("x-tollgate-translation"), Some("chat>anthropic; dropped=\"seed\""));
    assert_eq!(reply.header("content-type"), Some("application/json"));

    let seen = anthropic.seen().remove(0);
    assert_eq!(seen.target, "/v1/messages");
    assert_eq!(seen.header("x-api-key"), Some("sk-anthropic-own"));
    assert!(seen.header("anthropic-version").is_some() && seen.header("authorization").is_none());
    let sent = seen.json();
    assert_eq!(
        sent["messages"][0]["content"][0]["text"],
        "I am [REDACTED_EMAIL], call [REDACTED_PHONE]"
    );
    assert!(sent["max_tokens"].as_u64().unwrap() > 0 && sent.get("seed").is_none());

    let row = gateway.only_row();
    assert_eq!(row["translated"], "chat>anthropic");
    assert_eq!(row["dropped_fields"], "seed");
    assert_eq!(row["finish_reason"], "end_turn");
    assert_eq!(row["response_model"], "claude-sonnet-4-5-20250929");
    assert_eq!([&row["input_tokens"], &row["cached_tokens"], &row["output_tokens"]], [25, 5, 7]);
}

#[test]
fn a_stream_of_anthropic_is_a_chat_stream() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    let all: Vec<Value> = [started()]
        .into_iter()
        .chain(text("Hel"))
        .chain([json!({"type": "ping"})])
        .chain(ended())
        .collect();
    for include_usage in [false, true] {
        anthropic.script([stream_of(&all)]);
        let mut body = chat("hi");
        body["stream"] = json!(true);
        if include_usage {
            body["stream_options"] = json!({"include_usage": true});
        }
        let reply = post(&gateway, "/v1/chat/completions", &body);
        let data = data(reply.ok());
        assert_eq!(data.last().map(String::as_str), Some("[DONE]"), "{}", reply.text());
        let chunks: Vec<Value> = data[..data.len() - 1]
            .iter()
            .map(|data| serde_json::from_str(data).expect("JSON"))
            .collect();
        assert!(chunks.iter().all(|c| c["object"] == "chat.completion.chunk"));
        let said: String =
            chunks.iter().filter_map(|c| c["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(said, "Hel");
        let usage: Vec<&Value> =
            chunks.iter().map(|c| &c["usage"]).filter(|u| u.is_object()).collect();
        assert_eq!(usage.len(), usize::from(include_usage), "{}", reply.text());
    }
    for row in gateway.rows(2) {
        assert_eq!([&row["input_tokens"], &row["output_tokens"]], [20, 9], "{row:?}");
        assert_eq!([&row["translated"], &row["outcome"]], ["chat>anthropic", "ok"]);
        assert_eq!(row["finish_reason"], "end_turn");
    }
}

#[test]
fn a_call_falls_over_to_a_provider_of_another_format() {
    let (openai, anthropic) = (Provider::start(), Provider::start());
    let gateway = gateway(&[("openai", &openai), ("anthropic", &anthropic)], "");
    openai.always(step::error(503, "x"));
    anthropic.always(step::json(200, &message("Here.")));
    let reply = post(&gateway, "/v1/chat/completions", &chat("from jane@example.com"));
    assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "Here.");
    assert_eq!(reply.header("x-tollgate-provider"), Some("anthropic"));
    assert_eq!(openai.seen()[0].target, "/v1/chat/completions");
    assert!(!anthropic.seen()[0].text().contains("jane@"));
    let row = gateway.only_row();
    assert_eq!([&row["provider"], &row["translated"]], ["anthropic", "chat>anthropic"]);
    assert_eq!(row["attempts"], 2);

    // The name of the model is another provider's: its absence here is no answer to the caller.
    let absent =
        json!({"type": "error", "error": {"type": "not_found_error", "message": "model: x"}});
    anthropic.script([step::json(404, &absent)]);
    let reply = post(&gateway, "/v1/chat/completions", &chat("hi"));
    reply.refused(503, "provider_unavailable");

    // A call in the format of the second target goes there first.
    let body = json!({"model": "claude-x", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
    let reply = post(&gateway, "/v1/messages", &body);
    assert_eq!(reply.ok().header("x-tollgate-provider"), Some("anthropic"));
    assert_eq!(reply.header("x-tollgate-translation"), None);
    assert_eq!(reply.json()["content"][0]["text"], "Here.");
}

#[test]
fn a_call_of_messages_is_answered_by_an_openai_server() {
    let openai = Provider::start();
    let gateway = gateway(&[("openai", &openai)], "");
    openai.always(step::chat("hello"));
    let mut body = json!({
        "model": "gpt-4o-mini", "max_tokens": 50, "system": "Be brief.", "top_k": 3,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "I am jane@example.com"}]}]
    });
    let reply = post(&gateway, "/v1/messages", &body);
    let answer = reply.ok().json();
    assert_eq!([&answer["type"], &answer["content"][0]["text"]], ["message", "hello"]);
    assert_eq!(answer["stop_reason"], "end_turn");
    assert_eq!(reply.header("x-tollgate-translation"), Some("messages>openai; dropped=\"top_k\""));
    let sent = openai.seen().remove(0).json();
    assert_eq!(sent["messages"][0]["content"], "Be brief.");
    assert!(sent.to_string().contains("I am [REDACTED_EMAIL]") && sent.get("top_k").is_none());

    body["stream"] = json!(true);
    let whole = post(&gateway, "/v1/messages", &body);
    assert_eq!(whole.ok().json()["type"], "message", "a server that does not stream");
    openai.always(step::sse(&step::chat_events(&["hel", "lo"], true)));
    let reply = post(&gateway, "/v1/messages", &body);
    let names: Vec<&str> =
        reply.ok().text().lines().filter_map(|l| l.strip_prefix("event: ")).collect();
    assert_eq!(names.first().copied(), Some("message_start"), "{}", reply.text());
    assert_eq!(names.last().copied(), Some("message_stop"), "{}", reply.text());
    assert!(reply.text().contains("hel") && !reply.text().contains("[DONE]"));
    let row = gateway.rows(3).pop().unwrap();
    assert_eq!([&row["input_tokens"], &row["output_tokens"]], [11, 7], "{row:?}");
}

#[test]
fn a_call_that_a_target_cannot_answer_rightly_is_refused() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "on_loss: refuse");
    let mut two = chat("hi");
    two["n"] = json!(2);
    let mut seeded = chat("hi");
    seeded["seed"] = json!(1);
    for (body, param) in [(two, "n"), (seeded, "seed")] {
        let reply = post(&gateway, "/v1/chat/completions", &body);
        reply.refused(400, "unsupported_parameter");
        assert_eq!(reply.json()["error"]["param"], param);
    }
    assert_eq!(anthropic.seen().len(), 0);
    assert_eq!(gateway.rows(2)[0]["error_code"], "unsupported_parameter");
}

#[test]
fn an_error_of_the_provider_has_the_callers_shape() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    let error = json!({"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too large"}});
    anthropic.script([step::json(400, &error)]);
    let reply = post(&gateway, "/v1/chat/completions", &chat("hi"));
    assert_eq!(reply.status, 400);
    let error = &reply.json()["error"];
    assert_eq!(
        [&error["type"], &error["message"]],
        ["invalid_request_error", "max_tokens: too large"]
    );
    assert!(reply.json().get("type").is_none());
}

#[test]
fn an_answer_that_cannot_be_carried_is_asked_for_again_and_then_refused() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    anthropic.script([step::json(200, &json!({"what": 1})), step::json(200, &message("Good."))]);
    let reply = post(&gateway, "/v1/chat/completions", &chat("hi"));
    assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "Good.");
    anthropic.always(step::json(200, &json!({"what": 1})));
    post(&gateway, "/v1/chat/completions", &chat("hi")).refused(502, "provider_answer_invalid");
}

#[test]
fn an_error_in_a_stream_is_retried_before_its_first_event_and_told_after_it() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    let overloaded =
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    let whole: Vec<Value> = [started()].into_iter().chain(text("Hel")).chain(ended()).collect();
    let begun: Vec<Value> = [started()].into_iter().chain(text("Hel")).collect();
    let mut body = chat("hi");
    body["stream"] = json!(true);

    anthropic.script([stream_of(std::slice::from_ref(&overloaded)), stream_of(&whole)]);
    let reply = post(&gateway, "/v1/chat/completions", &body);
    assert_eq!(data(reply.ok()).last().map(String::as_str), Some("[DONE]"));
    assert_eq!(anthropic.seen().len(), 2);
    assert_eq!(gateway.rows(1)[0]["attempts"], 2);

    // An error, and an end before the answer is complete.
    for (rest, rows) in [(vec![overloaded], 2), (vec![], 3)] {
        let (gate, go) = step::gate();
        anthropic.script([step::sse_in_two(&events(&begun), gate, &events(&rest))]);
        let mut connection = gateway.connect();
        let bearer = format!("Bearer {}", jwt("acme"));
        let call = body.to_string();
        let headers = [("authorization", bearer.as_str())];
        connection.send(&request("POST", "/v1/chat/completions", &headers, call.as_bytes()));
        let mut reply = connection.head().expect("a head");
        assert_eq!(reply.status, 200);
        connection.chunks_until("Hel");
        go.send(()).expect("the provider waits");
        connection.body(&mut reply);
        let data = data(&reply);
        let last: Value = serde_json::from_str(data.last().unwrap()).expect("an error event");
        assert!(last["error"]["message"].is_string(), "{}", reply.text());
        assert!(!reply.text().contains("[DONE]"));
        let all = gateway.rows(rows);
        assert_eq!(all[rows - 1]["outcome"], "provider_error", "{:?}", all[rows - 1]);
    }
}

#[test]
fn a_long_body_is_gathered_and_translated() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    anthropic.always(step::json(200, &message("Long.")));
    let body = chat(&"word jane@example.com ".repeat(20_000)).to_string();
    let bearer = format!("Bearer {}", jwt("acme"));
    let reply = Connection::open(gateway.apps)
        .send(&request(
            "POST",
            "/v1/chat/completions",
            &[("authorization", &bearer), ("content-type", "application/json")],
            body.as_bytes(),
        ))
        .reply();
    assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "Long.");
    let sent = anthropic.seen().remove(0);
    assert_eq!(sent.text().matches("[REDACTED_EMAIL]").count(), 20_000);
    assert!(!sent.text().contains("jane@"));
}

#[test]
fn the_gateways_own_errors_at_messages_have_anthropics_shape() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    let body = json!({"model": "claude-x", "max_tokens": 9, "messages": []});
    for path in ["/v1/messages", "/v1/messages/count_tokens", "/messages"] {
        let reply = gateway.post(path, "tg-nonsense", &body);
        assert_eq!(reply.status, 401, "{path}");
        let error = reply.json();
        assert_eq!([&error["type"], &error["error"]["type"]], ["error", "authentication_error"]);
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    }
    eventually("no call went out", || anthropic.seen().is_empty().then_some(()));
}

/// An answer of Gemini's API, or one chunk of a stream of it.
fn generated(text: &str, is_last: bool) -> Value {
    let mut answer = json!({
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]}}],
        "usageMetadata": {"promptTokenCount": 30, "candidatesTokenCount": 4, "totalTokenCount": 34},
        "modelVersion": "gemini-2.5-flash", "responseId": "r1"
    });
    if is_last {
        answer["candidates"][0]["finishReason"] = json!("STOP");
    }
    answer
}

#[test]
fn gemini_answers_chat_calls_and_messages() {
    let gemini = Provider::start();
    let gateway = gateway(&[("gemini", &gemini)], "");
    let mut chat = chat("I am jane@example.com");
    chat["model"] = json!("gemini-2.5-flash");
    gemini.script([step::json(200, &generated("Hi.", true))]);
    let reply = post(&gateway, "/v1/chat/completions", &chat);
    let answer = reply.ok().json();
    assert_eq!(answer["choices"][0]["message"]["content"], "Hi.");
    assert_eq!([&answer["usage"]["prompt_tokens"], &answer["usage"]["completion_tokens"]], [30, 4]);
    let seen = gemini.seen().remove(0);
    assert_eq!(seen.target, "/v1/models/gemini-2.5-flash:generateContent");
    assert_eq!(seen.header("x-goog-api-key"), Some("sk-gemini-own"));
    assert_eq!(seen.json()["contents"][0]["parts"][0]["text"], "I am [REDACTED_EMAIL]");

    chat["stream"] = json!(true);
    let chunks = [generated("Hel", false), generated("lo.", true)];
    let stream: String = chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect();
    let stream = || {
        let kind = [("content-type", "text/event-stream")];
        step::with_headers(200, &kind, stream.as_bytes())
    };
    gemini.script([stream(), stream()]);
    let reply = post(&gateway, "/v1/chat/completions", &chat);
    assert_eq!(data(reply.ok()).last().map(String::as_str), Some("[DONE]"), "{}", reply.text());
    assert!(reply.text().contains("Hel") && reply.text().contains("lo."));
    let seen = gemini.seen().pop().unwrap();
    assert_eq!(seen.target, "/v1/models/gemini-2.5-flash:streamGenerateContent?alt=sse");

    chat["max_tokens"] = json!(100);
    let reply = post(&gateway, "/v1/messages", &chat);
    let names: Vec<&str> =
        reply.ok().text().lines().filter_map(|l| l.strip_prefix("event: ")).collect();
    assert_eq!(names.last().copied(), Some("message_stop"), "{}", reply.text());
    for row in gateway.rows(3) {
        assert_eq!([&row["input_tokens"], &row["output_tokens"]], [30, 4], "{row:?}");
        assert_eq!([&row["finish_reason"], &row["outcome"]], ["STOP", "ok"]);
    }
}

/// A frame of AWS's event stream, as the protocol's documentation has it.
fn frame(event: &str, payload: &Value) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_be_bytes()
    };
    let mut headers = Vec::new();
    for (name, value) in
        [(":event-type", event), (":content-type", "application/json"), (":message-type", "event")]
    {
        headers.push(name.len() as u8);
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend((value.len() as u16).to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    let total = (16 + headers.len() + payload.len()) as u32;
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend((headers.len() as u32).to_be_bytes());
    frame.extend(crc(&frame));
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc(&frame));
    frame
}

#[test]
fn bedrock_answers_chat_calls() {
    let bedrock = Provider::start();
    let gateway = gateway(&[("bedrock", &bedrock)], "");
    let mut chat = chat("I am jane@example.com");
    chat["model"] = json!("anthropic.claude-sonnet-4-5-20250929-v1:0");
    let usage = json!({"inputTokens": 12, "outputTokens": 3, "totalTokens": 15});
    let message = json!({"role": "assistant", "content": [{"text": "Hi."}]});
    let whole = json!({"output": {"message": message}, "stopReason": "end_turn", "usage": usage});
    bedrock.script([step::json(200, &whole)]);
    let reply = post(&gateway, "/v1/chat/completions", &chat);
    assert_eq!(reply.ok().json()["choices"][0]["message"]["content"], "Hi.");
    let seen = bedrock.seen().remove(0);
    assert!(seen.target.ends_with("/converse"), "{}", seen.target);
    assert_eq!(seen.header("authorization"), Some("Bearer sk-bedrock-own"));
    assert_eq!(seen.json()["messages"][0]["content"][0]["text"], "I am [REDACTED_EMAIL]");

    chat["stream"] = json!(true);
    let frames = [
        frame("messageStart", &json!({"role": "assistant"})),
        frame(
            "contentBlockDelta",
            &json!({"contentBlockIndex": 0, "delta": {"text": "Hi."}, "p": "ab"}),
        ),
        frame("contentBlockStop", &json!({"contentBlockIndex": 0})),
        frame("messageStop", &json!({"stopReason": "end_turn"})),
        frame("metadata", &json!({"usage": usage, "metrics": {"latencyMs": 5}})),
    ];
    let kind = [("content-type", "application/vnd.amazon.eventstream")];
    bedrock.script([step::with_headers(200, &kind, &frames.concat())]);
    let reply = post(&gateway, "/v1/chat/completions", &chat);
    assert_eq!(data(reply.ok()).last().map(String::as_str), Some("[DONE]"), "{}", reply.text());
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")));
    assert!(bedrock.seen().pop().unwrap().target.ends_with("/converse-stream"));
    for row in gateway.rows(2) {
        assert_eq!([&row["input_tokens"], &row["output_tokens"]], [12, 3], "{row:?}");
        assert_eq!(row["translated"], "chat>bedrock");
    }
}

#[test]
fn a_ticket_is_classified_by_a_provider_of_another_format() {
    let gemini = Provider::start();
    let gateway = gateway(&[("gemini", &gemini)], "");
    let intent = json!({"category": "billing", "priority": "high", "confidence": 0.9}).to_string();
    gemini.always(step::json(200, &generated(&intent, true)));
    let ticket = json!({"title": "Refund", "body": "Charged twice, write to jane@example.com"});
    let reply = post(&gateway, "/api/ai/intent", &ticket);
    assert_eq!(reply.ok().json()["category"], "billing", "{}", reply.text());
    let seen = gemini.seen().remove(0);
    assert!(seen.target.contains(":generateContent") && !seen.text().contains("jane@"));
    let row = gateway.only_row();
    assert_eq!([&row["input_tokens"], &row["output_tokens"]], [30, 4], "{row:?}");
}

#[test]
fn azure_is_called_below_its_resource_with_its_own_header() {
    let azure = Provider::start();
    let providers = format!(
        "azure: {{kind: azure_openai, base_url: \"http://{}/\", api_key: sk-azure-own}}",
        azure.address
    );
    let gateway = Setup::towards(azure.address)
        .section("providers", &providers)
        .section("routing", "default: [azure]")
        .section("intent", "{provider: azure}")
        .start();
    post(&gateway, "/v1/chat/completions", &chat("hi")).ok();
    let seen = azure.seen().remove(0);
    assert_eq!(seen.target, "/openai/v1/chat/completions");
    assert_eq!(seen.header("api-key"), Some("sk-azure-own"));
    assert!(seen.header("authorization").is_none());
}

#[test]
fn a_call_of_responses_is_answered_by_anthropic() {
    let anthropic = Provider::start();
    let gateway = gateway(&[("anthropic", &anthropic)], "");
    let mut body = json!({"model": "claude-x", "input": "I am jane@example.com"});
    anthropic.script([step::json(200, &message("Hello."))]);
    let reply = post(&gateway, "/v1/responses", &body);
    let answer = reply.ok().json();
    assert_eq!([&answer["object"], &answer["status"]], ["response", "completed"]);
    assert_eq!(answer["output"][0]["content"][0]["text"], "Hello.");
    assert_eq!(answer["store"], false);
    assert!(!anthropic.seen()[0].text().contains("jane@"));

    let all: Vec<Value> = [started()].into_iter().chain(text("Hel")).chain(ended()).collect();
    anthropic.script([stream_of(&all)]);
    body["stream"] = json!(true);
    let reply = post(&gateway, "/v1/responses", &body);
    let names: Vec<&str> =
        reply.ok().text().lines().filter_map(|l| l.strip_prefix("event: ")).collect();
    assert_eq!(names.first().copied(), Some("response.created"), "{}", reply.text());
    assert_eq!(names.last().copied(), Some("response.completed"), "{}", reply.text());
    for row in gateway.rows(2) {
        assert_eq!([&row["translated"], &row["outcome"]], ["responses>anthropic", "ok"]);
    }
}

#[test]
fn a_server_with_chat_alone_answers_responses() {
    let local = Provider::start();
    let providers = format!(
        "local: {{kind: openai, base_url: \"http://{}/v1\", wires: [chat], \
         max_tokens_field: max_tokens}}",
        local.address
    );
    let gateway = Setup::towards(local.address)
        .section("providers", &providers)
        .section("routing", "default: [local]")
        .section("intent", "{provider: local}")
        .start();
    let body = json!({"model": "llama", "input": "hi", "max_output_tokens": 40});
    let reply = post(&gateway, "/v1/responses", &body);
    assert_eq!(reply.ok().json()["output"][0]["content"][0]["text"], "hello");
    let seen = local.seen().remove(0);
    assert_eq!(seen.target, "/v1/chat/completions");
    assert_eq!(seen.json()["max_tokens"], 40);
}

/// The items of an answer can be sent back in the next turn, also thoughts without opaque data.
#[test]
fn items_of_a_translated_answer_come_back() {
    let gemini = Provider::start();
    let gateway = gateway(&[("gemini", &gemini)], "");
    let mut thinking = generated("Hi.", true);
    let thought = json!({"text": "Hm", "thought": true});
    thinking["candidates"][0]["content"]["parts"] = json!([thought, {"text": "Hi."}]);
    let chunk = format!("data: {thinking}\r\n\r\n");
    let kind = [("content-type", "text/event-stream")];
    let stream = step::with_headers(200, &kind, chunk.as_bytes());
    gemini.script([step::json(200, &thinking), stream]);
    let mut body = json!({"model": "gemini-2.5-flash", "store": false,
        "reasoning": {"effort": "low", "summary": "auto"}, "input": [{"role": "user", "content": "hi"}]});
    let whole = post(&gateway, "/v1/responses", &body).ok().json();
    body["stream"] = json!(true);
    let reply = post(&gateway, "/v1/responses", &body);
    let last = data(reply.ok()).pop().expect("an event");
    let streamed = serde_json::from_str::<Value>(&last).expect("JSON")["response"].take();
    gemini.always(step::json(200, &generated("Yes.", true)));
    body["stream"] = json!(false);
    for answer in [whole, streamed] {
        let items = answer["output"].as_array().expect("items");
        assert_eq!([&items[0]["type"], &items[1]["type"]], ["reasoning", "message"]);
        let mut input = vec![json!({"role": "user", "content": "hi"})];
        input.extend(items.iter().cloned());
        input.push(json!({"role": "user", "content": "sure?"}));
        body["input"] = json!(input);
        let reply = post(&gateway, "/v1/responses", &body);
        assert_eq!(reply.ok().json()["output"][0]["content"][0]["text"], "Yes.");
    }
    assert_eq!(gemini.seen().len(), 4);
}

#[test]
fn tokens_of_messages_are_counted_by_openai() {
    let openai = Provider::start();
    let gateway = gateway(&[("openai", &openai)], "");
    openai.always(step::json(200, &json!({"object": "response.input_tokens", "input_tokens": 17})));
    let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "I am jane@example.com"}]});
    let reply = post(&gateway, "/v1/messages/count_tokens", &body);
    assert_eq!(reply.ok().json(), json!({"input_tokens": 17}));
    let seen = openai.seen().remove(0);
    assert_eq!(seen.target, "/v1/responses/input_tokens");
    assert!(seen.text().contains("[REDACTED_EMAIL]") && !seen.text().contains("jane@"));
}
