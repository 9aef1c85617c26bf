//! A connection to a target: plain or TLS, direct or through a proxy.
//!
//! Guarantees: bytes pass unchanged; bytes that were read too early are read first. Does not:
//! connect (the connector does).

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The way to the target, or to its proxy.
pub enum Carrier {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A carrier of which some bytes were read already.
pub struct Rewound {
    read: Bytes,
    carrier: Carrier,
}

/// A connection to a target.
pub struct Stream {
    transport: Transport,
    /// The proxy gets whole requests, and forwards them.
    is_forwarded: bool,
    is_h2: bool,
}

enum Transport {
    Plain(Carrier),
    Tls(Box<TlsStream<Rewound>>),
}

impl Rewound {
    /// A carrier whose first bytes are these.
    pub fn new(read: Bytes, carrier: Carrier) -> Rewound {
        Rewound { read, carrier }
    }
}

impl From<Carrier> for Rewound {
    fn from(carrier: Carrier) -> Rewound {
        Rewound { read: Bytes::new(), carrier }
    }
}

impl Stream {
    /// A connection without TLS to the target.
    pub fn plain(carrier: Carrier, is_forwarded: bool) -> Stream {
        Stream { transport: Transport::Plain(carrier), is_forwarded, is_h2: false }
    }

    /// A connection with TLS to the target.
    pub fn secured(stream: TlsStream<Rewound>) -> Stream {
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Stream { transport: Transport::Tls(Box::new(stream)), is_forwarded: false, is_h2 }
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.is_forwarded);
        if self.is_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read.is_empty() {
            return Pin::new(&mut this.carrier).poll_read(cx, buf);
        }
        let length = this.read.len().min(buf.remaining());
        buf.put_slice(&this.read[..length]);
        this.read.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl Carrier {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Carrier::Tcp(tcp) => Pin::new(tcp),
            Carrier::Tls(tls) => Pin::new(&mut **tls),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Carrier::Tcp(tcp) => Pin::new(tcp),
            Carrier::Tls(tls) => Pin::new(&mut **tls),
        }
    }

    fn takes_slices(&self) -> bool {
        match self {
            Carrier::Tcp(tcp) => tcp.is_write_vectored(),
            Carrier::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

impl Rewound {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        self.carrier.writer()
    }

    fn takes_slices(&self) -> bool {
        self.carrier.takes_slices()
    }
}

impl Stream {
    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match &mut self.transport {
            Transport::Plain(carrier) => carrier.writer(),
            Transport::Tls(tls) => Pin::new(&mut **tls),
        }
    }

    fn takes_slices(&self) -> bool {
        match &self.transport {
            Transport::Plain(carrier) => carrier.takes_slices(),
            Transport::Tls(tls) => tls.is_write_vectored(),
        }
    }
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().reader().poll_read(cx, buf)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(carrier) => carrier.reader().poll_read(cx, buf),
            Transport::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

/// Writing goes to the `writer` of the type.
macro_rules! writes {
    ($($ty:ty),*) => { $(
        impl AsyncWrite for $ty {
            fn poll_write(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().writer().poll_write(cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                self.get_mut().writer().poll_write_vectored(cx, bufs)
            }

            fn is_write_vectored(&self) -> bool {
                self.takes_slices()
            }

            fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().writer().poll_flush(cx)
            }

            fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.get_mut().writer().poll_shutdown(cx)
            }
        }
    )* };
}
writes!(Carrier, Rewound, Stream);
