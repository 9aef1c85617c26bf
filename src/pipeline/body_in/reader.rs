//! A request body that the gateway itself reads: received, bounded and decoded, at most one step's
//! work at a time.
//!
//! Stage 6 of the walk, for tickets. A body that is forwarded is read by `work`, with the same
//! parts.
//!
//! Guarantees: a body that stops, is too slow, too long, damaged or decompresses too far ends with
//! a refusal; a piece is given out only in the caller's turn. Does not interpret or redact the
//! bytes.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::arriving::Arriving;
use super::coding::Coding;
use super::too_large;
use super::work::Decoding;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::turns::Pace;
use crate::share::Share;

/// A request body that is being read.
pub struct BodyReader {
    arriving: Arriving,
    decoding: Option<Box<Decoding>>,
    /// Received and not decoded yet; empty if the body is not compressed.
    encoded: Bytes,
    /// Decoded and not given out yet.
    decoded: Bytes,
    /// Received so far.
    bytes: u64,
    bytes_max: u64,
    pace: Pace,
}

impl BodyReader {
    /// A reader of a body of at most `bytes_max` bytes, as sent and as decoded.
    pub fn new(arriving: Arriving, pace: Pace, bytes_max: u64) -> BodyReader {
        BodyReader {
            arriving,
            decoding: None,
            encoded: Bytes::new(),
            decoded: Bytes::new(),
            bytes: 0,
            bytes_max,
            pace,
        }
    }

    /// Decodes the body. The decoder's memory is taken from `room`.
    pub fn decode(&mut self, coding: Coding, room: &Share) {
        self.decoding = Some(Box::new(Decoding::new(coding, self.bytes_max, room)));
    }

    /// Bytes received so far, as sent by the client.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Does work on a piece that was given out, and counts it for the caller's turns.
    pub fn step<T>(&mut self, bytes: usize, work: impl FnOnce() -> T) -> T {
        self.pace.step(bytes, work)
    }

    /// Gives up the caller's turn: there is no work at the moment.
    pub fn rest(&mut self) {
        self.pace.rest();
    }

    /// The next decoded bytes, at most as many as a step may have; `None` at the end of the body.
    ///
    /// # Errors
    /// The body is refused.
    ///
    /// # Cancel safety
    /// No bytes are lost.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// See [`BodyReader::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        loop {
            if !self.decoded.is_empty() {
                ready!(self.pace.poll_turn(cx));
                let step = self.pace.step_bytes().min(self.decoded.len());
                return Poll::Ready(Ok(Some(self.decoded.split_to(step))));
            }
            if let Some(decoding) = &mut self.decoding {
                ready!(self.pace.poll_turn(cx));
                if let Some(piece) = self.pace.step(0, || decoding.next())? {
                    self.decoded = piece;
                    continue;
                }
                if !self.encoded.is_empty() {
                    let step = self.pace.step_bytes().min(self.encoded.len());
                    decoding.push(self.encoded.split_to(step));
                    continue;
                }
            }
            let Poll::Ready(frame) = self.poll_frame(cx) else {
                self.pace.rest();
                return Poll::Pending;
            };
            match (frame?, &mut self.decoding) {
                (Some(chunk), Some(_)) => self.encoded = chunk,
                (Some(chunk), None) => self.decoded = chunk,
                (None, Some(decoding)) => {
                    ready!(self.pace.poll_turn(cx));
                    match self.pace.step(0, || decoding.finish())? {
                        Some(piece) => self.decoded = piece,
                        None => return Poll::Ready(Ok(None)),
                    }
                }
                (None, None) => return Poll::Ready(Ok(None)),
            }
        }
    }

    /// The next bytes as sent by the client.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Refusal>> {
        let data = ready!(self.arriving.poll_next(cx))?;
        self.bytes += data.as_ref().map_or(0, |data| data.len() as u64);
        Poll::Ready(if self.bytes > self.bytes_max {
            Err(too_large(self.bytes_max))
        } else {
            Ok(data)
        })
    }
}
