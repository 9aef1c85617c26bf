//! Stage 1 of the walk: connections in, answers out.
//!
//! Level 5 of the map. One accept loop, one task per connection, HTTP/1.1 and HTTP/2 by hyper, TLS by rustls. `guard`
//! looks at the bytes of a head before hyper does, `reply` makes bytes of a refusal, `tls` reads certificates, `descriptors`
//! fits connections into what the system gives. Promises:
//! a bound on connections (above it a few are told to come back, then the loop waits); every connection ends within the
//! drain. Does not: know what a call
//! is about.

pub mod descriptors;
pub mod guard;
pub mod reply;
pub mod tls;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bounds::{
    FIRST_CALL_AT_DRAIN, H2_CONNECTION_WINDOW, H2_KEEP_ALIVE, H2_SEND_BYTES_MAX, H2_STREAM_WINDOW, H2_STREAMS_MAX,
    HEAD_TIMEOUT, HEAD_TIMEOUT_OVER, HTTP1_BUFFER_BYTES_MAX, TLS_HANDSHAKE_TIMEOUT,
};
use crate::metrics::Metrics;
use crate::pipeline;
use crate::pipeline::body::Body;
use crate::pipeline::gateway::Gateway;
use descriptors::Places;
use guard::{Guarded, Spoken, Verdict};
use tls::TlsAcceptor;

/// Binds a listening socket with a deep queue, so that a burst of connects is not refused.
///
/// # Errors
/// The address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// How a server is told to end.
#[derive(Clone, Default)]
pub struct Ending {
    /// No more connections; those that are open finish their calls.
    pub stop: CancellationToken,
    /// Open connections are cut.
    pub cut: CancellationToken,
}

impl Ending {
    /// Lasts as long as a connection that had no call yet may still begin one.
    async fn without_a_call(&self) {
        self.stop.cancelled().await;
        tokio::select! {
            () = self.cut.cancelled() => {}
            () = tokio::time::sleep(FIRST_CALL_AT_DRAIN) => {}
        }
    }
}

/// Takes connections until told to stop. Above the bound a few more are taken, to be told to come back.
pub async fn serve(
    listener: TcpListener,
    places: Places,
    gateway: Arc<Gateway>,
    tls: Option<TlsAcceptor>,
    ending: Ending,
    tasks: TaskTracker,
) {
    let (served, over) = (Arc::new(Semaphore::new(places.served)), Arc::new(Semaphore::new(places.over)));
    loop {
        let stream = tokio::select! {
            () = ending.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    pause_after(&error, &gateway.metrics).await;
                    continue;
                }
            },
        };
        let (place, welcome) = match Arc::clone(&served).try_acquire_owned() {
            Ok(place) => (Ok(place), true),
            Err(_) => {
                gateway.metrics.bound("connections");
                tokio::select! {
                    place = Arc::clone(&served).acquire_owned() => (place, true),
                    place = Arc::clone(&over).acquire_owned() => (place, false),
                    () = ending.stop.cancelled() => return,
                }
            }
        };
        let Ok(place) = place else { return };
        let (gateway, tls, ending) = (Arc::clone(&gateway), tls.clone(), ending.clone());
        let streams = Streams(tasks.clone());
        tasks.spawn(async move {
            let _place = place;
            let open = Counted::new(&gateway.metrics);
            drop(stream.set_nodelay(true));
            match tls {
                None => connection(stream, &gateway, ending, welcome, streams).await,
                // Boxed: a connection without TLS need not hold room for one with it.
                Some(acceptor) => Box::pin(secured(stream, acceptor, &gateway, ending, welcome, streams)).await,
            }
            drop(open);
        });
    }
}

/// A peer that gave up is no reason to wait; a lack of descriptors is.
async fn pause_after(error: &io::Error, metrics: &Metrics) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        metrics.bound("accept");
        tracing::warn!(%error, "cannot accept connections for a moment");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One connection behind TLS.
async fn secured(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    gateway: &Arc<Gateway>,
    ending: Ending,
    welcome: bool,
    streams: Streams,
) {
    // A peer that does not finish its handshake is nobody's call: nothing to answer.
    let within = if welcome { TLS_HANDSHAKE_TIMEOUT } else { HEAD_TIMEOUT_OVER };
    if let Ok(Ok(stream)) = tokio::time::timeout(within, acceptor.accept(stream)).await {
        connection(stream, gateway, ending, welcome, streams).await;
    }
}

/// Where the streams of an HTTP/2 connection run: they are waited for at the end as the connections are, so that the rows of
/// calls that are cut come before the log is closed.
#[derive(Clone)]
struct Streams(TaskTracker);

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.spawn(stream);
    }
}

/// One connection, from its first byte to its last. One that is not `welcome` is there beyond the bound.
async fn connection<S>(stream: S, gateway: &Arc<Gateway>, ending: Ending, welcome: bool, streams: Streams)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let head_timeout = if welcome { HEAD_TIMEOUT } else { HEAD_TIMEOUT_OVER };
    let (mut stream, heads) = Guarded::new(stream);
    let spoken = tokio::select! {
        spoken = stream.spoken(head_timeout) => spoken,
        () = ending.without_a_call() => return,
    };
    let Ok(spoken) = spoken else { return };
    let served = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&served);
    let service = service_fn(move |request: Request<Incoming>| {
        let gateway = Arc::clone(gateway);
        let number = counted.fetch_add(1, Ordering::Relaxed);
        let verdict = match request.version() {
            http::Version::HTTP_2 => Verdict::Clear,
            _ => heads.verdict(number),
        };
        let verdict = if welcome { verdict } else { verdict.unwelcome() };
        // Boxed: hyper keeps a future's place as long as the connection is open, and this one takes 3.6 KiB.
        Box::pin(async move { Ok::<_, std::convert::Infallible>(answer(&gateway, request, verdict).await) })
    });
    let builder = auto::Builder::new(streams);
    let mut builder = match spoken {
        Spoken::Http1 => builder.http1_only(),
        Spoken::Http2 => builder.http2_only(),
    };
    // Never `pipeline_flush`: with it hyper takes bodies without end while the peer does not read.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(head_timeout).max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(64 << 10)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE);
    let io = TokioIo::new(stream);
    let mut connection = pin!(builder.serve_connection(io, service));
    // An error here is the peer's: it left, or spoke no HTTP. hyper has answered what could be answered.
    tokio::select! {
        result = connection.as_mut() => return drop(result),
        () = ending.stop.cancelled() => {}
    }
    if served.load(Ordering::Relaxed) == 0 {
        // It was taken just before the end, and its call is on its way: hyper would close it unread.
        tokio::select! {
            result = connection.as_mut() => return drop(result),
            () = ending.without_a_call() => {}
        }
    }
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        result = connection.as_mut() => drop(result),
        () = ending.cut.cancelled() => {}
    }
}

/// One call, whatever becomes of it.
async fn answer(gateway: &Arc<Gateway>, request: Request<Incoming>, verdict: Verdict) -> Response<Body> {
    let id = pipeline::request_id(gateway, request.headers());
    let head_only = request.method() == http::Method::HEAD;
    let result = match verdict {
        Verdict::Clear => {
            let mut call = pin!(pipeline::handle(gateway, request, &id));
            caught(call.as_mut(), &gateway.metrics).await
        }
        Verdict::Ambiguous(why) => Err(guard::refusal(why)),
        Verdict::Over => pipeline::turn_away(gateway, &request),
    };
    let mut response = result.unwrap_or_else(|refusal| {
        if refusal.code.status() >= 500 {
            tracing::warn!(code = refusal.code.as_str(), request_id = id.as_str(), "call refused");
        }
        reply::refusal(&refusal)
    });
    reply::finish(&mut response, &id);
    if head_only {
        *response.body_mut() = Body::Full(None);
    }
    response
}

/// A defect in one call ends that call and no other.
///
/// The call stays where it is: a future that is handed over by value is copied, and takes its place twice.
async fn caught<F>(mut call: Pin<&mut F>, metrics: &Metrics) -> Result<Response<Body>, pipeline::refusal::Refusal>
where
    F: Future<Output = Result<Response<Body>, pipeline::refusal::Refusal>>,
{
    std::future::poll_fn(|cx| {
        let polled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.as_mut().poll(cx)));
        polled.unwrap_or_else(|_| {
            metrics.panics.inc();
            std::task::Poll::Ready(Err(reply::defect()))
        })
    })
    .await
}

/// Counts an open connection while it lives.
struct Counted(prometheus::IntGauge);

impl Counted {
    fn new(metrics: &Metrics) -> Counted {
        metrics.connections.inc();
        Counted(metrics.connections.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
