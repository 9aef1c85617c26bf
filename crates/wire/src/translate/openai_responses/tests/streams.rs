//! Streams: every one holds what the accumulators of the official clients demand, and its last
//! event has the whole answer.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::{Case, cases};
use super::{ANTHROPIC, CHAT, GEMINI, context, parsed, valid};
use crate::translate::tests::cells::there_and_back::fixed;
use crate::translate::{Bounds, Context, Failure, Stream, answer};

const BOUNDS: Bounds = Bounds { event_bytes_max: 1 << 20, held_bytes_max: 1 << 20 };

/// Pieces of a text, cut at characters.
fn pieces(text: &str) -> Vec<&str> {
    let middle = text.floor_char_boundary(text.len() / 2);
    let (first, second) = text.split_at(middle);
    [first, second].into_iter().filter(|piece| !piece.is_empty()).collect()
}

/// The provider's stream of an answer.
fn stream_of(case: &Case) -> String {
    let body = case.body();
    match case.format {
        CHAT => chat_stream(&body),
        GEMINI => gemini_stream(&body),
        _ => anthropic_stream(&body),
    }
}

fn chat_stream(body: &Value) -> String {
    let choice = &body["choices"][0];
    let message = &choice["message"];
    let mut chunks = vec![(json!({"role": "assistant", "content": ""}), Value::Null)];
    for field in ["reasoning_content", "reasoning", "content", "refusal"] {
        for piece in pieces(message[field].as_str().unwrap_or_default()) {
            // The text of these cases is one character.
            let is_content = field == "content";
            let logprobs = if is_content { choice["logprobs"].clone() } else { Value::Null };
            chunks.push((json!({field: piece}), logprobs));
        }
    }
    for (index, call) in message["tool_calls"].as_array().into_iter().flatten().enumerate() {
        let mut first = call.clone();
        first["index"] = index.into();
        let arguments = call["function"]["arguments"].as_str().unwrap_or_default();
        first["function"]["arguments"] = "".into();
        chunks.push((json!({"tool_calls": [first]}), Value::Null));
        for piece in pieces(arguments) {
            let call = json!({"index": index, "function": {"arguments": piece}});
            chunks.push((json!({"tool_calls": [call]}), Value::Null));
        }
    }
    let mut stream = String::new();
    let mut push = |chunk: Value| stream.push_str(&format!("data: {chunk}\n\n"));
    for (delta, logprobs) in chunks {
        let choice =
            json!({"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": null});
        push(json!({"model": "served", "choices": [choice]}));
    }
    let last = json!({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]});
    push(json!({"model": "served", "choices": [last]}));
    push(json!({"model": "served", "choices": [], "usage": body["usage"]}));
    stream.push_str("data: [DONE]\n\n");
    stream
}

fn gemini_stream(body: &Value) -> String {
    let candidate = &body["candidates"][0];
    let mut stream = String::new();
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        let content = json!({"role": "model", "parts": [part]});
        let chunk = json!({"candidates": [{"content": content}], "modelVersion": "served"});
        stream.push_str(&format!("data: {chunk}\n\n"));
    }
    let last = json!({"candidates": [{"finishReason": candidate["finishReason"]}],
        "modelVersion": "served", "usageMetadata": body["usageMetadata"]});
    stream.push_str(&format!("data: {last}\n\n"));
    stream
}

fn anthropic_stream(body: &Value) -> String {
    let mut stream = String::new();
    let mut push = |name: &str, mut data: Value| {
        data["type"] = name.into();
        stream.push_str(&format!("event: {name}\ndata: {data}\n\n"));
    };
    let start = json!({"model": "served", "usage": {"input_tokens": 20, "output_tokens": 1,
        "cache_read_input_tokens": 80, "cache_creation_input_tokens": 0}});
    push("message_start", json!({"message": start}));
    push("ping", json!({}));
    for (index, block) in body["content"].as_array().into_iter().flatten().enumerate() {
        let (mut empty, deltas) = begun(block);
        empty["type"] = block["type"].clone();
        push("content_block_start", json!({"index": index, "content_block": empty}));
        for delta in deltas {
            push("content_block_delta", json!({"index": index, "delta": delta}));
        }
        push("content_block_stop", json!({"index": index}));
    }
    let delta = json!({"stop_reason": body["stop_reason"], "stop_sequence": null,
        "stop_details": body["stop_details"]});
    let usage = json!({"output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}});
    push("message_delta", json!({"delta": delta, "usage": usage}));
    push("message_stop", json!({}));
    stream
}

/// The beginning of a block, and its deltas.
fn begun(block: &Value) -> (Value, Vec<Value>) {
    let deltas = |kind: &str, field: &str, text: &str| -> Vec<Value> {
        pieces(text).into_iter().map(|piece| json!({"type": kind, field: piece})).collect()
    };
    let text = |field: &str| block[field].as_str().unwrap_or_default();
    match text("type") {
        "text" => (json!({"text": ""}), deltas("text_delta", "text", text("text"))),
        "thinking" => {
            let mut all = deltas("thinking_delta", "thinking", text("thinking"));
            if !text("signature").is_empty() {
                all.push(json!({"type": "signature_delta", "signature": text("signature")}));
            }
            (json!({"thinking": "", "signature": ""}), all)
        }
        "tool_use" => {
            let input = block["input"].to_string();
            let input = if input == "{}" { "" } else { &input };
            let empty = json!({"id": block["id"], "name": block["name"], "input": {}});
            (empty, deltas("input_json_delta", "partial_json", input))
        }
        _ => (block.clone(), Vec::new()),
    }
}

/// Feeds a stream in chunks of these lengths, over and over.
fn fed(context: &Context, stream: &str, lengths: &[usize], bounds: Bounds) -> Fed {
    let mut translated = Stream::new(context, bounds).expect("a translation");
    let mut out = Vec::new();
    let mut rest = stream.as_bytes();
    let mut failure = None;
    for length in lengths.iter().cycle() {
        if rest.is_empty() || failure.is_some() {
            break;
        }
        let (chunk, after) = rest.split_at((*length).clamp(1, rest.len()));
        failure = translated.push(Bytes::copy_from_slice(chunk), &mut out).err();
        rest = after;
    }
    let failure = failure.or_else(|| translated.end(&mut out).err());
    if let Some(failure) = &failure {
        out.extend(translated.failure_event(failure));
    }
    Fed { out, failure }
}

struct Fed {
    out: Vec<u8>,
    failure: Option<Failure>,
}

#[test]
fn the_last_event_has_the_whole_answer() {
    for case in cases() {
        let context = context(case.format, case.fields);
        let stream = stream_of(&case);
        let fed = fed(&context, &stream, &[stream.len()], BOUNDS);
        assert_eq!(fed.failure, None, "{stream}");
        let last = valid::accumulated(&valid::events(&fed.out));
        let whole = answer(&context, case.body().to_string().as_bytes()).expect("an answer");
        assert_eq!(last.expect("a last event"), parsed(whole.body), "{stream}");
    }
}

#[test]
fn any_split_gives_the_same_bytes() {
    for case in cases() {
        let context = context(case.format, case.fields);
        let stream = stream_of(&case);
        let whole = fed(&context, &stream, &[stream.len()], BOUNDS).out;
        for length in [1, 2, 3, 5, 7, 11, 64, 200] {
            let split = fed(&context, &stream, &[length], BOUNDS).out;
            assert!(split == whole, "{length}: {stream}");
        }
    }
}

proptest! {
    #![proptest_config(fixed(64))]
    #[test]
    fn any_split_of_any_stream(at in any::<prop::sample::Index>(), lengths in prop::collection::vec(1usize..90, 1..20)) {
        let all = cases();
        let case = &all[at.index(all.len())];
        let context = context(case.format, case.fields);
        let stream = stream_of(case);
        let whole = fed(&context, &stream, &[stream.len()], BOUNDS).out;
        prop_assert_eq!(fed(&context, &stream, &lengths, BOUNDS).out, whole);
    }
}

/// A stream that ends too early: the error event, with the next number, and no last event.
#[test]
fn cut_streams_end_with_an_error() {
    for case in cases() {
        let context = context(case.format, case.fields);
        let stream = stream_of(&case);
        for length in (0..stream.len()).step_by(17) {
            let cut = stream.get(..length).unwrap_or_default();
            let fed = fed(&context, cut, &[cut.len().max(1)], BOUNDS);
            let mut events = valid::events(&fed.out);
            if fed.failure.is_none() {
                // What is missing is only what follows the end.
                assert!(valid::accumulated(&events).is_some(), "{cut}");
                continue;
            }
            assert_eq!(fed.failure, Some(Failure::Cut), "{cut}");
            let (name, data) = events.pop().expect("an event");
            assert_eq!((name.as_str(), &data["code"]), ("error", &"provider_unavailable".into()));
            assert_eq!(data["sequence_number"], events.len());
            assert!(valid::accumulated(&events).is_none(), "{cut}");
        }
    }
}

#[test]
fn errors_of_the_provider() {
    let start = r#"event: message_start
data: {"type":"message_start","message":{"model":"m"}}

event: error
data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

"#;
    let chat = "data: {\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"A\"}}]}\n\n\
                data: {\"error\":{\"message\":\"Overloaded\",\"code\":529}}\n\n";
    for (format, stream) in [(ANTHROPIC, start), (CHAT, chat)] {
        let fed = fed(&context(format, ""), stream, &[stream.len()], BOUNDS);
        assert!(matches!(fed.failure, Some(Failure::Provider(_))));
        let mut events = valid::events(&fed.out);
        let (name, data) = events.pop().expect("an event");
        assert_eq!((name.as_str(), &data["message"]), ("error", &"Overloaded".into()));
        assert_eq!(
            (&data["sequence_number"], &data["code"]),
            (&events.len().into(), &"overloaded".into())
        );
        assert!(valid::accumulated(&events).is_none());
    }
}

/// The answer is held for the last event; beyond the bound there is none.
#[test]
fn answers_beyond_the_bound() {
    let case = Case {
        format: CHAT,
        fields: "",
        content: json!({"role": "assistant", "content": "word ".repeat(1000)}),
        end: json!({"finish_reason": "stop"}),
        items: vec![],
        status: "completed",
    };
    let context = context(CHAT, "");
    let stream = stream_of(&case);
    for (held_bytes_max, fits) in [(6_000, true), (4_000, false)] {
        let bounds = Bounds { held_bytes_max, ..BOUNDS };
        let fed = fed(&context, &stream, &[100], bounds);
        assert_eq!(fed.failure.is_none(), fits);
        let mut events = valid::events(&fed.out);
        if !fits {
            let (name, data) = events.pop().expect("an event");
            assert_eq!(
                (name.as_str(), &data["code"]),
                ("error", &"provider_answer_invalid".into())
            );
        }
        assert_eq!(valid::accumulated(&events).is_some(), fits);
    }
}

/// Text waits for its log probabilities only if they were asked for.
#[test]
fn log_probabilities_stand_with_their_text() {
    let entry =
        |token: &str| json!({"token": token, "logprob": -0.5, "bytes": null, "top_logprobs": []});
    let chunk = |token: &str| {
        let choice = json!({"index": 0, "delta": {"content": token},
            "logprobs": {"content": [entry(token)]}, "finish_reason": null});
        format!("data: {}\n\n", json!({"model": "m", "choices": [choice]}))
    };
    let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let stream = [chunk("A"), chunk("B"), format!("data: {end}\n\ndata: [DONE]\n\n")].concat();
    for (fields, expected, all) in [
        (
            r#","top_logprobs":1"#,
            vec![json!([entry("A")]), json!([entry("B")])],
            json!([entry("A"), entry("B")]),
        ),
        ("", vec![json!([]), json!([])], json!([])),
    ] {
        let fed = fed(&context(CHAT, fields), &stream, &[9], BOUNDS);
        let events = valid::events(&fed.out);
        let deltas = events.iter().filter(|(name, _)| name == "response.output_text.delta");
        let seen: Vec<Value> = deltas.map(|(_, data)| data["logprobs"].clone()).collect();
        assert_eq!(seen, expected);
        let done = events.iter().find(|(name, _)| name == "response.output_text.done");
        let done = &done.expect("an end of the text").1["logprobs"];
        assert_eq!(*done, all);
    }
}
