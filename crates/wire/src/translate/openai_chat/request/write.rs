//! Writes a request.

use std::borrow::Cow;

use crate::translate::ids;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::model::ThinkingForm;
use crate::translate::neutral::{
    Effort, OutputFormat, Request, Thinking, Tier, Tool, ToolChoice, ToolKind,
};
use crate::translate::schema::{self, Dialect};
use crate::translate::{Operation, Target, Written, tools};

use super::write_messages;

/// Bytes of an identifier of an end user.
const SAFETY_IDENTIFIER_BYTES_MAX: usize = 128;
/// Texts that end an answer.
const STOPS_MAX: usize = 4;
/// Bytes of a tool's name.
const TOOL_NAME_BYTES_MAX: usize = 64;

/// Writes a request for this target.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    _: Operation,
    losses: &mut Losses,
) -> Result<Written, Refused> {
    tools::leave_out_hosted(request, losses)?;
    let mut body = Vec::with_capacity(1 << 10);
    {
        let mut object = JsonObject::new(&mut body);
        object.str("model", target.model);
        write_messages::write(request, target, losses, &mut object)?;
        write_tools(request, target, losses, &mut object)?;
        write_output(request, losses, &mut object);
        write_bounds(request, target, &mut object)?;
        write_sampling(request, &mut object)?;
        write_thinking(request, target, losses, &mut object);
        write_labels(request, target, losses, &mut object);
        if request.stream {
            object.bool("stream", true);
            object.object("stream_options").bool("include_usage", true);
        }
    }
    request.note_rest(losses);
    Ok(Written { body, path: Cow::Borrowed("/chat/completions"), headers: Vec::new() })
}

fn write_tools(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if request.tools.is_empty() {
        return Ok(());
    }
    {
        let mut list = object.list("tools");
        for tool in &request.tools {
            if tool.cache.is_some() {
                losses.drop_hint(format!("tools[{}].cache_control", tool.index));
            }
            write_tool(tool, request, target, losses, &mut list.object())?;
        }
    }
    if let Some(choice) = request.tool_choice.take() {
        write_choice(&choice.value, request, target, object);
    }
    if let Some(parallel) = request.parallel_tool_calls.take() {
        object.bool("parallel_tool_calls", parallel.value);
    }
    Ok(())
}

fn write_tool(
    tool: &Tool<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let index = tool.index;
    if let Some(name) = tool.name()
        && !ids::is_tool_name(name, TOOL_NAME_BYTES_MAX)
    {
        let text = format!("a name of a tool has 1 to {TOOL_NAME_BYTES_MAX} of A-Z a-z 0-9 _ -");
        return Err(Refused::unsupported(format!("tools[{index}].name"), text));
    }
    match &tool.kind {
        ToolKind::Function { name, description, schema, strict } => {
            object.str("type", "function");
            let mut function = object.object("function");
            function.text("name", name);
            if let Some(description) = description {
                function.text("description", description);
            }
            let schema = tools::schema_or_empty(schema.as_ref());
            function.json("parameters", schema);
            match strict {
                Some(_) if schema::fits(schema, Dialect::OpenAiStrict) => {
                    function.bool("strict", true)
                }
                Some(name) => losses.drop_field(format!("tools[{index}].{name}")),
                // The caller's format has another default.
                None if target.server.is_openai
                    && request.strict_by_default.contains(name)
                    && schema::fits(schema, Dialect::OpenAiStrict) =>
                {
                    function.bool("strict", true);
                }
                None => {}
            }
        }
        ToolKind::Custom { name, description, grammar } if target.server.is_openai => {
            object.str("type", "custom");
            let mut custom = object.object("custom");
            custom.text("name", name);
            if let Some(description) = description {
                custom.text("description", description);
            }
            if let Some(grammar) = grammar {
                custom.raw("format", &grammar.value);
            }
        }
        ToolKind::Custom { name, description, grammar } => {
            object.str("type", "function");
            let mut function = object.object("function");
            function.text("name", name);
            if let Some(description) = description {
                function.text("description", description);
            }
            function.json("parameters", tools::TEXT_SCHEMA);
            if let Some(grammar) = grammar {
                losses.drop_field(format!("tools[{index}].{}", grammar.name));
            }
        }
        ToolKind::Hosted { .. } => {}
    }
    Ok(())
}

fn write_choice(
    choice: &ToolChoice<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    object: &mut JsonObject<'_>,
) {
    match choice {
        ToolChoice::Auto => object.str("tool_choice", "auto"),
        ToolChoice::None => object.str("tool_choice", "none"),
        ToolChoice::Required => object.str("tool_choice", "required"),
        ToolChoice::Named(name) => {
            write_named(name, request, target, &mut object.object("tool_choice"));
        }
        ToolChoice::Allowed { names, is_required } => {
            let mut choice = object.object("tool_choice");
            choice.str("type", "allowed_tools");
            let mut allowed = choice.object("allowed_tools");
            allowed.str("mode", if *is_required { "required" } else { "auto" });
            let mut list = allowed.list("tools");
            for name in names {
                write_named(name, request, target, &mut list.object());
            }
        }
    }
}

fn write_named(
    name: &JsonText<'_>,
    request: &Request<'_>,
    target: &Target<'_>,
    object: &mut JsonObject<'_>,
) {
    let is_custom = target.server.is_openai
        && request.tools.iter().any(|tool| match &tool.kind {
            ToolKind::Custom { name: custom, .. } => custom == name,
            _ => false,
        });
    let kind = if is_custom { "custom" } else { "function" };
    object.str("type", kind);
    object.object(kind).text("name", name);
}

fn write_output(request: &mut Request<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    let Some(output) = request.output.take() else { return };
    let OutputFormat::JsonSchema { name, description, schema, strict } = output.value else {
        object.object("response_format").str("type", "json_object");
        return;
    };
    let Some(schema) = schema else {
        object.object("response_format").str("type", "json_object");
        losses.change_field(output.name);
        return;
    };
    let mut format = object.object("response_format");
    format.str("type", "json_schema");
    let mut json_schema = format.object("json_schema");
    json_schema.text("name", &name.unwrap_or_else(|| JsonText::literal("answer")));
    if let Some(description) = description {
        json_schema.text("description", &description.value);
    }
    json_schema.raw("schema", &schema);
    let strict = strict.or(schema::fits(schema.json(), Dialect::OpenAiStrict).then_some(true));
    if let Some(strict) = strict {
        json_schema.bool("strict", strict);
    }
}

fn write_bounds(
    request: &mut Request<'_>,
    target: &Target<'_>,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if let Some(most) = &request.max_tokens {
        if most.value == 0 {
            let text = "a request for no tokens only warms a cache, which the model's provider \
                does not offer";
            return Err(Refused::unsupported(most.name, text));
        }
        object.number(target.server.max_tokens_field, most.value);
    }
    if let Some(stop) = request.stop.take() {
        if stop.value.len() > STOPS_MAX {
            let text = format!("the model's provider takes at most {STOPS_MAX} stop sequences");
            return Err(Refused::unsupported(stop.name, text));
        }
        let mut list = object.list("stop");
        for text in &stop.value {
            list.text(text);
        }
    }
    Ok(())
}

fn write_sampling(request: &mut Request<'_>, object: &mut JsonObject<'_>) -> Result<(), Refused> {
    for (name, field) in [
        ("temperature", request.temperature.take()),
        ("top_p", request.top_p.take()),
        ("seed", request.seed.take()),
        ("presence_penalty", request.presence_penalty.take()),
        ("frequency_penalty", request.frequency_penalty.take()),
    ] {
        if let Some(field) = field {
            object.carried_number(name, &field.value);
        }
    }
    if let Some(n) = request.n.take() {
        return Err(Refused::unsupported(n.name, "only one answer can be translated"));
    }
    if let Some(wanted) = request.logprobs.take() {
        object.bool("logprobs", wanted.value);
        if let Some(top) = request.top_logprobs.take() {
            object.number("top_logprobs", top.value);
        }
    }
    Ok(())
}

/// Writes how much is to be thought.
fn write_thinking(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let (effort, thinking) = (request.effort.take(), request.thinking.take());
    if target.facts.thinking == ThinkingForm::None {
        if let Some(effort) = effort.filter(|effort| effort.value != Effort::None) {
            losses.drop_field(effort.name);
        }
        if let Some(thinking) = thinking.filter(|thinking| thinking.value != Thinking::Disabled) {
            losses.drop_field(thinking.name);
        }
        return;
    }
    let effort = match thinking.map(|thinking| (thinking.name, thinking.value)) {
        // The model's own measure is what there is without a word, too.
        None | Some((_, Thinking::Adaptive)) => effort.map(|effort| effort.value),
        Some((name, Thinking::Disabled)) => {
            // The effort is that of an answer without thinking.
            if let Some(effort) = effort {
                losses.drop_field(effort.name);
            }
            let takes_none = target.facts.efforts.contains(&Effort::None);
            if !takes_none {
                losses.drop_field(name);
            }
            takes_none.then_some(Effort::None)
        }
        Some((name, Thinking::Budget(tokens))) => {
            losses.change_field(name);
            Some(effort.map_or_else(|| Effort::of_budget(tokens), |effort| effort.value))
        }
        Some((name, Thinking::BetweenTools)) => {
            losses.drop_field(name);
            effort.map(|effort| effort.value)
        }
    };
    if let Some(effort) = effort {
        object.str("reasoning_effort", effort.word());
    }
}

/// Writes what does not change the answer.
fn write_labels(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    if let Some(verbosity) = request.verbosity.take() {
        object.text("verbosity", &verbosity.value);
    }
    let (user, identifier) = (request.user.take(), request.safety_identifier.take());
    match (identifier, target.server.is_openai) {
        (Some(identifier), true) => {
            object.str("safety_identifier", &identifier_within(&identifier.value));
            if let Some(user) = user {
                object.text("user", &user.value);
            }
        }
        (Some(identifier), false) => {
            object.text("user", &identifier.value);
            if let Some(user) = user {
                losses.drop_field(user.name);
            }
        }
        (None, _) => {
            if let Some(user) = user {
                object.text("user", &user.value);
            }
        }
    }
    if let Some(metadata) = request.metadata.take() {
        object.raw("metadata", &metadata.value);
    }
    if let Some(tier) = request.service_tier.take() {
        match tier.value {
            Tier::Auto => {}
            Tier::Default => object.str("service_tier", "default"),
            Tier::Flex => object.str("service_tier", "flex"),
            Tier::Priority => object.str("service_tier", "priority"),
            Tier::Other => losses.drop_field(tier.name),
        }
    }
    if target.server.is_openai
        && let Some(key) = request.prompt_cache_key.take()
    {
        object.text("prompt_cache_key", &key.value);
    }
}

/// The identifier, or a hash of one that is too long.
fn identifier_within<'t>(identifier: &'t JsonText<'_>) -> Cow<'t, str> {
    let plain = identifier.plain();
    if plain.len() <= SAFETY_IDENTIFIER_BYTES_MAX {
        return plain;
    }
    Cow::Owned(ids::hashed(&plain, "user_"))
}
