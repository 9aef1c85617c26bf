//! Tokens and money of a call, estimated and reserved before it is sent.
//!
//! Stage 8 of the walk, and stages 6 to 8 under the candidate policy. Does not: hold the limits (see
//! `limit`), or settle them (see `record`).

use http::{Method, header};
use tollgate_wire::estimate::{self, Asked, Makes};

use super::RequestBody;
use super::admission::{Budgets, Work};
use super::body_in::Reserved;
use super::record::Record;
use super::refusal::Refusal;
use super::shadow;
use super::walk::Walk;
use crate::auth::Caller;
use crate::config::policy::Targets;
use crate::cost::output;
use crate::limit::caps::Over;
use crate::lock::lock;
use crate::redact;
use crate::route::table::Endpoint;
use crate::upstream::replay::Outgoing;

/// Stages 6 to 8 under the candidate policy, if there is one.
pub(super) fn judge_by_candidate(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    request: &RequestBody,
    record: &Record,
) {
    let Some(shadow) = record.shadow() else { return };
    if matches!(request.body, Outgoing::Whole(_)) {
        record.note_body();
    }
    let is_post = walk.head.method == Method::POST;
    let makes = endpoint.makes.filter(|_| is_post);
    let model = request.facts.model.as_deref();
    let asked = makes.map(|makes| asked(makes, &request.facts, model.unwrap_or_default()));
    let expected =
        asked.map(|asked| asked.expected(text_bytes(walk, request, record))).unwrap_or_default();
    let asked = shadow::Asked {
        policy: &walk.policy,
        facts: &request.facts,
        to: shadow::To::Endpoint { endpoint, is_post },
        targets: crate::route::targets(&walk.policy, model),
        model,
        is_guided: record.guided.cheaper.is_some(),
        expected,
    };
    lock(shadow).judge_body(walk.gateway, &asked);
}

/// Stage 8: reserves tokens and money for the call, now that they can be estimated, at these
/// targets for this model. Returns the budget that is used up, where it guides.
pub(super) async fn reserve(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    request: &RequestBody,
    (targets, model, budgets): (&Targets, &str, Budgets),
    record: &mut Record,
) -> Result<Option<Over>, Refusal> {
    let makes = endpoint.makes.filter(|_| walk.head.method == Method::POST);
    record.bills(makes);
    let limits = walk
        .policy
        .limits
        .more
        .as_ref()
        .map(|more| more.of(&caller.org))
        .filter(|of| of.need_estimate());
    let Some(limits) = limits else { return Ok(None) };
    let RequestBody { body, facts, .. } = request;
    let asked = makes.map(|makes| asked(makes, facts, model));
    let expected =
        asked.map(|asked| asked.expected(text_bytes(walk, request, record))).unwrap_or_default();
    if let (Some(Asked { makes, longest, .. }), Outgoing::Streaming(_)) = (asked, body)
        && limits.has_budget()
    {
        // The bounds in a body are final only at its end.
        record.reserved(Reserved { makes, longest, most: expected.most });
    }
    let names: Vec<_> = targets
        .list
        .iter()
        .map(|target| (&*target.provider.name, target.model.as_deref()))
        .collect();
    walk.reserve(caller, Work { targets: &names, model, expected }, budgets, record).await
}

/// The bounds that a body sets to its answer, as far as they are known.
pub(super) fn asked(makes: Makes, facts: &redact::Facts, model: &str) -> Asked {
    let longest = output::longest(model);
    Asked { makes, bound: facts.output_tokens_max, choices: facts.choices, longest }
}

/// Bytes of text in a request, at most, about.
pub(super) fn text_bytes(walk: &Walk<'_>, request: &RequestBody, record: &Record) -> u64 {
    match &request.body {
        // Files are no text.
        _ if request.form_type.is_some() => record.text_bytes(),
        // Names and numbers in it are read, too.
        Outgoing::Whole(body) => record.text_bytes().max(body.as_bytes().len() as u64 / 2),
        Outgoing::Streaming(_) => {
            let headers = &walk.head.headers;
            let is_plain = !headers.contains_key(header::CONTENT_ENCODING);
            let length = headers.get(header::CONTENT_LENGTH).filter(|_| is_plain);
            let declared = length.and_then(|length| length.to_str().ok()?.parse().ok());
            declared.unwrap_or(u64::MAX).min(estimate::UNKNOWN_BYTES)
        }
    }
}
