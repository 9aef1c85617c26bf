//! Stage 4 of the walk: whether a call may pass its limits, and the refusal if it may not.
//!
//! Every call is counted against its organisation's requests at its head, and against the other
//! limits of the policy (calls in flight, key, user). Once the body is known, tokens and money are
//! reserved by estimate, and settled by the record when the call is over. With a shared store one
//! question to the store decides; while it is away, the policy decides.
//!
//! Guarantees: if only requests are limited, and there is no shared store, a call costs one look-up
//! in a map; a call passes all of its limits or takes from none; every reservation is settled or
//! released, however the call ends. Does not: count (see `limit`), or cut a stream that has begun.

pub mod counters;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::estimate::Expected;
use tollgate_wire::usage::TokenUsage;

use super::gateway::Gateway;
use super::readers::Entry;
use super::record::Record;
use super::refusal::{Refusal, overloaded, short_of};
use super::walk::Walk;
use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::bounds::HELD_BYTES_SPARE;
use crate::clock::{Nanos, wall_ms};
use crate::code::Code;
use crate::config::policy::{Accept, Fail, OrgLimits, Policy};
use crate::limit::bucket::{Decision, Quota};
use crate::limit::caps::{Ask, Caps, Estimate, Over, Scope, Subject, Want, Which};
use crate::limit::meter::Moment;
use crate::limit::meters::{Denied, Reservation, moment};
use crate::limit::redis::{Answer, Question, Shared};
use crate::limit::store::{Full, Limiter};
use crate::share::{Held, Resource};
use counters::message;

/// A call that passed its limits.
pub struct Admitted {
    /// The organisation's requests.
    pub decision: Decision,
    /// Its place while its body is read.
    pub entry: Entry,
    /// Its reservation of the other limits.
    pub held: Option<Reservation>,
}

/// Why a call does not pass.
enum Denial {
    /// It is over a limit.
    Over(Over, Option<Decision>),
    /// The maps are full.
    Full,
    /// The shared store is away and the policy is `closed`.
    Away,
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Denial {
        match denied {
            Denied::Over(over) => Denial::Over(over, None),
            Denied::Full => Denial::Full,
        }
    }
}

/// A call that passes: the state of its organisation's requests, and its reservation of other
/// limits.
type Passed = (Decision, Option<Reservation>);

impl Walk<'_> {
    /// Stage 4. A call that is refused leaves a (folded) row here.
    pub async fn admit(
        &self,
        caller: &Caller,
        route: RouteKind,
        endpoint: Cow<'static, str>,
    ) -> Result<Admitted, Refusal> {
        let (gateway, limits) = (self.gateway, &self.policy.limits);
        let quota = limits.requests.of(&caller.org).quota;
        let counting = self.counting();
        let entry = match self.enter() {
            Ok(entry) => entry,
            Err(refusal) => {
                let quota =
                    Some(gateway.counters.limiter.look(&caller.org, &quota, gateway.clock.now()));
                return Err(self.turned_away(
                    caller,
                    route,
                    endpoint,
                    Refusal { quota, ..refusal },
                ));
            }
        };
        let passed = match (&gateway.counters.shared, &limits.more) {
            (None, None) => {
                requests(&gateway.counters.limiter, caller, &quota, gateway.clock.now())
                    .map(|d| (d, None))
            }
            (Some(shared), _) => Box::pin(counting.ask_shared(shared, caller, &quota)).await,
            (None, Some(_)) => counting.ask_here(caller, &quota),
        };
        match passed {
            Ok((decision, held)) => Ok(Admitted { decision, entry, held }),
            Err(denial) => {
                Err(self.turned_away(caller, route, endpoint, counting.refusal(caller, denial)))
            }
        }
    }

    /// A place to read the call's body, unless bounds already leave no room to work on it.
    fn enter(&self) -> Result<Entry, Refusal> {
        let (tenants, party) = (&self.gateway.tenants, self.party());
        tenants
            .bytes
            .of(party)
            .has(HELD_BYTES_SPARE)
            .map_err(|short| short_of(Resource::Bytes, short))?;
        tenants.calls.of(party).has(1).map_err(|short| short_of(Resource::Calls, short))?;
        let entered = tenants.readers.enter(&tenants.reading.of(party), party);
        entered.map_err(|short| short_of(Resource::Readers, short))
    }

    /// A place among the calls at work, once the body or its beginning has arrived.
    ///
    /// # Errors
    /// There is none, or none for its party.
    pub fn place(&self) -> Result<Held, Refusal> {
        self.gateway
            .tenants
            .calls
            .of(self.party())
            .take_one()
            .map_err(|short| short_of(Resource::Calls, short))
    }

    /// Writes the row of a call that ends at its head.
    fn turned_away(
        &self,
        caller: &Caller,
        route: RouteKind,
        endpoint: Cow<'static, str>,
        refusal: Refusal,
    ) -> Refusal {
        self.record(caller, route, endpoint).refuse_at_head(&refusal);
        refusal
    }

    /// Reserves the estimated usage, which the record settles; see [`Counting::reserve`].
    ///
    /// # Errors
    /// A limit refuses.
    pub async fn reserve(
        &self,
        caller: &Caller,
        what: Work<'_>,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let held = self.counting().reserve(caller, what).await?;
        held.into_iter().for_each(|held| record.hold(held));
        Ok(())
    }

    fn counting(&self) -> Counting<'_> {
        Counting { gateway: self.gateway, policy: &self.policy }
    }
}

/// Counts a call without its request, because work that continues after a call is counted too.
pub struct Counting<'a> {
    pub gateway: &'a Gateway,
    /// The policy under which the call began.
    pub policy: &'a Policy,
}

impl Counting<'_> {
    /// Reserves the estimated usage of a call, once its body is known. Does nothing if neither
    /// tokens nor money nor models are limited.
    ///
    /// # Errors
    /// A limit refuses.
    pub async fn reserve(
        &self,
        caller: &Caller,
        what: Work<'_>,
    ) -> Result<Option<Reservation>, Refusal> {
        let Some(more) = &self.policy.limits.more else { return Ok(None) };
        let limits = more.of(&caller.org);
        if !limits.need_estimate() {
            return Ok(None);
        }
        let Expected { input, likely, most, assumed } = what.expected;
        let (nano_usd, tokens) = (self.cost(&what, input, most), input.saturating_add(likely));
        let estimate = Estimate { tokens, nano_usd, assumed };
        let ask = Ask { call: false, estimate: Some(estimate) };
        let at = self.moment();
        let wants: Vec<Want> =
            wants(limits, caller).into_iter().filter(|(_, caps)| caps.need_estimate()).collect();
        let model: Vec<Want> = model_want(limits, caller, what.model).into_iter().collect();
        if wants.is_empty() && model.is_empty() {
            return Ok(None);
        }
        let reserved = match &self.gateway.counters.shared {
            None => self.reserve_here(&wants, &model, ask, at).map(Some),
            Some(shared) => {
                Box::pin(self.reserve_shared(shared, caller, &wants, &model, ask, at)).await
            }
        };
        reserved.map_err(|denial| self.refusal(caller, denial))
    }

    /// The highest cost of a call: at the dearest of its targets, by the model's name there or in
    /// the request.
    fn cost(&self, what: &Work<'_>, input: u64, output: u64) -> u64 {
        let usage = TokenUsage { input, output, ..TokenUsage::default() };
        let now_ms = wall_ms();
        // Of models that speak, all of it may be sound.
        let sound = TokenUsage { audio_output: output, ..usage };
        let price = |provider: &str, model: &str| {
            let cost = |usage| self.policy.prices.cost(provider, model, usage, now_ms);
            cost(&usage).max(cost(&sound))
        };
        let cost = |(provider, sent_as): &(&str, Option<&str>)| {
            let known = price(provider, what.model).or_else(|| price(provider, (*sent_as)?));
            // Some servers read a name in any case.
            known.or_else(|| price(provider, &what.model.to_ascii_lowercase()))
        };
        let dearest = what.targets.iter().filter_map(cost).max();
        u64::try_from(dearest.unwrap_or(0)).unwrap_or(0)
    }

    fn reserve_here(
        &self,
        wants: &[Want],
        model: &[Want],
        ask: Ask,
        at: Moment,
    ) -> Result<Reservation, Denial> {
        let meters = &self.gateway.counters.meters;
        let mut held = meters.ask(model, Ask { call: true, ..ask }, at)?;
        match meters.ask(wants, ask, at) {
            Ok(rest) => {
                held.absorb(rest);
                Ok(held)
            }
            Err(denied) => {
                held.undo();
                Err(denied.into())
            }
        }
    }

    async fn reserve_shared(
        &self,
        shared: &Arc<Shared>,
        caller: &Caller,
        wants: &[Want],
        model: &[Want],
        ask: Ask,
        at: Moment,
    ) -> Result<Option<Reservation>, Denial> {
        let (meters, call) = (&self.gateway.counters.meters, Ask { call: true, ..ask });
        let question =
            Question { org: &caller.org, quota: None, groups: &[(model, call), (wants, ask)], at };
        match shared.ask(&question, self.policy.timeouts.total).await {
            Ok(Answer { over: Some(over), .. }) => Err(Denial::Over(over, None)),
            Ok(answer) => {
                let mut held = meters.note(model, call, at);
                held.absorb(meters.note(wants, ask, at));
                answer.held.into_iter().for_each(|shared| held.also(shared));
                Ok(Some(held))
            }
            Err(_) => match self.fail(caller) {
                Fail::Local => self.reserve_here(wants, model, ask, at).map(Some),
                Fail::Open => Ok(None),
                Fail::Closed => Err(Denial::Away),
            },
        }
    }

    /// All limits of the head of a call, counted in this process.
    fn ask_here(&self, caller: &Caller, quota: &Quota) -> Result<Passed, Denial> {
        let counters = &self.gateway.counters;
        let Some(more) = &self.policy.limits.more else {
            return requests(&counters.limiter, caller, quota, self.gateway.clock.now())
                .map(|decision| (decision, None));
        };
        let wants = wants(more.of(&caller.org), caller);
        let at = self.moment();
        let held = match counters.meters.ask(&wants, Ask::CALL, at) {
            Ok(held) => held,
            Err(Denied::Over(over)) => {
                let left = counters.limiter.look(&caller.org, quota, Nanos(at.now_ns));
                return Err(Denial::Over(over, Some(left)));
            }
            Err(Denied::Full) => return Err(Denial::Full),
        };
        match requests(&counters.limiter, caller, quota, Nanos(at.now_ns)) {
            Ok(decision) => Ok((decision, Some(held))),
            Err(denial) => {
                held.undo();
                Err(denial)
            }
        }
    }

    /// All limits of the head of a call, counted in the store of all replicas. A call that passes
    /// is counted here too, so that this gateway knows it when the store is away.
    async fn ask_shared(
        &self,
        shared: &Arc<Shared>,
        caller: &Caller,
        quota: &Quota,
    ) -> Result<Passed, Denial> {
        let (counters, limits) = (&self.gateway.counters, &self.policy.limits);
        let at = self.moment();
        let wants = limits
            .more
            .as_ref()
            .map(|more| wants(more.of(&caller.org), caller))
            .unwrap_or_default();
        let ask = Ask::CALL;
        let answer = if wants.is_empty() {
            let allowance = limits.requests.of(&caller.org).allowance();
            shared
                .ask_request(&caller.org, quota, allowance, at)
                .await
                .map(|decision| (decision, None, None))
        } else {
            let question =
                Question { org: &caller.org, quota: Some(quota), groups: &[(&wants, ask)], at };
            let asked = shared.ask(&question, self.policy.timeouts.total).await;
            asked.map(|answer| (answer.decision, answer.over, answer.held))
        };
        let (decision, over, in_store) = match answer {
            Ok(answer) => answer,
            Err(_) => {
                return match self.fail(caller) {
                    Fail::Local => self.ask_here(caller, quota),
                    Fail::Open => Ok((unlimited(quota), None)),
                    Fail::Closed => Err(Denial::Away),
                };
            }
        };
        let over = over.or_else(|| decision.wait.map(|wait| over_requests(quota, wait)));
        if let Some(over) = over {
            return Err(Denial::Over(over, Some(decision)));
        }
        drop(counters.limiter.take(&caller.org, quota, Nanos(at.now_ns)));
        let mut held = (!wants.is_empty()).then(|| counters.meters.note(&wants, ask, at));
        if let (Some(held), Some(in_store)) = (&mut held, in_store) {
            held.also(in_store);
        }
        Ok((decision, held))
    }

    /// Counts a decision without the store, and returns how the policy decides it.
    fn fail(&self, caller: &Caller) -> Fail {
        let fail = self.policy.limits.requests.of(&caller.org).options.fail;
        let result = match fail {
            Fail::Local => "local",
            Fail::Open => "open",
            Fail::Closed => "closed",
        };
        self.gateway.metrics.limits_decisions.with_label_values(&[result]).inc();
        fail
    }

    fn refusal(&self, caller: &Caller, denial: Denial) -> Refusal {
        let gateway = self.gateway;
        match denial {
            Denial::Over(over, quota) => {
                let labels = [over.scope.as_str(), over.which.as_str()];
                gateway.metrics.ratelimit_rejections.with_label_values(&labels).inc();
                gateway.counters.refused.count(&caller.org);
                // A day or a month is no wait that a client should sit out.
                let lasting = matches!(over.which, Which::UsdPerDay | Which::UsdPerMonth);
                let refusal = Refusal::new(Code::RateLimitExceeded, message(&over));
                let limited_by = Cow::Owned([labels[0], ":", labels[1]].concat());
                Refusal { quota, retry_after: over.wait, lasting, limited_by, ..refusal }
            }
            Denial::Away => {
                let message = "calls cannot be counted at the moment, and the policy refuses \
                    calls that are not counted; please try again";
                Refusal::new(Code::Overloaded, message).after(Duration::from_secs(1)).closing()
            }
            Denial::Full => {
                gateway.metrics.bound("organizations");
                overloaded()
            }
        }
    }

    fn moment(&self) -> Moment {
        moment(self.gateway.clock.now(), self.gateway.clock.wall_ms())
    }
}

/// The facts of a call by which its usage is estimated before it is sent.
pub struct Work<'w> {
    /// The providers that may serve it, with the model's name there if it is different.
    pub targets: &'w [(&'w str, Option<&'w str>)],
    pub model: &'w str,
    pub expected: Expected,
}

fn requests(
    limiter: &Limiter,
    caller: &Caller,
    quota: &Quota,
    now: Nanos,
) -> Result<Decision, Denial> {
    match limiter.take(&caller.org, quota, now) {
        Ok(decision) => match decision.wait {
            None => Ok(decision),
            Some(wait) => Err(Denial::Over(over_requests(quota, wait), Some(decision))),
        },
        Err(Full) => Err(Denial::Full),
    }
}

fn over_requests(quota: &Quota, wait: Duration) -> Over {
    let limit = u64::from(quota.requests_per_minute());
    Over { which: Which::Requests, scope: Scope::Org, limit, wait: Some(wait) }
}

/// The decision if nothing is counted.
fn unlimited(quota: &Quota) -> Decision {
    let limit = quota.requests_per_minute();
    Decision { wait: None, limit, remaining: limit, reset: Duration::ZERO }
}

/// The subjects that a call counts for, besides its organisation's requests.
fn wants(limits: &OrgLimits, caller: &Caller) -> Vec<Want> {
    let own = match caller.via {
        Accept::Key => Some((Scope::Key(Arc::clone(&caller.name)), limits.each_key)),
        Accept::Jwt => Some((Scope::User(Arc::clone(&caller.name)), limits.each_user)),
        Accept::Passthrough | Accept::Anonymous => None,
    };
    let all = Some((Scope::Org, limits.all));
    own.into_iter()
        .chain(all)
        .filter(|(_, caps)| !caps.is_empty())
        .map(|(scope, caps)| want(caller, scope, caps))
        .collect()
}

fn model_want(limits: &OrgLimits, caller: &Caller, model: &str) -> Option<Want> {
    let limits = limits.models.iter().find(|limits| limits.pattern.matches(model))?;
    Some(want(caller, Scope::Model(Arc::clone(&limits.name)), limits.caps))
}

fn want(caller: &Caller, scope: Scope, caps: Caps) -> Want {
    (Subject { org: caller.org.clone(), scope }, caps)
}
