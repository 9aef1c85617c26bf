//! The body of a simulated answer: pieces with pauses, and an end that may be a fault.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// As it should.
    Whole,
    /// Half of it, then silence with the connection open.
    Stall,
    /// Half of it, in the middle of an event, then the connection is closed.
    Cut,
}

/// A body that plays its pieces one after the other.
pub(crate) struct Play {
    pieces: VecDeque<Bytes>,
    /// Bytes still promised to the peer by `content-length`; none for a stream.
    promised: Option<u64>,
    delay: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    end: End,
    /// The most bytes that go out at once.
    split: Option<NonZeroUsize>,
    /// The pieces have reached the socket: hyper drops what it has buffered when a body fails.
    flushed: bool,
}

impl Play {
    /// A body with a known length.
    pub(crate) fn whole(body: Bytes, end: End) -> Play {
        let promised = Some(body.len() as u64);
        let sent = if end == End::Whole { body } else { body.slice(..body.len() / 2) };
        Play::new([sent].into(), promised, Duration::ZERO, end)
    }

    /// A stream of events, `delay` apart, of which `before` come before an end that is a fault.
    pub(crate) fn events(mut events: Vec<Bytes>, delay: Duration, end: End, before: usize) -> Play {
        if end != End::Whole {
            events.truncate(before.saturating_add(1));
            if let Some(last) = events.get_mut(before) {
                *last = if end == End::Cut { last.slice(..last.len() / 2) } else { Bytes::new() };
            }
        }
        Play::new(events.into(), None, delay, end)
    }

    /// The same in pieces of at most so many bytes, `delay` apart.
    pub(crate) fn split(mut self, bytes: Option<NonZeroUsize>, delay: Duration) -> Play {
        self.split = bytes;
        self.delay = delay;
        self
    }

    fn new(pieces: VecDeque<Bytes>, promised: Option<u64>, delay: Duration, end: End) -> Play {
        Play { pieces, promised, delay, pause: None, end, split: None, flushed: false }
    }
}

/// The body ends in a fault that was asked for.
#[derive(Debug, thiserror::Error)]
#[error("cut on request")]
pub(crate) struct CutOnRequest;

impl Body for Play {
    type Data = Bytes;
    type Error = CutOnRequest;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOnRequest>>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            std::task::ready!(pause.as_mut().poll(context));
            this.pause = None;
        }
        if let Some(mut piece) = this.pieces.pop_front() {
            if let Some(most) = this.split.map(NonZeroUsize::get).filter(|most| *most < piece.len())
            {
                let rest = piece.split_off(most);
                this.pieces.push_front(rest);
            }
            if !this.delay.is_zero() && !this.pieces.is_empty() {
                this.pause = Some(Box::pin(tokio::time::sleep(this.delay)));
            }
            if let Some(promised) = &mut this.promised {
                *promised = promised.saturating_sub(piece.len() as u64);
            }
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match this.end {
            End::Whole => Poll::Ready(None),
            // Nothing will wake this task but the peer that leaves.
            End::Stall => Poll::Pending,
            End::Cut if this.flushed => Poll::Ready(Some(Err(CutOnRequest))),
            End::Cut => {
                this.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.end == End::Whole && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.promised.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
