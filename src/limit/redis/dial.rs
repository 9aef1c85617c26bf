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

use crate::config::policy::{RedisAccess, RedisAddress};

/// An open connection. It ends when it is dropped or closed.
pub struct Link {
    connection: MultiplexedConnection,
    driver: AbortHandle,
    /// Ends with this.
    _task: JoinSet<()>,
}

impl Link {
    /// The connection, for one command.
    pub fn connection(&self) -> MultiplexedConnection {
        self.connection.clone()
    }

    /// Ends it, also for the calls that wait for an answer.
    pub fn close(&self) {
        self.driver.abort();
    }
}

/// Connects and greets.
///
/// # Errors
/// The reason, for an operator.
pub async fn dial(
    address: &RedisAddress,
    access: &RedisAccess,
    database: u32,
) -> Result<Link, String> {
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = connecting.await.map_err(|error| error.to_string())?;
    // A failure costs latency only.
    let _ = stream.set_nodelay(true);
    let Some(tls) = &access.tls else { return greet(stream, access, database).await };
    let mut config = ClientConfig::clone(&tls.config());
    // Those of HTTP are none of Redis.
    config.alpn_protocols.clear();
    let name = ServerName::try_from(address.host.clone())
        .map_err(|_| format!("`{}` is no name of a TLS server", address.host))?;
    let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = stream.map_err(|error| format!("TLS: {error}"))?;
    greet(stream, access, database).await
}

async fn greet<S>(stream: S, access: &RedisAccess, database: u32) -> Result<Link, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let info =
        RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP2).set_skip_set_lib_name();
    // Each use has a time limit of its own.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let opened = MultiplexedConnection::new_with_config(&info, stream, config).await;
    let (mut connection, driver) = opened.map_err(|error| first_reason(&error, access))?;
    let mut task = JoinSet::new();
    let driver = task.spawn(driver);
    let link = Link { connection: connection.clone(), driver, _task: task };
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
        answer.map_err(|error| first_reason(&error, access))?;
    }
    Ok(link)
}

/// Whether the server refuses the user, or a command of the user. Only an edit helps.
pub fn is_refusal(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOPERM" | "WRONGPASS" | "NOAUTH"))
}

/// The reason why a new connection came to nothing. In TLS 1.3 a server refuses a client's
/// certificate after the handshake; where it closes at once, its alert is lost.
pub fn first_reason(error: &RedisError, access: &RedisAccess) -> String {
    let reason = reason(error, access);
    if access.tls.is_none() || !error.is_connection_dropped() || reason.contains("ertificate") {
        return reason;
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
    let remedy = if code == "NOPERM" {
        "grant what docs/redis.md lists"
    } else {
        "correct `username` and `password`"
    };
    format!("the server refuses the user `{user}`: {code} {detail}; {remedy}")
}
