//! The tables of the embedded store: which column lives where, and how a file gets today's layout.
//!
//! A row is divided. Names that few different rows have (organisation, model, outcome …) are kept
//! once, in `ai_series` and `ai_groups`; captured texts are in `ai_captures`; the rest is in
//! `ai_rows`, in the order of time. The view `ai_log` puts them together again. `ai_hourly`,
//! `ai_daily` and `ai_tags` are the roll-ups.
//!
//! Does not: bring a file up to date (see `update`), or define views (see `views`).

use rusqlite::Connection;

use crate::ailog::columns::{COLUMNS, Column, SCHEMA_VERSION, Type, added_in, at};
use crate::ailog::store::digest::ENTRY_BITS;
use crate::ailog::store::measures::MEASURES;

/// Layout of the file (`PRAGMA user_version`). Layouts up to 5 have the number of their columns'
/// version; layout 6 changed the roll-ups and no column.
pub(crate) const USER_VERSION: i32 = SCHEMA_VERSION as i32 + 1;

/// The version of the columns of a file with this layout.
pub(crate) const fn columns_of(layout: u8) -> u8 {
    if layout > 5 { layout - 1 } else { layout }
}

/// The columns of `ai_series`: the calls whose latencies are looked at together.
pub(crate) const SERIES: [&str; 4] = ["org_id", "provider", "model", "route"];
/// The columns of `ai_groups`: the calls that are summed up together within a series.
pub(crate) const GROUPED: [&str; 11] = [
    "caller",
    "outcome",
    "status",
    "error_code",
    "limited_by",
    "endpoint",
    "response_model",
    "usage_source",
    "service_tier",
    "category",
    "priority",
];
/// The columns of `ai_captures`.
pub(crate) const CAPTURED: [&str; 4] = ["request", "response", "prompt", "answer"];
/// The places of these columns among all.
pub(crate) const SERIES_AT: [usize; SERIES.len()] = places(SERIES);
pub(crate) const GROUPED_AT: [usize; GROUPED.len()] = places(GROUPED);
pub(crate) const CAPTURED_AT: [usize; CAPTURED.len()] = places(CAPTURED);

const fn places<const N: usize>(names: [&str; N]) -> [usize; N] {
    let (mut places, mut next) = ([0; N], 0);
    while next < N {
        places[next] = at(names[next]);
        next += 1;
    }
    places
}

/// The table that keeps a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Home {
    Series,
    Group,
    Capture,
    Row,
}

/// The table that keeps the values of a column.
pub(crate) fn home(column: &Column) -> Home {
    match column.name {
        name if SERIES.contains(&name) => Home::Series,
        name if GROUPED.contains(&name) => Home::Group,
        name if CAPTURED.contains(&name) => Home::Capture,
        _ => Home::Row,
    }
}

/// The columns that a table keeps, each with its place among all.
pub(crate) fn columns_in(wanted: Home) -> impl Iterator<Item = (usize, &'static Column)> {
    COLUMNS.iter().enumerate().filter(move |(_, column)| home(column) == wanted)
}

/// The type of a column in SQLite.
pub(crate) const fn type_of(of: Type) -> &'static str {
    match of {
        Type::Uuid | Type::Millis | Type::Text | Type::Label | Type::Tags | Type::Attempts => {
            "TEXT NOT NULL"
        }
        Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::U64 => "INTEGER NOT NULL",
        Type::OptionalText | Type::OptionalLabel => "TEXT",
        Type::NanoUsd | Type::OptionalFloat => "REAL",
    }
}

/// The name under which a column's value is stored: amounts are stored as integers.
pub(crate) fn stored_name(column: &Column) -> String {
    match column.of {
        Type::NanoUsd => nano(column.name),
        _ => column.name.to_owned(),
    }
}

/// The name or the expression of an amount, in 10⁻⁹ USD.
pub(crate) fn nano(sql: &str) -> String {
    sql.replace("_usd", "_nano_usd")
}

/// The definition of a column in its table; of an amount, that of the integer. A new column of an
/// existing table has a value in the rows that are there.
fn definition(column: &Column, is_new: bool) -> String {
    let (name, of) = (column.name, type_of(column.of));
    match column.of {
        Type::NanoUsd => format!("{} INTEGER", stored_name(column)),
        Type::Uuid | Type::Millis | Type::Text | Type::Label if is_new => {
            format!("{name} {of} DEFAULT ''")
        }
        Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::U64 if is_new => {
            format!("{name} {of} DEFAULT 0")
        }
        Type::Tags if is_new => format!("{name} {of} DEFAULT '{{}}'"),
        Type::Attempts if is_new => format!("{name} {of} DEFAULT '[]'"),
        _ => format!("{name} {of}"),
    }
}

/// The measures of a roll-up as columns.
fn measures() -> String {
    let column = |name: &str| format!("{} INTEGER NOT NULL", nano(name));
    MEASURES.map(|measure| column(measure.name)).join(", ")
}

/// The digests of a roll-up (see `store/digest`).
const DIGESTS: &str = "latency_digest TEXT, first_token_digest TEXT";

/// Brings the digests of layout 5, which had a line for each bucket, to the rows of their sums.
pub(crate) fn joined_digests() -> String {
    let columns = |table: &str| -> String {
        let columns = DIGESTS.split(", ");
        columns.map(|column| format!("ALTER TABLE {table} ADD COLUMN {column}; ")).collect()
    };
    let entry = |n: &str| format!("group_concat(({n} << {ENTRY_BITS}) | d.bucket)");
    let hourly = |kind: u8| {
        format!(
            "(SELECT {} FROM ai_digests d WHERE d.day = ai_hourly.day AND d.series = \
             (SELECT g.series FROM ai_groups g WHERE g.grp = ai_hourly.grp) \
             AND d.hour = ai_hourly.hour AND d.grp = ai_hourly.grp AND d.kind = {kind})",
            entry("d.n")
        )
    };
    let daily = |kind: u8| {
        format!(
            "(SELECT {} FROM (SELECT q.bucket AS bucket, sum(q.n) AS n FROM ai_digests q \
             CROSS JOIN ai_groups g ON g.grp = q.grp WHERE q.day = ai_daily.day \
             AND q.series = ai_daily.series AND q.kind = {kind} \
             AND g.outcome = ai_daily.outcome GROUP BY q.bucket) d)",
            entry("d.n")
        )
    };
    let set = |table: &str, of: [String; 2]| {
        let [latency, first_token] = of;
        format!(
            "UPDATE {table} SET latency_digest = {latency}, first_token_digest = {first_token}; "
        )
    };
    [
        columns("ai_hourly"),
        columns("ai_daily"),
        set("ai_hourly", [0, 1].map(hourly)),
        set("ai_daily", [0, 1].map(daily)),
        "DROP TABLE ai_digests; ".to_owned(),
    ]
    .concat()
}

/// Removes the amounts in USD that the rows of layout 5 computed; the view `ai_log` does that. The
/// integers that they were computed from stay, and no row is written.
pub(crate) fn without_computed(connection: &Connection) -> rusqlite::Result<String> {
    let mut find =
        connection.prepare("SELECT name FROM pragma_table_xinfo('ai_rows') WHERE hidden <> 0")?;
    let names = find.query_map([], |row| row.get::<_, String>(0))?;
    names.map(|name| Ok(format!("ALTER TABLE ai_rows DROP COLUMN {}; ", name?))).collect()
}

/// The table of the limits in force. Each start of a gateway fills it anew.
pub(crate) const LIMITS: &str = "CREATE TABLE ai_limits (org_id TEXT NOT NULL, \
     scope TEXT NOT NULL, name TEXT NOT NULL, period TEXT NOT NULL, \
     limit_nano_usd INTEGER NOT NULL, place INTEGER NOT NULL, \
     PRIMARY KEY (org_id, scope, name, period)) WITHOUT ROWID;";

/// The tables of today's layout.
pub(crate) fn tables() -> String {
    let of = |home: Home| {
        let columns = columns_in(home).map(|(_, column)| definition(column, false));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (series, grouped, captured) = (of(Home::Series), of(Home::Group), of(Home::Capture));
    let (rows, measures) = (of(Home::Row), measures());
    let names = |names: &[&str]| names.join(", ");
    format!(
        "CREATE TABLE ai_series (series INTEGER PRIMARY KEY, {series});
         CREATE UNIQUE INDEX ai_series_names ON ai_series ({});
         CREATE TABLE ai_groups (grp INTEGER PRIMARY KEY, series INTEGER NOT NULL, \
         last_day TEXT NOT NULL DEFAULT '', {grouped});
         CREATE INDEX ai_groups_names ON ai_groups (series, {});
         CREATE TABLE ai_captures (capture INTEGER PRIMARY KEY, {captured});
         CREATE TABLE ai_rows (grp INTEGER NOT NULL, capture INTEGER, {rows}, \
         PRIMARY KEY (created_at, id)) WITHOUT ROWID;
         CREATE TABLE ai_hourly (day TEXT NOT NULL, hour INTEGER NOT NULL, \
         grp INTEGER NOT NULL, {measures}, newest TEXT, {DIGESTS}, \
         PRIMARY KEY (day, hour, grp)) WITHOUT ROWID;
         CREATE TABLE ai_daily (day TEXT NOT NULL, series INTEGER NOT NULL, \
         outcome TEXT NOT NULL, {measures}, {DIGESTS}, PRIMARY KEY (day, series, outcome)) \
         WITHOUT ROWID;
         CREATE TABLE ai_tags (day TEXT NOT NULL, org_id TEXT NOT NULL, tag TEXT NOT NULL, \
         value TEXT NOT NULL, outcome TEXT NOT NULL, {measures}, \
         PRIMARY KEY (day, org_id, tag, value, outcome)) WITHOUT ROWID;
         {LIMITS}
         CREATE TABLE IF NOT EXISTS log_position (one INTEGER PRIMARY KEY CHECK (one = 1), \
         segment BLOB NOT NULL, \"offset\" INTEGER NOT NULL);",
        names(&SERIES),
        names(&GROUPED),
    )
}

/// The columns of a version, as changes of a table that has those before.
pub(crate) fn added(table: &str, version: u8) -> String {
    let columns =
        added_in(&COLUMNS, version).filter(|column| table == "ai_log" || table_of(column) == table);
    let definitions = columns.map(|column| definition(column, true));
    definitions.map(|definition| format!("ALTER TABLE {table} ADD COLUMN {definition}; ")).collect()
}

fn table_of(column: &Column) -> &'static str {
    match home(column) {
        Home::Series => "ai_series",
        Home::Group => "ai_groups",
        Home::Capture => "ai_captures",
        Home::Row => "ai_rows",
    }
}

/// Whether the file has a table with this column.
pub(crate) fn has_column(
    connection: &Connection,
    table: &str,
    column: &str,
) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2")?
        .exists([table, column])
}

/// Whether the file has a table of this name.
pub(crate) fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection
        .prepare("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1")?
        .exists([name])
}
