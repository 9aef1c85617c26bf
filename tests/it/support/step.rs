//! What the scripted provider does with one request: a list of acts, played in order.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::provider::Seen;

/// One act.
#[derive(Clone)]
pub enum Act {
    /// Write these bytes, by themselves.
    Send(Vec<u8>),
    /// Write what is made of the request.
    Reply(Arc<Made>),
    /// Write these bytes again and again, a little apart, until the caller closes its side.
    Again(Vec<u8>),
    /// Only as the first act: what follows is played as soon as the head of the request is there,
    /// before its body.
    AtHead,
    /// Read so many bytes of the body.
    Take(usize),
    /// Wait until the test says so; go on if it has gone.
    Wait(Arc<Mutex<Receiver<()>>>),
    /// Wait for the caller to close its side.
    Hold,
    /// Close with a reset.
    Reset,
    /// Close.
    Close,
}

/// Bytes, made of a request.
pub type Made = dyn Fn(&Seen) -> Vec<u8> + Send + Sync;

/// The acts for one request. Without an end of its own the connection stays open for the next
/// request.
pub type Step = Vec<Act>;

/// A gate in a script, and the hand that opens it.
pub fn gate() -> (Act, Sender<()>) {
    let (open, wait) = channel();
    (Act::Wait(Arc::new(Mutex::new(wait))), open)
}

fn send(text: impl Into<Vec<u8>>) -> Act {
    Act::Send(text.into())
}

/// A JSON answer with a length.
pub fn json(status: u16, body: &Value) -> Step {
    with_headers(status, &[("content-type", "application/json")], body.to_string().as_bytes())
}

/// Any answer with a length.
pub fn with_headers(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Step {
    let mut bytes = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut bytes = (bytes + "\r\n").into_bytes();
    bytes.extend(body);
    vec![Act::Send(bytes)]
}

/// An error in OpenAI's shape, as the provider says it.
pub fn error(status: u16, code: &str) -> Step {
    json(
        status,
        &json!({"error": {"message": "the provider says no", "type": "x", "param": null, "code": code}}),
    )
}

/// A chat answer that says what `say` makes of the request.
pub fn chat_by(say: impl Fn(&Seen) -> String + Send + Sync + 'static) -> Step {
    vec![Act::Reply(Arc::new(move |seen| bytes_of(chat(&say(seen)))))]
}

/// A chat answer that says `content`, as a stream to those who ask for one.
pub fn as_asked(content: &str) -> Step {
    let (whole, stream) = (bytes_of(chat(content)), bytes_of(sse(&chat_events(&[content], true))));
    let made = move |seen: &Seen| {
        if seen.text().contains("\"stream\":true") { stream.clone() } else { whole.clone() }
    };
    vec![Act::Reply(Arc::new(made))]
}

fn bytes_of(step: Step) -> Vec<u8> {
    let bytes = step
        .into_iter()
        .filter_map(|act| if let Act::Send(bytes) = act { Some(bytes) } else { None });
    bytes.flatten().collect()
}

/// A list of these models to `GET`, a chat answer to everything else.
pub fn with_models(ids: &[&str]) -> Step {
    let model = |id: &&str| json!({"id": id, "object": "model", "created": 1, "owned_by": "x"});
    let data: Vec<Value> = ids.iter().map(model).collect();
    let list = bytes_of(json(200, &json!({"object": "list", "data": data})));
    let chat = bytes_of(chat("hello"));
    let made = move |seen: &Seen| if seen.method == "GET" { list.clone() } else { chat.clone() };
    vec![Act::Reply(Arc::new(made))]
}

/// A plain chat answer with usage 11 + 7.
pub fn chat(content: &str) -> Step {
    json(200, &chat_body(content))
}

/// The same, and the connection ends with it: the next call begins another one.
pub fn chat_closing(content: &str) -> Step {
    let headers = [("content-type", "application/json"), ("connection", "close")];
    let answer = with_headers(200, &headers, chat_body(content).to_string().as_bytes());
    [answer, vec![Act::Close]].concat()
}

/// A plain chat answer, and so many tokens are said to be used.
pub fn chat_using(output_tokens: u64) -> Step {
    let mut body = chat_body("hello");
    body["usage"]["completion_tokens"] = json!(output_tokens);
    body["usage"]["total_tokens"] = json!(11 + output_tokens);
    json(200, &body)
}

pub fn chat_body(content: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18,
            "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}},
    })
}

const SSE_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const SSE_END: &str = "0\r\n\r\n";

fn frame(bytes: &[u8]) -> Act {
    let mut framed = format!("{:x}\r\n", bytes.len()).into_bytes();
    framed.extend(bytes);
    framed.extend(b"\r\n");
    Act::Send(framed)
}

/// A stream in two pieces with a gate between them, then the proper end.
pub fn sse_in_two(first: &[u8], gate: Act, rest: &[u8]) -> Step {
    let mut step = vec![send(SSE_HEAD), frame(first), gate];
    step.extend((!rest.is_empty()).then(|| frame(rest)));
    step.push(send(SSE_END));
    step
}

/// A stream: each event in a chunk and a write of its own, then the proper end.
pub fn sse(events: &[impl AsRef<str>]) -> Step {
    let mut step = sse_open(events);
    step.push(send(SSE_END));
    step
}

/// A stream: each event in a chunk of its own, all of them in one write.
pub fn sse_together(events: &[impl AsRef<str>]) -> Step {
    let chunk = |event: &str| format!("{:x}\r\n{event}\r\n", event.len());
    let chunks: String = events.iter().map(|event| chunk(event.as_ref())).collect();
    vec![send(SSE_HEAD), send(chunks + SSE_END)]
}

/// A stream that has begun; what follows in the script decides how it ends.
pub fn sse_open(events: &[impl AsRef<str>]) -> Step {
    let mut step = vec![send(SSE_HEAD)];
    step.extend(events.iter().map(|event| frame(event.as_ref().as_bytes())));
    step
}

/// More of a stream, and its proper end.
pub fn sse_rest(events: &[impl AsRef<str>]) -> Step {
    let mut step: Step = events.iter().map(|event| frame(event.as_ref().as_bytes())).collect();
    step.push(send(SSE_END));
    step
}

/// The same stream with one byte in each chunk.
pub fn one_byte_per_frame(events: &[impl AsRef<str>]) -> Step {
    let mut step = vec![send(SSE_HEAD)];
    for event in events {
        step.extend(event.as_ref().as_bytes().iter().map(|byte| frame(&[*byte])));
    }
    step.push(send(SSE_END));
    step
}

/// The events, then half of the last one, then the connection is closed.
pub fn cut_mid_event(events: &[impl AsRef<str>]) -> Step {
    let (last, whole) = events.split_last().expect("events");
    let mut step = sse_open(whole);
    let last = last.as_ref().as_bytes();
    step.push(frame(&last[..last.len() / 2]));
    step.push(Act::Close);
    step
}

/// The connection is closed before an answer.
pub fn reset_before_head() -> Step {
    vec![Act::Reset]
}

/// The step, played before the body of the request is read.
pub fn at_head(mut step: Step) -> Step {
    step.insert(0, Act::AtHead);
    step
}

/// Nothing, until the caller leaves.
pub fn silence() -> Step {
    vec![Act::Hold]
}

/// A JSON answer that stops in its middle.
pub fn truncated_json(body: &Value) -> Step {
    let text = body.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        text.len()
    );
    vec![send(head + &text[..text.len() / 2]), Act::Close]
}

/// The events of a chat stream that says `words`; with usage 11 + 7 in an event of its own if
/// `usage`.
pub fn chat_events(words: &[&str], usage: bool) -> Vec<String> {
    let chunk = |choices: Value, usage_value: Option<Value>| {
        let mut chunk = json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
            "model": "gpt-4o-mini-2024-07-18", "choices": choices});
        if usage {
            chunk["usage"] = usage_value.unwrap_or(Value::Null);
        }
        format!("data: {chunk}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
    let mut events =
        vec![chunk(choice(json!({"role": "assistant", "content": ""}), Value::Null), None)];
    events.extend(
        words.iter().map(|word| chunk(choice(json!({"content": word}), Value::Null), None)),
    );
    events.push(chunk(choice(json!({}), json!("stop")), None));
    if usage {
        let counted = json!({"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18});
        events.push(chunk(json!([]), Some(counted)));
    }
    events.push("data: [DONE]\n\n".to_owned());
    events
}
