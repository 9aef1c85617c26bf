//! Sign-in of operators: the principal behind a request, and its rights.
//!
//! Guarantees: nothing but health, the sign-in page and its style is answered to a stranger; a
//! right bearer is accepted whatever others have tried; the token stands nowhere but in the
//! request; a request that changes something under a cookie comes from a page of this side. Does
//! not: decide what a row shows (`Principal` says it, the endpoints obey), or speak OpenID Connect
//! (`auth/oidc`).
//!
//! # Source
//! RFC 6750 (bearer), RFC 6265bis (cookies), Fetch Metadata (W3C), read November 2026.

mod oidc;
mod sessions;
mod sign_in;
mod throttle;

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::body::Body;
use super::{Admin, Unanswered, unanswered};
use crate::audit::{By, Kind};
use crate::auth::oidc::Client;
use crate::config::policy::{Access, Principal, Role, Settings};
use crate::digest::sha256;
use sessions::Sessions;
use throttle::Throttle;

/// Sessions, failed sign-ins, and the OpenID provider.
pub(crate) struct Gate {
    sessions: Sessions,
    throttle: Throttle,
    oidc: Option<Client>,
}

impl Gate {
    /// For a side with these settings. Without random numbers there is no OpenID Connect.
    pub(crate) fn new(settings: &Settings) -> Gate {
        Gate {
            sessions: Sessions::new(settings.admin_is_https()),
            throttle: Throttle::default(),
            oidc: settings.oidc.clone().and_then(Client::new),
        }
    }
}

/// The sender of a request.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    principal: Arc<Principal>,
    /// It has shown a token, or a session that began with one.
    pub(crate) has_signed_in: bool,
}

impl Asker {
    /// Any sender, on a side without sign-in.
    fn anyone() -> Asker {
        let principal = Principal { name: "".into(), role: Role::Operator, orgs: Vec::new() };
        Asker { principal: Arc::new(principal), has_signed_in: false }
    }

    /// For the log.
    pub(crate) fn name(&self) -> &str {
        &self.principal.name
    }

    /// The role, as the configuration names it.
    pub(crate) fn role_name(&self) -> &'static str {
        sign_in::role_name(self.principal.role)
    }

    /// For the audit.
    pub(crate) fn by(&self) -> By {
        match self.has_signed_in {
            true => By::api(self.name()),
            false => By::kind(Kind::Api),
        }
    }

    /// Whether it may see the captured texts of rows.
    pub(crate) fn sees_texts(&self) -> bool {
        self.principal.role != Role::Viewer
    }

    /// The organisations that it sees; empty: all.
    pub(crate) fn orgs(&self) -> impl Iterator<Item = &str> {
        self.principal.orgs.iter().map(|org| org.as_str())
    }

    /// Whether it sees the figures of all organisations together.
    ///
    /// # Errors
    /// 403.
    pub(crate) fn sees_all(&self) -> Result<(), Unanswered> {
        if self.principal.orgs.is_empty() {
            return Ok(());
        }
        let message = "this concerns all organisations, and your token is for some of them";
        Err(Unanswered(StatusCode::FORBIDDEN, message.to_owned()))
    }

    /// Whether it has the role operator, for all organisations.
    ///
    /// # Errors
    /// 403.
    pub(crate) fn is_operator(&self) -> Result<(), Unanswered> {
        if self.principal.role == Role::Operator {
            return self.sees_all();
        }
        let message = "this needs the role operator";
        Err(Unanswered(StatusCode::FORBIDDEN, message.to_owned()))
    }

    /// Whether it may change something.
    ///
    /// # Errors
    /// 403.
    pub(crate) fn may_change(&self, admin: &Admin, headers: &HeaderMap) -> Result<(), Unanswered> {
        self.is_operator()?;
        if is_own_page(admin, headers) {
            return Ok(());
        }
        let message = "a page of another site cannot change anything here";
        Err(Unanswered(StatusCode::FORBIDDEN, message.to_owned()))
    }
}

/// Whether a request comes from no page of another site. Browsers say where a request comes from;
/// programs say nothing.
fn is_own_page(admin: &Admin, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let host = text("host").unwrap_or_default();
    // Behind a proxy, `Host` may be another name than the browser's.
    let public = admin.settings.admin_url.as_deref();
    let is_ours = |origin: &str| {
        public.is_some_and(|url| url.eq_ignore_ascii_case(origin))
            || origin
                .split_once("://")
                .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    };
    text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
        && text("origin").is_none_or(is_ours)
}

/// Paths that need no sign-in.
fn is_open(admin: &Admin, path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz" | "/dashboard.css" | sign_in::PATH)
        || path == "/metrics" && admin.settings.metrics_open
}

/// The sender of a request. An error is the answer to it: the sign-in page, or a refusal.
pub(crate) async fn asker(
    admin: &Admin,
    request: Request<Incoming>,
    address: IpAddr,
) -> Result<(Asker, Request<Incoming>), Response<Body>> {
    let Access::Tokens(tokens) = &admin.settings.access else {
        return Ok((Asker::anyone(), request));
    };
    let now = admin.gateway.clock.now();
    let path = request.uri().path();
    if path == sign_in::PATH {
        return Err(sign_in::answer(admin, tokens, request, address, now).await);
    }
    if path == sign_in::OUT_PATH {
        return Err(sign_in::out(admin, &request));
    }
    if let Some(client) = admin.gate.oidc.as_ref().filter(|_| oidc::is_path(path)) {
        return Err(oidc::answer(admin, client, &request, address, now).await);
    }
    let headers = request.headers();
    if let Some(bearer) = bearer(headers) {
        if let Some(principal) = tokens.get(&sha256(bearer.as_bytes())) {
            let asker = Asker { principal: Arc::clone(principal), has_signed_in: true };
            return Ok((asker, request));
        }
        if !is_open(admin, path) {
            return Err(refused(admin, address, now));
        }
    }
    if let Some(principal) = admin.gate.sessions.find(headers, now) {
        return Ok((Asker { principal, has_signed_in: true }, request));
    }
    if is_open(admin, path) {
        // These paths show nothing of an organisation.
        return Ok((Asker::anyone(), request));
    }
    let wants_page = matches!(*request.method(), Method::GET | Method::HEAD)
        && !path.starts_with("/api/")
        && path != "/metrics";
    Err(if wants_page { sign_in::page(admin, StatusCode::UNAUTHORIZED, "") } else { unknown() })
}

/// The text of a bearer token, if the request has one.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A wrong bearer: 401, and 429 once there were too many.
fn refused(admin: &Admin, address: IpAddr, now: crate::clock::Nanos) -> Response<Body> {
    match admin.gate.throttle.failed(address, now) {
        Ok(()) => unknown(),
        Err(wait) => throttled(wait),
    }
}

fn unknown() -> Response<Body> {
    let message = "sign in: send a token as `Authorization: Bearer`, or open this address in a \
        browser";
    let mut response = unanswered(Unanswered(StatusCode::UNAUTHORIZED, message.to_owned()));
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

fn throttled(wait_s: u64) -> Response<Body> {
    let message = "too many wrong tokens; wait a moment".to_owned();
    let mut response = unanswered(Unanswered(StatusCode::TOO_MANY_REQUESTS, message));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait_s));
    response
}
