//! Reads the chunks of a streamed answer of `chat/completions`.
//!
//! Chunks may mix calls; the neutral form has them one after the other. A call whose arguments are
//! whole JSON is closed when the next begins; before, the next is held, within the bound. A call
//! that ends as half of one is only accepted where the answer says that it was cut.

use serde::Deserialize;

use crate::lenient::{Count, Lenient};
use crate::reported::{ReportedUsage, Tier};
use crate::translate::Context;
use crate::translate::error::{self, Invalid, ProviderError};
use crate::translate::json::{JsonText, List, Raw};
use crate::translate::neutral::{Block, Event, Opaque, Sink, Stop};
use crate::translate::sides::{Bounds, ReadStream};

use super::answer::{self, Custom, ExtraContent, Function, Logprobs};
use super::whole::Whole;

/// Calls of one answer.
const CALLS_MAX: usize = 128;

/// A reader for this answer.
pub(crate) fn boxed(_: &Context, bounds: Bounds) -> Box<dyn ReadStream> {
    Box::new(Reader {
        held_bytes_max: bounds.held_bytes_max,
        has_started: false,
        open: Open::Nothing,
        calls: Vec::new(),
        held_bytes: 0,
        has_refused: false,
        is_cut: false,
        usage: ReportedUsage::default(),
        tier: Tier::default(),
        stop: None,
        has_ended: false,
    })
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow, default)]
    model: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    choices: Option<List<Choice<'a>>>,
    // Most chunks have none, and what it is read into is large.
    #[serde(borrow, default)]
    usage: Option<Raw<'a>>,
    #[serde(default)]
    service_tier: Tier,
    #[serde(borrow, default)]
    error: Option<Raw<'a>>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    finish_reason: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    logprobs: Option<Logprobs<'a>>,
}

#[derive(Deserialize)]
struct Delta<'a> {
    #[serde(borrow, default)]
    content: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    refusal: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    reasoning_content: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    reasoning: Option<Raw<'a>>,
    #[serde(borrow, default)]
    tool_calls: Option<List<CallDelta<'a>>>,
    #[serde(borrow, default)]
    function_call: Option<Function<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<ExtraContent<'a>>,
}

#[derive(Deserialize)]
struct CallDelta<'a> {
    #[serde(default)]
    index: Count,
    #[serde(borrow, default)]
    id: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    function: Option<Function<'a>>,
    #[serde(borrow, default)]
    custom: Option<Custom<'a>>,
    #[serde(borrow, default)]
    extra_content: Option<ExtraContent<'a>>,
}

struct Reader {
    held_bytes_max: usize,
    has_started: bool,
    open: Open,
    calls: Vec<Call>,
    held_bytes: usize,
    has_refused: bool,
    /// The reason says that the answer was cut.
    is_cut: bool,
    usage: ReportedUsage,
    tier: Tier,
    /// The end was told: the reason.
    stop: Option<Stop>,
    has_ended: bool,
}

/// The open block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Text,
    Refusal,
    Thinking,
    /// The call at this place in the list.
    Call(usize),
}

struct Call {
    /// Its number in the stream.
    index: u64,
    id: JsonText<'static>,
    name: JsonText<'static>,
    signature: Option<Opaque<'static>>,
    /// Its arguments are free text.
    is_custom: bool,
    /// Arguments that wait until it is opened.
    held: JsonText<'static>,
    state: State,
    arguments: Whole,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Open,
    Closed,
}

impl ReadStream for Reader {
    fn event(&mut self, name: &[u8], data: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if data.trim_ascii() == "[DONE]" {
            return self.done(sink);
        }
        let chunk: Chunk<'_> =
            serde_json::from_str(data).map_err(|_| Invalid::new("a chunk cannot be read"))?;
        if chunk.error.is_some() || name == b"error" {
            return sink(Event::Failed(error_in_stream(data)));
        }
        if !self.has_started {
            // The first chunk of some servers has no choices and no model.
            let model = chunk.model.unwrap_or_default();
            let has_choices = chunk.choices.as_ref().is_some_and(|choices| !choices.0.is_empty());
            if model.is_empty() && !has_choices {
                return Ok(());
            }
            self.has_started = true;
            sink(Event::Start { model })?;
        }
        for choice in chunk.choices.unwrap_or_default().0 {
            if choice.index.0.unwrap_or(0) != 0 {
                return Err(Invalid::new("the answer has more than one choice"));
            }
            self.choice(choice, sink)?;
        }
        self.tier.update(chunk.service_tier);
        if let Some(usage) = chunk.usage.and_then(|usage| ReportedUsage::of(usage.json())) {
            self.usage.update(&usage);
            let usage = answer::usage(Lenient(Some(self.usage)), self.tier);
            usage.map_or(Ok(()), |usage| sink(Event::Usage(usage)))?;
        }
        Ok(())
    }

    fn end(&mut self, sink: &mut Sink<'_>) -> Result<bool, Invalid> {
        if !self.has_ended && self.stop.is_some() {
            self.has_ended = true;
            sink(Event::End)?;
        }
        Ok(self.has_ended)
    }
}

impl Reader {
    /// `[DONE]`. Without a reason before it the answer is not complete.
    fn done(&mut self, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        self.end(sink).map(|_| ())
    }

    fn choice(&mut self, choice: Choice<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if let Some(delta) = choice.delta {
            self.delta(delta, choice.logprobs, sink)?;
        }
        match choice.finish_reason.filter(|word| !word.is_empty()) {
            Some(word) if self.stop.is_none() => self.finish(&word.plain(), sink),
            _ => Ok(()),
        }
    }

    fn delta(
        &mut self,
        delta: Delta<'_>,
        logprobs: Option<Logprobs<'_>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Invalid> {
        let reasoning = delta.reasoning_content.or_else(|| {
            let text = delta.reasoning.as_ref().filter(|json| json.json().starts_with('"'));
            text.and_then(|json| json.read::<JsonText<'_>>().ok()).map(JsonText::into_owned)
        });
        self.text(Open::Thinking, reasoning, sink)?;
        let has_text = delta.content.as_ref().is_some_and(|text| !text.is_empty());
        self.text(Open::Text, delta.content, sink)?;
        if let (true, Some(list)) = (has_text, logprobs.and_then(|logprobs| logprobs.content)) {
            sink(Event::Logprobs(list))?;
        }
        self.text(Open::Refusal, delta.refusal, sink)?;
        if let Some(signature) = delta.extra_content.and_then(ExtraContent::signature) {
            self.sign(signature, sink)?;
        }
        for call in delta.tool_calls.unwrap_or_default().0 {
            self.call(call, sink)?;
        }
        if let Some(function) = delta.function_call {
            let call = CallDelta {
                index: Count(None),
                id: None,
                function: Some(function),
                custom: None,
                extra_content: None,
            };
            self.call(call, sink)?;
        }
        Ok(())
    }

    /// Text of a block of this kind.
    fn text(
        &mut self,
        kind: Open,
        text: Option<JsonText<'_>>,
        sink: &mut Sink<'_>,
    ) -> Result<(), Invalid> {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(()) };
        self.refuse_after_end()?;
        if self.open != kind {
            self.close(sink)?;
            self.open = kind;
            self.has_refused |= kind == Open::Refusal;
            sink(Event::Open(match kind {
                Open::Thinking => Block::Reasoning,
                Open::Refusal => Block::Refusal,
                _ => Block::Text,
            }))?;
        }
        sink(Event::Delta(text))
    }

    /// Signs the open text, which ends with it, or an empty one.
    fn sign(&mut self, signature: Opaque<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        self.refuse_after_end()?;
        if self.open != Open::Text {
            self.close(sink)?;
            self.open = Open::Text;
            sink(Event::Open(Block::Text))?;
        }
        sink(Event::Signature(signature))?;
        self.close(sink)
    }

    fn refuse_after_end(&self) -> Result<(), Invalid> {
        if self.stop.is_some() {
            return Err(Invalid::new("the answer goes on after its end"));
        }
        Ok(())
    }

    /// Closes the open block. A call with half an object is only closed where the answer was cut.
    fn close(&mut self, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        if let Open::Call(at) = self.open {
            let call = &mut self.calls[at];
            call.state = State::Closed;
            if call.is_custom && !self.is_cut {
                let end = JsonText::from_plain("\"}");
                call.arguments.push(&end);
                sink(Event::Delta(end))?;
            }
            if !(self.is_cut || call.arguments.is_whole() || call.arguments.is_blank()) {
                return Err(Invalid::new("the arguments of a call are cut off"));
            }
        }
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => Ok(()),
            _ => sink(Event::Close),
        }
    }

    // ---- calls ----------------------------------------------------------------------------------

    fn call(&mut self, delta: CallDelta<'_>, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let (name, arguments, is_custom) = match (delta.function, delta.custom) {
            (Some(function), _) => (function.name, function.arguments.unwrap_or_default(), false),
            // Free text inside of a string inside of the arguments.
            (None, Some(custom)) => {
                let input = custom.input.unwrap_or_default();
                (custom.name, JsonText::from_plain(input.escaped().to_owned()), true)
            }
            (None, None) => (None, JsonText::default(), false),
        };
        // Some servers leave the number out: then an id of its own begins a call.
        let index = delta.index.0.unwrap_or_else(|| self.unnumbered(delta.id.as_ref()));
        let at = match self.calls.iter().position(|call| call.index == index) {
            Some(at) => at,
            None => {
                self.refuse_after_end()?;
                self.add_call(index)?
            }
        };
        let call = &mut self.calls[at];
        if call.state == State::Waiting {
            if is_custom && !call.is_custom {
                call.is_custom = true;
                call.held = JsonText::from_plain("{\"input\":\"");
            }
            if let Some(id) = delta.id.filter(|id| call.id.is_empty() && !id.is_empty()) {
                call.id = id.into_owned();
            }
            if let Some(name) = name.filter(|name| call.name.is_empty() && !name.is_empty()) {
                call.name = name.into_owned();
            }
            if let Some(opaque) = delta.extra_content.and_then(ExtraContent::signature) {
                call.signature = Some(opaque.into_owned());
            }
        }
        match call.state {
            State::Closed if arguments.is_empty() => Ok(()),
            State::Closed => Err(Invalid::new("a call goes on after its end")),
            State::Open => {
                self.refuse_after_end()?;
                self.calls[at].arguments.push(&arguments);
                if !arguments.is_empty() {
                    sink(Event::Delta(arguments))?;
                }
                self.open_waiting(false, sink)
            }
            State::Waiting => {
                self.held_bytes += arguments.len();
                if self.held_bytes > self.held_bytes_max {
                    return Err(Invalid::new(
                        "the answer's calls are mixed beyond what can be held",
                    ));
                }
                self.calls[at].held.push(&arguments);
                self.open_waiting(false, sink)
            }
        }
    }

    /// The number of a call that has none: the last one, or a new one if it has another id.
    fn unnumbered(&self, id: Option<&JsonText<'_>>) -> u64 {
        let Some(last) = self.calls.last() else { return 0 };
        match id {
            Some(id) if !id.is_empty() && !last.id.is_empty() && *id != last.id => last.index + 1,
            _ => last.index,
        }
    }

    fn add_call(&mut self, index: u64) -> Result<usize, Invalid> {
        if self.calls.len() == CALLS_MAX {
            return Err(Invalid::new("the answer has too many calls"));
        }
        self.calls.push(Call {
            index,
            id: JsonText::default(),
            name: JsonText::default(),
            signature: None,
            is_custom: false,
            held: JsonText::default(),
            state: State::Waiting,
            arguments: Whole::default(),
        });
        Ok(self.calls.len() - 1)
    }

    /// Opens the calls that wait, one after the other, as long as the one before is whole.
    /// `at_end`: nothing more comes, so that they need not be.
    fn open_waiting(&mut self, at_end: bool, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        loop {
            let next = self.calls.iter().position(|call| call.state == State::Waiting);
            let Some(next) = next else { return Ok(()) };
            if self.calls[next].name.is_empty() {
                let text = "the answer has a call without a name";
                return if at_end { Err(Invalid::new(text)) } else { Ok(()) };
            }
            if let Open::Call(open) = self.open
                && !at_end
                && !self.calls[open].is_custom
                && !self.calls[open].arguments.is_whole()
            {
                return Ok(());
            }
            self.close(sink)?;
            self.open = Open::Call(next);
            let call = &mut self.calls[next];
            call.state = State::Open;
            let held = std::mem::take(&mut call.held);
            self.held_bytes = self.held_bytes.saturating_sub(held.len());
            call.arguments.push(&held);
            sink(Event::Open(Block::ToolCall {
                id: call.id.borrow(),
                name: call.name.borrow(),
                signature: call.signature.clone(),
            }))?;
            if !held.is_empty() {
                sink(Event::Delta(held))?;
            }
        }
    }

    fn finish(&mut self, word: &str, sink: &mut Sink<'_>) -> Result<(), Invalid> {
        let mut stop = answer::stop(word);
        if self.has_refused && stop == Stop::EndTurn {
            stop = Stop::Refusal;
        }
        let stop = stop.with_calls(!self.calls.is_empty());
        self.is_cut = stop.is_cut();
        self.open_waiting(true, sink)?;
        self.close(sink)?;
        self.stop = Some(stop);
        sink(Event::Stop { stop, word, sequence: None, refusal: None })
    }
}

/// The error that a stream reports.
fn error_in_stream(data: &str) -> ProviderError {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        error: Lenient<Inner>,
    }
    #[derive(Deserialize)]
    struct Inner {
        #[serde(default)]
        code: Count,
    }
    let mut error = error::read_error(500, data.as_bytes());
    let body = serde_json::from_str::<Body>(data).ok();
    let code = body.and_then(|body| body.error.0).and_then(|inner| inner.code.0);
    error.status = match code.and_then(|code| u16::try_from(code).ok()) {
        Some(status @ 400..600) => status,
        _ => error::status_of_word(&error.code),
    };
    error
}
