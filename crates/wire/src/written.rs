//! Counts the text that a model has written in a whole JSON answer of any format.
//!
//! Pure. Reads the answer once and keeps nothing of it. The count is the basis of an estimate (see
//! `estimate`) where a provider reports no usage. Does not count images or sound.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// Fields of an answer whose strings a model has written.
const WRITTEN: [&str; 8] = [
    "content",
    "text",
    "arguments",
    "refusal",
    "reasoning_content",
    "thinking",
    "partial_json",
    "input",
];

/// Bytes of text that a model has written in a whole JSON answer; 0 if it is not JSON.
///
/// ```
/// let answer = br#"{"choices":[{"message":{"role":"assistant","content":"Hello"}}]}"#;
/// assert_eq!(tollgate_wire::written::text_bytes(answer), 5);
/// ```
pub fn text_bytes(answer: &[u8]) -> u64 {
    let mut reader = serde_json::Deserializer::from_slice(answer);
    let written = Written { counts: false }.deserialize(&mut reader);
    if reader.end().is_ok() { written.unwrap_or(0) } else { 0 }
}

/// Counts the text in one value. `counts`: the value stands under a name of [`WRITTEN`].
#[derive(Clone, Copy)]
struct Written {
    counts: bool,
}

impl<'de> DeserializeSeed<'de> for Written {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Written {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer")
    }
    fn visit_str<E>(self, text: &str) -> Result<u64, E> {
        Ok(if self.counts { text.len() as u64 } else { 0 })
    }
    fn visit_unit<E>(self) -> Result<u64, E> {
        Ok(0)
    }
    fn visit_bool<E>(self, _: bool) -> Result<u64, E> {
        Ok(0)
    }
    fn visit_i64<E>(self, _: i64) -> Result<u64, E> {
        Ok(0)
    }
    fn visit_u64<E>(self, _: u64) -> Result<u64, E> {
        Ok(0)
    }
    fn visit_f64<E>(self, _: f64) -> Result<u64, E> {
        Ok(0)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<u64, A::Error> {
        let mut sum = 0_u64;
        while let Some(bytes) = list.next_element_seed(Written { counts: false })? {
            sum = sum.saturating_add(bytes);
        }
        Ok(sum)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<u64, A::Error> {
        let mut sum = 0_u64;
        while let Some(IsWritten(counts)) = fields.next_key()? {
            sum = sum.saturating_add(fields.next_value_seed(Written { counts })?);
        }
        Ok(sum)
    }
}

/// Whether a field's name is one of [`WRITTEN`].
struct IsWritten(bool);

impl<'de> Deserialize<'de> for IsWritten {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<IsWritten, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = IsWritten;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }
            fn visit_str<E>(self, name: &str) -> Result<IsWritten, E> {
                Ok(IsWritten(WRITTEN.contains(&name)))
            }
        }
        deserializer.deserialize_identifier(Name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_every_format_is_counted_once() {
        for (answer, expected) in [
            (
                r#"{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"12345678"}}]}"#,
                8,
            ),
            (r#"{"choices":[{"text":"1234"}]}"#, 4),
            (
                r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"123"}]}]}"#,
                3,
            ),
            (
                r#"{"content":[{"type":"thinking","thinking":"12"},{"type":"text","text":"345"}]}"#,
                5,
            ),
            (
                r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#,
                2,
            ),
            (r#"{"a":1}"#, 0),
            (
                r#"{"content":["12",{"text":"345","\u0074ext":"6"}],"input":{"text":"7"},"text":null}"#,
                5,
            ),
            (r#"{"content":"12"} {}"#, 0),
            (r#"{"content":"12""#, 0),
            ("<h1>", 0),
            ("", 0),
        ] {
            assert_eq!(text_bytes(answer.as_bytes()), expected, "{answer}");
        }
    }
}
