//! Answers of the simulated provider, and its errors before they have a provider's form.

use bytes::Bytes;
use serde_json::Value;

use super::fault::Script;

/// The type of a stream of server-sent events.
pub(crate) const EVENT_STREAM: &str = "text/event-stream; charset=utf-8";

/// The answer to the caller.
pub(crate) enum Answer {
    /// Status and body at once.
    Whole {
        status: u16,
        content_type: &'static str,
        headers: Vec<(&'static str, String)>,
        body: Bytes,
    },
    /// Events of a stream, each complete.
    Events { content_type: &'static str, events: Vec<Bytes> },
}

impl Answer {
    /// 200 with JSON.
    pub(crate) fn ok(body: &Value) -> Answer {
        Answer::json(200, vec![], body)
    }

    /// JSON with a status and headers.
    pub(crate) fn json(status: u16, headers: Vec<(&'static str, String)>, body: &Value) -> Answer {
        let body = body.to_string().into();
        Answer::Whole { status, content_type: "application/json", headers, body }
    }

    /// Server-sent events, each with its empty line.
    pub(crate) fn events(events: Vec<Bytes>) -> Answer {
        Answer::Events { content_type: EVENT_STREAM, events }
    }
}

/// An unnamed event.
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
    pub(crate) message: String,
    /// The field that is wrong, in the provider's notation.
    pub(crate) param: Option<String>,
    /// The provider's word for it, if it is not the one of the status.
    pub(crate) code: Option<String>,
    pub(crate) retry_after: Option<String>,
    pub(crate) retry_after_ms: Option<String>,
    pub(crate) should_retry: Option<bool>,
}

impl ApiError {
    /// An error with this status and message.
    pub(crate) fn new(status: u16, message: impl Into<String>) -> ApiError {
        let mut error = ApiError::of_status(status, &Script::default());
        error.message = message.into();
        error
    }

    /// 400: a request that is not valid.
    pub(crate) fn invalid(message: impl Into<String>, param: Option<&str>) -> ApiError {
        let mut error = ApiError::new(400, message);
        error.param = param.map(str::to_owned);
        error
    }

    /// The same with another word.
    pub(crate) fn with_code(mut self, code: &str) -> ApiError {
        self.code = Some(code.to_owned());
        self
    }

    /// The error of a provider with this status.
    pub(crate) fn of_status(status: u16, script: &Script) -> ApiError {
        let message = match status {
            401 => "Incorrect API key provided: sk-si******ated.",
            403 => "You are not allowed to use this.",
            404 => "The model does not exist or you do not have access to it.",
            413 => "The request is too large.",
            429 => "Rate limit reached. Please try again later.",
            400..=499 => "The request is not valid.",
            503 | 529 => "The server is overloaded.",
            _ => "The server had an error while processing your request.",
        };
        ApiError {
            status,
            message: message.to_owned(),
            param: None,
            code: script.code.clone(),
            retry_after: script.retry_after.clone(),
            retry_after_ms: script.retry_after_ms.clone(),
            should_retry: script.should_retry,
        }
    }

    /// The headers about the next attempt.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![];
        headers.extend(self.retry_after.clone().map(|seconds| ("retry-after", seconds)));
        headers.extend(self.retry_after_ms.clone().map(|millis| ("retry-after-ms", millis)));
        headers.extend(self.should_retry.map(|yes| ("x-should-retry", yes.to_string())));
        headers
    }
}
