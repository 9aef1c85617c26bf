//! Reads the fields beside the messages.

use crate::translate::Operation;
use crate::translate::json::Number;
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, OutputFormat, Request, Thinking, Tier};
use crate::translate::read::{effort, whole};

use super::fields::{self, Body};
use super::{blocks, read_tools};

/// Reads everything but the messages.
pub(crate) fn read<'a>(
    mut body: Body<'a>,
    operation: Operation,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    refuse_promises(&body)?;
    if body.speed.take().is_some_and(|speed| !speed.is("standard")) {
        losses.drop_field("speed");
    }
    read_tools::read(&mut body, request, losses)?;
    request.model = body.model.take().unwrap_or_default();
    request.stream = body.stream.unwrap_or(false);
    request.max_tokens = read_max_tokens(body.max_tokens.take(), operation)?;
    request.temperature = Field::some("temperature", body.temperature.take());
    request.top_p = Field::some("top_p", body.top_p.take());
    request.top_k = Field::some("top_k", body.top_k.take());
    let stops = body.stop_sequences.take().map(|list| list.0).filter(|stops| !stops.is_empty());
    request.stop = Field::some("stop_sequences", stops);
    read_thinking(body.thinking.take(), request, losses)?;
    read_output(&mut body, request, losses)?;
    if let Some(metadata) = body.metadata.take() {
        losses.drop_unknown("metadata.", &metadata.unknown);
        request.safety_identifier = Field::some("metadata.user_id", metadata.user_id);
    }
    request.service_tier = Field::some(
        "service_tier",
        body.service_tier.take().map(|word| match &*word.plain() {
            "auto" => Tier::Auto,
            "standard_only" => Tier::Default,
            _ => Tier::Other,
        }),
    );
    request.cache = Field::some("cache_control", blocks::cache_mark(body.cache_control.take()));
    Ok(())
}

/// Options that would change the answer, or the place that it comes from.
fn refuse_promises(body: &Body<'_>) -> Result<(), Refused> {
    let has_servers = body.mcp_servers.as_ref().is_some_and(|servers| !servers.0.is_empty());
    for (name, is_given, text) in [
        (
            "container",
            body.container.is_some(),
            "the model's provider has no containers of Anthropic",
        ),
        ("mcp_servers", has_servers, "the model's provider does not call MCP servers"),
        (
            "inference_geo",
            body.inference_geo.as_ref().is_some_and(|place| !place.is("global")),
            "the model's provider cannot promise where the answer is computed",
        ),
    ] {
        if is_given {
            return Err(Refused::unsupported(name, text));
        }
    }
    Ok(())
}

fn read_max_tokens(
    number: Option<Number<'_>>,
    operation: Operation,
) -> Result<Option<Field<u64>>, Refused> {
    let name = "max_tokens";
    match (number, operation) {
        (Some(number), _) => whole(name, &number).map(Some),
        (None, Operation::CountTokens) => Ok(None),
        (None, Operation::Generate) => Err(Refused::invalid(name, "`max_tokens` is missing")),
    }
}

fn read_thinking(
    thinking: Option<fields::Thinking<'_>>,
    request: &mut Request<'_>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let Some(thinking) = thinking else { return Ok(()) };
    losses.drop_unknown("thinking.", &thinking.unknown);
    let value = match &*thinking.kind.unwrap_or_default().plain() {
        "disabled" => Thinking::Disabled,
        "adaptive" => Thinking::Adaptive,
        "between_tools" => Thinking::BetweenTools,
        "enabled" => match thinking.budget_tokens.and_then(|tokens| tokens.as_u64()) {
            Some(tokens) => Thinking::Budget(tokens),
            None => {
                let text = "`thinking.budget_tokens` is missing, or not a whole number";
                return Err(Refused::invalid("thinking.budget_tokens", text));
            }
        },
        _ => return Err(Refused::invalid("thinking.type", "`thinking.type` is not a known word")),
    };
    request.thinking = Some(Field { name: "thinking", value });
    request.show_thinking = thinking
        .display
        .map(|display| Field { name: "thinking.display", value: !display.is("omitted") });
    Ok(())
}

fn read_output<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let mut format = Field::some("output_format", body.output_format.take());
    if let Some(config) = body.output_config.take() {
        losses.drop_unknown("output_config.", &config.unknown);
        if let Some(word) = config.effort {
            request.effort = Some(effort("output_config.effort", &word)?);
        }
        format = Field::some("output_config.format", config.format).or(format);
    }
    let Some(Field { name, value: format }) = format else { return Ok(()) };
    if format.kind.is_none_or(|kind| !kind.is("json_schema")) {
        return Err(Refused::unsupported(name, format!("`{name}` has a type that is not known")));
    }
    let value = OutputFormat::JsonSchema {
        name: None,
        description: None,
        schema: format.schema,
        strict: None,
    };
    request.output = Some(Field { name, value });
    Ok(())
}
