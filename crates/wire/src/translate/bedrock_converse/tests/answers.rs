//! Answers of Bedrock, as applications get them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::bedrock_converse::answer::read_count;
use crate::translate::error::Invalid;
use crate::translate::kit::context;
use crate::translate::{Target, TranslatedAnswer, answer};

fn chat(model: &str, body: &str) -> Result<TranslatedAnswer, Invalid> {
    let target = Target::new(Format::BedrockConverse, model);
    answer(&context(Format::OpenAiChat, &target, false), body.as_bytes())
}

fn blocks(blocks: &str, reason: &str) -> String {
    format!(
        r#"{{"output":{{"message":{{"role":"assistant","content":[{blocks}]}}}},"stopReason":"{reason}","metrics":{{"latencyMs":1}}}}"#
    )
}

fn choice(body: &str) -> Value {
    let seen =
        chat("anthropic.claude-opus-4-8", body).unwrap_or_else(|odd| panic!("{body}: {odd}"));
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    body["choices"][0].clone()
}

#[test]
fn content() {
    for (given, pointer, expected) in [
        (r#"{"text":"Ok."}"#, "/message/content", json!("Ok.")),
        (r#"{"text":"O"},{"text":"k."}"#, "/message/content", json!("Ok.")),
        (r#"{"text":"\u00e9\n"}"#, "/message/content", json!("é\n")),
        (r#"{"text":""}"#, "/message/content", json!("")),
        ("", "/message/content", json!("")),
        (
            r#"{"citationsContent":{"content":[{"text":"a"},{"text":"b"}],"citations":[{}]}}"#,
            "/message/content",
            json!("ab"),
        ),
        (
            r#"{"reasoningContent":{"reasoningText":{"text":"Hm","signature":"Sg=="}}},{"text":"Ok."}"#,
            "/message/thinking_blocks",
            json!([{"type": "thinking", "thinking": "Hm", "signature": "Sg=="}]),
        ),
        (
            r#"{"reasoningContent":{"reasoningText":{"text":"Hm"}}},{"text":"Ok."}"#,
            "/message/reasoning_content",
            json!("Hm"),
        ),
        (
            r#"{"reasoningContent":{"redactedContent":"Qg=="}},{"text":"Ok."}"#,
            "/message/thinking_blocks",
            json!([{"type": "redacted_thinking", "data": "Qg=="}]),
        ),
        (
            r#"{"toolUse":{"toolUseId":"tooluse_1","name":"f","input":{ "b" : 1e400, "a" : "x" }}}"#,
            "/message/tool_calls/0",
            json!({"id": "tooluse_1", "type": "function", "function": {"name": "f", "arguments": r#"{"b":1e400,"a":"x"}"#}}),
        ),
        (
            r#"{"toolUse":{"toolUseId":"t","name":"f"}}"#,
            "/message/tool_calls/0/function/arguments",
            json!("{}"),
        ),
        (r#"{"toolUse":{"toolUseId":"t","name":"f"}}"#, "/message/content", Value::Null),
        (r#"{"text":"x","toolUse":null}"#, "/message/content", json!("x")),
        ("{}", "/message/content", json!("")),
    ] {
        let choice = choice(&blocks(given, "end_turn"));
        assert_eq!(choice.pointer(pointer).cloned().unwrap_or_default(), expected, "{given}");
    }
}

#[test]
fn ends() {
    let call = r#"{"toolUse":{"toolUseId":"t","name":"f","input":{}}}"#;
    let text = r#"{"text":"x"}"#;
    for (given, word, expected) in [
        (text, "end_turn", Some("stop")),
        (text, "stop_sequence", Some("stop")),
        (call, "tool_use", Some("tool_calls")),
        (call, "end_turn", Some("tool_calls")),
        (text, "tool_use", Some("stop")),
        (text, "max_tokens", Some("length")),
        (call, "max_tokens", Some("length")),
        (text, "model_context_window_exceeded", Some("length")),
        (text, "content_filtered", Some("content_filter")),
        (text, "guardrail_intervened", Some("content_filter")),
        (call, "guardrail_intervened", Some("content_filter")),
        (text, "refusal", Some("content_filter")),
        (text, "new_word", Some("stop")),
        ("", "new_word", None),
        ("", "", None),
        ("", "end_turn", Some("stop")),
        (text, "malformed_model_output", None),
        (call, "malformed_tool_use", None),
    ] {
        let seen = chat("meta.llama", &blocks(given, word)).ok().map(|seen| {
            assert_eq!(seen.finish_reason, word);
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            body["choices"][0]["finish_reason"].as_str().map(ToOwned::to_owned)
        });
        assert_eq!(seen.flatten().as_deref(), expected, "{given} {word}");
    }
}

#[test]
fn unreadable_answers() {
    for odd in [
        "",
        "[]",
        "{}",
        r#"{"message":"x"}"#,
        r#"{"output":{}}"#,
        r#"{"output":{"message":{"content":7}}}"#,
        &blocks(r#"{"image":{"format":"png","source":{"bytes":""}}}"#, "end_turn"),
        &blocks(r#"{"toolResult":{}}"#, "end_turn"),
        &blocks(r#"{"toolUse":{"toolUseId":"t"}}"#, "tool_use"),
        &blocks(r#"{"toolUse":{"toolUseId":"t","name":"f","input":"x"}}"#, "tool_use"),
        &blocks(r#"{"text":7}"#, "end_turn"),
    ] {
        assert!(chat("meta.llama", odd).is_err(), "{odd}");
    }
}

#[test]
fn usage_and_model() {
    let body = r#"{"output":{"message":{"content":[{"text":"x"}]}},"stopReason":"end_turn",
        "usage":{"inputTokens":18,"outputTokens":46,"totalTokens":64,"cacheReadInputTokens":1500,"cacheWriteInputTokens":500},
        "serviceTier":{"type":"priority"}}"#;
    let seen = chat("amazon.nova-pro-v1:0", body).expect("an answer");
    let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
    let usage = &body["usage"];
    assert_eq!(
        (&usage["prompt_tokens"], &usage["completion_tokens"], &usage["total_tokens"]),
        (&json!(2_018), &json!(46), &json!(2_064))
    );
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 1_500);
    assert_eq!(usage["prompt_tokens_details"]["cache_write_tokens"], 500);
    assert_eq!(
        (&body["service_tier"], &body["model"]),
        (&json!("priority"), &json!("amazon.nova-pro-v1:0"))
    );
    assert_eq!(seen.usage.map(|usage| (usage.input, usage.cached)), Some((2_018, 1_500)));
    let unknown = chat("meta.llama", &blocks(r#"{"text":"x"}"#, "end_turn")).expect("an answer");
    assert_eq!(unknown.usage, None);
}

#[test]
fn numbers_of_tokens() {
    assert_eq!(read_count(br#"{"inputTokens":31}"#), Some(31));
    for odd in [&b"{}"[..], b"[]", b"", br#"{"inputTokens":-1}"#] {
        assert_eq!(read_count(odd), None);
    }
}
