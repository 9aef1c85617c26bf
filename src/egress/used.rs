//! A connection that records whether it was used before, and whether the server refused the
//! client's certificate.
//!
//! A provider closes idle connections when it likes, also just as the next
//! request is on its way. That ends the connection without a byte of an answer, and says nothing
//! about the provider. Guarantees: bytes pass unchanged; a connection counts as used again from the
//! first byte that is written after an answer until the first byte that is read. HTTP/1 only: an
//! HTTP/2 peer says with GOAWAY which requests it has not seen. Does not: decide about retries.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use http::Extensions;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::alert::{is_about_client, tls_error};

/// Nothing was read yet.
const NEW: u8 = 0;
/// An answer was read, and nothing was written since.
const ANSWERED: u8 = 1;
/// Something was written after an answer, and nothing was read since.
const USED_AGAIN: u8 = 2;
/// The server demands a client certificate, or refuses the one that it got.
const REFUSED: u8 = 3;

/// The state of one connection.
#[derive(Clone, Debug)]
struct Use(Arc<AtomicU8>);

/// A connection whose use is recorded.
pub struct Used<C> {
    /// As tokio's traits, which say how much was read.
    inner: TokioIo<C>,
    state: Use,
}

impl<C> Used<C> {
    /// A connection that is new.
    pub fn over(inner: C) -> TokioIo<Used<C>> {
        TokioIo::new(Used { inner: TokioIo::new(inner), state: Use(Arc::new(AtomicU8::new(NEW))) })
    }

    fn wrote(&self) {
        let state = &self.state.0;
        if state.load(Ordering::Relaxed) == ANSWERED {
            state.store(USED_AGAIN, Ordering::Release);
        }
    }
}

/// Whether the connection ended after it was used again, and before a byte came.
pub fn ended_in_reuse(connection: &Connected) -> bool {
    !connection.is_negotiated_h2() && state(connection) == Some(USED_AGAIN)
}

/// Whether the server refused the client's certificate. With HTTP/2 no error tells it.
pub fn refused_client(connection: &Connected) -> bool {
    state(connection) == Some(REFUSED)
}

fn state(connection: &Connected) -> Option<u8> {
    let mut extras = Extensions::new();
    connection.get_extras(&mut extras);
    extras.get::<Use>().map(|state| state.0.load(Ordering::Acquire))
}

impl<C: Connection> Connection for Used<C> {
    fn connected(&self) -> Connected {
        // The addresses that the inner connection has to tell are not asked for.
        let inner = self.inner.inner().connected();
        let connected = Connected::new().proxy(inner.is_proxied()).extra(self.state.clone());
        if inner.is_negotiated_h2() { connected.negotiated_h2() } else { connected }
    }
}

impl<C: hyper::rt::Read + Unpin> AsyncRead for Used<C> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        if buf.filled().len() > before {
            this.state.0.store(ANSWERED, Ordering::Release);
        } else if let Poll::Ready(Err(error)) = &polled
            && tls_error(error).is_some_and(is_about_client)
        {
            this.state.0.store(REFUSED, Ordering::Release);
        }
        polled
    }
}

impl<C: hyper::rt::Write + Unpin> AsyncWrite for Used<C> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wrote();
        Pin::new(&mut this.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.wrote();
        Pin::new(&mut this.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}
