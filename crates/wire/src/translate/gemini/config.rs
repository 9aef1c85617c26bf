//! Writes the fields beside the turns: tools, and the options of `generationConfig`.

use crate::translate::Target;
use crate::translate::json::{JsonObject, JsonText, Number};
use crate::translate::loss::{Losses, Refused};
use crate::translate::model::ThinkingForm;
use crate::translate::neutral::{
    Detail, Effort, Field, MediaKind, OutputFormat, Part, PartKind, Request, Source, Thinking,
    Tier, Tool, ToolChoice, ToolKind,
};
use crate::translate::tools;

use super::contents::{NAME_RULE, is_name};

/// Texts that end an answer.
const STOPS_MAX: usize = 5;
/// The efforts of a model about which nothing is known.
const LEVELS: [Effort; 4] = [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High];

/// Writes `tools` and `toolConfig`.
pub(crate) fn write_tools(
    request: &mut Request<'_>,
    counts: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    // Calls beside each other are what the model does of itself.
    request.parallel_tool_calls = request.parallel_tool_calls.take().filter(|field| !field.value);
    if request.tools.is_empty() {
        return Ok(());
    }
    let mut is_strict = false;
    {
        let mut list = object.list("tools");
        let mut entry = list.object();
        let mut declarations = entry.list("functionDeclarations");
        for tool in &request.tools {
            is_strict |= write_tool(tool, losses, &mut declarations.object())?;
        }
    }
    let choice = request.tool_choice.take().map(|field| field.value);
    if counts {
        return Ok(());
    }
    let (mode, names) = match choice {
        None | Some(ToolChoice::Auto) if is_strict => ("VALIDATED", Vec::new()),
        None => return Ok(()),
        Some(ToolChoice::Auto) => ("AUTO", Vec::new()),
        Some(ToolChoice::None) => ("NONE", Vec::new()),
        Some(ToolChoice::Required) => ("ANY", Vec::new()),
        Some(ToolChoice::Named(name)) => ("ANY", vec![name]),
        Some(ToolChoice::Allowed { names, is_required: true }) => ("ANY", names),
        Some(ToolChoice::Allowed { names, is_required: false }) => ("VALIDATED", names),
    };
    let mut config = object.object("toolConfig");
    let mut calling = config.object("functionCallingConfig");
    calling.str("mode", mode);
    if !names.is_empty() {
        let mut list = calling.list("allowedFunctionNames");
        for name in &names {
            list.text(name);
        }
    }
    Ok(())
}

/// Writes a declaration; returns whether the arguments must follow the schema.
fn write_tool(
    tool: &Tool<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<bool, Refused> {
    let index = tool.index;
    if tool.name().is_some_and(|name| !is_name(name)) {
        return Err(Refused::unsupported(format!("tools[{index}].name"), NAME_RULE));
    }
    let (name, description, schema) = match &tool.kind {
        ToolKind::Function { name, description, schema, .. } => {
            (name, description, tools::schema_or_empty(schema.as_ref()))
        }
        ToolKind::Custom { name, description, grammar } => {
            if let Some(grammar) = grammar {
                losses.drop_field(format!("tools[{index}].{}", grammar.name));
            }
            (name, description, tools::TEXT_SCHEMA)
        }
        ToolKind::Hosted { .. } => return Ok(false),
    };
    object.text("name", name);
    if let Some(description) = description {
        object.text("description", description);
    }
    // Unlike `parameters`, it takes any keyword of JSON Schema.
    object.json("parametersJsonSchema", schema);
    Ok(matches!(&tool.kind, ToolKind::Function { strict: Some(_), .. }))
}

/// Writes `generationConfig` and `serviceTier`. `counts`: only what the number of tokens depends
/// on.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    counts: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if let Some(n) = request.n.take() {
        return Err(Refused::unsupported(n.name, "only one answer can be translated"));
    }
    let mut config = Vec::new();
    {
        let mut config = JsonObject::new(&mut config);
        write_output(request, losses, &mut config);
        write_resolution(request, losses, &mut config);
        if counts {
            forget_options(request);
        } else {
            write_bounds(request, &mut config)?;
            write_sampling(request, losses, &mut config);
            write_thinking(request, target, losses, &mut config);
        }
    }
    if config != b"{}" {
        object.json("generationConfig", std::str::from_utf8(&config).unwrap_or("{}"));
    }
    write_tier(request, target, losses, object);
    Ok(())
}

/// Takes the options that a number of tokens does not depend on.
fn forget_options(request: &mut Request<'_>) {
    (request.temperature, request.top_p, request.top_k, request.stop) = (None, None, None, None);
    (request.effort, request.thinking, request.show_thinking) = (None, None, None);
    (request.service_tier, request.parallel_tool_calls) = (None, None);
    (request.user, request.safety_identifier, request.metadata) = (None, None, None);
    request.max_tokens = None;
}

fn write_output(request: &mut Request<'_>, losses: &mut Losses, config: &mut JsonObject<'_>) {
    let Some(Field { name, value: output }) = request.output.take() else { return };
    config.str("responseMimeType", "application/json");
    let OutputFormat::JsonSchema { schema, description, .. } = output else { return };
    match schema {
        Some(schema) => config.raw("responseJsonSchema", &schema),
        None => losses.change_field(name),
    }
    if let Some(description) = description {
        losses.drop_field(description.name);
    }
}

/// How closely images are looked at, which holds for all of them.
fn write_resolution(request: &Request<'_>, losses: &mut Losses, config: &mut JsonObject<'_>) {
    fn details(parts: &[Part<'_>], seen: &mut Vec<Option<Detail>>) {
        for part in parts {
            match &part.kind {
                PartKind::Media(media) => {
                    if media.kind == MediaKind::Image {
                        seen.push(media.detail);
                    }
                    if let Source::Parts(parts) = &media.source {
                        details(parts, seen);
                    }
                }
                PartKind::ToolResult(result) => details(&result.content, seen),
                _ => {}
            }
        }
    }
    let mut seen = Vec::new();
    request.turns.iter().for_each(|turn| details(&turn.parts, &mut seen));
    let Some(detail) = seen.iter().flatten().next() else { return };
    if seen.iter().any(|other| *other != Some(*detail)) {
        losses.drop_field(request.names.detail);
        return;
    }
    config.str(
        "mediaResolution",
        match detail {
            Detail::Low => "MEDIA_RESOLUTION_LOW",
            Detail::High => "MEDIA_RESOLUTION_HIGH",
        },
    );
}

fn write_bounds(request: &mut Request<'_>, config: &mut JsonObject<'_>) -> Result<(), Refused> {
    if let Some(most) = &request.max_tokens {
        if most.value == 0 {
            let text = "a request for no tokens only warms a cache, which the model's provider \
                        does not offer";
            return Err(Refused::unsupported(most.name, text));
        }
        config.number("maxOutputTokens", most.value);
    }
    if let Some(stop) = request.stop.take() {
        if stop.value.len() > STOPS_MAX {
            let text = format!("the model's provider takes at most {STOPS_MAX} stop sequences");
            return Err(Refused::unsupported(stop.name, text));
        }
        let mut list = config.list("stopSequences");
        stop.value.iter().for_each(|text: &JsonText<'_>| list.text(text));
    }
    Ok(())
}

fn write_sampling(request: &mut Request<'_>, losses: &mut Losses, config: &mut JsonObject<'_>) {
    if let Some(seed) = request.seed.take() {
        // 32 bits here.
        let fits = |number: &Number<'_>| number.json().parse::<i32>().is_ok();
        if fits(&seed.value) {
            config.carried_number("seed", &seed.value);
        } else {
            losses.drop_field(seed.name);
        }
    }
    for (name, field) in [
        ("temperature", request.temperature.take()),
        ("topP", request.top_p.take()),
        ("topK", request.top_k.take()),
        ("presencePenalty", request.presence_penalty.take()),
        ("frequencyPenalty", request.frequency_penalty.take()),
    ] {
        if let Some(field) = field {
            config.carried_number(name, &field.value);
        }
    }
    if request.logprobs.take().is_some() {
        config.bool("responseLogprobs", true);
        if let Some(top) = request.top_logprobs.take().filter(|top| top.value > 0) {
            config.number("logprobs", top.value);
        }
    }
}

/// How the model is to think.
enum Plan {
    Budget(u64),
    Level(Effort),
}

fn write_thinking(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    config: &mut JsonObject<'_>,
) {
    let (effort, thinking) = (request.effort.take(), request.thinking.take());
    let shown = request.show_thinking.take().map(|field| field.value);
    if target.facts.thinking == ThinkingForm::None {
        note_no_thinking(effort, thinking, losses);
        return;
    }
    let plan = plan(effort, thinking, target, losses);
    let wants_thinking = match &plan {
        Some((Plan::Budget(_) | Plan::Level(_), is_asked)) => *is_asked,
        None => false,
    };
    let is_shown = shown.unwrap_or(wants_thinking);
    if plan.is_none() && !is_shown {
        return;
    }
    let mut object = config.object("thinkingConfig");
    match plan {
        Some((Plan::Budget(tokens), _)) => object.number("thinkingBudget", tokens),
        Some((Plan::Level(effort), _)) => object.str("thinkingLevel", effort.word()),
        None => {}
    }
    if is_shown {
        object.bool("includeThoughts", true);
    }
}

/// The model does not think.
fn note_no_thinking(
    effort: Option<Field<Effort>>,
    thinking: Option<Field<Thinking>>,
    losses: &mut Losses,
) {
    if let Some(effort) = effort.filter(|effort| effort.value != Effort::None) {
        losses.drop_field(effort.name);
    }
    if let Some(thinking) = thinking.filter(|thinking| thinking.value != Thinking::Disabled) {
        losses.drop_field(thinking.name);
    }
}

/// Decides; the second value is whether thinking is asked for.
fn plan(
    effort: Option<Field<Effort>>,
    thinking: Option<Field<Thinking>>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Option<(Plan, bool)> {
    let takes_budget = match target.facts.thinking {
        ThinkingForm::Budget { least } => Some(least),
        _ => None,
    };
    let asked = match (effort, thinking) {
        (effort, Some(Field { name, value: Thinking::Disabled })) => {
            if let Some(effort) = effort {
                losses.drop_field(effort.name);
            }
            Field { name, value: Effort::None }
        }
        (effort, Some(Field { name, value: Thinking::BetweenTools })) => {
            losses.drop_field(name);
            effort?
        }
        (effort, Some(Field { value: Thinking::Budget(tokens), .. })) if takes_budget.is_some() => {
            if let Some(effort) = effort {
                losses.drop_field(effort.name);
            }
            return Some((Plan::Budget(tokens), true));
        }
        (effort, Some(Field { name, value: Thinking::Budget(tokens) })) => {
            losses.change_field(name);
            effort.unwrap_or(Field { name, value: Effort::of_budget(tokens) })
        }
        // The model's own measure.
        (effort, Some(Field { value: Thinking::Adaptive, .. }) | None) => effort?,
    };
    let is_asked = asked.value != Effort::None;
    let Some(least) = takes_budget else {
        let level = level(asked.value, target.facts.efforts);
        if level != asked.value {
            losses.change_field(asked.name);
        }
        return Some((Plan::Level(level), is_asked));
    };
    let budget = asked.value.budget().max(least);
    if budget != asked.value.budget() || asked.value > Effort::High {
        losses.change_field(asked.name);
    }
    Some((Plan::Budget(budget), is_asked))
}

/// The level for an effort: the same, or the next above, or the highest.
fn level(effort: Effort, taken: &[Effort]) -> Effort {
    let taken = if taken.is_empty() { &LEVELS } else { taken };
    let above = taken.iter().copied().filter(|level| *level >= effort).min();
    above.or_else(|| taken.iter().copied().max()).unwrap_or(Effort::High)
}

fn write_tier(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let Some(tier) = request.service_tier.take() else { return };
    let word = match tier.value {
        Tier::Auto => return,
        // Vertex has no such field, and this tier without it.
        Tier::Default if target.server.is_vertex => return,
        Tier::Default => "standard",
        Tier::Flex if !target.server.is_vertex => "flex",
        Tier::Priority if !target.server.is_vertex => "priority",
        Tier::Flex | Tier::Priority | Tier::Other => {
            losses.drop_field(tier.name);
            return;
        }
    };
    object.str("serviceTier", word);
}
