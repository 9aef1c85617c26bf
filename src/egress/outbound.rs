//! Small requests of the gateway's own: key sets, tokens, webhooks.
//!
//! Guarantees: a bounded time and length; redirects are not followed. Does not: retry, or judge the
//! status.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};

use super::Egress;
use super::classify::fault;
use super::fault::Fault;
use super::pools::{Pools, Reuse};
use crate::bounds::POOLS_MAX;

/// Sends small requests over pooled connections.
pub struct Outbound {
    pools: Pools<Full<Bytes>>,
}

/// The patience with one request.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For a new connection.
    pub connect: Duration,
    /// For all of it, to the end of the answer.
    pub whole: Duration,
    /// Longest answer.
    pub bytes_max: usize,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    #[error("no answer ({})", .0.reason())]
    Failed(Fault),
    #[error("no answer in time")]
    Late,
    #[error("longer than {0} bytes")]
    TooLong(usize),
    #[error("the answer broke off")]
    Truncated,
}

impl Default for Outbound {
    fn default() -> Outbound {
        Outbound { pools: Pools::new(POOLS_MAX) }
    }
}

impl Outbound {
    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// See [`Unanswered`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the request used.
    pub async fn send(
        &self,
        egress: &Arc<Egress>,
        request: Request<Full<Bytes>>,
        patience: Patience,
    ) -> Result<Response<Bytes>, Unanswered> {
        let exchange = self.exchange(egress, request, patience);
        tokio::time::timeout(patience.whole, exchange).await.unwrap_or(Err(Unanswered::Late))
    }

    async fn exchange(
        &self,
        egress: &Arc<Egress>,
        request: Request<Full<Bytes>>,
        patience: Patience,
    ) -> Result<Response<Bytes>, Unanswered> {
        let is_forwarded = egress.forwards(request.uri());
        let sent = self.pools.send(egress, patience.connect, request, Reuse::Allowed).await;
        let response = sent.map_err(|error| Unanswered::Failed(fault(&error)))?;
        if let Some(fault) = Egress::refusal(is_forwarded, response.status()) {
            return Err(Unanswered::Failed(fault));
        }
        let (head, mut body) = response.into_parts();
        let mut whole = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Unanswered::Truncated)?;
            whole.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
            if whole.len() > patience.bytes_max {
                return Err(Unanswered::TooLong(patience.bytes_max));
            }
        }
        Ok(Response::from_parts(head, whole.into()))
    }
}
