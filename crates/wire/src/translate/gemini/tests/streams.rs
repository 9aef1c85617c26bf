//! Streams of Gemini, as applications get them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::kit::{context, cut_anywhere_is_a_failure, streamed, streamed_in_any_pieces};
use crate::translate::{Context, Failure, Target};

fn chat_context() -> Context {
    context(Format::OpenAiChat, &Target::new(Format::Gemini, "gemini-3-flash"), true)
}

fn sse(chunks: &[&str]) -> Vec<u8> {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect::<String>().into_bytes()
}

fn chunk(parts: &str) -> String {
    format!(
        r#"{{"candidates":[{{"index":0,"content":{{"role":"model","parts":[{parts}]}}}}],"usageMetadata":{{"promptTokenCount":20}},"modelVersion":"gemini-3-flash-001","responseId":"r"}}"#
    )
}

const LAST: &str = r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":20,"thoughtsTokenCount":10}}"#;

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
    let stream = sse(&[
        &chunk(r#"{"text":"Hm","thought":true}"#),
        &chunk(r#"{"text":"O"}"#),
        &chunk(r#"{"text":"k."}"#),
        &chunk(
            r#"{"functionCall":{"name":"f","args":{"a": 1}},"thoughtSignature":"Sg=="},{"functionCall":{"name":"g"}}"#,
        ),
        LAST,
    ]);
    let context = chat_context();
    let (out, ended, facts) = streamed_in_any_pieces(&context, &stream);
    assert_eq!(ended, Ok(()));
    let (deltas, reason) = deltas(&out);
    assert_eq!(reason, "tool_calls");
    let texts: Vec<&Value> = deltas.iter().map(|delta| &delta["content"]).collect();
    assert_eq!(texts[..4], [&json!(""), &Value::Null, &json!("O"), &json!("k.")]);
    assert_eq!(deltas[1]["reasoning_content"], "Hm");
    let calls: Vec<&Value> = deltas.iter().filter_map(|delta| delta["tool_calls"].get(0)).collect();
    assert_eq!(calls[0]["extra_content"], json!({"google": {"thought_signature": "Sg=="}}));
    assert_eq!((&calls[0]["index"], &calls[0]["function"]["name"]), (&json!(0), &json!("f")));
    assert_eq!(calls[1]["function"]["arguments"], r#"{"a":1}"#);
    assert_eq!((&calls[2]["index"], &calls[2]["function"]["name"]), (&json!(1), &json!("g")));
    assert_eq!(calls[3]["function"]["arguments"], "{}");
    assert!(
        out.ends_with("data: [DONE]\n\n") && out.contains(r#""completion_tokens":30"#),
        "{out}"
    );
    let usage = facts.usage.expect("reported");
    assert_eq!((usage.input, usage.output, usage.reasoning), (20, 30, 10));
    assert_eq!((facts.tool_calls, facts.finish_reason.as_str()), (2, "STOP"));
    assert_eq!(facts.model, "gemini-3-flash-001");
    cut_anywhere_is_a_failure(&context, &stream, "\r\n\r\n".len());
}

/// A reason, the chat word, or none where the attempt failed.
#[test]
fn ends() {
    for (parts, word, expected) in [
        (r#"{"text":"x"}"#, "STOP", Some("stop")),
        ("", "STOP", Some("stop")),
        (r#"{"text":"x"}"#, "MAX_TOKENS", Some("length")),
        ("", "SAFETY", Some("content_filter")),
        (r#"{"functionCall":{"name":"f"}}"#, "MAX_TOKENS", Some("length")),
        (r#"{"text":"x"}"#, "OTHER", Some("stop")),
        ("", "OTHER", None),
        (r#"{"text":"x"}"#, "MALFORMED_FUNCTION_CALL", None),
        ("", "NO_IMAGE", None),
    ] {
        let last = format!(
            r#"{{"candidates":[{{"content":{{"parts":[{parts}]}},"finishReason":"{word}"}}]}}"#
        );
        let (out, ended, _) = streamed_in_any_pieces(&chat_context(), &sse(&[&last]));
        match expected {
            Some(expected) => {
                assert_eq!((ended, deltas(&out).1), (Ok(()), json!(expected)), "{parts} {word}");
            }
            None => {
                assert!(matches!(ended, Err(Failure::Invalid(_))), "{parts} {word}");
                assert!(!out.contains("[DONE]"), "{out}");
            }
        }
    }
    let blocked = sse(&[r#"{"promptFeedback":{"blockReason":"OTHER"}}"#]);
    let (out, ended, facts) = streamed(&chat_context(), &blocked, 7);
    assert_eq!((ended, deltas(&out).1), (Ok(()), json!("content_filter")));
    assert_eq!(facts.finish_reason, "OTHER");
}

#[test]
fn errors_in_the_stream() {
    let error = r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
    let text = chunk(r#"{"text":"x"}"#);
    for stream in [
        sse(&[&text, error]),
        sse(&[error]),
        [sse(&[&text]), error.as_bytes().to_vec()].concat(),
        [sse(&[&text]), format!("[{error}\n]\n\n").into_bytes()].concat(),
    ] {
        let (out, ended, _) = streamed_in_any_pieces(&chat_context(), &stream);
        match ended {
            Err(Failure::Provider(error)) => {
                assert_eq!((error.status, error.code.as_str()), (503, "unavailable"));
            }
            other => panic!("{other:?}"),
        }
        assert!(!out.contains("[DONE]"));
    }
}

#[test]
fn unreadable_streams() {
    let text = chunk(r#"{"text":"x"}"#);
    for stream in [
        sse(&["not json"]),
        sse(&[&text, LAST, &text]),
        sse(&[r#"{"candidates":[{"index":1,"content":{"parts":[{"text":"x"}]}}]}"#]),
        sse(&[&chunk(r#"{"inlineData":{"mimeType":"image/png","data":""}}"#)]),
        sse(&[&chunk(r#"{"functionCall":{"name":"f","args":7}}"#)]),
        b"data: {\"a\":\"\xff\"}\n\n".to_vec(),
        format!("data: {}\n\n", "x".repeat(1 << 17)).into_bytes(),
    ] {
        let (out, ended, _) = streamed(&chat_context(), &stream, 1000);
        assert!(matches!(ended, Err(Failure::Invalid(_))), "{:?}", ended);
        assert!(!out.contains("[DONE]"));
    }
}
