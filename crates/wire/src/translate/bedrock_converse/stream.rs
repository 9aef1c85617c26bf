//! Reads the events of a streamed answer.
//!
//! Text and thinking have no event for their beginning: the first piece opens the block. The answer
//! is complete with `messageStop`; the usage comes after it, and is waited for.

use serde::Deserialize;

use crate::lenient::{Count, Lenient};
use crate::reported::ReportedUsage;
use crate::translate::Context;
use crate::translate::error::Invalid;
use crate::translate::json::{JsonText, Raw, object};
use crate::translate::neutral::{Block, Event, OpaqueKind, Sink, Stop, Vendor};
use crate::translate::sides::{Bounds, ReadStream};

use super::answer::{self, ServedTier, ToolUse};
use super::{error, frames};

/// A reader for this answer.
pub(crate) fn boxed(context: &Context, bounds: Bounds) -> Box<dyn ReadStream> {
    Box::new(Reader {
        vendor: context.vendor,
        held_bytes_max: bounds.held_bytes_max,
        has_started: false,
        open: None,
        call_closed: None,
        signature: JsonText::default(),
        has_calls: false,
        has_text: false,
        is_stopped: false,
        has_ended: false,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStart<'a> {
    #[serde(borrow, default)]
    start: Option<Start<'a>>,
    #[serde(default)]
    content_block_index: Count,
}

object! {
    struct Start<'a> {
        "toolUse" => tool_use: ToolUse<'a>,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockDelta<'a> {
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(default)]
    content_block_index: Count,
}

object! {
    struct Delta<'a> {
        "text" => text: JsonText<'a>,
        "toolUse" => tool_use: InputDelta<'a>,
        "reasoningContent" => reasoning: ReasoningDelta<'a>,
        "citation" => citation: Raw<'a>,
    }
}

#[derive(Debug, Deserialize)]
struct InputDelta<'a> {
    #[serde(borrow, default)]
    input: Option<JsonText<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReasoningDelta<'a> {
    #[serde(borrow, default)]
    text: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    signature: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    redacted_content: Option<JsonText<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockStop {
    #[serde(default)]
    content_block_index: Count,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageStop<'a> {
    #[serde(borrow, default)]
    stop_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    additional_model_response_fields: Option<Raw<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    usage: Lenient<ReportedUsage>,
    #[serde(default)]
    service_tier: Lenient<ServedTier>,
}

struct Reader {
    vendor: Vendor,
    held_bytes_max: usize,
    has_started: bool,
    /// The open block: its kind and its number.
    open: Option<(Kind, u64)>,
    /// The number of the last call that has ended.
    call_closed: Option<u64>,
    /// The signature of the open thinking so far.
    signature: JsonText<'static>,
    has_calls: bool,
    has_text: bool,
    is_stopped: bool,
    has_ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
}

fn read<'a, T: Deserialize<'a>>(data: &'a str) -> Result<T, Invalid> {
    serde_json::from_str(data).map_err(|_| Invalid::new("an event cannot be read"))
}

impl ReadStream for Reader {
    fn event(&mut self, name: &[u8], data: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        match name {
            frames::EXCEPTION => return sink(Event::Failed(error::read_exception(data))),
            b"metadata" => return self.metadata(read(data)?, sink),
            b"messageStart" | b"contentBlockStart" | b"contentBlockDelta" | b"contentBlockStop"
            | b"messageStop" => {}
            // Events that are not known yet.
            _ => return Ok(()),
        }
        if self.is_stopped {
            return Err(Invalid::new("the answer goes on after its end"));
        }
        if !std::mem::replace(&mut self.has_started, true) {
            sink(Event::Start { model: JsonText::default() })?;
        }
        match name {
            b"contentBlockStart" => self.begin(read(data)?, sink),
            b"contentBlockDelta" => self.piece(read(data)?, sink),
            b"contentBlockStop" => {
                let BlockStop { content_block_index } = read(data)?;
                match self.open {
                    Some((_, open)) if open == content_block_index.or_zero() => self.close(sink),
                    // An empty text has neither a beginning nor a piece.
                    _ => Ok(()),
                }
            }
            b"messageStop" => self.stop(&read(data)?, sink),
            _ => Ok(()),
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
    fn begin(&mut self, block: BlockStart<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let index = block.content_block_index.or_zero();
        let Some(start) = block.start else { return Ok(()) };
        let Some(call) = start.tool_use else {
            if start.unknown.is_empty() {
                return Ok(());
            }
            return Err(Invalid::new("the answer has a part that cannot be carried"));
        };
        let (Some(id), Some(name)) = (call.tool_use_id, call.name) else {
            return Err(Invalid::new("the answer has a call without an id or a name"));
        };
        self.close(sink)?;
        self.open = Some((Kind::Call, index));
        self.has_calls = true;
        sink(Event::Open(Block::ToolCall { id, name, signature: None }))
    }

    fn piece(&mut self, block: BlockDelta<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let index = block.content_block_index.or_zero();
        let Some(delta) = block.delta else { return Ok(()) };
        if let Some(call) = delta.tool_use {
            if self.open != Some((Kind::Call, index)) {
                return Err(Invalid::new("a piece belongs to no open call"));
            }
            return text(call.input, sink);
        }
        if self.call_closed == Some(index) || self.open == Some((Kind::Call, index)) {
            return Err(Invalid::new("a piece of text has the number of a call"));
        }
        if let Some(reasoning) = delta.reasoning {
            return self.thinking(reasoning, index, sink);
        }
        if let Some(piece) = delta.text {
            if piece.is_empty() {
                return Ok(());
            }
            self.has_text = true;
            self.open(Kind::Text, index, sink)?;
            return sink(Event::Delta(piece));
        }
        // Citations: the text stands without them.
        if delta.citation.is_some() || delta.unknown.is_empty() {
            return Ok(());
        }
        Err(Invalid::new("the answer has a part that cannot be carried"))
    }

    fn thinking(
        &mut self,
        delta: ReasoningDelta<'_>,
        index: u64,
        sink: &mut Sink<'_>,
    ) -> Result<(), Invalid> {
        self.open(Kind::Thinking, index, sink)?;
        if let Some(piece) = delta.signature {
            if self.signature.len() + piece.len() > self.held_bytes_max {
                return Err(Invalid::new("the answer's thinking is longer than what can be held"));
            }
            self.signature.push(&piece);
        }
        if let Some(opaque) =
            answer::opaque(self.vendor, OpaqueKind::Hidden, delta.redacted_content)
        {
            // A block of its own.
            sink(Event::Signature(opaque))?;
            self.signature = JsonText::default();
            return self.close(sink);
        }
        text(delta.text, sink)
    }

    /// Opens a block of text or thinking, unless it is open.
    fn open(&mut self, kind: Kind, index: u64, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if self.open == Some((kind, index)) {
            return Ok(());
        }
        self.close(sink)?;
        self.open = Some((kind, index));
        sink(Event::Open(match kind {
            Kind::Thinking => Block::Reasoning,
            _ => Block::Text,
        }))
    }

    fn close(&mut self, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let Some((kind, index)) = self.open.take() else { return Ok(()) };
        if kind == Kind::Call {
            self.call_closed = Some(index);
        }
        let signature = std::mem::take(&mut self.signature);
        if let Some(opaque) = answer::opaque(self.vendor, OpaqueKind::Signature, Some(signature)) {
            sink(Event::Signature(opaque))?;
        }
        sink(Event::Close)
    }

    fn stop(&mut self, message: &MessageStop<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let word = message.stop_reason.clone().unwrap_or_default();
        let word = word.plain();
        let stop = answer::stop(&word).with_calls(self.has_calls);
        if matches!(self.open, Some((Kind::Call, _))) && !stop.is_cut() {
            return Err(Invalid::new("a call of the answer is cut off"));
        }
        if stop == Stop::Unknown && !self.has_text {
            return Err(Invalid::new("the answer is empty and ends for no known reason"));
        }
        self.close(sink)?;
        self.is_stopped = true;
        let sequence =
            message.additional_model_response_fields.as_ref().and_then(answer::stop_sequence);
        sink(Event::Stop { stop, word: &word, sequence, refusal: None })
    }

    fn metadata(&mut self, metadata: Metadata, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if !self.is_stopped {
            return Ok(());
        }
        if let Some(usage) = answer::usage(metadata.usage.0, metadata.service_tier.0) {
            sink(Event::Usage(usage))?;
        }
        self.end(sink).map(|_| ())
    }
}

fn text(piece: Option<JsonText<'_>>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
    match piece.filter(|piece| !piece.is_empty()) {
        Some(piece) => sink(Event::Delta(piece)),
        None => Ok(()),
    }
}
