//! Decides how the model is to think, in the words of its maker.

use crate::translate::Target;
use crate::translate::json::JsonObject;
use crate::translate::loss::Losses;
use crate::translate::model::{ForcedTool, ModelFacts, ThinkingForm, nearest};
use crate::translate::neutral::{Effort, Field, Request, Thinking, Vendor, history};

/// The least tokens of thinking.
const BUDGET_MIN: u64 = 1_024;
/// The efforts of models other than Claude.
const LEVELS: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];

/// The fields that are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// Nothing is said.
    Unsaid,
    /// Claude: `thinking`, and `output_config.effort`.
    Claude { form: Option<Form>, effort: Option<Effort> },
    /// Nova: `reasoningConfig`.
    Nova(Effort),
    /// gpt-oss, Kimi: `reasoning_effort`.
    Effort(Effort),
}

/// Claude's `thinking`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Disabled,
    Budget(u64),
    Adaptive { is_shown: bool },
}

/// The effort that is asked for, by the name of its field.
#[derive(Clone, Copy)]
struct Asked {
    name: &'static str,
    value: Effort,
}

/// The wish of the caller, by its field.
#[derive(Clone, Copy)]
struct Wish {
    name: &'static str,
    kind: WishKind,
    effort: Option<Asked>,
}

#[derive(Clone, Copy)]
enum WishKind {
    Off,
    /// As much as the effort says, or as the model finds right.
    On,
    Budget(u64),
}

impl Plan {
    /// Decides. `is_forced`: a tool must be called.
    pub(crate) fn of(
        request: &mut Request<'_>,
        target: &Target<'_>,
        is_forced: bool,
        losses: &mut Losses,
    ) -> Plan {
        let effort = request.effort.take();
        let effort = effort.map(|field| Asked { name: field.name, value: field.value });
        let thinking = request.thinking.take();
        let Some(wish) = wish(effort, thinking, losses) else { return Plan::Unsaid };
        if target.facts.vendor == Vendor::Anthropic {
            let is_shown = request.show_thinking.as_ref().is_none_or(|shown| shown.value);
            let plan = claude(request, wish, &target.facts, is_forced, is_shown, losses);
            if plan.is_claude_thinking() {
                request.show_thinking = None;
            }
            return plan;
        }
        other(wish, target, losses)
    }

    /// Whether Claude will think, so that sampling is restricted.
    pub(crate) fn is_claude_thinking(&self) -> bool {
        matches!(self, Plan::Claude { form: Some(Form::Budget(_) | Form::Adaptive { .. }), .. })
    }

    /// Writes the fields.
    pub(crate) fn write(&self, fields: &mut JsonObject<'_>) {
        match self {
            Plan::Unsaid => {}
            Plan::Nova(effort) => {
                let mut config = fields.object("reasoningConfig");
                config.str("type", "enabled");
                config.str("maxReasoningEffort", effort.word());
            }
            Plan::Effort(effort) => fields.str("reasoning_effort", effort.word()),
            Plan::Claude { form, effort } => {
                if let Some(form) = form {
                    form.write(&mut fields.object("thinking"));
                }
                if let Some(effort) = effort {
                    fields.object("output_config").str("effort", effort.word());
                }
            }
        }
    }
}

impl Form {
    fn write(self, thinking: &mut JsonObject<'_>) {
        match self {
            Form::Disabled => thinking.str("type", "disabled"),
            Form::Budget(tokens) => {
                thinking.str("type", "enabled");
                thinking.number("budget_tokens", tokens);
            }
            Form::Adaptive { is_shown } => {
                thinking.str("type", "adaptive");
                thinking.str("display", if is_shown { "summarized" } else { "omitted" });
            }
        }
    }
}

fn wish(
    effort: Option<Asked>,
    thinking: Option<Field<Thinking>>,
    losses: &mut Losses,
) -> Option<Wish> {
    let by_effort = |effort: Asked| Wish {
        name: effort.name,
        kind: if effort.value == Effort::None { WishKind::Off } else { WishKind::On },
        effort: Some(effort),
    };
    let Some(Field { name, value: thinking }) = thinking else { return effort.map(by_effort) };
    let kind = match thinking {
        Thinking::Disabled => WishKind::Off,
        Thinking::Adaptive => WishKind::On,
        Thinking::Budget(tokens) => WishKind::Budget(tokens),
        Thinking::BetweenTools => {
            losses.drop_field(name);
            return effort.map(by_effort);
        }
    };
    Some(Wish { name, kind, effort })
}

/// The effort among those that Claude takes.
fn claude_effort(effort: Option<Asked>, facts: &ModelFacts, losses: &mut Losses) -> Option<Effort> {
    let effort = effort.filter(|effort| effort.value != Effort::None)?;
    let nearest = nearest(effort.value, facts.efforts);
    match nearest {
        None => losses.drop_field(effort.name),
        Some(nearest) if nearest != effort.value => losses.change_field(effort.name),
        Some(_) => {}
    }
    nearest
}

fn claude(
    request: &Request<'_>,
    wish: Wish,
    facts: &ModelFacts,
    is_forced: bool,
    is_shown: bool,
    losses: &mut Losses,
) -> Plan {
    let is_budget = matches!(facts.thinking, ThinkingForm::Budget { .. });
    if let WishKind::Off = wish.kind {
        return claude_off(wish, facts, losses);
    }
    if facts.thinking == ThinkingForm::None {
        losses.drop_field(wish.name);
        wish.effort.iter().for_each(|effort| losses.drop_field(effort.name));
        return Plan::Unsaid;
    }
    let is_excluded = is_forced && facts.forced_tool == ForcedTool::NotWithThinking;
    if is_excluded || is_budget && !history::calls_begin_with_thinking(request, Vendor::Anthropic) {
        losses.change_field(wish.name);
        return Plan::Unsaid;
    }
    let takes_budget =
        is_budget || matches!(facts.thinking, ThinkingForm::Adaptive { takes_budget: true, .. });
    let asked = match (wish.kind, wish.effort) {
        (WishKind::Budget(tokens), _) if takes_budget => Some(tokens),
        (WishKind::On, Some(effort)) if is_budget => {
            if effort.value > Effort::High {
                losses.change_field(effort.name);
            }
            Some(effort.value.budget())
        }
        (WishKind::On, None) if is_budget => {
            // The model has no measure of its own.
            losses.drop_field(wish.name);
            return Plan::Unsaid;
        }
        _ => None,
    };
    if let Some(asked) = asked {
        return claude_budget(request, wish, asked, facts, losses);
    }
    let effort = match (wish.kind, wish.effort) {
        (WishKind::Budget(tokens), None) => {
            losses.change_field(wish.name);
            nearest(Effort::of_budget(tokens), facts.efforts)
        }
        (WishKind::Budget(_), effort) => {
            losses.change_field(wish.name);
            claude_effort(effort, facts, losses)
        }
        (_, effort) => claude_effort(effort, facts, losses),
    };
    Plan::Claude { form: Some(Form::Adaptive { is_shown }), effort }
}

fn claude_off(wish: Wish, facts: &ModelFacts, losses: &mut Losses) -> Plan {
    match facts.thinking {
        ThinkingForm::Adaptive { can_disable: true, .. } => {
            let effort = claude_effort(wish.effort, facts, losses);
            Plan::Claude { form: Some(Form::Disabled), effort }
        }
        ThinkingForm::Adaptive { can_disable: false, .. } => {
            losses.change_field(wish.name);
            Plan::Claude { form: None, effort: Some(Effort::Low) }
        }
        // Off unless it is asked for.
        _ => {
            let effort = claude_effort(wish.effort, facts, losses);
            effort.map_or(Plan::Unsaid, |effort| Plan::Claude { form: None, effort: Some(effort) })
        }
    }
}

/// Thinking of at most so many tokens, which are part of the answer's.
fn claude_budget(
    request: &Request<'_>,
    wish: Wish,
    asked: u64,
    facts: &ModelFacts,
    losses: &mut Losses,
) -> Plan {
    let most = request.max_tokens.as_ref().map_or(facts.output_tokens_max, |most| most.value);
    let budget = asked.min(most.saturating_sub(1));
    if budget < BUDGET_MIN {
        losses.drop_field(wish.name);
        return Plan::Unsaid;
    }
    if budget < asked {
        losses.change_field(wish.name);
    }
    // Beside a budget, the effort is that of the answer.
    let effort = match wish.kind {
        WishKind::Budget(_) => claude_effort(wish.effort, facts, losses),
        _ => None,
    };
    Plan::Claude { form: Some(Form::Budget(budget)), effort }
}

/// Models other than Claude.
fn other(wish: Wish, target: &Target<'_>, losses: &mut Losses) -> Plan {
    let asked = match (wish.kind, wish.effort) {
        (WishKind::Off, _) => return Plan::Unsaid,
        (_, Some(effort)) => effort,
        (WishKind::Budget(tokens), None) => {
            losses.change_field(wish.name);
            Asked { name: wish.name, value: Effort::of_budget(tokens) }
        }
        // The model's own measure.
        (WishKind::On, None) => return Plan::Unsaid,
    };
    let is_nova = target.facts.vendor == Vendor::Amazon;
    let takes_effort = target.facts.vendor == Vendor::OpenAi || target.model.contains("kimi");
    if target.facts.thinking == ThinkingForm::None || !(is_nova || takes_effort) {
        losses.drop_field(asked.name);
        return Plan::Unsaid;
    }
    let above = LEVELS.into_iter().find(|level| *level >= asked.value);
    let level = above.unwrap_or(Effort::High);
    if level != asked.value {
        losses.change_field(asked.name);
    }
    if is_nova { Plan::Nova(level) } else { Plan::Effort(level) }
}
