//! Wire formats of LLM providers, read without any I/O: usage, models, streams, errors, stored
//! objects.
//!
//! A [`Format`] is the form of a request or an answer (OpenAI's chat completions, Anthropic's
//! messages, …); each has one file in `src/format/`, and the table in `src/format/mod.rs` lists
//! them. A [`ProviderKind`] is the set of conventions of a provider: its key header and its public
//! address.
//!
//! | module | content |
//! |---|---|
//! | `format` | the table; one file per format |
//! | `answer` | model and usage of a whole answer ([`Format::read_answer`]) |
//! | `stream`, `alike` | the same of a streamed answer, and its end ([`StreamReader`]) |
//! | [`usage`] | token usage in one form for every format |
//! | [`estimate`], [`written`] | estimates of usage, before a call and without a report |
//! | [`ids`] | ids of stored objects that an answer names |
//! | `error`, `exchange` | errors; a question of the gateway's own and its answer |
//! | [`models`] | lists of models |
//! | [`sse`] | server-sent events: bytes to whole events |
//! | [`translate`] | requests, answers and streams of one format in another |
//!
//! Guarantees: a field of an unexpected type is "unknown", never an error; lists and texts that are
//! kept are bounded; nothing here changes the bytes that a program forwards. Does not send, wait,
//! log or redact.
//!
//! # Example
//!
//! The usage of a streamed answer, whatever its chunks:
//!
//! ```
//! use bytes::Bytes;
//! use tollgate_wire::sse::{EventReader, Piece, parse};
//! use tollgate_wire::{Format, StreamReader};
//!
//! let body = "event: message_start\n\
//!     data: {\"type\":\"message_start\",\"message\":{\"model\":\"claude\",\"usage\":{\"input_tokens\":25}}}\n\n\
//!     event: message_delta\n\
//!     data: {\"type\":\"message_delta\",\"delta\":{},\"usage\":{\"output_tokens\":15}}\n\n\
//!     event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
//!
//! let mut events = EventReader::new(1 << 20);
//! let mut stream = StreamReader::new(Format::AnthropicMessages, 0);
//! let mut pieces = Vec::new();
//! for chunk in body.as_bytes().chunks(7) {
//!     events.push(Bytes::copy_from_slice(chunk), &mut pieces);
//!     for piece in pieces.drain(..) {
//!         if let Piece::Event(event) = piece {
//!             let event = parse(&event);
//!             stream.event(event.name, &event.data);
//!         }
//!     }
//! }
//! assert!(stream.ended());
//! assert_eq!(stream.usage().map(|usage| (usage.input, usage.output)), Some((25, 15)));
//! ```

mod alike;
mod answer;
mod ending;
mod error;
pub mod estimate;
mod exchange;
mod format;
mod gemini_usage;
pub mod ids;
mod lenient;
pub mod models;
mod reported;
pub mod sse;
mod stream;
pub mod tokens;
mod transcript;
pub mod translate;
pub mod usage;
pub mod written;

pub use answer::AnswerFacts;
pub use error::{ErrorFacts, StreamFailure};
pub use exchange::TextRequest;
pub use format::{Format, ProviderKind, Route, TextExchange};
pub use stream::{Role, StreamReader};
pub use transcript::Transcript;
