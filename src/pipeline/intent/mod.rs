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
use hyper::body::Incoming;
use serde_json::json;

use super::arriving::Arriving;
use super::body::Body;
use super::intake::too_large;
use super::quota::Admitted;
use super::quota_headers::quota_headers;
use super::readers::Entry;
use super::record::Record;
use super::refusal::{Refusal, short_of};
use super::turns::Pace;
use super::work::Decoding;
use super::{ATTEMPTS, PROVIDER, REDACTIONS, Walk, no_answer_refusal, set};
use crate::ailog::row::{Outcome, RouteKind};
use crate::auth::Caller;
use crate::bounds::{CALL_BYTES_FREE, TICKET_BYTES_MAX};
use crate::code::Code;
use crate::intent::flights::Finished;
use crate::intent::provider::IntentError;
use crate::intent::reader::{Reader, Ticket, Unread};
use crate::intent::ticket::{IntentRequest, IntentResponse};
use crate::route::table::INTENT_RESULTS;
use crate::share::{Held, Resource};
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
    let Admitted { decision, entry, held } = walk.admit(&caller, RouteKind::Intent, ENDPOINT).await?;
    let mut record = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| record.hold(held));
    match answered(&walk, &caller, incoming, entry, &mut record).await {
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
    entry: Entry,
    record: &mut Record,
) -> Result<Answer, Refusal> {
    open_for(walk, caller)?;
    let sent = read(walk, caller, incoming, entry, record, Reader::one(), TICKET_BYTES_MAX).await?;
    let Sent { tickets, bytes, held } = sent;
    let _place = walk.place()?;
    record.held = Some(held);
    let request = request(tickets.into_iter().next().unwrap_or_default(), caller);
    not_empty(&request)?;
    let desk = Desk::new(walk, caller, ENDPOINT);
    record.row().model.clone_from(&desk.policy.intent.question.model);
    let prefer = Prefer::of(&walk.head.headers);
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

/// What a request body holds.
struct Sent {
    tickets: Vec<Ticket>,
    /// Of the body, decoded.
    bytes: u64,
    /// Room for the tickets. A question has them a second time.
    held: Held,
}

/// The tickets of a request body, by the deadline and up to a length. They are read as the body comes, in steps.
async fn read(
    walk: &Walk<'_>,
    caller: &Caller,
    incoming: Incoming,
    entry: Entry,
    record: &mut Record,
    reader: Reader,
    bytes_max: usize,
) -> Result<Sent, Refusal> {
    let coding = walk.check_body_head()?;
    let decoding = coding.map(|coding| Decoding::new(coding, bytes_max as u64, &walk.decoders()));
    let mut reading = Reading { reader, pace: walk.pace(caller), bytes: 0, held: walk.bytes().begin() };
    let slow = |_| Refusal::new(Code::RequestTimeout, "the request body came too slowly").closing();
    let arriving = Arriving::new(incoming, walk.policy.timeouts.idle, entry);
    let all = reading.all(arriving, decoding, record, bytes_max);
    tokio::time::timeout_at(walk.deadline(walk.policy.intent.deadline), all).await.map_err(slow)??;
    let Reading { reader, bytes, held, .. } = reading;
    Ok(Sent { tickets: reader.finish().map_err(unread)?, bytes, held })
}

/// A body on its way in.
struct Reading {
    reader: Reader,
    pace: Pace,
    /// Read so far, decoded.
    bytes: u64,
    held: Held,
}

impl Reading {
    async fn all(
        &mut self,
        mut arriving: Arriving,
        mut decoding: Option<Decoding>,
        record: &mut Record,
        bytes_max: usize,
    ) -> Result<(), Refusal> {
        let mut sent = 0;
        loop {
            self.pace.rest();
            let Some(mut data) = arriving.next().await? else { break };
            sent += data.len();
            record.row().request_bytes = sent as u64;
            if sent > bytes_max {
                return Err(too_large(bytes_max as u64));
            }
            let Some(decoding) = &mut decoding else {
                self.take(data).await?;
                continue;
            };
            while !data.is_empty() {
                decoding.push(data.split_to(self.pace.step_bytes().min(data.len())));
                self.take_decoded(decoding).await?;
            }
        }
        if let Some(decoding) = &mut decoding {
            loop {
                self.pace.turn().await;
                let Some(piece) = self.pace.step(0, || decoding.finish())? else { break };
                self.take(piece).await?;
                self.take_decoded(decoding).await?;
            }
        }
        Ok(())
    }

    async fn take_decoded(&mut self, decoding: &mut Decoding) -> Result<(), Refusal> {
        loop {
            self.pace.turn().await;
            let Some(piece) = self.pace.step(0, || decoding.next())? else { return Ok(()) };
            self.take(piece).await?;
        }
    }

    async fn take(&mut self, mut data: Bytes) -> Result<(), Refusal> {
        while !data.is_empty() {
            self.pace.turn().await;
            let piece = data.split_to(self.pace.step_bytes().min(data.len()));
            self.bytes += piece.len() as u64;
            self.pace.step(piece.len(), || self.reader.push(&piece)).map_err(unread)?;
            let kept = 2 * self.reader.bytes();
            if kept > CALL_BYTES_FREE {
                self.held.take_up_to(kept).map_err(|short| short_of(Resource::Bytes, short))?;
            }
        }
        Ok(())
    }
}

/// The refusal of a body that holds no tickets.
fn unread(unread: Unread) -> Refusal {
    match unread {
        Unread::Json => Refusal::new(Code::InvalidJson, "the request body is not valid JSON"),
        Unread::Form { message, field: "" } => Refusal::new(Code::InvalidRequest, message),
        Unread::Form { message, field } => Refusal::new(Code::InvalidRequest, message).about(field),
    }
}

/// A ticket of the caller's.
fn request(ticket: Ticket, caller: &Caller) -> IntentRequest {
    IntentRequest { title: ticket.title, body: ticket.body, org_id: caller.org.clone() }
}

fn not_empty(request: &IntentRequest) -> Result<(), Refusal> {
    let empty = request.title.trim().is_empty() && request.body.trim().is_empty();
    if empty { Err(Refusal::new(Code::InvalidRequest, "the ticket is empty").about("body")) } else { Ok(()) }
}
