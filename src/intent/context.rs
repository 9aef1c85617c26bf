//! The context that the tickets of one request share, free of the request, which may end before
//! they do.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use crate::ailog::row::{Outcome, RouteKind, Row};
use crate::auth::Caller;
use crate::clock::Nanos;
use crate::config::policy::Policy;
use crate::ids::RequestId;
use crate::pipeline::gateway::Gateway;
use crate::pipeline::record::Record;
use crate::pipeline::walk::Walk;
use crate::share::Party;

/// The context that the tickets of one request share.
#[derive(Clone)]
pub struct TicketContext {
    pub gateway: Arc<Gateway>,
    pub policy: Arc<Policy>,
    pub caller: Caller,
    /// The party that the work counts for.
    pub party: Arc<Party>,
    request_id: RequestId,
    endpoint: Cow<'static, str>,
    /// When the gateway's own work on it began.
    pub started: Nanos,
    /// When the work must be over, with or without a caller.
    pub work_deadline: Instant,
}

impl TicketContext {
    /// The context of the tickets of a call.
    pub fn new(walk: &Walk<'_>, caller: &Caller, endpoint: Cow<'static, str>) -> TicketContext {
        TicketContext {
            gateway: Arc::clone(walk.gateway),
            policy: Arc::clone(&walk.policy),
            caller: caller.clone(),
            party: Arc::clone(walk.party()),
            request_id: walk.request_id.clone(),
            endpoint,
            started: walk.started,
            work_deadline: walk.deadline(walk.policy.timeouts.total),
        }
    }

    /// A record of work without a client. It is dropped open only at the end of the process, or by
    /// a defect.
    pub fn background_record(&self) -> Record {
        let (gateway, policy) = (&self.gateway, &self.policy);
        let started = gateway.clock.now();
        let (org, id, version) =
            (self.caller.org.clone(), self.request_id.clone(), Arc::clone(&policy.version));
        let begun = Row::begin(gateway.clock.wall_ms(), org, RouteKind::Intent, id, version);
        let (caller, endpoint) = (Arc::clone(&self.caller.name), self.endpoint.clone());
        let row = Row { caller, endpoint, model: policy.intent.question.model.clone(), ..begun };
        Record::open(gateway, Arc::clone(policy), row, started).if_dropped(503, Outcome::Refused)
    }
}
