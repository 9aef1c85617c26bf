//! Answers of every provider for every caller, whole and streamed.

use bytes::Bytes;
use serde_json::{Value, json};

use super::replies::{self, Bit, End, Reply};
use super::{cells, told, valid};
use crate::format::Format::{self, AnthropicMessages, OpenAiChat, OpenAiResponses};
use crate::translate::openai_responses::tests::valid as valid_responses;
use crate::translate::tests::streams::{join_chat, join_message};
use crate::translate::{Bounds, Context, Failure, Stream, answer};

const BOUNDS: Bounds = Bounds { event_bytes_max: 1 << 16, held_bytes_max: 1 << 16 };

/// The context of an answer to a request with a tool that takes free text, where the caller's
/// format has such tools.
pub(crate) fn context(caller: Format, provider: Format) -> Context {
    let body = match caller {
        OpenAiChat => {
            r#"{"messages":[{"role":"user","content":"a"}],"stream":true,"stream_options":{"include_usage":true},"tools":[{"type":"custom","custom":{"name":"free"}}]}"#
        }
        OpenAiResponses => {
            r#"{"input":"a","stream":true,"tools":[{"type":"custom","name":"free"}]}"#
        }
        _ => r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"stream":true}"#,
    };
    super::translated(caller, &super::target(caller, provider), body).expect("a request").context
}

/// Checks the form of an answer.
fn check_form(caller: Format, body: &Value) {
    match caller {
        OpenAiChat => valid::chat_completion(body),
        AnthropicMessages => valid::message(body),
        _ => valid_responses::response(body),
    }
}

/// A streamed answer, put together as the caller's SDK does it.
pub(crate) fn joined(caller: Format, stream: &str) -> Value {
    match caller {
        OpenAiChat => {
            let mut message = join_chat(stream);
            message["role"] = "assistant".into();
            let calls = message["tool_calls"].as_array().expect("a list").iter().map(|call| {
                let kind = call["type"].as_str().expect("a type");
                let inner = match kind {
                    "custom" => json!({"name": call["name"], "input": call["arguments"]}),
                    _ => json!({"name": call["name"], "arguments": call["arguments"]}),
                };
                let mut whole = json!({"id": call["id"], "type": kind, kind: inner});
                if let Some(extra) = call.get("extra_content") {
                    whole["extra_content"] = extra.clone();
                }
                whole
            });
            let calls: Value = calls.collect();
            message["tool_calls"] = calls;
            if message["refusal"] == "" {
                message["refusal"] = Value::Null;
            }
            let (word, usage) = (message["finish_reason"].take(), message["usage"].take());
            json!({"choices": [{"message": message, "finish_reason": word}], "usage": usage})
        }
        AnthropicMessages => {
            let message = join_message(stream);
            valid::message(&message);
            message
        }
        _ => {
            let events = valid_responses::events(stream.as_bytes());
            valid_responses::accumulated(&events).expect("a last event")
        }
    }
}

/// Translates a stream in pieces of this size.
pub(crate) fn streamed(
    context: &Context,
    bytes: &[u8],
    piece_bytes: usize,
) -> (String, Result<(), Failure>, Stream) {
    let mut stream = Stream::new(context, BOUNDS).expect("a translation");
    let mut out = Vec::new();
    let mut pieces = bytes.chunks(piece_bytes.max(1)).map(Bytes::copy_from_slice);
    let pushed = pieces.try_for_each(|piece| stream.push(piece, &mut out));
    let ended = pushed.and_then(|()| stream.end(&mut out));
    (String::from_utf8(out).expect("UTF-8"), ended, stream)
}

#[test]
fn whole_answers() {
    for (caller, provider) in cells() {
        let context = context(caller, provider);
        for reply in replies::of(provider) {
            let whole = replies::whole(provider, &reply);
            let seen = answer(&context, whole.as_bytes())
                .unwrap_or_else(|odd| panic!("{caller:?} {provider:?} {whole}: {odd}"));
            let body = crate::translate::tests::json(&seen.body);
            check_form(caller, &body);
            let reply = told::without_ids(provider, &reply);
            let expected = told::expected(caller, provider, &reply);
            assert_eq!(told::read(caller, provider, &body), expected, "{provider:?} {whole}");
            check_facts(
                provider,
                &reply,
                &seen.model,
                seen.tool_calls,
                seen.usage.map(|u| u.input),
            );
        }
    }
}

fn check_facts(provider: Format, reply: &Reply, model: &str, calls: u32, input: Option<u64>) {
    let expected = if told::names_model(provider) { "served" } else { "" };
    assert_eq!((model, input), (expected, Some(100)), "{provider:?}");
    let count = reply.bits.iter().filter(|bit| matches!(bit, Bit::Call(..))).count();
    assert_eq!(calls as usize, count);
}

#[test]
fn streamed_answers() {
    for (caller, provider) in cells() {
        let context = context(caller, provider);
        for reply in replies::of(provider) {
            let bytes = replies::stream(provider, &reply);
            let shown = || String::from_utf8_lossy(&bytes).into_owned();
            let (out, ended, stream) = streamed(&context, &bytes, bytes.len());
            assert_eq!(ended, Ok(()), "{caller:?} {provider:?} {}", shown());
            let body = joined(caller, &out);
            let reply = told::without_ids(provider, &reply);
            let expected = told::expected(caller, provider, &reply);
            assert_eq!(told::read(caller, provider, &body), expected, "{provider:?} {}", shown());
            let facts = stream.facts();
            assert!(facts.is_complete);
            let input = facts.usage.map(|usage| usage.input);
            check_facts(provider, &reply, &facts.model, facts.tool_calls, input);
        }
    }
}

#[test]
fn any_split_gives_the_same_bytes() {
    for (caller, provider) in cells() {
        let context = context(caller, provider);
        for reply in replies::of(provider) {
            let bytes = replies::stream(provider, &reply);
            let whole = streamed(&context, &bytes, bytes.len()).0;
            for piece_bytes in [1, 2, 3, 7, 50, 333] {
                let (out, ended, _) = streamed(&context, &bytes, piece_bytes);
                assert_eq!(ended, Ok(()), "{caller:?} {provider:?}");
                assert!(out == whole, "{caller:?} {provider:?} in {piece_bytes}: {out}\n{whole}");
            }
        }
    }
}

/// Ends early: a failure and no mark of an end, until the provider has said why it ended.
#[test]
fn a_cut_stream_has_no_end() {
    for (caller, provider) in cells() {
        let context = context(caller, provider);
        let bits = vec![replies::text("A"), replies::call("c1", "f", r#"{"x":1}"#)];
        for end in [End::Turn, End::Length] {
            let bytes = replies::stream(provider, &Reply { bits: bits.clone(), end });
            let reason = replies::stop_field(provider);
            let mut has_ended = false;
            for length in 0..=bytes.len() {
                let (out, ended, _) = streamed(&context, &bytes[..length], 64);
                let marks = ["[DONE]", "message_stop", "response.completed", "response.incomplete"];
                let has_mark = marks.iter().any(|mark| out.contains(mark));
                assert_eq!(has_mark, ended.is_ok(), "{caller:?} {provider:?} {length}: {out}");
                assert!(!has_ended || has_mark, "ended before {length}");
                let is_told = memchr::memmem::find(&bytes[..length], reason.as_bytes()).is_some();
                assert!(is_told || !has_mark, "{caller:?} {provider:?} {length}: {out}");
                has_ended = has_mark;
                if let Err(failure) = ended {
                    assert_eq!(failure, Failure::Cut, "{caller:?} {provider:?} {length}: {out}");
                }
            }
            assert!(has_ended, "{caller:?} {provider:?}");
        }
    }
}
