//! The body of an answer to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::task::TaskTracker;

use super::answering::Held;
use super::cut::Cut;
use super::h2_stall::Watched;
use super::tee::Tee;

/// The body that the server writes.
pub enum Body {
    /// All of it.
    Full(Option<Bytes>),
    /// The same of a long answer, with what it holds until it is written.
    Held { bytes: Option<Bytes>, _held: Box<Held> },
    /// A provider's answer as it comes.
    Teed(Box<Tee>),
    /// One of these over HTTP/2, where nobody asks for what is not taken.
    Watched(Watched<Body>),
}

impl Body {
    /// A body that is all here.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body::Full(Some(bytes.into()).filter(|b: &Bytes| !b.is_empty()))
    }

    /// A long body that is all here, with the bounds that it uses until it is written.
    pub fn held(bytes: Bytes, held: Held) -> Body {
        Body::Held { bytes: Some(bytes), _held: Box::new(held) }
    }

    /// Whether the call is not over yet.
    pub fn is_coming(&self) -> bool {
        match self {
            Body::Teed(_) => true,
            Body::Watched(watched) => watched.is(Body::is_coming),
            Body::Full(_) | Body::Held { .. } => false,
        }
    }

    /// The same over HTTP/2: what a peer does not take does not hold its call's place for ever.
    pub fn watched(self, tasks: &TaskTracker) -> Body {
        match self {
            Body::Held { .. } | Body::Teed(_) => Body::Watched(Watched::new(self, tasks)),
            Body::Full(_) | Body::Watched(_) => self,
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Body::Full(bytes) | Body::Held { bytes, .. } => {
                Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b))))
            }
            Body::Teed(tee) => tee.poll(cx).map(|next| next.map(|result| result.map(Frame::data))),
            Body::Watched(watched) => {
                watched.poll(cx).map(|next| next.map(|result| result.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Full(bytes) | Body::Held { bytes, .. } => bytes.is_none(),
            Body::Teed(tee) => tee.is_over(),
            Body::Watched(watched) => watched.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) | Body::Held { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Body::Teed(_) => SizeHint::default(),
            Body::Watched(watched) => watched.size_hint(),
        }
    }
}
