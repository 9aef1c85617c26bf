//! What is done with matches besides placeholders.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{body, formats, pieces};
use crate::{Action, Attachments, RedactError, Rules, RulesSpec, Schema, text};

fn rules(actions: &[(&str, Action)], attachments: Attachments) -> Arc<Rules> {
    let actions = actions.iter().map(|(name, action)| ((*name).to_owned(), *action)).collect();
    let entities = vec!["email".to_owned()];
    let spec = RulesSpec { entities, actions, attachments, ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

fn sent(rules: &Arc<Rules>, schema: Schema, request: &Value) -> Result<Value, RedactError> {
    let out = body(rules, schema, &request.to_string())?;
    Ok(serde_json::from_str(&out).expect("JSON"))
}

const CARD: &str = "4111 1111 1111 1111";
const PHONE: &str = "+44 20 7946 0958";
const KEY: &str = "sk-abcdefghij0123456789klmn";

#[test]
fn what_is_counted_stays_as_it_is() {
    let rules = rules(&[("phone", Action::Count), ("api_key", Action::Count)], Attachments::Drop);
    let content = format!("{PHONE} a@x.org {PHONE} {KEY}{}", "x".repeat(900));
    let request = json!({"messages": [{"role": "user", "content": content}]});
    let (out, redactor) =
        pieces(&rules, formats::CHAT, &[request.to_string().as_bytes()]).expect("a body");
    let out: Value = serde_json::from_slice(&out).expect("JSON");
    let expected = content.replace("a@x.org", "[REDACTED_EMAIL]");
    assert_eq!(out["messages"][0]["content"], expected);
    let ledger = redactor.ledger();
    assert_eq!(ledger.counts, [(Arc::from("email"), 1)]);
    assert_eq!(ledger.left, [(Arc::from("phone"), 2), (Arc::from("api_key"), 1)]);
    let (plain, ledger) = text(&rules, &content);
    assert_eq!(plain.as_bytes(), expected.as_bytes());
    assert_eq!((ledger.left.len(), ledger.count("email")), (2, 1));
}

#[test]
fn a_body_is_refused_for_all_kinds_that_it_holds() {
    let rules =
        rules(&[("credit_card", Action::Reject), ("iban", Action::Reject)], Attachments::Drop);
    let of = |content: &str| {
        sent(&rules, formats::CHAT, &json!({"messages": [{"role": "user", "content": content}]}))
    };
    let kinds = |content: &str| match of(content) {
        Err(RedactError::Sensitive { kinds }) => kinds.iter().map(|k| k.to_string()).collect(),
        other => vec![format!("{other:?}")],
    };
    assert!(of("a@x.org").is_ok());
    assert_eq!(
        kinds(&format!("DE89 3704 0044 0532 0130 00, a@x.org, {CARD}")),
        ["credit_card", "iban"]
    );
    assert_eq!(kinds(&format!("{CARD} {CARD}")), ["credit_card"]);
    // Others are looked for a short way only.
    let far = " .".repeat(40 << 10);
    assert_eq!(kinds(&format!("{CARD}{far}DE89 3704 0044 0532 0130 00")), ["credit_card"]);
    let error = of(CARD).expect_err("refused").to_string();
    assert!(error.contains("(credit_card)") && !error.contains("4111"), "{error}");
    // Nothing of it leaves once it is known.
    let request = json!({"messages": [{"role": "user", "content": CARD}]}).to_string();
    let mut redactor = crate::BodyRedactor::new(Arc::clone(&rules), formats::CHAT, false);
    let mut out = Vec::new();
    redactor.push(request.into(), &mut out).expect("the end decides");
    assert!(out.is_empty());
    assert!(redactor.finish(&mut out).is_err() && out.is_empty());
    assert_eq!(rules.rejected(redactor.ledger()), [Arc::from("credit_card")]);
}

#[test]
fn a_message_keeps_its_place_role_and_ids() {
    let rules = rules(&[("credit_card", Action::DropMessage)], Attachments::Drop);
    let note = "[message removed]";
    let request = json!({"model": "m", "messages": [
        {"role": "system", "content": "Be brief, a@x.org."},
        {"role": "user", "name": "jane", "content": [
            {"type": "text", "text": "my card"},
            {"type": "text", "text": format!("is {CARD}")},
            {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
        ]},
        {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function",
            "function": {"name": "pay", "arguments": json!({"card": CARD}).to_string()}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": format!("paid with {CARD}")},
        {"content": "and now?", "role": "user"},
    ]});
    let sent_body = sent(&rules, formats::CHAT, &request).expect("a body");
    assert_eq!(
        sent_body,
        json!({"model": "m", "messages": [
            {"role": "system", "content": "Be brief, [REDACTED_EMAIL]."},
            {"role": "user", "name": "jane", "content": [
                {"type": "text", "text": note},
                {"type": "text", "text": note},
                {"type": "text", "text": "[attachment removed]"},
            ]},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1",
                "type": "function", "function": {"name": "pay", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": note},
            {"content": "and now?", "role": "user"},
        ]})
    );
    let (_, redactor) =
        pieces(&rules, formats::CHAT, &[request.to_string().as_bytes()]).expect("a body");
    assert_eq!((redactor.ledger().messages, redactor.ledger().count("credit_card")), (3, 3));
}

#[test]
fn text_outside_of_messages_is_a_message_of_its_own() {
    let rules = rules(&[("credit_card", Action::DropMessage)], Attachments::Drop);
    let note = "[message removed]";
    let request = json!({"instructions": format!("{CARD} is the card"), "user": "u",
        "input": [{"type": "function_call_output", "call_id": "c", "output": format!("no {CARD}")},
                  {"role": "user", "content": "hello"}]});
    assert_eq!(
        sent(&rules, formats::RESPONSES, &request).expect("a body"),
        json!({"instructions": note, "user": "u",
            "input": [{"type": "function_call_output", "call_id": "c", "output": note},
                      {"role": "user", "content": "hello"}]})
    );
    let request =
        json!({"any": [format!("x {CARD}"), "b"], "c": {"d": format!("{CARD}, a@x.org")}});
    assert_eq!(
        sent(&rules, Schema::UNKNOWN, &request).expect("a body"),
        json!({"any": [note, "b"], "c": {"d": note}})
    );
    // An answer on its way to the log keeps the rest of its text.
    let answer = json!({"content": format!("{CARD}!")});
    assert_eq!(
        sent(&rules, Schema::ANSWER, &answer).expect("an answer"),
        json!({"content": "[REDACTED_CREDIT_CARD]!"})
    );
}

#[test]
fn a_message_that_cannot_be_removed_is_refused() {
    let drop = rules(&[("credit_card", Action::DropMessage)], Attachments::Drop);
    let message = |text: String| json!({"messages": [{"role": "user", "content": text}]});
    let long = "word ".repeat(8 << 10);
    assert!(sent(&drop, formats::CHAT, &message(long.clone())).is_ok());
    for text in [format!("{CARD} {long}"), format!("{long} {CARD}")] {
        let refused = sent(&drop, formats::CHAT, &message(text));
        assert_eq!(refused, Err(RedactError::Sensitive { kinds: vec![Arc::from("credit_card")] }));
    }
    // A picture would stay.
    let allow = rules(&[("credit_card", Action::DropMessage)], Attachments::Allow);
    let pictured = |text: &str| {
        json!({"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}},
            {"type": "text", "text": text},
        ]}]})
    };
    assert!(sent(&allow, formats::CHAT, &pictured("hello")).is_ok());
    assert!(sent(&allow, formats::CHAT, &pictured(CARD)).is_err());
}

#[test]
fn an_action_names_a_kind() {
    let spec = |name: &str| RulesSpec {
        actions: vec![(name.to_owned(), Action::Reject)],
        ..RulesSpec::default()
    };
    assert!(Rules::compile(&spec("iban")).is_ok());
    assert!(Rules::compile(&spec("ibans")).is_err());
}
