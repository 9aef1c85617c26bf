//! Tickets that are answered later: `Prefer: respond-async`, a 202 and the location of the result.
//!
//! Guarantees: the work has a row of its own; if the bound of such work is reached, the ticket is
//! answered at once, as a preference allows. Does not outlive the process.

use std::time::Duration;

use super::context::TicketContext;
use super::flights::{ResultReceiver, TicketResult, wait_for_result};
use super::reply::{Reply, close};
use super::ticket::{IntentRequest, TicketId};
use crate::pipeline::record::Record;
use crate::pipeline::refusal::Refusal;

/// A ticket whose result can be fetched.
pub struct Begun {
    id: String,
    receiver: ResultReceiver,
}

/// Begins the work on a ticket; `None` at the bound. The limits that the caller's record holds go
/// to the work's record.
pub fn begin(
    context: &TicketContext,
    request: IntentRequest,
    id: Option<&TicketId>,
    bytes: u64,
    caller: &mut Record,
) -> Option<Begun> {
    let gateway = &context.gateway;
    let place = gateway.tenants.behind.of(&context.party).take_one().ok()?;
    let Some((id, sender, receiver)) = gateway.at_work.results.begin(&request.org_id, id) else {
        gateway.metrics.bound("intent_results");
        return None;
    };
    let (context, cut) = (context.clone(), gateway.cut.clone());
    let mut record = context.background_record();
    caller.hand_over(&mut record);
    gateway.tasks.spawn(async move {
        let _place = place;
        let result = tokio::select! {
            result = Box::pin(context.classify(request, bytes, &mut record, None)) => result,
            () = cut.cancelled() => return,
        };
        // The row first: a caller that has the result finds it in the log.
        write_row(&mut record, &result);
        // Without a receiver the result was forgotten.
        let _ = sender.send(Some(result));
    });
    Some(Begun { id, receiver })
}

impl Begun {
    /// The classification if it is there within `wait`, else the id of the result.
    pub async fn reply(
        mut self,
        context: &TicketContext,
        wait: Duration,
    ) -> Result<Reply, Refusal> {
        // Without `Prefer: wait` the caller always gets the id, however quick the work was.
        if wait.is_zero() {
            return Ok(Reply::Pending(self.id));
        }
        match wait_for_result(&mut self.receiver, wait.min(context.policy.intent.options.deadline))
            .await
        {
            Some(result) => {
                context.gateway.at_work.results.forget(&self.id);
                result.map(Reply::Done)
            }
            None => Ok(Reply::Pending(self.id)),
        }
    }
}

/// Writes the row of work without a caller.
pub fn write_row(record: &mut Record, result: &TicketResult) {
    match result {
        Ok(classification) => {
            close(record, classification, None);
        }
        Err(refusal) => record.refuse(refusal),
    }
}
