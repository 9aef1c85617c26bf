//! Computes the cost of stored rows again, from the tokens they keep, by today's prices.
//!
//! For the command line. Works while a gateway writes to the same store; it does not see rows that
//! still wait in the write-ahead log. Blocks.
//!
//! Guarantees: a cost follows from the price list for exactly the tokens, the tier and the day of
//! the row; running it again changes nothing. Rows whose cost is unknown are left unchanged and
//! counted: rows without usage, rows that a former version priced (it did not keep the tokens
//! written to a cache), and rows whose model has no price now. A row of a former version that had
//! no price is priced as if nothing had been written to a cache. Does not: change any column but
//! `cost_usd` with its parts, `saved_by_cache_usd` and `price_version`.
//!
//! # Bounds
//! Rows are read in windows of time that hold at most a slice of them; a window of one second is
//! read whole.

use std::path::Path;

use super::clickhouse::ClickHouseLedger;
use super::ledger::{Change, Ledger, StoredCall};
use super::query::ReadError;
use super::sqlite::SqliteReader;
use crate::ailog::store::sqlite::FILE;
use crate::config::policy::StoreKind;
use crate::cost::{Call, PriceList};

/// Windows of time are not halved below this length.
const WINDOW_MS_MIN: i64 = 1_000;

/// The result, so far or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Rows read.
    pub rows: u64,
    /// Rows whose cost is different now.
    pub changed: u64,
    /// Rows of the same cost that carry the name of today's price list now.
    pub renamed: u64,
    /// Rows without usage: their cost cannot be computed.
    pub without_usage: u64,
    /// Rows that a former version priced: not all of their tokens are known.
    pub former: u64,
    /// Rows whose model or service tier has no price.
    pub unpriced: u64,
    /// The former cost of the rows that can be computed, in 10⁻⁹ USD.
    pub before_nano: i128,
    /// Their cost now, in 10⁻⁹ USD.
    pub after_nano: i128,
}

/// Prices the rows of `from_ms <= created_at < to_ms` again; with `dry_run` only returns the
/// result. Calls `progress` now and then.
///
/// # Errors
/// The store cannot be read or written. The changes so far stay; running it again does the rest.
pub fn reprice(
    store: &StoreKind,
    data_dir: &Path,
    prices: &PriceList,
    (from_ms, to_ms): (i64, i64),
    dry_run: bool,
    progress: &mut dyn FnMut(&Repriced),
) -> Result<Repriced, ReadError> {
    let mut ledger: Box<dyn Ledger> = match store {
        StoreKind::Embedded => match SqliteReader::open_to_reprice(&data_dir.join(FILE))? {
            Some(store) => Box::new(store),
            None => return Ok(Repriced::default()),
        },
        StoreKind::ClickHouse(options) => Box::new(ClickHouseLedger::open(options, dry_run)?),
    };
    let mut work =
        Work { ledger: &mut *ledger, prices, dry_run, done: Repriced::default(), progress };
    work.window(from_ms, to_ms)?;
    let done = work.done;
    if !dry_run {
        ledger.finish(prices.version())?;
    }
    Ok(done)
}

struct Work<'a> {
    ledger: &'a mut dyn Ledger,
    prices: &'a PriceList,
    dry_run: bool,
    done: Repriced,
    progress: &'a mut dyn FnMut(&Repriced),
}

impl Work<'_> {
    /// Reprices a window of time, in halves if it holds more than a slice.
    fn window(&mut self, from_ms: i64, to_ms: i64) -> Result<(), ReadError> {
        let (rows, first, last) = self.ledger.extent(from_ms, to_ms)?;
        if rows == 0 {
            return Ok(());
        }
        // Shrinks to the rows: a window may be years.
        let (from_ms, to_ms) = (first, last + 1);
        if rows > self.ledger.slice() && to_ms - from_ms > WINDOW_MS_MIN {
            let middle = from_ms + (to_ms - from_ms) / 2;
            self.window(from_ms, middle)?;
            return self.window(middle, to_ms);
        }
        let rows = self.ledger.rows(from_ms, to_ms)?;
        let changes: Vec<Change> = rows.into_iter().filter_map(|row| self.look_at(row)).collect();
        if !self.dry_run && !changes.is_empty() {
            self.ledger.change(&changes, self.prices.version())?;
        }
        (self.progress)(&self.done);
        Ok(())
    }

    /// Counts a row; returns its new cost if that must be stored.
    fn look_at(&mut self, row: StoredCall) -> Option<Change> {
        let done = &mut self.done;
        done.rows += 1;
        if !row.has_usage {
            done.without_usage += 1;
            return None;
        }
        if row.cost_nano.is_some() && row.price_version.is_empty() {
            done.former += 1;
            return None;
        }
        let call = Call {
            provider: &row.provider,
            response_model: &row.response_model,
            model: &row.model,
            usage: row.usage,
            at_ms: row.at_ms,
        };
        let Some(cost) = self.prices.of_call(&call) else {
            done.unpriced += 1;
            return None;
        };
        let cost_nano = cost.total;
        done.before_nano += i128::from(row.cost_nano.unwrap_or(0));
        done.after_nano += i128::from(cost_nano);
        if row.cost_nano != Some(cost_nano) {
            done.changed += 1;
        } else if row.price_version != **self.prices.version() {
            done.renamed += 1;
        } else {
            return None;
        }
        Some(Change { id: row.id, at_ms: row.at_ms, cost })
    }
}
