//! `/api/keys`: gateway keys that operators make, list and revoke while the gateway runs.
//!
//! Guarantees: a key is shown once, in the answer that makes it; a change is made only for an
//! operator who has signed in, or from this machine, and never for a page of another site; each
//! change is a line of the log. Does not: show or change keys of the policy.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::access::Asker;
use super::body::{self, Body, Unread};
use super::changes::note;
use super::{Admin, Unanswered, json_answer, unanswered, wrong_method};
use crate::audit::Event;
use crate::bounds::ADMIN_BODY_BYTES_MAX;
use crate::config::policy::{Accept, Policy};
use crate::keys::{KeysError, Record, Wanted};

const PATH: &str = "/api/keys";

/// Whether a path belongs here.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix(PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers a request about keys.
pub(crate) async fn answer(
    admin: &Arc<Admin>,
    request: Request<Incoming>,
    asker: &Asker,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let id = path.strip_prefix(PATH).unwrap_or_default().trim_start_matches('/');
    let answered = match (request.method(), id) {
        (&Method::GET | &Method::HEAD, "") => {
            asker.is_operator().map(|()| json_answer(&list(admin)))
        }
        (&Method::POST, "") => make(admin, request, asker).await,
        (&Method::DELETE, id) if !id.is_empty() => {
            revoke(admin, &request, asker, id.to_owned()).await
        }
        (_, "") => return wrong_method("GET, POST"),
        _ => return wrong_method("DELETE"),
    };
    answered.unwrap_or_else(unanswered)
}

/// Keys made at run time, and the names of those of the policy.
fn list(admin: &Admin) -> Value {
    let policy = admin.gateway.policy.load();
    let mut of_policy: Vec<(&str, &str)> =
        policy.auth.keys.values().map(|key| (key.options.org.as_str(), &*key.name)).collect();
    of_policy.sort_unstable();
    let of_policy = of_policy.into_iter().map(|(org, name)| json!({"org": org, "name": name}));
    json!({
        "keys": admin.gateway.auth.keys.list().iter().map(|key| key.shown()).collect::<Vec<_>>(),
        "policy_keys": of_policy.collect::<Vec<_>>(),
    })
}

async fn make(
    admin: &Arc<Admin>,
    request: Request<Incoming>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    may_change(admin, asker, request.headers())?;
    let policy = admin.gateway.policy.load_full();
    if !policy.auth.options.accept.contains(&Accept::Key) {
        let message = "the policy does not accept gateway keys; add `key` to `auth.accept`";
        return Err(Unanswered(StatusCode::CONFLICT, message.to_owned()));
    }
    let wanted = json_of(request).await?;
    let wanted: Wanted = serde_json::from_slice(&wanted).map_err(|error| {
        format!(
            "{error}; give {{\"name\": …, \"org\": …}}, and if wanted models, endpoints, expires"
        )
    })?;
    is_free(&policy, &wanted)?;
    let keys = Arc::clone(&admin.gateway.auth.keys);
    let now_ms = admin.gateway.clock.wall_ms();
    let made = tokio::task::spawn_blocking(move || keys.make(wanted, now_ms)).await;
    let (key, record) = made.map_err(|_| failed())?.map_err(refused)?;
    let (id, org, name) = (&*record.id, &*record.org, &*record.name);
    tracing::info!(event = "key_made", id, org, name, by = asker.name());
    note(admin, Event::KeyMade, asker, subject(&record)).await;
    let mut shown = record.shown();
    shown["key"] = Value::from(key);
    let mut response = json_answer(&shown);
    *response.status_mut() = StatusCode::CREATED;
    Ok(response)
}

/// The key in a record of the audit.
fn subject(record: &Record) -> Value {
    json!({"id": &*record.id, "org": &*record.org, "name": &*record.name})
}

/// Two keys of one name would share their limits and their `caller` in the log.
fn is_free(policy: &Policy, wanted: &Wanted) -> Result<(), Unanswered> {
    let is_same = |org: &str, name: &str| org == wanted.org && name == wanted.name;
    if !policy.auth.keys.values().any(|key| is_same(key.options.org.as_str(), &key.name)) {
        return Ok(());
    }
    Err(refused(KeysError::Taken { org: wanted.org.clone(), name: wanted.name.clone() }))
}

async fn revoke(
    admin: &Arc<Admin>,
    request: &Request<Incoming>,
    asker: &Asker,
    id: String,
) -> Result<Response<Body>, Unanswered> {
    may_change(admin, asker, request.headers())?;
    let keys = Arc::clone(&admin.gateway.auth.keys);
    let now_ms = admin.gateway.clock.wall_ms();
    let revoked = tokio::task::spawn_blocking(move || keys.revoke(&id, now_ms)).await;
    let record = revoked.map_err(|_| failed())?.map_err(refused)?;
    let (id, org, name) = (&*record.id, &*record.org, &*record.name);
    tracing::info!(event = "key_revoked", id, org, name, by = asker.name());
    note(admin, Event::KeyRevoked, asker, subject(&record)).await;
    Ok(json_answer(&record.shown()))
}

/// Whether keys may be changed: by an operator who has signed in, or from this machine.
fn may_change(admin: &Admin, asker: &Asker, headers: &HeaderMap) -> Result<(), Unanswered> {
    asker.may_change(admin, headers)?;
    if admin.is_local || asker.has_signed_in {
        return Ok(());
    }
    let message = "keys can be changed only while `admin_listen` is a loopback address, because \
        this side has no sign-in; set `admin.access` to tokens, or use a tunnel (ssh -L)";
    Err(Unanswered(StatusCode::FORBIDDEN, message.to_owned()))
}

/// The body of a request, as JSON.
async fn json_of(request: Request<Incoming>) -> Result<Vec<u8>, Unanswered> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let essence = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        let message = "send application/json".to_owned();
        return Err(Unanswered(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    body::read(request.into_body()).await.map_err(|unread| match unread {
        Unread::TooSlow => {
            Unanswered(StatusCode::REQUEST_TIMEOUT, "the request body came too slowly".to_owned())
        }
        Unread::TooLong => Unanswered(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request body has to end within {ADMIN_BODY_BYTES_MAX} bytes"),
        ),
    })
}

fn refused(error: KeysError) -> Unanswered {
    let status = match error {
        KeysError::Wrong(_) => StatusCode::BAD_REQUEST,
        KeysError::Taken { .. } | KeysError::Full => StatusCode::CONFLICT,
        KeysError::Unknown => StatusCode::NOT_FOUND,
        KeysError::NoRandomness | KeysError::File { .. } => StatusCode::INTERNAL_SERVER_ERROR,
    };
    Unanswered(status, error.to_string())
}

fn failed() -> Unanswered {
    Unanswered(StatusCode::INTERNAL_SERVER_ERROR, "the change failed".to_owned())
}
