//! Every place of a body: personal data is planted in each string, under each key and as each name
//! of a field, and none may leave. The bodies have the fields of the SDKs' types, so that each
//! place is one that a client can fill.

use serde_json::{Value, json};

use super::*;

/// Places where what is planted may stay: they route the call, and a provider has to get them as
/// they are.
const STAYS: &[&str] = &["/model"];

const ADDRESS: &str = "jane.roe@example.com";
const NUMBER: &str = "+14155550132";
/// A picture of one pixel.
const IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

fn bodies() -> Vec<(Schema, Value)> {
    let all: Value = serde_json::from_str(include_str!("places.json")).expect("JSON");
    let filled = |name: &str| {
        let text = all[name]
            .to_string()
            .replace("IMAGE", IMAGE)
            .replace("\"SCHEMA\"", &all["schema"].to_string());
        serde_json::from_str(&text).expect("JSON")
    };
    [
        (formats::CHAT, "chat"),
        (formats::RESPONSES, "responses"),
        (formats::MESSAGES, "messages"),
        (formats::COMPLETIONS, "completions"),
        (formats::EMBEDDINGS, "embeddings"),
        (formats::MODERATIONS, "moderations"),
        (formats::IMAGES, "images"),
        (formats::SPEECH, "speech"),
        (Schema::UNKNOWN, "other"),
    ]
    .map(|(schema, name)| (schema, filled(name)))
    .into()
}

/// The body in pieces that can be tried one by one: each message, item and tool alone, and what is
/// left.
fn split(template: &Value) -> Vec<Value> {
    let mut rest = template.clone();
    let mut all = Vec::new();
    for list in ["messages", "input", "tools"] {
        let Some(Value::Array(elements)) = rest.get_mut(list).map(Value::take) else { continue };
        all.extend(elements.into_iter().map(|element| json!({"model": "m", list: [element]})));
        rest[list] = json!([]);
    }
    all.push(rest);
    all
}

/// The pointers of all values in `value`.
fn pointers(value: &Value, at: &str, out: &mut Vec<String>) {
    out.push(at.to_owned());
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                pointers(
                    value,
                    &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")),
                    out,
                );
            }
        }
        Value::Array(list) => list
            .iter()
            .enumerate()
            .for_each(|(i, value)| pointers(value, &format!("{at}/{i}"), out)),
        _ => {}
    }
}

/// A value for a string, or fields for an object, planted at one place.
fn planted(value: &Value) -> Vec<Value> {
    let text = format!("Mail {ADDRESS} or call {NUMBER} today");
    match value {
        Value::String(_) => vec![
            json!(ADDRESS),
            json!(NUMBER),
            json!(text),
            json!([text]),
            json!({"a": text}),
            json!({ADDRESS: {NUMBER: 1}}),
            json!({"type": "text", "text": text, "data": text}),
        ],
        Value::Object(object) => {
            let with = |key: &str, planted: Value| {
                let mut object = object.clone();
                object.insert(key.to_owned(), planted);
                Value::Object(object)
            };
            let mut all = vec![
                with(ADDRESS, json!(1)),
                with(NUMBER, json!([])),
                with("zz_unknown", json!({ADDRESS: {"a": [[text]]}})),
                with("zz_unknown_id", json!(NUMBER)),
                with("zz\u{7}\"x", json!(text)),
            ];
            for key in [
                "data",
                "file",
                "image",
                "document",
                "video",
                "media",
                "result",
                "mask",
                "embedding",
                "b64_json",
                "partial_image_b64",
                "signature",
                "encrypted_content",
                "title",
                "context",
                "format",
                "id",
                "status",
            ] {
                all.push(with(key, json!(text)));
                all.push(with(key, json!([text])));
                all.push(with(key, json!({"a": text, ADDRESS: 1})));
            }
            all
        }
        Value::Array(list) => {
            let mut with = list.clone();
            with.push(json!(text));
            let mut first = list.clone();
            first.insert(0, json!({"data": text, "type": "text", "text": "x"}));
            vec![Value::Array(with), Value::Array(first), json!(text), json!({"a": text})]
        }
        _ => vec![json!(ADDRESS), json!({NUMBER: text})],
    }
}

fn nothing_leaves(attachments: Attachments) {
    let rules = with(&["email", "phone"], attachments);
    let (mut sent, mut tried) = (0, 0);
    let all = bodies()
        .into_iter()
        .flat_map(|(schema, body)| split(&body).into_iter().map(move |part| (schema, part)));
    for (schema, template) in all {
        let whole = pieces(&rules, schema, &[template.to_string().as_bytes()]);
        assert!(whole.is_ok(), "{schema:?}: {:?}: {template}", whole.err());
        let mut places = Vec::new();
        pointers(&template, "", &mut places);
        for place in places.into_iter().filter(|p| !p.is_empty() || schema != Schema::UNKNOWN) {
            if STAYS.contains(&place.as_str()) {
                continue;
            }
            for value in planted(template.pointer(&place).expect("a place")) {
                let mut planted = template.clone();
                *planted.pointer_mut(&place).expect("a place") = value;
                let given = planted.to_string();
                tried += 1;
                // A refused body does not leave.
                let Ok((out, _)) = pieces(&rules, schema, &[given.as_bytes()]) else { continue };
                sent += 1;
                let out = String::from_utf8(out).expect("UTF-8");
                let value = planted.pointer(&place).expect("a place");
                assert!(
                    !out.contains("jane.roe") && !out.contains("4155550132"),
                    "{schema:?} {place}: {value}\n{out}"
                );
                assert!(serde_json::from_str::<Value>(&out).is_ok(), "{schema:?} {place}: {out}");
            }
        }
    }
    assert!(sent > 10_000 && sent * 3 > tried, "{sent} of {tried} were not refused");
}

#[test]
fn nothing_planted_leaves() {
    nothing_leaves(Attachments::Drop);
}

#[test]
fn nothing_planted_leaves_where_attachments_are_allowed() {
    nothing_leaves(Attachments::Allow);
}

#[test]
fn allowed_attachments_pass_and_texts_in_them_do_not() {
    use base64::Engine as _;
    let rules = with(&["email", "phone"], Attachments::Allow);
    let image = IMAGE;
    let chat = |part: &str| format!(r#"{{"messages":[{{"role":"user","content":[{part}]}}]}}"#);
    for part in [
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{image}"}}}}"#),
        r#"{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}"#.to_owned(),
        format!(r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{image}"}}}}"#),
        format!(r#"{{"source":{{"data":"{image}","media_type":"image/png","type":"base64"}},"type":"image"}}"#),
        r#"{"type":"input_audio","input_audio":{"data":"UklGRiQAAABXQVZFZm10IBAAAAABAAEA","format":"wav"}}"#.to_owned(),
        r#"{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PA==","filename":"a.pdf"}}"#.to_owned(),
        r#"{"type":"file","file":{"file_data":"JVBERi0xLjcKJeLjz9MKMSAwIG9iago8PA=="}}"#.to_owned(),
        r#"{"type":"image","data":"AAAA"}"#.to_owned(),
        r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Customer"}}"#.to_owned(),
        r#"{"type":"hologram","anything":{"data":"x"}}"#.to_owned(),
    ] {
        let given = chat(&part);
        assert_eq!(body(&rules, formats::CHAT, &given).as_deref(), Ok(&*given));
    }
    for (part, expected) in [
        (
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Customer jane.roe@example.com"}}"#,
            r#"{"type":"document","source":{"type":"text","media_type":"text/plain","data":"Customer [REDACTED_EMAIL]"}}"#,
        ),
        (
            r#"{"data":"jane.roe@example.com","type":"text","text":"x"}"#,
            r#"{"data":"[REDACTED_EMAIL]","type":"text","text":"x"}"#,
        ),
        (
            r#"{"type":"image","data":"call jane, +14155550132"}"#,
            r#"{"type":"image","data":"call jane, [REDACTED_PHONE]"}"#,
        ),
        (
            r#"{"type":"image","data":"+14155550132"}"#,
            r#"{"type":"image","data":"[REDACTED_PHONE]"}"#,
        ),
        (
            r#"{"type":"file","file":{"file_data":"data:text/plain,mail%20jane.roe@example.com","filename":"jane.roe@example.com report.txt"}}"#,
            r#"{"type":"file","file":{"file_data":"data:text/plain,mail%20[REDACTED_EMAIL]","filename":"[REDACTED_EMAIL] report.txt"}}"#,
        ),
        (
            r#"{"type":"image_url","image_url":{"url":"data:image/svg+xml,<svg><text>jane.roe@example.com</text></svg>"}}"#,
            r#"{"type":"image_url","image_url":{"url":"data:image/svg+xml,<svg><text>[REDACTED_EMAIL]</text></svg>"}}"#,
        ),
        (
            r#"{"type":"input_audio","input_audio":{"data":"jane.roe@example.com","format":"wav"}}"#,
            r#"{"type":"input_audio","input_audio":{"data":"[REDACTED_EMAIL]","format":"wav"}}"#,
        ),
        (
            r#"{"type":null,"data":"jane.roe@example.com"}"#,
            r#"{"type":null,"data":"[REDACTED_EMAIL]"}"#,
        ),
    ] {
        assert_eq!(body(&rules, formats::CHAT, &chat(part)).as_deref(), Ok(&*chat(expected)));
    }
    // Base64 that turns into text, with the part of the address before it.
    let given = chat(&format!(
        r#"{{"type":"image","data":"{}jane.roe@example.com"}}"#,
        "QUJD0abc".repeat(300)
    ));
    let out = body(&rules, formats::CHAT, &given).expect("body");
    assert!(!out.contains("roe@example"), "{out}");
    // Texts in base64, whatever says so.
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let letter = encoded("Dear Jane Roe, jane.roe@example.com, +14155550132");
    let wide: Vec<u8> = "jane.roe@example.com".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = base64::engine::general_purpose::STANDARD.encode(wide);
    for part in [
        format!(
            r#"{{"type":"document","source":{{"type":"base64","media_type":"text/plain","data":"{letter}"}}}}"#
        ),
        format!(
            r#"{{"source":{{"data":"{letter}","media_type":"TEXT/csv; charset=utf-8","type":"base64"}},"type":"document"}}"#
        ),
        format!(
            r#"{{"type":"document","source":{{"type":"base64","media_type":"application/json","data":"{}"}}}}"#,
            encoded(r#"{"a":1}"#)
        ),
        format!(r#"{{"type":"document","source":{{"type":"base64","data":"{wide}"}}}}"#),
        format!(r#"{{"type":"file","file":{{"file_data":"{letter}"}}}}"#),
        format!(r#"{{"type":"file","file":{{"file_data":"data:text/plain;base64,{letter}"}}}}"#),
        format!(
            r#"{{"type":"file","file":{{"file_data":"DATA:application/octet-stream;Base64,{letter}"}}}}"#
        ),
        format!(r#"{{"type":"file","file":{{"file_data":"data:;base64,{letter}"}}}}"#),
        format!(
            r#"{{"type":"image_url","image_url":{{"url":"data:image/svg+xml;base64,{}"}}}}"#,
            encoded("<svg>jane</svg>")
        ),
        format!(r#"{{"type":"document","data":"{}"}}"#, encoded("a@b.co")),
        // Whatever it is called.
        format!(r#"{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{letter}"}}}}"#),
        format!(r#"{{"type":"input_audio","input_audio":{{"data":"{letter}","format":"wav"}}}}"#),
        format!(
            r#"{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{wide}"}}}}"#
        ),
        format!(r#"{{"type":"file","file":{{"file_data":"data:audio/mpeg;base64,{wide}"}}}}"#),
    ] {
        assert!(
            matches!(
                body(&rules, formats::CHAT, &chat(&part)),
                Err(RedactError::Attachment { .. })
            ),
            "{part}"
        );
    }
}

#[test]
fn what_only_the_provider_reads_stays_as_it_is() {
    let spec = RulesSpec {
        entities: vec!["email".to_owned(), "phone".to_owned()],
        custom: vec![CustomSpec {
            name: "c".into(),
            pattern: "[A-Z]{2}[0-9]".into(),
            replacement: "X".into(),
        }],
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let sealed = "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pkiMOYds9AB12CD34aa+/".repeat(4);
    for (schema, given) in [
        (
            formats::MESSAGES,
            format!(
                r#"{{"messages":[{{"content":[{{"type":"redacted_thinking","data":"{sealed}"}},{{"type":"thinking","thinking":"t","signature":"{sealed}"}}]}}]}}"#
            ),
        ),
        (
            formats::CHAT,
            format!(
                r#"{{"messages":[{{"thinking_blocks":[{{"type":"redacted_thinking","data":"{sealed}"}}],"extra_content":{{"google":{{"thought_signature":"{sealed}"}}}}}}]}}"#
            ),
        ),
        (
            formats::RESPONSES,
            format!(r#"{{"input":[{{"type":"reasoning","encrypted_content":"{sealed}"}}]}}"#),
        ),
    ] {
        assert_eq!(body(&rules, schema, &given).as_deref(), Ok(&*given));
    }
    let given = r#"{"input":[{"type":"reasoning","encrypted_content":"Jane Roe, jane.roe@example.com, AB1"}]}"#;
    let expected =
        r#"{"input":[{"type":"reasoning","encrypted_content":"Jane Roe, [REDACTED_EMAIL], X"}]}"#;
    assert_eq!(body(&rules, formats::RESPONSES, given).as_deref(), Ok(expected));
}

#[test]
fn names_of_the_api_are_not_changed_by_words_of_the_policy() {
    let spec = RulesSpec {
        terms: vec![TermsSpec {
            name: "t".into(),
            words: vec!["content".into(), "falcon".into()],
            replacement: "X".into(),
        }],
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let given = r#"{"messages":[{"role":"user","c\u006fntent":"the content"}],"metadata":{"content":1},"falcon":{"falcon":1,"content":2}}"#;
    let expected = r#"{"messages":[{"role":"user","c\u006fntent":"the X"}],"metadata":{"X":1},"X":{"X":1,"content":2}}"#;
    assert_eq!(body(&rules, formats::CHAT, given).as_deref(), Ok(expected));
    let long = format!(r#"{{"{}falcon":1}}"#, "a ".repeat(300));
    assert_eq!(body(&rules, formats::CHAT, &long).as_deref(), Ok(&*long.replace("falcon", "X")));
}

#[test]
fn numbers_in_json_inside_a_string_become_strings() {
    let rules = rules(&["phone", "credit_card"]);
    let card = "4111111111111111";
    let arguments = |text: &str| {
        let text = serde_json::to_string(text).expect("a string");
        format!(
            r#"{{"messages":[{{"role":"assistant","tool_calls":[{{"id":"c","type":"function","function":{{"name":"n","arguments":{text}}}}}]}}]}}"#
        )
    };
    for text in [
        format!("[{card},{card},{card}]"),
        format!("[ {card} ,\n\t{card}\n]"),
        format!(r#"{{"a":{card},"b":[{card}, {card}],"c":[[{card}],{{"d":{card}}}]}}"#),
        format!(r#"[["x",{card}],"{card}",{card}]"#),
        format!(r#"{{"a":"{card}","b" : {card} }}"#),
        card.to_owned(),
        format!("  {card}\n"),
        format!(
            r#"{{"deep":"{{\"a\":{card},\"b\":[{card},{card}],\"c\":\"{card}\"}}","x":{card}}}"#
        ),
        format!(r#"{{"deep":"[{card}, {card}]"}}"#),
        format!(r#"{{"deep":"see [{card}, {card}] there, \"a\":{card}"}}"#),
    ] {
        let given = arguments(&text);
        let out = body(&rules, formats::CHAT, &given).expect("body");
        assert!(!out.contains(card), "{out}");
        let out: Value = serde_json::from_str(&out).expect("JSON");
        let inner = out["messages"][0]["tool_calls"][0]["function"]["arguments"]
            .as_str()
            .expect("a string")
            .to_owned();
        let inner: Value =
            serde_json::from_str(&inner).unwrap_or_else(|e| panic!("{e}: {text} became {inner}"));
        if let Some(deep) = inner["deep"].as_str().filter(|d| !d.starts_with("see")) {
            assert!(serde_json::from_str::<Value>(deep).is_ok(), "{text} became {deep}");
        }
    }
    // Text in brackets is text.
    assert_eq!(
        message(&rules, "[415-555-0132] and [call 415-555-0132, now]"),
        "[[REDACTED_PHONE]] and [call [REDACTED_PHONE], now]"
    );
}

#[test]
fn spellings_of_routing_names() {
    let rules = rules(&["email"]);
    for (schema, refused) in [
        (formats::CHAT, r#"{"model":"a","Model":"b"}"#),
        (formats::CHAT, r#"{"MODEL":"b","model":"a"}"#),
        (formats::CHAT, r#"{"M\u006fdel":"b"}"#),
        (formats::CHAT, "{\"\u{17f}tream\":true}"),
        (formats::CHAT, r#"{"me\u017f\u017fages":[]}"#),
        (formats::CHAT, r#"{"mo_del":"b"}"#),
        (formats::CHAT, r#"{"streamOptions":{}}"#),
        (formats::RESPONSES, r#"{"Input":"x"}"#),
        (formats::COMPLETIONS, r#"{"PROMPT":"x"}"#),
        (Schema::UNKNOWN, r#"{"Model":"x"}"#),
        (formats::CHAT, r#"{"API_BASE":"http://evil"}"#),
        (formats::CHAT, r#"{"apiBase":"http://evil"}"#),
        (formats::CHAT, r#"{"baseURL":"http://evil"}"#),
        (formats::CHAT, "{\"ba\u{17f}e_url\":\"http://evil\"}"),
        (formats::CHAT, "{\"api_\u{212a}ey\":\"x\"}"),
        (formats::CHAT, r#"{"extra_body":{"api_base":"http://evil"}}"#),
        (formats::CHAT, r#"{"extra_body":{"extra_body":{"a":[{"Base_Url":"http://evil"}]}}}"#),
        (formats::CHAT, r#"{"litellm_params":{}}"#),
        (formats::CHAT, r#"{"extra_body":{"litellm_params":{"model":"x"}}}"#),
        (formats::CHAT, r#"{"fallbacks":[{"model":"x","api_base":"http://evil"}]}"#),
        (formats::CHAT, r#"{"provider":{"base_url":"http://evil"}}"#),
        (formats::CHAT, r#"{"headers":{"authorization":"x"}}"#),
        (formats::CHAT, r#"{"openai_api_key":"x"}"#),
        (formats::CHAT, r#"{"model_list":[]}"#),
    ] {
        assert!(
            matches!(body(&rules, schema, refused), Err(RedactError::InvalidRequest { .. })),
            "{refused}"
        );
    }
    let told = body(&rules, formats::CHAT, r#"{"jane.roe@example.com_api_key":"x"}"#)
        .expect_err("refused")
        .to_string();
    assert!(!told.contains("jane"), "{told}");
    for passes in [
        r#"{"models":["a"],"fallbacks":["b"],"provider":{"order":["x"]},"route":"fallback"}"#,
        r#"{"metadata":{"Model":"x","api_base":"y"},"tools":[{"type":"mcp","headers":{"h":"v"}}]}"#,
        r#"{"messages":[{"role":"user","Model":"x","content":"y"}],"modelo":"z"}"#,
    ] {
        assert_eq!(body(&rules, formats::CHAT, passes).as_deref(), Ok(passes));
    }
}
