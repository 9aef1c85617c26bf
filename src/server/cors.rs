//! Calls from pages of other origins: `cors` of the policy.
//!
//! Stage 1 of the walk. Browsers ask with `OPTIONS` before a call that carries a token (a
//! preflight), and show an answer to a page only if it names the page's origin. Guarantees: only
//! configured origins are named, on answers and refusals alike; without one, nothing is added.
//! Does not: authenticate (a page needs a token as everyone else does), or send cookies along.
//!
//! # Source
//! Fetch standard, section 3.2 (CORS protocol), read November 2026.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::config::policy::Cors;
use crate::pipeline::OURS;
use crate::pipeline::answer_out::body::Body;

/// Request headers that the SDKs send, and those of the gateway.
const HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "prefer",
    "traceparent",
    "x-api-key",
    "x-request-id",
];
/// How further ones of theirs begin.
const HEADERS_OF_SDKS: &[&str] = &["anthropic-", "openai-", "x-stainless-", "x-tollgate-"];
/// Headers of an answer that a page may read: these, and those that the gateway adds.
static EXPOSED: LazyLock<HeaderValue> = LazyLock::new(|| {
    const OTHERS: &[&str] = &[
        "ratelimit",
        "ratelimit-policy",
        "request-id",
        "retry-after",
        "retry-after-ms",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
        "x-request-id",
        "x-should-retry",
    ];
    let names = [OTHERS, OURS].concat().join(", ");
    HeaderValue::from_str(&names).unwrap_or(const { HeaderValue::from_static("x-request-id") })
});
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");

/// The answer to a preflight of an origin that may call.
pub fn preflight(cors: &Cors, asked: &HeaderMap) -> Option<Response<Body>> {
    asked.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    cors.allows(asked.get(header::ORIGIN)?).then_some(())?;
    let mut response = Response::new(Body::Full(None));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Ok(names) = HeaderValue::from_str(&allowed(cors, asked)) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
    let max_age = HeaderValue::from(cors.max_age.as_secs());
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
    headers.append(header::VARY, HeaderValue::from_static("access-control-request-headers"));
    Some(response)
}

/// Those of the headers asked for that a page may send.
fn allowed(cors: &Cors, asked: &HeaderMap) -> String {
    let lists = asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS).iter();
    let names = lists.filter_map(|list| list.to_str().ok()).flat_map(|list| list.split(','));
    let may = |name: &HeaderName| {
        let text = name.as_str();
        HEADERS.contains(&text)
            || HEADERS_OF_SDKS.iter().any(|begin| text.starts_with(begin))
            || cors.headers.contains(name)
    };
    let names = names.filter_map(|name| name.trim().parse::<HeaderName>().ok()).filter(may);
    names.map(|name| name.as_str().to_owned()).collect::<Vec<_>>().join(", ")
}

/// Names the origin of a page that may call, on any answer to it.
pub fn mark(cors: &Cors, origin: &HeaderValue, headers: &mut HeaderMap) {
    if cors.origins.is_empty() {
        return;
    }
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if cors.allows(origin) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_may_read_every_header_that_the_gateway_adds() {
        let text = EXPOSED.to_str().expect("text");
        let names: Vec<&str> = text.split(", ").collect();
        for name in ["translation", "cache", "budget", "downgrade", "attempts", "provider"] {
            let name = format!("x-tollgate-{name}");
            assert!(names.contains(&&*name), "{name}: {text}");
        }
        assert!(names.contains(&"x-request-id") && names.contains(&"retry-after"), "{text}");
    }
}
