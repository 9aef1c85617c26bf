//! The simulated provider: speaks the APIs of OpenAI, Azure, Anthropic, Gemini and Bedrock, so
//! that demos and tests need no key and no network.
//!
//! Around the walk: a program of its own (`tollgate mock`) that stands where a provider would.
//! Guarantees: answers are deterministic, usage is counted (a token is four bytes), streams have
//! the events and endings of the real thing, requests that differ from the provider's documented
//! schema are refused in its own words, and faults are played on request, by flags for every call
//! or by a marker in a message's text for one call (`[[mock:status=503,times=2]]`, see [`fault`]).
//! Does not: understand anything, keep anything, or know which keys are valid.
//!
//! Sources: the API references of these providers, as read in November 2026. Independent of the
//! gateway's own formats on purpose: a mistake there is not repeated here.

mod answer;
mod body;
pub mod fault;
mod form;
mod intent;
mod json;
mod kind;
mod kinds;
mod media;
mod sample;
mod shape;
mod signature;
mod think;
mod vector;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bounds::{CONNECTIONS_MAX, MOCK_BODY_BYTES_MAX};
use answer::{Answer, ApiError};
use body::{End, Play};
use fault::{Plays, Script};
use kind::Kind;

/// The faults of every call, unless its own marker says otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0: any free port.
    pub listen: SocketAddr,
    /// Every n-th call fails with `status`; 0: none.
    pub fail_every: u64,
    /// The status of such a failure.
    pub status: u16,
    /// Waiting time before an answer begins.
    pub latency: Duration,
    /// Waiting time between two events of a stream.
    pub chunk_delay: Duration,
    /// Words of an answer; without it the answer is as long as it is.
    pub chunks: Option<usize>,
    /// Items of a marker for every call, or, with `fail_every`, for every n-th in the place of
    /// `status`.
    pub fault: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            fail_every: 0,
            status: 503,
            latency: Duration::ZERO,
            chunk_delay: Duration::ZERO,
            chunks: None,
            fault: String::new(),
        }
    }
}

/// A running simulated provider. It stops when this is dropped.
pub struct Handle {
    stop: CancellationToken,
    tasks: TaskTracker,
    shared: Arc<Shared>,
}

impl Handle {
    /// Calls that have arrived so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// Stops and waits until every connection is closed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Shared {
    options: Options,
    calls: AtomicU64,
    plays: Plays,
    /// Those of [`Options::fault`].
    flag_plays: Plays,
}

/// Starts a simulated provider on the current runtime; says where it listens.
///
/// # Errors
/// If the address cannot be bound.
pub async fn start(options: Options) -> io::Result<(SocketAddr, Handle)> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared {
        options,
        calls: AtomicU64::new(0),
        plays: Plays::default(),
        flag_plays: Plays::default(),
    });
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    tasks.spawn(accept(listener, Arc::clone(&shared), stop.clone(), tasks.clone()));
    tasks.close();
    Ok((address, Handle { stop, tasks, shared }))
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, connection) = tokio::select! {
            () = stop.cancelled() => return,
            accepted = accepted => accepted,
        };
        // A connection that was gone before it was accepted, or no file descriptor left: the next
        // try may do better.
        let Ok((connection, _)) = connection else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (shared, stop) = (Arc::clone(&shared), stop.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = serve(connection, shared) => {}
            }
            drop(permit);
        });
    }
}

async fn serve(connection: TcpStream, shared: Arc<Shared>) {
    // Without it small events wait for the peer's acknowledgement; an error means that the peer is
    // gone.
    let _ = connection.set_nodelay(true);
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { call(&shared, request).await }
    });
    // An error here is a peer that left, or a reset that a marker asked for.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(connection), service)
        .await;
}

/// The connection is closed without an answer: what a marker asked for.
#[derive(Debug, thiserror::Error)]
#[error("reset on request")]
struct Reset;

async fn call(shared: &Shared, request: Request<Incoming>) -> Result<Response<Play>, Reset> {
    let number = shared.calls.fetch_add(1, Ordering::Relaxed) + 1;
    let (head, body) = request.into_parts();
    let read = read(body).await;
    let (is_too_long, body) = match read {
        Ok(body) => (false, body),
        Err(Unread::TooLong) => (true, Bytes::new()),
        Err(Unread::Gone) => return Err(Reset),
    };
    let line = (&head.method, head.uri.path(), head.uri.query().unwrap_or_default());
    let request = kind::Request::new(line, &head.headers, &body, number);
    let kind = kinds::of(&request);
    if is_too_long {
        let error = ApiError::of_status(413, &Script::default());
        return Ok(respond((kind.error)(&error), &Script::default()));
    }
    let script = match script(shared, &request) {
        Ok(script) => script,
        Err(problem) => {
            let error = ApiError::invalid(problem, None);
            return Ok(respond((kind.error)(&error), &Script::default()));
        }
    };
    tokio::time::sleep(script.delay).await;
    if script.reset {
        return Err(Reset);
    }
    let mut answer = match script.status {
        Some(status) => (kind.error)(&ApiError::of_status(status, &script)),
        None => (kind.answer)(&request, &script).unwrap_or_else(|error| (kind.error)(&error)),
    };
    spoil(&mut answer, &script, kind, &request);
    if script.stall && matches!(answer, Answer::Whole { .. }) {
        // Dropped with the connection.
        std::future::pending::<Infallible>().await;
    }
    Ok(respond(answer, &script))
}

/// The faults of a call: those of the flags, and those of its own markers.
fn script(shared: &Shared, request: &kind::Request<'_>) -> Result<Script, String> {
    let mut script = Script::from_options(&shared.options);
    let Options { fail_every: every, fault, .. } = &shared.options;
    let is_due = *every > 0 && request.number.is_multiple_of(*every);
    if is_due || (*every == 0 && !fault.is_empty()) {
        let played = shared.flag_plays.apply(fault, &mut script);
        debug_assert!(played.is_ok(), "the flag was checked");
    }
    request
        .markers()
        .into_iter()
        .try_for_each(|marker| shared.plays.apply(&marker, &mut script))?;
    if is_due && fault.is_empty() && script.status.is_none() {
        script.status = Some(shared.options.status);
    }
    Ok(script)
}

/// The faults that are of the answer itself, and not of how it is sent.
fn spoil(answer: &mut Answer, script: &Script, kind: &Kind, request: &kind::Request<'_>) {
    match answer {
        Answer::Events { events, .. } if script.error || script.unfinished => {
            events.truncate(script.events_before(events.len()));
            if script.error {
                let error = ApiError::of_status(500, script);
                events.push((kind.error_event)(request, &error, events.len()));
            }
        }
        Answer::Events { .. } => {}
        Answer::Whole { .. } if script.error && script.status.is_none() => {
            *answer = (kind.error)(&ApiError::of_status(500, script));
        }
        Answer::Whole { body, .. } if script.unfinished => *body = body.slice(..body.len() / 2),
        Answer::Whole { .. } => {}
    }
    if script.page {
        let status = script.status.unwrap_or(200);
        let page = format!(
            "<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>mock</body></html>\n"
        );
        *answer =
            Answer::Whole { status, content_type: "text/html", headers: vec![], body: page.into() };
    }
}

fn respond(answer: Answer, script: &Script) -> Response<Play> {
    let end = match (script.cut, script.stall) {
        (true, _) => End::Cut,
        (false, true) => End::Stall,
        (false, false) => End::Whole,
    };
    let (status, content_type, headers, play) = match answer {
        Answer::Whole { status, content_type, headers, body } => {
            (status, content_type, headers, Play::whole(body, end))
        }
        Answer::Events { content_type, events } => {
            let before = script.events_before(events.len());
            (200, content_type, vec![], Play::events(events, script.chunk_delay, end, before))
        }
    };
    let play =
        if script.split.is_some() { play.split(script.split, script.chunk_delay) } else { play };
    let mut response = Response::new(play);
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::SERVICE_UNAVAILABLE);
    let fixed =
        [("content-type", content_type.to_owned()), ("openai-version", "2020-10-01".to_owned())];
    for (name, value) in fixed.into_iter().chain(headers) {
        if let Ok(value) = value.parse() {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

enum Unread {
    TooLong,
    Gone,
}

async fn read(mut body: Incoming) -> Result<Bytes, Unread> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Unread::Gone)?.into_data() else { continue };
        if read.len() + data.len() > MOCK_BODY_BYTES_MAX {
            return Err(Unread::TooLong);
        }
        read.extend_from_slice(&data);
    }
    Ok(read.freeze())
}

#[cfg(test)]
mod tests;
