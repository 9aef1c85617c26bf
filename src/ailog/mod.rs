//! Stage 9 of the walk (and stage 2, where its record is opened): one row for every call, never lost, never doubled.
//!
//! A row is encoded on the call's own thread and written to the write-ahead log (`wal`) before the client sees the end of
//! its answer. A thread of its own (`ship`) reads the log (`tail`) and takes the rows to the store: SQLite (`sqlite`) or
//! ClickHouse (`clickhouse`). Reports read the stores (`report`).
//!
//! Promises: a row whose `append` returned survives the end of the process, however it ends, and is stored exactly once.
//! What cannot be kept is counted, never silent. Where a call asks for it (`power`), its row survives a power cut, too.
//! Does not: wait for a store on the request path.

pub mod bench;
mod clickhouse;
mod columns;
mod dead_letter;
mod fold;
mod group;
mod power;
mod private;
pub mod recorder;
pub mod report;
pub mod reprice;
pub mod row;
mod segment;
mod ship;
mod sqlite;
mod state;
mod tail;
mod wal;

#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use clickhouse::schema;
pub use group::Pending;
pub use power::Durable;
pub use recorder::Recorder;
pub use sqlite::SqliteError;
pub use wal::WalLimits;

use crate::config::policy::StoreKind;
use crate::lock::lock;
use crate::metrics::Metrics;
use row::Row;
use segment::{Disk, FileSystem};
use ship::{Shipper, Store, StoreError};
use state::{Core, Counters};
use wal::Wal;

/// How the log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the write-ahead log and the embedded store; made if it is not there.
    pub data_dir: PathBuf,
    /// Rows older than this are deleted from the embedded store; 0 keeps them. Hot: [`AiLog::set_retention_days`].
    pub retention_days: u32,
    /// Bounds of the write-ahead log.
    pub wal: WalLimits,
}

impl Options {
    /// The usual bounds.
    pub fn new(data_dir: &Path, retention_days: u32) -> Options {
        Options { data_dir: data_dir.to_owned(), retention_days, wal: WalLimits::default() }
    }
}

/// Why the log cannot be opened. Something that the operator has to change.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes on one folder would mix their logs.
    #[error("data_dir `{}` is in use by another tollgate process; stop it, or give this one another data_dir", .0.display())]
    InUse(PathBuf),
    /// A folder or file cannot be made or read.
    #[error("data_dir `{}` cannot be used: {error}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The embedded store cannot be used.
    #[error("the embedded store `{}` cannot be used: {error}", path.display())]
    Store {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: SqliteError,
    },
    /// What was kept of the last run cannot be read.
    #[error("`{}` does not say up to where the log is stored: {reason}", path.display())]
    Position {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// How much waits to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    /// Bytes of the write-ahead log that are not stored.
    pub bytes: u64,
    /// Milliseconds since 1970 of the oldest row that is not stored; nothing if all are.
    pub oldest_ms: Option<i64>,
    /// Rows that could not be kept since the start.
    pub lost: u64,
    /// Why the store does not take rows at the moment.
    pub trouble: Option<String>,
}

/// The log, as the walk sees it. Cheap to clone.
#[derive(Clone)]
pub struct AiLog {
    inner: Arc<Inner>,
}

struct Inner {
    core: Arc<Core>,
    shipper: Mutex<Option<JoinHandle<()>>>,
    syncer: Mutex<Option<JoinHandle<()>>>,
    /// The process ends, and calls that are open are cut.
    cutting: AtomicBool,
    /// Held as long as the log is open; the system lets it go with the process, however that ends.
    _lock: File,
}

impl AiLog {
    /// Opens the log: locks the folder, takes stock of what an earlier process left, and starts the shipper. What was
    /// written and not stored then is stored now.
    ///
    /// # Errors
    /// Another process uses the folder, or it cannot be used. A store that is away is no error: rows wait for it.
    pub fn open(options: Options, store: StoreKind, metrics: Arc<Metrics>) -> Result<AiLog, OpenError> {
        AiLog::open_on(options, store, metrics, Box::new(FileSystem))
    }

    fn open_on(
        options: Options,
        store: StoreKind,
        metrics: Arc<Metrics>,
        disk: Box<dyn Disk>,
    ) -> Result<AiLog, OpenError> {
        let data_dir = &options.data_dir;
        let held = lock_folder(data_dir)?;
        let wal_dir = data_dir.join("wal");
        let (wal, found) = Wal::open(&wal_dir, options.wal, disk)
            .map_err(|error| OpenError::Folder { path: wal_dir.clone(), error })?;
        let counters = Counters::new(metrics);
        if found.quarantined > 0 {
            counters.lost.inc_by(found.quarantined as u64);
            tracing::warn!(files = found.quarantined, "files in the write-ahead log are no segments of this version");
        }
        if found.segments > 0 {
            tracing::info!(segments = found.segments, bytes = wal.bytes(), "rows of an earlier run are being stored");
        }
        let core = Arc::new(Core::new(Arc::new(wal), counters, options.retention_days));
        // Up to where the other store was, if rows went there before: they are not sent to this one as well.
        let elsewhere = match &store {
            StoreKind::Embedded => clickhouse::resume_of(data_dir),
            StoreKind::ClickHouse(_) => sqlite::resume_of(&data_dir.join(EMBEDDED_FILE)),
        };
        let position_file = data_dir.join(match &store {
            StoreKind::Embedded => EMBEDDED_FILE,
            StoreKind::ClickHouse(_) => clickhouse::POSITION_FILE,
        });
        let store: Box<dyn Store> = match store {
            StoreKind::Embedded => {
                let path = data_dir.join(EMBEDDED_FILE);
                Box::new(sqlite::Sqlite::open(&path).map_err(|error| OpenError::Store { path, error })?)
            }
            StoreKind::ClickHouse(server) => Box::new(
                clickhouse::ClickHouse::new(&server, data_dir)
                    .map_err(|error| OpenError::Folder { path: data_dir.clone(), error })?,
            ),
        };
        let dead_letters = data_dir.join("dead-letter.jsonl");
        let shipper = Shipper::new(core.clone(), store, elsewhere, dead_letters)
            .map_err(|error| OpenError::Position { path: position_file, reason: reason_of(error) })?;
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            thread.map(|t| Mutex::new(Some(t))).map_err(|error| OpenError::Folder { path: data_dir.clone(), error })
        };
        let syncing = core.clone();
        let syncer = thread("ailog-sync", Box::new(move || sync_for_ever(&syncing)))?;
        let shipping = core.clone();
        let shipper = thread("ailog", Box::new(move || ship_for_ever(shipper, &shipping)))?;
        Ok(AiLog { inner: Arc::new(Inner { core, shipper, syncer, cutting: AtomicBool::new(false), _lock: held }) })
    }

    /// Writes a row to the write-ahead log; when this returns the row survives the end of the process. A row that
    /// cannot be written (full disk, backlog at its bound) is counted in `tollgate_log_rows_total{result="lost"}`.
    ///
    /// Blocks for one `write` to the page cache.
    pub fn append(&self, row: &Row) {
        self.inner.core.append(row);
    }

    /// The same, in one write with the rows of other calls that end now: the row survives when the answer is ready.
    pub fn append_soon(&self, row: &Row) -> Pending {
        state::encoded(row, |record| self.inner.core.append_soon(record))
    }

    /// Rows that are written from now on will be waited for with [`AiLog::durable`].
    pub fn expect_durable(&self) {
        self.inner.core.wal.keep_until_synced();
    }

    /// Waits until all rows written so far are on the disk itself, so that they survive a power cut.
    pub fn durable(&self) -> Durable {
        self.expect_durable();
        self.inner.core.durable()
    }

    /// Writes a row for a call that was refused before any work: the first of a kind (organisation, outcome, code) at
    /// once, the others folded into one row a second that says how many they were.
    pub fn append_refused(&self, row: Row) {
        self.inner.core.append_refused(row);
    }

    /// Waits until everything written so far is stored; says whether it is. Blocks.
    pub fn flush(&self, within: Duration) -> bool {
        self.inner.core.flush(within)
    }

    /// Ends the shipper: folded rows are written, what can be stored within `deadline` is stored. Blocks for at most
    /// about that time. Rows appended later are on disk and are stored at the next start.
    pub fn close(&self, deadline: Duration) {
        self.inner.close(deadline);
    }

    /// A reload changed `ailog.retention_days`.
    pub fn set_retention_days(&self, days: u32) {
        self.inner.core.set_retention_days(days);
    }

    /// From now on a call that is dropped was cut by this process, not left by its client.
    pub fn cut_calls(&self) {
        self.inner.cutting.store(true, Ordering::Relaxed);
    }

    /// How much waits to be stored.
    pub fn backlog(&self) -> Backlog {
        let core = &self.inner.core;
        Backlog {
            bytes: core.wal.bytes(),
            oldest_ms: core.oldest_ms(),
            lost: core.counters.lost.get(),
            trouble: core.trouble(),
        }
    }
}

impl Inner {
    fn close(&self, deadline: Duration) {
        let Some(thread) = lock(&self.shipper).take() else { return };
        self.core.stop(deadline);
        if thread.join().is_err() {
            tracing::error!("the log's thread ended in a defect");
        }
        self.core.end_second();
        self.core.write_group();
        self.core.end_syncing();
        if lock(&self.syncer).take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the log's syncing thread ended in a defect");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants rows stored first has called `close`; they are on disk in any case.
        self.close(Duration::ZERO);
    }
}

/// The embedded store's file in `data_dir`.
const EMBEDDED_FILE: &str = "tollgate.db";

fn lock_folder(data_dir: &Path) -> Result<File, OpenError> {
    let folder = |error| OpenError::Folder { path: data_dir.to_owned(), error };
    private::folder(data_dir).map_err(folder)?;
    private::tighten(data_dir);
    let file =
        private::options().create(true).truncate(false).write(true).open(data_dir.join("lock")).map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder(error)),
    }
}

fn reason_of(error: StoreError) -> String {
    match error {
        StoreError::Retry { reason, .. } | StoreError::Operator { reason } | StoreError::Rows { reason } => reason,
    }
}

/// A defect in the syncing thread must not leave calls waiting.
fn sync_for_ever(core: &Core) {
    while std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| core.sync_for_ever())).is_err() {
        core.counters.metrics.panics.inc();
        tracing::error!("defect in the log's syncing thread; it goes on");
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// A defect in the shipper must not end the log: it goes on from the last stored position.
fn ship_for_ever(mut shipper: Shipper, core: &Core) {
    while std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| shipper.run())).is_err() {
        core.counters.metrics.panics.inc();
        tracing::error!("defect in the log's thread; it goes on with the same rows");
        std::thread::sleep(Duration::from_secs(1));
        if core.is_stopping() {
            return;
        }
    }
}
