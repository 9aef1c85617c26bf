//! Reading the log: sums for reports and the dashboard, rows for the live tail, costs computed
//! again.
//!
//! For the command line and the operators' listener. Reads the stores, not the write-ahead log: a
//! row can be found about a quarter of a second after its call. Blocks: call it from a thread that
//! may.
//!
//! Guarantees: both stores give the same answers; text from outside reaches SQL only as bound
//! values. Does not: change anything, except in `reprice`.

mod clickhouse;
mod days;
pub(crate) mod export;
mod ledger;
mod pieces;
mod query;
pub mod reprice;
mod search;
mod sqlite;

#[cfg(test)]
pub(crate) mod tests;

#[cfg(test)]
pub(crate) use clickhouse::cluster_statements;

use std::path::Path;

use serde_json::{Map, Value};

pub use days::Days;
pub use query::{
    Dim, Figure, Filter, Page, Part, Place, Question, ReadError, Report, Search, Spent, Summary,
};

use crate::ailog::AuditRecord;
use crate::ailog::store::sqlite::FILE;
use crate::bounds::REPORT_ROWS_MAX;
use crate::config::policy::StoreKind;
use clickhouse::ClickHouseReader;
use sqlite::SqliteReader;

/// Reads one store.
pub struct Reader {
    store: Kind,
}

enum Kind {
    Sqlite(SqliteReader),
    ClickHouse(Box<ClickHouseReader>),
    /// No row was ever stored.
    Empty,
}

impl Reader {
    /// Opens the store that the settings name. Works while a gateway writes to it.
    ///
    /// # Errors
    /// It cannot be read. A store that was never written to is empty, not an error.
    pub fn open(store: &StoreKind, data_dir: &Path) -> Result<Reader, ReadError> {
        let store = match store {
            StoreKind::Embedded => match SqliteReader::open(&data_dir.join(FILE))? {
                Some(store) => Kind::Sqlite(store),
                None => Kind::Empty,
            },
            StoreKind::ClickHouse(options) => {
                Kind::ClickHouse(Box::new(ClickHouseReader::new(options)?))
            }
        };
        Ok(Reader { store })
    }

    /// Sums of the calls of `from_ms <= created_at < to_ms`, by `by`, in the order of the keys.
    ///
    /// # Errors
    /// The store cannot be read.
    /// # Bounds
    /// At most `REPORT_ROWS_MAX` lines; the rest is left out.
    pub fn summary(&self, from_ms: i64, to_ms: i64, by: &[Dim]) -> Result<Vec<Summary>, ReadError> {
        Ok(self.report((from_ms, to_ms), by, &Days::UTC, REPORT_ROWS_MAX)?.lines)
    }

    /// The same sums, with the days of a time zone, and at most `most` lines.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn report(
        &self,
        stretch: (i64, i64),
        by: &[Dim],
        days: &Days,
        most: usize,
    ) -> Result<Report, ReadError> {
        self.answer(&Question { stretch, by, only: &[], days }, most)
    }

    /// The answer to a question, in at most `most` lines.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn answer(&self, question: &Question<'_>, most: usize) -> Result<Report, ReadError> {
        self.part(question, &Part { largest: None, skip: 0, most, percentiles: true })
    }

    /// A part of the answer to a question.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn part(&self, question: &Question<'_>, part: &Part) -> Result<Report, ReadError> {
        // One more line shows that there are more.
        let asked = Part { most: part.most.saturating_add(1), ..*part };
        let mut lines = match &self.store {
            Kind::Sqlite(store) => store.summary(question, &asked)?,
            Kind::ClickHouse(store) => store.summary(question, &asked)?,
            Kind::Empty => Vec::new(),
        };
        let is_cut = lines.len() > part.most;
        lines.truncate(part.most);
        Ok(Report { lines, is_cut })
    }

    /// The cost of the calls of `from_ms <= created_at < to_ms`, the largest sums first, at most
    /// `most`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn spent(&self, from_ms: i64, to_ms: i64, most: usize) -> Result<Vec<Spent>, ReadError> {
        match &self.store {
            Kind::Sqlite(store) => store.spent(from_ms, to_ms, most),
            Kind::ClickHouse(store) => store.spent(from_ms, to_ms, most),
            Kind::Empty => Ok(Vec::new()),
        }
    }

    /// The store's copy of the audit, by chain and number. Without a chain, all of them.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn audit(&self, chain: Option<&str>) -> Result<Vec<AuditRecord>, ReadError> {
        match &self.store {
            Kind::Sqlite(store) => store.audit(chain),
            Kind::ClickHouse(store) => store.audit(chain),
            Kind::Empty => Ok(Vec::new()),
        }
    }

    /// The newest rows that pass the filter, newest first, as objects of the public columns.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn logs(
        &self,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Map<String, Value>>, ReadError> {
        Ok(self.page(filter, limit, usize::MAX)?.rows)
    }

    /// The same rows, but no more once their text takes `bytes_max` bytes: the last one may exceed
    /// it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn page(&self, filter: &Filter, limit: usize, bytes_max: usize) -> Result<Page, ReadError> {
        let limit = limit.min(REPORT_ROWS_MAX);
        if filter.search.is_some() {
            return search::page(self, filter, limit, bytes_max);
        }
        self.whole(filter, limit, bytes_max)
    }

    /// The same, however long it takes.
    fn whole(&self, filter: &Filter, limit: usize, bytes_max: usize) -> Result<Page, ReadError> {
        match &self.store {
            Kind::Sqlite(store) => store.page(filter, limit, bytes_max),
            Kind::ClickHouse(store) => store.page(filter, limit, bytes_max),
            Kind::Empty => Ok(Page::default()),
        }
    }
}
