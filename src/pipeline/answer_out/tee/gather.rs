//! Events that came together, on their way out together.
//!
//! Stage 11 of the walk. A provider that is quicker than one event in [`STREAM_GATHER_WITHIN`] has
//! often sent more by the time that an event is read: the client gets them in one piece, written at
//! once. Guarantees: nothing is held back for what has not come yet, or beyond
//! [`STREAM_GATHER_BYTES_MAX`]. Does not: look into events.
//!
//! [`STREAM_GATHER_WITHIN`]: crate::bounds::STREAM_GATHER_WITHIN

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::{Cutting, Tee, TeeKind};
use crate::bounds::STREAM_GATHER_BYTES_MAX;

/// hyper polls a body that is pending once more before its task gives way.
const GIVE_WAY: u8 = 2;

impl Tee {
    /// Whether what is ready may wait for what the provider has sent meanwhile.
    pub(crate) fn may_gather(&self) -> bool {
        let is_stream = matches!(self.kind, TeeKind::Events { .. }) && self.incoming.is_some();
        is_stream
            && self.silence.is_quick()
            && self.cut == Cutting::No
            && self.ready.iter().map(Bytes::len).sum::<usize>() < STREAM_GATHER_BYTES_MAX
    }

    /// Ready when other tasks have run, one of which reads from the provider.
    pub(crate) fn give_way(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gave_way == GIVE_WAY {
            return Poll::Ready(());
        }
        self.gave_way += 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes what is ready, small pieces together.
    pub(crate) fn leave(&mut self) -> Option<Bytes> {
        self.gave_way = 0;
        self.silence.told();
        let first = self.ready.pop_front()?;
        let together = |ready: &VecDeque<Bytes>, len: usize| {
            ready.front().is_some_and(|next| len + next.len() <= STREAM_GATHER_BYTES_MAX)
        };
        if !together(&self.ready, first.len()) {
            return Some(first);
        }
        let all = first.len() + self.ready.iter().map(Bytes::len).sum::<usize>();
        let mut joined = BytesMut::with_capacity(all.min(STREAM_GATHER_BYTES_MAX));
        joined.extend_from_slice(&first);
        while together(&self.ready, joined.len())
            && let Some(next) = self.ready.pop_front()
        {
            joined.extend_from_slice(&next);
        }
        Some(joined.freeze())
    }
}
