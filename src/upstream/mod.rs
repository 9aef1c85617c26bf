//! Stage 10 of the walk: sends the redacted call to a provider, and retries it until there is an
//! answer.
//!
//! `retry`, `budget`, `breaker` and `parties` decide (pure), `tour` holds the order of the targets,
//! `attempt` is one attempt, `request` builds its head (with `address`), `replay` is its body,
//! `client` sends it,
//! `answer` is the result, `translation`, `foreign` and `embeddings` are attempts at targets of
//! other formats, `health` keeps the state of the providers, `catalog` their lists of models,
//! `credentials` the tokens of clouds, `trail` records the attempts. This file is the loop over
//! attempts.
//!
//! Guarantees: at most `max_retries` attempts beyond the first, all within one deadline; a provider
//! is not asked while its circuit is open for the caller, or without a credential; the failures of
//! one caller hold no other caller off; no byte of a returned answer has been sent to the client; a
//! short JSON answer is read whole before it is returned, so that a truncated one is a clean
//! failure. Does not: redact, or write to the client.

mod address;
pub mod answer;
pub mod apart;
mod attempt;
pub mod breaker;
pub mod budget;
pub mod catalog;
pub mod client;
pub mod credentials;
mod embeddings;
mod fetch;
pub mod foreign;
mod health;
mod judge;
pub mod parties;
pub mod probe;
pub mod replay;
mod request;
pub mod retry;
mod tour;
mod trail;
pub mod translation;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method};
use tokio::time::Instant;

use crate::bounds::RETRY_AFTER_WAIT_MAX;
use crate::clock::Clock;
use crate::config::policy::{Policy, Provider, Spread, Target, Targets};
use crate::egress;
use crate::egress::outbound::Outbound;
use crate::ids::Secret;
use crate::metrics::Metrics;
use crate::route::balance::{self, Load};
use crate::share::Share;
pub use answer::{Answer, AnswerBody, WholeAnswer, essence, gathered};
use answer::{Attempted, used_up};
use apart::Apart;
use catalog::Catalog;
use client::Client;
use credentials::Credentials;
use embeddings::Kept;
pub use health::Flying;
use health::{Health, Providers};
use parties::{PartyId, PartyKind};
use replay::Outgoing;
use retry::{Failure, Verdict};
use tollgate_wire::translate::loss::Refused;
use tour::Tour;
pub use trail::{Attempt, Trail};
use translation::Translatable;

/// A call to send, without its targets.
pub struct Call<'a> {
    /// The caller's organisation.
    pub caller: &'a str,
    /// The organisation has shown a JWT or a gateway key.
    pub is_known: bool,
    pub method: &'a Method,
    /// Path below the provider's base URL, with its redacted query: `/chat/completions?x=y`.
    pub path_and_query: &'a str,
    /// Redacted headers for every target; no credential is among them.
    pub headers: &'a HeaderMap,
    /// Redacted headers for those targets whose `forward_headers` name them.
    pub forwarded: &'a HeaderMap,
    pub body: &'a Outgoing,
    /// The memory share from which a long answer is gathered.
    pub room: &'a Share,
    /// The model as asked for, for targets that take it in the path.
    pub model: Option<&'a str>,
    /// The place of the model's name in the body, for targets that have another name for it.
    pub model_at: Option<(u64, u64)>,
    /// The body is a form, in which names stand without quotation marks.
    pub is_form: bool,
    /// The caller's own provider key. With it only the first target is used, and the gateway's key
    /// is not sent.
    pub own_key: Option<&'a Secret>,
    /// For targets of another format; nothing for calls that no other format has.
    pub translatable: Option<Translatable<'a>>,
    /// Does long work on bodies.
    pub apart: Apart<'a>,
    /// The call changes state at the provider.
    pub stateful: bool,
    /// Attempts that were made before for the same request. They count against its retries.
    pub attempts_before: u32,
    /// When the whole call must be over.
    pub deadline: Instant,
}

impl Call<'_> {
    /// Whether a target of another format does not know the model, whose name is probably another
    /// target's. Its 404 says nothing about the call.
    fn is_unknown_there(&self, target: &Target, failure: &Failure) -> bool {
        let is_foreign = self
            .translatable
            .is_some_and(|translatable| !target.provider.speaks(translatable.call.format));
        let is_unknown = matches!(failure, Failure::Status(facts) if facts.status == 404);
        is_foreign && target.model.is_none() && is_unknown
    }
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// The provider failed, and the attempts are used up or would be wrong.
    Unavailable { retry_after: Option<Duration> },
    /// The first byte did not arrive in time, or the deadline passed.
    Timeout,
    /// This machine has no more descriptors or ports.
    Exhausted,
    /// The request body broke on the client's side.
    BodyBroken,
    /// The provider's answer cannot be read or carried.
    Invalid,
    /// No target can do what the call asks for.
    Untranslatable(Box<Refused>),
}

/// All providers, as this process sees them.
pub struct Upstream {
    client: Client,
    /// For requests that are no calls.
    outbound: Outbound,
    providers: Providers,
    catalog: Catalog,
    credentials: Credentials,
    /// Organisations are told apart by keyed hashes, which cannot be predicted from outside.
    digests: RandomState,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Upstream {
    /// Providers are known by name, and their state outlives policy reloads.
    pub fn new(metrics: Arc<Metrics>, clock: Clock) -> Upstream {
        // Before the first call, which would wait for it.
        drop(egress::prepare());
        Upstream {
            client: Client::default(),
            outbound: Outbound::default(),
            providers: Providers::default(),
            catalog: Catalog::default(),
            credentials: Credentials::default(),
            digests: RandomState::new(),
            metrics,
            clock,
        }
    }

    /// Runs `f` on each secret that calls to a provider show.
    pub fn secrets_of(&self, provider: &Provider, f: impl FnMut(&[u8])) {
        if let Some(key) = self.credentials.at_hand(provider, self.clock) {
            key.secrets(f);
        }
    }

    /// Sends `call` to `targets` until there is an answer to show: in their order, or by their
    /// weights.
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
        let result = match tokio::time::timeout_at(
            call.deadline,
            self.attempts(policy, targets, call, trail),
        )
        .await
        {
            Ok(result) => result,
            Err(_) => {
                trail.ended("deadline", 0, self.clock.now());
                Err(NoAnswer::Timeout)
            }
        };
        // A complete error answer that arrived before the end of the upload: the rest is not sent.
        let goes_on = |answer: &Answer| {
            answer.head.status.is_success() || matches!(answer.body, AnswerBody::Streaming(..))
        };
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
        let mut tour = self.tour(policy, targets, call, party);
        let retries_max = policy.retry.max_retries.saturating_sub(call.attempts_before);
        let (mut retries, mut lacks_key, mut kept) = (0u32, false, Kept::default());
        loop {
            let admit = |target: &Target| self.admit(policy, target, party, retries == 0, trail);
            let target =
                tour.next(admit).map_err(|retry_after| NoAnswer::Unavailable { retry_after })?;
            // Calls with callers' own keys go to the first target at any load, and must not steer
            // the calls of others.
            let is_counted = targets.spread == Spread::LeastLoaded && call.own_key.is_none();
            let load = is_counted.then(|| self.providers.in_flight(&target.provider.name));
            let attempt = self.attempt((policy, target), call, party, &mut kept, trail);
            let (failure, message) = match attempt.await {
                Attempted::Answer(answer) => {
                    trail.answered(self.clock);
                    return Ok(Answer { load, ..answer });
                }
                Attempted::KeyRefused => {
                    trail.key_refused(self.clock.now());
                    lacks_key = true;
                    if !call.body.may_repeat(policy.retry.replay_bytes) {
                        return Err(NoAnswer::Unavailable { retry_after: None });
                    }
                    self.pass_on(&mut tour, call.deadline).await?;
                    continue;
                }
                Attempted::KeyMissing => {
                    trail.key_missing(&target.provider.name);
                    lacks_key = true;
                    self.pass_on(&mut tour, call.deadline).await?;
                    continue;
                }
                Attempted::Untranslatable(refused) => {
                    if self.pass_on(&mut tour, call.deadline).await.is_ok() {
                        continue;
                    }
                    return Err(if retries == 0 && !lacks_key {
                        NoAnswer::Untranslatable(refused)
                    } else {
                        NoAnswer::Unavailable { retry_after: None }
                    });
                }
                Attempted::Failed(..) if call.body.is_broken() => return Err(NoAnswer::BodyBroken),
                Attempted::Failed(failure, message) => (failure, message),
            };
            trail.failed(&failure, self.clock.now());
            let wait = match retry::decide(&failure, call.stateful) {
                Verdict::Again(after)
                    if retries < retries_max && call.body.may_repeat(policy.retry.replay_bytes) =>
                {
                    tour.failed(after, Instant::now());
                    let asked = tour.wait(Instant::now());
                    self.pause(policy, &target.provider.name, party, retries, asked, call.deadline)
                }
                _ => None,
            };
            let Some(wait) = wait else {
                return if retries > 0 && call.is_unknown_there(target, &failure) {
                    Err(NoAnswer::Unavailable { retry_after: None })
                } else {
                    used_up(&failure, message)
                };
            };
            self.metrics
                .retries
                .with_label_values(&[&*target.provider.name, failure.reason()])
                .inc();
            // Neither memory nor a place in flight is held during the wait.
            drop((message, load));
            tokio::time::sleep(wait).await;
            retries += 1;
        }
    }

    /// Leaves out the target that was tried last, which cannot serve the call, and waits for as
    /// long as the next one has asked for.
    ///
    /// # Errors
    /// There is no other target, or the wait is too long.
    async fn pass_on(&self, tour: &mut Tour<'_>, deadline: Instant) -> Result<(), NoAnswer> {
        if !tour.leave_out() {
            return Err(NoAnswer::Unavailable { retry_after: None });
        }
        let Some(wait) = tour.wait(Instant::now()) else { return Ok(()) };
        if wait > RETRY_AFTER_WAIT_MAX || Instant::now() + wait >= deadline {
            return Err(NoAnswer::Unavailable { retry_after: Some(wait) });
        }
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// How a provider is doing for a caller: its organisation, whether that is known, and whether
    /// it brings a key of its own.
    pub fn load(&self, policy: &Policy, provider: &Provider, caller: (&str, bool, bool)) -> Load {
        let (party, now) = (self.party_of(caller), self.clock.now().0);
        self.providers.with(&provider.name, |health| Load {
            open: health.parties.is_open(party, &policy.breaker, now),
            calls: health.in_flight.calls(),
        })
    }

    /// The party to which the failures of a call are counted.
    fn party(&self, call: &Call<'_>) -> PartyId {
        self.party_of((call.caller, call.is_known, call.own_key.is_some()))
    }

    fn party_of(&self, caller: (&str, bool, bool)) -> PartyId {
        let (_, is_known, own_key) = caller;
        let kind = if is_known && !own_key { PartyKind::Known } else { PartyKind::Stranger };
        // An organisation is one party with a key of its own, and another with the gateway's key.
        PartyId { digest: self.digests.hash_one(caller), kind }
    }

    /// The targets of a call in the order in which they are tried.
    fn tour<'t>(
        &self,
        policy: &Policy,
        targets: &'t Targets,
        call: &Call<'_>,
        party: PartyId,
    ) -> Tour<'t> {
        let list = &targets.list;
        if call.own_key.is_some() {
            // A caller's own key belongs to one provider.
            return Tour::first_only(list);
        }
        if targets.spread == Spread::InOrder {
            return Tour::new(list, Vec::new());
        }
        let now = self.clock.now().0;
        let order = balance::order(targets, call.caller, fastrand::f64(), |target| {
            self.providers.with(&target.provider.name, |health| Load {
                open: health.parties.is_open(party, &policy.breaker, now),
                calls: health.in_flight.calls(),
            })
        });
        Tour::new(list, order)
    }

    /// Whether the circuit of a target lets a call of this caller through.
    ///
    /// # Errors
    /// How long the caller is held off.
    fn admit(
        &self,
        policy: &Policy,
        target: &Target,
        party: PartyId,
        is_first: bool,
        trail: &Arc<Trail>,
    ) -> Result<(), Duration> {
        let name = &target.provider.name;
        let (admitted, overflowed) = self.providers.with(name, |health| {
            let (parties, now) = (&mut health.parties, self.clock.now().0);
            let admitted = if is_first {
                parties.admit(party, &policy.breaker, now)
            } else {
                parties.admit_again(party, &policy.breaker, now)
            };
            (admitted, parties.has_overflowed())
        });
        if overflowed {
            self.metrics.bound("circuit_parties");
        }
        admitted.inspect_err(|_| trail.passed_over(name))
    }

    /// How long to wait before the next attempt; `None` if there must be none.
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
        let fits =
            Instant::now() + wait < deadline && asked.is_none_or(|a| a <= RETRY_AFTER_WAIT_MAX);
        let percent = policy.retry.budget_percent;
        let ask =
            |h: &mut Health| h.parties.retry(party, percent, &policy.breaker, self.clock.now().0);
        let granted = fits && self.providers.with(provider, ask);
        if fits && !granted {
            self.metrics.bound("retry_budget");
        }
        granted.then_some(wait)
    }
}
