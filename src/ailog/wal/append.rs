//! Rows become records of the write-ahead log; rows that cannot be written are counted as lost.
//!
//! Stage 12 of the walk, on the call's own thread.
//!
//! Guarantees: each row is either counted as `written` or counted as `lost`. Does not: gather rows
//! (see `group`), wait for the disk (see `sync`).

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::segment;
use super::{AppendError, Wal};
use crate::ailog::counters::Counters;
use crate::ailog::row::Row;

/// The first lost row is reported, then one in this number: a full disk must not be filled further
/// by its own complaint.
const REPORT_EVERY: u64 = 1_000;

/// Writes records and counts them.
pub(crate) struct Appender {
    wal: Arc<Wal>,
    counters: Arc<Counters>,
    /// Rows lost so far.
    lost: AtomicU64,
}

/// Calls `f` with the record of `row`, in a buffer that each thread keeps.
pub(crate) fn encoded<T>(row: &Row, f: impl FnOnce(&[u8]) -> T) -> T {
    thread_local! {
        static RECORD: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    }
    RECORD.with_borrow_mut(|record| {
        segment::record(row, record);
        f(record)
    })
}

impl Appender {
    /// An appender to `wal`.
    pub(crate) fn new(wal: Arc<Wal>, counters: Arc<Counters>) -> Appender {
        Appender { wal, counters, lost: AtomicU64::new(0) }
    }

    /// Writes a row. Blocks for one `write` to the page cache.
    pub(crate) fn append(&self, row: &Row) {
        encoded(row, |record| self.append_record(record));
    }

    /// Writes concatenated records in one write; if that fails, each record that can be written by
    /// itself. `ends` are the offsets at which the records end.
    pub(crate) fn append_records(&self, records: &[u8], ends: &[usize]) {
        let rows = ends.len() as u64;
        if rows > 1 {
            match self.wal.append_all(records, rows) {
                Ok(()) => return self.counters.written.inc_by(rows),
                Err(error @ AppendError::Unclean(_)) => {
                    return (0..rows).for_each(|_| self.lose(&error));
                }
                Err(_) => {}
            }
        }
        let mut from = 0;
        for &end in ends {
            self.append_record(&records[from..end]);
            from = end;
        }
    }

    fn append_record(&self, record: &[u8]) {
        match self.wal.append(record) {
            Ok(()) => self.counters.written.inc(),
            Err(error) => self.lose(&error),
        }
    }

    fn lose(&self, error: &AppendError) {
        self.counters.lost.inc();
        if matches!(error, AppendError::Full) {
            self.counters.metrics.bound("wal_bytes");
        }
        if self.lost.fetch_add(1, Ordering::Relaxed).is_multiple_of(REPORT_EVERY) {
            let source = std::error::Error::source(error);
            tracing::error!(event = "row_lost", %error, ?source, "a row of the log is lost");
        }
    }
}
