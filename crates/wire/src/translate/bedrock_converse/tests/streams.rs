//! Streams of Bedrock, as applications get them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::bedrock_converse::frames::tests::{event, frame};
use crate::translate::kit::{
    BOUNDS, context, cut_anywhere_is_a_failure, streamed, streamed_in_any_pieces,
};
use crate::translate::{Context, Failure, Target};

fn chat_context() -> Context {
    context(
        Format::OpenAiChat,
        &Target::new(Format::BedrockConverse, "anthropic.claude-opus-4-8"),
        true,
    )
}

/// Events by their names.
fn frames(events: &[(&str, &str)]) -> Vec<u8> {
    events.iter().flat_map(|(name, payload)| event(name, payload)).collect()
}

const START: (&str, &str) = ("messageStart", r#"{"role":"assistant","p":"abcd"}"#);
const TEXT: (&str, &str) = ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"x"}}"#);
const TEXT_END: (&str, &str) = ("contentBlockStop", r#"{"contentBlockIndex":0}"#);
const CALL: (&str, &str) = (
    "contentBlockStart",
    r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"f"}}}"#,
);
const CALL_END: (&str, &str) = ("contentBlockStop", r#"{"contentBlockIndex":1}"#);
const STOP: (&str, &str) = ("messageStop", r#"{"stopReason":"end_turn"}"#);
const METADATA: (&str, &str) = (
    "metadata",
    r#"{"usage":{"inputTokens":20,"outputTokens":30,"totalTokens":50},"metrics":{"latencyMs":1}}"#,
);

/// The deltas of a chat stream, and the reason of its end.
fn deltas(out: &str) -> (Vec<Value>, Value) {
    let mut seen = (Vec::new(), Value::Null);
    for data in out.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(chunk) = serde_json::from_str::<Value>(data) else { continue };
        let Some(choice) = chunk["choices"].get(0) else { continue };
        seen.0.push(choice["delta"].clone());
        if !choice["finish_reason"].is_null() {
            seen.1 = choice["finish_reason"].clone();
        }
    }
    seen
}

#[test]
fn an_answer_with_everything() {
    let stream = frames(&[
        START,
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"Sg"}}}"#,
        ),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"=="}}}"#,
        ),
        TEXT_END,
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":1,"delta":{"reasoningContent":{"redactedContent":"Qg=="}}}"#,
        ),
        CALL_END,
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"text":"Ok."}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":2,"delta":{"citation":{"title":"t"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":2}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":3,"start":{"toolUse":{"toolUseId":"tooluse_1","name":"f"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"{\"a\":"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":3,"delta":{"toolUse":{"input":"1}"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":3}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":4,"start":{"toolUse":{"toolUseId":"tooluse_2","name":"g"}}}"#,
        ),
        ("contentBlockStop", r#"{"contentBlockIndex":4}"#),
        ("newEvent", "7"),
        ("messageStop", r#"{"stopReason":"tool_use"}"#),
        METADATA,
    ]);
    let context = chat_context();
    let (out, ended, facts) = streamed_in_any_pieces(&context, &stream);
    assert_eq!(ended, Ok(()));
    let (deltas, reason) = deltas(&out);
    assert_eq!(reason, "tool_calls");
    assert_eq!(deltas[1], json!({"reasoning_content": "Hm"}));
    assert_eq!(deltas[2], json!({"content": "Ok."}));
    let calls: Vec<&Value> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!(
        (&calls[0]["id"], &calls[0]["function"]["name"]),
        (&json!("tooluse_1"), &json!("f"))
    );
    let arguments: Vec<&Value> = calls.iter().map(|call| &call["function"]["arguments"]).collect();
    assert_eq!(arguments, [&json!(""), &json!("{\"a\":"), &json!("1}"), &json!(""), &json!("{}")]);
    let blocks = deltas.iter().find_map(|delta| delta.get("thinking_blocks")).expect("thinking");
    assert_eq!(
        blocks,
        &json!([
            {"index": 0, "type": "thinking", "thinking": "Hm", "signature": "Sg=="},
            {"index": 1, "type": "redacted_thinking", "data": "Qg=="},
        ])
    );
    assert!(out.ends_with("data: [DONE]\n\n") && out.contains(r#""total_tokens":50"#), "{out}");
    assert_eq!((facts.tool_calls, facts.finish_reason.as_str()), (2, "tool_use"));
    // Without the usage it is complete, too.
    cut_anywhere_is_a_failure(&context, &stream, event(METADATA.0, METADATA.1).len() + 1);
    let (out, ended, facts) =
        streamed_in_any_pieces(&context, &frames(&[START, TEXT, TEXT_END, STOP]));
    assert_eq!((ended, facts.usage), (Ok(()), None));
    assert!(out.ends_with("data: [DONE]\n\n") && !out.contains("usage\":{"), "{out}");
}

#[test]
fn ends() {
    for (events, word, expected) in [
        (&[TEXT, TEXT_END][..], "end_turn", Some("stop")),
        (&[TEXT, TEXT_END, CALL, CALL_END], "end_turn", Some("tool_calls")),
        (&[TEXT], "max_tokens", Some("length")),
        // A call that was cut off is one of which the answer says so.
        (&[CALL], "max_tokens", Some("length")),
        (&[CALL], "tool_use", None),
        (&[TEXT], "guardrail_intervened", Some("content_filter")),
        (&[], "end_turn", Some("stop")),
        (&[], "new_word", None),
        (&[TEXT], "new_word", Some("stop")),
        (&[TEXT], "malformed_tool_use", None),
    ] {
        let last = format!(r#"{{"stopReason":"{word}"}}"#);
        let events = [&[START], events, &[("messageStop", &*last), METADATA]].concat();
        let (out, ended, _) = streamed_in_any_pieces(&chat_context(), &frames(&events));
        match expected {
            Some(expected) => {
                assert_eq!((ended, deltas(&out).1), (Ok(()), json!(expected)), "{word}")
            }
            None => {
                assert!(matches!(ended, Err(Failure::Invalid(_))), "{word}: {out}");
                assert!(!out.contains("[DONE]"), "{out}");
            }
        }
    }
}

#[test]
fn exceptions_in_the_stream() {
    for (kind, status) in [
        ("throttlingException", 429),
        ("validationException", 400),
        ("internalServerException", 500),
        ("modelStreamErrorException", 424),
        ("serviceUnavailableException", 503),
    ] {
        let exception = frame(
            &[(":exception-type", kind), (":message-type", "exception")],
            r#"{"message":"no"}"#,
        );
        for before in [frames(&[START, TEXT]), Vec::new()] {
            let stream = [before, exception.clone(), frames(&[TEXT_END, STOP])].concat();
            let (out, ended, _) = streamed_in_any_pieces(&chat_context(), &stream);
            match ended {
                Err(Failure::Provider(error)) => {
                    assert_eq!((error.status, error.message.as_str()), (status, "no"), "{kind}");
                }
                other => panic!("{kind}: {other:?}"),
            }
            assert!(!out.contains("[DONE]"));
        }
    }
}

#[test]
fn unreadable_streams() {
    let other_call =
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#);
    let after_call = ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"x"}}"#);
    let image =
        ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"image":{"format":"png"}}}"#);
    let nameless =
        ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t"}}}"#);
    let image_piece = ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"image":{}}}"#);
    for events in [
        &[START, ("contentBlockDelta", "no JSON")][..],
        &[START, other_call],
        &[START, CALL, CALL_END, other_call],
        &[START, CALL, after_call],
        &[START, CALL, CALL_END, after_call],
        &[START, image],
        &[START, nameless],
        &[START, image_piece],
        &[START, TEXT, STOP, TEXT],
    ] {
        let (out, ended, _) = streamed(&chat_context(), &frames(events), 1000);
        assert!(matches!(ended, Err(Failure::Invalid(_))), "{events:?}: {ended:?}");
        assert!(!out.contains("[DONE]"));
    }
    let mut wrong = frames(&[START, TEXT, TEXT_END, STOP]);
    let at = wrong.len() - 10;
    wrong[at] ^= 1;
    let long = "x".repeat(BOUNDS.held_bytes_max + 1);
    let signature = format!(
        r#"{{"contentBlockIndex":0,"delta":{{"reasoningContent":{{"signature":"{long}"}}}}}}"#
    );
    let long_event = "x".repeat(BOUNDS.event_bytes_max + 1);
    for stream in [
        wrong,
        frames(&[START, ("contentBlockDelta", &signature)]),
        frames(&[START, ("newEvent", &long_event)]),
        b"data: {\"choices\":[]}\n\n".to_vec(),
    ] {
        let (_, ended, _) = streamed(&chat_context(), &stream, 1000);
        assert!(matches!(ended, Err(Failure::Invalid(_))), "{ended:?}");
    }
}
