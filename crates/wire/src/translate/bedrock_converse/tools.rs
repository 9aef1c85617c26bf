//! Writes `toolConfig`.

use crate::translate::json::JsonObject;
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::model::ForcedTool;
use crate::translate::neutral::{Request, Tool, ToolChoice, ToolKind, Vendor};
use crate::translate::schema::{self, Dialect};
use crate::translate::{Target, tools};

use super::messages::{NAME_RULE, is_name, write_mark};

/// Which tools are sent, and which is to be called.
pub(crate) struct Choice {
    /// A tool must be called.
    pub(crate) is_forced: bool,
    word: Word,
    /// Only these are sent.
    allowed: Option<Vec<String>>,
    /// None is sent.
    is_none: bool,
}

enum Word {
    Unsaid,
    Auto,
    Any,
    Tool(String),
}

impl Choice {
    /// Decides.
    pub(crate) fn of(
        request: &mut Request<'_>,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<Choice, Refused> {
        // Calls beside each other are what models do of themselves.
        request.parallel_tool_calls =
            request.parallel_tool_calls.take().filter(|field| !field.value);
        let mut choice =
            Choice { is_forced: false, word: Word::Unsaid, allowed: None, is_none: false };
        let Some(field) = request.tool_choice.take() else { return Ok(choice) };
        choice.is_forced = field.value.is_forced();
        if choice.is_forced && target.facts.forced_tool == ForcedTool::No {
            let text = "the model cannot be made to call a tool";
            return Err(Refused::unsupported(field.name, text));
        }
        choice.word = match field.value {
            ToolChoice::Auto => Word::Auto,
            ToolChoice::Required => Word::Any,
            ToolChoice::Named(name) => Word::Tool(name.plain().into_owned()),
            ToolChoice::Allowed { names, is_required } => {
                losses.change_field(field.name);
                choice.allowed = Some(names.iter().map(|name| name.plain().into_owned()).collect());
                if is_required { Word::Any } else { Word::Auto }
            }
            // There is no such choice. Without tools a conversation that has called some is
            // refused, so that they are sent then.
            ToolChoice::None if tools::called(request).is_empty() => {
                choice.is_none = true;
                Word::Unsaid
            }
            ToolChoice::None => {
                losses.change_field(field.name);
                Word::Unsaid
            }
        };
        Ok(choice)
    }
}

/// Writes `toolConfig`.
pub(crate) fn write(
    request: &Request<'_>,
    target: &Target<'_>,
    choice: &Choice,
    marks: &mut Marks,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if request.tools.is_empty() {
        declare_called(request, losses, object);
        return Ok(());
    }
    let is_allowed = |tool: &&Tool<'_>| match (&choice.allowed, tool.name()) {
        (Some(allowed), Some(name)) => allowed.iter().any(|allowed| name.is(allowed)),
        _ => true,
    };
    let sent: Vec<&Tool<'_>> = request.tools.iter().filter(is_allowed).collect();
    if choice.is_none || sent.is_empty() {
        return Ok(());
    }
    let mut config = object.object("toolConfig");
    {
        let mut list = config.list("tools");
        for tool in sent {
            let mut entry = list.object();
            write_tool(tool, target, losses, &mut entry.object("toolSpec"))?;
            drop(entry);
            let name = format!("tools[{}].cache_control", tool.index);
            if target.facts.vendor == Vendor::Anthropic {
                write_mark(marks.next(tool.cache, name, losses), target, &mut list);
            } else if tool.cache.is_some() {
                losses.drop_hint(name);
            }
        }
    }
    match &choice.word {
        Word::Unsaid => {}
        Word::Auto => drop(config.object("toolChoice").object("auto")),
        Word::Any => drop(config.object("toolChoice").object("any")),
        Word::Tool(name) => config.object("toolChoice").object("tool").str("name", name),
    }
    Ok(())
}

/// Declares the tools of a conversation whose request has none: calls without a declaration are
/// refused.
fn declare_called(request: &Request<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    let called = tools::called(request);
    if called.is_empty() {
        return;
    }
    losses.change_field("tools");
    let mut config = object.object("toolConfig");
    let mut list = config.list("tools");
    for name in &called {
        let mut entry = list.object();
        let mut spec = entry.object("toolSpec");
        spec.text("name", name);
        spec.object("inputSchema").json("json", tools::EMPTY_SCHEMA);
    }
}

fn write_tool(
    tool: &Tool<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
    spec: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let index = tool.index;
    if tool.name().is_some_and(|name| !is_name(name)) {
        return Err(Refused::unsupported(format!("tools[{index}].name"), NAME_RULE));
    }
    let (name, description, schema) = match &tool.kind {
        ToolKind::Function { name, description, schema, .. } => {
            (name, description, tools::object_schema(schema.as_ref()))
        }
        ToolKind::Custom { name, description, grammar } => {
            if let Some(grammar) = grammar {
                losses.drop_field(format!("tools[{index}].{}", grammar.name));
            }
            (name, description, tools::TEXT_SCHEMA.into())
        }
        ToolKind::Hosted { .. } => return Ok(()),
    };
    spec.text("name", name);
    if let Some(description) = description {
        spec.text("description", description);
    }
    spec.object("inputSchema").json("json", &schema);
    if let ToolKind::Function { strict: Some(name), .. } = &tool.kind {
        let dialect = match target.facts.vendor {
            Vendor::OpenAi => Dialect::OpenAiStrict,
            _ => Dialect::Anthropic,
        };
        if target.facts.structured && schema::fits(&schema, dialect) {
            spec.bool("strict", true);
        } else {
            losses.drop_field(format!("tools[{index}].{name}"));
        }
    }
    Ok(())
}
