//! The two sides that a format can have: readers and writers, as the constants in its folder name
//! them, and the parts of a stream.

use super::error::{Invalid, ProviderError};
use super::framing::Framing;
use super::loss::{Losses, Refused};
use super::neutral::{Answer, Event, Request, Sink};
use super::{Context, Operation, Target, Written};

/// Reads a number of tokens; `None` if there is none.
pub(crate) type ReadCount = fn(&[u8]) -> Option<u64>;

/// The side of a format that faces the application.
pub(crate) struct CallerSide {
    /// Reads a request. Notes the fields that no target can express.
    pub(crate) read_request:
        for<'a> fn(&'a str, Operation, &mut Losses) -> Result<Request<'a>, Refused>,
    /// Writes a whole answer.
    pub(crate) write_answer: fn(&Answer<'_>, &Context, &mut Vec<u8>) -> Result<(), Invalid>,
    /// Writes a streamed answer.
    pub(crate) write_stream: fn(&Context, Bounds) -> Box<dyn WriteStream>,
    /// Writes the answer to a count of tokens. `None`: the format has no such call.
    pub(crate) write_count: Option<fn(u64, &mut Vec<u8>)>,
}

/// The side of a format that faces the provider.
pub(crate) struct ProviderSide {
    /// Writes a request, its path included. Notes what it cannot express.
    pub(crate) write_request: for<'a> fn(
        &mut Request<'a>,
        &Target<'_>,
        Operation,
        &mut Losses,
    ) -> Result<Written, Refused>,
    /// Reads a whole answer.
    pub(crate) read_answer: for<'a> fn(&'a str, &Context) -> Result<Answer<'a>, Invalid>,
    /// Cuts a stream into events, each of at most so many bytes.
    pub(crate) framing: fn(usize) -> Box<dyn Framing>,
    /// Reads the events of a stream.
    pub(crate) read_stream: fn(&Context, Bounds) -> Box<dyn ReadStream>,
    /// Reads an error body, by its status.
    pub(crate) read_error: fn(u16, &[u8]) -> ProviderError,
    /// Reads the answer to a count of tokens. `None`: the format has no such call.
    pub(crate) read_count: Option<ReadCount>,
}

/// The most that a stream may hold. In bytes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Of one event of the provider.
    pub event_bytes_max: usize,
    /// Of text that must be kept until a later event: interleaved calls, and the whole answer where
    /// the caller's format repeats it at the end.
    pub held_bytes_max: usize,
}

/// Reads a provider's events into neutral ones.
pub(crate) trait ReadStream: Send {
    /// Takes an event: its name (empty if there is none) and its data.
    fn event(&mut self, name: &[u8], data: &str, sink: &mut Sink<'_>) -> Result<(), Invalid>;

    /// The stream has ended. Returns whether the answer is complete; if it is, and no `End` was
    /// given yet, what is outstanding is given now.
    fn end(&mut self, sink: &mut Sink<'_>) -> Result<bool, Invalid>;
}

/// Writes neutral events in the caller's format, with their framing.
pub(crate) trait WriteStream: Send {
    /// Takes an event. `Usage` comes whenever it is known; `Failed` never comes.
    fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) -> Result<(), Invalid>;

    /// The number of the next event, in a format that numbers them.
    fn next_sequence_number(&self) -> u64 {
        0
    }
}
