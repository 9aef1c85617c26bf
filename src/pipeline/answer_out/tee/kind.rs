//! The two kinds of streaming answers: events, and any other body.
//!
//! Stage 11 of the walk. Does not: read or write (see `tee`).

use bytes::BytesMut;
use tollgate_wire::sse::{EventReader, Piece};
use tollgate_wire::{Format, StreamReader, translate};

use crate::pipeline::answer_out::rewrite::{Bodies, Events};

pub(crate) enum TeeKind {
    Events {
        format: Format,
        reader: EventReader,
        stream: Box<StreamReader>,
        drop_usage: bool,
        pieces: Vec<Piece>,
        rewrite: Option<Box<Events>>,
        /// Makes events of the caller's format of what a provider of another one sends.
        translated: Option<Box<translate::Stream>>,
    },
    Plain {
        prefix: BytesMut,
        textual: bool,
        tail: BytesMut,
        format: Format,
        rewrite: Option<Box<Bodies>>,
    },
}

impl TeeKind {
    /// Whether something may be put in here that the provider did not send: no event has been
    /// passed on in part, and the last one is still to come.
    pub(crate) fn is_between_events(&self) -> bool {
        match self {
            TeeKind::Events { reader, stream, .. } => {
                !(reader.is_mid_event() || stream.ended() || stream.failed())
            }
            TeeKind::Plain { .. } => false,
        }
    }
}
