//! Placeholders that last: what a call gives out, and what it makes of those that it is given.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::json;

use super::{formats, pieces};
use crate::{
    BodyRedactor, BodyRestorer, EventRestorer, PlaceholderKey, Placeholders, Rules, RulesSpec,
    Values,
};

fn rules(placeholders: Placeholders, restore: bool) -> Arc<Rules> {
    let entities = vec!["email".to_owned(), "phone".to_owned()];
    let spec = RulesSpec {
        entities,
        placeholders,
        restore,
        restore_arguments: restore,
        ..RulesSpec::default()
    };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// Letters by the first byte of a value, and from the eleventh on by its length.
#[derive(Debug)]
struct FirstByte;

impl PlaceholderKey for FirstByte {
    fn digest(&self, kind: &str, value: &[u8]) -> [u8; 32] {
        let first = value.first().copied().unwrap_or_default();
        let number = (value.len() as u128) * 20_u128.pow(10)
            + u128::from(first)
            + (kind.len() as u128) * 20_u128.pow(5);
        let mut digest = [0; 32];
        digest[..16].copy_from_slice(&number.to_be_bytes());
        digest
    }
}

/// What the provider reads of a user's message, and the values; the same for every cut.
fn sent(rules: &Arc<Rules>, text: &str) -> (String, Option<Values>) {
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let redact = |cut: usize| {
        let mut redactor = BodyRedactor::new(Arc::clone(rules), formats::CHAT, false);
        redactor.key_placeholders(Arc::new(FirstByte));
        let mut out = Vec::new();
        for piece in body.as_bytes().chunks(cut) {
            redactor.push(Bytes::copy_from_slice(piece), &mut out).expect("a piece");
        }
        redactor.finish(&mut out).expect("a body");
        let out: Vec<u8> = out.iter().flat_map(|piece| piece.as_bytes().to_vec()).collect();
        (out, redactor.values())
    };
    let (out, values) = redact(body.len());
    for cut in [1, 2, 7] {
        assert_eq!(redact(cut).0, out, "{text} in pieces of {cut}");
    }
    let value: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    (value["messages"][0]["content"].as_str().expect("text").to_owned(), values)
}

/// What the caller gets of an answer: the same from a whole body and from a stream, for every cut.
fn received(values: &Values, text: &str) -> String {
    let answer = json!({"content": text}).to_string();
    let restore = |cut: usize| {
        let (mut restorer, mut out) = (BodyRestorer::new(values), Vec::new());
        for piece in answer.as_bytes().chunks(cut) {
            restorer.push(Bytes::copy_from_slice(piece), &mut out);
        }
        restorer.finish(&mut out);
        let value: serde_json::Value = serde_json::from_slice(&out.concat()).expect("JSON");
        value["content"].as_str().expect("text").to_owned()
    };
    let whole = restore(answer.len());
    assert_eq!(restore(1), whole, "{text}");
    let chars: Vec<char> = text.chars().collect();
    for cut in 1..chars.len() {
        let mut restorer = EventRestorer::new(values);
        let mut streamed = String::new();
        let mut add = |data: &[u8]| {
            let event: serde_json::Value = serde_json::from_slice(data).expect("JSON");
            let text = event["choices"][0]["delta"]["content"].as_str().expect("text");
            streamed.push_str(text);
        };
        for part in [&chars[..cut], &chars[cut..]] {
            let part: String = part.iter().collect();
            let event = json!({"choices": [{"index": 0, "delta": {"content": part}}]}).to_string();
            let restored = restorer.event(b"", event.as_bytes());
            restored.before.iter().for_each(|extra| add(&extra.data));
            add(restored.data.as_deref().unwrap_or(event.as_bytes()));
        }
        restorer.end().iter().for_each(|extra| add(&extra.data));
        assert_eq!(streamed, whole, "{text}, cut at {cut}");
    }
    whole
}

#[test]
fn a_placeholder_of_an_earlier_call_is_no_value_of_this_one() {
    let rules = rules(Placeholders::Numbered, true);
    let history = "You wrote [REDACTED_EMAIL_1] and [redacted\\_phone\\_2], 【Redacted Email 1】, \
                   %5BREDACTED-EMAIL-7%5D; now write to jane@example.com";
    let (text, values) = sent(&rules, history);
    assert_eq!(
        text,
        "You wrote [REDACTED_TEXT_1] and [REDACTED_TEXT_2], [REDACTED_TEXT_3], [REDACTED_TEXT_4]; \
         now write to [REDACTED_EMAIL_1]"
    );
    let values = values.expect("values");
    assert_eq!(received(&values, &text), history);
    // They are not counted as personal data.
    let body = json!({"messages": [{"role": "user", "content": history}]}).to_string();
    let (_, redactor) = pieces(&rules, formats::CHAT, &[body.as_bytes()]).expect("a body");
    assert_eq!(redactor.ledger().counts, [(Arc::from("email"), 1)]);
    // Other text in brackets stays.
    let other =
        "[REDACTED_EMAIL] [REDACTED_EMAIL_12345] [EMAIL_1] REDACTED_EMAIL_1 [REDACTED_EMAIL_1";
    assert_eq!(sent(&rules, other).0, other);
    // Where nothing is put back, nothing can be mistaken.
    let (text, values) =
        sent(&self::rules(Placeholders::Numbered, false), "[REDACTED_EMAIL_1] a@x.org");
    assert_eq!((&*text, values.is_none()), ("[REDACTED_EMAIL_1] [REDACTED_EMAIL_1]", true));
}

#[test]
fn numbers_in_signed_thinking_are_given_to_no_value() {
    let rules = rules(Placeholders::Numbered, true);
    let thinking = "[REDACTED_EMAIL_2] may be meant, or [REDACTED_EMAIL_1]";
    let body = json!({"messages": [
        {"role": "user", "content": "a@x.org"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": thinking, "signature": "c2ln"},
        ]},
        {"role": "user", "content": "b@x.org, a@x.org"},
    ]})
    .to_string();
    let (out, redactor) = pieces(&rules, formats::CHAT, &[body.as_bytes()]).expect("a body");
    let out: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
    assert_eq!(out["messages"][1]["content"][0]["thinking"], thinking);
    assert_eq!(out["messages"][2]["content"], "[REDACTED_EMAIL_3], [REDACTED_EMAIL_1]");
    let values = redactor.values().expect("values");
    // The first number had been given before it was met: it stands for nothing any more.
    assert_eq!(
        received(&values, "[REDACTED_EMAIL_1] [REDACTED_EMAIL_2] [REDACTED_EMAIL_3]"),
        "[REDACTED_EMAIL_1] [REDACTED_EMAIL_2] b@x.org"
    );
}

#[test]
fn stable_placeholders_follow_from_the_value() {
    let rules = rules(Placeholders::Stable, true);
    let (text, values) = sent(&rules, "b@x.org a@x.org b@x.org");
    let first = text.split(' ').next().expect("a placeholder").to_owned();
    assert_eq!(text.split(' ').nth(2), Some(&*first));
    let letters = first.strip_prefix("[REDACTED_EMAIL_").and_then(|l| l.strip_suffix(']'));
    assert!(letters.is_some_and(|l| l.len() == 10 && l.bytes().all(|b| b.is_ascii_uppercase())));
    // In another call, with other values before it.
    assert!(sent(&rules, "zzz@y.com, b@x.org").0.ends_with(&first));
    // Without restoring, too, and not without a key.
    assert_eq!(sent(&self::rules(Placeholders::Stable, false), "b@x.org").0, first);
    let body = json!({"messages": [{"role": "user", "content": "b@x.org"}]}).to_string();
    let (out, _) = pieces(&rules, formats::CHAT, &[body.as_bytes()]).expect("a body");
    assert!(String::from_utf8(out).expect("UTF-8").contains("[REDACTED_EMAIL]"));
    // A placeholder that the caller typed stands for nothing that this call has not sent.
    let (text, of_other) = sent(&rules, &format!("what is {first}? ask z@y.com"));
    assert!(text.starts_with(&format!("what is {first}? ")));
    assert_eq!(received(&of_other.expect("values"), &first), first);
    assert_eq!(received(&values.expect("values"), &first), "b@x.org");
}

#[test]
fn values_that_begin_alike_get_more_letters() {
    let rules = rules(Placeholders::Stable, true);
    let (text, values) = sent(&rules, "a@x.org aa@x.org");
    let [one, two] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!(two.len(), one.len() + 2);
    assert!(two.starts_with(one.trim_end_matches(']')));
    let values = values.expect("values");
    assert_eq!(received(&values, &format!("{two} {one}")), "aa@x.org a@x.org");
    let bare = |placeholder: &str| placeholder.trim_matches(['[', ']']).to_owned();
    let written = format!("{}, {}", bare(two), bare(one));
    assert_eq!(received(&values, &written), "aa@x.org, a@x.org");
}

#[test]
fn placeholders_come_back_as_models_write_them() {
    let (text, values) = sent(&rules(Placeholders::Numbered, true), "a@x.org");
    assert_eq!(text, "[REDACTED_EMAIL_1]");
    let values = values.expect("values");
    for (written, expected) in [
        ("[redacted_email_1]", "a@x.org"),
        ("**[Redacted Email 1]**", "**a@x.org**"),
        ("`[REDACTED-EMAIL-1]`", "`a@x.org`"),
        (r"\[REDACTED\_EMAIL\_1\]", "a@x.org"),
        ("[ REDACTED_EMAIL_1 ]", "a@x.org"),
        ("【REDACTED_EMAIL_1】", "a@x.org"),
        ("%5BREDACTED_EMAIL_1%5d", "a@x.org"),
        ("| [REDACTED_EMAIL_1] |", "| a@x.org |"),
        ("[[REDACTED_EMAIL_1]]", "[a@x.org]"),
        // Another number, none, or no brackets.
        ("[REDACTED_EMAIL_10]", "[REDACTED_EMAIL_10]"),
        ("[REDACTED_EMAIL_01]", "[REDACTED_EMAIL_01]"),
        ("[REDACTED_EMAIL]", "[REDACTED_EMAIL]"),
        ("[REDACTED_EMAIL_1", "[REDACTED_EMAIL_1"),
        ("REDACTED_EMAIL_1", "REDACTED_EMAIL_1"),
        ("[REDACTED  EMAIL 1]", "[REDACTED  EMAIL 1]"),
        ("[REDACTED_PHONE_1]", "[REDACTED_PHONE_1]"),
        ("100% of [ [REDACTED\\ \\[", "100% of [ [REDACTED\\ \\["),
    ] {
        assert_eq!(received(&values, written), expected, "{written}");
    }
}

#[test]
fn stable_placeholders_are_known_without_brackets() {
    let (text, values) = sent(&rules(Placeholders::Stable, true), "a@x.org");
    let values = values.expect("values");
    let bare = text.trim_matches(['[', ']']).to_owned();
    let lower = bare.to_lowercase();
    for (written, expected) in [
        (bare.clone(), "a@x.org".to_owned()),
        (format!("({lower}), "), "(a@x.org), ".to_owned()),
        (format!("_{bare}_"), "_a@x.org_".to_owned()),
        (format!("[{bare}, and"), "[a@x.org, and".to_owned()),
        (format!("{bare}\\n"), "a@x.org\\n".to_owned()),
        (format!("{bare}X"), format!("{bare}X")),
        (format!("X{bare}"), format!("X{bare}")),
        (bare[..bare.len() - 1].to_owned(), bare[..bare.len() - 1].to_owned()),
        (format!("RED {bare}"), "RED a@x.org".to_owned()),
    ] {
        assert_eq!(received(&values, &written), expected, "{written}");
    }
}

#[test]
fn brackets_escaped_in_json_leave_it_json() {
    let (_, values) = sent(&rules(Placeholders::Numbered, true), "a@x.org");
    let values = values.expect("values");
    let arguments =
        json!({"to": r"\[REDACTED\_EMAIL\_1\]", "x": r"\[REDACTED_EMAIL_2"}).to_string();
    let answer = json!({"choices": [{"message": {"tool_calls": [
        {"function": {"name": "send", "arguments": arguments}}
    ]}}]})
    .to_string();
    let restored = BodyRestorer::whole(&values, &Bytes::from(answer));
    let restored: serde_json::Value = serde_json::from_slice(&restored).expect("JSON");
    let call = &restored["choices"][0]["message"]["tool_calls"][0]["function"];
    let arguments: serde_json::Value =
        serde_json::from_str(call["arguments"].as_str().expect("text")).expect("JSON");
    assert_eq!(arguments, json!({"to": "a@x.org", "x": r"\[REDACTED_EMAIL_2"}));
}
