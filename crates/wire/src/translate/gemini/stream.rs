//! Reads the chunks of a streamed answer.
//!
//! Each chunk is an answer of its own with the next parts. Texts of one kind are one block until a
//! signature closes it; a call comes whole. The last chunk has a `finishReason`; nothing else marks
//! the end.

use crate::gemini_usage::GeminiUsage;
use crate::translate::Context;
use crate::translate::error::Invalid;
use crate::translate::json::{self, JsonText};
use crate::translate::neutral::{Arguments, Block, Event, Opaque, PartKind, Sink, Stop, ToolCall};
use crate::translate::sides::{Bounds, ReadStream};

use super::answer::{self, Body, Candidate};
use super::error;

/// A reader for this answer.
pub(crate) fn boxed(_: &Context, _: Bounds) -> Box<dyn ReadStream> {
    Box::new(Reader::default())
}

#[derive(Default)]
struct Reader {
    has_started: bool,
    open: Open,
    has_calls: bool,
    has_text: bool,
    usage: Option<GeminiUsage>,
    is_stopped: bool,
    has_ended: bool,
}

/// The open block.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Open {
    #[default]
    Nothing,
    Text,
    Thinking,
}

impl ReadStream for Reader {
    fn event(&mut self, _: &[u8], data: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        // Errors may stand in a list.
        if data.trim_ascii_start().starts_with('[') {
            return sink(Event::Failed(error::read_in_stream(data)));
        }
        let chunk: Body<'_> =
            serde_json::from_str(data).map_err(|_| Invalid::new("a chunk cannot be read"))?;
        if chunk.error.is_some() {
            return sink(Event::Failed(error::read_in_stream(data)));
        }
        if !std::mem::replace(&mut self.has_started, true) {
            sink(Event::Start { model: chunk.model_version.unwrap_or_default() })?;
        }
        if let Some(usage) = chunk.usage_metadata.0 {
            self.usage = Some(usage);
        }
        let candidates = chunk.candidates.unwrap_or_default().0;
        let has_candidates = !candidates.is_empty();
        for candidate in candidates {
            if candidate.index.0.unwrap_or(0) != 0 {
                return Err(Invalid::new("the answer has more than one candidate"));
            }
            self.candidate(candidate, sink)?;
        }
        let blocked = chunk.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if let (false, false, Some(reason)) = (has_candidates, self.is_stopped, blocked) {
            self.close(sink)?;
            self.stop(Stop::Filter, &reason.plain(), sink)?;
        }
        match self.usage.and_then(|usage| usage.tokens()) {
            Some(usage) => sink(Event::Usage(usage)),
            None => Ok(()),
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Result<bool, Invalid> {
        if self.is_stopped && !std::mem::replace(&mut self.has_ended, true) {
            sink(Event::End)?;
        }
        Ok(self.has_ended)
    }
}

impl Reader {
    fn candidate(&mut self, candidate: Candidate<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let parts = candidate.content.and_then(|content| content.parts).unwrap_or_default();
        let mut logprobs = candidate.logprobs_result.and_then(answer::logprobs);
        for given in parts.0 {
            let Some(part) = answer::read_part(given)? else { continue };
            if self.is_stopped {
                return Err(Invalid::new("the answer goes on after its end"));
            }
            match part {
                PartKind::Text(text) => {
                    self.has_text |= !text.text.is_empty();
                    self.piece(Open::Text, text.text, sink)?;
                    if let Some(list) = logprobs.take() {
                        sink(Event::Logprobs(list))?;
                    }
                    self.sign(text.signature, sink)?;
                }
                PartKind::Reasoning(reasoning) => {
                    self.piece(Open::Thinking, reasoning.text, sink)?;
                    self.sign(reasoning.opaque, sink)?;
                }
                PartKind::ToolCall(call) => self.call(call, sink)?,
                _ => {}
            }
        }
        match candidate.finish_reason.filter(|word| !word.is_empty()) {
            Some(word) if !self.is_stopped => {
                let word = word.plain();
                self.close(sink)?;
                let stop = answer::stop(&word);
                if stop == Stop::Unknown && !self.has_text && !self.has_calls {
                    return Err(Invalid::new("the answer is empty and ends for no known reason"));
                }
                self.stop(stop, &word, sink)
            }
            _ => Ok(()),
        }
    }

    /// Text of a block of this kind.
    fn piece(
        &mut self,
        kind: Open,
        text: JsonText<'_>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Invalid> {
        if self.open != kind {
            self.close(sink)?;
            self.open = kind;
            sink(Event::Open(match kind {
                Open::Thinking => Block::Reasoning,
                _ => Block::Text,
            }))?;
        }
        if text.is_empty() { Ok(()) } else { sink(Event::Delta(text)) }
    }

    /// Signs the open block, which ends with it.
    fn sign(&mut self, opaque: Option<Opaque<'_>>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let Some(opaque) = opaque else { return Ok(()) };
        sink(Event::Signature(opaque))?;
        self.close(sink)
    }

    fn call(&mut self, call: ToolCall<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        self.close(sink)?;
        self.has_calls = true;
        let ToolCall { id, name, arguments, signature } = call;
        sink(Event::Open(Block::ToolCall { id, name, signature }))?;
        if let Arguments::Object(object) = arguments {
            sink(Event::Delta(JsonText::from_plain(json::compact(object.json()))))?;
        }
        sink(Event::Close)
    }

    fn close(&mut self, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => Ok(()),
            _ => sink(Event::Close),
        }
    }

    fn stop(&mut self, stop: Stop, word: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        self.is_stopped = true;
        let stop = stop.with_calls(self.has_calls);
        sink(Event::Stop { stop, word, sequence: None, refusal: None })
    }
}
