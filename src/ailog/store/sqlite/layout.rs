//! The tables of the embedded store: which column lives where, and how a file gets today's layout.
//!
//! A row is divided. Names that few different rows have (organisation, model, outcome …) are kept
//! once, in `ai_series` and `ai_groups`; captured texts are in `ai_captures`; the rest is in
//! `ai_rows`, in the order of time. The view `ai_log` puts them together again. `ai_hourly`,
//! `ai_daily`, `ai_tags` and `ai_digests` are the roll-ups.
//!
//! Does not: bring a file up to date (see `update`), or define views (see `views`).

use rusqlite::Connection;

use crate::ailog::columns::{COLUMNS, Column, SCHEMA_VERSION, Type, added_in, at};
use crate::ailog::store::measures::MEASURES;

/// Layout of the file (`PRAGMA user_version`): the version of the columns.
pub(crate) const USER_VERSION: i32 = SCHEMA_VERSION as i32;

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

/// The definition of a column in its table. A new one of an existing table has a value in the rows
/// that are there.
fn definition(column: &Column, is_new: bool) -> String {
    let (name, of) = (column.name, type_of(column.of));
    match column.of {
        // The nearest double of a whole number of 10⁻⁹ USD: right to the last of nine digits up to
        // millions.
        Type::NanoUsd => {
            let stored = stored_name(column);
            format!("{name} {of} GENERATED ALWAYS AS ({stored} / 1e9) VIRTUAL")
        }
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

/// The definitions of a column: an amount has one for the integer and one for what it is in USD.
fn definitions(column: &Column, is_new: bool) -> Vec<String> {
    let amount = (column.of == Type::NanoUsd).then(|| format!("{} INTEGER", stored_name(column)));
    amount.into_iter().chain([definition(column, is_new)]).collect()
}

/// The measures of a roll-up as columns.
fn measures() -> String {
    let column = |name: &str| format!("{} INTEGER NOT NULL", nano(name));
    MEASURES.map(|measure| column(measure.name)).join(", ")
}

/// The table of the limits in force. Each start of a gateway fills it anew.
pub(crate) const LIMITS: &str = "CREATE TABLE ai_limits (org_id TEXT NOT NULL, \
     scope TEXT NOT NULL, name TEXT NOT NULL, period TEXT NOT NULL, \
     limit_nano_usd INTEGER NOT NULL, place INTEGER NOT NULL, \
     PRIMARY KEY (org_id, scope, name, period)) WITHOUT ROWID;";

/// The tables of today's layout.
pub(crate) fn tables() -> String {
    let of = |home: Home| {
        let columns = columns_in(home).flat_map(|(_, column)| definitions(column, false));
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
         grp INTEGER NOT NULL, {measures}, newest TEXT, PRIMARY KEY (day, hour, grp)) \
         WITHOUT ROWID;
         CREATE TABLE ai_daily (day TEXT NOT NULL, series INTEGER NOT NULL, \
         outcome TEXT NOT NULL, {measures}, PRIMARY KEY (day, series, outcome)) WITHOUT ROWID;
         CREATE TABLE ai_tags (day TEXT NOT NULL, org_id TEXT NOT NULL, tag TEXT NOT NULL, \
         value TEXT NOT NULL, outcome TEXT NOT NULL, {measures}, \
         PRIMARY KEY (day, org_id, tag, value, outcome)) WITHOUT ROWID;
         CREATE TABLE ai_digests (day TEXT NOT NULL, series INTEGER NOT NULL, \
         hour INTEGER NOT NULL, grp INTEGER NOT NULL, kind INTEGER NOT NULL, \
         bucket INTEGER NOT NULL, n INTEGER NOT NULL, \
         PRIMARY KEY (day, series, hour, grp, kind, bucket)) WITHOUT ROWID;
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
    let definitions = columns.flat_map(|column| definitions(column, true));
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
