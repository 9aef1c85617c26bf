//! The ClickHouse store: sealed batches over HTTP, each exactly once.
//!
//! Stage 12 of the walk, on the shipper's thread.
//!
//! A batch is a range of one segment of the write-ahead log. Before it is first sent, the range is
//! noted in a small file (see `position_file`), and exactly that range is sent again until
//! ClickHouse acknowledges it, also after a restart. The range is the batch's
//! `insert_deduplication_token`: a token names one content, and ClickHouse drops a block whose
//! token it has seen; so a range that a power cut has shortened keeps its token. The rows go to
//! `ai_rows`, from which materialized views keep the roll-ups, and then the captured texts to
//! `ai_captures`, both under the token. One `send` makes one compressed block, so an interrupted
//! upload stores nothing. Of several servers, the next one gets a batch that the one before did not
//! acknowledge, with the same token and the same bytes (see `servers`); replicated tables share
//! their memory of tokens.
//!
//! Guarantees: exactly once, as long as the table's deduplication window (100,000 inserts, of which
//! each gateway makes at most one or two a second while it keeps up) does not pass between two
//! tries of one batch; beyond it, at least once. Does not: create tables (see `schema`).

mod divided;
mod errors;
mod position_file;
pub(crate) mod schema;
pub(crate) mod servers;
pub(crate) mod trial;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error;
use serde_json::json;
use tokio::runtime::Runtime;

use self::position_file::{Found, PositionFile};
use self::servers::Servers;
use super::sqlite::layout::{self, Home};
use super::{AuditRecord, Keep, LimitInForce, Resume, Store, StoreError, Stored};
use crate::ailog::columns::{COLUMNS, Column, Decoder, Value};
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};
use crate::bounds::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::config::policy::ClickHouseOptions;
use divided::{Divided, ID, Month, PARTITIONS_MAX, divide, month};
pub(crate) use errors::exception_code;
use errors::{classify, not_of_the_rows};

/// The longest time for one insert: a server that hangs is left for another one.
const INSERT_TIMEOUT: Duration = Duration::from_secs(20);
/// The longest time for the list of limits, or for records of the audit.
const LINES_TIMEOUT: Duration = Duration::from_secs(10);
const NANO: u64 = 1_000_000_000;
/// The longest time for a question about the server.
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
/// How long rows are gathered for one insert: more inserts would only make more parts to merge.
const TICK: Duration = Duration::from_millis(700);
/// How often a running request checks whether it is still wanted.
const GIVE_UP_TICK: Duration = Duration::from_millis(50);
/// Wait while the table has too many parts: merges take seconds.
const PARTS_WAIT: Duration = Duration::from_secs(5);

/// The file in `data_dir` that keeps the place in the log.
pub(crate) const POSITION_FILE: &str = "clickhouse.position";

/// The client and the place in the log.
pub(crate) struct ClickHouseStore {
    servers: Servers,
    /// The engine of the table was looked at.
    was_looked_at: bool,
    runtime: Runtime,
    insert_rows: String,
    insert_captures: String,
    position: PositionFile,
    /// The end of a range that a former version may have sent.
    former_until: Option<u64>,
    /// Months of which that version had stored the rows of the range, once they are known.
    former_months: Option<BTreeSet<Month>>,
    /// This process has told of limits on money.
    has_limits: bool,
    /// The content of the position file when it was opened.
    found: io::Result<Found>,
    /// The position is on the disk before anything is sent.
    syncs: bool,
}

/// A client of the first server that answers; of the first one, if none does or it is alone.
pub(crate) async fn client(options: &ClickHouseOptions) -> Client {
    let mut clients: Vec<Client> =
        options.urls.iter().map(|url| servers::client(options, url)).collect();
    if clients.len() > 1 {
        for place in 0..clients.len() {
            let asked = clients[place].query_raw("SELECT 1").fetch_one::<u8>();
            if matches!(tokio::time::timeout(ASK_TIMEOUT, asked).await, Ok(Ok(1))) {
                return clients.swap_remove(place);
            }
        }
    }
    clients.into_iter().next().unwrap_or_default()
}

/// A runtime for one thread: the shipper and each report wait for one request at a time.
pub(crate) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

impl ClickHouseStore {
    /// A store that has not connected to the server yet.
    ///
    /// # Errors
    /// The system provides no event queue.
    pub(crate) fn new(options: &ClickHouseOptions, data_dir: &Path) -> io::Result<ClickHouseStore> {
        let path = data_dir.join(POSITION_FILE);
        let found = position_file::find(&path);
        let former_until = match &found {
            Ok(Found::Place { resume, is_former: true, .. }) => resume.sealed_until,
            _ => None,
        };
        let names = |wanted: fn(&Column) -> bool| {
            let columns = COLUMNS.iter().filter(|column| wanted(column));
            columns.map(|column| column.name).collect::<Vec<_>>().join(", ")
        };
        let is_captured = |column: &Column| layout::home(column) == Home::Capture;
        let is_in_row = |column: &Column| layout::home(column) != Home::Capture;
        Ok(ClickHouseStore {
            servers: Servers::new(options),
            was_looked_at: false,
            runtime: runtime()?,
            insert_rows: format!("INSERT INTO ai_rows ({}) FORMAT RowBinary", names(is_in_row)),
            insert_captures: format!(
                "INSERT INTO ai_captures (id, created_at, {}) FORMAT RowBinary",
                names(is_captured)
            ),
            position: PositionFile::new(path),
            former_until,
            former_months: None,
            has_limits: false,
            found,
            syncs: false,
        })
    }

    /// The months of a batch whose rows are stored.
    fn stored_months(&mut self, batch: &Batch) -> Result<BTreeSet<Month>, StoreError> {
        let (runtime, mut stored) = (&self.runtime, BTreeSet::new());
        self.servers.in_turn(|client| {
            stored =
                runtime.block_on(stored_months(client, batch)).map_err(|error| classify(&error))?;
            Ok(())
        })?;
        Ok(stored)
    }

    /// Whether a batch that goes to another server is known there.
    fn look_at_engine(&mut self) {
        if std::mem::replace(&mut self.was_looked_at, true) || !self.servers.are_several() {
            return;
        }
        let engine = self.runtime.block_on(engine(&self.servers.current()));
        if engine.is_some_and(|engine| !is_replicated(&engine)) {
            tracing::warn!(
                event = "clickhouse_not_replicated",
                "clickhouse.urls has several addresses, and ai_rows is no replicated table: a \
                 batch that is sent again to another server is stored twice; run `tollgate \
                 clickhouse apply --cluster NAME`, or give one url"
            );
        }
    }

    fn keep_position(
        &mut self,
        position: Position,
        sealed_until: Option<u64>,
    ) -> Result<(), StoreError> {
        self.position.keep(Resume { position, sealed_until }, self.syncs).map_err(|e| {
            StoreError::Retry {
                reason: format!("the position in the log: {e}"),
                at_least: Duration::ZERO,
            }
        })
    }
}

impl ClickHouseStore {
    /// Inserts a few lines of JSON.
    fn insert_lines(&mut self, sql: &str, lines: &[String]) -> Result<(), StoreError> {
        let lines = Bytes::from(lines.join("\n"));
        let runtime = &self.runtime;
        self.servers.in_turn(|client| {
            let insert = client.insert_formatted_with(sql);
            let mut insert = insert.with_setting("async_insert", "0");
            let sent = runtime.block_on(async {
                let work = async {
                    insert.send(lines.clone()).await?;
                    insert.end().await
                };
                tokio::time::timeout(LINES_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
            });
            sent.map_err(|error| classify(&error))
        })
    }
}

impl Store for ClickHouseStore {
    fn limits(&self) -> BatchLimits {
        BatchLimits { rows_max: BATCH_ROWS_MAX, bytes_max: BATCH_BYTES_MAX }
    }

    fn tick(&self) -> Duration {
        TICK
    }

    fn resume(&mut self) -> Result<Option<Resume>, StoreError> {
        match &self.found {
            Ok(Found::Place { resume, .. }) => Ok(Some(*resume)),
            Ok(Found::Nothing) => Ok(None),
            Ok(Found::Damaged) => {
                tracing::warn!(
                    event = "clickhouse_position_damaged",
                    "clickhouse.position is damaged; the waiting rows are sent from the oldest on"
                );
                Ok(None)
            }
            Err(error) => Err(StoreError::Operator { reason: error.to_string() }),
        }
    }

    fn store(&mut self, batch: &Batch, give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError> {
        let at = |offset| Position { segment: batch.segment, offset };
        self.keep_position(at(batch.start), Some(batch.sealed_end))?;
        let token = token(batch);
        // The rows of a range that a former version stored were summed up when its table was
        // divided. The token keeps them from the table of rows, but not from the roll-ups.
        let is_former = self.former_until == Some(batch.sealed_end);
        if is_former && self.former_months.is_none() {
            self.former_months = Some(self.stored_months(batch)?);
        }
        let stored = self.former_months.clone().filter(|_| is_former).unwrap_or_default();
        let Divided { rows, captures, days } = divide(batch, &stored);
        let (rows, captures) = (Bytes::from(rows), Bytes::from(captures));
        let (runtime, inserts) = (&self.runtime, [&self.insert_rows, &self.insert_captures]);
        self.servers.in_turn(|client| {
            let block = |place: usize, payload: &Bytes| {
                let block = Block { payload: payload.clone(), token: &token, days };
                runtime.block_on(until_given_up(send(client, inserts[place], block), give_up))
            };
            if !rows.is_empty() {
                block(0, &rows).map_err(|error| classify(&error))?;
            }
            if !captures.is_empty() {
                block(1, &captures).map_err(|error| not_of_the_rows(classify(&error)))?;
            }
            Ok(())
        })?;
        self.look_at_engine();
        self.former_until = None;
        // If this fails, the same range is sent again after a restart, and dropped there by its
        // token.
        let _ = self.keep_position(at(batch.end), None);
        Ok(Stored { rows: batch.rows.len() })
    }

    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.keep_position(Position { segment: batch.segment, offset: batch.end }, None)
    }

    fn settle(&mut self) {}

    fn sync_always(&mut self) {
        self.syncs = true;
    }

    fn forget_before(&mut self, _keep: &Keep) -> bool {
        // The tables have a TTL.
        false
    }

    fn keep_limits(&mut self, limits: &[LimitInForce]) -> Result<(), StoreError> {
        // A policy without any has nothing to say, unless it lifts those of before.
        if limits.is_empty() && !self.has_limits {
            return Ok(());
        }
        let line = |limit: &LimitInForce| {
            let usd = format!("{}.{:09}", limit.nano_usd / NANO, limit.nano_usd % NANO);
            json!({"org_id": limit.org, "scope": limit.scope, "name": limit.name,
                   "period": limit.period, "limit_usd": usd, "place": limit.place})
            .to_string()
        };
        let mut lines: Vec<String> = limits.iter().map(line).collect();
        // Also no limit is a change.
        lines.push(json!({"org_id": "*", "scope": "", "name": "", "period": ""}).to_string());
        self.insert_lines(
            "INSERT INTO ai_limits (org_id, scope, name, period, limit_usd, place) \
             FORMAT JSONEachRow",
            &lines,
        )?;
        self.has_limits = true;
        Ok(())
    }

    fn keep_audit(&mut self, records: &[AuditRecord]) -> Result<(), StoreError> {
        let line = |AuditRecord { chain, seq, record, hash }: &AuditRecord| {
            json!({"chain": chain, "seq": seq, "record": record, "hash": hash}).to_string()
        };
        let lines: Vec<String> = records.iter().map(line).collect();
        self.insert_lines(
            "INSERT INTO policy_audit (chain, seq, record, hash) FORMAT JSONEachRow",
            &lines,
        )
    }
}

/// One block of a batch, as it is sent.
struct Block<'b> {
    payload: Bytes,
    token: &'b str,
    /// Different days of its rows.
    days: usize,
}

/// Sends one block, under its token.
async fn send(client: &Client, insert: &str, block: Block<'_>) -> Result<(), Error> {
    let mut insert = client.insert_formatted_with(insert);
    for (name, value) in [
        ("insert_deduplication_token", block.token),
        ("async_insert", "0"),
        ("insert_deduplicate", "1"),
        ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ] {
        insert = insert.with_setting(name, value);
    }
    if block.days > PARTITIONS_MAX {
        insert = insert.with_setting("max_partitions_per_insert_block", "0");
    }
    let work = async {
        insert.send(block.payload).await?;
        insert.end().await
    };
    tokio::time::timeout(INSERT_TIMEOUT, work).await.unwrap_or(Err(Error::TimedOut))
}

/// The months of a batch whose rows are stored. An insert makes one part for each month, whole or
/// not at all, so the first row of a month tells of the others.
async fn stored_months(client: &Client, batch: &Batch) -> Result<BTreeSet<Month>, Error> {
    let (mut months, mut stored) = (BTreeSet::new(), BTreeSet::new());
    for index in 0..batch.rows.len() {
        let row = batch.row(index);
        if !months.insert(month(row)) {
            continue;
        }
        let Ok(Value::Uuid(id)) = Decoder::new(row).next(COLUMNS[ID].of) else { continue };
        let sql = format!("SELECT count() FROM ai_rows WHERE id = '{id}'");
        let asked = client.query_raw(&sql).fetch_one::<u64>();
        let found =
            tokio::time::timeout(ASK_TIMEOUT, asked).await.unwrap_or(Err(Error::TimedOut))?;
        if found > 0 {
            stored.insert(month(row));
        }
    }
    Ok(stored)
}

/// The engine of the table of rows, if the server tells it.
async fn engine(client: &Client) -> Option<String> {
    let asked = client
        .query_raw(
            "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = \
             'ai_rows'",
        )
        .fetch_one::<String>();
    tokio::time::timeout(ASK_TIMEOUT, asked).await.ok()?.ok()
}

/// Whether servers share the rows and the tokens of tables of this engine.
pub(crate) fn is_replicated(engine: &str) -> bool {
    engine.starts_with("Replicated") || engine.starts_with("Shared")
}

/// The place at which the shipper to ClickHouse stopped, for another store that takes over.
pub(crate) fn resume_of(data_dir: &Path) -> Option<Resume> {
    match position_file::find(&data_dir.join(POSITION_FILE)) {
        Ok(Found::Place { resume, .. }) => Some(resume),
        Ok(Found::Nothing | Found::Damaged) | Err(_) => None,
    }
}

async fn until_given_up(
    work: impl Future<Output = Result<(), Error>>,
    give_up: &dyn Fn() -> bool,
) -> Result<(), Error> {
    let mut work = std::pin::pin!(work);
    loop {
        match tokio::time::timeout(GIVE_UP_TICK, &mut work).await {
            Ok(result) => return result,
            Err(_) if give_up() => return Err(Error::TimedOut),
            Err(_) => {}
        }
    }
}

fn token(batch: &Batch) -> String {
    format!("{}-{}-{}", batch.segment.simple(), batch.start, batch.sealed_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_apart() {
        let check = |error: Error, expected: &str| {
            let found = match classify(&error) {
                StoreError::Retry { reason, at_least } => {
                    format!("retry {} {reason}", at_least.as_secs())
                }
                StoreError::Operator { reason } => format!("operator {reason}"),
                StoreError::Rows { reason } => format!("rows {reason}"),
            };
            assert_eq!(found, expected);
        };
        let bad = |text: &str| Error::BadResponse(text.to_owned());
        check(
            bad(
                "Code: 60. DB::Exception: Table x.ai_log does not exist. (UNKNOWN_TABLE) (version \
                    26.9.2.1)",
            ),
            "operator ClickHouse error 60 UNKNOWN_TABLE: run `tollgate clickhouse apply`",
        );
        check(
            bad(
                "Code: 516. DB::Exception: default: Authentication failed. (AUTHENTICATION_FAILED)",
            ),
            "operator ClickHouse error 516 AUTHENTICATION_FAILED",
        );
        check(
            bad("Code: 252. DB::Exception: Too many parts (300). (TOO_MANY_PARTS)"),
            "retry 5 ClickHouse error 252 TOO_MANY_PARTS",
        );
        check(
            bad("Code: 241. DB::Exception: (MEMORY_LIMIT_EXCEEDED)"),
            "retry 0 ClickHouse error 241 MEMORY_LIMIT_EXCEEDED",
        );
        check(
            bad("Code: 75, e.displayText() = DB::Exception: No space left on device"),
            "retry 0 ClickHouse error 75",
        );
        // The reason does not repeat the data that the message quotes.
        check(
            bad("Code: 27. DB::Exception: Cannot parse input: expected 'x' before: \
                    'anna@example.org'. (CANNOT_PARSE_INPUT_ASSERTION_FAILED)"),
            "rows ClickHouse error 27 CANNOT_PARSE_INPUT_ASSERTION_FAILED",
        );
        check(bad("503 Service Unavailable"), "retry 0 the ClickHouse address answers 503");
        check(bad("429 Too Many Requests"), "retry 0 the ClickHouse address answers 429");
        check(bad("404 Not Found"), "operator the ClickHouse address answers 404");
        check(bad("<html>é"), "retry 0 the ClickHouse address answers without a ClickHouse error");
        check(Error::TimedOut, "retry 0 ClickHouse does not answer in time");
    }
}
