//! How an answer ended: the provider's word for it, and the calls of tools that it holds.
//!
//! Pure. Read together with the usage, in the same pass. Guarantees: bounded; a word that is not
//! known keeps at most [`WORD_BYTES_MAX`] bytes of letters, digits and `_`. Does not: translate
//! words (see `translate`).

use std::borrow::Cow;

use serde::Deserialize;

use crate::lenient::{Each, Lenient, Take, Text};

/// Words of the formats: a row needs no memory for them.
const WORDS: [&str; 20] = [
    "stop",
    "length",
    "tool_calls",
    "content_filter",
    "function_call",
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "tool_use",
    "pause_turn",
    "refusal",
    "model_context_window_exceeded",
    "completed",
    "incomplete",
    "failed",
    "cancelled",
    "in_progress",
    "queued",
    "max_output_tokens",
    "eos",
];

/// The longest word of a provider that is kept.
const WORD_BYTES_MAX: usize = 64;

/// The word as it is kept.
pub(crate) fn finish_reason(word: &str) -> Cow<'static, str> {
    if let Some(known) = WORDS.iter().find(|known| **known == word) {
        return Cow::Borrowed(known);
    }
    let is_plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    match word {
        "" => Cow::Borrowed(""),
        word if is_plain && word.len() <= WORD_BYTES_MAX => Cow::Owned(word.to_owned()),
        _ => Cow::Borrowed("other"),
    }
}

/// The choices of an answer of chat or completions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Choices<'a> {
    /// The first word.
    pub(crate) ending: Text<'a>,
    pub(crate) tool_calls: u16,
}

#[derive(Deserialize)]
pub(crate) struct Choice<'a> {
    #[serde(borrow, default)]
    finish_reason: Text<'a>,
    #[serde(default)]
    message: Lenient<Message>,
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    tool_calls: Each<Calls>,
}

/// The entries of a list, counted.
#[derive(Clone, Copy, Debug, Default)]
struct Calls(u16);

impl<'de> Take<'de> for Calls {
    type Item = serde::de::IgnoredAny;
    fn take(&mut self, _: serde::de::IgnoredAny) {
        self.0 = self.0.saturating_add(1);
    }
}

impl<'de: 'a, 'a> Take<'de> for Choices<'a> {
    type Item = Lenient<Choice<'a>>;
    fn take(&mut self, choice: Lenient<Choice<'a>>) {
        let Lenient(Some(choice)) = choice else { return };
        if self.ending.0.is_none() {
            self.ending = choice.finish_reason;
        }
        let calls = choice.message.0.and_then(|message| message.tool_calls.0).unwrap_or_default();
        self.tool_calls = self.tool_calls.saturating_add(calls.0);
    }
}

#[derive(Deserialize)]
pub(crate) struct Typed<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Text<'a>,
}

/// The blocks of an answer of Anthropic's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) tool_calls: u16,
}

impl<'de> Take<'de> for Blocks {
    type Item = Lenient<Typed<'de>>;
    fn take(&mut self, block: Lenient<Typed<'de>>) {
        let kind = block.0.and_then(|block| block.kind.0);
        self.tool_calls += u16::from(kind.is_some_and(|kind| kind.ends_with("tool_use")));
    }
}

/// The items of an answer of OpenAI's responses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Items {
    pub(crate) tool_calls: u16,
}

impl<'de> Take<'de> for Items {
    type Item = Lenient<Typed<'de>>;
    fn take(&mut self, item: Lenient<Typed<'de>>) {
        let kind = item.0.and_then(|item| item.kind.0);
        self.tool_calls += u16::from(kind.is_some_and(|kind| is_tool_call(&kind)));
    }
}

/// Whether an item of this type is the call of a tool.
pub(crate) fn is_tool_call(kind: &str) -> bool {
    kind.ends_with("_call")
}

/// Why an answer of OpenAI's responses is not complete.
#[derive(Deserialize)]
pub(crate) struct IncompleteDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) reason: Text<'a>,
}

#[cfg(test)]
mod tests {
    use crate::{Format, Role, StreamReader};

    #[test]
    fn whole_answers_say_how_they_ended() {
        for (format, answer, word, calls) in [
            (
                Format::OpenAiChat,
                r#"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]}"#,
                "stop",
                0,
            ),
            (
                Format::OpenAiChat,
                r#"{"choices":[{"message":{"tool_calls":[{},{}]},"finish_reason":"tool_calls"},{"message":{"tool_calls":[{}]}}]}"#,
                "tool_calls",
                3,
            ),
            (
                Format::OpenAiCompletions,
                r#"{"choices":[{"text":"x","finish_reason":"length"}]}"#,
                "length",
                0,
            ),
            (
                Format::AnthropicMessages,
                r#"{"content":[{"type":"text","text":"x"},{"type":"tool_use","name":"f"}],"stop_reason":"tool_use"}"#,
                "tool_use",
                1,
            ),
            (
                Format::OpenAiResponses,
                r#"{"status":"completed","output":[{"type":"message"},{"type":"function_call"}]}"#,
                "completed",
                1,
            ),
            (
                Format::OpenAiResponses,
                r#"{"status":"incomplete","output":[],"incomplete_details":{"reason":"max_output_tokens"}}"#,
                "max_output_tokens",
                0,
            ),
            (Format::Other, r#"{"status":"paid by anna@example.org"}"#, "", 0),
            (
                Format::OpenAiChat,
                r#"{"choices":[{"finish_reason":"ask anna@example.org"}]}"#,
                "other",
                0,
            ),
            (
                Format::OpenAiChat,
                r#"{"choices":[null,1,{"finish_reason":"eos_token","message":[]}]}"#,
                "eos_token",
                0,
            ),
            (Format::OpenAiChat, r#"{"choices":{"a":1},"content":"text","output":7}"#, "", 0),
        ] {
            let facts = format.read_answer(answer.as_bytes());
            assert!(facts.is_object, "{answer}");
            assert_eq!((&*facts.finish_reason, facts.tool_calls), (word, calls), "{answer}");
        }
    }

    #[test]
    fn streams_say_how_they_ended() {
        let follow = |format, events: &[&str]| {
            let mut stream = StreamReader::new(format, 0);
            events
                .iter()
                .for_each(|event| assert_ne!(stream.event(b"", event.as_bytes()), Role::Failed));
            (stream.finish_reason().to_string(), stream.tool_calls())
        };
        let chat = follow(
            Format::OpenAiChat,
            &[
                r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":""}}]}}]}"#,
                r#"{"choices":[{"delta":{"tool_calls":[{"index":1,"function":{"name":"g"}},{"index":1,"function":{"arguments":"{}"}}]}}]}"#,
                r#"{"choices":[{"delta":{},"finish_reason":"tool_calls"}]}"#,
            ],
        );
        assert_eq!(chat, ("tool_calls".to_owned(), 2));
        let messages = follow(
            Format::AnthropicMessages,
            &[
                r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
                r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","name":"f"}}"#,
                r#"{"type":"message_delta","delta":{"stop_reason":"tool_use"}}"#,
            ],
        );
        assert_eq!(messages, ("tool_use".to_owned(), 1));
        let responses = follow(
            Format::OpenAiResponses,
            &[
                r#"{"type":"response.output_item.done","item":{"type":"function_call"}}"#,
                r#"{"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"}}}"#,
            ],
        );
        assert_eq!(responses, ("content_filter".to_owned(), 1));
        let whole = r#"{"type":"response.completed","response":{"status":"completed"}}"#;
        assert_eq!(follow(Format::OpenAiResponses, &[whole]).0, "completed");
    }
}
