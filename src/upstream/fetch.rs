//! Documents that the policy names by their address, and lists of its providers.
//!
//! Guarantees: a bounded time and length; redirects are not followed. Does not: retry, or read the
//! document.

use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_body_util::BodyExt;

use super::Upstream;
use super::address::{address, set_credentials};
use super::client::Reuse;
use super::replay::{AttemptBody, Outgoing};
use crate::bounds::MODEL_PAGE_BYTES_MAX;
use crate::config::policy::Provider;
use crate::redact::Redacted;

/// Time limit for fetching a document that the policy names.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

impl Upstream {
    /// Fetches a small document that the policy names by its address, such as a key set. Redirects
    /// are not followed.
    ///
    /// # Errors
    /// A message for the operators' log: the address cannot be reached, the status is not `200`, or
    /// the document is longer than `bytes_max`.
    pub async fn fetch(&self, address: &Uri, bytes_max: usize) -> Result<Vec<u8>, String> {
        self.document(get(address.clone()), bytes_max).await
    }

    /// Fetches a page of a provider's own, with the gateway's key.
    ///
    /// # Errors
    /// As [`fetch`](Upstream::fetch).
    pub(crate) async fn fetch_from(
        &self,
        provider: &Provider,
        path: &str,
    ) -> Result<Vec<u8>, String> {
        let mut request = get(address(provider, path, None));
        set_credentials(request.headers_mut(), provider, &provider.options.api_key);
        self.document(request, MODEL_PAGE_BYTES_MAX).await
    }

    async fn document(
        &self,
        request: Request<AttemptBody>,
        bytes_max: usize,
    ) -> Result<Vec<u8>, String> {
        let times = (FETCH_TIMEOUT, FETCH_TIMEOUT);
        let sent = self.client.send(request, &nothing(), times, Reuse::Allowed).await;
        let response = sent.map_err(|failure| format!("no answer ({})", failure.reason()))?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let mut incoming = response.into_body();
        let mut document = Vec::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|_| "the answer broke off".to_owned())?;
            document.extend_from_slice(frame.data_ref().map_or(&[][..], |d| d));
            if document.len() > bytes_max {
                return Err(format!("longer than {bytes_max} bytes"));
            }
        }
        Ok(document)
    }
}

fn nothing() -> Outgoing {
    Outgoing::Whole(Redacted::default())
}

fn get(address: Uri) -> Request<AttemptBody> {
    let mut request = Request::new(nothing().attempt(None, None));
    *request.uri_mut() = address;
    request
}
