//! The cost of a translation: requests, answers, and events of a stream.
//!
//!     cargo bench --bench translate
//!
//! Every time is also given as a multiple of a plain parse of the same bytes into a tree and its
//! writing, in the same run: the machine may be slow or busy, the ratio stays.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "it measures the time of the real world")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use tollgate_wire::Format;
use tollgate_wire::translate::{self, Bounds, Call, Operation, Stream, Target};

/// Rounds of one sample; the fastest of several samples counts, since other work only adds time.
const ROUNDS: u32 = 2_000;
const SAMPLES: usize = 9;
/// Pieces of text in the stream.
const PIECES: usize = 200;

/// Nanoseconds of one round.
fn time(mut work: impl FnMut()) -> f64 {
    let sample = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..ROUNDS).for_each(|_| work());
        start.elapsed().as_secs_f64() * 1e9 / f64::from(ROUNDS)
    };
    (0..SAMPLES).map(|_| sample(&mut work)).fold(f64::INFINITY, f64::min)
}

/// Parses into a tree and writes the tree.
fn plain(body: &[u8]) {
    let tree: Value = serde_json::from_slice(body).unwrap_or_default();
    black_box(serde_json::to_vec(&tree).unwrap_or_default());
}

fn call(format: Format) -> Call<'static> {
    Call { format, operation: Operation::Generate, id: "0199-call", created: 1 }
}

fn report(name: &str, bytes: usize, ours: f64, theirs: f64) {
    println!("{name:<34}{bytes:>8}{ours:>10.0}{theirs:>10.0}{:>8.2}", ours / theirs);
}

/// A conversation of 1.5 KiB with a tool, its call and the result.
fn chat_request() -> Vec<u8> {
    let text = "The heron stands in the shallow water and waits. ".repeat(10);
    json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "Answer in one sentence."},
            {"role": "user", "content": text},
            {"role": "assistant", "content": null, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"place\": \"pond\", \"n\": 3}"}}
            ]},
            {"role": "tool", "tool_call_id": "call_1", "content": "a heron\nand two ducks"},
            {"role": "user", "content": [{"type": "text", "text": "And now?"}]}
        ],
        "tools": [{"type": "function", "function": {
            "name": "look", "description": "Looks at a place.",
            "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "Its name"}, "n": {"type": "integer"}}, "required": ["place"]}
        }}],
        "tool_choice": "auto", "temperature": 0.5, "max_tokens": 300, "stream": true,
        "stream_options": {"include_usage": true}
    })
    .to_string()
    .into_bytes()
}

fn requests() {
    let chat = chat_request();
    let anthropic = Target::new(Format::AnthropicMessages, "claude-sonnet-4-5");
    let openai = Target::new(Format::OpenAiChat, "gpt-5");
    let there = translate::request(&call(Format::OpenAiChat), &anthropic, &chat)
        .unwrap_or_else(|refused| panic!("{refused}"));
    let cases = [
        (Format::OpenAiChat, &anthropic, &chat),
        (Format::AnthropicMessages, &openai, &there.body),
    ];
    for (from, target, body) in cases {
        let ours = time(|| {
            let seen = translate::request(&call(from), target, black_box(body));
            black_box(seen.is_ok());
        });
        let name = format!("request {}>{}", from.name(), target.format.name());
        report(&name, body.len(), ours, time(|| plain(black_box(body))));
    }
}

fn streams() {
    let chat = chat_request();
    let anthropic = Target::new(Format::AnthropicMessages, "claude-sonnet-4-5");
    let to_chat = translate::request(&call(Format::OpenAiChat), &anthropic, &chat)
        .unwrap_or_else(|refused| panic!("{refused}"));
    let openai = Target::new(Format::OpenAiChat, "gpt-5");
    let to_messages = translate::request(&call(Format::AnthropicMessages), &openai, &to_chat.body)
        .unwrap_or_else(|refused| panic!("{refused}"));
    let piece = |event: Value| {
        format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or("x"))
    };
    let mut messages = piece(
        json!({"type": "message_start", "message": {"model": "m", "usage": {"input_tokens": 9, "output_tokens": 1}}}),
    );
    messages += &piece(
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
    );
    let mut chunks = String::new();
    for _ in 0..PIECES {
        messages += &piece(
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " heron"}}),
        );
        chunks += &format!(
            "data: {}\n\n",
            json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": " heron"}, "finish_reason": null}]})
        );
    }
    messages += &piece(json!({"type": "content_block_stop", "index": 0}));
    messages += &piece(
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 200}}),
    );
    messages += &piece(json!({"type": "message_stop"}));
    chunks += "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    for (name, context, body) in [
        ("event messages>chat", &to_chat.context, messages),
        ("event chat>messages", &to_messages.context, chunks),
    ] {
        // The pieces come as they do from a socket: some hundred bytes at once.
        let pieces: Vec<Bytes> = body.as_bytes().chunks(700).map(Bytes::copy_from_slice).collect();
        let bounds = Bounds { event_bytes_max: 1 << 20, held_bytes_max: 1 << 20 };
        let mut out = Vec::new();
        let ours = time(|| {
            out.clear();
            let Ok(mut stream) = Stream::new(context, bounds) else { return };
            for piece in &pieces {
                black_box(stream.push(piece.clone(), &mut out).is_ok());
            }
            black_box(stream.end(&mut out).is_ok());
        });
        let theirs = time(|| {
            let data = body.lines().filter_map(|line| line.strip_prefix("data: "));
            data.for_each(|data| plain(black_box(data.as_bytes())));
        });
        let events = PIECES as f64;
        report(name, body.len() / PIECES, ours / events, theirs / events);
    }
}

fn main() {
    println!("{:<34}{:>8}{:>10}{:>10}{:>8}", "", "bytes", "ns", "tree ns", "ratio");
    requests();
    streams();
}
