//! A stream that records whether its peer has sent bytes that are not read yet.
//!
//! Stage 1 of the walk. Guarantees: bytes pass unchanged; a read that finds nothing marks the
//! connection as silent, and a read that finds bytes removes the mark, so that `over` never closes
//! a connection with unread bytes while another is silent. Below TLS, so that a silent handshake
//! counts as well. Does not: wait, or close anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::pipeline::seat::Seat;

/// The connection.
pub struct Heard<S> {
    inner: S,
    seat: Arc<Seat>,
}

impl<S> Heard<S> {
    /// The seat that is marked.
    pub fn new(inner: S, seat: Arc<Seat>) -> Heard<S> {
        Heard { inner, seat }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_read(cx, buf);
        this.seat.heard(polled.is_ready());
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bufs)
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::pipeline::tenants::Address;

    #[tokio::test]
    async fn a_seat_is_silent_from_a_read_that_finds_nothing_to_one_that_finds_something() {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        let seat = Arc::new(Seat::over(Address::of(IpAddr::from([10, 0, 0, 1])), place));
        let (mut client, server) = tokio::io::duplex(64);
        let mut heard = Heard::new(server, Arc::clone(&seat));
        assert!(!seat.is_silent(), "nobody has looked yet");
        client.write_all(b"GET").await.expect("written");
        let mut bytes = [0; 3];
        heard.read_exact(&mut bytes).await.expect("read");
        assert!(!seat.is_silent() && &bytes == b"GET");
        assert!(tokio::time::timeout(std::time::Duration::ZERO, heard.read_u8()).await.is_err());
        assert!(seat.is_silent());
        client.write_all(b" ").await.expect("written");
        heard.read_u8().await.expect("read");
        assert!(!seat.is_silent());
        heard.write_all(b"200").await.expect("written");
        client.read_exact(&mut bytes).await.expect("read");
        assert_eq!(&bytes, b"200");
    }
}
