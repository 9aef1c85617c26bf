//! Reads whole answers, and what streams have in common with them.

use serde::Deserialize;

use crate::lenient::{Count, Lenient};
use crate::reported::{ReportedUsage, Tier};
use crate::translate::Context;
use crate::translate::error::Invalid;
use crate::translate::json::{JsonText, List, Raw, object};
use crate::translate::neutral::{
    Answer, Arguments, Opaque, OpaqueKind, Part, PartKind, Reasoning, Stop, TextPart, ToolCall,
    Vendor,
};
use crate::usage::{ServiceTier, TokenUsage};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow, default)]
    output: Option<Output<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<JsonText<'a>>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(borrow, default)]
    additional_model_response_fields: Option<Raw<'a>>,
    #[serde(default)]
    service_tier: Lenient<ServedTier>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<List<Given<'a>>>,
}

/// The tier that served a call.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct ServedTier {
    #[serde(default, rename = "type")]
    pub(crate) kind: Tier,
}

object! {
    /// A block of content, of any kind.
    struct Given<'a> {
        "text" => text: JsonText<'a>,
        "toolUse" => tool_use: ToolUse<'a>,
        "reasoningContent" => reasoning: GivenReasoning<'a>,
        "citationsContent" => citations: Citations<'a>,
    }
}

/// A call; in a stream its beginning.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ToolUse<'a> {
    #[serde(borrow, default)]
    pub(crate) tool_use_id: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<Raw<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct GivenReasoning<'a> {
    #[serde(borrow, default)]
    reasoning_text: Option<ReasoningText<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<JsonText<'a>>,
}

#[derive(Debug, Deserialize)]
struct ReasoningText<'a> {
    #[serde(borrow, default)]
    text: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    signature: Option<JsonText<'a>>,
}

/// Text with citations; the text stands without them.
#[derive(Debug, Deserialize)]
struct Citations<'a> {
    #[serde(borrow, default)]
    content: Option<List<CitedText<'a>>>,
}

#[derive(Debug, Deserialize)]
struct CitedText<'a> {
    #[serde(borrow, default)]
    text: Option<JsonText<'a>>,
}

/// Reads a whole answer.
pub(crate) fn read<'a>(body: &'a str, context: &Context) -> Result<Answer<'a>, Invalid> {
    let body: Body<'a> = serde_json::from_str(body)
        .map_err(|_| Invalid::new("the answer is not one of converse"))?;
    let content = body.output.and_then(|output| output.message?.content);
    let Some(List(content)) = content else {
        return Err(Invalid::new("the answer has no content"));
    };
    let word = body.stop_reason.unwrap_or_default().into_plain();
    let mut answer = Answer {
        stop: stop(&word),
        stop_word: word,
        stop_sequence: body.additional_model_response_fields.as_ref().and_then(stop_sequence),
        usage: usage(body.usage.0, body.service_tier.0),
        ..Answer::default()
    };
    for given in content {
        read_block(given, context.vendor, &mut answer)?;
    }
    Ok(answer)
}

fn read_block<'a>(
    given: Given<'a>,
    vendor: Vendor,
    answer: &mut Answer<'a>,
) -> Result<(), Invalid> {
    let mut push = |kind| answer.parts.push(Part::of_answer(kind));
    if let Some(call) = given.tool_use {
        push(PartKind::ToolCall(read_call(call)?));
    } else if let Some(reasoning) = given.reasoning {
        if let Some(ReasoningText { text, signature }) = reasoning.reasoning_text {
            let opaque = opaque(vendor, OpaqueKind::Signature, signature);
            push(PartKind::Reasoning(Reasoning { text: text.unwrap_or_default(), opaque }));
        }
        if let Some(opaque) = opaque(vendor, OpaqueKind::Hidden, reasoning.redacted_content) {
            let text = JsonText::default();
            push(PartKind::Reasoning(Reasoning { text, opaque: Some(opaque) }));
        }
    } else if let Some(cited) = given.citations {
        for text in cited.content.unwrap_or_default().0.into_iter().filter_map(|cited| cited.text) {
            push(PartKind::Text(TextPart::plain(text)));
        }
    } else if let Some(text) = given.text {
        if !text.is_empty() {
            push(PartKind::Text(TextPart::plain(text)));
        }
    } else if !given.unknown.is_empty() {
        return Err(Invalid::new("the answer has a part that cannot be carried"));
    }
    Ok(())
}

fn read_call(call: ToolUse<'_>) -> Result<ToolCall<'_>, Invalid> {
    let Some(name) = call.name.filter(|name| !name.is_empty()) else {
        return Err(Invalid::new("the answer has a call without a name"));
    };
    let arguments = match call.input {
        Some(input) if input.is_object() => Arguments::Object(input),
        Some(_) => return Err(Invalid::new("the arguments of a call are not an object")),
        None => Arguments::Text(JsonText::default()),
    };
    Ok(ToolCall { id: call.tool_use_id.unwrap_or_default(), name, arguments, signature: None })
}

/// Opaque data, if there is some.
pub(crate) fn opaque(
    vendor: Vendor,
    kind: OpaqueKind,
    data: Option<JsonText<'_>>,
) -> Option<Opaque<'_>> {
    let data = data.filter(|data| !data.is_empty())?;
    Some(Opaque { vendor, kind, data })
}

/// The stop sequence in the fields that the request has asked for.
pub(crate) fn stop_sequence<'a>(fields: &Raw<'a>) -> Option<JsonText<'a>> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow, default)]
        stop_sequence: Option<JsonText<'a>>,
    }
    let fields = fields.read::<Fields<'_>>().ok()?;
    fields.stop_sequence.map(JsonText::into_owned).filter(|text| !text.is_empty())
}

/// The usage of an answer.
pub(crate) fn usage(usage: Option<ReportedUsage>, tier: Option<ServedTier>) -> Option<TokenUsage> {
    let usage = usage?.of_bedrock()?;
    match tier {
        Some(tier) if usage.tier == ServiceTier::Unknown => {
            Some(TokenUsage { tier: tier.kind.0, ..usage })
        }
        _ => Some(usage),
    }
}

/// The reason behind a `stopReason`.
pub(crate) fn stop(word: &str) -> Stop {
    match word {
        "end_turn" => Stop::EndTurn,
        "stop_sequence" => Stop::StopSequence,
        "tool_use" => Stop::ToolUse,
        "max_tokens" => Stop::MaxTokens,
        "model_context_window_exceeded" => Stop::ContextWindow,
        "pause_turn" => Stop::Pause,
        "refusal" => Stop::Refusal,
        "content_filtered" | "guardrail_intervened" => Stop::Filter,
        "malformed_model_output" | "malformed_tool_use" => Stop::Malformed,
        _ => Stop::Unknown,
    }
}

/// Reads the answer to a count of tokens.
pub(crate) fn read_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        #[serde(default)]
        input_tokens: Count,
    }
    serde_json::from_slice::<Counted>(body).ok()?.input_tokens.0
}
