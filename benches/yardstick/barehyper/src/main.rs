//! The least a hyper gateway can do: hyper 1 server, pooled hyper client, bodies streamed both
//! ways, one thread. BARE_ADDR (127.0.0.1:9201), BARE_UPSTREAM (127.0.0.1:9100),
//! BARE_CLIENT=pool|legacy pool: our own stack of idle hyper::client::conn::http1 senders; legacy:
//! hyper_util's Client.
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, HOST, HeaderValue, TE, TRANSFER_ENCODING};
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::cell::RefCell;
use std::rc::Rc;

type Pool = Rc<RefCell<Vec<SendRequest<Incoming>>>>;

fn strip(h: &mut hyper::HeaderMap, host: &HeaderValue) {
    h.remove(CONNECTION);
    h.remove(TE);
    h.remove(TRANSFER_ENCODING);
    h.remove("keep-alive");
    h.insert(HOST, host.clone());
}

async fn via_pool(
    pool: Pool,
    up: std::net::SocketAddr,
    host: HeaderValue,
    mut req: Request<Incoming>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    strip(req.headers_mut(), &host);
    let idle = {
        let mut p = pool.borrow_mut();
        p.retain(|t| !t.is_closed());
        // the last one used and idle; a sender whose response still streams is not ready
        p.iter().rposition(|t| t.is_ready()).map(|i| p.remove(i))
    };
    let mut tx = match idle {
        Some(tx) => tx,
        None => {
            let s = tokio::net::TcpStream::connect(up).await?;
            s.set_nodelay(true)?;
            let (tx, conn) = hyper::client::conn::http1::handshake(TokioIo::new(s)).await?;
            tokio::task::spawn_local(async move {
                let _ = conn.await;
            });
            tx
        }
    };
    let r = tx.send_request(req).await?;
    // put back now; it is taken again only once ready, which is after the response body's end
    pool.borrow_mut().push(tx);
    Ok(r)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let addr: std::net::SocketAddr =
        std::env::var("BARE_ADDR").unwrap_or("127.0.0.1:9201".into()).parse().unwrap();
    let up: std::net::SocketAddr =
        std::env::var("BARE_UPSTREAM").unwrap_or("127.0.0.1:9100".into()).parse().unwrap();
    let legacy = std::env::var("BARE_CLIENT").map(|v| v == "legacy").unwrap_or(false);
    let host = HeaderValue::from_str(&up.to_string()).unwrap();
    let s = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    s.set_reuse_address(true).unwrap();
    s.set_nonblocking(true).unwrap();
    s.bind(&addr.into()).unwrap();
    s.listen(4096).unwrap();
    let l = tokio::net::TcpListener::from_std(s.into()).unwrap();
    let pool: Pool = Default::default();
    let mut hc = hyper_util::client::legacy::connect::HttpConnector::new();
    hc.set_nodelay(true);
    let client = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(1024)
        .build::<_, Incoming>(hc);
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            loop {
                let Ok((c, _)) = l.accept().await else { continue };
                let _ = c.set_nodelay(true);
                let (pool, host, client) = (pool.clone(), host.clone(), client.clone());
                tokio::task::spawn_local(async move {
                    let svc = hyper::service::service_fn(move |mut req: Request<Incoming>| {
                        let (pool, host, client) = (pool.clone(), host.clone(), client.clone());
                        async move {
                            if legacy {
                                strip(req.headers_mut(), &host);
                                let pq =
                                    req.uri().path_and_query().map(|p| p.as_str()).unwrap_or("/");
                                let u: Uri = format!("http://{}{}", up, pq).parse()?;
                                *req.uri_mut() = u;
                                client.request(req).await.map_err(
                                    |e| -> Box<dyn std::error::Error + Send + Sync> { e.into() },
                                )
                            } else {
                                via_pool(pool, up, host, req).await
                            }
                        }
                    });
                    let _ = hyper::server::conn::http1::Builder::new()
                        .pipeline_flush(true)
                        .serve_connection(TokioIo::new(c), svc)
                        .await;
                });
            }
        })
        .await;
}
