//! Writes a streamed answer as chunks of `chat/completions`.
//!
//! Strings that come twice are concatenated by SDKs, so ids, names, signatures and blocks of
//! thinking are written once; the blocks whole, and the signature of the text, just before the end.

use crate::translate::Context;
use crate::translate::error::Invalid;
use crate::translate::ids::Ids;
use crate::translate::json::{JsonList, JsonObject, JsonText};
use crate::translate::neutral::{Block, Event, Opaque, OpaqueKind, Stop};
use crate::translate::sides::{Bounds, WriteStream};
use crate::translate::tools;
use crate::usage::TokenUsage;

use super::answer;

/// A writer for this answer.
pub(crate) fn boxed(context: &Context, bounds: Bounds) -> Box<dyn WriteStream> {
    Box::new(Writer {
        context: context.clone(),
        bounds,
        before: Vec::new(),
        calls: 0,
        open: Open::Nothing,
        held: JsonText::default(),
        held_bytes: 0,
        blocks: Vec::new(),
        text_signature: None,
        has_refused: false,
        without_arguments: Vec::new(),
        usage: None,
    })
}

struct Writer {
    context: Context,
    bounds: Bounds,
    /// The beginning of every chunk, up to its delta.
    before: Vec<u8>,
    /// Calls so far.
    calls: usize,
    open: Open,
    /// The text of the open thinking, or the arguments of an open call with free text.
    held: JsonText<'static>,
    /// Bytes that are held, finished blocks included.
    held_bytes: usize,
    /// Entries of `thinking_blocks`, as JSON.
    blocks: Vec<Vec<u8>>,
    /// The signature of the last text that has one: a message has room for one.
    text_signature: Option<Opaque<'static>>,
    has_refused: bool,
    /// Calls that ended without arguments.
    without_arguments: Vec<usize>,
    usage: Option<TokenUsage>,
}

/// The open block.
enum Open {
    Nothing,
    Text,
    Refusal,
    Thinking(Option<Opaque<'static>>),
    /// `has_arguments`: some have been written.
    Call {
        has_arguments: bool,
    },
    /// A call with free text, which is known when its arguments are whole.
    Custom {
        id: String,
        name: JsonText<'static>,
        signature: Option<Opaque<'static>>,
    },
}

impl WriteStream for Writer {
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        match event {
            Event::Start { model } => self.start(model, out),
            Event::Open(block) => self.open(block, out),
            Event::Delta(text) => return self.delta(text, out),
            Event::Signature(opaque) => self.sign(opaque)?,
            Event::Logprobs(list) => {
                self.chunk(
                    out,
                    |_| (),
                    |choice| choice.object("logprobs").raw("content", list),
                    None,
                );
            }
            Event::Close => self.close(out)?,
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Stop { stop, refusal, .. } => self.stop(*stop, refusal.as_ref(), out),
            Event::End => self.end(out),
            Event::Failed(_) => {}
        }
        Ok(())
    }
}

impl Writer {
    fn start(&mut self, model: &JsonText<'_>, out: &mut Vec<u8>) {
        let mut before = b"data: ".to_vec();
        {
            let mut object = JsonObject::new(&mut before);
            head(&mut object, &self.context.ids, self.context.created);
            if model.is_empty() {
                object.str("model", &self.context.model);
            } else {
                object.text("model", model);
            }
            object.list("choices").object().number("index", 0);
        }
        // Without what closes the choice, the list and the object.
        before.truncate(before.len() - 3);
        before.extend_from_slice(b",\"delta\":");
        self.before = before;
        let first = |delta: &mut JsonObject<'_>| {
            delta.str("role", "assistant");
            delta.str("content", "");
        };
        self.chunk(out, first, |_| (), None);
    }

    /// A chunk with this delta.
    fn chunk(
        &self,
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut JsonObject<'_>),
        choice: impl FnOnce(&mut JsonObject<'_>),
        finish_reason: Option<&str>,
    ) {
        out.extend_from_slice(&self.before);
        delta(&mut JsonObject::new(out));
        {
            let mut rest = JsonObject::continued(out);
            choice(&mut rest);
            match finish_reason {
                Some(word) => rest.str("finish_reason", word),
                None => rest.null("finish_reason"),
            }
        }
        out.extend_from_slice(b"]}\n\n");
    }

    fn delta_chunk(&self, out: &mut Vec<u8>, delta: impl FnOnce(&mut JsonObject<'_>)) {
        self.chunk(out, delta, |_| (), None);
    }

    fn call_chunk(&self, index: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut JsonObject<'_>)) {
        self.delta_chunk(out, |delta| {
            let mut list: JsonList<'_> = delta.list("tool_calls");
            let mut call = list.object();
            call.number("index", index as u64);
            write(&mut call);
        });
    }

    fn open(&mut self, block: &Block<'_>, out: &mut Vec<u8>) {
        self.held = JsonText::default();
        self.open = match block {
            Block::Text => Open::Text,
            Block::Refusal => Open::Refusal,
            Block::Reasoning => Open::Thinking(None),
            Block::ToolCall { id, name, signature } => {
                let index = self.calls;
                self.calls += 1;
                let id = answer::call_id(id, index, &self.context);
                if self.context.is_custom(name) {
                    let signature = signature.clone().map(Opaque::into_owned);
                    Open::Custom { id, name: name.clone().into_owned(), signature }
                } else {
                    self.call_chunk(index, out, |call| {
                        call.str("id", &id);
                        call.str("type", "function");
                        {
                            let mut function = call.object("function");
                            function.text("name", name);
                            function.str("arguments", "");
                        }
                        if let Some(signature) = signature {
                            answer::write_signature(signature, call);
                        }
                    });
                    Open::Call { has_arguments: false }
                }
            }
        };
    }

    fn delta(&mut self, text: &JsonText<'_>, out: &mut Vec<u8>) -> Result<(), Invalid> {
        if text.is_empty() {
            return Ok(());
        }
        match &mut self.open {
            Open::Text => self.delta_chunk(out, |delta| delta.text("content", text)),
            Open::Refusal => {
                self.has_refused = true;
                self.delta_chunk(out, |delta| delta.text("refusal", text));
            }
            Open::Thinking(_) => {
                self.hold(text)?;
                self.delta_chunk(out, |delta| delta.text("reasoning_content", text));
            }
            Open::Call { has_arguments } => {
                *has_arguments = true;
                self.call_chunk(self.calls - 1, out, |call| {
                    call.object("function").text("arguments", text);
                });
            }
            Open::Custom { .. } => self.hold(text)?,
            Open::Nothing => {}
        }
        Ok(())
    }

    fn hold(&mut self, text: &JsonText<'_>) -> Result<(), Invalid> {
        self.held_bytes += text.len();
        if self.held_bytes > self.bounds.held_bytes_max {
            return Err(Invalid::new("the answer's thinking is longer than what can be held"));
        }
        self.held.push(text);
        Ok(())
    }

    fn sign(&mut self, opaque: &Opaque<'_>) -> Result<(), Invalid> {
        self.held_bytes += opaque.data.len();
        if self.held_bytes > self.bounds.held_bytes_max {
            return Err(Invalid::new("the answer's thinking is longer than what can be held"));
        }
        let slot = match &mut self.open {
            Open::Thinking(signature) => signature,
            Open::Text | Open::Refusal => &mut self.text_signature,
            Open::Nothing | Open::Call { .. } | Open::Custom { .. } => return Ok(()),
        };
        *slot = Some(opaque.clone().into_owned());
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Invalid> {
        let held = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Thinking(Some(opaque)) => {
                let text = match opaque.kind {
                    OpaqueKind::Signature => held,
                    OpaqueKind::Hidden => JsonText::default(),
                };
                let mut block = Vec::new();
                {
                    let mut object = JsonObject::new(&mut block);
                    object.number("index", self.blocks.len() as u64);
                    answer::write_block(&text, &opaque, self.calls, &mut object);
                }
                self.blocks.push(block);
            }
            Open::Call { has_arguments: false } => self.without_arguments.push(self.calls - 1),
            Open::Custom { id, name, signature } => {
                let input = tools::free_text(&held.plain());
                self.call_chunk(self.calls - 1, out, |call| {
                    call.str("id", &id);
                    call.str("type", "custom");
                    {
                        let mut custom = call.object("custom");
                        custom.text("name", &name);
                        custom.text("input", &input);
                    }
                    if let Some(signature) = &signature {
                        answer::write_signature(signature, call);
                    }
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, stop: Stop, refusal: Option<&JsonText<'_>>, out: &mut Vec<u8>) {
        if let (Stop::Refusal, false, Some(text)) = (stop, self.has_refused, refusal) {
            self.delta_chunk(out, |delta| delta.text("refusal", text));
        }
        for index in std::mem::take(&mut self.without_arguments) {
            // None are an empty object, unless the answer was cut before they came.
            if !(stop.is_cut() && index + 1 == self.calls) {
                self.call_chunk(index, out, |call| {
                    call.object("function").str("arguments", "{}");
                });
            }
        }
        let blocks = std::mem::take(&mut self.blocks);
        if !blocks.is_empty() {
            self.delta_chunk(out, |delta| {
                let mut list = delta.list("thinking_blocks");
                for block in &blocks {
                    list.json(block);
                }
            });
        }
        if let Some(signature) = self.text_signature.take() {
            self.delta_chunk(out, |delta| answer::write_signature(&signature, delta));
        }
        self.chunk(out, |_| (), |_| (), Some(answer::finish_reason(stop)));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let (true, Some(usage)) = (self.context.include_usage, &self.usage) {
            // As the other chunks, up to the choices.
            let choices = b",\"choices\":";
            let at = memchr::memmem::rfind(&self.before, choices).unwrap_or(self.before.len());
            out.extend_from_slice(&self.before[..at]);
            {
                let mut rest = JsonObject::continued(out);
                rest.list("choices");
                answer::write_usage(usage, &mut rest.object("usage"));
                answer::write_tier(usage, &mut rest);
            }
            out.extend_from_slice(b"\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

fn head(object: &mut JsonObject<'_>, ids: &Ids, created: u64) {
    object.str("id", &ids.mint("chatcmpl-", 0));
    object.str("object", "chat.completion.chunk");
    object.number("created", created);
}
