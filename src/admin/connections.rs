//! The connections of the operators' side: how many there are, who is silent, who takes its answer.
//!
//! Promises: a new connection always finds a place unless all are being answered and take their
//! answers; a client that sends no head, or does not take its answer, is cut within a time. Does
//! not: know what is asked.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;

use crate::bounds::{
    ADMIN_ANSWER_TIME_MAX, ADMIN_CONNECTIONS_MAX, ADMIN_WRITE_STALL_MAX, ADMIN_WRITE_STALL_MIN,
};
use crate::lock::lock;

/// All that are open.
pub(crate) struct Connections {
    begun: Instant,
    /// Answers that wait for a place which others may hold.
    wanted: Arc<AtomicUsize>,
    most: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Arc<State>>,
}

/// The state of one.
pub(crate) struct State {
    number: u64,
    /// When bytes last passed, in milliseconds since the side was opened.
    moved: AtomicU64,
    /// When the answer at hand was begun.
    asked: AtomicU64,
    answering: AtomicBool,
    /// It is to be closed.
    pub(crate) cut: CancellationToken,
}

/// One place, until this is dropped.
pub(crate) struct Place {
    connections: Arc<Connections>,
    pub(crate) state: Arc<State>,
}

impl Connections {
    /// None yet. `wanted`: how many answers wait for a place; while there are some, a client that
    /// takes nothing is cut sooner.
    pub(crate) fn new(wanted: Arc<AtomicUsize>) -> Connections {
        Connections {
            begun: Instant::now(),
            wanted,
            most: ADMIN_CONNECTIONS_MAX,
            open: Mutex::default(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A place for a connection that has just come; where there is none left, that of the one that
    /// has been silent for longest, or takes nothing of its answer. Nothing where all are taking
    /// their answers.
    pub(crate) fn enter(self: &Arc<Connections>) -> Option<Place> {
        let now = self.now();
        let mut open = lock(&self.open);
        if open.all.len() >= self.most {
            let worst = open.all.values().min_by_key(|state| {
                (
                    state.answering.load(Ordering::Relaxed),
                    state.moved.load(Ordering::Relaxed),
                    state.number,
                )
            });
            let worst = Arc::clone(worst?);
            let still = now.saturating_sub(worst.moved.load(Ordering::Relaxed));
            if worst.answering.load(Ordering::Relaxed)
                && u128::from(still) < ADMIN_WRITE_STALL_MIN.as_millis()
            {
                return None;
            }
            open.all.remove(&worst.number);
            worst.cut.cancel();
        }
        let number = open.next;
        open.next += 1;
        let state = Arc::new(State {
            number,
            moved: AtomicU64::new(now),
            asked: AtomicU64::new(now),
            answering: AtomicBool::new(false),
            cut: CancellationToken::new(),
        });
        open.all.insert(number, Arc::clone(&state));
        drop(open);
        Some(Place { connections: Arc::clone(self), state })
    }
}

impl Place {
    /// A request has come.
    pub(crate) fn answer(&self) -> Answering {
        self.state.asked.store(self.connections.now(), Ordering::Relaxed);
        self.state.moved.store(self.connections.now(), Ordering::Relaxed);
        self.state.answering.store(true, Ordering::Relaxed);
        Answering(Arc::clone(&self.state))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.connections.open).all.remove(&self.state.number);
    }
}

/// An answer is made, or on its way, until this is dropped.
pub(crate) struct Answering(Arc<State>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.store(false, Ordering::Relaxed);
    }
}

/// The bytes of a connection, with an end to waiting for its peer.
pub(crate) struct Stream<S> {
    inner: S,
    place: Arc<Place>,
    /// Since when the peer has taken nothing, and when that is looked at again.
    stall: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<S> Stream<S> {
    pub(crate) fn new(inner: S, place: Arc<Place>) -> Stream<S> {
        Stream { inner, place, stall: None }
    }

    fn moved(&self) {
        self.place.state.moved.store(self.place.connections.now(), Ordering::Relaxed);
    }

    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.moved();
            self.stall = None;
            return polled;
        }
        let connections = &self.place.connections;
        let again = || Box::pin(tokio::time::sleep(ADMIN_WRITE_STALL_MIN));
        let (since, timer) = self.stall.get_or_insert_with(|| (Instant::now(), again()));
        while timer.as_mut().poll(cx).is_ready() {
            let asked = Duration::from_millis(self.place.state.asked.load(Ordering::Relaxed));
            let over = connections.begun.elapsed() >= asked + ADMIN_ANSWER_TIME_MAX;
            let short = connections.wanted.load(Ordering::Relaxed) > 0;
            if over || short || since.elapsed() >= ADMIN_WRITE_STALL_MAX {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            *timer = again();
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        // Bytes sent while an answer waits do not count as taking it.
        if buf.filled().len() > before && !this.place.state.answering.load(Ordering::Relaxed) {
            this.moved();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(polled, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(polled, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    fn few(most: usize) -> Arc<Connections> {
        Arc::new(Connections { most, ..Connections::new(Arc::default()) })
    }

    async fn later(ms: u64) {
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_newcomer_takes_the_place_of_the_one_that_was_silent_for_longest() {
        let connections = few(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(connections.enter().expect("room"));
            later(10).await;
        }
        // The first one speaks again, so the second is the one.
        places[0].state.moved.store(connections.now(), Ordering::Relaxed);
        let fourth = connections.enter().expect("the second one's");
        let cut = |places: &[Place]| {
            places.iter().map(|place| place.state.cut.is_cancelled()).collect::<Vec<_>>()
        };
        assert_eq!(cut(&places), [false, true, false]);
        later(10).await;
        // However many come and say nothing, and whatever they leave behind, there are no more than
        // three.
        for _ in 0..300 {
            places.push(connections.enter().expect("the oldest one's"));
            later(1).await;
            assert_eq!(lock(&connections.open).all.len(), 3);
        }
        drop((places, fourth));
        assert!(lock(&connections.open).all.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_are_answered_go_last() {
        let connections = few(2);
        let (a, b) = (connections.enter().expect("room"), connections.enter().expect("room"));
        let (answer, _other) = (a.answer(), b.answer());
        later(500).await;
        assert!(connections.enter().is_none(), "both have been answered for half a second only");
        later(600).await;
        b.state.moved.store(connections.now(), Ordering::Relaxed);
        let c = connections.enter().expect("the place of one that takes nothing");
        assert!(a.state.cut.is_cancelled() && !b.state.cut.is_cancelled());
        drop(answer);
        // One that is silent goes before one that is answered.
        later(1).await;
        let _d = connections.enter().expect("the silent one's");
        assert!(c.state.cut.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_and_so_is_who_takes_for_ever() {
        let connections = few(2);
        let begin = || {
            let (peer, ours) = tokio::io::duplex(16);
            let place = Arc::new(connections.enter().expect("room"));
            let answering = place.answer();
            (peer, Stream::new(ours, place), answering)
        };
        let (_peer, mut stream, answering) = begin();
        let begun = Instant::now();
        let cut = stream.write_all(&[0; 100]).await.expect_err("nobody reads");
        assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
        assert!(
            begun.elapsed() >= ADMIN_WRITE_STALL_MAX && begun.elapsed() < 2 * ADMIN_WRITE_STALL_MAX
        );
        drop((stream, answering));

        // While others wait, sooner.
        connections.wanted.store(1, Ordering::Relaxed);
        let (_peer, mut stream, answering) = begin();
        let begun = Instant::now();
        let cut = stream.write_all(&[0; 100]).await.expect_err("nobody reads");
        assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
        assert!(
            begun.elapsed() >= ADMIN_WRITE_STALL_MIN && begun.elapsed() < 2 * ADMIN_WRITE_STALL_MIN
        );
        drop((stream, answering));
        connections.wanted.store(0, Ordering::Relaxed);

        let (mut peer, mut stream, _answering) = begin();
        let begun = Instant::now();
        let slow = async {
            loop {
                tokio::time::sleep(ADMIN_WRITE_STALL_MAX / 2).await;
                if peer.read(&mut [0; 1]).await.is_err() {
                    return;
                }
            }
        };
        let cut = tokio::select! {
            cut = stream.write_all(&[0; 100_000]) => cut.expect_err("too slow"),
            () = slow => unreachable!("the stream is open"),
        };
        assert_eq!(cut.kind(), io::ErrorKind::TimedOut);
        assert!(
            begun.elapsed() >= ADMIN_ANSWER_TIME_MAX && begun.elapsed() < 2 * ADMIN_ANSWER_TIME_MAX
        );
    }
}
