//! Computes the cost of rows that are stored already again, from the tokens they keep, by today's prices.
//!
//! For the command line. Works while a gateway writes to the same store; rows that still wait in the write-ahead log are not
//! seen. Blocks.
//!
//! Promises: a cost is what the price list says for exactly the tokens, the tier and the day of the row; running it again
//! changes nothing. What cannot be known is left as it is and counted: rows without usage, rows that a former version
//! priced (it did not keep what was written to a cache), and rows whose model has no price now. A row of a former version that
//! had no price is priced as if nothing had been written to a cache. Does not: touch anything but `cost_usd` and
//! `price_version`.
//!
//! # Bounds
//! Rows are read in windows of time that hold at most a slice of them; a window of one second is read whole.

mod clickhouse;
mod sqlite;

use std::path::Path;

use tollgate_wire::usage::TokenUsage;

use super::report::ReadError;
use crate::config::policy::StoreKind;
use crate::cost::{Call, PriceList};

/// Windows of time are halved down to this length.
const WINDOW_MS_MIN: i64 = 1_000;

/// What came of it, so far or in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repriced {
    /// Rows looked at.
    pub rows: u64,
    /// Rows whose cost is another now.
    pub changed: u64,
    /// Rows of the same cost, which carry the name of today's list now.
    pub renamed: u64,
    /// Rows without usage: there is nothing to compute a cost from.
    pub without_usage: u64,
    /// Rows that a former version priced: not all of their tokens are known.
    pub former: u64,
    /// Rows whose model, or way of serving, has no price.
    pub unpriced: u64,
    /// What the rows that can be computed cost before, in 10⁻⁹ USD.
    pub before_nano: i128,
    /// What they cost now.
    pub after_nano: i128,
}

/// A stored row, as far as its price depends on it.
struct Stored {
    id: String,
    at_ms: i64,
    provider: String,
    model: String,
    response_model: String,
    usage: TokenUsage,
    has_usage: bool,
    cost_nano: Option<i64>,
    price_version: String,
}

/// A cost to be stored.
struct Change {
    id: String,
    cost_nano: i64,
}

/// A store whose rows can be priced again.
trait Ledger {
    /// Rows that are read, and changed, at once.
    fn slice(&self) -> u64;
    /// The first and the last millisecond of the rows in `from_ms <= created_at < to_ms`, and how many they are.
    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError>;
    /// Those rows.
    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<Stored>, ReadError>;
    /// Stores costs of the window that was read last.
    fn change(&mut self, changes: &[Change], version: &str) -> Result<(), ReadError>;
    /// Everything has been read; what was gathered is stored now.
    fn finish(&mut self, version: &str) -> Result<(), ReadError>;
}

/// Prices the rows of `from_ms <= created_at < to_ms` again; with `dry_run` only says what would come of it. `progress` is
/// told now and then.
///
/// # Errors
/// The store cannot be read or written. What was done so far stays; running it again goes on from there.
pub fn reprice(
    store: &StoreKind,
    data_dir: &Path,
    prices: &PriceList,
    (from_ms, to_ms): (i64, i64),
    dry_run: bool,
    progress: &mut dyn FnMut(&Repriced),
) -> Result<Repriced, ReadError> {
    let mut ledger: Box<dyn Ledger> = match store {
        StoreKind::Embedded => match sqlite::Sqlite::open(&data_dir.join(super::EMBEDDED_FILE))? {
            Some(store) => Box::new(store),
            None => return Ok(Repriced::default()),
        },
        StoreKind::ClickHouse(options) => Box::new(clickhouse::ClickHouse::open(options, dry_run)?),
    };
    let mut work = Work { ledger: &mut *ledger, prices, dry_run, done: Repriced::default(), progress };
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
    /// Works through a window of time, in halves where it holds more than a slice.
    fn window(&mut self, from_ms: i64, to_ms: i64) -> Result<(), ReadError> {
        let (rows, first, last) = self.ledger.extent(from_ms, to_ms)?;
        if rows == 0 {
            return Ok(());
        }
        // Only where there are rows: a window may be years.
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

    /// Counts a row; what is to be stored of it.
    fn look_at(&mut self, row: Stored) -> Option<Change> {
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
        let Some(cost_nano) = self.prices.of_call(&call) else {
            done.unpriced += 1;
            return None;
        };
        done.before_nano += i128::from(row.cost_nano.unwrap_or(0));
        done.after_nano += i128::from(cost_nano);
        if row.cost_nano != Some(cost_nano) {
            done.changed += 1;
        } else if row.price_version != **self.prices.version() {
            done.renamed += 1;
        } else {
            return None;
        }
        Some(Change { id: row.id, cost_nano })
    }
}
