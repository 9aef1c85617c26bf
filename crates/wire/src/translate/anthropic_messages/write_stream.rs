//! Writes a streamed answer as the events of `messages`.
//!
//! Blocks have dense numbers and never overlap; a signature is written once, whole. The figures at
//! the beginning are zero where the provider reports them last; those at the end count.

use crate::translate::Context;
use crate::translate::carrier::{self, Owner};
use crate::translate::error::Invalid;
use crate::translate::json::{JsonObject, JsonText};
use crate::translate::neutral::{Block, Event, Opaque, OpaqueKind, Stop};
use crate::translate::sides::{Bounds, WriteStream};
use crate::usage::TokenUsage;

use super::answer;

/// A writer for this answer.
pub(crate) fn boxed(context: &Context, _: Bounds) -> Box<dyn WriteStream> {
    Box::new(Writer {
        context: context.clone(),
        next_index: 0,
        calls: 0,
        open: Open::Nothing,
        usage: None,
        stop: None,
    })
}

struct Writer {
    context: Context,
    /// The number of the next block.
    next_index: u64,
    calls: u32,
    open: Open,
    usage: Option<TokenUsage>,
    stop: Option<(Stop, Option<JsonText<'static>>)>,
}

/// The open block. `is_begun`: its first event has been written.
enum Open {
    Nothing,
    /// `carrier`: opaque data that belongs to it.
    Text {
        is_begun: bool,
        carrier: Option<String>,
    },
    Thinking {
        is_begun: bool,
        is_signed: bool,
    },
    Call,
}

impl WriteStream for Writer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        match event {
            Event::Start { model } => self.start(model, out),
            Event::Open(block) => self.open(block, out),
            Event::Delta(text) => self.delta(text, out),
            Event::Signature(opaque) => self.sign(opaque, out),
            Event::Close => self.close(out),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Stop { stop, sequence, .. } => {
                self.stop = Some((*stop, sequence.clone().map(JsonText::into_owned)));
            }
            Event::End => self.end(out),
            Event::Logprobs(_) | Event::Failed(_) => {}
        }
        Ok(())
    }
}

/// An event with this name, whose data begins with its type.
fn write_event(name: &str, out: &mut Vec<u8>, fields: impl FnOnce(&mut JsonObject<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    {
        let mut object = JsonObject::new(out);
        object.str("type", name);
        fields(&mut object);
    }
    out.extend_from_slice(b"\n\n");
}

impl Writer {
    fn start(&mut self, model: &JsonText<'_>, out: &mut Vec<u8>) {
        write_event("message_start", out, |object| {
            let mut message = object.object("message");
            message.str("id", &self.context.ids.mint("msg_", 0));
            message.str("type", "message");
            message.str("role", "assistant");
            if model.is_empty() {
                message.str("model", &self.context.model);
            } else {
                message.text("model", model);
            }
            message.list("content");
            message.null("stop_reason");
            message.null("stop_sequence");
            answer::write_usage(&self.usage.unwrap_or_default(), &mut message.object("usage"));
        });
    }

    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.open = match block {
            // Empty ones are left out, so the first text begins it.
            Block::Text | Block::Refusal => Open::Text { is_begun: false, carrier: None },
            Block::Reasoning => Open::Thinking { is_begun: false, is_signed: false },
            Block::ToolCall { id, name, signature } => {
                if let Some(signature) = signature {
                    self.hidden(&carrier::encode(signature, Owner::Call), out);
                }
                let id = answer::call_id(id, self.calls, &self.context);
                self.calls += 1;
                self.begin(out, |block| {
                    block.str("type", "tool_use");
                    block.str("id", &id);
                    block.text("name", name);
                    block.object("input");
                });
                Open::Call
            }
        };
    }

    /// The first event of a block.
    fn begin(&mut self, out: &mut Vec<u8>, fields: impl FnOnce(&mut JsonObject<'_>)) {
        let index = self.next_index;
        self.next_index += 1;
        write_event("content_block_start", out, |object| {
            object.number("index", index);
            fields(&mut object.object("content_block"));
        });
    }

    /// A piece of the last block.
    fn piece(&self, kind: &str, name: &str, text: &JsonText<'_>, out: &mut Vec<u8>) {
        write_event("content_block_delta", out, |object| {
            object.number("index", self.next_index - 1);
            let mut delta = object.object("delta");
            delta.str("type", kind);
            delta.text(name, text);
        });
    }

    fn end_block(&self, out: &mut Vec<u8>) {
        write_event("content_block_stop", out, |object| {
            object.number("index", self.next_index - 1)
        });
    }

    /// A whole block of hidden thinking.
    fn hidden(&mut self, data: &str, out: &mut Vec<u8>) {
        self.begin(out, |block| answer::write_hidden(data, block));
        self.end_block(out);
    }

    fn begin_text(&mut self, out: &mut Vec<u8>) {
        self.begin(out, |block| {
            block.str("type", "text");
            block.str("text", "");
        });
    }

    fn begin_thinking(&mut self, out: &mut Vec<u8>) {
        self.begin(out, |block| {
            block.str("type", "thinking");
            block.str("thinking", "");
            block.str("signature", "");
        });
    }

    fn delta(&mut self, text: &JsonText<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        match &mut self.open {
            Open::Nothing => {}
            Open::Text { is_begun, .. } => {
                if !std::mem::replace(is_begun, true) {
                    self.begin_text(out);
                }
                self.piece("text_delta", "text", text, out);
            }
            Open::Thinking { is_begun, .. } => {
                if !std::mem::replace(is_begun, true) {
                    self.begin_thinking(out);
                }
                self.piece("thinking_delta", "thinking", text, out);
            }
            Open::Call => self.piece("input_json_delta", "partial_json", text, out),
        }
    }

    fn sign(&mut self, opaque: &Opaque<'_>, out: &mut Vec<u8>) {
        match &mut self.open {
            Open::Text { carrier, .. } => *carrier = Some(carrier::encode(opaque, Owner::Text)),
            Open::Thinking { is_begun, is_signed } => {
                let (was_begun, was_signed) = (*is_begun, *is_signed);
                (*is_begun, *is_signed) = (true, true);
                self.sign_thinking(opaque, was_begun, was_signed, out);
            }
            Open::Call | Open::Nothing => {}
        }
    }

    fn sign_thinking(
        &mut self,
        opaque: &Opaque<'_>,
        was_begun: bool,
        was_signed: bool,
        out: &mut Vec<u8>,
    ) {
        let data = answer::signature_of(Some(opaque), &self.context);
        if opaque.kind == OpaqueKind::Hidden {
            if was_begun {
                // Text and hidden text are two blocks here.
                self.close_thinking(was_signed, out);
            }
            self.hidden(&data, out);
            self.open = Open::Nothing;
            return;
        }
        if !was_begun {
            self.begin_thinking(out);
        }
        self.piece("signature_delta", "signature", &JsonText::from_plain(data), out);
    }

    fn close_thinking(&mut self, is_signed: bool, out: &mut Vec<u8>) {
        if !is_signed {
            let data = answer::signature_of(None, &self.context);
            self.piece("signature_delta", "signature", &JsonText::from_plain(data), out);
        }
        self.end_block(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Text { is_begun, carrier } => {
                if is_begun {
                    self.end_block(out);
                }
                if let Some(carrier) = carrier {
                    self.hidden(&carrier, out);
                }
            }
            Open::Thinking { is_begun: true, is_signed } => self.close_thinking(is_signed, out),
            Open::Call => self.end_block(out),
            Open::Thinking { .. } | Open::Nothing => {}
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let (stop, sequence) = self.stop.take().unwrap_or((Stop::EndTurn, None));
        write_event("message_delta", out, |object| {
            {
                let mut delta = object.object("delta");
                delta.str("stop_reason", answer::stop_reason(stop, sequence.as_ref()));
                match &sequence {
                    Some(sequence) if stop == Stop::StopSequence => {
                        delta.text("stop_sequence", sequence);
                    }
                    _ => delta.null("stop_sequence"),
                }
            }
            answer::write_usage(&self.usage.unwrap_or_default(), &mut object.object("usage"));
        });
        write_event("message_stop", out, |_| ());
    }
}
