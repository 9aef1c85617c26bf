//! Where a logged call would have gone.
//!
//! Pure. Does not: know how providers are doing.

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::super::logged::Reason;
use super::super::row::LoggedCall;
use super::super::targets::{self, Named};
use crate::code::Code;
use crate::config::policy::{GatewayKey, Policy, Spread, Target, Targets};
use crate::route::balance::Load;
use crate::route::serving::serving;
use crate::route::table::{self, Endpoint, Matched};

/// The call was refused before its model was read.
pub(crate) const NO_MODEL: Reason = "no_model";

/// Where a call would have gone, or why that is not known; nothing for calls that go nowhere.
pub(crate) type Routed<'p> = Result<Option<To<'p>>, Reason>;

/// Where a call would have gone.
pub(crate) struct To<'p> {
    pub(crate) refused: Option<Code>,
    /// The targets that may be asked first.
    pub(crate) first: Option<Vec<Named>>,
    pub(crate) targets: Option<Cow<'p, Targets>>,
}

impl<'p> To<'p> {
    fn of(targets: Cow<'p, Targets>, row: &LoggedCall<'_>, model: Option<&str>) -> To<'p> {
        let named = |target| targets::named(target, model);
        let list = &targets.list;
        let first: Vec<Named> = match targets.spread {
            Spread::InOrder => list.first().map(named).into_iter().collect(),
            _ if targets.sticky => {
                let idle = |_: &Target| Load { open: false, calls: 0 };
                targets::first(&targets, row.org, false, 0.0, idle).map(named).into_iter().collect()
            }
            _ => list.iter().filter(|target| target.weight > 0).map(named).collect(),
        };
        To { refused: None, first: Some(first), targets: Some(targets) }
    }
}

/// Where the call would have gone.
///
/// # Errors
/// Why that is not known.
pub(crate) fn route<'p>(
    candidate: &'p Policy,
    row: &LoggedCall<'_>,
    endpoint: Option<&Endpoint>,
    key: Option<&GatewayKey>,
) -> Routed<'p> {
    if row.is_ticket {
        let intent = &candidate.intent;
        let provider = candidate.providers.get(intent.provider);
        let timeouts = candidate.timeouts;
        let targets = provider.map(|provider| Targets::only(Arc::clone(provider), timeouts));
        let first = provider
            .map(|provider| vec![(Arc::clone(&provider.name), intent.question.model.clone())]);
        return Ok(Some(To { refused: None, first, targets: targets.map(Cow::Owned) }));
    }
    if row.model.is_empty() && row.ended_at_head() {
        return Err(NO_MODEL);
    }
    let refuse = |code| Ok(Some(To { refused: Some(code), first: None, targets: None }));
    let model = Some(row.model).filter(|model| !model.is_empty());
    if key.is_some_and(|key| model.is_some() && !key.may_use(model)) {
        return refuse(Code::ModelNotFound);
    }
    let all = crate::route::targets(candidate, model);
    if all.list.is_empty() {
        // A list of models is the gateway's own.
        let is_list = row.endpoint.starts_with("/v1/models") && row.attempts == 0;
        return if is_list { Ok(None) } else { refuse(Code::ModelNotFound) };
    }
    match served(all, row, endpoint, model) {
        None => refuse(Code::WrongEndpoint),
        Some(to) => Ok(Some(to)),
    }
}

/// Where a call would go that asks for another model, if any provider serves it.
pub(crate) fn of_model<'p>(
    candidate: &'p Policy,
    row: &LoggedCall<'_>,
    endpoint: Option<&Endpoint>,
    model: &str,
) -> Option<To<'p>> {
    let all = crate::route::targets(candidate, Some(model));
    served(all, row, endpoint, Some(model)).filter(|_| !all.list.is_empty())
}

fn served<'p>(
    all: &'p Targets,
    row: &LoggedCall<'_>,
    endpoint: Option<&Endpoint>,
    model: Option<&str>,
) -> Option<To<'p>> {
    let targets = match endpoint {
        Some(endpoint) => serving(all, endpoint, model)?,
        None => Cow::Borrowed(all),
    };
    Some(To::of(targets, row, model))
}

/// The provider that would have been asked, if it is another than the one that was. Which of the
/// targets that share calls by weight was chosen is chance, and no difference. `force`: the policy
/// of the row, if it is known. `asked`: the model that would have been asked for.
pub(crate) fn other(
    force: Option<&Policy>,
    row: &LoggedCall<'_>,
    first: &[Named],
    asked: &str,
) -> Option<Arc<str>> {
    if row.provider.is_empty() || row.attempts == 0 {
        return None;
    }
    let is_asked = |(provider, model): &Named| {
        let is_same = match sent_as(force, row) {
            Some(sent) => sent == *model,
            None => asked == row.asked(),
        };
        is_same && **provider == *row.provider
    };
    if first.iter().any(is_asked) {
        return None;
    }
    first.first().map(|(provider, _)| Arc::clone(provider))
}

/// The model's name at the provider that was asked, where the policy of the row is known.
fn sent_as(force: Option<&Policy>, row: &LoggedCall<'_>) -> Option<String> {
    let force = force?;
    if row.is_ticket {
        return Some(force.intent.question.model.clone());
    }
    let model = Some(row.asked()).filter(|model| !model.is_empty());
    let list = &crate::route::targets(force, model).list;
    let target = list.iter().find(|target| *target.provider.name == *row.provider)?;
    Some(targets::named(target, model).1)
}

/// Whether the path is open by `routing.endpoints` alone, and not in the candidate.
pub(crate) fn is_closed(force: &Policy, candidate: &Policy, path: &str) -> bool {
    let (was, is) = (&force.routing.endpoints, &candidate.routing.endpoints);
    if was == is || path.contains("{id}") {
        return false;
    }
    let is_open = |opened: &[(Method, String)]| {
        [Method::POST, Method::GET].iter().any(|method| {
            matches!(table::find(method, path, opened), Matched::Proxy(found) if !found.own_key_only)
        })
    };
    is_open(was) && !is_open(is)
}
