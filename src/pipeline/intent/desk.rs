//! The work on one ticket: led, or joined where somebody is at it already.
//!
//! Promises: one question for the same ticket of an organisation at a time, whose end everybody gets who asked meanwhile;
//! each caller is answered by its own deadline; what its caller left behind goes on, or, where the bound of such work is
//! reached, ends. Does not: know the request that a ticket came in.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tollgate_wire::estimate::Makes;

use super::super::record::Record;
use super::super::{Gateway, Walk};
use super::line::Work;
use super::{close, refusal_of};
use crate::ailog::row::{Outcome, RouteKind, Row};
use crate::auth::Caller;
use crate::clock::Nanos;
use crate::config::policy::Policy;
use crate::ids::RequestId;
use crate::intent::flights::{Ended, Flights, Joined, Landing, Leader};
use crate::intent::provider::IntentError;
use crate::intent::ticket::IntentRequest;
use crate::lock::lock;
use crate::share::Party;

/// What the tickets of one request have in common; free of the request, which may be over before they are.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) gateway: Arc<Gateway>,
    pub(super) policy: Arc<Policy>,
    pub(super) caller: Caller,
    /// Whom the work counts for.
    pub(super) party: Arc<Party>,
    request_id: RequestId,
    endpoint: Cow<'static, str>,
    /// When the gateway's own work on it began.
    pub(super) started: Nanos,
    /// When the work must be over, whoever waits for it.
    pub(super) over: Instant,
}

impl Desk {
    pub(super) fn new(walk: &Walk<'_>, caller: &Caller, endpoint: Cow<'static, str>) -> Desk {
        Desk {
            gateway: Arc::clone(walk.gateway),
            policy: Arc::clone(&walk.policy),
            caller: caller.clone(),
            party: Arc::clone(walk.party()),
            request_id: walk.request_id.clone(),
            endpoint,
            started: walk.started,
            over: walk.deadline(walk.policy.timeouts.total),
        }
    }

    /// The record of work that has no client. It is dropped unfinished only at the end of the process, or by a defect.
    pub(super) fn background_record(&self) -> Record {
        let (gateway, policy) = (&self.gateway, &self.policy);
        let started = gateway.clock.now();
        let (org, id, version) = (self.caller.org.clone(), self.request_id.clone(), Arc::clone(&policy.version));
        let begun = Row::begin(gateway.clock.wall_ms(), org, RouteKind::Intent, id, version);
        let (caller, endpoint) = (Arc::clone(&self.caller.name), self.endpoint.clone());
        let row = Row { caller, endpoint, model: policy.intent.question.model.clone(), ..begun };
        Record::open(gateway, Arc::clone(policy), row, started).if_dropped(503, Outcome::Refused)
    }

    /// What a ticket is about. `bytes`: its size as sent; `deadline`: when the caller must have an answer, `None` for work
    /// without a caller, whose answer is kept.
    pub(super) async fn classify(
        &self,
        request: IntentRequest,
        bytes: u64,
        record: &mut Record,
        deadline: Option<Instant>,
    ) -> Ended {
        let key = Flights::key(&request, &self.policy.intent.fingerprint);
        // Each turn but the last is one leader that was dropped; the deadline ends them all.
        loop {
            match self.gateway.at_work.intents.join(key) {
                Joined::Done(finished) => {
                    self.gateway.metrics.intents_shared.with_label_values(&["kept"]).inc();
                    return Ok(finished);
                }
                Joined::Lead(leader) => return self.lead(leader, request, bytes, record, deadline).await,
                Joined::Follow(landing) => {
                    self.gateway.metrics.intents_shared.with_label_values(&["work"]).inc();
                    if let Some(ended) = landed(landing, deadline.unwrap_or(self.over)).await {
                        return ended;
                    }
                }
            }
        }
    }

    async fn lead(
        &self,
        leader: Leader,
        request: IntentRequest,
        bytes: u64,
        record: &mut Record,
        deadline: Option<Instant>,
    ) -> Ended {
        let mut work = Work::new(self, request, bytes, record.trail())?;
        record.follow(work.seen());
        record.bills(Some(Makes::Text));
        let result = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, work.answer.as_mut()).await.ok(),
            None => Some(work.answer.as_mut().await),
        };
        work.note_own_time(record, self.started);
        match result {
            Some(result) => {
                let ended = work.settle(record, result);
                // A limit may be this caller's own: whoever follows is asked for theirs.
                if !matches!(ended, Err(IntentError::Refused { .. })) {
                    leader.land(ended.clone(), deadline.is_none());
                }
                ended
            }
            None => {
                self.go_on(work, leader, record);
                Err(IntentError::Timeout)
            }
        }
    }

    /// Lets work go on whose caller has had to be answered. It keeps its attempts and its deadline, and gets a row of its
    /// own; what was taken out of the ticket is counted on the caller's.
    fn go_on(&self, mut work: Work, leader: Leader, caller: &mut Record) {
        let gateway = &self.gateway;
        let Ok(place) = gateway.tenants.behind.of(&self.party).take_one() else { return };
        let mut record = self.background_record();
        record.follow(Arc::new(Mutex::new(lock(&work.seen()).without_counts())));
        record.walk_trail(work.trail());
        caller.hand_over(&mut record);
        let cut = gateway.cut.clone();
        gateway.tasks.spawn(async move {
            let _place = place;
            let result = tokio::select! {
                result = work.answer.as_mut() => result,
                () = cut.cancelled() => return,
            };
            let ended = work.settle(&mut record, result);
            write(&mut record, &ended);
            leader.land(ended, true);
        });
    }
}

/// Writes the row of work without a caller.
pub(super) fn write(record: &mut Record, ended: &Ended) {
    match ended {
        Ok(finished) => drop(close(record, finished)),
        Err(error) => record.refuse(&refusal_of(error)),
    }
}

/// The end of a flight, by a deadline; `None` if its leader was dropped.
async fn landed(mut landing: Landing, deadline: Instant) -> Option<Ended> {
    let waited = tokio::time::timeout_at(deadline, landing.wait_for(Option::is_some)).await;
    match waited {
        Ok(Ok(ended)) => ended.clone(),
        Ok(Err(_)) => None,
        Err(_) => Some(Err(IntentError::Timeout)),
    }
}
