//! Whole answers, in both directions.

use serde_json::{Value, json};

use super::{json as parse, valid};
use crate::format::Format::{self, AnthropicMessages, OpenAiChat};
use crate::translate::ids::Ids;
use crate::translate::neutral::Vendor;
use crate::translate::{Context, Operation, answer};

pub(crate) fn context(caller: Format, target: Format) -> Context {
    Context {
        caller,
        target,
        operation: Operation::Generate,
        ids: Ids::new("call-7"),
        created: 17,
        model: "asked".to_owned(),
        vendor: if target == AnthropicMessages { Vendor::Anthropic } else { Vendor::Other },
        stream: false,
        include_usage: true,
        custom_tools: vec!["free".to_owned()],
        flattened: Vec::new(),
        echo: Vec::new(),
    }
}

fn to_chat(body: &str) -> Value {
    let seen = answer(&context(OpenAiChat, AnthropicMessages), body.as_bytes()).expect(body);
    let seen = parse(&seen.body);
    valid::chat_completion(&seen);
    seen
}

fn to_message(body: &str) -> Value {
    let seen = answer(&context(AnthropicMessages, OpenAiChat), body.as_bytes()).expect(body);
    let seen = parse(&seen.body);
    valid::message(&seen);
    seen
}

/// Content and reason of Anthropic's answer; message and reason of the translation.
#[test]
fn messages_to_chat() {
    let call = |id: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": "f", "arguments": arguments}});
    let cases = [
        (r#"[{"type":"text","text":"a"}]"#, "end_turn", json!({"content": "a"}), "stop"),
        (
            r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#,
            "end_turn",
            json!({"content": "ab"}),
            "stop",
        ),
        (r#"[]"#, "end_turn", json!({"content": ""}), "stop"),
        (r#"[{"type":"text","text":"a"}]"#, "max_tokens", json!({"content": "a"}), "length"),
        (
            r#"[{"type":"text","text":"a"}]"#,
            "model_context_window_exceeded",
            json!({"content": "a"}),
            "length",
        ),
        (r#"[{"type":"text","text":"a"}]"#, "stop_sequence", json!({"content": "a"}), "stop"),
        (r#"[{"type":"text","text":"a"}]"#, "pause_turn", json!({"content": "a"}), "stop"),
        (r#"[{"type":"text","text":"a"}]"#, "new_word", json!({"content": "a"}), "stop"),
        (
            r#"[{"type":"text","text":"a"}]"#,
            "refusal",
            json!({"content": "a", "refusal": "why"}),
            "content_filter",
        ),
        (
            r#"[{"type":"text","text":"a"},{"type":"tool_use","id":"toolu_1","name":"f","input":{"x": 1e400}}]"#,
            "tool_use",
            json!({"content": "a", "tool_calls": [call("toolu_1", r#"{"x":1e400}"#)]}),
            "tool_calls",
        ),
        (
            r#"[{"type":"tool_use","id":"toolu_1","name":"f","input":{}},{"type":"tool_use","id":"toolu_2","name":"f","input":{"b":1,"a":2}}]"#,
            "tool_use",
            json!({"content": null, "tool_calls": [call("toolu_1", "{}"), call("toolu_2", r#"{"b":1,"a":2}"#)]}),
            "tool_calls",
        ),
        // Calls with another word; a word without calls; calls in an answer that was cut.
        (
            r#"[{"type":"tool_use","id":"t","name":"f","input":{}}]"#,
            "end_turn",
            json!({"content": null, "tool_calls": [call("t", "{}")]}),
            "tool_calls",
        ),
        (r#"[{"type":"text","text":"a"}]"#, "tool_use", json!({"content": "a"}), "stop"),
        (
            r#"[{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]"#,
            "max_tokens",
            json!({"content": null, "tool_calls": [call("t", r#"{"a":1}"#)]}),
            "length",
        ),
        (
            r#"[{"type":"thinking","thinking":"Hm","signature":"Sg=="},{"type":"redacted_thinking","data":"RA=="},{"type":"text","text":"a"}]"#,
            "end_turn",
            json!({
                "content": "a",
                "reasoning_content": "Hm",
                "thinking_blocks": [
                    {"type": "thinking", "thinking": "Hm", "signature": "Sg=="},
                    {"type": "redacted_thinking", "data": "RA=="}
                ]
            }),
            "stop",
        ),
        (
            r#"[{"type":"tool_use","id":"t","name":"f","input":{}},{"type":"thinking","thinking":"","signature":"Sg=="},{"type":"tool_use","id":"u","name":"f","input":{}}]"#,
            "tool_use",
            json!({
                "content": null,
                "thinking_blocks": [{"type": "thinking", "thinking": "", "signature": "Sg==", "after_calls": 1}],
                "tool_calls": [call("t", "{}"), call("u", "{}")]
            }),
            "tool_calls",
        ),
        // A tool with free text.
        (
            r#"[{"type":"tool_use","id":"t","name":"free","input":{"input":"x\n\"y\""}}]"#,
            "tool_use",
            json!({"content": null, "tool_calls": [{"id": "t", "type": "custom", "custom": {"name": "free", "input": "x\n\"y\""}}]}),
            "tool_calls",
        ),
    ];
    for (content, reason, mut message, finish_reason) in cases {
        let body = format!(
            r#"{{"id":"msg_1","type":"message","role":"assistant","model":"claude","content":{content},"stop_reason":"{reason}","stop_sequence":null,"stop_details":{{"type":"refusal","explanation":"why"}},"usage":{{"input_tokens":1,"output_tokens":2}},"later":{{}}}}"#
        );
        let seen = to_chat(&body);
        let object = message.as_object_mut().expect("an object");
        object.insert("role".to_owned(), "assistant".into());
        object.entry("refusal").or_insert(Value::Null);
        assert_eq!(seen["choices"][0]["message"], message, "{content}");
        assert_eq!(seen["choices"][0]["finish_reason"], finish_reason, "{content} {reason}");
        assert_eq!((&seen["model"], &seen["created"]), (&"claude".into(), &17.into()));
    }
    // An id that chat does not take.
    let long = "t".repeat(60);
    let body = format!(
        r#"{{"content":[{{"type":"tool_use","id":"{long}","name":"f","input":{{}}}}],"stop_reason":"tool_use"}}"#
    );
    let seen = to_chat(&body);
    assert_eq!(seen, to_chat(&body));
    assert_eq!(seen.get("usage"), None, "unknown usage is not told");
    assert_eq!(seen["model"], "asked");
}

/// Message and reason of the chat completion; content and reason of the translation.
#[test]
fn chat_to_messages() {
    let text = |text: &str| json!({"type": "text", "text": text});
    let call =
        |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "f", "input": input});
    let hm = json!({"type": "thinking", "thinking": "Hm", "signature": "tg1.other."});
    let cases = [
        (r#""content":"a""#, "stop", json!([text("a")]), "end_turn"),
        (
            r#""content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#,
            "stop",
            json!([text("a"), text("b")]),
            "end_turn",
        ),
        (
            r#""content":"","tool_calls":[],"function_call":null,"refusal":"""#,
            "stop",
            json!([]),
            "end_turn",
        ),
        (r#""content":" \n""#, "stop", json!([]), "end_turn"),
        (r#""content":"a""#, "length", json!([text("a")]), "max_tokens"),
        (r#""content":"a""#, "content_filter", json!([text("a")]), "refusal"),
        (r#""content":null"#, "content_filter", json!([]), "refusal"),
        (r#""content":null,"refusal":"No.""#, "stop", json!([text("No.")]), "refusal"),
        (r#""content":"a""#, "eos", json!([text("a")]), "end_turn"),
        (
            r#""content":"a","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}}]"#,
            "tool_calls",
            json!([text("a"), call("call_1", json!({"b": 1, "a": 2}))]),
            "tool_use",
        ),
        // Some say `stop` although there are calls.
        (
            r#""content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]"#,
            "stop",
            json!([call("call_1", json!({}))]),
            "tool_use",
        ),
        (
            r#""content":null,"function_call":{"name":"f","arguments":"{}"}"#,
            "function_call",
            json!([call("*", json!({}))]),
            "tool_use",
        ),
        (r#""content":"a""#, "tool_calls", json!([text("a")]), "end_turn"),
        // A call that was cut off is none.
        (
            r#""content":"a","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"}},{"id":"c2","function":{"name":"f","arguments":"{\"x\":\"1"}}]"#,
            "length",
            json!([text("a"), call("c1", json!({}))]),
            "max_tokens",
        ),
        (
            r#""content":null,"tool_calls":[{"id":"c1","function":{"name":"f","arguments":""}}]"#,
            "length",
            json!([]),
            "max_tokens",
        ),
        (r#""content":"a","reasoning_content":"Hm""#, "stop", json!([hm, text("a")]), "end_turn"),
        (r#""content":"a","reasoning":"Hm""#, "stop", json!([hm, text("a")]), "end_turn"),
        (
            r#""content":null,"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"Sg=="}}}]"#,
            "tool_calls",
            json!([{"type": "redacted_thinking", "data": "tg1.google.U2c9PQ.c"}, call("c1", json!({}))]),
            "tool_use",
        ),
        (
            r#""content":null,"tool_calls":[{"id":"c1","type":"custom","custom":{"name":"f","input":"x"}}]"#,
            "tool_calls",
            json!([call("c1", json!({"input": "x"}))]),
            "tool_use",
        ),
    ];
    for (message, reason, content, stop_reason) in cases {
        let body = format!(
            r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt","choices":[{{"index":0,"message":{{"role":"assistant",{message}}},"finish_reason":"{reason}","logprobs":null}}],"usage":{{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}}}"#
        );
        let mut seen = to_message(&body);
        if content[0]["id"] == "*" {
            assert!(seen["content"][0]["id"].as_str().is_some_and(|id| id.starts_with("toolu_")));
            seen["content"][0]["id"] = "*".into();
        }
        assert_eq!(seen["content"], content, "{message}");
        assert_eq!(seen["stop_reason"], stop_reason, "{message} {reason}");
    }
}

/// The worked examples: the usage of the provider, and the usage of the caller.
#[test]
fn usage_follows_the_callers_convention() {
    let seen = to_chat(
        r#"{"content":[{"type":"text","text":"a"}],"stop_reason":"end_turn","usage":{"input_tokens":47,"cache_read_input_tokens":2000,"cache_creation_input_tokens":300,"cache_creation":{"ephemeral_1h_input_tokens":100,"ephemeral_5m_input_tokens":200},"output_tokens":120,"output_tokens_details":{"thinking_tokens":80},"service_tier":"priority"}}"#,
    );
    assert_eq!(
        seen["usage"],
        json!({
            "prompt_tokens": 2347, "completion_tokens": 120, "total_tokens": 2467,
            "prompt_tokens_details": {"cached_tokens": 2000, "cache_write_tokens": 300, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 80, "audio_tokens": 0}
        })
    );
    assert_eq!(seen["service_tier"], "priority");
    let seen = to_message(
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":80},"completion_tokens_details":{"reasoning_tokens":30}}}"#,
    );
    assert_eq!(
        seen["usage"],
        json!({
            "input_tokens": 20, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 80,
            "output_tokens": 50, "output_tokens_details": {"thinking_tokens": 30}
        })
    );
    let seen = to_message(
        r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":100,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":20}}}"#,
    );
    assert_eq!(seen["usage"]["input_tokens"], 50);
    assert_eq!(
        seen["usage"]["cache_creation"],
        json!({"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 20})
    );
    // Unknown: zeros, because the form has no other word.
    let seen = to_message(r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#);
    assert_eq!(
        (&seen["usage"]["input_tokens"], &seen["usage"]["output_tokens"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn a_stop_sequence_is_told_where_it_is_known() {
    let body = r#"{"content":[],"stop_reason":"stop_sequence","stop_sequence":"END"}"#;
    let seen =
        answer(&context(AnthropicMessages, AnthropicMessages), body.as_bytes()).expect("an answer");
    let seen = parse(&seen.body);
    valid::message(&seen);
    assert_eq!(
        (&seen["stop_reason"], &seen["stop_sequence"]),
        (&"stop_sequence".into(), &"END".into())
    );
}

/// The provider's own figures and words, for the log.
#[test]
fn facts_are_the_providers() {
    let body = r#"{"model":"claude-x","content":[{"type":"tool_use","id":"t","name":"f","input":{}}],"stop_reason":"tool_use","usage":{"input_tokens":5,"cache_read_input_tokens":10,"output_tokens":3}}"#;
    let seen = answer(&context(OpenAiChat, AnthropicMessages), body.as_bytes()).expect("an answer");
    assert_eq!(
        (seen.model.as_str(), seen.finish_reason.as_str(), seen.tool_calls),
        ("claude-x", "tool_use", 1)
    );
    assert_eq!(seen.usage.map(|u| (u.input, u.cached, u.output)), Some((15, 10, 3)));
}

#[test]
fn answers_that_are_none() {
    for body in [
        "",
        "[]",
        "{}",
        "<html>",
        r#"{"content":"a"}"#,
        r#"{"content":[{"type":"text"}"#,
        r#"{"content":[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}],"stop_reason":"end_turn"}"#,
        r#"{"content":[{"type":"tool_use","name":"f","input":{}}],"stop_reason":"tool_use"}"#,
        r#"{"content":[{"type":"tool_use","id":"t","name":"f","input":"{}"}],"stop_reason":"tool_use"}"#,
        r#"{"content":[],"stop_reason":"odd"}"#,
    ] {
        let seen = answer(&context(OpenAiChat, AnthropicMessages), body.as_bytes());
        assert!(seen.is_err(), "{body}: {seen:?}");
    }
    for body in [
        "",
        "null",
        r#"{"choices":[]}"#,
        r#"{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}"#,
        r#"{"choices":[{"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":{"a":1}},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"content":[{"type":"image"}]},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"name":"f","arguments":"{\"a\":"}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[{"id":"c","function":{"arguments":"{}"}}]},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[{"message":{"content":null},"finish_reason":"error"}]}"#,
    ] {
        let seen = answer(&context(AnthropicMessages, OpenAiChat), body.as_bytes());
        assert!(seen.is_err(), "{body}: {seen:?}");
    }
}
