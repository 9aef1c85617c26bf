//! Tests of the room: promises as properties, shapes as tables, detection against the labelled set.

mod actions;
mod answers;
mod bodies;
mod entities;
mod facts;
pub(crate) mod formats;
mod labelled;
mod leaks;
mod names;
mod numbers;
mod phones;
mod placeholders;
mod places;
mod properties;
mod tokens;
mod wrongly;

use std::sync::Arc;

use bytes::Bytes;

use super::*;

/// Rules with these entities, dropping attachments.
pub(crate) fn rules(entities: &[&str]) -> Arc<Rules> {
    with(entities, Attachments::Drop)
}

fn with(entities: &[&str], attachments: Attachments) -> Arc<Rules> {
    let entities = entities.iter().map(|e| (*e).to_owned()).collect();
    let spec = RulesSpec { entities, attachments, ..RulesSpec::default() };
    Arc::new(Rules::compile(&spec).expect("rules"))
}

/// Redacts a body that arrives in these pieces.
pub(crate) fn pieces(
    rules: &Arc<Rules>,
    schema: Schema,
    pieces: &[&[u8]],
) -> Result<(Vec<u8>, BodyRedactor), RedactError> {
    let mut redactor = BodyRedactor::new(Arc::clone(rules), schema, true);
    let mut out = Vec::new();
    for piece in pieces {
        redactor.push(Bytes::copy_from_slice(piece), &mut out)?;
    }
    redactor.finish(&mut out)?;
    Ok((out.iter().flat_map(|r| r.as_bytes().to_vec()).collect(), redactor))
}

/// Redacts a body in one piece, and checks that single bytes give the same.
fn body(rules: &Arc<Rules>, schema: Schema, body: &str) -> Result<String, RedactError> {
    let whole = pieces(rules, schema, &[body.as_bytes()]).map(|(out, _)| out);
    let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
    let single = pieces(rules, schema, &bytes).map(|(out, _)| out);
    assert_eq!(whole, single, "cut into bytes: {body}");
    whole.map(|out| String::from_utf8(out).expect("UTF-8"))
}

/// Redacts a user message, as text.
fn message(rules: &Arc<Rules>, text: &str) -> String {
    let request =
        serde_json::json!({"model": "m", "messages": [{"role": "user", "content": text}]})
            .to_string();
    let out = body(rules, formats::CHAT, &request).expect("body");
    let value: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    value["messages"][0]["content"].as_str().expect("text").to_owned()
}
