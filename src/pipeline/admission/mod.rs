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

pub(crate) mod closest;
pub mod counters;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::gateway::Gateway;
use super::guided;
use super::readers::Entry;
use super::record::Record;
use super::refusal::{Refusal, overloaded, short_of};
use super::shadow::who;
use super::walk::Walk;
use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::bounds::HELD_BYTES_SPARE;
use crate::clock::{Nanos, wall_ms};
use crate::code::Code;
use crate::config::policy::{Fail, Policy};
use crate::judge::limits;
pub use crate::judge::limits::Work;
use crate::limit::bucket::{Decision, Quota};
use crate::limit::caps::{Ask, Over, Scope, Subject, Used, Want};
use crate::limit::meter::Moment;
use crate::limit::meters::{Denied, Reservation, moment};
use crate::limit::redis::{Answer, Question, Shared};
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
    /// The budget that is used up, if the call passes anyway.
    pub exhausted: Option<Over>,
}

/// The effect of an exhausted budget on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budgets {
    /// It refuses the call.
    Refuse,
    /// It is named, and the caller of this stage decides.
    Guide,
    /// It counts the call, which passes. Limits of models still refuse it.
    Count,
}

/// Why a call does not pass.
enum Denial {
    /// It is over a limit, or the maps are full.
    Counted(limits::Denial),
    /// The shared store is away and the policy is `closed`.
    Away,
}

impl From<limits::Denial> for Denial {
    fn from(denial: limits::Denial) -> Denial {
        Denial::Counted(denial)
    }
}

impl Denial {
    /// The budget that is used up, where it does not refuse.
    fn exhausted(self, budgets: Budgets) -> Result<Over, Denial> {
        match self {
            Denial::Counted(limits::Denial::Over(over, _))
                if budgets == Budgets::Guide && over.which.is_money() =>
            {
                Ok(over)
            }
            denial => Err(denial),
        }
    }
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Denial {
        Denial::Counted(denied.into())
    }
}

/// A call that passes: the state of its organisation's requests, and its reservation of other
/// limits.
type Passed = (Decision, Option<Reservation>);

impl Walk<'_> {
    /// Stage 4. A call that is refused leaves a (folded) row here. `budgets` is `Refuse` or
    /// `Guide`.
    pub async fn admit(
        &self,
        caller: &Caller,
        route: RouteKind,
        endpoint: Cow<'static, str>,
        budgets: Budgets,
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
                let now = gateway.clock.now();
                limits::requests(&gateway.counters.limiter, &caller.org, &quota, now)
                    .map(|decision| (decision, None))
                    .map_err(Denial::from)
            }
            (Some(shared), _) => Box::pin(counting.ask_shared(shared, caller, &quota)).await,
            (None, Some(_)) => counting.ask_here(caller),
        };
        let (passed, exhausted) = match passed.map_err(|denial| denial.exhausted(budgets)) {
            Err(Ok(over)) => {
                let counting = Counting { counts_only: true, ..counting };
                let passed = match &gateway.counters.shared {
                    Some(shared) => Box::pin(counting.ask_shared(shared, caller, &quota)).await,
                    None => counting.ask_here(caller),
                };
                (passed, Some(over))
            }
            Err(Err(denial)) => (Err(denial), None),
            Ok(passed) => (Ok(passed), None),
        };
        match passed {
            Ok((decision, held)) => Ok(Admitted { decision, entry, held, exhausted }),
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

    /// Reserves the estimated usage, which the record settles; see [`Counting::reserve`]. Returns
    /// the budget that is used up, where it guides.
    ///
    /// # Errors
    /// A limit refuses.
    pub async fn reserve(
        &self,
        caller: &Caller,
        what: Work<'_>,
        budgets: Budgets,
        record: &mut Record,
    ) -> Result<Option<Over>, Refusal> {
        let counting = Counting { counts_only: budgets == Budgets::Count, ..self.counting() };
        match counting.try_reserve(caller, what).await {
            Ok((held, used)) => {
                held.into_iter().for_each(|held| record.hold(held));
                record.guided.used = used;
                Ok(None)
            }
            Err(denial) => match denial.exhausted(budgets) {
                Ok(over) => Ok(Some(over)),
                Err(denial) => Err(counting.refusal(caller, denial)),
            },
        }
    }

    /// The refusal of a call that is over a limit.
    pub fn over(&self, caller: &Caller, over: Over) -> Refusal {
        self.counting().refusal(caller, limits::Denial::Over(over, None).into())
    }

    pub fn counting(&self) -> Counting<'_> {
        Counting { gateway: self.gateway, policy: &self.policy, counts_only: false }
    }
}

/// Counts a call without its request, because work that continues after a call is counted too.
#[derive(Clone, Copy)]
pub struct Counting<'a> {
    pub gateway: &'a Gateway,
    /// The policy under which the call began.
    pub policy: &'a Policy,
    /// Budgets of money count the call and do not refuse it.
    pub counts_only: bool,
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
        let reserved = self.try_reserve(caller, what).await;
        reserved.map(|(held, _)| held).map_err(|denial| self.refusal(caller, denial))
    }

    /// The same with the budgets as the call found them, before a limit becomes a refusal.
    async fn try_reserve(
        &self,
        caller: &Caller,
        what: Work<'_>,
    ) -> Result<(Option<Reservation>, Vec<Used>), Denial> {
        let nothing = || Ok((None, Vec::new()));
        let Some(more) = &self.policy.limits.more else { return nothing() };
        let limits = more.of(&caller.org);
        if !limits.need_estimate() {
            return nothing();
        }
        let ask = what.ask(&self.policy.prices, wall_ms());
        let at = self.moment();
        let (wants, model) = limits::wants_of_usage(limits, &who(caller), what.model);
        if wants.is_empty() && model.is_empty() {
            return nothing();
        }
        let used = self.gateway.counters.meters.used(wants.iter().chain(&model), at);
        let wants = if self.counts_only { limits::counting(&wants) } else { wants };
        match &self.gateway.counters.shared {
            None => self.reserve_here(&wants, &model, ask, at).map(|held| (Some(held), used)),
            Some(shared) => {
                let asking = self.reserve_shared(shared, caller, &wants, &model, ask, at);
                // Other gateways spend, too: what the store says counts, where it was asked.
                let (held, in_store) = Box::pin(asking).await?;
                let used = if self.counts_only { used } else { in_store.unwrap_or(used) };
                Ok((held, used))
            }
        }
    }

    fn reserve_here(
        &self,
        wants: &[Want],
        model: &[Want],
        ask: Ask,
        at: Moment,
    ) -> Result<Reservation, Denial> {
        Ok(limits::reserve(&self.gateway.counters.meters, (wants, model), ask, at)?)
    }

    async fn reserve_shared(
        &self,
        shared: &Arc<Shared>,
        caller: &Caller,
        wants: &[Want],
        model: &[Want],
        ask: Ask,
        at: Moment,
    ) -> Result<(Option<Reservation>, Option<Vec<Used>>), Denial> {
        let (meters, call) = (&self.gateway.counters.meters, Ask { call: true, ..ask });
        let question =
            Question { org: &caller.org, quota: None, groups: &[(model, call), (wants, ask)], at };
        match shared.ask(&question, self.policy.timeouts.total).await {
            Ok(Answer { over: Some(over), .. }) => Err(limits::Denial::Over(over, None).into()),
            Ok(answer) => {
                let mut held = meters.note(model, call, at);
                held.absorb(meters.note(wants, ask, at));
                answer.held.into_iter().for_each(|shared| held.also(shared));
                Ok((Some(held), Some(answer.used)))
            }
            Err(_) => match self.fail(caller) {
                Fail::Local => {
                    self.reserve_here(wants, model, ask, at).map(|held| (Some(held), None))
                }
                Fail::Open => Ok((None, None)),
                Fail::Closed => Err(Denial::Away),
            },
        }
    }

    /// All limits of the head of a call, counted in this process.
    fn ask_here(&self, caller: &Caller) -> Result<Passed, Denial> {
        let counters = &self.gateway.counters;
        let counters = limits::Counters { limiter: &counters.limiter, meters: &counters.meters };
        if self.counts_only
            && let Some(more) = &self.policy.limits.more
        {
            let quota = self.policy.limits.requests.of(&caller.org).quota;
            let wants = limits::counting(&limits::wants(more.of(&caller.org), &who(caller)));
            return Ok(limits::admit_as(counters, &quota, &caller.org, &wants, self.moment())?);
        }
        Ok(limits::admit(counters, &self.policy.limits, &who(caller), self.moment())?)
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
            .map(|more| limits::wants(more.of(&caller.org), &who(caller)))
            .unwrap_or_default();
        let wants = if self.counts_only { limits::counting(&wants) } else { wants };
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
                    Fail::Local => self.ask_here(caller),
                    Fail::Open => Ok((unlimited(quota), None)),
                    Fail::Closed => Err(Denial::Away),
                };
            }
        };
        let over = over.or_else(|| decision.wait.map(|wait| limits::over_requests(quota, wait)));
        if let Some(over) = over {
            return Err(limits::Denial::Over(over, Some(decision)).into());
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
            Denial::Counted(limits::Denial::Over(over, quota)) => {
                let labels = [over.scope.as_str(), over.which.as_str()];
                gateway.metrics.ratelimit_rejections.with_label_values(&labels).inc();
                gateway.counters.refused.count(&caller.org);
                // A day or a month is no wait that a client should sit out.
                let lasting = over.which.is_money();
                let refusal = Refusal::new(Code::RateLimitExceeded, message(&over));
                let limited_by = Cow::Owned(over.name());
                let used = self.used(caller, Some(&over.scope));
                let budget = guided::budgets(&used, 0).map(String::into_boxed_str);
                Refusal { quota, budget, retry_after: over.wait, lasting, limited_by, ..refusal }
            }
            Denial::Away => {
                let message = "calls cannot be counted at the moment, and the policy refuses \
                    calls that are not counted; please try again";
                Refusal::new(Code::Overloaded, message).after(Duration::from_secs(1)).closing()
            }
            Denial::Counted(limits::Denial::Full) => {
                gateway.metrics.bound("organizations");
                overloaded()
            }
        }
    }

    /// The budgets of the caller, also those of one part of its organisation. Nothing if replicas
    /// count together, because this gateway does not know what the others spend.
    pub fn used(&self, caller: &Caller, part: Option<&Scope>) -> Vec<Used> {
        let counters = &self.gateway.counters;
        let Some(more) = self.policy.limits.more.as_ref().filter(|_| counters.shared.is_none())
        else {
            return Vec::new();
        };
        let limits = more.of(&caller.org);
        let mut wants = limits::wants(limits, &who(caller));
        if let Some(scope @ Scope::Model(_)) = part
            && let Some(caps) = limits.caps_of(scope)
        {
            wants.push((Subject { org: caller.org.clone(), scope: scope.clone() }, *caps));
        }
        counters.meters.used(wants.iter(), self.moment())
    }

    fn moment(&self) -> Moment {
        moment(self.gateway.clock.now(), self.gateway.clock.wall_ms())
    }
}

/// The decision if nothing is counted.
fn unlimited(quota: &Quota) -> Decision {
    let limit = quota.requests_per_minute();
    Decision { wait: None, limit, remaining: limit, reset: Duration::ZERO }
}
