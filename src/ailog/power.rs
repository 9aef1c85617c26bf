//! `ailog.durability: power`: rows on the disk itself before the client sees the end of its answer.
//!
//! Stage 9 of the walk. A thread of its own syncs the write-ahead log (`fdatasync` of its segments, and of the folder where
//! a segment was begun); calls wait for it without holding a worker of the runtime. Calls that end while one sync is under
//! way share the next: that is the group commit.
//!
//! Promises: when a [`Durable`] is ready, everything written before it was made is on the disk, or counted as suspect
//! (`tollgate_log_rows_total{result="suspect"}`). A sync that fails is not tried again on the same file, because a second
//! one may succeed without the lost pages: the segment is ended and the log goes on in a new one.
//! Does not: cost anything where nobody asks for it.
//!
//! # Bounds
//! One waker for each call in flight. A call waits for at most `LOG_SYNC_WAIT_MAX`; then its answer goes out and the bound
//! is counted.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Sleep;

use super::state::{Core, nanos};
use crate::bounds::LOG_SYNC_WAIT_MAX;
use crate::clock::Nanos;
use crate::lock::lock;

/// How often the thread does what is not to wait for the shipper (see [`Core::tidy`]).
const TIDY_EVERY: Duration = Duration::from_millis(500);

/// How far the log is on the disk, and who waits for it.
#[derive(Debug, Default)]
pub(super) struct Syncing {
    /// One sync at a time.
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

impl Core {
    /// Syncs what has been written, on this thread. Blocks.
    pub(super) fn sync_written(&self) {
        let turn = lock(&self.syncing.turn);
        if self.wal.written() > lock(&self.syncing.state).synced {
            let begun = self.clock.now();
            let (mark, suspect) = self.wal.sync();
            self.counters.metrics.log_sync_seconds.observe(self.clock.now().since(begun).as_secs_f64());
            if let Some((error, rows)) = suspect {
                self.counters.suspect.inc_by(rows);
                tracing::error!(%error, rows, "the disk did not take a sync of the write-ahead log; it goes on in a new segment");
            }
            lock(&self.syncing.state).synced = mark;
        }
        drop(turn);
        let waiting = {
            let mut state = lock(&self.syncing.state);
            state.rounds += 1;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Syncs for those who wait, until it is told to end; and tidies up now and then. A thread of its own.
    pub(super) fn sync_for_ever(&self) {
        let mut next_tidy = Nanos(0);
        loop {
            let now = self.clock.now();
            if now >= next_tidy {
                self.tidy();
                next_tidy = Nanos(now.0.saturating_add(nanos(TIDY_EVERY)));
            }
            let mut state = lock(&self.syncing.state);
            if !state.wanted && !state.ended {
                let waited = self.syncing.wake.wait_timeout(state, TIDY_EVERY);
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

    /// Tells the syncing thread to end after one last sync. Whoever waits later syncs by itself.
    pub(super) fn end_syncing(&self) {
        lock(&self.syncing.state).ended = true;
        self.syncing.wake.notify_one();
    }

    /// What has been written so far, on its way to the disk.
    pub(super) fn durable(self: &Arc<Core>) -> Durable {
        Durable { core: Arc::clone(self), mark: self.wal.written(), place: None, patience: None }
    }
}

/// Ready when everything that was written before it was made is on the disk.
#[must_use = "the rows are on the disk when this is ready"]
pub struct Durable {
    core: Arc<Core>,
    mark: u64,
    /// In which round its waker is where.
    place: Option<(u64, usize)>,
    patience: Option<Pin<Box<Sleep>>>,
}

impl Future for Durable {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let syncing = &this.core.syncing;
        let mut state = lock(&syncing.state);
        if state.synced >= this.mark {
            return Poll::Ready(());
        }
        if state.ended {
            drop(state);
            this.core.sync_written();
            return Poll::Ready(());
        }
        match this.place {
            Some((round, place)) if round == state.rounds => state.waiting[place].clone_from(cx.waker()),
            _ => {
                this.place = Some((state.rounds, state.waiting.len()));
                state.waiting.push(cx.waker().clone());
                state.wanted = true;
                syncing.wake.notify_one();
            }
        }
        drop(state);
        let patience = this.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(LOG_SYNC_WAIT_MAX)));
        if patience.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        this.core.counters.metrics.bound("log_sync_wait");
        Poll::Ready(())
    }
}
