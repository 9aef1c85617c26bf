//! Whole answers of chat completions and of Anthropic.

use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, GEMINI, context, parsed, said, valid, without_ids};
use crate::Format;
use crate::translate::answer;

/// An answer: its format, fields of the request, the answer's content and end, the items, and the
/// status with its reason.
pub(crate) struct Case {
    pub(crate) format: Format,
    pub(crate) fields: &'static str,
    /// The message of chat completions; the content of Anthropic's.
    pub(crate) content: Value,
    pub(crate) end: Value,
    pub(crate) items: Vec<Value>,
    pub(crate) status: &'static str,
}

impl Case {
    /// The answer of the provider.
    pub(crate) fn body(&self) -> Value {
        if self.format == CHAT {
            let mut choice = json!({"index": 0, "message": self.content, "logprobs": null});
            for (key, value) in self.end.as_object().expect("an object") {
                choice[key] = value.clone();
            }
            json!({"id": "x", "object": "chat.completion", "created": 1, "model": "served",
                "choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 50,
                "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 80},
                "completion_tokens_details": {"reasoning_tokens": 30}}})
        } else if self.format == GEMINI {
            let content = json!({"role": "model", "parts": self.content});
            json!({"candidates": [{"content": content, "finishReason": self.end}],
                "modelVersion": "served", "usageMetadata": {"promptTokenCount": 100,
                "cachedContentTokenCount": 80, "candidatesTokenCount": 20,
                "thoughtsTokenCount": 30, "totalTokenCount": 150}})
        } else {
            let mut message = json!({"id": "x", "type": "message", "role": "assistant",
                "model": "served", "content": self.content, "stop_sequence": null,
                "usage": {"input_tokens": 20, "cache_read_input_tokens": 80, "output_tokens": 50,
                "cache_creation_input_tokens": 0,
                "output_tokens_details": {"thinking_tokens": 30}}});
            for (key, value) in self.end.as_object().expect("an object") {
                message[key] = value.clone();
            }
            message
        }
    }
}

fn refused(text: &str, status: &str) -> Value {
    json!({"type": "message", "role": "assistant", "status": status,
        "content": [{"type": "refusal", "refusal": text}]})
}

fn thought(text: &str) -> Value {
    let summary: Vec<Value> = [text]
        .into_iter()
        .filter(|text| !text.is_empty())
        .map(|text| json!({"type": "summary_text", "text": text}))
        .collect();
    // Without opaque data of the provider it is complete in itself, too.
    json!({"type": "reasoning", "summary": summary, "encrypted_content": "tg1.none."})
}

fn carried(text: &str, data: &str) -> Value {
    let mut item = thought(text);
    item["encrypted_content"] = data.into();
    item
}

fn call(id: &str, name: &str, arguments: &str, status: &str) -> Value {
    json!({"type": "function_call", "status": status, "call_id": id, "name": name,
        "arguments": arguments})
}

fn custom(id: &str, input: &str, status: &str) -> Value {
    json!({"type": "custom_tool_call", "status": status, "call_id": id, "name": "c", "input": input})
}

/// Fields of the request, the content of the answer, the word of its end, the items, the status.
type Row = (&'static str, Value, &'static str, Vec<Value>, &'static str);

const CUSTOM: &str = r#","tools":[{"type":"custom","name":"c"}]"#;
const NAMESPACE: &str =
    r#","tools":[{"type":"namespace","name":"ns","tools":[{"type":"function","name":"g"}]}]"#;
const LOGPROBS: &str = r#","include":["message.output_text.logprobs"]"#;

fn chat_calls() -> Vec<Row> {
    let f = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let with = |content: Value, calls: Value| json!({"role": "assistant", "content": content, "tool_calls": calls});
    let done = "completed";
    vec![
        (
            "",
            with(Value::Null, json!([f("call_1", "f", "{\"a\":1}")])),
            "tool_calls",
            vec![call("call_1", "f", "{\"a\":1}", done)],
            done,
        ),
        (
            "",
            with(json!("A"), json!([f("call_1", "f", "{\"a\":1e400}"), f("call_2", "g", "{}")])),
            "tool_calls",
            vec![
                said("A", done),
                call("call_1", "f", "{\"a\":1e400}", done),
                call("call_2", "g", "{}", done),
            ],
            done,
        ),
        (
            "",
            with(json!("A"), json!([f("call_1", "f", "")])),
            "tool_calls",
            vec![said("A", done), call("call_1", "f", "{}", done)],
            done,
        ),
        (
            "",
            with(Value::Null, json!([f("call_1", "f", "{}")])),
            "stop",
            vec![call("call_1", "f", "{}", done)],
            done,
        ),
        (
            "",
            with(Value::Null, json!([f("call_1", "f", "{\"a\":")])),
            "length",
            vec![call("call_1", "f", "{\"a\":", "incomplete")],
            "max_output_tokens",
        ),
        (
            "",
            with(Value::Null, json!([f("call_1", "f", "{}"), f("call_2", "g", "{\"half")])),
            "length",
            vec![call("call_1", "f", "{}", done), call("call_2", "g", "{\"half", "incomplete")],
            "max_output_tokens",
        ),
        (
            "",
            with(Value::Null, json!([f("call_1", "f", "")])),
            "length",
            vec![call("call_1", "f", "", "incomplete")],
            "max_output_tokens",
        ),
        ("", with(json!("A"), json!([])), "stop", vec![said("A", done)], done),
        (
            NAMESPACE,
            with(Value::Null, json!([f("call_1", "ns__g", "{}")])),
            "tool_calls",
            vec![json!({"type": "function_call", "status": done, "call_id": "call_1",
            "name": "g", "namespace": "ns", "arguments": "{}"})],
            done,
        ),
        (
            CUSTOM,
            with(Value::Null, json!([f("call_1", "c", "{\"input\":\"x \\\"y\\\"\"}")])),
            "tool_calls",
            vec![custom("call_1", "x \"y\"", done)],
            done,
        ),
        (
            CUSTOM,
            with(Value::Null, json!([f("call_1", "c", "")])),
            "tool_calls",
            vec![custom("call_1", "", done)],
            done,
        ),
        (
            CUSTOM,
            with(Value::Null, json!([f("call_1", "c", "{\"input\":\"ha")])),
            "length",
            vec![custom("call_1", "{\"input\":\"ha", "incomplete")],
            "max_output_tokens",
        ),
    ]
}

fn chat_texts() -> Vec<Row> {
    let text = |text: &str| json!({"role": "assistant", "content": text});
    let done = "completed";
    vec![
        ("", text("A"), "stop", vec![said("A", done)], done),
        (
            "",
            text("é \"q\" \\ \n \u{1F600}"),
            "stop",
            vec![said("é \"q\" \\ \n \u{1F600}", done)],
            done,
        ),
        ("", text(" \n"), "stop", vec![said(" \n", done)], done),
        ("", text(""), "stop", vec![], done),
        ("", text("A"), "length", vec![said("A", "incomplete")], "max_output_tokens"),
        ("", text(""), "length", vec![], "max_output_tokens"),
        ("", text("A"), "content_filter", vec![said("A", "incomplete")], "content_filter"),
        (
            "",
            json!({"role": "assistant", "content": null}),
            "content_filter",
            vec![],
            "content_filter",
        ),
        ("", text("A"), "function_call", vec![said("A", done)], done),
        ("", text("A"), "eos", vec![said("A", done)], done),
        (
            "",
            json!({"role": "assistant", "content": null, "refusal": "No."}),
            "stop",
            vec![refused("No.", done)],
            done,
        ),
        (
            "",
            json!({"role": "assistant", "content": "A", "refusal": ""}),
            "stop",
            vec![said("A", done)],
            done,
        ),
        (
            "",
            json!({"role": "assistant", "content": "A", "reasoning_content": "Hm"}),
            "stop",
            vec![thought("Hm"), said("A", done)],
            done,
        ),
        (
            "",
            json!({"role": "assistant", "content": "A", "reasoning": "Hm"}),
            "stop",
            vec![thought("Hm"), said("A", done)],
            done,
        ),
        (
            "",
            json!({"role": "assistant", "content": null, "reasoning_content": "Hm"}),
            "length",
            vec![thought("Hm")],
            "max_output_tokens",
        ),
        (
            "",
            json!({"role": "assistant", "content": "A", "tool_calls": null,
            "function_call": null, "refusal": null}),
            "stop",
            vec![said("A", done)],
            done,
        ),
    ]
}

fn anthropic_blocks() -> Vec<Row> {
    let t = |text: &str| json!({"type": "text", "text": text});
    let u = |id: &str, name: &str, input: Value| json!({"type": "tool_use", "id": id, "name": name, "input": input});
    let h = |text: &str, signature: &str| json!({"type": "thinking", "thinking": text, "signature": signature});
    let hidden = json!({"type": "redacted_thinking", "data": "Sg=="});
    let (done, half) = ("completed", "incomplete");
    let signed = "tg1.anthropic.U2c9PQ";
    let two = json!({"type": "message", "role": "assistant", "status": done, "content": [
        {"type": "output_text", "text": "A", "annotations": [], "logprobs": []},
        {"type": "output_text", "text": "B", "annotations": [], "logprobs": []}]});
    vec![
        ("", json!([t("A")]), "end_turn", vec![said("A", done)], done),
        ("", json!([t("A"), t("B")]), "end_turn", vec![two.clone()], done),
        ("", json!([t("A"), t(""), t("B")]), "end_turn", vec![two], done),
        ("", json!([]), "end_turn", vec![], done),
        ("", json!([t("")]), "end_turn", vec![], done),
        ("", json!([t("A")]), "stop_sequence", vec![said("A", done)], done),
        ("", json!([t("A")]), "max_tokens", vec![said("A", half)], "max_output_tokens"),
        (
            "",
            json!([t("A")]),
            "model_context_window_exceeded",
            vec![said("A", half)],
            "max_output_tokens",
        ),
        ("", json!([t("A")]), "refusal", vec![said("A", half)], "content_filter"),
        ("", json!([]), "refusal", vec![], "content_filter"),
        ("", json!([t("A")]), "pause_turn", vec![said("A", done)], done),
        ("", json!([t("A")]), "new_word", vec![said("A", done)], done),
        (
            "",
            json!([u("toolu_1", "f", json!({"a": [2], "b": 1}))]),
            "tool_use",
            vec![call("toolu_1", "f", "{\"a\":[2],\"b\":1}", done)],
            done,
        ),
        (
            "",
            json!([u("toolu_1", "f", json!({}))]),
            "tool_use",
            vec![call("toolu_1", "f", "{}", done)],
            done,
        ),
        (
            "",
            json!([t("A"), u("toolu_1", "f", json!({})), t("B")]),
            "tool_use",
            vec![said("A", done), call("toolu_1", "f", "{}", done), said("B", done)],
            done,
        ),
        (
            "",
            json!([u("toolu_1", "f", json!({})), u("toolu_2", "g", json!({"x": "é"}))]),
            "tool_use",
            vec![call("toolu_1", "f", "{}", done), call("toolu_2", "g", "{\"x\":\"é\"}", done)],
            done,
        ),
        (
            "",
            json!([u("toolu_1", "f", json!({"a": 1})), t("A")]),
            "max_tokens",
            vec![call("toolu_1", "f", "{\"a\":1}", done), said("A", half)],
            "max_output_tokens",
        ),
        (
            "",
            json!([t("A"), u("toolu_1", "f", json!({"a": 1}))]),
            "max_tokens",
            vec![said("A", done), call("toolu_1", "f", "{\"a\":1}", half)],
            "max_output_tokens",
        ),
        (
            "",
            json!([h("Hm", "Sg=="), t("A")]),
            "end_turn",
            vec![carried("Hm", signed), said("A", done)],
            done,
        ),
        (
            "",
            json!([h("", "Sg=="), t("A")]),
            "end_turn",
            vec![carried("", signed), said("A", done)],
            done,
        ),
        ("", json!([h("Hm", ""), t("A")]), "end_turn", vec![thought("Hm"), said("A", done)], done),
        ("", json!([h("", ""), t("A")]), "end_turn", vec![said("A", done)], done),
        (
            "",
            json!([hidden, t("A")]),
            "end_turn",
            vec![carried("", "tg1.anthropic.U2c9PQ.h"), said("A", done)],
            done,
        ),
        (
            "",
            json!([
                h("Hm", "Sg=="),
                u("toolu_1", "f", json!({})),
                h("So", "Sg=="),
                u("toolu_2", "g", json!({}))
            ]),
            "tool_use",
            vec![
                carried("Hm", signed),
                call("toolu_1", "f", "{}", done),
                carried("So", signed),
                call("toolu_2", "g", "{}", done),
            ],
            done,
        ),
        (
            "",
            json!([h("Hm", "Sg==")]),
            "max_tokens",
            vec![carried("Hm", signed)],
            "max_output_tokens",
        ),
        (
            CUSTOM,
            json!([u("toolu_1", "c", json!({"input": "x"}))]),
            "tool_use",
            vec![custom("toolu_1", "x", done)],
            done,
        ),
        (
            CUSTOM,
            json!([u("toolu_1", "c", json!({"other": "x"}))]),
            "tool_use",
            vec![custom("toolu_1", "{\"other\":\"x\"}", done)],
            done,
        ),
        (
            NAMESPACE,
            json!([u("toolu_1", "ns__g", json!({}))]),
            "tool_use",
            vec![json!({"type": "function_call", "status": done, "call_id": "toolu_1",
            "name": "g", "namespace": "ns", "arguments": "{}"})],
            done,
        ),
    ]
}

fn gemini_parts() -> Vec<(Value, &'static str, Vec<Value>, &'static str)> {
    let done = "completed";
    let f = json!({"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "Sg=="});
    let g = json!({"functionCall": {"name": "g"}});
    let signature = |owner: &str| carried("", &format!("tg1.google.U2c9PQ.{owner}"));
    vec![
        (json!([{"text": "A"}]), "STOP", vec![said("A", done)], done),
        (
            json!([{"text": "Hm", "thought": true}, {"text": "A"}]),
            "STOP",
            vec![thought("Hm"), said("A", done)],
            done,
        ),
        (
            json!([f, g]),
            "STOP",
            vec![
                signature("c"),
                call("call_MINTED", "f", "{\"a\":1}", done),
                call("call_MINTED", "g", "{}", done),
            ],
            done,
        ),
        (
            json!([{"text": "A", "thoughtSignature": "Sg=="}]),
            "STOP",
            vec![said("A", done), signature("t")],
            done,
        ),
        (json!([{"text": "A"}]), "MAX_TOKENS", vec![said("A", "incomplete")], "max_output_tokens"),
        (json!([{"text": "A"}]), "SAFETY", vec![said("A", "incomplete")], "content_filter"),
        (json!([]), "PROHIBITED_CONTENT", vec![], "content_filter"),
    ]
}

/// All answers, for the streams, too.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (fields, content, word, items, status) in chat_texts().into_iter().chain(chat_calls()) {
        let end = json!({"finish_reason": word});
        cases.push(Case { format: CHAT, fields, content, end, items, status });
    }
    let entry = json!({"token": "A", "logprob": -0.5, "bytes": [65], "top_logprobs": []});
    let mut with_logprobs = said("A", "completed");
    with_logprobs["content"][0]["logprobs"] = json!([entry]);
    for (fields, items) in [("", vec![said("A", "completed")]), (LOGPROBS, vec![with_logprobs])] {
        cases.push(Case {
            format: CHAT,
            fields,
            content: json!({"role": "assistant", "content": "A"}),
            end: json!({"finish_reason": "stop", "logprobs": {"content": [entry]}}),
            items,
            status: "completed",
        });
    }
    for (fields, content, word, items, status) in anthropic_blocks() {
        let end = json!({"stop_reason": word});
        cases.push(Case { format: ANTHROPIC, fields, content, end, items, status });
    }
    let mut explained = said("A", "incomplete");
    let parts = explained["content"].as_array_mut().expect("a list");
    parts.push(json!({"type": "refusal", "refusal": "No."}));
    cases.push(Case {
        format: ANTHROPIC,
        fields: "",
        content: json!([{"type": "text", "text": "A"}]),
        end: json!({"stop_reason": "refusal", "stop_details": {"type": "refusal", "explanation": "No."}}),
        items: vec![explained],
        status: "content_filter",
    });
    for (content, word, items, status) in gemini_parts() {
        let end = word.into();
        cases.push(Case { format: GEMINI, fields: "", content, end, items, status });
    }
    cases
}

#[test]
fn items_and_status() {
    for case in cases() {
        let body = case.body();
        let context = context(case.format, case.fields);
        let translated = answer(&context, body.to_string().as_bytes())
            .unwrap_or_else(|odd| panic!("{odd:?}: {body}"));
        let seen = parsed(&translated.body);
        valid::response(&seen);
        assert_eq!(seen["model"], "served");
        let (status, reason) = match case.status {
            "completed" => ("completed", Value::Null),
            reason => ("incomplete", json!({"reason": reason})),
        };
        assert_eq!(
            (&seen["status"], &seen["incomplete_details"]),
            (&status.into(), &reason),
            "{body}"
        );
        assert_eq!(without_ids(seen["output"].clone()), json!(case.items), "{body}");
        let usage = json!({"input_tokens": 100, "input_tokens_details":
            {"cached_tokens": 80, "cache_write_tokens": 0}, "output_tokens": 50,
            "output_tokens_details": {"reasoning_tokens": 30}, "total_tokens": 150});
        assert_eq!(seen["usage"], usage);
        let calls = case.items.iter().filter(|item| !item["call_id"].is_null()).count();
        assert_eq!(translated.tool_calls as usize, calls);
    }
}

#[test]
fn fields_of_the_request_are_repeated() {
    let fields = r#","temperature":1e-1,"top_p":0.5,"metadata":{"k":"v"},"max_output_tokens":9,
        "tools":[{"type":"function","name":"f","parameters":{"a":1e3},"strict":true}],
        "tool_choice":"auto","parallel_tool_calls":false,"reasoning":{"effort":"low"},
        "text":{"format":{"type":"json_object"}},"user":"u","safety_identifier":"s","store":true"#;
    let context = context(CHAT, fields);
    let body = br#"{"model":"","choices":[{"message":{"content":"A"},"finish_reason":"stop"}]}"#;
    let translated = answer(&context, body).expect("an answer");
    let text = String::from_utf8(translated.body).expect("UTF-8");
    let seen = parsed(&text);
    valid::response(&seen);
    assert_eq!((&seen["model"], &seen["usage"]), (&"local".into(), &Value::Null));
    for repeated in [
        r#""temperature":1e-1"#,
        r#""top_p":0.5"#,
        r#""metadata":{"k":"v"}"#,
        r#""max_output_tokens":9"#,
        r#""parameters":{"a":1e3}"#,
        r#""parallel_tool_calls":false"#,
        r#""reasoning":{"effort":"low"}"#,
        r#""text":{"format":{"type":"json_object"}}"#,
        r#""user":"u""#,
        r#""safety_identifier":"s""#,
        r#""store":false"#,
        r#""created_at":7"#,
    ] {
        assert!(text.contains(repeated), "{repeated}: {text}");
    }
}

/// An answer that goes back as input gives the provider what it said.
#[test]
fn answers_go_back() {
    let blocks = json!([
        {"type": "thinking", "thinking": "Hm", "signature": "Sg=="},
        {"type": "redacted_thinking", "data": "Ug=="},
        {"type": "text", "text": "A"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"b": 1, "a": 2}}
    ]);
    let body =
        json!({"type": "message", "model": "m", "content": blocks, "stop_reason": "tool_use"});
    let fields = r#","tools":[{"type":"function","name":"f","strict":false}]"#;
    let translated = answer(&context(ANTHROPIC, fields), body.to_string().as_bytes());
    let items = parsed(translated.expect("an answer").body)["output"].clone();
    let mut input = vec![json!({"role": "user", "content": "Hi"})];
    input.extend(items.as_array().cloned().unwrap_or_default());
    input.push(json!({"type": "function_call_output", "call_id": "toolu_1", "output": "x"}));
    let again = json!({"model": "m", "input": input,
        "tools": [{"type": "function", "name": "f", "strict": false}]});
    let (sent, losses) = super::sent(&super::target(ANTHROPIC), &again.to_string());
    valid::anthropic_request(&sent);
    assert_eq!((&sent["messages"][1]["content"], losses.as_str()), (&blocks, ""));
}
