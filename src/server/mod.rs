//! Stage 1 of the walk: connections in, answers out.
//!
//! Level 5 of the map. One accept loop, one task per connection, HTTP/1.1 and HTTP/2 by hyper, TLS
//! by rustls. `guard` is the stream between socket and hyper, `heads` finds ambiguous heads before
//! hyper reads them, `reply` writes refusals, `tls` reads certificates, `descriptors` fits the
//! number of connections to the system's limit. Guarantees: connections are bounded, and each
//! caller has a share of them; the accept loop never waits for a connection; a connection that does
//! not authenticate ends (see `over` and `pipeline/seat`); every connection ends within the drain.
//! Does not: interpret calls.

mod cors;
pub mod descriptors;
mod dispatch;
pub mod guard;
mod heads;
mod heard;
mod over;
pub mod reply;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bounds::{
    FIRST_CALL_AT_DRAIN, H2_CONNECTION_WINDOW, H2_HEAD_BYTES_MAX, H2_KEEP_ALIVE, H2_SEND_BYTES_MAX,
    H2_STREAM_WINDOW, H2_STREAMS_MAX, HEAD_TIMEOUT, HTTP1_BUFFER_BYTES_MAX, TLS_HANDSHAKE_TIMEOUT,
    UNREAD_TIME_MAX,
};
use crate::ids::RequestId;
use crate::metrics::Metrics;
use crate::pipeline;
use crate::pipeline::answer_out::body::Body;
use crate::pipeline::gateway::Gateway;
use crate::pipeline::seat::Seat;
use crate::pipeline::tenants::Address;
use crate::pipeline::unread::{Linger, Rest};
use crate::pipeline::upload::discard;
use crate::tls::TlsAcceptor;
use dispatch::dispatch;
use guard::{Guarded, Spoken};
use heads::Verdict;
use heard::Heard;
use over::Over;

/// Binds a listening socket with a deep queue, so that a burst of connects is not refused.
///
/// # Errors
/// The address is in use, or is not an address of this machine.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let domain = if address.is_ipv4() { socket2::Domain::IPV4 } else { socket2::Domain::IPV6 };
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    TcpListener::from_std(socket.into())
}

/// The two signals that end a server.
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

/// Accepts connections until the stop signal, and never waits for one of them to end. Beyond the
/// bound, and beyond the share of connections without an authenticated call, `over` more are
/// accepted so that they can authenticate.
pub async fn serve(
    listener: TcpListener,
    over: usize,
    gateway: Arc<Gateway>,
    tls: Option<TlsAcceptor>,
    ending: Ending,
    tasks: TaskTracker,
) {
    let mut over = Over::new(over);
    loop {
        let (stream, peer) = tokio::select! {
            () = ending.stop.cancelled() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    pause_after(&error, &gateway.metrics).await;
                    continue;
                }
            },
        };
        let address = Address::of(peer.ip());
        let tenants = &gateway.tenants;
        let seat = match tenants.connections.of(&tenants.unknown(address)).take_one() {
            Ok(held) => Arc::new(Seat::unknown(address, held)),
            Err(_) => match over.seat(address).await {
                Some(seat) => seat,
                // The machine is too busy to close another: this one is closed.
                None => continue,
            },
        };
        let (gateway, tls, ending) = (Arc::clone(&gateway), tls.clone(), ending.clone());
        let streams = Streams(tasks.clone());
        tasks.spawn(async move {
            let _open = Counted::new(&gateway.metrics);
            drop(stream.set_nodelay(true));
            let stream = Heard::new(stream, Arc::clone(&seat));
            let served = async {
                match tls {
                    None => connection(stream, &gateway, ending, &seat, streams).await,
                    // Boxed: a connection without TLS need not hold room for one with it.
                    Some(acceptor) => {
                        Box::pin(secured(stream, acceptor, &gateway, ending, &seat, streams)).await
                    }
                }
            };
            // In this order, here and below: a random one costs a number at each wake-up.
            tokio::select! {
                biased;
                () = served => {}
                () = seat.may_stay() => {}
            }
            seat.left();
        });
    }
}

/// A peer that gave up is no reason to wait; a lack of descriptors is.
async fn pause_after(error: &io::Error, metrics: &Metrics) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        metrics.bound("accept");
        tracing::warn!(event = "accept_failed", %error, "cannot accept connections for a moment");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One connection behind TLS.
async fn secured(
    stream: Heard<TcpStream>,
    acceptor: TlsAcceptor,
    gateway: &Arc<Gateway>,
    ending: Ending,
    seat: &Arc<Seat>,
    streams: Streams,
) {
    // A peer that does not finish its handshake gets no answer.
    if let Ok(Ok(stream)) =
        tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await
    {
        connection(stream, gateway, ending, seat, streams).await;
    }
}

/// Runs the streams of HTTP/2 connections. The drain waits for them as for connections, so that the
/// rows of aborted calls are written before the log is closed.
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

/// One connection, from its first byte to its last.
async fn connection<S>(
    stream: S,
    gateway: &Arc<Gateway>,
    ending: Ending,
    seat: &Arc<Seat>,
    streams: Streams,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut stream, heads) = Guarded::new(stream);
    let spoken = tokio::select! {
        spoken = stream.spoken(HEAD_TIMEOUT) => spoken,
        () = ending.without_a_call() => return,
    };
    let Ok(spoken) = spoken else { return };
    let serving = Arc::clone(seat);
    let service = service_fn(move |request: Request<Incoming>| {
        let (gateway, seat) = (Arc::clone(gateway), Arc::clone(&serving));
        let (number, busy) = seat.request();
        let verdict = match request.version() {
            http::Version::HTTP_2 => Verdict::Clear,
            _ => heads.verdict(number),
        };
        // The request has one place, from which the call takes it.
        let mut request = Some(request);
        // Boxed: hyper keeps a future's place as long as the connection is open, and this one takes
        // 2 KiB.
        Box::pin(async move {
            let _busy = busy;
            Ok::<_, std::convert::Infallible>(answer(&gateway, &mut request, verdict, &seat).await)
        })
    });
    let builder = builder(streams, &spoken);
    let io = TokioIo::new(stream);
    let mut connection = pin!(builder.serve_connection(io, service));
    // An error here is the peer's: it left, or did not speak HTTP. hyper has answered if it could.
    tokio::select! {
        biased;
        result = connection.as_mut() => return drop(result),
        () = ending.stop.cancelled() => {}
    }
    if seat.requests() == 0 {
        // It was accepted just before the stop, and its call is on its way: hyper would close it
        // unread.
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

/// The settings of a connection in the version that its client speaks.
fn builder(streams: Streams, spoken: &Spoken) -> auto::Builder<Streams> {
    let builder = auto::Builder::new(streams);
    let mut builder = match spoken {
        Spoken::Http1 => builder.http1_only(),
        Spoken::Http2 => builder.http2_only(),
    };
    // Never `pipeline_flush`: with it hyper takes bodies without bound while the peer does not
    // read.
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HTTP1_BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(H2_STREAMS_MAX)
        .max_header_list_size(H2_HEAD_BYTES_MAX)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .max_send_buf_size(H2_SEND_BYTES_MAX)
        .keep_alive_interval(H2_KEEP_ALIVE)
        .keep_alive_timeout(H2_KEEP_ALIVE);
    builder
}

/// The facts of a request that its answer depends on, whatever becomes of the call.
struct Asked {
    id: RequestId,
    head_only: bool,
    is_http1: bool,
    origin: Option<HeaderValue>,
    is_anthropic: bool,
}

impl Asked {
    fn of(gateway: &Gateway, request: &Request<Incoming>) -> Asked {
        Asked {
            id: pipeline::request_id(gateway, request.headers()),
            head_only: request.method() == http::Method::HEAD,
            is_http1: request.version() != http::Version::HTTP_2,
            origin: request.headers().get(header::ORIGIN).cloned(),
            is_anthropic: pipeline::translation::is_anthropic(request.uri().path()),
        }
    }
}

/// Serves one call.
async fn answer(
    gateway: &Arc<Gateway>,
    request: &mut Option<Request<Incoming>>,
    verdict: Verdict,
    seat: &Arc<Seat>,
) -> Response<Body> {
    let Some(Asked { id, head_only, is_http1, origin, is_anthropic }) =
        request.as_ref().map(|request| Asked::of(gateway, request))
    else {
        return reply::refusal(&reply::defect(), false);
    };
    let result = match verdict {
        Verdict::Clear => {
            let mut call = pin!(dispatch(gateway, request, &id, seat));
            caught(call.as_mut(), &gateway.metrics).await
        }
        Verdict::Ambiguous(why) => Err(heads::refusal(why)),
    };
    if let Err(refusal) = &result {
        seat.before_refusal(refusal.code, &gateway.tenants, gateway.clock.now()).await;
    }
    let mut response = result.unwrap_or_else(|refusal| {
        refusal.log(&id);
        reply::refusal(&refusal, is_anthropic)
    });
    reply::finish(&mut response, &id);
    if let Some(origin) = origin {
        cors::mark(&gateway.policy.load().cors, &origin, response.headers_mut());
    }
    if seat.is_over() {
        // It has its answer; its place is free for another connection.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if is_http1 {
        settle_upload(gateway, verdict, seat, response.headers_mut());
    }
    if head_only {
        *response.body_mut() = Body::Full(None);
    }
    response
}

/// Decides what becomes of a request body that is not at its end when its call has an answer: the
/// connection can be used again, or the answer says that it ends, and it is read on (see `heard`).
fn settle_upload(
    gateway: &Gateway,
    verdict: Verdict,
    seat: &Arc<Seat>,
    headers: &mut http::HeaderMap,
) {
    let rest = seat.upload.answered(seat.requests());
    let closes = headers.get(header::CONNECTION).is_some_and(|value| value == "close");
    match rest {
        Rest::Nothing if verdict == Verdict::Clear => return,
        Rest::Left(left) if left.is_short() && !closes => {
            return discard(left, gateway, seat);
        }
        Rest::Nothing | Rest::Left(_) | Rest::Underway => {}
    }
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    seat.upload.linger(Linger { bytes: gateway.max_body_bytes, time: UNREAD_TIME_MAX });
}

/// A defect in one call ends that call and no other.
///
/// The call stays where it is: a future that is handed over by value is copied, and takes its place
/// twice.
async fn caught<F>(
    mut call: Pin<&mut F>,
    metrics: &Metrics,
) -> Result<Response<Body>, pipeline::refusal::Refusal>
where
    F: Future<Output = Result<Response<Body>, pipeline::refusal::Refusal>>,
{
    std::future::poll_fn(|cx| {
        let polled =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call.as_mut().poll(cx)));
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
