//! Bedrock's `converse`: a provider's format only; no application calls the gateway in it.
//!
//! Cache tokens are reported beside the input. A stream has binary frames, which the translation
//! takes apart; its events have names, and are told apart by their fields here. The usage comes
//! last, after the end of the answer.
//!
//! # Source
//! botocore 1.44, `bedrock-runtime/2023-09-30`, read November 2026.

use serde::Deserialize;

use super::{Conventions, Format, Spec, openai_chat, other};
use crate::lenient::{Count, Lenient, Text};
use crate::reported::{ReportedUsage, Tier};
use crate::stream::{End, Role, StreamReader};

pub(crate) const SPEC: Spec = Spec {
    name: "bedrock_converse",
    is_generated: true,
    usage: Some(ReportedUsage::of_bedrock),
    event,
    end: End::FinishReason,
    ..other::SPEC
};

pub(crate) const KIND: Conventions = Conventions {
    name: "bedrock",
    base_url: "https://bedrock-runtime.us-east-1.amazonaws.com",
    key_header: ("authorization", "Bearer "),
    version_header: None,
    format: Format::BedrockConverse,
    // Asked in a format of callers, and translated like one of their calls.
    text_exchange: openai_chat::TEXT_EXCHANGE,
};

/// The data of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    #[serde(default)]
    content_block_index: Count,
    #[serde(borrow, default)]
    start: Lenient<Start<'a>>,
    #[serde(borrow, default)]
    delta: Lenient<Delta<'a>>,
    #[serde(borrow, default)]
    stop_reason: Text<'a>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default)]
    service_tier: Lenient<ServedTier>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start<'a> {
    #[serde(borrow, default)]
    tool_use: Lenient<ToolUse<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delta<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
    #[serde(borrow, default)]
    tool_use: Lenient<ToolUse<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Lenient<Reasoning<'a>>,
}

#[derive(Deserialize)]
struct ToolUse<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    input: Text<'a>,
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow, default)]
    text: Text<'a>,
}

#[derive(Deserialize)]
struct ServedTier {
    #[serde(default, rename = "type")]
    kind: Tier,
}

fn event(stream: &mut StreamReader, data: &[u8]) -> Role {
    let Ok(event) = serde_json::from_slice::<Event<'_>>(data) else { return Role::Content };
    let block = event.content_block_index.or_zero();
    if let Lenient(Some(Start { tool_use: Lenient(Some(call)) })) = event.start {
        stream.wrote(&call.name);
        stream.transcript.add_tool(0, block, call.name, |t| &mut t.name);
    }
    if let Lenient(Some(delta)) = event.delta {
        stream.wrote(&delta.text);
        stream.transcript.add(0, delta.text, |c| &mut c.content);
        if let Lenient(Some(reasoning)) = delta.reasoning_content {
            stream.wrote(&reasoning.text);
        }
        if let Lenient(Some(call)) = delta.tool_use {
            stream.wrote(&call.input);
            stream.transcript.add_tool(0, block, call.input, |t| &mut t.arguments);
        }
    }
    if let Text(Some(reason)) = event.stop_reason {
        stream.has_finish_reason = true;
        stream.transcript.add(0, Text(Some(reason)), |c| &mut c.finish_reason);
    }
    if let Lenient(Some(ServedTier { kind })) = event.service_tier {
        stream.tier.update(kind);
    }
    if stream.saw_usage(event.usage) && stream.has_finish_reason {
        stream.is_usage_final = true;
        return Role::Last;
    }
    Role::Content
}

#[cfg(test)]
mod tests {
    use crate::Format;
    use crate::stream::Role;
    use crate::stream::tests::{follow, transcript};
    use crate::usage::{ServiceTier, TokenUsage};

    #[test]
    fn a_stream() {
        let (roles, reader) = follow(
            Format::BedrockConverse,
            &[
                ("messageStart", r#"{"role":"assistant"}"#),
                (
                    "contentBlockDelta",
                    r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"Hm"}}}"#,
                ),
                ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"text":"Ok."}}"#),
                (
                    "contentBlockStart",
                    r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#,
                ),
                (
                    "contentBlockDelta",
                    r#"{"contentBlockIndex":2,"delta":{"toolUse":{"input":"{}"}}}"#,
                ),
                ("messageStop", r#"{"stopReason":"tool_use"}"#),
                (
                    "metadata",
                    r#"{"usage":{"inputTokens":18,"outputTokens":46,"cacheReadInputTokens":1500,"cacheWriteInputTokens":500,
                    "cacheDetails":[{"ttl":"5m","inputTokens":400},{"ttl":"1h","inputTokens":100}]},"serviceTier":{"type":"flex"}}"#,
                ),
            ],
        );
        assert_eq!((roles[5], roles[6]), (Role::Content, Role::Last));
        assert!(reader.may_end() && reader.is_usage_final());
        assert_eq!(reader.text_bytes(), 2 + 3 + 1 + 2);
        assert_eq!(
            reader.usage(),
            Some(TokenUsage {
                input: 2_018,
                cached: 1_500,
                cache_write: 500,
                cache_write_1h: 100,
                output: 46,
                tier: ServiceTier::Flex,
                ..TokenUsage::default()
            })
        );
        assert_eq!(
            transcript(&reader),
            r#"{"choices":[{"index":0,"content":"Ok.","tool_calls":[{"index":2,"name":"f","arguments":"{}"}],"finish_reason":"tool_use"}]}"#
        );
    }

    #[test]
    fn a_stream_without_an_end() {
        let text = r#"{"contentBlockIndex":0,"delta":{"text":"x"}}"#;
        let (_, reader) = follow(Format::BedrockConverse, &[("contentBlockDelta", text)]);
        assert!(!reader.may_end());
    }

    #[test]
    fn usage_of_an_answer() {
        let usage = |text: &str| Format::BedrockConverse.read_answer(text.as_bytes()).usage;
        assert_eq!(
            usage(r#"{"usage":{"inputTokens":5,"outputTokens":2,"totalTokens":7}}"#),
            Some(TokenUsage { input: 5, output: 2, ..TokenUsage::default() })
        );
        for odd in ["{}", r#"{"usage":{"totalTokens":7}}"#, r#"{"usage":{"inputTokens":"5"}}"#] {
            assert_eq!(usage(odd), None, "{odd}");
        }
    }
}
