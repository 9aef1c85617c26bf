//! Stages 2 and 7 of the walk: which endpoint a request is for, and which providers get it.
//!
//! `table` maps method and path to an [`Endpoint`](table::Endpoint), once; everything after reads
//! that value. `serving` says which targets take the calls of an endpoint, `balance` in which order
//! a call goes to the targets of a list that has weights.
//! Promises: paths match exactly or not at all, so what is authenticated, limited, logged and sent
//! is the same path. Does not: normalise, decode or rewrite a path, or look at `Host`.

pub mod balance;
pub mod serving;
pub mod table;

use crate::config::policy::{Policy, Targets};

/// Where calls for a model may go; an empty list where routing knows nothing.
pub fn targets<'p>(policy: &'p Policy, model: Option<&str>) -> &'p Targets {
    let rule = model
        .and_then(|model| policy.routing.models.iter().find(|rule| rule.pattern.matches(model)));
    rule.map_or(&policy.routing.default, |rule| &rule.to)
}

/// Whether no target can be chosen, or no body sent, without knowing the model.
pub fn needs_model(policy: &Policy) -> bool {
    !policy.routing.models.is_empty()
        || policy.routing.default.list.is_empty()
        || policy.routing.renames
        || policy.routing.model_in_path
}

/// Whether a call for `model` may go to this provider under that name.
pub fn offers(policy: &Policy, provider: &str, model: &str) -> bool {
    targets(policy, Some(model)).list.iter().any(|target| {
        *target.provider.name == *provider && target.model.as_deref().is_none_or(|own| own == model)
    })
}

/// The models that routing names, each with the name of a provider: those of rules without `*`, and
/// the names that targets have for models, where they can be asked for by these.
pub fn named(policy: &Policy) -> impl Iterator<Item = (&str, &str)> {
    let rules = policy.routing.models.iter().filter_map(|rule| {
        let name = rule.pattern.as_str();
        let target = targets(policy, Some(name)).list.first()?;
        (!name.contains('*')).then_some((name, &*target.provider.name))
    });
    let lists = policy.routing.models.iter().map(|rule| &rule.to).chain([&policy.routing.default]);
    let own = lists.flat_map(|targets| &targets.list).filter_map(|target| {
        let (name, provider) = (target.model.as_deref()?, &*target.provider.name);
        offers(policy, provider, name).then_some((name, provider))
    });
    rules.chain(own)
}
