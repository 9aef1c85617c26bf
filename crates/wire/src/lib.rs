//! Wire formats of LLM providers, read and written without any I/O.
//!
//! Pure by its dependencies: no runtime, no HTTP, no clock. Usable by any program that looks at such traffic.
//!
//! | module | content |
//! |---|---|
//! | [`sse`] | server-sent events: bytes to whole events |
//! | [`usage`] | token usage in one form for every format |
//! | [`estimate`] | estimates of usage, before a call and without a report |
//! | [`written`] | counts the text that a model has written |
//!
//! Does not send, wait, log, or change a byte that is forwarded.

pub mod estimate;
pub mod sse;
pub mod usage;
pub mod written;
