//! Answers of the simulated provider, and its errors.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::fault::Script;

/// The answer to the caller.
pub(crate) enum Answer {
    /// Status and body at once.
    Whole {
        status: u16,
        content_type: &'static str,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// Server-sent events, each complete with its empty line.
    Events(Vec<Bytes>),
}

impl Answer {
    /// 200 with JSON.
    pub(crate) fn ok(body: &Value) -> Answer {
        let body = body.to_string().into();
        Answer::Whole { status: 200, content_type: "application/json", headers: vec![], body }
    }
}

/// An unnamed event: OpenAI's form.
pub(crate) fn event(data: &Value) -> Bytes {
    format!("data: {data}\n\n").into()
}

/// A named event: the form of `responses` and of Anthropic.
pub(crate) fn named_event(name: &str, data: &Value) -> Bytes {
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// An error of the provider.
#[derive(Debug)]
pub(crate) struct ApiError {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) retry_after_ms: Option<String>,
    pub(crate) should_retry: Option<bool>,
    kind: &'static str,
    pub(crate) message: String,
    param: Option<&'static str>,
    pub(crate) code: Option<String>,
}

impl ApiError {
    /// 400: what the provider does not understand.
    pub(crate) fn invalid(message: &str, param: Option<&'static str>) -> ApiError {
        let mut error = ApiError::of_status(400, &Script::default());
        message.clone_into(&mut error.message);
        error.param = param;
        error
    }

    /// 413: longer than the simulated provider takes.
    pub(crate) fn too_large() -> ApiError {
        ApiError::of_status(413, &Script::default())
    }

    /// 404: no such endpoint.
    pub(crate) fn not_found(method: &Method, path: &str) -> ApiError {
        let mut error = ApiError::of_status(404, &Script::default());
        error.message = format!("Invalid URL ({method} {path})");
        error
    }

    /// The error of a provider with this status.
    pub(crate) fn of_status(status: u16, script: &Script) -> ApiError {
        let (kind, message, code) = match status {
            401 => (
                "invalid_request_error",
                "Incorrect API key provided: sk-si******ated.",
                Some("invalid_api_key"),
            ),
            403 => ("permission_error", "You are not allowed to use this.", None),
            404 => (
                "invalid_request_error",
                "The model does not exist or you do not have access to it.",
                None,
            ),
            413 => ("invalid_request_error", "The request is too large.", None),
            429 => (
                "requests",
                "Rate limit reached. Please try again later.",
                Some("rate_limit_exceeded"),
            ),
            400..=499 => ("invalid_request_error", "The request is not valid.", None),
            503 => (
                "service_unavailable_error",
                "The server is overloaded.",
                Some("server_is_overloaded"),
            ),
            _ => ("server_error", "The server had an error while processing your request.", None),
        };
        ApiError {
            status,
            retry_after: script.retry_after.clone(),
            retry_after_ms: script.retry_after_ms.clone(),
            should_retry: script.should_retry,
            kind,
            message: message.to_owned(),
            param: None,
            code: script.code.clone().or_else(|| code.map(str::to_owned)),
        }
    }

    /// OpenAI's error object.
    pub(crate) fn openai_body(&self) -> Value {
        json!({"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}})
    }

    /// Anthropic's error object.
    pub(crate) fn anthropic_body(&self) -> Value {
        let kind = match self.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            529 => "overloaded_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        };
        json!({"type": "error", "error": {"type": kind, "message": self.message}, "request_id": "req_mock"})
    }
}
