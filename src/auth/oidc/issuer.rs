//! The issuer's document (discovery), and requests to it.
//!
//! Guarantees: the document is fetched at the first sign-in, kept for an hour, and the last good
//! one is used while a newer cannot be had; after a failure the issuer is left alone for five
//! seconds; addresses in it are those of the web, and of TLS where the issuer's is. Does not:
//! follow redirects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::{OidcError, away};
use crate::auth::{FetchError, KeySetFetch};
use crate::bounds::OIDC_DOCUMENT_BYTES_MAX;
use crate::config::policy::OidcOptions;
use crate::egress::outbound::{Outbound, Patience};

/// Age at which the document is fetched again.
const OLD_MS: u64 = 3_600_000;
/// Least wait after a failure.
const AGAIN_MS: u64 = 5_000;
const PATIENCE: Patience = Patience {
    connect: Duration::from_secs(5),
    whole: Duration::from_secs(10),
    bytes_max: OIDC_DOCUMENT_BYTES_MAX,
};

/// An issuer's endpoints.
#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) authorization_endpoint: String,
    pub(crate) token_endpoint: String,
    pub(crate) jwks_uri: Uri,
    /// The token endpoint takes the client's secret in the `Authorization` header.
    pub(crate) takes_basic: bool,
    /// Its callbacks have `iss`.
    pub(crate) names_itself: bool,
}

/// The document as it is written.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    /// Absent: `client_secret_basic`.
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Default)]
struct Known {
    issuer: Option<Arc<Issuer>>,
    /// Milliseconds since 1970 of the last good document, and of the last failure.
    read_ms: i64,
    failed: Option<(i64, OidcError)>,
}

/// The document of the one configured issuer, and the connections to it.
pub(crate) struct Issuers {
    options: Arc<OidcOptions>,
    outbound: Outbound,
    known: Mutex<Known>,
}

impl Issuers {
    pub(crate) fn new(options: Arc<OidcOptions>) -> Issuers {
        Issuers { options, outbound: Outbound::default(), known: Mutex::default() }
    }

    /// The endpoints. One request at a time fetches them, the others wait for it.
    pub(crate) async fn get(&self, now_ms: i64) -> Result<Arc<Issuer>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(issuer) = &known.issuer
            && now_ms.abs_diff(known.read_ms) < OLD_MS
        {
            return Ok(Arc::clone(issuer));
        }
        if let Some((failed_ms, error)) = &known.failed
            && now_ms.abs_diff(*failed_ms) < AGAIN_MS
        {
            return known.issuer.clone().ok_or_else(|| error.clone());
        }
        match self.fetched().await {
            Ok(issuer) => {
                let issuer = Arc::new(issuer);
                *known = Known { issuer: Some(Arc::clone(&issuer)), read_ms: now_ms, failed: None };
                Ok(issuer)
            }
            Err(error) => {
                known.failed = Some((now_ms, error.clone()));
                known.issuer.clone().ok_or(error)
            }
        }
    }

    async fn fetched(&self) -> Result<Issuer, OidcError> {
        let base = self.options.issuer.trim_end_matches('/');
        let request = Request::get(format!("{base}/.well-known/openid-configuration"));
        let request = request.body(Full::default()).map_err(|error| away(&error.to_string()))?;
        let answer = self.send(request).await.map_err(|why| away(&format!("discovery: {why}")))?;
        if answer.status() != StatusCode::OK {
            return Err(away(&format!("discovery: status {}", answer.status())));
        }
        read(answer.body(), &self.options.issuer).map_err(|why| away(&format!("discovery: {why}")))
    }

    /// Sends a small request to the issuer.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, String> {
        let answer = self.outbound.send(&self.options.egress, request, PATIENCE).await;
        answer.map_err(|why| why.to_string())
    }
}

impl KeySetFetch for Issuers {
    async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        let request = Request::get(address.clone()).body(Full::default());
        let request = request.map_err(|error| FetchError(error.to_string()))?;
        let answer = self.send(request).await.map_err(FetchError)?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError(format!("status {}", answer.status().as_u16())));
        }
        if answer.body().len() > bytes_max {
            return Err(FetchError("the set is too large".to_owned()));
        }
        Ok(answer.into_body().into())
    }
}

/// Reads a document, which has to be that of `issuer`.
fn read(bytes: &[u8], issuer: &str) -> Result<Issuer, &'static str> {
    let document: Document = serde_json::from_slice(bytes)
        .map_err(|_| "no document of an OpenID provider: it lacks an endpoint")?;
    if document.issuer != issuer {
        return Err("the document names another issuer; write `issuer` exactly as it does");
    }
    let needs_tls = issuer.starts_with("https://");
    let fits = |address: &str| {
        let uri = address.parse::<Uri>().ok()?;
        let has_scheme = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => !needs_tls,
            _ => false,
        };
        (has_scheme && !address.contains('#')).then_some(uri)
    };
    let wrong = "an endpoint of the document is no address of https";
    fits(&document.authorization_endpoint).ok_or(wrong)?;
    fits(&document.token_endpoint).ok_or(wrong)?;
    let jwks_uri = fits(&document.jwks_uri).ok_or(wrong)?;
    let methods = document.token_endpoint_auth_methods_supported;
    Ok(Issuer {
        jwks_uri,
        authorization_endpoint: document.authorization_endpoint,
        token_endpoint: document.token_endpoint,
        takes_basic: methods.is_none_or(|list| list.iter().any(|m| m == "client_secret_basic")),
        names_itself: document.authorization_response_iss_parameter_supported,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        json!({
            "issuer": "https://id.example",
            "authorization_endpoint": "https://id.example/authorize?tenant=a",
            "token_endpoint": "https://id.example/token",
            "jwks_uri": "https://keys.example/set",
        })
    }

    fn parsed(document: &Value) -> Result<Issuer, &'static str> {
        read(document.to_string().as_bytes(), "https://id.example")
    }

    #[test]
    fn a_document_is_that_of_the_configured_issuer() {
        let issuer = parsed(&document()).expect("a document");
        assert!(issuer.takes_basic && !issuer.names_itself);
        for (key, value) in [
            ("issuer", json!("https://id.example/")),
            ("issuer", json!("https://evil.example")),
            ("token_endpoint", json!("http://id.example/token")),
            ("jwks_uri", json!("file:///etc/passwd")),
            ("authorization_endpoint", json!("javascript:alert(1)")),
            ("authorization_endpoint", Value::Null),
        ] {
            let mut wrong = document();
            wrong[key] = value.clone();
            assert!(parsed(&wrong).is_err(), "{key}: {value}");
        }
        assert!(read(b"<html>", "https://id.example").is_err());
    }

    #[test]
    fn the_secret_goes_where_the_issuer_takes_it() {
        let mut posted = document();
        posted["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        assert!(!parsed(&posted).expect("a document").takes_basic);
    }
}
