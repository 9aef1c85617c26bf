//! The walk of a ticket: the same stages as any call, with a prompt in the middle.
//!
//! Promises: only title and body are used, and they pass the redactor before the prompt is built of them; a caller is
//! answered by its deadline; work that outlives it goes on within the same attempts, has a row of its own with the same
//! request id, and answers the same ticket asked again. Does not: keep a ticket (only a digest of it).

use std::borrow::Cow;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use hyper::body::{Body as _, Incoming};
use serde::Deserialize;
use tokio::time::Instant;

use super::body::Body;
use super::intake::{Seen, lock, too_large};
use super::quota::{Admitted, Work as Estimated};
use super::quota_headers::quota_headers;
use super::record::Record;
use super::refusal::Refusal;
use super::{Gateway, Walk, no_answer_refusal};
use crate::ailog::Recorder;
use crate::ailog::row::{Outcome, RouteKind};
use crate::auth::Caller;
use crate::bounds::TICKET_BYTES_MAX;
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::{Policy, Provider};
use crate::intent::background::{Finished, Kept, Key, Known};
use crate::intent::parse::parse;
use crate::intent::prompt::{self, Choices, Format};
use crate::intent::ticket::{Intent, Ticket};
use crate::provider::{Kind, Wire, answer};
use crate::redact::{self, Facts, RedactError, Redacted};
use crate::upstream::replay::Outgoing;
use crate::upstream::{Answer, AnswerBody, Call, NoAnswer, Trail, gathered};
use crate::usage::TokenUsage;

const ENDPOINT: Cow<'static, str> = Cow::Borrowed("/api/ai/intent");

/// Answers `POST /api/ai/intent`.
pub async fn intent(walk: Walk<'_>, incoming: Incoming) -> Result<Response<Body>, Refusal> {
    let caller = walk.caller(true).await?;
    let Admitted { decision, permit: _permit, held } = walk.admit(&caller, RouteKind::Intent, ENDPOINT).await?;
    let mut record = walk.record(&caller, RouteKind::Intent, ENDPOINT);
    held.into_iter().for_each(|held| record.hold(held));
    let result = if walk.policy.features.ai_intent(&caller.org) {
        classified(&walk, &caller, incoming, &mut record).await
    } else {
        let message =
            "the intent endpoint is switched off; `features.ai_intent_enabled` (AI_INTENT_ENABLED) turns it on";
        Err(Refusal::new(Code::FeatureDisabled, message))
    };
    match result {
        Ok(intent) => {
            let body = serde_json::to_vec(&intent).unwrap_or_default();
            record.row().response_bytes = body.len() as u64;
            note_intent(&mut record, &intent);
            record.close(200, Outcome::Ok, None);
            let mut response = Response::new(Body::full(body));
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
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
async fn classified(
    walk: &Walk<'_>,
    caller: &Caller,
    incoming: Incoming,
    record: &mut Record,
) -> Result<Intent, Refusal> {
    walk.check_body_head()?;
    let slow = |_| Refusal::new(Code::RequestTimeout, "the request body came too slowly").closing();
    let until = walk.deadline(walk.policy.intent.deadline);
    let body = tokio::time::timeout_at(until, read_ticket(walk, incoming, record)).await.map_err(slow)??;
    let ticket = ticket_of(&body)?;
    let policy = Arc::clone(&walk.policy);
    let model = policy.intent.model.clone();
    record.row().model.clone_from(&model);
    let deadline = walk.deadline(policy.intent.deadline);
    let key = Kept::key(&caller.org, &ticket);
    if let Some(finished) = known(&walk.gateway.intents, &key, deadline).await? {
        record.row().provider = Arc::clone(&finished.provider);
        record.row().response_model.clone_from(&finished.response_model);
        return Ok(finished.intent);
    }

    let (job, seen) = Job::new(walk, caller, &ticket, record.trail())?;
    {
        // What the prompt held becomes what the row says of the request; its size is the ticket's own.
        lock(&seen).bytes = body.len() as u64;
    }
    let work = Estimated {
        wire: job.wire(),
        provider: &job.target.name,
        model: &model,
        begin: job.body.as_bytes(),
        bytes: job.body.as_bytes().len() as u64,
    };
    walk.reserve(caller, work, record).await?;
    let again = Arc::new(Mutex::new(lock(&seen).without_counts()));
    record.follow(seen);
    record.own_time(walk.gateway.clock.now().since(walk.started));
    let mut work: Work = Box::pin(job.run());
    match tokio::time::timeout_at(deadline, work.as_mut()).await {
        Ok(done) => settle(record, done, walk.gateway.clock.now()),
        Err(_) => {
            go_on(walk, caller, work, key, again, record);
            Err(no_answer_refusal(&NoAnswer::Timeout))
        }
    }
}

/// An answer that is kept or on its way; `None`: there is none, the work is to be done.
///
/// # Errors
/// It was not there by the deadline.
async fn known(kept: &Kept, key: &Key, deadline: Instant) -> Result<Option<Finished>, Refusal> {
    match kept.known(key) {
        Known::Nothing => Ok(None),
        Known::Done(finished) => Ok(Some(finished)),
        Known::Running(mut receiver) => {
            match tokio::time::timeout_at(deadline, receiver.wait_for(Option::is_some)).await {
                Ok(Ok(finished)) => Ok(finished.clone()),
                // The work failed: this caller tries for itself.
                Ok(Err(_)) => Ok(None),
                Err(_) => Err(no_answer_refusal(&NoAnswer::Timeout)),
            }
        }
    }
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Lets work go on whose caller has its 504. It keeps its attempts and its deadline, and gets a row of its own; what was
/// redacted is counted on the caller's.
fn go_on(walk: &Walk<'_>, caller: &Caller, work: Work, key: Key, seen: Arc<Mutex<Seen>>, waiting: &mut Record) {
    let gateway = Arc::clone(walk.gateway);
    // Registered before the caller has its answer, so that the same ticket asked again finds it.
    let Some(working) = gateway.intents.begin(key) else {
        gateway.metrics.bound("intents_background");
        return;
    };
    let row = walk.row(caller, RouteKind::Intent, ENDPOINT);
    let (policy, started) = (Arc::clone(&walk.policy), gateway.clock.now());
    let recorder = Recorder::open(&gateway.log, row, started, gateway.clock);
    let mut record = Record::new(recorder, policy, Arc::clone(&gateway.metrics), gateway.clock, started);
    record.follow(seen);
    waiting.hand_over(&mut record);
    walk.gateway.tasks.spawn(async move {
        let done = work.await;
        let (provider, response_model) = (done.provider(), done.model.clone());
        match settle(&mut record, done, gateway.clock.now()) {
            Ok(intent) => {
                note_intent(&mut record, &intent);
                record.close(200, Outcome::Ok, None);
                working.finish(Finished { intent, provider, response_model });
            }
            Err(refusal) => record.refuse(&refusal),
        }
    });
}

/// The work on one ticket, free of its caller.
struct Job {
    gateway: Arc<Gateway>,
    policy: Arc<Policy>,
    target: Arc<Provider>,
    rules: Arc<redact::Rules>,
    body: Redacted,
    trail: Arc<Trail>,
    deadline: Instant,
}

/// What came of it.
struct Done {
    result: Result<Intent, NoAnswer>,
    trail: Arc<Trail>,
    model: String,
    usage: Option<TokenUsage>,
    response: Option<(Redacted, bool)>,
}

impl Done {
    fn provider(&self) -> Arc<str> {
        self.trail.provider().map_or_else(|| Arc::from(""), |p| Arc::clone(&p.name))
    }
}

impl Job {
    /// The prompt is built and passes the redactor; what it held is told in the second value.
    fn new(
        walk: &Walk<'_>,
        caller: &Caller,
        ticket: &Ticket,
        trail: Arc<Trail>,
    ) -> Result<(Job, Arc<Mutex<Seen>>), Refusal> {
        let policy = Arc::clone(&walk.policy);
        let failed = || Refusal::new(Code::RedactionFailed, "the ticket could not be redacted and was not forwarded");
        let target = policy.providers.get(policy.intent.provider).cloned().ok_or_else(failed)?;
        let rules = Arc::clone(policy.redaction.of(&caller.org));
        let format = match target.kind {
            Kind::OpenAi => Format::Chat,
            Kind::Anthropic => Format::Messages,
        };
        let choices = Choices {
            model: &policy.intent.model,
            temperature: policy.intent.temperature,
            categories: &policy.intent.categories,
            priorities: &policy.intent.priorities,
        };
        // Title and body pass the redactor; what the gateway writes around them is its own.
        let redacted = catch_unwind(AssertUnwindSafe(|| {
            redact::within(&rules, [&ticket.title, &ticket.body], |[title, body]| {
                let clean = Ticket { title: title.to_owned(), body: body.to_owned() };
                prompt::request(format, choices, &clean).to_string()
            })
        }));
        let (body, ledger) = match redacted {
            Ok(Ok(redacted)) => redacted,
            Ok(Err(error @ RedactError::Attachment { .. })) => {
                return Err(Refusal::new(Code::AttachmentsNotAllowed, error.to_string()));
            }
            Ok(Err(_)) | Err(_) => return Err(failed()),
        };
        let capture = if policy.ailog.capture_request { policy.ailog.capture_bytes } else { 0 };
        let facts = Facts { model: Some(policy.intent.model.clone()), ..Facts::default() };
        let seen = Seen::of_whole(&body, ledger, facts, capture);
        let deadline = walk.deadline(policy.timeouts.total);
        let gateway = Arc::clone(walk.gateway);
        Ok((Job { gateway, policy, target, rules, body, trail, deadline }, Arc::new(Mutex::new(seen))))
    }

    /// The wire format of the answer.
    fn wire(&self) -> Wire {
        match self.target.kind {
            Kind::OpenAi => Wire::Chat,
            Kind::Anthropic => Wire::Messages,
        }
    }

    async fn run(self) -> Done {
        let wire = self.wire();
        let path = match self.target.kind {
            Kind::OpenAi => "/chat/completions",
            Kind::Anthropic => "/messages",
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION"))));
        let body = Outgoing::Whole(self.body.clone());
        let call = Call {
            method: &Method::POST,
            path_and_query: path,
            headers: &headers,
            client_headers: &HeaderMap::new(),
            body: &body,
            own_key: None,
            stateful: false,
            deadline: self.deadline,
        };
        let targets = [Arc::clone(&self.target)];
        let answered = self.gateway.upstream.call(&self.policy, &targets, &call, &self.trail).await;
        let mut done = Done {
            result: Err(NoAnswer::Timeout),
            trail: self.trail,
            model: String::new(),
            usage: None,
            response: None,
        };
        let answer = match answered {
            Ok(answer) => answer,
            Err(no_answer) => {
                done.result = Err(no_answer);
                return done;
            }
        };
        let retry_after = retry_after(&answer);
        // A provider's own error is not the help desk's business: to it the service is unavailable.
        let idle = self.policy.timeouts.idle;
        let bytes = match answer.body {
            AnswerBody::Whole(bytes) => Ok(bytes),
            // Not labelled as JSON: read all the same, it was paid for.
            AnswerBody::Streaming(_, rest) if answer.head.status.is_success() => whole(rest, idle).await,
            AnswerBody::Streaming(..) => Err(()),
        };
        let Ok(bytes) = bytes else {
            done.result = Err(NoAnswer::Unavailable { retry_after });
            return done;
        };
        let facts = answer::read(wire, &bytes);
        (done.usage, done.model) = (facts.usage, facts.model);
        let ailog = &self.policy.ailog;
        if ailog.capture_response {
            done.response = Some(redact::answer(&self.rules, &bytes, true, ailog.capture_bytes));
        }
        done.result = if answer.head.status.is_success() {
            let text = answer_text(wire, &bytes);
            Ok(parse(&text, &self.policy.intent.categories, &self.policy.intent.priorities))
        } else {
            Err(NoAnswer::Unavailable { retry_after })
        };
        done
    }
}

/// An answer that was not gathered before, if it is short.
async fn whole(rest: Incoming, idle: Duration) -> Result<Bytes, ()> {
    match gathered(rest, idle).await {
        Ok(AnswerBody::Whole(bytes)) => Ok(bytes),
        Ok(AnswerBody::Streaming(..)) | Err(_) => Err(()),
    }
}

/// Moves what came of the work onto the record.
fn settle(record: &mut Record, done: Done, now: Nanos) -> Result<Intent, Refusal> {
    record.walk_trail(&done.trail);
    if done.result.is_ok() {
        record.first_byte(now);
    }
    record.used(done.usage, &done.model);
    if let Some((text, cut)) = done.response {
        record.answered(text, cut);
    }
    done.result.map_err(|no_answer| no_answer_refusal(&no_answer))
}

fn note_intent(record: &mut Record, intent: &Intent) {
    let row = record.row();
    row.category.clone_from(&intent.category);
    row.priority.clone_from(&intent.priority);
    row.confidence = Some(intent.confidence);
}

fn retry_after(answer: &Answer) -> Option<std::time::Duration> {
    let text = |name: &str| answer.head.headers.get(name).and_then(|v| v.to_str().ok());
    crate::upstream::retry::retry_after(text("retry-after-ms"), text("retry-after"), crate::clock::wall_ms())
}

async fn read_ticket(walk: &Walk<'_>, mut incoming: Incoming, record: &mut Record) -> Result<Bytes, Refusal> {
    let mut body = Vec::new();
    let idle = walk.policy.timeouts.idle;
    loop {
        if incoming.is_end_stream() {
            break;
        }
        let frame = tokio::time::timeout(idle, http_body_util::BodyExt::frame(&mut incoming)).await;
        let stopped = || Refusal::new(Code::RequestTimeout, "the request body stopped coming").closing();
        let Some(frame) = frame.map_err(|_| stopped())? else { break };
        let unread = |_| Refusal::new(Code::InvalidRequest, "the request body could not be read to its end").closing();
        if let Ok(data) = frame.map_err(unread)?.into_data() {
            if body.len() + data.len() > TICKET_BYTES_MAX {
                return Err(too_large(TICKET_BYTES_MAX as u64));
            }
            body.extend_from_slice(&data);
            record.row().request_bytes = body.len() as u64;
        }
    }
    Ok(Bytes::from(body))
}

fn ticket_of(body: &[u8]) -> Result<Ticket, Refusal> {
    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        title: serde_json::Value,
        #[serde(default)]
        body: serde_json::Value,
    }
    let value: serde_json::Value = serde_json::from_slice(body)
        .map_err(|_| Refusal::new(Code::InvalidJson, "the request body is not valid JSON"))?;
    let shape = || Refusal::new(Code::InvalidRequest, "a ticket is a JSON object with `title` and `body`");
    if !value.is_object() {
        return Err(shape());
    }
    let Fields { title, body } = serde_json::from_value(value).map_err(|_| shape())?;
    let text = |value: serde_json::Value, name: &'static str| match value {
        serde_json::Value::String(text) => Ok(text),
        serde_json::Value::Null => Err(Refusal::new(Code::InvalidRequest, format!("`{name}` is missing")).about(name)),
        _ => Err(Refusal::new(Code::InvalidRequest, format!("`{name}` must be a string")).about(name)),
    };
    let (title, body) = (text(title, "title")?, text(body, "body")?);
    if title.trim().is_empty() && body.trim().is_empty() {
        return Err(Refusal::new(Code::InvalidRequest, "the ticket is empty").about("body"));
    }
    Ok(Ticket { title, body })
}

/// The text of an answer: all of its choices' or blocks' first texts put together.
fn answer_text(wire: Wire, answer: &[u8]) -> String {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(answer) else { return String::new() };
    let text = match wire {
        Wire::Messages => value["content"].as_array().and_then(|b| b.iter().find_map(|b| b["text"].as_str())),
        _ => value["choices"].as_array().and_then(|c| c.iter().find_map(|c| c["message"]["content"].as_str())),
    };
    text.unwrap_or_default().to_owned()
}
