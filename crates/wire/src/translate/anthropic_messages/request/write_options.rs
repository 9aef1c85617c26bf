//! Decides on thinking, tools and the form of the answer together, because the one excludes the
//! other; and writes the fields beside the messages.

use crate::translate::form::{Form, write_stops, write_temperature};
use crate::translate::ids;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::model::{ForcedTool, Sampling, ThinkingForm, nearest};
use crate::translate::neutral::{
    Effort, Field, Request, Tier, ToolChoice, ToolKind, Vendor, history,
};
use crate::translate::schema::{self, Dialect};
use crate::translate::{Target, tools as all_tools};

use super::write_messages::write_mark;

/// The least tokens of thinking.
const BUDGET_MIN: u64 = 1_024;
/// Bytes of a tool's name.
const TOOL_NAME_BYTES_MAX: usize = 128;

/// The options to write, after all of them have been compared.
pub(crate) struct Plan {
    thinking: Thinking,
    /// The form of the answer's text.
    pub(crate) form: Form,
    choice: Option<Choice>,
    /// Only these tools are sent.
    allowed: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Thinking {
    /// Nothing is said.
    Unsaid,
    Disabled,
    Budget(u64),
    Adaptive(Effort),
    /// An effort without a word on thinking.
    Effort(Effort),
}

/// `tool_choice`.
enum Choice {
    Word { word: &'static str, one_at_a_time: bool },
    Named { name: String, one_at_a_time: bool },
}

impl Plan {
    /// Decides. `most`: the bound on the answer.
    pub(crate) fn of(
        request: &mut Request<'_>,
        target: &Target<'_>,
        most: u64,
        losses: &mut Losses,
    ) -> Result<Plan, Refused> {
        if let Some(n) = request.n.take() {
            let text = "the model's provider gives one answer per call";
            return Err(Refused::unsupported(n.name, text));
        }
        let mut plan =
            Plan { thinking: Thinking::Unsaid, form: Form::default(), choice: None, allowed: None };
        let is_forced = plan.choose_tool(request, target, losses)?;
        plan.think(request, target, most, is_forced, losses);
        // The text of the thinking is part of every answer that is asked to think.
        request.show_thinking = request.show_thinking.take().filter(|_| !plan.thinks());
        plan.form = Form::of(request, target.facts.structured, true, losses);
        if let Some(description) = plan.form.description.take() {
            losses.drop_field(description.name);
        }
        Ok(plan)
    }

    /// Decides on the choice of a tool; returns whether one must be called.
    fn choose_tool(
        &mut self,
        request: &mut Request<'_>,
        target: &Target<'_>,
        losses: &mut Losses,
    ) -> Result<bool, Refused> {
        let parallel = request.parallel_tool_calls.take();
        let one_at_a_time = parallel.is_some_and(|field| !field.value);
        let choice = request.tool_choice.take();
        if request.tools.is_empty() {
            return Ok(false);
        }
        let is_forced = choice.as_ref().is_some_and(|choice| choice.value.is_forced());
        if let (true, ForcedTool::No, Some(choice)) = (is_forced, target.facts.forced_tool, &choice)
        {
            let text = "the model cannot be made to call a tool";
            return Err(Refused::unsupported(choice.name, text));
        }
        let word = |word| Some(Choice::Word { word, one_at_a_time });
        self.choice = match choice.map(|choice| (choice.name, choice.value)) {
            None | Some((_, ToolChoice::Auto)) if one_at_a_time => word("auto"),
            None => None,
            Some((_, ToolChoice::Auto)) => word("auto"),
            Some((_, ToolChoice::None)) => {
                Some(Choice::Word { word: "none", one_at_a_time: false })
            }
            Some((_, ToolChoice::Required)) => word("any"),
            Some((_, ToolChoice::Named(name))) => {
                Some(Choice::Named { name: name.plain().into_owned(), one_at_a_time })
            }
            Some((field, ToolChoice::Allowed { names, is_required })) => {
                losses.change_field(field);
                self.allowed = Some(names.iter().map(|name| name.plain().into_owned()).collect());
                word(if is_required { "any" } else { "auto" })
            }
        };
        Ok(is_forced)
    }

    fn think(
        &mut self,
        request: &mut Request<'_>,
        target: &Target<'_>,
        most: u64,
        is_forced: bool,
        losses: &mut Losses,
    ) {
        let Some(Field { name, value: effort }) = request.effort.take() else { return };
        let facts = &target.facts;
        if effort == Effort::None {
            self.thinking = match facts.thinking {
                ThinkingForm::Adaptive { can_disable: true, .. } => Thinking::Disabled,
                ThinkingForm::Adaptive { can_disable: false, .. } => {
                    losses.change_field(name);
                    Thinking::Effort(Effort::Low)
                }
                _ => Thinking::Unsaid,
            };
            return;
        }
        if facts.thinking == ThinkingForm::None {
            losses.drop_field(name);
            return;
        }
        let is_excluded = is_forced && facts.forced_tool == ForcedTool::NotWithThinking;
        let is_budget = matches!(facts.thinking, ThinkingForm::Budget { .. });
        if is_excluded
            || (is_budget && !history::calls_begin_with_thinking(request, Vendor::Anthropic))
        {
            losses.change_field(name);
            return;
        }
        if is_budget {
            let asked = effort.budget();
            let budget = asked.min(most.saturating_sub(1));
            if budget < BUDGET_MIN {
                losses.drop_field(name);
                return;
            }
            if budget < asked || effort > Effort::High {
                losses.change_field(name);
            }
            self.thinking = Thinking::Budget(budget);
            return;
        }
        let taken = if facts.efforts.is_empty() { &Effort::ALL[2..] } else { facts.efforts };
        let nearest = nearest(effort, taken).unwrap_or(effort);
        if nearest != effort {
            losses.change_field(name);
        }
        self.thinking = Thinking::Adaptive(nearest);
    }

    /// Whether the model will think.
    fn thinks(&self) -> bool {
        matches!(self.thinking, Thinking::Budget(_) | Thinking::Adaptive(_))
    }
}

/// Writes `tools` and `tool_choice`.
pub(crate) fn tools(
    request: &mut Request<'_>,
    plan: &Plan,
    marks: &mut Marks,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    if request.tools.is_empty() {
        declare_called(request, losses, object);
        return Ok(());
    }
    let is_allowed = |name: &JsonText<'_>| match &plan.allowed {
        Some(allowed) => allowed.iter().any(|allowed| name.is(allowed)),
        None => true,
    };
    {
        let mut list = object.list("tools");
        for tool in &request.tools {
            let Some(name) = tool.name().filter(|name| is_allowed(name)) else { continue };
            if !ids::is_tool_name(name, TOOL_NAME_BYTES_MAX) {
                let text =
                    format!("a name of a tool has 1 to {TOOL_NAME_BYTES_MAX} of A-Z a-z 0-9 _ -");
                return Err(Refused::unsupported(format!("tools[{}].name", tool.index), text));
            }
            let mut entry = list.object();
            write_tool(tool.index, &tool.kind, losses, &mut entry);
            let name = format!("tools[{}].cache_control", tool.index);
            write_mark(marks.next(tool.cache, name, losses), &mut entry);
        }
    }
    match &plan.choice {
        None => {}
        Some(Choice::Word { word, one_at_a_time }) => {
            let mut choice = object.object("tool_choice");
            choice.str("type", word);
            if *one_at_a_time {
                choice.bool("disable_parallel_tool_use", true);
            }
        }
        Some(Choice::Named { name, one_at_a_time }) => {
            let mut choice = object.object("tool_choice");
            choice.str("type", "tool");
            choice.str("name", name);
            if *one_at_a_time {
                choice.bool("disable_parallel_tool_use", true);
            }
        }
    }
    Ok(())
}

/// Declares the tools of a conversation whose request has none: calls without a declaration are
/// refused. None may be called.
fn declare_called(request: &Request<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    let called = all_tools::called(request);
    if called.is_empty() {
        return;
    }
    losses.change_field("tools");
    {
        let mut list = object.list("tools");
        for name in &called {
            let mut entry = list.object();
            entry.text("name", name);
            entry.json("input_schema", all_tools::EMPTY_SCHEMA);
        }
    }
    object.object("tool_choice").str("type", "none");
}

fn write_tool(index: usize, kind: &ToolKind<'_>, losses: &mut Losses, entry: &mut JsonObject<'_>) {
    match kind {
        ToolKind::Function { name, description, schema, strict } => {
            entry.text("name", name);
            if let Some(description) = description {
                entry.text("description", description);
            }
            let schema = all_tools::object_schema(schema.as_ref());
            entry.json("input_schema", &schema);
            match strict {
                Some(_) if schema::fits(&schema, Dialect::Anthropic) => entry.bool("strict", true),
                Some(name) => losses.drop_field(format!("tools[{index}].{name}")),
                None => {}
            }
        }
        ToolKind::Custom { name, description, grammar } => {
            entry.text("name", name);
            if let Some(description) = description {
                entry.text("description", description);
            }
            entry.json("input_schema", all_tools::TEXT_SCHEMA);
            if let Some(grammar) = grammar {
                losses.drop_field(format!("tools[{index}].{}", grammar.name));
            }
        }
        ToolKind::Hosted { .. } => {}
    }
}

/// Writes `thinking` and `output_config`.
pub(crate) fn thinking(plan: &Plan, object: &mut JsonObject<'_>) {
    let effort = match plan.thinking {
        Thinking::Unsaid => None,
        Thinking::Disabled => {
            object.object("thinking").str("type", "disabled");
            None
        }
        Thinking::Budget(tokens) => {
            let mut thinking = object.object("thinking");
            thinking.str("type", "enabled");
            thinking.number("budget_tokens", tokens);
            None
        }
        Thinking::Adaptive(effort) => {
            let mut thinking = object.object("thinking");
            thinking.str("type", "adaptive");
            // The text is empty on newer models without it.
            thinking.str("display", "summarized");
            Some(effort)
        }
        Thinking::Effort(effort) => Some(effort),
    };
    if effort.is_none() && plan.form.schema.is_none() {
        return;
    }
    let mut config = object.object("output_config");
    if let Some(effort) = effort {
        config.str("effort", effort.word());
    }
    if let Some(schema) = &plan.form.schema {
        let mut format = config.object("format");
        format.str("type", "json_schema");
        format.raw("schema", schema);
    }
}

/// Writes the sampling fields and the stop sequences; returns whether there are sampling fields.
pub(crate) fn sampling(
    request: &mut Request<'_>,
    target: &Target<'_>,
    plan: &Plan,
    counts: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> bool {
    if counts {
        // They do not change the number of tokens.
        (request.temperature, request.top_p, request.top_k, request.stop) =
            (None, None, None, None);
        return false;
    }
    let mut has_sampling = false;
    if target.facts.sampling != Sampling::No {
        let temperature = request.temperature.take();
        has_sampling |= temperature
            .is_some_and(|field| write_temperature(&field, plan.thinks(), losses, object));
        let top_p = request.top_p.take();
        has_sampling |= top_p.is_some_and(|field| {
            let is_both = has_sampling && target.facts.sampling == Sampling::NotBoth;
            if is_both || plan.thinks() && field.value.value() < 0.95 {
                losses.drop_field(field.name);
                return false;
            }
            object.carried_number("top_p", &field.value);
            true
        });
        if !plan.thinks()
            && let Some(field) = request.top_k.take()
        {
            object.carried_number("top_k", &field.value);
            has_sampling = true;
        }
    }
    write_stops(request, "stop_sequences", losses, object);
    has_sampling
}

/// Writes what does not change the answer.
pub(crate) fn labels(
    request: &mut Request<'_>,
    counts: bool,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let (identifier, user) = (request.safety_identifier.take(), request.user.take());
    let service_tier = request.service_tier.take();
    if counts {
        return;
    }
    let (chosen, other) = match identifier {
        Some(identifier) => (Some(identifier), user),
        None => (user, None),
    };
    if let Some(chosen) = chosen {
        object.object("metadata").text("user_id", &chosen.value);
    }
    if let Some(other) = other {
        losses.drop_field(other.name);
    }
    if let Some(tier) = service_tier {
        match tier.value {
            Tier::Auto => object.str("service_tier", "auto"),
            Tier::Default => object.str("service_tier", "standard_only"),
            Tier::Flex | Tier::Priority | Tier::Other => losses.drop_field(tier.name),
        }
    }
}
