//! Pooled connections, one pool for each way out.
//!
//! HTTP/1.1 and HTTP/2. Connections of HTTP/1 are kept here (`kept`), which takes a fraction of the
//! instructions of hyper-util's pool; that one shares the connections of HTTP/2. Guarantees: a
//! connection is used again only by requests with the same proxy, proxy credentials, TLS files (as
//! they are now) and connect timeout; a proxy's credentials are in no request to anyone else; the
//! only retry is for a pooled connection that was dead before the first byte was written; the
//! number of pools is bounded. Does not: follow redirects, wait for a time, or decide about
//! retries.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::{Connected, Connection as _};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;

use super::Egress;
use super::connector::{Connector, NoConnection};
use super::kept::{Connection, Kept, Taken, host, in_background};
use super::stream::Stream;
use super::used::Used;
use crate::bounds::{
    HANDED_OVER_MAX, HANDED_OVER_TIME_MAX, POOL_IDLE_MAX, POOL_IDLE_TIMEOUT, POOL_SHORT_BODY_BYTES,
};
use crate::lock::lock;

/// Whether a request may go over a connection that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Allowed,
    Never,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoResponse {
    /// There is no connection.
    #[error(transparent)]
    Unconnected(#[from] NoConnection),
    /// The connection over HTTP/1 failed.
    #[error("{error}")]
    Broken {
        #[source]
        error: hyper::Error,
        connected: Connected,
    },
    /// A connection over HTTP/2 failed.
    #[error(transparent)]
    Shared(#[from] legacy::Error),
    /// The address has no host.
    #[error("the address of the request has no host")]
    Address,
}

/// The pools for requests with bodies of one type.
pub struct Pools<B> {
    list: ArcSwap<Vec<Arc<Pool<B>>>>,
    pools_max: usize,
}

/// The connections of one way out.
struct Pool<B> {
    egress: Arc<Egress>,
    within: Duration,
    tls: Arc<ClientConfig>,
    wires: Wires,
    kept: Arc<Kept<B>>,
    /// For origins that speak HTTP/2.
    client: legacy::Client<Wires, B>,
}

/// A connection that records whether it was used before.
type Wire = TokioIo<Used<TokioIo<Stream>>>;

/// Makes them.
#[derive(Clone)]
struct Wires {
    connector: Connector,
    /// Those that were made for HTTP/1 and turned out to speak HTTP/2.
    handed: Arc<Mutex<Vec<Handed>>>,
}

struct Handed {
    target: Uri,
    since: Instant,
    wire: Wire,
}

impl Wires {
    /// Hands one over.
    fn hand(&self, target: Uri, wire: Wire) {
        let mut handed = self.fresh();
        if handed.len() < HANDED_OVER_MAX {
            handed.push(Handed { target, since: Instant::now(), wire });
        }
    }

    /// One to the origin of `target`, if there is one.
    fn handed(&self, target: &Uri) -> Option<Wire> {
        let mut handed = self.fresh();
        let is_it = |handed: &Handed| {
            handed.target.scheme() == target.scheme()
                && handed.target.authority() == target.authority()
        };
        let at = handed.iter().position(is_it)?;
        Some(handed.swap_remove(at).wire)
    }

    /// All that are not too old; the others are closed.
    fn fresh(&self) -> MutexGuard<'_, Vec<Handed>> {
        let mut handed = lock(&self.handed);
        handed.retain(|handed| handed.since.elapsed() < HANDED_OVER_TIME_MAX);
        handed
    }
}

impl Service<Uri> for Wires {
    type Response = Wire;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Wire, NoConnection>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        if let Some(wire) = self.handed(&target) {
            return Box::pin(std::future::ready(Ok(wire)));
        }
        let connecting = self.connector.call(target);
        Box::pin(async move { connecting.await.map(Used::over) })
    }
}

impl<B> Pools<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// At most so many pools.
    pub fn new(pools_max: usize) -> Pools<B> {
        Pools { list: ArcSwap::default(), pools_max }
    }

    /// Sends a request. `within`: the time limit of a new connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the request used.
    pub fn send(
        &self,
        egress: &Arc<Egress>,
        within: Duration,
        mut request: Request<B>,
        reuse: Reuse,
    ) -> impl Future<Output = Result<Response<Incoming>, NoResponse>> + Send + use<B> {
        if let Some(value) = forwarded_with(egress, request.uri()) {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        let pool = match reuse {
            Reuse::Allowed => self.pool(egress, within),
            // A pool of its own, whose connections end with their requests.
            Reuse::Never => Arc::new(Pool::new(egress, within)),
        };
        // Boxed: it holds the request, and waits at the end of many other futures.
        Box::pin(pool.request(request))
    }

    fn pool(&self, egress: &Arc<Egress>, within: Duration) -> Arc<Pool<B>> {
        let is_same = |pool: &Pool<B>| pool.within == within && pool.egress.is(egress);
        let find = |pools: &[Arc<Pool<B>>]| {
            pools.iter().find(|pool| is_same(pool) && egress.tls().is(&pool.tls)).map(Arc::clone)
        };
        if let Some(pool) = find(&self.list.load()) {
            return pool;
        }
        let made = Arc::new(Pool::new(egress, within));
        self.list.rcu(|pools| {
            let mut pools = Vec::clone(pools);
            // Another request may have made it meanwhile.
            if find(&pools).is_none() {
                // Connections with former content of the TLS files end with their requests.
                pools.retain(|pool| !is_same(pool));
                pools.truncate(self.pools_max.saturating_sub(1));
                pools.insert(0, Arc::clone(&made));
            }
            pools
        });
        find(&self.list.load()).unwrap_or(made)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.list.load().len()
    }
}

impl<B> Pool<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn new(egress: &Arc<Egress>, within: Duration) -> Pool<B> {
        // Before the connections are made: a change in between makes another pool.
        let tls = egress.tls().config();
        let connector = Connector::new(Arc::clone(egress), within);
        let wires = Wires { connector, handed: Arc::default() };
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(wires.clone());
        Pool { egress: Arc::clone(egress), within, tls, wires, kept: Arc::default(), client }
    }

    async fn request(
        self: Arc<Pool<B>>,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, NoResponse> {
        let target = request.uri().clone();
        loop {
            let (connection, host) = match self.kept.take(&target, Instant::now()) {
                Taken::Connection(connection, host) => (connection, host),
                Taken::Shared => return Ok(self.client.request(request).await?),
                Taken::Nothing => break,
            };
            request = match self.over(connection, host, &target, request).await {
                Ok(response) => return Ok(response),
                Err(Unsent::Broken(why)) => return Err(why),
                // It was closed before a byte was written.
                Err(Unsent::Closed(_, unsent)) => *unsent,
            };
            *request.uri_mut() = target.clone();
        }
        Box::pin(self.over_new(target, request)).await
    }

    /// Sends a request over a connection, which is kept for the next one.
    async fn over(
        &self,
        mut connection: Connection<B>,
        host: HeaderValue,
        target: &Uri,
        mut request: Request<B>,
    ) -> Result<Response<Incoming>, Unsent<B>> {
        request.headers_mut().entry(header::HOST).or_insert(host);
        if !connection.connected.is_proxied() {
            let path = target.path_and_query().cloned();
            let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(path);
        }
        match connection.sender.try_send_request(request).await {
            Ok(response) => {
                self.keep(target, connection, &response);
                Ok(response)
            }
            Err(mut error) => {
                let unsent = error.take_message();
                let (error, connected) = (error.into_error(), connection.connected);
                let why = NoResponse::Broken { error, connected };
                Err(match unsent {
                    Some(unsent) => Unsent::Closed(why, Box::new(unsent)),
                    None => Unsent::Broken(why),
                })
            }
        }
    }

    /// Keeps a connection once its answer is over.
    fn keep(&self, target: &Uri, mut connection: Connection<B>, response: &Response<Incoming>) {
        let bytes = response.body().size_hint().exact();
        // The answer of a short one will be over before anybody looks.
        if connection.sender.is_ready() || bytes.is_some_and(|n| n <= POOL_SHORT_BODY_BYTES) {
            return self.kept.keep(target, connection);
        }
        let (kept, target) = (Arc::downgrade(&self.kept), target.clone());
        in_background(async move {
            if connection.sender.ready().await.is_ok()
                && let Some(kept) = kept.upgrade()
            {
                kept.keep(&target, connection);
            }
        });
    }

    /// Sends a request over a new connection.
    async fn over_new(
        self: Arc<Pool<B>>,
        target: Uri,
        request: Request<B>,
    ) -> Result<Response<Incoming>, NoResponse> {
        let (Some(origin), Some(host)) = (origin(&target), host(&target)) else {
            return Err(NoResponse::Address);
        };
        let wire = self.wires.clone().call(origin).await?;
        let connected = wire.connected();
        if connected.is_negotiated_h2() {
            self.kept.is_shared(&target);
            self.wires.hand(target.clone(), wire);
            let answer = self.client.request(request).await;
            // Another request was quicker, and its connection was used.
            drop(self.wires.handed(&target));
            return Ok(answer?);
        }
        let (mut sender, driver) = match http1::handshake(wire).await {
            Ok(made) => made,
            Err(error) => return Err(NoResponse::Broken { error, connected }),
        };
        let (failed, failure) = oneshot::channel();
        in_background(async move {
            if let Err(error) = driver.await {
                drop(failed.send(error));
            }
        });
        if let Err(error) = sender.ready().await {
            // The task knows better why.
            let error = failure.await.unwrap_or(error);
            return Err(NoResponse::Broken { error, connected });
        }
        drop(failure);
        let sent = self.over(Connection { sender, connected }, host, &target, request).await;
        sent.map_err(|unsent| match unsent {
            Unsent::Broken(why) | Unsent::Closed(why, _) => why,
        })
    }
}

/// Why a connection has not answered a request.
enum Unsent<B> {
    Broken(NoResponse),
    /// It was closed before the request was written.
    Closed(NoResponse, Box<Request<B>>),
}

/// The origin of a target, as an address.
fn origin(target: &Uri) -> Option<Uri> {
    let builder = Uri::builder().scheme(target.scheme()?.clone());
    builder.authority(target.authority()?.clone()).path_and_query("/").build().ok()
}

/// The credentials of a proxy that gets the whole request.
fn forwarded_with(egress: &Egress, target: &Uri) -> Option<HeaderValue> {
    if target.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let authorization = egress.proxies().of(target)?.access.authorization();
    if authorization.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&authorization).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Full};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Notify;

    use super::super::rules::{NoProxy, Proxies, ProxyAddress};
    use super::super::trust::ClientTls;
    use super::*;

    fn through(proxy: &str) -> Arc<Egress> {
        let proxy = ProxyAddress::parse(proxy).expect("a proxy");
        let proxies = Proxies::only(proxy, NoProxy::default());
        Arc::new(Egress::new(proxies, ClientTls::machine()))
    }

    #[tokio::test]
    async fn each_way_out_has_a_pool_of_its_own_and_their_number_is_bounded() {
        let pools: Pools<Full<Bytes>> = Pools::new(3);
        let send = |egress: &Arc<Egress>, ms| {
            let request = Request::builder().uri("http://127.0.0.1:1/").body(Full::default());
            let within = Duration::from_millis(ms);
            drop(pools.send(egress, within, request.expect("a request"), Reuse::Allowed));
            pools.count()
        };
        let (a, b) = (through("http://a:b@127.0.0.1:1"), through("http://a:c@127.0.0.1:1"));
        assert_eq!((send(&a, 10), send(&a, 10)), (1, 1));
        assert_eq!(send(&through("http://a:b@127.0.0.1:1"), 10), 1, "another policy");
        assert_eq!((send(&a, 11), send(&b, 10), send(&b, 10)), (2, 3, 3), "other credentials");
        assert_eq!(send(&Arc::new(Egress::direct()), 10), 3, "the oldest is let go");
    }

    /// A server that counts its connections. It answers each request with the head that it got; the
    /// words of the path say how: `close` ends the connection after the answer at `go`, `slow` keeps
    /// its body back until then, `short` has a body that is short.
    struct Server {
        address: SocketAddr,
        connections: Arc<AtomicUsize>,
        go: Arc<Notify>,
    }

    impl Server {
        async fn start() -> Server {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a socket");
            let address = listener.local_addr().expect("an address");
            let (connections, go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
            let (counted, wait) = (Arc::clone(&connections), Arc::clone(&go));
            in_background(async move {
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    counted.fetch_add(1, Ordering::SeqCst);
                    in_background(answer(stream, Arc::clone(&wait)));
                }
            });
            Server { address, connections, go }
        }

        fn connections(&self) -> usize {
            self.connections.load(Ordering::SeqCst)
        }
    }

    async fn answer(stream: TcpStream, go: Arc<Notify>) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if stream.read_line(&mut head).await.is_ok_and(|n| n > 0) {
                    continue;
                }
                return;
            }
            let length = if head.contains("/short") { 1_000 } else { 100_000 };
            let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all(start.as_bytes()).await.expect("a head");
            if head.contains("/slow") {
                go.notified().await;
            }
            let body = head.clone() + &" ".repeat(length - head.len());
            stream.write_all(body.as_bytes()).await.expect("a body");
            if head.contains("/close") {
                go.notified().await;
                return;
            }
        }
    }

    type Bodies = Pools<Full<Bytes>>;

    /// Sends a request; its answer with a body that is still to be read.
    async fn ask(pools: &Bodies, egress: &Arc<Egress>, target: String) -> Response<Incoming> {
        let request = Request::builder().uri(target).body(Full::default()).expect("a request");
        let within = Duration::from_secs(5);
        pools.send(egress, within, request, Reuse::Allowed).await.expect("an answer")
    }

    async fn read(answer: Response<Incoming>) -> String {
        let mut body = answer.into_body();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            whole.extend_from_slice(frame.expect("a frame").data_ref().expect("data"));
        }
        String::from_utf8_lossy(&whole).trim().to_owned()
    }

    /// Waits until so many open connections are kept, of which so many are free.
    async fn kept(pools: &Bodies, count: (usize, usize)) {
        let waiting = async {
            while pools.list.load()[0].kept.count() != count {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(45), waiting).await;
        assert!(waited.is_ok(), "{count:?} connections are not kept");
    }

    #[tokio::test]
    async fn a_connection_is_used_again_once_its_answer_is_over() {
        let (server, egress) = (Server::start().await, Arc::new(Egress::direct()));
        let pools = Bodies::new(3);
        let at = |path: &str| format!("http://{}{path}", server.address);
        let head = read(ask(&pools, &egress, at("/a?b=c")).await).await;
        let expected = format!("GET /a?b=c HTTP/1.1\r\nhost: {}", server.address);
        assert!(head.starts_with(&expected), "{head}");
        kept(&pools, (1, 1)).await;
        // The second is not over when the third is asked.
        let slow = ask(&pools, &egress, at("/slow")).await;
        assert_eq!(server.connections(), 1);
        read(ask(&pools, &egress, at("/")).await).await;
        assert_eq!(server.connections(), 2);
        server.go.notify_one();
        read(slow).await;
        kept(&pools, (2, 2)).await;
        read(ask(&pools, &egress, at("/")).await).await;
        assert_eq!(server.connections(), 2);
    }

    #[tokio::test]
    async fn a_short_answer_that_is_not_over_keeps_its_connection_to_itself() {
        let (server, egress) = (Server::start().await, Arc::new(Egress::direct()));
        let pools = Bodies::new(3);
        let at = |path: &str| format!("http://{}{path}", server.address);
        let slow = ask(&pools, &egress, at("/short/slow")).await;
        // It is kept before its answer is over, and is not free.
        kept(&pools, (1, 0)).await;
        read(ask(&pools, &egress, at("/short")).await).await;
        assert_eq!(server.connections(), 2);
        kept(&pools, (2, 1)).await;
        server.go.notify_one();
        read(slow).await;
        kept(&pools, (2, 2)).await;
        let first = ask(&pools, &egress, at("/short")).await;
        let second = ask(&pools, &egress, at("/short")).await;
        assert_eq!((read(first).await.is_empty(), read(second).await.is_empty()), (false, false));
        assert_eq!(server.connections(), 2, "both are used again");
    }

    #[tokio::test]
    async fn a_connection_that_its_server_has_closed_costs_no_request() {
        let (server, egress) = (Server::start().await, Arc::new(Egress::direct()));
        let pools = Bodies::new(3);
        let at = |path: &str| format!("http://{}{path}", server.address);
        for asked in 1..=3 {
            read(ask(&pools, &egress, at("/close")).await).await;
            kept(&pools, (1, 1)).await;
            server.go.notify_one();
            kept(&pools, (0, 0)).await;
            assert_eq!(server.connections(), asked);
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_idle_for_long_is_closed() {
        let (server, egress) = (Server::start().await, Arc::new(Egress::direct()));
        let pools = Bodies::new(3);
        let target: Uri = format!("http://{}/", server.address).parse().expect("a URL");
        read(ask(&pools, &egress, target.to_string()).await).await;
        kept(&pools, (1, 1)).await;
        let pool = Arc::clone(&pools.list.load()[0]);
        let later = Instant::now() + POOL_IDLE_TIMEOUT;
        assert!(matches!(pool.kept.take(&target, later), Taken::Nothing));
        assert_eq!(pool.kept.count(), (0, 0));
    }

    #[test]
    fn credentials_go_with_requests_that_a_proxy_forwards() {
        let egress = through("http://user:pass@127.0.0.1:1");
        let value =
            |egress: &Egress, target: &str| forwarded_with(egress, &target.parse().expect("a URL"));
        let sent = value(&egress, "http://a.test/v1").expect("credentials");
        assert!(sent.is_sensitive() && sent == "Basic dXNlcjpwYXNz");
        assert_eq!(value(&egress, "https://a.test/v1"), None);
        assert_eq!(value(&egress, "http://169.254.169.254/latest"), None);
        assert_eq!(value(&Egress::direct(), "http://a.test/v1"), None);
    }
}
