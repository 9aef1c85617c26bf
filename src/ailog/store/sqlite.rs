//! The embedded store: SQLite, `data_dir/tollgate.db`, one file that any SQLite tool opens.
//!
//! Stage 12 of the walk, on the shipper's thread, the only writer. Readers open the file themselves
//! (see the room `report`).
//!
//! Guarantees: a batch and the position after it are stored in one transaction, and a row is stored
//! once by its id, so a replay doubles nothing. Amounts are integers of 10⁻⁹ USD in
//! `cost_nano_usd`; `cost_usd` is computed from it. A segment of the write-ahead log is removed
//! only after a checkpoint (or, if a reader holds that up, a sync of SQLite's log), so a power cut
//! loses only rows that the write-ahead log did not have on disk either. Does not: wait for the
//! disk at every commit, unless `ailog.durability` is `power`.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use super::{Resume, Store, StoreError, Stored};
use crate::ailog::columns::{
    COLUMNS, Column, Decoder, SCHEMA_VERSION, Type, Value, added_in, iso_millis,
};
use crate::ailog::private;
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};

/// The file in `data_dir`.
pub(crate) const FILE: &str = "tollgate.db";

/// Layout of the file (`PRAGMA user_version`). An older file is migrated step by step when opened.
/// It is the version of the columns.
const USER_VERSION: i32 = SCHEMA_VERSION as i32;
/// Rows of one transaction: enough to make its fixed cost small, few enough to be seen soon.
const ROWS_MAX: usize = 2_000;
/// How long rows are gathered, so that they share a transaction.
const TICK: Duration = Duration::from_millis(250);
/// Rows that retention deletes at once; new rows are stored between two slices.
const RETENTION_SLICE: usize = 500;

/// A large page holds several rows with their bodies: for rows of 3 KB, half the bytes and half the
/// CPU time of pages of 4 KiB (measured: 15.7, 11.0, 8.0 µs a row with 4, 8, 16 KiB).
const SETUP: &str = "
    PRAGMA page_size = 32768;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    PRAGMA cache_size = -16384;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = 67108864;
";

/// The daily figures. Percentiles by nearest rank.
const DAILY_SUMMARY: &str = "
CREATE VIEW IF NOT EXISTS daily_summary AS
WITH ranked AS (
    SELECT substr(created_at, 1, 10) AS day, org_id, provider, model, route, calls, outcome, \
    input_tokens,
           output_tokens, cost_nano_usd, latency_ms,
           row_number() OVER (PARTITION BY substr(created_at, 1, 10), org_id, provider, model, route
                              ORDER BY latency_ms) AS rank,
           count(*) OVER (PARTITION BY substr(created_at, 1, 10), org_id, provider, model, route) \
           AS rows
    FROM ai_log
)
SELECT day, org_id, provider, model, route,
       sum(calls) AS calls,
       sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls ELSE 0 END) AS \
       errors,
       sum(CASE WHEN outcome IN ('provider_error', 'timeout', 'refused') THEN calls ELSE 0 END) * \
       1.0 / sum(calls)
           AS error_rate,
       sum(CASE WHEN outcome = 'rate_limited' THEN calls ELSE 0 END) AS rate_limited,
       sum(input_tokens) AS input_tokens,
       sum(output_tokens) AS output_tokens,
       coalesce(sum(cost_nano_usd), 0) / 1e9 AS cost_usd,
       max(CASE WHEN rank = (50 * rows + 99) / 100 THEN latency_ms END) AS p50_ms,
       max(CASE WHEN rank = (95 * rows + 99) / 100 THEN latency_ms END) AS p95_ms,
       max(CASE WHEN rank = (99 * rows + 99) / 100 THEN latency_ms END) AS p99_ms
FROM ranked
GROUP BY day, org_id, provider, model, route";

/// The cost of each organisation and day; the errors of each hour, with the newest call of each.
const MORE_VIEWS: &str = "
CREATE VIEW IF NOT EXISTS cost_by_org_day AS
SELECT substr(created_at, 1, 10) AS day, org_id,
       sum(calls) AS calls,
       coalesce(sum(cost_nano_usd), 0) / 1e9 AS cost_usd,
       sum(input_tokens) + sum(output_tokens) AS tokens,
       sum(CASE WHEN cost_nano_usd IS NULL AND usage_source <> 'none' THEN calls ELSE 0 END) AS \
       unpriced_calls
FROM ai_log
GROUP BY day, org_id;
CREATE VIEW IF NOT EXISTS errors_hourly AS
WITH failed AS (
    SELECT substr(created_at, 1, 13) || ':00:00Z' AS hour, org_id, provider, model, outcome, \
    status, error_code, calls,
           request_id,
           row_number() OVER (PARTITION BY substr(created_at, 1, 13), org_id, provider, model, \
           outcome, status,
                                           error_code
                              ORDER BY created_at DESC, id DESC) AS newest
    FROM ai_log WHERE outcome IN ('provider_error', 'timeout', 'refused')
)
SELECT hour, org_id, provider, model, outcome, status, error_code, sum(calls) AS calls,
       max(CASE WHEN newest = 1 THEN request_id END) AS last_request_id
FROM failed
GROUP BY hour, org_id, provider, model, outcome, status, error_code";

/// The views, each with the layout that brings it.
const VIEWS: [(u8, &str); 2] = [(1, DAILY_SUMMARY), (2, MORE_VIEWS)];

/// Created with the table of the log.
const BESIDE_THE_LOG: &str = "
CREATE INDEX ai_log_created_at ON ai_log (created_at);
CREATE TABLE log_position (one INTEGER PRIMARY KEY CHECK (one = 1), segment BLOB NOT NULL,
                           \"offset\" INTEGER NOT NULL)";

/// The writer's connection.
pub(crate) struct SqliteStore {
    connection: Connection,
    insert: String,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SqliteError {
    /// A file of another program, or of a later version.
    #[error(
        "it has layout {found}, and this version knows up to {USER_VERSION}; use a newer \
        tollgate"
    )]
    Version {
        /// `user_version` of the file.
        found: i32,
    },
    /// An error of SQLite.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

impl SqliteStore {
    /// Opens the file; creates a new one, and migrates an older one to today's layout.
    ///
    /// # Errors
    /// It is not a SQLite database, is of a later version, or cannot be written.
    pub(crate) fn open(path: &Path) -> Result<SqliteStore, SqliteError> {
        // SQLite creates its file by the umask, and the files beside it by the mode of the first.
        // If this fails, SQLite reports why.
        let _ = private::options().create(true).truncate(false).write(true).open(path);
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch(SETUP)?;
        let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if found > USER_VERSION {
            return Err(SqliteError::Version { found });
        }
        for version in (1..=SCHEMA_VERSION).filter(|version| i32::from(*version) > found) {
            let step = step_to(version, &COLUMNS);
            connection.execute_batch(&format!(
                "BEGIN; {step}; PRAGMA user_version = {version}; COMMIT;"
            ))?;
            if found > 0 {
                tracing::info!(layout = version, "the embedded store was migrated to a new layout");
            }
        }
        let marks = vec!["?"; COLUMNS.len()].join(", ");
        let insert = format!(
            "INSERT OR IGNORE INTO ai_log ({}) VALUES ({marks})",
            stored_columns().join(", ")
        );
        Ok(SqliteStore { connection, insert })
    }

    fn insert(&mut self, batch: &Batch) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction()?;
        let mut stored = 0;
        {
            let mut statement = transaction.prepare_cached(&self.insert)?;
            // A bound value stays bound: most values of a row equal those of the row before.
            let mut bound: [Option<Value<'_>>; COLUMNS.len()] = [None; COLUMNS.len()];
            for index in 0..batch.rows.len() {
                let mut decoder = Decoder::new(batch.row(index));
                for (at, column) in COLUMNS.iter().enumerate() {
                    // The log's reader has checked the row.
                    let value = decoder.next(column.of).unwrap_or(Value::Null);
                    if bound[at] != Some(value) {
                        bind(&mut statement, at + 1, value)?;
                        bound[at] = Some(value);
                    }
                }
                stored += statement.raw_execute()?;
            }
        }
        keep_position(&transaction, batch)?;
        transaction.commit()?;
        Ok(stored)
    }

    /// Syncs the part of SQLite's own log that is not checkpointed.
    fn sync_log(&self) -> std::io::Result<()> {
        let Some(path) = self.connection.path() else { return Ok(()) };
        std::fs::File::open(format!("{path}-wal"))?.sync_data()
    }
}

fn keep_position(connection: &Connection, batch: &Batch) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO log_position (one, segment, \"offset\") VALUES (1, ?1, ?2)
             ON CONFLICT (one) DO UPDATE SET segment = excluded.segment, \"offset\" = \
             excluded.\"offset\"",
        )?
        .execute((batch.segment.as_bytes(), batch.end as i64))?;
    Ok(())
}

impl Store for SqliteStore {
    fn limits(&self) -> BatchLimits {
        BatchLimits { rows_max: ROWS_MAX, bytes_max: 4 << 20 }
    }

    fn tick(&self) -> Duration {
        TICK
    }

    fn resume(&mut self) -> Result<Option<Resume>, StoreError> {
        position(&self.connection).map_err(|e| failed(&e))
    }

    fn store(&mut self, batch: &Batch, _give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError> {
        self.insert(batch).map(|rows| Stored { rows }).map_err(|e| failed(&e))
    }

    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError> {
        keep_position(&self.connection, batch).map_err(|e| failed(&e))
    }

    fn settle(&mut self) {
        // Passive: it goes as far as readers allow, and syncs that part. A reader of an older state
        // holds it up, and then it may have synced nothing.
        let done = self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        match done {
            Ok((0, frames, checkpointed)) if frames == checkpointed => {}
            Ok(_) => {
                if let Err(error) = self.sync_log() {
                    tracing::warn!(%error, "sync of the embedded store's log");
                }
            }
            Err(error) => tracing::warn!(%error, "checkpoint of the embedded store"),
        }
    }

    fn sync_always(&mut self) {
        if let Err(error) = self.connection.execute_batch("PRAGMA synchronous = FULL") {
            tracing::error!(%error, "the embedded store does not sync its commits");
        }
    }

    fn forget_before(&mut self, created_at_ms: i64) -> bool {
        let oldest = iso_millis(created_at_ms);
        let deleted = self.connection.prepare_cached(
            "DELETE FROM ai_log WHERE rowid IN
                 (SELECT rowid FROM ai_log WHERE created_at < ?1 ORDER BY created_at LIMIT ?2)",
        );
        let deleted = deleted.and_then(|mut s| s.execute((Text(&oldest), RETENTION_SLICE as i64)));
        match deleted {
            Ok(rows) => rows == RETENTION_SLICE,
            Err(error) => {
                tracing::warn!(%error, "retention in the embedded store");
                false
            }
        }
    }
}

fn position(connection: &Connection) -> rusqlite::Result<Option<Resume>> {
    let found = connection
        .query_row("SELECT segment, \"offset\" FROM log_position", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()?;
    Ok(found.map(|(segment, offset)| Resume {
        position: Position { segment: Uuid::from_bytes(segment), offset: offset as u64 },
        sealed_until: None,
    }))
}

/// Opens a file that the gateway writes, for a reader. Returns the connection and the file's
/// layout; `None` if there is no file or no log in it yet.
///
/// # Errors
/// It cannot be read.
pub(crate) fn open_existing(
    path: &Path,
    flags: OpenFlags,
    patience: Duration,
) -> rusqlite::Result<Option<(Connection, i32)>> {
    if !path.exists() {
        return Ok(None);
    }
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(patience)?;
    let layout: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((layout > 0).then_some((connection, layout)))
}

/// The place at which the shipper to the embedded store stopped, for another store that takes over.
pub(crate) fn resume_of(path: &Path) -> Option<Resume> {
    // Not read-only: SQLite may have to recover the log of a killed process first.
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    let found = position(&connection);
    found
        .inspect_err(
            |error| tracing::warn!(%error, "the place of the embedded store cannot be read"),
        )
        .ok()?
}

/// Every failure here comes from the machine (disk, lock), not from a row: the batch is retried.
fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Retry { reason: error.to_string(), at_least: Duration::ZERO }
}

/// Names under which the values of the columns are stored.
fn stored_columns() -> Vec<String> {
    COLUMNS.iter().map(stored_name).collect()
}

/// The name under which a column's value is stored: amounts are stored as integers.
fn stored_name(column: &Column) -> String {
    match column.of {
        Type::NanoUsd => column.name.replace("_usd", "_nano_usd"),
        _ => column.name.to_owned(),
    }
}

/// The type of a column in SQLite.
pub(crate) const fn type_of(of: Type) -> &'static str {
    match of {
        Type::Uuid => "TEXT PRIMARY KEY",
        Type::Millis | Type::Text | Type::Label | Type::Tags | Type::Attempts => "TEXT NOT NULL",
        Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::U64 => "INTEGER NOT NULL",
        Type::OptionalText | Type::OptionalLabel => "TEXT",
        Type::NanoUsd | Type::OptionalFloat => "REAL",
    }
}

/// The definition of a column. A new one of an existing table has a value in the rows that are
/// there.
fn definition(column: &Column, is_new: bool) -> String {
    let (name, of) = (column.name, type_of(column.of));
    match column.of {
        // The nearest double of a whole number of 10⁻⁹ USD: right to the last of nine digits up to
        // millions.
        Type::NanoUsd => {
            let stored = stored_name(column);
            format!("{name} {of} GENERATED ALWAYS AS ({stored} / 1e9) VIRTUAL")
        }
        Type::Millis | Type::Text | Type::Label if is_new => format!("{name} {of} DEFAULT ''"),
        Type::Bool | Type::U8 | Type::U16 | Type::U32 | Type::U64 if is_new => {
            format!("{name} {of} DEFAULT 0")
        }
        Type::Tags if is_new => format!("{name} {of} DEFAULT '{{}}'"),
        Type::Attempts if is_new => format!("{name} {of} DEFAULT '[]'"),
        _ => format!("{name} {of}"),
    }
}

/// The amounts among the columns, as they are stored.
fn amounts<'a>(columns: impl Iterator<Item = &'a Column>) -> impl Iterator<Item = String> {
    columns
        .filter(|column| column.of == Type::NanoUsd)
        .map(|column| format!("{} INTEGER", stored_name(column)))
}

/// The step from the layout before to the given one: the columns of that version, and its views.
fn step_to(version: u8, columns: &[Column]) -> String {
    let views = VIEWS
        .iter()
        .filter(|(since, _)| *since == version)
        .map(|(_, sql)| *sql)
        .collect::<String>();
    if version == 1 {
        let definitions = added_in(columns, 1).map(|column| definition(column, false));
        let definitions: Vec<String> = definitions.chain(amounts(added_in(columns, 1))).collect();
        return format!(
            "CREATE TABLE ai_log ({}); {BESIDE_THE_LOG}; {views}",
            definitions.join(", ")
        );
    }
    let definitions = added_in(columns, version).map(|column| definition(column, true));
    let added = amounts(added_in(columns, version)).chain(definitions);
    let added = added.map(|definition| format!("ALTER TABLE ai_log ADD COLUMN {definition}; "));
    added.collect::<String>() + &views
}

/// Text that is bound without a copy of ours and without checking its UTF-8 again.
struct Text<'a>(&'a [u8]);

impl ToSql for Text<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Text(self.0)))
    }
}

fn bind(
    statement: &mut rusqlite::Statement<'_>,
    at: usize,
    value: Value<'_>,
) -> rusqlite::Result<()> {
    match value {
        Value::Null => statement.raw_bind_parameter(at, rusqlite::types::Null),
        Value::Uuid(id) => {
            let mut text = Uuid::encode_buffer();
            statement
                .raw_bind_parameter(at, Text(id.hyphenated().encode_lower(&mut text).as_bytes()))
        }
        Value::Millis(ms) => statement.raw_bind_parameter(at, Text(&iso_millis(ms))),
        Value::Text(text) => statement.raw_bind_parameter(at, Text(text)),
        Value::Bool(b) => statement.raw_bind_parameter(at, b),
        Value::Integer(n) => statement.raw_bind_parameter(at, i64::try_from(n).unwrap_or(i64::MAX)),
        Value::NanoUsd(nano) => statement.raw_bind_parameter(at, nano),
        Value::Float(f) => statement.raw_bind_parameter(at, f),
        Value::Tags(tags) if tags.is_empty() => statement.raw_bind_parameter(at, "{}"),
        Value::Tags(tags) => statement.raw_bind_parameter(at, tags.to_json().to_string()),
        Value::Attempts(attempts) if attempts.is_empty() => statement.raw_bind_parameter(at, "[]"),
        Value::Attempts(attempts) => {
            statement.raw_bind_parameter(at, attempts.to_json().to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_of_a_new_version_are_added_to_a_table_with_rows() {
        let new = [
            Column { name: "cache", of: Type::Label, since: 5, doc: "" },
            Column { name: "shadow_usd", of: Type::NanoUsd, since: 5, doc: "" },
            Column { name: "score", of: Type::OptionalFloat, since: 5, doc: "" },
            Column { name: "tries", of: Type::U32, since: 5, doc: "" },
        ];
        let connection = Connection::open_in_memory().expect("database");
        for version in 1..=SCHEMA_VERSION {
            connection.execute_batch(&step_to(version, &COLUMNS)).expect("a layout");
        }
        let defaults: Vec<String> = COLUMNS
            .iter()
            .map(|column| match column.of {
                Type::NanoUsd | Type::OptionalText | Type::OptionalLabel | Type::OptionalFloat => {
                    "NULL".to_owned()
                }
                _ => "1".to_owned(),
            })
            .collect();
        let (names, values) = (stored_columns().join(", "), defaults.join(", "));
        connection
            .execute_batch(&format!("INSERT INTO ai_log ({names}) VALUES ({values})"))
            .expect("a row");
        connection.execute_batch(&step_to(5, &new)).expect("the next layout");
        connection
            .execute_batch("UPDATE ai_log SET shadow_nano_usd = 1500000000")
            .expect("an amount");
        let row =
            connection.query_row("SELECT cache, shadow_usd, score, tries FROM ai_log", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            });
        assert_eq!(row, Ok((String::new(), 1.5, None::<f64>, 0)));
    }
}
