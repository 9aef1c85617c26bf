//! Makes connections: direct, to a proxy, or through a tunnel; with TLS where the target has it.
//!
//! Guarantees: one time limit for name lookup, TCP, proxy and TLS together; the name of a tunnel's
//! target is resolved by the proxy alone; a failure says whether the proxy or the target failed.
//! Does not: send requests, or keep connections (`pools` does).

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use super::Egress;
use super::alert::told;
use super::fault::ProxyFault;
use super::rules::ProxyAddress;
use super::stream::{Carrier, Rewound, Stream};
use super::trust::proxy_config;
use super::tunnel::{self, NoTunnel};

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum NoConnection {
    /// No TCP connection to the target.
    #[error("{0}")]
    Dial(#[source] Box<dyn StdError + Send + Sync>),
    /// No TLS with the target.
    #[error("{}{}", through(.proxy.as_deref()), told(.error))]
    Tls {
        /// The proxy on the way.
        proxy: Option<String>,
        #[source]
        error: io::Error,
    },
    /// No TCP or TLS connection to the proxy.
    #[error("proxy {proxy}: {error}")]
    Proxy {
        proxy: String,
        #[source]
        error: Box<dyn StdError + Send + Sync>,
    },
    /// The proxy gave no tunnel.
    #[error("proxy {proxy}: {reason}")]
    Tunnel { proxy: String, fault: ProxyFault, reason: String },
    /// The target did not answer in time.
    #[error("{}no connection in time", through(.proxy.as_deref()))]
    Late {
        /// The proxy on the way.
        proxy: Option<String>,
    },
    /// The address has no host that TLS could verify.
    #[error("the host of the address is not usable")]
    Host,
}

fn through(proxy: Option<&str>) -> String {
    proxy.map(|proxy| format!("through proxy {proxy}: ")).unwrap_or_default()
}

/// Connects to the destinations of an [`Egress`].
#[derive(Clone)]
pub struct Connector {
    egress: Arc<Egress>,
    tcp: HttpConnector,
    within: Duration,
}

impl Connector {
    /// `within`: the time limit of a connection.
    pub fn new(egress: Arc<Egress>, within: Duration) -> Connector {
        Connector { egress, tcp: tcp(HttpConnector::new(), within), within }
    }

    async fn connect(mut self, target: Uri) -> Result<Stream, NoConnection> {
        let deadline = Instant::now() + self.within;
        let is_tls = target.scheme() == Some(&Scheme::HTTPS);
        let proxy = self.egress.proxies().of(&target).cloned();
        let carrier = match &proxy {
            None => self.dial(target.clone(), deadline).await?,
            Some(proxy) => self.dial_proxy(proxy, deadline).await?,
        };
        if !is_tls {
            return Ok(Stream::plain(carrier, proxy.is_some()));
        }
        let rewound = match &proxy {
            None => Rewound::from(carrier),
            Some(proxy) => tunnel(carrier, proxy, &target, deadline).await?,
        };
        let shown = || proxy.as_ref().map(|proxy| proxy.shown());
        let secured =
            timeout_at(deadline, handshake(self.egress.tls().config(), &target, rewound)).await;
        match secured {
            Ok(Ok(stream)) => Ok(Stream::secured(stream)),
            Ok(Err(error)) => Err(NoConnection::Tls { proxy: shown(), error }),
            Err(_) => Err(NoConnection::Late { proxy: shown() }),
        }
    }

    async fn dial(&mut self, target: Uri, deadline: Instant) -> Result<Carrier, NoConnection> {
        match timeout_at(deadline, self.tcp.call(target)).await {
            Ok(Ok(connected)) => Ok(Carrier::Tcp(connected.into_inner())),
            Ok(Err(error)) => Err(NoConnection::Dial(Box::new(error))),
            Err(_) => Err(NoConnection::Late { proxy: None }),
        }
    }

    async fn dial_proxy(
        &mut self,
        proxy: &ProxyAddress,
        deadline: Instant,
    ) -> Result<Carrier, NoConnection> {
        let failed = |error| NoConnection::Proxy { proxy: proxy.shown(), error };
        let address: Uri = proxy.shown().parse().map_err(|_| NoConnection::Host)?;
        let carried = async {
            let connected = self.tcp.call(address.clone()).await;
            let tcp = connected.map_err(|error| failed(Box::new(error)))?.into_inner();
            if !proxy.is_tls {
                return Ok(Carrier::Tcp(tcp));
            }
            let secured = handshake(proxy_config(), &address, tcp).await;
            Ok(Carrier::Tls(Box::new(secured.map_err(|error| failed(Box::new(error)))?)))
        };
        let late = || failed(Box::new(io::Error::from(io::ErrorKind::TimedOut)));
        timeout_at(deadline, carried).await.unwrap_or_else(|_| Err(late()))
    }
}

/// `tcp` as it is used here: every address of a name is tried within one connection.
fn tcp<R>(mut tcp: HttpConnector<R>, within: Duration) -> HttpConnector<R> {
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    // Divided among the addresses of a name, so that one that does not answer leaves time for the
    // next.
    tcp.set_connect_timeout(Some(within));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    tcp
}

async fn tunnel(
    mut carrier: Carrier,
    proxy: &ProxyAddress,
    target: &Uri,
    deadline: Instant,
) -> Result<Rewound, NoConnection> {
    let host = target.host().unwrap_or_default();
    let authority = format!("{host}:{}", target.port_u16().unwrap_or(443));
    let failed = |fault, reason| NoConnection::Tunnel { proxy: proxy.shown(), fault, reason };
    let authorization = proxy.access.authorization();
    let opened = tunnel::open(&mut carrier, &authority, &authorization);
    match timeout_at(deadline, opened).await {
        Ok(Ok(read)) => Ok(Rewound::new(read, carrier)),
        Ok(Err(NoTunnel { fault, reason })) => Err(failed(fault, reason)),
        Err(_) => Err(failed(ProxyFault::Timeout, "no answer in time".to_owned())),
    }
}

/// TLS with the host of an address.
async fn handshake<C: AsyncRead + AsyncWrite + Unpin>(
    config: Arc<ClientConfig>,
    address: &Uri,
    carrier: C,
) -> io::Result<TlsStream<C>> {
    let host = address.host().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    // A certificate has no final dot.
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no host for TLS"))?;
    TlsConnector::from(config).connect(name, carrier).await
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.clone().connect(target);
        Box::pin(async move { connecting.await.map(TokioIo::new) })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream as Socket};

    use hyper_util::client::legacy::connect::dns::Name;

    use super::*;

    /// A name with these addresses.
    #[derive(Clone)]
    struct Named(Vec<IpAddr>);

    impl Service<Name> for Named {
        type Response = std::vec::IntoIter<SocketAddr>;
        type Error = io::Error;
        type Future = std::future::Ready<io::Result<Self::Response>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Name) -> Self::Future {
            let addresses: Vec<SocketAddr> =
                self.0.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
            std::future::ready(Ok(addresses.into_iter()))
        }
    }

    /// A listening socket whose queue is full, so that no connection to it succeeds.
    fn deaf(ip: IpAddr, port: u16) -> Option<(socket2::Socket, Vec<Socket>)> {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).ok()?;
        socket.bind(&SocketAddr::new(ip, port).into()).ok()?;
        socket.listen(0).ok()?;
        let at = SocketAddr::new(ip, port);
        let within = Duration::from_millis(200);
        let queued =
            std::iter::from_fn(|| Socket::connect_timeout(&at, within).ok()).take(10).collect();
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
            let named = HttpConnector::new_with_resolver(Named(addresses.clone()));
            let address: Uri = format!("http://two.test:{port}/").parse().expect("a URI");
            let connected = tokio::time::timeout(within, tcp(named, within).call(address)).await;
            assert_eq!(matches!(connected, Ok(Ok(_))), reached, "{addresses:?}");
        }
    }
}
