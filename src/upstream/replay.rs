//! The redacted body of a call, which can be sent more than once.
//!
//! Stage 10 of the walk. Sent pieces are kept (by reference count, not by copy) up to a bound, so
//! that another attempt sends the same bytes and then continues with the rest. Only [`Redacted`]
//! pieces come in: a retry cannot send raw text.
//!
//! Guarantees: one attempt at a time takes from the source; past the bound the pieces are dropped
//! and the call is sent once. Does not: redact, or decide about retries.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::trail::Sent;
use crate::lock::lock;
use crate::redact::Redacted;
use crate::share::{Held, Share};

/// The source of the pieces of a body that is still arriving.
pub trait Source: Send {
    /// The next piece. It is not polled again after an error.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>>;
}

/// The body cannot be completed; the source knows why. The attempt is aborted without its final
/// chunk.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the request body ended early")]
pub struct Broken;

/// Another name for the model, which replaces a range of the body as it is sent. The row keeps the
/// requested name.
#[derive(Clone, Debug)]
pub struct Rename {
    /// The value of `model` in the redacted body; in JSON, quotes included.
    pub at: (u64, u64),
    /// The name as it stands there.
    pub to: Bytes,
}

impl Rename {
    /// The name `to` for the model that stands at `at`, in a form or in JSON.
    pub fn new(at: (u64, u64), to: &str, is_form: bool) -> Rename {
        let written = if is_form { to.to_owned() } else { serde_json::Value::from(to).to_string() };
        Rename { at, to: Bytes::from(written) }
    }

    /// `piece`, which begins at `begins` in the body, as it is sent. May be empty.
    fn applied(&self, piece: Bytes, begins: u64) -> Bytes {
        let (from, to) = self.at;
        let ends = begins + piece.len() as u64;
        if ends <= from || begins >= to {
            return piece;
        }
        let within =
            |at: u64| usize::try_from(at.clamp(begins, ends) - begins).unwrap_or(piece.len());
        let mut sent = BytesMut::with_capacity(piece.len() + self.to.len());
        sent.extend_from_slice(&piece[..within(from)]);
        if from >= begins {
            sent.extend_from_slice(&self.to);
        }
        sent.extend_from_slice(&piece[within(to)..]);
        sent.freeze()
    }
}

/// A body that can be sent.
pub enum Outgoing {
    /// The whole body.
    Whole(Redacted),
    /// Some of it is still arriving.
    Streaming(Arc<Mutex<Flow>>),
}

/// The state of a body that is still arriving.
pub struct Flow {
    kept: Vec<Bytes>,
    kept_bytes: usize,
    replay_bytes_max: usize,
    held: Held,
    /// Pieces were dropped: the body cannot be sent again.
    let_go: bool,
    source: Option<Box<dyn Source>>,
    broken: bool,
    /// The attempt that may take from the source.
    attempt: u32,
    progress: Instant,
    /// The source has nothing ready.
    waiting: bool,
    /// Notified when nothing more will be sent.
    parked: Option<Waker>,
}

impl Outgoing {
    /// A body that begins with `first` and continues with the pieces of `source`.
    pub fn streaming(
        first: Vec<Redacted>,
        source: Box<dyn Source>,
        replay_bytes_max: usize,
        room: &Share,
    ) -> Outgoing {
        let mut flow = Flow {
            kept: Vec::new(),
            kept_bytes: 0,
            replay_bytes_max,
            held: room.begin_spare(),
            let_go: false,
            source: Some(source),
            broken: false,
            attempt: 0,
            progress: Instant::now(),
            waiting: false,
            parked: None,
        };
        for piece in first {
            let piece = piece.into_bytes();
            // Gathered before the first attempt, so it is kept even beyond the bound: it has not
            // been sent once.
            flow.kept_bytes += piece.len();
            flow.kept.push(piece);
        }
        if !flow.held.grow_to(flow.memory()) {
            flow.replay_bytes_max = 0;
        }
        Outgoing::Streaming(Arc::new(Mutex::new(flow)))
    }

    /// The body for the next attempt. Earlier ones get nothing more. `sent` is notified when all of
    /// it has been taken.
    pub fn attempt(&self, rename: Option<Rename>, sent: Option<Sent>) -> AttemptBody {
        match self {
            Outgoing::Whole(body) => {
                let bytes = body.as_bytes().clone();
                let bytes =
                    if let Some(rename) = rename { rename.applied(bytes, 0) } else { bytes };
                AttemptBody::Whole(Some(bytes).filter(|b| !b.is_empty()), sent)
            }
            Outgoing::Streaming(flow) => {
                let mut state = lock(flow);
                state.attempt += 1;
                // Its beginning is gone: sending the rest would be another body.
                state.broken |= state.let_go;
                let attempt = state.attempt;
                drop(state);
                let rename = rename.map(|rename| Box::new((rename, 0)));
                AttemptBody::Streaming {
                    flow: Arc::clone(flow),
                    attempt,
                    next: 0,
                    ended: false,
                    rename,
                    sent,
                }
            }
        }
    }

    /// Whether another attempt may send the whole body: it is there, and no longer than
    /// `replay_bytes_max`.
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

    /// Sends nothing more, and takes nothing more from the source: the current attempt is aborted,
    /// and its connection with it.
    pub fn stop(&self) {
        let Outgoing::Streaming(flow) = self else { return };
        let mut state = lock(flow);
        state.attempt += 1;
        let (source, parked) = (state.source.take(), state.parked.take());
        state.let_go_of_kept();
        drop(state);
        drop(source);
        parked.into_iter().for_each(Waker::wake);
    }

    /// The time at which the last piece was sent, if the body is still being sent.
    pub fn progress(&self) -> Option<Instant> {
        match self {
            Outgoing::Whole(_) => None,
            Outgoing::Streaming(flow) => {
                let state = lock(flow);
                // While the gateway waits for the client, the provider's time does not run.
                Some(if state.waiting { Instant::now() } else { state.progress })
            }
        }
    }
}

/// The body of one attempt.
pub enum AttemptBody {
    Whole(Option<Bytes>, Option<Sent>),
    Streaming {
        flow: Arc<Mutex<Flow>>,
        attempt: u32,
        next: usize,
        ended: bool,
        /// Another name for the model, and how many bytes of the body have been passed.
        rename: Option<Box<(Rename, u64)>>,
        sent: Option<Sent>,
    },
}

impl AttemptBody {
    /// The bytes, if all of them are there.
    pub fn bytes(&self) -> Option<Bytes> {
        match self {
            AttemptBody::Whole(bytes, _) => Some(bytes.clone().unwrap_or_default()),
            AttemptBody::Streaming { .. } => None,
        }
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            AttemptBody::Whole(body, sent) => {
                sent.take().into_iter().for_each(Sent::told);
                Poll::Ready(body.take().map(|bytes| Ok(Frame::data(bytes))))
            }
            AttemptBody::Streaming { flow, attempt, next, ended, rename, sent } => {
                if *ended {
                    return Poll::Ready(None);
                }
                let polled = lock(flow).poll_piece(*attempt, next, cx);
                if let Poll::Ready(None | Some(Err(_))) = &polled {
                    *ended = true;
                }
                if matches!(polled, Poll::Ready(None)) {
                    sent.take().into_iter().for_each(Sent::told);
                }
                polled.map(|piece| {
                    let piece = piece?.map(|piece| match rename.as_deref_mut() {
                        None => piece,
                        Some((rename, begins)) => {
                            let at = std::mem::replace(begins, *begins + piece.len() as u64);
                            rename.applied(piece, at)
                        }
                    });
                    Some(piece.map(Frame::data))
                })
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AttemptBody::Whole(body, _) => body.is_none(),
            AttemptBody::Streaming { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AttemptBody::Whole(body, _) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |b| b.len() as u64))
            }
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
            Poll::Pending => {
                self.parked = Some(cx.waker().clone());
                Poll::Pending
            }
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

    /// Keeps a piece that is about to be sent, or drops all of them at the bound (the attempt that
    /// asks has been given every one of them).
    fn keep(&mut self, piece: &Bytes, next: &mut usize) {
        if self.let_go {
            return;
        }
        self.kept_bytes += piece.len();
        self.kept.push(piece.clone());
        if self.kept_bytes <= self.replay_bytes_max && self.held.grow_to(self.memory()) {
            *next += 1;
        } else {
            self.let_go_of_kept();
        }
    }

    /// The memory of a kept piece, with its overhead: a body may arrive in pieces that are shorter
    /// than that.
    fn memory(&self) -> usize {
        self.kept_bytes + self.kept.capacity() * size_of::<Bytes>()
    }

    fn let_go_of_kept(&mut self) {
        self.let_go = true;
        self.kept = Vec::new();
        self.held.release();
        self.kept_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::metrics::Metrics;
    use crate::share::{Party, Pool, Resource};

    fn room(bytes: usize) -> Share {
        Pool::new(Resource::Bytes, bytes, &Metrics::new()).of(&Party::new())
    }

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

    fn streaming(
        first: &[&'static str],
        rest: &[&'static str],
        breaks: bool,
        max: usize,
    ) -> Outgoing {
        let first = first.iter().map(|t| Redacted::from_gateway(t)).collect();
        let source = Script(rest.iter().copied().collect(), breaks);
        Outgoing::streaming(first, Box::new(source), max, &room(4000))
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
            let mut first = out.attempt(None, None);
            take(&mut first, taken).expect("whole");
            assert!(out.may_repeat(1000));
            assert_eq!(
                take(&mut out.attempt(None, None), 100).expect("whole"),
                "abcd",
                "after {taken} pieces"
            );
            assert!(
                take(&mut first, 1).is_err() || taken == 5,
                "an earlier attempt gets nothing more"
            );
            assert_eq!(take(&mut out.attempt(None, None), 100).expect("whole"), "abcd");
        }
    }

    #[test]
    fn each_attempt_may_have_a_model_of_its_own() {
        let text = r#"{"model":"gpt-4o","x":"model"}"#;
        let at = (9, 17);
        let name = |to: &str| Some(Rename::new(at, to, false));
        // However the body is cut, each attempt has its own name, and one without a name has the
        // caller's.
        for size in 1..=text.len() {
            let pieces: Vec<&'static str> = text
                .as_bytes()
                .chunks(size)
                .map(|piece| std::str::from_utf8(piece).expect("ascii"))
                .collect();
            let (first, rest) = pieces.split_at(pieces.len().min(3));
            let out = streaming(first, rest, false, 100);
            for (to, expected) in [("my-deployment", "my-deployment"), ("q\"", "q\\\"")] {
                let sent = take(&mut out.attempt(name(to), None), 100).expect("whole");
                assert_eq!(sent, text.replace("gpt-4o", expected), "in pieces of {size}");
            }
            assert_eq!(take(&mut out.attempt(None, None), 100).expect("whole"), text);
        }
        let whole = Outgoing::Whole(Redacted::from_gateway(text));
        let mut body = whole.attempt(name("m"), None);
        assert_eq!(body.size_hint().exact(), Some(text.len() as u64 - 5));
        assert_eq!(take(&mut body, 1).expect("whole"), text.replace("gpt-4o", "m"));
    }

    #[test]
    fn past_the_bound_a_body_is_sent_once() {
        let out = streaming(&["a", "b"], &["c", "d", "e"], false, 3);
        let mut body = out.attempt(None, None);
        assert_eq!(take(&mut body, 3).expect("kept"), "abc");
        assert!(out.may_repeat(1000));
        assert_eq!(take(&mut body, 100).expect("whole"), "de");
        assert!(!out.may_repeat(1000));
    }

    #[test]
    fn a_broken_body_is_never_completed() {
        let out = streaming(&["a"], &["b"], true, 100);
        assert!(take(&mut out.attempt(None, None), 100).is_err());
        assert!(out.is_broken() && !out.may_repeat(1000));
        assert!(take(&mut out.attempt(None, None), 100).is_err());
    }

    /// A source that never has anything ready, and shows whether it is still there.
    struct Slow {
        _alive: Arc<()>,
    }

    impl Source for Slow {
        fn poll_piece(&mut self, _: &mut Context<'_>) -> Poll<Option<Result<Redacted, Broken>>> {
            Poll::Pending
        }
    }

    struct Told(std::sync::atomic::AtomicBool);

    impl std::task::Wake for Told {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::SeqCst);
        }
    }

    #[test]
    fn a_body_that_is_stopped_breaks_off_even_while_it_waits() {
        let (alive, told) = (Arc::new(()), Arc::new(Told(false.into())));
        let out = Outgoing::streaming(
            vec![],
            Box::new(Slow { _alive: Arc::clone(&alive) }),
            100,
            &room(1000),
        );
        let mut body = out.attempt(None, None);
        let waker = Waker::from(Arc::clone(&told));
        assert!(Pin::new(&mut body).poll_frame(&mut Context::from_waker(&waker)).is_pending());
        out.stop();
        assert!(
            told.0.load(std::sync::atomic::Ordering::SeqCst),
            "who waits for the next piece is told"
        );
        assert_eq!(Arc::strong_count(&alive), 1, "nothing more is taken from the source");
        assert!(take(&mut body, 1).is_err() && !out.is_broken() && !out.may_repeat(1000));
        assert!(take(&mut out.attempt(None, None), 1).is_err());
    }

    #[test]
    fn all_buffers_together_have_a_bound() {
        // Half is for replay, and of that three quarters for one party: room for what one of them
        // is kept in, and not for two.
        let one_piece = 2 + 4 * size_of::<Bytes>();
        let room = room(4 * one_piece);
        let flow = |text: &'static str| {
            let source = Script([text].into_iter().collect(), false);
            Outgoing::streaming(vec![], Box::new(source), 100, &room)
        };
        let (one, two) = (flow("aa"), flow("bb"));
        assert_eq!(take(&mut one.attempt(None, None), 9).expect("whole"), "aa");
        assert_eq!(take(&mut two.attempt(None, None), 9).expect("whole"), "bb");
        assert_eq!((one.may_repeat(1000), two.may_repeat(1000)), (true, false));
        drop(one);
        let three = flow("cc");
        assert_eq!(take(&mut three.attempt(None, None), 9).expect("whole"), "cc");
        assert!(three.may_repeat(1000));
    }
}
