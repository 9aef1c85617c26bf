//! Reads the fields beside `messages`: tools, options, and those that no target can express.

use serde_json::value::RawValue;

use crate::translate::json::{JsonText, List, Number};
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, OutputFormat, Request, Tool, ToolChoice, ToolKind};
use crate::translate::openai::tier;
use crate::translate::read::{effort, parse, whole};

use super::fields::{self, Body};

/// Reads everything but the messages.
pub(crate) fn read<'a>(
    mut body: Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    refuse_sound(&body)?;
    note_inexpressible(&body, losses);
    read_tools(&mut body, request, losses)?;
    request.model = body.model.take().unwrap_or_default();
    request.stream = body.stream.unwrap_or(false);
    if let Some(options) = body.stream_options.take() {
        request.include_usage = options.include_usage.unwrap_or(false);
        losses.drop_unknown("stream_options.", &options.unknown);
    }
    request.parallel_tool_calls = Field::some("parallel_tool_calls", body.parallel_tool_calls);
    request.output = read_output(&mut body, losses)?;
    request.max_tokens = whole_field("max_completion_tokens", body.max_completion_tokens.take())?;
    if request.max_tokens.is_none() {
        request.max_tokens = whole_field("max_tokens", body.max_tokens.take())?;
    }
    request.temperature = Field::some("temperature", body.temperature.take());
    request.top_p = Field::some("top_p", body.top_p.take());
    request.top_k = Field::some("top_k", body.top_k.take());
    request.stop = read_stop(body.stop.take())?;
    request.n = whole_field("n", body.n.take())?.filter(|n| n.value != 1);
    request.seed = Field::some("seed", body.seed.take());
    request.presence_penalty = Field::some("presence_penalty", body.presence_penalty.take());
    request.frequency_penalty = Field::some("frequency_penalty", body.frequency_penalty.take());
    request.logprobs = Field::some("logprobs", body.logprobs.filter(|wanted| *wanted));
    request.top_logprobs = whole_field("top_logprobs", body.top_logprobs.take())?;
    let word = body.reasoning_effort.take();
    request.effort = word.map(|word| effort("reasoning_effort", &word)).transpose()?;
    request.user = Field::some("user", body.user.take());
    request.safety_identifier = Field::some("safety_identifier", body.safety_identifier.take());
    request.metadata = Field::some("metadata", body.metadata.take());
    request.service_tier = Field::some("service_tier", body.service_tier.take().as_ref().map(tier));
    request.verbosity = Field::some("verbosity", body.verbosity.take());
    request.prompt_cache_key = Field::some("prompt_cache_key", body.prompt_cache_key.take());
    Ok(())
}

/// Sound and search cannot be left out: the question is about them.
fn refuse_sound(body: &Body<'_>) -> Result<(), Refused> {
    let has_sound = |words: &List<JsonText<'_>>| words.0.iter().any(|word| word.is("audio"));
    let (name, what) = if body.modalities.as_ref().is_some_and(has_sound) {
        ("modalities", "answers in sound")
    } else if body.audio.is_some() {
        ("audio", "answers in sound")
    } else if body.web_search_options.is_some() {
        ("web_search_options", "a search of the web")
    } else {
        return Ok(());
    };
    Err(Refused::unsupported(
        name,
        format!("the model's provider does not offer {what} in this form"),
    ))
}

/// Notes the fields that no other format has.
fn note_inexpressible(body: &Body<'_>, losses: &mut Losses) {
    for (name, is_given) in [
        ("logit_bias", body.logit_bias.as_ref().is_some_and(|bias| bias.json() != "{}")),
        ("prediction", body.prediction.is_some()),
        ("moderation", body.moderation.is_some()),
        ("store", body.store == Some(true)),
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

fn whole_field(
    name: &'static str,
    number: Option<Number<'_>>,
) -> Result<Option<Field<u64>>, Refused> {
    number.map(|number| whole(name, &number)).transpose()
}

/// A string, or a list of strings.
fn read_stop(json: Option<&RawValue>) -> Result<Option<Field<Vec<JsonText<'_>>>>, Refused> {
    let Some(json) = json else { return Ok(None) };
    let texts = if json.get().starts_with('"') {
        vec![parse(json, "stop")?]
    } else {
        parse::<List<JsonText<'_>>>(json, "stop")?.0
    };
    Ok((!texts.is_empty()).then_some(Field { name: "stop", value: texts }))
}

fn read_output<'a>(
    body: &mut Body<'a>,
    losses: &mut Losses,
) -> Result<Option<Field<OutputFormat<'a>>>, Refused> {
    let Some(format) = body.response_format.take() else { return Ok(None) };
    losses.drop_unknown("response_format.", &format.unknown);
    let value = match &*format.kind.unwrap_or_default().plain() {
        "text" => return Ok(None),
        "json_object" => OutputFormat::JsonObject,
        "json_schema" => {
            let schema = format.json_schema.unwrap_or_default();
            losses.drop_unknown("response_format.json_schema.", &schema.unknown);
            OutputFormat::JsonSchema {
                name: schema.name,
                description: Field::some(
                    "response_format.json_schema.description",
                    schema.description,
                ),
                schema: schema.schema,
                strict: schema.strict,
            }
        }
        _ => {
            let text = "`response_format.type` is none of text, json_object, json_schema";
            return Err(Refused::unsupported("response_format", text));
        }
    };
    Ok(Some(Field { name: "response_format", value }))
}

// ---- tools --------------------------------------------------------------------------------------

fn read_tools<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    for (index, json) in body.tools.take().unwrap_or_default().0.into_iter().enumerate() {
        let tool: fields::Tool<'a> = parse(json, format_args!("tools[{index}]"))?;
        let kind = read_tool(tool, index, losses)?;
        request.tools.push(Tool { index, kind, cache: None });
    }
    for (index, json) in body.functions.take().unwrap_or_default().0.into_iter().enumerate() {
        let place = format!("functions[{index}]");
        let function: fields::Function<'a> = parse(json, &place)?;
        let kind = read_function(function, &place, losses)?;
        request.tools.push(Tool { index, kind, cache: None });
    }
    let choice = match (body.tool_choice.take(), body.function_call.take()) {
        (Some(json), _) => Field::some("tool_choice", Some(read_choice(json, "tool_choice")?)),
        (None, Some(json)) => {
            Field::some("function_call", Some(read_choice(json, "function_call")?))
        }
        (None, None) => None,
    };
    request.tool_choice = choice;
    Ok(())
}

fn read_tool<'a>(
    tool: fields::Tool<'a>,
    index: usize,
    losses: &mut Losses,
) -> Result<ToolKind<'a>, Refused> {
    let place = format!("tools[{index}]");
    let kind = tool.kind.unwrap_or_else(|| JsonText::literal("function"));
    match (&*kind.plain(), tool.function, tool.custom) {
        ("function", Some(function), _) => {
            losses.drop_unknown(&format!("{place}."), &tool.unknown);
            read_function(function, &format!("{place}.function"), losses)
        }
        ("custom", _, Some(custom)) => {
            losses.drop_unknown(&format!("{place}."), &tool.unknown);
            losses.drop_unknown(&format!("{place}.custom."), &custom.unknown);
            let Some(name) = custom.name else {
                return Err(Refused::invalid(&*place, format!("`{place}` has no name")));
            };
            Ok(ToolKind::Custom {
                name,
                description: custom.description.filter(|text| !text.is_blank()),
                // Free text is the form of all such tools.
                grammar: Field::some(
                    "custom.format",
                    custom.format.filter(|format| !format.json().contains("\"text\"")),
                ),
            })
        }
        ("function" | "custom", _, _) => Err(Refused::invalid(
            &*place,
            format!("`{place}` has nothing under the name of its type"),
        )),
        (kind, _, _) => Ok(ToolKind::Hosted { kind: kind.to_owned().into(), name: tool.name }),
    }
}

fn read_function<'a>(
    function: fields::Function<'a>,
    place: &str,
    losses: &mut Losses,
) -> Result<ToolKind<'a>, Refused> {
    losses.drop_unknown(&format!("{place}."), &function.unknown);
    let Some(name) = function.name else {
        return Err(Refused::invalid(place, format!("`{place}` has no name")));
    };
    Ok(ToolKind::Function {
        name,
        description: function.description.filter(|text| !text.is_blank()),
        schema: function.parameters,
        strict: function.strict.filter(|strict| *strict).map(|_| "function.strict"),
    })
}

fn read_choice<'a>(json: &'a RawValue, name: &str) -> Result<ToolChoice<'a>, Refused> {
    let refused = || Refused::invalid(name, format!("`{name}` is not a choice of a tool"));
    if json.get().starts_with('"') {
        let word: JsonText<'a> = parse(json, name)?;
        return match &*word.plain() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(refused()),
        };
    }
    let choice: fields::Choice<'a> = parse(json, name)?;
    if let Some(allowed) = choice.allowed_tools {
        let entries = allowed.tools.unwrap_or_default().0;
        let names: Vec<JsonText<'a>> = entries.into_iter().filter_map(named).collect();
        let is_required = allowed.mode.is_some_and(|mode| mode.is("required"));
        return Ok(ToolChoice::Allowed { names, is_required });
    }
    let is_hosted = choice.function.is_none() && choice.custom.is_none() && choice.name.is_none();
    match (is_hosted, choice.kind.clone()) {
        // `{"type": "web_search"}`.
        (true, Some(kind)) => Ok(ToolChoice::Named(kind)),
        _ => named(choice).map(ToolChoice::Named).ok_or_else(refused),
    }
}

fn named<'a>(choice: fields::Choice<'a>) -> Option<JsonText<'a>> {
    choice.function.or(choice.custom).and_then(|named| named.name).or(choice.name)
}
