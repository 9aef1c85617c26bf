//! The request body that an HTTP/1 connection has under way, and how the connection ends.
//!
//! Stage 1 and 6 of the walk. Guarantees: a body that its call leaves before the answer is kept for
//! the answer, which decides what becomes of it (see `upload`); a body that ends late is not taken
//! for that of the next call. Costs a call with a body one atomic store and two swaps. Does not:
//! read.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::{Body as _, Incoming};

use crate::bounds::UNREAD_KEPT_BYTES_MAX;
use crate::lock::lock;

/// How a connection is read on after its last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linger {
    /// Bytes that are discarded, at most.
    pub bytes: u64,
    /// The longest that it is read.
    pub time: Duration,
}

/// The request body of the call that an HTTP/1 connection has under way.
///
/// The number of the call and its state, so that a body that ends late is not taken for that of
/// the next call.
#[derive(Debug, Default)]
pub struct Underway {
    state: AtomicU64,
    left: Mutex<Option<Left>>,
    linger: Mutex<Option<Linger>>,
}

/// There is no body, or all of it was read.
const NONE: u64 = 0;
/// It is being read, or will be.
const OPEN: u64 = 1;
/// The call has left a part of it unread, before its answer.
const LEFT: u64 = 2;
/// The call has its answer.
const ANSWERED: u64 = 3;

/// A body that its call has left unread.
#[derive(Debug)]
pub struct Left {
    incoming: Incoming,
    /// The client waits for `100 Continue` before it sends the body.
    awaits_continue: bool,
}

/// The rest of the request body when its call has an answer.
#[derive(Debug)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// It is still being sent to a provider.
    Underway,
    /// The call has left it.
    Left(Left),
}

impl Left {
    /// A body of which nothing more is asked.
    pub fn new(incoming: Incoming, awaits_continue: bool) -> Left {
        Left { incoming, awaits_continue }
    }

    /// Whether it is short enough to be read before the next call, and is sure to come.
    pub fn is_short(&self) -> bool {
        let rest = self.incoming.size_hint().exact();
        !self.awaits_continue && rest.is_some_and(|rest| rest <= UNREAD_KEPT_BYTES_MAX)
    }

    /// Whether the client waits for `100 Continue` before it sends the body.
    pub fn awaits_continue(&self) -> bool {
        self.awaits_continue
    }

    /// The body itself.
    pub fn into_incoming(self) -> Incoming {
        self.incoming
    }
}

impl Underway {
    /// The call numbered `number` has its answer: what is left of its body.
    pub fn answered(&self, number: u64) -> Rest {
        let state = self.state.swap(number << 2 | ANSWERED, Ordering::AcqRel);
        match state & 3 {
            OPEN => Rest::Underway,
            LEFT => lock(&self.left).take().map_or(Rest::Nothing, Rest::Left),
            _ => Rest::Nothing,
        }
    }

    /// The connection is read on after its last answer.
    pub fn linger(&self, linger: Linger) {
        *lock(&self.linger) = Some(linger);
    }

    /// How the connection is read on, if it is.
    pub fn lingers(&self) -> Option<Linger> {
        *lock(&self.linger)
    }

    /// The call numbered `number` begins, with a body or without.
    pub fn begins(&self, number: u64, has_body: bool) {
        let state = if has_body { OPEN } else { NONE };
        self.state.store(number << 2 | state, Ordering::Release);
    }

    /// The body of the call numbered `number` was read to its end.
    pub fn ended(&self, number: u64) {
        let (open, now) = (number << 2 | OPEN, number << 2 | NONE);
        // It fails if the call has its answer: then it no longer matters.
        let _ = self.state.compare_exchange(open, now, Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The call numbered `number` leaves its body. Returns it if the call is answered already.
    pub fn leave(&self, number: u64, left: Left) -> Option<Left> {
        let mut place = lock(&self.left);
        let (open, now) = (number << 2 | OPEN, number << 2 | LEFT);
        match self.state.compare_exchange(open, now, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                *place = Some(left);
                None
            }
            Err(_) => Some(left),
        }
    }
}
