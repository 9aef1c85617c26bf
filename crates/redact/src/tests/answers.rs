//! Values of others in answers: taken out wherever they are cut, and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::formats;
use crate::{
    Answers, BodyRedactor, CustomSpec, EventRestorer, Own, Redacted, Rules, RulesSpec, TextRedactor,
};

fn rules() -> Arc<Rules> {
    let entities = ["email", "phone", "credit_card", "us_ssn", "iban", "api_key"];
    let spec = RulesSpec {
        entities: entities.iter().map(|e| (*e).to_owned()).collect(),
        answers: Answers::Mask,
        ..RulesSpec::default()
    };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// The values of a call whose user wrote this.
fn own(rules: &Arc<Rules>, text: &str) -> Own {
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    let mut redactor = BodyRedactor::new(Arc::clone(rules), formats::CHAT, false);
    let mut out = Vec::new();
    redactor.push(Bytes::from(body), &mut out).expect("a body");
    redactor.finish(&mut out).expect("its end");
    redactor.own().expect("answers are masked")
}

/// What the caller gets of a text that comes in these pieces, and how much of it came with each.
fn streamed(rules: &Rules, own: &Own, pieces: &[&str], arguments: bool) -> Vec<String> {
    let mut restorer = EventRestorer::masking(rules, own, false);
    let text = |data: &[u8]| {
        let event: Value = serde_json::from_slice(data).expect("JSON");
        let delta = &event["choices"][0]["delta"];
        let text = if arguments {
            &delta["tool_calls"][0]["function"]["arguments"]
        } else {
            &delta["content"]
        };
        text.as_str().expect("text").to_owned()
    };
    let mut out = Vec::new();
    for piece in pieces {
        let delta = if arguments {
            json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        } else {
            json!({"content": piece})
        };
        let event = json!({"choices": [{"index": 0, "delta": delta}]}).to_string();
        let restored = restorer.event(b"", event.as_bytes());
        let mut got: String = restored.before.iter().map(|extra| text(&extra.data)).collect();
        got += &text(restored.data.as_deref().unwrap_or(event.as_bytes()));
        out.push(got);
    }
    out.push(restorer.end().iter().map(|extra| text(&extra.data)).collect());
    out
}

fn joined(pieces: Vec<Redacted>) -> String {
    let bytes: Vec<u8> = pieces.into_iter().flat_map(|p| p.into_bytes().to_vec()).collect();
    String::from_utf8(bytes).expect("UTF-8")
}

const TEXT: &str = "Write to jane@example.com or bob%40example.org, call +44 20 7946 0958 or \
    (415) 555-0132 today; card 4111-1111-1111-1111, SSN 536-22-1234, IBAN DE89 3704 0044 0532 0130 00. \
    Version 1.2.3 of 2026-11-30 costs 12,500 EUR.";
const MASKED: &str = "Write to [REDACTED_EMAIL] or [REDACTED_EMAIL], call [REDACTED_PHONE] or \
    [REDACTED_PHONE] today; card [REDACTED_CREDIT_CARD], SSN [REDACTED_US_SSN], IBAN \
    [REDACTED_IBAN]. Version 1.2.3 of 2026-11-30 costs 12,500 EUR.";

#[test]
fn values_of_others_are_taken_out_wherever_they_are_cut() {
    let rules = rules();
    let own = own(&rules, "hello");
    for cut in 0..=TEXT.len() {
        let (a, b) = TEXT.split_at(cut);
        assert_eq!(streamed(&rules, &own, &[a, b], false).concat(), MASKED, "cut at {cut}");
    }
    for size in [1, 2, 3, 5] {
        let pieces: Vec<&str> =
            TEXT.as_bytes().chunks(size).map(|p| std::str::from_utf8(p).expect("ASCII")).collect();
        assert_eq!(streamed(&rules, &own, &pieces, false).concat(), MASKED, "pieces of {size}");
    }
}

#[test]
fn the_own_values_of_a_call_stay() {
    let rules = rules();
    let own = own(&rules, "I am Jane@Example.com, +44 (20) 7946-0958");
    let text = "jane@example.com and joe@example.com, +44 20 7946 0958 and +44 20 7946 0959!";
    let expected = "jane@example.com and [REDACTED_EMAIL], +44 20 7946 0958 and [REDACTED_PHONE]!";
    for cut in 0..=text.len() {
        let (a, b) = text.split_at(cut);
        assert_eq!(streamed(&rules, &own, &[a, b], false).concat(), expected, "cut at {cut}");
    }
    let answer = json!({"id": "a@x.org", "choices": [{"index": 0, "message": {"content": text,
        "tool_calls": [{"function": {"name": "f", "arguments": json!({"to": text}).to_string()}}]},
        "logprobs": {"content": [{"token": "joe@example.com", "bytes": [106]}]}}]});
    let mut masked = answer.clone();
    masked["choices"][0]["message"]["content"] = json!(expected);
    masked["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] =
        json!(json!({"to": expected}).to_string());
    masked["choices"][0]["logprobs"] = Value::Null;
    let answer = answer.to_string();
    for size in [1, 7, answer.len()] {
        let mut redactor = BodyRedactor::masking(Arc::clone(&rules), &own, false);
        let mut out = Vec::new();
        for piece in answer.as_bytes().chunks(size) {
            redactor.push(Bytes::copy_from_slice(piece), &mut out).expect("a piece");
        }
        redactor.finish(&mut out).expect("its end");
        let out: Value = serde_json::from_str(&joined(out)).expect("JSON");
        assert_eq!(out, masked, "pieces of {size}");
        assert_eq!(redactor.ledger().total(), 4);
    }
    let (mut redactor, mut out) = (TextRedactor::masking(&rules, &own), Vec::new());
    redactor.push(Bytes::from_static(text.as_bytes()), &mut out);
    redactor.finish(&mut out);
    assert_eq!(joined(out), expected);
}

#[test]
fn a_stream_that_fails_releases_nothing_that_waited() {
    let rules = rules();
    let own = own(&rules, "hello");
    for held in ["mail bob@cor", "call +141", "card 4111-1111-11", "+44 20 7946 09"] {
        let delta = json!({"choices": [{"index": 0, "delta": {"content": held}}]}).to_string();
        for failure in [
            json!({"error": {"message": "gone", "type": "server_error"}}),
            json!({"type": "error", "error": {"type": "overloaded_error"}}),
            json!({"type": "response.failed", "response": {"error": {"code": "x"}}}),
        ] {
            let mut restorer = EventRestorer::masking(&rules, &own, false);
            restorer.event(b"", delta.as_bytes());
            let failed = restorer.event(b"", failure.to_string().as_bytes());
            assert!(failed.before.is_empty(), "{held}: {failed:?}");
            assert!(restorer.event(b"", b"[DONE]").before.is_empty(), "{held}");
            assert!(restorer.end().is_empty(), "{held}");
        }
        // One that ends as it should releases all of it.
        let mut restorer = EventRestorer::masking(&rules, &own, false);
        restorer.event(b"", delta.as_bytes());
        assert_eq!(restorer.event(b"", b"[DONE]").before.len(), 1, "{held}");
    }
}

#[test]
fn words_leave_one_piece_later() {
    let rules = rules();
    let own = own(&rules, "hello");
    let pieces = ["The ", "quick", " brown", " fox", " has 3", " tails", " and", " more", "."];
    let got = streamed(&rules, &own, &pieces, false);
    assert_eq!(got.concat(), pieces.concat());
    assert_eq!(&got[..4], ["The ", "", "quick ", "brown "], "{got:?}");
    // However long a text is, at most so much of it waits.
    let long = ["x".repeat(3_000), "v7 ".repeat(1_500), "a b ".repeat(2_000)];
    for text in &long {
        let got = streamed(&rules, &own, &[text], false);
        assert!(got[1].len() <= 400, "{} bytes", got[1].len());
        assert_eq!(&got.concat(), text);
    }
}

#[test]
fn long_credentials_are_swallowed_whole() {
    let rules = rules();
    let own = own(&rules, "hello");
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}-----END PRIVATE KEY-----",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj\n".repeat(25)
    );
    let token = format!("sk-{}", "abcdefghij0123456789".repeat(60));
    let text = format!("keys: {pem} and {token} are secret");
    let expected = "keys: [REDACTED_API_KEY] and [REDACTED_API_KEY] are secret";
    for size in [1, 17, 400, 5_000] {
        let pieces: Vec<&str> =
            text.as_bytes().chunks(size).map(|p| std::str::from_utf8(p).expect("ASCII")).collect();
        assert_eq!(streamed(&rules, &own, &pieces, false).concat(), expected, "pieces of {size}");
    }
}

#[test]
fn arguments_stay_json() {
    let rules = rules();
    let own = own(&rules, "hello");
    let arguments = r#"{"to": "j\u0061ne@example.com", "note": "a \"b\" c", "card": 4111111111111111, "n": [1, 2]}"#;
    let expected = json!({"to": "[REDACTED_EMAIL]", "note": "a \"b\" c",
        "card": "[REDACTED_CREDIT_CARD]", "n": [1, 2]});
    for cut in 0..=arguments.len() {
        let (a, b) = arguments.split_at(cut);
        let got = streamed(&rules, &own, &[a, b], true).concat();
        let got: Value = serde_json::from_str(&got).unwrap_or_else(|e| panic!("{e}: {got}"));
        assert_eq!(got, expected, "cut at {cut}");
    }
}

#[test]
fn patterns_of_the_policy_count_too() {
    let custom = |name: &str, pattern: &str| CustomSpec {
        name: name.into(),
        pattern: pattern.into(),
        replacement: "[T]".into(),
    };
    let spec = RulesSpec {
        custom: vec![custom("ticket", "TCK-[0-9]{6} of [a-z]+")],
        answers: Answers::Mask,
        ..RulesSpec::default()
    };
    let rules = Arc::new(Rules::compile(&spec).expect("rules"));
    let own = own(&rules, "my TCK-111111 of jane");
    let text = "See TCK-111111 of jane and TCK-222222 of bob, please.";
    for cut in 0..=text.len() {
        let (a, b) = text.split_at(cut);
        let got = streamed(&rules, &own, &[a, b], false).concat();
        assert_eq!(got, "See TCK-111111 of jane and [T], please.", "cut at {cut}");
    }
}

proptest! {
    /// Any cut of any mixture of values and words gives what the whole text gives.
    #[test]
    fn cuts_do_not_matter(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                "jane@example.com", "+44 20 7946 0958", "(415) 555-0132", "4111 1111 1111 1111",
                "hello", "12", "a", "\n", ", ", " ", " ", "(", "Tel.: ", "@", "x.y", "ä", "中文",
                "2026-11-30", "DE89 3704 0044 0532 0130 00", "536-22-1234", "%40", "order 4155550132",
            ]),
            1..12,
        ),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let rules = rules();
        let own = own(&rules, "hello");
        let text = parts.concat();
        let whole = streamed(&rules, &own, &[&text], false).concat();
        let mut places: Vec<usize> =
            cuts.iter().map(|cut| cut.index(text.len() + 1)).filter(|at| text.is_char_boundary(*at)).collect();
        places.extend([0, text.len()]);
        places.sort_unstable();
        let pieces: Vec<&str> = places.windows(2).map(|w| &text[w[0]..w[1]]).collect();
        prop_assert_eq!(streamed(&rules, &own, &pieces, false).concat(), whole);
    }
}
