//! A tunnel through a proxy: `CONNECT`.
//!
//! Guarantees: the proxy gets the target's name and port, its own credentials, and nothing else;
//! its answer may come in any pieces; bytes behind the answer's head belong to the tunnel; every
//! end without a tunnel has its own error. Does not: know time limits, or speak TLS (the connector
//! does).
//!
//! # Source
//! RFC 9110, section 9.3.6; RFC 9112, sections 2.2, 3.2.3 and 4.

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::fault::ProxyFault;
use crate::bounds::PROXY_HEAD_BYTES_MAX;

/// Why there is no tunnel.
#[derive(Debug, PartialEq, Eq)]
pub struct NoTunnel {
    pub fault: ProxyFault,
    /// For operators.
    pub reason: String,
}

/// Opens a tunnel to `authority` (`host:port`). `authorization`: the value of
/// `Proxy-Authorization`, if it is not empty. Returns the bytes that belong to the tunnel already.
///
/// # Errors
/// See [`NoTunnel`].
pub async fn open<C: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut C,
    authority: &str,
    authorization: &str,
) -> Result<Bytes, NoTunnel> {
    let closed = |error: std::io::Error| no(ProxyFault::Closed, format!("it broke off: {error}"));
    let credentials = match authorization {
        "" => String::new(),
        value => ["proxy-authorization: ", value, "\r\n"].concat(),
    };
    let head = format!("CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n{credentials}\r\n");
    connection.write_all(head.as_bytes()).await.map_err(closed)?;
    connection.flush().await.map_err(closed)?;
    let mut read = BytesMut::with_capacity(1024);
    loop {
        let end = connection.read_buf(&mut read).await.map_err(closed)? == 0;
        while let Some(length) = head_length(&read) {
            let head = read.split_to(length);
            match status(&head) {
                // More is to come.
                Some(100..200) => {}
                Some(200..300) => return Ok(read.freeze()),
                Some(407) => return Err(no(ProxyFault::Auth, "it answered 407".to_owned())),
                Some(other) => return Err(no(ProxyFault::Refused, format!("it answered {other}"))),
                None => return Err(no(ProxyFault::Closed, "its answer is no HTTP/1".to_owned())),
            }
        }
        if !may_be_head(&read) {
            return Err(no(ProxyFault::Closed, "its answer is no HTTP/1".to_owned()));
        }
        if read.len() > PROXY_HEAD_BYTES_MAX {
            let reason = format!("the head of its answer is over {PROXY_HEAD_BYTES_MAX} bytes");
            return Err(no(ProxyFault::Closed, reason));
        }
        if end {
            return Err(no(ProxyFault::Closed, "it closed the connection".to_owned()));
        }
    }
}

fn no(fault: ProxyFault, reason: String) -> NoTunnel {
    NoTunnel { fault, reason }
}

/// Bytes of a head up to its empty line, if it is there. A line may end without CR.
fn head_length(read: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let line = from + memchr::memchr(b'\n', &read[from..])?;
        let after = &read[line + 1..];
        if after.starts_with(b"\n") {
            return Some(line + 2);
        }
        if after.starts_with(b"\r\n") {
            return Some(line + 3);
        }
        from = line + 1;
    }
}

/// Whether the bytes may be the beginning of a head.
fn may_be_head(read: &[u8]) -> bool {
    const BEGIN: &[u8] = b"HTTP/1.";
    let compared = read.len().min(BEGIN.len());
    read[..compared] == BEGIN[..compared]
}

/// The status of a head.
fn status(head: &[u8]) -> Option<u16> {
    let rest = head.strip_prefix(b"HTTP/1.")?;
    let (version, rest) = rest.split_first()?;
    let (digits, rest) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
    let is_complete = rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\r' | b'\n'));
    if !version.is_ascii_digit() || !is_complete || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(digits.iter().fold(0, |number, digit| number * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers a `CONNECT` with these pieces, and then ends. The result, and the request.
    async fn answered(pieces: &[&[u8]], authorization: &str) -> (Result<Bytes, NoTunnel>, String) {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        let answer = async {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                if theirs.read_buf(&mut request).await.expect("a request") == 0 {
                    break;
                }
            }
            for piece in pieces {
                if theirs.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
            drop(theirs);
            String::from_utf8(request).expect("text")
        };
        let opened = async {
            let result = open(&mut ours, "api.test:443", authorization).await;
            drop(ours);
            result
        };
        tokio::join!(opened, answer)
    }

    #[tokio::test]
    async fn the_proxy_gets_the_target_and_its_credentials() {
        let (opened, request) = answered(&[b"HTTP/1.1 200 OK\r\n\r\n"], "").await;
        assert_eq!(opened, Ok(Bytes::new()));
        assert_eq!(request, "CONNECT api.test:443 HTTP/1.1\r\nhost: api.test:443\r\n\r\n");
        let (_, request) = answered(&[b"HTTP/1.1 200 OK\r\n\r\n"], "Basic eDp5").await;
        assert!(request.ends_with("\r\nproxy-authorization: Basic eDp5\r\n\r\n"), "{request}");
    }

    #[tokio::test]
    async fn any_split_of_a_head_opens_the_tunnel_and_loses_no_byte() {
        for head in [
            &b"HTTP/1.1 200 Connection established\r\n\r\n"[..],
            b"HTTP/1.0 204\r\nproxy-agent: x\r\n\r\n",
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\nvia: x\n\n",
        ] {
            let whole = [head, b"\x16\x03\x03"].concat();
            for cut in 0..=whole.len() {
                let (opened, _) = answered(&[&whole[..cut], &whole[cut..]], "").await;
                let opened = opened.expect("a tunnel");
                assert!(b"\x16\x03\x03".starts_with(&opened), "{opened:?}");
                if cut == whole.len() {
                    assert_eq!(opened, b"\x16\x03\x03"[..]);
                }
            }
            let single: Vec<&[u8]> = whole.chunks(1).collect();
            assert!(answered(&single, "").await.0.is_ok());
        }
    }

    #[tokio::test]
    async fn every_other_end_has_its_fault() {
        let long = [b"HTTP/1.1 200 OK\r\nx: ", vec![b'x'; 20_000].as_slice()].concat();
        for (answer, expected) in [
            (&b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"[..], ProxyFault::Auth),
            (b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!", ProxyFault::Refused),
            (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ProxyFault::Refused),
            (b"HTTP/1.1 302 Found\r\nlocation: http://login/\r\n\r\n", ProxyFault::Refused),
            (b"HTTP/1.1 200", ProxyFault::Closed),
            (b"", ProxyFault::Closed),
            (b"SSH-2.0-OpenSSH\r\n", ProxyFault::Closed),
            (b"HTTP/1.1 2000 OK\r\n\r\n", ProxyFault::Closed),
            (b"HTTP/1.1 abc\r\n\r\n", ProxyFault::Closed),
            (b"HTTP/2 200\r\n\r\n", ProxyFault::Closed),
            (&long, ProxyFault::Closed),
        ] {
            let (opened, _) = answered(&[answer], "").await;
            let shown = String::from_utf8_lossy(&answer[..answer.len().min(40)]).into_owned();
            assert_eq!(opened.map_err(|no| no.fault), Err(expected), "{shown}");
        }
    }
}
