//! Pooled HTTP clients, one for each way out.
//!
//! HTTP/1.1 and HTTP/2. Guarantees: a connection is used again only by requests with the same
//! proxy, proxy credentials, TLS files (as they are now) and connect timeout; a proxy's credentials
//! are in no request to anyone else; the only retry is for a pooled connection that was dead before
//! the first byte was written; the number of pools is bounded. Does not: follow redirects, wait
//! for a time, or decide about retries.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri, header};
use http_body::Body;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use tower_service::Service;

use super::Egress;
use super::connector::{Connector, NoConnection};
use super::stream::Stream;
use super::used::Used;
use crate::bounds::{POOL_IDLE_MAX, POOL_IDLE_TIMEOUT};

/// Whether a request may go over a connection that was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    Allowed,
    Never,
}

/// The pools for requests with bodies of one type.
pub struct Pools<B> {
    list: ArcSwap<Vec<Pool<B>>>,
    pools_max: usize,
}

/// The connections of one way out.
struct Pool<B> {
    egress: Arc<Egress>,
    within: Duration,
    tls: Arc<ClientConfig>,
    client: Client<Marked, B>,
}

/// A connector whose connections record whether they were used before.
#[derive(Clone)]
struct Marked(Connector);

impl Service<Uri> for Marked {
    type Response = TokioIo<Used<TokioIo<Stream>>>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoConnection>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let connecting = self.0.call(target);
        Box::pin(async move { connecting.await.map(Used::over) })
    }
}

impl<B> Clone for Pool<B> {
    fn clone(&self) -> Pool<B> {
        Pool {
            egress: Arc::clone(&self.egress),
            within: self.within,
            tls: Arc::clone(&self.tls),
            client: self.client.clone(),
        }
    }
}

impl<B> Pools<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// At most so many pools.
    pub fn new(pools_max: usize) -> Pools<B> {
        Pools { list: ArcSwap::default(), pools_max }
    }

    /// Sends a request. `within`: the time limit of a new connection.
    ///
    /// # Cancel safety
    /// Dropping the future closes the connection that the request used.
    pub fn send(
        &self,
        egress: &Arc<Egress>,
        within: Duration,
        mut request: Request<B>,
        reuse: Reuse,
    ) -> ResponseFuture {
        if let Some(value) = forwarded_with(egress, request.uri()) {
            request.headers_mut().insert(header::PROXY_AUTHORIZATION, value);
        }
        match reuse {
            Reuse::Allowed => self.request(egress, within, request),
            // A pool of its own, whose connections end with their requests.
            Reuse::Never => Pool::new(egress, within).client.request(request),
        }
    }

    fn request(
        &self,
        egress: &Arc<Egress>,
        within: Duration,
        request: Request<B>,
    ) -> ResponseFuture {
        let is_same = |pool: &Pool<B>| pool.within == within && pool.egress.is(egress);
        let find = |pools: &[Pool<B>]| {
            pools
                .iter()
                .find(|pool| is_same(pool) && egress.tls().is(&pool.tls))
                .map(|pool| pool.client.clone())
        };
        if let Some(client) = find(&self.list.load()) {
            return client.request(request);
        }
        let made = Pool::new(egress, within);
        self.list.rcu(|pools| {
            let mut pools = Vec::clone(pools);
            // Another request may have made it meanwhile.
            if find(&pools).is_none() {
                // Connections with former content of the TLS files end with their requests.
                pools.retain(|pool| !is_same(pool));
                pools.truncate(self.pools_max.saturating_sub(1));
                pools.insert(0, made.clone());
            }
            pools
        });
        find(&self.list.load()).unwrap_or(made.client).request(request)
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.list.load().len()
    }
}

impl<B> Pool<B>
where
    B: Body + Send + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn new(egress: &Arc<Egress>, within: Duration) -> Pool<B> {
        // Before the connections are made: a change in between makes another pool.
        let tls = egress.tls().config();
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_IDLE_MAX)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .build(Marked(Connector::new(Arc::clone(egress), within)));
        Pool { egress: Arc::clone(egress), within, tls, client }
    }
}

/// The credentials of a proxy that gets the whole request.
fn forwarded_with(egress: &Egress, target: &Uri) -> Option<HeaderValue> {
    if target.scheme() != Some(&Scheme::HTTP) {
        return None;
    }
    let authorization = egress.proxies().of(target)?.authorization.reveal();
    if authorization.is_empty() {
        return None;
    }
    let mut value = HeaderValue::from_str(&authorization).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;

    use super::super::rules::{NoProxy, Proxies, ProxyAddress};
    use super::super::trust::ClientTls;
    use super::*;

    fn through(proxy: &str) -> Arc<Egress> {
        let proxy = ProxyAddress::parse(proxy).expect("a proxy");
        let proxies = Proxies::only(proxy, NoProxy::default());
        Arc::new(Egress::new(proxies, ClientTls::machine()))
    }

    #[tokio::test]
    async fn each_way_out_has_a_pool_of_its_own_and_their_number_is_bounded() {
        let pools: Pools<Full<Bytes>> = Pools::new(3);
        let send = |egress: &Arc<Egress>, ms| {
            let request = Request::builder().uri("http://127.0.0.1:1/").body(Full::default());
            let within = Duration::from_millis(ms);
            drop(pools.send(egress, within, request.expect("a request"), Reuse::Allowed));
            pools.count()
        };
        let (a, b) = (through("http://a:b@127.0.0.1:1"), through("http://a:c@127.0.0.1:1"));
        assert_eq!((send(&a, 10), send(&a, 10)), (1, 1));
        assert_eq!(send(&through("http://a:b@127.0.0.1:1"), 10), 1, "another policy");
        assert_eq!((send(&a, 11), send(&b, 10), send(&b, 10)), (2, 3, 3), "other credentials");
        assert_eq!(send(&Arc::new(Egress::direct()), 10), 3, "the oldest is let go");
    }

    #[test]
    fn credentials_go_with_requests_that_a_proxy_forwards() {
        let egress = through("http://user:pass@127.0.0.1:1");
        let value =
            |egress: &Egress, target: &str| forwarded_with(egress, &target.parse().expect("a URL"));
        let sent = value(&egress, "http://a.test/v1").expect("credentials");
        assert!(sent.is_sensitive() && sent == "Basic dXNlcjpwYXNz");
        assert_eq!(value(&egress, "https://a.test/v1"), None);
        assert_eq!(value(&egress, "http://169.254.169.254/latest"), None);
        assert_eq!(value(&Egress::direct(), "http://a.test/v1"), None);
    }
}
