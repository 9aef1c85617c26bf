//! JSON that is carried and not interpreted: strings in their escaped form, values as they were
//! written, and a writer that puts them together again.
//!
//! Guarantees: a string or a value that is carried keeps its bytes, so numbers of any length, the
//! order of keys and lone surrogates survive; nothing that the writer is given can end a string, an
//! object or a list. Does not build trees of values.

mod object;
mod text;
mod tree;
mod value;
mod write;

pub(crate) use object::{Key, UNKNOWN_MAX, object};
pub use text::JsonText;
pub(crate) use tree::Tree;
pub use value::{List, Number, Raw, compact, is_object};
pub use write::{JsonList, JsonObject};
