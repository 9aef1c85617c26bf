//! The bytes of a request body as the client sends them.
//!
//! Stage 6 of the walk. Promises: a body that stops, or comes more slowly than `rate` allows, ends
//! with a refusal; so does one whose room another call of its party needs (see `readers`); only
//! time in which the client is waited for counts. Trailers are dropped. Does not: decode or redact.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};

use super::rate::BodyRate;
use crate::code::Code;
use crate::pipeline::readers::Entry;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::upload::Upload;

/// One body on its way in.
pub struct Arriving {
    upload: Upload,
    rate: BodyRate,
    timer: Option<Pin<Box<Sleep>>>,
    /// Room for a call whose body is read. Given back when enough of it has come.
    entry: Option<Entry>,
    /// Time spent waiting for the client.
    pub waited: Duration,
    /// The client went away while sending it.
    pub disconnected: bool,
}

impl Arriving {
    /// A body of which nothing may come for `idle` at most.
    pub fn new(upload: Upload, idle: Duration, entry: Entry) -> Arriving {
        Arriving {
            upload,
            rate: BodyRate::new(idle),
            timer: None,
            entry: Some(entry),
            waited: Duration::ZERO,
            disconnected: false,
        }
    }

    /// Enough of it has come: it is no longer one of those that are read.
    pub fn has_come(&mut self) {
        self.entry = None;
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// The client stopped, left, or was too slow.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        loop {
            if self.upload.is_end_stream() {
                return Poll::Ready(Ok(None));
            }
            match self.upload.poll_frame(cx) {
                Poll::Ready(None) => return Poll::Ready(Ok(None)),
                Poll::Ready(Some(Ok(frame))) => {
                    self.timer = None;
                    // An empty frame is no sign of life.
                    let Some(data) = frame.into_data().ok().filter(|data| !data.is_empty()) else {
                        continue;
                    };
                    self.waited += self.rate.came(Instant::now(), data.len());
                    let is_late = self.entry.as_ref().is_some_and(|entry| !entry.came());
                    return Poll::Ready(if is_late { Err(self.stopped()) } else { Ok(Some(data)) });
                }
                Poll::Ready(Some(Err(error))) => {
                    self.disconnected = client_left(&error);
                    let message = "the request body could not be read to its end";
                    return Poll::Ready(Err(Refusal::new(Code::InvalidRequest, message).closing()));
                }
                Poll::Pending => {
                    ready!(self.poll_given_up(cx));
                    return Poll::Ready(Err(self.stopped()));
                }
            }
        }
    }

    /// Lasts as long as the client is waited for.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let until = self.rate.waits(now);
        let slow_from = self.rate.slow_from(now);
        if self.entry.as_mut().is_some_and(|entry| !entry.waits(cx, slow_from)) {
            return Poll::Ready(());
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        timer.as_mut().poll(cx)
    }

    /// Why it is waited for no longer.
    fn stopped(&self) -> Refusal {
        let message = if self.entry.as_ref().is_some_and(Entry::is_given_up) {
            "the request body came slowly while your share of the gateway was used up; please send \
             it again"
        } else if self.rate.is_too_slow() {
            "the request body came too slowly; send at least 1 KiB a second, or all of it within \
             10 seconds"
        } else {
            "the request body stopped before its end"
        };
        Refusal::new(Code::RequestTimeout, message).closing()
    }
}

/// A body that ends before its length is a client that left; one that is malformed is its mistake.
fn client_left(error: &hyper::Error) -> bool {
    use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut left = error.is_incomplete_message() || error.is_closed() || error.is_canceled();
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        left |= io.is_some_and(|e| {
            matches!(e.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
        });
        cause = error.source();
    }
    left
}
