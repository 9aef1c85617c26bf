//! Reads the tools and the choice of one.

use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, Request, Tool, ToolChoice, ToolKind};
use crate::translate::read::parse;

use super::blocks;
use super::fields::{self, Body};

/// Reads `tools` and `tool_choice`.
pub(crate) fn read<'a>(
    body: &mut Body<'a>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    for (index, json) in body.tools.take().unwrap_or_default().0.into_iter().enumerate() {
        let tool: fields::Tool<'a> = parse(json, format_args!("tools[{index}]"))?;
        request.tools.push(read_tool(tool, index, losses)?);
    }
    let Some(choice) = body.tool_choice.take() else { return Ok(()) };
    losses.drop_unknown("tool_choice.", &choice.unknown);
    let value = match (&*choice.kind.unwrap_or_default().plain(), choice.name) {
        ("auto", _) => ToolChoice::Auto,
        ("any", _) => ToolChoice::Required,
        ("none", _) => ToolChoice::None,
        ("tool", Some(name)) => ToolChoice::Named(name),
        _ => {
            return Err(Refused::invalid("tool_choice", "`tool_choice` is not a choice of a tool"));
        }
    };
    request.tool_choice = Some(Field { name: "tool_choice", value });
    request.parallel_tool_calls = choice
        .disable_parallel_tool_use
        .filter(|disabled| *disabled)
        .map(|_| Field { name: "tool_choice.disable_parallel_tool_use", value: false });
    Ok(())
}

fn read_tool<'a>(
    tool: fields::Tool<'a>,
    index: usize,
    losses: &mut Losses,
) -> Result<Tool<'a>, Refused> {
    let place = format!("tools[{index}].");
    let cache = blocks::cache_mark(tool.cache_control);
    let kind = tool.kind.map(|kind| kind.into_plain());
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        return Ok(Tool { index, kind: ToolKind::Hosted { kind, name: tool.name }, cache });
    }
    losses.drop_unknown(&place, &tool.unknown);
    if tool.eager_input_streaming.is_some() {
        losses.drop_hint(format!("{place}eager_input_streaming"));
    }
    for (name, is_given) in [
        ("defer_loading", tool.defer_loading == Some(true)),
        ("input_examples", tool.input_examples.is_some()),
        ("allowed_callers", tool.allowed_callers.is_some()),
    ] {
        if is_given {
            losses.drop_field(format!("{place}{name}"));
        }
    }
    let Some(name) = tool.name else {
        return Err(Refused::invalid(format!("{place}name"), "a tool has no name"));
    };
    let kind = ToolKind::Function {
        name,
        description: tool.description.filter(|text| !text.is_blank()),
        schema: tool.input_schema,
        strict: tool.strict.filter(|strict| *strict).map(|_| "strict"),
    };
    Ok(Tool { index, kind, cache })
}
