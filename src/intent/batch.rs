//! Many tickets in one request: `POST /api/ai/intent/batch`.
//!
//! Guarantees: at most `BATCH_TICKETS_MAX` tickets, of which [`BATCH_AT_ONCE_MAX`] are classified
//! at once; one result each, in order, with the ticket's own id; a ticket that fails, or that is of
//! the wrong form, fails alone. Each ticket takes one
//! request from the organisation's bucket and leaves a row when its turn comes, so that a waiting
//! ticket is not a call in flight. The first ticket takes its request before the body is read: a
//! caller over its limit is refused at once. Does not answer later.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::body::{Received, receive, refusal_of_mistake};
use super::context::TicketContext;
use super::http::{check_enabled, check_not_empty, json_response};
use super::reader::Reader;
use super::reply::{body_of, close};
use super::ticket::IntentRequest;
use super::work::timed_out;
use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::bounds::{BATCH_AT_ONCE_MAX, BATCH_BODY_BYTES_MAX};
use crate::limit::bucket::Decision;
use crate::lock::lock;
use crate::pipeline::admission::{Admitted, Budgets};
use crate::pipeline::answer_out::body::Body;
use crate::pipeline::ratelimit_headers::ratelimit_headers;
use crate::pipeline::readers::Entry;
use crate::pipeline::record::Record;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::upload::Upload;
use crate::pipeline::walk::Walk;
use crate::share::Held;

const ENDPOINT: Cow<'static, str> = Cow::Borrowed("/api/ai/intent/batch");

/// Answers `POST /api/ai/intent/batch`.
///
/// # Errors
/// The call is refused, or its body does not hold tickets.
///
/// # Cancel safety
/// Dropped when the client leaves: the calls to the provider end.
pub async fn batch(walk: Walk<'_>, upload: Upload) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    let Admitted { decision, entry, held, .. } =
        walk.admit(&caller, RouteKind::Intent, ENDPOINT, Budgets::Refuse).await?;
    let mut first = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| first.hold(held));
    let (received, _place) = match receive_batch(&walk, &caller, upload, entry, &mut first).await {
        Ok(received) => received,
        Err(refusal) => {
            first.refuse(&refusal);
            return Err(Refusal { quota: Some(decision), ..refusal });
        }
    };
    let Received { tickets, held: _held, .. } = received;
    let context = TicketContext::new(&walk, &caller, ENDPOINT);
    let deadline = walk.deadline(context.policy.intent.options.batch_deadline);
    let decision = Mutex::new(decision);
    let mut first = Some(first);
    let jobs = tickets.into_iter().enumerate().map(|(n, mut ticket)| -> Job<'_> {
        let (id, mistake) = (ticket.id.take(), ticket.mistake.take());
        let request = ticket.of(&caller.org);
        let (walk, caller, context, decision, record) =
            (&walk, &caller, &context, &decision, first.take());
        Box::pin(async move {
            let admitted = match record {
                Some(record) => Ok(record),
                None => admit_next(walk, caller, decision).await,
            };
            let mut result = match (admitted, mistake) {
                (Ok(record), None) => classify_one(context, request, record, deadline).await,
                (Ok(mut record), Some(mistake)) => {
                    let refusal = refusal_of_mistake(mistake);
                    record.refuse(&refusal);
                    refused(&refusal)
                }
                (Err(refusal), _) => refused(&refusal),
            };
            if let Some(id) = id {
                result["id"] = id.to_json();
            }
            (n, result)
        })
    });
    let results = in_order(BATCH_AT_ONCE_MAX, jobs.collect()).await;
    let mut response = json_response(StatusCode::OK, json!({"results": results}).to_string());
    ratelimit_headers(
        response.headers_mut(),
        &decision.into_inner().unwrap_or_else(PoisonError::into_inner),
    );
    Ok(response)
}

/// Admits a ticket after the first: it takes one request from the bucket and gets its record. Its
/// place among the gateway's calls in flight is that of the batch.
async fn admit_next(
    walk: &Walk<'_>,
    caller: &Caller,
    decision: &Mutex<Decision>,
) -> Result<Record, Refusal> {
    let admitted = walk.admit(caller, RouteKind::Intent, ENDPOINT, Budgets::Refuse).await?;
    *lock(decision) = admitted.decision;
    let mut record = walk.record(caller, RouteKind::Intent, ENDPOINT);
    admitted.held.into_iter().for_each(|held| record.hold(held));
    Ok(record)
}

/// The tickets of the request, and its place among the calls in flight.
async fn receive_batch(
    walk: &Walk<'_>,
    caller: &Caller,
    upload: Upload,
    entry: Entry,
    record: &mut Record,
) -> Result<(Received, Held), Refusal> {
    check_enabled(walk, caller)?;
    let received =
        receive(walk, caller, upload, entry, record, Reader::batch(), BATCH_BODY_BYTES_MAX).await?;
    Ok((received, walk.place()?))
}

/// The result of one ticket.
async fn classify_one(
    context: &TicketContext,
    request: IntentRequest,
    mut record: Record,
    batch_deadline: Instant,
) -> Value {
    let mut context = context.clone();
    // The time that the ticket waited for the others is not the gateway's own.
    context.started = context.gateway.clock.now();
    record.row().model.clone_from(&context.policy.intent.question.model);
    let bytes = (request.title.len() + request.body.len()) as u64;
    record.row().request_bytes = bytes;
    let result = if Instant::now() >= batch_deadline {
        Err(timed_out())
    } else if let Err(empty) = check_not_empty(&request) {
        Err(empty)
    } else {
        let deadline = batch_deadline.min(Instant::now() + context.policy.intent.options.deadline);
        context.classify(request, bytes, &mut record, Some(deadline)).await
    };
    match result {
        Ok(classification) => {
            close(&mut record, &classification, None);
            let mut result = body_of(&classification.intent, None);
            result.insert("status".to_owned(), json!(200));
            Value::Object(result)
        }
        Err(refusal) => {
            record.refuse(&refusal);
            refused(&refusal)
        }
    }
}

fn refused(refusal: &Refusal) -> Value {
    let mut result = refusal.to_json(false);
    result["status"] = json!(refusal.status());
    if let Some(wait) = refusal.retry_after {
        result["retry_after"] = json!(wait.as_nanos().div_ceil(1_000_000_000).max(1) as u64);
    }
    result
}

/// The work on one ticket: its number, and its result.
type Job<'a> = Pin<Box<dyn Future<Output = (usize, Value)> + Send + 'a>>;

/// Runs the jobs, at most `at_once_max` at once; returns their results by number.
async fn in_order(at_once_max: usize, jobs: Vec<Job<'_>>) -> Vec<Value> {
    let mut results = vec![Value::Null; jobs.len()];
    let mut waiting = jobs.into_iter();
    let mut running: FuturesUnordered<Job<'_>> = waiting.by_ref().take(at_once_max).collect();
    while let Some((n, result)) = running.next().await {
        if let Some(place) = results.get_mut(n) {
            *place = result;
        }
        running.extend(waiting.next());
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn results_keep_their_order_and_few_run_at_once() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = |n: usize, ms: u64| -> Job<'_> {
            let (running, most) = (&running, &most);
            Box::pin(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                (n, json!(n))
            })
        };
        for (count, at_once) in [(0, 0), (1, 1), (3, 3), (8, 8), (100, 8)] {
            // Each in its own time, and all of them in step.
            for varied in [97, 1] {
                most.store(0, Ordering::SeqCst);
                let jobs = (0..count).map(|n| job(n, 1 + n as u64 * 7919 % varied));
                let results = in_order(8, jobs.collect()).await;
                assert_eq!(results, (0..count).map(|n| json!(n)).collect::<Vec<_>>());
                assert_eq!(most.load(Ordering::SeqCst), at_once, "{count}");
            }
        }
        // All done at once.
        let ready =
            (0..20).map(|n| -> Job<'_> { Box::pin(std::future::ready((n, json!(n)))) }).collect();
        assert_eq!(in_order(8, ready).await.len(), 20);
    }
}
