//! Requests of `chat/completions` for Anthropic.

use super::{Case, FieldCase, check, check_refused, translated, valid};
use crate::format::Format::{AnthropicMessages, OpenAiChat};
use crate::translate::{Call, Operation, Target, request};

/// A model with sampling, budgets of thinking and no system messages in the middle.
const OLD: &str = "claude-sonnet-4-5";
/// A model without sampling, with adaptive thinking and system messages in the middle.
const NEW: &str = "claude-opus-4-8";

fn case(model: &'static str, request: &'static str, expected: &'static str) -> Case {
    Case { model, request, expected, dropped: &[], changed: &[] }
}

impl Case {
    fn dropped(self, dropped: &'static [&'static str]) -> Case {
        Case { dropped, ..self }
    }

    fn changed(self, changed: &'static [&'static str]) -> Case {
        Case { changed, ..self }
    }
}

#[test]
fn turns_and_texts() {
    check(OpenAiChat, AnthropicMessages, valid::messages_request, &[
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"Hi"}],"max_tokens":9}"#,
            r#"{"max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#,
        ),
        // One block of the system prompt per message and part; blank ones are left out.
        case(
            OLD,
            r#"{"messages":[{"role":"system","content":"A"},{"role":"developer","content":[{"type":"text","text":"B"},{"type":"text","text":" "},{"type":"text","text":"C"}]},{"role":"user","content":"Hi"}]}"#,
            r#"{"system":[{"type":"text","text":"A"},{"type":"text","text":"B"},{"type":"text","text":"C"}],"messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]}"#,
        ),
        // Neighbours of one role are one turn.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"},{"role":"assistant","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":"e"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},{"role":"assistant","content":[{"type":"text","text":"c"},{"type":"text","text":"d"}]},{"role":"user","content":[{"type":"text","text":"e"}]}]}"#,
        ),
        // A system message in the middle stays there.
        case(
            NEW,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"S"},{"role":"user","content":"c"}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"system","content":[{"type":"text","text":"S"}]},{"role":"user","content":[{"type":"text","text":"c"}]}]}"#,
        ),
        case(
            OLD,
            r#"{"messages":[{"role":"system","content":"T"},{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"system","content":"S"},{"role":"user","content":"c"}]}"#,
            r#"{"system":[{"type":"text","text":"T"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"}]},{"role":"user","content":[{"type":"text","text":"<system>S</system>"},{"type":"text","text":"c"}]}]}"#,
        ),
        // Blank texts are left out, and turns of the assistant with them.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":""},{"role":"user","content":[{"type":"text","text":"\n\t"},{"type":"text","text":"b"}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}"#,
        ),
        // A first turn of the assistant, a refusal, and an end that is trimmed.
        case(
            OLD,
            r#"{"messages":[{"role":"assistant","content":null,"refusal":"No."},{"role":"user","content":"a"},{"role":"assistant","content":"b \n"}]}"#,
            r#"{"messages":[{"role":"assistant","content":[{"type":"text","text":"No."}]},{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"}]}]}"#,
        ),
        case(
            OLD,
            r#"{"messages":[{"role":"user","name":"Ann","content":"a"},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"refusal","refusal":"c"}],"annotations":[{"type":"url_citation"}],"audio":null},{"role":"user","content":"d","weight":1}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"user","content":[{"type":"text","text":"d"}]}]}"#,
        )
        .dropped(&["messages[].annotations", "messages[].name", "messages[].weight"]),
    ]);
}

#[test]
fn images_and_files() {
    check(OpenAiChat, AnthropicMessages, valid::messages_request, &[
        case(
            NEW,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"data:image/jpg;base64,QU\/D\n","detail":"auto"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image","source":{"type":"base64","media_type":"image/jpeg","data":"QU/D"}}]}]}"#,
        ),
        case(
            NEW,
            r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"https://example.org/a.png","detail":"high"}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://example.org/a.png"}}]}]}"#,
        )
        .dropped(&["messages[].content[].image_url.detail"]),
        case(
            NEW,
            r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,QUJD"}},{"type":"file","file":{"file_data":"data:text/plain;base64,w6k="}}]}]}"#,
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"QUJD"},"title":"a.pdf"},{"type":"document","source":{"type":"text","media_type":"text/plain","data":"é"}}]}]}"#,
        ),
        // The last four marks; the text before a blank one gets its mark.
        case(
            NEW,
            r#"{"messages":[{"role":"system","content":[{"type":"text","text":"0","prompt_cache_breakpoint":{"mode":"explicit"}}]},{"role":"user","content":[{"type":"text","text":"1","prompt_cache_breakpoint":{"mode":"explicit","ttl":"30m"}},{"type":"text","text":"2","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"text","text":"3"},{"type":"text","text":"","prompt_cache_breakpoint":{"mode":"explicit"}},{"type":"text","text":"4","prompt_cache_breakpoint":{"mode":"explicit"}}]}]}"#,
            r#"{"system":[{"type":"text","text":"0"}],"messages":[{"role":"user","content":[{"type":"text","text":"1","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"2","cache_control":{"type":"ephemeral"}},{"type":"text","text":"3","cache_control":{"type":"ephemeral"}},{"type":"text","text":"4","cache_control":{"type":"ephemeral"}}]}]}"#,
        )
        .dropped(&["messages[].content[].prompt_cache_breakpoint"]),
    ]);
}

#[test]
fn tools_and_their_calls() {
    check(OpenAiChat, AnthropicMessages, valid::messages_request, &[
        // Order of keys and long numbers are held against the bytes below.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}},{"id":"c2","type":"function","function":{"name":"g","arguments":""}}]},{"role":"tool","tool_call_id":"c2","content":"two"},{"role":"tool","tool_call_id":"c1","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]},{"role":"user","content":"d"}],"tools":[{"type":"function","function":{"name":"f","description":"F","parameters":{"type":"object","properties":{"x":{"type":"number"}}}}},{"type":"function","function":{"name":"g","description":" "}}]}"#,
            r#"{"tools":[{"name":"f","description":"F","input_schema":{"type":"object","properties":{"x":{"type":"number"}}}},{"name":"g","input_schema":{"type":"object","properties":{}}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"b"},{"type":"tool_use","id":"c1","name":"f","input":{"x":1}},{"type":"tool_use","id":"c2","name":"g","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"o"},{"type":"text","text":"ne"}]},{"type":"tool_result","tool_use_id":"c2","content":[{"type":"text","text":"two"}]},{"type":"text","text":"d"}]}]}"#,
        ),
        // Arguments that are half an object; an empty result.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": \"1"}}]},{"role":"tool","tool_call_id":"c1","content":""}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}"#,
            r#"{"tools":[{"name":"f","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"raw":"{\"x\": \"1"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":""}]}]}"#,
        )
        .changed(&["messages[].tool_calls[].function.arguments"]),
        // Calls without a declaration.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}},{"id":"c2","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"1"},{"role":"tool","tool_call_id":"c2","content":"2"}],"tools":[]}"#,
            r#"{"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"none"},"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{}},{"type":"tool_use","id":"c2","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"1"}]},{"type":"tool_result","tool_use_id":"c2","content":[{"type":"text","text":"2"}]}]}]}"#,
        )
        .changed(&["tools"]),
        // A tool with free text, and its call.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c1","type":"custom","custom":{"name":"f","input":"x \"y\""}}]},{"role":"tool","tool_call_id":"c1","content":"1"}],"tools":[{"type":"custom","custom":{"name":"f","description":"F","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"start: x"}}}}]}"#,
            r#"{"tools":[{"name":"f","description":"F","input_schema":{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"f","input":{"input":"x \"y\""}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"1"}]}]}]}"#,
        )
        .dropped(&["tools[0].custom.format"]),
        // The older form of tools.
        case(
            OLD,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":"1"}],"functions":[{"name":"f","parameters":{"type":"object","properties":{}}}],"function_call":{"name":"f"}}"#,
            r#"{"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"tool","name":"f"},"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"tool_use","id":"call_function_1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_function_1","content":[{"type":"text","text":"1"}]}]}]}"#,
        ),
    ]);
}

#[test]
fn the_choice_of_a_tool() {
    const TOOLS: &str = r#""tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    let target = Target::new(AnthropicMessages, OLD);
    for (choice, expected, changed) in [
        (r#""tool_choice":"auto""#, r#"{"type":"auto"}"#, &[][..]),
        (r#""tool_choice":"none""#, r#"{"type":"none"}"#, &[]),
        (r#""tool_choice":"none","parallel_tool_calls":false"#, r#"{"type":"none"}"#, &[]),
        (r#""tool_choice":"required""#, r#"{"type":"any"}"#, &[]),
        (
            r#""tool_choice":{"type":"function","function":{"name":"g"}}"#,
            r#"{"type":"tool","name":"g"}"#,
            &[],
        ),
        (
            r#""parallel_tool_calls":false"#,
            r#"{"type":"auto","disable_parallel_tool_use":true}"#,
            &[],
        ),
        (
            r#""tool_choice":"required","parallel_tool_calls":false"#,
            r#"{"type":"any","disable_parallel_tool_use":true}"#,
            &[],
        ),
        (r#""parallel_tool_calls":true"#, "null", &[]),
        (
            r#""tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"g"}}]}}"#,
            r#"{"type":"any"}"#,
            &["tool_choice"],
        ),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{TOOLS},{choice}}}"#);
        let seen = translated(OpenAiChat, &target, &body).expect(choice);
        let json = super::json(&seen.body);
        valid::messages_request(&json);
        assert_eq!(json["tool_choice"], super::json(expected.as_bytes()), "{choice}");
        assert_eq!(seen.losses.changed(), changed, "{choice}");
        let names: Vec<&str> = json["tools"]
            .as_array()
            .expect("tools")
            .iter()
            .filter_map(|t| t["name"].as_str())
            .collect();
        assert_eq!(names, if changed.is_empty() { &["f", "g"][..] } else { &["g"] }, "{choice}");
    }
    // Without tools a choice says nothing.
    let body = r#"{"messages":[{"role":"user","content":"a"}],"tools":[],"tool_choice":"auto","parallel_tool_calls":false}"#;
    let seen = translated(OpenAiChat, &target, body).expect("translated");
    assert_eq!(super::json(&seen.body).get("tool_choice"), None);
    assert!(seen.losses.is_empty(), "{:?}", seen.losses);
}

/// Fields beside `messages`: the field, the fields of the translation, what is told of it.
#[test]
fn options() {
    let cases: &[FieldCase<'_>] = &[
        (OLD, r#""temperature":0.70"#, r#""temperature":0.70"#, &[], &[]),
        (OLD, r#""temperature":1.5"#, r#""temperature":1"#, &[], &["temperature"]),
        (OLD, r#""temperature":0.5,"top_p":0.9"#, r#""temperature":0.5"#, &["top_p"], &[]),
        (
            "claude-3-haiku-20240307",
            r#""temperature":0.5,"top_p":0.9"#,
            r#""temperature":0.5,"top_p":0.9"#,
            &[],
            &[],
        ),
        (OLD, r#""top_p":0.9,"top_k":5"#, r#""top_p":0.9,"top_k":5"#, &[], &[]),
        (
            NEW,
            r#""temperature":0.5,"top_p":0.9,"top_k":5"#,
            "",
            &["temperature", "top_k", "top_p"],
            &[],
        ),
        (OLD, r#""stop":"x""#, r#""stop_sequences":["x"]"#, &[], &[]),
        (OLD, r#""stop":["x","\n"]"#, r#""stop_sequences":["x"]"#, &["stop"], &[]),
        (
            OLD,
            r#""stop":null,"n":1,"logprobs":false,"store":false,"logit_bias":{},"response_format":{"type":"text"}"#,
            "",
            &[],
            &[],
        ),
        (
            OLD,
            r#""seed":7,"presence_penalty":0.1,"frequency_penalty":0.2,"logprobs":true,"top_logprobs":3,"logit_bias":{"1":2}"#,
            "",
            &[
                "frequency_penalty",
                "logit_bias",
                "logprobs",
                "presence_penalty",
                "seed",
                "top_logprobs",
            ],
            &[],
        ),
        (
            OLD,
            r#""verbosity":"low","prediction":{},"moderation":{},"metadata":{"a":"b"},"store":true,"prompt_cache_key":"k","prompt_cache_options":{}"#,
            "",
            &[
                "metadata",
                "moderation",
                "prediction",
                "prompt_cache_key",
                "prompt_cache_options",
                "store",
                "verbosity",
            ],
            &[],
        ),
        (OLD, r#""user":"u""#, r#""metadata":{"user_id":"u"}"#, &[], &[]),
        (
            OLD,
            r#""user":"u","safety_identifier":"s""#,
            r#""metadata":{"user_id":"s"}"#,
            &["user"],
            &[],
        ),
        (OLD, r#""service_tier":"auto""#, r#""service_tier":"auto""#, &[], &[]),
        (OLD, r#""service_tier":"default""#, r#""service_tier":"standard_only""#, &[], &[]),
        (OLD, r#""service_tier":"flex""#, "", &["service_tier"], &[]),
        (
            OLD,
            r#""stream":true,"stream_options":{"include_usage":true}"#,
            r#""stream":true"#,
            &[],
            &[],
        ),
        // Not interpreted, whoever's they are.
        (
            OLD,
            r#""thinking":{"type":"enabled"},"safetySettings":[]"#,
            "",
            &["safetySettings", "thinking"],
            &[],
        ),
        (OLD, r#""max_completion_tokens":9,"max_tokens":7"#, r#""max_tokens":9"#, &[], &[]),
        (OLD, r#""max_tokens":7.0"#, r#""max_tokens":7"#, &[], &[]),
        (
            OLD,
            r#""response_format":{"type":"json_object"}"#,
            r#""system":[{"type":"text","text":"Answer with one JSON object and nothing else."}]"#,
            &[],
            &["response_format"],
        ),
        (
            OLD,
            r#""response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"type":"object","properties":{},"additionalProperties":false}}}"#,
            r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{},"additionalProperties":false}}}"#,
            &[],
            &[],
        ),
        (
            NEW,
            r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":"integer","minimum":1}}}}}"#,
            r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"integer","description":"{minimum: 1}"}},"additionalProperties":false}}}"#,
            &[],
            &["response_format"],
        ),
    ];
    for (model, fields, expected, dropped, changed) in cases {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{fields}}}"#);
        let seen =
            translated(OpenAiChat, &Target::new(AnthropicMessages, model), &body).expect(fields);
        let mut json = super::json(&seen.body);
        valid::messages_request(&json);
        let object = json.as_object_mut().expect("an object");
        object.remove("model");
        object.remove("messages");
        if !fields.contains("max_") {
            object.remove("max_tokens");
        }
        assert_eq!(json, super::json(format!("{{{expected}}}").as_bytes()), "{fields}");
        assert_eq!(seen.losses.dropped(), *dropped, "{fields}");
        assert_eq!(seen.losses.changed(), *changed, "{fields}");
    }
}

/// Model, effort and more; the thinking of the translation.
#[test]
fn thinking() {
    const OPUS_46: &str = "claude-opus-4-6";
    const FABLE: &str = "claude-fable-5-1";
    let cases: &[FieldCase<'_>] = &[
        (
            NEW,
            r#""reasoning_effort":"low""#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"low"}"#,
            &[],
            &[],
        ),
        (
            NEW,
            r#""reasoning_effort":"minimal""#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"low"}"#,
            &[],
            &["reasoning_effort"],
        ),
        (
            NEW,
            r#""reasoning_effort":"xhigh""#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"xhigh"}"#,
            &[],
            &[],
        ),
        (NEW, r#""reasoning_effort":"none""#, r#""thinking":{"type":"disabled"}"#, &[], &[]),
        (
            FABLE,
            r#""reasoning_effort":"none""#,
            r#""output_config":{"effort":"low"}"#,
            &[],
            &["reasoning_effort"],
        ),
        (
            OPUS_46,
            r#""reasoning_effort":"xhigh""#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"high"}"#,
            &[],
            &["reasoning_effort"],
        ),
        (
            OPUS_46,
            r#""reasoning_effort":"max""#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"max"}"#,
            &[],
            &[],
        ),
        (
            OPUS_46,
            r#""reasoning_effort":"low","temperature":0.5,"top_k":3"#,
            r#""thinking":{"type":"adaptive","display":"summarized"},"output_config":{"effort":"low"}"#,
            &["temperature", "top_k"],
            &[],
        ),
        (OLD, r#""reasoning_effort":"none""#, "", &[], &[]),
        (
            OLD,
            r#""reasoning_effort":"low""#,
            r#""thinking":{"type":"enabled","budget_tokens":1024}"#,
            &[],
            &[],
        ),
        (
            OLD,
            r#""reasoning_effort":"medium""#,
            r#""thinking":{"type":"enabled","budget_tokens":8192}"#,
            &[],
            &[],
        ),
        (
            OLD,
            r#""reasoning_effort":"high","temperature":1,"top_p":0.96"#,
            r#""thinking":{"type":"enabled","budget_tokens":24576},"temperature":1"#,
            &["top_p"],
            &[],
        ),
        (
            OLD,
            r#""reasoning_effort":"max""#,
            r#""thinking":{"type":"enabled","budget_tokens":24576}"#,
            &[],
            &["reasoning_effort"],
        ),
        (
            OLD,
            r#""reasoning_effort":"high","max_tokens":2000"#,
            r#""thinking":{"type":"enabled","budget_tokens":1999}"#,
            &[],
            &["reasoning_effort"],
        ),
        (OLD, r#""reasoning_effort":"high","max_tokens":1000"#, "", &["reasoning_effort"], &[]),
        ("claude-3-haiku-20240307", r#""reasoning_effort":"high""#, "", &["reasoning_effort"], &[]),
        // A tool that must be called counts more than thinking, where both cannot be.
        (
            OLD,
            r#""reasoning_effort":"low","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#,
            r#""tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"tool_choice":{"type":"any"}"#,
            &[],
            &["reasoning_effort"],
        ),
    ];
    for (model, fields, expected, dropped, changed) in cases {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"a"}}],{fields}}}"#);
        let seen =
            translated(OpenAiChat, &Target::new(AnthropicMessages, model), &body).expect(fields);
        let mut json = super::json(&seen.body);
        valid::messages_request(&json);
        let object = json.as_object_mut().expect("an object");
        for name in ["model", "messages", "max_tokens"] {
            object.remove(name);
        }
        assert_eq!(json, super::json(format!("{{{expected}}}").as_bytes()), "{model} {fields}");
        assert_eq!(seen.losses.dropped(), *dropped, "{fields}");
        assert_eq!(seen.losses.changed(), *changed, "{fields}");
    }
}

#[test]
fn thinking_of_earlier_answers() {
    const TOOLS: &str =
        r#""tools":[{"type":"function","function":{"name":"f"}}],"reasoning_effort":"low""#;
    let with = |thinking: &str| {
        let call = r#"{"id":"c1","type":"function","function":{"name":"f","arguments":"{}"}}"#;
        let body = format!(
            r#"{{"messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":"b",{thinking}"tool_calls":[{call}]}},{{"role":"tool","tool_call_id":"c1","content":"1"}}],{TOOLS}}}"#
        );
        translated(OpenAiChat, &Target::new(AnthropicMessages, OLD), &body).expect("translated")
    };
    let seen = with(
        r#""reasoning_content":"Hm","thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"Sg=="},{"type":"redacted_thinking","data":"RA==","after_calls":1}],"#,
    );
    let json = super::json(&seen.body);
    let blocks = json["messages"][1]["content"].as_array().expect("blocks");
    let kinds: Vec<&str> = blocks.iter().filter_map(|block| block["type"].as_str()).collect();
    assert_eq!(kinds, ["thinking", "text", "tool_use", "redacted_thinking"]);
    assert_eq!((&blocks[0]["signature"], &blocks[3]["data"]), (&"Sg==".into(), &"RA==".into()));
    assert_eq!(json["thinking"]["budget_tokens"], 1024);
    assert!(seen.losses.is_empty(), "{:?}", seen.losses);
    // Text alone is no thinking to Anthropic; and calls must begin with it where there is a budget.
    for (thinking, dropped) in [
        (r#""reasoning_content":"Hm","#, &["reasoning"][..]),
        (
            r#""thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"tg1.google.U2c9PQ"}],"#,
            &["reasoning"],
        ),
        (r#""extra_content":{"google":{"thought_signature":"Sg=="}},"#, &["reasoning"]),
        ("", &[]),
    ] {
        let seen = with(thinking);
        let json = super::json(&seen.body);
        valid::messages_request(&json);
        assert_eq!(json.get("thinking"), None, "{thinking}");
        assert_eq!(json["messages"][1]["content"].as_array().map(Vec::len), Some(2), "{thinking}");
        assert_eq!(seen.losses.dropped(), dropped, "{thinking}");
        assert_eq!(seen.losses.changed(), ["reasoning_effort"], "{thinking}");
    }
}

#[test]
fn refused() {
    let user = r#""messages":[{"role":"user","content":"a"}]"#;
    let body = |more: &str| format!("{{{user},{more}}}");
    for (more, param) in [
        (r#""n":2"#, "n"),
        (r#""modalities":["text","audio"]"#, "modalities"),
        (r#""audio":{"voice":"x","format":"wav"}"#, "audio"),
        (r#""web_search_options":{}"#, "web_search_options"),
        (r#""max_tokens":"7""#, "max_tokens"),
        (r#""max_tokens":-1"#, "max_tokens"),
        (r#""reasoning_effort":"some""#, "reasoning_effort"),
        (r#""tool_choice":"never""#, "tool_choice"),
        (r#""tools":[{"type":"function","function":{"name":"a b"}}]"#, "tools[0].name"),
        (r#""tools":[{"type":"function"}]"#, "tools[0]"),
        (r#""tools":[{"type":"web_search"}],"tool_choice":{"type":"web_search"}"#, "tools[0]"),
        (r#""tools":[{"type":"web_search"}],"tool_choice":"required""#, "tools[0]"),
        (r#""response_format":{"type":"yaml"}"#, "response_format"),
    ] {
        let refused = translated(OpenAiChat, &Target::new(AnthropicMessages, OLD), &body(more));
        let refused = refused.expect_err(more);
        // A field of the wrong type is named in the sentence.
        let named = refused.param.clone().unwrap_or_else(|| refused.message.clone());
        assert!(named.contains(param), "{more}: {refused:?}");
    }
    check_refused(
        OpenAiChat,
        AnthropicMessages,
        &[
            (OLD, r#"{}"#, "messages"),
            (OLD, r#"{"messages":[]}"#, "messages"),
            (OLD, r#"{"messages":[{"role":"system","content":"a"}]}"#, "messages"),
            (OLD, r#"{"messages":[{"role":"user","content":" "}]}"#, "messages[0]"),
            (OLD, r#"{"messages":[{"role":"user","content":7}]}"#, "messages[0]"),
            (OLD, r#"{"messages":[{"role":"robot","content":"a"}]}"#, "messages[0]"),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"tool","tool_call_id":"c","content":"1"}]}"#,
                "messages[1]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"tool","content":"1"}]}"#,
                "messages[1]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"user","content":"b"}]}"#,
                "messages[1]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:,x"}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/tiff;base64,AA=="}}]}]}"#,
                "messages[0].content[0]",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","audio":{"id":"audio_1"}}]}"#,
                "messages[1].audio",
            ),
            (
                OLD,
                r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}]}]}"#,
                "messages[2]",
            ),
            (
                "claude-fable-5-1",
                r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required"}"#,
                "tool_choice",
            ),
        ],
    );
}

/// Hosted tools are left out and named.
#[test]
fn hosted_tools() {
    let body = r#"{"messages":[{"role":"user","content":"a"}],"tools":[{"type":"web_search"},{"type":"function","function":{"name":"f"}}],"tool_choice":"auto"}"#;
    let seen =
        translated(OpenAiChat, &Target::new(AnthropicMessages, OLD), body).expect("translated");
    assert_eq!(seen.losses.dropped(), ["tools[0]"]);
    assert_eq!(super::json(&seen.body)["tools"].as_array().map(Vec::len), Some(1));
}

/// Numbers, the order of keys and lone surrogates are carried byte by byte.
#[test]
fn bytes_are_carried() {
    let body = r#"{"messages":[{"role":"user","content":"a\ud83d"},{"role":"assistant","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"z\":1e400,\"a\":12345678901234567890123,\"m\":\"\\ud83d\\u00e9\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"\u00e9"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","z":1.50,"a":0}}}],"temperature":0.10}"#;
    let seen =
        translated(OpenAiChat, &Target::new(AnthropicMessages, OLD), body).expect("translated");
    let text = String::from_utf8(seen.body).expect("UTF-8");
    for carried in [
        r#"{"type":"text","text":"a\ud83d"}"#,
        r#""input":{"z":1e400,"a":12345678901234567890123,"m":"\ud83d\u00e9"}"#,
        r#"{"type":"text","text":"\u00e9"}"#,
        r#""input_schema":{"type":"object","z":1.50,"a":0}"#,
        r#""temperature":0.10"#,
    ] {
        assert!(text.contains(carried), "{carried} in {text}");
    }
}

#[test]
fn paths_versions_and_bounds() {
    let body = r#"{"messages":[{"role":"user","content":"a"}],"stream":true,"temperature":0.5}"#;
    let target = |model| Target::new(AnthropicMessages, model);
    let version = |target: &Target<'_>| {
        let seen = translated(OpenAiChat, target, body).expect("translated");
        (seen.path.into_owned(), seen.headers, seen.output_tokens_max)
    };
    let header = |version: &str| vec![("anthropic-version", version.to_owned())];
    assert_eq!(version(&target(OLD)), ("/messages".into(), header("2023-06-01"), Some(64_000)));
    assert_eq!(version(&target(NEW)), ("/messages".into(), header("2026-10-21"), Some(128_000)));
    assert_eq!(version(&target("mine")).2, Some(8_192));
    let mut fixed = target(NEW);
    fixed.server.anthropic_version = Some("2099-01-01");
    assert_eq!(version(&fixed).1, header("2099-01-01"));
    fixed.server.is_vertex = true;
    let (path, headers, _) = version(&fixed);
    assert_eq!((path.as_str(), headers), ("/models/claude-opus-4-8:streamRawPredict", vec![]));
}

/// A count has no bound, no sampling and a path of its own.
#[test]
fn counts() {
    let body = r#"{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"a"}],"temperature":0.5,"system":"s"}"#;
    let call =
        Call { format: AnthropicMessages, operation: Operation::CountTokens, id: "c", created: 1 };
    let seen =
        request(&call, &Target::new(AnthropicMessages, OLD), body.as_bytes()).expect("translated");
    assert_eq!(seen.path, "/messages/count_tokens");
    let json = super::json(&seen.body);
    let names: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(names, ["messages", "model", "system"]);
    assert!(seen.losses.is_empty());
    let answer =
        crate::translate::answer(&seen.context, br#"{"input_tokens":12}"#).expect("a count");
    assert_eq!(answer.body, br#"{"input_tokens":12}"#);
}
