//! Documents that the policy names by their address, and lists of its providers.
//!
//! Guarantees: a bounded time and length; redirects are not followed. Does not: retry, or read the
//! document.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, Uri};
use http_body_util::Full;

use super::Upstream;
use super::address::{address, set_credentials};
use crate::bounds::MODEL_PAGE_BYTES_MAX;
use crate::config::policy::Provider;
use crate::egress::Egress;
use crate::egress::outbound::Patience;

/// Time limit for connecting, and for all of it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const FETCH_WHOLE_TIMEOUT: Duration = Duration::from_secs(10);

impl Upstream {
    /// Fetches a small document that the policy names by its address, such as a key set. Redirects
    /// are not followed.
    ///
    /// # Errors
    /// A message for the operators' log: the address cannot be reached, the status is not `200`, or
    /// the document is longer than `bytes_max`.
    pub async fn fetch(
        &self,
        egress: &Arc<Egress>,
        address: &Uri,
        bytes_max: usize,
    ) -> Result<Vec<u8>, String> {
        self.document(egress, address.clone(), HeaderMap::new(), bytes_max).await
    }

    /// Fetches a page of a provider's own, with the gateway's key.
    ///
    /// # Errors
    /// As [`fetch`](Upstream::fetch).
    pub(crate) async fn fetch_from(
        &self,
        provider: &Arc<Provider>,
        path: &str,
    ) -> Result<Vec<u8>, String> {
        let key = self.credentials.key(provider, self.clock, FETCH_TIMEOUT).await;
        let key = key.map_err(|_| "there is no credential for the provider".to_owned())?;
        let mut headers = HeaderMap::new();
        set_credentials(&mut headers, provider, &key);
        let address = address(provider, path, None);
        self.document(&provider.egress, address, headers, MODEL_PAGE_BYTES_MAX).await
    }

    async fn document(
        &self,
        egress: &Arc<Egress>,
        address: Uri,
        headers: HeaderMap,
        bytes_max: usize,
    ) -> Result<Vec<u8>, String> {
        let mut request = Request::new(Full::<Bytes>::default());
        (*request.uri_mut(), *request.headers_mut()) = (address, headers);
        let patience = Patience { connect: FETCH_TIMEOUT, whole: FETCH_WHOLE_TIMEOUT, bytes_max };
        let response = self.outbound.send(egress, request, patience).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        Ok(response.into_body().into())
    }
}
