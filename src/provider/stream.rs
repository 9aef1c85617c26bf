//! A streamed answer, event by event: usage, the model that answered, whether the end is a real end, and the text put
//! together again for the log.
//!
//! Pure. Sees each event's name and data; never changes them. Promises: the transcript holds at most `text_bytes_max`
//! bytes of text; an event that cannot be read is [`Role::Content`] and changes nothing. Does not: redact (the
//! transcript is raw; the log takes it only through the redactor).
//!
//! # Source
//! OpenAI API reference, streaming of chat completions and responses; Anthropic streaming messages; read November 2026.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use tollgate_wire::usage::TokenUsage;

use super::Wire;
use super::answer::{Count, Few, Lenient, PARTS_MAX, Text, tokens};
use super::usage::{GeminiUsage, Tier, Usage};

/// What an event means for the one who forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Part of the answer.
    Content,
    /// Only usage (`choices: []`): taken out where the client did not ask for it.
    UsageOnly,
    /// The last event of a complete answer.
    Last,
    /// The provider says in the stream that it failed.
    Failed,
}

/// Follows one streamed answer.
#[derive(Debug)]
pub struct StreamReader {
    wire: Wire,
    model: String,
    usage: Usage,
    gemini: Lenient<GeminiUsage>,
    tier: Tier,
    /// What was reported is of the whole answer.
    usage_final: bool,
    /// Bytes of text that the model has written so far, also what the transcript has no room for.
    text_bytes: u64,
    ended: bool,
    failed: bool,
    finish_seen: bool,
    /// Of a responses stream: one more than the last.
    next_sequence_number: u64,
    transcript: Transcript,
}

/// The text of a streamed answer, put together per choice. Serialises as JSON.
#[derive(Debug, Default, Serialize)]
pub struct Transcript {
    choices: Vec<Choice>,
    #[serde(skip)]
    text_bytes_left: usize,
    /// Some of the text did not fit.
    #[serde(skip)]
    pub cut: bool,
}

#[derive(Debug, Default, Serialize)]
struct Choice {
    index: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    refusal: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
    #[serde(skip_serializing_if = "String::is_empty")]
    finish_reason: String,
}

#[derive(Debug, Default, Serialize)]
struct ToolCall {
    index: u64,
    name: String,
    arguments: String,
}

impl StreamReader {
    /// A reader whose transcript holds at most `text_bytes_max` bytes of text.
    pub fn new(wire: Wire, text_bytes_max: usize) -> StreamReader {
        StreamReader {
            wire,
            model: String::new(),
            usage: Usage::default(),
            gemini: Lenient::default(),
            tier: Tier::default(),
            usage_final: false,
            text_bytes: 0,
            ended: false,
            failed: false,
            finish_seen: false,
            next_sequence_number: 0,
            transcript: Transcript { text_bytes_left: text_bytes_max, ..Transcript::default() },
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, name: &[u8], data: &[u8]) -> Role {
        if data.is_empty() {
            return Role::Content;
        }
        if data == b"[DONE]" {
            self.ended = true;
            return Role::Last;
        }
        let role = match self.wire {
            Wire::Chat | Wire::Completions | Wire::Other | Wire::Stored => self.chunk(data),
            Wire::Responses => self.response_event(data),
            Wire::Messages => self.message_event(data),
        };
        let failed = role == Role::Failed || name == b"error";
        self.failed |= failed;
        self.ended |= role == Role::Last;
        if failed { Role::Failed } else { role }
    }

    /// Whether the stream may end here: its last event was seen, or it said itself that it failed. Chat providers that
    /// leave out `[DONE]` after a `finish_reason` are believed.
    pub fn may_end(&self) -> bool {
        self.ended
            || self.failed
            || match self.wire {
                Wire::Chat | Wire::Completions => self.finish_seen,
                Wire::Responses | Wire::Messages => false,
                Wire::Other | Wire::Stored => true,
            }
    }

    /// The number that the next event of a responses stream would have.
    pub fn next_sequence_number(&self) -> u64 {
        self.next_sequence_number
    }

    /// The last event of a complete answer was seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// The provider told of a failure in the stream.
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// The model that answered; empty where nothing said so.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Usage as far as it was reported.
    pub fn usage(&self) -> Option<TokenUsage> {
        tokens(self.wire, Lenient(Some(self.usage)), self.gemini, self.tier)
    }

    /// The provider has reported what the whole answer used; before that its numbers are those of a beginning.
    pub fn is_usage_final(&self) -> bool {
        self.usage_final
    }

    /// Bytes of text that the model has written so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// The text so far.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    fn chunk(&mut self, data: &[u8]) -> Role {
        #[derive(Deserialize)]
        struct Chunk<'a> {
            #[serde(borrow, default)]
            model: Text<'a>,
            #[serde(borrow, default, rename = "modelVersion")]
            model_version: Text<'a>,
            #[serde(default)]
            usage: Lenient<Usage>,
            #[serde(default, rename = "usageMetadata")]
            usage_metadata: Lenient<GeminiUsage>,
            #[serde(default)]
            service_tier: Tier,
            #[serde(borrow, default)]
            choices: Option<Few<ChunkChoice<'a>>>,
            #[serde(default)]
            error: Option<serde::de::IgnoredAny>,
        }
        #[derive(Deserialize)]
        struct ChunkChoice<'a> {
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

        let Ok(chunk) = serde_json::from_slice::<Chunk<'_>>(data) else { return Role::Content };
        self.saw_model(chunk.model);
        self.saw_model(chunk.model_version);
        self.tier.update(chunk.service_tier);
        let told = chunk.usage_metadata.0.is_some();
        if told {
            self.gemini = chunk.usage_metadata;
        }
        let has_usage = self.saw_usage(chunk.usage);
        if chunk.error.is_some() {
            return Role::Failed;
        }
        let usage_only = has_usage && chunk.choices.as_ref().is_some_and(|choices| choices.0.is_empty());
        for choice in chunk.choices.into_iter().flat_map(|choices| choices.0) {
            let index = choice.index.0.unwrap_or(0);
            self.wrote(&choice.text);
            self.transcript.add(index, choice.text, |c| &mut c.content);
            if let Lenient(Some(delta)) = choice.delta {
                [&delta.content, &delta.refusal, &delta.reasoning_content]
                    .into_iter()
                    .for_each(|text| self.wrote(text));
                self.transcript.add(index, delta.content, |c| &mut c.content);
                self.transcript.add(index, delta.refusal, |c| &mut c.refusal);
                for tool in delta.tool_calls.into_iter().flat_map(|calls| calls.0) {
                    let Lenient(Some(function)) = tool.function else { continue };
                    let call = tool.index.0.unwrap_or(0);
                    self.wrote(&function.name);
                    self.wrote(&function.arguments);
                    self.transcript.add_tool(index, call, function.name, |t| &mut t.name);
                    self.transcript.add_tool(index, call, function.arguments, |t| &mut t.arguments);
                }
            }
            if let Text(Some(reason)) = choice.finish_reason {
                self.finish_seen = true;
                self.transcript.add(index, Text(Some(reason)), |c| &mut c.finish_reason);
            }
        }
        // Some servers tell the sums so far in every chunk.
        let at_end = usage_only || self.finish_seen || matches!(self.wire, Wire::Other | Wire::Stored);
        self.usage_final |= (has_usage || told) && at_end && self.usage().is_some();
        if usage_only { Role::UsageOnly } else { Role::Content }
    }

    fn response_event(&mut self, data: &[u8]) -> Role {
        #[derive(Deserialize)]
        struct ResponseEvent<'a> {
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
        }
        #[derive(Deserialize)]
        struct Response<'a> {
            #[serde(borrow, default)]
            model: Text<'a>,
            #[serde(default)]
            usage: Lenient<Usage>,
            #[serde(default)]
            service_tier: Tier,
        }

        let Ok(event) = serde_json::from_slice::<ResponseEvent<'_>>(data) else { return Role::Content };
        if let Lenient(Some(response)) = event.response {
            self.saw_model(response.model);
            self.tier.update(response.service_tier);
            self.usage_final |= self.saw_usage(response.usage) && self.usage().is_some();
        }
        let kind = event.kind.0.as_deref().unwrap_or_default();
        if !kind.contains("audio") {
            self.wrote(&event.delta);
        }
        if let Count(Some(number)) = event.sequence_number {
            self.next_sequence_number = number.saturating_add(1);
        }
        let index = event.output_index.0.unwrap_or(0);
        match kind {
            "response.completed" | "response.incomplete" => Role::Last,
            "response.failed" => {
                self.ended = true;
                Role::Failed
            }
            "error" => Role::Failed,
            "response.output_text.delta" => {
                self.transcript.add(index, event.delta, |c| &mut c.content);
                Role::Content
            }
            "response.refusal.delta" => {
                self.transcript.add(index, event.delta, |c| &mut c.refusal);
                Role::Content
            }
            "response.function_call_arguments.delta" => {
                self.transcript.add_tool(index, 0, event.delta, |t| &mut t.arguments);
                Role::Content
            }
            _ => Role::Content,
        }
    }

    fn message_event(&mut self, data: &[u8]) -> Role {
        #[derive(Deserialize)]
        struct MessageEvent<'a> {
            #[serde(borrow, default, rename = "type")]
            kind: Text<'a>,
            #[serde(default)]
            index: Count,
            #[serde(borrow, default)]
            message: Lenient<Message<'a>>,
            #[serde(default)]
            usage: Lenient<Usage>,
            #[serde(borrow, default)]
            delta: Lenient<BlockDelta<'a>>,
            #[serde(borrow, default)]
            content_block: Lenient<Block<'a>>,
        }
        #[derive(Deserialize)]
        struct Message<'a> {
            #[serde(borrow, default)]
            model: Text<'a>,
            #[serde(default)]
            usage: Lenient<Usage>,
        }
        #[derive(Deserialize)]
        struct Block<'a> {
            #[serde(borrow, default)]
            name: Text<'a>,
        }
        #[derive(Deserialize)]
        struct BlockDelta<'a> {
            #[serde(borrow, default)]
            text: Text<'a>,
            #[serde(borrow, default)]
            thinking: Text<'a>,
            #[serde(borrow, default)]
            partial_json: Text<'a>,
            #[serde(borrow, default)]
            stop_reason: Text<'a>,
        }

        let Ok(event) = serde_json::from_slice::<MessageEvent<'_>>(data) else { return Role::Content };
        if let Lenient(Some(message)) = event.message {
            self.saw_model(message.model);
            self.saw_usage(message.usage);
        }
        // The beginning of a message reports its input; only a later event reports what was written.
        self.usage_final |= self.saw_usage(event.usage) && self.usage().is_some();
        let block = event.index.0.unwrap_or(0);
        if let Lenient(Some(Block { name: Text(Some(name)) })) = event.content_block {
            self.transcript.add_tool(0, block, Text(Some(name)), |t| &mut t.name);
        }
        if let Lenient(Some(delta)) = event.delta {
            [&delta.text, &delta.thinking, &delta.partial_json].into_iter().for_each(|text| self.wrote(text));
            self.transcript.add(0, delta.text, |c| &mut c.content);
            self.transcript.add(0, delta.stop_reason, |c| &mut c.finish_reason);
            self.transcript.add_tool(0, block, delta.partial_json, |t| &mut t.arguments);
        }
        match event.kind.0.as_deref().unwrap_or_default() {
            "message_stop" => Role::Last,
            "error" => Role::Failed,
            _ => Role::Content,
        }
    }

    fn saw_model(&mut self, model: Text<'_>) {
        if let Text(Some(model)) = model
            && self.model.is_empty()
        {
            self.model = model.into_owned();
        }
    }

    fn wrote(&mut self, text: &Text<'_>) {
        self.text_bytes += text.0.as_ref().map_or(0, |text| text.len() as u64);
    }

    fn saw_usage(&mut self, usage: Lenient<Usage>) -> bool {
        match usage {
            Lenient(Some(usage)) => {
                self.usage.update(&usage);
                true
            }
            Lenient(None) => false,
        }
    }
}

impl Transcript {
    fn add(&mut self, index: u64, text: Text<'_>, field: impl Fn(&mut Choice) -> &mut String) {
        if let Text(Some(text)) = text {
            let text = self.fitting(text);
            if let Some(choice) = self.choice(index) {
                field(choice).push_str(&text);
            }
        }
    }

    fn add_tool(&mut self, index: u64, call: u64, text: Text<'_>, field: impl Fn(&mut ToolCall) -> &mut String) {
        let Text(Some(text)) = text else { return };
        let text = self.fitting(text);
        let Some(choice) = self.choice(index) else { return };
        let at = match choice.tool_calls.iter().position(|t| t.index == call) {
            Some(at) => at,
            None if choice.tool_calls.len() < PARTS_MAX => {
                choice.tool_calls.push(ToolCall { index: call, ..ToolCall::default() });
                choice.tool_calls.len() - 1
            }
            None => return,
        };
        field(&mut choice.tool_calls[at]).push_str(&text);
    }

    fn choice(&mut self, index: u64) -> Option<&mut Choice> {
        let at = match self.choices.iter().position(|c| c.index == index) {
            Some(at) => at,
            None if self.choices.len() < PARTS_MAX => {
                self.choices.push(Choice { index, ..Choice::default() });
                self.choices.len() - 1
            }
            None => return None,
        };
        self.choices.get_mut(at)
    }

    /// As much of `text` as still fits, on a character boundary.
    fn fitting<'a>(&mut self, text: Cow<'a, str>) -> Cow<'a, str> {
        if text.len() <= self.text_bytes_left {
            self.text_bytes_left -= text.len();
            return text;
        }
        self.cut = true;
        let end = text.floor_char_boundary(self.text_bytes_left);
        self.text_bytes_left = 0;
        Cow::Owned(text[..end].to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(wire: Wire, events: &[(&str, &str)]) -> (Vec<Role>, StreamReader) {
        let mut reader = StreamReader::new(wire, 1000);
        let roles = events.iter().map(|(name, data)| reader.event(name.as_bytes(), data.as_bytes())).collect();
        (roles, reader)
    }

    fn transcript(reader: &StreamReader) -> String {
        serde_json::to_string(reader.transcript()).expect("strings")
    }

    #[test]
    fn chat() {
        let (roles, reader) = follow(
            Wire::Chat,
            &[
                (
                    "",
                    r#"{"model":"gpt-4o-mini-2024","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
                ),
                ("", r#"{"choices":[{"index":0,"delta":{"content":"He"}},{"index":1,"delta":{"content":"x"}}]}"#),
                (
                    "",
                    r#"{"choices":[{"index":0,"delta":{"content":"llo","tool_calls":[{"index":0,"function":{"name":"f","arguments":"{\"a\""}}]}}]}"#,
                ),
                (
                    "",
                    r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]},"finish_reason":"stop"}]}"#,
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
        assert_eq!(
            transcript(&reader),
            r#"{"choices":[{"index":0,"content":"Hello","tool_calls":[{"index":0,"name":"f","arguments":"{\"a\":1}"}],"finish_reason":"stop"},{"index":1,"content":"x"}]}"#
        );
    }

    /// Wire, events (name and data), and whether the stream may end after them.
    type Case<'a> = (Wire, &'a [(&'a str, &'a str)], bool);

    #[test]
    fn an_end_without_its_last_event_is_no_end() {
        let cases: &[Case<'_>] = &[
            (Wire::Chat, &[], false),
            (Wire::Chat, &[("", r#"{"choices":[{"delta":{"content":"x"}}]}"#)], false),
            (Wire::Chat, &[("", r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#)], true),
            (Wire::Chat, &[("", r#"{"error":{"message":"m"}}"#)], true),
            (
                Wire::Responses,
                &[("response.output_text.delta", r#"{"type":"response.output_text.delta","delta":"x"}"#)],
                false,
            ),
            (Wire::Responses, &[("response.completed", r#"{"type":"response.completed","response":{}}"#)], true),
            (
                Wire::Messages,
                &[("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#)],
                false,
            ),
            (Wire::Messages, &[("message_stop", r#"{"type":"message_stop"}"#)], true),
            (Wire::Chat, &[("", "not json"), ("", "")], false),
        ];
        for (wire, events, expected) in cases {
            assert_eq!(follow(*wire, events).1.may_end(), *expected, "{wire:?} {events:?}");
        }
    }

    #[test]
    fn responses_and_messages() {
        let (roles, reader) = follow(
            Wire::Responses,
            &[
                ("response.created", r#"{"type":"response.created","response":{"model":"gpt-5"}}"#),
                (
                    "response.output_text.delta",
                    r#"{"type":"response.output_text.delta","output_index":0,"delta":"Hi"}"#,
                ),
                (
                    "response.completed",
                    r#"{"type":"response.completed","response":{"model":"gpt-5","usage":{"input_tokens":7,"output_tokens":2}}}"#,
                ),
            ],
        );
        assert_eq!(roles[2], Role::Last);
        assert_eq!((reader.model(), reader.usage().map(|u| (u.input, u.output))), ("gpt-5", Some((7, 2))));
        assert_eq!(transcript(&reader), r#"{"choices":[{"index":0,"content":"Hi"}]}"#);

        let (roles, reader) = follow(
            Wire::Messages,
            &[
                (
                    "message_start",
                    r#"{"type":"message_start","message":{"model":"claude","usage":{"input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1}}}"#,
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
        assert_eq!(transcript(&reader), r#"{"choices":[{"index":0,"content":"Hi","finish_reason":"end_turn"}]}"#);
    }

    #[test]
    fn failures_in_the_stream() {
        for (wire, name, data) in [
            (Wire::Chat, "", r#"{"error":{"message":"x"}}"#),
            (Wire::Responses, "error", r#"{"type":"error","message":"x"}"#),
            (Wire::Responses, "response.failed", r#"{"type":"response.failed","response":{}}"#),
            (Wire::Messages, "error", r#"{"type":"error","error":{"type":"overloaded_error"}}"#),
        ] {
            let (roles, reader) = follow(wire, &[(name, data)]);
            assert_eq!((roles[0], reader.failed()), (Role::Failed, true), "{data}");
        }
        assert_eq!(follow(Wire::Chat, &[("", r#"{"error":null,"choices":[]}"#)]).0[0], Role::Content);
    }

    #[test]
    fn of_lists_without_end_a_few_entries_are_kept() {
        let many = vec!["{\"delta\":{\"content\":\"a\"}}"; 10 * PARTS_MAX].join(",");
        let (roles, reader) = follow(Wire::Chat, &[("", &format!(r#"{{"choices":[{many}],"usage":{{}}}}"#))]);
        assert_eq!((roles[0], reader.text_bytes()), (Role::Content, PARTS_MAX as u64));
        let calls = vec!["{\"function\":{\"arguments\":\"a\"}}"; 10 * PARTS_MAX].join(",");
        let (_, reader) =
            follow(Wire::Chat, &[("", &format!(r#"{{"choices":[{{"delta":{{"tool_calls":[{calls}]}}}}]}}"#))]);
        assert_eq!(reader.text_bytes(), PARTS_MAX as u64);
    }

    #[test]
    fn the_transcript_is_bounded() {
        let mut reader = StreamReader::new(Wire::Chat, 5);
        for _ in 0..3 {
            reader.event(b"", "{\"choices\":[{\"delta\":{\"content\":\"äöü\"}}]}".as_bytes());
        }
        assert_eq!(transcript(&reader), r#"{"choices":[{"index":0,"content":"äö"}]}"#);
        assert!(reader.transcript().cut);
    }
}
