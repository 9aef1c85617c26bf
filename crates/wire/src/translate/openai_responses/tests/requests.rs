//! Requests: each field and item is carried, or named in the losses.

use serde_json::{Value, json};

use super::{ANTHROPIC, CHAT, GEMINI, parsed, sent, target, valid};
use crate::Format;
use crate::translate::Target;
use crate::translate::carrier::{Owner, encode};
use crate::translate::json::JsonText;
use crate::translate::neutral::{Opaque, OpaqueKind, Vendor};

/// Fields beside `model` and `input`, what becomes of them in chat completions, and the losses.
const FIELDS: &[(&str, &str, &str)] = &[
    (r#""temperature":0.5"#, r#""temperature":0.5"#, ""),
    (r#""temperature":1e-1,"top_p":null"#, r#""temperature":1e-1"#, ""),
    (r#""top_p":0.9"#, r#""top_p":0.9"#, ""),
    (r#""max_output_tokens":100"#, r#""max_completion_tokens":100"#, ""),
    (r#""parallel_tool_calls":true"#, "", ""),
    (r#""reasoning":{"effort":"low"}"#, r#""reasoning_effort":"low""#, ""),
    (
        r#""reasoning":{"effort":"high","summary":"auto"}"#,
        r#""reasoning_effort":"high""#,
        "reasoning.summary",
    ),
    (r#""reasoning":{"generate_summary":"concise"}"#, "", "reasoning.generate_summary"),
    (
        r#""reasoning":{"context":"all_turns","mode":"pro","x":1}"#,
        "",
        "reasoning.context reasoning.mode reasoning.x",
    ),
    (r#""reasoning":{"context":"auto","mode":"standard","effort":null}"#, "", ""),
    (r#""text":{"verbosity":"low"}"#, r#""verbosity":"low""#, ""),
    (r#""text":{"format":{"type":"text"}}"#, "", ""),
    (
        r#""text":{"format":{"type":"json_object"}}"#,
        r#""response_format":{"type":"json_object"}"#,
        "",
    ),
    (
        r#""text":{"format":{"type":"json_schema","name":"n","description":"d","strict":false,"schema":{"type":"object","a":1e300}}}"#,
        r#""response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","strict":false,"schema":{"type":"object","a":1e300}}}"#,
        "",
    ),
    (r#""user":"u","metadata":{"k":"v"}"#, r#""user":"u","metadata":{"k":"v"}"#, ""),
    (r#""safety_identifier":"s""#, r#""user":"s""#, ""),
    (r#""service_tier":"flex""#, r#""service_tier":"flex""#, ""),
    (r#""service_tier":"auto""#, "", ""),
    (r#""prompt_cache_key":"k""#, "", "prompt_cache_key"),
    (
        r#""prompt_cache_options":{"mode":"explicit"},"prompt_cache_retention":"24h""#,
        "",
        "prompt_cache_options prompt_cache_retention",
    ),
    (r#""store":false,"background":false,"truncation":"disabled""#, "", ""),
    (r#""store":true,"truncation":"auto""#, "", "store truncation"),
    (
        r#""max_tool_calls":3,"context_management":[{"type":"compaction"}]"#,
        "",
        "context_management max_tool_calls",
    ),
    (
        r#""moderation":{"model":"m"},"access_programs":{},"image":{},"background_options":{}"#,
        "",
        "access_programs background_options image moderation",
    ),
    (r#""include":["reasoning.encrypted_content"]"#, "", ""),
    (r#""include":["message.output_text.logprobs"]"#, r#""logprobs":true"#, ""),
    (
        r#""include":["message.output_text.logprobs"],"top_logprobs":2"#,
        r#""logprobs":true,"top_logprobs":2"#,
        "",
    ),
    (r#""top_logprobs":2"#, r#""logprobs":true,"top_logprobs":2"#, ""),
    (r#""top_logprobs":0"#, "", ""),
    (r#""include":["file_search_call.results"]"#, "", "include"),
    (
        r#""stream":true,"stream_options":{"include_obfuscation":false,"y":1}"#,
        r#""stream":true,"stream_options":{"include_usage":true}"#,
        "stream_options.y",
    ),
    (r#""seed":7,"thinking":{}"#, "", "seed thinking"),
    (
        r#""tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":false}]"#,
        r#""tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object"}}}]"#,
        "",
    ),
    (
        r#""tools":[{"type":"function","name":"f","parameters":null,"defer_loading":true,"allowed_callers":["programmatic"],"output_schema":{},"z":1}]"#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]"#,
        "tools[0].allowed_callers tools[0].defer_loading tools[0].output_schema tools[0].z",
    ),
    (
        r#""tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false},"strict":true}],"tool_choice":"required""#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false},"strict":true}}],"tool_choice":"required""#,
        "",
    ),
    (
        r#""tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"a":{}}},"strict":true}],"parallel_tool_calls":false"#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{}}}}}],"parallel_tool_calls":false"#,
        "tools[0].strict",
    ),
    (
        r#""tools":[{"type":"custom","name":"c","description":"d","format":{"type":"grammar","syntax":"lark","definition":"x"}}],"tool_choice":{"type":"custom","name":"c"}"#,
        r#""tools":[{"type":"function","function":{"name":"c","description":"d","parameters":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}}}],"tool_choice":{"type":"function","function":{"name":"c"}}"#,
        "tools[0].format",
    ),
    (
        r#""tools":[{"type":"web_search"},{"type":"function","name":"f","strict":false}],"tool_choice":"auto""#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":"auto""#,
        "tools[0]",
    ),
    (r#""tools":[{"type":"mcp","server_label":"s"}],"tool_choice":"auto""#, "", "tools[0]"),
    (
        r#""tools":[{"type":"namespace","name":"ns","description":"d","tools":[{"type":"function","name":"g","strict":false}]}],"tool_choice":{"type":"function","name":"g"}"#,
        r#""tools":[{"type":"function","function":{"name":"ns__g","parameters":{"type":"object","properties":{}}}}],"tool_choice":{"type":"function","function":{"name":"ns__g"}}"#,
        "tools[0].description",
    ),
    (
        r#""tools":[{"type":"function","name":"f","strict":false}],"tool_choice":{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"},{"type":"web_search"}]}"#,
        r#""tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}],"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#,
        "~tool_choice",
    ),
    (r#""tools":[],"tool_choice":"auto""#, "", ""),
];

/// `input`, the messages of chat completions, and the losses.
const INPUTS: &[(&str, &str, &str)] = &[
    (r#""T1 é""#, r#"[{"role":"user","content":"T1 é"}]"#, ""),
    (r#"[{"role":"user","content":"T1"}]"#, r#"[{"role":"user","content":"T1"}]"#, ""),
    (
        r#"[{"type":"message","id":"msg_1","status":"completed","role":"developer","content":[{"type":"input_text","text":"T1"}]},{"role":"user","content":[{"type":"input_text","text":"T2"},{"type":"input_text","text":"T3"}]}]"#,
        r#"[{"role":"system","content":"T1"},{"role":"user","content":[{"type":"text","text":"T2"},{"type":"text","text":"T3"}]}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"message","id":"msg_1","role":"assistant","status":"completed","phase":"final_answer","content":[{"type":"output_text","text":"T2","annotations":[],"logprobs":[]}]},{"role":"user","content":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":"T2"},{"role":"user","content":"T3"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":[{"type":"refusal","refusal":"T2"}]},{"role":"user","content":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":[{"type":"refusal","refusal":"T2"}]},{"role":"user","content":"T3"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"role":"system","content":"T2"},{"role":"user","content":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"system","content":"T2"},{"role":"user","content":"T3"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":[{"type":"input_text","text":"T1"},{"type":"input_image","image_url":"data:image/png;base64,QUJD","detail":"low"},{"type":"input_image","image_url":"https://e.org/a.png","detail":"auto"}]}]"#,
        r#"[{"role":"user","content":[{"type":"text","text":"T1"},{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD","detail":"low"}},{"type":"image_url","image_url":{"url":"https://e.org/a.png"}}]}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":[{"type":"input_text","text":"T1"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD","detail":"high"}]}]"#,
        r#"[{"role":"user","content":[{"type":"text","text":"T1"},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}}]}]"#,
        "input[].content[].detail",
    ),
    (
        r#"[{"role":"user","content":[{"type":"input_text","text":"T1","prompt_cache_breakpoint":{"mode":"explicit"},"x":1}],"y":1}]"#,
        r#"[{"role":"user","content":"T1"}]"#,
        "input[].content[].prompt_cache_breakpoint input[].content[].x input[].y",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"f","arguments":"{\"a\":1e300}","status":"completed"},{"type":"function_call_output","call_id":"call_1","output":"T2"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a\":1e300}"}}]},{"role":"tool","tool_call_id":"call_1","content":"T2"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":"T2"},{"type":"function_call","call_id":"c1","name":"f","arguments":""},{"type":"function_call","call_id":"c2","name":"g","arguments":"{}"},{"type":"function_call_output","call_id":"c2","output":"T4"},{"type":"function_call_output","call_id":"c1","output":"T3"},{"role":"user","content":"T5"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":"T2","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"T3"},{"role":"tool","tool_call_id":"c2","content":"T4"},{"role":"user","content":"T5"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}","async":true,"caller":{"type":"program","caller_id":"p"}},{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"T2"},{"type":"input_text","text":"T3"}]}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"T2\nT3"}]"#,
        "input[].async input[].caller",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":[{"type":"input_image","image_url":"data:image/png;base64,QUJD"},{"type":"input_text","text":"T2"}]},{"role":"user","content":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"T2"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}},{"type":"text","text":"T3"}]}]"#,
        "~input[].output",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"custom_tool_call","id":"ctc_1","call_id":"c1","name":"c","input":"T2 \"x\""},{"type":"custom_tool_call_output","call_id":"c1","output":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"c","arguments":"{\"input\":\"T2 \\\"x\\\"\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"T3"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"function_call","call_id":"c1","namespace":"ns","name":"g","arguments":"{}"},{"type":"function_call_output","call_id":"c1","output":"T2"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"ns__g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"T2"}]"#,
        "",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"R"}],"encrypted_content":"gAAAA"},{"role":"assistant","content":"T2"},{"role":"user","content":"T3"}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":"T2"},{"role":"user","content":"T3"}]"#,
        "reasoning",
    ),
    (
        r#"[{"role":"user","content":"T1"},{"type":"reasoning","id":"rs_1","summary":[]},{"type":"function_call","call_id":"call|1","name":"f","arguments":"{\"half"},{"type":"function_call_output","call_id":"call|1","output":""}]"#,
        r#"[{"role":"user","content":"T1"},{"role":"assistant","content":null,"tool_calls":[{"id":"ID","type":"function","function":{"name":"f","arguments":"{\"half"}}]},{"role":"tool","tool_call_id":"ID","content":""}]"#,
        "",
    ),
];

/// Ids that had to be replaced become `ID`.
fn with_plain_ids(mut value: Value) -> Value {
    match &mut value {
        Value::String(text) if text.starts_with("call_") && text.len() == 29 => {
            *text = "ID".to_owned();
        }
        Value::Array(list) => list.iter_mut().for_each(|v| *v = with_plain_ids(v.take())),
        Value::Object(object) => {
            object.values_mut().for_each(|v| *v = with_plain_ids(v.take()));
        }
        _ => {}
    }
    value
}

fn expected(rest: &str, messages: &str) -> Value {
    let comma = if rest.is_empty() { "" } else { "," };
    parsed(format!(r#"{{"model":"local","messages":{messages}{comma}{rest}}}"#))
}

#[test]
fn fields_to_chat() {
    for (fields, rest, losses) in FIELDS {
        let body = format!(r#"{{"model":"m","input":"Hi",{fields}}}"#);
        let (sent, seen) = sent(&target(CHAT), &body);
        valid::chat_request(&sent);
        let hi = r#"[{"role":"user","content":"Hi"}]"#;
        assert_eq!((sent, seen.as_str()), (expected(rest, hi), *losses), "{fields}");
    }
}

#[test]
fn inputs_to_chat() {
    for (input, messages, losses) in INPUTS {
        let body = format!(r#"{{"model":"m","input":{input}}}"#);
        let (sent, seen) = sent(&target(CHAT), &body);
        valid::chat_request(&sent);
        let seen = (with_plain_ids(sent), seen.as_str());
        assert_eq!(seen, (expected("", messages), *losses), "{input}");
    }
}

/// Numbers, escapes and the order of keys are carried as they were written.
#[test]
fn bytes_are_carried() {
    let schema = r#"{"type":"object","b":1e400,"a":12345678901234567890123}"#;
    let tool = format!(r#"{{"type":"function","name":"f","strict":false,"parameters":{schema}}}"#);
    let body = format!(r#"{{"input":"T1 \ud83d \u00e9","tools":[{tool}]}}"#);
    let translated = super::translated(&target(CHAT), &body).expect("a request");
    let text = String::from_utf8(translated.body).expect("UTF-8");
    assert!(text.contains(schema) && text.contains(r#""T1 \ud83d \u00e9""#), "{text}");
}

#[test]
fn instructions_are_the_first_message() {
    let body = r#"{"model":"m","instructions":"Be brief.","input":"Hi"}"#;
    let (sent, losses) = sent(&target(CHAT), body);
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"}
    ]);
    assert_eq!((&sent["messages"], losses.as_str()), (&messages, ""));
}

/// Whether the texts of the input stand in the request, in their order.
fn check_texts(body: &str, text: &str) {
    let mut from = 0;
    for marker in ["T0", "T1", "T2", "T3", "T4", "T5"] {
        if body.contains(marker) {
            let at = text[from..].find(marker);
            from += at.unwrap_or_else(|| panic!("{marker} of {body} in {text}"));
        }
    }
}

#[test]
fn inputs_to_gemini() {
    for (input, ..) in INPUTS {
        let body = format!(r#"{{"model":"m","instructions":"T0","input":{input}}}"#);
        let (sent, _) = sent(&target(GEMINI), &body);
        assert_eq!(sent["contents"][0]["role"], "user");
        check_texts(&body, &format!("{}{}", sent["systemInstruction"], sent["contents"]));
    }
    for (fields, ..) in FIELDS {
        let body = format!(r#"{{"model":"m","input":"Hi",{fields}}}"#);
        let (sent, _) = sent(&target(GEMINI), &body);
        assert_eq!(sent["contents"][0]["parts"][0]["text"], "Hi", "{fields}");
    }
}

/// Images by their address are the one thing that Bedrock does not take.
#[test]
fn inputs_to_bedrock() {
    let bedrock = Target::new(Format::BedrockConverse, "eu.anthropic.claude-haiku-4-5-v1:0");
    for (input, ..) in INPUTS {
        let body = format!(r#"{{"model":"m","instructions":"T0","input":{input}}}"#);
        if body.contains("https:") {
            let refused = super::translated(&bedrock, &body).expect_err("no addresses");
            assert_eq!(refused.param.as_deref(), Some("input[0].content[2]"));
            continue;
        }
        let (sent, _) = sent(&bedrock, &body);
        check_texts(&body, &format!("{}{}", sent["system"], sent["messages"]));
    }
}

/// Every request keeps its texts and their order, and is one of the target's format.
#[test]
fn inputs_to_anthropic() {
    for (input, ..) in INPUTS {
        let body = format!(r#"{{"model":"m","instructions":"T0","input":{input}}}"#);
        let (sent, _) = sent(&target(ANTHROPIC), &body);
        valid::anthropic_request(&sent);
        check_texts(&body, &format!("{}{}", sent["system"], sent["messages"]));
    }
}

/// Every field is in the request, or in the losses, or says nothing.
#[test]
fn fields_to_anthropic() {
    for (fields, ..) in FIELDS {
        let body = format!(r#"{{"model":"m","input":"Hi",{fields}}}"#);
        let (sent, losses) = sent(&target(ANTHROPIC), &body);
        valid::anthropic_request(&sent);
        assert_eq!(sent["messages"][0]["role"], "user");
        let given = parsed(&body);
        for (field, place) in [
            ("temperature", "temperature"),
            ("top_p", "top_p"),
            ("max_output_tokens", "max_tokens"),
            ("user", "metadata"),
            ("safety_identifier", "metadata"),
            ("stream", "stream"),
        ] {
            let is_carried = !sent[place].is_null() || losses.contains(field);
            assert!(given[field].is_null() || is_carried, "{field}: {sent} {losses}");
        }
        for (field, is_lost) in [
            ("metadata", true),
            ("seed", true),
            ("top_logprobs", given["top_logprobs"].as_u64() > Some(0)),
            ("max_tool_calls", true),
            ("context_management", true),
            ("moderation", true),
            ("prompt_cache_key", true),
            ("text.verbosity", !given["text"]["verbosity"].is_null()),
        ] {
            let name = field.split('.').next().unwrap_or(field);
            if !given[name].is_null() && is_lost {
                assert!(losses.contains(field), "{field}: {losses}");
            }
        }
    }
}

#[test]
fn a_tool_without_strict_is_strict_where_it_can_be() {
    let mut openai = target(CHAT);
    openai.server.is_openai = true;
    let closed = r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#;
    for (fields, is_strict) in [
        (format!(r#""parameters":{closed}"#), true),
        (format!(r#""parameters":{closed},"strict":null"#), true),
        (format!(r#""parameters":{closed},"strict":false"#), false),
        (r#""parameters":{"type":"object","properties":{"a":{}}}"#.to_owned(), false),
    ] {
        let tool = format!(r#"{{"type":"function","name":"f",{fields}}}"#);
        let body = format!(r#"{{"model":"m","input":"Hi","tools":[{tool}]}}"#);
        for (target, is_expected) in [(&openai, is_strict), (&target(CHAT), false)] {
            let (sent, losses) = sent(target, &body);
            let strict = &sent["tools"][0]["function"]["strict"];
            assert_eq!((strict == true, losses.as_str()), (is_expected, ""), "{body}");
        }
    }
}

#[test]
fn free_text_of_openai() {
    let mut openai = target(CHAT);
    openai.server.is_openai = true;
    let tool = r#"{"type":"custom","name":"c","format":{"type":"grammar","syntax":"regex","definition":"a+"}}"#;
    let body = format!(r#"{{"model":"m","input":"Hi","tools":[{tool}]}}"#);
    let (sent, losses) = sent(&openai, &body);
    let grammar = json!({"type": "grammar", "grammar": {"syntax": "regex", "definition": "a+"}});
    let custom = json!({"type": "custom", "custom": {"name": "c", "format": grammar}});
    assert_eq!((&sent["tools"][0], losses.as_str()), (&custom, ""));
}

/// Opaque data comes back to its maker, in its place, and to no other.
#[test]
fn carriers_go_back() {
    let opaque = |kind| Opaque { vendor: Vendor::Anthropic, kind, data: JsonText::literal("Sg==") };
    let signed = encode(&opaque(OpaqueKind::Signature), Owner::Thinking);
    let hidden = encode(&opaque(OpaqueKind::Hidden), Owner::Thinking);
    let thought = |summary: &str, data: &str| {
        format!(
            r#"{{"type":"reasoning","id":"rs_1","summary":{summary},"encrypted_content":"{data}"}}"#
        )
    };
    let input = [
        r#"{"role":"user","content":"Hi"}"#.to_owned(),
        thought(r#"[{"type":"summary_text","text":"Hm"}]"#, &signed),
        thought("[]", &hidden),
        r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{}"}"#.to_owned(),
        r#"{"type":"function_call_output","call_id":"c1","output":"x"}"#.to_owned(),
    ];
    let body = format!(r#"{{"model":"m","input":[{}]}}"#, input.join(","));
    let (to_claude, losses) = sent(&target(ANTHROPIC), &body);
    let content = &to_claude["messages"][1]["content"];
    let thinking = json!({"type": "thinking", "thinking": "Hm", "signature": "Sg=="});
    assert_eq!(content[0], thinking, "{losses}");
    assert_eq!(content[1], json!({"type": "redacted_thinking", "data": "Sg=="}));
    assert_eq!(content[2]["type"], "tool_use");
    let (to_chat, losses) = sent(&target(CHAT), &body);
    assert!(!to_chat.to_string().contains("Sg==") && losses == "reasoning", "{losses}");
}

/// The signature of a call belongs to the call after it, that of a text to the text before it.
#[test]
fn carriers_find_their_neighbours() {
    let data = JsonText::literal("Sg==");
    let opaque = Opaque { vendor: Vendor::Google, kind: OpaqueKind::Signature, data };
    let thought = |owner| {
        let data = encode(&opaque, owner);
        format!(r#"{{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"{data}"}}"#)
    };
    let text = r#"{"role":"assistant","content":"A"}"#;
    let call = r#"{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}"#;
    let output = r#"{"type":"function_call_output","call_id":"c","output":"x"}"#;
    for (items, expected, losses) in [
        (vec![thought(Owner::Call), call.into(), output.into()], "call+ result", ""),
        (
            vec![text.into(), thought(Owner::Text), call.into(), output.into()],
            "text+ call result",
            "",
        ),
        (vec![thought(Owner::Text), call.into(), output.into()], "text+ call result", ""),
        (
            vec![thought(Owner::Call), text.into(), call.into(), output.into()],
            "text call result",
            "reasoning",
        ),
        (vec![text.into(), thought(Owner::Call)], "text", "reasoning"),
        (
            vec![thought(Owner::Call), thought(Owner::Call), call.into(), output.into()],
            "call+ result",
            "reasoning",
        ),
    ] {
        let body = format!(r#"{{"input":[{}]}}"#, items.join(","));
        let mut seen = crate::translate::loss::Losses::default();
        let operation = crate::translate::Operation::Generate;
        let request = super::super::request::read(&body, operation, &mut seen).expect("a request");
        let parts = request.turns.iter().flat_map(|turn| &turn.parts).map(|part| {
            use crate::translate::neutral::PartKind;
            let (name, is_signed) = match &part.kind {
                PartKind::Text(text) => ("text", text.signature.is_some()),
                PartKind::ToolCall(call) => ("call", call.signature.is_some()),
                PartKind::ToolResult(_) => ("result", false),
                _ => ("other", false),
            };
            [name, if is_signed { "+" } else { "" }].concat()
        });
        let parts: Vec<String> = parts.collect();
        assert_eq!(
            (parts.join(" ").as_str(), seen.dropped().join(" ").as_str()),
            (expected, losses)
        );
    }
}
