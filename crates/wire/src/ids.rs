//! The ids of objects that a provider has made and stores, as its answers name them.
//!
//! Pure. Each format lists the places (`format/*`). Only places that the provider fills by itself
//! are read: an answer also repeats text that a caller chose (metadata, names in arguments, items
//! of the request), and a caller who can have an id repeated must not own its object.
//!
//! Guarantees: linear time; of an answer that is cut, the ids before the cut are found. Does not
//! keep ids.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A place in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// An id.
    Id,
    /// An object, of which these fields are read.
    Fields(&'static [(&'static str, Place)]),
    /// A list of such places.
    Each(&'static Place),
}

/// Returns the places of ids in an answer, or in the data of an event, if it may name some.
pub(crate) type PlacesOf = fn(&[u8]) -> Option<&'static Place>;

use Place::{Each, Fields, Id};

/// An object that is named by its `id`.
pub(crate) const NAMED: Place = Fields(&[("id", Id)]);

/// Calls `note` with the id of the object that the call made, if the answer is that object.
pub fn made_object(answer: &[u8], note: &mut dyn FnMut(&str)) {
    read(&NAMED, answer, note);
}

/// Calls `note` with the ids in a place of an answer.
pub(crate) fn read(place: &'static Place, answer: &[u8], note: &mut dyn FnMut(&str)) {
    let mut reader = serde_json::Deserializer::from_slice(answer);
    // An answer that is cut, or not JSON, names nothing from there on.
    let _ = Reader { place, note }.deserialize(&mut reader);
}

/// Reads one place.
struct Reader<'n> {
    place: &'static Place,
    note: &'n mut dyn FnMut(&str),
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let known = match self.place {
                Fields(fields) => {
                    fields.iter().find(|(name, _)| *name == key.0).map(|(_, place)| place)
                }
                _ => None,
            };
            match known {
                Some(place) => map.next_value_seed(Reader { place, note: &mut *self.note })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        match self.place {
            Each(place) => {
                while list.next_element_seed(Reader { place, note: &mut *self.note })?.is_some() {}
            }
            _ => while list.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if matches!(self.place, Id) && !text.is_empty() {
            (self.note)(text);
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// A key, borrowed where it holds no escape.
#[derive(serde::Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    fn ids(format: Format, answer: &str) -> Vec<String> {
        let mut ids = Vec::new();
        format.each_object(answer.as_bytes(), &mut |id| ids.push(id.to_owned()));
        ids
    }

    #[test]
    fn ids_are_read_in_the_places_of_their_format() {
        let table: &[(Format, &str, &[&str])] = &[
            (
                Format::OpenAiResponses,
                r#"{"id":"resp_1","object":"response","conversation":{"id":"conv_1"},"output":[{"type":"reasoning","id":"rs_1"},
                   {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"},
                   {"id":"msg_1","content":[{"type":"output_text","text":"x","annotations":[{"file_id":"cfile_1","container_id":"cntr_1"}]}]}]}"#,
                &["resp_1", "conv_1", "rs_1", "ci_1", "cntr_1", "msg_1", "cfile_1", "cntr_1"],
            ),
            (
                Format::OpenAiResponses,
                r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
                &["resp_1"],
            ),
            (
                Format::OpenAiResponses,
                r#"{"type":"response.output_item.done","item":{"id":"rs_1","type":"reasoning"}}"#,
                &["rs_1"],
            ),
            (
                Format::OpenAiResponses,
                r#"{"type":"response.output_text.delta","item_id":"msg_1","delta":"x"}"#,
                &[],
            ),
            // Cut, like the kept beginning of a long answer.
            (
                Format::OpenAiResponses,
                r#"{"id":"resp_1","output":[{"id":"ig_1","result":"AAAA"#,
                &["resp_1", "ig_1"],
            ),
            (
                Format::AnthropicMessages,
                r#"{"id":"msg_1","container":{"id":"container_1","expires_at":"x"}}"#,
                &["container_1"],
            ),
            (
                Format::AnthropicMessages,
                r#"{"type":"message_delta","delta":{"container":{"id":"container_1"}}}"#,
                &["container_1"],
            ),
            (
                Format::AnthropicMessages,
                r#"{"content":[{"type":"code_execution_tool_result","content":{"content":[{"file_id":"file_1"}]}}]}"#,
                &["file_1"],
            ),
            (
                Format::OpenAiChat,
                r#"{"id":"chatcmpl-1","choices":[{"message":{"audio":{"id":"audio_1"}}}]}"#,
                &["audio_1"],
            ),
            (
                Format::OpenAiChat,
                r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"x"}}]}"#,
                &[],
            ),
            (Format::OpenAiCompletions, r#"{"id":"cmpl-1"}"#, &[]),
            (Format::OpenAiResponses, "no JSON", &[]),
        ];
        for (format, answer, expected) in table {
            assert_eq!(ids(*format, answer), *expected, "{answer}");
        }
        assert!(ids(Format::Other, r#"{"id":"vs_1"}"#).is_empty());
        let mut made = Vec::new();
        made_object(br#"{"id":"vs_1","file_counts":{"id":"x"}}"#, &mut |id| {
            made.push(id.to_owned())
        });
        assert_eq!(made, ["vs_1"]);
    }

    #[test]
    fn places_that_a_caller_can_fill_are_not_read() {
        for (format, answer) in [
            (
                Format::OpenAiResponses,
                r#"{"metadata":{"id":"resp_B"},"previous_response_id":"resp_B","prompt":{"id":"pmpt_B"}}"#,
            ),
            (
                Format::OpenAiResponses,
                r#"{"tools":[{"vector_store_ids":["vs_B"],"container":{"id":"cntr_B"}}],"input":[{"id":"msg_B"}]}"#,
            ),
            (
                Format::OpenAiResponses,
                r#"{"output":[{"arguments":"{\"id\":\"resp_B\"}","input":{"id":"resp_B"},"output":{"id":"x"}}]}"#,
            ),
            (
                Format::OpenAiResponses,
                r#"{"output":[{"content":[{"text":"\"id\":\"resp_B\"","id":"resp_B"}],"results":[{"file_id":"file-B"}]}]}"#,
            ),
            (
                Format::AnthropicMessages,
                r#"{"content":[{"type":"tool_use","input":{"container":{"id":"c_B"},"file_id":"file_B","content":[]}}]}"#,
            ),
            (
                Format::AnthropicMessages,
                r#"{"content":[{"type":"mcp_tool_result","content":[{"type":"text","file_id":"file_B"}]}]}"#,
            ),
            (
                Format::OpenAiChat,
                r#"{"choices":[{"message":{"content":"\"audio\":{\"id\":\"audio_B\"}","tool_calls":[{"audio":{"id":"audio_B"}}]}}]}"#,
            ),
        ] {
            assert!(ids(format, answer).is_empty(), "{answer}");
        }
    }
}
