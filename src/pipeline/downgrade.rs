//! Calls over a budget that ask for a cheaper model.
//!
//! Stage 8 of the walk. Guarantees: the cheaper model's own limits hold; the caller sees the model
//! in a header, operators see it in the row; what the call spends counts against the budget that is
//! used up; its answer is not kept as that of another model. Does not: say who may be guided (see
//! `guided`).

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use super::admission::Budgets;
use super::record::Record;
use super::refusal::Refusal;
use super::walk::Walk;
use super::{RequestBody, endpoints, reserve as reserve_for};
use crate::auth::Caller;
use crate::config::policy::Targets;
use crate::route::table::Endpoint;

/// Stage 8: reserves tokens and money for a call. Over a budget it is reserved for the cheaper
/// model, whose targets are returned then.
///
/// # Errors
/// A limit refuses.
pub(super) async fn reserve<'t>(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    request: &RequestBody,
    targets: Cow<'t, Targets>,
    record: &mut Record,
) -> Result<Cow<'t, Targets>, Refusal> {
    let model = request.facts.model.as_deref().unwrap_or_default();
    let to = record
        .guided
        .cheaper
        .clone()
        .filter(|_| walk.head.method == Method::POST)
        .filter(|to| request.facts.model_at.is_some() || **to == *model);
    if record.guided.exhausted.is_none() {
        let budgets = if to.is_some() { Budgets::Guide } else { Budgets::Refuse };
        let what = (&*targets, model, budgets);
        record.guided.exhausted =
            reserve_for(walk, endpoint, caller, request, what, record).await?;
    }
    let Some(over) = record.guided.exhausted.clone() else { return Ok(targets) };
    let Some(to) = to else { return Err(walk.over(caller, over)) };
    walk.gateway
        .metrics
        .downgrades
        .with_label_values(&[over.scope.as_str(), over.which.as_str()])
        .inc();
    if *to == *model {
        let what = (&*targets, model, Budgets::Count);
        reserve_for(walk, endpoint, caller, request, what, record).await?;
        return Ok(targets);
    }
    let others = crate::route::targets(&walk.policy, Some(&*to));
    let mut others = endpoints::serving(others, endpoint, Some(&*to))?.into_owned();
    for target in &mut others.list {
        target.model.get_or_insert_with(|| Arc::clone(&to));
    }
    let what = (&others, &*to, Budgets::Count);
    reserve_for(walk, endpoint, caller, request, what, record).await?;
    record.cached.give_up();
    record.row().downgraded = Arc::clone(&to);
    record.row().limited_by = Cow::Owned(over.name());
    record.guided.to = Some(to);
    Ok(Cow::Owned(others))
}
