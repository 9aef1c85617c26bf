//! The walk of a ticket: the same stages as any call, with a question in the middle.
//!
//! This file is the endpoint itself; `desk` is the work on one ticket, `line` the way to the provider, `later` what is
//! fetched later, `batch` many tickets at once. Promises: only title and body are used, and they pass the redactor before
//! anything is built of them; a caller is answered by its deadline; the same ticket is asked about once at a time; work that
//! outlives its caller goes on within the same attempts, has a row of its own with the same request id, and answers the same
//! ticket asked again. Does not: keep a ticket (only a digest of it).

mod batch;
mod desk;
mod later;
mod line;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::body::Body;
use super::intake::{Decoding, too_large};
use super::quota::Admitted;
use super::quota_headers::quota_headers;
use super::record::Record;
use super::refusal::Refusal;
use super::{ATTEMPTS, PROVIDER, REDACTIONS, Walk, no_answer_refusal, set};
use crate::ailog::row::{Outcome, RouteKind};
use crate::auth::Caller;
use crate::bounds::TICKET_BYTES_MAX;
use crate::code::Code;
use crate::intent::flights::Finished;
use crate::intent::provider::IntentError;
use crate::intent::ticket::{IntentRequest, IntentResponse};
use crate::route::table::INTENT_RESULTS;
use crate::upstream::NoAnswer;
use desk::Desk;
use later::Prefer;

pub use batch::batch;
pub use later::result;

const ENDPOINT: Cow<'static, str> = Cow::Borrowed("/api/ai/intent");

/// What a caller is told.
enum Answer {
    Now(Finished),
    /// The result has this id.
    Later(String),
}

/// Answers `POST /api/ai/intent`.
pub async fn intent(walk: Walk<'_>, incoming: Incoming) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    let Admitted { decision, permit: _permit, held } = walk.admit(&caller, RouteKind::Intent, ENDPOINT).await?;
    let mut record = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| record.hold(held));
    match answered(&walk, &caller, incoming, &mut record).await {
        Ok(answer) => {
            let mut response = match answer {
                Answer::Now(finished) => {
                    // The record forgets what was taken out when it closes.
                    let redactions = record.redactions();
                    let body = close(&mut record, &finished);
                    let mut response = json_answer(StatusCode::OK, body);
                    let headers = response.headers_mut();
                    set(headers, PROVIDER, &finished.provider);
                    // None of its own where another call brought the answer in.
                    headers.insert(ATTEMPTS, HeaderValue::from(u16::from(record.trail().attempts())));
                    if !redactions.is_empty() {
                        set(headers, REDACTIONS, &redactions);
                    }
                    response
                }
                Answer::Later(id) => {
                    let mut response = pending(&id);
                    later::applied(response.headers_mut());
                    record.close(StatusCode::ACCEPTED.as_u16(), Outcome::Ok, None);
                    response
                }
            };
            quota_headers(response.headers_mut(), &decision);
            Ok(response)
        }
        Err(refusal) => {
            record.refuse(&refusal);
            let trail = record.trail();
            let tried = trail.provider().map(|p| (p.name.to_string(), trail.attempts()));
            Err(Refusal { quota: Some(decision), tried, ..refusal })
        }
    }
}

/// Stages 5 to 8 of a ticket.
async fn answered(
    walk: &Walk<'_>,
    caller: &Caller,
    incoming: Incoming,
    record: &mut Record,
) -> Result<Answer, Refusal> {
    open_for(walk, caller)?;
    let body = read(walk, incoming, record, TICKET_BYTES_MAX).await?;
    let request = ticket(&parsed(&body)?, caller, "")?;
    not_empty(&request)?;
    let desk = Desk::new(walk, caller, ENDPOINT);
    record.row().model.clone_from(&desk.policy.intent.question.model);
    let (bytes, prefer) = (body.len() as u64, Prefer::of(&walk.head.headers));
    if prefer.later
        && let Some(begun) = later::begin(&desk, request.clone(), bytes, record)
    {
        return begun.answer(&desk, prefer.wait).await;
    }
    let deadline = walk.deadline(walk.policy.intent.deadline);
    let ended = desk.classify(request, bytes, record, Some(deadline)).await;
    ended.map(Answer::Now).map_err(|error| refusal_of(&error))
}

/// Whether the organisation has the endpoint at all.
fn open_for(walk: &Walk<'_>, caller: &Caller) -> Result<(), Refusal> {
    let message = "the intent endpoint is switched off; `features.ai_intent_enabled` (AI_INTENT_ENABLED) turns it on";
    let on = walk.policy.features.ai_intent(&caller.org);
    if on { Ok(()) } else { Err(Refusal::new(Code::FeatureDisabled, message)) }
}

/// Writes what was found into the row, and closes it; gives the body of the answer.
fn close(record: &mut Record, finished: &Finished) -> Vec<u8> {
    let body = serde_json::to_vec(&finished.intent).unwrap_or_default();
    let row = record.row();
    row.response_bytes = body.len() as u64;
    // Of an answer that another call brought in, the record knows nothing by itself.
    if row.provider.is_empty() {
        row.provider = finished.provider.clone();
        row.response_model.clone_from(&finished.response_model);
    }
    note(record, &finished.intent);
    record.close(200, Outcome::Ok, None);
    body
}

fn note(record: &mut Record, intent: &IntentResponse) {
    let row = record.row();
    row.category.clone_from(&intent.category);
    row.priority.clone_from(&intent.priority);
    row.confidence = Some(intent.confidence);
}

/// What the caller is told where there is no classification.
fn refusal_of(error: &IntentError) -> Refusal {
    match error {
        IntentError::Unavailable { retry_after } => {
            no_answer_refusal(&NoAnswer::Unavailable { retry_after: *retry_after })
        }
        IntentError::Timeout => no_answer_refusal(&NoAnswer::Timeout),
        IntentError::Refused { code, message, retry_after, lasting } => {
            Refusal { retry_after: *retry_after, lasting: *lasting, ..Refusal::new(*code, message.clone()) }
        }
        IntentError::Attachment(reason) => Refusal::new(Code::AttachmentsNotAllowed, reason.clone()),
        IntentError::NotRedacted => {
            Refusal::new(Code::RedactionFailed, "the ticket could not be redacted and was not forwarded")
        }
    }
}

/// 202: the work is under way, and this is where to ask for it.
fn pending(id: &str) -> Response<Body> {
    let location = [INTENT_RESULTS, id].concat();
    let body = json!({"id": id, "status": "pending"}).to_string();
    let mut response = json_answer(StatusCode::ACCEPTED, body);
    let headers = response.headers_mut();
    set(headers, header::LOCATION, &location);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn json_answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The request body, by the deadline and up to a length.
async fn read(
    walk: &Walk<'_>,
    mut incoming: Incoming,
    record: &mut Record,
    bytes_max: usize,
) -> Result<Bytes, Refusal> {
    let coding = walk.check_body_head()?;
    let mut decoding = coding.map(|coding| Decoding::new(coding, bytes_max as u64, walk.gateway.upstream.room()));
    let reading = async {
        let mut body = Vec::new();
        let mut sent = 0;
        while !incoming.is_end_stream() {
            let frame = http_body_util::BodyExt::frame(&mut incoming);
            let frame = tokio::time::timeout(walk.policy.timeouts.idle, frame).await;
            let stopped = || Refusal::new(Code::RequestTimeout, "the request body stopped coming").closing();
            let Some(frame) = frame.map_err(|_| stopped())? else { break };
            let unread =
                |_| Refusal::new(Code::InvalidRequest, "the request body could not be read to its end").closing();
            if let Ok(data) = frame.map_err(unread)?.into_data() {
                sent += data.len();
                record.row().request_bytes = sent as u64;
                if sent > bytes_max {
                    return Err(too_large(bytes_max as u64));
                }
                let Some(decoding) = &mut decoding else {
                    body.extend_from_slice(&data);
                    continue;
                };
                decoding.push(data);
                while let Some(piece) = decoding.next()? {
                    body.extend_from_slice(&piece);
                }
            }
        }
        if let Some(decoding) = &mut decoding {
            while let Some(piece) = decoding.finish()? {
                body.extend_from_slice(&piece);
                while let Some(piece) = decoding.next()? {
                    body.extend_from_slice(&piece);
                }
            }
        }
        Ok(Bytes::from(body))
    };
    let slow = |_| Refusal::new(Code::RequestTimeout, "the request body came too slowly").closing();
    tokio::time::timeout_at(walk.deadline(walk.policy.intent.deadline), reading).await.map_err(slow)?
}

fn parsed(body: &[u8]) -> Result<Value, Refusal> {
    serde_json::from_slice(body).map_err(|_| Refusal::new(Code::InvalidJson, "the request body is not valid JSON"))
}

/// The ticket in a JSON value. `place` is where the value stands, for messages.
fn ticket(value: &Value, caller: &Caller, place: &str) -> Result<IntentRequest, Refusal> {
    if !value.is_object() {
        let what = if place.is_empty() { "a ticket" } else { place.trim_end_matches('.') };
        let message = format!("{what} must be a JSON object with `title` and `body`");
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    let text = |name: &'static str| match &value[name] {
        Value::String(text) => Ok(text.clone()),
        Value::Null => Err(Refusal::new(Code::InvalidRequest, format!("`{place}{name}` is missing")).about(name)),
        _ => Err(Refusal::new(Code::InvalidRequest, format!("`{place}{name}` must be a string")).about(name)),
    };
    let (title, body) = (text("title")?, text("body")?);
    Ok(IntentRequest { title, body, org_id: caller.org.clone() })
}

fn not_empty(request: &IntentRequest) -> Result<(), Refusal> {
    let empty = request.title.trim().is_empty() && request.body.trim().is_empty();
    if empty { Err(Refusal::new(Code::InvalidRequest, "the ticket is empty").about("body")) } else { Ok(()) }
}
