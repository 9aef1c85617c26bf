//! The calls of a replay that are not over.
//!
//! Pure. Guarantees: reservations are settled in the order in which their calls end.
//!
//! # Bounds
//! `REPLAY_OPEN_MAX` calls; beyond, the one that ends first is settled early.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::bounds::REPLAY_OPEN_MAX;
use crate::clock::Nanos;
use crate::limit::meters::Reservation;

/// A call that is not over.
struct OpenCall {
    ends_at_ns: u64,
    /// So that the order is that of the calls.
    number: u64,
    held: Reservation,
    used: Option<(u64, u64)>,
}

impl PartialEq for OpenCall {
    fn eq(&self, other: &OpenCall) -> bool {
        self.order() == other.order()
    }
}

impl Eq for OpenCall {}

impl PartialOrd for OpenCall {
    fn partial_cmp(&self, other: &OpenCall) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OpenCall {
    fn cmp(&self, other: &OpenCall) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl OpenCall {
    fn order(&self) -> (u64, u64) {
        (self.ends_at_ns, self.number)
    }
}

/// All calls that are not over.
#[derive(Default)]
pub(crate) struct OpenCalls {
    heap: BinaryHeap<Reverse<OpenCall>>,
    opened: u64,
}

impl OpenCalls {
    /// Keeps a reservation until its call is over. `used`: its tokens and money; the estimate
    /// without.
    pub(crate) fn hold(&mut self, held: Reservation, ends_at_ns: u64, used: Option<(u64, u64)>) {
        if self.heap.len() >= REPLAY_OPEN_MAX {
            self.settle_first();
        }
        self.opened += 1;
        self.heap.push(Reverse(OpenCall { ends_at_ns, number: self.opened, held, used }));
    }

    /// Settles the calls that are over at this time.
    pub(crate) fn settle_until(&mut self, now_ns: u64) {
        while self.heap.peek().is_some_and(|Reverse(open)| open.ends_at_ns <= now_ns) {
            self.settle_first();
        }
    }

    fn settle_first(&mut self) {
        if let Some(Reverse(open)) = self.heap.pop() {
            open.held.settle(open.used, Nanos(open.ends_at_ns));
        }
    }
}
