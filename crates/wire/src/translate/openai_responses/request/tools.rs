//! Reads `tools` and `tool_choice`. Functions of a namespace get the name `namespace__name`.

use serde_json::value::RawValue;

use crate::translate::json::{JsonObject, JsonText, List, Raw};
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{Field, Flattened, Request, Tool, ToolChoice, ToolKind};
use crate::translate::read::parse;

use super::fields::{self, Choice, TextForm};

/// Bytes of a flattened name.
const NAME_BYTES_MAX: usize = 64;

/// Why a namespace is refused.
pub(crate) const LONG_NAME: &str =
    "the names of the namespace and the function are together longer than 62 characters";

/// Reads the tools and the choice among them.
pub(crate) fn read<'a>(
    tools: Option<&'a RawValue>,
    choice: Option<&'a RawValue>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    if let Some(json) = tools {
        request.echo.push(("tools", Raw::trusted(json.get())));
        let List(tools): List<&'a RawValue> = parse(json, "tools")?;
        for (index, json) in tools.into_iter().enumerate() {
            let place = format!("tools[{index}]");
            let tool: fields::Tool<'a> = parse(json, &place)?;
            if tool.kind.as_ref().is_some_and(|kind| kind.is("namespace")) {
                read_namespace(tool, index, request, losses)?;
            } else {
                let kind = read_tool(tool, &place, request, losses)?;
                request.tools.push(Tool { index, kind, cache: None });
            }
        }
    }
    if let Some(json) = choice {
        request.echo.push(("tool_choice", Raw::trusted(json.get())));
        let value = read_choice(json, request, losses)?;
        request.tool_choice = Some(Field { name: "tool_choice", value });
    }
    Ok(())
}

/// `namespace__name`, if it is not too long.
pub(crate) fn flattened_name(
    namespace: &JsonText<'_>,
    name: &JsonText<'_>,
) -> Option<JsonText<'static>> {
    let flattened = format!("{}__{}", namespace.plain(), name.plain());
    (flattened.len() <= NAME_BYTES_MAX).then(|| JsonText::from_plain(flattened))
}

fn read_namespace<'a>(
    tool: fields::Tool<'a>,
    index: usize,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    let place = format!("tools[{index}]");
    losses.drop_unknown(&format!("{place}."), &tool.unknown);
    if tool.description.is_some_and(|text| !text.is_blank()) {
        losses.drop_field(format!("{place}.description"));
    }
    let (Some(namespace), Some(json)) = (tool.name, tool.tools) else {
        return Err(Refused::invalid(&*place, format!("`{place}` has no name or no tools")));
    };
    let List(tools): List<&'a RawValue> = parse(json, &place)?;
    for (at, json) in tools.into_iter().enumerate() {
        let place = format!("{place}.tools[{at}]");
        let mut tool: fields::Tool<'a> = parse(json, &place)?;
        let Some(name) = tool.name.take() else {
            return Err(Refused::invalid(&*place, format!("`{place}` has no name")));
        };
        let Some(flattened) = flattened_name(&namespace, &name) else {
            return Err(Refused::unsupported(place, LONG_NAME));
        };
        request.flattened.push(Flattened {
            name: flattened.plain().into_owned(),
            namespace: namespace.plain().into_owned(),
            tool: name.plain().into_owned(),
        });
        tool.name = Some(flattened);
        let kind = read_tool(tool, &place, request, losses)?;
        request.tools.push(Tool { index, kind, cache: None });
    }
    Ok(())
}

fn read_tool<'a>(
    tool: fields::Tool<'a>,
    place: &str,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<ToolKind<'a>, Refused> {
    let kind = tool.kind.unwrap_or_else(|| JsonText::literal("function"));
    let kind = kind.plain();
    if !matches!(&*kind, "function" | "custom") {
        return Ok(ToolKind::Hosted { kind: kind.into_owned().into(), name: None });
    }
    losses.drop_unknown(&format!("{place}."), &tool.unknown);
    for (field, is_given) in [
        ("defer_loading", tool.defer_loading.is_some_and(|defer| defer.json() == "true")),
        ("allowed_callers", tool.allowed_callers.is_some_and(|list| !is_direct(list.json()))),
        ("output_schema", tool.output_schema.is_some()),
    ] {
        if is_given {
            losses.drop_field(format!("{place}.{field}"));
        }
    }
    let Some(name) = tool.name else {
        return Err(Refused::invalid(place, format!("`{place}` has no name")));
    };
    let description = tool.description.filter(|text| !text.is_blank());
    if &*kind == "custom" {
        let grammar = tool.format.map(|json| read_form(json, place, losses)).transpose()?;
        let grammar = Field::some("format", grammar.flatten());
        return Ok(ToolKind::Custom { name, description, grammar });
    }
    if tool.strict.is_none() {
        request.strict_by_default.push(name.clone());
    }
    Ok(ToolKind::Function {
        name,
        description,
        schema: tool.parameters,
        strict: tool.strict.filter(|strict| *strict).map(|_| "strict"),
    })
}

/// Whether only the model itself may call the tool, which is the rule elsewhere.
fn is_direct(callers: &str) -> bool {
    matches!(&*crate::translate::json::compact(callers), "[\"direct\"]" | "[]")
}

/// The form of a tool's free text, as other formats of OpenAI have it; `None` for any text.
fn read_form(
    json: &RawValue,
    place: &str,
    losses: &mut Losses,
) -> Result<Option<Raw<'static>>, Refused> {
    let form: TextForm<'_> = parse(json, place)?;
    losses.drop_unknown(&format!("{place}.format."), &form.unknown);
    if !form.kind.is_some_and(|kind| kind.is("grammar")) {
        return Ok(None);
    }
    let mut out = Vec::new();
    {
        let mut object = JsonObject::new(&mut out);
        object.str("type", "grammar");
        let mut grammar = object.object("grammar");
        grammar.text("syntax", &form.syntax.unwrap_or_default());
        grammar.text("definition", &form.definition.unwrap_or_default());
    }
    Ok(String::from_utf8(out).ok().map(Raw::trusted))
}

// ---- choice -------------------------------------------------------------------------------------

fn read_choice<'a>(
    json: &'a RawValue,
    request: &Request<'a>,
    losses: &mut Losses,
) -> Result<ToolChoice<'a>, Refused> {
    let invalid = || Refused::invalid("tool_choice", "`tool_choice` is not a choice of a tool");
    if json.get().starts_with('"') {
        let word: JsonText<'a> = parse(json, "tool_choice")?;
        return match &*word.plain() {
            "auto" => Ok(ToolChoice::Auto),
            "none" => Ok(ToolChoice::None),
            "required" => Ok(ToolChoice::Required),
            _ => Err(invalid()),
        };
    }
    let choice: Choice<'a> = parse(json, "tool_choice")?;
    let kind = choice.kind.clone().unwrap_or_default();
    match &*kind.plain() {
        "function" | "custom" => named(choice, request).map(ToolChoice::Named).ok_or_else(invalid),
        "allowed_tools" => {
            let is_required = choice.mode.is_some_and(|mode| mode.is("required"));
            allowed(choice.tools.unwrap_or_default().0, is_required, request, losses)
        }
        "" => Err(invalid()),
        kind => Err(hosted(kind)),
    }
}

fn hosted(kind: &str) -> Refused {
    let text = format!("the model's provider has no tool `{kind}`");
    Refused::unsupported("tool_choice", text)
}

/// The tools of a list that the caller runs; the others are left out with their definitions.
fn allowed<'a>(
    entries: Vec<Choice<'a>>,
    is_required: bool,
    request: &Request<'a>,
    losses: &mut Losses,
) -> Result<ToolChoice<'a>, Refused> {
    let entries_count = entries.len();
    let mut first_hosted = None;
    let mut names = Vec::new();
    for entry in entries {
        let kind = entry.kind.as_ref().map(|kind| kind.plain().into_owned()).unwrap_or_default();
        if matches!(kind.as_str(), "function" | "custom") {
            names.extend(named(entry, request));
        } else {
            first_hosted.get_or_insert(kind);
        }
    }
    if names.len() < entries_count {
        losses.change_field("tool_choice");
    }
    match (names.is_empty(), is_required, first_hosted) {
        (true, true, kind) => Err(hosted(&kind.unwrap_or_default())),
        (true, false, _) => Ok(ToolChoice::None),
        (false, _, _) => Ok(ToolChoice::Allowed { names, is_required }),
    }
}

/// The name under which the tool is sent.
fn named<'a>(choice: Choice<'a>, request: &Request<'a>) -> Option<JsonText<'a>> {
    let name = choice.name?;
    if let Some(namespace) = choice.namespace.filter(|namespace| !namespace.is_empty()) {
        return flattened_name(&namespace, &name);
    }
    let is_tool = request.tools.iter().any(|tool| tool.name() == Some(&name));
    let flattened = request.flattened.iter().find(|flattened| name.is(&flattened.tool));
    match flattened {
        Some(flattened) if !is_tool => Some(JsonText::from_plain(flattened.name.clone())),
        _ => Some(name),
    }
}
