//! Reads the events of a streamed answer of `messages`.

use serde::Deserialize;

use crate::lenient::Count;
use crate::reported::ReportedUsage;
use crate::translate::Context;
use crate::translate::error::{self, Invalid};
use crate::translate::json::{self, JsonText, Raw};
use crate::translate::neutral::{Block, Event, Opaque, OpaqueKind, Sink, Stop};
use crate::translate::sides::{Bounds, ReadStream};

use super::answer::{self, StopDetails};

/// A reader for this answer.
pub(crate) fn boxed(_: &Context, bounds: Bounds) -> Box<dyn ReadStream> {
    Box::new(Reader { held_bytes_max: bounds.held_bytes_max, ..Reader::default() })
}

#[derive(Deserialize)]
struct Data<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<JsonText<'a>>,
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    message: Option<Message<'a>>,
    #[serde(borrow, default)]
    content_block: Option<answer::Block<'a>>,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    // Most events have none, and what it is read into is large.
    #[serde(borrow, default)]
    usage: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    model: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    usage: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    text: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    thinking: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    partial_json: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    signature: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    stop_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    stop_sequence: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    stop_details: Option<StopDetails<'a>>,
}

#[derive(Default)]
struct Reader {
    held_bytes_max: usize,
    has_started: bool,
    /// The number of the open block.
    open: Option<u64>,
    /// The last signature of the open block; it replaces those before.
    signature: Option<Opaque<'static>>,
    /// Input that the beginning of a call had; it counts if no piece follows.
    input: Option<JsonText<'static>>,
    has_calls: bool,
    usage: ReportedUsage,
    stop: Option<Ending>,
    has_ended: bool,
}

/// Why the answer ends.
#[derive(Default)]
struct Ending {
    word: String,
    sequence: Option<JsonText<'static>>,
    refusal: Option<JsonText<'static>>,
}

impl ReadStream for Reader {
    fn event(&mut self, name: &[u8], data: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let data_text = data;
        let data: Data<'_> =
            serde_json::from_str(data).map_err(|_| Invalid::new("an event cannot be read"))?;
        let kind = data.kind.clone().unwrap_or_default();
        let kind =
            if kind.is_empty() { std::str::from_utf8(name).unwrap_or("") } else { kind.escaped() };
        match kind {
            "message_start" => self.start(data, sink),
            "content_block_start" => self.begin(data, sink),
            "content_block_delta" => self.piece(data, sink),
            "content_block_stop" => self.close(data.index, sink),
            "message_delta" => self.message_delta(data, sink),
            "message_stop" => self.finish(sink),
            "error" => {
                let mut error = error::read_error(500, data_text.as_bytes());
                error.status = error::status_of_word(&error.code);
                sink(Event::Failed(error))
            }
            // `ping`, and events that are not known yet.
            _ => Ok(()),
        }
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Result<bool, Invalid> {
        if !self.has_ended && self.stop.is_some() && self.open.is_none() {
            self.finish(sink)?;
        }
        Ok(self.has_ended)
    }
}

impl Reader {
    fn start(&mut self, data: Data<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if std::mem::replace(&mut self.has_started, true) {
            return Err(Invalid::new("the answer begins twice"));
        }
        let message = data.message.unwrap_or(Message { model: None, usage: None });
        sink(Event::Start { model: message.model.unwrap_or_default() })?;
        self.saw_usage(message.usage, sink)
    }

    fn saw_usage(&mut self, usage: Option<Raw<'_>>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let Some(usage) = usage.and_then(|usage| ReportedUsage::of(usage.json())) else {
            return Ok(());
        };
        self.usage.update(&usage);
        match self.usage.with_cache_beside() {
            Some(usage) => sink(Event::Usage(usage)),
            None => Ok(()),
        }
    }

    fn begin(&mut self, data: Data<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let (Some(block), true) = (data.content_block, self.has_started) else {
            return Err(Invalid::new("a block begins before the answer, or is empty"));
        };
        if self.open.is_some() {
            return Err(Invalid::new("a block begins inside another"));
        }
        self.open = Some(data.index.0.unwrap_or(0));
        (self.signature, self.input) = (None, None);
        match block.kind.escaped() {
            "text" => {
                sink(Event::Open(Block::Text))?;
                self.text(block.text, sink)
            }
            "thinking" => {
                sink(Event::Open(Block::Reasoning))?;
                self.sign(OpaqueKind::Signature, block.signature)?;
                self.text(block.thinking, sink)
            }
            "redacted_thinking" => {
                sink(Event::Open(Block::Reasoning))?;
                self.sign(OpaqueKind::Hidden, block.data)
            }
            "tool_use" => {
                let (Some(id), Some(name)) = (block.id, block.name) else {
                    return Err(Invalid::new("the answer has a call without an id or a name"));
                };
                self.has_calls = true;
                self.input = block.input.as_ref().and_then(given_input);
                sink(Event::Open(Block::ToolCall { id, name, signature: None }))
            }
            _ => Err(Invalid::new("the answer has a part that cannot be carried")),
        }
    }

    fn text(&self, text: Option<JsonText<'_>>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => sink(Event::Delta(text)),
            None => Ok(()),
        }
    }

    fn sign(&mut self, kind: OpaqueKind, data: Option<JsonText<'_>>) -> Result<(), Invalid> {
        let data = data.map(JsonText::into_owned);
        if data.as_ref().is_some_and(|data| data.len() > self.held_bytes_max) {
            return Err(Invalid::new("the answer's thinking is longer than what can be held"));
        }
        self.signature = answer::opaque(kind, data).or(self.signature.take());
        Ok(())
    }

    fn piece(&mut self, data: Data<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if self.open.is_none() || self.open != Some(data.index.0.unwrap_or(0)) {
            return Err(Invalid::new("a piece belongs to no open block"));
        }
        let Some(delta) = data.delta else { return Ok(()) };
        match delta.kind.unwrap_or_default().escaped() {
            "text_delta" => self.text(delta.text, sink),
            "thinking_delta" => self.text(delta.thinking, sink),
            "input_json_delta" => {
                if delta.partial_json.as_ref().is_some_and(|piece| !piece.is_empty()) {
                    self.input = None;
                }
                self.text(delta.partial_json, sink)
            }
            "signature_delta" => self.sign(OpaqueKind::Signature, delta.signature),
            // Citations: the text stands without them.
            _ => Ok(()),
        }
    }

    fn close(&mut self, index: Count, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if self.open.is_none() || self.open.take() != Some(index.0.unwrap_or(0)) {
            return Err(Invalid::new("a block ends that is not open"));
        }
        if let Some(input) = self.input.take() {
            sink(Event::Delta(input))?;
        }
        if let Some(opaque) = self.signature.take() {
            sink(Event::Signature(opaque))?;
        }
        sink(Event::Close)
    }

    fn message_delta(&mut self, data: Data<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if let Some(delta) = data.delta
            && let Some(word) = delta.stop_reason
        {
            self.stop = Some(Ending {
                word: word.plain().into_owned(),
                sequence: delta.stop_sequence.map(JsonText::into_owned),
                refusal: delta
                    .stop_details
                    .and_then(|details| details.explanation)
                    .map(JsonText::into_owned),
            });
        }
        self.saw_usage(data.usage, sink)
    }

    fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if !self.has_started || self.open.is_some() || std::mem::replace(&mut self.has_ended, true)
        {
            return Err(Invalid::new(
                "the answer ends inside a block, before its beginning or twice",
            ));
        }
        let Ending { word, sequence, refusal } = self.stop.take().unwrap_or_default();
        let stop = match word.as_str() {
            "" => Stop::EndTurn,
            word => answer::stop(word),
        };
        let stop = stop.with_calls(self.has_calls);
        sink(Event::Stop { stop, word: &word, sequence, refusal })?;
        sink(Event::End)
    }
}

/// The text of the input at the beginning of a call, if it has some.
fn given_input(input: &Raw<'_>) -> Option<JsonText<'static>> {
    let compact = json::compact(input.json());
    (compact != "{}" && input.is_object()).then(|| JsonText::from_plain(compact.into_owned()))
}
