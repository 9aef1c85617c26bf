//! All rows of a stretch of time with every column, in the order of `created_at` and `id`.
//!
//! For `tollgate export`. Both stores give the same rows in the same order.
//!
//! Guarantees: rows are read in pages, and no statement of the store is open while a page is
//! written, so a slow reader of the output holds up neither the gateway nor the server. Does not:
//! show one state of the store: a row that is stored while the export runs is in it if its time is
//! later than that of the page in work.
//!
//! # Bounds
//! A page ends at `EXPORT_PAGE_ROWS` rows or `EXPORT_PAGE_BYTES` bytes; the last row may exceed it.

use std::io;

use super::query::{Dim, ReadError};
use super::{Kind, Reader};
use crate::ailog::store::measures::Values;

/// The rows of an export.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Milliseconds since 1970: from the first on, before the second.
    pub(crate) stretch: (i64, i64),
    /// Only rows with these values; of one dimension any of its values.
    pub(crate) only: Vec<(Dim, String)>,
}

/// Takes the rows of an export.
pub(crate) trait Sink {
    /// Takes a row into memory.
    fn take(&mut self, row: &Values<'_>);

    /// Writes the rows that were taken. The last of them is of the millisecond `at_ms`.
    ///
    /// # Errors
    /// They cannot be written.
    fn write(&mut self, at_ms: i64) -> io::Result<()>;
}

/// Why an export ended too early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The rows cannot be written.
    #[error(transparent)]
    Write(io::Error),
}

impl From<rusqlite::Error> for ExportError {
    fn from(error: rusqlite::Error) -> ExportError {
        ExportError::Read(error.into())
    }
}

impl Reader {
    /// The first and the last millisecond of the rows in a stretch; `None` if there are none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub(crate) fn span(&self, stretch: (i64, i64)) -> Result<Option<(i64, i64)>, ReadError> {
        match &self.store {
            Kind::Sqlite(store) => store.span(stretch),
            Kind::ClickHouse(store) => store.span(stretch),
            Kind::Empty => Ok(None),
        }
    }

    /// Gives all rows of a selection to `sink`.
    ///
    /// # Errors
    /// The store cannot be read, or the rows cannot be written. Earlier pages are written then.
    pub(crate) fn export(
        &self,
        selection: &Selection,
        sink: &mut dyn Sink,
    ) -> Result<(), ExportError> {
        match &self.store {
            Kind::Sqlite(store) => store.export(selection, sink),
            Kind::ClickHouse(store) => store.export(selection, sink),
            Kind::Empty => Ok(()),
        }
    }
}
