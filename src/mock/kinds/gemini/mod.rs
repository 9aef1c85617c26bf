//! Gemini: `generateContent` with its streams, `countTokens`, `batchEmbedContents`,
//! `embedContent` and the list of models.
//!
//! Takes the names of the API's JSON form only (`camelCase`), for any model and below any path, as
//! on Vertex.

mod answer;
mod embed;
mod rules;
mod shapes;

use serde_json::{Value, json};

use crate::mock::answer::{Answer, ApiError, event};
use crate::mock::fault::Script;
use crate::mock::kind::{Kind, Request, decoded};
use crate::mock::shape::{Fault, Problem, Shape, check};

pub(crate) const KIND: Kind =
    Kind { takes, answer: endpoint, error, error_event: |_, error, _| event(&body(error)) };

/// The models that `GET models` lists.
const MODELS: [&str; 4] =
    ["gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-flash-preview", "gemini-embedding-001"];

fn takes(request: &Request<'_>) -> bool {
    let is_list = request.path == "/models" || request.path.starts_with("/models/");
    let has_key = request.header("x-goog-api-key").is_some() || request.parameter("key").is_some();
    call(request.path).is_some() || (request.method == hyper::Method::GET && is_list && has_key)
}

/// The model and the method in a path such as `/models/M:generateContent`.
fn call(path: &str) -> Option<(String, &str)> {
    let (_, rest) = path.rsplit_once("/models/")?;
    let (model, method) = rest.rsplit_once(':')?;
    let is_method = method.bytes().all(|byte| byte.is_ascii_alphabetic());
    is_method.then(|| (decoded(model), method))
}

fn endpoint(request: &Request<'_>, script: &Script) -> Result<Answer, ApiError> {
    if !request.has_key(&["x-goog-api-key"]) && request.parameter("key").is_none() {
        let words = "Method doesn't allow unregistered callers (callers without established \
                     identity). Please use API Key or other form of API consumer identity to call \
                     this API.";
        return Err(ApiError::new(403, words));
    }
    let Some((model, method)) = call(request.path) else { return models(request) };
    if request.method != hyper::Method::POST {
        return Err(request.not_found());
    }
    let body = request.body()?;
    let is_vertex = request.path.contains("/publishers/");
    match method {
        "generateContent" | "streamGenerateContent" => {
            checked(body, &shapes::GENERATE)?;
            rules::check(body, &model, is_vertex).map_err(|problem| invalid(&problem))?;
            let question = answer::question(body, &model);
            let is_sse = request.parameter("alt") == Some("sse");
            Ok(match (method, is_sse) {
                ("generateContent", _) => answer::whole(&question, body, script, request.number),
                (_, true) => answer::stream(&question, body, script, request.number),
                (_, false) => answer::list(&question, body, script, request.number),
            })
        }
        "countTokens" => count(body, &model, is_vertex, script),
        "batchEmbedContents" => {
            checked(body, &shapes::BATCH_EMBED)?;
            embed::batch(body, &model, script)
        }
        "embedContent" => {
            checked(body, &shapes::EMBED)?;
            embed::one(body, &model, script)
        }
        _ => Err(request.not_found()),
    }
}

/// The Developer API counts a whole request in a field of its own, or turns alone.
fn count(body: &Value, model: &str, is_vertex: bool, script: &Script) -> Result<Answer, ApiError> {
    checked(body, if is_vertex { &shapes::VERTEX_COUNT } else { &shapes::COUNT })?;
    let request = body.get("generateContentRequest").unwrap_or(body);
    rules::check(request, model, is_vertex).map_err(|problem| invalid(&problem))?;
    let question = answer::question(request, model);
    let tokens = script.input_tokens.unwrap_or(question.prompt_tokens);
    let details = json!([{"modality": "TEXT", "tokenCount": tokens}]);
    Ok(Answer::ok(&json!({"totalTokens": tokens, "promptTokensDetails": details})))
}

fn models(request: &Request<'_>) -> Result<Answer, ApiError> {
    let model = |name: &str| {
        json!({"name": format!("models/{name}"), "displayName": name, "version": "001",
            "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
            "supportedGenerationMethods": ["generateContent", "countTokens"]})
    };
    if request.path == "/models" {
        return Ok(Answer::ok(&json!({"models": MODELS.map(model)})));
    }
    let name = request.path.strip_prefix("/models/").unwrap_or_default();
    if MODELS.contains(&name) { Ok(Answer::ok(&model(name))) } else { Err(request.not_found()) }
}

fn checked(body: &Value, shape: &Shape) -> Result<(), ApiError> {
    check(body, shape, true).map_err(|problem| invalid(&problem))
}

/// A problem in Google's words.
fn invalid(problem: &Problem) -> ApiError {
    let (place, field) = (problem.bracketed(), problem.field());
    let message = match &problem.fault {
        Fault::Unknown => {
            let parent = problem.parent().bracketed();
            let at = if parent.is_empty() { String::new() } else { format!(" at '{parent}'") };
            format!(
                "Invalid JSON payload received. Unknown name \"{field}\"{at}: Cannot find field."
            )
        }
        Fault::Missing => format!("* GenerateContentRequest.{place}: {field} is not specified"),
        Fault::Type(expected) => format!("Invalid value at '{place}' (expected {expected})"),
        Fault::Value(expected) => format!("Invalid value at '{place}' (expected {expected})"),
        Fault::Rule(words) if place.is_empty() => words.clone(),
        Fault::Rule(words) => format!("{words} ({place})"),
    };
    ApiError::invalid(message, None)
}

fn error(error: &ApiError) -> Answer {
    Answer::json(error.status, vec![], &body(error))
}

/// Google's error: the time to wait is a detail, and no header.
fn body(error: &ApiError) -> Value {
    let word = match error.status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        402 | 405..=428 | 430..=498 => "FAILED_PRECONDITION",
        _ => "INTERNAL",
    };
    let word = error.code.as_deref().unwrap_or(word);
    let mut body = json!({"code": error.status, "message": error.message, "status": word});
    let millis = error.retry_after_ms.as_deref().and_then(|millis| millis.parse::<f64>().ok());
    let seconds = error.retry_after.as_deref().and_then(|seconds| seconds.parse::<f64>().ok());
    if let Some(wait) = millis.map(|millis| millis / 1000.0).or(seconds) {
        body["details"] = json!([{"@type": "type.googleapis.com/google.rpc.RetryInfo",
            "retryDelay": format!("{wait}s")}]);
    }
    json!({"error": body})
}
