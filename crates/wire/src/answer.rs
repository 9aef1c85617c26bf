//! A whole JSON answer: its model and its usage, in any format.
//!
//! Pure. Borrows from the answer; unknown fields are skipped and not kept. Of a long answer, usage
//! is read from its end alone.

use std::borrow::Cow;

use serde::de::Deserialize;

use crate::ending::{Blocks, Choices, IncompleteDetails, Items, finish_reason};
use crate::gemini_usage::GeminiUsage;
use crate::lenient::{Each, Lenient, Text};
use crate::reported::{ReportedUsage, Tier};
use crate::usage::{ServiceTier, TokenUsage};

/// The facts that a JSON answer states about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnswerFacts {
    /// The model that answered; empty if it is not named.
    pub model: String,
    /// The usage, if it is reported.
    pub usage: Option<TokenUsage>,
    /// The answer is a JSON object.
    pub is_object: bool,
    /// The provider's word for the end of the answer; empty if it is not said.
    pub finish_reason: Cow<'static, str>,
    /// Calls of tools.
    pub tool_calls: u16,
}

/// Adds up a `usage` object.
pub(crate) type AddUp = fn(&ReportedUsage) -> Option<TokenUsage>;

/// Reads a whole answer. Anything but a JSON object gives the default.
pub(crate) fn read(answer: &[u8], add_up: Option<AddUp>) -> AnswerFacts {
    // Each string would be checked by itself.
    let head = match std::str::from_utf8(answer) {
        Ok(text) => serde_json::from_str::<Head<'_>>(text),
        Err(_) => serde_json::from_slice(answer),
    };
    match head {
        Ok(head) => AnswerFacts {
            usage: tokens(add_up, head.usage, head.usage_metadata, head.service_tier),
            finish_reason: finish_reason(head.ending()),
            tool_calls: head.tool_calls(),
            model: head.model.0.or(head.model_version.0).map(Cow::into_owned).unwrap_or_default(),
            is_object: true,
        },
        Err(_) => AnswerFacts::default(),
    }
}

/// Reads usage from the end of a long answer, of which only `tail` was kept: the last `"usage"` in
/// it.
pub(crate) fn read_usage_in_tail(tail: &[u8], add_up: Option<AddUp>) -> Option<TokenUsage> {
    let own = last::<Lenient<ReportedUsage>>(tail, b"\"usage\"");
    let gemini = last::<Lenient<GeminiUsage>>(tail, b"\"usageMetadata\"");
    let tier = last::<Tier>(tail, b"\"service_tier\"");
    tokens(add_up, own.unwrap_or_default(), gemini.unwrap_or_default(), tier.unwrap_or_default())
}

/// The usage that an answer or an event reports; the tier may stand beside it.
pub(crate) fn tokens(
    add_up: Option<AddUp>,
    own: Lenient<ReportedUsage>,
    gemini: Lenient<GeminiUsage>,
    tier: Tier,
) -> Option<TokenUsage> {
    let add_up = add_up?;
    let own = own.0.and_then(|usage| add_up(&usage));
    let usage = own.or_else(|| gemini.0.and_then(|usage| usage.tokens()))?;
    Some(if usage.tier == ServiceTier::Unknown {
        TokenUsage { tier: tier.0, ..usage }
    } else {
        usage
    })
}

/// The value of the last field of that name.
fn last<'de, T: Deserialize<'de>>(tail: &'de [u8], name: &[u8]) -> Option<T> {
    let at = memchr::memmem::rfind(tail, name)? + name.len();
    let value = tail[at..].trim_ascii_start().strip_prefix(b":")?;
    serde_json::Deserializer::from_slice(value).into_iter::<T>().next()?.ok()
}

#[derive(serde::Deserialize)]
struct Head<'a> {
    #[serde(borrow, default)]
    model: Text<'a>,
    /// Gemini's name for the model.
    #[serde(borrow, default, rename = "modelVersion")]
    model_version: Text<'a>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default, rename = "usageMetadata")]
    usage_metadata: Lenient<GeminiUsage>,
    #[serde(default)]
    service_tier: Tier,
    /// Of OpenAI's chat and completions.
    #[serde(borrow, default)]
    choices: Each<Choices<'a>>,
    /// Of Anthropic's messages.
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(default)]
    content: Each<Blocks>,
    /// Of OpenAI's responses.
    #[serde(default)]
    output: Each<Items>,
    #[serde(borrow, default)]
    status: Text<'a>,
    #[serde(borrow, default)]
    incomplete_details: Lenient<IncompleteDetails<'a>>,
}

impl Head<'_> {
    /// The word for the end of the answer.
    fn ending(&self) -> &str {
        let choices = self.choices.0.as_ref().and_then(|choices| choices.ending.0.as_deref());
        let details = self.incomplete_details.0.as_ref().and_then(|d| d.reason.0.as_deref());
        // Other objects have a status, too.
        let status = self.status.0.as_deref().filter(|_| self.output.0.is_some());
        choices.or(self.stop_reason.0.as_deref()).or(details).or(status).unwrap_or_default()
    }

    fn tool_calls(&self) -> u16 {
        self.choices.0.as_ref().map_or(0, |choices| choices.tool_calls)
            + self.content.0.map_or(0, |blocks| blocks.tool_calls)
            + self.output.0.map_or(0, |items| items.tool_calls)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Format;

    fn usage(
        input: u64,
        cached: u64,
        cache_write: u64,
        output: u64,
        reasoning: u64,
    ) -> Option<TokenUsage> {
        Some(TokenUsage { input, cached, cache_write, output, reasoning, ..TokenUsage::default() })
    }

    #[test]
    fn usage_of_every_format() {
        use Format::*;
        let table = [
            (
                OpenAiChat,
                r#"{"model":"m","usage":{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
                    "prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},
                    "completion_tokens_details":{"reasoning_tokens":5}}}"#,
                usage(100, 64, 0, 20, 5),
            ),
            (
                OpenAiResponses,
                r#"{"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":8,"cache_write_tokens":4},
                    "output_tokens":87,"output_tokens_details":{"reasoning_tokens":9},"total_tokens":123}}"#,
                usage(36, 8, 4, 87, 9),
            ),
            (
                OpenAiEmbeddings,
                r#"{"object":"list","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
                usage(8, 0, 0, 0, 0),
            ),
            (
                AnthropicMessages,
                r#"{"usage":{"input_tokens":10,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,
                    "output_tokens":5}}"#,
                usage(1110, 1000, 100, 5, 0),
            ),
            (
                OpenAiChat,
                r#"{"usage":{"prompt_tokens":0,"completion_tokens":0}}"#,
                usage(0, 0, 0, 0, 0),
            ),
            (
                StoredObject,
                r#"{"usage":{"input_tokens":1},"usageMetadata":{"promptTokenCount":1}}"#,
                None,
            ),
            // Odd values.
            (
                OpenAiChat,
                r#"{"usage":{"prompt_tokens":5,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":9}}}"#,
                usage(5, 5, 0, 2, 0),
            ),
            (
                OpenAiChat,
                r#"{"usage":{"prompt_tokens":"5","completion_tokens":-1,"total_tokens":1.5}}"#,
                None,
            ),
            (
                OpenAiChat,
                r#"{"usage":{"prompt_tokens":{"a":1},"completion_tokens":[2],"total_tokens":7}}"#,
                usage(7, 0, 0, 0, 0),
            ),
            (OpenAiChat, r#"{"usage":null}"#, None),
            (OpenAiChat, r#"{"usage":[1,{"a":2}]}"#, None),
            (OpenAiChat, r#"{}"#, None),
            (OpenAiChat, "[]", None),
            (OpenAiChat, "<html>", None),
        ];
        for (format, text, expected) in table {
            assert_eq!(format.read_answer(text.as_bytes()).usage, expected, "{text}");
        }
        assert_eq!(
            OpenAiChat.read_answer(br#"{"model":"gpt\u002d4o","usage":{}}"#).model,
            "gpt-4o"
        );
        assert_eq!(OpenAiChat.read_answer(br#"{"model":7}"#).model, "");
    }

    #[test]
    fn usage_at_the_end_of_a_long_answer() {
        let tail = br#"0.1,0.2]}],"model":"m","usage" : {"prompt_tokens":8,"total_tokens":8}}"#;
        assert_eq!(Format::Other.read_usage_in_tail(tail), usage(8, 0, 0, 0, 0));
        for odd in [&b""[..], b"\"usage\"", b"\"usage\":{\"prompt_to", b"\"usage\":null}"] {
            assert_eq!(Format::Other.read_usage_in_tail(odd), None);
        }
    }

    #[test]
    fn odd_tiers_and_details_are_unknown() {
        for (body, tier) in [
            (r#"{"service_tier":null,"usage":{"prompt_tokens":1}}"#, ServiceTier::Unknown),
            (r#"{"service_tier":7,"usage":{"prompt_tokens":1}}"#, ServiceTier::Unknown),
            (r#"{"service_tier":{"a":[1]},"usage":{"prompt_tokens":1}}"#, ServiceTier::Unknown),
            (r#"{"service_tier":"scale","usage":{"prompt_tokens":1}}"#, ServiceTier::Scale),
            (
                r#"{"service_tier":"anna@example.org","usage":{"prompt_tokens":1}}"#,
                ServiceTier::Other,
            ),
            (
                r#"{"usageMetadata":{"promptTokenCount":1,"promptTokensDetails":{"a":1},"trafficType":null}}"#,
                ServiceTier::Unknown,
            ),
            (
                r#"{"usageMetadata":{"promptTokenCount":1,"promptTokensDetails":[null,{"modality":1,"tokenCount":"x"}]}}"#,
                ServiceTier::Unknown,
            ),
        ] {
            let usage = Format::OpenAiChat.read_answer(body.as_bytes()).usage;
            assert_eq!(
                usage,
                Some(TokenUsage { input: 1, tier, ..TokenUsage::default() }),
                "{body}"
            );
        }
    }
}
