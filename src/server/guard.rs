//! A connection's stream between the socket and hyper.
//!
//! Stage 1 of the walk. Tells HTTP/2 from HTTP/1 by the first bytes, shows all incoming bytes to
//! the scanner of `heads`, and ends a connection whose peer has stopped reading.
//! Guarantees: bytes pass unchanged; at most the 24 bytes of the preface are held. Does not: parse
//! HTTP.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::heads::{Heads, Scanner};
use crate::bounds::{WRITE_RATE_MIN, WRITE_STALL_MAX};

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
}

/// The first bytes of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose incoming bytes are inspected.
pub struct Guarded<S> {
    inner: S,
    scanner: Scanner,
    heads: Arc<Heads>,
    /// The first bytes, which tell the protocol, and the range of them that is still to be read.
    opening: [u8; PREFACE.len()],
    kept: Range<u8>,
    /// Runs while the peer reads nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// How long the peer may still read nothing.
    patience: Duration,
}

impl<S> Guarded<S> {
    /// Wraps a connection.
    pub fn new(inner: S) -> (Guarded<S>, Arc<Heads>) {
        let heads = Arc::new(Heads::default());
        let (scanner, for_service) = (Scanner::default(), Arc::clone(&heads));
        (
            Guarded {
                inner,
                scanner,
                heads,
                opening: [0; PREFACE.len()],
                kept: 0..0,
                stall: None,
                patience: WRITE_STALL_MAX,
            },
            for_service,
        )
    }

    /// The result of a write, or `TimedOut` when the peer reads too slowly. A peer that reads a
    /// byte now and then counts as gone, too.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &polled {
            if let Some(timer) = self.stall.take() {
                // The timer was set to the whole patience when the stall began.
                self.patience = timer.deadline().saturating_duration_since(Instant::now());
            }
            if self.patience < WRITE_STALL_MAX {
                let taken = result.as_ref().map_or(0, bytes) as u64;
                let more = Duration::from_micros(taken * 1_000_000 / WRITE_RATE_MIN);
                self.patience = self.patience.saturating_add(more).min(WRITE_STALL_MAX);
            }
            return polled;
        }
        let patience = self.patience;
        let timer = self.stall.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// Reads until the protocol is clear, and keeps the bytes for the reads that follow.
    ///
    /// hyper-util's own detection gives hyper the 24 bytes alone, for which hyper then allocates a
    /// second buffer of 8 KiB.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut` if the protocol is not clear after `within`: hyper would
    /// wait without end.
    pub async fn spoken(&mut self, within: Duration) -> io::Result<Spoken> {
        let told = poll_fn(|cx| self.poll_spoken(cx));
        tokio::time::timeout(within, told)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_spoken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Spoken>> {
        loop {
            let have = usize::from(self.kept.end);
            if self.opening[..have] != PREFACE[..have] {
                return Poll::Ready(Ok(Spoken::Http1));
            }
            if have == PREFACE.len() {
                return Poll::Ready(Ok(Spoken::Http2));
            }
            let mut room = ReadBuf::new(&mut self.opening[have..]);
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut room))?;
            let read = u8::try_from(room.filled().len()).unwrap_or_default();
            if read == 0 {
                // The stream has ended; hyper sees that, too.
                return Poll::Ready(Ok(Spoken::Http1));
            }
            self.kept.end += read;
        }
    }

    /// Copies as many of the first bytes as fit into `buf`.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let kept = &self.opening[usize::from(self.kept.start)..usize::from(self.kept.end)];
        let some = &kept[..kept.len().min(buf.remaining())];
        buf.put_slice(some);
        self.kept.start += u8::try_from(some.len()).unwrap_or_default();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if !this.kept.is_empty() {
            this.hand_on(buf);
        }
        // Bytes that follow the first ones are read at once, so that one buffer is enough for both.
        let handed_on = buf.filled().len() > before;
        if !handed_on || buf.remaining() > 0 {
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                // An error is returned again by the next read.
                Poll::Pending | Poll::Ready(Err(_)) if handed_on => {}
                Poll::Ready(Ok(())) => {}
                other => return other,
            }
        }
        this.scanner.scan(&buf.filled()[before..], &this.heads);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.written(polled, |bytes| *bytes, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.written(polled, |bytes| *bytes, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.inner).poll_flush(cx);
        this.written(polled, |()| 0, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::HEAD_TIMEOUT;

    #[tokio::test(start_paused = true)]
    async fn silent_and_deaf_peers_are_let_go() {
        use tokio::io::AsyncWriteExt as _;
        let begun = tokio::time::Instant::now();
        let (mut peer, ours) = tokio::io::duplex(16);
        let (mut stream, _) = Guarded::new(ours);
        peer.write_all(&PREFACE[..9]).await.unwrap();
        let told = stream.spoken(HEAD_TIMEOUT).await.expect_err("nothing more was said");
        assert_eq!((told.kind(), begun.elapsed() >= HEAD_TIMEOUT), (io::ErrorKind::TimedOut, true));
        let begun = tokio::time::Instant::now();
        let written = stream.write_all(&[0; 100]).await.expect_err("nobody reads");
        assert_eq!(
            (written.kind(), begun.elapsed() >= WRITE_STALL_MAX),
            (io::ErrorKind::TimedOut, true)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_let_go_and_a_slow_one_is_not() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        // Bytes that the peer reads at once, the interval in seconds, and the time of the cut.
        for (bytes, every, expected) in
            [(1, 50, Some(60)), (512, 1, Some(118)), (100, 1, Some(66)), (1100, 1, None)]
        {
            let (mut peer, ours) = tokio::io::duplex(16);
            let (mut stream, _) = Guarded::new(ours);
            let begun = Instant::now();
            let taking = async {
                loop {
                    tokio::time::sleep(Duration::from_secs(every)).await;
                    let mut left = bytes;
                    while left > 0 {
                        left -= peer.read(&mut vec![0; left]).await.expect("open");
                    }
                }
            };
            let answer = vec![0; 400_000];
            let end = tokio::select! {
                end = stream.write_all(&answer) => end,
                () = taking => unreachable!("it goes on for ever"),
            };
            let after = begun.elapsed().as_secs();
            match expected {
                None => assert!(end.is_ok() && after > 300, "{bytes} bytes: {end:?} after {after}"),
                Some(expected) => {
                    assert_eq!(end.expect_err("too slow").kind(), io::ErrorKind::TimedOut);
                    assert!(after.abs_diff(expected) <= 3, "{bytes} bytes: after {after}");
                }
            }
        }
    }

    #[tokio::test]
    async fn it_is_told_what_is_spoken_and_no_byte_is_lost() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let http2 = [PREFACE.as_slice(), b"\0\0\0\x04"].concat();
        for (bytes, expected) in [
            (http2.as_slice(), Spoken::Http2),
            (b"POST /v1/models HTTP/1.1\r\nhost: a\r\n\r\n", Spoken::Http1),
            (b"PRI * HTTP/1.1\r\nhost: a\r\n\r\n", Spoken::Http1),
            (b"PR", Spoken::Http1),
            (b"", Spoken::Http1),
        ] {
            for cut in 0..=bytes.len() {
                let (mut peer, ours) = tokio::io::duplex(1 << 10);
                let (mut stream, _) = Guarded::new(ours);
                let say = async {
                    peer.write_all(&bytes[..cut]).await.unwrap();
                    tokio::task::yield_now().await;
                    peer.write_all(&bytes[cut..]).await.unwrap();
                    drop(peer);
                };
                let hear = async {
                    let spoken = stream.spoken(HEAD_TIMEOUT).await.unwrap();
                    // The first read has little room, the second all.
                    let mut read = vec![0; 7];
                    let some = stream.read(&mut read).await.unwrap();
                    read.truncate(some);
                    stream.read_to_end(&mut read).await.unwrap();
                    (spoken, read)
                };
                let ((), (spoken, read)) = tokio::join!(say, hear);
                assert_eq!((spoken, read.as_slice()), (expected, bytes), "cut at {cut}");
            }
        }
    }
}
