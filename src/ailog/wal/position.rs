//! A place in the write-ahead log: a segment and an offset in it.
//!
//! Data only. Stores keep the place up to which they have the rows.

use uuid::Uuid;

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) segment: Uuid,
    pub(crate) offset: u64,
}
