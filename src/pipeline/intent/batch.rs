//! Many tickets in one request: `POST /api/ai/intent/batch`.
//!
//! Promises: at most `BATCH_TICKETS_MAX` tickets, [`BATCH_AT_ONCE_MAX`] of them asked about at once; one result each, in
//! order; a ticket that fails fails alone; each takes one from the organisation's bucket and leaves a row, when its turn comes,
//! so that waiting for the others is no call in flight. The first ticket takes its own before the body is read, so that a
//! caller over its limit is told so at once. Does not: answer later.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use http::{Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::Walk;
use super::super::body::Body;
use super::super::quota::Admitted;
use super::super::quota_headers::quota_headers;
use super::super::readers::Entry;
use super::super::record::Record;
use super::super::refusal::Refusal;
use super::desk::Desk;
use super::{Sent, close, json_answer, not_empty, open_for, read, refusal_of, request};
use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::bounds::{BATCH_AT_ONCE_MAX, BATCH_BODY_BYTES_MAX};
use crate::intent::provider::IntentError;
use crate::intent::reader::Reader;
use crate::intent::ticket::IntentRequest;
use crate::limit::bucket::Decision;
use crate::lock::lock;
use crate::share::Held;

const ENDPOINT: Cow<'static, str> = Cow::Borrowed("/api/ai/intent/batch");

/// Answers `POST /api/ai/intent/batch`.
pub async fn batch(walk: Walk<'_>, incoming: Incoming) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    let Admitted { decision, entry, held } = walk.admit(&caller, RouteKind::Intent, ENDPOINT).await?;
    let mut first = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| first.hold(held));
    let (Sent { tickets, held: _held, .. }, _place) = match tickets(&walk, &caller, incoming, entry, &mut first).await {
        Ok(sent) => sent,
        Err(refusal) => {
            first.refuse(&refusal);
            return Err(Refusal { quota: Some(decision), ..refusal });
        }
    };
    let desk = Desk::new(&walk, &caller, ENDPOINT);
    let deadline = walk.deadline(desk.policy.intent.batch_deadline);
    let decision = Mutex::new(decision);
    let mut first = Some(first);
    let jobs = tickets.into_iter().map(|ticket| -> Job<'_> {
        let request = request(ticket, &caller);
        let (walk, caller, desk, decision, record) = (&walk, &caller, &desk, &decision, first.take());
        Box::pin(async move {
            let admitted = match record {
                Some(record) => Ok(record),
                None => another(walk, caller, decision).await,
            };
            match admitted {
                Ok(record) => one(desk, request, record, deadline).await,
                Err(refusal) => refused(&refusal),
            }
        })
    });
    let jobs = jobs.collect();
    let results = at_most(BATCH_AT_ONCE_MAX, jobs).await;
    let mut response = json_answer(StatusCode::OK, json!({"results": results}).to_string());
    quota_headers(response.headers_mut(), &decision.into_inner().unwrap_or_else(PoisonError::into_inner));
    Ok(response)
}

/// A ticket after the first, when its turn comes: it takes one from the bucket and gets its record. Its place among the
/// gateway's calls in flight is the batch's.
async fn another(walk: &Walk<'_>, caller: &Caller, decision: &Mutex<Decision>) -> Result<Record, Refusal> {
    let admitted = walk.admit(caller, RouteKind::Intent, ENDPOINT).await?;
    *lock(decision) = admitted.decision;
    let mut record = walk.record(caller, RouteKind::Intent, ENDPOINT);
    admitted.held.into_iter().for_each(|held| record.hold(held));
    Ok(record)
}

/// The tickets of the request, and its place. One of the wrong form refuses them all, before any is paid for.
async fn tickets(
    walk: &Walk<'_>,
    caller: &Caller,
    incoming: Incoming,
    entry: Entry,
    record: &mut Record,
) -> Result<(Sent, Held), Refusal> {
    open_for(walk, caller)?;
    let sent = read(walk, caller, incoming, entry, record, Reader::batch(), BATCH_BODY_BYTES_MAX).await?;
    Ok((sent, walk.place()?))
}

/// One ticket of a batch, and its result.
async fn one(desk: &Desk, request: IntentRequest, mut record: Record, over: Instant) -> Value {
    let mut desk = desk.clone();
    // Waiting for the others was not the gateway's work.
    desk.started = desk.gateway.clock.now();
    record.row().model.clone_from(&desk.policy.intent.question.model);
    let bytes = (request.title.len() + request.body.len()) as u64;
    record.row().request_bytes = bytes;
    let result = if Instant::now() >= over {
        Err(refusal_of(&IntentError::Timeout))
    } else if let Err(empty) = not_empty(&request) {
        Err(empty)
    } else {
        let deadline = over.min(Instant::now() + desk.policy.intent.deadline);
        let ended = desk.classify(request, bytes, &mut record, Some(deadline)).await;
        ended.map_err(|error| refusal_of(&error))
    };
    match result {
        Ok(finished) => {
            drop(close(&mut record, &finished));
            let mut result = json!({"status": 200});
            if let (Some(result), Ok(Value::Object(mut intent))) =
                (result.as_object_mut(), serde_json::to_value(&finished.intent))
            {
                result.append(&mut intent);
            }
            result
        }
        Err(refusal) => {
            record.refuse(&refusal);
            refused(&refusal)
        }
    }
}

fn refused(refusal: &Refusal) -> Value {
    let mut result = refusal.to_json();
    result["status"] = json!(refusal.code.status());
    if let Some(wait) = refusal.retry_after {
        result["retry_after"] = json!(wait.as_nanos().div_ceil(1_000_000_000).max(1) as u64);
    }
    result
}

type Job<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// Runs the jobs, at most so many at once; their results in their order.
async fn at_most(most: usize, jobs: VecDeque<Job<'_>>) -> Vec<Value> {
    let mut results = vec![Value::Null; jobs.len()];
    let mut waiting = jobs.into_iter().enumerate();
    let mut running: Vec<(usize, Job<'_>)> = Vec::with_capacity(most);
    std::future::poll_fn(|cx| {
        loop {
            let free = most.saturating_sub(running.len());
            running.extend(waiting.by_ref().take(free));
            let before = running.len();
            running.retain_mut(|(n, job)| match job.as_mut().poll(cx) {
                Poll::Ready(result) => {
                    if let Some(place) = results.get_mut(*n) {
                        *place = result;
                    }
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() && waiting.len() == 0 {
                return Poll::Ready(());
            }
            // Nobody made room: whoever is done next wakes this task.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await;
    results
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn results_keep_their_order_and_few_run_at_once() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = |n: u64, ms: u64| -> Job<'_> {
            let (running, most) = (&running, &most);
            Box::pin(async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                json!(n)
            })
        };
        for (count, at_once) in [(0, 0), (1, 1), (3, 3), (8, 8), (100, 8)] {
            // Each in its own time, and all of them in step.
            for varied in [97, 1] {
                most.store(0, Ordering::SeqCst);
                let jobs = (0..count).map(|n| job(n, 1 + n * 7919 % varied));
                let results = at_most(8, jobs.collect()).await;
                assert_eq!(results, (0..count).map(|n| json!(n)).collect::<Vec<_>>());
                assert_eq!(most.load(Ordering::SeqCst), at_once, "{count}");
            }
        }
        // All done at once.
        let ready = (0..20).map(|n| -> Job<'_> { Box::pin(std::future::ready(json!(n))) }).collect();
        assert_eq!(at_most(8, ready).await.len(), 20);
    }
}
