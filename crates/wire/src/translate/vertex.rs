//! A request of Anthropic's format in the form that Google Cloud takes: the model stands in the
//! path, the version in the body.
//!
//! Guarantees: every other field of the body stays as it is written, in its place. Does not:
//! translate anything, or read answers (they are Anthropic's own).
//!
//! # Source
//! anthropic-python 2.14, `lib/vertex`; Vertex AI, "Claude models", read November 2026.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::Key;
use super::loss::Refused;
use super::{Operation, Written, path};

/// The version of Google Cloud for that of Anthropic's first API.
const FIRST: &str = "vertex-2023-10-16";

/// The version in a body at Google Cloud, for one of Anthropic's API.
///
/// ```
/// use tollgate_wire::translate::vertex::version;
/// assert_eq!(version("2023-06-01"), "vertex-2023-10-16");
/// assert_eq!(version("2026-10-21"), "2026-10-21");
/// ```
pub fn version(of_anthropic: &str) -> &str {
    if of_anthropic == "2023-06-01" { FIRST } else { of_anthropic }
}

/// The path of a call for a model below the address of a publisher.
pub(crate) fn call_path(model: &str, operation: Operation, stream: bool) -> Cow<'static, str> {
    match (operation, stream) {
        (Operation::CountTokens, _) => Cow::Borrowed("/models/count-tokens:rawPredict"),
        (Operation::Generate, false) => {
            Cow::Owned(format!("/models/{}:rawPredict", path::segment(model)))
        }
        (Operation::Generate, true) => {
            Cow::Owned(format!("/models/{}:streamRawPredict", path::segment(model)))
        }
    }
}

/// A request of Anthropic's API, for a model of Google Cloud. `version`: that of Anthropic's API,
/// unless the body has one.
///
/// # Errors
/// The request is no JSON object, or names no model.
pub fn reshaped(
    body: &[u8],
    model: Option<&str>,
    operation: Operation,
    anthropic_version: &str,
) -> Result<Written, Refused> {
    let Fields(fields) =
        serde_json::from_slice(body).map_err(|odd| Refused::unreadable(&odd, None))?;
    let value = |name: &str| fields.iter().rev().find(|(key, _)| key == name).map(|(_, raw)| *raw);
    let named: Option<Cow<'_, str>> =
        value("model").and_then(|raw| serde_json::from_str::<Key<'_>>(raw.get()).ok()).map(|k| k.0);
    let Some(model) = model.map(Cow::Borrowed).or(named).filter(|model| !model.is_empty()) else {
        return Err(Refused::invalid("model", "`model` is missing"));
    };
    let stream = value("stream").is_some_and(|raw| raw.get() == "true");
    let mut out = Vec::with_capacity(body.len() + 64);
    let version = text(version(anthropic_version));
    let is_new = value("anthropic_version").is_none();
    let version = is_new.then_some(("anthropic_version", version.as_str()));
    let counted = text(&model);
    let counted = (operation == Operation::CountTokens).then_some(("model", counted.as_str()));
    let kept = fields.iter().filter(|(name, _)| name != "model");
    let kept = kept.map(|(name, raw)| (&**name, raw.get()));
    for (name, json) in version.into_iter().chain(counted).chain(kept) {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(text(name).as_bytes());
        out.push(b':');
        out.extend_from_slice(json.as_bytes());
    }
    if out.is_empty() {
        out.push(b'{');
    }
    out.push(b'}');
    let path = call_path(&model, operation, stream);
    Ok(Written { body: out, path, headers: Vec::new() })
}

/// A string as JSON.
pub(crate) fn text(plain: &str) -> String {
    serde_json::Value::from(plain).to_string()
}

/// The fields of an object, in their order.
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Fields<'a>, D::Error> {
        struct Read<'a>(PhantomData<Fields<'a>>);
        impl<'de: 'a, 'a> Visitor<'de> for Read<'a> {
            type Value = Fields<'a>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'a>, A::Error> {
                let mut fields = Vec::new();
                while let Some((Key(name), raw)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    fields.push((name, raw));
                }
                Ok(Fields(fields))
            }
        }
        from.deserialize_map(Read(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(body: &str, model: Option<&str>, operation: Operation) -> (String, String) {
        let written = reshaped(body.as_bytes(), model, operation, "2023-06-01").expect("written");
        (written.path.into_owned(), String::from_utf8(written.body).expect("UTF-8"))
    }

    #[test]
    fn the_model_moves_to_the_path_and_all_else_stays() {
        let body = r#"{"max_tokens":5, "model":"claude-x@20250514","temperature":1.50,
            "messages":[{"role":"user","content":"a\u0041 1e400"}],"x":{"b":1,"a":2}}"#;
        let (path, seen) = written(body, None, Operation::Generate);
        assert_eq!(path, "/models/claude-x%4020250514:rawPredict");
        assert_eq!(
            seen,
            r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":5,"temperature":1.50,"messages":[{"role":"user","content":"a\u0041 1e400"}],"x":{"b":1,"a":2}}"#
        );
        let streamed = r#"{"model":"m","stream":true,"anthropic_version":"v"}"#;
        assert_eq!(
            written(streamed, Some("../n"), Operation::Generate),
            (
                "/models/..%2Fn:streamRawPredict".to_owned(),
                r#"{"stream":true,"anthropic_version":"v"}"#.to_owned()
            )
        );
        let counted = r#"{"model":"m","messages":[]}"#;
        assert_eq!(
            written(counted, Some("n"), Operation::CountTokens),
            (
                "/models/count-tokens:rawPredict".to_owned(),
                r#"{"anthropic_version":"vertex-2023-10-16","model":"n","messages":[]}"#.to_owned()
            )
        );
    }

    #[test]
    fn requests_without_a_model_are_refused() {
        for body in ["{}", r#"{"model":7}"#, r#"{"model":""}"#, "[]", "{", "7"] {
            let refused = reshaped(body.as_bytes(), None, Operation::Generate, "2026-10-21");
            assert!(refused.is_err(), "{body}");
        }
    }
}
