//! The events of texts and of the messages that they are parts of.

use crate::translate::json::{JsonObject, JsonText, Raw};

use super::super::item;
use super::{Message, Open, OpenText, Writer};

impl Writer {
    /// Begins the part of a text, and a message if there is none.
    pub(crate) fn begin_part(&mut self, open: &mut OpenText, out: &mut Vec<u8>) {
        if std::mem::replace(&mut open.has_begun, true) {
            return;
        }
        self.has_refused |= open.is_refusal;
        if self.message.as_ref().is_some_and(|message| message.carrier.is_some()) {
            self.end_message(false, out);
        }
        if self.message.is_none() {
            let output_index = self.next_item();
            let id = item::id(&self.context, "msg_", output_index);
            self.added(output_index, out, |item| {
                item::write_message(&id, "in_progress", b"", item);
            });
            self.message =
                Some(Message { id, output_index, parts: Vec::new(), count: 0, carrier: None });
        }
        if let Some(message) = &mut self.message {
            message.count += 1;
        }
        self.part_event("response.content_part.added", out, |event| {
            write_part(open.is_refusal, &JsonText::default(), "", &mut event.object("part"));
        });
    }

    /// An event of the last part of the message.
    pub(crate) fn part_event(
        &mut self,
        kind: &str,
        out: &mut Vec<u8>,
        fields: impl FnOnce(&mut JsonObject<'_>),
    ) {
        let Some(message) = &self.message else { return };
        self.events.write(kind, out, |event| {
            event.str("item_id", &message.id);
            event.number("output_index", u64::from(message.output_index));
            event.number("content_index", u64::from(message.count - 1));
            fields(event);
        });
    }

    pub(crate) fn text_delta(
        &mut self,
        is_refusal: bool,
        text: &JsonText<'_>,
        logprobs: &str,
        out: &mut Vec<u8>,
    ) {
        if is_refusal {
            self.part_event("response.refusal.delta", out, |event| event.text("delta", text));
            return;
        }
        self.part_event("response.output_text.delta", out, |event| {
            event.text("delta", text);
            item::write_logprobs(logprobs, event);
        });
    }

    /// Writes the text that waits, with its log probabilities if they have come.
    pub(crate) fn write_waiting(&mut self, list: Option<&Raw<'_>>, out: &mut Vec<u8>) {
        let Open::Text(open) = &mut self.open else { return };
        let list = list.filter(|_| self.wants_logprobs);
        let entries = list.map_or("", |list| item::entries(list.json()));
        if !entries.is_empty() && !open.is_refusal {
            if !open.logprobs.is_empty() {
                open.logprobs.push(',');
            }
            open.logprobs.push_str(entries);
        }
        if let Some(text) = open.waiting.take() {
            self.text_delta(false, &text, entries, out);
        }
    }

    pub(crate) fn end_text(&mut self, open: OpenText, out: &mut Vec<u8>) {
        let OpenText { is_refusal, has_begun, text, logprobs, carrier, .. } = open;
        if has_begun {
            let (kind, name) = match is_refusal {
                true => ("response.refusal.done", "refusal"),
                false => ("response.output_text.done", "text"),
            };
            self.part_event(kind, out, |event| {
                event.text(name, &text);
                if !is_refusal {
                    item::write_logprobs(&logprobs, event);
                }
            });
            self.part_event("response.content_part.done", out, |event| {
                write_part(is_refusal, &text, &logprobs, &mut event.object("part"));
            });
            if let Some(message) = &mut self.message {
                if !message.parts.is_empty() {
                    message.parts.push(b',');
                }
                let mut part = JsonObject::new(&mut message.parts);
                write_part(is_refusal, &text, &logprobs, &mut part);
            }
        }
        let Some(carrier) = carrier else { return };
        match &mut self.message {
            Some(message) if message.carrier.is_none() => message.carrier = Some(carrier),
            Some(_) => {
                self.end_message(false, out);
                self.carrier_item(&carrier, out);
            }
            None => self.carrier_item(&carrier, out),
        }
    }

    /// Ends the message, if there is one. `is_cut`: the answer was cut off in it.
    pub(crate) fn end_message(&mut self, is_cut: bool, out: &mut Vec<u8>) {
        let Some(message) = self.message.take() else { return };
        let status = if is_cut { "incomplete" } else { "completed" };
        self.done(message.output_index, out, |item| {
            item::write_message(&message.id, status, &message.parts, item);
        });
        if let Some(carrier) = message.carrier {
            self.carrier_item(&carrier, out);
        }
    }
}

fn write_part(is_refusal: bool, text: &JsonText<'_>, logprobs: &str, object: &mut JsonObject<'_>) {
    if is_refusal {
        item::write_refusal(text, object);
    } else {
        item::write_text(text, logprobs, object);
    }
}
