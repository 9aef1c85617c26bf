//! The two pages of a sign-in by OpenID Connect: the way to the issuer, and the way back.
//!
//! Guarantees: the session's cookie is set by a page and not by a redirect, because a browser sends
//! no `SameSite=Strict` cookie after a redirect from another site; the flow's cookie is `Lax`,
//! lasts ten minutes and reaches these two pages alone; reasons of a refusal are in the log, not on
//! the page. Does not: verify anything (`auth/oidc` does).

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::super::body::Body;
use super::super::{Admin, wrong_method};
use super::sessions::cookie_value;
use super::{sign_in, throttled};
use crate::auth::oidc::{Client, OidcError};
use crate::clock::{Nanos, wall_ms};
use crate::config::policy::Principal;

/// Leads to the issuer.
pub(crate) const PATH: &str = "/sign-in/oidc";
/// The issuer leads back here; part of the redirect URI that is registered there.
const BACK_PATH: &str = "/sign-in/callback";
const COOKIE: &str = "tollgate_flow";
/// A browser shows this for a moment after it has come back.
const SIGNED_IN: &str = "<p>You are signed in. <a href=\"/\">Open the dashboard</a></p>";
const LEADS_ON: &str = "<meta http-equiv=\"refresh\" content=\"0;url=/\">";

/// Whether a path is one of the two.
pub(crate) fn is_path(path: &str) -> bool {
    matches!(path, PATH | BACK_PATH)
}

/// Answers a request to one of them.
pub(crate) async fn answer(
    admin: &Admin,
    client: &Client,
    request: &Request<Incoming>,
    address: IpAddr,
    now: Nanos,
) -> Response<Body> {
    if !matches!(*request.method(), Method::GET) {
        return wrong_method("GET");
    }
    if let Some(wait) = admin.gate.throttle.wait(address, now) {
        return throttled(wait);
    }
    if request.uri().path() == PATH {
        return there(admin, client, request.headers()).await;
    }
    let cookie = cookie_value(request.headers(), COOKIE);
    let query = request.uri().query().unwrap_or_default();
    match client.finish(query, cookie, wall_ms()).await {
        Ok(person) => {
            let name = Arc::from(person.name);
            let principal = Arc::new(Principal { name, role: person.role, orgs: person.orgs });
            signed_in(admin, &principal, address, now).await
        }
        Err(error) => refused(admin, &error, address, now),
    }
}

/// The way to the issuer.
async fn there(admin: &Admin, client: &Client, headers: &HeaderMap) -> Response<Body> {
    let Some(origin) = origin(admin, headers) else {
        return sign_in::page(admin, StatusCode::BAD_REQUEST, "This address is not known here.");
    };
    let begun = match client.begin(&format!("{origin}{BACK_PATH}"), wall_ms()).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(event = "oidc_away", reason = %error, "the issuer cannot be asked");
            return sign_in::page(admin, StatusCode::SERVICE_UNAVAILABLE, AWAY);
        }
    };
    let cookie = flow_cookie(admin, &begun.cookie, 600);
    let place = HeaderValue::try_from(begun.location);
    let (Some(cookie), Ok(place)) = (cookie, place) else {
        return sign_in::page(admin, StatusCode::SERVICE_UNAVAILABLE, AWAY);
    };
    let mut response = Response::new(Body::full(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    response.headers_mut().insert(header::LOCATION, place);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

const AWAY: &str = "The sign-in service cannot be reached. Try again, or use a token.";

/// Scheme and host by which the browser reaches this side. Without `public_url` the host is one of
/// this machine, and `Host` has been checked.
fn origin(admin: &Admin, headers: &HeaderMap) -> Option<String> {
    if let Some(url) = &admin.settings.admin_url {
        return Some(url.to_string());
    }
    let host = headers.get(header::HOST)?.to_str().ok()?;
    Some(format!("{}://{host}", admin.settings.admin_scheme()))
}

fn flow_cookie(admin: &Admin, value: &str, max_age_s: u32) -> Option<HeaderValue> {
    let secure = if admin.settings.admin_is_https() { "; Secure" } else { "" };
    let text = format!(
        "{COOKIE}={value}; HttpOnly; SameSite=Lax; Path=/sign-in; Max-Age={max_age_s}{secure}"
    );
    HeaderValue::try_from(text).ok()
}

/// A session has begun: a page that leads on.
async fn signed_in(
    admin: &Admin,
    principal: &Arc<Principal>,
    address: IpAddr,
    now: Nanos,
) -> Response<Body> {
    let Some(cookie) = admin.gate.sessions.begin(principal, now) else {
        return sign_in::page(admin, StatusCode::SERVICE_UNAVAILABLE, sign_in::NO_RANDOMNESS);
    };
    sign_in::told(admin, principal, address, "oidc").await;
    let mut response = sign_in::framed(LEADS_ON, SIGNED_IN);
    let headers = response.headers_mut();
    headers.append(header::SET_COOKIE, cookie);
    if let Some(over) = flow_cookie(admin, "", 0) {
        headers.append(header::SET_COOKIE, over);
    }
    response
}

fn refused(admin: &Admin, error: &OidcError, address: IpAddr, now: Nanos) -> Response<Body> {
    let (status, message) = match error {
        OidcError::Away(_) => (StatusCode::SERVICE_UNAVAILABLE, AWAY),
        OidcError::Flow(_) => {
            (StatusCode::BAD_REQUEST, "This sign-in is over. Please begin again.")
        }
        OidcError::Refused(_) => {
            (StatusCode::UNAUTHORIZED, "The sign-in was refused. The gateway's log has the reason.")
        }
        OidcError::NoRole => {
            let message = "You are signed in at the issuer, but have no role here. Ask the people \
                who run this gateway.";
            (StatusCode::FORBIDDEN, message)
        }
    };
    tracing::warn!(event = "sign_in_refused", way = "oidc", %address, reason = %error, "no sign-in");
    if matches!(error, OidcError::Flow(_) | OidcError::Refused(_))
        && let Err(wait) = admin.gate.throttle.failed(address, now)
    {
        return throttled(wait);
    }
    sign_in::page(admin, status, message)
}
