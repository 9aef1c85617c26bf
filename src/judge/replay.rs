//! A policy asked about the rows of a log, in their order.
//!
//! A call asks when it began and settles when it ended; the counters are empty at the first row. The
//! baseline is what the rows say, not a second simulation.
//!
//! Guarantees: the same rows give the same judgement; a row that cannot be judged in one respect is
//! counted there with the reason, and judged in the others. Does not: know the health of providers,
//! credentials, or other gateways that counted with this one.
//!
//! # Bounds
//! `REPLAY_OPEN_MAX` calls are open at once; beyond, the one that ends first is settled early.

mod routing;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use http::Method;
use tollgate_wire::Format;
use tollgate_wire::estimate::{Asked, Expected, Makes};

use self::routing::{Routed, To, is_closed, other, route};
use super::limits::{self, Counters, Denial, Who, Work};
use super::logged::{self, Judged, Reason};
use super::row::LoggedCall;
use super::verdict::Refused;
use crate::bounds::{METERS_MAX, ORGS_MAX, REPLAY_ENDPOINTS_MAX, REPLAY_OPEN_MAX};
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::{Accept, AuthPolicy, GatewayKey, OrgLimits, Policy};
use crate::cost::{Call, output};
use crate::ids::OrgId;
use crate::limit::caps::Scope;
use crate::limit::meter::Moment;
use crate::limit::meters::{Denied, Meters, Reservation, moment};
use crate::limit::store::Limiter;
use crate::route::table::{self, Endpoint, Matched};

pub(crate) use self::routing::NO_MODEL;
pub(crate) const NO_CALLER: Reason = "no_caller";
pub(crate) const USAGE_UNKNOWN: Reason = "usage_unknown";
pub(crate) const IDENTITY: Reason = "identity";

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

/// What the policy would have done with a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Its calls that passed, and would have been refused; by the refusal.
    pub(crate) refused: Vec<(Refused, u64)>,
    /// Its calls that were refused, and would have passed.
    pub(crate) allowed: u64,
    /// It would have been asked of this provider.
    pub(crate) rerouted: Option<Arc<str>>,
    pub(crate) redaction_changed: bool,
    /// In which respects it cannot be judged, and why.
    pub(crate) unjudged: Vec<(Dimension, Reason)>,
    /// The cost of the calls that would have passed, where it is known.
    pub(crate) cost_nano_usd: Option<i64>,
}

/// A call that is not over.
struct Open {
    ends_at_ns: u64,
    /// So that the order is that of the calls.
    number: u64,
    held: Reservation,
    used: Option<(u64, u64)>,
}

impl PartialEq for Open {
    fn eq(&self, other: &Open) -> bool {
        self.order() == other.order()
    }
}

impl Eq for Open {}

impl PartialOrd for Open {
    fn partial_cmp(&self, other: &Open) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Open {
    fn cmp(&self, other: &Open) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl Open {
    fn order(&self) -> (u64, u64) {
        (self.ends_at_ns, self.number)
    }
}

/// A policy that is asked, and its counters.
pub(crate) struct Replay<'p> {
    candidate: &'p Policy,
    /// The policy in force now: the rules of the rows that were made under it.
    force: &'p Policy,
    keys: HashSet<(OrgId, Arc<str>)>,
    candidate_keys: HashMap<(OrgId, Arc<str>), Arc<GatewayKey>>,
    limiter: Limiter,
    meters: Arc<Meters>,
    open: BinaryHeap<Reverse<Open>>,
    opened: u64,
    first_ms: Option<i64>,
    endpoints: HashMap<String, Option<Endpoint>>,
}

fn keys(policy: &AuthPolicy) -> impl Iterator<Item = ((OrgId, Arc<str>), &Arc<GatewayKey>)> {
    policy.keys.values().map(|key| ((key.options.org.clone(), Arc::clone(&key.name)), key))
}

/// The time of the first row, so that buckets are full and arithmetic never meets zero.
const START_NS: u64 = 3_600_000_000_000;

impl<'p> Replay<'p> {
    /// Nothing asked yet.
    pub(crate) fn new(candidate: &'p Policy, force: &'p Policy) -> Replay<'p> {
        Replay {
            candidate,
            force,
            keys: keys(&force.auth).map(|(name, _)| name).collect(),
            candidate_keys: keys(&candidate.auth).map(|(name, key)| (name, key.clone())).collect(),
            limiter: Limiter::new(ORGS_MAX),
            meters: Arc::new(Meters::new(METERS_MAX)),
            open: BinaryHeap::new(),
            opened: 0,
            first_ms: None,
            endpoints: HashMap::new(),
        }
    }

    /// Asks about the next row.
    pub(crate) fn ask(&mut self, row: &LoggedCall<'_>) -> Answer {
        let Some(org) = OrgId::new(row.org) else { return Answer::default() };
        let at = self.moment(row.created_at_ms);
        self.settle_until(at.now_ns);
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
            if let Ok(Some(To { first: Some(first), .. })) = &routed {
                let force = Some(self.force).filter(|_| self.is_of_force(row));
                answer.rerouted = other(force, row, first);
            }
            answer.redaction_changed = body.is_ok_and(|body| body.is_changed);
            answer.cost_nano_usd = self.cost(row, answer.rerouted.as_ref());
        }
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
                Ok(known) => {
                    let unknown_use = row.was_refused() || !row.has_usage && row.is_ok;
                    if needs_usage && unknown_use {
                        answer.unjudged.push((Dimension::Limits, USAGE_UNKNOWN));
                    }
                    passed += 1;
                    answer.allowed += u64::from(row.was_refused() && (known || !needs_usage));
                }
            }
        }
        passed
    }

    /// One call, in the order of the walk; whether all that decides about it was known.
    fn one(
        &mut self,
        call: &Logged<'_>,
        at: Moment,
        body: &Result<Judged, Reason>,
        routed: &Routed<'p>,
    ) -> Result<bool, Refused> {
        let (row, policy) = (call.row, self.candidate);
        let who = Who { org: call.org, own: call.whose.own.clone() };
        let counters = Counters { limiter: &self.limiter, meters: &self.meters };
        let mut held = match limits::admit(counters, &policy.limits, &who, at) {
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
        let known = !row.ended_at_head();
        if let Some(to) = to.filter(|_| known)
            && let Some(reserved) = self.reserve(call, &who, to, at)?
        {
            match &mut held {
                Some(held) => held.absorb(reserved),
                None => held = Some(reserved),
            }
        }
        if let Some(held) = held {
            self.hold(row, held, at);
        }
        Ok(known)
    }

    fn reserve(
        &self,
        call: &Logged<'_>,
        who: &Who<'_>,
        to: &To<'_>,
        at: Moment,
    ) -> Result<Option<Reservation>, Refused> {
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
        let expected = expected(call);
        let work = Work { targets: &names, model: row.model, expected };
        let (wants, models) = limits::wants_of_usage(limits, who, row.model);
        if wants.is_empty() && models.is_empty() {
            return Ok(None);
        }
        let ask = work.ask(&policy.prices, row.created_at_ms);
        match limits::reserve(&self.meters, (&wants, &models), ask, at) {
            Ok(held) => Ok(Some(held)),
            Err(Denied::Over(over)) => Err(over.into()),
            Err(Denied::Full) => Ok(None),
        }
    }

    /// Keeps a reservation until the call is over.
    fn hold(&mut self, row: &LoggedCall<'_>, held: Reservation, at: Moment) {
        if self.open.len() >= REPLAY_OPEN_MAX {
            self.settle_first();
        }
        let ends_at_ns = at.now_ns.saturating_add(row.latency_ms.saturating_mul(1_000_000));
        let used = match (row.has_usage, row.is_ok && !row.was_refused()) {
            (true, _) => {
                let tokens = row.usage.input.saturating_add(row.usage.output);
                let cost = self.cost(row, None).unwrap_or(0);
                Some((tokens, u64::try_from(cost).unwrap_or(0)))
            }
            (false, true) => None,
            (false, false) => Some((0, 0)),
        };
        self.opened += 1;
        self.open.push(Reverse(Open { ends_at_ns, number: self.opened, held, used }));
    }

    fn settle_until(&mut self, now_ns: u64) {
        while self.open.peek().is_some_and(|Reverse(open)| open.ends_at_ns <= now_ns) {
            self.settle_first();
        }
    }

    fn settle_first(&mut self) {
        if let Some(Reverse(open)) = self.open.pop() {
            open.held.settle(open.used, Nanos(open.ends_at_ns));
        }
    }

    /// A refusal under the policy: a difference where the call passed.
    fn refuse(&self, answer: &mut Answer, row: &LoggedCall<'_>, refused: Refused, calls: u64) {
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

    /// The caller of a row.
    fn identify(&self, row: &LoggedCall<'_>, org: &OrgId) -> Result<Whose, Unknown> {
        let name: Arc<str> = Arc::from(row.caller);
        let accepts = |way| self.candidate.auth.options.accept.contains(&way);
        let named = (org.clone(), Arc::clone(&name));
        if let Some(key) = self.candidate_keys.get(&named) {
            let expired = key.expires_ms.is_some_and(|expires| row.created_at_ms >= expires);
            return match accepts(Accept::Key) && !expired {
                true => Ok(Whose { own: Some(Scope::Key(name)), key: Some(Arc::clone(key)) }),
                false => Err(Unknown::Refused(Code::InvalidToken)),
            };
        }
        if self.keys.contains(&named) {
            return Err(Unknown::Refused(Code::InvalidToken));
        }
        if *org == OrgId::anonymous() {
            let whose = Whose { own: None, key: None };
            let known = accepts(Accept::Anonymous);
            return if known { Ok(whose) } else { Err(Unknown::Refused(Code::MissingToken)) };
        }
        if org.is_reserved() {
            let whose = Whose { own: None, key: None };
            let known = accepts(Accept::Passthrough);
            return if known { Ok(whose) } else { Err(Unknown::Refused(Code::InvalidToken)) };
        }
        // A token, or a key that was made at run time.
        let rules = |policy: &Policy| policy.auth.jwt.as_ref().map(|jwt| jwt.fingerprint);
        let accepted = |policy: &Policy| {
            let accept = &policy.auth.options.accept;
            (accept.contains(&Accept::Jwt), accept.contains(&Accept::Key))
        };
        if rules(self.candidate) != rules(self.force)
            || accepted(self.candidate) != accepted(self.force)
        {
            return Err(Unknown::Unjudged);
        }
        let own = (!row.caller.is_empty()).then_some(Scope::User(name));
        Ok(Whose { own, key: None })
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
    fn cost(&self, row: &LoggedCall<'_>, elsewhere: Option<&Arc<str>>) -> Option<i64> {
        if !row.has_usage {
            return None;
        }
        let provider = elsewhere.map_or(row.provider, |provider| provider);
        let response_model = if elsewhere.is_some() { "" } else { row.response_model };
        let (model, usage, at_ms) = (row.model, row.usage, row.created_at_ms);
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

/// The holder of a credential.
struct Whose {
    own: Option<Scope>,
    key: Option<Arc<GatewayKey>>,
}

/// Why a caller is not known.
enum Unknown {
    /// The policy would have refused it.
    Refused(Code),
    Unjudged,
}

/// Whether keys or users are limited one by one.
fn counts_each(limits: &OrgLimits) -> bool {
    !limits.each_key.is_empty() || !limits.each_user.is_empty()
}

/// The estimate that a call was admitted by, from the size of its request and its own bound.
fn expected(call: &Logged<'_>) -> Expected {
    let row = call.row;
    let makes = match call.endpoint {
        Some(endpoint) => endpoint.makes,
        None if row.is_ticket => Some(Makes::Text),
        None => None,
    };
    let bound = Some(row.max_tokens).filter(|bound| *bound > 0);
    let asked =
        makes.map(|makes| Asked { makes, bound, choices: 1, longest: output::longest(row.model) });
    let bytes = row.prompt_chars.max(row.request_bytes / 2);
    asked.map(|asked| asked.expected(bytes)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
