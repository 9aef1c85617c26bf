//! What holds for every conversation, answer and stream: there and back keeps texts, calls, images
//! and ids; no field is lost without a word; no bytes make a reader panic.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::answers::context;
use super::cells::there_and_back::fixed;
use super::streams::{CHAT, MESSAGE, chat_stream, join_chat, join_message, messages_stream, run};
use super::{translated, valid};
use crate::format::Format::{self, AnthropicMessages, OpenAiChat};
use crate::translate::{Target, answer, json::compact};

/// Text that is not blank, of any characters.
fn text() -> impl Strategy<Value = String> {
    "[a-zé\\\\\"\\n\u{1f600}\u{0}]{0,6}[a-z]"
}

/// Arguments with numbers, nesting and an order of keys of their own.
fn arguments() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("{}".to_owned()),
        Just(r#"{"z":1e300,"a":[1,{"b":null}],"n":12345678901234567890123}"#.to_owned()),
        text().prop_map(|text| json!({"x": text, "a": {"k": 0.1}}).to_string()),
    ]
}

/// One exchange of the conversation: what the user says, and what the model answers.
#[derive(Clone, Debug)]
struct Exchange {
    said: Vec<String>,
    image: Option<String>,
    answer: Option<String>,
    calls: Vec<(String, String)>,
}

fn exchange() -> impl Strategy<Value = Exchange> {
    (
        proptest::collection::vec(text(), 1..3),
        proptest::option::of("[A-Za-z0-9+/]{4,8}"),
        proptest::option::of(text()),
        proptest::collection::vec((arguments(), text()), 0..3),
    )
        .prop_map(|(said, image, answer, calls)| Exchange { said, image, answer, calls })
}

/// The conversation as a request of chat completions; ends with a user message.
fn chat_request(exchanges: &[Exchange], system: &Option<String>) -> String {
    let mut messages: Vec<Value> = Vec::new();
    if let Some(system) = system {
        messages.push(json!({"role": "system", "content": system}));
    }
    for (turn, exchange) in exchanges.iter().enumerate() {
        let texts = exchange.said.iter().map(|text| json!({"type": "text", "text": text}));
        let image = exchange.image.iter().map(|data| {
            json!({"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{data}")}})
        });
        let content: Vec<Value> = texts.chain(image).collect();
        messages.push(json!({"role": "user", "content": content}));
        let calls: Vec<Value> = exchange.calls.iter().enumerate().map(|(at, (arguments, _))| {
            json!({"id": format!("call_{turn}_{at}"), "type": "function", "function": {"name": "f", "arguments": arguments}})
        }).collect();
        let mut message = json!({"role": "assistant", "content": exchange.answer});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        } else if exchange.answer.is_none() {
            continue;
        }
        messages.push(message);
        for (at, (_, result)) in exchange.calls.iter().enumerate() {
            messages.push(json!({"role": "tool", "tool_call_id": format!("call_{turn}_{at}"), "content": result}));
        }
    }
    messages.push(json!({"role": "user", "content": "end"}));
    json!({"model": "m", "messages": messages, "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]}).to_string()
}

/// Everything that must survive, in order: roles with texts, images, calls and results.
fn essence(body: &Value) -> Vec<String> {
    let mut kept = Vec::new();
    for message in body["messages"].as_array().expect("messages") {
        let role = message["role"].as_str().expect("a role");
        match &message["content"] {
            Value::String(text) => kept.push(format!("{role} text {text}")),
            Value::Array(parts) => {
                kept.extend(parts.iter().map(|part| match part["type"].as_str() {
                    Some("text") => format!("{role} text {}", part["text"].as_str().expect("text")),
                    _ => format!("{role} {part}"),
                }))
            }
            _ => {}
        }
        if role == "tool" {
            kept.push(format!("result of {}", message["tool_call_id"]));
        }
        for call in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            let arguments = call["function"]["arguments"].as_str().expect("arguments");
            kept.push(format!(
                "call {} {} {}",
                call["id"],
                call["function"]["name"],
                compact(arguments)
            ));
        }
    }
    kept
}

proptest! {
    #![proptest_config(fixed(200))]

    #[test]
    fn requests_there_and_back(
        exchanges in proptest::collection::vec(exchange(), 0..4),
        system in proptest::option::of(text()),
    ) {
        let body = chat_request(&exchanges, &system);
        let there = translated(OpenAiChat, &Target::new(AnthropicMessages, "claude-opus-4-8"), &body).expect("there");
        prop_assert!(there.losses.is_empty(), "{:?}", there.losses);
        valid::messages_request(&super::json(&there.body));
        let there = String::from_utf8(there.body).expect("UTF-8");
        // The system prompt comes back as one part.
        let back = translated(AnthropicMessages, &Target::new(OpenAiChat, "gpt-5"), &there).expect("back");
        let back = super::json(&back.body);
        valid::chat_request(&back);
        prop_assert_eq!(essence(&super::json(body.as_bytes())), essence(&back));
    }

    #[test]
    fn answers_there_and_back(
        texts in proptest::option::of(text()),
        calls in proptest::collection::vec(arguments(), 0..3),
        thinking in proptest::option::of(text()),
    ) {
        let calls: Vec<Value> = calls.iter().enumerate().map(|(at, arguments)| {
            json!({"id": format!("call_{at}"), "type": "function", "function": {"name": "f", "arguments": arguments}})
        }).collect();
        let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
        let mut message = json!({"role": "assistant", "content": texts, "reasoning_content": thinking});
        if !calls.is_empty() {
            message["tool_calls"] = calls.into();
        }
        let body = json!({"model": "gpt", "choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": {"prompt_tokens": 9, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}}});
        let there = answer(&context(AnthropicMessages, OpenAiChat), body.to_string().as_bytes()).expect("there");
        valid::message(&super::json(&there.body));
        let back = answer(&context(OpenAiChat, AnthropicMessages), &there.body).expect("back");
        let back = super::json(&back.body);
        valid::chat_completion(&back);
        let seen = &back["choices"][0]["message"];
        for name in ["tool_calls", "reasoning_content"] {
            prop_assert_eq!(seen.get(name).unwrap_or(&Value::Null), message.get(name).unwrap_or(&Value::Null));
        }
        prop_assert_eq!(seen["content"].as_str().unwrap_or(""), texts.as_deref().unwrap_or(""));
        prop_assert_eq!(&back["choices"][0]["finish_reason"], &Value::from(reason));
        prop_assert_eq!(&back["usage"]["prompt_tokens"], &Value::from(9));
        prop_assert_eq!(&back["usage"]["prompt_tokens_details"]["cached_tokens"], &Value::from(3));
    }

    /// Pieces of any size: the answer is the same as in one.
    #[test]
    fn streams_in_any_pieces(text in text(), arguments in arguments(), cut in 1usize..9, chunk in 1usize..60) {
        let pieces = |text: &str| -> Vec<String> {
            let chars: Vec<char> = text.chars().collect();
            chars.chunks(cut).map(|piece| piece.iter().collect()).collect()
        };
        let mut events = vec![CHAT[1].to_owned()];
        events.extend(pieces(&text).iter().map(|piece| json!({"choices": [{"delta": {"content": piece}}]}).to_string()));
        events.push(r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}"#.to_owned());
        events.extend(pieces(&arguments).iter().map(|piece| json!({"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}}]}).to_string()));
        events.push(CHAT[10].to_owned());
        events.push("[DONE]".to_owned());
        let texts: Vec<&str> = events.iter().map(String::as_str).collect();
        let there = run(AnthropicMessages, OpenAiChat, &chat_stream(&texts), chunk);
        prop_assert_eq!(&there.end, &Ok(()));
        let message = join_message(&there.text);
        prop_assert_eq!(&message["content"][0]["text"], &Value::from(text.as_str()));
        let back = run(OpenAiChat, AnthropicMessages, &there.text, chunk);
        prop_assert_eq!(&back.end, &Ok(()));
        let joined = join_chat(&back.text);
        prop_assert_eq!(&joined["content"], &Value::from(text.as_str()));
        prop_assert_eq!(&joined["tool_calls"][0]["arguments"], &Value::from(arguments.as_str()));
    }

    /// Bytes that were damaged: an error or an answer, never a panic, and never an end after a
    /// failure.
    #[test]
    fn damaged_bytes(at in 0usize..4000, byte in proptest::num::u8::ANY, chunk in 1usize..200) {
        for (caller, target, body) in [
            (OpenAiChat, AnthropicMessages, messages_stream(MESSAGE)),
            (AnthropicMessages, OpenAiChat, chat_stream(CHAT)),
        ] {
            let mut bytes = body.into_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            damaged_stream(caller, target, &bytes, chunk);
        }
        let mut bytes = chat_request(&[], &None).into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let call = crate::translate::Call { format: OpenAiChat, operation: crate::translate::Operation::Generate, id: "c", created: 1 };
        let seen = crate::translate::request(&call, &Target::new(AnthropicMessages, "claude"), &bytes);
        if let Ok(seen) = seen {
            super::json(&seen.body);
        }
    }
}

fn damaged_stream(caller: Format, target: Format, bytes: &[u8], chunk: usize) {
    let bounds = crate::translate::Bounds { event_bytes_max: 1 << 16, held_bytes_max: 1 << 16 };
    let mut stream =
        crate::translate::Stream::new(&context(caller, target), bounds).expect("a translation");
    let mut out = Vec::new();
    let failed = bytes
        .chunks(chunk)
        .any(|chunk| stream.push(bytes::Bytes::copy_from_slice(chunk), &mut out).is_err());
    let failed = failed || stream.end(&mut out).is_err();
    let text = String::from_utf8(out).expect("UTF-8");
    let has_end = text.contains("[DONE]") || text.contains("event: message_stop");
    assert_eq!(has_end, !failed, "{text}");
}

/// Every field of the documented request is in the translation, or it is named.
#[test]
fn no_field_is_lost_without_a_word() {
    let chat = json!({
        "temperature": 0.5, "top_p": 0.5, "top_k": 3, "stop": ["x"], "seed": 1, "presence_penalty": 0.5,
        "frequency_penalty": 0.5, "logprobs": true, "top_logprobs": 2, "logit_bias": {"1": 1},
        "reasoning_effort": "low", "user": "u", "safety_identifier": "s", "metadata": {"a": "b"},
        "service_tier": "flex", "verbosity": "low", "prompt_cache_key": "k", "prompt_cache_options": {"mode": "explicit"},
        "prompt_cache_retention": "24h", "prediction": {"type": "content", "content": "x"}, "moderation": {"model": "m"},
        "store": true, "parallel_tool_calls": false, "response_format": {"type": "json_object"}, "max_completion_tokens": 5000,
        "stream": true, "later": 1
    });
    let messages = json!({
        "max_tokens": 5000, "temperature": 0.5, "top_p": 0.5, "top_k": 3, "stop_sequences": ["x"], "system": "s",
        "thinking": {"type": "enabled", "budget_tokens": 2000}, "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "u"}, "service_tier": "standard_only", "speed": "fast", "cache_control": {"type": "ephemeral"},
        "stream": true, "user_profile_id": "p", "diagnostics": {}, "later": 1
    });
    // The words by which each is found in the translation, if it is not named.
    let in_chat = [
        ("stop_sequences", "\"stop\""),
        ("system", "\"role\":\"system\""),
        ("max_tokens", "max_completion_tokens"),
        ("metadata", "safety_identifier"),
        ("thinking", "reasoning_effort"),
        ("output_config", "reasoning_effort"),
    ];
    let in_messages = [
        ("stop", "stop_sequences"),
        ("max_completion_tokens", "max_tokens"),
        ("safety_identifier", "user_id"),
        ("reasoning_effort", "thinking"),
        ("parallel_tool_calls", "disable_parallel_tool_use"),
        ("response_format", "JSON object"),
    ];
    type Words<'w> = &'w [(&'w str, &'w str)];
    let cases: [(Format, Format, &str, &Value, Words<'_>); 4] = [
        (OpenAiChat, AnthropicMessages, "claude-sonnet-4-5", &chat, &in_messages),
        (OpenAiChat, AnthropicMessages, "claude-opus-4-8", &chat, &in_messages),
        (AnthropicMessages, OpenAiChat, "gpt-5", &messages, &in_chat),
        (AnthropicMessages, OpenAiChat, "gpt-4o", &messages, &in_chat),
    ];
    for (from, to, model, fields, words) in cases {
        let mut body = fields.clone();
        body["messages"] = json!([{"role": "user", "content": "a"}]);
        body["tools"] = match from {
            OpenAiChat => json!([{"type": "function", "function": {"name": "f"}}]),
            _ => json!([{"name": "f", "input_schema": {"type": "object"}}]),
        };
        let seen =
            translated(from, &Target::new(to, model), &body.to_string()).expect("translated");
        let text = String::from_utf8(seen.body.clone()).expect("UTF-8");
        let named: Vec<&str> =
            seen.losses.dropped().into_iter().chain(seen.losses.changed()).collect();
        for name in fields.as_object().expect("an object").keys() {
            let is_named = named.iter().any(|n| n == name || n.starts_with(&format!("{name}.")));
            let word = words
                .iter()
                .find(|(field, _)| field == name)
                .map_or(name.as_str(), |(_, word)| word);
            assert!(
                is_named || text.contains(word),
                "{from:?} {model}: {name} in {text}, {named:?}"
            );
        }
    }
}
