//! A capture is valid and bounded, is the same for every chunking, and holds the last message.

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn capture(body: &[u8], mut capture: Capture, chunk: usize) -> Captured {
    body.chunks(chunk.max(1))
        .for_each(|piece| capture.push(&Redacted(Bytes::copy_from_slice(piece))));
    capture.finish()
}

fn string(redacted: &Option<Redacted>) -> String {
    let bytes = redacted.as_ref().map(|r| r.as_bytes().clone()).unwrap_or_default();
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn parsed(captured: &Captured) -> Value {
    serde_json::from_str(&string(&captured.body)).expect("JSON")
}

#[test]
fn a_body_that_fits_stays_as_it_is() {
    let body = br#" {"model": "m", "messages": [{"role":"user","content":"Hi \ud83d\ude00 \n"}], "n": -1.5e3} "#;
    for keep in [Keep::Head, Keep::HeadAndTail] {
        let kept = capture(body, Capture::request(1_000, keep), 7);
        assert_eq!(string(&kept.body).as_bytes(), body);
        assert_eq!((string(&kept.text), kept.is_cut), ("Hi 😀 \n".to_owned(), false));
    }
}

#[test]
fn the_last_user_message_survives_wherever_it_stands() {
    let long = "é".repeat(5_000);
    let last = json!({"role": "user", "content": [{"type": "text", "text": "the last"}]});
    let turns: Vec<Value> = (0..200)
        .flat_map(|n| {
            let text = format!("{n} {}", "x".repeat(100));
            [json!({"role": "user", "content": text}), json!({"role": "assistant", "content": "y"})]
        })
        .chain([last.clone()])
        .collect();
    let with_system = json!({"model": "m", "system": long, "messages": turns});
    let tools_behind = json!({"model": "m", "messages": turns, "tools": vec![long.clone(); 9]});
    let tools_first = json!({"a": vec![long.clone(); 9], "messages": turns});
    let input = json!({"model": "m", "input": turns});
    let results = json!({"role": "user", "content": [{"type": "tool_result", "content": "r"}]});
    let agent =
        json!({"model": "m", "messages": turns.iter().chain([&results]).collect::<Vec<_>>()});
    for body in [with_system, tools_behind, tools_first, input, agent] {
        let bytes = body.to_string().into_bytes();
        let kept = capture(&bytes, Capture::request(2_000, Keep::HeadAndTail), 1_000);
        let text = string(&kept.body);
        assert!(text.len() <= 2_000 && kept.is_cut, "{text}");
        let value = parsed(&kept);
        let list = value.get("messages").or(value.get("input")).and_then(Value::as_array);
        assert_eq!(list.and_then(|list| list.last()), Some(&last), "{text}");
        assert!(list.is_some_and(|list| list.contains(&json!(MARK))), "{text}");
        assert_eq!(string(&kept.text), "the last");
        let first = bytes[..20].to_vec();
        assert!(text.as_bytes().starts_with(&first), "{text}");
        let head = capture(&bytes, Capture::request(2_000, Keep::Head), 1_000);
        assert!(!string(&head.body).contains("the last"));
        assert_eq!(string(&head.text), "the last", "its text is kept either way");
    }
}

#[test]
fn long_strings_are_cut_inside() {
    let body = json!({"messages": [{"role": "system", "content": "é".repeat(5_000)},
                                   {"role": "user", "content": "Hi"}]});
    let kept = capture(body.to_string().as_bytes(), Capture::request(1_000, Keep::Head), 3);
    let value = parsed(&kept);
    let cut = value["messages"][0]["content"].as_str().expect("text");
    assert!(cut.ends_with(MARK) && cut.starts_with("éé") && cut.len() < 520, "{cut}");
    assert_eq!(value["messages"][1]["content"], "Hi");
    assert!(kept.is_cut);
}

#[test]
fn the_text_of_answers() {
    for (answer, text) in [
        (
            json!({"choices": [{"message": {"content": "a", "reasoning_content": "no"}}, {"message": {"content": "b"}}]}),
            Some("a"),
        ),
        (
            json!({"choices": [{"index": 0, "content": "a", "tool_calls": [{"arguments": "x"}]}]}),
            Some("a"),
        ),
        (json!({"choices": [{"text": "a"}]}), Some("a")),
        (
            json!({"content": [{"type": "thinking", "thinking": "no"}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
            Some("a\nb"),
        ),
        (
            json!({"output": [{"type": "reasoning", "summary": [{"text": "no"}]}, {"content": [{"type": "output_text", "text": "a", "annotations": [{"text": "no"}]}]}]}),
            Some("a"),
        ),
        (json!({"data": [{"embedding": [0.1]}]}), None),
    ] {
        let kept = capture(answer.to_string().as_bytes(), Capture::answer(1_000), 5);
        assert_eq!(kept.text.as_ref().map(|_| string(&kept.text)).as_deref(), text, "{answer}");
        assert_eq!(parsed(&kept), answer);
    }
}

/// Bodies that fit, and that a reader of JSON does not take as they are.
#[test]
fn a_body_that_fits_and_is_not_plain_is_written_anew() {
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    for body in
        [r#"{"a":"\ud83d x"}"#, "{\"a\":\"b\u{1}c\"}", "{\"a\":1", "{\"a\":1}}", deep.as_str()]
    {
        for chunk in [1, 1_000] {
            let kept = capture(body.as_bytes(), Capture::request(1_000, Keep::Head), chunk);
            assert_ne!(string(&kept.body), body);
            parsed(&kept);
        }
    }
    let broken = capture(b"{\"a\":\"\xff\"}", Capture::request(1_000, Keep::Head), 3);
    assert_eq!(parsed(&broken)["a"], "?");
}

#[test]
fn metadata_is_noted_by_name() {
    let mut kept = Capture::request(0, Keep::Head);
    kept.note_metadata(vec!["ticket_id".to_owned(), "none".to_owned()], 8);
    kept.push(&Redacted::from_gateway(
        r#"{"ticket_id":"no","metadata":{"a":{"ticket_id":"no"},"ticket_id":"T-4711 and more"}}"#,
    ));
    let kept = kept.finish();
    let noted = [("ticket_id".to_owned(), Redacted(Bytes::from_static(b"T-4711 a")))];
    assert_eq!(kept.metadata, noted);
    assert!(kept.body.is_none(), "nothing fits");
}

#[test]
fn text_becomes_a_json_string() {
    let kept = text("<p>\"Hé\"\\ \u{1}\n</p>".as_bytes(), 100);
    assert_eq!(parsed(&kept), json!("<p>\"Hé\"\\ \u{1}\n</p>"));
    let kept = text("é".repeat(100).as_bytes(), 30);
    assert!(string(&kept.body).len() <= 30 && kept.is_cut);
    assert!(parsed(&kept).as_str().is_some_and(|text| text.ends_with(MARK)));
}

/// Pieces of JSON and of what is none, in any order.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: [&str; 31] = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"messages\"",
        "\"role\"",
        "\"user\"",
        "\"content\"",
        "\"text\"",
        "\"input\"",
        "\\",
        "\\n",
        "\\u00e9",
        "\\ud83d",
        "\\ude00",
        "\\u",
        "é",
        "🦀",
        "true",
        "nul",
        "0",
        "-1.5e+3",
        "1.",
        " ",
        "\n",
        "\u{1}",
        "plain text",
        "\\\"",
    ];
    let part = prop_oneof![
        9 => (0..PARTS.len()).prop_map(|at| PARTS[at].as_bytes().to_vec()),
        1 => any::<u8>().prop_map(|byte| vec![byte]),
    ];
    proptest::collection::vec(part, 0..80).prop_map(|parts| parts.concat())
}

/// JSON as callers send it.
fn requests() -> impl Strategy<Value = Vec<u8>> {
    let text = "[a-zé🦀\\\\\"\n ]{0,60}";
    let role = prop_oneof![Just("user"), Just("assistant"), Just("system")];
    let message =
        (role, text).prop_map(|(role, content)| json!({"role": role, "content": content}));
    (proptest::collection::vec(message, 0..30), text, any::<bool>()).prop_map(|(list, system, ascii)| {
        let body = json!({"model": "m", "system": system, "messages": list, "tools": [{"name": system}]});
        let body = body.to_string();
        if !ascii {
            return body.into_bytes();
        }
        let escape = |c: char| {
            let mut units = [0; 2];
            let units = c.encode_utf16(&mut units).iter();
            units.map(|unit| format!("\\u{unit:04x}")).collect::<String>()
        };
        body.chars().map(|c| if c.is_ascii() { c.to_string() } else { escape(c) }).collect::<String>().into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whatever the body, the bound and the chunking.
    #[test]
    fn what_is_kept_is_valid_bounded_and_the_same(
        body in prop_oneof![bodies(), requests()],
        bytes_max in prop_oneof![0usize..80, 80usize..3_000],
        chunk in 1usize..50,
        keep in prop_oneof![Just(Keep::Head), Just(Keep::HeadAndTail)],
    ) {
        let whole = capture(&body, Capture::request(bytes_max, keep), body.len());
        let pieces = capture(&body, Capture::request(bytes_max, keep), chunk);
        prop_assert_eq!(&whole.body, &pieces.body);
        prop_assert_eq!(&whole.text, &pieces.text);
        let answer = capture(&body, Capture::answer(bytes_max), chunk);
        let plain = text(&body, bytes_max);
        for kept in [whole, answer, plain] {
            if let Some(text) = &kept.body {
                prop_assert!(text.as_bytes().len() <= bytes_max);
                let value = serde_json::from_slice::<Value>(text.as_bytes());
                prop_assert!(value.is_ok(), "{:?} {:?}", text, value);
            }
            if !kept.is_cut {
                prop_assert!(kept.body.is_some());
            }
        }
    }

    /// A body that is read at once has the texts of one that is written anew; and the same bytes, if
    /// it can be kept as it is.
    #[test]
    fn both_readers_find_the_same(body in prop_oneof![bodies(), requests()], is_answer: bool) {
        let bytes_max = 3 * body.len() + 100;
        let new = || match is_answer {
            true => Capture::answer(bytes_max),
            false => Capture::request(bytes_max, Keep::HeadAndTail),
        };
        let mut anew = new();
        anew.writer();
        anew.bytes = bytes_max;
        let (read, written) = (capture(&body, new(), 9), capture(&body, anew, 9));
        prop_assert_eq!(read.body, written.body);
        prop_assert_eq!(read.text, written.text);
        prop_assert_eq!(read.is_cut, written.is_cut);
    }

    /// A valid body that fits is kept as it is, and the last message of a longer one is there.
    #[test]
    fn what_fits_is_whole(body in requests(), bytes_max in 1_500usize..9_000) {
        let kept = capture(&body, Capture::request(bytes_max, Keep::HeadAndTail), 64);
        let value: Value = serde_json::from_slice(&body).expect("JSON");
        let mut users = value["messages"].as_array().expect("a list").iter().filter(|m| m["role"] == "user");
        let last = users.next_back().and_then(|message| message["content"].as_str());
        let told = kept.text.as_ref().map(|_| string(&kept.text));
        prop_assert_eq!(told.as_deref(), last);
        if body.len() <= bytes_max {
            let same = string(&kept.body).as_bytes() == &body[..];
            prop_assert!(same);
        } else if let Some(last) = last {
            let list = parsed(&kept);
            let list = list["messages"].as_array().expect("a list");
            prop_assert!(list.iter().any(|message| message["content"] == last));
        }
    }
}
