//! Tools of a request, as every writer treats them.

use std::borrow::Cow;

use super::json::{JsonText, Raw, Tree};
use super::loss::{Losses, Refused};
use super::neutral::{PartKind, Request, ToolChoice, ToolKind};

/// The schema of a tool whose caller gave none.
pub(crate) const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// The schema of a function in place of a tool that takes free text.
pub(crate) const TEXT_SCHEMA: &str = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"],"additionalProperties":false}"#;

/// Takes out the tools that a provider would run itself, and notes them; a choice without tools
/// says nothing and goes.
///
/// # Errors
/// The request demands a call of such a tool.
pub(crate) fn leave_out_hosted(
    request: &mut Request<'_>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let had_tools = !request.tools.is_empty();
    let choice = request.tool_choice.as_ref();
    for tool in &request.tools {
        let ToolKind::Hosted { kind, name } = &tool.kind else { continue };
        let is_wanted = choice.is_some_and(|choice| match &choice.value {
            ToolChoice::Named(wanted) => {
                wanted.is(kind) || name.as_ref().is_some_and(|name| name.plain() == wanted.plain())
            }
            _ => false,
        });
        if is_wanted {
            return Err(hosted(tool.index, kind));
        }
        losses.drop_field(format!("tools[{}]", tool.index));
    }
    let is_demanded = choice.is_some_and(|choice| choice.value.is_forced());
    let first = request.tools.first().map(|tool| (tool.index, tool.kind.clone()));
    request.tools.retain(|tool| !matches!(tool.kind, ToolKind::Hosted { .. }));
    if request.tools.is_empty() {
        if let (true, true, Some((index, ToolKind::Hosted { kind, .. }))) =
            (had_tools, is_demanded, first)
        {
            return Err(hosted(index, &kind));
        }
        request.tool_choice = None;
        request.parallel_tool_calls = None;
    }
    Ok(())
}

fn hosted(index: usize, kind: &str) -> Refused {
    Refused::unsupported(
        format!("tools[{index}]"),
        format!("the model's provider has no tool `{kind}`"),
    )
}

/// The names of the tools that the conversation has called, each once.
pub(crate) fn called<'a>(request: &Request<'a>) -> Vec<JsonText<'a>> {
    let mut names: Vec<JsonText<'a>> = Vec::new();
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        if let PartKind::ToolCall(call) = &part.kind
            && !names.contains(&call.name)
        {
            names.push(call.name.clone());
        }
    }
    names
}

/// The text in the arguments of a function that stands for a tool with free text; the arguments
/// themselves if they have another form.
pub(crate) fn free_text(arguments: &str) -> JsonText<'static> {
    #[derive(serde::Deserialize)]
    struct Input<'a> {
        #[serde(borrow)]
        input: JsonText<'a>,
    }
    match serde_json::from_str::<Input<'_>>(arguments) {
        Ok(arguments) => arguments.input.into_owned(),
        Err(_) => JsonText::from_plain(arguments.to_owned()),
    }
}

/// The same for providers that demand `"type":"object"`: it is added where no type is given, because
/// arguments are always an object.
pub(crate) fn object_schema<'t>(schema: Option<&'t Raw<'_>>) -> Cow<'t, str> {
    let schema = schema_or_empty(schema);
    let rest = match Tree::of(schema) {
        Some(tree @ Tree::Object(_)) if tree.get("type").is_none() => {
            schema.trim_ascii_start().strip_prefix('{')
        }
        _ => None,
    };
    let Some(rest) = rest else { return Cow::Borrowed(schema) };
    let comma = if rest.trim_ascii_start().starts_with('}') { "" } else { "," };
    Cow::Owned([r#"{"type":"object""#, comma, rest].concat())
}

/// The schema of a tool: the caller's, or that of no arguments.
pub(crate) fn schema_or_empty<'t>(schema: Option<&'t Raw<'_>>) -> &'t str {
    schema.map_or(EMPTY_SCHEMA, Raw::json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_without_a_type_is_one_of_an_object() {
        for (given, expected) in [
            (None, EMPTY_SCHEMA),
            (Some("{}"), r#"{"type":"object"}"#),
            (Some(" { } "), r#"{"type":"object" } "#),
            (Some(r#"{"properties":{}}"#), r#"{"type":"object","properties":{}}"#),
            (
                Some(r#"{"properties":{"type":{"type":"string"}}}"#),
                r#"{"type":"object","properties":{"type":{"type":"string"}}}"#,
            ),
            (Some(r#"{"type":"object"}"#), r#"{"type":"object"}"#),
            (Some(r#"{"type":["object"]}"#), r#"{"type":["object"]}"#),
            (Some(r#"{"type":null}"#), r#"{"type":null}"#),
            (Some("true"), "true"),
        ] {
            let schema = given.map(Raw::trusted);
            assert_eq!(object_schema(schema.as_ref()), expected, "{given:?}");
        }
    }
}
