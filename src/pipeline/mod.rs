//! The walk of a call, told once, in a straight line.
//!
//! Level 4 of the map: the rooms meet here and nowhere else. [`handle`] finds the route and sends a call on its way;
//! [`proxy`] is the walk of a provider's endpoint, `intent` that of a ticket. Promises: a call is authenticated, limited
//! and logged by the same matched route; every authenticated call leaves one row; text goes on only as `Redacted`. Does
//! not: open sockets, or turn a refusal into bytes (`server/reply` does).

mod arriving;
pub mod body;
mod body_threads;
mod by_group;
mod coding;
mod credential;
pub mod framing;
pub mod gateway;
mod headers;
mod intake;
pub mod intent;
mod ownership;
pub mod query;
pub mod quota;
pub mod quota_headers;
pub mod quotas;
mod rate;
pub mod readers;
mod record;
pub mod refusal;
mod respond;
mod restore;
pub mod seat;
mod silence;
mod tee;
pub mod tenants;
pub mod turns;
mod walk;
mod watched;
mod work;

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use tollgate_wire::Format;
use tollgate_wire::estimate::{self, Asked, Makes};

use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::code::Code;
use crate::config::policy::{Accept, Durability, Policy, Provider};
use crate::cost::output;
use crate::ids::RequestId;
use crate::lock::lock;
use crate::redact;
use crate::route::table::{self, Endpoint, Matched};
use crate::share::Held;
use crate::upstream::replay::Outgoing;
use crate::upstream::{Answer, Call, NoAnswer};
use arriving::Arriving;
use body::Body;
use credential::Shown;
use gateway::Gateway;
use headers::Owner;
use intake::{Gathered, Reserved};
use quota::{Admitted, Work};
use quota_headers::quota_headers;
use readers::Entry;
use record::Record;
use refusal::Refusal;
use respond::respond;
use seat::Seat;
use walk::Walk;

/// The provider that answered.
pub const PROVIDER: HeaderName = HeaderName::from_static("x-tollgate-provider");
/// Sends to a provider.
pub const ATTEMPTS: HeaderName = HeaderName::from_static("x-tollgate-attempts");
const REDACTIONS: HeaderName = HeaderName::from_static("x-tollgate-redactions");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The id of a call: the caller's own, if it is sane and says nothing but that; else a random one.
pub fn request_id(gateway: &Gateway, headers: &HeaderMap) -> RequestId {
    let given = headers.get("x-request-id").and_then(|v| RequestId::from_client(v.as_bytes()));
    let given = given.filter(|id| {
        let rules = &gateway.policy.load().redaction.default;
        let says_nothing = rules.is_harmless(id.as_str()) || redact::text(rules, id.as_str()).1.is_empty();
        says_nothing && !Shown::in_headers(headers).are_in(id.as_str())
    });
    given.unwrap_or_else(RequestId::random)
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
    seat: &Seat,
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
    let walk = Walk { gateway, policy, head, request_id, started, seat, party: OnceLock::new() };
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

    // 4. quota, and room to read the body
    let Admitted { decision, entry, held } = walk.admit(&caller, RouteKind::Proxy, endpoint.name.clone()).await?;

    // 2. the record: from here on the call leaves its row, whatever happens
    let mut record = walk.record(&caller, RouteKind::Proxy, endpoint.name.clone());
    held.into_iter().for_each(|held| record.hold(held));
    let walked = if endpoint.own_key_only && caller.upstream_key.is_none() {
        Err(endpoint.others_use.map_or_else(closed_endpoint, |allow| walk.wrong_method(allow)))
    } else if caller.key.as_ref().is_some_and(|key| !key.may_call(&endpoint.name)) {
        Err(Refusal::new(Code::EndpointNotAllowed, "this key may not be used for this endpoint").closing())
    } else {
        walk_to_answer(&walk, &endpoint, &caller, incoming, entry, &mut record).await
    };

    // 8. respond, 9. settle
    match walked {
        Ok((mut answer, provider, attempts, place)) => {
            let is_long = respond::is_long(&answer);
            let reading = respond::read(&walk, &endpoint, &caller, &mut answer, &mut record);
            // A short answer is read without waiting, so that the walk's future has no place for it.
            if is_long {
                Box::pin(reading).await
            } else {
                at_once(reading)
            }
            let drop_usage = record.drop_usage();
            let redactions = record.redactions();
            let (mut response, pending) = respond(&walk, &endpoint, &caller, answer, record, drop_usage, place);
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
    entry: Entry,
    record: &mut Record,
) -> Result<(Answer, Arc<Provider>, u8, Held), Refusal> {
    let policy = &walk.policy;
    let rules = policy.redaction.of(&caller.org);
    let path = walk.redacted_target(endpoint, caller, rules, record)?;

    // 5. redact
    // Stored objects are also cancelled and the like by a POST that says nothing.
    let bare = endpoint.format == Format::Other && incoming.is_end_stream();
    let room = walk.bytes();
    let (body, facts, waited, place) = if walk.head.method == Method::POST && !bare {
        let coding = walk.check_body_head()?;
        let arriving = Arriving::new(incoming, policy.timeouts.idle, entry);
        let mut intake = walk.intake(endpoint, rules, caller, arriving, coding, record);
        if let Some(key) = &caller.key {
            intake.restrict(key);
        }
        let slow = |_| Refusal::new(Code::RequestTimeout, "the request body came too slowly").closing();
        let gather = intake.gather(needs_model(policy, caller), &room);
        let gathered = tokio::time::timeout_at(walk.deadline(policy.timeouts.total), gather).await.map_err(slow)??;
        let (facts, waited) = (lock(&intake.seen()).facts.clone(), intake.waited());
        // A place only now: a body that comes slowly has none.
        let place = walk.place()?;
        intake.has_come();
        let body = match gathered {
            Gathered::Whole(body) => {
                record.held = intake.held.take();
                Outgoing::Whole(body)
            }
            Gathered::Begun(first) => Outgoing::streaming(first, Box::new(intake), policy.retry.replay_bytes, &room),
        };
        (body, facts, waited, place)
    } else {
        if !incoming.is_end_stream() {
            return Err(Refusal::new(Code::InvalidRequest, "this endpoint takes no request body").closing());
        }
        let place = walk.place()?;
        drop(entry);
        (Outgoing::Whole(redact::Redacted::default()), redact::Facts::default(), Duration::ZERO, place)
    };

    if walk.head.method == Method::POST
        && let Some(key) = &caller.key
        && !key.may_use(facts.model.as_deref().or(endpoint.model()))
    {
        return Err(walk::model_not_allowed());
    }

    // 6. route
    let targets = crate::route::targets(policy, facts.model.as_deref());
    if targets.list.is_empty() {
        let message = "no provider is configured for this model";
        return Err(Refusal::new(Code::ModelNotFound, message).about("model"));
    }

    // 4. again: what the call will use is reserved, now that it can be estimated
    let makes = endpoint.makes.filter(|_| walk.head.method == Method::POST);
    record.bills(makes);
    if let Some(limits) = policy.limits.more.as_ref().map(|more| more.of(&caller.org)).filter(|of| of.need_estimate()) {
        let model = facts.model.as_deref().unwrap_or_default();
        let asked = makes.map(|makes| asked(makes, &facts));
        let expected = asked.map(|asked| asked.expected(text_bytes(walk, &body, record))).unwrap_or_default();
        if let (Some(Asked { makes, longest, .. }), Outgoing::Streaming(_)) = (asked, &body)
            && limits.has_budget()
        {
            // What the body says of its answer is final at its end only.
            record.reserved(Reserved { makes, longest, most: expected.most });
        }
        let names: Vec<_> =
            targets.list.iter().map(|target| (&*target.provider.name, target.model.as_deref())).collect();
        walk.reserve(caller, Work { targets: &names, model, expected }, record).await?;
    }

    // 7. upstream
    let deadline = walk.deadline(policy.timeouts.total);
    let shown = Shown::in_headers(&walk.head.headers);
    let owner = Owner { rules, org: caller.org.as_str(), shown: &shown };
    let asked_for = targets.list.iter().flat_map(|target| &target.provider.forward_headers);
    let leaving = headers::leaving(&walk.head.headers, &owner, asked_for);
    if leaving.ledger.attachments > 0 && rules.rejects_attachments() {
        let message = "attachments are not allowed (a `data:` URL in a header)";
        return Err(Refusal::new(Code::AttachmentsNotAllowed, message).closing());
    }
    record.took_from_head(&leaving.ledger);
    let call = Call {
        caller: caller.org.as_str(),
        is_known: matches!(caller.via, Accept::Jwt | Accept::Key),
        method: &walk.head.method,
        path_and_query: &path,
        headers: &leaving.common,
        forwarded: &leaving.forwarded,
        body: &body,
        room: &room,
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
            provider.map(|p| (answer, p, attempts, place)).ok_or_else(|| defect("an answer without a provider"))
        }
        Err(no_answer) => {
            let broken = if no_answer == NoAnswer::BodyBroken { record.body_refusal() } else { None };
            let tried = provider.map(|p| (p.name.to_string(), attempts));
            Err(Refusal { tried, ..broken.unwrap_or_else(|| no_answer_refusal(&no_answer)) })
        }
    }
}

/// Runs what does not wait.
fn at_once(work: impl Future<Output = ()>) {
    let polled = pin!(work).poll(&mut Context::from_waker(Waker::noop()));
    debug_assert!(polled.is_ready(), "it does not wait");
}

/// What the body says of its answer, as far as it is known.
fn asked(makes: Makes, facts: &redact::Facts) -> Asked {
    let longest = output::longest(facts.model.as_deref().unwrap_or_default());
    Asked { makes, bound: facts.output_tokens_max, choices: facts.choices, longest }
}

/// Bytes of text in a request, at most, about.
fn text_bytes(walk: &Walk<'_>, body: &Outgoing, record: &Record) -> u64 {
    match body {
        // Names and numbers in it are read, too.
        Outgoing::Whole(body) => record.text_bytes().max(body.as_bytes().len() as u64 / 2),
        Outgoing::Streaming(_) => {
            let headers = &walk.head.headers;
            let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
            let length = headers.get(header::CONTENT_LENGTH).filter(|_| is_plain);
            let declared = length.and_then(|length| length.to_str().ok()?.parse().ok());
            declared.unwrap_or(u64::MAX).min(estimate::UNKNOWN_BYTES)
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
        NoAnswer::Exhausted => refusal::overloaded(),
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
