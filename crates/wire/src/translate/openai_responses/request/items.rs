//! Reads `input` into turns. Neighbouring items of one author become one turn, so that reasoning,
//! texts and calls of one answer stand together again.

use serde_json::value::RawValue;

use crate::translate::carrier::{self, Owner};
use crate::translate::json::{JsonText, List};
use crate::translate::loss::{Losses, Refused};
use crate::translate::neutral::{
    Arguments, Opaque, Part, PartKind, Place, Reasoning, Request, Role, TextPart, ToolCall,
    ToolResult, history,
};
use crate::translate::openai;
use crate::translate::read::parse;

use super::content::Content;
use super::fields::{Item, Thought};
use super::{NAMES, tools};

/// Items of stored objects.
const STORED: &str = "items that OpenAI stores cannot be used; send the content of the item";

/// Reads the instructions and the items.
pub(crate) fn read<'a>(
    instructions: Option<JsonText<'a>>,
    input: Option<&'a RawValue>,
    request: &mut Request<'a>,
    losses: &mut Losses,
) -> Result<(), Refused> {
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        let text = Part::new(PartKind::Text(TextPart::plain(text)), Place::default());
        history::push(&mut request.turns, Role::System, text);
    }
    let Some(input) = input else {
        return Err(Refused::invalid("input", "`input` is missing"));
    };
    let mut reader = Reader { request, losses, index: 0, signature: None };
    if input.get().starts_with('"') {
        let place = Place { message: Some(0), part: None };
        let text = PartKind::Text(TextPart::plain(parse(input, "input")?));
        reader.push(Role::User, Part::new(text, place));
        return Ok(());
    }
    let List(items): List<&'a RawValue> = parse(input, "input")?;
    for (index, json) in items.into_iter().enumerate() {
        reader.index = u32::try_from(index).unwrap_or(u32::MAX);
        let item: Item<'a> = parse(json, format_args!("input[{index}]"))?;
        reader.item(item)?;
    }
    reader.forget_signature();
    Ok(())
}

struct Reader<'r, 'a> {
    request: &'r mut Request<'a>,
    losses: &'r mut Losses,
    /// The index of the item.
    index: u32,
    /// Opaque data for the call that follows.
    signature: Option<Opaque<'a>>,
}

impl<'a> Reader<'_, 'a> {
    fn item(&mut self, item: Item<'a>) -> Result<(), Refused> {
        let kind = item.kind.as_ref().map(|kind| kind.plain().into_owned());
        let kind = kind.unwrap_or_else(|| untyped(&item).to_owned());
        if !matches!(kind.as_str(), "function_call" | "custom_tool_call" | "reasoning") {
            self.forget_signature();
        }
        match kind.as_str() {
            "message"
            | "function_call"
            | "function_call_output"
            | "custom_tool_call"
            | "custom_tool_call_output"
            | "reasoning" => self.note_unknown(&item),
            "item_reference" => return Err(self.unsupported(STORED)),
            "compaction" | "compaction_trigger" | "compaction_summary" => {
                return Err(self.unsupported("only OpenAI can read its own compaction"));
            }
            _ => {
                let kind = JsonText::from_plain(kind);
                let text = "is of a kind that the model's provider does not have";
                return Err(self.unsupported(&format!("an item of the type `{kind:?}` {text}")));
            }
        }
        match kind.as_str() {
            "message" => self.message(item),
            "function_call" => {
                let arguments = Arguments::Text(self.string(item.arguments, "arguments")?);
                self.call(item.call_id, item.namespace, item.name, arguments)
            }
            "custom_tool_call" => {
                let input = Arguments::Custom(self.string(item.input, "input")?);
                self.call(item.call_id, item.namespace, item.name, input)
            }
            "reasoning" => self.reasoning(item),
            _ => self.result(item),
        }
    }

    fn place(&self) -> Place {
        Place { message: Some(self.index), part: None }
    }

    fn name(&self) -> String {
        NAMES.place(self.place())
    }

    fn push(&mut self, role: Role, part: Part<'a>) {
        history::push(&mut self.request.turns, role, part);
    }

    /// The item is wrong.
    fn invalid(&self, text: &str) -> Refused {
        let name = self.name();
        Refused::invalid(name.clone(), format!("`{name}` {text}"))
    }

    fn unsupported(&self, text: &str) -> Refused {
        Refused::unsupported(self.name(), text)
    }

    fn note_unknown(&mut self, item: &Item<'a>) {
        self.losses.drop_unknown("input[].", &item.unknown);
        let is_direct = |json: &str| json.contains("\"direct\"");
        if item.caller.as_ref().is_some_and(|caller| !is_direct(caller.json())) {
            self.losses.drop_field("input[].caller");
        }
        if item.is_async.as_ref().is_some_and(|wanted| wanted.json() == "true") {
            self.losses.drop_field("input[].async");
        }
    }

    /// A field that must be a string; absent is empty.
    fn string(&self, json: Option<&'a RawValue>, field: &str) -> Result<JsonText<'a>, Refused> {
        match json {
            Some(json) => parse(json, format_args!("{}.{field}", self.name())),
            None => Ok(JsonText::default()),
        }
    }

    // ---- messages -------------------------------------------------------------------------------

    fn message(&mut self, item: Item<'a>) -> Result<(), Refused> {
        let role = match &*item.role.as_ref().map(JsonText::plain).unwrap_or_default() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" | "developer" => Role::System,
            _ => return Err(self.invalid("has a role that is not known")),
        };
        let place = self.place();
        let parts = Content { losses: self.losses, place, is_output: false }.read(item.content)?;
        for part in parts {
            if role != Role::User && !matches!(part.kind, PartKind::Text(_)) {
                let name = NAMES.place(part.place);
                let text = format!("`{name}`: only a message of the user can have more than text");
                return Err(Refused::invalid(name, text));
            }
            self.push(role, part);
        }
        Ok(())
    }

    // ---- tools ----------------------------------------------------------------------------------

    fn call(
        &mut self,
        id: Option<JsonText<'a>>,
        namespace: Option<JsonText<'a>>,
        name: Option<JsonText<'a>>,
        arguments: Arguments<'a>,
    ) -> Result<(), Refused> {
        let (Some(id), Some(name)) = (id, name) else {
            return Err(self.invalid("is a call without a `call_id` or a `name`"));
        };
        let name = match namespace.filter(|namespace| !namespace.is_empty()) {
            Some(namespace) => tools::flattened_name(&namespace, &name)
                .ok_or_else(|| self.unsupported(tools::LONG_NAME))?,
            None => name,
        };
        let call = ToolCall { id, name, arguments, signature: self.signature.take() };
        self.push(Role::Assistant, Part::new(PartKind::ToolCall(call), self.place()));
        Ok(())
    }

    fn result(&mut self, item: Item<'a>) -> Result<(), Refused> {
        let Some(call_id) = item.call_id else {
            return Err(self.invalid("is the result of a call and has no `call_id`"));
        };
        let place = self.place();
        let mut content =
            Content { losses: self.losses, place, is_output: true }.read(item.output)?;
        let cache = openai::take_marks(&mut content);
        let result = ToolResult { call_id, name: JsonText::default(), content, is_error: false };
        self.push(Role::User, Part { kind: PartKind::ToolResult(result), cache, place });
        Ok(())
    }

    // ---- reasoning ------------------------------------------------------------------------------

    /// A reasoning item: thinking, or a carrier of what belongs to a call or a text.
    fn reasoning(&mut self, item: Item<'a>) -> Result<(), Refused> {
        let summary = self.thoughts(item.summary, "summary")?;
        let content = self.thoughts(item.content, "content")?;
        let is_there = |data: &JsonText<'_>| !data.is_empty() && !data.is(carrier::NOTHING);
        let carried = item.encrypted_content.filter(is_there).and_then(|data| {
            let carried = carrier::decode(data.escaped());
            if carried.is_none() {
                // OpenAI's own, or a carrier that has been changed.
                self.losses.drop_hint("reasoning");
            }
            carried
        });
        let opaque = match carried {
            Some((opaque, Owner::Call)) => {
                self.forget_signature();
                self.signature = Some(opaque);
                None
            }
            Some((opaque, Owner::Text)) => {
                self.sign_text(opaque);
                None
            }
            Some((opaque, Owner::Thinking)) => Some(opaque),
            None => None,
        };
        // Signed text must come back as it was, which is the summary.
        let (text, other) = match (opaque.is_some() || content.is_empty(), summary, content) {
            (true, summary, content) => (summary, content),
            (false, summary, content) => (content, summary),
        };
        if !other.is_empty() {
            self.losses.drop_hint("reasoning");
        }
        if !text.is_empty() || opaque.is_some() {
            self.forget_signature();
            let reasoning = PartKind::Reasoning(Reasoning { text, opaque });
            self.push(Role::Assistant, Part::new(reasoning, self.place()));
        }
        Ok(())
    }

    /// The texts of a list, as one.
    fn thoughts(&self, json: Option<&'a RawValue>, field: &str) -> Result<JsonText<'a>, Refused> {
        let Some(json) = json else { return Ok(JsonText::default()) };
        let List(thoughts): List<Thought<'a>> =
            parse(json, format_args!("{}.{field}", self.name()))?;
        let mut thoughts = thoughts.into_iter().filter_map(|thought| thought.text);
        let mut joined = thoughts.next().unwrap_or_default();
        for text in thoughts {
            joined.push(&JsonText::from_plain("\n\n"));
            joined.push(&text);
        }
        Ok(joined)
    }

    /// Signs the text just before, or an empty one.
    fn sign_text(&mut self, opaque: Opaque<'a>) {
        let last = self.request.turns.last_mut().filter(|turn| turn.role == Role::Assistant);
        let last = last.and_then(|turn| turn.parts.last_mut()).map(|part| &mut part.kind);
        if let Some(PartKind::Text(text @ TextPart { signature: None, .. })) = last {
            text.signature = Some(opaque);
            return;
        }
        let text = TextPart { signature: Some(opaque), ..TextPart::default() };
        self.push(Role::Assistant, Part::new(PartKind::Text(text), self.place()));
    }

    /// No call has followed the data that belongs to one.
    fn forget_signature(&mut self) {
        if self.signature.take().is_some() {
            self.losses.drop_hint("reasoning");
        }
    }
}

/// The type of an item without one: a message, or the id of a stored item.
fn untyped(item: &Item<'_>) -> &'static str {
    match (&item.role, &item.id) {
        (None, Some(_)) => "item_reference",
        _ => "message",
    }
}
