//! The content of captured bodies: the call's parameters, and its messages in the form of the
//! conventions.
//!
//! Pure. Reads the redacted bodies that the row keeps, so nothing is here that the log has not.
//!
//! Guarantees: a body that cannot be read, or was cut, gives less, and never an error. Does not:
//! read answers that came as a stream of events, but for their text.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::names::{self, Name};
use super::value::Any;

/// The fields of a body, each as it is written.
pub(crate) struct Fields<'a>(HashMap<Cow<'a, str>, &'a RawValue>);

impl<'a> Fields<'a> {
    /// The fields of an object; none of anything else.
    pub(crate) fn of(body: &'a [u8]) -> Fields<'a> {
        #[derive(Deserialize)]
        struct Object<'a>(#[serde(borrow)] HashMap<Cow<'a, str>, &'a RawValue>);
        let object: Option<Object<'a>> = serde_json::from_slice(body).ok();
        Fields(object.map(|object| object.0).unwrap_or_default())
    }

    fn value<T: Deserialize<'a>>(&self, name: &str) -> Option<T> {
        serde_json::from_str(self.0.get(name)?.get()).ok()
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.value::<Text<'a>>(name).map(|text| text.0)
    }
}

/// A text, not copied if it can be avoided.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The parameters of a request.
pub(crate) fn parameters<'a>(request: &Fields<'a>) -> Vec<(Name, Any<'a>)> {
    let mut all = Vec::new();
    for (name, field) in [
        (names::TEMPERATURE, "temperature"),
        (names::TOP_P, "top_p"),
        (names::FREQUENCY_PENALTY, "frequency_penalty"),
        (names::PRESENCE_PENALTY, "presence_penalty"),
    ] {
        all.extend(request.value::<f64>(field).map(|n| (name, Any::Double(n))));
    }
    for (name, field) in [(names::TOP_K, "top_k"), (names::SEED, "seed")] {
        all.extend(request.value::<u64>(field).map(|n| (name, Any::Int(n))));
    }
    let choices = request.value::<u64>("n").filter(|n| *n != 1);
    all.extend(choices.map(|n| (names::CHOICES, Any::Int(n))));
    let stops = ["stop", "stop_sequences"].into_iter().find_map(|field| {
        let one = || request.text(field).map(|text| vec![Any::Text(text)]);
        let several = request.value::<Vec<Text<'a>>>(field);
        several.map(|list| list.into_iter().map(|text| Any::Text(text.0)).collect()).or_else(one)
    });
    all.extend(stops.map(|list| (names::STOP, Any::List(list))));
    let level = request.text("reasoning_effort").or_else(|| {
        let reasoning = request.0.get("reasoning")?;
        Fields::of(reasoning.get().as_bytes()).text("effort")
    });
    all.extend(level.map(|level| (names::REASONING_LEVEL, Any::Text(level))));
    let previous = request.text("previous_response_id");
    all.extend(previous.map(|id| (names::PREVIOUS_RESPONSE, Any::Text(id))));
    let format = request
        .0
        .get("response_format")
        .map(|format| Fields::of(format.get().as_bytes()).text("type").unwrap_or_default());
    all.extend(format.map(|format| {
        let is_json = format.starts_with("json");
        (names::OUTPUT_TYPE, Any::from(if is_json { "json" } else { "text" }))
    }));
    all
}

/// A message of a request.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
}

/// The messages, instructions and tools of a request.
pub(crate) fn messages<'a>(request: &Fields<'a>) -> Vec<(Name, Any<'a>)> {
    let mut all = Vec::new();
    let list = ["messages", "input"].into_iter().find_map(|field| {
        let one = || request.text(field).map(|text| vec![message("user", vec![part(text)])]);
        let several = request.value::<Vec<&'a RawValue>>(field);
        several.map(|list| list.into_iter().map(read_message).collect()).or_else(one)
    });
    let list =
        list.or_else(|| request.text("prompt").map(|text| vec![message("user", vec![part(text)])]));
    all.extend(list.map(|list| (names::INPUT_MESSAGES, Any::List(list))));
    let instructions =
        ["system", "instructions"].into_iter().find_map(|field| request.0.get(field));
    all.extend(instructions.map(|raw| (names::INSTRUCTIONS, Any::List(parts(raw)))));
    let tools = request.0.get("tools").map(|raw| (names::TOOLS, Any::from(raw.get())));
    all.extend(tools);
    all
}

/// The answer as the one message that the log keeps of it.
pub(crate) fn answer<'a>(text: &'a str, finish_reason: &'a str) -> (Name, Any<'a>) {
    let mut entries = vec![
        ("role", Any::from("assistant")),
        ("parts", Any::List(vec![part(Cow::Borrowed(text))])),
    ];
    if !finish_reason.is_empty() {
        entries.push(("finish_reason", Any::from(finish_reason)));
    }
    (names::OUTPUT_MESSAGES, Any::List(vec![Any::Map(entries)]))
}

fn read_message(raw: &RawValue) -> Any<'_> {
    match serde_json::from_str::<Message<'_>>(raw.get()) {
        Ok(Message { role: Some(role), content: Some(content) }) => {
            Any::Map(vec![("role", Any::Text(role)), ("parts", Any::List(parts(content)))])
        }
        // A call of a tool, its result, or something newer: as it is written.
        Ok(Message { role, .. }) => {
            let parts = vec![part(Cow::Borrowed(raw.get()))];
            Any::Map(vec![
                ("role", Any::Text(role.unwrap_or(Cow::Borrowed("tool")))),
                ("parts", Any::List(parts)),
            ])
        }
        Err(_) => message("user", vec![part(Cow::Borrowed(raw.get()))]),
    }
}

fn message<'a>(role: &'static str, parts: Vec<Any<'a>>) -> Any<'a> {
    Any::Map(vec![("role", Any::from(role)), ("parts", Any::List(parts))])
}

/// A text, or a list of parts.
fn parts(content: &RawValue) -> Vec<Any<'_>> {
    if let Ok(text) = serde_json::from_str::<Text<'_>>(content.get()) {
        return vec![part(text.0)];
    }
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(content.get()) else {
        return vec![part(Cow::Borrowed(content.get()))];
    };
    let one = |raw: &'_ RawValue| -> Any<'_> { Any::Text(Cow::Owned(raw.get().to_owned())) };
    list.into_iter()
        .map(|raw| match Fields::of(raw.get().as_bytes()).text("text") {
            Some(text) => part(Cow::Owned(text.into_owned())),
            None => Any::Map(vec![("type", Any::from("other")), ("content", one(raw))]),
        })
        .collect()
}

fn part(text: Cow<'_, str>) -> Any<'_> {
    Any::Map(vec![("type", Any::from("text")), ("content", Any::Text(text))])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// JSON in place of a value, to be read.
    fn shown(value: &Any<'_>) -> serde_json::Value {
        match value {
            Any::Text(text) => text.as_ref().into(),
            Any::Bool(is) => (*is).into(),
            Any::Int(n) => (*n).into(),
            Any::Double(n) => (*n).into(),
            Any::List(list) => list.iter().map(shown).collect(),
            Any::Map(map) => map.iter().map(|(k, v)| ((*k).to_owned(), shown(v))).collect(),
        }
    }

    fn all(list: &[(Name, Any<'_>)]) -> serde_json::Value {
        let name = |name: &Name| name.of(crate::config::policy::Semconv::Current).expect("named");
        list.iter().map(|(n, value)| (name(n).to_owned(), shown(value))).collect()
    }

    #[test]
    fn parameters_have_the_conventions_names() {
        let body = br#"{"temperature":0.5,"top_p":1,"top_k":40,"seed":7,"n":2,"stop":"END",
            "presence_penalty":0.1,"frequency_penalty":"no number","reasoning":{"effort":"low"},
            "response_format":{"type":"json_schema"},"previous_response_id":"resp_1"}"#;
        let expected = serde_json::json!({
            "gen_ai.request.temperature": 0.5, "gen_ai.request.top_p": 1.0,
            "gen_ai.request.top_k": 40, "gen_ai.request.seed": 7,
            "gen_ai.request.choice.count": 2, "gen_ai.request.stop_sequences": ["END"],
            "gen_ai.request.presence_penalty": 0.1, "gen_ai.request.reasoning.level": "low",
            "gen_ai.output.type": "json", "gen_ai.request.previous_response.id": "resp_1",
        });
        assert_eq!(all(&parameters(&Fields::of(body))), expected);
        let one = br#"{"n":1,"stop_sequences":["a","b"]}"#;
        let expected = serde_json::json!({"gen_ai.request.stop_sequences": ["a", "b"]});
        assert_eq!(all(&parameters(&Fields::of(one))), expected);
        for nothing in [&b""[..], b"[1]", b"{", b"\"text\"", b"{\"n\":1}"] {
            assert!(parameters(&Fields::of(nothing)).is_empty());
        }
    }

    #[test]
    fn messages_of_each_format_are_roles_with_parts() {
        let text = |text: &str| serde_json::json!({"type": "text", "content": text});
        let chat = br#"{"messages":[{"role":"system","content":"be \"kind\""},{"role":"user","content":[
            {"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"x"}}]}],"tools":[{"a":1}]}"#;
        let image = r#"{"type":"image_url","image_url":{"url":"x"}}"#;
        let expected = serde_json::json!({
            "gen_ai.input.messages": [
                {"role": "system", "parts": [text("be \"kind\"")]},
                {"role": "user", "parts": [text("look"), {"type": "other", "content": image}]},
            ],
            "gen_ai.tool.definitions": "[{\"a\":1}]",
        });
        assert_eq!(all(&messages(&Fields::of(chat))), expected);
        let anthropic = br#"{"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":"u"}]}"#;
        let expected = serde_json::json!({
            "gen_ai.system_instructions": [text("s")],
            "gen_ai.input.messages": [{"role": "user", "parts": [text("u")]}],
        });
        assert_eq!(all(&messages(&Fields::of(anthropic))), expected);
        let responses = br#"{"instructions":"s","input":[{"role":"user","content":[{"type":"input_text","text":"u"}]},
            {"type":"function_call_output","output":"4"}]}"#;
        let raw = r#"{"type":"function_call_output","output":"4"}"#;
        let expected = serde_json::json!({
            "gen_ai.system_instructions": [text("s")],
            "gen_ai.input.messages": [
                {"role": "user", "parts": [text("u")]}, {"role": "tool", "parts": [text(raw)]},
            ],
        });
        assert_eq!(all(&messages(&Fields::of(responses))), expected);
        let plain = br#"{"input":"one"}"#;
        let expected = serde_json::json!({
            "gen_ai.input.messages": [{"role": "user", "parts": [text("one")]}]
        });
        assert_eq!(all(&messages(&Fields::of(plain))), expected);
    }
}
