//! Reads the fields beside `input` and `tools`, and those that no target can express.

use serde_json::value::RawValue;

use crate::translate::json::Raw;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, OutputFormat, Request};
use crate::translate::openai::tier;
use crate::translate::read::{effort, parse, whole};

use super::fields::{Body, Reasoning, TextFormat, TextOptions};

const STORED: &str =
    "the model's provider does not keep answers; send the items of the conversation in `input`";

/// Refuses requests that need the store of OpenAI.
pub(crate) fn refuse_state(body: &Body<'_>) -> Result<(), Refused> {
    for (name, is_given, text) in [
        ("previous_response_id", body.previous_response_id.is_some(), STORED),
        ("conversation", body.conversation.is_some(), STORED),
        (
            "prompt",
            body.prompt.is_some(),
            "the model's provider does not keep prompts; send the text in `instructions`",
        ),
        (
            "background",
            body.background == Some(true),
            "the model's provider does not keep answers, so they cannot be fetched later",
        ),
    ] {
        if is_given {
            return Err(Refused::unsupported(name, text));
        }
    }
    Ok(())
}

/// Reads everything but the items and the tools.
pub(crate) fn read<'a>(
    mut body: Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    note_inexpressible(&body, losses);
    request.model = body.model.take().unwrap_or_default();
    request.stream = body.stream.unwrap_or(false);
    if let Some(options) = body.stream_options.take() {
        losses.drop_unknown("stream_options.", &options.unknown);
    }
    if let Some(parallel) = body.parallel_tool_calls {
        let json = if parallel { "true" } else { "false" };
        request.echo.push(("parallel_tool_calls", Raw::trusted(json)));
    }
    request.parallel_tool_calls = Field::some("parallel_tool_calls", body.parallel_tool_calls);
    request.max_tokens = match echoed("max_output_tokens", body.max_output_tokens, request)? {
        Some(number) => Some(whole("max_output_tokens", &number)?),
        None => None,
    };
    request.temperature =
        Field::some("temperature", echoed("temperature", body.temperature, request)?);
    request.top_p = Field::some("top_p", echoed("top_p", body.top_p, request)?);
    request.user = Field::some("user", echoed("user", body.user, request)?);
    request.safety_identifier = Field::some(
        "safety_identifier",
        echoed("safety_identifier", body.safety_identifier, request)?,
    );
    request.metadata = Field::some("metadata", echoed("metadata", body.metadata, request)?);
    request.prompt_cache_key = Field::some(
        "prompt_cache_key",
        echoed("prompt_cache_key", body.prompt_cache_key, request)?,
    );
    request.service_tier = Field::some("service_tier", body.service_tier.take().as_ref().map(tier));
    if let Some(reasoning) = echoed("reasoning", body.reasoning, request)? {
        read_reasoning(reasoning, request, losses)?;
    }
    if let Some(text) = echoed("text", body.text, request)? {
        read_text(text, request, losses)?;
    }
    read_logprobs(&mut body, request, losses)
}

/// Reads a field, and keeps it for the answer.
fn echoed<'a, T: serde::Deserialize<'a>>(
    name: &'static str,
    json: Option<&'a RawValue>,
    request: &mut Request<'a>,
) -> Result<Option<T>, Refused> {
    let Some(json) = json else { return Ok(None) };
    let value = parse(json, name)?;
    request.echo.push((name, Raw::trusted(json.get())));
    Ok(Some(value))
}

/// Notes the fields that no other format has.
fn note_inexpressible(body: &Body<'_>, losses: &mut Losses) {
    let is_empty = |json: &str| matches!(json, "[]" | "{}");
    for (name, is_given) in [
        ("store", body.store == Some(true)),
        ("truncation", body.truncation.as_ref().is_some_and(|word| !word.is("disabled"))),
        ("max_tool_calls", body.max_tool_calls.is_some()),
        (
            "context_management",
            body.context_management.as_ref().is_some_and(|list| !is_empty(list.json())),
        ),
        ("background_options", body.background_options.is_some()),
        ("moderation", body.moderation.is_some()),
        ("access_programs", body.access_programs.is_some()),
        ("image", body.image.is_some()),
    ] {
        if is_given {
            losses.drop_field(name);
        }
    }
    for (name, is_given) in [
        ("prompt_cache_options", body.prompt_cache_options.is_some()),
        ("prompt_cache_retention", body.prompt_cache_retention.is_some()),
    ] {
        if is_given {
            losses.drop_hint(name);
        }
    }
}

fn read_reasoning(
    reasoning: Reasoning<'_>,
    request: &mut Request<'_>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    losses.drop_unknown("reasoning.", &reasoning.unknown);
    if let Some(word) = reasoning.effort {
        request.effort = Some(effort("reasoning.effort", &word)?);
    }
    request.show_thinking = match (reasoning.summary, reasoning.generate_summary) {
        (Some(_), _) => Some(Field { name: "reasoning.summary", value: true }),
        (None, Some(_)) => Some(Field { name: "reasoning.generate_summary", value: true }),
        (None, None) => None,
    };
    if reasoning.context.is_some_and(|word| !word.is("auto")) {
        losses.drop_field("reasoning.context");
    }
    if reasoning.mode.is_some_and(|word| !word.is("standard")) {
        losses.drop_field("reasoning.mode");
    }
    Ok(())
}

fn read_text<'a>(
    text: TextOptions<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    losses.drop_unknown("text.", &text.unknown);
    request.verbosity = Field::some("text.verbosity", text.verbosity);
    let Some(format) = text.format else { return Ok(()) };
    losses.drop_unknown("text.format.", &format.unknown);
    let TextFormat { kind, name, description, schema, strict, .. } = format;
    let value = match &*kind.unwrap_or_default().plain() {
        "text" => return Ok(()),
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => {
            let description = Field::some("text.format.description", description);
            OutputFormat::JsonSchema { name, description, schema, strict }
        }
        _ => {
            let text = "`text.format.type` is none of text, json_object, json_schema";
            return Err(Refused::unsupported("text.format", text));
        }
    };
    request.output = Some(Field { name: "text.format", value });
    Ok(())
}

/// Reads what else the answer is to hold. Log probabilities are asked for by their name, or by the
/// number of alternatives.
fn read_logprobs<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    for word in body.include.take().unwrap_or_default().0 {
        match &*word.plain() {
            "message.output_text.logprobs" => {
                request.logprobs = Some(Field { name: "include", value: true });
            }
            // Carriers stand in every answer.
            "reasoning.encrypted_content" => {}
            _ => losses.drop_field("include"),
        }
    }
    let top = body.top_logprobs.take().map(|number| whole("top_logprobs", &number)).transpose()?;
    request.top_logprobs = top.filter(|top| top.value > 0);
    if request.top_logprobs.is_some() && request.logprobs.is_none() {
        request.logprobs = Some(Field { name: "top_logprobs", value: true });
    }
    if request.logprobs.is_some() {
        let top = request.top_logprobs.as_ref().map_or(0, |top| top.value);
        request.echo.push(("top_logprobs", Raw::trusted(top.to_string())));
    }
    Ok(())
}
