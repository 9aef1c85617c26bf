//! All that an answer needs on its way to the client besides its bytes.
//!
//! Stage 11 of the walk. Made once for each answer that is still coming. Does not read the answer
//! (see `tee`).

use std::sync::Arc;

use tollgate_wire::Format;

use super::super::ownership::Learning;
use super::super::record::Record;
use super::super::turns::Pace;
use super::super::walk::Walk;
use super::idle::Patience;
use crate::auth::Caller;
use crate::redact::Rules;
use crate::share;
use crate::upstream::Flying;

/// All that an answer needs besides its bytes.
pub struct Answering {
    pub format: Format,
    pub status: u16,
    pub record: Record,
    pub log: Logged,
    pub patience: Patience,
    pub held: Held,
    pub pace: Pace,
}

/// The bounds that an answer uses until it is over.
pub struct Held {
    /// The call's place among those in flight.
    pub _place: share::Held,
    /// Its place among those of its provider.
    pub _load: Option<Flying>,
    /// Memory for what is kept of it.
    pub room: share::Held,
}

/// The part of an answer that is kept for the log.
pub struct Logged {
    pub rules: Arc<Rules>,
    pub capture: bool,
    pub capture_bytes: usize,
    /// Notes the stored objects that the answer names.
    pub learning: Option<Learning>,
}

impl Logged {
    /// The part of an answer to this caller that the policy wants.
    pub fn of(walk: &Walk<'_>, caller: &Caller) -> Logged {
        let policy = &walk.policy;
        Logged {
            rules: Arc::clone(policy.redaction.of(&caller.org)),
            capture: policy.ailog.capture_response,
            capture_bytes: policy.ailog.capture_bytes(),
            learning: None,
        }
    }
}
