//! Whole answers of `messages`.

use serde::Deserialize;

use crate::lenient::Lenient;
use crate::reported::ReportedUsage;
use crate::translate::Context;
use crate::translate::carrier::{self, Owner};
use crate::translate::error::Invalid;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonList, JsonObject, JsonText, List, Raw};
use crate::translate::neutral::{
    Answer, Arguments, Opaque, OpaqueKind, Part, PartKind, Reasoning, Stop, TextPart, ToolCall,
    Vendor,
};
use crate::usage::{ServiceTier, TokenUsage};

// ---- reading ------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    content: Option<List<Block<'a>>>,
    #[serde(borrow, default)]
    stop_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    stop_details: Option<StopDetails<'a>>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
}

#[derive(Deserialize)]
pub(crate) struct StopDetails<'a> {
    #[serde(borrow, default)]
    pub(crate) explanation: Option<JsonText<'a>>,
}

/// A block of content, also at its beginning in a stream.
#[derive(Deserialize)]
pub(crate) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    pub(crate) kind: JsonText<'a>,
    #[serde(borrow, default)]
    pub(crate) text: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) thinking: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) signature: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) data: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) id: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<Raw<'a>>,
}

/// Reads a whole answer.
pub(crate) fn read<'a>(body: &'a str, _: &Context) -> Result<Answer<'a>, Invalid> {
    let body: Body<'a> =
        serde_json::from_str(body).map_err(|_| Invalid::new("the answer is not a message"))?;
    let Some(List(content)) = body.content else {
        return Err(Invalid::new("the answer has no content"));
    };
    let word = body.stop_reason.unwrap_or_default().into_plain();
    let mut answer = Answer {
        model: body.model.unwrap_or_default(),
        stop: stop(&word),
        stop_word: word,
        stop_sequence: body.stop_sequence,
        refusal: body.stop_details.and_then(|details| details.explanation),
        usage: body.usage.0.and_then(|usage| usage.with_cache_beside()),
        ..Answer::default()
    };
    for block in content {
        answer.parts.push(Part::of_answer(read_block(block)?));
    }
    Ok(answer)
}

fn read_block(block: Block<'_>) -> Result<PartKind<'_>, Invalid> {
    match block.kind.escaped() {
        "text" => Ok(PartKind::Text(TextPart::plain(block.text.unwrap_or_default()))),
        "thinking" => Ok(PartKind::Reasoning(Reasoning {
            text: block.thinking.unwrap_or_default(),
            opaque: opaque(OpaqueKind::Signature, block.signature),
        })),
        "redacted_thinking" => Ok(PartKind::Reasoning(Reasoning {
            text: JsonText::default(),
            opaque: opaque(OpaqueKind::Hidden, block.data),
        })),
        "tool_use" => {
            let (Some(id), Some(name)) = (block.id, block.name) else {
                return Err(Invalid::new("the answer has a call without an id or a name"));
            };
            let arguments = match block.input {
                Some(input) if input.is_object() => Arguments::Object(input),
                Some(_) => return Err(Invalid::new("the arguments of a call are not an object")),
                None => Arguments::Text(JsonText::default()),
            };
            Ok(PartKind::ToolCall(ToolCall { id, name, arguments, signature: None }))
        }
        _ => Err(Invalid::new("the answer has a part that cannot be carried")),
    }
}

/// Opaque data of Claude, if there is some.
pub(crate) fn opaque(kind: OpaqueKind, data: Option<JsonText<'_>>) -> Option<Opaque<'_>> {
    let data = data.filter(|data| !data.is_empty())?;
    Some(Opaque { vendor: Vendor::Anthropic, kind, data })
}

/// The reason behind a `stop_reason`.
pub(crate) fn stop(word: &str) -> Stop {
    match word {
        "end_turn" => Stop::EndTurn,
        "stop_sequence" => Stop::StopSequence,
        "tool_use" => Stop::ToolUse,
        "max_tokens" => Stop::MaxTokens,
        "model_context_window_exceeded" => Stop::ContextWindow,
        "pause_turn" => Stop::Pause,
        "refusal" => Stop::Refusal,
        _ => Stop::Unknown,
    }
}

// ---- writing ------------------------------------------------------------------------------------

/// The `stop_reason` of a reason.
pub(crate) fn stop_reason(stop: Stop, sequence: Option<&JsonText<'_>>) -> &'static str {
    match stop {
        Stop::ToolUse => "tool_use",
        Stop::MaxTokens => "max_tokens",
        Stop::ContextWindow => "model_context_window_exceeded",
        Stop::Pause => "pause_turn",
        Stop::Refusal | Stop::Filter => "refusal",
        // Which one is part of the word's meaning.
        Stop::StopSequence if sequence.is_some() => "stop_sequence",
        Stop::StopSequence | Stop::EndTurn | Stop::Malformed | Stop::Unknown => "end_turn",
    }
}

/// Writes a whole answer. A call that was cut off is left out: half an object is none.
pub(crate) fn write(
    answer: &Answer<'_>,
    context: &Context,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    let mut object = JsonObject::new(out);
    object.str("id", &context.ids.mint("msg_", 0));
    object.str("type", "message");
    object.str("role", "assistant");
    if answer.model.is_empty() {
        object.str("model", &context.model);
    } else {
        object.text("model", &answer.model);
    }
    {
        let mut content = object.list("content");
        let mut calls = 0;
        for part in &answer.parts {
            match &part.kind {
                PartKind::Text(text) => write_text(text, &mut content),
                PartKind::Reasoning(reasoning) => write_reasoning(reasoning, context, &mut content),
                PartKind::ToolCall(call) if answer.is_cut_before_arguments(call) => {}
                PartKind::ToolCall(call) => {
                    write_call(call, calls, answer.stop, context, &mut content)?;
                    calls += 1;
                }
                _ => {}
            }
        }
    }
    object.str("stop_reason", stop_reason(answer.stop, answer.stop_sequence.as_ref()));
    match &answer.stop_sequence {
        Some(sequence) if answer.stop == Stop::StopSequence => {
            object.text("stop_sequence", sequence);
        }
        _ => object.null("stop_sequence"),
    }
    write_usage(&answer.usage.unwrap_or_default(), &mut object.object("usage"));
    Ok(())
}

fn write_text(text: &TextPart<'_>, content: &mut JsonList<'_>) {
    if !text.text.is_blank() {
        let mut block = content.object();
        block.str("type", "text");
        block.text("text", &text.text);
    }
    if let Some(signature) = &text.signature {
        write_hidden(&carrier::encode(signature, Owner::Text), &mut content.object());
    }
}

fn write_reasoning(reasoning: &Reasoning<'_>, context: &Context, content: &mut JsonList<'_>) {
    let is_hidden =
        reasoning.opaque.as_ref().is_some_and(|opaque| opaque.kind == OpaqueKind::Hidden);
    if !(is_hidden && reasoning.text.is_empty()) {
        let mut block = content.object();
        block.str("type", "thinking");
        block.text("thinking", &reasoning.text);
        let signature = reasoning.opaque.as_ref().filter(|_| !is_hidden);
        block.str("signature", &signature_of(signature, context));
    }
    if let (true, Some(opaque)) = (is_hidden, &reasoning.opaque) {
        write_hidden(&signature_of(Some(opaque), context), &mut content.object());
    }
}

/// A block of hidden thinking, or of data in its place.
pub(crate) fn write_hidden(data: &str, block: &mut JsonObject<'_>) {
    block.str("type", "redacted_thinking");
    block.str("data", data);
}

/// The data as Anthropic's SDKs keep it: Claude's own as it is, others' in a carrier. Thinking
/// without a signature gets an empty carrier: Anthropic would refuse it without one.
pub(crate) fn signature_of(opaque: Option<&Opaque<'_>>, context: &Context) -> String {
    match opaque {
        Some(opaque) if opaque.vendor == Vendor::Anthropic => opaque.data.plain().into_owned(),
        Some(opaque) => carrier::encode(opaque, Owner::Thinking),
        None => {
            let (kind, data) = (OpaqueKind::Signature, JsonText::default());
            carrier::encode(&Opaque { vendor: context.vendor, kind, data }, Owner::Thinking)
        }
    }
}

/// The id of a call: the provider's, if it fits, else a minted one.
pub(crate) fn call_id(id: &JsonText<'_>, index: u32, context: &Context) -> String {
    if id.is_empty() {
        return context.ids.mint("toolu_", index);
    }
    ids::fit(id, IdRule::Chat, "toolu_").into_owned()
}

fn write_call(
    call: &ToolCall<'_>,
    index: u32,
    stop: Stop,
    context: &Context,
    content: &mut JsonList<'_>,
) -> Result<(), Invalid> {
    let input = match call.arguments.as_object() {
        Ok(input) => input,
        Err(_) if stop.is_cut() => return Ok(()),
        Err(_) => return Err(Invalid::new("the arguments of a call are not an object")),
    };
    if let Some(signature) = &call.signature {
        write_hidden(&carrier::encode(signature, Owner::Call), &mut content.object());
    }
    let mut block = content.object();
    block.str("type", "tool_use");
    block.str("id", &call_id(&call.id, index, context));
    block.text("name", &call.name);
    block.raw("input", &input);
    Ok(())
}

/// The fields of `usage`: cached tokens beside the input.
pub(crate) fn write_usage(usage: &TokenUsage, object: &mut JsonObject<'_>) {
    let beside = usage.cached.saturating_add(usage.cache_write);
    object.number("input_tokens", usage.input.saturating_sub(beside));
    object.number("cache_creation_input_tokens", usage.cache_write);
    object.number("cache_read_input_tokens", usage.cached);
    object.number("output_tokens", usage.output);
    if usage.cache_write > 0 {
        let mut creation = object.object("cache_creation");
        creation.number("ephemeral_1h_input_tokens", usage.cache_write_1h);
        creation.number(
            "ephemeral_5m_input_tokens",
            usage.cache_write.saturating_sub(usage.cache_write_1h),
        );
    }
    if usage.reasoning > 0 {
        object.object("output_tokens_details").number("thinking_tokens", usage.reasoning);
    }
    match usage.tier {
        ServiceTier::Standard | ServiceTier::StandardUs => object.str("service_tier", "standard"),
        ServiceTier::Priority => object.str("service_tier", "priority"),
        ServiceTier::Batch => object.str("service_tier", "batch"),
        _ => {}
    }
}
