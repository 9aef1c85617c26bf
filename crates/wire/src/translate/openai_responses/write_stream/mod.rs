//! Writes a streamed answer as the events of `responses`.
//!
//! The last event repeats the whole answer, so it is held, within the bound. An item is ended when
//! the next one begins or the answer ends: only then it is known whether it was cut off.

mod call;
mod text;

use crate::translate::Context;
use crate::translate::carrier::{self, Owner};
use crate::translate::error::Invalid;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::neutral::{Block, Event, Opaque, Stop};
use crate::translate::sides::{Bounds, WriteStream};
use crate::usage::TokenUsage;

use super::item::{self, Call};
use super::response::{self, Status};

/// A writer for this answer.
pub(crate) fn boxed(context: &Context, bounds: Bounds) -> Box<dyn WriteStream> {
    Box::new(Writer {
        wants_logprobs: item::wants_logprobs(context),
        context: context.clone(),
        held_bytes_max: bounds.held_bytes_max,
        events: Events { next: 0 },
        model: JsonText::default(),
        output: Vec::new(),
        items: 0,
        calls: 0,
        open: Open::Nothing,
        message: None,
        call: None,
        has_refused: false,
        status: Status::of(Stop::EndTurn, false),
        usage: None,
    })
}

struct Writer {
    context: Context,
    held_bytes_max: usize,
    wants_logprobs: bool,
    events: Events,
    model: JsonText<'static>,
    /// The ended items, with commas between them.
    output: Vec<u8>,
    /// Items so far, the one that is not ended included.
    items: u32,
    /// Calls so far.
    calls: u32,
    open: Open,
    /// The message that is not ended yet.
    message: Option<Message>,
    /// The call that is not ended yet, whose arguments are all here.
    call: Option<OpenCall>,
    has_refused: bool,
    status: Status,
    usage: Option<TokenUsage>,
}

/// The open block.
enum Open {
    Nothing,
    Text(OpenText),
    Reasoning(OpenReasoning),
    Call(OpenCall),
}

#[derive(Default)]
struct OpenText {
    is_refusal: bool,
    /// Its part has begun; it does with the first character.
    has_begun: bool,
    text: JsonText<'static>,
    /// Entries of the list of log probabilities.
    logprobs: String,
    /// Text that waits for its log probabilities.
    waiting: Option<JsonText<'static>>,
    carrier: Option<String>,
}

#[derive(Default)]
struct OpenReasoning {
    /// Its id and its place, once it has begun.
    item: Option<(String, u32)>,
    text: JsonText<'static>,
    carrier: Option<String>,
}

struct OpenCall {
    item: Call,
    output_index: u32,
    arguments: JsonText<'static>,
}

struct Message {
    id: String,
    output_index: u32,
    /// The ended parts, with commas between them.
    parts: Vec<u8>,
    /// Parts so far, the open one included.
    count: u32,
    /// The carrier of the last text; its item follows the message.
    carrier: Option<String>,
}

/// Numbers the events.
struct Events {
    next: u64,
}

impl Events {
    fn write(&mut self, kind: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut JsonObject<'_>)) {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: ");
        {
            let mut object = JsonObject::new(out);
            object.str("type", kind);
            object.number("sequence_number", self.next);
            fields(&mut object);
        }
        out.extend_from_slice(b"\n\n");
        self.next += 1;
    }
}

impl WriteStream for Writer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if !matches!(event, Event::Logprobs(_)) {
            self.write_waiting(None, out);
        }
        match event {
            Event::Start { model } => self.start(model, out),
            Event::Open(block) => self.open(block, out),
            Event::Delta(text) => self.delta(text, out),
            Event::Signature(opaque) => self.sign(opaque, out),
            Event::Logprobs(list) => self.write_waiting(Some(list), out),
            Event::Close => self.close(out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Stop { stop, refusal, .. } => self.stop(*stop, refusal.as_ref(), out),
            Event::End => self.end(out),
            Event::Failed(_) => {}
        }
        if self.held_bytes() > self.held_bytes_max {
            return Err(Invalid::new("the answer is longer than what can be held"));
        }
        Ok(())
    }

    fn next_sequence_number(&self) -> u64 {
        self.events.next
    }
}

impl Writer {
    fn held_bytes(&self) -> usize {
        let open = match &self.open {
            Open::Nothing => 0,
            Open::Text(open) => open.text.len() + open.logprobs.len(),
            Open::Reasoning(open) => open.text.len() + open.carrier.as_ref().map_or(0, String::len),
            Open::Call(open) => open.arguments.len(),
        };
        let call = self.call.as_ref().map_or(0, |call| call.arguments.len());
        let message = self.message.as_ref().map_or(0, |message| message.parts.len());
        open + call + message + self.output.len()
    }

    fn start(&mut self, model: &JsonText<'_>, out: &mut Vec<u8>) {
        self.model = model.clone().into_owned();
        for kind in ["response.created", "response.in_progress"] {
            self.response(kind, Status::IN_PROGRESS, out);
        }
    }

    /// An event with the whole object.
    fn response(&mut self, kind: &str, status: Status, out: &mut Vec<u8>) {
        let usage = self.usage.as_ref().filter(|_| status != Status::IN_PROGRESS);
        self.events.write(kind, out, |event| {
            let mut object = event.object("response");
            response::write(&self.context, &self.model, status, &self.output, usage, &mut object);
        });
    }

    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.end_call(false, out);
        self.open = match block {
            Block::Text => Open::Text(OpenText::default()),
            Block::Refusal => Open::Text(OpenText { is_refusal: true, ..OpenText::default() }),
            Block::Reasoning => Open::Reasoning(OpenReasoning::default()),
            Block::ToolCall { id, name, signature } => {
                self.end_message(false, out);
                if let Some(signature) = signature {
                    self.carrier_item(&carrier::encode(signature, Owner::Call), out);
                }
                Open::Call(self.begin_call(id, name, out))
            }
        };
    }

    fn delta(&mut self, text: &JsonText<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Text(mut open) => {
                self.begin_part(&mut open, out);
                open.text.push(text);
                if self.wants_logprobs && !open.is_refusal {
                    open.waiting = Some(text.clone().into_owned());
                } else {
                    self.text_delta(open.is_refusal, text, "", out);
                }
                self.open = Open::Text(open);
            }
            Open::Reasoning(mut open) => {
                self.reasoning_delta(&mut open, text, out);
                self.open = Open::Reasoning(open);
            }
            Open::Call(mut open) => {
                open.arguments.push(text);
                // Free text is known when the arguments are whole.
                if !open.item.is_custom {
                    self.call_delta(&open, text, out);
                }
                self.open = Open::Call(open);
            }
        }
    }

    fn sign(&mut self, opaque: &Opaque<'_>, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Text(mut open) => {
                open.carrier = Some(carrier::encode(opaque, Owner::Text));
                self.open = Open::Text(open);
            }
            Open::Reasoning(mut open) => {
                self.begin_reasoning(&mut open, out);
                open.carrier = Some(carrier::encode(opaque, Owner::Thinking));
                self.open = Open::Reasoning(open);
            }
            other => self.open = other,
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => {}
            Open::Text(open) => self.end_text(open, out),
            Open::Reasoning(open) => self.end_reasoning(open, out),
            Open::Call(open) => self.call = Some(open),
        }
    }

    fn stop(&mut self, stop: Stop, refusal: Option<&JsonText<'_>>, out: &mut Vec<u8>) {
        // The block that the answer was cut in.
        self.close(out);
        self.status = Status::of(stop, self.has_refused);
        let is_cut = self.status.is_incomplete();
        self.end_call(is_cut, out);
        if let (Stop::Refusal, false, Some(text)) = (stop, self.has_refused, refusal)
            && !text.is_empty()
        {
            if self.message.as_ref().is_some_and(|message| message.carrier.is_some()) {
                self.end_message(is_cut, out);
            }
            self.open = Open::Text(OpenText { is_refusal: true, ..OpenText::default() });
            self.delta(text, out);
            self.close(out);
        }
        self.end_message(is_cut, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let is_cut = self.status.is_incomplete();
        let kind = if is_cut { "response.incomplete" } else { "response.completed" };
        self.response(kind, self.status, out);
    }

    // ---- items ----------------------------------------------------------------------------------

    fn added(
        &mut self,
        output_index: u32,
        out: &mut Vec<u8>,
        item: impl FnOnce(&mut JsonObject<'_>),
    ) {
        self.events.write("response.output_item.added", out, |event| {
            event.number("output_index", u64::from(output_index));
            item(&mut event.object("item"));
        });
    }

    /// Ends an item, and keeps it.
    fn done(
        &mut self,
        output_index: u32,
        out: &mut Vec<u8>,
        item: impl FnOnce(&mut JsonObject<'_>),
    ) {
        if !self.output.is_empty() {
            self.output.push(b',');
        }
        let from = self.output.len();
        item(&mut JsonObject::new(&mut self.output));
        let item = &self.output[from..];
        self.events.write("response.output_item.done", out, |event| {
            event.number("output_index", u64::from(output_index));
            event.json("item", &String::from_utf8_lossy(item));
        });
    }

    fn next_item(&mut self) -> u32 {
        self.items += 1;
        self.items - 1
    }

    /// A reasoning item for the data of a neighbour.
    fn carrier_item(&mut self, carrier: &str, out: &mut Vec<u8>) {
        let output_index = self.next_item();
        let id = item::id(&self.context, "rs_", output_index);
        let text = JsonText::default();
        self.added(output_index, out, |item| item::write_reasoning(&id, &text, None, item));
        self.done(output_index, out, |item| {
            item::write_reasoning(&id, &text, Some(carrier), item);
        });
    }
}
