//! The walk of a call, told once, in a straight line.
//!
//! Level 4 of the map: the rooms meet here. [`proxy`] is the walk of a call to a provider's
//! endpoint; the tickets of `intent` take the same stages.
//!
//! Guarantees: a call is authenticated, limited and logged by the same matched route; every
//! authenticated call leaves one row; text goes on only as `Redacted`. Does not match the route
//! (`server/dispatch`), open sockets, or turn a refusal into bytes (`server/reply`).

pub mod admission;
pub mod answer_out;
pub mod body_in;
mod body_threads;
mod by_group;
pub mod cached;
mod client;
mod credential;
mod downgrade;
pub mod endpoints;
pub mod framing;
pub mod gateway;
pub mod guided;
mod headers;
pub mod keeping;
mod models;
pub mod org_series;
mod ownership;
pub mod query;
pub mod ratelimit_headers;
pub mod readers;
pub mod record;
pub mod refusal;
mod reserving;
pub mod seat;
pub mod shadow;
pub mod tags;
pub mod tenants;
mod traces;
pub mod translation;
mod turn_group;
pub mod turns;
mod unanswered;
pub mod unread;
pub mod upload;
pub mod walk;

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, header};
use tollgate_wire::Format;

use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::bounds::TRANSLATED_BYTES_MAX;
use crate::code::Code;
use crate::config::policy::{Accept, Policy, Targets};
use crate::ids::RequestId;
use crate::lock::lock;
use crate::redact;
use crate::route::table::Endpoint;
use crate::share::Held;
use crate::upstream::replay::Outgoing;
use crate::upstream::{Answer, Call, NoAnswer};
use admission::{Admitted, Budgets};
use answer_out::body::Body;
use body_in::Gathered;
use credential::Shown;
use gateway::Gateway;
pub use headers::{ATTEMPTS, BUDGET, OURS, PROVIDER, REDACTIONS, TRANSLATION};
use headers::{CACHE, DOWNGRADE, Owner};
use ratelimit_headers::ratelimit_headers;
use readers::Entry;
use record::Record;
use refusal::Refusal;
use reserving::{judge_by_candidate, reserve};
pub use unanswered::{no_answer_refusal, tried};
use upload::Upload;
use walk::Walk;

/// A call's id, both ways.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a call: the caller's own, if it is sane and says nothing but that; else a random one.
pub fn request_id(gateway: &Gateway, headers: &HeaderMap) -> RequestId {
    let given = headers.get(REQUEST_ID).and_then(|v| RequestId::from_client(v.as_bytes()));
    let given = given.filter(|id| {
        let rules = &gateway.policy.load().redaction.default;
        let says_nothing =
            rules.is_harmless(id.as_str()) || redact::text(rules, id.as_str()).1.is_empty();
        says_nothing && !Shown::in_headers(headers).are_in(id.as_str())
    });
    given.unwrap_or_else(RequestId::random)
}

/// Answers a call to a provider's endpoint.
///
/// # Errors
/// A refusal of any stage.
///
/// # Cancel safety
/// Dropped when the client leaves: the provider's connection is closed and the row says
/// `client_disconnect`.
pub async fn proxy(
    walk: &Walk<'_>,
    endpoint: Endpoint,
    upload: Upload,
) -> Result<Response<Body>, Refusal> {
    // 3. authenticate
    let caller = walk.caller(false).await?;

    // 4. admit, with room to read the body
    let cheaper = guided::cheaper(&walk.policy, &endpoint, &caller).cloned();
    let budgets = if cheaper.is_some() { Budgets::Guide } else { Budgets::Refuse };
    let Admitted { decision, entry, held, exhausted } =
        walk.admit(&caller, RouteKind::Proxy, endpoint.name.clone(), budgets).await?;

    // 5. open the record: from here on the call leaves its row, however it ends
    let mut record = walk.record(&caller, RouteKind::Proxy, endpoint.name.clone());
    held.into_iter().for_each(|held| record.hold(held));
    (record.guided.cheaper, record.guided.exhausted) = (cheaper, exhausted);

    if models::answers(&endpoint, &caller) {
        let listed = Box::pin(list_models(walk, &endpoint, &caller, &upload, entry, record));
        return match listed.await {
            Ok(mut response) => {
                ratelimit_headers(response.headers_mut(), &decision);
                Ok(response)
            }
            Err(refusal) => Err(Refusal { quota: Some(decision), ..refusal }),
        };
    }

    // 6. to 10. redact, choose targets, reserve, send
    let answered = match check_endpoint(walk, &endpoint, &caller) {
        Ok(()) => answer(walk, &endpoint, &caller, upload, entry, &mut record).await,
        Err(refusal) => Err(refusal),
    };
    let judged =
        answered.and_then(|answered| answer_out::judge(&answered.0, &record).map(|()| answered));
    let (mut answer, place) = match judged {
        Ok(answered) => answered,
        Err(refusal) => {
            record.refuse(&refusal);
            return Err(Refusal { quota: Some(decision), ..refusal });
        }
    };

    // 11. answer, 12. settle
    let translated = answer.translation().map(str::to_owned);
    let cache = record.cached.as_str();
    let is_long = answer_out::is_long(&answer);
    let reading = answer_out::read(walk, &endpoint, &caller, &mut answer, &mut record);
    // A short answer is read without waiting, so that the walk's future has no place for it.
    let read = if is_long { Box::pin(reading).await } else { at_once(reading) };
    if let Err(refusal) = read {
        record.refuse(&refusal);
        return Err(Refusal { quota: Some(decision), ..refusal });
    }
    let (redactions, trail) = (record.redactions(), record.trail());
    let cost = record.row().cost_nano_usd;
    let (budget, downgrade) = (record.guided.budgets(cost), record.guided.downgrade());
    let (mut response, pending) =
        answer_out::respond(walk, &endpoint, &caller, answer, record, place);
    let headers = response.headers_mut();
    ratelimit_headers(headers, &decision);
    if let Some(provider) = trail.provider() {
        set(headers, PROVIDER, &provider.name);
    }
    headers.insert(ATTEMPTS, HeaderValue::from(u16::from(trail.attempts())));
    if let Some(translated) = translated {
        set(headers, TRANSLATION, &translated);
    }
    if !redactions.is_empty() {
        set(headers, REDACTIONS, &redactions);
    }
    for (name, value) in [(BUDGET, budget), (DOWNGRADE, downgrade)] {
        value.into_iter().for_each(|value| set(headers, name.clone(), &value));
    }
    if !cache.is_empty() {
        headers.insert(CACHE, HeaderValue::from_static(cache));
    }
    if let Some(pending) = pending {
        pending.await;
    }
    Ok(response)
}

/// Stages 6 to 12 of a call that the gateway answers itself.
async fn list_models(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    upload: &Upload,
    entry: Entry,
    mut record: Record,
) -> Result<Response<Body>, Refusal> {
    let answered = match check_endpoint(walk, endpoint, caller) {
        Ok(()) => models::answer(walk, endpoint, caller, upload, entry, &mut record).await,
        Err(refusal) => Err(refusal),
    };
    let (response, pending) = answered.inspect_err(|refusal| record.refuse(refusal))?;
    if let Some(pending) = pending {
        pending.await;
    }
    Ok(response)
}

/// Checks that the caller may use the endpoint.
fn check_endpoint(walk: &Walk<'_>, endpoint: &Endpoint, caller: &Caller) -> Result<(), Refusal> {
    if endpoint.own_key_only && caller.upstream_key.is_none() {
        return Err(endpoint
            .others_use
            .map_or_else(endpoints::closed, |allow| walk.wrong_method(allow)));
    }
    if caller.key.as_ref().is_some_and(|key| !key.may_call(&endpoint.name)) {
        return Err(Refusal::new(
            Code::EndpointNotAllowed,
            "this key may not be used for this endpoint",
        )
        .closing());
    }
    Ok(())
}

/// Stages 6 to 10: the body is redacted while it comes in, and the targets are asked until one
/// answers. Returns the answer with the call's place among those in flight.
async fn answer(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    upload: Upload,
    entry: Entry,
    record: &mut Record,
) -> Result<(Answer, Held), Refusal> {
    let path =
        walk.redacted_target(endpoint, caller, walk.policy.redaction.of(&caller.org), record)?;
    let request = read_body(walk, endpoint, caller, upload, entry, record).await?;
    judge_by_candidate(walk, endpoint, &request, record);
    let model = request.facts.model.as_deref();
    if walk.head.method == Method::POST
        && let Some(key) = &caller.key
        && !key.may_use(model.or(endpoint.model()))
    {
        return Err(walk::model_not_allowed());
    }
    let targets = crate::route::targets(&walk.policy, model);
    if targets.list.is_empty() {
        let message = "no provider is configured for this model";
        return Err(Refusal::new(Code::ModelNotFound, message).about("model"));
    }
    let targets = endpoints::serving(targets, endpoint, model)?;
    let same = (endpoint, &*path);
    if walk.policy.cache.is_some()
        && let Some(kept) =
            Box::pin(cached::find(walk, same, caller, &request, &targets, record)).await
    {
        return Ok((kept, request.place));
    }
    let targets = if record.guided.cheaper.is_some() {
        Box::pin(downgrade::reserve(walk, endpoint, caller, &request, targets, record)).await?
    } else {
        let what = (&*targets, model.unwrap_or_default(), Budgets::Refuse);
        reserve(walk, endpoint, caller, &request, what, record).await?;
        targets
    };
    let answer = send(walk, endpoint, caller, &path, &request, &targets, record).await?;
    Ok((answer, request.place))
}

/// A request body, as far as it has been read.
struct RequestBody {
    body: Outgoing,
    facts: redact::Facts,
    /// Time spent waiting for the client.
    waited: Duration,
    /// The call's place among those in flight.
    place: Held,
    /// The content type, if it is a form.
    form_type: Option<HeaderValue>,
}

/// Stage 6: redacts the body, all of a small one or the beginning of a long one.
async fn read_body(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    upload: Upload,
    entry: Entry,
    record: &mut Record,
) -> Result<RequestBody, Refusal> {
    // A POST without a body also cancels stored objects and the like.
    let bare = endpoint.format == Format::Other && upload.is_end_stream();
    if walk.head.method != Method::POST || bare {
        if !upload.is_end_stream() {
            return Err(
                Refusal::new(Code::InvalidRequest, "this endpoint takes no request body").closing()
            );
        }
        let place = walk.place()?;
        drop(entry);
        // It sends no values, so all in its answer are those of others.
        let rules = walk.policy.redaction.of(&caller.org);
        record.own = rules.mask_answers().then(redact::Own::default);
        let body = Outgoing::Whole(redact::Redacted::default());
        return Ok(RequestBody {
            body,
            facts: redact::Facts::default(),
            waited: Duration::ZERO,
            place,
            form_type: None,
        });
    }
    let (policy, room) = (&walk.policy, walk.bytes());
    let mut intake =
        walk.intake(endpoint, policy.redaction.of(&caller.org), caller, upload, entry, record)?;
    if let Some(key) = &caller.key {
        intake.restrict(key);
    }
    let gather = intake.gather(needs_model(policy, caller), &room);
    let gathered = tokio::time::timeout_at(walk.deadline(policy.timeouts.total), gather);
    let gathered = gathered.await.map_err(|_| body_in::too_slow())??;
    let (mut facts, mut waited) = (lock(&intake.seen()).facts.clone(), intake.waited());
    // A place only now: a body that comes slowly has none.
    let place = walk.place()?;
    intake.has_come();
    let form_type = intake.form_type.take();
    let body = match gathered {
        Gathered::Whole(body) => {
            record.held = intake.held.take();
            Outgoing::Whole(body)
        }
        Gathered::Begun(first) if needs_whole_body(walk, endpoint, &facts, record) => {
            let rest = intake.gather_rest(first, TRANSLATED_BYTES_MAX, &room);
            let rest = tokio::time::timeout_at(walk.deadline(policy.timeouts.total), rest);
            let whole = rest.await.map_err(|_| body_in::too_slow())??;
            facts = lock(&intake.seen()).facts.clone();
            waited = intake.waited();
            record.held = intake.held.take();
            Outgoing::Whole(whole)
        }
        Gathered::Begun(first) => {
            Outgoing::streaming(first, Box::new(intake), policy.retry.replay_bytes, &room)
        }
    };
    Ok(RequestBody { body, facts, waited, place, form_type })
}

/// Whether the call is translated for one of the targets that it may go to.
fn needs_whole_body(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    facts: &redact::Facts,
    record: &Record,
) -> bool {
    let needs = |model: Option<&str>| {
        let targets = crate::route::targets(&walk.policy, model);
        translation::needs_whole_body(targets, endpoint, model)
    };
    let cheaper = record.guided.cheaper.as_deref();
    needs(facts.model.as_deref()) || cheaper.is_some_and(|model| needs(Some(model)))
}

/// Stage 10: asks the targets until one answers.
async fn send(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    path: &str,
    request: &RequestBody,
    targets: &Targets,
    record: &mut Record,
) -> Result<Answer, Refusal> {
    let (policy, RequestBody { body, facts, waited, .. }) = (&walk.policy, request);
    let rules = policy.redaction.of(&caller.org);
    let deadline = walk.deadline(policy.timeouts.total);
    let shown = Shown::in_headers(&walk.head.headers);
    let owner = Owner { rules, org: caller.org.as_str(), shown: &shown };
    let asked_for = targets.list.iter().flat_map(|target| &target.provider.forward_headers);
    let mut leaving = headers::leaving(&walk.head.headers, &owner, asked_for);
    if leaving.ledger.attachments > 0 && rules.rejects_attachments() {
        let message = "attachments are not allowed (a `data:` URL in a header)";
        return Err(Refusal::new(Code::AttachmentsNotAllowed, message).closing());
    }
    record.took_from_head(&leaving.ledger);
    body_in::judge_head(rules, &leaving.ledger)?;
    if let Some(form_type) = &request.form_type {
        leaving.common.insert(header::CONTENT_TYPE, form_type.clone());
    }
    let room = walk.bytes();
    let turns = &walk.gateway.turns;
    let apart = |job| turns.apart(turns.group(caller), job);
    let call = Call {
        caller: caller.org.as_str(),
        is_known: matches!(caller.via, Accept::Jwt | Accept::Key),
        method: &walk.head.method,
        path_and_query: path,
        headers: &leaving.common,
        forwarded: &leaving.forwarded,
        body,
        room: &room,
        model: facts.model.as_deref(),
        model_at: facts.model_at,
        is_form: request.form_type.is_some(),
        translatable: translation::translatable(
            (walk.request_id, walk.gateway.clock.wall_ms()),
            endpoint,
            facts.model.as_deref(),
            (targets, body),
            policy.routing.options.on_loss,
        ),
        apart: &apart,
        own_key: caller.upstream_key.as_ref(),
        stateful: keeps_state(walk, endpoint, facts),
        attempts_before: 0,
        deadline,
    };
    let sent_at = walk.gateway.clock.now();
    record.own_time(sent_at.since(walk.started).saturating_sub(*waited));
    let trail = record.trail();
    match walk.gateway.upstream.call(policy, targets, &call, &trail).await {
        Ok(answer) => {
            record.first_byte(walk.gateway.clock.now());
            Ok(answer)
        }
        Err(no_answer) => {
            let broken =
                if no_answer == NoAnswer::BodyBroken { record.body_refusal() } else { None };
            let tried = Some(tried(&trail));
            Err(Refusal { tried, ..broken.unwrap_or_else(|| no_answer_refusal(&no_answer)) })
        }
    }
}

/// Whether a call leaves something at its provider, or stands on what is there.
fn keeps_state(walk: &Walk<'_>, endpoint: &Endpoint, facts: &redact::Facts) -> bool {
    let may_store = !facts.unstored && !walk.policy.routing.options.force_store_false;
    endpoint.stateful || facts.stateful || endpoint.answer.is_stored() && may_store
}

/// Runs what does not wait.
fn at_once<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => {
            debug_assert!(false, "it does not wait");
            Err(Refusal::of(Code::Internal))
        }
    }
}

/// Whether a body is waited for until its model is known.
fn needs_model(policy: &Policy, caller: &Caller) -> bool {
    let limited =
        policy.limits.more.as_ref().is_some_and(|more| more.of(&caller.org).need_estimate());
    limited
        || crate::route::needs_model(policy)
        || caller.key.as_ref().is_some_and(|key| !key.models.is_empty())
}

/// Sets a header of an answer; a value that cannot be one is left out.
pub fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
