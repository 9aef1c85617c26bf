//! One call on its way, as all stages see it.
//!
//! Who calls, the record's beginning, what the head says of the body, the body's way in, the path for the provider.
//! Does not: know the order of the stages (`pipeline/mod.rs` tells it).

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, Uri, header};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::coding::Coding;
use super::gateway::Gateway;
use super::intake::{self, Decoding, Intake};
use super::query;
use super::record::Record;
use super::refusal::Refusal;
use super::turns::Pace;
use crate::ailog::Recorder;
use crate::ailog::row::{RouteKind, Row};
use crate::auth::{Caller, FetchError, KeySetFetch};
use crate::clock::Nanos;
use crate::code::Code;
use crate::config::policy::Policy;
use crate::ids::RequestId;
use crate::provider::Wire;
use crate::redact::{self, BodyRedactor};
use crate::route::table::Endpoint;
use crate::upstream::Upstream;

/// One call on its way, as all stages see it.
pub struct Walk<'g> {
    pub(super) gateway: &'g Arc<Gateway>,
    pub(super) policy: Arc<Policy>,
    pub(super) head: Parts,
    pub(super) request_id: &'g RequestId,
    pub(super) started: Nanos,
}

impl Walk<'_> {
    /// Stage 3.
    pub(super) async fn caller(&self, jwt_only: bool) -> Result<Caller, Refusal> {
        let now_ms = self.gateway.clock.wall_ms();
        let fetch = KeySets(&self.gateway.upstream);
        let (auth, headers) = (&self.policy.auth, &self.head.headers);
        let result = self.gateway.auth.authenticate(auth, headers, now_ms, jwt_only, &fetch).await;
        result.map_err(|error| {
            let code = error.code();
            self.gateway.metrics.auth_failures.with_label_values(&[code.as_str()]).inc();
            Refusal::new(code, error.to_string())
        })
    }

    /// Stage 2: the record, armed.
    pub(super) fn record(&self, caller: &Caller, route: RouteKind, endpoint: Cow<'static, str>) -> Record {
        let row = self.row(caller, route, endpoint);
        let recorder = Recorder::open(&self.gateway.log, row, self.started, self.gateway.clock);
        let gateway = self.gateway;
        Record::new(recorder, Arc::clone(&self.policy), Arc::clone(&gateway.metrics), gateway.clock, self.started)
    }

    pub(super) fn row(&self, caller: &Caller, route: RouteKind, endpoint: Cow<'static, str>) -> Row {
        let (id, version) = (self.request_id.clone(), Arc::clone(&self.policy.version));
        let begun = Row::begin(self.gateway.clock.wall_ms(), caller.org.clone(), route, id, version);
        Row { caller: Arc::clone(&caller.name), endpoint, ..begun }
    }

    pub(super) fn wrong_method(&self, allow: &'static str) -> Refusal {
        let message = format!("{} is not allowed here; use {allow}", known_method(&self.head.method));
        Refusal { allow: Some(allow), ..Refusal::new(Code::MethodNotAllowed, message) }
    }

    /// When a call that may take `total` must be over.
    pub(super) fn deadline(&self, total: Duration) -> Instant {
        Instant::now() + total.saturating_sub(self.gateway.clock.now().since(self.started))
    }

    /// What the head says about the body: a kind that can be read, in a coding that can be, not too long.
    pub(super) fn check_body_head(&self) -> Result<Option<Coding>, Refusal> {
        let headers = &self.head.headers;
        let length: Option<u64> =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
        if length.is_some_and(|l| l > self.gateway.max_body_bytes) {
            return Err(intake::too_large(self.gateway.max_body_bytes));
        }
        let unsupported = |message: &'static str| Err(Refusal::new(Code::UnsupportedMediaType, message).closing());
        let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let coding = match (codings.next().map(|v| Coding::of(v.as_bytes())), codings.next()) {
            (None, _) => None,
            (Some(Ok(coding)), None) => coding,
            _ => {
                let message = "a request body may be compressed once, as gzip, deflate or zstd; send it so or as it is";
                return Err(Refusal::new(Code::UnsupportedMediaType, message).closing());
            }
        };
        let Some(kind) = headers.get(header::CONTENT_TYPE) else { return Ok(coding) };
        let kind = kind.to_str().unwrap_or_default().to_ascii_lowercase();
        let mut parts = kind.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default();
        if essence.starts_with("multipart/") {
            let message = "file uploads are not allowed: their content cannot be redacted on its way";
            return Err(Refusal::new(Code::AttachmentsNotAllowed, message).closing());
        }
        if essence != "application/json" {
            return unsupported("the request body must be application/json");
        }
        let utf8 = |p: &str| {
            p.strip_prefix("charset=").is_none_or(|c| matches!(c.trim_matches('"'), "utf-8" | "utf8" | "us-ascii"))
        };
        if !parts.all(utf8) {
            return unsupported("the request body must be UTF-8");
        }
        Ok(coding)
    }

    /// The body's way in, followed by the record.
    ///
    /// Made apart from the walk: what it moves is large, and would have a second place in the walk's future.
    pub(super) fn intake(
        &self,
        endpoint: &Endpoint,
        rules: &Arc<redact::Rules>,
        caller: &Caller,
        incoming: Incoming,
        coding: Option<Coding>,
        record: &mut Record,
    ) -> Intake {
        let policy = &self.policy;
        let ask_for_usage = matches!(endpoint.wire, Wire::Chat | Wire::Completions);
        let mut redactor = BodyRedactor::new(Arc::clone(rules), endpoint.shape, ask_for_usage);
        if policy.routing.renames {
            redactor.locate_model();
        }
        record.values = redactor.values();
        let capture = if policy.ailog.capture_request { policy.ailog.capture_bytes } else { 0 };
        let bytes_max = self.gateway.max_body_bytes;
        let mut intake = Intake::new(incoming, redactor, self.pace(caller), bytes_max, capture, policy.timeouts.idle);
        if let Some(coding) = coding {
            intake.decode(Decoding::new(coding, bytes_max, self.gateway.upstream.room()));
        }
        record.follow(intake.seen());
        intake
    }

    /// At what pace a body of the caller is worked on.
    pub(super) fn pace(&self, caller: &Caller) -> Pace {
        let turns = &self.gateway.turns;
        turns.pace(turns.group(caller))
    }

    /// The path for the provider, with the query's names and values redacted.
    pub(super) fn redacted_target(
        &self,
        endpoint: &Endpoint,
        rules: &redact::Rules,
        record: &mut Record,
    ) -> Result<String, Refusal> {
        let Some(query) = self.head.uri.query().filter(|q| !q.is_empty()) else { return Ok(endpoint.path.clone()) };
        let (query, ledger) = query::redacted(rules, query)
            .ok_or_else(|| Refusal::new(Code::InvalidRequest, "the query of the request is not UTF-8"))?;
        record.took_from_query(ledger);
        Ok([&endpoint.path, "?", &query].concat())
    }
}

/// Key sets come through the client that also calls providers.
struct KeySets<'u>(&'u Upstream);

impl KeySetFetch for KeySets<'_> {
    async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        self.0.fetch(address, bytes_max).await.map_err(FetchError)
    }
}

fn known_method(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::DELETE | Method::PATCH => method.as_str(),
        Method::OPTIONS | Method::CONNECT | Method::TRACE => method.as_str(),
        _ => "this method",
    }
}
