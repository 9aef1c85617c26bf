//! A stream that records whether its peer has sent bytes that are not read yet, and that reads on
//! after its end.
//!
//! Stage 1 of the walk. Guarantees: bytes pass unchanged; a read that finds nothing marks the
//! connection as silent, and a read that finds bytes removes the mark, so that `over` never closes
//! a connection with unread bytes while another is silent. Below TLS, so that a silent handshake
//! counts as well. A shutdown ends the sending side; then it reads and discards the bytes of a peer
//! that is still sending, because closing the socket would reset the connection and the peer could
//! lose the last answer. This is bounded in bytes, time and rate (see `pipeline/unread`). Does not:
//! close anything.

use std::future::Future;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::bounds::{LINGER_IDLE_MAX, LINGER_LAST_BYTES_MAX};
use crate::pipeline::body_in::rate::BodyRate;
use crate::pipeline::seat::Seat;
use crate::pipeline::unread::Linger;

/// The connection.
pub struct Heard<S> {
    inner: S,
    seat: Arc<Seat>,
    /// The sending side is shut down.
    lingering: Option<Box<Lingering>>,
}

/// The end of a connection, which is read on.
struct Lingering {
    /// Bytes that may still come.
    left: u64,
    rate: BodyRate,
    end: Instant,
    timer: Option<Pin<Box<Sleep>>>,
    /// More is expected, also if nothing is there to be read.
    waits: bool,
}

impl<S> Heard<S> {
    /// The seat that is marked.
    pub fn new(inner: S, seat: Arc<Seat>) -> Heard<S> {
        Heard { inner, seat, lingering: None }
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

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Heard<S> {
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
        let this = self.get_mut();
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
        }
        let seat = &this.seat;
        let lingering =
            this.lingering.get_or_insert_with(|| Box::new(Lingering::new(seat.upload.lingers())));
        lingering.poll(&mut this.inner, seat, cx).map(Ok)
    }
}

impl Lingering {
    fn new(linger: Option<Linger>) -> Lingering {
        let waits = linger.is_some();
        let unexpected = Linger { bytes: LINGER_LAST_BYTES_MAX, time: LINGER_IDLE_MAX };
        let Linger { bytes, time } = linger.unwrap_or(unexpected);
        let (rate, end) = (BodyRate::new(LINGER_IDLE_MAX), Instant::now() + time);
        Lingering { left: bytes, rate, end, timer: None, waits }
    }

    /// Ready when the peer has closed its side, or a bound is reached.
    fn poll<S: AsyncRead + Unpin>(
        &mut self,
        inner: &mut S,
        seat: &Seat,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut room = [MaybeUninit::uninit(); 8 << 10];
        while self.left > 0 {
            let mut buf = ReadBuf::uninit(&mut room);
            let polled = Pin::new(&mut *inner).poll_read(cx, &mut buf);
            seat.heard(polled.is_ready());
            let (now, bytes) = (Instant::now(), buf.filled().len());
            match polled {
                Poll::Ready(Ok(())) if bytes > 0 && now < self.end => {
                    self.left = self.left.saturating_sub(bytes as u64);
                    self.rate.came(now, bytes);
                    self.timer = None;
                    self.waits = true;
                }
                Poll::Pending if self.waits => {
                    let until = self.rate.waits(now).min(self.end);
                    let timer =
                        self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                    return timer.as_mut().poll(cx);
                }
                Poll::Ready(_) | Poll::Pending => break,
            }
        }
        Poll::Ready(())
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

    /// A connection that is shut down with `linger`, and the number of seconds until it is over;
    /// `sends` so many bytes each second.
    async fn over_after(linger: Option<Linger>, sends: usize, closes: bool) -> u64 {
        use tokio::time::{Duration, sleep};
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("free");
        let seat = Arc::new(Seat::over(Address::of(IpAddr::from([10, 0, 0, 1])), place));
        if let Some(linger) = linger {
            seat.upload.linger(linger);
        }
        let (mut client, server) = tokio::io::duplex(64 << 10);
        let mut heard = Heard::new(server, seat);
        let begun = Instant::now();
        let sending = async {
            // The end of what is answered comes at once.
            assert_eq!(client.read(&mut [0; 1]).await.expect("an end"), 0);
            if closes {
                sleep(Duration::from_secs(1)).await;
                drop(client);
                return std::future::pending().await;
            }
            loop {
                sleep(Duration::from_secs(1)).await;
                client.write_all(&vec![0; sends]).await.expect("taken");
            }
        };
        tokio::select! {
            () = sending => unreachable!("it has no end"),
            ended = heard.shutdown() => ended.expect("an end"),
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_connection_is_read_on_within_its_bounds() {
        use tokio::time::Duration;
        let long = Some(Linger { bytes: 1 << 20, time: Duration::from_secs(30) });
        for (linger, sends, closes, seconds) in [
            // Nothing is expected, and nothing is there.
            (None, 0, false, 0),
            (long, 0, true, 1),
            // Silent, as fast as it must be, too much.
            (long, 0, false, 5),
            (long, 2000, false, 30),
            (long, 200 << 10, false, 6),
            // A byte now and then does not hold it.
            (long, 1, false, 10),
        ] {
            let over = over_after(linger, sends, closes).await;
            assert_eq!(over, seconds, "{linger:?}, {sends}, {closes}");
        }
    }
}
