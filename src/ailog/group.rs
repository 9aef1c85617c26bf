//! Rows of calls that end at about the same time share one write to the log.
//!
//! Stage 9 of the walk. The first call to end leads: it lets the other calls that are ready have their turn, and writes
//! the records of all that ended meanwhile. Nobody waits for a timer: under light load a record is written as soon as it
//! would have been by itself.
//!
//! Promises: when a [`Pending`] is ready, its record is in the page cache, or counted as lost; one that is dropped before
//! is written at once. Does not: wait for the disk.
//!
//! # Bounds
//! Records and bytes that wait (`bounds.rs`): whoever fills the group writes it. The log's threads look at it, too, so that
//! no call waits longer than about a second, whatever becomes of the leader.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::state::Core;
use crate::bounds::{LOG_GROUP_BYTES_MAX, LOG_GROUP_ROWS_MAX};
use crate::lock::lock;

/// Records that wait to be written.
#[derive(Default)]
pub(super) struct Group {
    records: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    /// Groups written before this one.
    number: u64,
    /// Calls that wait for this group, without the leader.
    waiting: Vec<Waker>,
}

/// A row on its way into the log; ready when it is there.
#[must_use = "the row is in the log when this is ready"]
pub struct Pending {
    core: Arc<Core>,
    /// The group it is in.
    number: u64,
    part: Part,
}

enum Part {
    /// Writes the group when the others have had their turn.
    Leads {
        yielded: bool,
    },
    /// Waits; where its waker is in the group.
    Follows(Option<usize>),
    Written,
}

impl Group {
    /// Adds a record. Says in which group it is, and whether it is the first.
    fn add(&mut self, record: &[u8]) -> (u64, bool) {
        self.records.extend_from_slice(record);
        self.ends.push(self.records.len());
        (self.number, self.ends.len() == 1)
    }

    fn is_full(&self) -> bool {
        self.ends.len() >= LOG_GROUP_ROWS_MAX || self.records.len() >= LOG_GROUP_BYTES_MAX
    }
}

impl Core {
    /// Puts a record into the group at hand.
    pub(super) fn append_soon(self: &Arc<Core>, record: &[u8]) -> Pending {
        let mut group = lock(&self.group);
        let (number, first) = group.add(record);
        let part = if group.is_full() {
            let waiting = self.write(&mut group);
            drop(group);
            waiting.into_iter().for_each(Waker::wake);
            Part::Written
        } else if first {
            Part::Leads { yielded: false }
        } else {
            Part::Follows(None)
        };
        Pending { core: Arc::clone(self), number, part }
    }

    /// Writes what waits.
    pub(super) fn write_group(&self) {
        let mut group = lock(&self.group);
        let waiting = self.write(&mut group);
        drop(group);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Writes the group and begins the next; says whom to tell.
    fn write(&self, group: &mut Group) -> Vec<Waker> {
        if group.ends.is_empty() {
            return Vec::new();
        }
        self.append_records(&group.records, &group.ends);
        group.records.clear();
        group.ends.clear();
        group.number += 1;
        std::mem::take(&mut group.waiting)
    }
}

impl Future for Pending {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if matches!(this.part, Part::Written) {
            return Poll::Ready(());
        }
        let mut group = lock(&this.core.group);
        if group.number == this.number {
            match &mut this.part {
                Part::Leads { yielded } if !*yielded => {
                    // To the end of the queue: those that are ready now come first.
                    *yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Part::Follows(Some(place)) => {
                    group.waiting[*place].clone_from(cx.waker());
                    return Poll::Pending;
                }
                Part::Follows(place) => {
                    *place = Some(group.waiting.len());
                    group.waiting.push(cx.waker().clone());
                    return Poll::Pending;
                }
                Part::Leads { .. } | Part::Written => {
                    let waiting = this.core.write(&mut group);
                    drop(group);
                    waiting.into_iter().for_each(Waker::wake);
                }
            }
        }
        this.part = Part::Written;
        Poll::Ready(())
    }
}

impl Pending {
    /// Writes the group, if it is still the one at hand.
    fn write(&self) {
        let mut group = lock(&self.core.group);
        if group.number == self.number {
            let waiting = self.core.write(&mut group);
            drop(group);
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !matches!(self.part, Part::Written) {
            self.write();
        }
    }
}
