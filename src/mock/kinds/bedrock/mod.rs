//! Bedrock: `converse`, `converse-stream` in binary frames, `count-tokens`, and `invoke` of the
//! embedding models of Titan and Cohere.
//!
//! Does not check signatures: a bearer, or any `authorization`, is enough.

mod answer;
mod frames;
mod invoke;
mod rules;
mod shapes;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError};
use crate::mock::fault::Script;
use crate::mock::kind::{Kind, Request, decoded};
use crate::mock::shape::{Fault, Problem, Shape, check};

pub(crate) const KIND: Kind = Kind { takes, answer: endpoint, error, error_event };

fn takes(request: &Request<'_>) -> bool {
    call(request.path).is_some()
}

/// The model and the method in `/model/ID/converse`.
fn call(path: &str) -> Option<(String, &str)> {
    let (model, method) = path.strip_prefix("/model/")?.rsplit_once('/')?;
    Some((decoded(model), method))
}

fn endpoint(request: &Request<'_>, script: &Script) -> Result<Answer, ApiError> {
    let unknown = || ApiError::new(404, "Unknown operation").with_code("UnknownOperationException");
    let (model, method) = call(request.path).ok_or_else(unknown)?;
    if request.method != hyper::Method::POST {
        return Err(unknown());
    }
    if !request.has_key(&[]) {
        let words = "Missing Authentication Token";
        return Err(ApiError::new(403, words).with_code("MissingAuthenticationTokenException"));
    }
    let body = request.body()?;
    match method {
        "converse" | "converse-stream" => {
            checked(body, &shapes::CONVERSE)?;
            rules::check(body, &model).map_err(|problem| invalid(&problem))?;
            let answer = if method == "converse" { answer::whole } else { answer::stream };
            Ok(answer(body, &model, script, request.number))
        }
        "count-tokens" => {
            checked(body, &shapes::COUNT)?;
            let counted = &body["input"]["converse"];
            if counted.is_object() {
                rules::check(counted, &model).map_err(|problem| invalid(&problem))?;
            }
            let tokens = script.input_tokens.unwrap_or_else(|| answer::prompt_tokens(counted));
            Ok(Answer::ok(&json!({"inputTokens": tokens})))
        }
        "invoke" => invoke::invoke(body, &model, script),
        _ => Err(unknown()),
    }
}

fn checked(body: &Value, shape: &Shape) -> Result<(), ApiError> {
    check(body, shape, true).map_err(|problem| invalid(&problem))
}

/// A problem in Bedrock's words.
fn invalid(problem: &Problem) -> ApiError {
    let place = problem.dotted();
    let malformed = |words: String| {
        format!(
            "The model returned the following errors: Malformed input request: {words}, please \
             reformat your input and try again."
        )
    };
    let message = match &problem.fault {
        Fault::Unknown => {
            let parent = problem.parent();
            let parent = if parent.path.is_empty() { String::new() } else { parent.pointer() };
            malformed(format!("#{parent}: extraneous key [{}] is not permitted", problem.field()))
        }
        Fault::Missing => format!(
            "1 validation error detected: Value null at '{place}' failed to satisfy constraint: \
             Member must not be null"
        ),
        Fault::Type(expected) => {
            malformed(format!("#{}: expected type: {expected}", problem.pointer()))
        }
        Fault::Value(expected) => format!(
            "1 validation error detected: Value at '{place}' failed to satisfy constraint: Member \
             must satisfy: {expected}"
        ),
        Fault::Rule(words) => words.replace("{place}", &place),
    };
    ApiError::invalid(message, None)
}

/// The name of an error with this status.
fn name(error: &ApiError) -> &str {
    if let Some(code) = &error.code {
        return code;
    }
    match error.status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        400..=499 => "ValidationException",
        503 => "ServiceUnavailableException",
        _ => "InternalServerException",
    }
}

fn error(error: &ApiError) -> Answer {
    let mut headers = error.headers();
    headers.push(("x-amzn-errortype", name(error).to_owned()));
    headers.push(("x-amzn-requestid", "00000000-0000-4000-8000-000000000000".to_owned()));
    Answer::json(error.status, headers, &json!({"message": error.message}))
}

/// A failure within a stream: an exception, in a frame of its own.
fn error_event(_: &Request<'_>, error: &ApiError, _: usize) -> Bytes {
    let name = name(error);
    let (first, rest) = name.split_at(1.min(name.len()));
    let name = [&first.to_ascii_lowercase(), rest].concat();
    frames::exception(&name, &json!({"message": error.message}))
}
