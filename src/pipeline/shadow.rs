//! A call in progress as the candidate policy judges it.
//!
//! Beside stages 2 to 8 of the walk, and at the end of the record. The candidate has counters of its
//! own, from which only the calls take that it admits; they are settled by the usage of the real
//! call. A call that was refused in force and that it admits takes a request and no tokens.
//!
//! Guarantees: nothing of a call depends on it; it uses no credential and opens no connection;
//! without a candidate a call looks at one flag. Does not: judge the answers of calls, or count
//! together with replicas.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method};
use tollgate_wire::estimate::Expected;

use super::body_in::{Seen, allowed};
use super::gateway::Gateway;
use crate::ailog::row::{RouteKind, Row};
use crate::auth::Caller;
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::{Accept, Policy, Target, Targets};
use crate::config::shadow::Candidate;
use crate::cost::Call;
use crate::judge::limits::{self, Denial, Who, Work};
use crate::judge::redaction::Redaction;
use crate::judge::shadow::Shadow;
use crate::judge::targets::{self, Named};
use crate::judge::verdict::{Difference, Refused, Word, is_of_policy};
use crate::limit::caps::Scope;
use crate::limit::meters::{Denied, Reservation, moment};
use crate::redact::{Facts, Rules};
use crate::route;
use crate::route::balance::Load;
use crate::route::table::{self, Endpoint, Matched};
use crate::upstream::Trail;

/// One call, as the candidate judges it.
pub struct Shadowed {
    candidate: Arc<Candidate>,
    shadow: Arc<Shadow>,
    /// As the candidate knows it.
    caller: Caller,
    /// The endpoint, where the candidate has another.
    endpoint: Option<Endpoint>,
    refused: Option<Refused>,
    /// What it holds of the candidate's limits.
    held: Option<Reservation>,
    /// What was taken out, and what the candidate would have taken out.
    redactions: Option<(Redaction, Redaction)>,
    /// The targets of the policy in force and the candidate's first choice, where they may differ.
    target: Option<(Vec<Named>, Named)>,
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
        let at = moment(gateway.clock.now(), gateway.clock.wall_ms());
        let who = who(&self.caller);
        match limits::admit(gateway.shadow.counters(), &policy.limits, &who, at) {
            Ok((_, held)) => self.held = held,
            Err(Denial::Over(over, _)) => return Err(over.into()),
            Err(Denial::Full) => self.unjudged.push("limits"),
        }
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
        let model = match asked.to {
            To::Endpoint { .. } => model,
            To::Ticket => Some(candidate.policy.intent.question.model.as_str()),
        };
        self.choose(gateway, &to, asked, model);
        self.reserve(gateway, &to, asked, model)
    }

    /// Notes the candidate's first choice, unless its list is that in force.
    fn choose(&mut self, gateway: &Gateway, to: &Targets, asked: &Asked<'_>, model: Option<&str>) {
        if targets::are_alike(asked.targets, to) && model == asked.model {
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
        asked: &Asked<'_>,
        model: Option<&str>,
    ) -> Result<(), Refused> {
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
        let at = moment(gateway.clock.now(), wall_ms);
        match limits::reserve(&gateway.shadow.meters, (&wants, &models), ask, at) {
            Ok(held) => match &mut self.held {
                Some(all) => all.absorb(held),
                None => self.held = Some(held),
            },
            Err(Denied::Over(over)) => return Err(over.into()),
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
            unjudged: Vec::new(),
            is_second: false,
            is_silent: self.refused.is_some(),
        }))
    }

    /// The call is over: settles what it holds, and says what differs; nothing if another row tells
    /// it, or no policy decided about the call. `used`: as the limits in
    /// force are settled, tokens and money.
    pub fn end(&mut self, ended: &Ended<'_>, used: Option<(u64, u64)>) -> Option<(Word, String)> {
        let row = ended.row;
        self.shadow.read(row.request_bytes.max(u64::from(row.prompt_chars)), self.is_second);
        if row.error_code == Some(Code::Overloaded) && ended.is_at_head {
            // No policy decided about it.
            self.held.take().into_iter().for_each(Reservation::undo);
            return None;
        }
        let in_force = row.error_code.filter(|code| is_of_policy(*code, &row.limited_by));
        if let Some(held) = self.held.take() {
            let used = if in_force.is_some() { Some((0, 0)) } else { used };
            let cost = |used| if used == (0, 0) { 0 } else { self.cost(row) };
            held.settle(used.map(|used| (used.0, cost(used))), ended.now);
        }
        if self.is_silent {
            return None;
        }
        let difference = self.difference(ended, in_force);
        Some((difference.word(), difference.to_json(&self.candidate.policy.version)))
    }

    fn difference(&mut self, ended: &Ended<'_>, in_force: Option<Code>) -> Difference {
        let unjudged = std::mem::take(&mut self.unjudged);
        let judged = Difference { unjudged, ..Difference::default() };
        let by_body = self.redactions.as_ref().and_then(|(_, judged)| judged.refused);
        let refused = self.refused.take().or(by_body.map(Refused::by));
        match (refused, in_force) {
            (Some(refused), None) => return Difference { refused: Some(refused), ..judged },
            (Some(_), Some(_)) => return judged,
            (None, Some(code)) => {
                // The body was not read to its end.
                let is_same = match code {
                    Code::AttachmentsNotAllowed => self.rules().rejects_attachments(),
                    _ => false,
                };
                return Difference { allowed: !is_same, ..judged };
            }
            (None, None) => {}
        }
        let redacted = self.redactions.take().filter(|(done, judged)| done.counts != judged.counts);
        let redacted = redacted.map(|(_, judged)| judged.counts);
        let first = ended.trail.first();
        let target = self.target.take().and_then(|(in_force, candidate)| {
            let first = first?;
            let sent = in_force.into_iter().find(|(provider, _)| *provider == first);
            (sent.as_ref() != Some(&candidate)).then_some(candidate)
        });
        Difference { redacted, target, ..judged }
    }

    /// The cost of the call, by the candidate's prices at its target.
    fn cost(&self, row: &Row) -> u64 {
        let prices = &self.candidate.policy.prices;
        let (usage, at_ms) = (row.usage, row.created_at_ms);
        let elsewhere = self.target.as_ref().map(|(_, target)| target);
        let elsewhere = elsewhere.filter(|(provider, _)| *provider != row.provider);
        let model = &row.model;
        let cost = match elsewhere {
            None => {
                let (provider, response_model) = (&row.provider, row.response_model.as_str());
                prices.of_call(&Call { provider, response_model, model, usage, at_ms })
            }
            Some((provider, named)) => {
                prices.of_call(&Call { provider, response_model: named, model, usage, at_ms })
            }
        };
        cost.map_or(0, |cost| u64::try_from(cost.total).unwrap_or(0))
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
    pub expected: Expected,
}

/// What a call is for.
#[derive(Clone, Copy)]
pub enum To<'a> {
    Endpoint { endpoint: &'a Endpoint, is_post: bool },
    Ticket,
}

/// A call that is over.
pub struct Ended<'a> {
    pub row: &'a Row,
    pub trail: &'a Trail,
    pub now: Nanos,
    /// It was refused before any work.
    pub is_at_head: bool,
}
