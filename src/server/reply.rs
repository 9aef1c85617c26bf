//! Writes refusals as HTTP answers. No other file does.
//!
//! Errors have OpenAI's shape, at Anthropic's endpoints Anthropic's, because anything else makes
//! the SDKs lose the message. Guarantees: `message`, `type` and `code` are always there; the text
//! is one that a stage of the walk wrote for a person. Does not: log.

use http::{HeaderValue, Response, StatusCode, header};

use crate::code::Code;
use crate::ids::RequestId;
use crate::pipeline::answer_out::body::Body;
use crate::pipeline::ratelimit_headers::ratelimit_headers;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::{ATTEMPTS, BUDGET, PROVIDER, REQUEST_ID, set};

/// The answer to a refused call, for Anthropic's SDKs if it came to one of its endpoints.
pub fn refusal(refusal: &Refusal, is_anthropic: bool) -> Response<Body> {
    let mut response = Response::new(Body::full(refusal.to_json(is_anthropic).to_string()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = refusal.retry_after {
        // Rounded up, so that a retry after this time is not too early.
        headers.insert(
            header::RETRY_AFTER,
            HeaderValue::from(wait.as_nanos().div_ceil(1_000_000_000).max(1) as u64),
        );
        headers.insert(
            "retry-after-ms",
            HeaderValue::from(wait.as_nanos().div_ceil(1_000_000).max(1) as u64),
        );
    }
    if let Some(quota) = &refusal.quota {
        ratelimit_headers(headers, quota);
    }
    if let Some(budget) = &refusal.budget {
        set(headers, BUDGET, budget);
    }
    if refusal.is_final() {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    if let Some(tried) = &refusal.tried
        && let Some(provider) = &tried.provider
    {
        set(headers, PROVIDER, provider);
        headers.insert(ATTEMPTS, HeaderValue::from(u16::from(tried.attempts)));
    }
    if let Some(allow) = refusal.allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if refusal.status() == 401 {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if refusal.close {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The headers of every answer.
pub fn finish(response: &mut Response<Body>, id: &RequestId) {
    if let Ok(value) = HeaderValue::from_str(id.as_str()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
}

/// The refusal of a call that met a defect.
pub fn defect() -> Refusal {
    Refusal::of(Code::Internal).closing()
}
