//! Which of the targets of a model take the calls of an endpoint.
//!
//! Stage 7 of the walk. Pure. A target takes a call as it is, or translated (see `crates/wire`).
//! Does not: translate, or say how a call is refused.

use std::borrow::Cow;

use tollgate_wire::translate::Operation;

use super::table::Endpoint;
use crate::config::policy::{Target, Targets};

/// The operation that a call of this endpoint asks for; none if it is something that translated
/// calls do not have, such as a compaction, whose answer has a form of its own.
pub fn operation(endpoint: &Endpoint) -> Option<Operation> {
    match endpoint.makes {
        None => Some(Operation::CountTokens),
        Some(_) => (endpoint.answer == endpoint.format).then_some(Operation::Generate),
    }
}

/// Whether the target takes calls of this endpoint for a model, as they are or translated.
pub fn serves(target: &Target, endpoint: &Endpoint, model: Option<&str>) -> bool {
    let model = target.model.as_deref().or(model).unwrap_or_default();
    target.provider.serves(endpoint.format, operation(endpoint), model)
}

/// Those of the targets that take the endpoint's calls, as they are or translated. A target of
/// another format that has no name of its own for the model comes after those that take the call as
/// it is: the name in the call is probably theirs. `None` if there are targets, and none of them
/// does.
pub fn serving<'t>(
    targets: &'t Targets,
    endpoint: &Endpoint,
    model: Option<&str>,
) -> Option<Cow<'t, Targets>> {
    let list = &targets.list;
    let speaks = |target: &Target| target.provider.speaks(endpoint.format);
    let speaking = list.iter().filter(|target| speaks(target)).count();
    if speaking == list.len() {
        return Some(Cow::Borrowed(targets));
    }
    let mut some = targets.clone();
    some.list.retain(|target| serves(target, endpoint, model));
    if some.list.is_empty() {
        return None;
    }
    if speaking > 0 {
        let is_reserve = |target: &Target| !speaks(target) && target.model.is_none();
        some.list.iter_mut().filter(|target| is_reserve(target)).for_each(|t| t.weight = 0);
        some.list.sort_by_key(is_reserve);
    }
    Some(Cow::Owned(some))
}
