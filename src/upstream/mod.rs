//! Stage 7 of the walk: the redacted call goes to a provider, as often as is right, until there is an answer.
//!
//! `retry`, `budget`, `breaker`, `parties` are the decisions (pure), `replay` the body, `client` one attempt, `trail` what was tried;
//! this file is the loop over attempts. Promises: at most `max_retries` attempts beyond the first, all within one deadline; a provider
//! whose circuit is open for the caller is not asked; what one caller's calls come to holds no other caller off; what is handed back has not been shown to the client. A short JSON answer is
//! whole before it is handed back, so that a truncated one is a clean failure and not garbage. Does not: redact, or
//! speak to the client.

pub mod breaker;
pub mod budget;
pub mod client;
pub mod parties;
pub mod replay;
pub mod retry;
mod trail;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dashmap::DashMap;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;
use tollgate_wire::ErrorFacts;

use crate::bounds::{ANSWER_GATHER_BYTES_MAX, CALL_BYTES_FREE, RETRY_AFTER_WAIT_MAX};
use crate::clock::Clock;
use crate::config::policy::{Policy, Spread, Target, Targets};
use crate::ids::Secret;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::redact::Redacted;
use crate::route::balance::{self, Load};
use crate::share::{Held, Share};
use client::Client;
use parties::{Parties, PartyId, PartyKind};
use replay::{Outgoing, Rename};
use retry::{Blame, Failure, MONEY_CODES, StatusFacts, Verdict};
use trail::Sent;
pub use trail::Trail;

/// What a document named by the policy may take to come.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// What is sent, apart from where.
pub struct Call<'a> {
    /// Whose call it is: the organisation.
    pub caller: &'a str,
    /// The organisation has shown a JWT or a gateway key.
    pub is_known: bool,
    pub method: &'a Method,
    /// Path below the provider's base URL, with its redacted query: `/chat/completions?x=y`.
    pub path_and_query: &'a str,
    /// Redacted headers that may leave; no credential among them.
    pub headers: &'a HeaderMap,
    /// The same for those targets whose `forward_headers` name them.
    pub forwarded: &'a HeaderMap,
    pub body: &'a Outgoing,
    /// Room for a long answer that is checked whole.
    pub room: &'a Share,
    /// Where the body names its model, for targets that have another name for it.
    pub model_at: Option<(u64, u64)>,
    /// The caller's own provider key; it goes to the first target only, and then the gateway's key to none.
    pub own_key: Option<&'a Secret>,
    /// The call leaves something behind at the provider.
    pub stateful: bool,
    /// When the whole call must be over.
    pub deadline: Instant,
}

/// An answer that may be shown to the client.
pub struct Answer {
    pub head: http::response::Parts,
    pub body: AnswerBody,
    /// Waiting makes no sense to the client either: `x-should-retry: false`.
    pub about_money: bool,
    /// How long the rest of it may keep silent.
    pub idle: Duration,
    /// How often its client hears of it meanwhile, if it is a stream.
    pub keep_alive: Option<Duration>,
    /// Counts the call at its provider until the answer is over, where calls go to whoever has the fewest.
    pub load: Option<Flying>,
    /// Room for what has been read of a long answer.
    pub held: Option<Held>,
}

/// The body of an answer.
pub enum AnswerBody {
    /// All of it.
    Whole(Bytes),
    /// What has been read, and the rest.
    Streaming(Bytes, Incoming),
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The provider failed, and the attempts are used up or would be wrong.
    Unavailable { retry_after: Option<Duration> },
    /// The first byte or the deadline passed.
    Timeout,
    /// This machine has no more descriptors or ports.
    Exhausted,
    /// The request body broke on the client's side.
    BodyBroken,
}

/// Calls at one provider, where somebody asks for the one with the fewest.
#[derive(Clone, Default)]
struct InFlight(Arc<AtomicU32>);

/// One of them. It is over when this is dropped.
pub struct Flying(InFlight);

impl InFlight {
    fn calls(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn begin(self) -> Flying {
        self.0.fetch_add(1, Ordering::Relaxed);
        Flying(self)
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All providers, as this process sees them.
pub struct Upstream {
    client: Client,
    health: DashMap<Arc<str>, Mutex<Health>>,
    /// Organisations are told apart by their digests, which nobody outside can foresee.
    digests: RandomState,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// Targets in the order in which a call tries them.
struct Tour<'t> {
    list: &'t [Target],
    /// Empty: the list's own order.
    order: Vec<usize>,
    len: usize,
}

impl<'t> Tour<'t> {
    fn target(&self, at: usize) -> &'t Target {
        &self.list[self.order.get(at).copied().unwrap_or(at)]
    }
}

#[derive(Default)]
struct Health {
    parties: Parties,
    in_flight: InFlight,
    /// What the metric says of the circuit.
    shown_open: Option<bool>,
}

/// One attempt's end.
enum Attempted {
    Answer(Answer),
    /// A failure, with the provider's own words where there are some.
    Failed(Failure, Option<Answer>),
    /// The provider refused the gateway's key.
    KeyRefused,
}

impl Upstream {
    /// Providers are known by name; what is learned of them outlives policy reloads.
    pub fn new(connect_timeout: Duration, metrics: Arc<Metrics>, clock: Clock) -> Upstream {
        Upstream {
            client: Client::new(connect_timeout),
            health: DashMap::new(),
            digests: RandomState::new(),
            metrics,
            clock,
        }
    }

    /// Fetches a small document that the policy names by its address, such as a key set. Redirects are not followed.
    ///
    /// # Errors
    /// For the operators' log: it cannot be reached, is no `200`, or is longer than `bytes_max`.
    pub async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, String> {
        let body = Outgoing::Whole(Redacted::default());
        let mut request = Request::new(body.attempt(None, None));
        *request.uri_mut() = address.clone();
        let sent = self.client.send(request, &body, FETCH_TIMEOUT, FETCH_TIMEOUT).await;
        let response = sent.map_err(|failure| format!("no answer ({})", failure.reason()))?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let mut incoming = response.into_body();
        let mut document = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| "the answer broke off".to_owned())?;
            document.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
            if document.len() > bytes_max {
                return Err(format!("longer than {bytes_max} bytes"));
            }
        }
        Ok(document)
    }

    /// Sends `call` to `targets` until there is an answer to show: in their order, or by their weights.
    ///
    /// # Errors
    /// See [`NoAnswer`].
    ///
    /// # Cancel safety
    /// Dropping the future ends the attempt under way and starts no other.
    pub async fn call(
        &self,
        policy: &Policy,
        targets: &Targets,
        call: &Call<'_>,
        trail: &Arc<Trail>,
    ) -> Result<Answer, NoAnswer> {
        let result = match tokio::time::timeout_at(call.deadline, self.attempts(policy, targets, call, trail)).await {
            Ok(result) => result,
            Err(_) => {
                trail.ended("deadline", self.clock.now());
                Err(NoAnswer::Timeout)
            }
        };
        // A no that came before the end of the upload, and is all here: nobody wants the rest.
        let goes_on =
            |answer: &Answer| answer.head.status.is_success() || matches!(answer.body, AnswerBody::Streaming(..));
        if !result.as_ref().is_ok_and(goes_on) {
            call.body.stop();
        }
        result
    }

    async fn attempts(
        &self,
        policy: &Policy,
        targets: &Targets,
        call: &Call<'_>,
        trail: &Arc<Trail>,
    ) -> Result<Answer, NoAnswer> {
        let party = self.party(call);
        let tour = self.tour(policy, targets, call, party);
        let mut retries = 0u32;
        // Sends before this call count too: a second question on the same trail has only what the first one left.
        let sends_max = policy.retry.max_retries.saturating_add(1);
        let mut turn = 0usize;
        // Until when each target wants to be left alone; empty while nothing has failed.
        let mut waits: Vec<Option<Instant>> = Vec::new();
        loop {
            let at = self.admitted(policy, &tour, turn, party, trail)?;
            let target = tour.target(at);
            turn = at + 1;
            // Calls under callers' own keys go to the first target whatever its load, and steer nobody else's.
            let is_counted = targets.spread == Spread::LeastLoaded && call.own_key.is_none();
            let load = is_counted.then(|| self.in_flight(&target.provider.name));
            let (failure, words) = match self.attempt(policy, target, call, party, trail).await {
                Attempted::Answer(answer) => {
                    trail.answered(self.clock);
                    return Ok(Answer { load, ..answer });
                }
                Attempted::KeyRefused => {
                    trail.key_refused(self.clock.now());
                    return Err(NoAnswer::Unavailable { retry_after: None });
                }
                Attempted::Failed(..) if call.body.is_broken() => return Err(NoAnswer::BodyBroken),
                Attempted::Failed(failure, words) => (failure, words),
            };
            trail.failed(&failure, self.clock.now());
            let wait = match retry::decide(&failure, call.stateful) {
                Verdict::Again(after)
                    if u32::from(trail.attempts()) < sends_max && call.body.may_repeat(policy.retry.replay_bytes) =>
                {
                    waits.resize(tour.len, None);
                    waits[at] = after.map(|after| Instant::now() + after);
                    // The wait that a provider asks for is its own: the next one need not keep it, and it does when its
                    // turn comes again.
                    let asked = waits[turn % tour.len].map(|until| until.saturating_duration_since(Instant::now()));
                    self.pause(policy, &target.provider.name, party, retries, asked, call.deadline)
                }
                _ => None,
            };
            let Some(wait) = wait else { return used_up(&failure, words) };
            self.metrics.retries.with_label_values(&[&*target.provider.name, failure.reason()]).inc();
            drop((words, load));
            tokio::time::sleep(wait).await;
            retries += 1;
        }
    }

    /// Whose failures a call's are.
    fn party(&self, call: &Call<'_>) -> PartyId {
        let kind = if call.is_known && call.own_key.is_none() { PartyKind::Known } else { PartyKind::Stranger };
        // An organisation with a key of its own is another party than the same one under the gateway's key.
        PartyId { digest: self.digests.hash_one((call.caller, call.is_known, call.own_key.is_some())), kind }
    }

    /// The targets of a call in the order in which they are tried.
    fn tour<'t>(&self, policy: &Policy, targets: &'t Targets, call: &Call<'_>, party: PartyId) -> Tour<'t> {
        let list = &targets.list;
        if call.own_key.is_some() {
            // A caller's own key belongs to one provider.
            return Tour { list, order: Vec::new(), len: list.len().min(1) };
        }
        let order = if targets.spread == Spread::InOrder {
            Vec::new()
        } else {
            let now = self.clock.now().0;
            balance::order(targets, call.caller, fastrand::f64(), |target| {
                let look = |h: &mut Health| Load {
                    open: h.parties.is_open(party, &policy.breaker, now),
                    calls: h.in_flight.calls(),
                };
                self.health(&target.provider.name, look)
            })
        };
        Tour { list, order, len: list.len() }
    }

    /// The next target from `turn` on whose circuit lets a call of this caller through.
    fn admitted(
        &self,
        policy: &Policy,
        tour: &Tour<'_>,
        turn: usize,
        party: PartyId,
        trail: &Arc<Trail>,
    ) -> Result<usize, NoAnswer> {
        let mut soonest: Option<Duration> = None;
        for skipped in 0..tour.len {
            let at = (turn + skipped) % tour.len;
            let name = &tour.target(at).provider.name;
            let (admitted, overflowed) = self.health(name, |h| {
                let admitted = h.parties.admit(party, &policy.breaker, self.clock.now().0);
                (admitted, h.parties.has_overflowed())
            });
            if overflowed {
                self.metrics.bound("circuit_parties");
            }
            match admitted {
                Ok(()) => return Ok(at),
                Err(wait) => {
                    trail.passed_over(name);
                    soonest = Some(soonest.map_or(wait, |s| s.min(wait)));
                }
            }
        }
        Err(NoAnswer::Unavailable { retry_after: soonest })
    }

    /// Counts a call at a provider until what is given is dropped.
    fn in_flight(&self, provider: &Arc<str>) -> Flying {
        self.health(provider, |h| h.in_flight.clone().begin())
    }

    /// How long to wait before the next attempt; `None` where there should be none.
    fn pause(
        &self,
        policy: &Policy,
        provider: &Arc<str>,
        party: PartyId,
        retries: u32,
        asked: Option<Duration>,
        deadline: Instant,
    ) -> Option<Duration> {
        let backoff = retry::backoff(&policy.retry, retries, fastrand::f64());
        let wait = asked.map_or(backoff, |a| a.max(backoff));
        let fits = Instant::now() + wait < deadline && asked.is_none_or(|a| a <= RETRY_AFTER_WAIT_MAX);
        let percent = policy.retry.budget_percent;
        let ask = |h: &mut Health| h.parties.retry(party, percent, &policy.breaker, self.clock.now().0);
        let granted = fits && self.health(provider, ask);
        if fits && !granted {
            self.metrics.bound("retry_budget");
        }
        granted.then_some(wait)
    }

    async fn attempt(
        &self,
        policy: &Policy,
        target: &Target,
        call: &Call<'_>,
        party: PartyId,
        trail: &Arc<Trail>,
    ) -> Attempted {
        let name = &target.provider.name;
        let sent = trail.sent_to(&target.provider, target.model.as_ref(), self.clock.now());
        let request = request(target, call, sent);
        let sent = self.client.send(request, call.body, target.timeouts.connect, target.timeouts.first_byte).await;
        let (outcome, attempted) = match sent {
            Err(failure) => (failure.reason(), Attempted::Failed(failure, None)),
            Ok(response) => self.read(target, call, response).await,
        };
        // A body that broke on the client's side says nothing about the provider, nor do our own descriptors.
        let blame = match &attempted {
            _ if call.body.is_broken() => Blame::Gateway,
            Attempted::Failed(failure, _) => failure.blame(),
            Attempted::Answer(_) | Attempted::KeyRefused => Blame::Nobody,
        };
        if blame != Blame::Gateway {
            let now = self.clock.now().0;
            let (before, open) = self.health(name, |h| {
                h.parties.ended(party, blame, &policy.breaker, now);
                let open = Some(h.parties.is_failing(party, &policy.breaker, now));
                (std::mem::replace(&mut h.shown_open, open), open)
            });
            if before != open {
                let open = f64::from(u8::from(open == Some(true)));
                self.metrics.breaker_open.with_label_values(&[&**name]).set(open);
            }
        }
        self.metrics.upstream_attempts.with_label_values(&[&**name, outcome]).inc();
        attempted
    }

    /// Reads as much of an answer as must be known before it is shown.
    async fn read(
        &self,
        target: &Target,
        call: &Call<'_>,
        response: http::Response<Incoming>,
    ) -> (&'static str, Attempted) {
        let (head, incoming) = response.into_parts();
        let status = head.status;
        if status.is_informational() || (status.is_redirection() && status != StatusCode::NOT_MODIFIED) {
            // A provider that upgrades or points elsewhere is not set up right; its hint is not followed.
            return ("protocol", Attempted::Failed(Failure::Protocol, None));
        }
        if call.own_key.is_none() && matches!(status.as_u16(), 401 | 403) {
            let name = &target.provider.name;
            tracing::error!(provider = %name, %status, "the provider refuses the gateway's key");
            self.metrics.provider_key_refused.with_label_values(&[&**name]).inc();
            return ("key_refused", Attempted::KeyRefused);
        }
        let (idle, keep_alive) = (target.timeouts.idle, target.timeouts.keep_alive);
        // An answer that has no body is all here, whatever it calls itself: nobody will ask for its end.
        let bodiless = status == StatusCode::NO_CONTENT || *call.method == Method::HEAD;
        let empty = incoming.is_end_stream() && !is(&head.headers, "text/event-stream");
        let gather = bodiless || empty || !status.is_success() || is(&head.headers, "application/json");
        let (body, held) = if gather {
            match gathered(incoming, idle, call.room).await {
                Ok(gathered) => gathered,
                Err(failure) => return (failure.reason(), Attempted::Failed(failure, None)),
            }
        } else {
            (AnswerBody::Streaming(Bytes::new(), incoming), None)
        };
        let mut answer = Answer { head, body, about_money: false, idle, keep_alive, load: None, held };
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return ("ok", Attempted::Answer(answer));
        }
        let facts = status_facts(&answer, self.clock.wall_ms());
        answer.about_money = facts.about_money;
        let failure = Failure::Status(facts);
        // One that is too long to be looked at whole is not passed on: it may quote a credential.
        let words = matches!(answer.body, AnswerBody::Whole(_)).then_some(answer);
        (failure.reason(), Attempted::Failed(failure, words))
    }

    fn health<T>(&self, provider: &Arc<str>, f: impl FnOnce(&mut Health) -> T) -> T {
        if let Some(health) = self.health.get(provider) {
            return f(&mut lock(&health));
        }
        let health = self.health.entry(Arc::clone(provider)).or_default();
        f(&mut lock(&health))
    }
}

/// What is shown when there will be no further attempt.
fn used_up(failure: &Failure, words: Option<Answer>) -> Result<Answer, NoAnswer> {
    match failure {
        Failure::FirstByteTimeout => Err(NoAnswer::Timeout),
        Failure::Exhausted => Err(NoAnswer::Exhausted),
        Failure::Status(facts) if facts.status < 500 => {
            words.ok_or(NoAnswer::Unavailable { retry_after: facts.retry_after })
        }
        Failure::Status(facts) => Err(NoAnswer::Unavailable { retry_after: facts.retry_after }),
        Failure::Connect | Failure::Certificate | Failure::Reset | Failure::Protocol | Failure::Truncated => {
            Err(NoAnswer::Unavailable { retry_after: None })
        }
    }
}

fn request(target: &Target, call: &Call<'_>, sent: Sent) -> Request<replay::AttemptBody> {
    let rename = target.model.as_deref().zip(call.model_at).map(|(model, at)| Rename::new(at, model));
    let mut request = Request::new(call.body.attempt(rename, Some(sent)));
    let target = &*target.provider;
    *request.method_mut() = call.method.clone();
    *request.uri_mut() = target_uri(&target.base_url, call.path_and_query);
    let headers = request.headers_mut();
    headers.clone_from(call.headers);
    // Those that leave anyway are there already.
    for name in target.forward_headers.iter().filter(|name| !call.headers.contains_key(*name)) {
        for value in call.forwarded.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    let key = call.own_key.unwrap_or(&target.api_key);
    if !key.is_empty() {
        let (name, prefix) = target.kind.key_header();
        if let Ok(mut value) = HeaderValue::from_str(&[prefix, key.reveal()].concat()) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
    if let Some((name, value)) = target.kind.version_header()
        && !headers.contains_key(name)
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    request
}

/// The base URL with the path behind its own. Both were checked, so they fit together.
fn target_uri(base: &Uri, path_and_query: &str) -> Uri {
    let mut parts = base.clone().into_parts();
    let whole = [base.path().trim_end_matches('/'), path_and_query].concat();
    parts.path_and_query = whole.parse().ok();
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

/// The content type without its parameters; empty where there is none.
pub fn essence(headers: &HeaderMap) -> &str {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim()
}

fn is(headers: &HeaderMap, kind: &str) -> bool {
    essence(headers).eq_ignore_ascii_case(kind)
}

/// Reads an answer to its end, or to the bound. One for which there is no room is not checked whole either.
///
/// # Errors
/// It broke off, or nothing came for `idle`.
pub async fn gathered(
    mut incoming: Incoming,
    idle: Duration,
    room: &Share,
) -> Result<(AnswerBody, Option<Held>), Failure> {
    let mut first = Bytes::new();
    let mut more = BytesMut::new();
    let mut held = None;
    loop {
        if incoming.is_end_stream() {
            break;
        }
        match tokio::time::timeout(idle, incoming.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if first.is_empty() {
                    first = data;
                } else {
                    if more.is_empty() {
                        more.extend_from_slice(&first);
                    }
                    more.extend_from_slice(&data);
                }
                let bytes = first.len().max(more.len());
                let fits = bytes <= CALL_BYTES_FREE || held.get_or_insert_with(|| room.begin()).grow_to(bytes);
                if bytes > ANSWER_GATHER_BYTES_MAX || !fits {
                    let read = if more.is_empty() { first } else { more.freeze() };
                    return Ok((AnswerBody::Streaming(read, incoming), held));
                }
            }
            Ok(Some(Err(_))) => return Err(Failure::Truncated),
            Err(_) => return Err(Failure::FirstByteTimeout),
        }
    }
    Ok((AnswerBody::Whole(if more.is_empty() { first } else { more.freeze() }), held))
}

fn status_facts(answer: &Answer, now_ms: i64) -> StatusFacts {
    let headers = &answer.head.headers;
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok());
    let about_money = match &answer.body {
        AnswerBody::Whole(body) => {
            let error = ErrorFacts::read(body);
            [&error.code, &error.kind].iter().any(|c| MONEY_CODES.contains(&c.as_str()))
        }
        AnswerBody::Streaming(..) => false,
    };
    StatusFacts {
        status: answer.head.status.as_u16(),
        should_retry: text("x-should-retry").and_then(|v| v.trim().parse().ok()),
        retry_after: retry::retry_after(text("retry-after-ms"), text("retry-after"), now_ms),
        about_money: about_money || answer.head.status == StatusCode::PAYMENT_REQUIRED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_url_keeps_its_path() {
        for (base, path, expected) in [
            ("https://api.openai.com/v1", "/chat/completions", "https://api.openai.com/v1/chat/completions"),
            ("http://127.0.0.1:8000", "/models?limit=2", "http://127.0.0.1:8000/models?limit=2"),
            ("http://h/a/b/", "/x", "http://h/a/b/x"),
        ] {
            assert_eq!(target_uri(&base.parse().expect("uri"), path).to_string(), expected);
        }
    }
}
