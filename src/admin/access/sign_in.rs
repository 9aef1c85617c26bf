//! The sign-in page: a form that takes a token and begins a session.
//!
//! Guarantees: the page reflects nothing of the request; the form is taken only from this page or
//! from a program; after too many wrong tokens of an address it waits. Does not: lead back to
//! another page than the dashboard.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use super::super::body::{self, Body};
use super::super::{Admin, typed, wrong_method};
use super::{is_own_page, throttled};
use crate::audit::{By, Event};
use crate::clock::Nanos;
use crate::config::policy::{Access, Principal, Role};
use crate::digest::sha256;
use crate::pipeline::query::percent_decoded;

pub(crate) const PATH: &str = "/sign-in";
pub(crate) const OUT_PATH: &str = "/sign-out";

/// The frame of the pages of a sign-in.
const FRAME: &str = include_str!("../assets/sign_in.html");
/// The ways of signing in.
const FORM: &str = include_str!("../assets/sign_in_form.html");

/// The message where no session can begin.
pub(crate) const NO_RANDOMNESS: &str = "The system gives no random numbers.";
const OIDC: &str =
    "<p><a class=\"button\" href=\"/sign-in/oidc\">Sign in with your account</a></p>";

/// The page, with a message, and the ways of signing in that there are.
pub(crate) fn page(admin: &Admin, status: StatusCode, message: &'static str) -> Response<Body> {
    let mut html = FORM.replace("<!--message-->", message);
    if admin.gate.oidc.is_some() {
        html = html.replace("<!--oidc-->", OIDC);
    }
    let has_tokens = matches!(&admin.settings.access, Access::Tokens(tokens) if !tokens.is_empty());
    if !has_tokens
        && let Some((before, rest)) = html.split_once("<!--tokens-->")
        && let Some((_, after)) = rest.split_once("<!--/tokens-->")
    {
        html = format!("{before}{after}");
    }
    let mut response = framed("", &html);
    *response.status_mut() = status;
    response
}

/// A page of a sign-in: this in its head, and this as its content.
pub(crate) fn framed(head: &str, content: &str) -> Response<Body> {
    let html = FRAME.replace("<!--head-->\n", head).replace("<!--content-->\n", content);
    typed("text/html; charset=utf-8", Body::full(html))
}

/// Answers a request to the page.
pub(crate) async fn answer(
    admin: &Admin,
    tokens: &HashMap<[u8; 32], Arc<Principal>>,
    request: Request<Incoming>,
    address: IpAddr,
    now: Nanos,
) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => return page(admin, StatusCode::OK, ""),
        Method::POST => {}
        _ => return wrong_method("GET, POST"),
    }
    if !is_own_page(admin, request.headers()) {
        return page(admin, StatusCode::FORBIDDEN, "Open this page itself to sign in.");
    }
    if let Some(wait) = admin.gate.throttle.wait(address, now) {
        return throttled(wait);
    }
    let Some(token) = token(request).await else {
        return page(
            admin,
            StatusCode::BAD_REQUEST,
            "The form could not be read. Please try again.",
        );
    };
    let Some(principal) = tokens.get(&sha256(token.as_bytes())) else {
        return match admin.gate.throttle.failed(address, now) {
            Ok(()) => page(admin, StatusCode::UNAUTHORIZED, "This token is not known."),
            Err(wait) => throttled(wait),
        };
    };
    let Some(cookie) = admin.gate.sessions.begin(principal, now) else {
        return page(admin, StatusCode::SERVICE_UNAVAILABLE, NO_RANDOMNESS);
    };
    told(admin, principal, address, "token").await;
    to("/", Some(cookie))
}

/// Writes a sign-in into the log and the audit.
pub(crate) async fn told(admin: &Admin, principal: &Principal, address: IpAddr, way: &'static str) {
    let (name, role) = (&*principal.name, role_name(principal.role));
    tracing::info!(event = "sign_in", name, role, way, %address);
    let (audit, by) = (Arc::clone(&admin.audit), By::api(name));
    drop(tokio::task::spawn_blocking(move || audit.action(Event::SignedIn, &by, None)).await);
}

pub(crate) fn role_name(role: Role) -> &'static str {
    Role::WORDS.iter().find(|(_, known)| *known == role).map_or("", |(name, _)| name)
}

/// Ends a session.
pub(crate) fn out(admin: &Admin, request: &Request<Incoming>) -> Response<Body> {
    if *request.method() != Method::POST {
        return wrong_method("POST");
    }
    if !is_own_page(admin, request.headers()) {
        return page(admin, StatusCode::FORBIDDEN, "Open the dashboard itself to sign out.");
    }
    to(PATH, admin.gate.sessions.end(request.headers()))
}

/// The field `token` of a form.
async fn token(request: Request<Incoming>) -> Option<String> {
    let body = body::read(request.into_body()).await.ok()?;
    let text = std::str::from_utf8(&body).ok()?;
    let value = text.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    percent_decoded(value).map(|token| token.trim().to_owned())
}

/// Another page comes next.
fn to(place: &'static str, cookie: Option<HeaderValue>) -> Response<Body> {
    let mut response = Response::new(Body::full(""));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_static(place));
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, cookie);
    }
    response
}
