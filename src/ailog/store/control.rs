//! The shipper's controls and gauges: orders to it (retention, wake up, end), and its progress.
//!
//! Guarantees: a thread that waits for the store looks again at least every [`WAIT_TICK`]. Does
//! not: store anything (see `shipper`).

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use super::{AuditRecord, LimitInForce, Retention};
use crate::ailog::counters::Counters;
use crate::ailog::wal::Wal;
use crate::bounds::AUDIT_WAITING_MAX;
use crate::clock::{Clock, Nanos, wall_ms};
use crate::lock::lock;

/// How often a waiting thread looks again, whatever the store's own tick.
pub(crate) const WAIT_TICK: Duration = Duration::from_millis(100);

/// Shared by the shipper and the threads that steer it or wait for it.
pub(crate) struct Control {
    wal: Arc<Wal>,
    counters: Arc<Counters>,
    clock: Clock,
    state: Mutex<State>,
    wake: Condvar,
    progress: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// The shipper ships until then, and ends.
    stop_at: Option<Nanos>,
    /// A thread waits for the store: do not sleep.
    poked: bool,
    retention: Retention,
    /// The limits on money in force, until the store has them.
    limits: Option<Vec<LimitInForce>>,
    /// Records of the audit, until the store has them.
    audit: Vec<AuditRecord>,
    /// Milliseconds since 1970 of the oldest row that is not stored.
    oldest_ms: Option<i64>,
    /// Why the last attempt to store failed; `None` while the store takes rows.
    trouble: Option<String>,
}

impl Control {
    /// Controls of a shipper that runs until it is stopped.
    pub(crate) fn new(
        wal: Arc<Wal>,
        counters: Arc<Counters>,
        clock: Clock,
        retention: Retention,
    ) -> Control {
        let state = Mutex::new(State { retention, ..State::default() });
        Control { wal, counters, clock, state, wake: Condvar::new(), progress: Condvar::new() }
    }

    pub(crate) fn set_retention(&self, retention: Retention) {
        lock(&self.state).retention = retention;
    }

    pub(crate) fn retention(&self) -> Retention {
        lock(&self.state).retention
    }

    /// Hands over the limits in force; the store gets them soon.
    pub(crate) fn set_limits(&self, limits: Vec<LimitInForce>) {
        lock(&self.state).limits = Some(limits);
    }

    /// The limits that the store does not have.
    pub(crate) fn take_limits(&self) -> Option<Vec<LimitInForce>> {
        lock(&self.state).limits.take()
    }

    /// Takes back limits that the store did not take, unless there are newer ones.
    pub(crate) fn keep_limits_for_later(&self, limits: Vec<LimitInForce>) {
        lock(&self.state).limits.get_or_insert(limits);
    }

    /// Hands over a record of the audit; the store gets it soon. Beyond the bound the oldest waits
    /// for the next start, which hands it over again.
    pub(crate) fn add_audit(&self, record: AuditRecord) {
        let mut state = lock(&self.state);
        if state.audit.len() >= AUDIT_WAITING_MAX {
            self.counters.metrics.bound("audit_waiting");
            state.audit.remove(0);
        }
        state.audit.push(record);
    }

    /// The records that the store does not have.
    pub(crate) fn take_audit(&self) -> Vec<AuditRecord> {
        std::mem::take(&mut lock(&self.state).audit)
    }

    /// Takes back records that the store did not take.
    pub(crate) fn keep_audit_for_later(&self, mut records: Vec<AuditRecord>) {
        let mut state = lock(&self.state);
        records.append(&mut state.audit);
        state.audit = records;
    }

    pub(crate) fn oldest_ms(&self) -> Option<i64> {
        lock(&self.state).oldest_ms
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        lock(&self.state).trouble.clone()
    }

    /// Waits until everything written so far is stored; returns whether it is.
    pub(crate) fn wait_until_stored(&self, within: Duration) -> bool {
        let mark = self.wal.written();
        let until = self.clock.now().plus(within);
        let mut state = lock(&self.state);
        while !self.wal.is_taken(mark) {
            let now = self.clock.now();
            if now >= until {
                return false;
            }
            state.poked = true;
            self.wake.notify_one();
            let wait = until.since(now).min(WAIT_TICK);
            let waited = self.progress.wait_timeout(state, wait);
            state = waited.map_or_else(|error| error.into_inner().0, |(guard, _)| guard);
        }
        true
    }

    /// Ends the shipper, at the latest after `within`.
    pub(crate) fn stop(&self, within: Duration) {
        let mut state = lock(&self.state);
        let at = self.clock.now().plus(within);
        state.stop_at = Some(state.stop_at.map_or(at, |before| before.min(at)));
        self.wake.notify_one();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stop_at().is_some()
    }

    pub(crate) fn stop_at(&self) -> Option<Nanos> {
        lock(&self.state).stop_at
    }

    /// Sleeps for `at_most`, or until a thread waits for the store or stops the shipper.
    pub(crate) fn sleep(&self, at_most: Duration) {
        let until = self.clock.now().plus(at_most);
        let mut state = lock(&self.state);
        loop {
            let now = self.clock.now();
            if std::mem::take(&mut state.poked) || state.stop_at.is_some() || now >= until {
                return;
            }
            let waited = self.wake.wait_timeout(state, until.since(now));
            state = waited.map_or_else(|error| error.into_inner().0, |(guard, _)| guard);
        }
    }

    /// Notes the result of a step of the shipper: the oldest row that waits now, and why the store
    /// does not take it.
    pub(crate) fn report(&self, oldest_ms: Option<i64>, trouble: Option<&str>) {
        let mut state = lock(&self.state);
        state.oldest_ms = oldest_ms;
        state.note_trouble(trouble);
        drop(state);
        self.measure();
        self.progress.notify_all();
    }

    /// The oldest row that waits is from that time.
    pub(crate) fn waits_since(&self, oldest_ms: Option<i64>) {
        lock(&self.state).oldest_ms = oldest_ms;
        self.measure();
    }

    /// The store takes rows.
    pub(crate) fn is_well(&self) {
        lock(&self.state).note_trouble(None);
    }

    /// Brings the gauges of the backlog up to date.
    pub(crate) fn measure(&self) {
        let metrics = &self.counters.metrics;
        let age = self.oldest_ms().map_or(0, |ms| wall_ms().saturating_sub(ms).max(0));
        metrics.log_oldest_unshipped_seconds.set(age as f64 / 1_000.0);
        metrics.log_spool_bytes.set(i64::try_from(self.wal.bytes()).unwrap_or(i64::MAX));
    }
}

impl State {
    fn note_trouble(&mut self, trouble: Option<&str>) {
        if self.trouble.as_deref() == trouble {
            return;
        }
        match trouble {
            Some(reason) => {
                tracing::warn!(
                    event = "store_away",
                    reason,
                    "the log cannot be stored; rows are kept and retried"
                )
            }
            None => tracing::info!(event = "store_back", "the log is stored again"),
        }
        self.trouble = trouble.map(str::to_owned);
    }
}
