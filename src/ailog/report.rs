//! Reading the log: sums for reports and the dashboard, rows for the live tail. Both stores give the same answers.
//!
//! For the command line and the operators' side. Reads the stores, not the write-ahead log: a row can be found about a
//! quarter of a second after its call. Blocks: call it from a thread that may.
//!
//! Does not: change anything; and names from outside reach SQL only as bound values.

mod clickhouse;
mod days;
mod sqlite;

use std::path::Path;

use serde_json::{Map, Value};

pub(super) use clickhouse::{LAST_MS, fetch};
pub use days::Days;

use super::columns::iso;
use crate::bounds::REPORT_ROWS_MAX;
use crate::config::policy::StoreKind;

/// By what calls are summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    Day,
    Org,
    Model,
    Provider,
    Route,
    Caller,
}

impl Dim {
    /// All of them.
    pub const ALL: [Dim; 6] = [Dim::Day, Dim::Org, Dim::Model, Dim::Provider, Dim::Route, Dim::Caller];

    /// The name used on the command line and in queries; column names are understood, too.
    pub fn parse(name: &str) -> Option<Dim> {
        Dim::ALL.into_iter().find(|d| d.as_str() == name || d.column() == name)
    }

    /// The name used on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Dim::Day => "day",
            Dim::Org => "org",
            Dim::Model => "model",
            Dim::Provider => "provider",
            Dim::Route => "route",
            Dim::Caller => "caller",
        }
    }

    /// The name in results: a column of `ai_log`, or `day`.
    pub const fn column(self) -> &'static str {
        match self {
            Dim::Org => "org_id",
            other => other.as_str(),
        }
    }
}

/// Sums of the calls that agree in some dimensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Values of the dimensions, in the order asked for.
    pub key: Vec<String>,
    pub calls: u64,
    /// Provider errors, timeouts and the gateway's own no.
    pub errors: u64,
    pub rate_limited: u64,
    pub input_tokens: u64,
    pub cached_tokens: u64,
    pub output_tokens: u64,
    /// 10⁻⁹ USD, of the calls that have a price.
    pub cost_nano_usd: i64,
    /// Calls with usage but without a price.
    pub unpriced: u64,
    pub redactions: u64,
    pub attachments_dropped: u64,
    /// Percentiles of the latency, by nearest rank.
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
}

impl Summary {
    /// Part of the calls that were errors.
    pub fn error_rate(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.errors as f64 / self.calls as f64 }
    }

    /// As JSON, with the dimensions and the column names of the log.
    pub fn to_json(&self, by: &[Dim]) -> Map<String, Value> {
        let mut object = Map::new();
        for (dim, value) in by.iter().zip(&self.key) {
            object.insert(dim.column().to_owned(), Value::from(value.as_str()));
        }
        let numbers: [(&str, Value); 14] = [
            ("calls", self.calls.into()),
            ("errors", self.errors.into()),
            ("error_rate", self.error_rate().into()),
            ("rate_limited", self.rate_limited.into()),
            ("input_tokens", self.input_tokens.into()),
            ("cached_tokens", self.cached_tokens.into()),
            ("output_tokens", self.output_tokens.into()),
            ("cost_usd", (self.cost_nano_usd as f64 / 1e9).into()),
            ("unpriced", self.unpriced.into()),
            ("redactions", self.redactions.into()),
            ("attachments_dropped", self.attachments_dropped.into()),
            ("p50_ms", self.p50_ms.into()),
            ("p95_ms", self.p95_ms.into()),
            ("p99_ms", self.p99_ms.into()),
        ];
        object.extend(numbers.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object
    }
}

/// What the priced calls of one organisation, caller and model cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    pub org: String,
    pub caller: String,
    /// As asked for.
    pub model: String,
    pub nano_usd: u64,
}

/// 10⁻⁹ USD as a decimal with all nine digits that count, at least two: `0.000195`, `1.50`.
pub fn usd(nano: i64) -> String {
    let (sign, n) = if nano < 0 { ("-", nano.unsigned_abs()) } else { ("", nano.unsigned_abs()) };
    let fraction = format!("{:09}", n % 1_000_000_000);
    let digits = fraction.trim_end_matches('0').len().max(2);
    format!("{sign}{}.{}", n / 1_000_000_000, &fraction[..digits])
}

/// The inverse of [`usd`], for at most nine digits after the point.
pub(super) fn parse_usd(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let nano = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse::<i64>().ok()? };
    let nano = if whole.starts_with('-') { -nano } else { nano };
    whole.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nano)
}

/// The milliseconds of a time as the embedded store writes it.
pub(super) fn ms_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// Which rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Milliseconds since 1970: from here on.
    pub from_ms: Option<i64>,
    /// Milliseconds since 1970: before this.
    pub to_ms: Option<i64>,
    /// Exact values of columns; see [`Filter::COLUMNS`].
    pub equal: Vec<(&'static str, String)>,
    /// Rows that stand behind this one, where the newest are first.
    pub behind: Option<Place>,
}

/// Where a row stands among the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Milliseconds since 1970.
    pub created_at_ms: i64,
    /// The row's id.
    pub id: String,
}

impl Place {
    /// The place of a row, as it is given out.
    pub fn of(row: &Map<String, Value>) -> Option<Place> {
        let text = |name: &str| row.get(name).and_then(Value::as_str);
        Some(Place { created_at_ms: ms_of(text("created_at")?)?, id: text("id")?.to_owned() })
    }
}

/// Some rows of the log, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// As objects of the public columns.
    pub rows: Vec<Map<String, Value>>,
    /// There were more within the limit, but no room for them.
    pub is_cut: bool,
}

impl Filter {
    /// Columns that rows can be chosen by.
    pub const COLUMNS: [&'static str; 11] = [
        "id",
        "org_id",
        "caller",
        "route",
        "endpoint",
        "provider",
        "model",
        "outcome",
        "error_code",
        "request_id",
        "status",
    ];

    /// Adds a condition; says whether there is such a column.
    pub fn and(&mut self, column: &str, value: &str) -> bool {
        match Filter::COLUMNS.into_iter().find(|c| *c == column) {
            Some(column) => {
                self.equal.push((column, value.to_owned()));
                true
            }
            None => false,
        }
    }
}

/// Why the log cannot be read. Something that the operator has to change.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the embedded store cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("ClickHouse has no such database, table or column yet; run `tollgate clickhouse apply`")]
    NoSchema,
    #[error("ClickHouse cannot be read: {0}")]
    ClickHouse(#[source] ::clickhouse::error::Error),
    #[error("the embedded store is of a former version; it is brought up to date when `tollgate serve` starts")]
    Former,
    #[error(
        "ai_log is a {engine} table here, and `reprice` can only change plain MergeTree tables: its list of new costs would \
         not be there for the other servers"
    )]
    NotHere {
        /// The table's engine.
        engine: String,
    },
    #[error("ClickHouse gives an answer that is not understood")]
    Answer,
    #[error("no event queue: {0}")]
    System(#[from] std::io::Error),
}

impl From<::clickhouse::error::Error> for ReadError {
    fn from(error: ::clickhouse::error::Error) -> ReadError {
        match &error {
            ::clickhouse::error::Error::BadResponse(text)
                if matches!(super::clickhouse::exception_code(text), Some(16 | 47 | 60 | 81)) =>
            {
                ReadError::NoSchema
            }
            _ => ReadError::ClickHouse(error),
        }
    }
}

/// The lines of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order of the keys.
    pub lines: Vec<Summary>,
    /// There are more than were asked for.
    pub is_cut: bool,
}

/// Reads one store.
pub struct Reader {
    store: Kind,
}

enum Kind {
    Sqlite(sqlite::Sqlite),
    ClickHouse(Box<clickhouse::ClickHouse>),
    /// Nothing was ever stored.
    Empty,
}

impl Reader {
    /// Opens the store that the settings name. Works while a gateway writes to it.
    ///
    /// # Errors
    /// It cannot be read. A store that was never written to is empty, not an error.
    pub fn open(store: &StoreKind, data_dir: &Path) -> Result<Reader, ReadError> {
        let store = match store {
            StoreKind::Embedded => match sqlite::Sqlite::open(&data_dir.join(super::EMBEDDED_FILE))? {
                Some(store) => Kind::Sqlite(store),
                None => Kind::Empty,
            },
            StoreKind::ClickHouse(options) => Kind::ClickHouse(Box::new(clickhouse::ClickHouse::new(options)?)),
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

    /// The same, with the days of a time zone, and at most `most` lines.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn report(
        &self,
        (from_ms, to_ms): (i64, i64),
        by: &[Dim],
        days: &Days,
        most: usize,
    ) -> Result<Report, ReadError> {
        // One more shows that there are more.
        let asked = most + 1;
        let mut lines = match &self.store {
            Kind::Sqlite(store) => store.summary(from_ms, to_ms, by, days, asked)?,
            Kind::ClickHouse(store) => store.summary(from_ms, to_ms, by, days, asked)?,
            Kind::Empty => Vec::new(),
        };
        let is_cut = lines.len() > most;
        lines.truncate(most);
        Ok(Report { lines, is_cut })
    }

    /// What the calls of `from_ms <= created_at < to_ms` cost, the largest sums first, at most `most` of them.
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

    /// The newest rows that the filter lets through, newest first, as objects of the public columns.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn logs(&self, filter: &Filter, limit: usize) -> Result<Vec<Map<String, Value>>, ReadError> {
        Ok(self.page(filter, limit, usize::MAX)?.rows)
    }

    /// The same, and no more rows once their text takes `bytes_max` bytes: the last one may go beyond.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn page(&self, filter: &Filter, limit: usize, bytes_max: usize) -> Result<Page, ReadError> {
        let limit = limit.min(REPORT_ROWS_MAX);
        match &self.store {
            Kind::Sqlite(store) => store.page(filter, limit, bytes_max),
            Kind::ClickHouse(store) => store.page(filter, limit, bytes_max),
            Kind::Empty => Ok(Page::default()),
        }
    }
}

/// SQL for `dims`, as a list that ends in a comma where it is not empty.
fn listed(parts: impl Iterator<Item = String>) -> String {
    parts.map(|p| p + ", ").collect()
}

/// The bounds of a summary as the stores keep them.
fn bounds_of(from_ms: i64, to_ms: i64) -> (String, String) {
    (iso(from_ms), iso(to_ms))
}
