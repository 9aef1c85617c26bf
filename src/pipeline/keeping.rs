//! The exact cache's part in a call: none, an answer to keep, or an answer that was kept.
//!
//! Stages 11 and 12 of the walk. Guarantees: an answer is kept only if it is a whole 2xx that could
//! not have been cut without notice, and there is memory for it. Does not: find answers (see
//! `cached`).

use std::sync::Arc;

use bytes::BytesMut;
use http::Version;
use http::header::{self, HeaderName};

use super::gateway::Gateway;
use super::headers;
use crate::ailog::row::{CostParts, Outcome, Row};
use crate::bounds::{CACHE_ANSWER_BYTES_MAX, CALL_BYTES_FREE};
use crate::cache::{Epoch, Key, Room, Stored, StoredHead};
use crate::share::Held;
use crate::upstream::answer::Answer;

/// The cache's part in a call.
#[derive(Default)]
pub enum Cached {
    /// Nothing.
    #[default]
    No,
    /// Its provider is asked; its answer is kept if it can be.
    Miss(Option<Box<Keeping>>),
    /// It is answered from the cache. The cost of the first call in 10⁻⁹ USD, if it had a price.
    Hit(Option<i64>),
}

/// An answer that is kept when it is complete.
pub struct Keeping {
    pub gateway: Arc<Gateway>,
    pub key: Key,
    pub epoch: Epoch,
    pub room: Room,
    /// Without the facts of the answer, which are not known yet.
    pub head: StoredHead,
    /// The answer so far.
    pub body: BytesMut,
    /// Memory for it.
    pub held: Held,
}

impl Cached {
    /// The value of the header and of the column.
    pub fn as_str(&self) -> &'static str {
        match self {
            Cached::No => "",
            Cached::Miss(_) => "miss",
            Cached::Hit(_) => "hit",
        }
    }

    /// Whether the call is answered from the cache.
    pub fn is_hit(&self) -> bool {
        matches!(self, Cached::Hit(_))
    }

    /// Notes the head of the answer, which is a stream of events if `has_end`. One that may be cut
    /// without notice is not kept.
    pub fn head(&mut self, answer: &Answer, has_end: bool) {
        let Cached::Miss(keeping) = self else { return };
        let Some(kept) = keeping else { return };
        let (head, translated) = (&answer.head, answer.translated.as_deref());
        let has = |name: HeaderName| head.headers.contains_key(name);
        let is_framed = has(header::CONTENT_LENGTH)
            || has(header::TRANSFER_ENCODING)
            || head.version == Version::HTTP_2
            || translated.is_some()
            || has_end;
        if !head.status.is_success() || !is_framed || has(header::CONTENT_ENCODING) {
            *keeping = None;
            return;
        }
        kept.head.status = head.status.as_u16();
        kept.head.headers = headers::returning(&head.headers)
            .iter()
            .filter(|(name, _)| is_replayed(name))
            .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
            .collect();
        kept.head.translation = answer.translation().unwrap_or_default().to_owned();
        if let Some(told) = translated {
            kept.head.translated.clone_from(&told.formats);
            kept.head.dropped_fields.clone_from(&told.dropped_fields);
        } else if let Some(told) = answer.reduced.as_deref() {
            kept.head.dropped_fields.clone_from(&told.dropped_fields);
        }
    }

    /// Takes a piece of the answer, as the provider sent it in the format of the caller. An answer
    /// for which there is no room is not kept.
    pub fn take(&mut self, piece: &[u8]) {
        let Cached::Miss(keeping) = self else { return };
        let Some(kept) = keeping else { return };
        let bytes = kept.body.len() + piece.len();
        if bytes <= CACHE_ANSWER_BYTES_MAX && (bytes <= CALL_BYTES_FREE || kept.held.grow_to(bytes))
        {
            kept.body.extend_from_slice(piece);
        } else {
            *keeping = None;
        }
    }

    /// The answer will not be that of the question: it is not kept.
    pub fn give_up(&mut self) {
        if let Cached::Miss(keeping) = self {
            *keeping = None;
        }
    }

    /// The call is over: its answer is kept if it was whole, and the row says what came from where.
    pub fn end(&mut self, row: &mut Row, outcome: Outcome) {
        row.cache = self.as_str();
        match std::mem::take(self) {
            Cached::No | Cached::Miss(None) => {}
            Cached::Hit(saved) => {
                row.cost_nano_usd = Some(0);
                row.cost_parts =
                    Some(CostParts { saved: saved.unwrap_or(0), ..CostParts::default() });
            }
            Cached::Miss(Some(kept)) if outcome == Outcome::Ok && !kept.body.is_empty() => {
                let Keeping { gateway, key, epoch, room, head, body, .. } = *kept;
                let head = StoredHead { cost_nano_usd: row.cost_nano_usd, ..head };
                gateway.cache.keep(key, Stored { head, body: body.freeze() }, room, epoch);
            }
            Cached::Miss(Some(_)) => {}
        }
    }
}

/// Whether a header of an answer says something of the answer itself, and not of the moment.
fn is_replayed(name: &HeaderName) -> bool {
    matches!(*name, header::CONTENT_TYPE | header::CACHE_CONTROL | header::CONTENT_DISPOSITION)
        || matches!(name.as_str(), "openai-version" | "openai-model")
}
