//! Anthropic: `messages` and `messages/count_tokens`.
//!
//! Does not check keys; `anthropic-version` is checked where it is sent.

mod answer;
mod rules;
mod shapes;

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, named_event};
use crate::mock::fault::Script;
use crate::mock::kind::{Kind, Request};
use crate::mock::shape::{Fault, Problem, check};

pub(crate) const KIND: Kind = Kind {
    takes: |request| request.path.starts_with("/messages"),
    answer: endpoint,
    error,
    error_event: |_, error, _| named_event("error", &body(error)),
};

/// Versions of the API. From the second on, sampling cannot be set.
const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

fn endpoint(request: &Request<'_>, script: &Script) -> Result<Answer, ApiError> {
    let version = request.header("anthropic-version").unwrap_or(VERSIONS[0]);
    if !VERSIONS.contains(&version) {
        let words = format!("anthropic-version: {version:?} is not a valid version");
        return Err(ApiError::invalid(words, None));
    }
    let shape = match (request.method.as_str(), request.path) {
        ("POST", "/messages") => &shapes::MESSAGES,
        ("POST", "/messages/count_tokens") => &shapes::COUNT,
        _ => return Err(request.not_found()),
    };
    let body = request.body()?;
    let fits = check(body, shape, false);
    fits.and_then(|()| rules::check(body, version == VERSIONS[1]))
        .map_err(|problem| invalid(&problem))?;
    match request.path {
        "/messages" => answer::messages(body, script, request.number),
        _ => answer::count_tokens(body, script),
    }
}

/// A problem in Anthropic's words.
fn invalid(problem: &Problem) -> ApiError {
    let place = problem.dotted();
    let words = match &problem.fault {
        Fault::Unknown => "Extra inputs are not permitted".to_owned(),
        Fault::Missing => "Field required".to_owned(),
        Fault::Type(expected) => format!("Input should be a valid {expected}"),
        Fault::Value(expected) => format!("Input should be {expected}"),
        Fault::Rule(words) => words.clone(),
    };
    let message = if place.is_empty() { words } else { format!("{place}: {words}") };
    ApiError::invalid(message, None)
}

fn error(error: &ApiError) -> Answer {
    Answer::json(error.status, error.headers(), &body(error))
}

fn body(error: &ApiError) -> Value {
    let kind = match error.status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": error.message}, "request_id": "req_mock"})
}
