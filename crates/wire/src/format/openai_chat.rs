//! OpenAI's `chat/completions`: its endpoint, usage, stream, errors, and a question of the
//! gateway's own; and the conventions of provider kind `openai`.
//!
//! A stream has unnamed events and ends with `[DONE]`. The event that only reports usage (`choices:
//! []`) is sent if the request asks for it. Other servers send `usage` in every chunk, leave out
//! `[DONE]`, or report in Gemini's form.
//!
//! # Source
//! OpenAI API reference, read November 2026. openai-python and openai-node raise on `data.error` of
//! a stream (seen in their sources, August 2026).

use std::borrow::Cow;

use memchr::memmem;
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_redact::Schema;

use super::{Conventions, Format, Route, Spec, TextExchange};
use crate::error::StreamFailure;
use crate::estimate::Makes;
use crate::exchange::{TextForm, TextRequest};
use crate::gemini_usage::GeminiUsage;
use crate::ids::NAMED;
use crate::ids::Place::{self, Each, Fields};
use crate::lenient::{self, Content, Count, Few, Lenient, Take, Text};
use crate::reported::{ReportedUsage, Tier};
use crate::stream::{End, Role, StreamReader};

/// Chat and completions have the same options.
pub(crate) const SCHEMA: Schema = Schema {
    usage_option: true,
    store_option: true,
    output_bounds: &["max_completion_tokens", "max_tokens"],
    ..Schema::REQUEST
};

pub(crate) const SPEC: Spec = Spec {
    name: "chat",
    routes: &[Route {
        name: "/v1/chat/completions",
        answer: Format::OpenAiChat,
        makes: Some(Makes::Text),
    }],
    schema: SCHEMA,
    is_generated: true,
    is_stored: false,
    // xAI, and Gemini's OpenAI endpoint, count reasoning in the total alone.
    usage: Some(ReportedUsage::with_hidden_reasoning),
    event: chunk,
    end: End::FinishReason,
    error_event: Some(error_event),
    objects: Some(objects),
};

pub(crate) const KIND: Conventions = Conventions {
    name: "openai",
    base_url: "https://api.openai.com/v1",
    key_header: ("authorization", "Bearer "),
    version_header: None,
    format: Format::OpenAiChat,
    text_exchange: TEXT_EXCHANGE,
};

/// How a model is asked a question of the gateway's own.
pub(crate) const TEXT_EXCHANGE: TextExchange = TextExchange {
    format: Format::OpenAiChat,
    form: TextForm { takes_schema, write: request, read: first_text },
};

// ---- streams ------------------------------------------------------------------------------------

/// The data of an event.
#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    #[serde(borrow, default, rename = "modelVersion")]
    model_version: Text<'a>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default, rename = "usageMetadata")]
    usage_metadata: Lenient<GeminiUsage>,
    #[serde(default)]
    service_tier: Tier,
    #[serde(borrow, default)]
    choices: Option<Few<Choice<'a>>>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    delta: Lenient<Delta<'a>>,
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Text<'a>,
    #[serde(borrow, default)]
    refusal: Text<'a>,
    #[serde(borrow, default)]
    reasoning_content: Text<'a>,
    #[serde(borrow, default)]
    tool_calls: Option<Few<ToolDelta<'a>>>,
}

#[derive(Deserialize)]
struct ToolDelta<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    function: Lenient<FunctionDelta<'a>>,
}

#[derive(Deserialize)]
struct FunctionDelta<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    arguments: Text<'a>,
}

/// Reads the data of an event; also of other formats, because most servers imitate this one.
pub(crate) fn chunk(stream: &mut StreamReader, data: &[u8]) -> Role {
    if let Some((index, text)) = stream.alike.text(data) {
        let text = Text(Some(Cow::Borrowed(text)));
        stream.wrote(&text);
        stream.transcript.add(index, text, |c| &mut c.content);
        return Role::Content;
    }
    stream.alike.forget();
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return Role::Content };
    if let Some((index, text)) = only_text(&chunk) {
        stream.alike.keep(data, text, index);
    }
    stream.saw_model(chunk.model);
    stream.saw_model(chunk.model_version);
    stream.tier.update(chunk.service_tier);
    let has_gemini_usage = chunk.usage_metadata.0.is_some();
    if has_gemini_usage {
        stream.gemini = chunk.usage_metadata;
    }
    let has_usage = stream.saw_usage(chunk.usage);
    if chunk.error.is_some() {
        return Role::Failed;
    }
    let is_usage_only =
        has_usage && chunk.choices.as_ref().is_some_and(|choices| choices.0.is_empty());
    for choice in chunk.choices.into_iter().flat_map(|choices| choices.0) {
        add_choice(stream, choice);
    }
    // Some servers report the sums so far in every chunk.
    let is_at_end = is_usage_only || stream.has_finish_reason || stream.end == End::Anywhere;
    stream.is_usage_final |=
        (has_usage || has_gemini_usage) && is_at_end && stream.usage().is_some();
    if is_usage_only { Role::UsageOnly } else { Role::Content }
}

/// The choice and its text, if the event tells nothing else that may change.
fn only_text<'a>(chunk: &Chunk<'a>) -> Option<(u64, &'a str)> {
    let Chunk { usage: Lenient(None), usage_metadata: Lenient(None), error: None, .. } = chunk
    else {
        return None;
    };
    let [choice] = &*chunk.choices.as_ref()?.0 else { return None };
    let Choice { delta: Lenient(Some(delta)), text: Text(None), finish_reason: Text(None), .. } =
        choice
    else {
        return None;
    };
    let Delta { refusal: Text(None), reasoning_content: Text(None), tool_calls: None, .. } = delta
    else {
        return None;
    };
    let Text(Some(Cow::Borrowed(text))) = &delta.content else { return None };
    Some((choice.index.0.unwrap_or(0), text))
}

fn add_choice(stream: &mut StreamReader, choice: Choice<'_>) {
    let index = choice.index.0.unwrap_or(0);
    stream.wrote(&choice.text);
    stream.transcript.add(index, choice.text, |c| &mut c.content);
    if let Lenient(Some(delta)) = choice.delta {
        [&delta.content, &delta.refusal, &delta.reasoning_content]
            .into_iter()
            .for_each(|text| stream.wrote(text));
        stream.transcript.add(index, delta.content, |c| &mut c.content);
        stream.transcript.add(index, delta.refusal, |c| &mut c.refusal);
        for tool in delta.tool_calls.into_iter().flat_map(|calls| calls.0) {
            let Lenient(Some(function)) = tool.function else { continue };
            let call = tool.index.0.unwrap_or(0);
            stream.saw_tool_calls(call.saturating_add(1));
            stream.wrote(&function.name);
            stream.wrote(&function.arguments);
            stream.transcript.add_tool(index, call, function.name, |t| &mut t.name);
            stream.transcript.add_tool(index, call, function.arguments, |t| &mut t.arguments);
        }
    }
    stream.saw_end(&choice.finish_reason);
    if let Text(Some(reason)) = choice.finish_reason {
        stream.has_finish_reason = true;
        stream.transcript.add(index, Text(Some(reason)), |c| &mut c.finish_reason);
    }
}

fn error_event(failure: &StreamFailure<'_>) -> String {
    let (message, kind, code) = (failure.message, failure.kind, failure.code);
    let data = json!({"error": {"message": message, "type": kind, "param": null, "code": code}});
    format!("data: {data}\n\n")
}

// ---- stored objects -----------------------------------------------------------------------------

const SPOKEN: Place = Fields(&[("audio", NAMED)]);
/// An answer, or the data of an event.
const ANSWER: Place =
    Fields(&[("choices", Each(&Fields(&[("message", SPOKEN), ("delta", SPOKEN)])))]);

fn objects(answer: &[u8]) -> Option<&'static Place> {
    memmem::find(answer, b"\"audio\"").map(|_| &ANSWER)
}

// ---- a question of the gateway's own ------------------------------------------------------------

/// Model families that take `response_format: json_schema`. Other models follow the instructions
/// alone.
fn takes_schema(model: &str) -> bool {
    ["gpt-4o", "gpt-4.1", "gpt-5", "o3", "o4"].iter().any(|family| model.starts_with(family))
}

/// Models that refuse any temperature but their own with 400.
fn has_fixed_temperature(model: &str) -> bool {
    ["gpt-5", "o3", "o4"].iter().any(|family| model.starts_with(family))
        && !model.starts_with("gpt-5-chat")
}

fn request(request: &TextRequest<'_>) -> Value {
    let mut body = json!({
        "model": request.model,
        "messages": [
            {"role": "system", "content": request.instructions},
            {"role": "user", "content": request.message},
        ],
    });
    if !has_fixed_temperature(request.model) {
        body["temperature"] = json!(request.temperature);
    }
    if let Some((name, schema)) = &request.schema {
        let json_schema = json!({"name": name, "strict": true, "schema": schema});
        body["response_format"] = json!({"type": "json_schema", "json_schema": json_schema});
    }
    body
}

/// The text of the first choice that has some.
fn first_text(answer: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        choices: lenient::Each<FirstText>,
    }
    #[derive(Default)]
    struct FirstText(String);
    #[derive(Deserialize)]
    struct WholeChoice {
        #[serde(default)]
        message: Lenient<Message>,
    }
    #[derive(Deserialize)]
    struct Message {
        #[serde(default)]
        content: Content,
    }
    impl Take<'_> for FirstText {
        type Item = Lenient<WholeChoice>;
        fn take(&mut self, choice: Lenient<WholeChoice>) {
            let content =
                choice.0.and_then(|choice| choice.message.0).map(|message| message.content.0);
            if self.0.is_empty() {
                self.0 = content.unwrap_or_default();
            }
        }
    }
    let answer = serde_json::from_slice::<Answer>(answer).ok();
    answer.and_then(|answer| answer.choices.0).unwrap_or_default().0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lenient::PARTS_MAX;
    use crate::stream::tests::{follow, transcript};

    #[test]
    fn a_stream() {
        let (roles, reader) = follow(
            Format::OpenAiChat,
            &[
                (
                    "",
                    r#"{"model":"gpt-4o-mini-2024","usage":null,"choices":[
                        {"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
                ),
                (
                    "",
                    r#"{"choices":[{"index":0,"delta":{"content":"He"}},{"index":1,"delta":{"content":"x"}}]}"#,
                ),
                (
                    "",
                    r#"{"choices":[{"index":0,"delta":{"content":"llo",
                        "tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
                ),
                (
                    "",
                    r#"{"choices":[{"index":0,"finish_reason":"stop",
                        "delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}"#,
                ),
                ("", r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3}}"#),
                ("", "[DONE]"),
            ],
        );
        use Role::*;
        assert_eq!(roles, [Content, Content, Content, Content, UsageOnly, Last]);
        assert_eq!(reader.model(), "gpt-4o-mini-2024");
        assert_eq!(reader.usage().map(|u| (u.input, u.output)), Some((9, 3)));
        assert!(reader.may_end() && !reader.failed());
        let tool = r#""tool_calls":[{"index":0,"name":"f","arguments":"{\"a\":1}"}]"#;
        assert_eq!(
            transcript(&reader),
            format!(
                r#"{{"choices":[{{"index":0,"content":"Hello",{tool},"finish_reason":"stop"}},{{"index":1,"content":"x"}}]}}"#
            )
        );
    }

    #[test]
    fn an_error_in_the_stream() {
        let (roles, reader) = follow(Format::OpenAiChat, &[("", r#"{"error":{"message":"x"}}"#)]);
        assert_eq!((roles[0], reader.failed()), (Role::Failed, true));
        assert_eq!(
            follow(Format::OpenAiChat, &[("", r#"{"error":null,"choices":[]}"#)]).0[0],
            Role::Content
        );
    }

    #[test]
    fn of_long_lists_a_bounded_number_of_entries_is_kept() {
        let many = vec!["{\"delta\":{\"content\":\"a\"}}"; 10 * PARTS_MAX].join(",");
        let (roles, reader) =
            follow(Format::OpenAiChat, &[("", &format!(r#"{{"choices":[{many}],"usage":{{}}}}"#))]);
        assert_eq!((roles[0], reader.text_bytes()), (Role::Content, PARTS_MAX as u64));
        let calls = vec!["{\"function\":{\"arguments\":\"a\"}}"; 10 * PARTS_MAX].join(",");
        let (_, reader) = follow(
            Format::OpenAiChat,
            &[("", &format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#))],
        );
        assert_eq!(reader.text_bytes(), PARTS_MAX as u64);
    }

    /// Sums so far in every chunk, and an empty report: final only when the answer is at its end.
    #[test]
    fn usage_in_every_chunk_is_final_at_the_end() {
        let mut stream = StreamReader::new(Format::OpenAiChat, 0);
        for (text, expected) in [
            (r#"{"choices":[{"delta":{"content":"a"}}],"usage":{}}"#, (None, false)),
            (
                r#"{"choices":[{"delta":{"content":"b"}}],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#,
                (Some(1), false),
            ),
            (
                r#"{"choices":[{"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}"#,
                (Some(2), true),
            ),
        ] {
            stream.event(b"", text.as_bytes());
            let seen = (stream.usage().map(|usage| usage.output), stream.is_usage_final());
            assert_eq!(seen, expected, "{text}");
        }
    }

    #[test]
    fn a_question_is_written_for_its_model() {
        let question = |model| TextRequest {
            model,
            temperature: 0.2,
            instructions: "do this",
            message: "the ticket",
            output_tokens_max: 200,
            schema: takes_schema(model).then(|| ("intent", json!({"type": "object"}))),
        };
        let messages = json!([{"role": "system", "content": "do this"}, {"role": "user", "content": "the ticket"}]);
        let body = request(&question("gpt-4o-mini"));
        assert_eq!((&body["messages"], &body["temperature"]), (&messages, &json!(0.2)));
        assert_eq!(body["response_format"]["json_schema"]["schema"], json!({"type": "object"}));
        assert!(request(&question("gpt-5-mini")).get("temperature").is_none());
        let body = request(&question("llama-3"));
        assert_eq!((&body["messages"], body.get("response_format")), (&messages, None));
    }

    #[test]
    fn the_text_of_an_answer() {
        let chat = |content: Value| json!({"choices": [{"message": {"role": "assistant", "content": content}}]});
        for (answer, expected) in [
            (chat(json!("a")), "a"),
            (chat(json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])), "ab"),
            (chat(Value::Null), ""),
            (json!({"choices": []}), ""),
            (json!("a"), ""),
            (
                json!({"choices": [{"message": {"content": ""}}, {"message": {"content": "b"}}]}),
                "b",
            ),
            (
                json!({"choices": [{"message": "a"}, [], {"message": {"content": [7, {"text": 7}]}}]}),
                "",
            ),
            (json!({"choices": {"message": {"content": "a"}}}), ""),
        ] {
            assert_eq!(first_text(answer.to_string().as_bytes()), expected, "{answer}");
        }
    }
}
