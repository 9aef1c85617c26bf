//! The way of a question to its provider: attempts, limits and usage as for any call, noted for the row.
//!
//! Promises: all questions about one ticket share its attempts and its deadline; what was sent, used and answered is on the
//! record wherever the work ends. Does not: know what is asked (see `intent/provider`).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use hyper::body::Incoming;
use tollgate_wire::estimate::{Asked, Makes};
use tollgate_wire::usage::TokenUsage;
use tollgate_wire::{Format, written};

use super::super::intake::Seen;
use super::super::quota::{Counting, Work as Estimated};
use super::super::record::Record;
use super::super::refusal::Refusal;
use super::desk::Desk;
use crate::clock::Nanos;
use crate::config::policy::{Provider, Targets};
use crate::cost::output;
use crate::intent::flights::{Ended, Finished};
use crate::intent::provider::{Adapter, AiProvider, Carrier, Eventually, IntentError};
use crate::intent::ticket::{IntentRequest, IntentResponse};
use crate::limit::meters::Reservation;
use crate::lock::lock;
use crate::redact::{self, Facts, Ledger, Redacted, Rules};
use crate::share::Share;
use crate::upstream::replay::Outgoing;
use crate::upstream::{Answer, AnswerBody, Call, NoAnswer, Trail, gathered};

/// The work on one ticket, free of its caller.
pub(super) struct Work {
    pub(super) answer: Pin<Box<dyn Future<Output = Result<IntentResponse, IntentError>> + Send>>,
    line: Arc<Line>,
}

/// What carries its questions, and what is known of them.
struct Line {
    desk: Desk,
    target: Arc<Provider>,
    rules: Arc<Rules>,
    trail: Arc<Trail>,
    seen: Arc<Mutex<Seen>>,
    told: Mutex<Told>,
}

#[derive(Default)]
struct Told {
    first_sent: Option<Nanos>,
    answered: Option<Nanos>,
    usage: Option<TokenUsage>,
    /// Text of answers that did not say what they used.
    silent_bytes: u64,
    model: String,
    response: Option<(Redacted, bool)>,
    /// What the questions hold of limits by estimate.
    held: Option<Reservation>,
}

impl Work {
    /// The work on a ticket, not begun. `bytes`: the size of the ticket as sent.
    pub(super) fn new(desk: &Desk, request: IntentRequest, bytes: u64, trail: Arc<Trail>) -> Result<Work, IntentError> {
        let policy = &desk.policy;
        let target = policy.providers.get(policy.intent.provider).cloned();
        let target = target.ok_or(IntentError::Unavailable { retry_after: None })?;
        let rules = Arc::clone(policy.redaction.of(&request.org_id));
        let (kind, question) = (target.kind, Arc::clone(&policy.intent.question));
        // What the question held becomes what the row says of the request; its size is the ticket's own.
        let seen = Arc::new(Mutex::new(Seen::of_size(bytes)));
        let (desk, told) = (desk.clone(), Mutex::default());
        let line = Arc::new(Line { desk, target, rules: Arc::clone(&rules), trail, seen, told });
        let provider: Box<dyn AiProvider> = Box::new(Adapter::new(kind, question, rules, Arc::clone(&line)));
        Ok(Work { answer: Box::pin(async move { provider.classify_intent(request).await }), line })
    }

    /// What is known of the question.
    pub(super) fn seen(&self) -> Arc<Mutex<Seen>> {
        Arc::clone(&self.line.seen)
    }

    /// How the attempts go.
    pub(super) fn trail(&self) -> &Arc<Trail> {
        &self.line.trail
    }

    /// Notes what the gateway itself took until the question was sent.
    pub(super) fn note_own_time(&self, record: &mut Record, started: Nanos) {
        if let Some(sent) = self.line.told().first_sent {
            record.own_time(sent.since(started));
        }
    }

    /// Moves what came of the work onto the record.
    pub(super) fn settle(&self, record: &mut Record, result: Result<IntentResponse, IntentError>) -> Ended {
        let line = &self.line;
        record.walk_trail(&line.trail);
        let told = std::mem::take(&mut *line.told());
        if let (Ok(_), Some(answered)) = (&result, told.answered) {
            record.first_byte(answered);
        }
        told.held.into_iter().for_each(|held| record.hold(held));
        if told.usage.is_none() && told.silent_bytes > 0 {
            record.used_about(None, told.silent_bytes, &told.model);
        } else {
            record.used(told.usage, &told.model);
        }
        if let Some((text, cut)) = told.response {
            record.answered(text, cut);
        }
        let provider = line.trail.provider().map_or_else(|| Arc::from(""), |p| Arc::clone(&p.name));
        result.map(|intent| Finished { intent, provider, response_model: told.model })
    }
}

impl Line {
    fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    /// The first question is what the row shows, and what was taken out is counted once.
    fn note_question(&self, body: &Redacted, ledger: Ledger) {
        let mut told = self.told();
        if told.first_sent.is_some() {
            return;
        }
        told.first_sent = Some(self.desk.gateway.clock.now());
        let policy = &self.desk.policy;
        let capture = if policy.ailog.capture_request { policy.ailog.capture_bytes } else { 0 };
        let model = Some(policy.intent.question.model.clone());
        let facts = Facts { model, output_tokens_max: bound(body), ..Facts::default() };
        let mut seen = lock(&self.seen);
        let bytes = seen.bytes;
        *seen = Seen::of_whole(body, ledger, facts, capture);
        seen.bytes = bytes;
    }

    /// Usage adds up over the questions; of the answers the row shows the last.
    fn note_answer(&self, format: Format, bytes: &Bytes) {
        let facts = format.read_answer(bytes);
        let ailog = &self.desk.policy.ailog;
        let response = ailog.capture_response.then(|| redact::answer(&self.rules, bytes, true, ailog.capture_bytes));
        let mut told = self.told();
        told.answered.get_or_insert(self.desk.gateway.clock.now());
        told.usage = match (told.usage, facts.usage) {
            (Some(before), Some(now)) => Some(before.plus(now)),
            (before, now) => now.or(before),
        };
        told.silent_bytes += if facts.usage.is_none() { written::text_bytes(bytes) } else { 0 };
        told.model = facts.model;
        told.response = response;
    }

    /// Asks for what the first question may use; a second one is settled with it.
    async fn reserve(&self, body: &Redacted) -> Result<(), IntentError> {
        if self.trail.attempts() > 0 {
            return Ok(());
        }
        let Desk { gateway, policy, caller, .. } = &self.desk;
        let model = policy.intent.question.model.as_str();
        let asked = Asked { makes: Makes::Text, bound: bound(body), choices: 1, longest: output::longest(model) };
        let expected = asked.expected(body.as_bytes().len() as u64);
        let work = Estimated { targets: &[(&self.target.name, None)], model, expected };
        match (Counting { gateway, policy }).reserve(caller, work).await {
            Ok(held) => {
                self.told().held = held;
                Ok(())
            }
            Err(Refusal { code, message, retry_after, lasting, .. }) => {
                Err(IntentError::Refused { code, message: message.into_owned(), retry_after, lasting })
            }
        }
    }

    async fn send(&self, path: &'static str, format: Format, body: Redacted) -> Result<Bytes, IntentError> {
        self.reserve(&body).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("tollgate/", env!("CARGO_PKG_VERSION"))));
        let (gateway, policy) = (&self.desk.gateway, &self.desk.policy);
        let (body, room) = (Outgoing::Whole(body), gateway.tenants.bytes.of(&self.desk.party));
        let call = Call {
            caller: self.desk.caller.org.as_str(),
            // Tickets need a JWT.
            is_known: true,
            method: &Method::POST,
            path_and_query: path,
            headers: &headers,
            forwarded: &HeaderMap::new(),
            body: &body,
            room: &room,
            model_at: None,
            own_key: None,
            stateful: false,
            deadline: self.desk.over,
        };
        let targets = Targets::only(Arc::clone(&self.target), policy.timeouts);
        let answer = gateway.upstream.call(policy, &targets, &call, &self.trail).await.map_err(no_answer)?;
        let (retry_after, success) = (retry_after(&answer), answer.head.status.is_success());
        // A provider's own error is not the help desk's business: to it the service is unavailable.
        let unavailable = || IntentError::Unavailable { retry_after };
        let bytes = match answer.body {
            AnswerBody::Whole(bytes) => bytes,
            // Not labelled as JSON: read all the same, it was paid for.
            AnswerBody::Streaming(_, rest) if success => {
                whole(rest, policy.timeouts.idle, &room).await.ok_or_else(unavailable)?
            }
            AnswerBody::Streaming(..) => return Err(unavailable()),
        };
        self.note_answer(format, &bytes);
        if success { Ok(bytes) } else { Err(unavailable()) }
    }
}

impl Carrier for Arc<Line> {
    fn carry(&self, path: &'static str, format: Format, body: Redacted, ledger: Ledger) -> Eventually<'_, Bytes> {
        self.note_question(&body, ledger);
        Box::pin(self.send(path, format, body))
    }

    fn may_ask_again(&self) -> bool {
        u32::from(self.trail.attempts()) <= self.desk.policy.retry.max_retries
    }

    fn work<'w>(
        &'w self,
        step: &'w mut (dyn FnMut(usize) -> bool + Send),
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'w>> {
        let turns = &self.desk.gateway.turns;
        let mut pace = turns.pace(turns.group(&self.desk.caller));
        Box::pin(async move {
            loop {
                pace.turn().await;
                let bytes = pace.step_bytes();
                if pace.step(bytes, || step(bytes)) {
                    return;
                }
            }
        })
    }
}

/// The bound that a question sets to its answer.
fn bound(body: &Redacted) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Bounded {
        max_tokens: Option<u64>,
    }
    serde_json::from_slice::<Bounded>(body.as_bytes()).ok()?.max_tokens
}

fn no_answer(no_answer: NoAnswer) -> IntentError {
    match no_answer {
        NoAnswer::Unavailable { retry_after } => IntentError::Unavailable { retry_after },
        NoAnswer::Timeout => IntentError::Timeout,
        // A question is whole before it is sent.
        NoAnswer::BodyBroken => IntentError::Unavailable { retry_after: None },
        NoAnswer::Exhausted => IntentError::Unavailable { retry_after: Some(Duration::from_secs(1)) },
    }
}

/// An answer that was not gathered before, if it is short.
async fn whole(rest: Incoming, idle: Duration, room: &Share) -> Option<Bytes> {
    match gathered(rest, idle, room).await {
        Ok((AnswerBody::Whole(bytes), _)) => Some(bytes),
        Ok((AnswerBody::Streaming(..), _)) | Err(_) => None,
    }
}

fn retry_after(answer: &Answer) -> Option<Duration> {
    let text = |name: &str| answer.head.headers.get(name).and_then(|v| v.to_str().ok());
    crate::upstream::retry::retry_after(text("retry-after-ms"), text("retry-after"), crate::clock::wall_ms())
}
