//! The shipper: takes rows from the write-ahead log to the store, in order, until it has them.
//!
//! Stage 12 of the walk, on a thread of its own.
//!
//! Guarantees: a range of the log is finished only when the store has it; a range that may have
//! reached the store is sent again as the same range. A row that the store will never take goes to
//! the dead-letter file and does not hold up others. While the store is away the log grows and
//! calls continue. Under light load the rows of one tick of the store share a batch, however
//! quickly the store answers. Does not: run on the request path.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::control::WAIT_TICK;
use super::dead_letter;
use super::{Resume, Store, StoreError, Stored};
use crate::ailog::columns;
use crate::ailog::shared::SharedLog;
use crate::ailog::wal::reader::{Next, WalReader};
use crate::bounds::WAL_SEGMENT_AGE_MAX;
use crate::clock::{Nanos, wall_ms};

/// How often the age of the active segment is checked.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// How often old rows are deleted.
const RETENTION_EVERY: Duration = Duration::from_secs(600);
/// Wait after the first failure; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Wait after an error that only an operator can mend.
const OPERATOR_WAIT: Duration = Duration::from_secs(5);
/// How often a batch that the store calls malformed is sent before it is divided.
const DATA_TRIES: u32 = 3;
/// How often reading a segment is tried before it is put aside.
const READ_TRIES: u32 = 5;
/// The longest time that a store may take for one batch.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);

/// The thread's state.
pub(crate) struct Shipper {
    log: Arc<SharedLog>,
    store: Box<dyn Store>,
    reader: WalReader,
    dead_letters: PathBuf,
    /// End of the range that must be sent unchanged.
    sealed_until: Option<u64>,
    /// Records of that range that are in the dead-letter file already.
    buried: usize,
    failures: u32,
    data_failures: u32,
    read_failures: u32,
    /// The store was told to sync.
    syncs: bool,
    next_age: Nanos,
    next_retention: Nanos,
    next_limits: Nanos,
    next_audit: Nanos,
}

/// The result of one step of the shipper.
pub(crate) enum Step {
    /// A batch is stored, and there may be more.
    Stored,
    /// Everything that was in the log when the batch was read is stored.
    Emptied,
    /// There was nothing to store.
    CaughtUp,
    Failed(Duration),
}

impl Shipper {
    /// A shipper that continues where an earlier one stopped: at the place that the store has kept,
    /// or at that of another store (`elsewhere`) if it is later. The log is shipped in order, so
    /// everything before either place is stored.
    ///
    /// # Errors
    /// The store does not know its place.
    pub(crate) fn new(
        log: Arc<SharedLog>,
        mut store: Box<dyn Store>,
        elsewhere: Option<Resume>,
        dead_letters: PathBuf,
    ) -> Result<Shipper, StoreError> {
        let own = store.resume()?;
        let place = |resume: &Option<Resume>| resume.and_then(|r| log.wal.place(r.position));
        let resume = if place(&elsewhere) > place(&own) {
            if elsewhere.is_some_and(|r| r.sealed_until.is_some()) {
                tracing::warn!(
                    event = "store_changed_early",
                    "the store was changed while a batch was being sent; its rows may be in both \
                     stores"
                );
            }
            elsewhere.map(|r| Resume { sealed_until: None, ..r })
        } else {
            own
        };
        let reader = WalReader::new(Arc::clone(&log.wal), resume.map(|r| r.position));
        let sealed_until = resume.and_then(|r| r.sealed_until).filter(|_| reader.is_resumed());
        Ok(Shipper {
            log,
            store,
            reader,
            dead_letters,
            sealed_until,
            buried: 0,
            failures: 0,
            data_failures: 0,
            read_failures: 0,
            syncs: false,
            next_age: Nanos(0),
            next_retention: Nanos(0),
            next_limits: Nanos(0),
            next_audit: Nanos(0),
        })
    }

    /// Ships until it is stopped.
    pub(crate) fn run(&mut self) {
        loop {
            self.log.tidy();
            let stop_at = self.log.control.stop_at();
            if stop_at.is_some() {
                self.log.end_second();
            }
            let now = self.log.clock.now();
            if now >= self.next_age {
                self.log.wal.end_if_begun_before(wall_ms() - millis(WAL_SEGMENT_AGE_MAX));
                self.next_age = now.plus(AGE_EVERY);
            }
            if stop_at.is_none() {
                self.keep_audit(now);
            }
            let step = self.step();
            match (step, stop_at) {
                (Step::Stored, None) => {}
                (Step::Stored | Step::Emptied, Some(at)) if self.log.clock.now() < at => {}
                // Rows that arrived meanwhile wait for the rest of the tick, so that they share a
                // batch.
                (Step::Emptied | Step::CaughtUp, None) => {
                    let more = self.retain(now);
                    let rest = self.store.tick().saturating_sub(self.log.clock.now().since(now));
                    self.log.control.sleep(if more { Duration::from_millis(10) } else { rest });
                }
                (Step::Failed(wait), None) => self.log.control.sleep(wait),
                (Step::Failed(wait), Some(at)) if self.log.clock.now().plus(wait) < at => {
                    std::thread::sleep(wait.min(WAIT_TICK));
                }
                (_, Some(_)) => {
                    // Rows that are not stored now are handed over again by the next start.
                    self.keep_audit(now);
                    return;
                }
            }
        }
    }

    /// Stores the next batch, if there is one.
    pub(crate) fn step(&mut self) -> Step {
        let next = match self.reader.next(self.store.limits(), self.sealed_until) {
            Ok(next) => next,
            Err(error) => return self.cannot_read(&error),
        };
        self.read_failures = 0;
        match next {
            Next::Nothing => {
                self.reader.release();
                self.log.control.report(None, None);
                Step::CaughtUp
            }
            Next::SegmentDone => {
                self.store.settle();
                self.reader.remove_done();
                // The end of a range that a power cut erased does not apply to the next segment.
                self.sealed_until = None;
                Step::Stored
            }
            Next::Batch => {
                self.bury_unknown();
                if !self.is_expired() {
                    return self.store_batch();
                }
                self.log.counters.expired.inc_by(self.reader.batch().rows.len() as u64);
                self.pass_batch();
                Step::Stored
            }
        }
    }

    /// Whether every row of the batch is older than the retention: the store would delete it at
    /// once. So rows do not outlive it here either, however long the store is away.
    fn is_expired(&self) -> bool {
        let keep = self.log.control.retention().at(wall_ms());
        let Some(oldest) = keep.rows_from_ms else { return false };
        let batch = self.reader.batch();
        let is_old =
            |row: usize| columns::created_at_ms(batch.row(row)).is_some_and(|ms| ms < oldest);
        !batch.rows.is_empty() && (0..batch.rows.len()).all(is_old)
    }

    fn store_batch(&mut self) -> Step {
        // Checked after the rows were read: the flag was set before they were written.
        if self.log.wal.keeps_until_synced() {
            if !std::mem::replace(&mut self.syncs, true) {
                self.store.sync_always();
            }
            // A range that the store may have seen must not come back shorter after a power cut.
            self.log.syncer.sync_written();
        }
        let batch = self.reader.batch();
        let oldest_ms = batch.rows.first().and_then(|_| columns::created_at_ms(batch.row(0)));
        // Noted before the store is called, which may take long.
        self.log.control.waits_since(oldest_ms);
        // From here on the range may have reached the store, even if a defect ends the call.
        self.sealed_until = Some(batch.sealed_end);
        let log = &self.log;
        let until = log.clock.now().plus(STORE_TIMEOUT);
        let give_up = || log.clock.now() >= log.control.stop_at().map_or(until, |at| at.min(until));
        let result = if batch.rows.is_empty() {
            self.store.pass_over(batch).map(|()| Stored { rows: 0 })
        } else {
            self.store.store(batch, &give_up)
        };
        match result {
            Ok(stored) => {
                self.log.counters.stored.inc_by(stored.rows as u64);
                let leaves_nothing = batch.leaves_nothing;
                // Before the place in the log moves, because other threads wait for that.
                self.log.control.is_well();
                self.pass_batch();
                if leaves_nothing {
                    self.reader.release();
                    self.log.control.report(None, None);
                    return Step::Emptied;
                }
                // The next batch updates the age of the oldest row at once.
                self.log.control.report(oldest_ms, None);
                Step::Stored
            }
            Err(error) => {
                let (reason, wait) = match error {
                    StoreError::Retry { reason, at_least } => {
                        (reason, self.backoff().max(at_least))
                    }
                    StoreError::Operator { reason } => (reason, OPERATOR_WAIT),
                    StoreError::Rows { reason } => {
                        self.data_failures += 1;
                        if self.data_failures >= DATA_TRIES {
                            return self.divide(&reason);
                        }
                        (reason, BACKOFF_MIN)
                    }
                };
                self.log.control.report(oldest_ms, Some(&reason));
                Step::Failed(wait)
            }
        }
    }

    /// The batch is stored; damage in its range is counted.
    fn pass_batch(&mut self) {
        let batch = self.reader.batch();
        if batch.damaged > 0 {
            self.log.counters.lost.inc_by(u64::from(batch.damaged));
            tracing::warn!(
                event = "log_damaged",
                segment = %batch.segment, from = batch.start, to = batch.end, stretches = batch.damaged,
                "the write-ahead log is damaged; at least one row is lost in each damaged part"
            );
        }
        if batch.unfinished {
            self.log.counters.unfinished.inc();
            tracing::info!(
                event = "row_incomplete",
                segment = %batch.segment, "the last row of an earlier run is incomplete \
                and was dropped");
        }
        self.buried = self.buried.saturating_sub(batch.unknown.len());
        let end = batch.end;
        self.reader.advance(end);
        (self.sealed_until, self.failures, self.data_failures) = (None, 0, 0);
    }

    /// The store calls the batch malformed: its halves are tried, and a single row goes to the
    /// dead-letter file.
    fn divide(&mut self, reason: &str) -> Step {
        let batch = self.reader.batch();
        if batch.rows.len() <= 1 {
            self.bury(reason, batch.row(0));
            if self.store.pass_over(batch).is_err() {
                tracing::warn!(
                    event = "dead_letter_twice",
                    "a row in the dead-letter file is sent once more if the gateway ends now"
                );
            }
            self.pass_batch();
            return Step::Stored;
        }
        self.sealed_until = Some(batch.rows[batch.rows.len() / 2 - 1].segment_end);
        // The halves are new batches, but they need not wait again.
        self.data_failures = DATA_TRIES - 1;
        Step::Stored
    }

    /// Records that are not rows of a known version go to the dead-letter file before the place in
    /// the log moves past them: if the process ends in between, they are there twice rather than
    /// nowhere.
    fn bury_unknown(&mut self) {
        let batch = self.reader.batch();
        for row in batch.unknown.iter().skip(self.buried) {
            self.bury("not a row of this version's schema", row);
        }
        self.buried = self.buried.max(batch.unknown.len());
    }

    fn bury(&self, reason: &str, row: &[u8]) {
        match dead_letter::keep(&self.dead_letters, reason, row) {
            Ok(()) => self.log.counters.dead_letter.inc(),
            Err(error) => {
                self.log.counters.lost.inc();
                tracing::error!(
                    event = "dead_letter_full",
                    %error, "the dead-letter file does not take a row");
            }
        }
    }

    fn cannot_read(&mut self, error: &std::io::Error) -> Step {
        // A shortage in the process or the machine says nothing about the segment.
        self.read_failures += u32::from(!is_shortage(error));
        if self.read_failures >= READ_TRIES || error.kind() == std::io::ErrorKind::NotFound {
            // The number of rows in it is unknown: it counts as one, and the message has its size.
            self.log.counters.lost.inc();
            if let Some((path, bytes)) = self.reader.quarantine() {
                tracing::error!(
                    event = "segment_unreadable",
                    %error, path = %path.display(), bytes,
                    "a segment of the write-ahead log cannot be read and is put aside with its rows"
                );
            }
            (self.read_failures, self.sealed_until, self.buried) = (0, None, 0);
            return Step::Stored;
        }
        let reason = format!("a segment of the write-ahead log cannot be read: {error}");
        self.log.control.report(self.log.control.oldest_ms(), Some(&reason));
        Step::Failed(self.backoff())
    }

    /// With jitter, so that several gateways do not retry at the same time.
    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let most = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Hands records of the audit to the store.
    fn keep_audit(&mut self, now: Nanos) {
        if now < self.next_audit {
            return;
        }
        let records = self.log.control.take_audit();
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.store.keep_audit(&records) {
            tracing::warn!(
                event = "audit_not_stored",
                reason = error.into_reason(),
                "records of the audit are not stored"
            );
            self.log.control.keep_audit_for_later(records);
            self.next_audit = now.plus(BACKOFF_MAX);
        }
    }

    /// Hands new limits to the store, and deletes some of what is too old; returns whether there is
    /// more.
    fn retain(&mut self, now: Nanos) -> bool {
        if now >= self.next_limits
            && let Some(limits) = self.log.control.take_limits()
            && let Err(error) = self.store.keep_limits(&limits)
        {
            tracing::warn!(
                event = "limits_not_stored",
                reason = error.into_reason(),
                "the limits in force are not stored"
            );
            self.log.control.keep_limits_for_later(limits);
            self.next_limits = now.plus(RETENTION_EVERY);
        }
        if now < self.next_retention {
            return false;
        }
        let more = self.store.forget_before(&self.log.control.retention().at(wall_ms()));
        if !more {
            self.next_retention = now.plus(RETENTION_EVERY);
        }
        more
    }
}

/// Whether the error is a lack of descriptors or memory, which is temporary.
fn is_shortage(error: &std::io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NFILE | Errno::MFILE))
        || error.kind() == std::io::ErrorKind::OutOfMemory
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
