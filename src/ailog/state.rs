//! What the callers' side of the log and its threads share: appending, folding, waiting for the store, and the figures.
//!
//! Stage 9 of the walk.
//!
//! Promises: a row is written, or counted as lost. Does not: store anything (see `ship`), nor wait for a disk (see `power`).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use prometheus::IntCounter;

use super::fold::Fold;
use super::group::Group;
use super::power::Syncing;
use super::row::Row;
use super::wal::{self, Wal};
use crate::clock::{Clock, Nanos, wall_ms};
use crate::lock::lock;
use crate::metrics::Metrics;

/// How often somebody who waits looks again, whatever the store's own tick.
pub(super) const WAIT_TICK: Duration = Duration::from_millis(100);

/// The counters of the log, looked up once.
pub(super) struct Counters {
    pub(super) written: IntCounter,
    pub(super) stored: IntCounter,
    pub(super) lost: IntCounter,
    pub(super) dead_letter: IntCounter,
    /// May not have reached the disk.
    pub(super) suspect: IntCounter,
    /// Past their time before the store took them.
    pub(super) expired: IntCounter,
    /// Their writing was cut off by the end of the process.
    pub(super) unfinished: IntCounter,
    pub(super) metrics: Arc<Metrics>,
}

impl Counters {
    pub(super) fn new(metrics: Arc<Metrics>) -> Counters {
        let of = |result: &str| metrics.log_rows.with_label_values(&[result]);
        Counters {
            written: of("written"),
            stored: of("stored"),
            lost: of("lost"),
            dead_letter: of("dead_letter"),
            suspect: of("suspect"),
            expired: of("expired"),
            unfinished: of("unfinished"),
            metrics,
        }
    }
}

/// Gives the record of `row` to `f`, from a buffer that each thread keeps.
pub(super) fn encoded<T>(row: &Row, f: impl FnOnce(&[u8]) -> T) -> T {
    thread_local! {
        static RECORD: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    RECORD.with_borrow_mut(|record| {
        super::segment::record(row, record);
        f(record)
    })
}

/// What the callers' side and the shipper share.
pub(super) struct Core {
    pub(super) wal: Arc<Wal>,
    pub(super) fold: Mutex<Fold>,
    pub(super) group: Mutex<Group>,
    pub(super) syncing: Syncing,
    pub(super) counters: Counters,
    pub(super) clock: Clock,
    /// Rows that were not written.
    refused: AtomicU64,
    control: Mutex<Control>,
    wake: Condvar,
    progress: Condvar,
}

#[derive(Debug, Default)]
struct Control {
    /// Ship what can be shipped until then, and end.
    stop_at: Option<Nanos>,
    /// Somebody waits: do not sleep.
    poked: bool,
    /// Zero: rows are kept for ever.
    retention_days: u32,
    /// Milliseconds since 1970 of the oldest row that is not stored.
    oldest_ms: Option<i64>,
    /// Why the last attempt to store failed; nothing while all is well.
    trouble: Option<String>,
}

impl Core {
    pub(super) fn new(wal: Arc<Wal>, counters: Counters, retention_days: u32) -> Core {
        Core {
            wal,
            fold: Mutex::default(),
            group: Mutex::default(),
            syncing: Syncing::default(),
            counters,
            clock: Clock::start(),
            refused: AtomicU64::new(0),
            control: Mutex::new(Control { retention_days, ..Control::default() }),
            wake: Condvar::new(),
            progress: Condvar::new(),
        }
    }

    /// Writes a row; see [`super::AiLog::append`].
    pub(super) fn append(&self, row: &Row) {
        encoded(row, |record| self.append_record(record));
    }

    fn append_record(&self, record: &[u8]) {
        match self.wal.append(record) {
            Ok(()) => self.counters.written.inc(),
            Err(error) => self.lose(&error),
        }
    }

    /// Writes records that stand one behind the other in one write; where that fails, those that can be written.
    pub(super) fn append_records(&self, records: &[u8], ends: &[usize]) {
        let rows = ends.len() as u64;
        if rows > 1 {
            match self.wal.append_all(records, rows) {
                Ok(()) => return self.counters.written.inc_by(rows),
                Err(error @ wal::AppendError::Unclean(_)) => return (0..rows).for_each(|_| self.lose(&error)),
                Err(_) => {}
            }
        }
        let mut from = 0;
        for &end in ends {
            self.append_record(&records[from..end]);
            from = end;
        }
    }

    fn lose(&self, error: &wal::AppendError) {
        self.counters.lost.inc();
        if matches!(error, wal::AppendError::Full) {
            self.counters.metrics.bound("wal_bytes");
        }
        // The first, and then one in a thousand: a full disk must not be filled further by its own complaint.
        if self.refused.fetch_add(1, Ordering::Relaxed).is_multiple_of(1_000) {
            tracing::error!(%error, source = ?std::error::Error::source(error), "a row of the log is lost");
        }
    }

    /// Writes or folds a refused call; see [`super::AiLog::append_refused`].
    pub(super) fn append_refused(&self, row: Row) {
        let first = lock(&self.fold).take(row);
        if let Some(row) = first {
            self.append(&row);
        }
        self.end_second_if_due();
    }

    /// What is done a few times a second by each of the log's two threads, because the other one may be waiting for a slow
    /// store, or for a slow disk: records and folded refusals are written, and the figures of what waits are brought up to date.
    pub(super) fn tidy(&self) {
        self.write_group();
        self.end_second_if_due();
        self.measure();
    }

    fn end_second_if_due(&self) {
        let now = self.clock.now();
        let mut fold = lock(&self.fold);
        let rows = if fold.is_due(now) { fold.end_second(now) } else { Vec::new() };
        drop(fold);
        for row in rows {
            self.append(&row);
        }
    }

    /// Turns folded refusals into rows.
    pub(super) fn end_second(&self) {
        let rows = lock(&self.fold).end_second(self.clock.now());
        for row in rows {
            self.append(&row);
        }
    }

    pub(super) fn set_retention_days(&self, days: u32) {
        lock(&self.control).retention_days = days;
    }

    pub(super) fn retention_days(&self) -> u32 {
        lock(&self.control).retention_days
    }

    pub(super) fn oldest_ms(&self) -> Option<i64> {
        lock(&self.control).oldest_ms
    }

    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.control).trouble.clone()
    }

    /// Waits until what has been written is stored; says whether it is.
    pub(super) fn flush(&self, within: Duration) -> bool {
        self.end_second();
        self.write_group();
        let mark = self.wal.written();
        let until = self.clock.now().0.saturating_add(nanos(within));
        let mut control = lock(&self.control);
        while !self.wal.is_taken(mark) {
            let now = self.clock.now().0;
            if now >= until {
                return false;
            }
            control.poked = true;
            self.wake.notify_one();
            let wait = Duration::from_nanos(until - now).min(WAIT_TICK);
            control = self.progress.wait_timeout(control, wait).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
        }
        true
    }

    /// Tells the shipper to end, at the latest after `within`.
    pub(super) fn stop(&self, within: Duration) {
        let mut control = lock(&self.control);
        let at = Nanos(self.clock.now().0.saturating_add(nanos(within)));
        control.stop_at = Some(control.stop_at.map_or(at, |before| before.min(at)));
        self.wake.notify_one();
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop_at().is_some()
    }

    pub(super) fn stop_at(&self) -> Option<Nanos> {
        lock(&self.control).stop_at
    }

    /// Sleeps for `at_most`, or until somebody waits or wants an end.
    pub(super) fn sleep(&self, at_most: Duration) {
        let until = self.clock.now().0.saturating_add(nanos(at_most));
        let mut control = lock(&self.control);
        loop {
            let now = self.clock.now().0;
            if std::mem::take(&mut control.poked) || control.stop_at.is_some() || now >= until {
                return;
            }
            let wait = Duration::from_nanos(until - now);
            control = self.wake.wait_timeout(control, wait).map_or_else(|e| e.into_inner().0, |(guard, _)| guard);
        }
    }

    /// What a step of the shipper came to: which row is the oldest that waits now, and why the store does not take it.
    pub(super) fn report(&self, oldest_ms: Option<i64>, trouble: Option<&str>) {
        let mut control = lock(&self.control);
        control.oldest_ms = oldest_ms;
        control.is_troubled_by(trouble);
        drop(control);
        self.measure();
        self.progress.notify_all();
    }

    /// The oldest row that waits is of that time.
    pub(super) fn waits_since(&self, oldest_ms: Option<i64>) {
        lock(&self.control).oldest_ms = oldest_ms;
        self.measure();
    }

    /// The store takes rows.
    pub(super) fn is_well(&self) {
        lock(&self.control).is_troubled_by(None);
    }

    /// The figures of what waits, as of now.
    fn measure(&self) {
        let metrics = &self.counters.metrics;
        let age = self.oldest_ms().map_or(0, |ms| wall_ms().saturating_sub(ms).max(0));
        metrics.log_oldest_unshipped_seconds.set(age as f64 / 1_000.0);
        metrics.log_spool_bytes.set(i64::try_from(self.wal.bytes()).unwrap_or(i64::MAX));
    }
}

impl Control {
    fn is_troubled_by(&mut self, trouble: Option<&str>) {
        if self.trouble.as_deref() != trouble {
            match trouble {
                Some(reason) => tracing::warn!(reason, "the log cannot be stored; rows are kept and tried again"),
                None => tracing::info!("the log is stored again"),
            }
            self.trouble = trouble.map(str::to_owned);
        }
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
