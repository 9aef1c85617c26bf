//! Azure OpenAI: OpenAI's endpoints below `/openai/v1` or below a deployment, with its own key,
//! and the results of its content filters in the answers of chat completions.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, event};
use crate::mock::fault::Script;
use crate::mock::kind::{Kind, Request, decoded};

use super::openai;

pub(crate) const KIND: Kind = Kind { takes, answer, error, error_event };

fn takes(request: &Request<'_>) -> bool {
    request.path.starts_with("/openai/")
}

fn answer(request: &Request<'_>, script: &Script) -> Result<Answer, ApiError> {
    if !request.has_key(&["api-key"]) {
        let words = "Access denied due to invalid subscription key or wrong API endpoint. Make \
                     sure to provide a valid key for an active subscription.";
        return Err(ApiError::new(401, words).with_code("401"));
    }
    let inner = inner(request)?;
    let mut answer = openai::answer(&inner, script)?;
    if inner.path == "/chat/completions" {
        add_filters(&mut answer);
    }
    Ok(answer)
}

/// The request as OpenAI has it.
fn inner<'a>(request: &Request<'a>) -> Result<Request<'a>, ApiError> {
    if let Some(path) = request.path.strip_prefix("/openai/v1") {
        return Ok(request.at(path, None));
    }
    let deployment = request.path.strip_prefix("/openai/deployments/");
    let Some((name, path)) = deployment.and_then(|rest| Some(rest.split_at(rest.find('/')?)))
    else {
        return Err(ApiError::new(404, "Resource not found").with_code("404"));
    };
    if request.parameter("api-version").is_none_or(str::is_empty) {
        return Err(ApiError::new(404, "Resource not found").with_code("404"));
    }
    let mut body = request.body()?.clone();
    body["model"] = json!(decoded(name));
    Ok(request.at(path, Some(body)))
}

fn error(error: &ApiError) -> Answer {
    openai::error(error)
}

fn error_event(request: &Request<'_>, error: &ApiError, number: usize) -> Bytes {
    match inner(request) {
        Ok(inner) => openai::error_event(&inner, error, number),
        Err(_) => openai::error_event(request, error, number),
    }
}

fn filters() -> Value {
    let fine = json!({"filtered": false, "severity": "safe"});
    json!({"hate": fine, "self_harm": fine, "sexual": fine, "violence": fine})
}

/// A stream begins with a chunk about the prompt alone, without choices.
fn add_filters(answer: &mut Answer) {
    let of_prompt = json!([{"prompt_index": 0, "content_filter_results": filters()}]);
    match answer {
        Answer::Events { events, .. } => {
            let first = json!({"id": "", "object": "", "created": 0, "model": "", "choices": [],
                "prompt_filter_results": of_prompt});
            events.insert(0, event(&first));
        }
        Answer::Whole { body, .. } => {
            let Ok(mut whole) = serde_json::from_slice::<Value>(body) else { return };
            whole["prompt_filter_results"] = of_prompt;
            for choice in whole["choices"].as_array_mut().into_iter().flatten() {
                choice["content_filter_results"] = filters();
            }
            *body = whole.to_string().into();
        }
    }
}
