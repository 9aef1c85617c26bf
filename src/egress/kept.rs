//! HTTP/1 connections that are kept between requests, by their origins.
//!
//! Guarantees: a connection is used by one request at a time, and again only within
//! [`POOL_IDLE_TIMEOUT`]; those that wait are bounded for each origin, and so are the origins. Does
//! not: connect, send, or know HTTP/2 connections (it knows which origins have them).

use std::sync::{Arc, Mutex, Weak};

use http::uri::{Authority, Scheme};
use http::{HeaderValue, Uri};
use hyper::client::conn::http1::SendRequest;
use hyper_util::client::legacy::connect::Connected;
use tokio::time::Instant;

use crate::bounds::{POOL_IDLE_MAX, POOL_IDLE_TIMEOUT, POOL_LOOKS_MAX, POOL_ORIGINS_MAX};
use crate::lock::lock;

/// A connection, and what is known of it.
pub struct Connection<B> {
    pub sender: SendRequest<B>,
    pub connected: Connected,
}

/// The connections of one way out.
pub struct Kept<B> {
    origins: Mutex<Origins<B>>,
}

struct Origins<B> {
    list: Vec<Origin<B>>,
    /// A task closes those that nobody uses.
    is_swept: bool,
}

struct Origin<B> {
    is_tls: bool,
    authority: Authority,
    /// The value of `host`.
    host: HeaderValue,
    /// It speaks HTTP/2.
    is_shared: bool,
    /// The one that was used last is at the end.
    idle: Vec<Idle<B>>,
}

struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

/// What there is for a request.
pub enum Taken<B> {
    /// A connection, and the value of `host`.
    Connection(Connection<B>, HeaderValue),
    /// The origin speaks HTTP/2.
    Shared,
    /// None that is free.
    Nothing,
}

impl<B> Default for Kept<B> {
    fn default() -> Kept<B> {
        Kept { origins: Mutex::new(Origins { list: Vec::new(), is_swept: false }) }
    }
}

impl<B: Send + 'static> Kept<B> {
    /// A connection to the origin of `target`, if one is free.
    pub fn take(&self, target: &Uri, now: Instant) -> Taken<B> {
        let mut origins = lock(&self.origins);
        let Some(origin) = origins.list.iter_mut().find(|origin| origin.is(target)) else {
            return Taken::Nothing;
        };
        if origin.is_shared {
            return Taken::Shared;
        }
        match origin.free(now) {
            Some(connection) => Taken::Connection(connection, origin.host.clone()),
            None => Taken::Nothing,
        }
    }

    /// Keeps a connection for the next request; closes it if too many are kept.
    pub fn keep(self: &Arc<Self>, target: &Uri, connection: Connection<B>) {
        let mut origins = lock(&self.origins);
        let idle = Idle { connection, since: Instant::now() };
        match origins.of(target) {
            Some(origin) if origin.idle.len() < POOL_IDLE_MAX => origin.idle.push(idle),
            _ => return,
        }
        if !std::mem::replace(&mut origins.is_swept, true) {
            drop(origins);
            in_background(sweep(Arc::downgrade(self)));
        }
    }

    /// From now on requests to the origin of `target` share a connection.
    pub fn is_shared(&self, target: &Uri) {
        if let Some(origin) = lock(&self.origins).of(target) {
            origin.is_shared = true;
        }
    }

    /// Open connections, and those of them that are free.
    #[cfg(test)]
    pub fn count(&self) -> (usize, usize) {
        let origins = lock(&self.origins);
        let senders = || {
            let idle = origins.list.iter().flat_map(|origin| &origin.idle);
            idle.map(|idle| &idle.connection.sender).filter(|sender| !sender.is_closed())
        };
        (senders().count(), senders().filter(|sender| sender.is_ready()).count())
    }
}

/// Runs the driver of a connection, or the sweep of a pool. A shutdown waits for calls alone;
/// connections end with their pool.
#[expect(clippy::disallowed_methods, reason = "no call waits for the end of a connection")]
pub fn in_background(work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(work);
}

/// Closes connections that were not used for a while; ends with the last one.
async fn sweep<B: Send + 'static>(kept: Weak<Kept<B>>) {
    loop {
        tokio::time::sleep(POOL_IDLE_TIMEOUT).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut origins = lock(&kept.origins);
        let now = Instant::now();
        let list = &mut origins.list;
        list.iter_mut().for_each(|origin| origin.idle.retain(|idle| idle.is_usable(now)));
        if list.iter().all(|origin| origin.idle.is_empty()) {
            origins.is_swept = false;
            return;
        }
    }
}

impl<B> Origins<B> {
    /// The origin of `target`, which is new if it is not known.
    fn of(&mut self, target: &Uri) -> Option<&mut Origin<B>> {
        if let Some(at) = self.list.iter().position(|origin| origin.is(target)) {
            return self.list.get_mut(at);
        }
        if self.list.len() >= POOL_ORIGINS_MAX {
            self.list.retain(|origin| !origin.idle.is_empty());
        }
        if self.list.len() >= POOL_ORIGINS_MAX {
            return None;
        }
        self.list.push(Origin::new(target)?);
        self.list.last_mut()
    }
}

impl<B> Origin<B> {
    fn new(target: &Uri) -> Option<Origin<B>> {
        Some(Origin {
            is_tls: target.scheme() == Some(&Scheme::HTTPS),
            authority: target.authority()?.clone(),
            host: host(target)?,
            is_shared: false,
            idle: Vec::new(),
        })
    }

    fn is(&self, target: &Uri) -> bool {
        let is_same = |authority: &Authority| authority.as_str() == self.authority.as_str();
        target.authority().is_some_and(is_same)
            && self.is_tls == (target.scheme() == Some(&Scheme::HTTPS))
    }

    /// Takes a free connection, the one that was used last if possible.
    fn free(&mut self, now: Instant) -> Option<Connection<B>> {
        for at in (self.idle.len().saturating_sub(POOL_LOOKS_MAX)..self.idle.len()).rev() {
            let idle = &self.idle[at];
            if !idle.is_usable(now) {
                self.idle.remove(at);
            } else if idle.connection.sender.is_ready() {
                return Some(self.idle.remove(at).connection);
            }
        }
        None
    }
}

impl<B> Idle<B> {
    fn is_usable(&self, now: Instant) -> bool {
        !self.connection.sender.is_closed()
            && now.saturating_duration_since(self.since) < POOL_IDLE_TIMEOUT
    }
}

/// The value of `host` for a target.
pub fn host(target: &Uri) -> Option<HeaderValue> {
    let name = target.host()?;
    let is_tls = target.scheme() == Some(&Scheme::HTTPS);
    match target.port_u16() {
        Some(port) if port != if is_tls { 443 } else { 80 } => {
            HeaderValue::from_str(&format!("{name}:{port}")).ok()
        }
        _ => HeaderValue::from_str(name).ok(),
    }
}
