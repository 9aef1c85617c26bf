//! Stage 12 of the walk: one row for every call, never lost, never doubled.
//!
//! A row (`row`) is encoded (`columns`) on the call's own thread and written to the write-ahead log
//! (`wal`) before the client sees the end of its answer. A thread of its own (`store/shipper`)
//! reads that log and takes the rows to the store: SQLite or ClickHouse. The room `report` reads
//! the stores.
//!
//! Guarantees: a row whose `append` returned survives the process, however that ends, and is stored
//! exactly once. A row that cannot be kept is counted. With [`AiLog::durable`] a row also survives
//! a power cut. Does not: wait for a store on the request path.

pub(crate) mod columns;
mod counters;
mod fold;
mod private;
pub mod row;
mod row_binary;
mod shared;
pub(crate) mod store;
pub(crate) mod tap;
pub(crate) mod traced;
mod wal;

#[cfg(test)]
pub(crate) mod tests;

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

pub(crate) use store::clickhouse::schema;
pub use store::sqlite::SqliteError;
pub use store::{AuditRecord, LimitInForce, Retention};
pub use wal::WalLimits;
pub use wal::group::Pending;
pub use wal::sync::Durable;

pub use crate::config::policy::{ClickHouseOptions, StoreKind};
use crate::lock::lock;
use crate::metrics::Metrics;
use counters::Counters;
use row::Row;
use shared::SharedLog;
use store::clickhouse::{self, ClickHouseStore};
use store::shipper::Shipper;
use store::sqlite::{self, SqliteStore};
use store::{Resume, Store};
use tap::Tap;
use wal::Wal;
use wal::append::encoded;
use wal::segment::{Disk, FileSystem};

/// The options of the log.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the write-ahead log and the embedded store; created if it does not exist.
    pub data_dir: PathBuf,
    /// Older rows are deleted from the embedded store. A reload changes it:
    /// [`AiLog::set_retention`].
    pub retention: Retention,
    /// Bounds of the write-ahead log.
    pub wal: WalLimits,
    /// Traces are exported: `AiLog::take_tap` gives the reader for that.
    pub traces: bool,
}

impl Options {
    /// The usual bounds. Rows with their captured texts are kept for `rows_days`, roll-ups for
    /// ever.
    pub fn new(data_dir: &Path, rows_days: u32) -> Options {
        let retention = Retention { rows: rows_days, captures: rows_days, hourly: 0 };
        Options {
            data_dir: data_dir.to_owned(),
            retention,
            wal: WalLimits::default(),
            traces: false,
        }
    }
}

/// Why the log cannot be opened. The operator has to act.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Two processes on one folder would mix their logs.
    #[error(
        "data_dir `{}` is in use by another tollgate process; stop it, or give this one another \
         data_dir",
        .0.display()
    )]
    InUse(PathBuf),
    /// A folder or file cannot be created or read.
    #[error("data_dir `{}` cannot be used: {error}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// The reason.
        error: std::io::Error,
    },
    /// The embedded store cannot be used.
    #[error("the embedded store `{}` cannot be used: {error}", path.display())]
    Store {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: SqliteError,
    },
    /// The place in the log that the last run kept cannot be read.
    #[error("the place in the log cannot be read from `{}`: {reason}", path.display())]
    Position {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
}

/// The rows that wait to be stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Backlog {
    /// Bytes of the write-ahead log that are not stored.
    pub bytes: u64,
    /// Milliseconds since 1970 of the oldest row that is not stored; `None` if all are.
    pub oldest_ms: Option<i64>,
    /// Rows that could not be kept since the start.
    pub lost: u64,
    /// Why the store does not take rows at present.
    pub trouble: Option<String>,
}

/// The log. Cheap to clone.
#[derive(Clone)]
pub struct AiLog {
    inner: Arc<Inner>,
}

struct Inner {
    log: Arc<SharedLog>,
    shipper: Mutex<Option<JoinHandle<()>>>,
    syncer: Mutex<Option<JoinHandle<()>>>,
    tap: Mutex<Option<Tap>>,
    /// The process ends, and open calls are cut.
    cutting: AtomicBool,
    /// Held while the log is open; the system releases it with the process, however that ends.
    _lock: File,
}

impl AiLog {
    /// Opens the log: locks the folder, finds the segments that an earlier process left, and starts
    /// the shipper, which stores them.
    ///
    /// # Errors
    /// Another process uses the folder, or it cannot be used. An unreachable store is not an error:
    /// rows wait for it.
    pub fn open(
        options: Options,
        store: StoreKind,
        metrics: Arc<Metrics>,
    ) -> Result<AiLog, OpenError> {
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
            let files = found.quarantined;
            tracing::warn!(
                event = "segments_unknown",
                files,
                "files in the write-ahead log are not segments of this version"
            );
        }
        if found.segments > 0 {
            tracing::info!(
                event = "rows_of_earlier_run",
                segments = found.segments,
                bytes = wal.bytes(),
                "rows of an earlier run are being stored"
            );
        }
        let log = Arc::new(SharedLog::new(Arc::new(wal), counters, options.retention));
        if options.traces {
            log.wal.keep_for_traces();
        }
        let tap = options.traces.then(|| Tap::open(Arc::clone(&log), data_dir));
        let OpenedStore { store, file, elsewhere } = open_store(store, data_dir)?;
        let dead_letters = data_dir.join("dead-letter.jsonl");
        let shipper =
            Shipper::new(Arc::clone(&log), store, elsewhere, dead_letters).map_err(|error| {
                OpenError::Position { path: data_dir.join(file), reason: error.into_reason() }
            })?;
        let thread = |name: &str, work: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work);
            thread
                .map(|thread| Mutex::new(Some(thread)))
                .map_err(|error| OpenError::Folder { path: data_dir.clone(), error })
        };
        let syncing = Arc::clone(&log);
        let syncer = thread("ailog-sync", Box::new(move || sync_until_stopped(&syncing)))?;
        let shipping = Arc::clone(&log);
        let shipper = thread("ailog", Box::new(move || ship_until_stopped(shipper, &shipping)))?;
        let cutting = AtomicBool::new(false);
        let tap = Mutex::new(tap);
        Ok(AiLog { inner: Arc::new(Inner { log, shipper, syncer, tap, cutting, _lock: held }) })
    }

    /// Writes a row to the write-ahead log; when this returns, the row survives the process. A row
    /// that cannot be written (full disk, backlog at its bound) is counted in
    /// `tollgate_log_rows_total{result="lost"}`.
    ///
    /// Blocks for one `write` to the page cache.
    pub fn append(&self, row: &Row) {
        self.inner.log.appender.append(row);
    }

    /// Writes a row in one write with those of other calls that end now; it survives the process
    /// when the result is ready.
    pub fn append_soon(&self, row: &Row) -> Pending {
        encoded(row, |record| self.inner.log.group.append_soon(record))
    }

    /// Announces that calls will wait with [`AiLog::durable`] for rows written from now on.
    pub fn expect_durable(&self) {
        self.inner.log.wal.keep_until_synced();
    }

    /// Waits until all rows written so far are on the disk itself and survive a power cut.
    pub fn durable(&self) -> Durable {
        self.expect_durable();
        self.inner.log.syncer.durable()
    }

    /// Writes a row for a call that was refused before any work: the first of a kind (organisation,
    /// outcome, code) at once, the others folded into one row a second, with their number in
    /// `calls`.
    pub fn append_refused(&self, row: Row) {
        self.inner.log.append_refused(row);
    }

    /// Waits until everything written so far is stored; returns whether it is. Blocks.
    pub fn flush(&self, within: Duration) -> bool {
        self.inner.log.flush(within)
    }

    /// Ends the shipper: folded rows are written, and rows are stored until `deadline`. Blocks for
    /// about that time at most. Rows appended later are on disk and are stored at the next start.
    pub fn close(&self, deadline: Duration) {
        self.inner.close(deadline);
    }

    /// The reader for the exporter of traces, once, if they are exported.
    pub(crate) fn take_tap(&self) -> Option<Tap> {
        lock(&self.inner.tap).take()
    }

    /// Applies `ailog.retention` of a reloaded policy.
    pub fn set_retention(&self, retention: Retention) {
        self.inner.log.control.set_retention(retention);
    }

    /// Keeps the limits on money that are in force in the store, for the view `budget_used`.
    pub fn set_limits(&self, limits: Vec<LimitInForce>) {
        self.inner.log.control.set_limits(limits);
    }

    /// Keeps a record of the audit in the store, soon.
    pub fn keep_audit(&self, record: AuditRecord) {
        self.inner.log.control.add_audit(record);
    }

    /// From now on a dropped call was cut by this process, not left by its client.
    pub fn cut_calls(&self) {
        self.inner.cutting.store(true, Ordering::Relaxed);
    }

    /// Whether open calls are cut by the end of the process.
    pub(crate) fn is_cutting(&self) -> bool {
        self.inner.cutting.load(Ordering::Relaxed)
    }

    /// The rows that wait to be stored.
    pub fn backlog(&self) -> Backlog {
        let log = &self.inner.log;
        Backlog {
            bytes: log.wal.bytes(),
            oldest_ms: log.control.oldest_ms(),
            lost: log.counters.lost.get(),
            trouble: log.control.trouble(),
        }
    }
}

impl Inner {
    fn close(&self, deadline: Duration) {
        let Some(thread) = lock(&self.shipper).take() else { return };
        self.log.control.stop(deadline);
        if thread.join().is_err() {
            tracing::error!(event = "thread_panicked", "the log's thread panicked");
        }
        self.log.end_second();
        self.log.group.write();
        self.log.syncer.end();
        if lock(&self.syncer).take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(event = "thread_panicked", "the log's syncing thread panicked");
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The rows are on disk; a caller that wants them stored has called `close`.
        self.close(Duration::ZERO);
    }
}

/// How long a thread of the log waits after a panic.
const PANIC_WAIT: Duration = Duration::from_secs(1);

/// A store, and the places in the log that are known of it and of the other one.
struct OpenedStore {
    store: Box<dyn Store>,
    /// The file in `data_dir` that has this store's place.
    file: &'static str,
    /// The place of the other store, if rows went there before: those are not sent to this one.
    elsewhere: Option<Resume>,
}

fn open_store(kind: StoreKind, data_dir: &Path) -> Result<OpenedStore, OpenError> {
    let path = data_dir.join(sqlite::FILE);
    Ok(match kind {
        StoreKind::Embedded => {
            let elsewhere = clickhouse::resume_of(data_dir);
            let store =
                SqliteStore::open(&path).map_err(|error| OpenError::Store { path, error })?;
            OpenedStore { store: Box::new(store), file: sqlite::FILE, elsewhere }
        }
        StoreKind::ClickHouse(server) => {
            let elsewhere = sqlite::resume_of(&path);
            let store = ClickHouseStore::new(&server, data_dir)
                .map_err(|error| OpenError::Folder { path: data_dir.to_owned(), error })?;
            OpenedStore { store: Box::new(store), file: clickhouse::POSITION_FILE, elsewhere }
        }
    })
}

fn lock_folder(data_dir: &Path) -> Result<File, OpenError> {
    let folder = |error| OpenError::Folder { path: data_dir.to_owned(), error };
    private::folder(data_dir).map_err(folder)?;
    private::tighten(data_dir);
    let file = private::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(data_dir.join("lock"))
        .map_err(folder)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(folder(error)),
    }
}

/// Runs the syncing thread; a panic in it must not leave calls waiting.
fn sync_until_stopped(log: &SharedLog) {
    while catch_unwind(AssertUnwindSafe(|| log.sync_until_stopped())).is_err() {
        log.counters.metrics.panics.inc();
        tracing::error!(
            event = "thread_panicked",
            "panic in the log's syncing thread; it continues"
        );
        std::thread::sleep(PANIC_WAIT);
    }
}

/// Runs the shipper; after a panic it continues from the last stored position.
fn ship_until_stopped(mut shipper: Shipper, log: &SharedLog) {
    while catch_unwind(AssertUnwindSafe(|| shipper.run())).is_err() {
        log.counters.metrics.panics.inc();
        tracing::error!(
            event = "thread_panicked",
            "panic in the log's thread; it continues with the same rows"
        );
        std::thread::sleep(PANIC_WAIT);
        if log.control.is_stopping() {
            return;
        }
    }
}
