//! Whether a provider can be reached with its key, for a person who checks a configuration.
//!
//! Beside stage 10 of the walk. Guarantees: no request is one that a provider charges for; a
//! provider's key goes to that provider only; a token endpoint is asked for one token. Does not:
//! bound the time (the caller does), count as an attempt, or change the state of circuits.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tollgate_wire::ProviderKind;
use tollgate_wire::translate::path_segment;

use super::Upstream;
use super::address::{address, set_credentials};
use super::credentials::sigv4::{self, Scope, Signable};
use super::credentials::{Key, region};
use crate::bounds::{MODEL_PAGE_BYTES_MAX, PROBE_MAX};
use crate::config::policy::Provider;
use crate::digest::{hex, sha256};
use crate::egress::fault::Fault;
use crate::egress::outbound::{Patience, Unanswered};

/// A model of Bedrock that every region has, if routing names none.
const BEDROCK_MODEL: &str = "amazon.nova-lite-v1:0";

/// The result of asking a server whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// `ok`, `key_refused`, `dns`, `connect`, `tls`, `timeout`, `protocol`, `not_found`,
    /// `schema_missing` or `skipped`.
    pub code: &'static str,
    /// More about it; may be empty.
    pub detail: String,
}

impl Probe {
    /// A result.
    pub fn new(code: &'static str, detail: impl Into<String>) -> Probe {
        Probe { code, detail: detail.into() }
    }
}

impl Upstream {
    /// Asks a provider for something that costs nothing. `model` is one that it has, if one is
    /// known.
    pub async fn probe(&self, provider: &Arc<Provider>, model: Option<&str>) -> Probe {
        let has_key = !provider.options.api_key.is_empty() || provider.auth.is_some();
        if !has_key {
            return Probe::new("skipped", "no key");
        }
        let key = match self.credentials.once(&self.outbound, provider, self.clock).await {
            Ok(key) => key,
            Err(failed) => {
                let code =
                    if failed.is_lasting() { "key_refused" } else { token_code(&failed.reason) };
                return Probe::new(code, format!("token endpoint: {}", failed.reason));
            }
        };
        if let Some(host) = provider.base_url.host()
            && provider.egress.proxies().of(&provider.base_url).is_none()
            && !is_known(host).await
        {
            return Probe::new("dns", "the name of the host is not known");
        }
        let bytes_max = MODEL_PAGE_BYTES_MAX;
        let patience = Patience { connect: PROBE_MAX, whole: PROBE_MAX, bytes_max };
        let Some(request) = self.request_of(provider, model, &key) else {
            return Probe::new("protocol", "the request cannot be signed");
        };
        match self.outbound.send(&provider.egress, request, patience).await {
            Ok(response) => judged(provider, response.status()),
            Err(Unanswered::TooLong(_)) => Probe::new("ok", ""),
            Err(error) => Probe::new(code_of(error), error.to_string()),
        }
    }

    /// The request: a list of models, or at Bedrock a call without messages, which is refused.
    fn request_of(
        &self,
        provider: &Arc<Provider>,
        model: Option<&str>,
        key: &Key,
    ) -> Option<Request<Full<Bytes>>> {
        let is_bedrock = provider.options.kind == ProviderKind::Bedrock;
        let path = match provider.options.kind {
            ProviderKind::Bedrock => {
                format!("/model/{}/converse", path_segment(model.unwrap_or(BEDROCK_MODEL)))
            }
            ProviderKind::Anthropic => "/models?limit=1".to_owned(),
            ProviderKind::Gemini => "/models?pageSize=1".to_owned(),
            _ => "/models".to_owned(),
        };
        let body = Bytes::from_static(if is_bedrock { b"{}" } else { b"" });
        let mut request = Request::new(Full::new(body.clone()));
        *request.uri_mut() = address(provider, &path, None);
        if is_bedrock {
            *request.method_mut() = Method::POST;
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(CONTENT_TYPE, json);
        }
        set_credentials(request.headers_mut(), provider, key);
        if let Some(keys) = key.signs_with() {
            let digest = hex(&sha256(&body));
            let (method, address) = (request.method().clone(), request.uri().clone());
            let signable = Signable { method: &method, address: &address, body_sha256: &digest };
            let scope = Scope { region: region(provider), service: sigv4::service(provider) };
            let now = self.clock.wall_ms();
            sigv4::signed(request.headers_mut(), signable, scope, keys, now).ok()?;
        }
        Some(request)
    }
}

/// The meaning of a status for the key.
fn judged(provider: &Provider, status: StatusCode) -> Probe {
    let told = format!("status {}", status.as_u16());
    // Clouds have no list at this address: any answer that is no refusal has accepted the key.
    let has_list = provider.has_list();
    match status.as_u16() {
        401 | 403 => Probe::new("key_refused", told),
        400 | 404 | 405 | 422 if !has_list => Probe::new("ok", ""),
        404 => Probe::new("not_found", told),
        200..=299 | 429 => Probe::new("ok", ""),
        _ => Probe::new("protocol", told),
    }
}

fn code_of(error: Unanswered) -> &'static str {
    match error {
        Unanswered::Failed(Fault::Certificate | Fault::ClientCertificate) => "tls",
        Unanswered::Failed(Fault::Protocol) | Unanswered::Truncated => "protocol",
        Unanswered::Late => "timeout",
        Unanswered::Failed(_) | Unanswered::TooLong(_) => "connect",
    }
}

/// The code of a fetch that has failed for now.
fn token_code(reason: &str) -> &'static str {
    if reason.contains("in time") || reason.contains("(timeout)") {
        "timeout"
    } else if reason.starts_with("no answer") {
        "connect"
    } else {
        "protocol"
    }
}

async fn is_known(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    tokio::net::lookup_host((host, 443)).await.is_ok_and(|mut found| found.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options;
    use crate::config::sections::RawProvider;

    #[test]
    fn a_status_says_whether_the_key_is_accepted() {
        let provider = |kind: &str, base_url: &str| Provider {
            name: Arc::from("p"),
            base_url: base_url.parse().expect("a URL"),
            forward_headers: vec![],
            auth: None,
            egress: Arc::default(),
            options: options::<RawProvider>(&format!("{{kind: {kind}}}")),
        };
        let (openai, bedrock) =
            (provider("openai", "http://a/v1"), provider("bedrock", "http://a"));
        for (status, listed, unlisted) in [
            (200, "ok", "ok"),
            (429, "ok", "ok"),
            (400, "protocol", "ok"),
            (401, "key_refused", "key_refused"),
            (403, "key_refused", "key_refused"),
            (404, "not_found", "ok"),
            (500, "protocol", "protocol"),
        ] {
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(judged(&openai, status).code, listed, "{status}");
            assert_eq!(judged(&bedrock, status).code, unlisted, "{status}");
        }
    }
}
