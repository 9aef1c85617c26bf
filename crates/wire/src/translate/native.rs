//! A request that is forwarded in its caller's format, without the carriers of the gateway.
//!
//! A carrier stands for thinking of a provider of another format. The gateway puts it into an
//! answer, and the caller sends it back; a provider of the caller's own format refuses it.
//!
//! Guarantees: the thinking to which a carrier belongs is removed, and a message that has nothing
//! else; every other field stays as it is written, in its place. Does not: read carriers (see
//! [`carrier`](super::carrier)), or find one whose mark is written with JSON escapes.

use std::fmt;

use memchr::memmem;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::carrier::PREFIX;
use super::vertex::{Fields, text};
use crate::Format;

/// Whether a request may have carriers: a scan for their mark.
pub fn may_carry(format: Format, body: &[u8]) -> bool {
    list_of(format).is_some() && has_mark(body)
}

/// The request without carriers; `None` if there are none, or it is not one of the format.
/// `model`: the target's name of the model.
///
/// ```
/// use tollgate_wire::{Format, translate::native::without_carriers};
/// let body = br#"{"input":[{"type":"reasoning","encrypted_content":"tg1.none."},"x"],"model":"m"}"#;
/// let without = without_carriers(Format::OpenAiResponses, body, Some("n")).expect("changed");
/// assert_eq!(without, br#"{"input":["x"],"model":"n"}"#);
/// ```
pub fn without_carriers(format: Format, body: &[u8], model: Option<&str>) -> Option<Vec<u8>> {
    let list = list_of(format).filter(|_| has_mark(body))?;
    let Fields(fields) = serde_json::from_slice(body).ok()?;
    let model = model.map(text);
    let (mut out, mut is_changed) = (Vec::with_capacity(body.len()), false);
    for (name, raw) in &fields {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(text(name).as_bytes());
        out.push(b':');
        match &model {
            Some(model) if name == "model" => out.extend_from_slice(model.as_bytes()),
            _ if name == list => is_changed |= write_list(raw, of_list(format), &mut out),
            _ => out.extend_from_slice(raw.get().as_bytes()),
        }
    }
    out.push(b'}');
    is_changed.then_some(out)
}

/// The field with the conversation, in formats that have carriers.
fn list_of(format: Format) -> Option<&'static str> {
    match format {
        Format::AnthropicMessages => Some("messages"),
        Format::OpenAiResponses => Some("input"),
        _ => None,
    }
}

fn of_list(format: Format) -> Element {
    if format == Format::AnthropicMessages { message } else { item }
}

/// Whether a string that begins as a carrier does stands anywhere.
fn has_mark(json: &[u8]) -> bool {
    memmem::find_iter(json, PREFIX.as_bytes()).any(|at| at > 0 && json[at - 1] == b'"')
}

/// An element of a list after a look at it.
enum Kept {
    AsItIs,
    Removed,
    Changed(Vec<u8>),
}

type Element = fn(&RawValue) -> Kept;

/// The opaque fields of a block or an item.
#[derive(Deserialize)]
struct Opaque<'a> {
    #[serde(borrow, rename = "type")]
    kind: &'a RawValue,
    #[serde(borrow, default)]
    signature: Option<&'a RawValue>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    encrypted_content: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    content: &'a RawValue,
}

/// An item of `input`.
fn item(raw: &RawValue) -> Kept {
    removed_if(raw, |item| match item.kind.get() {
        "\"reasoning\"" => item.encrypted_content,
        _ => None,
    })
}

/// A block of a message.
fn block(raw: &RawValue) -> Kept {
    removed_if(raw, |block| match block.kind.get() {
        "\"thinking\"" => block.signature,
        "\"redacted_thinking\"" => block.data,
        _ => None,
    })
}

fn removed_if<'a>(
    raw: &'a RawValue,
    field: impl FnOnce(&Opaque<'a>) -> Option<&'a RawValue>,
) -> Kept {
    let opaque = serde_json::from_str(raw.get()).ok();
    let field = opaque.as_ref().and_then(field).map(|raw| raw.get());
    let data = field.and_then(|json| json.strip_prefix('"'));
    if data.is_some_and(|data| data.starts_with(PREFIX)) { Kept::Removed } else { Kept::AsItIs }
}

/// A message.
fn message(raw: &RawValue) -> Kept {
    if !has_mark(raw.get().as_bytes()) {
        return Kept::AsItIs;
    }
    let Ok(Message { content }) = serde_json::from_str(raw.get()) else { return Kept::AsItIs };
    let mut blocks = Vec::new();
    if !write_list(content, block, &mut blocks) {
        return Kept::AsItIs;
    }
    if blocks == b"[]" {
        return Kept::Removed;
    }
    let Ok(Fields(fields)) = serde_json::from_str(raw.get()) else { return Kept::AsItIs };
    let mut out = Vec::with_capacity(raw.get().len());
    for (name, raw) in &fields {
        out.push(if out.is_empty() { b'{' } else { b',' });
        out.extend_from_slice(text(name).as_bytes());
        out.push(b':');
        let is_content = name == "content";
        out.extend_from_slice(if is_content { &blocks } else { raw.get().as_bytes() });
    }
    out.push(b'}');
    Kept::Changed(out)
}

/// Writes a value, a list without its removed elements; whether it has changed.
fn write_list(raw: &RawValue, element: Element, out: &mut Vec<u8>) -> bool {
    let begun = out.len();
    let mut from = serde_json::Deserializer::from_str(raw.get());
    if matches!(Elements { element, out }.deserialize(&mut from), Ok(true)) {
        return true;
    }
    out.truncate(begun);
    out.extend_from_slice(raw.get().as_bytes());
    false
}

/// Writes the elements of a list as they are read, so that many short ones take no memory.
struct Elements<'o> {
    element: Element,
    out: &'o mut Vec<u8>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = bool;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let (mut is_changed, mut is_first) = (false, true);
        self.out.push(b'[');
        while let Some(raw) = list.next_element::<&'de RawValue>()? {
            let kept = (self.element)(raw);
            is_changed |= !matches!(kept, Kept::AsItIs);
            let json = match &kept {
                Kept::Removed => continue,
                Kept::AsItIs => raw.get().as_bytes(),
                Kept::Changed(json) => json,
            };
            if !is_first {
                self.out.push(b',');
            }
            is_first = false;
            self.out.extend_from_slice(json);
        }
        self.out.push(b']');
        Ok(is_changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(format: Format, body: &str) -> Option<String> {
        assert_eq!(may_carry(format, body.as_bytes()), body.contains("\"tg1."), "{body}");
        let without = without_carriers(format, body.as_bytes(), None)?;
        Some(String::from_utf8(without).expect("UTF-8"))
    }

    #[test]
    fn thinking_of_others_is_removed_and_all_else_stays() {
        let body = r#"{"model":"m", "messages":[{"role":"user","content":"tg1.a"},
            {"role":"assistant", "content":[{"type":"thinking","thinking":"a","signature":"tg1.google.eA"},
            {"type":"thinking","thinking":"b","signature":"own"},{"type":"redacted_thinking","data":"tg1.google.eA.c"},
            {"type":"tool_use","id":"t","name":"f","input":{"signature":"tg1.x", "n":1.50}}]},
            {"role":"assistant","content":[{"type":"redacted_thinking","data":"tg1.none."}]}], "x":1e400}"#;
        let expected = concat!(
            r#"{"model":"m","messages":[{"role":"user","content":"tg1.a"},"#,
            r#"{"role":"assistant","content":[{"type":"thinking","thinking":"b","signature":"own"},"#,
            r#"{"type":"tool_use","id":"t","name":"f","input":{"signature":"tg1.x", "n":1.50}}]}],"#,
            r#""x":1e400}"#
        );
        assert_eq!(without(Format::AnthropicMessages, body).as_deref(), Some(expected));
        let body = r#"{"input":[{"type":"reasoning","summary":[],"encrypted_content":"tg1.anthropic.eA"},
            {"type":"reasoning","encrypted_content":"own"},{"type":"reasoning","encrypted_content":null}]}"#;
        let expected = concat!(
            r#"{"input":[{"type":"reasoning","encrypted_content":"own"},"#,
            r#"{"type":"reasoning","encrypted_content":null}]}"#
        );
        assert_eq!(without(Format::OpenAiResponses, body).as_deref(), Some(expected));
    }

    #[test]
    fn requests_without_carriers_are_not_changed() {
        for body in [
            "",
            "\"tg1.",
            "[\"tg1.x\"]",
            r#"{"messages":"tg1.x","input":"tg1.x"}"#,
            r#"{"messages":[{"content":"tg1.x"}],"input":[{"type":"message","content":"tg1.x"}]}"#,
            r#"{"messages":[{"content":[{"type":"text","text":"tg1.x"},7]}],"input":["tg1.x",[],7]}"#,
            r#"{"messages":[{"content":[{"type":"thinking","signature":"x tg1."}]}]}"#,
            r#"{"messages":[{"content":[{"type":"thinking","signature":"tg1.x"}"#,
        ] {
            for format in [Format::AnthropicMessages, Format::OpenAiResponses] {
                assert_eq!(without(format, body), None, "{body}");
            }
        }
        let chat = br#"{"messages":[{"content":[{"type":"thinking","signature":"tg1.x"}]}]}"#;
        assert_eq!(without_carriers(Format::OpenAiChat, chat, None), None);
    }
}
