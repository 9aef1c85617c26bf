//! `POST /api/cache/purge`: forgets the answers of the exact cache.
//!
//! Guarantees: for operators alone, and never for a page of another site; an answer that was asked
//! for before is not kept after it. Does not: show what is kept.

use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::json;

use super::access::Asker;
use super::body::Body;
use super::queries::Query;
use super::{Admin, Unanswered, json_answer, wrong_method};
use crate::ids::OrgId;

pub(super) const PURGE: &str = "/api/cache/purge";

/// Forgets all answers, or with `?org_id=acme` those of one organisation.
pub(super) fn purge(
    admin: &Admin,
    request: &Request<Incoming>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    if *request.method() != Method::POST {
        return Ok(wrong_method("POST"));
    }
    asker.may_change(admin, request.headers())?;
    let query = Query::of(request.uri().query());
    // An empty name is a mistake, and must not forget the answers of all.
    let is_named = |pair: &str| pair.split('=').next() == Some("org_id");
    let names_org = request.uri().query().is_some_and(|query| query.split('&').any(is_named));
    let org = match query.get("org_id") {
        None if names_org => {
            return Err("`org_id` is empty; leave it out to forget all answers".to_owned().into());
        }
        None => None,
        Some(name) => {
            Some(OrgId::new(name).ok_or("`org_id` is no name of an organisation".to_owned())?)
        }
    };
    let purged = admin.gateway.cache.purge(org.as_ref());
    let of = org.as_ref().map_or("", OrgId::as_str);
    tracing::info!(event = "cache_purged", org = of, answers = purged, by = asker.name());
    Ok(json_answer(&json!({"purged": purged})))
}
