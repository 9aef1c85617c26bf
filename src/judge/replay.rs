//! A policy asked about the rows of a log, in their order.
//!
//! A call asks when it began and settles when it ended; the counters are empty at the first row.
//! The baseline is what the rows say, not a second simulation.
//!
//! Guarantees: the same rows give the same judgement; a row that cannot be judged in one respect is
//! counted there with the reason, and judged in the others. Does not: know the health of providers,
//! credentials, or other gateways that counted with this one.
//!
//! # Bounds
//! `REPLAY_OPEN_MAX` calls are open at once; beyond, the one that ends first is settled early.

mod open;
mod routing;
mod whose;

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;
use tollgate_wire::Format;
use tollgate_wire::estimate::{Asked, Expected, Makes};

use self::open::OpenCalls;
use self::routing::{Routed, To, is_closed, other, route};
use self::whose::{Unknown, Whose, keys};
use super::limits::{self, Counters, Denial, Who, Work};
use super::logged::{self, Judged, Reason};
use super::row::LoggedCall;
use super::verdict::Refused;
use crate::bounds::{METERS_MAX, ORGS_MAX, REPLAY_ENDPOINTS_MAX};
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::{GatewayKey, OrgLimits, Policy};
use crate::cost::{Call, output};
use crate::ids::OrgId;
use crate::limit::caps::Over;
use crate::limit::meter::Moment;
use crate::limit::meters::{Denied, Meters, Reservation, moment};
use crate::limit::store::Limiter;
use crate::route::table::{self, Endpoint, Matched};

pub(crate) use self::routing::NO_MODEL;
pub(crate) const NO_CALLER: Reason = "no_caller";
pub(crate) const USAGE_UNKNOWN: Reason = "usage_unknown";
pub(crate) const IDENTITY: Reason = "identity";
pub(crate) const REFUSAL_UNKNOWN: Reason = "refusal_unknown";

/// A respect in which a row is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Dimension {
    Limits,
    Routing,
    Redaction,
}

impl Dimension {
    pub(crate) const ALL: [Dimension; 3] =
        [Dimension::Limits, Dimension::Routing, Dimension::Redaction];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Dimension::Limits => "limits",
            Dimension::Routing => "routing",
            Dimension::Redaction => "redaction",
        }
    }
}

/// The decision of the policy about a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its calls that passed, and would have been refused; by the refusal.
    pub(crate) refused: Vec<(Refused, u64)>,
    /// Its calls that would have been refused for a limit, whatever was done with them.
    pub(crate) limited: u64,
    /// Its calls that were refused, and would have passed.
    pub(crate) allowed: u64,
    /// Its calls that would have gone to a cheaper model: the model, the budget, how many.
    pub(crate) downgraded: Option<(Arc<str>, String, u64)>,
    /// It would have been asked of this provider.
    pub(crate) rerouted: Option<Arc<str>>,
    pub(crate) redaction_changed: bool,
    /// In which respects it cannot be judged, and why.
    pub(crate) unjudged: Vec<(Dimension, Reason)>,
    /// The cost of the calls that would have passed, where it is known.
    pub(crate) cost_nano_usd: Option<i64>,
}

/// A policy that is asked, and its counters.
pub(crate) struct Replay<'p> {
    candidate: &'p Policy,
    /// The policy in force now: the rules of the rows that were made under it.
    force: &'p Policy,
    keys: HashMap<(OrgId, Arc<str>), Arc<GatewayKey>>,
    candidate_keys: HashMap<(OrgId, Arc<str>), Arc<GatewayKey>>,
    limiter: Limiter,
    meters: Arc<Meters>,
    open: OpenCalls,
    first_ms: Option<i64>,
    endpoints: HashMap<String, Option<Endpoint>>,
}

/// The time of the first row, so that buckets are full and arithmetic never meets zero.
const START_NS: u64 = 3_600_000_000_000;

impl<'p> Replay<'p> {
    /// Nothing asked yet.
    pub(crate) fn new(candidate: &'p Policy, force: &'p Policy) -> Replay<'p> {
        Replay {
            candidate,
            force,
            keys: keys(&force.auth).map(|(name, key)| (name, key.clone())).collect(),
            candidate_keys: keys(&candidate.auth).map(|(name, key)| (name, key.clone())).collect(),
            limiter: Limiter::new(ORGS_MAX),
            meters: Arc::new(Meters::new(METERS_MAX)),
            open: OpenCalls::default(),
            first_ms: None,
            endpoints: HashMap::new(),
        }
    }

    /// Asks about the next row.
    pub(crate) fn ask(&mut self, row: &LoggedCall<'_>) -> Answer {
        let Some(org) = OrgId::new(row.org) else { return Answer::default() };
        let at = self.moment(row.created_at_ms);
        self.open.settle_until(at.now_ns);
        let endpoint = self.endpoint(row.endpoint);
        let mut answer = Answer::default();
        let whose = match self.identify(row, &org) {
            Ok(whose) => whose,
            Err(Unknown::Refused(code)) => {
                self.refuse(&mut answer, row, Refused::by(code), u64::from(row.calls));
                return answer;
            }
            Err(Unknown::Unjudged) => {
                answer.unjudged = Dimension::ALL.map(|dimension| (dimension, IDENTITY)).to_vec();
                return answer;
            }
        };
        let body = self.redaction(row, &org, endpoint.as_ref());
        let routed = route(self.candidate, row, endpoint.as_ref(), whose.key.as_deref());
        if let Err(reason) = body {
            answer.unjudged.push((Dimension::Redaction, reason));
        }
        if let Err(reason) = routed {
            answer.unjudged.push((Dimension::Routing, reason));
        }
        let call = Logged { row, org: &org, whose: &whose, endpoint: endpoint.as_ref() };
        let passed = self.calls(&call, at, (&body, &routed), &mut answer);
        if passed > 0 && !row.was_refused() {
            let cheaper = answer.downgraded.as_ref().map(|(model, ..)| Arc::clone(model));
            let asked = cheaper.as_deref().unwrap_or(row.model);
            let other_to = cheaper
                .as_deref()
                .and_then(|model| routing::of_model(self.candidate, row, call.endpoint, model));
            let to = other_to.as_ref().or_else(|| routed.as_ref().ok()?.as_ref());
            if let Some(To { first: Some(first), .. }) = to {
                let force = Some(self.force).filter(|_| self.is_of_force(row));
                answer.rerouted = other(force, row, first, asked);
            }
            answer.redaction_changed = body.is_ok_and(|body| body.is_changed);
            answer.cost_nano_usd = self.cost(row, answer.rerouted.as_ref(), asked);
        }
        // In force the same was done, or the call was refused.
        answer.downgraded = answer.downgraded.take().filter(|_| answer.rerouted.is_some());
        answer.unjudged.sort_unstable();
        answer.unjudged.dedup_by_key(|(dimension, _)| *dimension);
        answer
    }

    /// Each call of a row; how many pass.
    fn calls(
        &mut self,
        call: &Logged<'_>,
        at: Moment,
        (body, routed): (&Result<Judged, Reason>, &Routed<'p>),
        answer: &mut Answer,
    ) -> u64 {
        let row = call.row;
        let limits = self.candidate.limits.more.as_ref().map(|more| more.of(call.org));
        let needs_usage = limits.is_some_and(OrgLimits::need_estimate);
        let no_caller = row.caller.is_empty() && row.calls > 1 && !call.org.is_reserved();
        if no_caller && limits.is_some_and(counts_each) {
            answer.unjudged.push((Dimension::Limits, NO_CALLER));
            return 0;
        }
        let mut passed = 0;
        for _ in 0..row.calls {
            match self.one(call, at, body, routed) {
                Err(refused) => self.refuse(answer, row, refused, 1),
                Ok(Passed { known, downgraded }) => {
                    if let Some((model, over)) = downgraded {
                        let first = || (model, over.name(), 0);
                        answer.downgraded.get_or_insert_with(first).2 += 1;
                    }
                    let unknown_use = row.was_refused() || !row.has_usage && row.is_ok;
                    if needs_usage && unknown_use {
                        answer.unjudged.push((Dimension::Limits, USAGE_UNKNOWN));
                    }
                    passed += 1;
                    if !row.was_refused() {
                        continue;
                    }
                    if self.knows_refusal(call) {
                        answer.allowed += u64::from(known || !needs_usage);
                    } else {
                        answer.unjudged.push((Dimension::Routing, REFUSAL_UNKNOWN));
                    }
                }
            }
        }
        passed
    }

    /// Whether the rows say why the policy in force refused a call. A stored object of another
    /// organisation, an endpoint for provider keys alone, or a model that a provider does not list
    /// are in no row, so the candidate may refuse it for the same reason.
    fn knows_refusal(&self, call: &Logged<'_>) -> bool {
        let (row, force) = (call.row, self.force);
        let key = self.keys.get(&(call.org.clone(), Arc::from(row.caller)));
        match row.error_code {
            "endpoint_not_allowed" => {
                key.is_some_and(|key| !key.may_call(row.endpoint))
                    || is_closed(self.candidate, force, row.endpoint)
            }
            "model_not_found" | "wrong_endpoint" => {
                let routed = route(force, row, call.endpoint, key.map(|key| &**key));
                matches!(routed, Ok(Some(To { refused: Some(code), .. }))
                    if code.as_str() == row.error_code)
            }
            _ => true,
        }
    }

    /// One call, in the order of the walk.
    fn one(
        &mut self,
        call: &Logged<'_>,
        at: Moment,
        body: &Result<Judged, Reason>,
        routed: &Routed<'p>,
    ) -> Result<Passed, Refused> {
        let (row, policy) = (call.row, self.candidate);
        let who = call.who();
        let counters = Counters { limiter: &self.limiter, meters: &self.meters };
        let cheaper = call.cheaper(policy);
        let (mut exhausted, mut admitted) =
            (None, limits::admit(counters, &policy.limits, &who, at));
        if let Err(Denial::Over(over, _)) = &admitted
            && over.which.is_money()
            && cheaper.is_some()
        {
            exhausted = Some(over.clone());
            admitted = limits::admit_guided(counters, &policy.limits, &who, at);
        }
        let mut held = match admitted {
            Ok((_, held)) => held,
            Err(Denial::Over(over, _)) => return Err(over.into()),
            Err(Denial::Full) => None,
        };
        if row.is_ticket && !policy.features.of(call.org).ai_intent_enabled {
            return Err(Refused::by(Code::FeatureDisabled));
        }
        if call.whose.key.as_ref().is_some_and(|key| !key.may_call(row.endpoint)) {
            return Err(Refused::by(Code::EndpointNotAllowed));
        }
        if !row.is_ticket && is_closed(self.force, policy, row.endpoint) {
            return Err(Refused::by(Code::EndpointNotAllowed));
        }
        if let Ok(Judged { refused: Some(code), .. }) = body {
            return Err(Refused::by(*code));
        }
        let to = match routed {
            Ok(to) => to.as_ref(),
            Err(_) => None,
        };
        if let Some(To { refused: Some(code), .. }) = to {
            return Err(Refused::by(*code));
        }
        let mut passed = Passed { known: !row.ended_at_head(), downgraded: None };
        if let Some(to) = to.filter(|_| passed.known) {
            let guide = (cheaper, exhausted);
            let (reserved, downgraded) = self.reserve_or_downgrade(call, to, guide, at)?;
            passed.downgraded = downgraded;
            match (&mut held, reserved) {
                (Some(held), Some(reserved)) => held.absorb(reserved),
                (None, reserved) => held = reserved,
                (Some(_), None) => {}
            }
        }
        if let Some(held) = held {
            let model = passed.downgraded.as_ref().map_or(row.model, |(model, _)| model);
            self.hold(row, held, model, at);
        }
        Ok(passed)
    }

    /// Reserves usage; over a budget for the cheaper model, which is returned with the budget.
    fn reserve_or_downgrade(
        &self,
        call: &Logged<'_>,
        to: &To<'_>,
        (cheaper, exhausted): (Option<&Arc<str>>, Option<Over>),
        at: Moment,
    ) -> Result<(Option<Reservation>, Option<Downgraded>), Refused> {
        let model = call.row.model;
        // A call that names no model asks for no other one.
        let cheaper = cheaper.filter(|_| !model.is_empty());
        let over = match exhausted {
            Some(over) => over,
            None => match self.reserve(call, (to, model), false, at) {
                Ok(held) => return Ok((held, None)),
                Err(over) => over,
            },
        };
        let Some(cheaper) = cheaper.filter(|_| over.which.is_money()) else {
            return Err(over.into());
        };
        if **cheaper == *model {
            return Ok((self.reserve(call, (to, model), true, at)?, None));
        }
        let other = routing::of_model(self.candidate, call.row, call.endpoint, cheaper)
            .ok_or(Refused::by(Code::WrongEndpoint))?;
        let held = self.reserve(call, (&other, cheaper), true, at)?;
        Ok((held, Some((Arc::clone(cheaper), over))))
    }

    /// `counts_only`: budgets count the call and do not refuse it.
    fn reserve(
        &self,
        call: &Logged<'_>,
        (to, model): (&To<'_>, &str),
        counts_only: bool,
        at: Moment,
    ) -> Result<Option<Reservation>, Over> {
        let (row, policy) = (call.row, self.candidate);
        let Some(more) = &policy.limits.more else { return Ok(None) };
        let limits = more.of(call.org);
        if !limits.need_estimate() {
            return Ok(None);
        }
        let names: Vec<_> = to
            .targets
            .iter()
            .flat_map(|targets| &targets.list)
            .map(|target| (&*target.provider.name, target.model.as_deref()))
            .collect();
        let work = Work { targets: &names, model, expected: expected(call, model) };
        let (wants, models) = limits::wants_of_usage(limits, &call.who(), model);
        if wants.is_empty() && models.is_empty() {
            return Ok(None);
        }
        let wants = if counts_only { limits::counting(&wants) } else { wants };
        let ask = work.ask(&policy.prices, row.created_at_ms);
        match limits::reserve(&self.meters, (&wants, &models), ask, at) {
            Ok(held) => Ok(Some(held)),
            Err(Denied::Over(over)) => Err(over),
            Err(Denied::Full) => Ok(None),
        }
    }

    /// Keeps a reservation until the call is over.
    fn hold(&mut self, row: &LoggedCall<'_>, held: Reservation, model: &str, at: Moment) {
        let ends_at_ns = at.now_ns.saturating_add(row.latency_ms.saturating_mul(1_000_000));
        let used = match (row.has_usage, row.is_ok && !row.was_refused()) {
            (true, _) => {
                let tokens = row.usage.input.saturating_add(row.usage.output);
                let cost = self.cost(row, None, model).unwrap_or(0);
                Some((tokens, u64::try_from(cost).unwrap_or(0)))
            }
            (false, true) => None,
            (false, false) => Some((0, 0)),
        };
        self.open.hold(held, ends_at_ns, used);
    }

    /// A refusal under the policy: a difference where the call passed.
    fn refuse(&self, answer: &mut Answer, row: &LoggedCall<'_>, refused: Refused, calls: u64) {
        if refused.code == Code::RateLimitExceeded {
            answer.limited += calls;
        }
        if row.was_refused() {
            return;
        }
        match answer.refused.iter_mut().find(|(known, _)| *known == refused) {
            Some((_, n)) => *n += calls,
            None => answer.refused.push((refused, calls)),
        }
    }

    fn moment(&mut self, created_at_ms: i64) -> Moment {
        let first = *self.first_ms.get_or_insert(created_at_ms);
        let since = u64::try_from(created_at_ms.saturating_sub(first)).unwrap_or(0);
        moment(Nanos(START_NS.saturating_add(since.saturating_mul(1_000_000))), created_at_ms)
    }

    fn redaction(
        &self,
        row: &LoggedCall<'_>,
        org: &OrgId,
        endpoint: Option<&Endpoint>,
    ) -> Result<Judged, Reason> {
        let rules = self.candidate.redaction.of(org);
        let force = self.is_of_force(row).then(|| &**self.force.redaction.of(org));
        let format = endpoint.map_or(Format::OpenAiChat, |endpoint| endpoint.format);
        logged::judge(row, rules, force, *format.schema())
    }

    /// Whether the call was made under the policy that is in force now.
    fn is_of_force(&self, row: &LoggedCall<'_>) -> bool {
        *self.force.version == *row.policy_version
    }

    /// The endpoint of a path without ids.
    fn endpoint(&mut self, path: &str) -> Option<Endpoint> {
        if let Some(known) = self.endpoints.get(path) {
            return known.clone();
        }
        let opened = &self.candidate.routing.endpoints;
        let found = match table::find(&Method::POST, path, opened) {
            Matched::Proxy(endpoint) if !path.contains("{id}") => Some(endpoint),
            _ => None,
        };
        if self.endpoints.len() < REPLAY_ENDPOINTS_MAX {
            self.endpoints.insert(path.to_owned(), found.clone());
        }
        found
    }

    /// The cost of a row by the candidate's prices, at the provider that was asked or at another.
    /// `model`: the one that is asked for.
    fn cost(&self, row: &LoggedCall<'_>, elsewhere: Option<&Arc<str>>, model: &str) -> Option<i64> {
        if !row.has_usage {
            return None;
        }
        let provider = elsewhere.map_or(row.provider, |provider| provider);
        let is_as_logged = elsewhere.is_none() && model == row.asked();
        let response_model = if is_as_logged { row.response_model } else { "" };
        let (usage, at_ms) = (row.usage, row.created_at_ms);
        let call = Call { provider, response_model, model, usage, at_ms };
        self.candidate.prices.of_call(&call).map(|cost| cost.total)
    }
}

/// A row with what is known of it.
struct Logged<'a> {
    row: &'a LoggedCall<'a>,
    org: &'a OrgId,
    whose: &'a Whose,
    endpoint: Option<&'a Endpoint>,
}

impl Logged<'_> {
    fn who(&self) -> Who<'_> {
        Who { org: self.org, own: self.whose.own.clone() }
    }

    /// The policy's model for this caller over a budget.
    fn cheaper<'p>(&self, policy: &'p Policy) -> Option<&'p Arc<str>> {
        let own_key = self.org.is_reserved() && *self.org != OrgId::anonymous();
        let key = self.whose.key.as_deref();
        limits::cheaper(&policy.limits, self.endpoint?, self.org, key, own_key)
    }
}

/// The cheaper model that a call goes to, and the budget that is used up.
type Downgraded = (Arc<str>, Over);

/// A call that passes.
struct Passed {
    /// All that decides about it was known.
    known: bool,
    /// It goes to a cheaper model.
    downgraded: Option<Downgraded>,
}

/// Whether keys or users are limited one by one.
fn counts_each(limits: &OrgLimits) -> bool {
    !limits.each_key.is_empty() || !limits.each_user.is_empty()
}

/// The estimate that a call was admitted by, from the size of its request and its own bound.
fn expected(call: &Logged<'_>, model: &str) -> Expected {
    let row = call.row;
    let makes = match call.endpoint {
        Some(endpoint) => endpoint.makes,
        None if row.is_ticket => Some(Makes::Text),
        None => None,
    };
    let bound = Some(row.max_tokens).filter(|bound| *bound > 0);
    let asked =
        makes.map(|makes| Asked { makes, bound, choices: 1, longest: output::longest(model) });
    let bytes = row.prompt_chars.max(row.request_bytes / 2);
    asked.map(|asked| asked.expected(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
