//! Sums out of the embedded store: from its roll-ups, and at the edges from its rows.
//!
//! Guarantees: text from outside reaches SQL only as bound values.

use std::collections::{BTreeSet, HashMap};

use rusqlite::types::ToSql;
use rusqlite::{Connection, params_from_iter};

use super::digest::Digest;
use crate::ailog::columns::iso;
use crate::ailog::store::digest::{ENTRY, bucket_sql};
use crate::ailog::store::measures::{MEASURES, Measure};
use crate::ailog::store::sqlite::layout::{GROUPED, nano};
use crate::ailog::store::sqlite::views::{DAILY, ERRORS, HOURLY};
use crate::report::days::Days;
use crate::report::pieces::{Pieces, Stretch};
use crate::report::query::{Dim, Part, Question, ReadError, Spent, Summary, keys, shadow_sql};

/// The rows with their names.
const ROWS: &str = "ai_rows r CROSS JOIN ai_groups g ON g.grp = r.grp \
     CROSS JOIN ai_series s ON s.series = g.series";
/// The beginning of an hour of a roll-up, in the form of `created_at`.
const HOUR_BEGINS: &str = "h.day || 'T' || printf('%02d', h.hour) || ':00:00.000Z'";

/// The measures of a summary after calls, errors and rate-limited calls, in its order.
const SUMMED: [&str; 12] = [
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
/// So many lines have their digests merged in memory, each at most two numbers for each bucket.
const MERGED_LINES_MAX: usize = 1_000;

/// SQL and the values for its marks, in their order.
#[derive(Default)]
struct Sql {
    text: String,
    values: Vec<Box<dyn ToSql>>,
}

impl Sql {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, value: impl ToSql + 'static) {
        self.values.push(Box::new(value));
    }
}

/// A table of sums, or of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Daily,
    Hourly,
    Rows,
}

impl Source {
    const fn from(self) -> &'static str {
        match self {
            Source::Daily => DAILY,
            Source::Hourly => HOURLY,
            Source::Rows => ROWS,
        }
    }

    /// The expression of a dimension.
    fn dim(self, dim: &Dim, days: &Days, sql: &mut Sql) {
        let text = match dim {
            Dim::Day => self.day(days),
            Dim::Hour => self.cut("%H:00:00", days),
            Dim::Minute => self.cut("%H:%M:00", days),
            Dim::Outcome if self == Source::Daily => "d.outcome".to_owned(),
            Dim::Org | Dim::Model | Dim::Provider | Dim::Route => format!("s.{}", dim.column()),
            Dim::Caller | Dim::Outcome | Dim::Error | Dim::Limit => format!("g.{}", dim.column()),
            Dim::Shadow => shadow_sql("r.shadow", "instr"),
            Dim::Tag(name) => {
                sql.bind(name.to_string());
                "coalesce((SELECT t.value FROM json_each(r.tags) t WHERE t.key = ?), '')".to_owned()
            }
        };
        sql.push(&text);
    }

    /// The beginning of its time, in the form of `created_at`.
    const fn time(self) -> &'static str {
        match self {
            Source::Daily => "d.day",
            Source::Hourly => HOUR_BEGINS,
            Source::Rows => "r.created_at",
        }
    }

    fn day(self, days: &Days) -> String {
        let time = self.time();
        days.sql(
            |ms| format!("{time} < '{}'", iso(ms)),
            |offset| match offset {
                0 => format!("substr({time}, 1, 10)"),
                offset => format!("date({time}, '{offset:+} seconds')"),
            },
        )
    }

    /// The beginning of a unit of time, with the offset to UTC, unless there is none.
    fn cut(self, form: &str, days: &Days) -> String {
        let time = self.time();
        days.sql(
            |ms| format!("{time} < '{}'", iso(ms)),
            |offset| {
                let zone = Days::zone(offset);
                format!("strftime('%Y-%m-%dT{form}{zone}', {time}, '{offset:+} seconds')")
            },
        )
    }

    /// The condition of a stretch. Times are texts of one form, so they compare as texts.
    fn within(self, (from, to): Stretch) -> String {
        let (from, to) = (iso(from), iso(to));
        let (first, end) = (&from[..10], &to[..10]);
        match self {
            Source::Daily => format!("d.day >= '{first}' AND d.day < '{end}'"),
            Source::Hourly => format!(
                "h.day >= '{first}' AND h.day <= '{end}' AND (h.day, h.hour) >= ('{first}', {}) \
                 AND (h.day, h.hour) < ('{end}', {})",
                hour_of(&from),
                hour_of(&to)
            ),
            Source::Rows => {
                format!("r.created_at >= '{from}' AND r.created_at < '{to}'")
            }
        }
    }

    /// A measure as a column.
    fn measure(self, name: &str) -> String {
        match self {
            Source::Rows => MEASURES
                .iter()
                .find(|measure| measure.name == name)
                .map_or_else(|| "0".to_owned(), of_row),
            Source::Daily => nano(&format!("d.{name}")),
            Source::Hourly => nano(&format!("h.{name}")),
        }
    }
}

/// A measure of a row, whose names are in another table.
fn of_row(measure: &Measure) -> String {
    let in_group =
        |sql: String, name: &&str| sql.replace(&format!("${name}"), &format!("g.{name}"));
    let sql = GROUPED.iter().fold(measure.sql.to_owned(), in_group);
    nano(&sql.replace('$', "r."))
}

/// The hour of a time.
fn hour_of(iso: &str) -> u32 {
    iso[11..13].parse().unwrap_or(0)
}

/// A measure of a group, gathered over its hours.
fn gathered(name: &str) -> String {
    let name = nano(name);
    format!("sum(h.{name}) AS {name}")
}

/// The columns of a part behind its keys.
struct Selected<'a> {
    of: &'a dyn Fn(Source) -> String,
    /// Those of `ai_hourly` that this needs, each gathered over the hours of a group.
    gathered: &'a str,
}

/// Whether each group may be summed up over its hours before its names are looked up. Where there
/// are conditions, they leave less to sum up.
fn is_by_group(source: Source, question: &Question<'_>) -> bool {
    let of_time = |dim: &Dim| matches!(dim, Dim::Day | Dim::Hour | Dim::Minute);
    source == Source::Hourly && question.only.is_empty() && !question.by.iter().any(of_time)
}

/// One part of a question: the keys, the selected columns, and the conditions.
fn part(
    source: Source,
    stretch: Stretch,
    question: &Question<'_>,
    selected: &Selected<'_>,
    sql: &mut Sql,
) {
    if !sql.text.ends_with('(') {
        sql.push(" UNION ALL ");
    }
    sql.push("SELECT ");
    for (place, dim) in question.by.iter().enumerate() {
        source.dim(dim, question.days, sql);
        sql.push(&format!(" AS k{place}, "));
    }
    let (select, within) = ((selected.of)(source), source.within(stretch));
    if is_by_group(source, question) {
        let hours = format!(
            "(SELECT h.grp AS grp, {} FROM ai_hourly h WHERE {within} GROUP BY h.grp) h",
            selected.gathered
        );
        sql.push(&format!("{select} FROM {}", HOURLY.replacen("ai_hourly h", &hours, 1)));
        return;
    }
    sql.push(&format!("{select} FROM {} WHERE {within}", source.from()));
    for (dim, values) in question.conditions() {
        sql.push(" AND ");
        source.dim(dim, question.days, sql);
        let marks = vec!["?"; values.len()].join(", ");
        sql.push(&format!(" IN ({marks})"));
        values.into_iter().for_each(|value| sql.bind(value.to_owned()));
    }
}

/// All parts of a question, in parentheses; `None` if there is none.
fn parts(
    question: &Question<'_>,
    pieces: &[(Source, &Vec<Stretch>)],
    selected: &Selected<'_>,
    sql: &mut Sql,
) -> bool {
    sql.push("(");
    for (source, stretches) in pieces {
        for stretch in *stretches {
            part(*source, *stretch, question, selected, sql);
        }
    }
    let some = !sql.text.ends_with('(');
    sql.push(")");
    some
}

/// `GROUP BY` the keys; nothing if there are none.
fn grouped(keys: &[String], more: &[&str]) -> String {
    let names: Vec<&str> = keys.iter().map(String::as_str).chain(more.iter().copied()).collect();
    if names.is_empty() { String::new() } else { format!(" GROUP BY {}", names.join(", ")) }
}

/// Sums of the calls that a question asks for, in the order of the keys.
pub(crate) fn summary(
    connection: &Connection,
    question: &Question<'_>,
    wanted: &Part,
) -> Result<Vec<Summary>, ReadError> {
    let keys = keys(question.by);
    let pieces = Pieces::of(question.stretch, question.grain());
    let sources = [
        (Source::Daily, &pieces.days),
        (Source::Hourly, &pieces.hours),
        (Source::Rows, &pieces.rows),
    ];
    let select = |source: Source| {
        let calls = source.measure("calls");
        let outcome = if source == Source::Daily { "d.outcome" } else { "g.outcome" };
        let when = |which: &str| format!("CASE WHEN {outcome} IN {which} THEN {calls} ELSE 0 END");
        let rest = SUMMED.map(|name| format!("{} AS {name}", source.measure(name)));
        format!(
            "{calls} AS calls, {} AS errors, {} AS rate_limited, {}",
            when(ERRORS),
            when("('rate_limited')"),
            rest.join(", ")
        )
    };
    let listed: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let summed = ["calls", "errors", "rate_limited"].iter().chain(&SUMMED);
    let summed: Vec<String> = summed.map(|name| format!("sum({name})")).collect();
    let mut sql = Sql::default();
    sql.push(&format!("SELECT {listed}{} FROM ", summed.join(", ")));
    let gathered = ["calls"].iter().chain(&SUMMED).map(|name| gathered(name));
    let gathered = gathered.collect::<Vec<_>>().join(", ");
    let selected = Selected { of: &select, gathered: &gathered };
    if !parts(question, &sources, &selected, &mut sql) {
        return Ok(Vec::new());
    }
    let largest = wanted.largest.map(|figure| format!("sum({}) DESC", figure.0));
    let order: Vec<&str> =
        largest.iter().map(String::as_str).chain(keys.iter().map(String::as_str)).collect();
    let order =
        if keys.is_empty() { String::new() } else { format!(" ORDER BY {}", order.join(", ")) };
    let Part { skip, most, .. } = wanted;
    sql.push(&format!("{}{order} LIMIT {most} OFFSET {skip}", grouped(&keys, &[])));
    let mut statement = connection.prepare(&sql.text)?;
    let mut found = statement.query(params_from_iter(&sql.values))?;
    let mut lines = Vec::new();
    while let Some(row) = found.next()? {
        let line = summary_of(row, keys.len())?;
        // Without dimensions SQL returns one line even if there is no row.
        if line.calls > 0 {
            lines.push(line);
        }
    }
    drop(found);
    drop(statement);
    if !wanted.percentiles {
        return Ok(lines);
    }
    // Without an order by a figure the lines are in that of their keys. A few need none.
    let has_all = *skip == 0 && lines.len() < *most && lines.len() <= MERGED_LINES_MAX;
    if wanted.largest.is_none() || has_all {
        percentiles(connection, question, &keys, &mut lines)?;
        return Ok(lines);
    }
    // Digests of other lines need not be read.
    let mut only: Vec<(Dim, String)> =
        question.only.iter().filter(|(dim, _)| !question.by.contains(dim)).cloned().collect();
    for (place, dim) in question.by.iter().enumerate() {
        let values: BTreeSet<&String> = lines.iter().map(|line| &line.key[place]).collect();
        only.extend(values.into_iter().map(|value| (dim.clone(), value.clone())));
    }
    percentiles(connection, &Question { only: &only, ..*question }, &keys, &mut lines)?;
    Ok(lines)
}

/// One line of a summary; `keys` columns stand before the sums.
fn summary_of(row: &rusqlite::Row<'_>, keys: usize) -> rusqlite::Result<Summary> {
    let number = |at: usize| row.get::<_, Option<i64>>(keys + at).map(|n| n.unwrap_or(0));
    let count = |at: usize| number(at).map(|n| u64::try_from(n).unwrap_or(0));
    Ok(Summary {
        key: (0..keys).map(|at| row.get(at)).collect::<rusqlite::Result<_>>()?,
        calls: count(0)?,
        errors: count(1)?,
        rate_limited: count(2)?,
        input_tokens: count(3)?,
        cached_tokens: count(4)?,
        output_tokens: count(5)?,
        cost_nano_usd: number(6)?,
        unpriced: count(7)?,
        redactions: count(8)?,
        attachments_dropped: count(9)?,
        retried_calls: count(10)?,
        saved_calls: count(11)?,
        saved_by_cache_nano_usd: number(12)?,
        gateway_us: count(13)?,
        row_count: count(14)?,
        ..Summary::default()
    })
}

/// The percentiles of the lines. Many lines are in the order of their keys.
fn percentiles(
    connection: &Connection,
    question: &Question<'_>,
    keys: &[String],
    lines: &mut [Summary],
) -> Result<(), ReadError> {
    let pieces = Pieces::of(question.stretch, question.grain());
    let sources = [
        (Source::Daily, &pieces.days),
        (Source::Hourly, &pieces.hours),
        (Source::Rows, &pieces.rows),
    ];
    let select = |source: Source| match source {
        Source::Rows => {
            let entry = |column: &str| {
                let bucket = bucket_sql(column, |by| format!("{column} / {by}"));
                format!("{ENTRY} + {bucket}")
            };
            format!(
                "{} AS latencies, CASE WHEN r.first_token_ms > 0 THEN {} END AS first_tokens",
                entry("r.latency_ms"),
                entry("r.first_token_ms")
            )
        }
        Source::Daily => digests_of("d"),
        Source::Hourly => digests_of("h"),
    };
    let listed: String = keys.iter().map(|key| format!("{key}, ")).collect();
    let mut sql = Sql::default();
    sql.push(&format!("SELECT {listed}latencies, first_tokens FROM "));
    let gathered = "group_concat(h.latency_digest) AS latency_digest, \
         group_concat(h.first_token_digest) AS first_token_digest";
    let selected = Selected { of: &select, gathered };
    if lines.is_empty() || !parts(question, &sources, &selected, &mut sql) {
        return Ok(());
    }
    if lines.len() <= MERGED_LINES_MAX {
        return merged(connection, &sql, keys.len(), lines);
    }
    sql.push(&format!(" ORDER BY {}", keys.join(", ")));
    let mut statement = connection.prepare(&sql.text)?;
    let mut found = statement.query(params_from_iter(&sql.values))?;
    let (mut at, mut digest) = (0, Digest::default());
    while let Some(row) = found.next()? {
        let is_same = |line: &Summary| -> rusqlite::Result<bool> {
            for (place, key) in line.key.iter().enumerate() {
                if row.get_ref(place)?.as_str()? != key {
                    return Ok(false);
                }
            }
            Ok(true)
        };
        if !is_same(&lines[at])? {
            digest.finish(&mut lines[at]);
            // Groups without a call have no line.
            match (at + 1..lines.len()).find(|next| is_same(&lines[*next]).unwrap_or(false)) {
                Some(next) => at = next,
                None if at + 1 >= lines.len() => return Ok(()),
                None => continue,
            }
        }
        digest.add(row, keys.len())?;
    }
    digest.finish(&mut lines[at]);
    Ok(())
}

/// The digests of a roll-up.
fn digests_of(alias: &str) -> String {
    format!("{alias}.latency_digest AS latencies, {alias}.first_token_digest AS first_tokens")
}

/// The digests of a few lines, merged here: quicker than to sort them.
fn merged(
    connection: &Connection,
    sql: &Sql,
    keys: usize,
    lines: &mut [Summary],
) -> Result<(), ReadError> {
    // Each part with its length, so that no two keys are written the same way.
    let write = |part: &str, key: &mut Vec<u8>| {
        key.extend_from_slice(&part.len().to_le_bytes());
        key.extend_from_slice(part.as_bytes());
    };
    let mut places = HashMap::new();
    for (place, line) in lines.iter().enumerate() {
        let mut key = Vec::new();
        line.key.iter().for_each(|part| write(part, &mut key));
        places.insert(key, place);
    }
    let mut digests: Vec<Digest> =
        std::iter::repeat_with(Digest::default).take(lines.len()).collect();
    let mut statement = connection.prepare(&sql.text)?;
    let mut found = statement.query(params_from_iter(&sql.values))?;
    let mut key = Vec::new();
    while let Some(row) = found.next()? {
        key.clear();
        for place in 0..keys {
            write(row.get_ref(place)?.as_str().unwrap_or_default(), &mut key);
        }
        if let Some(place) = places.get(&key) {
            digests[*place].add(row, keys)?;
        }
    }
    for (line, digest) in lines.iter_mut().zip(&mut digests) {
        digest.finish(line);
    }
    Ok(())
}

/// The largest costs by organisation, caller and model.
pub(crate) fn spent(
    connection: &Connection,
    stretch: Stretch,
    most: usize,
) -> Result<Vec<Spent>, ReadError> {
    let by = [Dim::Org, Dim::Caller, Dim::Model];
    let question = Question { stretch, by: &by, only: &[], days: &Days::UTC };
    let pieces = Pieces::of(stretch, question.grain());
    let sources = [(Source::Hourly, &pieces.hours), (Source::Rows, &pieces.rows)];
    let mut sql = Sql::default();
    sql.push("SELECT k0, k1, k2, sum(cost) FROM ");
    let select = |source: Source| format!("{} AS cost", source.measure("cost_usd"));
    let selected = Selected { of: &select, gathered: &gathered("cost_usd") };
    if !parts(&question, &sources, &selected, &mut sql) {
        return Ok(Vec::new());
    }
    sql.push(&format!(
        " GROUP BY k0, k1, k2 HAVING sum(cost) > 0 ORDER BY 4 DESC, 1, 2, 3 LIMIT {most}"
    ));
    let mut statement = connection.prepare(&sql.text)?;
    let sums = statement.query_map(params_from_iter(&sql.values), |row| {
        let nano_usd = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
        Ok(Spent { org: row.get(0)?, caller: row.get(1)?, model: row.get(2)?, nano_usd })
    })?;
    Ok(sums.collect::<rusqlite::Result<_>>()?)
}
