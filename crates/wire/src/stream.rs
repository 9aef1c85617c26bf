//! A streamed answer, event by event: usage, model, failures, whether its end is complete, and its
//! text for the log.
//!
//! Pure. Reads each event's name and data and never changes them. How the data of an event is read
//! is part of each format (`format/*`); the state that they share is here.
//!
//! Guarantees: an event that cannot be read is [`Role::Content`] and changes nothing; the
//! transcript is bounded. Does not redact.

use std::borrow::Cow;

use crate::alike::Alike;
use crate::answer::{AddUp, tokens};
use crate::ending;
use crate::gemini_usage::GeminiUsage;
use crate::lenient::{Lenient, Text};
use crate::reported::{ReportedUsage, Tier};
use crate::transcript::Transcript;
use crate::usage::TokenUsage;

/// The meaning of an event for the program that forwards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A part of the answer.
    Content,
    /// Usage and nothing else: to be removed if the client did not ask for it.
    UsageOnly,
    /// The last event of a complete answer.
    Last,
    /// The provider reports a failure.
    Failed,
}

/// Reads the data of one event.
pub(crate) type ReadEvent = fn(&mut StreamReader, &[u8]) -> Role;

/// How a complete stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With its last event.
    LastEvent,
    /// With its last event, or after a `finish_reason`: some servers leave out `[DONE]`.
    FinishReason,
    /// Anywhere: the format does not say.
    Anywhere,
}

/// Follows one streamed answer.
///
/// ```
/// use tollgate_wire::{Format, Role, StreamReader};
/// let mut stream = StreamReader::new(Format::OpenAiChat, 1_000);
/// stream.event(b"", br#"{"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}"#);
/// let usage = br#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1}}"#;
/// assert_eq!(stream.event(b"", usage), Role::UsageOnly);
/// assert_eq!(stream.event(b"", b"[DONE]"), Role::Last);
/// assert_eq!(stream.usage().map(|usage| (usage.input, usage.output)), Some((9, 1)));
/// ```
#[derive(Debug)]
pub struct StreamReader {
    read_event: ReadEvent,
    add_up: Option<AddUp>,
    pub(crate) end: End,
    pub(crate) tier: Tier,
    pub(crate) gemini: Lenient<GeminiUsage>,
    /// The reported usage is that of the whole answer.
    pub(crate) is_usage_final: bool,
    pub(crate) has_ended: bool,
    pub(crate) has_finish_reason: bool,
    /// One more than the number of the last event.
    pub(crate) next_sequence_number: u64,
    pub(crate) transcript: Transcript,
    pub(crate) alike: Alike,
    model: String,
    usage: ReportedUsage,
    /// Bytes of text that the model has written, including those for which the transcript has no
    /// room.
    text_bytes: u64,
    has_failed: bool,
    finish_reason: Cow<'static, str>,
    tool_calls: u16,
}

impl StreamReader {
    /// Of a format that reads events, ends and adds up its usage so.
    pub(crate) fn with(
        read_event: ReadEvent,
        end: End,
        add_up: Option<AddUp>,
        text_bytes_max: usize,
    ) -> StreamReader {
        StreamReader {
            read_event,
            add_up,
            end,
            tier: Tier::default(),
            gemini: Lenient::default(),
            is_usage_final: false,
            has_ended: false,
            has_finish_reason: false,
            next_sequence_number: 0,
            transcript: Transcript::new(text_bytes_max),
            alike: Alike::default(),
            model: String::new(),
            usage: ReportedUsage::default(),
            text_bytes: 0,
            has_failed: false,
            finish_reason: Cow::Borrowed(""),
            tool_calls: 0,
        }
    }

    /// Takes the next event.
    pub fn event(&mut self, name: &[u8], data: &[u8]) -> Role {
        if data.is_empty() {
            return Role::Content;
        }
        if data == b"[DONE]" {
            self.has_ended = true;
            return Role::Last;
        }
        let role = (self.read_event)(self, data);
        let has_failed = role == Role::Failed || name == b"error";
        self.has_failed |= has_failed;
        self.has_ended |= role == Role::Last;
        if has_failed { Role::Failed } else { role }
    }

    /// Whether the stream may end here: its last event was seen, or the provider reported a
    /// failure.
    pub fn may_end(&self) -> bool {
        self.has_ended
            || self.has_failed
            || match self.end {
                End::LastEvent => false,
                End::FinishReason => self.has_finish_reason,
                End::Anywhere => true,
            }
    }

    /// The number of the next event, in a format that numbers them.
    pub fn next_sequence_number(&self) -> u64 {
        self.next_sequence_number
    }

    /// The last event of a complete answer was seen.
    pub fn ended(&self) -> bool {
        self.has_ended
    }

    /// The provider reported a failure in the stream.
    pub fn failed(&self) -> bool {
        self.has_failed
    }

    /// The model that answered; empty if it is not named.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// The usage reported so far.
    pub fn usage(&self) -> Option<TokenUsage> {
        tokens(self.add_up, Lenient(Some(self.usage)), self.gemini, self.tier)
    }

    /// The reported usage is that of the whole answer; before, it is that of its beginning.
    pub fn is_usage_final(&self) -> bool {
        self.is_usage_final
    }

    /// Bytes of text that the model has written so far.
    pub fn text_bytes(&self) -> u64 {
        self.text_bytes
    }

    /// The provider's word for the end of the answer; empty before.
    pub fn finish_reason(&self) -> &Cow<'static, str> {
        &self.finish_reason
    }

    /// Calls of tools so far.
    pub fn tool_calls(&self) -> u16 {
        self.tool_calls
    }

    /// The text so far.
    pub fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Notes the model; the first name counts.
    pub(crate) fn saw_model(&mut self, model: Text<'_>) {
        if let Text(Some(model)) = model
            && self.model.is_empty()
        {
            self.model = model.into_owned();
        }
    }

    /// Notes the word for the end; the first counts.
    pub(crate) fn saw_end(&mut self, word: &Text<'_>) {
        if let Text(Some(word)) = word
            && self.finish_reason.is_empty()
        {
            self.finish_reason = ending::finish_reason(word);
        }
    }

    /// Notes that there are at least so many calls of tools.
    pub(crate) fn saw_tool_calls(&mut self, calls: u64) {
        self.tool_calls = self.tool_calls.max(u16::try_from(calls).unwrap_or(u16::MAX));
    }

    /// Notes one more call of a tool.
    pub(crate) fn saw_tool_call(&mut self) {
        self.tool_calls = self.tool_calls.saturating_add(1);
    }

    /// Counts text of the model.
    pub(crate) fn wrote(&mut self, text: &Text<'_>) {
        self.text_bytes += text.0.as_ref().map_or(0, |text| text.len() as u64);
    }

    /// Notes reported usage; returns whether there was some.
    pub(crate) fn saw_usage(&mut self, usage: Lenient<ReportedUsage>) -> bool {
        match usage {
            Lenient(Some(usage)) => {
                self.usage.update(&usage);
                true
            }
            Lenient(None) => false,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::format::Format;

    /// Reads events (name and data) and returns their roles.
    pub(crate) fn follow(format: Format, events: &[(&str, &str)]) -> (Vec<Role>, StreamReader) {
        let mut reader = StreamReader::new(format, 1000);
        let roles = events
            .iter()
            .map(|(name, data)| reader.event(name.as_bytes(), data.as_bytes()))
            .collect();
        (roles, reader)
    }

    pub(crate) fn transcript(reader: &StreamReader) -> String {
        serde_json::to_string(reader.transcript()).expect("strings")
    }

    /// Format, events (name and data), and whether the stream may end after them.
    type Case<'a> = (Format, &'a [(&'a str, &'a str)], bool);

    #[test]
    fn a_stream_without_its_last_event_is_incomplete() {
        use Format::*;
        let cases: &[Case<'_>] = &[
            (OpenAiChat, &[], false),
            (OpenAiChat, &[("", r#"{"choices":[{"delta":{"content":"x"}}]}"#)], false),
            (OpenAiChat, &[("", r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#)], true),
            (
                OpenAiCompletions,
                &[("", r#"{"choices":[{"text":"x","finish_reason":"stop"}]}"#)],
                true,
            ),
            (OpenAiChat, &[("", r#"{"error":{"message":"m"}}"#)], true),
            (
                OpenAiResponses,
                &[(
                    "response.output_text.delta",
                    r#"{"type":"response.output_text.delta","delta":"x"}"#,
                )],
                false,
            ),
            (
                OpenAiResponses,
                &[("response.completed", r#"{"type":"response.completed","response":{}}"#)],
                true,
            ),
            (
                AnthropicMessages,
                &[(
                    "message_delta",
                    r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"}}"#,
                )],
                false,
            ),
            (AnthropicMessages, &[("message_stop", r#"{"type":"message_stop"}"#)], true),
            (OpenAiChat, &[("", "not json"), ("", "")], false),
            (Other, &[("", "not json"), ("", "")], true),
        ];
        for (format, events, expected) in cases {
            assert_eq!(follow(*format, events).1.may_end(), *expected, "{format:?} {events:?}");
        }
    }

    /// All text counts, also of tool calls and reasoning, although no usage is reported.
    #[test]
    fn a_broken_stream_keeps_what_it_had() {
        let mut stream = StreamReader::new(Format::OpenAiChat, 0);
        for text in ["äö", "lo"] {
            stream.event(
                b"",
                format!(r#"{{"choices":[{{"delta":{{"content":"{text}"}}}}]}}"#).as_bytes(),
            );
        }
        stream.event(
            b"",
            br#"{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}],"reasoning_content":"hm"}}]}"#,
        );
        let seen = (stream.usage(), stream.text_bytes(), stream.is_usage_final());
        assert_eq!(seen, (None, 4 + 2 + 1 + 2 + 2, false));
    }

    #[test]
    fn the_transcript_is_bounded() {
        let mut reader = StreamReader::new(Format::OpenAiChat, 5);
        for _ in 0..3 {
            reader.event(b"", "{\"choices\":[{\"delta\":{\"content\":\"äöü\"}}]}".as_bytes());
        }
        assert_eq!(transcript(&reader), r#"{"choices":[{"index":0,"content":"äö"}]}"#);
        assert!(reader.transcript().is_cut());
    }

    proptest::proptest! {
        #[test]
        fn an_event_like_the_one_before_is_read_as_if_it_were_parsed(
            events in proptest::collection::vec((0..EVENTS.len(), 0..TEXTS.len()), 0..40),
        ) {
            let mut stream = StreamReader::new(Format::OpenAiChat, 100);
            let mut parsed = StreamReader::new(Format::OpenAiChat, 100);
            for (event, text) in events {
                let data = EVENTS[event].replace("TEXT", TEXTS[text]);
                let role = stream.event(b"", data.as_bytes());
                parsed.alike.forget();
                proptest::prop_assert_eq!(role, parsed.event(b"", data.as_bytes()), "{}", data);
            }
            let facts = |stream: &StreamReader| {
                let (usage, final_usage) = (stream.usage(), stream.is_usage_final());
                let ends = (stream.finish_reason().clone(), stream.may_end(), stream.tool_calls());
                let texts = (stream.text_bytes(), transcript(stream));
                (usage, final_usage, ends, texts, stream.model().to_owned(), stream.tier)
            };
            proptest::prop_assert_eq!(format!("{:?}", facts(&stream)), format!("{:?}", facts(&parsed)));
        }
    }

    /// Events of a stream, most of them with a text.
    const EVENTS: [&str; 14] = [
        r#"{"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}]}"#,
        r#"{"id":"c","model":"m","choices":[{"index":1,"delta":{"content":"TEXT"},"finish_reason":null}]}"#,
        r#"{"id":"c","model":"n","choices":[{"index":0,"delta":{"content":"TEXT"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","refusal":"r"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","reasoning_content":"because"}}]}"#,
        r#"{"choices":[{"delta":{"refusal":"TEXT"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"},"finish_reason":"stop"}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"}}],"usage":{"prompt_tokens":3,"completion_tokens":4}}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"}}],"service_tier":"priority"}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"}}],"service_tier":"flex"}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","tool_calls":[{"index":1,"function":{"name":"f"}}]}}]}"#,
        r#"{"choices":[{"text":"TEXT"}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT"}},{"index":2,"delta":{"content":"b"}}]}"#,
        r#"{"choices":[{"delta":{"content":"TEXT","content":"b"}}]}"#,
    ];
    const TEXTS: [&str; 8] = [
        "",
        "Hello",
        " world",
        "é",
        r"a\nb",
        r#"a","refusal":"b"#,
        r"\ud83d\ude00",
        "a long text of many letters",
    ];
}
