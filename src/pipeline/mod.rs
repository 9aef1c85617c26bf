//! The walk of a call, told once, in a straight line.
//!
//! Level 4 of the map: the rooms meet here and nowhere else. [`handle`] finds the route and sends a call on its way;
//! [`proxy`] is the walk of a provider's endpoint, `intent` that of a ticket. Promises: a call is authenticated, limited
//! and logged by the same matched route; every authenticated call leaves one row; text goes on only as `Redacted`. Does
//! not: open sockets, or turn a refusal into bytes (`server/reply` does).

pub mod body;
mod coding;
pub mod framing;
mod intake;
pub mod intent;
pub mod quota;
pub mod quota_headers;
pub mod quotas;
mod record;
pub mod refusal;
mod restore;
mod tee;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ailog::row::{RouteKind, Row};
use crate::ailog::{AiLog, Pending, Recorder};
use crate::auth::{Authenticator, Caller, FetchError, KeySetFetch};
use crate::bounds::{CALL_BYTES_FREE, GATHER_BYTES_MAX, INTENTS_BACKGROUND_MAX};
use crate::clock::{Clock, Nanos};
use crate::code::Code;
use crate::config::policy::{Durability, Policy, Provider};
use crate::ids::RequestId;
use crate::intent::flights::Flights;
use crate::intent::results::Results;
use crate::metrics::Metrics;
use crate::provider::answer::{self, AnswerFacts};
use crate::provider::{Wire, estimate};
use crate::redact::{self, BodyRedactor, BodyRestorer};
use crate::route::table::{self, Endpoint, Matched};
use crate::upstream::replay::Outgoing;
use crate::upstream::{Answer, AnswerBody, Call, NoAnswer, Upstream};
use body::Body;
use coding::Coding;
use intake::{Decoding, Gathered, Intake, lock};
use quota::{Admitted, Work};
use quota_headers::quota_headers;
use quotas::Quotas;
use record::Record;
use refusal::Refusal;
use tee::{Held, Logged, Patience, Tee, outcome_of};

/// The provider that answered.
pub const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
/// Sends to a provider.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const REDACTIONS: HeaderName = HeaderName::from_static("x-tollgate-redactions");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Everything a call needs, made once.
pub struct Gateway {
    pub policy: Arc<ArcSwap<Policy>>,
    pub max_body_bytes: u64,
    pub auth: Authenticator,
    pub quotas: Quotas,
    pub upstream: Upstream,
    pub log: AiLog,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub places: Arc<Semaphore>,
    /// Tickets at work, and answers that came late.
    pub intents: Flights,
    /// Tickets whose answers are fetched later.
    pub results: Results,
    /// Places for work that goes on after its call.
    pub behind: Arc<Semaphore>,
    /// That work.
    pub tasks: TaskTracker,
    /// Ends it, with all that is still open.
    pub cut: CancellationToken,
    draining: AtomicBool,
}

/// What [`Gateway::new`] puts together.
pub struct Rooms {
    pub policy: Arc<ArcSwap<Policy>>,
    pub max_body_bytes: u64,
    pub calls_in_flight_max: usize,
    pub auth: Authenticator,
    pub quotas: Quotas,
    pub upstream: Upstream,
    pub log: AiLog,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    pub tasks: TaskTracker,
    pub cut: CancellationToken,
}

impl Gateway {
    /// A gateway that takes calls.
    pub fn new(rooms: Rooms) -> Gateway {
        Gateway {
            policy: rooms.policy,
            max_body_bytes: rooms.max_body_bytes,
            auth: rooms.auth,
            quotas: rooms.quotas,
            upstream: rooms.upstream,
            log: rooms.log,
            metrics: rooms.metrics,
            clock: rooms.clock,
            places: Arc::new(Semaphore::new(rooms.calls_in_flight_max)),
            intents: Flights::default(),
            results: Results::default(),
            behind: Arc::new(Semaphore::new(INTENTS_BACKGROUND_MAX)),
            tasks: rooms.tasks,
            cut: rooms.cut,
            draining: AtomicBool::new(false),
        }
    }

    /// From now on `/readyz` says no.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether new calls are welcome.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Acquire)
    }
}

/// One call: from its head to the head of its answer.
///
/// # Errors
/// The gateway's own no.
///
/// # Cancel safety
/// Dropped when the client leaves: the provider's connection is closed and the row says `client_disconnect`.
pub async fn handle(
    gateway: &Arc<Gateway>,
    request: Request<Incoming>,
    request_id: &RequestId,
) -> Result<Response<Body>, Refusal> {
    let started = gateway.clock.now();
    let (head, incoming) = request.into_parts();
    framing::check(&head)?;
    let policy = gateway.policy.load_full();
    let matched = table::find(&head.method, head.uri.path(), &policy.routing.endpoints);
    let to_the_disk = policy.ailog.durability == Durability::Power;
    if to_the_disk {
        gateway.log.expect_durable();
    }
    let walk = Walk { gateway, policy, head, request_id, started };
    let answer = match matched {
        Matched::Healthz => return Ok(plain(StatusCode::OK, "ok\n")),
        Matched::Readyz => return Ok(readiness(gateway)),
        // The two walks are large futures of which a connection holds one at a time.
        Matched::Intent => Box::pin(intent::intent(walk, incoming)).await,
        Matched::IntentBatch => Box::pin(intent::batch(walk, incoming)).await,
        Matched::IntentResult(id) => Box::pin(intent::result(walk, &id)).await,
        Matched::Proxy(endpoint) => Box::pin(proxy(walk, endpoint, incoming)).await,
        Matched::Closed => {
            walk.caller(false).await?;
            Err(closed_endpoint())
        }
        Matched::WrongMethod(allow) => Err(walk.wrong_method(allow)),
        Matched::Unknown => Err(Refusal::new(
            Code::NotFound,
            "there is no such endpoint; provider endpoints are under /v1, tickets go to POST /api/ai/intent",
        )),
    };
    // An answer that is still coming waits before its own end.
    if to_the_disk && !matches!(&answer, Ok(response) if response.body().is_coming()) {
        gateway.log.durable().await;
    }
    answer
}

/// One call on a connection beyond the bound: health is answered, everything else is to come back. The connection ends.
///
/// # Errors
/// The gateway's own no.
pub fn turn_away(gateway: &Gateway, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let policy = gateway.policy.load();
    let mut response = match table::find(request.method(), request.uri().path(), &policy.routing.endpoints) {
        Matched::Healthz => plain(StatusCode::OK, "ok\n"),
        Matched::Readyz => readiness(gateway),
        _ => return Err(quota::overloaded()),
    };
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    Ok(response)
}

fn readiness(gateway: &Gateway) -> Response<Body> {
    if gateway.is_ready() {
        plain(StatusCode::OK, "ready\n")
    } else {
        plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    }
}

/// The walk of a call to a provider's endpoint.
async fn proxy(walk: Walk<'_>, endpoint: Endpoint, incoming: Incoming) -> Result<Response<Body>, Refusal> {
    // 3. authenticate
    let caller = walk.caller(false).await?;

    // 4. quota, and a place among the calls in flight
    let Admitted { decision, permit, held } = walk.admit(&caller, RouteKind::Proxy, endpoint.name.clone()).await?;

    // 2. the record: from here on the call leaves its row, whatever happens
    let mut record = walk.record(&caller, RouteKind::Proxy, endpoint.name.clone());
    held.into_iter().for_each(|held| record.hold(held));
    let walked = if endpoint.own_key_only && caller.upstream_key.is_none() {
        Err(endpoint.others_use.map_or_else(closed_endpoint, |allow| walk.wrong_method(allow)))
    } else if caller.key.as_ref().is_some_and(|key| !key.may_call(&endpoint.name)) {
        Err(Refusal::new(Code::EndpointNotAllowed, "this key may not be used for this endpoint").closing())
    } else {
        walk_to_answer(&walk, &endpoint, &caller, incoming, &mut record).await
    };

    // 8. respond, 9. settle
    match walked {
        Ok((answer, provider, attempts)) => {
            let drop_usage = record.drop_usage();
            let redactions = record.redactions();
            let (mut response, pending) = respond(&walk, &endpoint, &caller, answer, record, drop_usage, permit);
            let headers = response.headers_mut();
            quota_headers(headers, &decision);
            set(headers, PROVIDER, &provider.name);
            headers.insert(ATTEMPTS, HeaderValue::from(u16::from(attempts)));
            if !redactions.is_empty() {
                set(headers, REDACTIONS, &redactions);
            }
            if let Some(pending) = pending {
                pending.await;
            }
            Ok(response)
        }
        Err(refusal) => {
            record.refuse(&refusal);
            Err(Refusal { quota: Some(decision), ..refusal })
        }
    }
}

/// Stages 5 to 7: the body is redacted while it comes in, a provider is chosen, and asked until it answers.
async fn walk_to_answer(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    incoming: Incoming,
    record: &mut Record,
) -> Result<(Answer, Arc<Provider>, u8), Refusal> {
    let policy = &walk.policy;
    let rules = policy.redaction.of(&caller.org);
    let path = walk.redacted_target(endpoint, rules, record)?;

    // 5. redact
    // Stored objects are also cancelled and the like by a POST that says nothing.
    let bare = endpoint.shape == redact::Shape::Other && incoming.is_end_stream();
    let (body, facts, waited) = if walk.head.method == Method::POST && !bare {
        let coding = walk.check_body_head()?;
        let mut intake = walk.intake(endpoint, rules, incoming, coding, record);
        let slow = |_| Refusal::new(Code::RequestTimeout, "the request body came too slowly").closing();
        let gather = intake.gather(needs_model(policy, caller), walk.gateway.upstream.room());
        let gathered = tokio::time::timeout_at(walk.deadline(policy.timeouts.total), gather).await.map_err(slow)??;
        let (facts, waited) = (lock(&intake.seen()).facts.clone(), intake.waited);
        let body = match gathered {
            Gathered::Whole(body) => {
                record.held = intake.held.take();
                Outgoing::Whole(body)
            }
            Gathered::Begun(first) => {
                let room = walk.gateway.upstream.room();
                Outgoing::streaming(first, Box::new(intake), policy.retry.replay_bytes, room)
            }
        };
        (body, facts, waited)
    } else {
        if !incoming.is_end_stream() {
            return Err(Refusal::new(Code::InvalidRequest, "this endpoint takes no request body").closing());
        }
        (Outgoing::Whole(redact::Redacted::default()), redact::Facts::default(), Duration::ZERO)
    };

    if walk.head.method == Method::POST
        && let Some(key) = &caller.key
        && !key.may_use(facts.model.as_deref())
    {
        let message = "this key may not be used with this model";
        return Err(Refusal::new(Code::ModelNotFound, message).about("model").closing());
    }

    // 6. route
    let targets = crate::route::targets(policy, facts.model.as_deref());
    if targets.list.is_empty() {
        let message = "no provider is configured for this model";
        return Err(Refusal::new(Code::ModelNotFound, message).about("model"));
    }

    // 4. again: what the call will use is reserved, now that it can be estimated
    if let (Some(_), Some(target)) = (&policy.limits.more, targets.list.first()) {
        let plain = !walk.head.headers.contains_key(header::CONTENT_ENCODING);
        let declared =
            walk.head.headers.get(header::CONTENT_LENGTH).filter(|_| plain).and_then(|v| v.to_str().ok()?.parse().ok());
        let (begin, bytes) = match &body {
            Outgoing::Whole(body) => (body.clone(), body.as_bytes().len() as u64),
            Outgoing::Streaming(_) => (redact::Redacted::default(), declared.unwrap_or(GATHER_BYTES_MAX as u64)),
        };
        let model = facts.model.as_deref().unwrap_or_default();
        let work = Work { wire: endpoint.wire, provider: &target.provider.name, model, begin: begin.as_bytes(), bytes };
        walk.reserve(caller, work, record).await?;
    }

    // 7. upstream
    let deadline = walk.deadline(policy.timeouts.total);
    let headers = framing::request_headers(&walk.head.headers);
    let call = Call {
        caller: caller.org.as_str(),
        method: &walk.head.method,
        path_and_query: &path,
        headers: &headers,
        client_headers: &walk.head.headers,
        body: &body,
        model_at: facts.model_at,
        own_key: caller.upstream_key.as_ref(),
        stateful: endpoint.stateful || facts.stateful,
        deadline,
    };
    let sent_at = walk.gateway.clock.now();
    record.own_time(sent_at.since(walk.started).saturating_sub(waited));
    let trail = record.trail();
    let answered = walk.gateway.upstream.call(policy, targets, &call, &trail).await;
    let (attempts, provider) = (trail.attempts(), trail.provider());
    match answered {
        Ok(answer) => {
            record.first_byte(walk.gateway.clock.now());
            let provider = provider.or_else(|| targets.list.first().map(|target| Arc::clone(&target.provider)));
            provider.map(|p| (answer, p, attempts)).ok_or_else(|| defect("an answer without a provider"))
        }
        Err(no_answer) => {
            let broken = if no_answer == NoAnswer::BodyBroken { record.body_refusal() } else { None };
            let tried = provider.map(|p| (p.name.to_string(), attempts));
            Err(Refusal { tried, ..broken.unwrap_or_else(|| no_answer_refusal(&no_answer)) })
        }
    }
}

/// Stage 8: the provider's answer becomes the client's, as it comes. Where all of it is here it may go out when its row is
/// in the log.
fn respond(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    answer: Answer,
    mut record: Record,
    drop_usage: bool,
    permit: OwnedSemaphorePermit,
) -> (Response<Body>, Option<Pending>) {
    let policy = &walk.policy;
    let mut pending = None;
    let status = answer.head.status;
    let mut headers = framing::answer_headers(&answer.head.headers);
    let log = Logged {
        rules: Arc::clone(policy.redaction.of(&caller.org)),
        capture: policy.ailog.capture_response,
        capture_bytes: policy.ailog.capture_bytes,
    };
    // Given back when the answer is over.
    let held = move || {
        let room = answer.held.unwrap_or_else(|| walk.gateway.upstream.room().begin());
        Held { _permit: permit, _load: answer.load, room }
    };
    let patience = Patience { idle: answer.idle, deadline: walk.deadline(policy.timeouts.total) };
    let values = record.values.take().filter(|values| !values.is_empty());
    let json = values.is_some() && is_textual(&headers) && essence(&headers).to_ascii_lowercase().ends_with("json");
    let body = match answer.body {
        AnswerBody::Whole(bytes) => {
            let bytes = if status.is_success() { bytes } else { walk.blanked(bytes, caller, &record) };
            let facts = answer::read(endpoint.wire, &bytes);
            note_usage(&mut record, endpoint.wire, status.is_success(), facts, &bytes);
            record.row().response_bytes = bytes.len() as u64;
            if log.capture {
                let (text, cut) = redact::answer(&log.rules, &bytes, true, log.capture_bytes);
                record.answered(text, cut);
            }
            if answer.about_money {
                headers.insert("x-should-retry", HeaderValue::from_static("false"));
            }
            pending = record.close_soon(status.as_u16(), outcome_of(status.as_u16()), None);
            let restored = values.filter(|_| json).map(|values| BodyRestorer::whole(&values, &bytes));
            let bytes = restored.unwrap_or(bytes);
            // A short one is as good as gone; a long one holds its room until it has been written.
            if bytes.len() <= CALL_BYTES_FREE {
                Body::full(bytes)
            } else {
                Body::Held { bytes: Some(bytes), _held: Box::new(held()) }
            }
        }
        AnswerBody::Streaming(read, incoming) if is_event_stream(&headers) && read.is_empty() => {
            record.row().stream = true;
            headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
            let restore = values.map(|values| restore::Events::new(&values));
            let tee = Tee::events(endpoint.wire, drop_usage, restore, incoming, patience, record, log, held());
            Body::Teed(Box::new(tee))
        }
        AnswerBody::Streaming(read, incoming) => {
            let restore = values.filter(|_| json).map(|values| Box::new(BodyRestorer::new(&values)));
            let length = answer.head.headers.get(header::CONTENT_LENGTH);
            if let Some(length) = length.filter(|_| restore.is_none()) {
                headers.insert(header::CONTENT_LENGTH, length.clone());
            }
            let textual = is_textual(&headers);
            let wire = endpoint.wire;
            let status = status.as_u16();
            let tee = Tee::plain(wire, status, textual, restore, read, incoming, patience, record, log, held());
            Body::Teed(Box::new(tee))
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    (response, pending)
}

/// Notes what a whole answer used; where it is a model's and says nothing about that, what it used about.
fn note_usage(record: &mut Record, wire: Wire, succeeded: bool, facts: AnswerFacts, answer: &[u8]) {
    let silent = facts.usage.is_none() && facts.is_object && succeeded && estimate::is_generated(wire);
    let text_bytes = if silent { estimate::text_bytes(answer) } else { 0 };
    if text_bytes > 0 {
        record.used_about(None, text_bytes, &facts.model);
    } else {
        record.used(facts.usage, &facts.model);
    }
}

/// One call on its way, as all stages see it.
pub struct Walk<'g> {
    gateway: &'g Arc<Gateway>,
    policy: Arc<Policy>,
    head: Parts,
    request_id: &'g RequestId,
    started: Nanos,
}

impl Walk<'_> {
    /// Stage 3.
    async fn caller(&self, jwt_only: bool) -> Result<Caller, Refusal> {
        let now_ms = self.gateway.clock.wall_ms();
        let fetch = KeySets(&self.gateway.upstream);
        let (auth, headers) = (&self.policy.auth, &self.head.headers);
        let result = self.gateway.auth.authenticate(auth, headers, now_ms, jwt_only, &fetch).await;
        result.map_err(|error| {
            let code = error.code();
            self.gateway.metrics.auth_failures.with_label_values(&[code.as_str()]).inc();
            Refusal::new(code, error.to_string())
        })
    }

    /// Stage 2: the record, armed.
    fn record(&self, caller: &Caller, route: RouteKind, endpoint: Cow<'static, str>) -> Record {
        let row = self.row(caller, route, endpoint);
        let recorder = Recorder::open(&self.gateway.log, row, self.started, self.gateway.clock);
        let gateway = self.gateway;
        Record::new(recorder, Arc::clone(&self.policy), Arc::clone(&gateway.metrics), gateway.clock, self.started)
    }

    fn row(&self, caller: &Caller, route: RouteKind, endpoint: Cow<'static, str>) -> Row {
        let (id, version) = (self.request_id.clone(), Arc::clone(&self.policy.version));
        let begun = Row::begin(self.gateway.clock.wall_ms(), caller.org.clone(), route, id, version);
        Row { caller: Arc::clone(&caller.name), endpoint, ..begun }
    }

    fn wrong_method(&self, allow: &'static str) -> Refusal {
        let message = format!("{} is not allowed here; use {allow}", known_method(&self.head.method));
        Refusal { allow: Some(allow), ..Refusal::new(Code::MethodNotAllowed, message) }
    }

    /// When a call that may take `total` must be over.
    fn deadline(&self, total: Duration) -> Instant {
        Instant::now() + total.saturating_sub(self.gateway.clock.now().since(self.started))
    }

    /// What the head says about the body: a kind that can be read, in a coding that can be, not too long.
    fn check_body_head(&self) -> Result<Option<Coding>, Refusal> {
        let headers = &self.head.headers;
        let length: Option<u64> =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        if length.is_some_and(|l| l > self.gateway.max_body_bytes) {
            return Err(intake::too_large(self.gateway.max_body_bytes));
        }
        let unsupported = |message: &'static str| Err(Refusal::new(Code::UnsupportedMediaType, message).closing());
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next().map(|v| Coding::of(v.as_bytes())), codings.next()) {
            (None, _) => None,
            (Some(Ok(coding)), None) => coding,
            _ => {
                let message = "a request body may be compressed once, as gzip, deflate or zstd; send it so or as it is";
                return Err(Refusal::new(Code::UnsupportedMediaType, message).closing());
            }
        };
        let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(coding) };
        let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        if essence.starts_with("multipart/") {
            let message = "file uploads are not allowed: their content cannot be redacted on its way";
            return Err(Refusal::new(Code::AttachmentsNotAllowed, message).closing());
        }
        if essence != "application/json" {
            return unsupported("the request body must be application/json");
        }
        let utf8 = |p: &str| {
            p.strip_prefix("charset=").is_none_or(|c| matches!(c.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
        };
        if !parts.all(utf8) {
            return unsupported("the request body must be UTF-8");
        }
        Ok(coding)
    }

    /// The body's way in, followed by the record.
    ///
    /// Made apart from the walk: what it moves is large, and would have a second place in the walk's future.
    fn intake(
        &self,
        endpoint: &Endpoint,
        rules: &Arc<redact::Rules>,
        incoming: Incoming,
        coding: Option<Coding>,
        record: &mut Record,
    ) -> Intake {
        let policy = &self.policy;
        let ask_for_usage = matches!(endpoint.wire, Wire::Chat | Wire::Completions);
        let mut redactor = BodyRedactor::new(Arc::clone(rules), endpoint.shape, ask_for_usage);
        if policy.routing.renames {
            redactor.locate_model();
        }
        record.values = redactor.values();
        let capture = if policy.ailog.capture_request { policy.ailog.capture_bytes } else { 0 };
        let bytes_max = self.gateway.max_body_bytes;
        let mut intake = Intake::new(incoming, redactor, bytes_max, capture, policy.timeouts.idle);
        if let Some(coding) = coding {
            intake.decode(Decoding::new(coding, bytes_max, self.gateway.upstream.room()));
        }
        record.follow(intake.seen());
        intake
    }

    /// The path for the provider, with the query's names and values redacted.
    fn redacted_target(
        &self,
        endpoint: &Endpoint,
        rules: &redact::Rules,
        record: &mut Record,
    ) -> Result<String, Refusal> {
        let Some(query) = self.head.uri.query().filter(|q| !q.is_empty()) else { return Ok(endpoint.path.clone()) };
        let (query, ledger) = redacted_query(rules, query)
            .ok_or_else(|| Refusal::new(Code::InvalidRequest, "the query of the request is not UTF-8"))?;
        record.took_from_query(ledger);
        Ok([&endpoint.path, "?", &query].concat())
    }

    /// A provider's error with every credential of this call blanked: some providers quote the key they were given.
    fn blanked(&self, body: Bytes, caller: &Caller, record: &Record) -> Bytes {
        let provider = record.trail().provider();
        let own = caller.upstream_key.iter();
        let ours = provider.iter().map(|p| &p.api_key);
        let mut body = body;
        for key in own.chain(ours).filter(|k| k.reveal().len() >= 8) {
            let key = key.reveal().as_bytes();
            while let Some(at) = memchr::memmem::find(&body, key) {
                let mut blank = Vec::with_capacity(body.len());
                blank.extend_from_slice(&body[..at]);
                blank.extend_from_slice(b"[credential]");
                blank.extend_from_slice(&body[at + key.len()..]);
                body = Bytes::from(blank);
            }
        }
        body
    }
}

/// Key sets come through the client that also calls providers.
struct KeySets<'u>(&'u Upstream);

impl KeySetFetch for KeySets<'_> {
    async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        self.0.fetch(address, bytes_max).await.map_err(FetchError)
    }
}

impl Record {
    /// The usage event was asked for by the gateway, so the client must not see it.
    fn drop_usage(&self) -> bool {
        self.seen().is_some_and(|seen| lock(seen).facts.usage_injected)
    }

    /// Why the body broke.
    fn body_refusal(&self) -> Option<Refusal> {
        self.seen().and_then(|seen| lock(seen).refusal.clone())
    }
}

fn redacted_query(rules: &redact::Rules, query: &str) -> Option<(String, redact::Ledger)> {
    let mut total = redact::Ledger::default();
    let mut redacted = String::with_capacity(query.len());
    for (i, pair) in query.split('&').enumerate() {
        if i > 0 {
            redacted.push('&');
        }
        for (j, part) in pair.splitn(2, '=').enumerate() {
            if j > 0 {
                redacted.push('=');
            }
            let decoded = percent_decoded(part)?;
            let (clean, ledger) = redact::text(rules, &decoded);
            if ledger.counts.is_empty() {
                redacted.push_str(part);
            } else {
                percent_encode(clean.as_bytes(), &mut redacted);
                total.absorb(&ledger);
            }
        }
    }
    Some((redacted, total))
}

/// Form decoding: `%40` and `+`; `None` where the result is not UTF-8.
pub fn percent_decoded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut i = 0;
    while i < bytes.len() {
        let hex = |at: usize| bytes.get(at).and_then(|b| char::from(*b).to_digit(16));
        match (bytes[i], hex(i + 1), hex(i + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(u8::try_from(high * 16 + low).ok()?);
                i += 3;
            }
            (b'+', ..) => {
                decoded.push(b' ');
                i += 1;
            }
            (byte, ..) => {
                decoded.push(byte);
                i += 1;
            }
        }
    }
    String::from_utf8(decoded).ok()
}

fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// What the client is told when no provider answered.
pub fn no_answer_refusal(no_answer: &NoAnswer) -> Refusal {
    match no_answer {
        NoAnswer::Unavailable { retry_after } => {
            let message = "The AI service is temporarily unavailable. Please try again in a few seconds.";
            Refusal::new(Code::ProviderUnavailable, message).after(retry_after.unwrap_or(Duration::from_secs(5)))
        }
        NoAnswer::Timeout => {
            let message = "The AI service took too long to answer. Please try again.";
            Refusal::new(Code::ProviderTimeout, message).after(Duration::from_secs(5))
        }
        NoAnswer::Exhausted => quota::overloaded(),
        NoAnswer::BodyBroken => {
            Refusal::new(Code::InvalidRequest, "the request body could not be read to its end").closing()
        }
    }
}

/// Whether a body is waited for until its model is known.
fn needs_model(policy: &Policy, caller: &Caller) -> bool {
    let limited = policy.limits.more.as_ref().is_some_and(|more| more.of(&caller.org).need_estimate());
    limited || crate::route::needs_model(policy) || caller.key.as_ref().is_some_and(|key| !key.models.is_empty())
}

fn closed_endpoint() -> Refusal {
    Refusal::new(
        Code::EndpointNotAllowed,
        "this endpoint is not open: it names stored objects or administers an account. It can be called with the \
         caller's own provider key, or opened by `routing.endpoints` in the policy",
    )
}

fn defect(what: &'static str) -> Refusal {
    tracing::error!(what, "defect");
    Refusal::new(Code::Internal, "the gateway made a mistake; nothing of your request was lost or logged in clear")
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

fn known_method(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH => method.as_str(),
        Method::OPTIONS | Method::CONNECT | Method::TRACE => method.as_str(),
        _ => "this method",
    }
}

fn essence(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    essence(headers).eq_ignore_ascii_case("text/event-stream") && !headers.contains_key(header::CONTENT_ENCODING)
}

fn is_textual(headers: &HeaderMap) -> bool {
    let kind = essence(headers).to_ascii_lowercase();
    (kind.starts_with("text/") || kind.ends_with("json")) && !headers.contains_key(header::CONTENT_ENCODING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_as_forms() {
        assert_eq!(percent_decoded("a%40b+c%zz%"), Some("a@b c%zz%".to_owned()));
        assert_eq!(percent_decoded("%ff"), None);
        let mut out = String::new();
        percent_encode("[R] ä".as_bytes(), &mut out);
        assert_eq!(out, "%5BR%5D%20%C3%A4");
    }
}
