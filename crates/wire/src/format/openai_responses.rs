//! OpenAI's `responses`, and its counts and compactions, whose answers have a form of their own.
//!
//! A stream has named events with a `sequence_number` and ends with `response.completed`,
//! `response.incomplete` or `response.failed`. Stored objects are named in many places; only those
//! that the provider fills are read.
//!
//! # Source
//! OpenAI API reference, read November 2026. openai-python and openai-node return `type: error` of
//! a stream as an event (seen in their sources, August 2026).

use memchr::memmem;
use serde::Deserialize;
use serde_json::json;
use tollgate_redact::Schema;

use super::{Format, Route, Spec, other};
use crate::ending::{IncompleteDetails, is_tool_call};
use crate::error::StreamFailure;
use crate::estimate::Makes;
use crate::ids::NAMED;
use crate::ids::Place::{self, Each, Fields, Id};
use crate::lenient::{Count, Lenient, Text};
use crate::reported::{ReportedUsage, Tier};
use crate::stream::{End, Role, StreamReader};

pub(crate) const SPEC: Spec = Spec {
    name: "responses",
    routes: &[
        Route { name: "/v1/responses", answer: Format::OpenAiResponses, makes: Some(Makes::Text) },
        Route {
            name: "/v1/responses/input_tokens",
            answer: Format::Other,
            // Counting is free.
            makes: None,
        },
        Route { name: "/v1/responses/compact", answer: Format::Other, makes: Some(Makes::Nothing) },
    ],
    schema: Schema {
        typed_items: true,
        store_option: true,
        removed_part: r#"{"type":"input_text","text":"[attachment removed]"}"#,
        output_bounds: &["max_output_tokens"],
        ..Schema::REQUEST
    },
    is_generated: true,
    is_stored: true,
    event,
    end: End::LastEvent,
    error_event: Some(error_event),
    objects: Some(objects),
    ..other::SPEC
};

/// The data of an event.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    sequence_number: Count,
    #[serde(default)]
    output_index: Count,
    #[serde(borrow, default)]
    delta: Text<'a>,
    #[serde(borrow, default)]
    response: Lenient<Response<'a>>,
    #[serde(borrow, default)]
    item: Lenient<Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
}

#[derive(Deserialize)]
struct Response<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default)]
    service_tier: Tier,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    incomplete_details: Lenient<IncompleteDetails<'a>>,
}

fn event(stream: &mut StreamReader, data: &[u8]) -> Role {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return Role::Content };
    let kind = event.kind.0.as_deref().unwrap_or_default();
    if let Lenient(Some(response)) = event.response {
        if matches!(kind, "response.completed" | "response.incomplete" | "response.failed") {
            let details = response.incomplete_details.0.map(|details| details.reason);
            stream.saw_end(&details.filter(|d| d.0.is_some()).unwrap_or(response.status));
        }
        stream.saw_model(response.model);
        stream.tier.update(response.service_tier);
        stream.is_usage_final |= stream.saw_usage(response.usage) && stream.usage().is_some();
    }
    if let ("response.output_item.done", Lenient(Some(Item { kind: Text(Some(item)) }))) =
        (kind, &event.item)
        && is_tool_call(item)
    {
        stream.saw_tool_call();
    }
    if !kind.contains("audio") {
        stream.wrote(&event.delta);
    }
    if let Count(Some(number)) = event.sequence_number {
        stream.next_sequence_number = number.saturating_add(1);
    }
    let index = event.output_index.0.unwrap_or(0);
    match kind {
        "response.completed" | "response.incomplete" => return Role::Last,
        "response.failed" => {
            stream.has_ended = true;
            return Role::Failed;
        }
        "error" => return Role::Failed,
        "response.output_text.delta" => {
            stream.transcript.add(index, event.delta, |c| &mut c.content)
        }
        "response.refusal.delta" => stream.transcript.add(index, event.delta, |c| &mut c.refusal),
        "response.function_call_arguments.delta" => {
            stream.transcript.add_tool(index, 0, event.delta, |t| &mut t.arguments);
        }
        _ => {}
    }
    Role::Content
}

fn error_event(failure: &StreamFailure<'_>) -> String {
    let data = json!({
        "type": "error",
        "code": failure.code,
        "message": failure.message,
        "param": null,
        "sequence_number": failure.sequence_number,
    });
    format!("event: error\ndata: {data}\n\n")
}

const ANNOTATION: Place = Fields(&[("file_id", Id), ("container_id", Id)]);
const PART: Place = Fields(&[("annotations", Each(&ANNOTATION))]);
const ITEM: Place = Fields(&[("id", Id), ("container_id", Id), ("content", Each(&PART))]);
const RESPONSE: Place = Fields(&[("id", Id), ("conversation", NAMED), ("output", Each(&ITEM))]);
/// An answer, or the data of an event.
const ANSWER: Place = Fields(&[
    ("id", Id),
    ("conversation", NAMED),
    ("output", Each(&ITEM)),
    ("response", RESPONSE),
    ("item", ITEM),
]);

/// Most events are deltas, which name nothing new.
fn objects(answer: &[u8]) -> Option<&'static Place> {
    let is_delta = memmem::find(&answer[..answer.len().min(80)], b".delta\"").is_some();
    (!is_delta).then_some(&ANSWER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::{follow, transcript};

    #[test]
    fn a_stream() {
        let (roles, reader) = follow(
            Format::OpenAiResponses,
            &[
                ("response.created", r#"{"type":"response.created","response":{"model":"gpt-5"}}"#),
                (
                    "response.output_text.delta",
                    r#"{"type":"response.output_text.delta","output_index":0,"delta":"Hi"}"#,
                ),
                (
                    "response.completed",
                    r#"{"type":"response.completed","sequence_number":4,
                        "response":{"model":"gpt-5","usage":{"input_tokens":7,"output_tokens":2}}}"#,
                ),
            ],
        );
        assert_eq!(roles, [Role::Content, Role::Content, Role::Last]);
        assert_eq!(
            (reader.model(), reader.usage().map(|u| (u.input, u.output))),
            ("gpt-5", Some((7, 2)))
        );
        assert_eq!((reader.next_sequence_number(), reader.is_usage_final()), (5, true));
        assert_eq!(transcript(&reader), r#"{"choices":[{"index":0,"content":"Hi"}]}"#);
    }

    #[test]
    fn failures_in_the_stream() {
        for (name, data, has_ended) in [
            ("error", r#"{"type":"error","message":"x"}"#, false),
            ("response.failed", r#"{"type":"response.failed","response":{}}"#, true),
        ] {
            let (roles, reader) = follow(Format::OpenAiResponses, &[(name, data)]);
            assert_eq!(
                (roles[0], reader.failed(), reader.ended()),
                (Role::Failed, true, has_ended),
                "{data}"
            );
        }
    }
}
