//! The ways in which a request fails without an answer.
//!
//! Pure. Does not: decide about retries (`upstream/retry` does).

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing was sent: name, route, connect or handshake.
    Connect,
    /// Nothing was sent, because this machine has no more descriptors or ports.
    Exhausted,
    /// Nothing was sent, because the server's certificate does not verify.
    Certificate,
    /// The server demands a client certificate, or does not accept the one that it got.
    ClientCertificate,
    /// Nothing was sent, because of the proxy.
    Proxy(ProxyFault),
    /// The connection broke before the answer began.
    Reset,
    /// The same, on a connection that had answered before: the server has probably closed it as
    /// idle just before the request was sent.
    Stale,
    /// The answer is not usable HTTP.
    Protocol,
}

/// The way in which a proxy failed to open a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    /// No TCP or TLS connection to the proxy.
    Connect,
    /// It asks for a user and password, or refuses those that it got.
    Auth,
    /// It refuses the target, or cannot reach it.
    Refused,
    /// It did not answer in time.
    Timeout,
    /// It closed the connection, or its answer is no HTTP.
    Closed,
}

impl Fault {
    /// Label for metrics and rows.
    pub fn reason(self) -> &'static str {
        match self {
            Fault::Connect => "connect",
            Fault::Exhausted => "exhausted",
            Fault::Certificate | Fault::Protocol => "protocol",
            Fault::ClientCertificate => "tls",
            Fault::Proxy(fault) => fault.reason(),
            Fault::Reset | Fault::Stale => "reset",
        }
    }
}

impl ProxyFault {
    /// Label for metrics and rows.
    pub fn reason(self) -> &'static str {
        match self {
            ProxyFault::Connect => "proxy_connect",
            ProxyFault::Auth => "proxy_auth",
            ProxyFault::Refused => "proxy_refused",
            ProxyFault::Timeout => "proxy_timeout",
            ProxyFault::Closed => "proxy_closed",
        }
    }
}
