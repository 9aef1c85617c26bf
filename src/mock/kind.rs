//! A kind of provider, as the simulated provider knows it, and one request to it.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::answer::{Answer, ApiError};
use super::fault::{self, Script};
use super::{form, intent, json};

/// A provider's API.
pub(crate) struct Kind {
    /// Whether a request is meant for it, by path and headers.
    pub(crate) takes: fn(&Request<'_>) -> bool,
    /// The answer, or the error that the provider would answer.
    pub(crate) answer: fn(&Request<'_>, &Script) -> Result<Answer, ApiError>,
    /// An error in its form.
    pub(crate) error: fn(&ApiError) -> Answer,
    /// How its streams tell of a failure, as event of this number.
    pub(crate) error_event: fn(&Request<'_>, &ApiError, usize) -> Bytes,
}

/// One request, read.
pub(crate) struct Request<'a> {
    pub(crate) method: &'a Method,
    /// As it was sent, without the version in front of it.
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    pub(crate) headers: &'a HeaderMap,
    body: Option<Value>,
    /// The body is a form, or is none: the message.
    form: Option<Result<(), String>>,
    /// Counted from 1; ids are made of it, so that a run can be repeated.
    pub(crate) number: u64,
}

impl<'a> Request<'a> {
    /// Reads a request. A body that is not JSON is refused later, by [`Request::body`], and one
    /// that is no form by [`Request::form`].
    pub(crate) fn new(
        (method, path, query): (&'a Method, &'a str, &'a str),
        headers: &'a HeaderMap,
        body: &[u8],
        number: u64,
    ) -> Request<'a> {
        let versions = ["/v1beta1", "/v1beta", "/v1alpha", "/v1"];
        let bare = versions.iter().find_map(|version| {
            path.strip_prefix(version).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        let path = bare.unwrap_or(path);
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let (form, body) = match form::parse(kind.unwrap_or_default(), body) {
            Some(Ok(fields)) => (Some(Ok(())), Some(fields)),
            Some(Err(message)) => (Some(Err(message)), None),
            None => (None, json::parse(body)),
        };
        Request { method, path, query, headers, body, form, number }
    }

    /// The same request with another path, and another body.
    pub(crate) fn at(&self, path: &'a str, body: Option<Value>) -> Request<'a> {
        let body = body.or_else(|| self.body.clone());
        Request { path, body, form: None, ..*self }
    }

    /// The body.
    ///
    /// # Errors
    /// If it is not a JSON object.
    pub(crate) fn body(&self) -> Result<&Value, ApiError> {
        let body = self.body.as_ref().filter(|body| body.is_object() && self.form.is_none());
        body.ok_or_else(|| {
            ApiError::invalid("We could not parse the JSON body of your request.", None)
        })
    }

    /// The fields of a form.
    ///
    /// # Errors
    /// If the body is none.
    pub(crate) fn form(&self) -> Result<&Value, ApiError> {
        match (&self.form, &self.body) {
            (Some(Ok(())), Some(fields)) => Ok(fields),
            (Some(Err(message)), _) => Err(ApiError::invalid(message.as_str(), None)),
            _ => Err(ApiError::invalid("The request body must be multipart/form-data.", None)),
        }
    }

    /// The text of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The value of a parameter of the query.
    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find_map(|(key, value)| (key == name).then_some(value))
    }

    /// Whether it has a key in one of these headers, or a bearer.
    pub(crate) fn has_key(&self, names: &[&str]) -> bool {
        let has = |name: &&str| self.header(name).is_some_and(|key| !key.is_empty());
        names.iter().any(has) || has(&"authorization")
    }

    /// 404: no such endpoint.
    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::new(404, format!("Invalid URL ({} {})", self.method, self.path))
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
}

/// A segment of a path without its escapes.
pub(crate) fn decoded(segment: &str) -> String {
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
