//! The parts of an open log, shared by the calls that write rows and by the log's two threads.
//!
//! Does not: write (see `wal`), store (see `store`), or start threads (see `mod`).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::counters::Counters;
use super::fold::Fold;
use super::row::Row;
use super::store::Retention;
use super::store::control::Control;
use super::wal::Wal;
use super::wal::append::Appender;
use super::wal::group::Group;
use super::wal::sync::Syncer;
use crate::clock::Clock;
use crate::lock::lock;

/// The parts of an open log.
pub(crate) struct SharedLog {
    pub(crate) wal: Arc<Wal>,
    pub(crate) appender: Arc<Appender>,
    pub(crate) group: Arc<Group>,
    pub(crate) syncer: Arc<Syncer>,
    pub(crate) control: Control,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Clock,
    refused: Mutex<Fold>,
}

impl SharedLog {
    /// The parts of a log that is written to `wal`.
    pub(crate) fn new(wal: Arc<Wal>, counters: Counters, retention: Retention) -> SharedLog {
        let (counters, clock) = (Arc::new(counters), Clock::start());
        let appender = Arc::new(Appender::new(Arc::clone(&wal), Arc::clone(&counters)));
        SharedLog {
            group: Arc::new(Group::new(Arc::clone(&appender))),
            syncer: Arc::new(Syncer::new(Arc::clone(&wal), Arc::clone(&counters), clock)),
            control: Control::new(Arc::clone(&wal), Arc::clone(&counters), clock, retention),
            refused: Mutex::default(),
            wal,
            appender,
            counters,
            clock,
        }
    }

    /// Writes or folds a refused call; see [`super::AiLog::append_refused`].
    pub(crate) fn append_refused(&self, row: Row) {
        let first = lock(&self.refused).take(row);
        if let Some(row) = first {
            self.appender.append(&row);
        }
        self.end_second_if_due();
    }

    /// Writes gathered records and folded refusals, and updates the gauges of the backlog.
    ///
    /// Each of the log's two threads does this a few times a second, because the other one may be
    /// waiting for a slow store or a slow disk.
    pub(crate) fn tidy(&self) {
        self.group.write();
        self.end_second_if_due();
        self.control.measure();
    }

    fn end_second_if_due(&self) {
        let now = self.clock.now();
        let mut refused = lock(&self.refused);
        let rows = if refused.is_due(now) { refused.end_second(now) } else { Vec::new() };
        drop(refused);
        rows.iter().for_each(|row| self.appender.append(row));
    }

    /// Turns folded refusals into rows.
    pub(crate) fn end_second(&self) {
        let rows = lock(&self.refused).end_second(self.clock.now());
        rows.iter().for_each(|row| self.appender.append(row));
    }

    /// Waits until everything written so far is stored; returns whether it is. Blocks.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        self.end_second();
        self.group.write();
        self.control.wait_until_stored(within)
    }

    /// Syncs for the calls that wait, until it is stopped. The work of a thread of its own.
    pub(crate) fn sync_until_stopped(&self) {
        self.syncer.run(&|| self.tidy());
    }
}
