//! Whole answers of `responses`, written.

use crate::translate::Context;
use crate::translate::carrier::{self, Owner};
use crate::translate::error::Invalid;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::neutral::{
    Answer, Arguments, Opaque, Part, PartKind, Reasoning, Stop, TextPart, ToolCall,
};

use super::item::{self, Call};
use super::response::{self, Status};

/// Writes a whole answer. Texts that follow each other are parts of one message. The last message
/// or call of an answer that was cut off stays as it is, and is marked as incomplete.
pub(crate) fn write(
    answer: &Answer<'_>,
    context: &Context,
    out: &mut Vec<u8>,
) -> Result<(), Invalid> {
    let is_refusal = |part: &Part<'_>| matches!(&part.kind, PartKind::Text(t) if t.is_refusal);
    let has_refusal_part = answer.parts.iter().any(is_refusal);
    let status = Status::of(answer.stop, has_refusal_part);
    let logprobs = answer.logprobs.as_ref().filter(|_| item::wants_logprobs(context));
    let logprobs = logprobs.map_or("", |list| item::entries(list.json()));
    let mut writer = Writer {
        context,
        is_incomplete: status.is_incomplete(),
        logprobs,
        output: Vec::new(),
        items: 0,
        calls: 0,
        message: Vec::new(),
    };
    let last = answer.parts.iter().rposition(has_content);
    for (index, part) in answer.parts.iter().enumerate() {
        let is_last = last.is_none_or(|last| index >= last);
        match &part.kind {
            PartKind::Text(text) => writer.text(text, is_last),
            PartKind::Reasoning(_) if !has_content(part) => {}
            PartKind::Reasoning(reasoning) => writer.reasoning(reasoning),
            PartKind::ToolCall(call) => writer.call(call, is_last),
            _ => return Err(Invalid::new("the answer has a part that cannot be carried")),
        }
    }
    if let (Stop::Refusal, false, Some(text)) = (answer.stop, has_refusal_part, &answer.refusal) {
        writer.part(|part| item::write_refusal(text, part));
    }
    writer.end_message(true);
    let Writer { output, .. } = writer;
    let mut object = JsonObject::new(out);
    response::write(context, &answer.model, status, &output, answer.usage.as_ref(), &mut object);
    Ok(())
}

/// Whether a part becomes a part of an item, or an item.
fn has_content(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text(text) => !text.text.is_empty(),
        PartKind::Reasoning(reasoning) => !reasoning.text.is_empty() || reasoning.opaque.is_some(),
        _ => true,
    }
}

struct Writer<'w> {
    context: &'w Context,
    is_incomplete: bool,
    /// Entries that the first text has not taken yet.
    logprobs: &'w str,
    /// The items, with commas between them.
    output: Vec<u8>,
    items: u32,
    calls: u32,
    /// The parts of the message that is not ended yet.
    message: Vec<u8>,
}

impl Writer<'_> {
    fn item(&mut self, write: impl FnOnce(&mut JsonObject<'_>)) {
        if self.items > 0 {
            self.output.push(b',');
        }
        self.items += 1;
        write(&mut JsonObject::new(&mut self.output));
    }

    fn part(&mut self, write: impl FnOnce(&mut JsonObject<'_>)) {
        if !self.message.is_empty() {
            self.message.push(b',');
        }
        write(&mut JsonObject::new(&mut self.message));
    }

    /// Ends the message, if there is one. `is_last`: the answer ends in it.
    fn end_message(&mut self, is_last: bool) {
        let parts = std::mem::take(&mut self.message);
        if parts.is_empty() {
            return;
        }
        let id = item::id(self.context, "msg_", self.items);
        let status = self.status(is_last);
        self.item(|object| item::write_message(&id, status, &parts, object));
    }

    /// The status of an item: the last one of an incomplete answer is incomplete.
    fn status(&self, is_last: bool) -> &'static str {
        if is_last && self.is_incomplete { "incomplete" } else { "completed" }
    }

    fn text(&mut self, text: &TextPart<'_>, is_last: bool) {
        match (text.text.is_empty(), text.is_refusal) {
            (true, _) => {}
            (false, true) => self.part(|part| item::write_refusal(&text.text, part)),
            (false, false) => {
                let logprobs = std::mem::take(&mut self.logprobs);
                self.part(|part| item::write_text(&text.text, logprobs, part));
            }
        }
        if let Some(signature) = &text.signature {
            self.end_message(is_last);
            self.reasoning_item(&JsonText::default(), Some((signature, Owner::Text)));
        }
    }

    fn reasoning(&mut self, reasoning: &Reasoning<'_>) {
        self.end_message(false);
        let carried = reasoning.opaque.as_ref().map(|opaque| (opaque, Owner::Thinking));
        self.reasoning_item(&reasoning.text, carried);
    }

    fn reasoning_item(&mut self, text: &JsonText<'_>, carried: Option<(&Opaque<'_>, Owner)>) {
        let id = item::id(self.context, "rs_", self.items);
        let carrier = carried.map(|(opaque, owner)| carrier::encode(opaque, owner));
        let carrier = carrier.as_deref().unwrap_or(carrier::NOTHING);
        self.item(|object| item::write_reasoning(&id, text, Some(carrier), object));
    }

    fn call(&mut self, call: &ToolCall<'_>, is_last: bool) {
        self.end_message(false);
        if let Some(signature) = &call.signature {
            self.reasoning_item(&JsonText::default(), Some((signature, Owner::Call)));
        }
        let item = Call::new(self.context, self.items, self.calls, &call.id, &call.name);
        self.calls += 1;
        let status = self.status(is_last);
        let input = match &call.arguments {
            Arguments::Custom(input) if item.is_custom => input.borrow(),
            Arguments::Text(text) => item.input(text, is_last && self.is_incomplete),
            arguments => item.input(&arguments.as_text(), false).into_owned(),
        };
        self.item(|object| item.write(status, &input, object));
    }
}
