//! Whole answers of `chat/completions`.

use serde::Deserialize;

use crate::lenient::Lenient;
use crate::reported::{ReportedUsage, Tier};
use crate::translate::Context;
use crate::translate::carrier::{self, Owner};
use crate::translate::error::Invalid;
use crate::translate::ids::{self, IdRule};
use crate::translate::json::{JsonObject, JsonText, List, Raw};
use crate::translate::neutral::{
    Answer, Arguments, Opaque, OpaqueKind, Part, PartKind, Reasoning, Stop, TextPart, ToolCall,
    Vendor,
};
use crate::translate::tools;
use crate::usage::{ServiceTier, TokenUsage};

// ---- reading ------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow, default)]
    model: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    choices: Option<List<Choice<'a>>>,
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default)]
    service_tier: Tier,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Logprobs<'a> {
    #[serde(borrow, default)]
    pub(crate) content: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    content: Option<Raw<'a>>,
    #[serde(borrow, default)]
    refusal: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<List<Call<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    custom: Option<Custom<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<ExtraContent<'a>>,
}

/// A call of a function, also a piece of one.
#[derive(Deserialize)]
pub(crate) struct Function<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<JsonText<'a>>,
}

/// A call with free text, also a piece of one.
#[derive(Deserialize)]
pub(crate) struct Custom<'a> {
    #[serde(borrow, default)]
    pub(crate) name: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) input: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct ExtraContent<'a> {
    #[serde(borrow, default)]
    google: Option<Google<'a>>,
}

#[derive(Deserialize)]
struct Google<'a> {
    #[serde(borrow, default)]
    thought_signature: Option<JsonText<'a>>,
}

impl<'a> ExtraContent<'a> {
    /// Gemini's signature, as its own endpoint for this format reports it.
    pub(crate) fn signature(self) -> Option<Opaque<'a>> {
        let data = self.google?.thought_signature.filter(|data| !data.is_empty())?;
        Some(Opaque { vendor: Vendor::Google, kind: OpaqueKind::Signature, data })
    }
}

/// Reads a whole answer.
pub(crate) fn read<'a>(body: &'a str, _: &Context) -> Result<Answer<'a>, Invalid> {
    let body: Body<'a> = serde_json::from_str(body)
        .map_err(|_| Invalid::new("the answer is not a chat completion"))?;
    let mut choices = body.choices.unwrap_or_default().0.into_iter();
    let (Some(choice), None) = (choices.next(), choices.next()) else {
        return Err(Invalid::new("the answer has not exactly one choice"));
    };
    let Some(message) = choice.message else {
        return Err(Invalid::new("the answer has no message"));
    };
    let word = choice.finish_reason.unwrap_or_default().into_plain();
    let mut answer = Answer {
        model: body.model.unwrap_or_default(),
        stop: stop(&word),
        stop_word: word,
        usage: usage(body.usage, body.service_tier),
        logprobs: choice.logprobs.and_then(|logprobs| logprobs.content),
        ..Answer::default()
    };
    read_message(message, &mut answer)?;
    Ok(answer)
}

fn read_message<'a>(message: Message<'a>, answer: &mut Answer<'a>) -> Result<(), Invalid> {
    let thinking = message.reasoning_content.or_else(|| {
        let text = message.reasoning.filter(|json| json.json().starts_with('"'));
        text.and_then(|json| text_of(&json))
    });
    if let Some(text) = thinking.filter(|text| !text.is_empty()) {
        let reasoning = Reasoning { text, opaque: None };
        answer.parts.push(Part::of_answer(PartKind::Reasoning(reasoning)));
    }
    if let Some(content) = message.content {
        read_content(&content, answer)?;
    }
    if let Some(text) = message.refusal.filter(|text| !text.is_empty()) {
        let text = TextPart { text, is_refusal: true, signature: None };
        answer.parts.push(Part::of_answer(PartKind::Text(text)));
        if answer.stop == Stop::EndTurn {
            answer.stop = Stop::Refusal;
        }
    }
    if let Some(signature) = message.extra_content.and_then(ExtraContent::signature) {
        sign_last(answer, signature);
    }
    for call in message.tool_calls.unwrap_or_default().0 {
        answer.parts.push(Part::of_answer(PartKind::ToolCall(read_call(call)?)));
    }
    if let Some(function) = message.function_call.filter(|function| function.name.is_some()) {
        let call = Call { id: None, function: Some(function), custom: None, extra_content: None };
        answer.parts.push(Part::of_answer(PartKind::ToolCall(read_call(call)?)));
    }
    Ok(())
}

/// Signs the last text, or an empty one.
fn sign_last<'a>(answer: &mut Answer<'a>, signature: Opaque<'a>) {
    match answer.parts.last_mut().map(|part| &mut part.kind) {
        Some(PartKind::Text(text)) => text.signature = Some(signature),
        _ => {
            let text = TextPart { signature: Some(signature), ..TextPart::default() };
            answer.parts.push(Part::of_answer(PartKind::Text(text)));
        }
    }
}

/// The text of a JSON string that is borrowed.
fn text_of<'a>(json: &Raw<'a>) -> Option<JsonText<'a>> {
    match json.clone().into_json() {
        std::borrow::Cow::Borrowed(json) => serde_json::from_str(json).ok(),
        std::borrow::Cow::Owned(json) => {
            serde_json::from_str::<JsonText<'_>>(&json).ok().map(JsonText::into_owned)
        }
    }
}

/// A string, or a list of texts.
fn read_content<'a>(content: &Raw<'a>, answer: &mut Answer<'a>) -> Result<(), Invalid> {
    #[derive(Deserialize)]
    struct TextOnly<'a> {
        #[serde(borrow, default)]
        text: Option<JsonText<'a>>,
    }
    let mut push = |text: JsonText<'a>| {
        if !text.is_empty() {
            answer.parts.push(Part::of_answer(PartKind::Text(TextPart::plain(text))));
        }
    };
    if let Some(text) = text_of(content) {
        push(text);
        return Ok(());
    }
    let List(parts) = content
        .read::<List<TextOnly<'_>>>()
        .map_err(|_| Invalid::new("the answer's content is neither text nor a list"))?;
    for part in parts {
        match part.text {
            Some(text) => push(text.into_owned()),
            None => return Err(Invalid::new("the answer has a part that cannot be carried")),
        }
    }
    Ok(())
}

fn read_call(call: Call<'_>) -> Result<ToolCall<'_>, Invalid> {
    let signature = call.extra_content.and_then(ExtraContent::signature);
    let (name, arguments) = match (call.function, call.custom) {
        (Some(function), _) => {
            (function.name, Arguments::Text(function.arguments.unwrap_or_default()))
        }
        (None, Some(custom)) => (custom.name, Arguments::Custom(custom.input.unwrap_or_default())),
        (None, None) => (None, Arguments::Text(JsonText::default())),
    };
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Invalid::new("the answer has a call without a name"));
    };
    Ok(ToolCall { id: call.id.unwrap_or_default(), name, arguments, signature })
}

/// The reason behind a `finish_reason`.
pub(crate) fn stop(word: &str) -> Stop {
    match word {
        "stop" => Stop::EndTurn,
        "tool_calls" | "function_call" => Stop::ToolUse,
        "length" => Stop::MaxTokens,
        "content_filter" => Stop::Filter,
        _ => Stop::Unknown,
    }
}

/// The usage in an answer or a chunk.
pub(crate) fn usage(usage: Lenient<ReportedUsage>, tier: Tier) -> Option<TokenUsage> {
    let usage = usage.0?.with_hidden_reasoning()?;
    let is_told = usage.tier != ServiceTier::Unknown;
    Some(if is_told { usage } else { TokenUsage { tier: tier.0, ..usage } })
}

// ---- writing ------------------------------------------------------------------------------------

/// The `finish_reason` of a reason. Five words only: SDKs have closed sets.
pub(crate) const fn finish_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::ToolUse => "tool_calls",
        Stop::MaxTokens | Stop::ContextWindow => "length",
        Stop::Refusal | Stop::Filter => "content_filter",
        Stop::EndTurn | Stop::StopSequence | Stop::Pause | Stop::Malformed | Stop::Unknown => {
            "stop"
        }
    }
}

/// Writes a whole answer.
pub(crate) fn write(
    answer: &Answer<'_>,
    context: &Context,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    let mut object = JsonObject::new(out);
    object.str("id", &context.ids.mint("chatcmpl-", 0));
    object.str("object", "chat.completion");
    object.number("created", context.created);
    if answer.model.is_empty() {
        object.str("model", &context.model);
    } else {
        object.text("model", &answer.model);
    }
    {
        let mut choices = object.list("choices");
        let mut choice = choices.object();
        choice.number("index", 0);
        write_message(answer, context, &mut choice.object("message"));
        match &answer.logprobs {
            Some(content) => choice.object("logprobs").raw("content", content),
            None => choice.null("logprobs"),
        }
        choice.str("finish_reason", finish_reason(answer.stop));
    }
    if let Some(usage) = &answer.usage {
        write_usage(usage, &mut object.object("usage"));
        write_tier(usage, &mut object);
    }
    Ok(())
}

fn write_message(answer: &Answer<'_>, context: &Context, message: &mut JsonObject<'_>) {
    let mut said = Said::default();
    for part in &answer.parts {
        match &part.kind {
            PartKind::Text(text) if text.is_refusal => said.refusal.push(&text.text),
            PartKind::Text(text) => {
                said.texts.push(&text.text);
                said.signature = text.signature.as_ref().or(said.signature);
            }
            PartKind::Reasoning(reasoning) => said.thinking.push((said.calls.len(), reasoning)),
            PartKind::ToolCall(call) => said.calls.push(call),
            _ => {}
        }
    }
    if answer.stop == Stop::Refusal && said.refusal.is_empty() {
        said.refusal.extend(answer.refusal.as_ref());
    }
    message.str("role", "assistant");
    if said.texts.is_empty() && !(said.calls.is_empty() && said.refusal.is_empty()) {
        message.null("content");
    } else {
        message.joined("content", &said.texts);
    }
    if said.refusal.is_empty() {
        message.null("refusal");
    } else {
        message.joined("refusal", &said.refusal);
    }
    write_thinking(&said.thinking, message);
    if !said.calls.is_empty() {
        let mut list = message.list("tool_calls");
        for (index, call) in said.calls.iter().enumerate() {
            let is_cut = answer.is_cut_before_arguments(call);
            write_call(call, index, is_cut, context, &mut list.object());
        }
    }
    if let Some(signature) = said.signature {
        write_signature(signature, message);
    }
}

/// The parts of a message by their kind.
#[derive(Default)]
struct Said<'s, 'a> {
    texts: Vec<&'s JsonText<'a>>,
    refusal: Vec<&'s JsonText<'a>>,
    /// With the number of calls before each.
    thinking: Vec<(usize, &'s Reasoning<'a>)>,
    calls: Vec<&'s ToolCall<'a>>,
    signature: Option<&'s Opaque<'a>>,
}

/// The text of the thinking, and the blocks that a provider wants back.
fn write_thinking(thinking: &[(usize, &Reasoning<'_>)], message: &mut JsonObject<'_>) {
    let texts: Vec<&JsonText<'_>> = thinking
        .iter()
        .map(|(_, reasoning)| &reasoning.text)
        .filter(|text| !text.is_empty())
        .collect();
    if !texts.is_empty() {
        message.joined("reasoning_content", &texts);
    }
    if thinking.iter().any(|(_, reasoning)| reasoning.opaque.is_some()) {
        let mut list = message.list("thinking_blocks");
        for (calls, reasoning) in thinking {
            if let Some(opaque) = &reasoning.opaque {
                write_block(&reasoning.text, opaque, *calls, &mut list.object());
            }
        }
    }
}

/// An entry of `thinking_blocks`. `calls`: those that stand before it.
pub(crate) fn write_block(
    text: &JsonText<'_>,
    opaque: &Opaque<'_>,
    calls: usize,
    block: &mut JsonObject<'_>,
) {
    let data = match opaque.vendor {
        Vendor::Anthropic => opaque.data.borrow(),
        _ => JsonText::from_plain(carrier::encode(opaque, Owner::Thinking)),
    };
    match opaque.kind {
        OpaqueKind::Signature => {
            block.str("type", "thinking");
            block.text("thinking", text);
            block.text("signature", &data);
        }
        OpaqueKind::Hidden => {
            block.str("type", "redacted_thinking");
            block.text("data", &data);
        }
    }
    if calls > 0 {
        block.number("after_calls", calls as u64);
    }
}

/// Gemini's signature, as its own endpoint for this format reports it.
pub(crate) fn write_signature(signature: &Opaque<'_>, object: &mut JsonObject<'_>) {
    if signature.vendor == Vendor::Google {
        let mut extra = object.object("extra_content");
        extra.object("google").text("thought_signature", &signature.data);
    }
}

/// The id of a call: the provider's, if it fits, else a minted one.
pub(crate) fn call_id(id: &JsonText<'_>, index: usize, context: &Context) -> String {
    if id.is_empty() {
        return context.ids.mint("call_", u32::try_from(index).unwrap_or(u32::MAX));
    }
    ids::fit(id, IdRule::Chat, "call_").into_owned()
}

/// `is_cut`: the answer ended before the arguments began.
fn write_call(
    call: &ToolCall<'_>,
    index: usize,
    is_cut: bool,
    context: &Context,
    object: &mut JsonObject<'_>,
) {
    object.str("id", &call_id(&call.id, index, context));
    if context.is_custom(&call.name) {
        object.str("type", "custom");
        let mut custom = object.object("custom");
        custom.text("name", &call.name);
        match &call.arguments {
            Arguments::Custom(input) => custom.text("input", input),
            arguments => custom.text("input", &tools::free_text(&arguments.as_text().plain())),
        }
    } else {
        object.str("type", "function");
        let mut function = object.object("function");
        function.text("name", &call.name);
        if is_cut {
            function.str("arguments", "");
        } else {
            function.text("arguments", &call.arguments.as_text());
        }
    }
    if let Some(signature) = &call.signature {
        write_signature(signature, object);
    }
}

/// The fields of `usage`.
pub(crate) fn write_usage(usage: &TokenUsage, object: &mut JsonObject<'_>) {
    object.number("prompt_tokens", usage.input);
    object.number("completion_tokens", usage.output);
    object.number("total_tokens", usage.input.saturating_add(usage.output));
    {
        let mut details = object.object("prompt_tokens_details");
        details.number("cached_tokens", usage.cached);
        details.number("cache_write_tokens", usage.cache_write);
        details.number("audio_tokens", usage.audio_input);
    }
    let mut details = object.object("completion_tokens_details");
    details.number("reasoning_tokens", usage.reasoning);
    details.number("audio_tokens", usage.audio_output);
}

/// The tier of service, in OpenAI's words.
pub(crate) fn write_tier(usage: &TokenUsage, object: &mut JsonObject<'_>) {
    let word = match usage.tier {
        ServiceTier::Standard | ServiceTier::StandardUs => "default",
        ServiceTier::Flex => "flex",
        ServiceTier::Priority => "priority",
        ServiceTier::Scale => "scale",
        _ => return,
    };
    object.str("service_tier", word);
}
