//! The redacted body of a call, as often as it is sent.
//!
//! Stage 7 of the walk. What has been sent is kept (by reference count, not by copy) up to a bound, so that another
//! attempt sends the same bytes and then goes on with the rest. Only [`Redacted`] pieces come in: a retry cannot send
//! raw text.
//!
//! Promises: one attempt at a time takes from the source; past the bound the pieces are let go and the call is sent
//! once. Does not: redact, or decide about retries.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::redact::Redacted;

/// Where the pieces of a body that is still coming in come from.
pub trait Source: Send {
    /// The next piece. After an error nothing more is asked.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>>;
}

/// The body cannot be completed; the source knows why. The attempt is aborted without its final chunk.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request body ended early")]
pub struct Broken;

/// Bytes that all replay buffers hold together.
#[derive(Debug)]
pub struct ReplayRoom {
    used: AtomicUsize,
    bytes_max: usize,
}

impl ReplayRoom {
    /// Room for `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Arc<ReplayRoom> {
        Arc::new(ReplayRoom { used: AtomicUsize::new(0), bytes_max })
    }

    fn reserve(&self, bytes: usize) -> bool {
        let reserved = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|total| *total <= self.bytes_max)
        });
        reserved.is_ok()
    }

    fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A body that can be sent.
pub enum Outgoing {
    /// All of it is here.
    Whole(Redacted),
    /// Some of it is still coming.
    Streaming(Arc<Mutex<Flow>>),
}

/// The state of a body that is still coming in.
pub struct Flow {
    kept: Vec<Bytes>,
    kept_bytes: usize,
    replay_bytes_max: usize,
    room: Arc<ReplayRoom>,
    /// Pieces were let go: the body cannot be sent again.
    let_go: bool,
    source: Option<Box<dyn Source>>,
    broken: bool,
    /// The attempt that may take from the source.
    attempt: u32,
    progress: Instant,
    /// The source has nothing ready.
    waiting: bool,
}

impl Outgoing {
    /// A body that begins with `first` and goes on with what `source` gives.
    pub fn streaming(
        first: Vec<Redacted>,
        source: Box<dyn Source>,
        replay_bytes_max: usize,
        room: Arc<ReplayRoom>,
    ) -> Outgoing {
        let mut flow = Flow {
            kept: Vec::new(),
            kept_bytes: 0,
            replay_bytes_max,
            room,
            let_go: false,
            source: Some(source),
            broken: false,
            attempt: 0,
            progress: Instant::now(),
            waiting: false,
        };
        for piece in first {
            let piece = piece.into_bytes();
            // Gathered before the first attempt, so kept whatever the bound: it has not been sent even once.
            flow.kept_bytes += piece.len();
            flow.kept.push(piece);
        }
        let gathered = flow.kept_bytes;
        if !flow.room.reserve(gathered) {
            flow.replay_bytes_max = 0;
            flow.kept_bytes = 0;
        }
        Outgoing::Streaming(Arc::new(Mutex::new(flow)))
    }

    /// The body for the next attempt. Earlier ones get nothing more.
    pub fn attempt(&self) -> AttemptBody {
        match self {
            Outgoing::Whole(body) => AttemptBody::Whole(Some(body.as_bytes().clone()).filter(|b| !b.is_empty())),
            Outgoing::Streaming(flow) => {
                let mut state = lock(flow);
                state.attempt += 1;
                // Its beginning is gone: sending the rest would be another body.
                state.broken |= state.let_go;
                let attempt = state.attempt;
                drop(state);
                AttemptBody::Streaming { flow: Arc::clone(flow), attempt, next: 0, ended: false }
            }
        }
    }

    /// Whether another attempt may send the whole body: it is there, and no longer than `replay_bytes_max`.
    pub fn may_repeat(&self, replay_bytes_max: usize) -> bool {
        match self {
            Outgoing::Whole(body) => body.as_bytes().len() <= replay_bytes_max,
            Outgoing::Streaming(flow) => {
                let state = lock(flow);
                !state.let_go && !state.broken && state.kept_bytes <= replay_bytes_max
            }
        }
    }

    /// The source could not complete the body.
    pub fn is_broken(&self) -> bool {
        match self {
            Outgoing::Whole(_) => false,
            Outgoing::Streaming(flow) => lock(flow).broken,
        }
    }

    /// When the last piece was handed on, where the body is still being sent.
    pub fn progress(&self) -> Option<Instant> {
        match self {
            Outgoing::Whole(_) => None,
            Outgoing::Streaming(flow) => {
                let state = lock(flow);
                // While the client is the one who is waited for, the provider's time does not run.
                Some(if state.waiting { Instant::now() } else { state.progress })
            }
        }
    }
}

/// The body of one attempt.
pub enum AttemptBody {
    Whole(Option<Bytes>),
    Streaming { flow: Arc<Mutex<Flow>>, attempt: u32, next: usize, ended: bool },
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            AttemptBody::Whole(body) => Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes)))),
            AttemptBody::Streaming { flow, attempt, next, ended } => {
                if *ended {
                    return Poll::Ready(None);
                }
                let polled = lock(flow).poll_piece(*attempt, next, cx);
                if let Poll::Ready(None | Some(Err(_))) = &polled {
                    *ended = true;
                }
                polled.map(|piece| piece.map(|result| result.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AttemptBody::Whole(body) => body.is_none(),
            AttemptBody::Streaming { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AttemptBody::Whole(body) => SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64)),
            AttemptBody::Streaming { .. } => SizeHint::default(),
        }
    }
}

impl Flow {
    fn poll_piece(
        &mut self,
        attempt: u32,
        next: &mut usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Broken>>> {
        if self.broken || attempt != self.attempt {
            return Poll::Ready(Some(Err(Broken)));
        }
        if let Some(piece) = self.kept.get(*next) {
            *next += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        let Some(source) = self.source.as_mut() else { return Poll::Ready(None) };
        let polled = source.poll_piece(cx);
        self.waiting = polled.is_pending();
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(None) => {
                self.progress = Instant::now();
                self.source = None;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(Broken))) => {
                self.broken = true;
                self.source = None;
                self.let_go_of_kept();
                Poll::Ready(Some(Err(Broken)))
            }
            Poll::Ready(Some(Ok(piece))) => {
                self.progress = Instant::now();
                let piece = piece.into_bytes();
                self.keep(&piece, next);
                Poll::Ready(Some(Ok(piece)))
            }
        }
    }

    /// Keeps a piece that is about to be sent, or lets go of all of them at the bound (the attempt that asks has been
    /// given every one of them).
    fn keep(&mut self, piece: &Bytes, next: &mut usize) {
        if self.let_go {
            return;
        }
        if self.kept_bytes + piece.len() <= self.replay_bytes_max && self.room.reserve(piece.len()) {
            self.kept_bytes += piece.len();
            self.kept.push(piece.clone());
            *next += 1;
        } else {
            self.let_go_of_kept();
        }
    }

    fn let_go_of_kept(&mut self) {
        self.let_go = true;
        self.kept = Vec::new();
        self.room.release(self.kept_bytes);
        self.kept_bytes = 0;
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.room.release(self.kept_bytes);
    }
}

fn lock(flow: &Mutex<Flow>) -> std::sync::MutexGuard<'_, Flow> {
    flow.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Pieces of one letter each; ends, or breaks after them.
    struct Script(VecDeque<&'static str>, bool);

    impl Source for Script {
        fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>> {
            match self.0.pop_front() {
                Some(text) => Poll::Ready(Some(Ok(Redacted::from_gateway(text)))),
                None if self.1 => Poll::Ready(Some(Err(Broken))),
                None => Poll::Ready(None),
            }
        }
    }

    fn streaming(first: &[&'static str], rest: &[&'static str], breaks: bool, max: usize) -> Outgoing {
        let first = first.iter().map(|t| Redacted::from_gateway(t)).collect();
        let source = Script(rest.iter().copied().collect(), breaks);
        Outgoing::streaming(first, Box::new(source), max, ReplayRoom::new(1000))
    }

    /// Takes `pieces` pieces, or all.
    fn take(body: &mut AttemptBody, pieces: usize) -> Result<String, Broken> {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut text = String::new();
        for _ in 0..pieces {
            match Pin::new(&mut *body).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    text += std::str::from_utf8(frame.data_ref().expect("data")).expect("ascii");
                }
                Poll::Ready(Some(Err(broken))) => return Err(broken),
                Poll::Ready(None) => break,
                Poll::Pending => panic!("the script is always ready"),
            }
        }
        Ok(text)
    }

    #[test]
    fn every_attempt_sends_the_same_bytes() {
        for taken in 0..6 {
            let out = streaming(&["a", "b"], &["c", "d"], false, 100);
            let mut first = out.attempt();
            take(&mut first, taken).expect("whole");
            assert!(out.may_repeat(1000));
            assert_eq!(take(&mut out.attempt(), 100).expect("whole"), "abcd", "after {taken} pieces");
            assert!(take(&mut first, 1).is_err() || taken == 5, "an earlier attempt gets nothing more");
            assert_eq!(take(&mut out.attempt(), 100).expect("whole"), "abcd");
        }
    }

    #[test]
    fn past_the_bound_a_body_is_sent_once() {
        let out = streaming(&["a", "b"], &["c", "d", "e"], false, 3);
        let mut body = out.attempt();
        assert_eq!(take(&mut body, 3).expect("kept"), "abc");
        assert!(out.may_repeat(1000));
        assert_eq!(take(&mut body, 100).expect("whole"), "de");
        assert!(!out.may_repeat(1000));
    }

    #[test]
    fn a_broken_body_is_never_completed() {
        let out = streaming(&["a"], &["b"], true, 100);
        assert!(take(&mut out.attempt(), 100).is_err());
        assert!(out.is_broken() && !out.may_repeat(1000));
        assert!(take(&mut out.attempt(), 100).is_err());
    }

    #[test]
    fn all_buffers_together_have_a_bound() {
        let room = ReplayRoom::new(3);
        let flow = |text: &'static str| {
            let source = Script([text].into_iter().collect(), false);
            Outgoing::streaming(vec![], Box::new(source), 100, Arc::clone(&room))
        };
        let (one, two) = (flow("aa"), flow("bb"));
        assert_eq!(take(&mut one.attempt(), 9).expect("whole"), "aa");
        assert_eq!(take(&mut two.attempt(), 9).expect("whole"), "bb");
        assert_eq!((one.may_repeat(1000), two.may_repeat(1000)), (true, false));
        drop(one);
        let three = flow("cc");
        assert_eq!(take(&mut three.attempt(), 9).expect("whole"), "cc");
        assert!(three.may_repeat(1000));
    }
}
