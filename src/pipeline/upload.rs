//! A request body as it comes from its client, and the rest of one that a call does not need.
//!
//! Stage 1 and 6 of the walk. A call that is refused, or that its provider answers early, leaves a
//! part of its body unread. A connection that is closed then is reset, and many clients lose the
//! answer.
//!
//! Guarantees: the rest of a body is read and discarded, at the rate that every body needs, for at
//! most [`UNREAD_TIME_MAX`] and up to the longest body that the gateway takes; over HTTP/1 either
//! the connection can be used again, or its last answer says `connection: close` and the connection
//! is read on after it (see `server/heard`). `100 Continue` is not sent for a body that is not
//! read. Does not: hold a byte of what is discarded, or keep a connection that has no place.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::Instant;

use super::body_in::rate::BodyRate;
use super::gateway::Gateway;
use super::seat::Seat;
use super::unread::{Left, Linger};
use crate::bounds::{BODY_GRACE, LINGER_IDLE_MAX, LINGER_LAST_BYTES_MAX, UNREAD_TIME_MAX};

/// Reads a body that its call has left, and throws it away.
pub fn discard(left: Left, gateway: &Gateway, seat: &Arc<Seat>) {
    let (incoming, seat, bytes) = (left.into_incoming(), Arc::clone(seat), gateway.max_body_bytes);
    gateway.tasks.spawn(async move {
        let (incoming, whole) = read_on(incoming, bytes).await;
        if !whole {
            // The connection ends with it. Its peer has a moment to see the end.
            seat.upload.linger(Linger { bytes: LINGER_LAST_BYTES_MAX, time: LINGER_IDLE_MAX });
        }
        drop(incoming);
    });
}

/// Reads a body until its end, or one of the bounds; whether that was its end.
async fn read_on(mut incoming: Incoming, bytes_max: u64) -> (Incoming, bool) {
    let (mut rate, mut left) = (BodyRate::new(BODY_GRACE), bytes_max);
    let end = Instant::now() + UNREAD_TIME_MAX;
    while !incoming.is_end_stream() {
        let until = rate.waits(Instant::now()).min(end);
        let Ok(frame) = tokio::time::timeout_at(until, incoming.frame()).await else {
            return (incoming, false);
        };
        // After an error there is nothing to be read.
        let Some(Ok(frame)) = frame else { break };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        if bytes > 0 {
            rate.came(Instant::now(), bytes);
        }
        left = left.saturating_sub(bytes as u64);
        if left == 0 {
            return (incoming, false);
        }
    }
    (incoming, true)
}

/// The request body of one call.
pub struct Upload {
    /// Absent when it is at its end.
    incoming: Option<Incoming>,
    gateway: Arc<Gateway>,
    seat: Arc<Seat>,
    /// The number of the call on an HTTP/1 connection.
    number: Option<u64>,
    awaits_continue: bool,
}

impl Upload {
    /// The body behind `head`.
    pub fn new(
        incoming: Incoming,
        head: &Parts,
        gateway: &Arc<Gateway>,
        seat: &Arc<Seat>,
    ) -> Upload {
        let is_open = !incoming.is_end_stream();
        let number = (head.version != Version::HTTP_2).then(|| seat.requests());
        if let Some(number) = number {
            seat.upload.begins(number, is_open);
        }
        Upload {
            incoming: is_open.then_some(incoming),
            gateway: Arc::clone(gateway),
            seat: Arc::clone(seat),
            number,
            awaits_continue: head.headers.contains_key(header::EXPECT),
        }
    }

    /// Whether there is nothing more to read.
    pub fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    /// The next frame; `None` at the end.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        self.awaits_continue = false;
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        let is_over = match &polled {
            Poll::Pending => false,
            Poll::Ready(Some(Ok(_))) => incoming.is_end_stream(),
            Poll::Ready(_) => true,
        };
        if is_over {
            self.incoming = None;
            if let Some(number) = self.number {
                self.seat.upload.ended(number);
            }
        }
        polled
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(incoming) = self.incoming.take() else { return };
        let left = Left::new(incoming, self.awaits_continue);
        let left = match self.number {
            Some(number) => self.seat.upload.leave(number, left),
            None => Some(left),
        };
        // Over HTTP/2, and after an answer: nothing else depends on it.
        let runs = tokio::runtime::Handle::try_current().is_ok();
        if let Some(left) = left.filter(|left| !left.awaits_continue() && runs) {
            discard(left, &self.gateway, &self.seat);
        }
    }
}
