//! Streamed answers: what the SDKs put together of them, in any chunking, cut anywhere.

use bytes::Bytes;
use serde_json::{Value, json};

use super::answers::context;
use super::valid;
use crate::format::Format::{self, AnthropicMessages, OpenAiChat};
use crate::translate::{Bounds, Failure, Stream};

const BOUNDS: Bounds = Bounds { event_bytes_max: 1 << 16, held_bytes_max: 1 << 16 };

/// What a stream has given, and how it ended.
pub(crate) struct Seen {
    pub(crate) text: String,
    pub(crate) end: Result<(), Failure>,
    pub(crate) stream: Stream,
}

/// Runs a stream in chunks of this many bytes.
pub(crate) fn run(caller: Format, target: Format, body: &str, chunk_bytes: usize) -> Seen {
    let mut stream = Stream::new(&context(caller, target), BOUNDS).expect("a translation");
    let mut out = Vec::new();
    let mut end = Ok(());
    for chunk in body.as_bytes().chunks(chunk_bytes) {
        end = stream.push(Bytes::copy_from_slice(chunk), &mut out);
        if end.is_err() {
            break;
        }
    }
    let end = end.and_then(|()| stream.end(&mut out));
    Seen { text: String::from_utf8(out).expect("UTF-8"), end, stream }
}

/// Events of `messages` as a stream.
pub(crate) fn messages_stream(events: &[&str]) -> String {
    let name = |event: &str| {
        let value: Value = serde_json::from_str(event).expect(event);
        value["type"].as_str().expect("a type").to_owned()
    };
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", name(event))).collect()
}

pub(crate) fn chat_stream(events: &[&str]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// A streamed chat completion, put together as openai-python does it.
pub(crate) fn join_chat(text: &str) -> Value {
    let mut events = text
        .split_terminator("\n\n")
        .map(|event| event.strip_prefix("data: ").unwrap_or_else(|| panic!("no data: {event:?}")));
    let mut joined =
        json!({"content": "", "refusal": "", "reasoning_content": "", "tool_calls": []});
    let mut ids = Vec::new();
    while let Some(event) = events.next() {
        if event == "[DONE]" {
            assert_eq!(events.next(), None, "something after the end");
            break;
        }
        let chunk: Value = serde_json::from_str(event).expect(event);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        ids.push(chunk["id"].as_str().expect("an id").to_owned());
        let Some(choice) = chunk["choices"].get(0) else {
            valid::chat_usage(&chunk["usage"]);
            joined["usage"] = chunk["usage"].clone();
            continue;
        };
        assert_eq!(joined.get("finish_reason"), None, "text after the reason: {event}");
        if let Some(word) = choice["finish_reason"].as_str() {
            assert!(valid::FINISH_REASONS.contains(&word), "{event}");
            joined["finish_reason"] = word.into();
        }
        for (name, value) in choice["delta"].as_object().expect("a delta") {
            match (name.as_str(), value) {
                ("tool_calls", Value::Array(calls)) => calls.iter().for_each(|call| {
                    join_call(joined["tool_calls"].as_array_mut().expect("a list"), call);
                }),
                ("role", _) => {}
                ("thinking_blocks", list) => {
                    assert!(joined.get("thinking_blocks").is_none(), "blocks come once");
                    joined["thinking_blocks"] = list.clone();
                }
                ("extra_content", extra) => {
                    assert!(joined.get("extra_content").is_none(), "it comes once");
                    joined["extra_content"] = extra.clone();
                }
                (name, value) => {
                    let more = value.as_str().unwrap_or_else(|| panic!("{event}"));
                    let text = joined[name].as_str().expect("text").to_owned();
                    joined[name] = (text + more).into();
                }
            }
        }
    }
    ids.dedup();
    assert_eq!(ids.len(), 1, "one id");
    joined
}

/// Strings that come twice are concatenated.
fn join_call(calls: &mut Vec<Value>, delta: &Value) {
    let index = usize::try_from(delta["index"].as_u64().expect("an index")).expect("small");
    assert!(index <= calls.len(), "dense: {delta}");
    if index == calls.len() {
        calls.push(json!({"id": "", "type": "", "name": "", "arguments": ""}));
    }
    let call = &mut calls[index];
    let mut add = |name: &str, value: &Value| {
        if let Some(more) = value.as_str() {
            call[name] = (call[name].as_str().expect("text").to_owned() + more).into();
        }
    };
    add("id", &delta["id"]);
    add("type", &delta["type"]);
    add("name", &delta["function"]["name"]);
    add("arguments", &delta["function"]["arguments"]);
    add("name", &delta["custom"]["name"]);
    add("arguments", &delta["custom"]["input"]);
    if let Some(extra) = delta.get("extra_content") {
        call["extra_content"] = extra.clone();
    }
}

/// A streamed message, put together as anthropic-python does it.
pub(crate) fn join_message(text: &str) -> Value {
    let mut message = Value::Null;
    let mut open: Option<(usize, String)> = None;
    let mut has_stopped = false;
    for event in text.split_terminator("\n\n") {
        assert!(!has_stopped, "something after the end: {event}");
        let (name, data) = event.split_once('\n').expect("two lines");
        let data: Value =
            serde_json::from_str(data.strip_prefix("data: ").expect("data")).expect(event);
        assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
        let index = data["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        match data["type"].as_str().expect("a type") {
            "message_start" => message = data["message"].clone(),
            "content_block_start" => {
                let content = message["content"].as_array_mut().expect("content");
                assert_eq!((index, open.is_none()), (Some(content.len()), true), "{event}");
                content.push(data["content_block"].clone());
                open = Some((content.len() - 1, String::new()));
            }
            "content_block_delta" => {
                let (at, input) = open.as_mut().expect("an open block");
                assert_eq!(index, Some(*at), "{event}");
                let block = &mut message["content"][*at];
                let delta = &data["delta"];
                let mut add = |name: &str| {
                    let text = block[name].as_str().expect("text").to_owned();
                    block[name] = (text + delta[name].as_str().expect("text")).into();
                };
                match delta["type"].as_str().expect("a type") {
                    "text_delta" => add("text"),
                    "thinking_delta" => add("thinking"),
                    "signature_delta" => block["signature"] = delta["signature"].clone(),
                    "input_json_delta" => {
                        input.push_str(delta["partial_json"].as_str().expect("text"))
                    }
                    other => panic!("{other}"),
                }
            }
            "content_block_stop" => {
                let (at, input) = open.take().expect("an open block");
                assert_eq!(index, Some(at), "{event}");
                let block = &mut message["content"][at];
                if block["type"] == "tool_use" && !input.is_empty() {
                    block["input"] = serde_json::from_str(&input).unwrap_or_else(|_| input.into());
                }
            }
            "message_delta" => {
                valid::messages_usage(&data["usage"]);
                for name in ["stop_reason", "stop_sequence"] {
                    message[name] = data["delta"][name].clone();
                }
                message["usage"] = data["usage"].clone();
            }
            "message_stop" => has_stopped = true,
            other => panic!("{other}"),
        }
    }
    assert!(has_stopped && open.is_none(), "{text}");
    message
}

/// Thinking, text, two calls with split arguments.
pub(crate) const MESSAGE: &[&str] = &[
    r#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":20,"cache_read_input_tokens":5,"output_tokens":1}}}"#,
    r#"{"type":"ping"}"#,
    r#"{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm"}}"#,
    r#"{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"Sg=="}}"#,
    r#"{"type":"content_block_stop","index":0}"#,
    r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Ok \u00e9"}}"#,
    r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"."}}"#,
    r#"{"type":"content_block_stop","index":1}"#,
    r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}"#,
    r#"{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"1e300}"}}"#,
    r#"{"type":"content_block_stop","index":2}"#,
    r#"{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"g","input":{}}}"#,
    r#"{"type":"content_block_stop","index":3}"#,
    r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":30}}"#,
    r#"{"type":"message_stop"}"#,
];

/// The same of chat; the calls are mixed, the usage comes last.
pub(crate) const CHAT: &[&str] = &[
    r#"{"id":"","object":"chat.completion.chunk","model":"","choices":[],"prompt_filter_results":[]}"#,
    r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
    r#"{"choices":[{"index":0,"delta":{"reasoning_content":"Hm"}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"Ok "}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"content":"\u00e9.","tool_calls":null}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{\"b\""}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1e300}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"function":{"arguments":":2}"}}]}}]}"#,
    r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
    r#"{"choices":[],"usage":{"prompt_tokens":25,"completion_tokens":30,"total_tokens":55,"prompt_tokens_details":{"cached_tokens":5}}}"#,
    "[DONE]",
];

#[test]
fn a_message_becomes_chunks() {
    let body = messages_stream(MESSAGE);
    let whole = run(OpenAiChat, AnthropicMessages, &body, body.len());
    whole.end.as_ref().expect("complete");
    let joined = join_chat(&whole.text);
    assert_eq!(joined["reasoning_content"], "Hm");
    assert_eq!(joined["content"], "Ok é.");
    assert_eq!(
        joined["tool_calls"],
        json!([
            {"id": "toolu_1", "type": "function", "name": "f", "arguments": "{\"a\":1e300}"},
            {"id": "toolu_2", "type": "function", "name": "g", "arguments": "{}"}
        ])
    );
    assert_eq!(
        joined["thinking_blocks"],
        json!([{"index": 0, "type": "thinking", "thinking": "Hm", "signature": "Sg=="}])
    );
    assert_eq!(joined["finish_reason"], "tool_calls");
    let usage = &joined["usage"];
    assert_eq!((&usage["prompt_tokens"], &usage["completion_tokens"]), (&25.into(), &30.into()));
    assert!(whole.text.ends_with("data: [DONE]\n\n"));
    let facts = whole.stream.facts();
    assert_eq!(
        (facts.model.as_str(), facts.finish_reason.as_str(), facts.tool_calls),
        ("claude", "tool_use", 2)
    );
    assert_eq!(facts.usage.map(|u| (u.input, u.cached, u.output)), Some((25, 5, 30)));
    assert!(facts.is_complete);
}

#[test]
fn chunks_become_a_message() {
    let body = chat_stream(CHAT);
    let whole = run(AnthropicMessages, OpenAiChat, &body, body.len());
    whole.end.as_ref().expect("complete");
    let message = join_message(&whole.text);
    valid::message(&message);
    assert!(whole.text.contains(r#""partial_json":"1e300}""#), "{}", whole.text);
    let content = message["content"].as_array().expect("content");
    assert_eq!(
        content[0],
        json!({"type": "thinking", "thinking": "Hm", "signature": "tg1.other."})
    );
    assert_eq!(content[1], json!({"type": "text", "text": "Ok é."}));
    assert_eq!((&content[2]["id"], &content[2]["name"]), (&"call_1".into(), &"f".into()));
    assert_eq!(
        content[3],
        json!({"type": "tool_use", "id": "call_2", "name": "g", "input": {"b": 2}})
    );
    assert_eq!(message["stop_reason"], "tool_use");
    let usage = &message["usage"];
    assert_eq!(
        (&usage["input_tokens"], &usage["cache_read_input_tokens"], &usage["output_tokens"]),
        (&20.into(), &5.into(), &30.into())
    );
}

#[test]
fn every_chunking_gives_the_same() {
    for (caller, target, body) in [
        (OpenAiChat, AnthropicMessages, messages_stream(MESSAGE)),
        (AnthropicMessages, OpenAiChat, chat_stream(CHAT)),
        (AnthropicMessages, AnthropicMessages, messages_stream(MESSAGE)),
        (OpenAiChat, OpenAiChat, chat_stream(CHAT)),
    ] {
        for body in [body.clone(), body.replace('\n', "\r\n"), body.replace("data: ", "data:")] {
            let whole = run(caller, target, &body, body.len());
            whole.end.expect("complete");
            for chunk_bytes in (1..40).chain([64, 100, 333]) {
                let cut = run(caller, target, &body, chunk_bytes);
                assert_eq!(cut.text, whole.text, "{chunk_bytes}");
                assert_eq!(cut.end, Ok(()));
            }
        }
    }
}

/// A stream that ends early has no mark of its end, whatever was last.
#[test]
fn a_cut_stream_has_no_end() {
    for (caller, target, events, complete) in [
        // The word for the end counts, whether or not the last event comes.
        (OpenAiChat, AnthropicMessages, MESSAGE, MESSAGE.len() - 1),
        (AnthropicMessages, OpenAiChat, CHAT, CHAT.len() - 2),
    ] {
        for count in 0..=events.len() {
            let body = match target {
                OpenAiChat => chat_stream(&events[..count]),
                _ => messages_stream(&events[..count]),
            };
            let seen = run(caller, target, &body, 50);
            let has_end = seen.text.contains("[DONE]") || seen.text.contains("message_stop");
            assert_eq!(seen.end.is_ok(), count >= complete, "{count}: {:?}", seen.end);
            assert_eq!(has_end, count >= complete, "{count}");
            if count < complete {
                assert_eq!(seen.end, Err(Failure::Cut));
                assert!(
                    !seen.text.contains("finish_reason\":\"") || target == OpenAiChat,
                    "{count}"
                );
            }
        }
    }
    // The end of the last event may be missing, too.
    let body = messages_stream(MESSAGE);
    assert_eq!(run(OpenAiChat, AnthropicMessages, body.trim_end(), 9).end, Ok(()));
}

#[test]
fn errors_inside_a_stream() {
    let start = messages_stream(&MESSAGE[..1]);
    let body = start.clone()
        + &messages_stream(&[
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Busy"}}"#,
        ])
        + &messages_stream(&MESSAGE[1..]);
    let seen = run(OpenAiChat, AnthropicMessages, &body, 20);
    let Err(failure @ Failure::Provider(error)) = &seen.end else { panic!("{:?}", seen.end) };
    assert_eq!((error.status, error.message.as_str()), (529, "Busy"));
    assert_eq!(seen.text.matches("data:").count(), 1, "nothing after it");
    let event = String::from_utf8(seen.stream.failure_event(failure)).expect("UTF-8");
    let data: Value =
        serde_json::from_str(event.trim().strip_prefix("data: ").expect("data")).expect("JSON");
    assert_eq!(
        data["error"],
        json!({"code": "overloaded", "message": "Busy", "param": null, "type": "server_error"})
    );
    // Before anything was said.
    let seen = run(
        AnthropicMessages,
        OpenAiChat,
        "data: {\"error\":{\"message\":\"m\",\"code\":429}}\n\n",
        7,
    );
    let Err(failure @ Failure::Provider(error)) = &seen.end else { panic!("{:?}", seen.end) };
    assert_eq!((seen.text.as_str(), error.status), ("", 429));
    assert_eq!(
        String::from_utf8(seen.stream.failure_event(failure)).expect("UTF-8"),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_\
            error\",\"message\":\"m\"}}\n\n"
    );
}

/// Calls that are cut off stay so.
#[test]
fn cut_calls() {
    let call = r#"{"model":"m","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{\"a\":\"x"}}]}}]}"#;
    let end = |word: &str| format!(r#"{{"choices":[{{"delta":{{}},"finish_reason":"{word}"}}]}}"#);
    let seen =
        run(AnthropicMessages, OpenAiChat, &chat_stream(&[call, &end("length"), "[DONE]"]), 9);
    seen.end.expect("complete");
    let message = join_message(&seen.text);
    assert_eq!(
        (&message["stop_reason"], &message["content"][0]["input"]),
        (&"max_tokens".into(), &"{\"a\":\"x".into())
    );
    // Without the word for a cut, half a call is a failure.
    for word in ["stop", "tool_calls"] {
        let seen =
            run(AnthropicMessages, OpenAiChat, &chat_stream(&[call, &end(word), "[DONE]"]), 9);
        assert!(matches!(seen.end, Err(Failure::Invalid(_))), "{:?}", seen.end);
        assert!(!seen.text.contains("message_stop"));
    }
    // Cut before the arguments: none is not the empty object.
    let mut events = MESSAGE.to_vec();
    events[17] = r#"{"type":"message_delta","delta":{"stop_reason":"max_tokens"},"usage":{"output_tokens":30}}"#;
    let seen = run(OpenAiChat, AnthropicMessages, &messages_stream(&events), 9);
    let joined = join_chat(&seen.text);
    assert_eq!(
        (&joined["finish_reason"], &joined["tool_calls"][1]["arguments"]),
        (&"length".into(), &"".into())
    );
}

/// Streams that break their own rules.
#[test]
fn broken_streams() {
    let chunk = |delta: &str| format!(r#"{{"model":"m","choices":[{{"delta":{delta}}}]}}"#);
    let call = |index: u32, arguments: &str| {
        chunk(&format!(
            r#"{{"tool_calls":[{{"index":{index},"id":"c{index}","function":{{"name":"f","arguments":"{arguments}"}}}}]}}"#
        ))
    };
    let end = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#.to_owned();
    for events in [
        vec!["nope".to_owned()],
        vec![r#"{"choices":[{"index":1,"delta":{"content":"x"}}]}"#.to_owned()],
        vec![call(0, "{}"), call(1, "{}"), call(0, "more")],
        vec![end.clone(), chunk(r#"{"content":"x"}"#)],
        vec![
            chunk(r#"{"tool_calls":[{"index":0,"id":"c","function":{"arguments":"{}"}}]}"#),
            end.clone(),
        ],
        (0..200).map(|index| call(index, "{}")).collect(),
        vec![call(0, "{"), call(1, &"x".repeat(40_000)), call(2, &"x".repeat(40_000))],
        vec!["x".repeat(70_000)],
    ] {
        let texts: Vec<&str> = events.iter().map(String::as_str).collect();
        let seen = run(AnthropicMessages, OpenAiChat, &chat_stream(&texts), 1000);
        assert!(matches!(seen.end, Err(Failure::Invalid(_))), "{:?}: {events:?}", seen.end);
        assert!(!seen.text.contains("message_stop"));
    }
    for (at, event) in [
        (1, r#"{"type":"content_block_stop","index":0}"#),
        (1, r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#),
        (
            1,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"server_tool_use","id":"s","name":"n"}}"#,
        ),
        (
            3,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}"#,
        ),
        (4, r#"{"type":"message_stop"}"#),
        (0, r#"{"type":"message_stop"}"#),
        (1, r#"{"type":"message_start","message":{}}"#),
        (2, r#"{"type":7}"#),
    ] {
        let mut events = MESSAGE.to_vec();
        events.insert(at, event);
        let body: String =
            events.iter().map(|event| format!("event: x\ndata: {event}\n\n")).collect();
        let seen = run(OpenAiChat, AnthropicMessages, &body, 1000);
        assert!(matches!(seen.end, Err(Failure::Invalid(_))), "{:?}: {event}", seen.end);
        assert!(!seen.text.contains("[DONE]"));
    }
}

/// Refusals, filters, hidden thinking, free text, and input at the beginning of a call.
#[test]
fn other_pieces() {
    let refusal = [
        MESSAGE[0],
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"RA=="}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"free","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"input\":\"x \\\"y\\\"\"}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"u","name":"f","input":{"a": 1}}}"#,
        r#"{"type":"content_block_stop","index":2}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"why"}},"usage":{"output_tokens":3}}"#,
        r#"{"type":"message_stop"}"#,
    ];
    let seen = run(OpenAiChat, AnthropicMessages, &messages_stream(&refusal), 11);
    let joined = join_chat(&seen.text);
    assert_eq!(
        (&joined["refusal"], &joined["finish_reason"]),
        (&"why".into(), &"content_filter".into())
    );
    assert_eq!(
        joined["thinking_blocks"],
        json!([{"index": 0, "type": "redacted_thinking", "data": "RA=="}])
    );
    assert_eq!(
        joined["tool_calls"][0],
        json!({"id": "t", "type": "custom", "name": "free", "arguments": "x \"y\""})
    );
    assert_eq!(joined["tool_calls"][1]["arguments"], "{\"a\":1}");
    let refusal = [
        r#"{"model":"m","choices":[{"delta":{"refusal":"No"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"."},"finish_reason":"stop"}]}"#,
    ];
    let message = join_message(&run(AnthropicMessages, OpenAiChat, &chat_stream(&refusal), 5).text);
    assert_eq!(
        (&message["content"], &message["stop_reason"]),
        (&json!([{"type": "text", "text": "No."}]), &"refusal".into())
    );
}

/// Calls with free text, mixed with others.
#[test]
fn calls_with_free_text() {
    let events = [
        r#"{"model":"m","choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","type":"custom","custom":{"name":"free","input":"x \""}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"custom":{"input":"\n\u00e9"}}]}}]}"#,
        r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"id":"d","function":{"name":"f","arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
    ];
    let message = join_message(&run(AnthropicMessages, OpenAiChat, &chat_stream(&events), 5).text);
    assert_eq!(message["content"][0]["input"], json!({"input": "x \"\né"}));
    assert_eq!(message["content"][1]["name"], "f");
    let joined = join_chat(&run(OpenAiChat, OpenAiChat, &chat_stream(&events), 5).text);
    assert_eq!(
        joined["tool_calls"][0],
        json!({"id": "c", "type": "custom", "name": "free", "arguments": "x \"\né"})
    );
}

/// A caller that did not ask for usage gets none.
#[test]
fn usage_is_told_if_it_was_asked_for() {
    let mut context = context(OpenAiChat, AnthropicMessages);
    context.include_usage = false;
    let mut stream = Stream::new(&context, BOUNDS).expect("a translation");
    let mut out = Vec::new();
    stream.push(Bytes::from(messages_stream(MESSAGE)), &mut out).expect("translated");
    stream.end(&mut out).expect("complete");
    let joined = join_chat(&String::from_utf8(out).expect("UTF-8"));
    assert_eq!(joined.get("usage"), None);
}
