//! `POST /api/ai/intent` and `GET /api/ai/intent/results/{id}`.
//!
//! Guarantees: the stages of any call, with the classification of a ticket in place of a forwarded
//! body; looking at a result costs nothing and leaves no row. Does not classify (see `work`).

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use serde_json::json;

use super::background;
use super::body::{Received, receive};
use super::context::TicketContext;
use super::flights::{Classification, wait_for_result};
use super::prefer::Prefer;
use super::reader::Reader;
use super::reply::{Reply, body_of, close};
use super::ticket::{IntentRequest, TicketId};
use crate::ailog::row::{Outcome, RouteKind};
use crate::auth::Caller;
use crate::bounds::TICKET_BYTES_MAX;
use crate::code::Code;
use crate::pipeline::admission::{Admitted, Budgets};
use crate::pipeline::answer_out::body::Body;
use crate::pipeline::ratelimit_headers::ratelimit_headers;
use crate::pipeline::readers::Entry;
use crate::pipeline::record::Record;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::upload::Upload;
use crate::pipeline::walk::Walk;
use crate::pipeline::{ATTEMPTS, PROVIDER, REDACTIONS, set, tried};
use crate::route::table::INTENT_RESULTS;

const ENDPOINT: Cow<'static, str> = Cow::Borrowed("/api/ai/intent");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Answers `POST /api/ai/intent`.
///
/// # Errors
/// A refusal of the call, or a ticket without a classification.
///
/// # Cancel safety
/// Dropped when the client leaves: the call to the provider ends, unless the answer is fetched
/// later.
pub async fn classify(walk: Walk<'_>, upload: Upload) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    let Admitted { decision, entry, held, .. } =
        walk.admit(&caller, RouteKind::Intent, ENDPOINT, Budgets::Refuse).await?;
    let mut record = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| record.hold(held));
    match reply(&walk, &caller, upload, entry, &mut record).await {
        Ok((reply, id)) => {
            let mut response = match reply {
                Reply::Done(classification) => done(&mut record, &classification, id.as_ref()),
                Reply::Pending(id) => {
                    let mut response = pending(&id);
                    let applied = HeaderValue::from_static("respond-async");
                    response.headers_mut().insert(PREFERENCE_APPLIED, applied);
                    record.close(StatusCode::ACCEPTED.as_u16(), Outcome::Ok, None);
                    response
                }
            };
            ratelimit_headers(response.headers_mut(), &decision);
            Ok(response)
        }
        Err(refusal) => {
            record.refuse(&refusal);
            let tried = Some(tried(&record.trail()));
            Err(Refusal { quota: Some(decision), tried, ..refusal })
        }
    }
}

/// Reads the ticket and classifies it, or begins to. Returns the ticket's own id, too.
async fn reply(
    walk: &Walk<'_>,
    caller: &Caller,
    upload: Upload,
    entry: Entry,
    record: &mut Record,
) -> Result<(Reply, Option<TicketId>), Refusal> {
    check_enabled(walk, caller)?;
    let received =
        receive(walk, caller, upload, entry, record, Reader::one(), TICKET_BYTES_MAX).await?;
    let Received { tickets, bytes, held } = received;
    let _place = walk.place()?;
    record.held = Some(held);
    let mut ticket = tickets.into_iter().next().unwrap_or_default();
    let id = ticket.id.take();
    let request = ticket.of(&caller.org);
    check_not_empty(&request)?;
    let context = TicketContext::new(walk, caller, ENDPOINT);
    record.row().model.clone_from(&context.policy.intent.question.model);
    let prefer = Prefer::of(&walk.head.headers);
    if prefer.respond_async
        && let Some(begun) =
            background::begin(&context, request.clone(), id.as_ref(), bytes, record)
    {
        return Ok((begun.reply(&context, prefer.wait).await?, id));
    }
    let deadline = walk.deadline(walk.policy.intent.options.deadline);
    let classification = context.classify(request, bytes, record, Some(deadline)).await?;
    Ok((Reply::Done(classification), id))
}

/// Answers `GET /api/ai/intent/results/{id}`.
///
/// # Errors
/// The caller is refused, there is no such result, or its ticket has no classification.
pub async fn result(walk: Walk<'_>, id: &str) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    check_enabled(&walk, &caller)?;
    let unknown = || {
        let message = "there is no such result: it is another organization's, too old, or was lost \
            in a restart";
        Refusal::new(Code::NotFound, message)
    };
    let (mut receiver, ticket) =
        walk.gateway.at_work.results.find(id, &caller.org).ok_or_else(unknown)?;
    let wait = Prefer::of(&walk.head.headers).wait.min(walk.policy.intent.options.deadline);
    match wait_for_result(&mut receiver, wait).await {
        Some(result) => {
            let body = body_of(&result?.intent, ticket.as_ref());
            let body = serde_json::to_vec(&body).unwrap_or_default();
            Ok(json_response(StatusCode::OK, body))
        }
        // The work was cut at the end of the process.
        None if receiver.has_changed().is_err() => Err(unknown()),
        None => Ok(pending(id)),
    }
}

/// Checks that the endpoint is switched on for the organisation.
pub fn check_enabled(walk: &Walk<'_>, caller: &Caller) -> Result<(), Refusal> {
    let message = "the intent endpoint is switched off; `features.ai_intent_enabled` \
        (AI_INTENT_ENABLED) turns it on";
    let on = walk.policy.features.of(&caller.org).ai_intent_enabled;
    if on { Ok(()) } else { Err(Refusal::new(Code::FeatureDisabled, message)) }
}

/// Checks that a ticket has text.
pub fn check_not_empty(request: &IntentRequest) -> Result<(), Refusal> {
    let empty = request.title.trim().is_empty() && request.body.trim().is_empty();
    if empty {
        Err(Refusal::new(Code::InvalidRequest, "the ticket is empty").about("body"))
    } else {
        Ok(())
    }
}

/// 200 with the classification.
fn done(
    record: &mut Record,
    classification: &Classification,
    id: Option<&TicketId>,
) -> Response<Body> {
    // The record forgets the redactions when it closes.
    let redactions = record.redactions();
    let body = close(record, classification, id);
    let mut response = json_response(StatusCode::OK, body);
    let headers = response.headers_mut();
    set(headers, PROVIDER, &classification.provider);
    // 0 if the work was done for another call.
    headers.insert(ATTEMPTS, HeaderValue::from(u16::from(record.trail().attempts())));
    if !redactions.is_empty() {
        set(headers, REDACTIONS, &redactions);
    }
    response
}

/// 202 with the location of the result.
fn pending(id: &str) -> Response<Body> {
    let location = [INTENT_RESULTS, id].concat();
    let body = json!({"id": id, "status": "pending"}).to_string();
    let mut response = json_response(StatusCode::ACCEPTED, body);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, &location);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// A response with a JSON body.
pub fn json_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
