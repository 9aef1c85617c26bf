//! A streamed answer, translated as it arrives: the provider's bytes in, the caller's bytes out.
//!
//! Guarantees: every chunking of the provider's stream gives the same bytes; at most the bounds of
//! [`Bounds`] are held; after a failure no mark of an end is written; a stream that is cut off is a
//! failure. Does not send, wait or log.

use bytes::Bytes;

use super::error::{Invalid, ProviderError};
use super::framing::Framing;
use super::neutral::{Event, Stop};
use super::sides::{Bounds, ReadStream, WriteStream};
use super::{Context, Untranslatable, table};
use crate::error::StreamFailure;
use crate::format::Format;
use crate::usage::TokenUsage;

/// The facts that a stream has stated so far.
#[derive(Clone, Debug, Default)]
pub struct StreamFacts {
    /// The model that answers; empty if it is not named.
    pub model: String,
    /// The provider's own figures.
    pub usage: Option<TokenUsage>,
    /// The provider's own word for the end.
    pub finish_reason: String,
    /// Why it ended.
    pub stop: Option<Stop>,
    /// Calls of tools.
    pub tool_calls: u32,
    /// Bytes of text that the model has written, as escaped.
    pub text_bytes: u64,
    /// The answer is complete.
    pub is_complete: bool,
}

/// Why a stream failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The provider reports an error in the stream.
    Provider(ProviderError),
    /// It cannot be read or carried.
    Invalid(Invalid),
    /// It ended before the answer was complete.
    Cut,
}

/// A streamed answer in translation.
pub struct Stream {
    caller: Format,
    framing: Box<dyn Framing>,
    reader: Box<dyn ReadStream>,
    writer: Box<dyn WriteStream>,
    facts: StreamFacts,
    failure: Option<Failure>,
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream").field("caller", &self.caller).field("facts", &self.facts).finish()
    }
}

impl Stream {
    /// A stream for the answer to the request that gave this context.
    ///
    /// # Errors
    /// There is no translation between the two formats.
    pub fn new(context: &Context, bounds: Bounds) -> Result<Stream, Untranslatable> {
        let caller = table::caller(context.caller).ok_or(Untranslatable)?;
        let provider = table::provider(context.target).ok_or(Untranslatable)?;
        Ok(Stream {
            caller: context.caller,
            framing: (provider.framing)(bounds.event_bytes_max),
            reader: (provider.read_stream)(context, bounds),
            writer: (caller.write_stream)(context, bounds),
            facts: StreamFacts::default(),
            failure: None,
        })
    }

    /// Takes the next bytes of the provider and appends to `out` what is now to be sent.
    ///
    /// # Errors
    /// The stream has failed; what stands in `out` may still be sent, and then
    /// [`Stream::error_event`]. Every later call returns the same failure.
    pub fn push(&mut self, chunk: Bytes, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.step(out, |framing, each| framing.push(chunk, each))
    }

    /// The provider's stream has ended: appends what is outstanding.
    ///
    /// # Errors
    /// As [`Stream::push`]; [`Failure::Cut`] if the answer is not complete.
    pub fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Failure> {
        self.step(out, |framing, each| framing.end(each))?;
        let mut pump =
            Pump { writer: &mut *self.writer, facts: &mut self.facts, out, failed: None };
        let is_complete = self.reader.end(&mut |event| pump.take(&event));
        let failed = pump.failed;
        let failure = match (is_complete, failed) {
            (_, Some(error)) => Some(Failure::Provider(error)),
            (Err(invalid), None) => Some(Failure::Invalid(invalid)),
            (Ok(false), None) => Some(Failure::Cut),
            (Ok(true), None) => None,
        };
        self.failure.clone_from(&failure);
        failure.map_or(Ok(()), Err)
    }

    /// The facts that the stream has stated so far.
    pub fn facts(&self) -> &StreamFacts {
        &self.facts
    }

    /// The event that reports a failure to the caller; no mark of an end follows it.
    pub fn error_event(&self, code: &str, kind: &str, message: &str) -> Vec<u8> {
        let sequence_number = self.writer.next_sequence_number();
        let failure = StreamFailure { code, kind, message, sequence_number };
        self.caller.error_event(&failure).unwrap_or_default().into_bytes()
    }

    /// The event that reports this failure to the caller, in the words of the provider where it
    /// has some.
    pub fn failure_event(&self, failure: &Failure) -> Vec<u8> {
        let invalid = "the provider's answer could not be read";
        match failure {
            Failure::Provider(error) => {
                let kind = super::error::openai_type(error.status);
                let code = match (error.status, error.code.as_str()) {
                    (529, _) => "overloaded",
                    (_, "") => "server_error",
                    (_, code) => code,
                };
                if self.caller == Format::AnthropicMessages {
                    let mut out = b"event: error\ndata: ".to_vec();
                    super::error::write_anthropic(error, &mut out);
                    out.extend_from_slice(b"\n\n");
                    return out;
                }
                self.error_event(code, kind, error.shown_message())
            }
            Failure::Invalid(_) => {
                self.error_event("provider_answer_invalid", "server_error", invalid)
            }
            Failure::Cut => self.error_event(
                "provider_unavailable",
                "server_error",
                "the provider's answer ended before it was complete",
            ),
        }
    }

    fn step(
        &mut self,
        out: &mut Vec<u8>,
        feed: impl FnOnce(
            &mut dyn Framing,
            &mut dyn FnMut(&[u8], &[u8]) -> Result<(), Invalid>,
        ) -> Result<(), Invalid>,
    ) -> Result<(), Failure> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let reader = &mut self.reader;
        let mut pump =
            Pump { writer: &mut *self.writer, facts: &mut self.facts, out, failed: None };
        let fed = feed(&mut *self.framing, &mut |name, data| {
            // After an error or the end nothing of the stream counts.
            if pump.failed.is_some() || pump.facts.is_complete {
                return Ok(());
            }
            let data = std::str::from_utf8(data)
                .map_err(|_| Invalid::new("an event of the stream is not UTF-8"))?;
            reader.event(name, data, &mut |event| pump.take(&event))
        });
        let failed = pump.failed;
        let failure = match (failed, fed) {
            (Some(error), _) => Failure::Provider(error),
            (None, Err(invalid)) => Failure::Invalid(invalid),
            (None, Ok(())) => return Ok(()),
        };
        self.failure = Some(failure.clone());
        Err(failure)
    }
}

/// Hands the events of the reader to the writer, and notes what they tell.
struct Pump<'p> {
    writer: &'p mut dyn WriteStream,
    facts: &'p mut StreamFacts,
    out: &'p mut Vec<u8>,
    failed: Option<ProviderError>,
}

impl Pump<'_> {
    fn take(&mut self, event: &Event<'_>) -> Result<(), Invalid> {
        match event {
            Event::Failed(error) => {
                self.failed.get_or_insert_with(|| error.clone());
                return Ok(());
            }
            Event::Start { model } => self.facts.model = model.plain().into_owned(),
            Event::Open(super::neutral::Block::ToolCall { .. }) => self.facts.tool_calls += 1,
            Event::Delta(text) => self.facts.text_bytes += text.len() as u64,
            Event::Usage(usage) => self.facts.usage = Some(*usage),
            Event::Stop { stop, word, .. } => {
                let has_content = self.facts.tool_calls > 0 || self.facts.text_bytes > 0;
                if *stop == Stop::Malformed || (*stop == Stop::Unknown && !has_content) {
                    return Err(Invalid::new("the provider could not read its model's answer"));
                }
                self.facts.stop = Some(*stop);
                self.facts.finish_reason = (*word).to_owned();
            }
            Event::End => self.facts.is_complete = true,
            _ => {}
        }
        self.writer.event(event, self.out)
    }
}
