//! `ailog.durability: power`: rows are on the disk itself before the answer is complete.
//!
//! Stage 12 of the walk. A thread of its own syncs the write-ahead log (`fdatasync` of its
//! segments, and `fsync` of the folder after a segment was begun). Calls wait for it without
//! holding a worker of the runtime; calls that end during one sync share the next.
//!
//! Guarantees: when a [`Durable`] is ready, everything written before it was made is on the disk,
//! or counted as suspect (`tollgate_log_rows_total{result="suspect"}`). A failed sync is not
//! repeated on the same file, because a second one may succeed without the pages that the first one
//! lost: the segment is ended and the log continues in a new one. Does not: cost anything unless it
//! is asked for.
//!
//! # Bounds
//! One waker for each call in flight. A call waits for at most `LOG_SYNC_WAIT_MAX`; then its answer
//! is completed and the bound is counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::Wal;
use crate::ailog::counters::Counters;
use crate::bounds::LOG_SYNC_WAIT_MAX;
use crate::clock::{Clock, Nanos};
use crate::lock::lock;

/// How often the syncing thread does the work that must not wait for the shipper.
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// Syncs the log, and knows the calls that wait for it.
pub(crate) struct Syncer {
    wal: Arc<Wal>,
    counters: Arc<Counters>,
    clock: Clock,
    /// Held during a sync, so that there is one at a time.
    turn: Mutex<()>,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Everything up to this mark is on the disk, or counted.
    synced: u64,
    /// Syncs so far. A waker is in `waiting` until the next.
    rounds: u64,
    waiting: Vec<Waker>,
    wanted: bool,
    /// The thread ends, or has ended.
    ended: bool,
}

impl Syncer {
    /// A syncer of `wal`; it does nothing until it is asked to.
    pub(crate) fn new(wal: Arc<Wal>, counters: Arc<Counters>, clock: Clock) -> Syncer {
        let (turn, state, wake) = (Mutex::default(), Mutex::default(), Condvar::new());
        Syncer { wal, counters, clock, turn, state, wake }
    }

    /// Syncs the written rows, on this thread. Blocks.
    pub(crate) fn sync_written(&self) {
        let turn = lock(&self.turn);
        if self.wal.written() > lock(&self.state).synced {
            let begun = self.clock.now();
            let (mark, suspect) = self.wal.sync();
            let took = self.clock.now().since(begun);
            self.counters.metrics.log_sync_seconds.observe(took.as_secs_f64());
            if let Some((error, rows)) = suspect {
                self.counters.suspect.inc_by(rows);
                let message = "the disk did not take a sync of the write-ahead log; the log \
                    continues in a new segment";
                tracing::error!(event = "log_sync_failed", %error, rows, "{message}");
            }
            lock(&self.state).synced = mark;
        }
        drop(turn);
        let waiting = {
            let mut state = lock(&self.state);
            state.rounds += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Syncs for waiting calls until [`Syncer::end`]; calls `tidy` every [`TIDY_EVERY`]. Blocks.
    pub(crate) fn run(&self, tidy: &dyn Fn()) {
        let mut next_tidy = Nanos(0);
        loop {
            let now = self.clock.now();
            if now >= next_tidy {
                tidy();
                next_tidy = now.plus(TIDY_EVERY);
            }
            let mut state = lock(&self.state);
            if !state.wanted && !state.ended {
                let waited = self.wake.wait_timeout(state, TIDY_EVERY);
                state = waited.map_or_else(|error| error.into_inner().0, |(guard, _)| guard);
            }
            let ended = state.ended;
            let asked = std::mem::take(&mut state.wanted) || ended;
            drop(state);
            if asked && self.wal.keeps_until_synced() {
                self.sync_written();
            }
            if ended {
                return;
            }
        }
    }

    /// Ends [`Syncer::run`] after one last sync. A call that waits later syncs by itself.
    pub(crate) fn end(&self) {
        lock(&self.state).ended = true;
        self.wake.notify_one();
    }

    /// Waits until everything written so far is on the disk.
    pub(crate) fn durable(self: &Arc<Syncer>) -> Durable {
        Durable { syncer: Arc::clone(self), mark: self.wal.written(), place: None, patience: None }
    }
}

/// Ready when everything that was written before it was made is on the disk.
#[must_use = "the rows are on the disk when this is ready"]
pub struct Durable {
    syncer: Arc<Syncer>,
    mark: u64,
    /// The round in which its waker waits, and the waker's index in it.
    place: Option<(u64, usize)>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Future for Durable {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let syncer = &this.syncer;
        let mut state = lock(&syncer.state);
        if state.synced >= this.mark {
            return Poll::Ready(());
        }
        if state.ended {
            drop(state);
            syncer.sync_written();
            return Poll::Ready(());
        }
        match this.place {
            Some((round, index)) if round == state.rounds => {
                state.waiting[index].clone_from(cx.waker());
            }
            _ => {
                this.place = Some((state.rounds, state.waiting.len()));
                state.waiting.push(cx.waker().clone());
                state.wanted = true;
                syncer.wake.notify_one();
            }
        }
        drop(state);
        let patience =
            this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOG_SYNC_WAIT_MAX)));
        if patience.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        syncer.counters.metrics.bound("log_sync_wait");
        Poll::Ready(())
    }
}
