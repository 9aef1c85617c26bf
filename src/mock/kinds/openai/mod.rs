//! OpenAI: chat completions, completions, responses, embeddings and the rest.
//!
//! Does not check keys: it is also the provider of examples that have none.

mod chat;
mod chat_shape;
mod completions;
mod embeddings;
mod extras;
mod forms;
mod responses;
mod responses_form;
mod responses_shape;
mod responses_stream;
mod strict;

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, event, named_event};
use crate::mock::fault::Script;
use crate::mock::kind::{Kind, Request};
use crate::mock::shape::{Fault, Problem, Shape, check};

pub(crate) const KIND: Kind = Kind { takes: |_| true, answer, error, error_event };

/// The answer of an endpoint.
pub(crate) fn answer(request: &Request<'_>, script: &Script) -> Result<Answer, ApiError> {
    if *request.method == Method::GET {
        return extras::get(request.path).ok_or_else(|| request.not_found());
    }
    let of_form = match (request.method.as_str(), request.path) {
        ("POST", "/audio/transcriptions") => Some(forms::transcription as fn(&_, &_) -> _),
        ("POST", "/audio/translations") => Some(forms::translation as fn(&_, &_) -> _),
        ("POST", "/images/edits" | "/images/variations") => Some(forms::image as fn(&_, &_) -> _),
        _ => None,
    };
    if let Some(endpoint) = of_form {
        return endpoint(request.form()?, script);
    }
    let endpoint = match (request.method.as_str(), request.path) {
        ("POST", "/chat/completions") => chat::chat,
        ("POST", "/completions") => completions::completions,
        ("POST", "/responses") => responses::responses,
        ("POST", "/responses/input_tokens") => responses::input_tokens,
        ("POST", "/embeddings") => embeddings::embeddings,
        ("POST", "/moderations") => extras::moderations,
        ("POST", "/images/generations") => extras::images,
        ("POST", "/audio/speech") => extras::speech,
        _ => return Err(request.not_found()),
    };
    endpoint(request.body()?, script, request.number)
}

/// OpenAI's error.
pub(crate) fn error(error: &ApiError) -> Answer {
    Answer::json(error.status, error.headers(), &body(error))
}

pub(crate) fn error_event(request: &Request<'_>, error: &ApiError, number: usize) -> Bytes {
    if request.path != "/responses" {
        return event(&body(error));
    }
    let data = json!({"type": "error", "code": error.code.as_deref().unwrap_or("server_error"),
        "message": error.message, "param": null, "sequence_number": number});
    named_event("error", &data)
}

fn body(error: &ApiError) -> Value {
    let (kind, code) = match error.status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        403 => ("permission_error", None),
        429 => ("requests", Some("rate_limit_exceeded")),
        400..=499 => ("invalid_request_error", None),
        503 => ("service_unavailable_error", Some("server_is_overloaded")),
        _ => ("server_error", None),
    };
    let code = error.code.as_deref().or(code);
    json!({"error": {"message": error.message, "type": kind, "param": error.param, "code": code}})
}

/// The model of a body; without one there is no answer.
fn model_of(body: &Value) -> Result<String, ApiError> {
    let model = body["model"].as_str().filter(|model| !model.is_empty());
    model
        .map(str::to_owned)
        .ok_or_else(|| ApiError::invalid("you must provide a model parameter", Some("model")))
}

/// A field of a form that is missing, or of the wrong kind.
fn invalid_field(name: &str) -> ApiError {
    ApiError::invalid(format!("Invalid value for '{name}'."), Some(name))
}

/// Holds a body against its endpoint's shape.
fn checked(body: &Value, shape: &Shape) -> Result<(), ApiError> {
    check(body, shape, true).map_err(|problem| invalid(&problem))
}

/// A problem in OpenAI's words.
fn invalid(problem: &Problem) -> ApiError {
    let place = problem.bracketed();
    let (message, code) = match &problem.fault {
        Fault::Unknown => (format!("Unknown parameter: '{place}'."), "unknown_parameter"),
        Fault::Missing => {
            (format!("Missing required parameter: '{place}'."), "missing_required_parameter")
        }
        Fault::Type(expected) => {
            (format!("Invalid type for '{place}': expected {expected}."), "invalid_type")
        }
        Fault::Value(expected) => {
            (format!("Invalid value for '{place}'. Supported: {expected}."), "invalid_value")
        }
        Fault::Rule(words) => {
            return ApiError::invalid(
                words.clone(),
                Some(&place).filter(|p| !p.is_empty()).map(|p| p.as_str()),
            );
        }
    };
    ApiError::invalid(message, Some(&place)).with_code(code)
}

/// The id of a tool call, made of the request's number and the place of the call.
fn call_id(number: u64, index: usize) -> String {
    match index {
        0 => format!("call_mock{number:08}"),
        _ => format!("call_mock{number:08}x{index}"),
    }
}
