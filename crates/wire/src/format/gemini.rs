//! Gemini's `generateContent`: a provider's format only; no application calls the gateway in it.
//!
//! Usage is in `usageMetadata`, in each chunk the sums so far. A stream has unnamed events and ends
//! after the one with a `finishReason`, or with one that says why the prompt was blocked.
//!
//! # Source
//! Gemini API reference; google-genai 3.6, read November 2026.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Conventions, Format, Spec, openai_chat, other};
use crate::gemini_usage::GeminiUsage;
use crate::lenient::{Count, Few, Lenient, Text};
use crate::stream::{End, Role, StreamReader};

pub(crate) const SPEC: Spec = Spec {
    name: "gemini",
    is_generated: true,
    event: chunk,
    end: End::FinishReason,
    ..other::SPEC
};

pub(crate) const KIND: Conventions = Conventions {
    name: "gemini",
    base_url: "https://generativelanguage.googleapis.com/v1beta",
    key_header: ("x-goog-api-key", ""),
    version_header: None,
    format: Format::Gemini,
    // Asked in a format of callers, and translated like one of their calls.
    text_exchange: openai_chat::TEXT_EXCHANGE,
};

/// The data of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Chunk<'a> {
    #[serde(borrow, default)]
    model_version: Text<'a>,
    #[serde(default)]
    usage_metadata: Lenient<GeminiUsage>,
    #[serde(borrow, default)]
    candidates: Option<Few<Lenient<Candidate<'a>>>>,
    #[serde(borrow, default)]
    prompt_feedback: Lenient<PromptFeedback<'a>>,
    #[serde(default)]
    error: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PromptFeedback<'a> {
    #[serde(borrow, default)]
    block_reason: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    content: Lenient<Content<'a>>,
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Option<Few<Lenient<Part<'a>>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(default)]
    thought: Option<bool>,
    #[serde(borrow, default)]
    function_call: Lenient<FunctionCall<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    args: Option<&'a RawValue>,
}

fn chunk(stream: &mut StreamReader, data: &[u8]) -> Role {
    let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return Role::Content };
    stream.saw_model(chunk.model_version);
    let has_usage = chunk.usage_metadata.0.is_some();
    if has_usage {
        stream.gemini = chunk.usage_metadata;
    }
    if chunk.error.is_some() {
        return Role::Failed;
    }
    for candidate in chunk.candidates.into_iter().flat_map(|list| list.0) {
        if let Lenient(Some(candidate)) = candidate {
            add_candidate(stream, candidate);
        }
    }
    if let Lenient(Some(PromptFeedback { block_reason: Text(Some(reason)) })) =
        chunk.prompt_feedback
    {
        finish(stream, 0, reason);
    }
    stream.is_usage_final |= has_usage && stream.has_finish_reason && stream.usage().is_some();
    Role::Content
}

fn add_candidate(stream: &mut StreamReader, candidate: Candidate<'_>) {
    let index = candidate.index.0.unwrap_or(0);
    let content = candidate.content.0;
    let parts = content.and_then(|content| content.parts).into_iter().flat_map(|list| list.0);
    for part in parts.filter_map(|part| part.0) {
        stream.wrote(&part.text);
        if part.thought != Some(true) {
            stream.transcript.add(index, part.text, |c| &mut c.content);
        }
        let Lenient(Some(call)) = part.function_call else { continue };
        let arguments = Text(call.args.map(|args| Cow::Borrowed(args.get())));
        stream.wrote(&call.name);
        stream.wrote(&arguments);
        let number = stream.transcript.next_tool(index);
        stream.transcript.add_tool(index, number, call.name, |t| &mut t.name);
        stream.transcript.add_tool(index, number, arguments, |t| &mut t.arguments);
    }
    if let Text(Some(reason)) = candidate.finish_reason {
        finish(stream, index, reason);
    }
}

fn finish(stream: &mut StreamReader, index: u64, reason: Cow<'_, str>) {
    stream.has_finish_reason = true;
    stream.transcript.add(index, Text(Some(reason)), |c| &mut c.finish_reason);
}

#[cfg(test)]
mod tests {
    use crate::Format;
    use crate::stream::Role;
    use crate::stream::tests::{follow, transcript};
    use crate::usage::TokenUsage;

    #[test]
    fn a_stream() {
        let (roles, reader) = follow(
            Format::Gemini,
            &[
                (
                    "",
                    r#"{"candidates":[{"index":0,"content":{"role":"model","parts":[{"text":"Hm","thought":true},{"text":"Ok."}]}}],
                    "modelVersion":"gemini-3","usageMetadata":{"promptTokenCount":5}}"#,
                ),
                (
                    "",
                    r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":1}}},{"functionCall":{"name":"g"}}]}}]}"#,
                ),
                (
                    "",
                    r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":4,"thoughtsTokenCount":3}}"#,
                ),
            ],
        );
        assert_eq!(roles, [Role::Content; 3]);
        assert!(reader.may_end() && reader.is_usage_final() && !reader.failed());
        assert_eq!((reader.model(), reader.text_bytes()), ("gemini-3", 2 + 3 + 1 + 7 + 1));
        assert_eq!(
            reader.usage(),
            Some(TokenUsage { input: 5, output: 7, reasoning: 3, ..TokenUsage::default() })
        );
        assert_eq!(
            transcript(&reader),
            r#"{"choices":[{"index":0,"content":"Ok.","tool_calls":[{"index":0,"name":"f","arguments":"{\"a\":1}"},{"index":1,"name":"g","arguments":""}],"finish_reason":"STOP"}]}"#
        );
    }

    #[test]
    fn other_ends() {
        for (event, may_end, failed) in [
            (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, true, false),
            (r#"{"error":{"code":503}}"#, true, true),
            (r#"{"candidates":[{"content":{"parts":[{"text":"x"}]}}]}"#, false, false),
            (r#"{"candidates":[7,{"content":7}],"promptFeedback":null}"#, false, false),
        ] {
            let (_, reader) = follow(Format::Gemini, &[("", event)]);
            assert_eq!((reader.may_end(), reader.failed()), (may_end, failed), "{event}");
        }
    }

    #[test]
    fn usage_of_an_answer() {
        let answer = br#"{"modelVersion":"m","usageMetadata":{"promptTokenCount":1000,"cachedContentTokenCount":600,
            "toolUsePromptTokenCount":50,"candidatesTokenCount":40,"thoughtsTokenCount":60,"totalTokenCount":1150}}"#;
        let facts = Format::Gemini.read_answer(answer);
        let usage = facts.usage.expect("reported");
        assert_eq!(
            (usage.input, usage.cached, usage.output, usage.reasoning),
            (1050, 600, 100, 60)
        );
        assert_eq!(facts.model, "m");
    }
}
