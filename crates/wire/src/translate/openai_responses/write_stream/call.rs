//! The events of reasoning and of calls.

use crate::translate::carrier;
use crate::translate::json::{JsonObject, JsonText};

use super::super::item::{self, Call};
use super::{OpenCall, OpenReasoning, Writer};

impl Writer {
    /// Begins the item; returns its id and its place.
    pub(crate) fn begin_reasoning(
        &mut self,
        open: &mut OpenReasoning,
        out: &mut Vec<u8>,
    ) -> (String, u32) {
        if let Some(item) = &open.item {
            return item.clone();
        }
        self.end_message(false, out);
        let output_index = self.next_item();
        let id = item::id(&self.context, "rs_", output_index);
        self.added(output_index, out, |item| {
            item::write_reasoning(&id, &JsonText::default(), None, item);
        });
        open.item = Some((id.clone(), output_index));
        (id, output_index)
    }

    pub(crate) fn reasoning_delta(
        &mut self,
        open: &mut OpenReasoning,
        text: &JsonText<'_>,
        out: &mut Vec<u8>,
    ) {
        let (id, output_index) = self.begin_reasoning(open, out);
        if open.text.is_empty() {
            let kind = "response.reasoning_summary_part.added";
            self.summary_event(kind, &id, output_index, out, |event| {
                write_summary(&JsonText::default(), &mut event.object("part"));
            });
        }
        open.text.push(text);
        let kind = "response.reasoning_summary_text.delta";
        self.summary_event(kind, &id, output_index, out, |event| event.text("delta", text));
    }

    pub(crate) fn summary_event(
        &mut self,
        kind: &str,
        id: &str,
        output_index: u32,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut JsonObject<'_>),
    ) {
        self.events.write(kind, out, |event| {
            event.str("item_id", id);
            event.number("output_index", u64::from(output_index));
            event.number("summary_index", 0);
            fields(event);
        });
    }

    pub(crate) fn end_reasoning(&mut self, open: OpenReasoning, out: &mut Vec<u8>) {
        let OpenReasoning { item: Some((id, output_index)), text, carrier } = open else { return };
        if !text.is_empty() {
            let kind = "response.reasoning_summary_text.done";
            self.summary_event(kind, &id, output_index, out, |event| event.text("text", &text));
            let kind = "response.reasoning_summary_part.done";
            self.summary_event(kind, &id, output_index, out, |event| {
                write_summary(&text, &mut event.object("part"));
            });
        }
        let carrier = carrier.as_deref().unwrap_or(carrier::NOTHING);
        self.done(output_index, out, |item| {
            item::write_reasoning(&id, &text, Some(carrier), item);
        });
    }

    pub(crate) fn begin_call(
        &mut self,
        id: &JsonText<'_>,
        name: &JsonText<'_>,
        out: &mut Vec<u8>,
    ) -> OpenCall {
        let output_index = self.next_item();
        let item = Call::new(&self.context, output_index, self.calls, id, name);
        self.calls += 1;
        self.added(output_index, out, |object| {
            item.write("in_progress", &JsonText::default(), object);
        });
        OpenCall { item, output_index, arguments: JsonText::default() }
    }

    pub(crate) fn call_delta(&mut self, call: &OpenCall, text: &JsonText<'_>, out: &mut Vec<u8>) {
        let kind = match call.item.is_custom {
            true => "response.custom_tool_call_input.delta",
            false => "response.function_call_arguments.delta",
        };
        self.events.write(kind, out, |event| {
            event.str("item_id", &call.item.id);
            event.number("output_index", u64::from(call.output_index));
            event.text("delta", text);
        });
    }

    /// Ends the call, if there is one. `is_cut`: the answer was cut off in it.
    pub(crate) fn end_call(&mut self, is_cut: bool, out: &mut Vec<u8>) {
        let Some(call) = self.call.take() else { return };
        let input = call.item.input(&call.arguments, is_cut);
        if call.item.is_custom || input != call.arguments {
            self.call_delta(&call, &input, out);
        }
        let (kind, field) = match call.item.is_custom {
            true => ("response.custom_tool_call_input.done", "input"),
            false => ("response.function_call_arguments.done", "arguments"),
        };
        self.events.write(kind, out, |event| {
            event.str("item_id", &call.item.id);
            event.number("output_index", u64::from(call.output_index));
            if !call.item.is_custom {
                event.text("name", &call.item.name);
            }
            event.text(field, &input);
        });
        let status = if is_cut { "incomplete" } else { "completed" };
        self.done(call.output_index, out, |item| call.item.write(status, &input, item));
    }
}

fn write_summary(text: &JsonText<'_>, object: &mut JsonObject<'_>) {
    object.str("type", "summary_text");
    object.text("text", text);
}
