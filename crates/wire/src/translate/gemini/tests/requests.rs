//! Requests of applications, as Gemini gets them.

use serde_json::{Value, json};

use crate::format::Format;
use crate::translate::kit::{CHAT_FIELDS, counted, field, translated};
use crate::translate::loss::Reason;
use crate::translate::{Target, Translated};

fn target(model: &str) -> Target<'_> {
    Target::new(Format::Gemini, model)
}

fn chat(model: &str, body: &str) -> Translated {
    translated(Format::OpenAiChat, &target(model), body)
        .unwrap_or_else(|refused| panic!("{body}: {refused}"))
}

/// A chat request with these fields beside one message.
fn with_fields(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}]{fields}}}"#)
}

/// Fields, model, the path and the value in the body, dropped, changed.
type Case<'c> = (&'c str, &'c str, &'c str, Value, &'c [&'c str], &'c [&'c str]);

fn check(cases: &[Case<'_>]) {
    for (fields, model, pointer, expected, dropped, changed) in cases {
        let seen = chat(model, &with_fields(fields));
        assert_eq!(&field(&seen, pointer), expected, "{fields}");
        assert_eq!(seen.losses.dropped(), *dropped, "{fields}");
        assert_eq!(seen.losses.changed(), *changed, "{fields}");
    }
}

const CONFIG: &str = "/generationConfig";

#[test]
fn options() {
    let gemini = "gemini-2.5-flash";
    check(&[
        (
            "",
            gemini,
            "",
            json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}),
            &[],
            &[],
        ),
        (r#","max_tokens":5"#, gemini, CONFIG, json!({"maxOutputTokens": 5}), &[], &[]),
        (r#","temperature":2"#, gemini, CONFIG, json!({"temperature": 2}), &[], &[]),
        (r#","top_p":0.5,"top_k":4"#, gemini, CONFIG, json!({"topP": 0.5, "topK": 4}), &[], &[]),
        (r#","stop":"a\"b""#, gemini, CONFIG, json!({"stopSequences": ["a\"b"]}), &[], &[]),
        (
            r#","seed":-3,"presence_penalty":0.5,"frequency_penalty":-1"#,
            gemini,
            CONFIG,
            json!({"seed": -3, "presencePenalty": 0.5, "frequencyPenalty": -1}),
            &[],
            &[],
        ),
        (r#","seed":99999999999"#, gemini, CONFIG, Value::Null, &["seed"], &[]),
        (
            r#","logprobs":true,"top_logprobs":3"#,
            gemini,
            CONFIG,
            json!({"responseLogprobs": true, "logprobs": 3}),
            &[],
            &[],
        ),
        (r#","logprobs":true"#, gemini, CONFIG, json!({"responseLogprobs": true}), &[], &[]),
        (r#","top_logprobs":3"#, gemini, CONFIG, Value::Null, &["top_logprobs"], &[]),
        (
            r#","response_format":{"type":"json_object"}"#,
            gemini,
            CONFIG,
            json!({"responseMimeType": "application/json"}),
            &[],
            &[],
        ),
        (
            r##","response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"$ref":"#/$defs/a","$defs":{"a":{"const":1}}}}}"##,
            gemini,
            CONFIG,
            json!({"responseMimeType": "application/json",
                "responseJsonSchema": {"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}}),
            &[],
            &[],
        ),
        (r#","service_tier":"priority""#, gemini, "/serviceTier", json!("priority"), &[], &[]),
        (r#","service_tier":"default""#, gemini, "/serviceTier", json!("standard"), &[], &[]),
        (r#","service_tier":"auto""#, gemini, "/serviceTier", Value::Null, &[], &[]),
        (r#","service_tier":"scale""#, gemini, "/serviceTier", Value::Null, &["service_tier"], &[]),
        (
            r#","user":"u","safety_identifier":"s","metadata":{"a":"b"},"verbosity":"low""#,
            gemini,
            CONFIG,
            Value::Null,
            &["metadata", "safety_identifier", "user", "verbosity"],
            &[],
        ),
    ]);
}

#[test]
fn effort_by_model() {
    let budget = |tokens: u64| json!({"thinkingBudget": tokens, "includeThoughts": true});
    let level = |level: &str| json!({"thinkingLevel": level, "includeThoughts": true});
    let off = json!({"thinkingBudget": 0});
    let thinking = "/generationConfig/thinkingConfig";
    let effort = &["reasoning_effort"][..];
    for (model, word, expected, dropped, changed) in [
        ("gemini-2.5-flash", "none", off, &[][..], &[][..]),
        ("gemini-2.5-pro", "none", json!({"thinkingBudget": 128}), &[], effort),
        ("gemini-2.5-pro", "minimal", budget(1_024), &[], &[]),
        ("gemini-2.5-flash", "low", budget(1_024), &[], &[]),
        ("gemini-2.5-flash", "medium", budget(8_192), &[], &[]),
        ("gemini-2.5-flash", "high", budget(24_576), &[], &[]),
        ("gemini-2.5-flash", "xhigh", budget(24_576), &[], effort),
        ("gemini-2.5-flash", "max", budget(24_576), &[], effort),
        ("gemini-3-flash", "none", json!({"thinkingLevel": "minimal"}), &[], effort),
        ("gemini-3.1-pro", "none", json!({"thinkingLevel": "low"}), &[], effort),
        ("gemini-3-flash", "minimal", level("minimal"), &[], &[]),
        ("gemini-3.7-flash", "minimal", level("low"), &[], effort),
        ("gemini-3-flash", "medium", level("medium"), &[], &[]),
        ("gemini-3-pro-preview", "medium", level("high"), &[], effort),
        ("gemini-3-pro-preview", "high", level("high"), &[], &[]),
        ("gemini-3-flash", "max", level("high"), &[], effort),
        ("gemini-2.0-flash", "high", Value::Null, effort, &[]),
        ("gemini-2.0-flash", "none", Value::Null, &[], &[]),
    ] {
        let seen = chat(model, &with_fields(&format!(r#","reasoning_effort":"{word}""#)));
        assert_eq!(field(&seen, thinking), expected, "{model} {word}");
        assert_eq!(
            (seen.losses.dropped(), seen.losses.changed()),
            (dropped.to_vec(), changed.to_vec()),
            "{model} {word}"
        );
    }
}

#[test]
fn tools_and_their_choice() {
    let tool = r#"{"type":"function","function":{"name":"f","description":"d","parameters":{"type":"object","properties":{"a":{"const":1e400}},"oneOf":[{}]}STRICT}}"#;
    let tools = format!(r#","tools":[{}]"#, tool.replace("STRICT", ""));
    let strict = format!(r#","tools":[{}]"#, tool.replace("STRICT", r#","strict":true"#));
    let seen = chat("gemini-3-flash", &with_fields(&tools));
    let body = String::from_utf8(seen.body).expect("UTF-8");
    // A schema keeps its bytes.
    assert!(
        body.ends_with(r#""tools":[{"functionDeclarations":[{"name":"f","description":"d","parametersJsonSchema":{"type":"object","properties":{"a":{"const":1e400}},"oneOf":[{}]}}]}]}"#),
        "{body}"
    );
    let [tools, strict] = [tools, strict].map(|tools| tools.replace("1e400", "1"));
    let calling = |mode: &str| json!({"mode": mode});
    let named = |mode: &str| json!({"mode": mode, "allowedFunctionNames": ["f"]});
    let allowed = r#"{"type":"allowed_tools","allowed_tools":{"mode":"MODE","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
    for (tools, choice, expected) in [
        (&tools, "", Value::Null),
        (&strict, "", calling("VALIDATED")),
        (&tools, r#""auto""#, calling("AUTO")),
        (&strict, r#""auto""#, calling("VALIDATED")),
        (&tools, r#""none""#, calling("NONE")),
        (&strict, r#""none""#, calling("NONE")),
        (&tools, r#""required""#, calling("ANY")),
        (&tools, r#"{"type":"function","function":{"name":"f"}}"#, named("ANY")),
        (&tools, &allowed.replace("MODE", "auto"), named("VALIDATED")),
        (&tools, &allowed.replace("MODE", "required"), named("ANY")),
        (&String::new(), r#""auto""#, Value::Null),
    ] {
        let choice = match choice {
            "" => String::new(),
            choice => format!(r#","tool_choice":{choice}"#),
        };
        let seen = chat("gemini-3-flash", &with_fields(&format!("{tools}{choice}")));
        assert_eq!(field(&seen, "/toolConfig/functionCallingConfig"), expected, "{choice}");
        assert!(seen.losses.is_empty(), "{choice}");
    }
    let parallel = |value: &str| format!(r#"{tools},"parallel_tool_calls":{value}"#);
    let seen = chat("gemini-3-flash", &with_fields(&parallel("false")));
    assert_eq!(seen.losses.dropped(), ["parallel_tool_calls"]);
    assert!(chat("gemini-3-flash", &with_fields(&parallel("true"))).losses.is_empty());
    let custom = r#","tools":[{"type":"custom","custom":{"name":"c","format":{"type":"grammar","grammar":{}}}},{"type":"function","function":{"name":"e"}}]"#;
    let seen = chat("gemini-3-flash", &with_fields(custom));
    assert_eq!(seen.losses.dropped(), ["tools[0].custom.format"]);
    assert_eq!(
        field(&seen, "/tools/0/functionDeclarations"),
        json!([
            {"name": "c", "parametersJsonSchema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"], "additionalProperties": false}},
            {"name": "e", "parametersJsonSchema": {"type": "object", "properties": {}}},
        ])
    );
}

/// Messages, model, contents, dropped, changed.
type Talk<'t> = (&'t str, &'t str, Value, &'t [&'t str], &'t [&'t str]);

fn check_talks(talks: &[Talk<'_>]) {
    for (messages, model, expected, dropped, changed) in talks {
        let seen = chat(model, &format!(r#"{{"model":"m","messages":[{messages}]}}"#));
        assert_eq!(&field(&seen, "/contents"), expected, "{messages}");
        assert_eq!(seen.losses.dropped(), *dropped, "{messages}");
        assert_eq!(seen.losses.changed(), *changed, "{messages}");
    }
}

fn user(parts: Value) -> Value {
    json!({"role": "user", "parts": parts})
}

fn model(parts: Value) -> Value {
    json!({"role": "model", "parts": parts})
}

const CALL: &str = r#"{"role":"assistant","content":"t","tool_calls":[{"id":"a|1","type":"function","function":{"name":"f","arguments":"{\"b\":1,\"a\":12345678901234567890}"}},{"id":"2","type":"function","function":{"name":"g","arguments":""}}]}"#;
const RESULTS: &str = r#"{"role":"tool","tool_call_id":"2","content":"{\"$ref\":1}"},{"role":"tool","tool_call_id":"a|1","content":[{"type":"text","text":"x"},{"type":"text","text":"y"}]}"#;

#[test]
fn turns() {
    let hi = || user(json!([{"text": "Hi"}]));
    let responses = || {
        user(json!([
            {"functionResponse": {"name": "f", "response": {"output": "x\ny"}}},
            {"functionResponse": {"name": "g", "response": {"output": "{\"$ref\":1}"}}},
        ]))
    };
    let calls = |signature: Option<&str>| {
        let mut call = json!({"functionCall": {"name": "f", "args": {"b": 1, "a": 12_345_678_901_234_567_890_u64}}});
        if let Some(signature) = signature {
            call["thoughtSignature"] = json!(signature);
        }
        model(json!([{"text": "t"}, call, {"functionCall": {"name": "g", "args": {}}}]))
    };
    let u = r#"{"role":"user","content":"Hi"}"#;
    let signed = CALL.replacen(
        r#""id":"a|1","#,
        r#""id":"a|1","extra_content":{"google":{"thought_signature":"Sg=="}},"#,
        1,
    );
    check_talks(&[
        (u, "gemini-3-flash", json!([hi()]), &[], &[]),
        (
            &format!("{u},{u}"),
            "gemini-3-flash",
            json!([user(json!([{"text": "Hi"}, {"text": "Hi"}]))]),
            &[],
            &[],
        ),
        (
            &format!("{u},{CALL},{RESULTS}"),
            "gemini-2.5-flash",
            json!([hi(), calls(None), responses()]),
            &[],
            &[],
        ),
        // The placeholder of a call that another model made, and a signature of Gemini.
        (
            &format!("{u},{CALL},{RESULTS},{u}"),
            "gemini-3-flash",
            json!([hi(), calls(Some("skip_thought_signature_validator")), responses(), hi()]),
            &[],
            &[],
        ),
        (
            &format!("{u},{signed},{RESULTS}"),
            "gemini-3-flash",
            json!([hi(), calls(Some("Sg==")), responses()]),
            &[],
            &[],
        ),
        (
            &format!(
                "{u},{},{RESULTS}",
                CALL.replace(r#""{\"b\":1,\"a\":12345678901234567890}""#, r#""{\"b\":""#)
            ),
            "gemini-2.5-flash",
            json!([
                hi(),
                model(
                    json!([{"text": "t"}, {"functionCall": {"name": "f", "args": {"raw": "{\"b\":"}}}, {"functionCall": {"name": "g", "args": {}}}])
                ),
                responses()
            ]),
            &[],
            &["messages[].tool_calls[].function.arguments"],
        ),
        // System messages in the middle stay there.
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A"}},{{"role":"developer","content":"S"}},{u}"#
            ),
            "gemini-3-flash",
            json!([
                hi(),
                model(json!([{"text": "A"}])),
                user(json!([{"text": "<system>S</system>"}, {"text": "Hi"}]))
            ]),
            &[],
            &[],
        ),
        (
            &format!(r#"{{"role":"assistant","content":"A"}},{u}"#),
            "gemini-3-flash",
            json!([user(json!([{"text": "."}])), model(json!([{"text": "A"}])), hi()]),
            &[],
            &["messages"],
        ),
        (
            &format!(r#"{u},{{"role":"assistant","content":"","refusal":"No"}},{u}"#),
            "gemini-3-flash",
            json!([hi(), model(json!([{"text": "No"}])), hi()]),
            &[],
            &[],
        ),
        // Thinking of another maker is not sent; Gemini's own is.
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A","thinking_blocks":[{{"type":"thinking","thinking":"Hm","signature":"Sg=="}}]}},{u}"#
            ),
            "gemini-3-flash",
            json!([hi(), model(json!([{"text": "A"}])), hi()]),
            &["reasoning"],
            &[],
        ),
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A","reasoning_content":"Hm","extra_content":{{"google":{{"thought_signature":"Sg=="}}}}}},{u}"#
            ),
            "gemini-3-flash",
            json!([hi(), model(json!([{"text": "A", "thoughtSignature": "Sg=="}])), hi()]),
            &["reasoning"],
            &[],
        ),
        (
            &format!(
                r#"{u},{{"role":"assistant","content":"A","thinking_blocks":[{{"type":"thinking","thinking":"Hm","signature":"tg1.google.U2c9PQ"}}]}},{u}"#
            ),
            "gemini-3-flash",
            json!([
                hi(),
                model(
                    json!([{"text": "Hm", "thought": true, "thoughtSignature": "Sg=="}, {"text": "A"}])
                ),
                hi()
            ]),
            &[],
            &[],
        ),
        // A turn with nothing but thinking of another maker goes.
        (
            &format!(r#"{u},{{"role":"assistant","content":null,"reasoning_content":"Hm"}},{u}"#),
            "gemini-3-flash",
            json!([user(json!([{"text": "Hi"}, {"text": "Hi"}]))]),
            &["reasoning"],
            &[],
        ),
    ]);
    let system = r#"{"role":"system","content":"S1"},{"role":"developer","content":[{"type":"text","text":"S2"},{"type":"text","text":" "}]}"#;
    let seen = chat("gemini-3-flash", &format!(r#"{{"messages":[{system},{u}]}}"#));
    assert_eq!(
        field(&seen, "/systemInstruction"),
        json!({"parts": [{"text": "S1"}, {"text": "S2"}]})
    );
}

#[test]
fn media() {
    let parts = |parts: &str| format!(r#"{{"role":"user","content":[{parts}]}}"#);
    let image = |url: &str, detail: &str| {
        format!(r#"{{"type":"image_url","image_url":{{"url":"{url}"{detail}}}}}"#)
    };
    let png = "data:image/png;base64,QUJD";
    let inline = |kind: &str| json!({"inlineData": {"mimeType": kind, "data": "QUJD"}});
    let detail = "messages[].content[].image_url.detail";
    check_talks(&[
        (
            &parts(&image(png, "")),
            "gemini-3-flash",
            json!([user(json!([inline("image/png")]))]),
            &[],
            &[],
        ),
        (
            &parts(&image("data:image/jpg;base64,QU\\nJD", "")),
            "gemini-3-flash",
            json!([user(json!([inline("image/jpeg")]))]),
            &[],
            &[],
        ),
        (
            &parts(&image("data:image/heic;base64,QUJD", "")),
            "gemini-3-flash",
            json!([user(json!([inline("image/heic")]))]),
            &[],
            &[],
        ),
        (
            &parts(&image("https://example.org/a.webp?b", "")),
            "gemini-3-flash",
            json!([user(
                json!([{"fileData": {"mimeType": "image/webp", "fileUri": "https://example.org/a.webp?b"}}])
            )]),
            &[],
            &[],
        ),
        (
            &parts(
                &[image(png, r#","detail":"low""#), image(png, r#","detail":"high""#)].join(","),
            ),
            "gemini-3-flash",
            json!([user(json!([inline("image/png"), inline("image/png")]))]),
            &[detail],
            &[],
        ),
        (
            &parts(
                r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,QUJD","filename":"a.pdf"}}"#,
            ),
            "gemini-3-flash",
            json!([user(json!([inline("application/pdf")]))]),
            &["messages[].content[].file.filename"],
            &[],
        ),
        (
            &parts(
                r#"{"type":"input_audio","input_audio":{"data":"QUJD","format":"wav"}},{"type":"text","text":"?","prompt_cache_breakpoint":{"mode":"explicit"}}"#,
            ),
            "gemini-3-flash",
            json!([user(json!([inline("audio/wav"), {"text": "?"}]))]),
            &["messages[].content[].prompt_cache_breakpoint"],
            &[],
        ),
    ]);
    let both =
        parts(&[image(png, r#","detail":"low""#), image(png, r#","detail":"low""#)].join(","));
    let seen = chat("gemini-3-flash", &format!(r#"{{"messages":[{both}]}}"#));
    assert_eq!(field(&seen, "/generationConfig/mediaResolution"), json!("MEDIA_RESOLUTION_LOW"));
    assert!(seen.losses.is_empty());
}

#[test]
fn refused_requests() {
    let message = r#""messages":[{"role":"user","content":"Hi"}]"#;
    let user = |part: &str| format!(r#""messages":[{{"role":"user","content":[{part}]}}]"#);
    for (body, param, reason) in [
        (r#""messages":[{"role":"system","content":"S"}]"#.to_owned(), "messages", Reason::Invalid),
        (r#""messages":[]"#.to_owned(), "messages", Reason::Invalid),
        (
            r#""messages":[{"role":"user","content":" "}]"#.to_owned(),
            "messages[0]",
            Reason::Invalid,
        ),
        (
            r#""messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]"#
                .to_owned(),
            "messages[1]",
            Reason::Unsupported,
        ),
        (format!(r#"{message},"n":2"#), "n", Reason::Unsupported),
        (format!(r#"{message},"max_tokens":0"#), "max_tokens", Reason::Unsupported),
        (format!(r#"{message},"stop":["1","2","3","4","5","6"]"#), "stop", Reason::Unsupported),
        (
            format!(r#"{message},"tools":[{{"type":"function","function":{{"name":"1st"}}}}]"#),
            "tools[0].name",
            Reason::Unsupported,
        ),
        (
            user(r#"{"type":"image_url","image_url":{"url":"https://example.org/a"}}"#),
            "messages[0].content[0]",
            Reason::Unsupported,
        ),
        (
            user(r#"{"type":"text","text":"a"},{"type":"file","file":{"file_id":"f"}}"#),
            "messages[0].content[1]",
            Reason::Unsupported,
        ),
    ] {
        let body = format!(r#"{{"model":"m",{body}}}"#);
        let refused = translated(Format::OpenAiChat, &target("gemini-3-flash"), &body);
        let refused = refused.map(|seen| String::from_utf8(seen.body)).expect_err(&body);
        assert_eq!((refused.param.as_deref(), refused.reason), (Some(param), reason), "{body}");
    }
}

/// Nothing disappears: a field is in the body, or it has a name in the losses.
#[test]
fn each_field_is_carried_or_named() {
    for model in ["gemini-2.0-flash", "gemini-2.5-pro", "gemini-3-flash"] {
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
fn paths() {
    let streamed = with_fields(r#","stream":true"#);
    for (model, is_vertex, body, expected) in [
        ("gemini-3-pro", false, &with_fields(""), "/models/gemini-3-pro:generateContent"),
        ("models/gemini-3-pro", false, &with_fields(""), "/models/gemini-3-pro:generateContent"),
        ("gemini-3-pro", true, &streamed, "/models/gemini-3-pro:streamGenerateContent?alt=sse"),
        ("tunedModels/a/../b", false, &with_fields(""), "/tunedModels/a%2F..%2Fb:generateContent"),
        ("a?b#c", false, &with_fields(""), "/models/a%3Fb%23c:generateContent"),
    ] {
        let mut target = target(model);
        target.server.is_vertex = is_vertex;
        let seen = translated(Format::OpenAiChat, &target, body).expect("a translation");
        assert_eq!((&*seen.path, seen.headers.len()), (expected, 0), "{model}");
    }
}

#[test]
fn counts() {
    let body = with_fields(
        r#","temperature":1,"tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_object"}"#,
    );
    let mut target = target("gemini-3-flash");
    for (is_vertex, prefix) in [(false, "/generateContentRequest"), (true, "")] {
        target.server.is_vertex = is_vertex;
        let seen = counted(Format::OpenAiChat, &target, &body);
        assert_eq!(seen.path, "/models/gemini-3-flash:countTokens");
        assert_eq!(field(&seen, &format!("{prefix}/contents/0/parts/0/text")), json!("Hi"));
        assert_eq!(
            field(&seen, &format!("{prefix}/tools/0/functionDeclarations/0/name")),
            json!("f")
        );
        assert_eq!(
            field(&seen, &format!("{prefix}/generationConfig")),
            json!({"responseMimeType": "application/json"})
        );
        let model = if is_vertex { Value::Null } else { json!("models/gemini-3-flash") };
        assert_eq!(field(&seen, &format!("{prefix}/model")), model);
        assert!(seen.losses.is_empty());
    }
}
