//! Whether the limits of a policy let a call pass, counted in this process.
//!
//! Stages 4 and 8 of the walk, and every judgement of a candidate. Time and counters are arguments,
//! so that a call in progress and a row of the log are judged by the same code.
//!
//! Guarantees: a call passes all limits that are asked or takes from none of them. Does not: count
//! for several gateways (see `limit/redis`), or settle (see `limit/meters`).

use std::sync::Arc;
use std::time::Duration;

use tollgate_wire::estimate::{Expected, Makes};
use tollgate_wire::usage::TokenUsage;

use crate::clock::Nanos;
use crate::config::policy::{GatewayKey, Limits, OrgLimits};
use crate::cost::PriceList;
use crate::ids::OrgId;
use crate::limit::bucket::{Decision, Quota};
use crate::limit::caps::{Ask, Caps, Estimate, Over, Scope, Subject, Want, Which};
use crate::limit::meter::Moment;
use crate::limit::meters::{Denied, Meters, Reservation};
use crate::limit::store::{Full, Limiter};
use crate::route::table::Endpoint;

/// The caller, as limits know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who<'a> {
    pub(crate) org: &'a OrgId,
    /// Its key or user; `None` if neither is known.
    pub(crate) own: Option<Scope>,
}

/// The counters of a policy.
#[derive(Clone, Copy)]
pub(crate) struct Counters<'c> {
    /// Requests of organisations.
    pub(crate) limiter: &'c Limiter,
    /// Everything else.
    pub(crate) meters: &'c Arc<Meters>,
}

/// Why a call does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It is over a limit; with the state of its organisation's requests.
    Over(Over, Option<Decision>),
    /// The maps are full.
    Full,
}

impl From<Denied> for Denial {
    fn from(denied: Denied) -> Denial {
        match denied {
            Denied::Over(over) => Denial::Over(over, None),
            Denied::Full => Denial::Full,
        }
    }
}

/// All limits of the head of a call.
///
/// # Errors
/// The first limit that refuses.
pub(crate) fn admit(
    counters: Counters<'_>,
    limits: &Limits,
    who: &Who<'_>,
    at: Moment,
) -> Result<(Decision, Option<Reservation>), Denial> {
    let quota = limits.requests.of(who.org).quota;
    let Some(more) = &limits.more else {
        return requests(counters.limiter, who.org, &quota, Nanos(at.now_ns))
            .map(|decision| (decision, None));
    };
    admit_as(counters, &quota, who.org, &wants(more.of(who.org), who), at)
}

/// The same for subjects that are given.
///
/// # Errors
/// The first limit that refuses.
pub(crate) fn admit_as(
    counters: Counters<'_>,
    quota: &Quota,
    org: &OrgId,
    wants: &[Want],
    at: Moment,
) -> Result<(Decision, Option<Reservation>), Denial> {
    let held = match counters.meters.ask(wants, Ask::CALL, at) {
        Ok(held) => held,
        Err(Denied::Over(over)) => {
            let left = counters.limiter.look(org, quota, Nanos(at.now_ns));
            return Err(Denial::Over(over, Some(left)));
        }
        Err(Denied::Full) => return Err(Denial::Full),
    };
    match requests(counters.limiter, org, quota, Nanos(at.now_ns)) {
        Ok(decision) => Ok((decision, Some(held))),
        Err(denial) => {
            held.undo();
            Err(denial)
        }
    }
}

/// An organisation's requests.
///
/// # Errors
/// They are used up.
pub(crate) fn requests(
    limiter: &Limiter,
    org: &OrgId,
    quota: &Quota,
    now: Nanos,
) -> Result<Decision, Denial> {
    match limiter.take(org, quota, now) {
        Ok(decision) => match decision.wait {
            None => Ok(decision),
            Some(wait) => Err(Denial::Over(over_requests(quota, wait), Some(decision))),
        },
        Err(Full) => Err(Denial::Full),
    }
}

/// The refusal of an organisation's quota.
pub(crate) fn over_requests(quota: &Quota, wait: Duration) -> Over {
    let limit = u64::from(quota.requests_per_minute());
    Over { which: Which::Requests, scope: Scope::Org, limit, wait: Some(wait) }
}

/// The subjects that a call counts for, besides its organisation's requests.
pub(crate) fn wants(limits: &OrgLimits, who: &Who<'_>) -> Vec<Want> {
    let own = who.own.as_ref().map(|scope| match scope {
        Scope::Key(_) => (scope.clone(), limits.each_key),
        _ => (scope.clone(), limits.each_user),
    });
    own.into_iter()
        .chain([(Scope::Org, limits.all)])
        .filter(|(_, caps)| !caps.is_empty())
        .map(|(scope, caps)| want(who.org, scope, caps))
        .collect()
}

/// The same subjects, whose budgets count calls and refuse none.
pub(crate) fn counting(wants: &[Want]) -> Vec<Want> {
    wants.iter().map(|(subject, caps)| (subject.clone(), caps.counting())).collect()
}

/// The subjects of which the usage of a call for a model is reserved: those of the call, and the
/// models that are counted with this one.
pub(crate) fn wants_of_usage(
    limits: &OrgLimits,
    who: &Who<'_>,
    model: &str,
) -> (Vec<Want>, Vec<Want>) {
    let wants = wants(limits, who).into_iter().filter(|(_, caps)| caps.need_estimate()).collect();
    let found = limits.models.iter().find(|limits| limits.pattern.matches(model));
    let model = found.map(|found| want(who.org, Scope::Model(Arc::clone(&found.name)), found.caps));
    (wants, model.into_iter().collect())
}

fn want(org: &OrgId, scope: Scope, caps: Caps) -> Want {
    (Subject { org: org.clone(), scope }, caps)
}

/// The model for calls of an organisation once a budget is used up; `None` if they are refused
/// then.
/// `own_key`: the caller pays its provider itself.
pub(crate) fn cheaper<'p>(
    limits: &'p Limits,
    endpoint: &Endpoint,
    org: &OrgId,
    key: Option<&GatewayKey>,
    own_key: bool,
) -> Option<&'p Arc<str>> {
    let model = limits.more.as_ref()?.of(org).downgrade.as_ref()?;
    let may_be = endpoint.makes == Some(Makes::Text)
        && endpoint.model().is_none()
        && !own_key
        && key.is_none_or(|key| key.may_use(Some(&**model)));
    may_be.then_some(model)
}

/// All limits of the head of a call over a budget, which goes to a cheaper model: money is counted
/// and refuses nothing.
///
/// # Errors
/// The first limit that refuses.
pub(crate) fn admit_guided(
    counters: Counters<'_>,
    limits: &Limits,
    who: &Who<'_>,
    at: Moment,
) -> Result<(Decision, Option<Reservation>), Denial> {
    let quota = limits.requests.of(who.org).quota;
    let own = limits.more.as_ref().map(|more| wants(more.of(who.org), who)).unwrap_or_default();
    admit_as(counters, &quota, who.org, &counting(&own), at)
}

/// Reserves usage: of its models together with the call itself, of the other subjects without it.
///
/// # Errors
/// The first limit that refuses.
pub(crate) fn reserve(
    meters: &Arc<Meters>,
    (wants, model): (&[Want], &[Want]),
    ask: Ask,
    at: Moment,
) -> Result<Reservation, Denied> {
    let mut held = meters.ask(model, Ask { call: true, ..ask }, at)?;
    match meters.ask(wants, ask, at) {
        Ok(rest) => {
            held.absorb(rest);
            Ok(held)
        }
        Err(denied) => {
            held.undo();
            Err(denied)
        }
    }
}

/// The facts of a call by which its usage is estimated before it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Work<'w> {
    /// The providers that may serve it, with the model's name there if it is different.
    pub targets: &'w [(&'w str, Option<&'w str>)],
    pub model: &'w str,
    pub expected: Expected,
}

impl Work<'_> {
    /// The tokens and the money asked for. Money: the highest cost of the call, at the dearest of
    /// its targets, by the model's name there or in the request.
    pub(crate) fn ask(&self, prices: &PriceList, now_ms: i64) -> Ask {
        let Expected { input, likely, most, assumed } = self.expected;
        let usage = TokenUsage { input, output: most, ..TokenUsage::default() };
        // Of models that speak, all of it may be sound.
        let sound = TokenUsage { audio_output: most, ..usage };
        let price = |provider: &str, model: &str| {
            let cost = |usage| prices.cost(provider, model, usage, now_ms);
            cost(&usage).max(cost(&sound))
        };
        let cost = |(provider, sent_as): &(&str, Option<&str>)| {
            let known = price(provider, self.model).or_else(|| price(provider, (*sent_as)?));
            // Some servers read a name in any case.
            known.or_else(|| price(provider, &self.model.to_ascii_lowercase()))
        };
        let dearest = self.targets.iter().filter_map(cost).max();
        let nano_usd = u64::try_from(dearest.unwrap_or(0)).unwrap_or(0);
        let estimate = Estimate { tokens: input.saturating_add(likely), nano_usd, assumed };
        Ask { call: false, estimate: Some(estimate) }
    }
}
