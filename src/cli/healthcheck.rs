//! `tollgate healthcheck`: exit 0 if the gateway on this machine is ready. For containers without
//! curl.
//!
//! With `admin.tls` it trusts the certificate of the configuration, whatever name that has.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::config;
use crate::failure::Failure;
use crate::tls;

/// Arguments of `tollgate healthcheck`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Configuration: folder or file [default: $TOLLGATE_CONFIG or ./config]
    #[arg(long, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Address of the operators' side [default: `admin_listen`]
    #[arg(long, value_name = "ADDR")]
    addr: Option<SocketAddr>,
    /// Time to wait for each step
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = config::duration)]
    timeout: Duration,
}

/// Asks `/readyz`.
///
/// # Errors
/// [`Failure::User`] if there is no answer in time, or one that is not 200.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (addr, tls) = match (args.addr, &args.config) {
        (Some(addr), None) => (addr, None),
        (addr, config) => {
            let loaded = config::load_to_read(config.as_deref(), config::Uses::AdminSide)
                .map_err(|p| Failure::User(p.to_string()))?;
            let listen = reachable(loaded.settings.admin_listen);
            (addr.unwrap_or(listen), loaded.settings.admin_tls)
        }
    };
    let tls = tls.as_ref().map(tls::client_of).transpose();
    let tls = tls.map_err(|error| Failure::User(format!("not ready: {error:#}")))?;
    match ask(addr, tls, args.timeout) {
        Ok(200) => Ok(()),
        Ok(status) => {
            Err(Failure::User(format!("not ready: {addr} answered /readyz with {status}")))
        }
        Err(error) => Err(Failure::User(format!("not ready: {addr}: {error}"))),
    }
}

/// An address to connect to, for one that is listened on: "any" is this machine.
pub(crate) fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// The status of `GET /readyz`.
fn ask(addr: SocketAddr, tls: Option<ClientConfig>, timeout: Duration) -> io::Result<u16> {
    let timeout = timeout.max(Duration::from_millis(1));
    let stream = TcpStream::connect_timeout(&addr, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let Some(tls) = tls else { return asked(addr, stream) };
    let client = ClientConnection::new(Arc::new(tls), addr.ip().into());
    asked(addr, StreamOwned::new(client.map_err(io::Error::other)?, stream))
}

fn asked(addr: SocketAddr, mut stream: impl io::Read + io::Write) -> io::Result<u16> {
    write!(stream, "GET /readyz HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n")?;
    // "HTTP/1.1 200 " is all that matters; the head may come in pieces.
    let mut line = [0; 13];
    stream.read_exact(&mut line)?;
    std::str::from_utf8(&line)
        .ok()
        .and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok())
        .ok_or_else(|| io::Error::other("the answer is not HTTP"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    /// Answers one connection with `answer`.
    fn server(answer: &'static [u8]) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let addr = listener.local_addr().expect("address");
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).expect("request");
                request.push(byte[0]);
            }
            stream.write_all(answer).expect("answer");
            String::from_utf8(request).expect("text")
        });
        (addr, thread)
    }

    #[test]
    fn the_status_decides() {
        for (answer, good) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], true),
            (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", false),
            (b"SSH-2.0-OpenSSH_9.9\r\n", false),
            (b"", false),
        ] {
            let (addr, thread) = server(answer);
            let args = Args { config: None, addr: Some(addr), timeout: Duration::from_secs(5) };
            assert_eq!(run(&args).is_ok(), good, "{:?}", String::from_utf8_lossy(answer));
            assert!(
                thread
                    .join()
                    .expect("server")
                    .starts_with(&format!("GET /readyz HTTP/1.1\r\nhost: {addr}\r\n"))
            );
        }
    }

    #[test]
    fn any_address_is_asked_on_this_machine() {
        for (listen, expected) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9", "[::1]:9"),
            ("10.0.0.1:1", "10.0.0.1:1"),
        ] {
            assert_eq!(reachable(listen.parse().expect("address")).to_string(), expected);
        }
    }
}
