//! A connection to one server: TCP, TLS where it is configured, and the greeting.
//!
//! Guarantees: the files of certificates and the password are read for each connection, so that
//! changed ones are in force for the next; the authorities of `ca_file` replace the machine's. An
//! error says what the server said, never a password. Does not: try again.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::config::policy::{RedisAccess, RedisAddress};

/// Why there is no connection that can be used.
#[derive(Debug)]
pub struct NoLink {
    /// The part that has to be looked at.
    pub cause: Cause,
    /// For an operator.
    pub reason: String,
}

/// The part that has to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The way to the server.
    Connect,
    /// Its TLS.
    Tls,
    /// It takes too long.
    Late,
    /// The user, its password or its rights.
    User,
    /// The server itself.
    Server,
}

impl NoLink {
    /// The reason behind an error of a new connection.
    pub fn of(error: &RedisError, access: &RedisAccess) -> NoLink {
        let cause = match error {
            _ if is_refusal(error) => Cause::User,
            _ if error.is_io_error() => Cause::Connect,
            _ => Cause::Server,
        };
        NoLink { cause, reason: first_reason(error, access) }
    }

    /// The same with the server's address.
    pub fn at(self, address: &RedisAddress) -> NoLink {
        NoLink { reason: format!("{address}: {}", self.reason), ..self }
    }
}

impl From<NoLink> for String {
    fn from(no_link: NoLink) -> String {
        no_link.reason
    }
}

/// An open connection. It ends when it is dropped or closed.
pub struct Link {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    /// Cancelled when the server has closed it.
    ended: CancellationToken,
    /// Ends with this.
    _task: JoinSet<()>,
}

impl Link {
    /// The connection, for one command.
    pub fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Waits until the server has closed it, or it has failed.
    pub async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends it, also for the calls that wait for an answer.
    pub fn close(&self) {
        self.driver.abort();
    }
}

/// Connects and greets.
///
/// # Errors
/// See [`NoLink`].
pub async fn dial(
    address: &RedisAddress,
    access: &RedisAccess,
    database: u32,
) -> Result<Link, NoLink> {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = connecting.await;
    let stream =
        stream.map_err(|error| NoLink { cause: Cause::Connect, reason: error.to_string() })?;
    // A failure costs latency only.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &access.tls else { return greet(stream, access, database).await };
    let mut config = ClientConfig::clone(&tls.config());
    // Those of HTTP are none of Redis.
    config.alpn_protocols.clear();
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| no_tls(format!("`{}` is no name of a TLS server", address.host)))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| no_tls(tls_reason(&error)))?;
    greet(stream, access, database).await
}

async fn greet<S>(stream: S, access: &RedisAccess, database: u32) -> Result<Link, NoLink>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let info =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    // Each use has a time limit of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (mut connection, driver) = opened.map_err(|error| NoLink::of(&error, access))?;
    let mut task = JoinSet::new();
    let ended = CancellationToken::new();
    let end = ended.clone().drop_guard();
    let driver = task.spawn(async move {
        let _end = end;
        driver.await;
    });
    let link = Link { connection: connection.clone(), driver, ended, _task: task };
    let mut greetings = Vec::new();
    if !access.password.is_empty() {
        let mut command = redis::cmd("AUTH");
        if !access.username.is_empty() {
            command.arg(&access.username);
        }
        command.arg(&*access.password.reveal());
        greetings.push(command);
    }
    if database != 0 {
        let mut command = redis::cmd("SELECT");
        command.arg(database);
        greetings.push(command);
    }
    for command in greetings {
        let answer = command.query_async::<()>(&mut connection).await;
        answer.map_err(|error| NoLink::of(&error, access))?;
    }
    Ok(link)
}

fn no_tls(reason: String) -> NoLink {
    NoLink { cause: Cause::Tls, reason }
}

/// The reason why TLS came to nothing, and what to change.
fn tls_reason(error: &std::io::Error) -> String {
    use rustls::{CertificateError, Error};
    const AUTHORITY: &str = "give the authority of its certificate by `ca_file`";
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::InvalidMessage(_)) => format!(
            "TLS: {error}; the server does not speak TLS at this port: give redis://, or its port \
             of TLS"
        ),
        // Its own words, which rustls would show as a structure.
        Some(Error::InvalidCertificate(CertificateError::Other(other))) => {
            format!("TLS: {}; {AUTHORITY}", other.0)
        }
        Some(Error::InvalidCertificate(_)) => format!("TLS: {error}; {AUTHORITY}"),
        _ => format!("TLS: {error}"),
    }
}

/// Whether the user lacks a right: another connection does not help.
pub fn lacks_right(error: &RedisError) -> bool {
    // Redis 7.0 has no code for it where a script runs a command.
    error.code() == Some("NOPERM") || error.to_string().contains("user executing the script can't")
}

/// Whether the server refuses the user, or a command of the user.
fn is_refusal(error: &RedisError) -> bool {
    // A long command without a greeting is refused before it is read.
    lacks_right(error)
        || matches!(error.code(), Some("WRONGPASS" | "NOAUTH"))
        || error.detail().is_some_and(|detail| detail.contains("unauthenticated"))
}

/// The reason why a new connection came to nothing. In TLS 1.3 a server refuses a client's
/// certificate after the handshake; where it closes at once, its alert is lost.
pub fn first_reason(error: &RedisError, access: &RedisAccess) -> String {
    let reason = reason(error, access);
    if !error.is_connection_dropped() || reason.contains("ertificate") {
        return reason;
    }
    if access.tls.is_none() {
        return format!(
            "{reason}; the server closed the connection: if it speaks TLS at this port, give \
             rediss://"
        );
    }
    format!(
        "{reason} after the TLS handshake; if the server demands a client certificate, give \
         `client_cert_file` and `client_key_file`"
    )
}

/// The reason of a failure, with the user's name where the server refuses the user.
pub fn reason(error: &RedisError, access: &RedisAccess) -> String {
    if !is_refusal(error) {
        return error.to_string();
    }
    let user = if access.username.is_empty() { "default" } else { &access.username };
    let code = error.code().unwrap_or_default();
    let detail = error.detail().unwrap_or_default();
    let remedy = if lacks_right(error) {
        "grant what docs/redis.md lists"
    } else {
        "correct `username` and `password`"
    };
    format!("the server refuses the user `{user}`: {code} {detail}; {remedy}")
}
