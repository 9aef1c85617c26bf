//! A call in progress as the candidate policy judges it.
//!
//! Beside stages 2 to 8 of the walk, and at the end of the record. The candidate has counters of
//! its own, from which only the calls take that it admits; they are settled by the usage of the
//! real call. A call that was refused in force and that it admits takes a request and no tokens.
//!
//! Guarantees: nothing of a call depends on it; it uses no credential and opens no connection;
//! without a candidate a call looks at one flag. Does not: judge the answers of calls, or count
//! together with replicas.

mod end;

pub use end::Ended;

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method};
use tollgate_wire::estimate::Expected;

use super::body_in::{Seen, allowed};
use super::gateway::Gateway;
use crate::ailog::row::RouteKind;
use crate::auth::Caller;
use crate::code::Code;
use crate::config::policy::{Accept, Policy, Target, Targets};
use crate::config::shadow::Candidate;
use crate::judge::limits::{self, Denial, Who, Work};
use crate::judge::redaction::Redaction;
use crate::judge::shadow::Shadow;
use crate::judge::targets::{self, Named};
use crate::judge::verdict::Refused;
use crate::limit::caps::{Over, Scope};
use crate::limit::meters::{Denied, Reservation, moment};
use crate::redact::{Facts, Rules};
use crate::route;
use crate::route::balance::Load;
use crate::route::table::{self, Endpoint, Matched};

/// One call, as the candidate judges it.
pub struct Shadowed {
    candidate: Arc<Candidate>,
    shadow: Arc<Shadow>,
    /// As the candidate knows it.
    caller: Caller,
    /// The endpoint, where the candidate has another.
    endpoint: Option<Endpoint>,
    refused: Option<Refused>,
    /// Its reservation of the candidate's limits.
    held: Option<Reservation>,
    /// The redactions, and those that the candidate would have made.
    redactions: Option<(Redaction, Redaction)>,
    /// The targets of the policy in force and the candidate's first choice, where they may differ.
    target: Option<(Vec<Named>, Named)>,
    /// The budget of the candidate that is used up.
    exhausted: Option<Over>,
    /// The model that it asks for because of that.
    downgraded: Option<Arc<str>>,
    unjudged: Vec<&'static str>,
    /// Its body is looked at twice.
    is_second: bool,
    /// The call has a row of its own beside this one, which tells it.
    is_silent: bool,
}

/// The head of a call.
pub struct Head<'h> {
    pub method: &'h Method,
    pub path: &'h str,
    pub headers: &'h HeaderMap,
    pub route: RouteKind,
}

/// A call judged by its head; nothing if there is no candidate. `force`: the policy in force.
pub fn begin(
    gateway: &Gateway,
    force: &Policy,
    caller: &Caller,
    head: &Head<'_>,
) -> Option<Arc<Mutex<Shadowed>>> {
    let candidate = gateway.shadow.slot.get()?;
    let mut shadowed = Shadowed {
        candidate,
        shadow: Arc::clone(&gateway.shadow),
        caller: caller.clone(),
        endpoint: None,
        refused: None,
        held: None,
        redactions: None,
        target: None,
        exhausted: None,
        downgraded: None,
        unjudged: Vec::new(),
        is_second: false,
        is_silent: false,
    };
    shadowed.refused = shadowed.judge_head(gateway, force, head).err();
    if shadowed.refused.is_some() {
        shadowed.release();
    }
    Some(Arc::new(Mutex::new(shadowed)))
}

/// The caller, as limits know it.
pub fn who(caller: &Caller) -> Who<'_> {
    let name = || Arc::clone(&caller.name);
    let own = match caller.via {
        Accept::Key => Some(Scope::Key(name())),
        Accept::Jwt => Some(Scope::User(name())),
        Accept::Passthrough | Accept::Anonymous => None,
    };
    Who { org: &caller.org, own }
}

impl Shadowed {
    /// Stages 2 to 4, in the order of the walk.
    fn judge_head(
        &mut self,
        gateway: &Gateway,
        force: &Policy,
        head: &Head<'_>,
    ) -> Result<(), Refused> {
        let candidate = Arc::clone(&self.candidate);
        let policy = &candidate.policy;
        let is_proxy = head.route == RouteKind::Proxy;
        let mut endpoint = None;
        if is_proxy
            && (candidate.has("auth") || policy.routing.endpoints != force.routing.endpoints)
        {
            match table::find(head.method, head.path, &policy.routing.endpoints) {
                Matched::Proxy(found) => endpoint = Some(found),
                Matched::Closed => return Err(Refused::by(Code::EndpointNotAllowed)),
                Matched::WrongMethod(_) => return Err(Refused::by(Code::MethodNotAllowed)),
                Matched::Realtime => return Err(Refused::by(Code::NotSupported)),
                _ => return Err(Refused::by(Code::NotFound)),
            }
        }
        if candidate.has("auth") {
            let now_ms = gateway.clock.wall_ms();
            match gateway.auth.look_at(&policy.auth, head.headers, now_ms, !is_proxy) {
                Some(Ok(caller)) => self.caller = caller,
                Some(Err(error)) => return Err(Refused::by(error.code())),
                None => self.unjudged.push("auth"),
            }
        }
        let of_force = || match table::find(head.method, head.path, &force.routing.endpoints) {
            Matched::Proxy(found) if is_proxy => Some(found),
            _ => None,
        };
        self.admit(gateway, || endpoint.clone().or_else(of_force))?;
        if !is_proxy && !policy.features.of(&self.caller.org).ai_intent_enabled {
            return Err(Refused::by(Code::FeatureDisabled));
        }
        if let Some(endpoint) = &endpoint {
            let is_closed = endpoint.own_key_only && self.caller.upstream_key.is_none();
            let key = self.caller.key.as_ref();
            if is_closed || key.is_some_and(|key| !key.may_call(&endpoint.name)) {
                return Err(Refused::by(Code::EndpointNotAllowed));
            }
        }
        self.endpoint = endpoint;
        Ok(())
    }

    /// Stage 4. `endpoint`: that of the call, which is asked for only over a budget.
    fn admit(
        &mut self,
        gateway: &Gateway,
        endpoint: impl FnOnce() -> Option<Endpoint>,
    ) -> Result<(), Refused> {
        let candidate = Arc::clone(&self.candidate);
        let limits = &candidate.policy.limits;
        let at = moment(gateway.clock.now(), gateway.clock.wall_ms());
        let (counters, who) = (gateway.shadow.counters(), who(&self.caller));
        let mut admitted = limits::admit(counters, limits, &who, at);
        if let Err(Denial::Over(over, _)) = &admitted
            && over.which.is_money()
            && let Some(endpoint) = endpoint()
            && self.cheaper(&candidate.policy, &endpoint).is_some()
        {
            self.exhausted = Some(over.clone());
            admitted = limits::admit_guided(counters, limits, &who, at);
        }
        match admitted {
            Ok((_, held)) => self.held = held,
            Err(Denial::Over(over, _)) => return Err(over.into()),
            Err(Denial::Full) => self.unjudged.push("limits"),
        }
        Ok(())
    }

    /// The candidate's model for this caller over a budget.
    fn cheaper<'p>(&self, policy: &'p Policy, endpoint: &Endpoint) -> Option<&'p Arc<str>> {
        let (caller, limits) = (&self.caller, &policy.limits);
        let (key, own_key) = (caller.key.as_deref(), caller.upstream_key.is_some());
        limits::cheaper(limits, endpoint, &caller.org, key, own_key)
    }

    /// The candidate's rules for the caller, where they may find something else than those in
    /// force.
    pub fn other_rules(&mut self, force: &Rules) -> Option<Arc<Rules>> {
        let rules = Arc::clone(self.rules());
        if self.refused.is_some() || rules.finds_the_same(force) {
            return None;
        }
        self.is_second = self.shadow.may_look();
        if !self.is_second {
            self.unjudged.push("redaction");
        }
        self.is_second.then_some(rules)
    }

    fn rules(&self) -> &Arc<Rules> {
        self.candidate.policy.redaction.of(&self.caller.org)
    }

    /// Notes what was found in the body, under both policies.
    pub fn note_body(&mut self, seen: &Seen, force: &Rules) {
        if self.refused.is_some() {
            return;
        }
        let rules = self.rules();
        let judged = match &seen.beside {
            Some(beside) if beside.is_done || beside.error.is_some() => {
                Redaction::of_own(rules, &beside.ledger, beside.error.as_ref())
            }
            None if rules.finds_the_same(force) => Redaction::of_same(rules, &seen.ledger),
            _ => return,
        };
        self.redactions = Some((Redaction::done(&seen.ledger), judged));
    }

    /// Stages 6 to 8, once the body or its beginning is known, in the order of the walk.
    pub fn judge_body(&mut self, gateway: &Gateway, asked: &Asked<'_>) {
        if self.refused.is_some() {
            return;
        }
        self.refused = self.body(gateway, asked).err();
        if self.refused.is_some() {
            self.release();
        }
    }

    fn body(&mut self, gateway: &Gateway, asked: &Asked<'_>) -> Result<(), Refused> {
        if let Some((_, Redaction { refused: Some(code), .. })) = &self.redactions {
            return Err(Refused::by(*code));
        }
        let candidate = Arc::clone(&self.candidate);
        let model = asked.facts.model.as_deref();
        let to = match asked.to {
            To::Endpoint { endpoint, is_post } => {
                let endpoint = self.endpoint.as_ref().unwrap_or(endpoint);
                if let Some(key) = self.caller.key.as_ref().filter(|_| is_post) {
                    allowed(key, asked.facts).map_err(|refusal| Refused::by(refusal.code))?;
                    if !key.may_use(model.or(endpoint.model())) {
                        return Err(Refused::by(Code::ModelNotFound));
                    }
                }
                let targets = route::targets(&candidate.policy, model);
                if targets.list.is_empty() {
                    return Err(Refused::by(Code::ModelNotFound));
                }
                route::serving::serving(targets, endpoint, model)
                    .ok_or(Refused::by(Code::WrongEndpoint))?
            }
            To::Ticket => {
                let policy = &candidate.policy;
                let Some(provider) = policy.providers.get(policy.intent.provider) else {
                    return Err(Refused::by(Code::ProviderUnavailable));
                };
                Cow::Owned(Targets::only(Arc::clone(provider), policy.timeouts))
            }
        };
        let (model, cheaper) = match asked.to {
            To::Endpoint { endpoint, is_post } => {
                let endpoint = self.endpoint.as_ref().unwrap_or(endpoint);
                let cheaper = self.cheaper(&candidate.policy, endpoint);
                // A call that names no model asks for no other one.
                let cheaper = cheaper.filter(|_| is_post && model.is_some());
                (model, cheaper.map(|cheaper| (endpoint.clone(), cheaper)))
            }
            To::Ticket => (Some(candidate.policy.intent.question.model.as_str()), None),
        };
        if self.exhausted.is_none() {
            match self.reserve(gateway, &to, (asked, model), false) {
                Err(over) if cheaper.is_some() && over.which.is_money() => {
                    self.exhausted = Some(over);
                }
                reserved => {
                    reserved?;
                    self.choose(gateway, &to, asked, model);
                    return Ok(());
                }
            }
        }
        let over = self.exhausted.clone().map(Refused::from);
        let Some((endpoint, cheaper)) = cheaper else { return over.map_or(Ok(()), Err) };
        if Some(&**cheaper) == model {
            self.reserve(gateway, &to, (asked, model), true)?;
            self.choose(gateway, &to, asked, model);
            return Ok(());
        }
        self.downgrade(gateway, asked, &endpoint, cheaper)
    }

    /// Stage 8 over a budget: the cheaper model is asked for.
    fn downgrade(
        &mut self,
        gateway: &Gateway,
        asked: &Asked<'_>,
        endpoint: &Endpoint,
        cheaper: &Arc<str>,
    ) -> Result<(), Refused> {
        let candidate = Arc::clone(&self.candidate);
        let model = Some(&**cheaper);
        let to = route::targets(&candidate.policy, model);
        let to = route::serving::serving(to, endpoint, model)
            .filter(|to| !to.list.is_empty())
            .ok_or(Refused::by(Code::WrongEndpoint))?;
        self.reserve(gateway, &to, (asked, model), true)?;
        self.downgraded = Some(Arc::clone(cheaper));
        self.choose(gateway, &to, asked, model);
        Ok(())
    }

    /// Notes the candidate's first choice, unless its list is that in force.
    fn choose(&mut self, gateway: &Gateway, to: &Targets, asked: &Asked<'_>, model: Option<&str>) {
        if targets::are_alike(asked.targets, to) && model == asked.model && !asked.is_guided {
            return;
        }
        let caller = &self.caller;
        let is_known = matches!(caller.via, Accept::Jwt | Accept::Key);
        // Of a provider that is another under the same name nothing is known.
        let load = |target: &Target| {
            let same = asked.targets.list.iter().any(|in_force| {
                in_force.provider.name == target.provider.name
                    && in_force.provider.base_url == target.provider.base_url
            });
            let party = (caller.org.as_str(), is_known, caller.upstream_key.is_some());
            if same { gateway.upstream.load(asked.policy, &target.provider, party) } else { IDLE }
        };
        let (org, own_key) = (caller.org.as_str(), caller.upstream_key.is_some());
        let first = targets::first(to, org, own_key, gateway.shadow.draw(), load);
        let in_force = asked.targets.list.iter().map(|target| targets::named(target, asked.model));
        self.target = first.map(|first| (in_force.collect(), targets::named(first, model)));
    }

    fn reserve(
        &mut self,
        gateway: &Gateway,
        to: &Targets,
        (asked, model): (&Asked<'_>, Option<&str>),
        counts_only: bool,
    ) -> Result<(), Over> {
        let policy = &self.candidate.policy;
        let Some(more) = &policy.limits.more else { return Ok(()) };
        let limits = more.of(&self.caller.org);
        if !limits.need_estimate() {
            return Ok(());
        }
        let names: Vec<_> = to
            .list
            .iter()
            .map(|target| (&*target.provider.name, target.model.as_deref()))
            .collect();
        let model = model.unwrap_or_default();
        let work = Work { targets: &names, model, expected: asked.expected };
        let wall_ms = gateway.clock.wall_ms();
        let ask = work.ask(&policy.prices, wall_ms);
        let (wants, models) = limits::wants_of_usage(limits, &who(&self.caller), model);
        if wants.is_empty() && models.is_empty() {
            return Ok(());
        }
        let wants = if counts_only { limits::counting(&wants) } else { wants };
        let at = moment(gateway.clock.now(), wall_ms);
        match limits::reserve(&gateway.shadow.meters, (&wants, &models), ask, at) {
            Ok(held) => match &mut self.held {
                Some(all) => all.absorb(held),
                None => self.held = Some(held),
            },
            Err(Denied::Over(over)) => return Err(over),
            Err(Denied::Full) => self.unjudged.push("limits"),
        }
        Ok(())
    }

    /// It holds nothing any more: it used nothing.
    fn release(&mut self) {
        drop(self.held.take());
    }

    /// The part of it that goes on under another record.
    pub fn go_on(&mut self) -> Arc<Mutex<Shadowed>> {
        Arc::new(Mutex::new(Shadowed {
            candidate: Arc::clone(&self.candidate),
            shadow: Arc::clone(&self.shadow),
            caller: self.caller.clone(),
            endpoint: None,
            refused: self.refused.clone(),
            held: self.held.take(),
            redactions: None,
            target: self.target.take(),
            exhausted: None,
            downgraded: None,
            unjudged: Vec::new(),
            is_second: false,
            is_silent: self.refused.is_some(),
        }))
    }
}

/// A provider of which nothing is known.
const IDLE: Load = Load { open: false, calls: 0 };

/// A call whose body or its beginning is known, as the policy in force sees it.
pub struct Asked<'a> {
    pub policy: &'a Policy,
    pub facts: &'a Facts,
    pub to: To<'a>,
    /// The targets in force.
    pub targets: &'a Targets,
    /// The model asked for in force.
    pub model: Option<&'a str>,
    /// Over a budget in force it asks for another model.
    pub is_guided: bool,
    pub expected: Expected,
}

/// The purpose of a call.
#[derive(Clone, Copy)]
pub enum To<'a> {
    Endpoint { endpoint: &'a Endpoint, is_post: bool },
    Ticket,
}
