//! The body of an answer to the client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::tee::{Held, Tee};

/// What the server writes.
pub enum Body {
    /// All of it.
    Full(Option<Bytes>),
    /// The same of a long answer, with what it holds until it is written.
    Held { bytes: Option<Bytes>, _held: Box<Held> },
    /// A provider's answer as it comes.
    Teed(Box<Tee>),
}

impl Body {
    /// A body that is all here.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        Body::Full(Some(bytes.into()).filter(|b: &Bytes| !b.is_empty()))
    }

    /// Whether the call is not over yet.
    pub fn is_coming(&self) -> bool {
        matches!(self, Body::Teed(_))
    }
}

/// The answer broke off; the connection is cut so that nobody takes it for complete.
#[derive(Debug, thiserror::Error)]
#[error("the answer ended early")]
pub struct Cut;

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Body::Full(bytes) | Body::Held { bytes, .. } => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Body::Teed(tee) => tee.poll(cx).map(|next| next.map(|result| result.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Full(bytes) | Body::Held { bytes, .. } => bytes.is_none(),
            Body::Teed(tee) => tee.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Full(bytes) | Body::Held { bytes, .. } => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Body::Teed(_) => SizeHint::default(),
        }
    }
}
