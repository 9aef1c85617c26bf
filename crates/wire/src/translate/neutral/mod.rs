//! The neutral form: requests, answers and streams in the words of no format.
//!
//! Each format has a reader, which makes the neutral form of its bytes, and a writer, which makes
//! its bytes of the neutral form. A format knows this form and itself, never another format.
//!
//! Texts are in their escaped form ([`JsonText`](super::json::JsonText)), schemas and arguments are
//! JSON as it was written ([`Raw`](super::json::Raw)); both borrow from the body. A field of the
//! request carries the name that the caller gave it ([`Field`]), so that a writer can say in the
//! caller's words which field it cannot express.
//!
//! | type | content |
//! |---|---|
//! | [`Request`] | turns, tools, options |
//! | [`Turn`], [`Part`] | text, media, calls of tools, their results, reasoning |
//! | [`Answer`], [`Event`] | a whole answer; an answer in pieces |
//! | [`Stop`] | the reason for which an answer ends |

mod answer;
mod event;
pub(crate) mod history;
mod part;
mod request;

pub use answer::{Answer, Stop};
pub use event::{Block, Event, Sink};
pub use part::{
    Arguments, CacheMark, Detail, Media, MediaKind, Opaque, OpaqueKind, Part, PartKind, Place,
    Reasoning, SearchResult, Source, TextPart, ToolCall, ToolResult, Vendor,
};
pub use request::{
    Effort, Field, Flattened, Names, OutputFormat, Request, Role, ShownPlace, Thinking, Tier, Tool,
    ToolChoice, ToolKind, Turn,
};
