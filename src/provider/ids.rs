//! The ids of objects that a provider has made and keeps, as its answers name them.
//!
//! Pure. Only places are read that the provider fills by itself: an answer also repeats what a caller chose (metadata, names
//! in arguments, items that were sent along), and who can have an id repeated must not own its object. Promises: linear; of an
//! answer that is cut, what stands before the cut is told. Does not: keep ids.

use std::borrow::Cow;
use std::fmt;

use memchr::memmem;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Wire;

/// A place in an answer.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// An id.
    Id,
    /// An object, of which these fields are read.
    Fields(&'static [(&'static str, Place)]),
    /// A list of such.
    Each(&'static Place),
}

use Place::{Each, Fields, Id};

const NAMED: Place = Fields(&[("id", Id)]);
const ANNOTATION: Place = Fields(&[("file_id", Id), ("container_id", Id)]);
const PART: Place = Fields(&[("annotations", Each(&ANNOTATION))]);
const ITEM: Place = Fields(&[("id", Id), ("container_id", Id), ("content", Each(&PART))]);
const RESPONSE: Place = Fields(&[("id", Id), ("conversation", NAMED), ("output", Each(&ITEM))]);
/// An answer of the Responses API, or an event of its stream.
const RESPONSES: Place =
    Fields(&[("id", Id), ("conversation", NAMED), ("output", Each(&ITEM)), ("response", RESPONSE), ("item", ITEM)]);
/// What code left behind; only such results are objects with a list in them.
const RESULT: Place = Fields(&[("content", Fields(&[("content", Each(&Fields(&[("file_id", Id)])))]))]);
const KEEPS_CONTAINER: Place = Fields(&[("container", NAMED)]);
/// An answer of the Messages API, or an event of its stream.
const MESSAGES: Place = Fields(&[
    ("container", NAMED),
    ("content", Each(&RESULT)),
    ("message", KEEPS_CONTAINER),
    ("delta", KEEPS_CONTAINER),
    ("content_block", RESULT),
]);
const SPOKEN: Place = Fields(&[("audio", NAMED)]);
/// A chat completion, or a chunk of its stream.
const CHAT: Place = Fields(&[("choices", Each(&Fields(&[("message", SPOKEN), ("delta", SPOKEN)])))]);

/// Tells `note` each id of an object that this answer, or this event's data, says was made. `begins`: the call makes an object
/// of another kind, which the answer is.
pub fn each(wire: Wire, begins: bool, answer: &[u8], note: &mut dyn FnMut(&str)) {
    let holds = |text: &str| memmem::find(answer, text.as_bytes()).is_some();
    let place = match wire {
        // Deltas are the most events, and name nothing new.
        Wire::Responses if !is_delta(answer) => &RESPONSES,
        Wire::Messages if holds("\"container\"") || holds("\"file_id\"") => &MESSAGES,
        Wire::Chat if holds("\"audio\"") => &CHAT,
        Wire::Other | Wire::Stored if begins => &NAMED,
        _ => return,
    };
    let mut reader = serde_json::Deserializer::from_slice(answer);
    // What is no JSON, or is cut, names nothing from there on.
    drop(Reader { place, note }.deserialize(&mut reader));
}

fn is_delta(event: &[u8]) -> bool {
    memmem::find(&event[..event.len().min(80)], b".delta\"").is_some()
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
                Fields(fields) => fields.iter().find(|(name, _)| *name == key.0).map(|(_, place)| place),
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
            Each(place) => while list.next_element_seed(Reader { place, note: &mut *self.note })?.is_some() {},
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

    fn ids(wire: Wire, begins: bool, answer: &str) -> Vec<String> {
        let mut ids = Vec::new();
        each(wire, begins, answer.as_bytes(), &mut |id| ids.push(id.to_owned()));
        ids
    }

    #[test]
    fn ids_are_read_where_the_provider_puts_them() {
        let table: &[(Wire, &str, &[&str])] = &[
            (
                Wire::Responses,
                r#"{"id":"resp_1","object":"response","conversation":{"id":"conv_1"},"output":[{"type":"reasoning","id":"rs_1"},
                   {"type":"code_interpreter_call","id":"ci_1","container_id":"cntr_1"},
                   {"id":"msg_1","content":[{"type":"output_text","text":"x","annotations":[{"file_id":"cfile_1","container_id":"cntr_1"}]}]}]}"#,
                &["resp_1", "conv_1", "rs_1", "ci_1", "cntr_1", "msg_1", "cfile_1", "cntr_1"],
            ),
            (Wire::Responses, r#"{"type":"response.created","response":{"id":"resp_1"}}"#, &["resp_1"]),
            (
                Wire::Responses,
                r#"{"type":"response.output_item.done","item":{"id":"rs_1","type":"reasoning"}}"#,
                &["rs_1"],
            ),
            (Wire::Responses, r#"{"type":"response.output_text.delta","item_id":"msg_1","delta":"x"}"#, &[]),
            // Cut, as the kept beginning of a long answer is.
            (Wire::Responses, r#"{"id":"resp_1","output":[{"id":"ig_1","result":"AAAA"#, &["resp_1", "ig_1"]),
            (Wire::Messages, r#"{"id":"msg_1","container":{"id":"container_1","expires_at":"x"}}"#, &["container_1"]),
            (
                Wire::Messages,
                r#"{"type":"message_delta","delta":{"container":{"id":"container_1"}}}"#,
                &["container_1"],
            ),
            (
                Wire::Messages,
                r#"{"content":[{"type":"code_execution_tool_result","content":{"content":[{"file_id":"file_1"}]}}]}"#,
                &["file_1"],
            ),
            (Wire::Chat, r#"{"id":"chatcmpl-1","choices":[{"message":{"audio":{"id":"audio_1"}}}]}"#, &["audio_1"]),
            (Wire::Chat, r#"{"id":"chatcmpl-1","choices":[{"message":{"content":"x"}}]}"#, &[]),
            (Wire::Completions, r#"{"id":"cmpl-1"}"#, &[]),
            (Wire::Responses, "no JSON", &[]),
        ];
        for (wire, answer, expected) in table {
            assert_eq!(ids(*wire, false, answer), *expected, "{answer}");
        }
        assert_eq!(ids(Wire::Other, true, r#"{"id":"vs_1","file_counts":{"id":"x"}}"#), ["vs_1"]);
        assert!(ids(Wire::Other, false, r#"{"id":"vs_1"}"#).is_empty());
    }

    #[test]
    fn what_a_caller_can_have_repeated_is_not_read() {
        for (wire, answer) in [
            (
                Wire::Responses,
                r#"{"metadata":{"id":"resp_B"},"previous_response_id":"resp_B","prompt":{"id":"pmpt_B"}}"#,
            ),
            (
                Wire::Responses,
                r#"{"tools":[{"vector_store_ids":["vs_B"],"container":{"id":"cntr_B"}}],"input":[{"id":"msg_B"}]}"#,
            ),
            (
                Wire::Responses,
                r#"{"output":[{"arguments":"{\"id\":\"resp_B\"}","input":{"id":"resp_B"},"output":{"id":"x"}}]}"#,
            ),
            (
                Wire::Responses,
                r#"{"output":[{"content":[{"text":"\"id\":\"resp_B\"","id":"resp_B"}],"results":[{"file_id":"file-B"}]}]}"#,
            ),
            (
                Wire::Messages,
                r#"{"content":[{"type":"tool_use","input":{"container":{"id":"c_B"},"file_id":"file_B","content":[]}}]}"#,
            ),
            (
                Wire::Messages,
                r#"{"content":[{"type":"mcp_tool_result","content":[{"type":"text","file_id":"file_B"}]}]}"#,
            ),
            (
                Wire::Chat,
                r#"{"choices":[{"message":{"content":"\"audio\":{\"id\":\"audio_B\"}","tool_calls":[{"audio":{"id":"audio_B"}}]}}]}"#,
            ),
        ] {
            assert!(ids(wire, false, answer).is_empty(), "{answer}");
        }
    }
}
