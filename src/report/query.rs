//! The words of reports: what is asked for, what is answered, and why a store cannot be read.
//!
//! Data only. Both stores understand the same questions and give the same answers.

mod search;

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::days::Days;
use super::pieces::Grain;
use crate::ailog::store::clickhouse::exception_code;
pub use search::{Filter, Page, Place, Search};

/// A dimension by which calls are summed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    Day,
    Hour,
    Minute,
    Org,
    Model,
    Provider,
    Route,
    Caller,
    Outcome,
    /// The gateway's own error code.
    Error,
    /// The limit that refused the call.
    Limit,
    /// The decision of the candidate policy, in a word.
    Shadow,
    /// The value of the tag of this name.
    Tag(Arc<str>),
}

impl Dim {
    /// All of them but those that only rows have: the tags and the candidate's decisions.
    pub const ALL: [Dim; 11] = [
        Dim::Day,
        Dim::Hour,
        Dim::Minute,
        Dim::Org,
        Dim::Model,
        Dim::Provider,
        Dim::Route,
        Dim::Caller,
        Dim::Outcome,
        Dim::Error,
        Dim::Limit,
    ];

    /// The name used on the command line and in queries; column names and `user` are understood,
    /// too.
    pub fn parse(name: &str) -> Option<Dim> {
        if let Some(tag) = name.strip_prefix("tag:") {
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
            let is_name = !tag.is_empty() && tag.bytes().all(fits);
            return is_name.then(|| Dim::Tag(Arc::from(tag)));
        }
        if name == Dim::Shadow.as_str() {
            return Some(Dim::Shadow);
        }
        let name = if name == "user" { "caller" } else { name };
        Dim::ALL.into_iter().find(|dim| dim.as_str() == name || dim.column() == name)
    }

    /// A condition `NAME=VALUE`, as on the command line.
    pub fn parse_condition(text: &str) -> Option<(Dim, String)> {
        let (name, value) = text.split_once('=')?;
        let dim = Dim::parse(name)?;
        (!matches!(dim, Dim::Day | Dim::Hour | Dim::Minute)).then(|| (dim, value.to_owned()))
    }

    /// The name used on the command line.
    pub fn as_str(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Dim::Day => "day",
            Dim::Hour => "hour",
            Dim::Minute => "minute",
            Dim::Org => "org",
            Dim::Model => "model",
            Dim::Provider => "provider",
            Dim::Route => "route",
            Dim::Caller => "caller",
            Dim::Outcome => "outcome",
            Dim::Error => "error",
            Dim::Limit => "limit",
            Dim::Shadow => "shadow",
            Dim::Tag(name) => return Cow::Owned(format!("tag:{name}")),
        })
    }

    /// The name in results: a column of `ai_log`, `day`, `hour`, `minute`, or `tag:NAME`.
    pub fn column(&self) -> Cow<'static, str> {
        match self {
            Dim::Org => Cow::Borrowed("org_id"),
            Dim::Error => Cow::Borrowed("error_code"),
            Dim::Limit => Cow::Borrowed("limited_by"),
            other => other.as_str(),
        }
    }
}

/// The word for what a candidate policy would have done, by the column of this name. `find` is the
/// store's function that finds a text in another: 0 if it is not there.
pub(crate) fn shadow_sql(column: &str, find: &str) -> String {
    // A quotation mark inside a name is escaped, so these texts are members of the object alone.
    let words = [
        ("refused", r#""refused":{"#),
        ("allowed", r#""allowed":true"#),
        ("rerouted", r#""target":{"#),
        ("redacted", r#""redacted":{"#),
    ];
    let when =
        words.map(|(word, text)| format!("WHEN {find}({column}, '{text}') > 0 THEN '{word}'"));
    format!("CASE {} ELSE 'same' END", when.join(" "))
}

/// The question of a report.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    /// Milliseconds since 1970: from the first on, before the second.
    pub stretch: (i64, i64),
    /// Groups.
    pub by: &'a [Dim],
    /// Only calls with these values; of one dimension any of its values.
    pub only: &'a [(Dim, String)],
    /// The days and hours.
    pub days: &'a Days,
}

impl Question<'_> {
    /// The finest sums that answer it.
    pub(crate) fn grain(&self) -> Grain {
        let dims = || self.by.iter().chain(self.only.iter().map(|(dim, _)| dim));
        let by_time = dims().any(|dim| matches!(dim, Dim::Day | Dim::Hour));
        if dims().any(|dim| matches!(dim, Dim::Tag(_) | Dim::Minute | Dim::Shadow))
            || by_time && !self.days.are_of_whole_hours()
        {
            return Grain::Row;
        }
        let of_a_day = |dim: &Dim| match dim {
            Dim::Day => *self.days == Days::UTC,
            Dim::Org | Dim::Model | Dim::Provider | Dim::Route | Dim::Outcome => true,
            _ => false,
        };
        if dims().all(of_a_day) { Grain::Day } else { Grain::Hour }
    }

    /// The conditions, by dimension.
    pub(crate) fn conditions(&self) -> Vec<(&Dim, Vec<&str>)> {
        conditions(self.only)
    }
}

/// A figure by which the lines of an answer can be put in order: its name in the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure(pub(crate) &'static str);

impl Figure {
    /// The names of all figures.
    pub const NAMES: [&'static str; 9] = [
        "calls",
        "errors",
        "rate_limited",
        "input_tokens",
        "output_tokens",
        "cost_usd",
        "redactions",
        "retried_calls",
        "saved_by_cache_usd",
    ];

    /// The figure of this name.
    pub fn parse(name: &str) -> Option<Figure> {
        Figure::NAMES.into_iter().find(|known| *known == name).map(Figure)
    }
}

/// The lines of an answer that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// The largest of this figure first; without it, the order of the keys.
    pub largest: Option<Figure>,
    /// Lines that are left out before them.
    pub skip: usize,
    /// Their number.
    pub most: usize,
    /// With the percentiles, which take longest.
    pub percentiles: bool,
}

/// Conditions by dimension: of one dimension any of its values.
pub(crate) fn conditions(only: &[(Dim, String)]) -> Vec<(&Dim, Vec<&str>)> {
    let mut conditions: Vec<(&Dim, Vec<&str>)> = Vec::new();
    for (dim, value) in only {
        match conditions.iter_mut().find(|(of, _)| *of == dim) {
            Some((_, values)) => values.push(value),
            None => conditions.push((dim, vec![value])),
        }
    }
    conditions
}

/// Sums of the calls that agree in some dimensions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Values of the dimensions, in the order asked for.
    pub key: Vec<String>,
    pub calls: u64,
    /// Provider errors, timeouts and errors of the gateway itself.
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
    /// Percentiles of the latency, within 1 % of the nearest rank.
    pub p50_ms: u64,
    pub p95_ms: u64,
    pub p99_ms: u64,
    /// Calls with more than one attempt, and those of them that were answered.
    pub retried_calls: u64,
    pub saved_calls: u64,
    /// 10⁻⁹ USD.
    pub saved_by_cache_nano_usd: i64,
    /// Microseconds in the gateway itself, and the rows that they are of.
    pub gateway_us: u64,
    pub row_count: u64,
    /// Percentiles of the time to the first content event of streams.
    pub first_token_p50_ms: u64,
    pub first_token_p95_ms: u64,
}

impl Summary {
    /// The fraction of the calls that were errors.
    pub fn error_rate(&self) -> f64 {
        if self.calls == 0 { 0.0 } else { self.errors as f64 / self.calls as f64 }
    }

    /// The cost in 10⁻⁹ USD; `None` if no priced call cost anything and some have no price: zero
    /// would be wrong.
    pub fn cost(&self) -> Option<i64> {
        (self.cost_nano_usd != 0 || self.unpriced == 0).then_some(self.cost_nano_usd)
    }

    /// As JSON, with the dimensions and the column names of the log.
    pub fn to_json(&self, by: &[Dim]) -> Map<String, Value> {
        let mut object = Map::new();
        for (dim, value) in by.iter().zip(&self.key) {
            object.insert(dim.column().into_owned(), Value::from(value.as_str()));
        }
        let numbers: [(&str, Value); 14] = [
            ("calls", self.calls.into()),
            ("errors", self.errors.into()),
            ("error_rate", self.error_rate().into()),
            ("rate_limited", self.rate_limited.into()),
            ("input_tokens", self.input_tokens.into()),
            ("cached_tokens", self.cached_tokens.into()),
            ("output_tokens", self.output_tokens.into()),
            (
                "cost_usd",
                self.cost().map_or(Value::Null, |nano_usd| (nano_usd as f64 / 1e9).into()),
            ),
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

    /// The same with the figures that only the operators' side shows.
    pub fn to_full_json(&self, by: &[Dim]) -> Map<String, Value> {
        let mut object = self.to_json(by);
        let overhead = self.gateway_us.checked_div(self.row_count).unwrap_or(0);
        let more: [(&str, Value); 6] = [
            ("retried_calls", self.retried_calls.into()),
            ("saved_calls", self.saved_calls.into()),
            ("saved_by_cache_usd", (self.saved_by_cache_nano_usd as f64 / 1e9).into()),
            ("mean_gateway_us", overhead.into()),
            ("first_token_p50_ms", self.first_token_p50_ms.into()),
            ("first_token_p95_ms", self.first_token_p95_ms.into()),
        ];
        object.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
        object
    }
}

/// The cost of the priced calls of one organisation, caller and model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    pub org: String,
    pub caller: String,
    /// As asked for.
    pub model: String,
    pub nano_usd: u64,
}

/// The milliseconds of a time as the embedded store writes it.
pub(crate) fn ms_of(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

/// The lines of a report.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// In the order of the keys.
    pub lines: Vec<Summary>,
    /// There are more than were asked for.
    pub is_cut: bool,
}

/// Why the log cannot be read. The operator has to act.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("the embedded store cannot be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error(
        "ClickHouse has no such database, table or column yet; run `tollgate clickhouse apply`"
    )]
    NoSchema,
    #[error("ClickHouse cannot be read: {0}")]
    ClickHouse(#[source] ::clickhouse::error::Error),
    #[error(
        "the embedded store is of a former version; it is migrated when `tollgate serve` starts"
    )]
    Former,
    #[error(
        "ai_rows is a {engine} table here: its other servers would not have the list of new costs; \
         set `clickhouse.cluster` in gateway.yaml"
    )]
    NotHere {
        /// The table's engine.
        engine: String,
    },
    #[error("ClickHouse answered in an unknown form")]
    Answer,
    #[error("no event queue: {0}")]
    System(#[from] std::io::Error),
}

impl From<::clickhouse::error::Error> for ReadError {
    fn from(error: ::clickhouse::error::Error) -> ReadError {
        match &error {
            ::clickhouse::error::Error::BadResponse(text)
                if matches!(exception_code(text), Some(16 | 47 | 60 | 81)) =>
            {
                ReadError::NoSchema
            }
            _ => ReadError::ClickHouse(error),
        }
    }
}

/// Names for the columns of the keys.
pub(crate) fn keys(by: &[Dim]) -> Vec<String> {
    (0..by.len()).map(|place| format!("k{place}")).collect()
}
