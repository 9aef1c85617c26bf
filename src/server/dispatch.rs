//! One call: its head is checked, its route matched, and its endpoint answers it.
//!
//! Stage 2 of the walk.
//!
//! Guarantees: a call sees one policy, loaded here; with `ailog.durability: power`, an answer that
//! is complete is returned after its rows are on the disk. Does not know the stages of an endpoint
//! (see `pipeline` and `intent`).

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;

use crate::code::Code;
use crate::config::policy::Durability;
use crate::ids::RequestId;
use crate::intent;
use crate::pipeline::answer_out::body::Body;
use crate::pipeline::gateway::Gateway;
use crate::pipeline::refusal::Refusal;
use crate::pipeline::seat::Seat;
use crate::pipeline::upload::Upload;
use crate::pipeline::walk::Walk;
use crate::pipeline::{self, endpoints, framing};
use crate::route::table::{self, Matched};
use crate::server::cors;

/// A call whose head has been read.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it arrives")]
enum Begun<'g> {
    /// It has its answer.
    Answered(Response<Body>),
    /// An endpoint answers it.
    Matched(Walk<'g>, Matched, Upload),
}

/// Takes a call and answers it: from its head to the head of its answer.
///
/// # Errors
/// A refusal of the call.
///
/// # Cancel safety
/// Dropped when the client leaves: the provider's connection is closed and the row says
/// `client_disconnect`.
pub async fn dispatch(
    gateway: &Arc<Gateway>,
    request: &mut Option<Request<Incoming>>,
    request_id: &RequestId,
    seat: &Arc<Seat>,
) -> Result<Response<Body>, Refusal> {
    let request = request.take().ok_or_else(|| Refusal::of(Code::Internal))?;
    let (walk, matched, upload) = match begin(gateway, request, request_id, seat)? {
        Begun::Answered(answer) => return Ok(answer),
        Begun::Matched(walk, matched, upload) => (walk, matched, upload),
    };
    let is_power_safe = walk.policy.ailog.durability == Durability::Power;
    let answer = match matched {
        Matched::Healthz => return Ok(plain(StatusCode::OK, "ok\n")),
        Matched::Readyz => return Ok(readiness(gateway)),
        // Boxed: the futures of the endpoints are large, and a connection holds one at a time.
        Matched::Intent => Box::pin(intent::classify(walk, upload)).await,
        Matched::IntentBatch => Box::pin(intent::batch(walk, upload)).await,
        Matched::IntentResult(id) => Box::pin(intent::result(walk, &id)).await,
        Matched::Proxy(endpoint) => Box::pin(pipeline::proxy(&walk, endpoint, upload)).await,
        Matched::Realtime => {
            walk.caller(false).await?;
            Err(endpoints::not_supported())
        }
        Matched::Closed => {
            walk.caller(false).await?;
            Err(endpoints::never_open())
        }
        Matched::WrongMethod(allow) => Err(walk.wrong_method(allow)),
        Matched::Unknown => Err(endpoints::unknown(walk.head.uri.path())),
    };
    // An answer that is still being sent waits before its own end.
    if is_power_safe && !matches!(&answer, Ok(response) if response.body().is_coming()) {
        gateway.log.durable().await;
    }
    answer
}

/// Reads the head of a call. Apart from [`dispatch`], whose future has no place for the parts then.
fn begin<'g>(
    gateway: &'g Arc<Gateway>,
    request: Request<Incoming>,
    request_id: &'g RequestId,
    seat: &'g Arc<Seat>,
) -> Result<Begun<'g>, Refusal> {
    let started = gateway.clock.now();
    let (head, incoming) = request.into_parts();
    let upload = Upload::new(incoming, &head, gateway, seat);
    framing::check(&head)?;
    let policy = gateway.policy.load_full();
    if head.method == Method::OPTIONS
        && let Some(answer) = cors::preflight(&policy.cors, &head.headers)
    {
        return Ok(Begun::Answered(answer));
    }
    let matched = match table::find(&head.method, head.uri.path(), &policy.routing.endpoints) {
        Matched::Unknown => Matched::Unknown,
        _ if head.method == Method::GET && endpoints::is_websocket(&head.headers) => {
            Matched::Realtime
        }
        matched => matched,
    };
    if policy.ailog.durability == Durability::Power {
        gateway.log.expect_durable();
    }
    let walk = Walk::new(gateway, policy, head, request_id, started, seat);
    Ok(Begun::Matched(walk, matched, upload))
}

fn readiness(gateway: &Gateway) -> Response<Body> {
    match gateway.ready() {
        Ok(()) => plain(StatusCode::OK, "ready\n"),
        Err(reason) => plain(StatusCode::SERVICE_UNAVAILABLE, reason),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::full(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
