//! Answers of Gemini, as applications get them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::error::Invalid;
use crate::translate::gemini::answer::read_count;
use crate::translate::kit::context;
use crate::translate::{Target, TranslatedAnswer, answer};

fn chat(body: &str) -> Result<TranslatedAnswer, Invalid> {
    let target = Target::new(Format::Gemini, "gemini-3-flash");
    answer(&context(Format::OpenAiChat, &target, false), body.as_bytes())
}

/// An answer with these parts.
fn parts(parts: &str, reason: &str) -> String {
    format!(
        r#"{{"candidates":[{{"content":{{"role":"model","parts":[{parts}]}},"finishReason":"{reason}","index":0}}],"modelVersion":"gemini-3-flash-001","responseId":"r"}}"#
    )
}

fn message(body: &str) -> Value {
    let seen = chat(body).unwrap_or_else(|invalid| panic!("{body}: {invalid}"));
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    assert_eq!(body["choices"].as_array().map(Vec::len), Some(1));
    body["choices"][0].clone()
}

#[test]
fn content() {
    for (given, pointer, expected) in [
        (r#"{"text":"Ok."}"#, "/message/content", json!("Ok.")),
        (r#"{"text":"O"},{"text":"k."}"#, "/message/content", json!("Ok.")),
        (r#"{"text":"caf\u00e9 \"\n"}"#, "/message/content", json!("café \"\n")),
        ("", "/message/content", json!("")),
        (r#"{}"#, "/message/content", json!("")),
        (r#"{"text":""}"#, "/message/content", json!("")),
        (r#"{"text":"Hm","thought":true},{"text":"Ok."}"#, "/message/content", json!("Ok.")),
        (
            r#"{"text":"Hm","thought":true},{"text":"Ok."}"#,
            "/message/reasoning_content",
            json!("Hm"),
        ),
        (
            r#"{"text":"Ok.","thoughtSignature":"Sg=="}"#,
            "/message/extra_content/google/thought_signature",
            json!("Sg=="),
        ),
        (
            r#"{"text":"Ok."},{"text":"","thoughtSignature":"Sg=="}"#,
            "/message/extra_content/google/thought_signature",
            json!("Sg=="),
        ),
        (
            r#"{"text":"Hm","thought":true,"thoughtSignature":"Sg=="}"#,
            "/message/thinking_blocks/0/signature",
            json!("tg1.google.U2c9PQ"),
        ),
        (r#"{"functionCall":{"name":"f"}}"#, "/message/content", Value::Null),
        (
            r#"{"functionCall":{"name":"f"}}"#,
            "/message/tool_calls/0/function/arguments",
            json!("{}"),
        ),
        (
            r#"{"functionCall":{"name":"f","args":{}}}"#,
            "/message/tool_calls/0/function/arguments",
            json!("{}"),
        ),
        (
            r#"{"functionCall":{"name":"f","args":{ "b" : 1e400, "a" : 12345678901234567890 }}}"#,
            "/message/tool_calls/0/function/arguments",
            json!(r#"{"b":1e400,"a":12345678901234567890}"#),
        ),
        (
            r#"{"functionCall":{"name":"f","id":"own-1"}}"#,
            "/message/tool_calls/0/id",
            json!("own-1"),
        ),
        (
            r#"{"functionCall":{"name":"f"},"thoughtSignature":"Sg=="},{"functionCall":{"name":"g"}}"#,
            "/message/tool_calls/0/extra_content",
            json!({"google": {"thought_signature": "Sg=="}}),
        ),
        (
            r#"{"functionCall":{"name":"f"},"thoughtSignature":"Sg=="},{"functionCall":{"name":"g"}}"#,
            "/message/tool_calls/1/extra_content",
            Value::Null,
        ),
        (r#"{"text":"x","thought":null,"functionCall":null}"#, "/message/content", json!("x")),
        (r#"{"text":"x","partMetadata":{"a":1}}"#, "/message/content", json!("x")),
    ] {
        let choice = message(&parts(given, "STOP"));
        assert_eq!(choice.pointer(pointer).cloned().unwrap_or_default(), expected, "{given}");
    }
    // Half a pair survives.
    let half = chat(&parts(r#"{"text":"\ud83d"}"#, "STOP")).expect("an answer");
    assert!(String::from_utf8_lossy(&half.body).contains(r#""content":"\ud83d""#));
    // Minted ids differ.
    let choice =
        message(&parts(r#"{"functionCall":{"name":"f"}},{"functionCall":{"name":"g"}}"#, "STOP"));
    let calls = &choice["message"]["tool_calls"];
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    assert!(calls[0]["id"].as_str().is_some_and(|id| id.starts_with("call_") && id.len() <= 40));
}

#[test]
fn ends() {
    let call = r#"{"functionCall":{"name":"f"}}"#;
    let text = r#"{"text":"x"}"#;
    for (given, word, expected) in [
        (text, "STOP", Some("stop")),
        (call, "STOP", Some("tool_calls")),
        ("", "STOP", Some("stop")),
        (text, "MAX_TOKENS", Some("length")),
        (call, "MAX_TOKENS", Some("length")),
        (text, "CONTINUATION", Some("length")),
        ("", "SAFETY", Some("content_filter")),
        (text, "RECITATION", Some("content_filter")),
        (text, "BLOCKLIST", Some("content_filter")),
        (text, "PROHIBITED_CONTENT", Some("content_filter")),
        (text, "SPII", Some("content_filter")),
        (text, "LANGUAGE", Some("content_filter")),
        (text, "MODEL_ARMOR", Some("content_filter")),
        (text, "ESCALATION", Some("content_filter")),
        (text, "IMAGE_SAFETY", Some("content_filter")),
        (call, "SAFETY", Some("content_filter")),
        (text, "OTHER", Some("stop")),
        (call, "NEW_WORD", Some("tool_calls")),
        ("", "OTHER", None),
        ("", "", None),
        (text, "MALFORMED_FUNCTION_CALL", None),
        ("", "UNEXPECTED_TOOL_CALL", None),
        (text, "TOO_MANY_TOOL_CALLS", None),
        (text, "MISSING_THOUGHT_SIGNATURE", None),
        (text, "MALFORMED_RESPONSE", None),
        ("", "NO_IMAGE", None),
    ] {
        let seen = chat(&parts(given, word)).ok().map(|seen| {
            assert_eq!(seen.finish_reason, word);
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            body["choices"][0]["finish_reason"].as_str().map(ToOwned::to_owned)
        });
        assert_eq!(seen.flatten().as_deref(), expected, "{given} {word}");
    }
}

#[test]
fn blocked_and_unreadable_answers() {
    let blocked =
        r#"{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
    let seen = chat(blocked).expect("an answer without content");
    assert_eq!(
        (seen.finish_reason.as_str(), seen.usage.map(|usage| usage.input)),
        ("SAFETY", Some(4))
    );
    assert_eq!(message(blocked)["finish_reason"], "content_filter");
    assert_eq!(message(r#"{"candidates":[{"finishReason":"SAFETY"}]}"#)["message"]["content"], "");
    for odd in [
        "",
        "[]",
        "{}",
        r#"{"candidates":[]}"#,
        r#"{"candidates":{}}"#,
        r#"{"candidates":[{"content":{"parts":[]},"finishReason":"STOP"},{"index":1}]}"#,
        &parts(r#"{"inlineData":{"mimeType":"image/png","data":"AA=="}}"#, "STOP"),
        &parts(r#"{"executableCode":{"code":"x"}}"#, "STOP"),
        &parts(r#"{"functionCall":{"args":{}}}"#, "STOP"),
        &parts(r#"{"functionCall":{"name":"f","args":[1]}}"#, "STOP"),
        &parts(r#"{"text":7}"#, "STOP"),
    ] {
        assert!(chat(odd).is_err(), "{odd}");
    }
}

#[test]
fn usage_and_model() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP"}],"modelVersion":"gemini-x",
        "usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":600,"toolUsePromptTokenCount":50,
        "candidatesTokenCount":40,"thoughtsTokenCount":60,"totalTokenCount":1150}}"#;
    let seen = chat(body).expect("an answer");
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let usage = &body["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(1050), &json!(100), &json!(1150))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 600);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 60);
    assert_eq!((seen.model.as_str(), &body["model"]), ("gemini-x", &json!("gemini-x")));
    assert_eq!((&body["object"], &body["created"]), (&json!("chat.completion"), &json!(7)));
    // Without a name of its own, the target's.
    let unnamed = chat(r#"{"candidates":[{"finishReason":"STOP"}]}"#).expect("an answer");
    let body: Value = serde_json::from_slice(&unnamed.body).expect("JSON");
    assert_eq!((unnamed.model.as_str(), &body["model"]), ("", &json!("gemini-3-flash")));
    assert_eq!(unnamed.usage, None);
}

#[test]
fn log_probabilities() {
    let body = r#"{"candidates":[{"content":{"parts":[{"text":"é"}]},"finishReason":"STOP","logprobsResult":{
        "chosenCandidates":[{"token":"é","logProbability":-0.10},{"token":"b"}],
        "topCandidates":[{"candidates":[{"token":"é","logProbability":-0.10},{"token":"e","logProbability":-2}]}]}}]}"#;
    let seen = chat(body).expect("an answer");
    let text = String::from_utf8(seen.body).expect("UTF-8");
    let expected = r#""logprobs":{"content":[{"token":"é","logprob":-0.10,"bytes":[195,169],"top_logprobs":[{"token":"é","logprob":-0.10,"bytes":[195,169]},{"token":"e","logprob":-2,"bytes":[101]}]},{"token":"b","logprob":0,"bytes":[98],"top_logprobs":[]}]}"#;
    assert!(text.contains(expected), "{text}");
    assert_eq!(
        message(
            r#"{"candidates":[{"content":{"parts":[{"text":"x"}]},"finishReason":"STOP","logprobsResult":{}}]}"#
        )["logprobs"],
        Value::Null
    );
}

#[test]
fn numbers_of_tokens() {
    assert_eq!(read_count(br#"{"totalTokens":31,"cachedContentTokenCount":2}"#), Some(31));
    for odd in [&b"{}"[..], b"[]", b"", br#"{"totalTokens":"x"}"#] {
        assert_eq!(read_count(odd), None);
    }
}
