//! Reads whole answers, and what chunks have in common with them.

use serde::Deserialize;

use crate::gemini_usage::GeminiUsage;
use crate::lenient::{Count, Lenient};
use crate::translate::Context;
use crate::translate::error::Invalid;
use crate::translate::json::{JsonObject, JsonText, List, Number, Raw, object};
use crate::translate::neutral::{
    Answer, Arguments, Opaque, OpaqueKind, Part, PartKind, Reasoning, Stop, TextPart, ToolCall,
    Vendor,
};

/// A whole answer, or a chunk of one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Body<'a> {
    #[serde(borrow, default)]
    pub(crate) candidates: Option<List<Candidate<'a>>>,
    #[serde(borrow, default)]
    pub(crate) prompt_feedback: Option<PromptFeedback<'a>>,
    #[serde(default)]
    pub(crate) usage_metadata: Lenient<GeminiUsage>,
    #[serde(borrow, default)]
    pub(crate) model_version: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) error: Option<Raw<'a>>,
}

/// Why the prompt was not answered.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PromptFeedback<'a> {
    #[serde(borrow, default)]
    pub(crate) block_reason: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate<'a> {
    #[serde(default)]
    pub(crate) index: Count,
    #[serde(borrow, default)]
    pub(crate) content: Option<Content<'a>>,
    #[serde(borrow, default)]
    pub(crate) finish_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    pub(crate) logprobs_result: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct Content<'a> {
    #[serde(borrow, default)]
    pub(crate) parts: Option<List<Given<'a>>>,
}

object! {
    /// A part, of any kind.
    pub(crate) struct Given<'a> {
        "text" => text: JsonText<'a>,
        "thought" => thought: bool,
        "thoughtSignature" => thought_signature: JsonText<'a>,
        "functionCall" => function_call: FunctionCall<'a>,
        "partMetadata" => part_metadata: Raw<'a>,
        "videoMetadata" => video_metadata: Raw<'a>,
        "mediaResolution" => media_resolution: Raw<'a>,
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct FunctionCall<'a> {
    #[serde(borrow, default)]
    id: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    name: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    args: Option<Raw<'a>>,
}

/// Reads a whole answer.
pub(crate) fn read<'a>(body: &'a str, _: &Context) -> Result<Answer<'a>, Invalid> {
    let body: Body<'a> = serde_json::from_str(body)
        .map_err(|_| Invalid::new("the answer is not one of generateContent"))?;
    let mut answer = Answer {
        model: body.model_version.unwrap_or_default(),
        usage: body.usage_metadata.0.and_then(|usage| usage.tokens()),
        ..Answer::default()
    };
    let mut candidates = body.candidates.unwrap_or_default().0.into_iter();
    let Some(candidate) = candidates.next() else {
        // The prompt itself was blocked: an answer without content.
        let reason = body.prompt_feedback.and_then(|feedback| feedback.block_reason);
        let Some(reason) = reason else {
            return Err(Invalid::new("the answer has no candidate"));
        };
        answer.stop = Stop::Filter;
        answer.stop_word = reason.into_plain();
        return Ok(answer);
    };
    if candidates.next().is_some() {
        return Err(Invalid::new("the answer has more than one candidate"));
    }
    answer.stop_word = candidate.finish_reason.unwrap_or_default().into_plain();
    answer.stop = stop(&answer.stop_word);
    let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
    for given in parts.0 {
        answer.parts.extend(read_part(given)?.map(Part::of_answer));
    }
    answer.logprobs = candidate.logprobs_result.and_then(logprobs);
    Ok(answer)
}

/// Reads a part; nothing, if it is empty.
pub(crate) fn read_part(given: Given<'_>) -> Result<Option<PartKind<'_>>, Invalid> {
    let signature = given.thought_signature.filter(|data| !data.is_empty()).map(|data| Opaque {
        vendor: Vendor::Google,
        kind: OpaqueKind::Signature,
        data,
    });
    if let Some(call) = given.function_call {
        return read_call(call, signature).map(|call| Some(PartKind::ToolCall(call)));
    }
    if given.text.is_none() && !given.unknown.is_empty() {
        return Err(Invalid::new("the answer has a part that cannot be carried"));
    }
    let text = given.text.unwrap_or_default();
    if text.is_empty() && signature.is_none() {
        return Ok(None);
    }
    Ok(Some(if given.thought == Some(true) {
        PartKind::Reasoning(Reasoning { text, opaque: signature })
    } else {
        PartKind::Text(TextPart { text, is_refusal: false, signature })
    }))
}

fn read_call<'a>(
    call: FunctionCall<'a>,
    signature: Option<Opaque<'a>>,
) -> Result<ToolCall<'a>, Invalid> {
    let Some(name) = call.name.filter(|name| !name.is_empty()) else {
        return Err(Invalid::new("the answer has a call without a name"));
    };
    let arguments = match call.args {
        Some(args) if args.is_object() => Arguments::Object(args),
        Some(_) => return Err(Invalid::new("the arguments of a call are not an object")),
        // None is the empty object: a call is never in pieces.
        None => Arguments::Object(Raw::trusted("{}")),
    };
    Ok(ToolCall { id: call.id.unwrap_or_default(), name, arguments, signature })
}

/// The reason behind a `finishReason`.
pub(crate) fn stop(word: &str) -> Stop {
    match word {
        "STOP" => Stop::EndTurn,
        "MAX_TOKENS" | "CONTINUATION" => Stop::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => Stop::Filter,
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "NO_IMAGE" => Stop::Malformed,
        word if word.starts_with("IMAGE_") => Stop::Filter,
        _ => Stop::Unknown,
    }
}

/// Reads the answer to a count of tokens.
pub(crate) fn read_count(body: &[u8]) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Counted {
        #[serde(default)]
        total_tokens: Count,
    }
    serde_json::from_slice::<Counted>(body).ok()?.total_tokens.0
}

// ---- log probabilities --------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Logprobs<'a> {
    #[serde(borrow, default)]
    chosen_candidates: Option<List<Token<'a>>>,
    #[serde(borrow, default)]
    top_candidates: Option<List<Top<'a>>>,
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow, default)]
    candidates: Option<List<Token<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow, default)]
    token: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    log_probability: Option<Number<'a>>,
}

/// The list in OpenAI's form; `None` if there is none.
pub(crate) fn logprobs(result: Logprobs<'_>) -> Option<Raw<'static>> {
    let chosen = result.chosen_candidates?.0;
    let mut top = result.top_candidates.unwrap_or_default().0.into_iter();
    let mut content = Vec::new();
    {
        let mut list = crate::translate::json::JsonList::new(&mut content);
        for token in &chosen {
            let mut object = list.object();
            write_token(token, &mut object);
            let others = top.next().and_then(|top| top.candidates).unwrap_or_default().0;
            let mut list = object.list("top_logprobs");
            others.iter().for_each(|token| write_token(token, &mut list.object()));
        }
    }
    let is_empty = chosen.is_empty();
    String::from_utf8(content).ok().filter(|_| !is_empty).map(Raw::trusted)
}

fn write_token(token: &Token<'_>, object: &mut JsonObject<'_>) {
    let text = token.token.clone().unwrap_or_default();
    object.text("token", &text);
    match &token.log_probability {
        Some(number) => object.carried_number("logprob", number),
        // Zero is left out.
        None => object.number("logprob", 0),
    }
    let bytes: Vec<String> = text.plain().bytes().map(|byte| byte.to_string()).collect();
    object.json("bytes", &format!("[{}]", bytes.join(",")));
}
