//! The bytes of HTTP/1 heads, looked at before hyper reads them.
//!
//! Stage 1 of the walk. hyper makes an unambiguous request of an ambiguous head (it takes `content-length` out where
//! there is `transfer-encoding` too); a gateway should refuse what another server might read differently. This follows
//! the framing of a connection just closely enough to know where each head begins, and remembers which head was
//! ambiguous. It also tells HTTP/2 from HTTP/1 by the first bytes, and ends a connection whose peer has stopped reading.
//! Promises: bytes pass unchanged; a few bytes of state per connection and at most one header line held. Does not: parse
//! what hyper refuses anyway (then it stops looking), or look into HTTP/2.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::bounds::{WRITE_RATE_MIN, WRITE_STALL_MAX};
use crate::code::Code;
use crate::pipeline::refusal::Refusal;

/// What is known of one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Clear,
    Ambiguous(Why),
}

/// What is ambiguous about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    LengthAndCoding,
    UnknownCoding,
}

/// The 400 for it.
pub fn refusal(why: Why) -> Refusal {
    let message = match why {
        Why::LengthAndCoding => "the request has both Content-Length and Transfer-Encoding",
        Why::UnknownCoding => "the only transfer coding that is read is `chunked`",
    };
    Refusal::new(Code::InvalidRequest, message).closing()
}

/// Shared between a connection's bytes and its service: the number of the first ambiguous head, and why.
#[derive(Debug)]
pub struct Heads(AtomicU64);

const NONE: u64 = u64::MAX;

impl Heads {
    /// The verdict on the `n`th head of the connection. After an ambiguous one nothing is read.
    pub fn verdict(&self, n: u64) -> Verdict {
        match self.0.load(Ordering::Acquire) {
            NONE => Verdict::Clear,
            marked if n < marked >> 1 => Verdict::Clear,
            marked if marked & 1 == 0 => Verdict::Ambiguous(Why::LengthAndCoding),
            _ => Verdict::Ambiguous(Why::UnknownCoding),
        }
    }

    fn mark(&self, n: u64, why: Why) {
        self.0.store(n << 1 | u64::from(why == Why::UnknownCoding), Ordering::Release);
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    Http1,
    Http2,
}

/// With this begins a connection that speaks HTTP/2 (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose incoming bytes are looked at.
pub struct Guarded<S> {
    inner: S,
    scanner: Scanner,
    heads: Arc<Heads>,
    /// The first bytes, from which it is told what is spoken, and which of them are still to be handed on.
    opening: [u8; PREFACE.len()],
    kept: Range<u8>,
    /// Runs while the peer takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    /// How long it may still take nothing.
    patience: Duration,
}

impl<S> Guarded<S> {
    /// Wraps a connection.
    pub fn new(inner: S) -> (Guarded<S>, Arc<Heads>) {
        let heads = Arc::new(Heads(AtomicU64::new(NONE)));
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

    /// What a write of some bytes came to, with an end to waiting: a peer that takes a byte now and then has left, too.
    fn written<T>(
        &mut self,
        polled: Poll<io::Result<T>>,
        bytes: impl Fn(&T) -> usize,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(result) = &polled {
            if let Some(timer) = self.stall.take() {
                // It was set for the whole patience when the stall began.
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
    /// Reads until it is clear what is spoken, and keeps the bytes for the reads that follow.
    ///
    /// hyper-util's own detection hands hyper the 24 bytes alone, for which hyper then makes a second buffer of 8 KiB.
    ///
    /// # Errors
    /// Those of the stream, and `TimedOut` if it is not clear `within` so long: hyper would wait without end.
    pub async fn spoken(&mut self, within: Duration) -> io::Result<Spoken> {
        let told = poll_fn(|cx| self.poll_spoken(cx));
        tokio::time::timeout(within, told).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
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
                // The end: hyper meets it, too.
                return Poll::Ready(Ok(Spoken::Http1));
            }
            self.kept.end += read;
        }
    }

    /// Hands on as many of the first bytes as there is room for.
    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let kept = &self.opening[usize::from(self.kept.start)..usize::from(self.kept.end)];
        let some = &kept[..kept.len().min(buf.remaining())];
        buf.put_slice(some);
        self.kept.start += u8::try_from(some.len()).unwrap_or_default();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        if !this.kept.is_empty() {
            this.hand_on(buf);
        }
        // With the first bytes comes what else is there, so that one buffer is enough for both.
        let handed_on = buf.filled().len() > before;
        if !handed_on || buf.remaining() > 0 {
            match Pin::new(&mut this.inner).poll_read(cx, buf) {
                // An error comes back at the next read.
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
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
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

/// Longest header line that is held; of a longer one only the beginning matters.
const LINE_BYTES_MAX: usize = 128;

#[derive(Debug)]
struct Scanner {
    at: At,
    /// The line being read, as far as it matters.
    line: Vec<u8>,
    /// Heads that have begun.
    head: u64,
    first_line: bool,
    length: Option<u64>,
    coding: bool,
    other_coding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    /// So many bytes of a body are left.
    Body(u64),
    ChunkSize,
    /// A chunk and its line end.
    Chunk(u64),
    Trailer,
    /// The rest of the connection is not looked at: HTTP/2, or what hyper will refuse.
    Blind,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner {
            at: At::Head,
            line: Vec::new(),
            head: 0,
            first_line: true,
            length: None,
            coding: false,
            other_coding: false,
        }
    }
}

impl Scanner {
    fn scan(&mut self, mut bytes: &[u8], heads: &Heads) {
        while !bytes.is_empty() {
            match self.at {
                At::Blind => return,
                At::Body(left) | At::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    self.at = match (self.at, left - taken) {
                        (At::Body(_), 0) => At::Head,
                        (At::Body(_), rest) => At::Body(rest),
                        (_, 0) => At::ChunkSize,
                        (_, rest) => At::Chunk(rest),
                    };
                }
                At::Head | At::ChunkSize | At::Trailer => {
                    let end = memchr::memchr(b'\n', bytes);
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    let room = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(part.len());
                    self.line.extend_from_slice(&part[..room]);
                    let Some(end) = end else { return };
                    bytes = &bytes[end + 1..];
                    let line = std::mem::take(&mut self.line);
                    self.end_of_line(line.strip_suffix(b"\r").unwrap_or(&line), heads);
                    self.line = line;
                    self.line.clear();
                }
            }
        }
    }

    fn end_of_line(&mut self, line: &[u8], heads: &Heads) {
        match self.at {
            At::ChunkSize => {
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let size = std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
                self.at = match size {
                    Some(0) => At::Trailer,
                    // The chunk is followed by a line end; hyper refuses anything but CRLF.
                    Some(size) if size < u64::MAX - 2 => At::Chunk(size + 2),
                    _ => At::Blind,
                };
            }
            At::Trailer if line.is_empty() => self.at = At::Head,
            At::Head if self.first_line => {
                // hyper passes over empty lines before a request line.
                if line.starts_with(b"PRI ") {
                    self.at = At::Blind;
                } else if !line.is_empty() {
                    self.first_line = false;
                }
            }
            At::Head if line.is_empty() => self.end_of_head(heads),
            At::Head => self.field(line),
            _ => {}
        }
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            self.length = Some(length.unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coding = true;
            self.other_coding |= !value.eq_ignore_ascii_case(b"chunked");
        }
    }

    fn end_of_head(&mut self, heads: &Heads) {
        let n = self.head;
        self.head += 1;
        self.first_line = true;
        let (length, coding) = (self.length.take(), std::mem::take(&mut self.coding));
        let why = match (length, coding, std::mem::take(&mut self.other_coding)) {
            (Some(_), true, _) => Some(Why::LengthAndCoding),
            (None, true, true) => Some(Why::UnknownCoding),
            _ => None,
        };
        self.at = match (why, length, coding) {
            (Some(why), ..) => {
                heads.mark(n, why);
                At::Blind
            }
            (None, _, true) => At::ChunkSize,
            (None, Some(length), false) if length > 0 => At::Body(length),
            _ => At::Head,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::HEAD_TIMEOUT;

    /// The first ambiguous head, in every cut into two and byte by byte.
    fn look(bytes: &[u8]) -> Option<(u64, Why)> {
        let run = |chunks: &[&[u8]]| {
            let (heads, mut scanner) = (Heads(AtomicU64::new(NONE)), Scanner::default());
            chunks.iter().for_each(|c| scanner.scan(c, &heads));
            (0..20).find_map(|n| match heads.verdict(n) {
                Verdict::Ambiguous(why) => Some((n, why)),
                _ => None,
            })
        };
        let whole = run(&[bytes]);
        for cut in 0..bytes.len() {
            assert_eq!(run(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(run(&bytes.chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn ambiguous_heads_are_found_wherever_they_stand() {
        use Why::*;
        let good = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\r\nabc";
        let chunked =
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n";
        let get = "GET /b HTTP/1.1\nHost: a\n\n";
        let both = "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let htob = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: 1\r\nCONTENT-LENGTH:5\r\n\r\n0\r\n\r\n";
        let gzip = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        let quoted =
            "POST /a HTTP/1.1\r\nContent-Length: 49\r\n\r\nA: b\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n";
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "Transfer-Encoding: ".repeat(100));
        let table: &[(String, Option<(u64, Why)>)] = &[
            ([good, get, chunked, good].concat(), None),
            (quoted.to_owned() + good, None),
            (long.clone() + get, None),
            (both.to_owned(), Some((0, LengthAndCoding))),
            (htob.to_owned(), Some((0, LengthAndCoding))),
            (gzip.to_owned(), Some((0, UnknownCoding))),
            ([good, chunked, get, both].concat(), Some((3, LengthAndCoding))),
            (format!("\r\n{both}"), Some((0, LengthAndCoding))),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned() + both, None),
        ];
        for (bytes, expected) in table {
            assert_eq!(look(bytes.as_bytes()), *expected, "{bytes:?}");
        }
    }

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
        assert_eq!((written.kind(), begun.elapsed() >= WRITE_STALL_MAX), (io::ErrorKind::TimedOut, true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_a_byte_now_and_then_is_let_go_and_a_slow_one_is_not() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        // What the peer takes at once, how often, and when it is let go of.
        for (bytes, every, expected) in [(1, 50, Some(60)), (512, 1, Some(118)), (100, 1, Some(66)), (1100, 1, None)] {
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

    #[test]
    fn calls_before_the_ambiguous_one_are_served() {
        let heads = Heads(AtomicU64::new(NONE));
        heads.mark(2, Why::UnknownCoding);
        let verdicts: Vec<bool> = (0..4).map(|n| heads.verdict(n) == Verdict::Clear).collect();
        assert_eq!(verdicts, [true, true, false, false]);
    }
}
