//! The operators' side: dashboard, metrics, health and the JSON behind them, on a listener of its
//! own.
//!
//! Level 5 of the map. Only `keys` and `changes` change anything. Promises: a `Host` that is a
//! foreign name is refused (a page elsewhere cannot read this through a rebound name), but for
//! metrics and health; pages load nothing from elsewhere; queries of the log run off the runtime's
//! threads and a few at a time; answers are bounded and made while they are taken (`answers`); a
//! client that is silent or takes nothing is cut, and holds no other off (`connections`); `access`
//! decides once for each request what its sender may see. Does not: read certificates (`tls`).

mod access;
mod answers;
mod body;
mod changes;
mod connections;
mod keys;
mod pages;
mod queries;
mod state;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ailog::AiLog;
use crate::audit::Audit;
use crate::bounds::{
    ADMIN_ANSWERS_MAX, ADMIN_BUFFER_BYTES_MAX, ADMIN_HEAD_TIMEOUT, ADMIN_PIECE_BYTES,
    ADMIN_QUERIES_MAX, AUDIT_PAGE_MAX, TLS_HANDSHAKE_TIMEOUT,
};
use crate::config::policy::Settings;
use crate::config::watch::Watcher;
use crate::pipeline::gateway::Gateway;
use crate::report::ReadError;
use crate::tls::TlsAcceptor;
use access::{Asker, Gate};
use body::Body;
use connections::{Connections, Place, Stream};
use queries::Query;

/// Organisations in the list of the most refused.
const REFUSED_SHOWN: usize = 10;
/// The gateway's own endpoints, on both sides.
const OPENAPI: &str = include_str!("../../config/openapi.yaml");

/// The parts that operators may look at.
pub struct Admin {
    pub gateway: Arc<Gateway>,
    pub settings: Settings,
    pub watcher: Arc<Watcher>,
    pub audit: Arc<Audit>,
    pub log: AiLog,
    /// Only this machine reaches it.
    is_local: bool,
    gate: Gate,
    queries: Arc<Semaphore>,
    /// Places for long answers.
    answers: Arc<Semaphore>,
    /// Answers that wait for one.
    wanted: Arc<AtomicUsize>,
    /// Connections, and the long answers that they take.
    tasks: TaskTracker,
}

impl Admin {
    /// The operators' side of a gateway.
    pub fn new(
        gateway: Arc<Gateway>,
        settings: Settings,
        (watcher, audit): (Arc<Watcher>, Arc<Audit>),
        log: AiLog,
        is_local: bool,
    ) -> Admin {
        let (queries, answers) =
            (Semaphore::new(ADMIN_QUERIES_MAX), Semaphore::new(ADMIN_ANSWERS_MAX));
        let gate = Gate::new(&settings);
        Admin {
            gateway,
            settings,
            watcher,
            audit,
            log,
            is_local,
            gate,
            queries: Arc::new(queries),
            answers: Arc::new(answers),
            wanted: Arc::default(),
            tasks: TaskTracker::new(),
        }
    }
}

/// Answers operators until `stop`.
pub async fn serve(
    listener: TcpListener,
    admin: Arc<Admin>,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    let (connections, tasks) =
        (Arc::new(Connections::new(Arc::clone(&admin.wanted))), admin.tasks.clone());
    loop {
        let (stream, peer) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(_) => {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Some(place) = connections.enter() else {
            admin.gateway.metrics.bound("admin_connections");
            continue;
        };
        let (admin, place, stop) = (Arc::clone(&admin), Arc::new(place), stop.clone());
        let address = peer.ip();
        let stream = Stream::new(stream, Arc::clone(&place));
        match tls.clone() {
            None => tasks.spawn(connection((stream, address), admin, place, stop)),
            Some(tls) => tasks.spawn(async move {
                let cut = place.state.cut.clone();
                let shaken = tokio::select! {
                    shaken = tokio::time::timeout(TLS_HANDSHAKE_TIMEOUT, tls.accept(stream)) => shaken,
                    () = cut.cancelled() => return,
                    () = stop.cancelled() => return,
                };
                // A peer that speaks no TLS, or does not trust us, is closed.
                if let Ok(Ok(stream)) = shaken {
                    connection((stream, address), admin, place, stop).await;
                }
            }),
        };
    }
    tasks.close();
    tasks.wait().await;
}

/// One connection, from its first byte to its last.
async fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    (stream, address): (S, IpAddr),
    admin: Arc<Admin>,
    place: Arc<Place>,
    stop: CancellationToken,
) {
    let here = Arc::clone(&place);
    let service = service_fn(move |request| {
        let (admin, answering) = (Arc::clone(&admin), here.answer());
        async move {
            let response = answer(&admin, request, address).await;
            Ok::<_, std::convert::Infallible>(response.map(|body| body.answering(answering)))
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(ADMIN_HEAD_TIMEOUT)
        .max_buf_size(ADMIN_BUFFER_BYTES_MAX);
    let cut = place.state.cut.clone();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    // A peer that leaves is no event; at the end open pages are simply let go.
    tokio::select! {
        result = connection => drop(result),
        () = cut.cancelled() => {}
        () = stop.cancelled() => {}
    }
}

async fn answer(admin: &Arc<Admin>, request: Request<Incoming>, address: IpAddr) -> Response<Body> {
    let is_head = *request.method() == Method::HEAD;
    let for_any_host = matches!(request.uri().path(), "/metrics" | "/healthz" | "/readyz");
    let mut response = if !for_any_host && !host_is_ours(&request, &admin.settings.admin_hosts) {
        foreign_host(request.uri().path())
    } else {
        match access::asker(admin, request, address).await {
            Ok((asker, request)) => asked(admin, request, &asker).await,
            Err(response) => response,
        }
    };
    if response.body().len() > ADMIN_PIECE_BYTES {
        response = match answers::long(admin).await {
            Ok(place) => response.map(|body| body.placed(place)),
            Err(busy) => unanswered(busy),
        };
    }
    if is_head {
        *response.body_mut() = Body::full("");
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (
            "content-security-policy",
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
             img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Answers somebody who may ask.
async fn asked(admin: &Arc<Admin>, request: Request<Incoming>, asker: &Asker) -> Response<Body> {
    if keys::is_path(request.uri().path()) {
        return keys::answer(admin, request, asker).await;
    }
    if changes::is_path(request.uri().path()) {
        return changes::answer(admin, &request, asker).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return wrong_method("GET, HEAD");
    }
    routed(admin, &request, asker).await.unwrap_or_else(unanswered)
}

fn wrong_method(allow: &'static str) -> Response<Body> {
    let message = format!("this path takes {allow}");
    let mut response = unanswered(Unanswered(StatusCode::METHOD_NOT_ALLOWED, message));
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

async fn routed(
    admin: &Arc<Admin>,
    request: &Request<Incoming>,
    asker: &Asker,
) -> Result<Response<Body>, Unanswered> {
    let query = Query::of(request.uri().query());
    match request.uri().path() {
        "/api/audit" => query.only(&["before", "limit"])?,
        "/api/config" | "/api/limits" | "/api/providers" | "/api/store" | "/api/session"
        | "/api/auth" => query.only(&[])?,
        _ => {}
    }
    Ok(match request.uri().path() {
        "/openapi.yaml" => typed("application/yaml", Body::full(OPENAPI)),
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match admin.gateway.ready() {
            Ok(()) => text(StatusCode::OK, "ready\n"),
            Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason),
        },
        "/metrics" => {
            asker.sees_all()?;
            admin
                .gateway
                .metrics
                .limited_orgs
                .set(i64::try_from(admin.gateway.counters.limiter.len()).unwrap_or(i64::MAX));
            typed(
                "text/plain; version=0.0.4; charset=utf-8",
                Body::full(admin.gateway.metrics.text()),
            )
        }
        "/api/config" => {
            asker.sees_all()?;
            json_answer(&config(admin))
        }
        "/api/audit" => {
            asker.sees_all()?;
            json_answer(&audit(admin, &query).await?)
        }
        "/api/limits" => {
            asker.sees_all()?;
            json_answer(&state::limits(admin).await?)
        }
        "/api/providers" => {
            asker.sees_all()?;
            json_answer(&state::providers(admin))
        }
        "/api/store" => {
            asker.sees_all()?;
            json_answer(&state::store(admin).await?)
        }
        "/api/session" => json_answer(&state::session(admin, asker)),
        "/api/auth" => {
            asker.sees_all()?;
            json_answer(&refused_credentials(admin))
        }
        "/api/summary" => queries::summary(admin, &query, asker).await?,
        "/api/logs" => queries::logs(admin, &query, asker).await?,
        path => pages::answer(path, request.headers(), asker).unwrap_or_else(|| {
            text(
                StatusCode::NOT_FOUND,
                "not found; this side has / /metrics /healthz /readyz /api/summary /api/logs \
                 /api/limits /api/audit /api/auth /api/providers /api/store /api/session \
                 /api/config \
                 /api/keys /api/reload /api/alerts/test /api/cache/purge /openapi.yaml\n",
            )
        }),
    })
}

/// The refusal of a host name that is not known: JSON for programs, text for browsers.
fn foreign_host(path: &str) -> Response<Body> {
    let message = "this host name is not allowed here; use an IP address or `localhost`, or add \
        the name to `admin.allowed_hosts`";
    if path.starts_with("/api/") {
        return unanswered(Unanswered(StatusCode::FORBIDDEN, message.to_owned()));
    }
    let mut response = typed("text/plain; charset=utf-8", Body::full([message, "\n"].concat()));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response
}

/// Whether the host is `localhost`, an IP address or one of these names. A page of another site can
/// let any other name point here and then read what it gets.
fn host_is_ours(request: &Request<Incoming>, names: &[String]) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|h| h.to_str().ok()), hosts.next()) else {
        return false;
    };
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    // A name may be written with the dot of the root.
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok()
        || names.iter().any(|allowed| name.eq_ignore_ascii_case(allowed))
}

fn config(admin: &Admin) -> Value {
    let status = admin.watcher.status();
    let backlog = admin.log.backlog();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "policy_version": &*status.version,
        "loaded_at": iso(status.loaded_at_ms),
        "files": status.files,
        "last_edit_refused": status.refused,
        "last_refused": status.last_refused.map(|r| json!({"at": iso(r.at_ms), "problems": r.problems, "diagnoses": r.diagnoses})),
        "restart_needed": status.restart_needed,
        "audit": audit_status(admin),
        "warnings": status.warnings,
        "log": {"unstored_bytes": backlog.bytes, "lost_rows": backlog.lost, "trouble": backlog.trouble},
        "config": &*status.config,
        "shadow": status.shadow.map(|shadow| json!({
            "version": shadow.version.as_deref(),
            "files": shadow.files,
            "loaded_at": shadow.loaded_at_ms.map(iso),
            "problems": shadow.problems,
        })),
    })
}

/// The head of the audit.
fn audit_status(admin: &Admin) -> Value {
    let status = admin.audit.status();
    let head = status.head.map(|(seq, hash)| json!({"seq": seq, "hash": hash}));
    json!({"chain": status.chain, "head": head, "broken": status.broken})
}

/// The newest records of the audit, newest first.
async fn audit(admin: &Arc<Admin>, query: &Query) -> Result<Value, Unanswered> {
    let before = query.number("before")?.map_or(u64::MAX, |before| before as u64);
    let most = query.number("limit")?.unwrap_or(100).clamp(1, AUDIT_PAGE_MAX);
    let audit = Arc::clone(&admin.audit);
    let read = tokio::task::spawn_blocking(move || audit.newest(before, most)).await;
    let failed =
        || Unanswered(StatusCode::SERVICE_UNAVAILABLE, "the records cannot be read".into());
    let records = read.map_err(|_| failed())?.map_err(|_| failed())?;
    let mut answer = audit_status(admin);
    answer["records"] = Value::from(records);
    Ok(answer)
}

/// Refused credentials by reason, with the call of each that has the latest log line.
fn refused_credentials(admin: &Admin) -> Value {
    let refused = admin.gateway.auth.refused.list().into_iter().map(|(reason, count, latest)| {
        let latest = latest.map(
            |l| json!({"at": iso(l.at_ms), "kid": l.kid, "iss": l.iss, "request_id": l.request_id}),
        );
        json!({"reason": reason.as_str(), "calls": count, "latest": latest})
    });
    json!({"refused": refused.collect::<Vec<_>>()})
}

/// Why a query has no answer: its own form (400), or the store (503).
struct Unanswered(StatusCode, String);

impl From<String> for Unanswered {
    fn from(message: String) -> Unanswered {
        Unanswered(StatusCode::BAD_REQUEST, message)
    }
}

impl From<ReadError> for Unanswered {
    fn from(error: ReadError) -> Unanswered {
        Unanswered(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

fn unanswered(Unanswered(status, message): Unanswered) -> Response<Body> {
    let mut response = json_answer(&json!({"error": message}));
    *response.status_mut() = status;
    response
}

fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map(|t| format!("{t:.3}")).unwrap_or_default()
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = typed("text/plain; charset=utf-8", Body::full(text));
    *response.status_mut() = status;
    response
}

fn json_answer(value: &Value) -> Response<Body> {
    typed("application/json", Body::full(value.to_string()))
}

fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_host_is_refused_in_json_where_programs_ask() {
        for (path, kind) in [
            ("/api/summary", "application/json"),
            ("/api/keys/id", "application/json"),
            ("/", "text/plain; charset=utf-8"),
        ] {
            let response = foreign_host(path);
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            assert_eq!(response.headers()[header::CONTENT_TYPE], kind, "{path}");
        }
    }
}
