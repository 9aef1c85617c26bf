//! Requests by which operators change something, by `POST`: the policy read again, answers of the
//! exact cache forgotten, a test sent to webhooks.
//!
//! Guarantees: for operators alone, and never for a page of another site; each one is a line of the
//! log and a record of the audit (of a reload, the edit is the record); the address and the secret
//! of a webhook are shown nowhere; an answer of the cache that was asked for before a purge is not
//! kept after it. Does not: make or revoke keys (`keys`).

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::{Body as _, Incoming};
use serde_json::{Value, json};

use super::access::Asker;
use super::body::Body;
use super::queries::Query;
use super::{Admin, Unanswered, json_answer, unanswered, wrong_method};
use crate::audit::Event;
use crate::ids::OrgId;

const RELOAD: &str = "/api/reload";
const ALERT_TEST: &str = "/api/alerts/test";
const CACHE_PURGE: &str = "/api/cache/purge";

/// Whether a path belongs here.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(path, RELOAD | ALERT_TEST | CACHE_PURGE)
}

/// Answers a request to one of the paths.
pub(crate) async fn answer(
    admin: &Arc<Admin>,
    request: &Request<Incoming>,
    asker: &Asker,
) -> Response<Body> {
    if *request.method() != Method::POST {
        return wrong_method("POST");
    }
    if let Err(refused) = asker.may_change(admin, request.headers()) {
        return unanswered(refused);
    }
    changed(admin, request, asker).await.unwrap_or_else(unanswered)
}

/// Does what is asked for. A parameter or a body that the path does not take is refused: without it
/// the change would be a larger one than was meant.
async fn changed(
    admin: &Arc<Admin>,
    request: &Request<Incoming>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let (path, text) = (request.uri().path(), request.uri().query());
    let query = Query::of(text);
    query.only(parameters(path))?;
    if path == CACHE_PURGE && !request.body().is_end_stream() {
        let reason = "this path takes no body; `?org_id=NAME` names an organisation";
        return Err(reason.to_owned().into());
    }
    match path {
        RELOAD => reload(admin, asker).await,
        ALERT_TEST => test_alert(admin, &query, asker).await,
        _ => purge(admin, text, asker).await,
    }
}

/// The parameters of a path.
fn parameters(path: &str) -> &'static [&'static str] {
    match path {
        ALERT_TEST => &["name"],
        CACHE_PURGE => &["org_id"],
        _ => &[],
    }
}

/// Keeps a record of a change, off the runtime's threads.
pub(crate) async fn note(admin: &Admin, event: Event, asker: &Asker, subject: Value) {
    let (audit, by) = (Arc::clone(&admin.audit), asker.by());
    let noted = tokio::task::spawn_blocking(move || audit.action(event, &by, Some(subject))).await;
    // A panic there is told where it happened.
    drop(noted);
}

/// Reads the policy files now.
async fn reload(admin: &Arc<Admin>, asker: &Asker) -> Result<Response<Body>, Unanswered> {
    let watcher = Arc::clone(&admin.watcher);
    let by = asker.by();
    let read = tokio::task::spawn_blocking(move || watcher.reload_now(&by)).await;
    let failed = || "the files could not be read".to_owned();
    let read = read.map_err(|_| Unanswered(StatusCode::INTERNAL_SERVER_ERROR, failed()))?;
    let status = admin.watcher.status();
    tracing::info!(event = "reload_asked", by = asker.name(), taken = read.is_ok());
    let Err(problems) = read else {
        return Ok(json_answer(&json!({"policy_version": &*status.version})));
    };
    let problems: Vec<String> = problems.to_string().lines().map(str::to_owned).collect();
    let mut response = json_answer(&json!({
        "error": "the policy was refused; the one in force stays",
        "policy_version": &*status.version,
        "problems": problems,
    }));
    *response.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    Ok(response)
}

/// Sends a test to the webhook `?name=ops`, or to the webhooks of the rule of that name: 200 if all
/// took it, else 502.
async fn test_alert(
    admin: &Arc<Admin>,
    query: &Query,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let name =
        query.get("name").ok_or("give the name of a webhook or a rule: ?name=ops".to_owned())?;
    let policy = admin.gateway.policy.load_full();
    let none = || {
        let message = "there is no webhook and no rule of that name".to_owned();
        Unanswered(StatusCode::NOT_FOUND, message)
    };
    let rules = policy.alerts.as_deref().ok_or_else(none)?;
    let tested = admin.gateway.alerts.test(rules, name, &policy.egress).await.ok_or_else(none)?;
    let delivered = tested.iter().all(crate::alerts::Tested::is_delivered);
    tracing::info!(event = "alert_tested", name, by = asker.name());
    note(admin, Event::AlertTested, asker, json!({"name": name, "delivered": delivered})).await;
    let all: Vec<Value> = tested
        .iter()
        .map(|tested| match &tested.result {
            Ok(status) => json!({"webhook": &*tested.webhook, "status": status}),
            Err(error) => json!({"webhook": &*tested.webhook, "error": error}),
        })
        .collect();
    let mut response = json_answer(&json!({"tested": all}));
    if !delivered {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    Ok(response)
}

/// Forgets all answers of the cache, or with `?org_id=acme` those of one organisation.
async fn purge(
    admin: &Arc<Admin>,
    text: Option<&str>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let query = Query::of(text);
    // An empty name is a mistake, and must not forget the answers of all.
    let is_named = |pair: &str| pair.split('=').next() == Some("org_id");
    let names_org = text.is_some_and(|query| query.split('&').any(is_named));
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
    let of = org.as_ref().map(OrgId::as_str);
    tracing::info!(
        event = "cache_purged",
        org = of.unwrap_or_default(),
        answers = purged,
        by = asker.name()
    );
    note(admin, Event::CachePurged, asker, json!({"org": of, "answers": purged})).await;
    Ok(json_answer(&json!({"purged": purged})))
}
