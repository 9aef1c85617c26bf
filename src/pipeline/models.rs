//! `GET /v1/models` and `GET /v1/models/{id}` under the gateway's own keys: the models that the
//! caller may use, over all providers.
//!
//! Stages 6 to 12 of the walk, for a call that no single provider can answer. Guarantees: a model
//! is listed if a call for it would be routed to a provider that has it, and if the caller's key
//! may use it; a provider that is slow or fails hides no other one, and is named in a header. Does
//! not: answer callers with a provider key of their own (their call is forwarded).

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future::join_all;
use http::{HeaderValue, Response, StatusCode, header};
use tollgate_wire::models::{self, Model, Paging};

use super::answer_out::body::Body;
use super::headers::MODELS_MISSING;
use super::query::percent_decoded;
use super::readers::Entry;
use super::record::Record;
use super::refusal::Refusal;
use super::upload::Upload;
use super::walk::Walk;
use super::{ATTEMPTS, REDACTIONS, no_answer_refusal, set};
use crate::ailog::Pending;
use crate::ailog::row::Outcome;
use crate::auth::Caller;
use crate::bounds::{MODEL_LIST_WAIT_MAX, MODEL_LISTS_MAX};
use crate::code::Code;
use crate::config::policy::{Policy, Provider};
use crate::route;
use crate::route::table::Endpoint;
use crate::upstream::NoAnswer;
use crate::upstream::catalog::Listing;

/// Whether the gateway answers the call itself.
pub fn answers(endpoint: &Endpoint, caller: &Caller) -> bool {
    let is_list = matches!(&*endpoint.name, "/v1/models" | "/v1/models/{id}");
    is_list && !endpoint.own_key_only && caller.upstream_key.is_none()
}

/// Answers the call. The answer may be sent when its row is in the log: when the second value is
/// ready.
///
/// # Errors
/// The request is refused, there is no such model, or no provider has given a list.
pub async fn answer(
    walk: &Walk<'_>,
    endpoint: &Endpoint,
    caller: &Caller,
    upload: &Upload,
    entry: Entry,
    record: &mut Record,
) -> Result<(Response<Body>, Option<Pending>), Refusal> {
    let rules = walk.policy.redaction.of(&caller.org);
    walk.redacted_target(endpoint, caller, rules, record)?;
    if !upload.is_end_stream() {
        let message = "this endpoint takes no request body";
        return Err(Refusal::new(Code::InvalidRequest, message).closing());
    }
    let _place = walk.place()?;
    drop(entry);
    let (models, missing) = list(walk, caller).await;
    let models: Vec<&Model> = models.iter().collect();
    let asked = endpoint.ids().next();
    let body = match asked {
        Some(id) => models.iter().find(|model| &*model.id == id).map(|model| one(walk, model)),
        None if models.is_empty() && !missing.is_empty() => None,
        None => Some(page(walk, &models)?),
    };
    let Some(body) = body else { return Err(not_found(asked, !missing.is_empty())) };
    let mut response = Response::new(Body::full(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ATTEMPTS, HeaderValue::from_static("0"));
    if !missing.is_empty() {
        set(headers, MODELS_MISSING, &missing.join(", "));
    }
    let redactions = record.redactions();
    if !redactions.is_empty() {
        set(headers, REDACTIONS, &redactions);
    }
    let pending = record.close_soon(StatusCode::OK.as_u16(), Outcome::Ok, None);
    Ok((response, pending))
}

fn not_found(asked: Option<&str>, is_incomplete: bool) -> Refusal {
    match asked {
        Some(_) if !is_incomplete => {
            let message = "there is no such model, or it cannot be used here; GET /v1/models lists \
                           those that can";
            Refusal::new(Code::ModelNotFound, message).about("model")
        }
        _ => no_answer_refusal(&NoAnswer::Unavailable { retry_after: None }),
    }
}

/// The models that the caller may use, and the providers that gave no list.
async fn list(walk: &Walk<'_>, caller: &Caller) -> (Vec<Model>, Vec<String>) {
    let policy = &walk.policy;
    let may_use = |id: &str| caller.key.as_ref().is_none_or(|key| key.may_use(Some(id)));
    let providers = listing(policy);
    let lists = join_all(providers.iter().map(|provider| async move {
        let gateway = walk.gateway;
        let ask = |listing: Arc<Listing>| {
            let gateway = Arc::clone(gateway);
            let asking = async move { gateway.upstream.ask_for_list(&listing).await };
            drop(walk.gateway.tasks.spawn(asking));
        };
        gateway.upstream.listed(provider, MODEL_LIST_WAIT_MAX, ask).await
    }))
    .await;
    let (mut found, mut known, mut missing) = (Vec::new(), HashSet::new(), Vec::new());
    for (provider, listed) in providers.iter().zip(lists) {
        if listed.is_missing {
            missing.push(provider.name.to_string());
        }
        for model in listed.models.iter().flat_map(|models| models.iter()) {
            let is_offered = may_use(&model.id) && route::offers(policy, &provider.name, &model.id);
            if is_offered && known.insert(model.id.clone()) {
                let owned_by = Some(&model.owned_by).filter(|owner| !owner.is_empty());
                let owned_by = owned_by.map_or_else(|| (&*provider.name).into(), Clone::clone);
                found.push(Model { owned_by, ..model.clone() });
            }
        }
        // The lists of many providers are long work.
        tokio::task::yield_now().await;
    }
    for (name, provider) in route::named(policy) {
        if may_use(name) && known.insert(name.into()) {
            found.push(Model::named(name, provider));
        }
    }
    (found, missing)
}

/// The providers that routing uses and that have a list, in the order of the policy.
fn listing(policy: &Policy) -> Vec<&Arc<Provider>> {
    let lists = policy.routing.models.iter().map(|rule| &rule.to).chain([&policy.routing.default]);
    let used: HashSet<&str> =
        lists.flat_map(|targets| &targets.list).map(|target| &*target.provider.name).collect();
    let providers = policy.providers.iter();
    let listing =
        providers.filter(|provider| used.contains(&*provider.name) && provider.has_list());
    listing.take(MODEL_LISTS_MAX).collect()
}

/// Whether the caller speaks Anthropic's API.
fn is_anthropic(walk: &Walk<'_>) -> bool {
    walk.head.headers.contains_key("anthropic-version")
}

fn one(walk: &Walk<'_>, model: &Model) -> Vec<u8> {
    if is_anthropic(walk) {
        models::write_anthropic_one(model)
    } else {
        models::write_openai_one(model)
    }
}

fn page(walk: &Walk<'_>, list: &[&Model]) -> Result<Vec<u8>, Refusal> {
    if !is_anthropic(walk) {
        return Ok(models::write_openai(list));
    }
    let query = walk.head.uri.query().unwrap_or_default();
    let value = |name: &str| {
        let mut parameters = query.rsplit('&').filter_map(|parameter| parameter.split_once('='));
        let value = parameters.find(|(known, _)| *known == name).map(|(_, value)| value);
        value.and_then(percent_decoded).filter(|value| !value.is_empty())
    };
    let (limit, after, before) = (value("limit"), value("after_id"), value("before_id"));
    let refused = |param: &'static str, message: &'static str| {
        Refusal::new(Code::InvalidRequest, message).about(param)
    };
    let limit = limit.map(|limit| {
        let number = limit.parse().ok().filter(|limit| (1..=1_000).contains(limit));
        number.ok_or_else(|| refused("limit", "`limit` is not a number from 1 to 1000"))
    });
    let paging =
        Paging { limit: limit.transpose()?, after: after.as_deref(), before: before.as_deref() };
    if paging.after.is_some() && paging.before.is_some() {
        return Err(refused("before_id", "give `after_id` or `before_id`, not both"));
    }
    let param = if paging.after.is_some() { "after_id" } else { "before_id" };
    models::write_anthropic(list, &paging).ok_or_else(|| {
        let message = "the list has no model of this id";
        Refusal::new(Code::ModelNotFound, message).about(param)
    })
}
