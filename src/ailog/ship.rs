//! The shipper: takes rows from the write-ahead log to the store, in order, until they are there.
//!
//! Stage 9 of the walk, on a thread of its own.
//!
//! Promises: a range of the log is taken off only when the store has it; a range that may have reached the store is
//! sent again as the same range. A row that the store will never take ends in the dead-letter file and stops nobody.
//! While the store is away the log grows and calls go on. Under light load the rows of one tick of the store share a batch,
//! however quickly it answers. Does not: run on the request path.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::dead_letter;
use super::state::{Core, WAIT_TICK, nanos};
use super::tail::{Batch, BatchLimits, Next, Position, Tail};
use crate::bounds::WAL_SEGMENT_AGE_MAX;
use crate::clock::{Nanos, wall_ms};

/// How often the age of the segment at hand is looked at.
const AGE_EVERY: Duration = Duration::from_secs(1);
/// How often old rows are looked for.
const RETENTION_EVERY: Duration = Duration::from_secs(600);
/// Waiting after the first failure; doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Waiting where only an operator can help.
const OPERATOR_WAIT: Duration = Duration::from_secs(5);
/// How often a batch is sent that the store calls malformed, before it is divided.
const DATA_TRIES: u32 = 3;
/// How often a segment is read before it is put aside.
const READ_TRIES: u32 = 5;
/// Longest a store may take for one batch.
const STORE_TIMEOUT: Duration = Duration::from_secs(60);
const DAY_MS: i64 = 86_400_000;

/// Where rows end up.
pub(super) trait Store: Send {
    /// How much it likes to take at once.
    fn limits(&self) -> BatchLimits;
    /// How long rows are gathered when nobody waits for them: a row is in the store after about this time.
    fn tick(&self) -> Duration;
    /// Where an earlier process stopped.
    ///
    /// # Errors
    /// It cannot be known.
    fn resume(&mut self) -> Result<Option<Resume>, StoreError>;
    /// Stores a batch and keeps the position behind it. The same range may be given again. Where it has to wait it asks
    /// `give_up` many times a second.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn store(&mut self, batch: &Batch, give_up: &dyn Fn() -> bool) -> Result<Stored, StoreError>;
    /// Keeps the position behind a batch of which nothing is to be stored.
    ///
    /// # Errors
    /// See [`StoreError`].
    fn pass_over(&mut self, batch: &Batch) -> Result<(), StoreError>;
    /// Makes what is stored durable, before its segment is removed.
    fn settle(&mut self);
    /// From now on what is stored, and the place in the log, is on the disk before `store` returns.
    fn sync_always(&mut self);
    /// Deletes a slice of the rows that are older; says whether there are more.
    fn forget_before(&mut self, created_at_ms: i64) -> bool;
}

/// Where to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    pub(super) position: Position,
    /// End of a range that may have reached the store already.
    pub(super) sealed_until: Option<u64>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// Rows that were not there before.
    pub(super) rows: usize,
}

/// Why a batch is not known to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StoreError {
    /// It will pass; the same range is sent again, after `at_least`.
    Retry { reason: String, at_least: Duration },
    /// An operator has to act; the same range is tried every few seconds.
    Operator { reason: String },
    /// Some row of the batch cannot be taken.
    Rows { reason: String },
}

/// The thread's state.
pub(super) struct Shipper {
    core: Arc<Core>,
    store: Box<dyn Store>,
    tail: Tail,
    dead_letters: PathBuf,
    /// End of the range that has to be sent as it is.
    sealed_until: Option<u64>,
    /// Records of that range which are in the dead-letter file already.
    buried: usize,
    failures: u32,
    data_failures: u32,
    read_failures: u32,
    /// The store was told to sync.
    syncs: bool,
    next_age: Nanos,
    next_retention: Nanos,
}

/// What one step of the shipper came to.
pub(super) enum Step {
    /// Something is stored, and there may be more.
    Stored,
    /// Everything is stored that was there when the batch was read.
    Emptied,
    /// There was nothing.
    CaughtUp,
    Failed(Duration),
}

impl Shipper {
    /// A shipper that goes on where the store says an earlier one stopped, or where another store (`elsewhere`) was later:
    /// the log is taken off in order, so whatever is before either place is stored.
    ///
    /// # Errors
    /// The store does not know.
    pub(super) fn new(
        core: Arc<Core>,
        mut store: Box<dyn Store>,
        elsewhere: Option<Resume>,
        dead_letters: PathBuf,
    ) -> Result<Shipper, StoreError> {
        let own = store.resume()?;
        let place = |resume: &Option<Resume>| resume.and_then(|r| core.wal.place(r.position));
        let resume = if place(&elsewhere) > place(&own) {
            if elsewhere.is_some_and(|r| r.sealed_until.is_some()) {
                tracing::warn!("the store was changed while one batch was under way; its rows may be in both stores");
            }
            elsewhere.map(|r| Resume { sealed_until: None, ..r })
        } else {
            own
        };
        let tail = Tail::new(core.wal.clone(), resume.map(|r| r.position));
        let sealed_until = resume.and_then(|r| r.sealed_until).filter(|_| tail.is_resumed());
        Ok(Shipper {
            core,
            store,
            tail,
            dead_letters,
            sealed_until,
            buried: 0,
            failures: 0,
            data_failures: 0,
            read_failures: 0,
            syncs: false,
            next_age: Nanos(0),
            next_retention: Nanos(0),
        })
    }

    /// Works until it is told to end.
    pub(super) fn run(&mut self) {
        loop {
            self.core.tidy();
            let stop_at = self.core.stop_at();
            if stop_at.is_some() {
                self.core.end_second();
            }
            let now = self.core.clock.now();
            if now >= self.next_age {
                self.core.wal.end_if_begun_before(wall_ms() - millis(WAL_SEGMENT_AGE_MAX));
                self.next_age = after(now, AGE_EVERY);
            }
            let step = self.step();
            match (step, stop_at) {
                (Step::Stored, None) => {}
                (Step::Stored | Step::Emptied, Some(at)) if self.core.clock.now() < at => {}
                // What came meanwhile waits for the rest of the tick, so that rows share a batch.
                (Step::Emptied | Step::CaughtUp, None) => {
                    let more = self.retain(now);
                    let rest = self.store.tick().saturating_sub(self.core.clock.now().since(now));
                    self.core.sleep(if more { Duration::from_millis(10) } else { rest });
                }
                (Step::Failed(wait), None) => self.core.sleep(wait),
                (Step::Failed(wait), Some(at)) if after(self.core.clock.now(), wait) < at => {
                    std::thread::sleep(wait.min(WAIT_TICK));
                }
                (_, Some(_)) => return,
            }
        }
    }

    /// Stores the next batch, or finds that there is none.
    pub(super) fn step(&mut self) -> Step {
        let next = match self.tail.next(self.store.limits(), self.sealed_until) {
            Ok(next) => next,
            Err(error) => return self.cannot_read(&error),
        };
        self.read_failures = 0;
        match next {
            Next::Nothing => {
                self.tail.release();
                self.core.report(None, None);
                Step::CaughtUp
            }
            Next::SegmentDone => {
                self.store.settle();
                self.tail.remove_done();
                // A range of which a power cut has left nothing. It says nothing about the next segment.
                self.sealed_until = None;
                Step::Stored
            }
            Next::Batch => {
                self.bury_unknown();
                if !self.is_expired() {
                    return self.store_batch();
                }
                self.core.counters.expired.inc_by(self.tail.batch().rows.len() as u64);
                self.pass_batch();
                Step::Stored
            }
        }
    }

    /// Whether every row of the batch is past its time: the store would delete it at once. So rows do not outlive their
    /// time here either, however long the store is away.
    fn is_expired(&self) -> bool {
        let days = self.core.retention_days();
        let oldest = wall_ms() - i64::from(days) * DAY_MS;
        let batch = self.tail.batch();
        let is_old = |row: usize| super::columns::created_at_ms(batch.row(row)).is_some_and(|ms| ms < oldest);
        days > 0 && !batch.rows.is_empty() && (0..batch.rows.len()).all(is_old)
    }

    fn store_batch(&mut self) -> Step {
        // Asked after the rows were read: theirs was set before they were written.
        if self.core.wal.keeps_until_synced() {
            if !std::mem::replace(&mut self.syncs, true) {
                self.store.sync_always();
            }
            // A range that the store may have seen must not come back shorter after a power cut.
            self.core.sync_written();
        }
        let batch = self.tail.batch();
        let oldest_ms = batch.rows.first().and_then(|_| super::columns::created_at_ms(batch.row(0)));
        // Said before the store is asked, which may take its time.
        self.core.waits_since(oldest_ms);
        // From here on the range may have reached the store, also where a defect ends the call.
        self.sealed_until = Some(batch.sealed_end);
        let core = &self.core;
        let until = after(core.clock.now(), STORE_TIMEOUT);
        let give_up = || core.clock.now() >= core.stop_at().map_or(until, |at| at.min(until));
        let result = if batch.rows.is_empty() {
            self.store.pass_over(batch).map(|()| Stored { rows: 0 })
        } else {
            self.store.store(batch, &give_up)
        };
        match result {
            Ok(stored) => {
                self.core.counters.stored.inc_by(stored.rows as u64);
                let leaves_nothing = batch.leaves_nothing;
                // Before the place in the log, for which others wait.
                self.core.is_well();
                self.pass_batch();
                if leaves_nothing {
                    self.tail.release();
                    self.core.report(None, None);
                    return Step::Emptied;
                }
                // The next batch says at once how old the next row is.
                self.core.report(oldest_ms, None);
                Step::Stored
            }
            Err(error) => {
                let (reason, wait) = match error {
                    StoreError::Retry { reason, at_least } => (reason, self.backoff().max(at_least)),
                    StoreError::Operator { reason } => (reason, OPERATOR_WAIT),
                    StoreError::Rows { reason } => {
                        self.data_failures += 1;
                        if self.data_failures >= DATA_TRIES {
                            return self.divide(&reason);
                        }
                        (reason, BACKOFF_MIN)
                    }
                };
                self.core.report(oldest_ms, Some(&reason));
                Step::Failed(wait)
            }
        }
    }

    /// The batch is where it belongs; what was damaged in its range is counted.
    fn pass_batch(&mut self) {
        let batch = self.tail.batch();
        if batch.damaged > 0 {
            self.core.counters.lost.inc_by(u64::from(batch.damaged));
            tracing::warn!(
                segment = %batch.segment, from = batch.start, to = batch.end, stretches = batch.damaged,
                "damage in the write-ahead log; at least one row each is lost"
            );
        }
        if batch.unfinished {
            self.core.counters.unfinished.inc();
            tracing::info!(segment = %batch.segment, "the last row of an earlier run was cut off while it was written");
        }
        self.buried = self.buried.saturating_sub(batch.unknown.len());
        let end = batch.end;
        self.tail.advance(end);
        (self.sealed_until, self.failures, self.data_failures) = (None, 0, 0);
    }

    /// The store calls the batch malformed: its halves are tried, and a single row is buried.
    fn divide(&mut self, reason: &str) -> Step {
        let batch = self.tail.batch();
        if batch.rows.len() <= 1 {
            self.bury(reason, batch.row(0));
            if self.store.pass_over(batch).is_err() {
                tracing::warn!("a buried row is offered once more if the gateway ends now");
            }
            self.pass_batch();
            return Step::Stored;
        }
        self.sealed_until = Some(batch.rows[batch.rows.len() / 2 - 1].segment_end);
        // The halves are new batches, but their turn has been waited for already.
        self.data_failures = DATA_TRIES - 1;
        Step::Stored
    }

    /// Records that are no rows of today's schema go to the dead-letter file before the place in the log passes them: where
    /// the process ends in between they are there twice, rather than nowhere.
    fn bury_unknown(&mut self) {
        let batch = self.tail.batch();
        for row in batch.unknown.iter().skip(self.buried) {
            self.bury("not a row of this version's schema", row);
        }
        self.buried = self.buried.max(batch.unknown.len());
    }

    fn bury(&self, reason: &str, row: &[u8]) {
        match dead_letter::keep(&self.dead_letters, reason, row) {
            Ok(()) => self.core.counters.dead_letter.inc(),
            Err(error) => {
                self.core.counters.lost.inc();
                tracing::error!(%error, "the dead-letter file does not take a row");
            }
        }
    }

    fn cannot_read(&mut self, error: &std::io::Error) -> Step {
        // Too little of something in the process or the machine says nothing about the segment.
        self.read_failures += u32::from(!is_shortage(error));
        if self.read_failures >= READ_TRIES || error.kind() == std::io::ErrorKind::NotFound {
            // How many rows are in it cannot be known: it counts as one, and the message has its size.
            self.core.counters.lost.inc();
            if let Some((path, bytes)) = self.tail.quarantine() {
                tracing::error!(
                    %error, path = %path.display(), bytes,
                    "a segment of the write-ahead log cannot be read and is put aside with the rows in it"
                );
            }
            (self.read_failures, self.sealed_until, self.buried) = (0, None, 0);
            return Step::Stored;
        }
        let reason = format!("a segment of the write-ahead log cannot be read: {error}");
        self.core.report(self.core.oldest_ms(), Some(&reason));
        Step::Failed(self.backoff())
    }

    /// Full jitter, so that several gateways do not come back at once.
    fn backoff(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let most = BACKOFF_MIN.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        most.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Deletes old rows, a slice at a time; says whether there are more.
    fn retain(&mut self, now: Nanos) -> bool {
        if now < self.next_retention {
            return false;
        }
        let days = self.core.retention_days();
        let more = days > 0 && self.store.forget_before(wall_ms() - i64::from(days) * DAY_MS);
        if !more {
            self.next_retention = after(now, RETENTION_EVERY);
        }
        more
    }
}

/// ENFILE, EMFILE, ENOMEM: files or memory are short, and will be there again.
fn is_shortage(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24)) || error.kind() == std::io::ErrorKind::OutOfMemory
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn after(now: Nanos, wait: Duration) -> Nanos {
    Nanos(now.0.saturating_add(nanos(wait)))
}
