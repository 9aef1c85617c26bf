//! Tests of the readers, on rows that the log has stored.

mod million;
pub(crate) mod mixed;
pub(crate) mod queries;
pub(crate) mod reprice;
pub(crate) mod views;
