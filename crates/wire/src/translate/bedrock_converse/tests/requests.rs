//! Requests of applications, as Bedrock gets them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::kit::{CHAT_FIELDS, counted, field, translated};
use crate::translate::loss::Reason;
use crate::translate::{Target, Translated};

/// Takes sampling, not both at once, and a budget of thinking.
const OLD: &str = "anthropic.claude-sonnet-4-5-20250929-v1:0";
/// Takes no sampling, and efforts.
const NEW: &str = "us.anthropic.claude-opus-4-8";
const NOVA: &str = "amazon.nova-pro-v1:0";
const NOVA_2: &str = "amazon.nova-2-lite-v1:0";
const GPT: &str = "openai.gpt-oss-120b-1:0";
const LLAMA: &str = "meta.llama3-3-70b-instruct-v1:0";

fn target(model: &str) -> Target<'_> {
    Target::new(Format::BedrockConverse, model)
}

fn chat(model: &str, body: &str) -> Translated {
    translated(Format::OpenAiChat, &target(model), body)
        .unwrap_or_else(|refused| panic!("{body}: {refused}"))
}

fn with_fields(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{fields}}}"#)
}

/// Fields, model, the path and the value in the body, dropped, changed.
type Case<'c> = (&'c str, &'c str, &'c str, Value, &'c [&'c str], &'c [&'c str]);

fn check(cases: &[Case<'_>]) {
    for (fields, model, pointer, expected, dropped, changed) in cases {
        let seen = chat(model, &with_fields(fields));
        assert_eq!(&field(&seen, pointer), expected, "{model} {fields}");
        assert_eq!(seen.losses.dropped(), *dropped, "{model} {fields}");
        assert_eq!(seen.losses.changed(), *changed, "{model} {fields}");
    }
}

const INFERENCE: &str = "/inferenceConfig";
const FIELDS: &str = "/additionalModelRequestFields";
const JSON_LINE: &str = "Answer with one JSON object and nothing else.";

#[test]
fn options() {
    check(&[
        (
            "",
            LLAMA,
            "",
            json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}),
            &[],
            &[],
        ),
        ("", OLD, "/additionalModelResponseFieldPaths", json!(["/stop_sequence"]), &[], &[]),
        (r#","max_tokens":5"#, LLAMA, INFERENCE, json!({"maxTokens": 5}), &[], &[]),
        (r#","temperature":0.5"#, LLAMA, INFERENCE, json!({"temperature": 0.5}), &[], &[]),
        (
            r#","temperature":1.5"#,
            LLAMA,
            INFERENCE,
            json!({"temperature": 1}),
            &[],
            &["temperature"],
        ),
        (
            r#","temperature":1,"top_p":0.5"#,
            LLAMA,
            INFERENCE,
            json!({"temperature": 1, "topP": 0.5}),
            &[],
            &[],
        ),
        (
            r#","temperature":1,"top_p":0.5"#,
            OLD,
            INFERENCE,
            json!({"temperature": 1}),
            &["top_p"],
            &[],
        ),
        (
            r#","temperature":1,"top_p":0.5"#,
            NEW,
            INFERENCE,
            Value::Null,
            &["temperature", "top_p"],
            &[],
        ),
        (r#","top_k":4"#, OLD, FIELDS, json!({"top_k": 4}), &[], &[]),
        (r#","top_k":4"#, NEW, FIELDS, Value::Null, &["top_k"], &[]),
        (r#","top_k":4"#, NOVA, FIELDS, Value::Null, &["top_k"], &[]),
        (r#","stop":["a"," "]"#, LLAMA, INFERENCE, json!({"stopSequences": ["a"]}), &["stop"], &[]),
        (r#","stop":"\n""#, LLAMA, INFERENCE, Value::Null, &["stop"], &[]),
        (r#","service_tier":"flex""#, LLAMA, "/serviceTier", json!({"type": "flex"}), &[], &[]),
        (
            r#","service_tier":"default""#,
            LLAMA,
            "/serviceTier",
            json!({"type": "default"}),
            &[],
            &[],
        ),
        (r#","service_tier":"auto""#, LLAMA, "/serviceTier", Value::Null, &[], &[]),
        (r#","service_tier":"scale""#, LLAMA, "/serviceTier", Value::Null, &["service_tier"], &[]),
        (r#","metadata":{"a":"b c"}"#, LLAMA, "/requestMetadata", json!({"a": "b c"}), &[], &[]),
        (r#","metadata":{"a":"é"}"#, LLAMA, "/requestMetadata", Value::Null, &["metadata"], &[]),
        (r#","metadata":{"a":1}"#, LLAMA, "/requestMetadata", Value::Null, &["metadata"], &[]),
        (
            r#","seed":1,"logprobs":true,"presence_penalty":1,"user":"u","parallel_tool_calls":true"#,
            LLAMA,
            INFERENCE,
            Value::Null,
            &["logprobs", "presence_penalty", "seed", "user"],
            &[],
        ),
        (
            r#","response_format":{"type":"json_object"}"#,
            LLAMA,
            "/system",
            json!([{"text": JSON_LINE}]),
            &[],
            &["response_format"],
        ),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"name":"n","description":"d","schema":{"type": "object","properties":{}}}}"#,
            NOVA,
            "/outputConfig/textFormat",
            json!({"type": "json_schema", "structure": {"jsonSchema": {"schema": r#"{"type":"object","properties":{}}"#, "name": "n", "description": "d"}}}),
            &[],
            &[],
        ),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{}}}}"#,
            OLD,
            "/outputConfig/textFormat/structure/jsonSchema/schema",
            json!(r#"{"type":"object","properties":{},"additionalProperties":false}"#),
            &[],
            &["response_format"],
        ),
        (
            r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}}"#,
            OLD,
            "/system/0/text",
            json!(format!(
                r#"{JSON_LINE} The object follows this JSON Schema: {{"type":"object"}}"#
            )),
            &[],
            &["response_format"],
        ),
    ]);
}

#[test]
fn effort_by_model() {
    let effort = &["reasoning_effort"][..];
    let adaptive = |word: &str| json!({"thinking": {"type": "adaptive", "display": "summarized"}, "output_config": {"effort": word}});
    let budget = |tokens: u64| json!({"thinking": {"type": "enabled", "budget_tokens": tokens}});
    let nova =
        |word: &str| json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": word}});
    for (model, word, expected, dropped, changed) in [
        (NEW, "none", json!({"thinking": {"type": "disabled"}}), &[][..], &[][..]),
        (NEW, "minimal", adaptive("low"), &[], effort),
        (NEW, "medium", adaptive("medium"), &[], &[]),
        (NEW, "max", adaptive("max"), &[], &[]),
        ("anthropic.claude-opus-4-6-v1", "xhigh", adaptive("high"), &[], effort),
        (
            "anthropic.claude-fable-5",
            "none",
            json!({"output_config": {"effort": "low"}}),
            &[],
            effort,
        ),
        (OLD, "none", Value::Null, &[], &[]),
        (OLD, "low", budget(1_024), &[], &[]),
        (OLD, "medium", budget(8_192), &[], &[]),
        (OLD, "xhigh", budget(24_576), &[], effort),
        ("anthropic.claude-3-haiku-20240307-v1:0", "high", Value::Null, effort, &[]),
        (NOVA_2, "none", Value::Null, &[], &[]),
        (NOVA_2, "minimal", nova("low"), &[], effort),
        (NOVA_2, "medium", nova("medium"), &[], &[]),
        (NOVA_2, "max", nova("high"), &[], effort),
        (NOVA, "high", Value::Null, effort, &[]),
        (GPT, "high", json!({"reasoning_effort": "high"}), &[], &[]),
        (GPT, "xhigh", json!({"reasoning_effort": "high"}), &[], effort),
        ("moonshot.kimi-k2-thinking", "low", json!({"reasoning_effort": "low"}), &[], &[]),
        (LLAMA, "high", Value::Null, effort, &[]),
    ] {
        let seen = chat(model, &with_fields(&format!(r#","reasoning_effort":"{word}""#)));
        assert_eq!(field(&seen, FIELDS), expected, "{model} {word}");
        let losses = (seen.losses.dropped(), seen.losses.changed());
        assert_eq!(losses, (dropped.to_vec(), changed.to_vec()), "{model} {word}");
    }
}

/// What thinking excludes.
#[test]
fn thinking_and_the_rest() {
    let tools =
        r#","tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required""#;
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 8_192}});
    check(&[
        (
            r#","reasoning_effort":"medium","temperature":0.5,"top_k":3"#,
            OLD,
            FIELDS,
            thinking.clone(),
            &["temperature", "top_k"],
            &[],
        ),
        (
            r#","reasoning_effort":"medium","temperature":1"#,
            OLD,
            FIELDS,
            thinking.clone(),
            &[],
            &[],
        ),
        (r#","reasoning_effort":"medium","top_p":0.96"#, OLD, FIELDS, thinking, &[], &[]),
        (
            r#","reasoning_effort":"medium","max_tokens":2000"#,
            OLD,
            FIELDS,
            json!({"thinking": {"type": "enabled", "budget_tokens": 1_999}}),
            &[],
            &["reasoning_effort"],
        ),
        (
            r#","reasoning_effort":"medium","max_tokens":1024"#,
            OLD,
            FIELDS,
            Value::Null,
            &["reasoning_effort"],
            &[],
        ),
        (
            &format!(r#","reasoning_effort":"low"{tools}"#),
            OLD,
            FIELDS,
            Value::Null,
            &[],
            &["reasoning_effort"],
        ),
        (
            &format!(r#","reasoning_effort":"low"{tools}"#),
            GPT,
            FIELDS,
            json!({"reasoning_effort": "low"}),
            &[],
            &[],
        ),
    ]);
    // A call whose thinking is not there.
    let talk = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"x"}],"reasoning_effort":"low","tools":[{"type":"function","function":{"name":"f"}}]}"#;
    let seen = chat(OLD, talk);
    assert_eq!(
        (field(&seen, FIELDS), seen.losses.changed()),
        (Value::Null, vec!["reasoning_effort"])
    );
    let signed = talk.replace(
        r#""tool_calls""#,
        r#""thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"Sg=="},{"type":"redacted_thinking","data":"Qg=="}],"tool_calls""#,
    );
    let seen = chat(OLD, &signed);
    assert_eq!(
        field(&seen, FIELDS),
        json!({"thinking": {"type": "enabled", "budget_tokens": 1_024}})
    );
    assert_eq!(
        field(&seen, "/messages/1/content"),
        json!([
            {"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "Sg=="}}},
            {"reasoningContent": {"redactedContent": "Qg=="}},
            {"toolUse": {"toolUseId": "1", "name": "f", "input": {}}},
        ])
    );
    assert!(seen.losses.is_empty());
    // The same to another maker.
    let seen = chat(NOVA, &signed.replace(r#","reasoning_effort":"low""#, ""));
    assert_eq!(field(&seen, "/messages/1/content/0/toolUse/name"), json!("f"));
    assert_eq!(seen.losses.dropped(), ["reasoning"]);
}

#[test]
fn tools_and_their_choice() {
    let closed = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;
    let open = r#"{"type":"object","properties":{"a":{"maxLength":12345678901234567890}}}"#;
    let tool = |schema: &str, strict: &str| {
        format!(
            r#","tools":[{{"type":"function","function":{{"name":"f","description":" ","parameters":{schema}{strict}}}}}]"#
        )
    };
    let spec = "/toolConfig/tools/0/toolSpec";
    let strict = r#","strict":true"#;
    let open_spec = json!({"name": "f", "inputSchema": {"json": serde_json::from_str::<Value>(open).expect("JSON")}});
    let mut closed_spec = json!({"name": "f", "inputSchema": {"json": serde_json::from_str::<Value>(closed).expect("JSON")}});
    let lost = &["tools[0].function.strict"][..];
    check(&[
        (&tool(open, ""), OLD, spec, open_spec.clone(), &[], &[]),
        (&tool(open, strict), OLD, spec, open_spec, lost, &[]),
        (
            &tool(closed, strict),
            "anthropic.claude-3-haiku-20240307-v1:0",
            spec,
            closed_spec.clone(),
            lost,
            &[],
        ),
        (
            &tool(closed, strict),
            OLD,
            spec,
            {
                closed_spec["strict"] = json!(true);
                closed_spec
            },
            &[],
            &[],
        ),
    ]);
    let two = r#","tools":[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#;
    let allowed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"MODE","tools":[{"type":"function","function":{"name":"g"}}]}}"#;
    for (choice, tools, expected, changed) in [
        ("", 2, Value::Null, false),
        (r#""auto""#, 2, json!({"auto": {}}), false),
        (r#""required""#, 2, json!({"any": {}}), false),
        (
            r#"{"type":"function","function":{"name":"f"}}"#,
            2,
            json!({"tool": {"name": "f"}}),
            false,
        ),
        (&allowed.replace("MODE", "auto"), 1, json!({"auto": {}}), true),
        (&allowed.replace("MODE", "required"), 1, json!({"any": {}}), true),
        (r#""none""#, 0, Value::Null, false),
    ] {
        let choice_field = match choice {
            "" => String::new(),
            choice => format!(r#","tool_choice":{choice}"#),
        };
        let seen = chat(LLAMA, &with_fields(&format!("{two}{choice_field}")));
        assert_eq!(field(&seen, "/toolConfig/toolChoice"), expected, "{choice}");
        let sent = field(&seen, "/toolConfig/tools").as_array().map_or(0, Vec::len);
        assert_eq!((sent, seen.losses.changed().len()), (tools, usize::from(changed)), "{choice}");
    }
    // Nothing may be called, but something was.
    let called = r#"{"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":""}]"#;
    let seen = chat(LLAMA, &format!(r#"{called}{two},"tool_choice":"none"}}"#));
    assert_eq!(seen.losses.changed(), ["tool_choice"]);
    assert_eq!(field(&seen, "/toolConfig/tools").as_array().map(Vec::len), Some(2));
    let seen = chat(LLAMA, &format!("{called}}}"));
    assert_eq!(seen.losses.changed(), ["tools"]);
    assert_eq!(
        field(&seen, "/toolConfig"),
        json!({"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]})
    );
    assert_eq!(
        field(&seen, "/messages/2/content"),
        json!([{"toolResult": {"toolUseId": "1", "content": [{"text": ""}]}}])
    );
}

/// Messages, model, the translated messages, dropped, changed.
type Talk<'t> = (&'t str, &'t str, Value, &'t [&'t str], &'t [&'t str]);

#[test]
fn turns() {
    let u = r#"{"role":"user","content":"Hi"}"#;
    let call = r#"{"role":"assistant","content":"t","tool_calls":[{"id":"a|1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":2}"}},{"id":"b.2:","type":"function","function":{"name":"f","arguments":"{\"b\":"}}]}"#;
    let results = r#"{"role":"tool","tool_call_id":"b.2:","content":"y"},{"role":"tool","tool_call_id":"a|1","content":"x"}"#;
    let user = |content: Value| json!({"role": "user", "content": content});
    let assistant = |content: Value| json!({"role": "assistant", "content": content});
    let hi = || user(json!([{"text": "Hi"}]));
    let talks: &[Talk<'_>] = &[
        (
            &format!("{u},{u}"),
            LLAMA,
            json!([user(json!([{"text": "Hi"}, {"text": "Hi"}]))]),
            &[],
            &[],
        ),
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A"}},{{"role":"system","content":"S"}},{u}"#
            ),
            LLAMA,
            json!([
                hi(),
                assistant(json!([{"text": "A"}])),
                user(json!([{"text": "<system>S</system>"}, {"text": "Hi"}]))
            ]),
            &[],
            &[],
        ),
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A"}},{{"role":"system","content":"S"}},{u}"#
            ),
            NEW,
            json!([hi(), assistant(json!([{"text": "A"}])), {"role": "system", "content": [{"text": "S"}]}, hi()]),
            &[],
            &[],
        ),
        (
            &format!(r#"{{"role":"assistant","content":"A"}},{u}"#),
            LLAMA,
            json!([user(json!([{"text": "."}])), assistant(json!([{"text": "A"}])), hi()]),
            &[],
            &["messages"],
        ),
        (
            &format!(r#"{u},{{"role":"assistant","content":"A \n"}}"#),
            LLAMA,
            json!([hi(), assistant(json!([{"text": "A"}]))]),
            &[],
            &[],
        ),
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A","extra_content":{{"google":{{"thought_signature":"x"}}}}}},{u}"#
            ),
            LLAMA,
            json!([hi(), assistant(json!([{"text": "A"}])), hi()]),
            &["reasoning"],
            &[],
        ),
    ];
    for (messages, model, expected, dropped, changed) in talks {
        let seen = chat(model, &format!(r#"{{"messages":[{messages}]}}"#));
        assert_eq!(&field(&seen, "/messages"), expected, "{messages}");
        assert_eq!(
            (seen.losses.dropped(), seen.losses.changed()),
            (dropped.to_vec(), changed.to_vec()),
            "{messages}"
        );
    }
    let seen = chat(
        LLAMA,
        &format!(
            r#"{{"messages":[{u},{call},{results}],"tools":[{{"type":"function","function":{{"name":"f"}}}}]}}"#
        ),
    );
    assert_eq!(seen.losses.changed(), ["messages[].tool_calls[].function.arguments"]);
    let id = field(&seen, "/messages/1/content/1/toolUse/toolUseId");
    assert!(id.as_str().is_some_and(|id| id.starts_with("tooluse_") && id.len() <= 64), "{id}");
    assert_eq!(field(&seen, "/messages/1/content/1/toolUse/input"), json!({"b": 1, "a": 2}));
    assert_eq!(
        field(&seen, "/messages/1/content/2"),
        json!({"toolUse": {"toolUseId": "b.2:", "name": "f", "input": {"raw": "{\"b\":"}}})
    );
    assert_eq!(
        field(&seen, "/messages/2"),
        user(json!([
            {"toolResult": {"toolUseId": id, "content": [{"text": "x"}]}},
            {"toolResult": {"toolUseId": "b.2:", "content": [{"text": "y"}]}},
        ]))
    );
}

#[test]
fn media_and_marks() {
    let parts = |parts: &str| format!(r#"{{"messages":[{{"role":"user","content":[{parts}]}}]}}"#);
    let file = |kind: &str, name: &str| {
        format!(
            r#"{{"type":"file","file":{{"file_data":"data:{kind};base64,QUJD","filename":"{name}"}}}}"#
        )
    };
    let image =
        r#"{"type":"image_url","image_url":{"url":"data:image/jpg;base64,QUJD","detail":"low"}}"#;
    let seen = chat(LLAMA, &parts(image));
    assert_eq!(
        field(&seen, "/messages/0/content"),
        json!([{"image": {"format": "jpeg", "source": {"bytes": "QUJD"}}}])
    );
    assert_eq!(seen.losses.dropped(), ["messages[].content[].image_url.detail"]);
    let audio = r#"{"type":"input_audio","input_audio":{"data":"QUJD","format":"mp3"}}"#;
    assert_eq!(
        field(&chat(LLAMA, &parts(audio)), "/messages/0/content"),
        json!([{"audio": {"format": "mp3", "source": {"bytes": "QUJD"}}}])
    );
    let two = [file("application/pdf", "a_b.pdf"), file("text/csv", "a.b.pdf")].join(",");
    let seen = chat(LLAMA, &parts(&two));
    assert_eq!(
        field(&seen, "/messages/0/content"),
        json!([
            {"document": {"name": "a-b-pdf", "format": "pdf", "source": {"bytes": "QUJD"}}},
            {"document": {"name": "a-b-pdf 2", "format": "csv", "source": {"bytes": "QUJD"}}},
            {"text": "."},
        ])
    );
    assert_eq!(seen.losses.changed(), ["messages"]);
    let marked = |text: &str| {
        format!(
            r#"{{"type":"text","text":"{text}","prompt_cache_breakpoint":{{"mode":"explicit","ttl":"30m"}}}}"#
        )
    };
    let five: Vec<String> = ["1", "2", "3", "4", "5"].map(marked).to_vec();
    let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let seen = chat(NEW, &parts(&five.join(",")));
    assert_eq!(
        field(&seen, "/messages/0/content"),
        json!([{"text": "1"}, {"text": "2"}, point, {"text": "3"}, point, {"text": "4"}, point, {"text": "5"}, point])
    );
    let name = "messages[].content[].prompt_cache_breakpoint";
    assert_eq!(seen.losses.dropped(), [name]);
    assert_eq!(seen.losses.refusal(), None);
    let seen = chat(NOVA, &parts(&marked("1")));
    assert_eq!(
        field(&seen, "/messages/0/content"),
        json!([{"text": "1"}, {"cachePoint": {"type": "default"}}])
    );
    let seen = chat(LLAMA, &parts(&marked("1")));
    assert_eq!(field(&seen, "/messages/0/content"), json!([{"text": "1"}]));
    assert_eq!(seen.losses.dropped(), [name]);
}

#[test]
fn refused_requests() {
    let message = r#""messages":[{"role":"user","content":"Hi"}]"#;
    let user = |part: &str| format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#);
    let tools = r#""tools":[{"type":"function","function":{"name":"f"}}]"#;
    for (model, body, param, reason) in [
        (
            LLAMA,
            r#""messages":[{"role":"system","content":"S"}]"#.to_owned(),
            "messages",
            Reason::Invalid,
        ),
        (
            LLAMA,
            r#""messages":[{"role":"user","content":""}]"#.to_owned(),
            "messages[0]",
            Reason::Invalid,
        ),
        (LLAMA, format!(r#"{message},"n":2"#), "n", Reason::Unsupported),
        (LLAMA, format!(r#"{message},"max_tokens":0"#), "max_tokens", Reason::Unsupported),
        (
            LLAMA,
            format!(r#"{message},"tools":[{{"type":"function","function":{{"name":"a.b"}}}}]"#),
            "tools[0].name",
            Reason::Unsupported,
        ),
        (
            "anthropic.claude-fable-5-1",
            format!(r#"{message},{tools},"tool_choice":"required""#),
            "tool_choice",
            Reason::Unsupported,
        ),
        (
            LLAMA,
            user(r#"{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}"#),
            "messages[0].content[0]",
            Reason::Unsupported,
        ),
        (
            LLAMA,
            user(r#"{"type":"image_url","image_url":{"url":"data:image/tiff;base64,QUJD"}}"#),
            "messages[0].content[0]",
            Reason::Unsupported,
        ),
        (
            LLAMA,
            user(r#"{"type":"file","file":{"file_data":"data:application/zip;base64,QUJD"}}"#),
            "messages[0].content[0]",
            Reason::Unsupported,
        ),
        (
            LLAMA,
            user(r#"{"type":"file","file":{"file_id":"f"}}"#),
            "messages[0].content[0]",
            Reason::Unsupported,
        ),
    ] {
        let body = format!(r#"{{"model":"m",{body}}}"#);
        let refused = translated(Format::OpenAiChat, &target(model), &body);
        let refused = refused.map(|seen| String::from_utf8(seen.body)).expect_err(&body);
        assert_eq!((refused.param.as_deref(), refused.reason), (Some(param), reason), "{body}");
    }
}

/// Nothing disappears: a field is in the body, or it has a name in the losses.
#[test]
fn each_field_is_carried_or_named() {
    for model in [OLD, NEW, NOVA, NOVA_2, GPT, LLAMA] {
        let tools = r#","tools":[{"type":"function","function":{"name":"f"}}]"#;
        let plain = chat(model, &with_fields(tools)).body;
        for (name, value) in CHAT_FIELDS {
            let seen = chat(model, &with_fields(&format!(r#"{tools},"{name}":{value}"#)));
            let is_named = seen.losses.dropped().contains(name);
            assert_ne!(is_named, seen.body != plain, "{model} {name}");
        }
    }
}

#[test]
fn paths_and_counts() {
    let streamed = with_fields(r#","stream":true"#);
    assert_eq!(
        chat(OLD, &with_fields("")).path,
        "/model/anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse"
    );
    assert_eq!(chat("arn:aws:x/y", &streamed).path, "/model/arn%3Aaws%3Ax%2Fy/converse-stream");
    let body =
        with_fields(r#","temperature":1,"tools":[{"type":"function","function":{"name":"f"}}]"#);
    let seen = counted(Format::OpenAiChat, &target(LLAMA), &body);
    assert_eq!(seen.path, "/model/meta.llama3-3-70b-instruct-v1%3A0/count-tokens");
    assert_eq!(
        field(&seen, ""),
        json!({"input": {"converse": {
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}]},
            "messages": [{"role": "user", "content": [{"text": "Hi"}]}],
        }}})
    );
    assert!(seen.losses.is_empty());
}
