//! The endpoints of the simulated provider: from a request to its answer.

use bytes::Bytes;
use hyper::Method;
use serde_json::{Value, json};

use super::answer::{Answer, ApiError, event, named_event};
use super::fault::{self, Script};
use super::{chat, extras, intent, json, messages, responses};

/// One request, read.
pub(crate) struct Call<'a> {
    method: &'a Method,
    path: &'a str,
    body: Option<Value>,
    /// Counted from 1; ids are made of it, so that a run can be repeated.
    number: u64,
}

impl<'a> Call<'a> {
    /// Reads a request. A body that is not JSON is refused later, by [`Call::answer`].
    pub(crate) fn new(method: &'a Method, path: &'a str, body: &[u8], number: u64) -> Call<'a> {
        Call {
            method,
            path: path.strip_prefix("/v1").unwrap_or(path),
            body: json::parse(body),
            number,
        }
    }

    /// Whether the caller speaks Anthropic's API.
    pub(crate) fn is_anthropic(&self) -> bool {
        self.path.starts_with("/messages")
    }

    /// How this endpoint's streams tell of a failure, as event `number`.
    pub(crate) fn error_event(&self, error: &ApiError, number: usize) -> Bytes {
        match self.path {
            "/messages" => named_event("error", &error.anthropic_body()),
            "/responses" => {
                let data = json!({"type": "error", "code": error.code.as_deref().unwrap_or("server_error"),
                    "message": error.message, "param": null, "sequence_number": number});
                named_event("error", &data)
            }
            _ => event(&error.openai_body()),
        }
    }

    /// The markers of all its texts, in order.
    pub(crate) fn markers(&self) -> Vec<String> {
        let mut found = vec![];
        if let Some(body) = &self.body {
            json::each_string(body, &mut |text| match intent::ticket(text) {
                // A ticket is JSON inside a string: its markers are read without the second layer
                // of escapes.
                Some(ticket) => found.extend(fault::markers(&ticket.text()).map(str::to_owned)),
                None => found.extend(fault::markers(text).map(str::to_owned)),
            });
        }
        found
    }

    /// The answer to it.
    ///
    /// # Errors
    /// The error that a provider would answer.
    pub(crate) fn answer(&self, script: &Script) -> Result<Answer, ApiError> {
        if *self.method == Method::GET {
            return extras::get(self.path)
                .ok_or_else(|| ApiError::not_found(self.method, self.path));
        }
        let endpoint = match (self.method.as_str(), self.path) {
            ("POST", "/chat/completions") => chat::chat,
            ("POST", "/completions") => chat::completions,
            ("POST", "/responses") => responses::responses,
            ("POST", "/messages") => messages::messages,
            ("POST", "/messages/count_tokens") => messages::count_tokens,
            ("POST", "/embeddings") => extras::embeddings,
            ("POST", "/moderations") => extras::moderations,
            ("POST", "/images/generations") => extras::images,
            ("POST", "/audio/speech") => extras::speech,
            _ => return Err(ApiError::not_found(self.method, self.path)),
        };
        let body = self.body.as_ref().filter(|body| body.is_object());
        let body = body.ok_or_else(|| {
            ApiError::invalid("We could not parse the JSON body of your request.", None)
        })?;
        endpoint(body, script, self.number)
    }
}
