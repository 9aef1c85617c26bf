//! Anthropic's `messages`, and its count of tokens; and the conventions of provider kind
//! `anthropic`.
//!
//! Cache tokens are reported beside the input. A stream has named events; the first one reports the
//! input, a later one the output; it ends with `message_stop`. Of stored objects only containers,
//! and files that code left behind, are named.
//!
//! # Source
//! Anthropic API reference (Messages, streaming, `Usage`), read November 2026. anthropic-python
//! raises on `event: error` (seen in its source, August 2026).

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_redact::Schema;

use super::{Conventions, Format, Route, Spec, TextExchange};
use crate::error::StreamFailure;
use crate::estimate::Makes;
use crate::exchange::{TextForm, TextRequest};
use crate::ids::NAMED;
use crate::ids::Place::{self, Each, Fields, Id};
use crate::lenient::{Content, Count, Lenient, Text};
use crate::reported::ReportedUsage;
use crate::stream::{End, Role, StreamReader};

pub(crate) const SPEC: Spec = Spec {
    name: "messages",
    routes: &[
        Route { name: "/v1/messages", answer: Format::AnthropicMessages, makes: Some(Makes::Text) },
        Route { name: "/v1/messages/count_tokens", answer: Format::Other, makes: None },
    ],
    schema: Schema { output_bounds: &["max_tokens"], text_documents: true, ..Schema::REQUEST },
    is_generated: true,
    is_stored: false,
    usage: Some(ReportedUsage::with_cache_beside),
    event,
    end: End::LastEvent,
    error_event: Some(error_event),
    objects: Some(objects),
};

pub(crate) const KIND: Conventions = Conventions {
    name: "anthropic",
    base_url: "https://api.anthropic.com/v1",
    key_header: ("x-api-key", ""),
    version_header: Some(("anthropic-version", "2023-06-01")),
    format: Format::AnthropicMessages,
    text_exchange: TextExchange {
        format: Format::AnthropicMessages,
        form: TextForm { takes_schema: |_| false, write: request, read: text },
    },
};

/// The data of an event.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    message: Lenient<Message<'a>>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(borrow, default)]
    delta: Lenient<Delta<'a>>,
    #[serde(borrow, default)]
    content_block: Lenient<Block<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    thinking: Text<'a>,
    #[serde(borrow, default)]
    partial_json: Text<'a>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
}

fn event(stream: &mut StreamReader, data: &[u8]) -> Role {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return Role::Content };
    if let Lenient(Some(message)) = event.message {
        stream.saw_model(message.model);
        stream.saw_usage(message.usage);
    }
    // The first event reports the input; only a later one reports the output.
    stream.is_usage_final |= stream.saw_usage(event.usage) && stream.usage().is_some();
    let block = event.index.0.unwrap_or(0);
    if let Lenient(Some(Block { name: Text(Some(name)) })) = event.content_block {
        stream.saw_tool_call();
        stream.transcript.add_tool(0, block, Text(Some(name)), |t| &mut t.name);
    }
    if let Lenient(Some(delta)) = event.delta {
        [&delta.text, &delta.thinking, &delta.partial_json]
            .into_iter()
            .for_each(|text| stream.wrote(text));
        stream.saw_end(&delta.stop_reason);
        stream.transcript.add(0, delta.text, |c| &mut c.content);
        stream.transcript.add(0, delta.stop_reason, |c| &mut c.finish_reason);
        stream.transcript.add_tool(0, block, delta.partial_json, |t| &mut t.arguments);
    }
    match event.kind.0.as_deref().unwrap_or_default() {
        "message_stop" => Role::Last,
        "error" => Role::Failed,
        _ => Role::Content,
    }
}

fn error_event(failure: &StreamFailure<'_>) -> String {
    let data = json!({"type": "error", "error": {"type": "api_error", "message": failure.message}});
    format!("event: error\ndata: {data}\n\n")
}

/// Results of code; only such a result is an object with a list in it.
const RESULT: Place =
    Fields(&[("content", Fields(&[("content", Each(&Fields(&[("file_id", Id)])))]))]);
const KEEPS_CONTAINER: Place = Fields(&[("container", NAMED)]);
/// An answer, or the data of an event.
const ANSWER: Place = Fields(&[
    ("container", NAMED),
    ("content", Each(&RESULT)),
    ("message", KEEPS_CONTAINER),
    ("delta", KEEPS_CONTAINER),
    ("content_block", RESULT),
]);

fn objects(answer: &[u8]) -> Option<&'static Place> {
    let names_some = ["\"container\"", "\"file_id\""]
        .iter()
        .any(|key| memmem::find(answer, key.as_bytes()).is_some());
    names_some.then_some(&ANSWER)
}

fn request(request: &TextRequest<'_>) -> Value {
    json!({
        "model": request.model,
        // The scale ends at 1.
        "temperature": request.temperature.min(1.0),
        "max_tokens": request.output_tokens_max,
        "system": request.instructions,
        "messages": [{"role": "user", "content": request.message}],
    })
}

fn text(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        content: Content,
    }
    serde_json::from_slice::<Answer>(answer).map(|answer| answer.content.0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::tests::{follow, transcript};

    #[test]
    fn a_stream() {
        let (roles, reader) = follow(
            Format::AnthropicMessages,
            &[
                (
                    "message_start",
                    r#"{"type":"message_start","message":{"model":"claude",
                        "usage":{"input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1}}}"#,
                ),
                (
                    "content_block_delta",
                    r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"}}"#,
                ),
                ("ping", r#"{"type":"ping"}"#),
                (
                    "message_delta",
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":12}}"#,
                ),
                ("message_stop", r#"{"type":"message_stop"}"#),
            ],
        );
        assert_eq!(roles[4], Role::Last);
        assert_eq!(reader.usage().map(|u| (u.input, u.cached, u.output)), Some((25, 20, 12)));
        assert_eq!(
            transcript(&reader),
            r#"{"choices":[{"index":0,"content":"Hi","finish_reason":"end_turn"}]}"#
        );
    }

    /// The usage of a stream that ends early is that of its beginning, and not final.
    #[test]
    fn usage_is_final_with_the_output() {
        let mut stream = StreamReader::new(Format::AnthropicMessages, 0);
        let mut seen = Vec::new();
        for event in [
            r#"{"type":"message_start","message":{"usage":{"input_tokens":25,"cache_read_input_tokens":2000,"output_tokens":1}}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#,
            r#"{"type":"message_stop"}"#,
        ] {
            stream.event(b"", event.as_bytes());
            let usage = stream.usage().expect("reported");
            seen.push((usage.input, usage.output, stream.text_bytes(), stream.is_usage_final()));
        }
        assert_eq!(
            seen,
            [
                (2_025, 1, 0, false),
                (2_025, 1, 5, false),
                (2_025, 15, 5, true),
                (2_025, 15, 5, true)
            ]
        );
    }

    #[test]
    fn an_error_in_the_stream() {
        let event = r#"{"type":"error","error":{"type":"overloaded_error"}}"#;
        let (roles, reader) = follow(Format::AnthropicMessages, &[("error", event)]);
        assert_eq!((roles[0], reader.failed()), (Role::Failed, true));
    }

    #[test]
    fn a_question_and_the_text_of_its_answer() {
        let body = request(&TextRequest {
            model: "claude-sonnet-5",
            temperature: 1.5,
            instructions: "do this",
            message: "the ticket",
            output_tokens_max: 200,
            schema: None,
        });
        assert_eq!((&body["system"], body["max_tokens"].as_u64()), (&json!("do this"), Some(200)));
        assert_eq!(body["messages"], json!([{"role": "user", "content": "the ticket"}]));
        assert_eq!(body["temperature"], json!(1.0));
        for (answer, expected) in [
            (
                json!({"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "a"}]}),
                "a",
            ),
            (json!({"content": []}), ""),
            (json!({"content": {"text": "a"}}), ""),
            (
                json!({"content": [null, 1, [], {"text": {"text": "x"}}, {"text": "a", "more": [{}]}]}),
                "a",
            ),
        ] {
            assert_eq!(text(answer.to_string().as_bytes()), expected, "{answer}");
        }
    }
}
