//! The bodies of an operator's request and of its answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::connections::Answering;
use crate::bounds::{ADMIN_BODY_BYTES_MAX, ADMIN_BODY_TIMEOUT, ADMIN_PIECE_BYTES};

/// The bytes that are written.
pub(crate) struct Body {
    kind: Kind,
    /// The connection is being answered.
    _answering: Option<Answering>,
    /// A place among the long answers.
    _place: Option<OwnedSemaphorePermit>,
}

enum Kind {
    /// All of it.
    Full(Option<Bytes>),
    /// As it is made; an error breaks it off.
    Pieces(mpsc::Receiver<Result<Bytes, Cut>>),
    Over,
}

/// The answer could not be completed.
#[derive(Debug, thiserror::Error)]
#[error("the answer ended early")]
pub(crate) struct Cut;

/// Why the body of a request was not read.
pub(crate) enum Unread {
    /// It is longer than [`ADMIN_BODY_BYTES_MAX`], or ended early.
    TooLong,
    /// It took longer than [`ADMIN_BODY_TIMEOUT`].
    TooSlow,
}

/// The body of a request.
///
/// # Errors
/// See [`Unread`].
pub(crate) async fn read(mut body: Incoming) -> Result<Vec<u8>, Unread> {
    let reading = async {
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unread::TooLong)?;
            read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if read.len() > ADMIN_BODY_BYTES_MAX {
                return Err(Unread::TooLong);
            }
        }
        Ok(read)
    };
    tokio::time::timeout(ADMIN_BODY_TIMEOUT, reading).await.unwrap_or(Err(Unread::TooSlow))
}

impl Body {
    /// A body that is all here.
    pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = Some(bytes.into()).filter(|b: &Bytes| !b.is_empty());
        Body { kind: Kind::Full(bytes), _answering: None, _place: None }
    }

    /// A body that is made while it is taken.
    pub(crate) fn pieces(
        pieces: mpsc::Receiver<Result<Bytes, Cut>>,
        place: OwnedSemaphorePermit,
    ) -> Body {
        Body { kind: Kind::Pieces(pieces), _answering: None, _place: Some(place) }
    }

    /// Bytes of it that are here.
    pub(crate) fn len(&self) -> usize {
        if let Kind::Full(Some(bytes)) = &self.kind { bytes.len() } else { 0 }
    }

    /// The same with a place among the long answers.
    pub(crate) fn placed(self, place: OwnedSemaphorePermit) -> Body {
        Body { _place: Some(place), ..self }
    }

    /// The connection counts as being answered until this is over.
    pub(crate) fn answering(self, answering: Answering) -> Body {
        Body { _answering: Some(answering), ..self }
    }
}

/// The next piece. Not all at once: what is handed over counts as taken.
fn piece_of(bytes: &mut Option<Bytes>) -> Option<Bytes> {
    let rest = bytes.as_mut()?;
    let piece = rest.split_to(ADMIN_PIECE_BYTES.min(rest.len()));
    if rest.is_empty() {
        *bytes = None;
    }
    Some(piece)
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = self.get_mut();
        let next = match &mut this.kind {
            Kind::Full(bytes) => Poll::Ready(piece_of(bytes).map(Ok)),
            Kind::Pieces(pieces) => pieces.poll_recv(cx),
            Kind::Over => Poll::Ready(None),
        };
        if let Poll::Ready(None | Some(Err(_))) = next {
            this.kind = Kind::Over;
        }
        next.map(|next| next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.kind, Kind::Full(None) | Kind::Over)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Pieces(_) => SizeHint::default(),
            Kind::Over => SizeHint::with_exact(0),
        }
    }
}
