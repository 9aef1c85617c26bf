//! The record of one call: opened before its first await, written exactly once.
//!
//! Stages 2 and 9 of the walk. A drop guard: where the task of a call is cancelled because its client left, the row is
//! written by `Drop`.

use super::row::{Outcome, Row};
use super::{AiLog, Durable, Pending};
use crate::clock::{Clock, Nanos};

/// Status of a call whose client left before it had one.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Writes the row of a call when the call ends, however it ends.
#[must_use = "dropping the recorder writes the row as a client's disconnect"]
pub struct Recorder {
    log: AiLog,
    row: Row,
    started: Nanos,
    clock: Clock,
    folded: bool,
    closed: bool,
}

impl Recorder {
    /// Arms the guard. `started` is when the request's head had arrived.
    pub fn open(log: &AiLog, row: Row, started: Nanos, clock: Clock) -> Recorder {
        Recorder { log: log.clone(), row, started, clock, folded: false, closed: false }
    }

    /// The row, to be filled as the call goes on.
    pub fn row_mut(&mut self) -> &mut Row {
        &mut self.row
    }

    /// Whether a call that is dropped now is cut by the end of the process.
    pub fn is_cut(&self) -> bool {
        self.log.is_cutting()
    }

    /// The row is that of a call refused before any work: it may be folded with others of its kind.
    pub fn fold(&mut self) {
        self.folded = true;
    }

    /// Ends the call: sets its latency and writes the row. Later calls do nothing.
    pub fn close(&mut self) {
        if !self.end() {
            return;
        }
        if self.folded {
            self.log.append_refused(self.row.clone());
        } else {
            self.log.append(&self.row);
        }
    }

    /// The same, in one write with the rows of other calls that end now; the row is in the log when the answer is ready.
    pub fn close_soon(&mut self) -> Option<Pending> {
        self.end().then(|| self.log.append_soon(&self.row))
    }

    /// Waits until what has been written is on the disk itself.
    pub fn durable(&self) -> Durable {
        self.log.durable()
    }

    /// Whether the call had not ended before.
    fn end(&mut self) -> bool {
        if std::mem::replace(&mut self.closed, true) {
            return false;
        }
        let latency = self.clock.now().since(self.started);
        self.row.latency_ms = u32::try_from(latency.as_millis()).unwrap_or(u32::MAX);
        true
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        self.row.outcome = Outcome::ClientDisconnect;
        if self.row.status == 0 {
            self.row.status = CLIENT_CLOSED_REQUEST;
        }
        self.close();
    }
}
