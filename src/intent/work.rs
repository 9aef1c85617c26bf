//! The classification of one ticket: done for this caller, or shared with callers of the same
//! ticket.
//!
//! Guarantees: one question at a time for the same ticket of an organisation, whose result all get
//! that asked meanwhile; each caller is answered by its own deadline; the work of a caller that has
//! been answered continues, or ends if the bound of such work is reached. Does not know the request
//! that a ticket came in.

use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::time::Instant;
use tollgate_wire::estimate::Makes;

use super::background::write_row;
use super::context::TicketContext;
use super::flights::{Classification, Flights, Joined, Leader, ResultReceiver, TicketResult};
use super::provider::AiProvider;
use super::ticket::{IntentRequest, IntentResponse};
use crate::lock::lock;
use crate::pipeline::no_answer_refusal;
use crate::pipeline::record::Record;
use crate::pipeline::refusal::Refusal;
use crate::upstream::NoAnswer;

impl TicketContext {
    /// Classifies a ticket of `bytes` bytes, as sent. `deadline`: when the caller must have an
    /// answer; `None` for work without a caller, whose result is kept.
    ///
    /// # Errors
    /// There is no classification; an answer that makes no sense is one without category and
    /// priority.
    pub async fn classify(
        &self,
        request: IntentRequest,
        bytes: u64,
        record: &mut Record,
        deadline: Option<Instant>,
    ) -> TicketResult {
        let flights = &self.gateway.at_work.intents;
        let key = Flights::key(&request, &self.policy.intent.fingerprint);
        // Each turn but the last is one leader that was dropped; the deadline ends them all.
        loop {
            match flights.join(key) {
                Joined::Done(classification) => {
                    self.gateway.metrics.intents_shared.with_label_values(&["kept"]).inc();
                    return Ok(classification);
                }
                Joined::Lead(leader) => {
                    return self.lead(leader, request, bytes, record, deadline).await;
                }
                Joined::Follow(receiver) => {
                    self.gateway.metrics.intents_shared.with_label_values(&["work"]).inc();
                    if let Some(result) =
                        follow(receiver, deadline.unwrap_or(self.work_deadline)).await
                    {
                        return result;
                    }
                }
            }
        }
    }

    /// Does the work on a ticket.
    async fn lead(
        &self,
        leader: Leader,
        request: IntentRequest,
        bytes: u64,
        record: &mut Record,
        deadline: Option<Instant>,
    ) -> TicketResult {
        let mut work = TicketWork::new(self, request, bytes, record)?;
        record.follow(work.provider.seen());
        record.bills(Some(Makes::Text));
        let answer = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, work.answer.as_mut()).await.ok(),
            None => Some(work.answer.as_mut().await),
        };
        if let Some(sent) = work.provider.first_sent() {
            record.own_time(sent.since(self.started));
        }
        match answer {
            Some(answer) => {
                // A limit may be this caller's own: followers are checked against theirs.
                let is_own = work.provider.is_over_limit();
                let result = work.settle(record, answer);
                if !is_own {
                    leader.complete(result.clone(), deadline.is_none());
                }
                result
            }
            None => {
                self.continue_in_background(work, leader, record);
                Err(timed_out())
            }
        }
    }

    /// Continues work whose caller has been answered. It keeps its attempts and its deadline, and
    /// gets a row of its own; the redactions in the ticket are counted on the caller's.
    fn continue_in_background(&self, mut work: TicketWork, leader: Leader, caller: &mut Record) {
        let gateway = &self.gateway;
        let Ok(place) = gateway.tenants.behind.of(&self.party).take_one() else { return };
        let mut record = self.background_record();
        record.follow(Arc::new(Mutex::new(lock(&work.provider.seen()).without_counts())));
        record.walk_trail(work.provider.trail());
        caller.hand_over(&mut record);
        let cut = gateway.cut.clone();
        gateway.tasks.spawn(async move {
            let _place = place;
            let answer = tokio::select! {
                answer = work.answer.as_mut() => answer,
                () = cut.cancelled() => return,
            };
            let result = work.settle(&mut record, answer);
            write_row(&mut record, &result);
            leader.complete(result, true);
        });
    }
}

/// The work on one ticket, free of its caller.
struct TicketWork {
    answer: Pin<Box<dyn Future<Output = Result<IntentResponse, Refusal>> + Send>>,
    provider: Arc<AiProvider>,
}

impl TicketWork {
    /// The work on a ticket of `bytes` bytes, as sent; not begun.
    fn new(
        context: &TicketContext,
        request: IntentRequest,
        bytes: u64,
        record: &Record,
    ) -> Result<TicketWork, Refusal> {
        let provider = Arc::new(AiProvider::new(context, bytes, record)?);
        let asked = Arc::clone(&provider);
        Ok(TicketWork {
            answer: Box::pin(async move { asked.classify_intent(&request).await }),
            provider,
        })
    }

    /// Moves usage, attempts and answer onto the record.
    fn settle(&self, record: &mut Record, answer: Result<IntentResponse, Refusal>) -> TicketResult {
        let trail = self.provider.trail();
        record.walk_trail(trail);
        let response_model = self.provider.settle(record, answer.is_ok());
        let provider = trail.provider().map_or_else(|| Arc::from(""), |p| Arc::clone(&p.name));
        answer.map(|intent| Classification { intent, provider, response_model })
    }
}

/// The result of a flight, by a deadline; `None` if its leader was dropped.
async fn follow(mut receiver: ResultReceiver, deadline: Instant) -> Option<TicketResult> {
    let waited = tokio::time::timeout_at(deadline, receiver.wait_for(Option::is_some)).await;
    match waited {
        Ok(Ok(result)) => result.clone(),
        Ok(Err(_)) => None,
        Err(_) => Some(Err(timed_out())),
    }
}

/// The 504 of a ticket without an answer by its deadline.
pub fn timed_out() -> Refusal {
    no_answer_refusal(&NoAnswer::Timeout)
}
