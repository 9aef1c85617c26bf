//! A store whose rows can be priced again.
//!
//! Data and an interface: `sqlite` and `clickhouse` implement it, `reprice` uses it.

use tollgate_wire::usage::TokenUsage;

use super::query::ReadError;
use crate::cost::Cost;

/// The part of a stored row that its price depends on.
pub(crate) struct StoredCall {
    pub(crate) id: String,
    pub(crate) at_ms: i64,
    pub(crate) provider: String,
    pub(crate) model: String,
    pub(crate) response_model: String,
    pub(crate) usage: TokenUsage,
    pub(crate) has_usage: bool,
    pub(crate) cost_nano: Option<i64>,
    pub(crate) price_version: String,
}

/// A new cost for a row.
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) at_ms: i64,
    pub(crate) cost: Cost,
}

/// A column, and its value in 10⁻⁹ USD.
pub(crate) type Amount = (&'static str, fn(&Cost) -> i64);

/// The columns of a cost and of its parts, each with its value.
pub(crate) const AMOUNTS: [Amount; 6] = [
    ("cost_usd", |cost| cost.total),
    ("input_cost_usd", |cost| cost.input),
    ("cached_cost_usd", |cost| cost.cached),
    ("cache_write_cost_usd", |cost| cost.cache_write),
    ("output_cost_usd", |cost| cost.output),
    ("saved_by_cache_usd", |cost| cost.saved),
];

/// A store whose rows can be priced again.
pub(crate) trait Ledger {
    /// The number of rows that are read, and changed, at once.
    fn slice(&self) -> u64;
    /// The number of rows in `from_ms <= created_at < to_ms`, and their first and last millisecond.
    fn extent(&mut self, from_ms: i64, to_ms: i64) -> Result<(u64, i64, i64), ReadError>;
    /// Those rows.
    fn rows(&mut self, from_ms: i64, to_ms: i64) -> Result<Vec<StoredCall>, ReadError>;
    /// Stores new costs of rows in the window that was read last.
    fn change(&mut self, changes: &[Change], version: &str) -> Result<(), ReadError>;
    /// Stores the gathered costs: everything has been read.
    fn finish(&mut self, version: &str) -> Result<(), ReadError>;
}
