//! An HTTP/2 answer that its peer does not take.
//!
//! Stage 11 of the walk. hyper does not ask for a body whose stream has no window, so nothing
//! inside the body can end it; and a connection that answers pings is alive. Promises: an answer of
//! which nothing has been asked for [`WRITE_STALL_MAX`] lets go of its call (its place, its room,
//! the provider's connection), as a connection over HTTP/1 does; a slow peer that takes
//! [`H2_PIECE_BYTES`] in that time is served. Costs a lock that nobody else holds for a frame, and
//! one timer for an answer. Does not: close the connection, whose other streams may be well.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::cut::Cut;
use crate::bounds::{H2_PIECE_BYTES, WRITE_STALL_MAX};
use crate::lock::lock;

/// A body that is let go of when nobody takes it.
pub struct Watched<B> {
    state: Arc<Mutex<State<B>>>,
    size: SizeHint,
    /// Its end tells the watch that the answer is over.
    _over: oneshot::Sender<()>,
}

struct State<B> {
    /// Absent once it was let go of.
    body: Option<B>,
    /// The part of the last frame that has not been asked for.
    rest: Bytes,
    /// Since when it is for the peer to take something; absent while it waits for us.
    untaken: Option<Instant>,
}

impl<B: Body<Data = Bytes, Error = Cut> + Send + Unpin + 'static> Watched<B> {
    /// Watches `body` in a task of `tasks`.
    pub fn new(body: B, tasks: &TaskTracker) -> Watched<B> {
        let size = body.size_hint();
        let state = State { body: Some(body), rest: Bytes::new(), untaken: Some(Instant::now()) };
        let (state, (over, ended)) = (Arc::new(Mutex::new(state)), oneshot::channel());
        tasks.spawn(watch(Arc::clone(&state), ended));
        Watched { state, size, _over: over }
    }

    /// Whether the body is still there and `test` is true of it.
    pub fn is(&self, test: impl FnOnce(&B) -> bool) -> bool {
        lock(&self.state).body.as_ref().is_some_and(test)
    }

    /// The next bytes for the client.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Cut>>> {
        let mut state = lock(&self.state);
        if state.rest.is_empty() {
            // It is asked again: the peer has taken what it was given.
            state.untaken = None;
            let Some(body) = state.body.as_mut() else { return Poll::Ready(Some(Err(Cut))) };
            match ready!(std::pin::Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => state.rest = frame.into_data().unwrap_or_default(),
                Some(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                None => return Poll::Ready(None),
            }
        }
        state.untaken = Some(Instant::now());
        let piece = state.rest.len().min(H2_PIECE_BYTES);
        Poll::Ready(Some(Ok(state.rest.split_to(piece))))
    }

    /// Whether nothing more will come.
    pub fn is_end_stream(&self) -> bool {
        let state = lock(&self.state);
        state.rest.is_empty() && state.body.as_ref().is_some_and(Body::is_end_stream)
    }

    /// How much will come, if that is known.
    pub fn size_hint(&self) -> SizeHint {
        self.size
    }
}

/// Lets go of the body when it has not been taken for too long; ends with the answer.
async fn watch<B>(state: Arc<Mutex<State<B>>>, mut ended: oneshot::Receiver<()>) {
    let mut until = Instant::now() + WRITE_STALL_MAX;
    loop {
        tokio::select! {
            _ = &mut ended => return,
            () = tokio::time::sleep_until(until) => {}
        }
        let now = Instant::now();
        let mut held = lock(&state);
        until = held.untaken.unwrap_or(now) + WRITE_STALL_MAX;
        if until <= now {
            let body = held.body.take();
            held.rest = Bytes::new();
            drop(held);
            // Its places are given back here, and its row is written.
            return drop(body);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http_body_util::{BodyExt as _, Empty};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

    use super::super::answering::Held;
    use super::super::body::Body;
    use super::*;
    use crate::bounds::H2_KEEP_ALIVE;
    use crate::metrics::Metrics;
    use crate::share::{Party, Pool, Resource, Share};

    const LENGTH: usize = 1 << 20;

    /// A server whose answers of 1 MiB hold one of `places`, and a client that has opened this
    /// window.
    async fn ask(
        places: &Share,
        tasks: &TaskTracker,
        window: u32,
    ) -> Response<hyper::body::Incoming> {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let (places, tracker) = (places.clone(), tasks.clone());
        let service = service_fn(move |_: Request<hyper::body::Incoming>| {
            let held = Held {
                _place: places.take_one().expect("a place"),
                _load: None,
                room: places.begin(),
            };
            let bytes = Some(Bytes::from(vec![b'x'; LENGTH]));
            let body = Body::Held { bytes, _held: Box::new(held) }.watched(&tracker);
            std::future::ready(Ok::<_, Infallible>(Response::new(body)))
        });
        let mut server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        server
            .timer(TokioTimer::new())
            .keep_alive_interval(H2_KEEP_ALIVE)
            .keep_alive_timeout(H2_KEEP_ALIVE);
        let serving = server.serve_connection(TokioIo::new(ours), service);
        tasks.spawn(async move { drop(serving.await) });
        let mut client = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        client.initial_stream_window_size(window);
        let (mut send, connection) =
            client.handshake(TokioIo::new(theirs)).await.expect("a handshake");
        // It answers pings as long as the process lives.
        tasks.spawn(async move { drop(connection.await) });
        let answer =
            send.send_request(Request::new(Empty::<Bytes>::new())).await.expect("an answer");
        // The connection ends with its last sender.
        tasks.spawn(async move {
            std::future::pending::<()>().await;
            drop(send)
        });
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_takes_gives_its_place_back() {
        let (pool, tasks) = (Pool::new(Resource::Calls, 1, &Metrics::new()), TaskTracker::new());
        let places = pool.of(&Party::new());
        for window in [0, 100, 65_535] {
            let begun = Instant::now();
            let mut answer = ask(&places, &tasks, window).await;
            assert_eq!(pool.used(), 1);
            while pool.used() > 0 {
                assert!(begun.elapsed() < 10 * WRITE_STALL_MAX, "no place: {window}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let waited = begun.elapsed();
            assert!(
                (WRITE_STALL_MAX..2 * WRITE_STALL_MAX).contains(&waited),
                "{window}: {waited:?}"
            );
            if window == 0 {
                // It can take nothing.
                continue;
            }
            // A peer that takes it after all sees that it is not whole.
            let mut read = 0;
            let end = loop {
                match answer.frame().await {
                    Some(Ok(frame)) => read += frame.data_ref().map_or(0, Bytes::len),
                    other => break other,
                }
            };
            assert!(end.is_some_and(|end| end.is_err()) && read < LENGTH, "{window}: {read} bytes");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_has_all_of_it() {
        let (pool, tasks) = (Pool::new(Resource::Calls, 1, &Metrics::new()), TaskTracker::new());
        let places = pool.of(&Party::new());
        let begun = Instant::now();
        let mut answer = ask(&places, &tasks, 32 << 10).await;
        let mut read = 0;
        while let Some(frame) = answer.frame().await {
            read += frame.expect("whole").data_ref().map_or(0, Bytes::len);
            tokio::time::sleep(Duration::from_secs(20)).await;
        }
        assert_eq!(read, LENGTH);
        assert!(begun.elapsed() > 10 * WRITE_STALL_MAX, "{:?}", begun.elapsed());
        assert_eq!(pool.used(), 0);
    }
}
