//! Requests of `messages` for chat completions.

use super::{Case, FieldCase, check, check_refused, translated, valid};
use crate::format::Format::{AnthropicMessages, OpenAiChat};
use crate::translate::Target;

/// Thinks, and can be told not to.
const NEW: &str = "gpt-5.6";
/// Does not think.
const OLD: &str = "gpt-4o";

fn case(model: &'static str, request: &'static str, expected: &'static str) -> Case {
    Case { model, request, expected, dropped: &[], changed: &[] }
}

impl Case {
    fn dropping(self, dropped: &'static [&'static str]) -> Case {
        Case { dropped, ..self }
    }

    fn changing(self, changed: &'static [&'static str]) -> Case {
        Case { changed, ..self }
    }
}

#[test]
fn turns_and_texts() {
    check(AnthropicMessages, OpenAiChat, valid::chat_request, &[
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#,
        ),
        case(
            OLD,
            r#"{"max_tokens":9,"system":"S","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"text","text":"c"}]},{"role":"user","content":"d"}],"stream":true}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":"c"},{"role":"user","content":"d"}],"stream":true}"#,
        ),
        case(
            OLD,
            r#"{"max_tokens":9,"system":[{"type":"text","text":"S"},{"type":"text","text":"T"}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"M"},{"role":"user","content":"c"}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"system","content":[{"type":"text","text":"S"},{"type":"text","text":"T"}]},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"developer","content":"M"},{"role":"user","content":"c"}]}"#,
        ),
        // Neighbours of one role are one turn to Anthropic.
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b","citations":[]}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
        ),
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b","citations":[{"type":"char_location"}],"later":1}]},{"role":"user","content":"c"}],"diagnostics":{},"context_management":{"edits":[]}}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}]}"#,
        )
        .dropping(&["context_management", "diagnostics", "messages[].content[].citations", "messages[].content[].later"]),
        // Marks of the prompt cache: where they are taken, the last four.
        case(
            NEW,
            r#"{"max_tokens":9,"cache_control":{"type":"ephemeral"},"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[{"role":"user","content":"a"}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"system","content":[{"type":"text","text":"S","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}}]},{"role":"user","content":"a"}]}"#,
        )
        .dropping(&["cache_control"]),
        case(
            OLD,
            r#"{"max_tokens":9,"system":[{"type":"text","text":"S","cache_control":{"type":"ephemeral"}}],"messages":[{"role":"user","content":"a"}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"system","content":"S"},{"role":"user","content":"a"}]}"#,
        )
        .dropping(&["cache_control"]),
    ]);
}

#[test]
fn media() {
    check(AnthropicMessages, OpenAiChat, valid::chat_request, &[
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}},{"type":"image","source":{"type":"url","url":"https://example.org/a.png"}}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}},{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}]}]}"#,
        ),
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","title":"t.pdf","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"}},{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QUJE"},"citations":{"enabled":true},"context":"old"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"T"}},{"type":"document","source":{"type":"content","content":[{"type":"text","text":"U"},{"type":"image","source":{"type":"url","url":"https://x.org/i"}}]}}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"t.pdf","file_data":"data:application/pdf;base64,QUJD"}},{"type":"file","file":{"filename":"document.pdf","file_data":"data:application/pdf;base64,QUJE"}},{"type":"text","text":"T"},{"type":"text","text":"U"},{"type":"image_url","image_url":{"url":"https://x.org/i"}}]}]}"#,
        )
        .dropping(&["messages[].content[].citations", "messages[].content[].context"]),
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"search_result","title":"T","source":"https://x.org","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"citations":{"enabled":true}},{"type":"text","text":"?"}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"T\nhttps://x.org\na\nb"},{"type":"text","text":"?"}]}]}"#,
        )
        .dropping(&["messages[].content[].citations"]),
    ]);
}

#[test]
fn tools_and_their_calls() {
    check(AnthropicMessages, OpenAiChat, valid::chat_request, &[
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"tool_use","id":"t1","name":"f","input":{ "x": 1 }},{"type":"tool_use","id":"t2","name":"g","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t2","content":"two"},{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]},{"type":"text","text":"go"}]}],"tools":[{"name":"f","description":"F","input_schema":{"type":"object","properties":{"x":{"type":"number"}}}},{"type":"custom","name":"g","input_schema":{"type":"object"}}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},{"id":"t2","type":"function","function":{"name":"g","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t1","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]},{"role":"tool","tool_call_id":"t2","content":"two"},{"role":"user","content":"go"}],"tools":[{"type":"function","function":{"name":"f","description":"F","parameters":{"type":"object","properties":{"x":{"type":"number"}}}}},{"type":"function","function":{"name":"g","parameters":{"type":"object"}}}]}"#,
        ),
        // Errors, empty results, media in results.
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t1","name":"f","input":{}},{"type":"tool_use","id":"t2","name":"f","input":{}},{"type":"tool_use","id":"t3","name":"f","input":{}},{"type":"tool_use","id":"t4","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","is_error":true,"content":"no file"},{"type":"tool_result","tool_use_id":"t2","is_error":true},{"type":"tool_result","tool_use_id":"t3"},{"type":"tool_result","tool_use_id":"t4","content":[{"type":"text","text":"see"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}]},{"type":"text","text":"go"}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"t2","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"t3","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"t4","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t1","content":"Error: no file"},{"role":"tool","tool_call_id":"t2","content":"Error"},{"role":"tool","tool_call_id":"t3","content":""},{"role":"tool","tool_call_id":"t4","content":"see"},{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,QUJD"}},{"type":"text","text":"go"}]}]}"#,
        )
        .changing(&["messages[].content[].content", "messages[].content[].is_error"]),
        // Thinking is the provider's own, and so are carriers of others.
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"Sg=="},{"type":"redacted_thinking","data":"tg1.google.U2c9PQ.c"},{"type":"tool_use","id":"t1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":"1"}]}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t1","content":"1"}]}"#,
        )
        .dropping(&["reasoning"]),
        case(
            OLD,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{},"required":[],"additionalProperties":false},"strict":true,"cache_control":{"type":"ephemeral"},"eager_input_streaming":true},{"name":"g","input_schema":{"type":"object"},"strict":true,"defer_loading":true,"input_examples":[{}],"allowed_callers":["direct"]},{"type":"web_search_20260318","name":"web_search"}]}"#,
            r#"{"max_completion_tokens":9,"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{},"required":[],"additionalProperties":false},"strict":true}},{"type":"function","function":{"name":"g","parameters":{"type":"object"}}}]}"#,
        )
        .dropping(&[
            "tools[0].cache_control",
            "tools[0].eager_input_streaming",
            "tools[1].allowed_callers",
            "tools[1].defer_loading",
            "tools[1].input_examples",
            "tools[1].strict",
            "tools[2]",
        ]),
    ]);
}

/// Fields beside `messages`: the field, the fields of the translation, what is told of it.
#[test]
fn options() {
    const TOOL: &str = r#""tools":[{"name":"f","input_schema":{"type":"object"}}]"#;
    let cases: &[FieldCase<'_>] = &[
        (
            OLD,
            r#""temperature":0.70,"top_p":0.9,"top_k":5"#,
            r#""temperature":0.7,"top_p":0.9"#,
            &["top_k"],
            &[],
        ),
        (OLD, r#""stop_sequences":["a","b"]"#, r#""stop":["a","b"]"#, &[], &[]),
        (OLD, r#""stop_sequences":[]"#, "", &[], &[]),
        (OLD, r#""tool_choice":{"type":"auto"}"#, r#""tool_choice":"auto""#, &[], &[]),
        (
            OLD,
            r#""tool_choice":{"type":"any","disable_parallel_tool_use":true}"#,
            r#""tool_choice":"required","parallel_tool_calls":false"#,
            &[],
            &[],
        ),
        (OLD, r#""tool_choice":{"type":"none"}"#, r#""tool_choice":"none""#, &[], &[]),
        (
            OLD,
            r#""tool_choice":{"type":"tool","name":"f"}"#,
            r#""tool_choice":{"type":"function","function":{"name":"f"}}"#,
            &[],
            &[],
        ),
        (OLD, r#""metadata":{"user_id":"u"}"#, r#""safety_identifier":"u""#, &[], &[]),
        (OLD, r#""service_tier":"auto""#, "", &[], &[]),
        (OLD, r#""service_tier":"standard_only""#, r#""service_tier":"default""#, &[], &[]),
        (OLD, r#""speed":"fast""#, "", &["speed"], &[]),
        (OLD, r#""speed":"standard","inference_geo":"global""#, "", &[], &[]),
        (
            OLD,
            r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{},"required":[],"additionalProperties":false}}}"#,
            r#""response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object","properties":{},"required":[],"additionalProperties":false},"strict":true}}"#,
            &[],
            &[],
        ),
        (
            OLD,
            r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}"#,
            r#""response_format":{"type":"json_schema","json_schema":{"name":"answer","schema":{"type":"object"}}}"#,
            &[],
            &[],
        ),
        (NEW, r#""output_config":{"effort":"max"}"#, r#""reasoning_effort":"max""#, &[], &[]),
        (OLD, r#""output_config":{"effort":"low"}"#, "", &["output_config.effort"], &[]),
        (NEW, r#""thinking":{"type":"adaptive"}"#, "", &[], &[]),
        (
            NEW,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}"#,
            r#""reasoning_effort":"high""#,
            &["thinking.display"],
            &[],
        ),
        (
            NEW,
            r#""thinking":{"type":"enabled","budget_tokens":2000}"#,
            r#""reasoning_effort":"low""#,
            &[],
            &["thinking"],
        ),
        (
            NEW,
            r#""thinking":{"type":"enabled","budget_tokens":8000}"#,
            r#""reasoning_effort":"medium""#,
            &[],
            &["thinking"],
        ),
        (
            NEW,
            r#""thinking":{"type":"enabled","budget_tokens":30000}"#,
            r#""reasoning_effort":"high""#,
            &[],
            &["thinking"],
        ),
        (NEW, r#""thinking":{"type":"disabled"}"#, r#""reasoning_effort":"none""#, &[], &[]),
        ("gpt-5", r#""thinking":{"type":"disabled"}"#, "", &["thinking"], &[]),
        (OLD, r#""thinking":{"type":"disabled"}"#, "", &[], &[]),
        (OLD, r#""thinking":{"type":"enabled","budget_tokens":2000}"#, "", &["thinking"], &[]),
    ];
    for (model, fields, expected, dropped, changed) in cases {
        let body = format!(
            r#"{{"max_tokens":5,"messages":[{{"role":"user","content":"a"}}],{TOOL},{fields}}}"#
        );
        let seen =
            translated(AnthropicMessages, &Target::new(OpenAiChat, model), &body).expect(fields);
        let mut json = super::json(&seen.body);
        valid::chat_request(&json);
        let object = json.as_object_mut().expect("an object");
        for name in ["model", "messages", "max_completion_tokens", "tools"] {
            object.remove(name);
        }
        assert_eq!(json, super::json(format!("{{{expected}}}").as_bytes()), "{fields}");
        assert_eq!(seen.losses.dropped(), *dropped, "{fields}");
        assert_eq!(seen.losses.changed(), *changed, "{fields}");
    }
}

/// A server that is not OpenAI's: other names, no marks, no `developer`.
#[test]
fn other_servers() {
    let mut target = Target::new(OpenAiChat, "llama-3.3");
    target.server.is_openai = false;
    target.server.max_tokens_field = "max_tokens";
    target.server.reasoning_back = true;
    let body = r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"Hm","signature":"tg1.other."},{"type":"text","text":"b"}]},{"role":"system","content":"M"},{"role":"user","content":"c"}],"metadata":{"user_id":"u"}}"#;
    let seen = translated(AnthropicMessages, &target, body).expect("translated");
    let expected = r#"{"model":"llama-3.3","messages":[{"role":"user","content":"a"},{"role":"assistant","reasoning_content":"Hm","content":"b"},{"role":"system","content":"M"},{"role":"user","content":"c"}],"max_tokens":9,"user":"u"}"#;
    assert_eq!(String::from_utf8_lossy(&seen.body), expected);
    assert!(seen.losses.is_empty(), "{:?}", seen.losses);
}

#[test]
fn refused() {
    const USER: &str = r#""messages":[{"role":"user","content":"a"}]"#;
    let target = Target::new(OpenAiChat, OLD);
    for (more, param) in [
        (r#""max_tokens":0"#, "max_tokens"),
        (r#""max_tokens":-5"#, "max_tokens"),
        (r#""max_tokens":9,"stop_sequences":["1","2","3","4","5"]"#, "stop_sequences"),
        (r#""max_tokens":9,"container":"c""#, "container"),
        (r#""max_tokens":9,"mcp_servers":[{}]"#, "mcp_servers"),
        (r#""max_tokens":9,"inference_geo":"us""#, "inference_geo"),
        (r#""max_tokens":9,"thinking":{"type":"enabled"}"#, "thinking.budget_tokens"),
        (
            r#""max_tokens":9,"tools":[{"type":"bash_20250124","name":"bash"}],"tool_choice":{"type":"tool","name":"bash"}"#,
            "tools[0]",
        ),
        (r#""max_tokens":9,"tools":[{"input_schema":{}}]"#, "tools[0].name"),
        (r#""temperature":1"#, "max_tokens"),
    ] {
        let body = format!("{{{USER},{more}}}");
        let refused = translated(AnthropicMessages, &target, &body).expect_err(more);
        assert_eq!(refused.param.as_deref(), Some(param), "{more}");
    }
    check_refused(
        AnthropicMessages,
        OpenAiChat,
        &[
            (OLD, r#"{"max_tokens":9,"messages":[]}"#, "messages"),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"The answer is ("}]}"#,
                "messages[1]",
            ),
            (OLD, r#"{"max_tokens":9,"messages":[{"role":"tool","content":"a"}]}"#, "messages[0]"),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"file","file_id":"f"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"url","url":"https://x.org/a.pdf"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"container_upload","file_id":"f"}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":"b"}]}"#,
                "messages[1].content[0]",
            ),
            (
                OLD,
                r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"1"}]}]}"#,
                "messages[0].content[0]",
            ),
        ],
    );
}
