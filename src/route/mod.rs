//! Stages 2 and 7 of the walk: which endpoint a request is for, and which providers get it.
//!
//! `table` maps method and path to an [`Endpoint`](table::Endpoint), once; everything after reads
//! that value. `balance` says in which order a call goes to the targets of a list that has weights.
//! Promises: paths match exactly or not at all, so what is authenticated, limited, logged and sent
//! is the same path. Does not: normalise, decode or rewrite a path, or look at `Host`.

pub mod balance;
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
}
