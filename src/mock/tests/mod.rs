//! The simulated provider over real sockets: the bytes that arrive.

mod bedrock;
mod kinds;
mod refusals;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

pub(crate) async fn provider() -> (SocketAddr, Handle) {
    start(Options::default()).await.unwrap()
}

/// Sends one call; the connection as it is once the request is written.
async fn send(address: SocketAddr, path: &str, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (method, body) =
        if body.is_null() { ("GET", String::new()) } else { ("POST", body.to_string()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

/// Status, head and decoded body, and whether the body ended as its framing says.
async fn ask(address: SocketAddr, path: &str, body: &Value) -> (u16, String, String, bool) {
    let mut raw = vec![];
    // A reset is an end too; what came before it counts.
    let _ = send(address, path, body).await.read_to_end(&mut raw).await;
    let text = String::from_utf8(raw).unwrap();
    let Some((head, rest)) = text.split_once("\r\n\r\n") else {
        return (0, String::new(), text, false);
    };
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    if !head.contains("transfer-encoding: chunked") {
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        return (status, head.into(), rest.into(), rest.len() == length.parse::<usize>().unwrap());
    }
    let (mut rest, mut decoded) = (rest, String::new());
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            return (status, head.into(), decoded, true);
        }
        let Some(chunk) = after.get(..size) else { break };
        decoded.push_str(chunk);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    (status, head.into(), decoded, false)
}

/// Status, head and body of one call with these header lines.
pub(crate) async fn call(
    address: SocketAddr,
    path: &str,
    headers: &str,
    body: &Value,
) -> (u16, String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let (method, body) =
        if body.is_null() { ("GET", String::new()) } else { ("POST", body.to_string()) };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: \
            {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut raw = vec![];
    // A cut is an end, too.
    let _ = stream.read_to_end(&mut raw).await;
    let Some(end) = raw.windows(4).position(|window| window == b"\r\n\r\n") else {
        return (0, String::new(), raw);
    };
    let head = String::from_utf8(raw[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let mut rest = &raw[end + 4..];
    if !head.contains("transfer-encoding: chunked") {
        return (status, head, rest.to_vec());
    }
    let mut decoded = vec![];
    while let Some(line) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..line]).unwrap(), 16).unwrap();
        rest = &rest[line + 2..];
        let (chunk, after) = rest.split_at(size.min(rest.len()));
        decoded.extend_from_slice(chunk);
        rest = after.get(2..).unwrap_or_default();
    }
    (status, head, decoded)
}

async fn json_of(address: SocketAddr, path: &str, body: &Value) -> Value {
    let (status, _, text, whole) = ask(address, path, body).await;
    assert!(status == 200 && whole, "{status} {text}");
    serde_json::from_str(&text).unwrap()
}

fn chat(text: &str) -> Value {
    json!({"model": "gpt-4o-mini", "messages": [{"role": "user", "content": text}]})
}

/// The data of each event, parsed; `[DONE]` as a string.
pub(crate) fn events(stream: &str) -> Vec<Value> {
    let data = |event: &str| {
        let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_owned();
        if data == "[DONE]" { json!(data) } else { serde_json::from_str(&data).unwrap() }
    };
    assert!(stream.ends_with("\n\n"), "{stream}");
    stream.trim_end().split("\n\n").map(data).collect()
}

#[tokio::test]
async fn chat_answers_and_counts() {
    let (address, provider) = provider().await;
    let answer = json_of(address, "/v1/chat/completions", &chat("[[mock:echo]] héllo")).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "héllo");
    assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    assert_eq!(answer["usage"]["completion_tokens"], 2);
    let mut several = chat("[[mock:say=four]]");
    several["n"] = json!(3);
    let answer = json_of(address, "/chat/completions", &several).await;
    assert_eq!(answer["choices"].as_array().unwrap().len(), 3);
    assert_eq!(answer["choices"][2]["index"], 2);
    assert_eq!(answer["usage"]["completion_tokens"], 3);
    assert_eq!(provider.calls(), 2);
    provider.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn chat_streams_with_usage_only_where_asked() {
    let (address, _provider) = provider().await;
    for asked in [false, true] {
        let mut body = chat("[[mock:chunks=5]]");
        body["stream"] = json!(true);
        body["n"] = json!(2);
        if asked {
            body["stream_options"] = json!({"include_usage": true});
        }
        let (_, head, stream, whole) = ask(address, "/v1/chat/completions", &body).await;
        assert!(whole && head.contains("text/event-stream"), "{head}");
        let mut events = events(&stream);
        assert_eq!(events.pop().unwrap(), "[DONE]");
        let usage = asked.then(|| events.pop().unwrap());
        // Two choices, each with a role, five words and an end.
        assert_eq!(events.len(), 2 * 7);
        assert!(
            events.iter().all(|event| event.as_object().unwrap().contains_key("usage") == asked)
        );
        assert!(events.iter().all(
            |event| event["usage"].is_null() && event["choices"].as_array().unwrap().len() == 1
        ));
        if let Some(usage) = usage {
            assert_eq!(usage["choices"], json!([]));
            assert!(usage["usage"]["total_tokens"].as_u64().unwrap() > 0);
        }
        let second = events.iter().filter(|event| event["choices"][0]["index"] == 1);
        let text: String =
            second.filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, "the gateway passes tokens along ");
    }
}

#[tokio::test]
async fn tools_are_called_in_every_dialect() {
    let (address, _provider) = provider().await;
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let question = "What is the weather in Paris?";
    let mut body = chat(question);
    body["tools"] =
        json!([{"type": "function", "function": {"name": "get_weather", "parameters": schema}}]);
    let answer = json_of(address, "/v1/chat/completions", &body).await;
    assert_eq!(answer["choices"][0]["finish_reason"], "tool_calls");
    let call = answer["choices"][0]["message"]["tool_calls"][0].clone();
    assert_eq!(
        call["function"],
        json!({"name": "get_weather", "arguments": r#"{"city":"Paris"}"#})
    );
    body["messages"].as_array_mut().unwrap().extend([
        json!({"role": "assistant", "content": null, "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": call["id"], "content": "18 degrees"}),
    ]);
    let answer = json_of(address, "/v1/chat/completions", &body).await;
    assert_eq!(answer["choices"][0]["message"]["content"], "The tool answered: 18 degrees");

    let body = json!({"model": "gpt-4o", "input": question,
        "tools": [{"type": "function", "name": "get_weather", "parameters": schema}]});
    let answer = json_of(address, "/v1/responses", &body).await;
    assert_eq!(answer["output"][0]["arguments"], r#"{"city":"Paris"}"#);

    let mut body = json!({"model": "claude-sonnet-4-5", "max_tokens": 100, "messages": chat(question)["messages"],
        "tools": [{"name": "get_weather", "input_schema": schema}]});
    let answer = json_of(address, "/v1/messages", &body).await;
    assert_eq!(answer["stop_reason"], "tool_use");
    assert_eq!(answer["content"][0]["input"], json!({"city": "Paris"}));
    body["stream"] = json!(true);
    let (_, _, stream, _) = ask(address, "/v1/messages", &body).await;
    let parts = events(&stream);
    let arguments: String =
        parts.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect();
    assert_eq!(arguments, r#"{"city":"Paris"}"#);
}

#[tokio::test]
async fn responses_and_messages_stream_their_own_events() {
    let (address, _provider) = provider().await;
    let body = json!({"model": "gpt-4o", "input": "[[mock:say=one two]]", "stream": true});
    let (_, _, stream, whole) = ask(address, "/v1/responses", &body).await;
    assert!(whole && !stream.contains("[DONE]"));
    let got = events(&stream);
    let names: Vec<&str> = got.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = "created in_progress output_item.added content_part.added output_text.delta \
        output_text.delta \
        output_text.done content_part.done output_item.done completed";
    assert_eq!(names.join(" ").replace("response.", ""), expected);
    assert!(got.iter().enumerate().all(|(n, event)| event["sequence_number"] == json!(n)));
    assert!(names.iter().all(|name| stream.contains(&format!("event: {name}\ndata: "))));
    assert_eq!(got[9]["response"]["output"][0]["content"][0]["text"], "one two");
    assert_eq!(got[9]["response"]["usage"]["output_tokens"], 2);

    let body = json!({"model": "claude", "max_tokens": 9, "stream": true,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "[[mock:say=one \
            two,cached=3,input=10]]"}]}]});
    let (_, _, stream, _) = ask(address, "/v1/messages", &body).await;
    let got = events(&stream);
    let names: Vec<&str> = got.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = "message_start content_block_start ping content_block_delta content_block_delta \
        content_block_stop message_delta message_stop";
    assert_eq!(names.join(" "), expected);
    // `say` takes the rest of its marker, so the usage items behind it are text.
    assert_eq!(got[4]["delta"]["text"], "two,cached=3,input=10");
}

#[tokio::test]
async fn intents_are_classified_over_the_wire() {
    let (address, _provider) = provider().await;
    let system = "Classify. Allowed categories: billing, technical, account, other. Allowed \
        priorities: low, medium, \
        high, vip. Answer JSON with category, priority, confidence.";
    let ticket = json!({"title": "Refund", "body": "urgent, charged twice"}).to_string();
    let mut body = json!({"model": "gpt-4o-mini", "messages": [
        {"role": "system", "content": system}, {"role": "user", "content": ticket}]});
    let answer = json_of(address, "/v1/chat/completions", &body).await;
    let content: Value =
        serde_json::from_str(answer["choices"][0]["message"]["content"].as_str().unwrap()).unwrap();
    assert_eq!((&content["category"], &content["priority"]), (&json!("billing"), &json!("high")));
    // A marker inside the ticket is JSON in a string in JSON, and still counts.
    body["messages"][1]["content"] =
        json!(json!({"title": "x", "body": r#"[[mock:say={"category":"no"}]]"#}).to_string());
    let answer = json_of(address, "/v1/chat/completions", &body).await;
    assert_eq!(answer["choices"][0]["message"]["content"], r#"{"category":"no"}"#);
}

#[tokio::test]
async fn embeddings_come_in_both_encodings() {
    use base64::Engine;
    let (address, _provider) = provider().await;
    let mut body =
        json!({"model": "text-embedding-3-small", "input": ["a", "b", "a"], "dimensions": 8});
    let floats = json_of(address, "/v1/embeddings", &body).await;
    let vector = |n: usize| floats["data"][n]["embedding"].as_array().unwrap().clone();
    assert!(vector(0) == vector(2) && vector(0) != vector(1) && vector(0).len() == 8);
    let length: f64 = vector(0).iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
    assert!((length - 1.0).abs() < 1e-5, "{length}");
    body["encoding_format"] = json!("base64");
    let packed = json_of(address, "/v1/embeddings", &body).await;
    let bytes = base64::prelude::BASE64_STANDARD
        .decode(packed["data"][1]["embedding"].as_str().unwrap())
        .unwrap();
    let unpacked: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let floats: Vec<f32> = serde_json::from_value(json!(vector(1))).unwrap();
    assert_eq!(unpacked, floats);
}

#[tokio::test]
async fn other_endpoints_answer_and_mistakes_are_told() {
    let (address, _provider) = provider().await;
    let fine = [
        ("/v1/models", Value::Null),
        ("/v1/models/gpt-4o", Value::Null),
        ("/v1/moderations", json!({"input": "hello"})),
        ("/v1/images/generations", json!({"prompt": "a cat"})),
        ("/v1/audio/speech", json!({"input": "hello"})),
        ("/v1/completions", json!({"model": "m", "prompt": "hello", "max_tokens": 2})),
        ("/v1/completions", json!({"model": "m", "prompt": ["hello"], "stream": true})),
        (
            "/v1/messages/count_tokens",
            json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]}),
        ),
    ];
    for (path, body) in fine {
        let mut raw = vec![];
        send(address, path, &body).await.read_to_end(&mut raw).await.unwrap();
        assert!(raw.starts_with(b"HTTP/1.1 200 "), "{path}");
    }
    let wrong = [
        (404, "/v1/models/none", Value::Null),
        (404, "/v1/nothing", json!({})),
        (400, "/v1/chat/completions", json!({"messages": [{"role": "user", "content": "x"}]})),
        (400, "/v1/chat/completions", json!({"model": "m", "messages": []})),
        (400, "/v1/chat/completions", json!([])),
        (
            400,
            "/v1/chat/completions",
            json!({"model": "m", "messages": [{}], "stream_options": {}}),
        ),
        (400, "/v1/chat/completions", chat("[[mock:statsu=1]]")),
        (400, "/v1/embeddings", json!({"model": "m", "input": []})),
    ];
    for (expected, path, body) in wrong {
        let (status, _, text, _) = ask(address, path, &body).await;
        let error: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(status, expected, "{path} {body}");
        assert!(error["error"]["message"].is_string(), "{text}");
    }
}

#[tokio::test]
async fn faults_are_played() {
    let (address, provider) = provider().await;
    let path = "/v1/chat/completions";
    let marker = "[[mock:status=429,times=2,retry_after=7,should_retry=false,code=slow_down]]";
    for expected in [429, 429, 200] {
        let (status, head, text, _) = ask(address, path, &chat(marker)).await;
        assert_eq!(status, expected);
        if expected == 429 {
            assert!(
                head.contains("retry-after: 7") && head.contains("x-should-retry: false"),
                "{head}"
            );
            assert!(text.contains("slow_down"), "{text}");
        }
    }
    let (status, _, text, _) = ask(address, "/v1/messages", &chat("[[mock:status=529]]")).await;
    assert!(status == 529 && text.contains("overloaded_error"), "{text}");

    assert_eq!(ask(address, path, &chat("[[mock:reset]]")).await.0, 0);
    let (status, _, text, whole) = ask(address, path, &chat("[[mock:cut]]")).await;
    assert!(status == 200 && !whole && text.starts_with('{') && !text.ends_with('}'), "{text}");

    let mut body = chat("[[mock:cut,chunks=10]]");
    body["stream"] = json!(true);
    let (status, _, text, whole) = ask(address, path, &body).await;
    assert!(
        status == 200 && !whole && text.contains("data: {") && !text.ends_with("\n\n"),
        "{text}"
    );

    // A stall: half the stream comes, and nothing more until the caller leaves.
    let mut body = chat("[[mock:stall,chunks=10]]");
    body["stream"] = json!(true);
    let mut stream = send(address, path, &body).await;
    let mut seen = String::new();
    while !seen.contains("tokens") {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        assert!(read > 0, "ended after {seen}");
        seen.push_str(std::str::from_utf8(&piece[..read]).unwrap());
    }
    assert!(!seen.contains("[DONE]") && !seen.contains("\r\n0\r\n\r\n"), "{seen}");
    // With a stalled call open the provider still stops.
    let stalled = send(address, path, &chat("[[mock:stall]]")).await;
    provider.stop().await;
    drop(stalled);
}

#[tokio::test]
async fn every_nth_call_fails() {
    let options = Options { fail_every: 3, status: 500, ..Options::default() };
    let (address, _provider) = start(options).await.unwrap();
    let mut statuses = vec![];
    for _ in 0..6 {
        statuses.push(ask(address, "/v1/chat/completions", &chat("x")).await.0);
    }
    assert_eq!(statuses, [200, 200, 500, 200, 200, 500]);
}

/// A call that is a stream.
fn streamed(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body
}

#[tokio::test]
async fn streams_fail_where_they_are_told_to() {
    let (address, _provider) = provider().await;
    let chat_path = "/v1/chat/completions";
    // Two whole events, and how it goes on.
    let (_, _, text, whole) =
        ask(address, chat_path, &streamed("[[mock:unfinished,after=2]]")).await;
    assert!(whole && text.matches("data: {").count() == 2 && text.ends_with("\n\n"), "{text}");
    let (_, _, text, whole) = ask(address, chat_path, &streamed("[[mock:cut,after=2]]")).await;
    assert!(!whole && text.matches("\n\n").count() == 2 && !text.ends_with("\n\n"), "{text}");
    // All of them, and it is cut behind the last.
    let (_, _, text, whole) = ask(address, chat_path, &streamed("[[mock:cut,after=1000]]")).await;
    assert!(!whole && text.ends_with("[DONE]\n\n"), "{text}");
    let mut stalled = send(address, chat_path, &streamed("[[mock:stall,after=0]]")).await;
    let mut head = [0; 15];
    stalled.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    // Told of in the stream, in each endpoint's own way.
    let input = json!({"model": "gpt-4o", "stream": true, "input": "[[mock:error,after=2]]"});
    let mut message = streamed("[[mock:error,after=2,code=x]]");
    message["max_tokens"] = json!(9);
    for (path, body, expected) in [
        (chat_path, streamed("[[mock:error,after=2]]"), "data: {\"error\":{"),
        ("/v1/responses", input, "event: error\ndata: {\"code\":\"server_error\""),
        ("/v1/messages", message, "event: error\ndata: {\"error\":{"),
    ] {
        let (status, _, text, whole) = ask(address, path, &body).await;
        let last = text.trim_end().rsplit("\n\n").next().unwrap();
        assert!(status == 200 && whole && last.starts_with(expected), "{path}: {text}");
        assert_eq!(
            (text.matches("data: ").count(), text.contains("[DONE]")),
            (3, false),
            "{path}: {text}"
        );
        assert!(path != "/v1/responses" || last.contains("\"sequence_number\":2"), "{last}");
    }
}

#[tokio::test]
async fn whole_answers_are_spoiled_too() {
    let (address, _provider) = provider().await;
    let path = "/v1/chat/completions";
    let (status, head, text, whole) = ask(address, path, &chat("[[mock:page,status=502]]")).await;
    assert!(
        status == 502
            && whole
            && head.contains("content-type: text/html")
            && text.starts_with("<html>"),
        "{text}"
    );
    let (status, _, text, whole) = ask(address, path, &chat("[[mock:unfinished]]")).await;
    assert!(status == 200 && whole && serde_json::from_str::<Value>(&text).is_err(), "{text}");
    let (status, _, text, _) = ask(address, path, &chat("[[mock:error]]")).await;
    assert!(status == 500 && text.contains("server_error"), "{text}");
    let (status, head, ..) =
        ask(address, path, &chat("[[mock:status=429,retry_after_ms=250]]")).await;
    assert!(status == 429 && head.contains("retry-after-ms: 250"), "{head}");
    // In single bytes it is the same answer.
    let (_, _, text, whole) = ask(address, path, &chat("[[mock:split=1,say=Grüße]]")).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert!(whole && answer["choices"][0]["message"]["content"] == "Grüße", "{text}");
    let split = streamed("[[mock:split=1,say=Grüße]]");
    let mut raw = vec![];
    send(address, path, &split).await.read_to_end(&mut raw).await.unwrap();
    let raw = String::from_utf8_lossy(&raw).into_owned();
    assert!(raw.contains("\r\n1\r\nd\r\n1\r\na\r\n"), "{raw}");
}

#[tokio::test]
async fn a_flag_is_a_marker_for_every_call() {
    let path = "/v1/chat/completions";
    let status_of = async |options: Options, calls: usize| {
        let (address, _provider) = start(options).await.unwrap();
        let mut seen = vec![];
        for _ in 0..calls {
            let (status, _, _, whole) = ask(address, path, &chat("hi")).await;
            seen.push(if whole { status } else { 0 });
        }
        seen
    };
    let fault = |fault: &str, fail_every| Options {
        fault: fault.to_owned(),
        fail_every,
        ..Options::default()
    };
    assert_eq!(status_of(fault("status=500,times=3", 0), 5).await, [500, 500, 500, 200, 200]);
    assert_eq!(status_of(fault("cut", 2), 4).await, [200, 0, 200, 0]);
    // A call's own marker goes before it.
    let (address, _provider) = start(fault("status=500", 0)).await.unwrap();
    assert_eq!(ask(address, path, &chat("[[mock:status=429]]")).await.0, 429);
}
