//! The pooled HTTP client: one attempt at one provider.
//!
//! Stage 10 of the walk. HTTP/1.1 and HTTP/2 over TCP or TLS with the machine's trusted roots.
//! Guarantees: dropping the future of a call closes its connection; redirects are not followed; the
//! only retry is for a pooled connection that was dead before the first byte was written; one that
//! ends as it is used again is told apart from one that fails when it is new. Does not: decide
//! whether a failed call is retried.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as PooledClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::time::Instant;
use tower_service::Service;

use super::replay::{AttemptBody, Outgoing};
use super::retry::Failure;
use super::used::{self, Used};
use crate::bounds::{POOL_IDLE_MAX, POOL_IDLE_TIMEOUT, POOLS_MAX};

type Pool = PooledClient<Timed<HttpsConnector<HttpConnector>>, AttemptBody>;

/// Whether a request may go over a connection that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Allowed,
    Never,
}

/// A connector with one time limit for name lookup, TCP and TLS together.
#[derive(Clone)]
struct Timed<C> {
    inner: C,
    within: Duration,
}

impl<C> Service<Uri> for Timed<C>
where
    C: Service<Uri>,
    C::Future: Send + 'static,
    C::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Response = TokioIo<Used<C::Response>>;
    type Error = Box<dyn StdError + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let (connecting, within) = (self.inner.call(address), self.within);
        Box::pin(async move {
            match tokio::time::timeout(within, connecting).await {
                Ok(connected) => connected.map(Used::over).map_err(Into::into),
                Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
            }
        })
    }
}

/// Sends attempts over pooled connections.
pub struct Client {
    tls: rustls::ClientConfig,
    /// Pools, and the connect timeouts they were made with: another timeout in the policy makes
    /// another pool.
    pools: ArcSwap<Vec<(Duration, Pool)>>,
}

impl Client {
    /// A client that trusts the machine's roots, or Mozilla's if the machine has none.
    pub fn new(connect_timeout: Duration) -> Client {
        let tls =
            rustls::ClientConfig::builder().with_root_certificates(roots()).with_no_client_auth();
        let pools = ArcSwap::from_pointee(vec![(connect_timeout, pool(&tls, connect_timeout))]);
        Client { tls, pools }
    }

    /// Sends one request and waits for the head of its answer. `times`: for connecting, and from
    /// then on.
    ///
    /// # Errors
    /// The failure. A body that broke on the client's side shows as [`Failure::Reset`]; ask
    /// [`Outgoing::is_broken`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the attempt used.
    pub async fn send(
        &self,
        request: Request<AttemptBody>,
        body: &Outgoing,
        (connect_timeout, first_byte): (Duration, Duration),
        reuse: Reuse,
    ) -> Result<Response<Incoming>, Failure> {
        let pool = match reuse {
            Reuse::Allowed => self.pool_for(connect_timeout),
            // A pool of its own, whose connections end with their calls.
            Reuse::Never => pool(&self.tls, connect_timeout),
        };
        let answer = pool.request(request);
        tokio::pin!(answer);
        let mut deadline = Instant::now() + first_byte;
        loop {
            match tokio::time::timeout_at(deadline, answer.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(classify(&error)),
                // The wait for the first byte begins when the request has been sent, not while it
                // is.
                Err(_) => match body.progress().map(|at| at + first_byte) {
                    Some(later) if later > deadline => deadline = later,
                    _ => return Err(Failure::FirstByteTimeout),
                },
            }
        }
    }

    fn pool_for(&self, connect_timeout: Duration) -> Pool {
        let find = |pools: &[(Duration, Pool)]| {
            pools
                .iter()
                .find(|(timeout, _)| *timeout == connect_timeout)
                .map(|(_, pool)| pool.clone())
        };
        if let Some(pool) = find(&self.pools.load()) {
            return pool;
        }
        let made = pool(&self.tls, connect_timeout);
        self.pools.rcu(|pools| {
            let mut pools = Vec::clone(pools);
            // Another call may have made it meanwhile.
            if find(&pools).is_none() {
                pools.truncate(POOLS_MAX - 1);
                pools.insert(0, (connect_timeout, made.clone()));
            }
            pools
        });
        find(&self.pools.load()).unwrap_or(made)
    }
}

/// `tcp` as it is used here: every address of a name is tried within one attempt.
fn connecting<R>(mut tcp: HttpConnector<R>, connect_timeout: Duration) -> HttpConnector<R> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // Divided among the addresses of a name, so that one that does not answer leaves time for the
    // next.
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp
}

fn pool(tls: &rustls::ClientConfig, connect_timeout: Duration) -> Pool {
    let tcp = connecting(HttpConnector::new(), connect_timeout);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls.clone())
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp);
    let connector = Timed { inner: connector, within: connect_timeout };
    PooledClient::builder(TokioExecutor::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_MAX)
        .pool_timer(TokioTimer::new())
        .timer(TokioTimer::new())
        .build(connector)
}

/// The machine's trusted roots; Mozilla's where there are none, as in an empty container.
fn roots() -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    for certificate in rustls_native_certs::load_native_certs().certs {
        // A root that cannot be parsed is left out; it could not verify anything.
        drop(store.add(certificate));
    }
    if store.is_empty() {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

/// EMFILE, ENFILE, ENOBUFS and EADDRNOTAVAIL of Linux: this machine lacks the resource.
const EXHAUSTED: [i32; 4] = [24, 23, 105, 99];

fn classify(error: &hyper_util::client::legacy::Error) -> Failure {
    let mut source: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(cause) = source {
        let errno = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        if errno.is_some_and(|errno| EXHAUSTED.contains(&errno)) {
            return Failure::Exhausted;
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>().or_else(|| within_io(cause)) {
            tracing::warn!(reason = %tls, "the connection to a provider could not be secured");
            // A certificate that does not verify will not verify next time; an alert or a cut
            // handshake may pass. After the handshake it may be about what was sent.
            let is_message = matches!(
                tls,
                rustls::Error::InvalidCertificate(_) | rustls::Error::InvalidMessage(_)
            );
            return match (error.is_connect(), is_message) {
                (true, true) => Failure::Certificate,
                (true, false) => Failure::Connect,
                (false, true) => Failure::Protocol,
                (false, false) => Failure::Reset,
            };
        }
        if let Some(http) = cause.downcast_ref::<hyper::Error>()
            && (http.is_parse() || http.is_parse_too_large() || http.is_parse_status())
        {
            return Failure::Protocol;
        }
        source = cause.source();
    }
    if error.is_connect() {
        Failure::Connect
    } else if error.connect_info().is_some_and(used::ended_in_reuse) {
        Failure::Stale
    } else {
        Failure::Reset
    }
}

/// rustls errors travel inside `io::Error` (sometimes inside of another one), which does not name
/// them as its source.
fn within_io<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let inner: &'a (dyn StdError + 'static) = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
    inner.downcast_ref().or_else(|| within_io(inner))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    use hyper_util::client::legacy::connect::dns::Name;

    use super::*;

    /// A name with these addresses.
    #[derive(Clone)]
    struct Named(Vec<IpAddr>);

    impl Service<Name> for Named {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = std::io::Error;
        type Future = std::future::Ready<std::io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let addresses: Vec<SocketAddr> =
                self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            std::future::ready(Ok(addresses.into_iter()))
        }
    }

    /// A listening socket whose queue is full, so that no connection to it succeeds.
    fn deaf(ip: IpAddr, port: u16) -> Option<(socket2::Socket, Vec<TcpStream>)> {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::new(ip, port).into()).ok()?;
        socket.listen(0).ok()?;
        let at = SocketAddr::new(ip, port);
        let within = Duration::from_millis(200);
        let queued =
            std::iter::from_fn(|| TcpStream::connect_timeout(&at, within).ok()).take(10).collect();
        Some((socket, queued))
    }

    #[tokio::test]
    async fn an_address_that_is_dead_leaves_the_next_one() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = listener.local_addr().expect("address").port();
        let (well, refuses, silent) = (
            IpAddr::from([127, 0, 0, 1]),
            IpAddr::from([127, 0, 0, 2]),
            IpAddr::from([127, 0, 0, 3]),
        );
        let _deaf = deaf(silent, port).expect("a port of another address");
        for (addresses, reached) in [
            (vec![well], true),
            (vec![refuses, well], true),
            (vec![silent, well], true),
            (vec![refuses, silent], false),
        ] {
            let within = Duration::from_secs(4);
            let tcp =
                connecting(HttpConnector::new_with_resolver(Named(addresses.clone())), within);
            let mut connector = Timed { inner: tcp, within };
            let address = format!("http://two.test:{port}/").parse().expect("a URI");
            let connected = connector.call(address).await;
            assert_eq!(connected.is_ok(), reached, "{addresses:?}");
        }
    }
}
