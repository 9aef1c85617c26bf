//! Sums out of ClickHouse, as SQL: from its roll-ups, and at the edges from its rows.
//!
//! Pure. Guarantees: text from outside reaches SQL only as bound values.

use serde_json::{Map, Value};

use super::LAST_MS;
use crate::ailog::store::clickhouse::schema::{gap_begin, gap_end, percentile};
use crate::ailog::store::digest::bucket_sql;
use crate::ailog::store::measures::MEASURES;
use crate::money::parse_usd;
use crate::report::days::Days;
use crate::report::pieces::{DAY_MS, Pieces, Stretch};
use crate::report::query::{Dim, Figure, Part, Question, Spent, Summary, keys, shadow_sql};

/// The figures of a summary.
const SUMMED: [&str; 15] = [
    "calls",
    "errors",
    "rate_limited",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_usd",
    "unpriced_calls",
    "redactions",
    "attachments_dropped",
    "retried_calls",
    "saved_calls",
    "saved_by_cache_usd",
    "gateway_us",
    "row_count",
];
const ERRORS: &str = "('provider_error', 'timeout', 'refused')";

/// SQL, and the values for its marks in their order.
pub(crate) type Bound = (String, Vec<String>);

/// A table of sums, or of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Daily,
    /// The days that are not in `ai_daily`.
    HoursOfDays,
    Hourly,
    Rows,
}

impl Source {
    fn from(self, all: &str) -> String {
        match self {
            Source::Daily => format!("ai_daily{all} AS d"),
            Source::HoursOfDays | Source::Hourly => format!("ai_hourly{all} AS h"),
            Source::Rows => format!("ai_rows{all} AS r"),
        }
    }

    const fn alias(self) -> char {
        match self {
            Source::Daily => 'd',
            Source::HoursOfDays | Source::Hourly => 'h',
            Source::Rows => 'r',
        }
    }

    const fn time(self) -> &'static str {
        match self {
            Source::Daily => "d.day",
            Source::HoursOfDays | Source::Hourly => "h.hour",
            Source::Rows => "r.created_at",
        }
    }

    /// The expression of a dimension, as text.
    fn dim(self, dim: &Dim, days: &Days, values: &mut Vec<String>) -> String {
        let time = self.time();
        let before = |ms: i64| format!("{time} < {}", moment(ms));
        let moved = |offset: i32| format!("{time} + toIntervalSecond({offset})");
        match dim {
            Dim::Day if self == Source::Daily => "toString(d.day)".to_owned(),
            Dim::Day => days.sql(before, |offset| format!("toString(toDate({}))", moved(offset))),
            Dim::Hour => days.sql(before, |offset| {
                let zone = Days::zone(offset);
                format!("formatDateTime({}, '%Y-%m-%dT%H:00:00{zone}')", moved(offset))
            }),
            Dim::Minute => days.sql(before, |offset| {
                let zone = Days::zone(offset);
                format!("formatDateTime({}, '%Y-%m-%dT%H:%i:00{zone}')", moved(offset))
            }),
            Dim::Shadow => shadow_sql("r.shadow", "position"),
            Dim::Tag(name) => {
                values.push(name.to_string());
                "r.tags[?]".to_owned()
            }
            other => format!("toString({}.{})", self.alias(), other.column()),
        }
    }

    /// A measure as a column.
    fn measure(self, name: &str) -> String {
        let sql = match self {
            Source::Daily | Source::HoursOfDays | Source::Hourly => {
                format!("{}.{name}", self.alias())
            }
            Source::Rows => MEASURES
                .iter()
                .find(|measure| measure.name == name)
                .map_or_else(|| "0".to_owned(), |measure| measure.of_row("r")),
        };
        let of = if name.ends_with("_usd") { "toDecimal128" } else { "toInt64" };
        let scale = if name.ends_with("_usd") { ", 9" } else { "" };
        format!("{of}({sql}{scale})")
    }

    /// The condition of a stretch.
    fn within(self, (from, to): Stretch, all: &str) -> String {
        let (begin, end) = (gap_begin(all), gap_end(all));
        match self {
            Source::Daily => format!(
                "d.day >= {} AND d.day < {} AND (d.day < {begin} OR d.day >= {end})",
                day(from),
                day(to)
            ),
            Source::HoursOfDays => format!(
                "{} AND toDate(h.hour) >= {begin} AND toDate(h.hour) < {end}",
                Source::Hourly.within((from, to), all)
            ),
            Source::Hourly | Source::Rows => {
                let time = self.time();
                format!("{time} >= {} AND {time} < {}", moment(from), moment(to))
            }
        }
    }
}

/// The day that begins at a moment; a date is of at most 16 bits.
fn day(ms: i64) -> String {
    format!("toDate({})", ms.div_euclid(DAY_MS).clamp(0, i64::from(u16::MAX)))
}

fn moment(ms: i64) -> String {
    format!("fromUnixTimestamp64Milli(toInt64({}), 'UTC')", ms.clamp(0, LAST_MS))
}

/// All parts of a question with what `select` adds to the keys; `None` if there is none. `all` is
/// the end of the tables' names.
fn parts(question: &Question<'_>, all: &str, select: impl Fn(Source) -> String) -> Option<Bound> {
    let pieces = Pieces::of(question.stretch, question.grain());
    let sources = [
        (Source::Daily, &pieces.days),
        (Source::HoursOfDays, &pieces.days),
        (Source::Hourly, &pieces.hours),
        (Source::Rows, &pieces.rows),
    ];
    let (mut parts, mut values) = (Vec::new(), Vec::new());
    for (source, stretches) in sources {
        for stretch in stretches {
            let select = (select(source), all);
            parts.push(part(source, *stretch, question, &select, &mut values));
        }
    }
    (!parts.is_empty()).then(|| (parts.join(" UNION ALL "), values))
}

fn part(
    source: Source,
    stretch: Stretch,
    question: &Question<'_>,
    (select, all): &(String, &str),
    values: &mut Vec<String>,
) -> String {
    let mut sql = "SELECT ".to_owned();
    for (place, dim) in question.by.iter().enumerate() {
        sql.push_str(&format!("{} AS k{place}, ", source.dim(dim, question.days, values)));
    }
    let (table, within) = (source.from(all), source.within(stretch, all));
    sql.push_str(&format!("{select} FROM {table} WHERE {within}"));
    for (dim, wanted) in question.conditions() {
        let dim = source.dim(dim, question.days, values);
        sql.push_str(&format!(" AND {dim} IN ({})", vec!["?"; wanted.len()].join(", ")));
        values.extend(wanted.into_iter().map(str::to_owned));
    }
    sql
}

/// Sums of the calls that a question asks for, in the order of the keys; `None` if there cannot be
/// any.
pub(crate) fn summary(question: &Question<'_>, wanted: &Part, all: &str) -> Option<Bound> {
    let select = |source: Source| {
        let figures = SUMMED.map(|name| figure_of(source, name)).join(", ");
        if wanted.percentiles { format!("{figures}, {}", digests_of(source)) } else { figures }
    };
    let (parts, mut values) = parts(question, all, select)?;
    let keys = keys(question.by);
    let listed: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let sums = SUMMED.map(|name| match name.ends_with("_usd") {
        true => format!("toString(sum(p_{name})) AS s_{name}"),
        false => format!("sum(p_{name}) AS s_{name}"),
    });
    let figure = figure(wanted.largest);
    let Part { skip, most, .. } = wanted;
    let (group, order) = match keys.as_slice() {
        [] => (String::new(), String::new()),
        keys => {
            let keys = keys.join(", ");
            (format!(" GROUP BY {keys}"), format!(" ORDER BY s_order DESC, {keys}"))
        }
    };
    let page = format!("{order} LIMIT {most} OFFSET {skip}");
    let (only, page) = match wanted.largest {
        // One figure says which lines these are, and digests are merged for them alone.
        Some(largest) if wanted.percentiles && !keys.is_empty() => {
            let (these, more) = chosen(question, largest, &keys, all, &page)?;
            values.extend(more);
            (these, order.clone())
        }
        _ => (String::new(), page),
    };
    let (digests, percentiles) = if wanted.percentiles { merged() } else { Default::default() };
    let left_out = if wanted.percentiles { "s_latency, s_first, s_order" } else { "s_order" };
    let sql = format!(
        "SELECT * EXCEPT ({left_out}){percentiles} FROM (SELECT {listed}{}{digests}, \
         {figure} AS s_order FROM ({parts}){only}{group}{page}){order}",
        sums.join(", ")
    );
    Some((sql, values))
}

/// A figure of a source as a column.
fn figure_of(source: Source, name: &str) -> String {
    let when = |outcomes: &str| {
        let alias = source.alias();
        format!("if({alias}.outcome IN {outcomes}, {}, 0)", source.measure("calls"))
    };
    let figure = match name {
        "errors" => when(ERRORS),
        "rate_limited" => when("('rate_limited')"),
        name => source.measure(name),
    };
    format!("{figure} AS p_{name}")
}

/// The digests of a source as columns.
fn digests_of(source: Source) -> String {
    let (latency, first) = match source {
        Source::Daily | Source::HoursOfDays | Source::Hourly => {
            let alias = source.alias();
            (format!("{alias}.latency"), format!("{alias}.first_token"))
        }
        Source::Rows => {
            let digest = |column: &str| {
                let bucket = bucket_sql(column, |by| format!("intDiv({column}, {by})"));
                format!("map(toUInt16(assumeNotNull({bucket})), toUInt64(1))")
            };
            let (none, first) = ("CAST(map(), 'Map(UInt16, UInt64)')", digest("r.first_token_ms"));
            (digest("r.latency_ms"), format!("if(r.first_token_ms > 0, {first}, {none})"))
        }
    };
    format!("{latency} AS p_latency, {first} AS p_first")
}

/// The figure by which lines are in order.
fn figure(largest: Option<Figure>) -> String {
    largest.map_or_else(|| "0".to_owned(), |figure| format!("sum(p_{})", figure.0))
}

/// The condition that a line is one of those of this page, whose figure is largest.
fn chosen(
    question: &Question<'_>,
    largest: Figure,
    keys: &[String],
    all: &str,
    page: &str,
) -> Option<Bound> {
    let select = |source| figure_of(source, largest.0);
    let (parts, values) = parts(question, all, select)?;
    let (keys, figure) = (keys.join(", "), figure(Some(largest)));
    let sql = format!(
        " WHERE ({keys}) IN (SELECT {keys} FROM (SELECT {keys}, {figure} AS s_order FROM ({parts}) \
         GROUP BY {keys}{page}))"
    );
    Some((sql, values))
}

/// The digests of a line, merged; and its percentiles.
fn merged() -> (String, String) {
    let of = |percent: u8, name: &str, digest: &str| {
        format!(", {} AS s_{name}{percent}", percentile(&percent.to_string(), digest))
    };
    let latencies = [50, 95, 99].map(|percent| of(percent, "p", "s_latency"));
    let first_tokens = [50, 95].map(|percent| of(percent, "first", "s_first"));
    let digests = ", sumMap(p_latency) AS s_latency, sumMap(p_first) AS s_first".to_owned();
    (digests, latencies.concat() + &first_tokens.concat())
}

/// A line of a summary; `None` if it has no calls.
pub(crate) fn line(object: &Map<String, Value>, keys: usize) -> Option<Summary> {
    let count = |name: &str| object.get(name).and_then(Value::as_u64).unwrap_or(0);
    let summary = Summary {
        key: (0..keys).map(|place| text(object, &format!("k{place}"))).collect(),
        calls: count("s_calls"),
        errors: count("s_errors"),
        rate_limited: count("s_rate_limited"),
        input_tokens: count("s_input_tokens"),
        cached_tokens: count("s_cached_tokens"),
        output_tokens: count("s_output_tokens"),
        cost_nano_usd: parse_usd(&text(object, "s_cost_usd")).unwrap_or(0),
        unpriced: count("s_unpriced_calls"),
        redactions: count("s_redactions"),
        attachments_dropped: count("s_attachments_dropped"),
        p50_ms: count("s_p50"),
        p95_ms: count("s_p95"),
        p99_ms: count("s_p99"),
        retried_calls: count("s_retried_calls"),
        saved_calls: count("s_saved_calls"),
        saved_by_cache_nano_usd: parse_usd(&text(object, "s_saved_by_cache_usd")).unwrap_or(0),
        gateway_us: count("s_gateway_us"),
        row_count: count("s_row_count"),
        first_token_p50_ms: count("s_first50"),
        first_token_p95_ms: count("s_first95"),
    };
    (summary.calls > 0).then_some(summary)
}

fn text(object: &Map<String, Value>, name: &str) -> String {
    object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The largest costs by organisation, caller and model.
pub(crate) fn spent(stretch: Stretch, most: usize, all: &str) -> Option<Bound> {
    let by = [Dim::Org, Dim::Caller, Dim::Model];
    let question = Question { stretch, by: &by, only: &[], days: &Days::UTC };
    let (parts, values) =
        parts(&question, all, |source| format!("{} AS p_cost", source.measure("cost_usd")))?;
    let sql = format!(
        "SELECT k0, k1, k2, toString(sum(p_cost)) AS s_cost FROM ({parts}) GROUP BY k0, k1, k2 \
         HAVING sum(p_cost) > 0 ORDER BY sum(p_cost) DESC, k0, k1, k2 LIMIT {most}"
    );
    Some((sql, values))
}

/// A line of [`spent`].
pub(crate) fn cost(object: &Map<String, Value>) -> Spent {
    let nano_usd = parse_usd(&text(object, "s_cost")).and_then(|nano| u64::try_from(nano).ok());
    Spent {
        org: text(object, "k0"),
        caller: text(object, "k1"),
        model: text(object, "k2"),
        nano_usd: nano_usd.unwrap_or(0),
    }
}
