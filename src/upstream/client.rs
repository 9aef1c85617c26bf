//! One attempt at one provider, over a pooled connection.
//!
//! Stage 10 of the walk. `egress` makes the connections. Guarantees: dropping the future of a call
//! closes its connection; redirects are not followed; the only retry is for a pooled connection
//! that was dead before the first byte was written; one that ends as it is used again is told apart
//! from one that fails when it is new. Does not: decide whether a failed call is retried.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::replay::{AttemptBody, Outgoing};
use super::retry::Failure;
use crate::bounds::POOLS_MAX;
use crate::egress::fault::Fault;
use crate::egress::pools::{NoResponse, Pools};
use crate::egress::{self, Egress};

pub use crate::egress::pools::Reuse;

/// Sends attempts over pooled connections.
pub struct Client {
    pools: Pools<AttemptBody>,
}

/// The way of one attempt.
#[derive(Clone, Copy)]
pub struct Way<'a> {
    pub egress: &'a Arc<Egress>,
    /// The time limit for connecting.
    pub connect: Duration,
    /// The time limit from then on, until the head of the answer.
    pub first_byte: Duration,
    pub reuse: Reuse,
}

impl Default for Client {
    fn default() -> Client {
        Client { pools: Pools::new(POOLS_MAX) }
    }
}

impl Client {
    /// Sends one request and waits for the head of its answer.
    ///
    /// # Errors
    /// The failure. A body that broke on the client's side shows as [`Failure::Reset`]; ask
    /// [`Outgoing::is_broken`].
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the attempt used.
    pub fn send<'a>(
        &self,
        request: Request<AttemptBody>,
        body: &'a Outgoing,
        way: Way<'a>,
    ) -> impl Future<Output = Result<Response<Incoming>, Failure>> + use<'a> {
        // Begun here and not in the future, which has no place for the request then.
        let is_forwarded = way.egress.forwards(request.uri());
        let answer = self.pools.send(way.egress, way.connect, request, way.reuse);
        answered(answer, is_forwarded, body, way.first_byte)
    }
}

/// Waits for the head of an answer, for at most `first_byte` from the moment at which the request
/// has been sent.
async fn answered(
    mut answer: impl Future<Output = Result<Response<Incoming>, NoResponse>> + Unpin,
    is_forwarded: bool,
    body: &Outgoing,
    first_byte: Duration,
) -> Result<Response<Incoming>, Failure> {
    let mut deadline = Instant::now() + first_byte;
    loop {
        match tokio::time::timeout_at(deadline, &mut answer).await {
            Ok(Ok(response)) => {
                return match Egress::refusal(is_forwarded, response.status()) {
                    Some(fault) => Err(Failure::from(fault)),
                    None => Ok(response),
                };
            }
            Ok(Err(error)) => return Err(egress::fault_of(&error).into()),
            // The wait for the first byte begins when the request has been sent, not while it is.
            Err(_) => match body.progress().map(|at| at + first_byte) {
                Some(later) if later > deadline => deadline = later,
                _ => return Err(Failure::FirstByteTimeout),
            },
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Failure {
        match fault {
            Fault::Connect => Failure::Connect,
            Fault::Exhausted => Failure::Exhausted,
            Fault::Certificate => Failure::Certificate,
            Fault::ClientCertificate => Failure::ClientCertificate,
            Fault::Proxy(fault) => Failure::Proxy(fault),
            Fault::Reset => Failure::Reset,
            Fault::Stale => Failure::Stale,
            Fault::Protocol => Failure::Protocol,
        }
    }
}
