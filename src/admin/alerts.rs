//! `POST /api/alerts/test`: sends a test to a webhook.
//!
//! Guarantees: for operators alone, and never for a page of another site; the address and the secret
//! of the webhook are shown nowhere. Does not: change or show rules.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::access::Asker;
use super::body::Body;
use super::queries::Query;
use super::{Admin, Unanswered, json_answer, wrong_method};

pub(super) const TEST: &str = "/api/alerts/test";

/// Sends a test to the webhook `?name=ops`, or to the webhooks of the rule of that name: 200 if all
/// took it, else 502.
pub(super) async fn test(
    admin: &Arc<Admin>,
    request: &Request<Incoming>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    if *request.method() != Method::POST {
        return Ok(wrong_method("POST"));
    }
    asker.may_change(admin, request.headers())?;
    let query = Query::of(request.uri().query());
    let name =
        query.get("name").ok_or("give the name of a webhook or a rule: ?name=ops".to_owned())?;
    let policy = admin.gateway.policy.load_full();
    let none = || {
        let message = "there is no webhook and no rule of that name".to_owned();
        Unanswered(StatusCode::NOT_FOUND, message)
    };
    let rules = policy.alerts.as_deref().ok_or_else(none)?;
    let tested = admin.gateway.alerts.test(rules, name, &policy.egress).await.ok_or_else(none)?;
    tracing::info!(event = "alert_tested", name, by = asker.name());
    let all: Vec<Value> = tested
        .iter()
        .map(|tested| match &tested.result {
            Ok(status) => json!({"webhook": &*tested.webhook, "status": status}),
            Err(error) => json!({"webhook": &*tested.webhook, "error": error}),
        })
        .collect();
    let mut response = json_answer(&json!({"tested": all}));
    if !tested.iter().all(crate::alerts::Tested::is_delivered) {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    Ok(response)
}
