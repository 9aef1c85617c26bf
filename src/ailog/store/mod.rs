//! The stores, and the shipper that takes rows to them.
//!
//! A store takes batches of the write-ahead log and keeps the place up to which it has them. Two
//! kinds: `sqlite`, one file in `data_dir`, and `clickhouse`, a server. Does not: read a store (see
//! the room `report`).

pub(crate) mod clickhouse;
pub(crate) mod control;
pub(crate) mod dead_letter;
pub(crate) mod shipper;
pub(crate) mod sqlite;

use std::time::Duration;

use super::wal::position::Position;
use super::wal::reader::{Batch, BatchLimits};

/// A place where rows are kept for good.
pub(crate) trait Store: Send {
    /// The largest batch it takes.
    fn limits(&self) -> BatchLimits;
    /// How long rows are gathered when no thread waits for them: a row is in the store after about
    /// this time.
    fn tick(&self) -> Duration;
    /// The place at which an earlier process stopped.
    ///
    /// # Errors
    /// The place cannot be known.
    fn resume(&mut self) -> Result<Option<Resume>, StoreError>;
    /// Stores a batch and keeps the position after it. The same range may be given again. While it
    /// waits, it asks `give_up` many times a second.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn store(&mut self, batch: &Batch, give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError>;
    /// Keeps the position after a batch of which nothing is to be stored.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError>;
    /// Makes the stored rows durable, before their segment is removed.
    fn settle(&mut self);
    /// From now on rows and position are on the disk before `store` returns.
    fn sync_always(&mut self);
    /// Deletes some of the rows that are older; returns whether there are more.
    fn forget_before(&mut self, created_at_ms: i64) -> bool;
}

/// The place at which to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    pub(crate) position: Position,
    /// End of a range that may have reached the store already.
    pub(crate) sealed_until: Option<u64>,
}

/// The result of storing a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Rows that were not there before.
    pub(crate) rows: usize,
}

/// Why a batch is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreError {
    /// Temporary; the same range is sent again, after `at_least`.
    Retry { reason: String, at_least: Duration },
    /// An operator has to act; the same range is tried every few seconds.
    Operator { reason: String },
    /// The store cannot take some row of the batch.
    Rows { reason: String },
}

impl StoreError {
    /// The reason, for an operator.
    pub(crate) fn into_reason(self) -> String {
        match self {
            StoreError::Retry { reason, .. }
            | StoreError::Operator { reason }
            | StoreError::Rows { reason } => reason,
        }
    }
}
