//! Group commit: rows of calls that end at about the same time share one write to the log.
//!
//! Stage 12 of the walk. The first call of a group leads: it yields once, so that other calls that
//! are ready can add their records, and then writes all of them. No call waits for a timer: under
//! light load a record is written as soon as it would have been by itself.
//!
//! Guarantees: when a [`Pending`] is ready, its record is in the page cache, or counted as lost; a
//! `Pending` that is dropped earlier writes its group at once. Does not: wait for the disk.
//!
//! # Bounds
//! `LOG_GROUP_ROWS_MAX` records and `LOG_GROUP_BYTES_MAX` bytes; the call that fills the group
//! writes it. The log's threads also write it, about once a second at the latest, in case the
//! leader is never polled again.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use super::append::Appender;
use crate::bounds::{LOG_GROUP_BYTES_MAX, LOG_GROUP_ROWS_MAX};
use crate::lock::lock;

/// The group that is being gathered.
pub(crate) struct Group {
    appender: Arc<Appender>,
    gathered: Mutex<Gathered>,
}

/// Records that wait to be written.
#[derive(Default)]
struct Gathered {
    records: Vec<u8>,
    /// Offsets at which the records end.
    ends: Vec<usize>,
    /// Groups written before this one.
    number: u64,
    /// Calls that wait for this group, without the leader.
    waiting: Vec<Waker>,
}

/// A row on its way into the log; ready when it is there.
#[must_use = "the row is in the log when this is ready"]
pub struct Pending {
    group: Arc<Group>,
    /// The number of the group that the row is in.
    number: u64,
    part: Part,
}

enum Part {
    /// Writes the group after it has yielded once.
    Leads {
        yielded: bool,
    },
    /// Waits; the index of its waker in the group.
    Follows(Option<usize>),
    Written,
}

impl Gathered {
    /// Adds a record. Returns the number of its group, and whether it is the first record in it.
    fn add(&mut self, record: &[u8]) -> (u64, bool) {
        self.records.extend_from_slice(record);
        self.ends.push(self.records.len());
        (self.number, self.ends.len() == 1)
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= LOG_GROUP_ROWS_MAX || self.records.len() >= LOG_GROUP_BYTES_MAX
    }
}

impl Group {
    /// An empty group whose records `appender` writes.
    pub(crate) fn new(appender: Arc<Appender>) -> Group {
        Group { appender, gathered: Mutex::default() }
    }

    /// Adds a record to the group.
    pub(crate) fn append_soon(self: &Arc<Group>, record: &[u8]) -> Pending {
        let mut gathered = lock(&self.gathered);
        let (number, first) = gathered.add(record);
        let part = if gathered.is_full() {
            self.write_locked(gathered);
            Part::Written
        } else if first {
            Part::Leads { yielded: false }
        } else {
            Part::Follows(None)
        };
        Pending { group: Arc::clone(self), number, part }
    }

    /// Writes the gathered records.
    pub(crate) fn write(&self) {
        self.write_locked(lock(&self.gathered));
    }

    /// Writes the group and begins the next; wakes the calls that waited.
    fn write_locked(&self, mut gathered: MutexGuard<'_, Gathered>) {
        if gathered.ends.is_empty() {
            return;
        }
        self.appender.append_records(&gathered.records, &gathered.ends);
        gathered.records.clear();
        gathered.ends.clear();
        gathered.number += 1;
        let waiting = std::mem::take(&mut gathered.waiting);
        drop(gathered);
        waiting.into_iter().for_each(Waker::wake);
    }
}

impl Future for Pending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if matches!(this.part, Part::Written) {
            return Poll::Ready(());
        }
        let mut gathered = lock(&this.group.gathered);
        if gathered.number == this.number {
            match &mut this.part {
                Part::Leads { yielded } if !*yielded => {
                    // To the end of the run queue: calls that are ready now come first.
                    *yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Part::Follows(Some(index)) => {
                    gathered.waiting[*index].clone_from(cx.waker());
                    return Poll::Pending;
                }
                Part::Follows(index) => {
                    *index = Some(gathered.waiting.len());
                    gathered.waiting.push(cx.waker().clone());
                    return Poll::Pending;
                }
                Part::Leads { .. } | Part::Written => this.group.write_locked(gathered),
            }
        }
        this.part = Part::Written;
        Poll::Ready(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if matches!(self.part, Part::Written) {
            return;
        }
        let gathered = lock(&self.group.gathered);
        if gathered.number == self.number {
            self.group.write_locked(gathered);
        }
    }
}
