//! The stores, and the shipper that takes rows to them.
//!
//! A store takes batches of the write-ahead log and keeps the place up to which it has them. Two
//! kinds: `sqlite`, one file in `data_dir`, and `clickhouse`, a server. Does not: read a store (see
//! the room `report`).

pub(crate) mod clickhouse;
pub(crate) mod control;
pub(crate) mod dead_letter;
pub(crate) mod digest;
pub(crate) mod measures;
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
    /// Deletes some of what is older; returns whether there is more.
    fn forget_before(&mut self, keep: &Keep) -> bool;
    /// Keeps the limits on money that are in force, in place of those before.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn keep_limits(&mut self, limits: &[LimitInForce]) -> Result<(), StoreError>;
    /// Keeps records of the audit; those that are there stay as they are.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn keep_audit(&mut self, records: &[AuditRecord]) -> Result<(), StoreError>;
}

/// A record of the audit: the second copy of a line in `data_dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The chain, which is that of one data folder.
    pub chain: String,
    /// Its number, from 1.
    pub seq: u64,
    /// The bytes that are hashed.
    pub record: String,
    /// Hexadecimal digits.
    pub hash: String,
}

/// Days for which the parts of the log are kept; 0 keeps them for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Rows.
    pub rows: u32,
    /// Captured texts, at most as long as their rows.
    pub captures: u32,
    /// Roll-ups.
    pub hourly: u32,
}

/// The oldest of each part of the log that is kept, in milliseconds since 1970; `None` keeps all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) rows_from_ms: Option<i64>,
    pub(crate) captures_from_ms: Option<i64>,
    pub(crate) hours_from_ms: Option<i64>,
}

impl Retention {
    /// The oldest that is kept now.
    pub(crate) fn at(self, now_ms: i64) -> Keep {
        let from = |days: u32| (days > 0).then(|| now_ms - i64::from(days) * DAY_MS);
        Keep {
            rows_from_ms: from(self.rows),
            captures_from_ms: from(self.captures),
            hours_from_ms: from(self.hourly),
        }
    }
}

const DAY_MS: i64 = 86_400_000;

/// A limit on money, as the policy in force has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitInForce {
    /// Organisation; `*` for each one without a line of its own.
    pub org: String,
    /// `org`, `key`, `user` or `model`.
    pub scope: &'static str,
    /// Name of the key; `*` for each user; a pattern of models; empty for the organisation.
    pub name: String,
    /// Place of the pattern among those of its organisation: the first that matches counts.
    pub place: u16,
    /// `day` or `month`.
    pub period: &'static str,
    /// 10⁻⁹ USD.
    pub nano_usd: u64,
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
