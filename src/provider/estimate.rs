//! What a call used where its provider does not say: guessed from the bytes of text.
//!
//! Pure. A row with such numbers says `estimated`. Four bytes of text to a token: English prose has 4.2 to 4.8 with the
//! vocabularies of today, other languages of Europe 3.5 to 4.5, code 3 to 4, Chinese and Japanese 3 to 4 (a character has three
//! bytes). So a guess is within about 30 % of what is charged, and needs no vocabulary of megabytes in the binary.
//! Does not: look at what was refused, or at what is no text (images, sound).

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::Wire;
use crate::usage::TokenUsage;

/// Bytes of text to one token, about.
const BYTES_PER_TOKEN: u64 = 4;

/// Fields of an answer whose strings a model has written.
const WRITTEN: [&str; 8] =
    ["content", "text", "arguments", "refusal", "reasoning_content", "thinking", "partial_json", "input"];

/// Whether a call with this answer is charged by what a model reads and writes.
pub const fn is_generated(wire: Wire) -> bool {
    match wire {
        Wire::Chat | Wire::Completions | Wire::Responses | Wire::Messages => true,
        Wire::Other | Wire::Stored => false,
    }
}

/// The guess: `told` is what the provider said before it fell silent, if anything; the request had `asked_bytes` of text, and
/// `text_bytes` were answered.
pub fn usage(told: Option<TokenUsage>, asked_bytes: u64, text_bytes: u64) -> TokenUsage {
    let told = told.unwrap_or_default();
    let input = if told.input > 0 { told.input } else { asked_bytes.div_ceil(BYTES_PER_TOKEN) };
    TokenUsage { input, output: told.output.max(text_bytes.div_ceil(BYTES_PER_TOKEN)), ..told }
}

/// Bytes of text that a model has written in a whole JSON answer; 0 where it looks like none. Counts as it reads, and keeps
/// nothing.
pub fn text_bytes(answer: &[u8]) -> u64 {
    let mut reader = serde_json::Deserializer::from_slice(answer);
    let written = Written { counts: false }.deserialize(&mut reader);
    if reader.end().is_ok() { written.unwrap_or(0) } else { 0 }
}

/// Counts the text in one value. `counts`: where the value is a string, a model has written it.
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

/// Whether the name of a field is one of [`WRITTEN`].
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
    fn text_of_every_dialect_is_counted_once() {
        for (answer, expected) in [
            (r#"{"id":"chatcmpl-1","choices":[{"message":{"role":"assistant","content":"12345678"}}]}"#, 8),
            (r#"{"choices":[{"text":"1234"}]}"#, 4),
            (r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"123"}]}]}"#, 3),
            (r#"{"content":[{"type":"thinking","thinking":"12"},{"type":"text","text":"345"}]}"#, 5),
            (
                r#"{"choices":[{"message":{"content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}"#,
                2,
            ),
            (r#"{"a":1}"#, 0),
            (r#"{"content":["12",{"text":"345","\u0074ext":"6"}],"input":{"text":"7"},"text":null}"#, 5),
            (r#"{"content":"12"} {}"#, 0),
            (r#"{"content":"12""#, 0),
            ("<h1>", 0),
            ("", 0),
        ] {
            assert_eq!(text_bytes(answer.as_bytes()), expected, "{answer}");
        }
    }

    #[test]
    fn what_was_told_counts_before_the_guess() {
        let told = TokenUsage { input: 90, cached: 80, output: 1, ..TokenUsage::default() };
        assert_eq!(usage(Some(told), 4_000, 400), TokenUsage { output: 100, ..told });
        assert_eq!(usage(None, 4_001, 7), TokenUsage { input: 1_001, output: 2, ..TokenUsage::default() });
    }
}
