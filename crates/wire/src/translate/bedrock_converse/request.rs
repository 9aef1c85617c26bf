//! Writes a request.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::translate::form::{Form, write_stops, write_temperature};
use crate::translate::json::{JsonObject, Raw};
use crate::translate::loss::{Losses, Refused};
use crate::translate::marks::Marks;
use crate::translate::model::Sampling;
use crate::translate::neutral::{CacheMark, PartKind, Request, Role, Tier, Vendor, history};
use crate::translate::{Operation, Target, Written, path, tools as all_tools};

use super::messages;
use super::thinking::Plan;
use super::tools::{self, Choice};

/// Pairs of `requestMetadata`.
const PAIRS_MAX: usize = 16;
/// Characters of a key or a value in it.
const PAIR_CHARS_MAX: usize = 256;

/// Writes a request for this target.
pub(crate) fn write(
    request: &mut Request<'_>,
    target: &Target<'_>,
    operation: Operation,
    losses: &mut Losses,
) -> Result<Written, Refused> {
    prepare(request, target, losses)?;
    let counts = operation == Operation::CountTokens;
    let choice = Choice::of(request, target, losses)?;
    let plan = Plan::of(request, target, choice.is_forced, losses);
    let is_claude = target.facts.vendor == Vendor::Anthropic;
    let form = Form::of(request, target.facts.structured, is_claude, losses);
    let mut marks = messages::marks(request, target);
    let mut body = Vec::with_capacity(1 << 10);
    {
        let mut object = JsonObject::new(&mut body);
        let content = Content { target, choice: &choice, form: &form };
        if counts {
            let mut input = object.object("input");
            content.write(request, &mut marks, losses, &mut input.object("converse"))?;
            forget_options(request);
        } else {
            content.write(request, &mut marks, losses, &mut object)?;
            write_inference(request, target, &plan, losses, &mut object)?;
            write_model_fields(request, target, &plan, losses, &mut object);
            write_form(&form, &mut object);
            write_labels(request, losses, &mut object);
        }
    }
    request.note_rest(losses);
    let method = match (counts, request.stream) {
        (true, _) => "count-tokens",
        (false, true) => "converse-stream",
        (false, false) => "converse",
    };
    let path = Cow::Owned(format!("/model/{}/{method}", path::segment(target.model)));
    Ok(Written { body, path, headers: Vec::new() })
}

/// Puts the turns into the form that the model takes.
fn prepare(
    request: &mut Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    if let Some(n) = request.n.take() {
        let text = "the model's provider gives one answer per call";
        return Err(Refused::unsupported(n.name, text));
    }
    history::leave_out_blank(request)?;
    let vendor = target.facts.vendor;
    history::leave_out_foreign(request, losses, |opaque| {
        opaque.vendor == vendor && matches!(vendor, Vendor::Anthropic | Vendor::Amazon)
    });
    if !target.facts.mid_system {
        history::system_as_text(&mut request.turns);
    }
    all_tools::leave_out_hosted(request, losses)?;
    if let Some(cache) = request.cache.take_if(|_| target.facts.cache_marks) {
        mark_last(request, cache.value);
    }
    Ok(())
}

/// A mark on the request is one on its end.
fn mark_last(request: &mut Request<'_>, mark: CacheMark) {
    let last = request.turns.last_mut().and_then(|turn| turn.parts.last_mut());
    if let Some(part) = last {
        part.cache = part.cache.or(Some(mark));
    }
}

fn write_form(form: &Form, object: &mut JsonObject<'_>) {
    let Some(schema) = &form.schema else { return };
    let mut config = object.object("outputConfig");
    let mut format = config.object("textFormat");
    format.str("type", "json_schema");
    let mut structure = format.object("structure");
    let mut json_schema = structure.object("jsonSchema");
    json_schema.json_in_string("schema", schema.json());
    if let Some(name) = &form.name {
        json_schema.text("name", name);
    }
    if let Some(description) = &form.description {
        json_schema.text("description", &description.value);
    }
}

/// The fields on which the number of tokens depends.
struct Content<'c> {
    target: &'c Target<'c>,
    choice: &'c Choice,
    form: &'c Form,
}

impl Content<'_> {
    /// Writes tools, system prompt and messages, in the order in which they are cached, so that the
    /// first marks of too many are given up.
    fn write(
        &self,
        request: &Request<'_>,
        marks: &mut Marks,
        losses: &mut Losses,
        object: &mut JsonObject<'_>,
    ) -> Result<(), Refused> {
        tools::write(request, self.target, self.choice, marks, losses, object)?;
        self.write_system(request, marks, losses, object);
        messages::write(request, self.target, marks, losses, object)
    }

    fn write_system(
        &self,
        request: &Request<'_>,
        marks: &mut Marks,
        losses: &mut Losses,
        object: &mut JsonObject<'_>,
    ) {
        let turn = request.turns.first().filter(|turn| turn.role == Role::System);
        if turn.is_none() && self.form.line.is_none() {
            return;
        }
        let mut list = object.list("system");
        for part in turn.iter().flat_map(|turn| &turn.parts) {
            if let PartKind::Text(text) = &part.kind {
                list.object().text("text", &text.text);
                let mark = marks.next(part.cache, request.names.cache, losses);
                messages::write_mark(mark, self.target, &mut list);
            }
        }
        if let Some(line) = &self.form.line {
            list.object().text("text", line);
        }
    }
}

/// Takes the options that a number of tokens does not depend on.
fn forget_options(request: &mut Request<'_>) {
    (request.temperature, request.top_p, request.top_k, request.stop) = (None, None, None, None);
    (request.user, request.safety_identifier, request.metadata) = (None, None, None);
    (request.service_tier, request.show_thinking, request.max_tokens) = (None, None, None);
}

fn write_inference(
    request: &mut Request<'_>,
    target: &Target<'_>,
    plan: &Plan,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) -> Result<(), Refused> {
    let mut config = Vec::new();
    {
        let mut config = JsonObject::new(&mut config);
        if let Some(most) = &request.max_tokens {
            if most.value == 0 {
                let text = "a request for no tokens only warms a cache, which the model's \
                            provider does not offer";
                return Err(Refused::unsupported(most.name, text));
            }
            config.number("maxTokens", most.value);
        }
        write_sampling(request, target, plan, losses, &mut config);
        write_stops(request, "stopSequences", losses, &mut config);
    }
    if config != b"{}" {
        object.json("inferenceConfig", std::str::from_utf8(&config).unwrap_or("{}"));
    }
    Ok(())
}

fn write_sampling(
    request: &mut Request<'_>,
    target: &Target<'_>,
    plan: &Plan,
    losses: &mut Losses,
    config: &mut JsonObject<'_>,
) {
    if target.facts.sampling == Sampling::No {
        return;
    }
    let thinks = plan.is_claude_thinking();
    let temperature = request.temperature.take();
    let has_temperature =
        temperature.is_some_and(|field| write_temperature(&field, thinks, losses, config));
    if let Some(field) = request.top_p.take() {
        let is_both = has_temperature && target.facts.sampling == Sampling::NotBoth;
        if is_both || thinks && field.value.value() < 0.95 {
            losses.drop_field(field.name);
        } else {
            config.carried_number("topP", &field.value);
        }
    }
}

/// Writes the fields that are the model's own.
fn write_model_fields(
    request: &mut Request<'_>,
    target: &Target<'_>,
    plan: &Plan,
    losses: &mut Losses,
    object: &mut JsonObject<'_>,
) {
    let mut fields = Vec::new();
    {
        let mut fields = JsonObject::new(&mut fields);
        let is_claude = target.facts.vendor == Vendor::Anthropic;
        let takes_top_k =
            is_claude && target.facts.sampling != Sampling::No && !plan.is_claude_thinking();
        if let Some(top_k) = request.top_k.take() {
            if takes_top_k {
                fields.carried_number("top_k", &top_k.value);
            } else {
                losses.drop_field(top_k.name);
            }
        }
        plan.write(&mut fields);
    }
    if fields != b"{}" {
        let fields = std::str::from_utf8(&fields).unwrap_or("{}");
        object.json("additionalModelRequestFields", fields);
    }
    if target.facts.vendor == Vendor::Anthropic {
        // Which one ended the answer is not told otherwise.
        object.list("additionalModelResponseFieldPaths").str("/stop_sequence");
    }
}

/// Writes what does not change the answer.
fn write_labels(request: &mut Request<'_>, losses: &mut Losses, object: &mut JsonObject<'_>) {
    if let Some(metadata) = request.metadata.take() {
        if is_request_metadata(&metadata.value) {
            object.raw("requestMetadata", &metadata.value);
        } else if metadata.value.json() != "{}" {
            losses.drop_field(metadata.name);
        }
    }
    let Some(tier) = request.service_tier.take() else { return };
    let word = match tier.value {
        Tier::Auto => return,
        Tier::Default => "default",
        Tier::Flex => "flex",
        Tier::Priority => "priority",
        Tier::Other => {
            losses.drop_field(tier.name);
            return;
        }
    };
    object.object("serviceTier").str("type", word);
}

/// Whether these are pairs that can be filtered for in the provider's log.
fn is_request_metadata(metadata: &Raw<'_>) -> bool {
    let Ok(pairs) = metadata.read::<HashMap<Cow<'_, str>, String>>() else { return false };
    let fits = |text: &str| {
        let is_allowed = |c: char| {
            c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c)
        };
        text.len() <= PAIR_CHARS_MAX && text.chars().all(is_allowed)
    };
    (1..=PAIRS_MAX).contains(&pairs.len())
        && pairs.iter().all(|(key, value)| !key.is_empty() && fits(key) && fits(value))
}
