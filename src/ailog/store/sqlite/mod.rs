//! The embedded store: SQLite, `data_dir/tollgate.db`, one file that any SQLite tool opens.
//!
//! Stage 12 of the walk, on the shipper's thread, the only writer besides `tollgate reprice`.
//! Readers open the file themselves (see the room `report`).
//!
//! Guarantees: a batch, its captured texts, its roll-ups and the position after it are stored in
//! one transaction, and a row is stored once by its time and id, so a replay doubles nothing.
//! Amounts are integers of 10⁻⁹ USD (`cost_nano_usd`), of which the views make USD. A segment
//! of the write-ahead log is removed only after a checkpoint (or, if a reader holds that up, a sync
//! of SQLite's log), so a power cut loses only rows that the write-ahead log did not have on disk
//! either. Does not: wait for the disk at every commit, unless `ailog.durability` is `power`.

pub(crate) mod audit;
mod bind;
pub(crate) mod former;
pub(crate) mod groups;
pub(crate) mod layout;
mod retention;
pub(crate) mod rollup;
mod update;
pub(crate) mod views;

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension};
use uuid::Uuid;

use self::bind::{Text, bind};
use self::groups::Groups;
use self::layout::{CAPTURED, CAPTURED_AT, Home, USER_VERSION, columns_in, stored_name};
use self::rollup::{Hour, Rollup};
use super::measures::Values;
use super::{AuditRecord, Keep, LimitInForce, Resume, Store, StoreError, Stored};
use crate::ailog::columns::{COLUMNS, Times, Value, at};
use crate::ailog::private;
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};

/// The file in `data_dir`.
pub(crate) const FILE: &str = "tollgate.db";

/// Rows of one transaction. A group of rows costs its roll-ups one statement for each transaction,
/// so many rows are cheap; they are stored in less than a tenth of a second.
const ROWS_MAX: usize = 10_000;
/// How long rows are gathered, so that they share a transaction.
const TICK: Duration = Duration::from_millis(250);
/// Bits of a capture's number that tell those of one millisecond apart.
const CAPTURE_BITS: u32 = 20;
const CREATED_AT: usize = at("created_at");

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

/// The writer's connection.
pub(crate) struct SqliteStore {
    connection: Connection,
    writer: Writer,
}

/// Writes rows within a transaction.
pub(crate) struct Writer {
    insert_row: String,
    insert_capture: String,
    /// The places of the columns that `ai_rows` has.
    columns: Vec<usize>,
    groups: Groups,
    rollup: Rollup,
    times: Times,
    /// Tells captures of one millisecond apart.
    next_capture: u32,
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
        connection.set_prepared_statement_cache_capacity(64);
        let found: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let layout = u8::try_from(found).ok().filter(|_| found <= USER_VERSION);
        let layout = layout.ok_or(SqliteError::Version { found })?;
        rollup::prepare(&connection)?;
        update::bring_up_to_date(&connection, layout)?;
        let mut store = SqliteStore { connection, writer: Writer::new() };
        former::move_all(&mut store.connection, &mut store.writer)?;
        Ok(store)
    }

    fn insert(&mut self, batch: &Batch) -> rusqlite::Result<usize> {
        let transaction = self.connection.transaction()?;
        let mut stored = 0;
        {
            let mut row_statement = transaction.prepare_cached(&self.writer.insert_row)?;
            let mut bound = [None; COLUMNS.len()];
            for index in 0..batch.rows.len() {
                // The log's reader has checked the row.
                let Ok(values) = Values::decode(batch.row(index)) else { continue };
                let is_new =
                    self.writer.row(&transaction, &mut row_statement, &values, &mut bound)?;
                stored += usize::from(is_new);
            }
        }
        self.writer.rollup.write(&transaction)?;
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

impl Writer {
    fn new() -> Writer {
        let columns: Vec<usize> = columns_in(Home::Row).map(|(place, _)| place).collect();
        let names: Vec<String> =
            columns.iter().map(|place| stored_name(&COLUMNS[*place])).collect();
        let marks = vec!["?"; columns.len() + 2].join(", ");
        Writer {
            insert_row: format!(
                "INSERT OR IGNORE INTO ai_rows ({}, grp, capture) VALUES ({marks})",
                names.join(", ")
            ),
            insert_capture: format!(
                "INSERT OR IGNORE INTO ai_captures (capture, {}) VALUES (?, {})",
                CAPTURED.join(", "),
                vec!["?"; CAPTURED.len()].join(", ")
            ),
            columns,
            groups: Groups::default(),
            rollup: Rollup::default(),
            times: Times::default(),
            next_capture: fastrand::u32(..),
        }
    }

    /// Stores a row with what belongs to it; returns whether it was not there before.
    ///
    /// A bound value stays bound: most values of a row equal those of the row before.
    fn row<'a>(
        &mut self,
        connection: &Connection,
        statement: &mut rusqlite::Statement<'_>,
        values: &Values<'a>,
        bound: &mut [Option<Value<'a>>; COLUMNS.len()],
    ) -> rusqlite::Result<bool> {
        let created_at = self.times.iso(values.number(CREATED_AT));
        let hour = Hour::of_time(&created_at);
        let group = self.groups.of(connection, values, &hour.day)?;
        for (at, place) in self.columns.iter().enumerate() {
            let value = values.get(*place);
            if bound[*place] == Some(value) {
                continue;
            }
            bound[*place] = Some(value);
            match value {
                Value::Millis(_) => statement.raw_bind_parameter(at + 1, Text(&created_at))?,
                value => bind(statement, at + 1, value)?,
            }
        }
        let has_capture = CAPTURED_AT.iter().any(|place| values.get(*place) != Value::Null);
        let capture = if has_capture { Some(self.capture(connection, values)?) } else { None };
        statement.raw_bind_parameter(self.columns.len() + 1, group.number)?;
        statement.raw_bind_parameter(self.columns.len() + 2, capture)?;
        if statement.raw_execute()? == 0 {
            if let Some(capture) = capture {
                let mut delete =
                    connection.prepare_cached("DELETE FROM ai_captures WHERE capture = ?1")?;
                delete.execute([capture])?;
            }
            return Ok(false);
        }
        self.rollup.add(hour, group, values);
        Ok(true)
    }

    /// Stores the captured texts of a row; returns their number, which grows with the row's time.
    fn capture(&mut self, connection: &Connection, values: &Values<'_>) -> rusqlite::Result<i64> {
        let mut insert = connection.prepare_cached(&self.insert_capture)?;
        loop {
            self.next_capture = self.next_capture.wrapping_add(1);
            let number = first_capture_of(values.number(CREATED_AT))
                | i64::from(self.next_capture & ((1 << CAPTURE_BITS) - 1));
            insert.raw_bind_parameter(1, number)?;
            for (at, place) in CAPTURED_AT.iter().enumerate() {
                bind(&mut insert, at + 2, values.get(*place))?;
            }
            // Taken only if a million captures ago there was one of the same millisecond.
            if insert.raw_execute()? > 0 {
                return Ok(number);
            }
        }
    }

    /// Forgets what a transaction that did not end well has left in memory.
    fn forget(&mut self) {
        self.groups.forget();
        self.rollup.clear();
    }
}

/// The least number of a capture of this millisecond.
fn first_capture_of(created_at_ms: i64) -> i64 {
    created_at_ms.clamp(0, i64::MAX >> CAPTURE_BITS) << CAPTURE_BITS
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
        self.insert(batch).map(|rows| Stored { rows }).map_err(|error| {
            self.writer.forget();
            failed(&error)
        })
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
                    tracing::warn!(
                        event = "sqlite_sync_failed",
                        %error, "sync of the embedded store's log");
                }
            }
            Err(error) => tracing::warn!(
                event = "sqlite_checkpoint_failed",
                %error, "checkpoint of the embedded store"),
        }
    }

    fn sync_always(&mut self) {
        if let Err(error) = self.connection.execute_batch("PRAGMA synchronous = FULL") {
            tracing::error!(
                event = "sqlite_sync_off",
                %error, "the embedded store does not sync its commits");
        }
    }

    fn forget_before(&mut self, keep: &Keep) -> bool {
        let more = retention::delete_some(&self.connection, keep).unwrap_or_else(|error| {
            tracing::warn!(event = "retention_failed", %error, "retention in the embedded store");
            false
        });
        if !more {
            // Some may have been deleted, now or by an earlier slice.
            self.writer.groups.forget();
        }
        more
    }

    fn keep_limits(&mut self, limits: &[LimitInForce]) -> Result<(), StoreError> {
        views::keep_limits(&mut self.connection, limits).map_err(|error| failed(&error))
    }

    fn keep_audit(&mut self, records: &[AuditRecord]) -> Result<(), StoreError> {
        audit::keep(&mut self.connection, records).map_err(|error| failed(&error))
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
        .inspect_err(|error| {
            tracing::warn!(
                event = "sqlite_place_unreadable",
                %error, "the place of the embedded store cannot be read")
        })
        .ok()?
}

/// Every failure here comes from the machine (disk, lock), not from a row: the batch is retried.
fn failed(error: &rusqlite::Error) -> StoreError {
    StoreError::Retry { reason: error.to_string(), at_least: Duration::ZERO }
}
