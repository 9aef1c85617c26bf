//! The ClickHouse store: sealed batches over HTTP, each exactly once.
//!
//! Stage 12 of the walk, on the shipper's thread.
//!
//! A batch is a range of one segment of the write-ahead log. Before it is first sent, the range is
//! noted in a small file (see `position_file`), and exactly that range is sent again until
//! ClickHouse acknowledges it, also after a restart. The range is the batch's
//! `insert_deduplication_token`: a token names one content, and ClickHouse drops a block whose
//! token it has seen; so a range that a power cut has shortened keeps its token. One `send` makes
//! one compressed block, so an interrupted upload stores nothing.
//!
//! Guarantees: exactly once, as long as the table's deduplication window (100,000 inserts, of which
//! each gateway makes at most one or two a second while it keeps up) does not pass between two
//! tries of one batch; beyond it, at least once. Does not: create tables (see `schema`).

mod position_file;
pub(crate) mod schema;

use std::io;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use clickhouse::error::Error;
use clickhouse::{Client, Compression};
use tokio::runtime::Runtime;

use self::position_file::{Found, PositionFile};
use super::{Resume, Store, StoreError, Stored};
use crate::ailog::columns::column_list;
use crate::ailog::wal::position::Position;
use crate::ailog::wal::reader::{Batch, BatchLimits};
use crate::bounds::{BATCH_BYTES_MAX, BATCH_ROWS_MAX};
use crate::config::policy::ClickHouseOptions;

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
    client: Client,
    runtime: Runtime,
    insert: String,
    position: PositionFile,
    /// The content of the position file when it was opened.
    found: io::Result<Found>,
    /// The position is on the disk before anything is sent.
    syncs: bool,
}

/// A client of the configured database.
pub(crate) fn client(options: &ClickHouseOptions) -> Client {
    Client::default()
        .with_url(&options.url)
        .with_database(&options.database)
        .with_user(&options.user)
        .with_password(options.password.reveal())
        .with_compression(Compression::Lz4)
        // Rows are sent and read as bytes; there is no row type that could be validated.
        .with_validation(false)
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
        Ok(ClickHouseStore {
            client: client(options),
            runtime: runtime()?,
            insert: format!("INSERT INTO ai_log ({}) FORMAT RowBinary", column_list()),
            found: position_file::find(&path),
            position: PositionFile::new(path),
            syncs: false,
        })
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
        let mut insert = self.client.insert_formatted_with(self.insert.as_str());
        for (name, value) in [
            ("insert_deduplication_token", token(batch).as_str()),
            ("async_insert", "0"),
            ("insert_deduplicate", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
        ] {
            insert = insert.with_setting(name, value);
        }
        let payload = Bytes::copy_from_slice(&batch.payload);
        let sent = self.runtime.block_on(async {
            let work = async {
                insert.send(payload).await?;
                insert.end().await
            };
            until_given_up(work, give_up).await
        });
        sent.map_err(|error| classify(&error))?;
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

    fn forget_before(&mut self, _created_at_ms: i64) -> bool {
        // The table has a TTL.
        false
    }
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

/// The meaning of a failure for the batch, by ClickHouse's error code; the status alone misleads (a
/// full disk and bad data are both 500).
///
/// The reason holds only the code and its name: the text of an error may quote the data.
fn classify(error: &Error) -> StoreError {
    let again = |reason: String| StoreError::Retry { reason, at_least: Duration::ZERO };
    let text = match error {
        Error::BadResponse(text) => text,
        Error::TimedOut => return again("ClickHouse does not answer in time".to_owned()),
        // It is unknown whether the rows arrived; the token makes a retry safe.
        Error::Network(_) => return again("ClickHouse cannot be reached".to_owned()),
        _ => return again("ClickHouse answered in an unknown form".to_owned()),
    };
    let Some(code) = exception_code(text) else { return by_status(text) };
    let reason = format!(
        "ClickHouse error {code}{}",
        exception_name(text).map_or(String::new(), |n| format!(" {n}"))
    );
    match code {
        // Rows that cannot be parsed, or that break a constraint.
        6 | 26 | 27 | 33 | 38 | 41 | 43 | 53 | 69 | 70 | 72 | 117 | 131 | 321 | 349 | 467 | 469 => {
            StoreError::Rows { reason }
        }
        // Database, table or one of its columns missing.
        16 | 60 | 81 => {
            StoreError::Operator { reason: format!("{reason}: run `tollgate clickhouse apply`") }
        }
        // Unknown name or setting; wrong user, password or rights; read-only.
        47 | 115 | 164 | 192 | 193 | 194 | 291 | 497 | 516 => StoreError::Operator { reason },
        // Too many parts.
        252 => StoreError::Retry { reason, at_least: PARTS_WAIT },
        _ => again(reason),
    }
}

/// An answer without a code: from a proxy, or a server that is starting.
fn by_status(text: &str) -> StoreError {
    let status: Option<u16> = text.get(..3).and_then(|s| s.parse().ok());
    match status {
        Some(status @ (400..=407 | 410..=428)) => {
            StoreError::Operator { reason: format!("the ClickHouse address answers {status}") }
        }
        Some(status) => StoreError::Retry {
            reason: format!("the ClickHouse address answers {status}"),
            at_least: Duration::ZERO,
        },
        None => StoreError::Retry {
            reason: "the ClickHouse address answers without a ClickHouse error".to_owned(),
            at_least: Duration::ZERO,
        },
    }
}

/// `Code: 60. DB::Exception: …`
pub(crate) fn exception_code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// `… (UNKNOWN_TABLE) (version …)`
fn exception_name(text: &str) -> Option<&str> {
    text.rsplit('(').filter_map(|part| part.split_once(')')).map(|(name, _)| name).find(|name| {
        name.len() > 3
            && name.len() < 80
            && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    })
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
