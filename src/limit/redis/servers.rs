//! The servers, kept connected, and scripts sent to the one that has their keys.
//!
//! Each server is connected and tried in a task of its own, so that one that is away is away for
//! its own keys alone. Which servers there are comes from `cluster`, `sentinel` or the address.
//!
//! Guarantees: a script takes at most the time-out, redirections and waits for a moving slot
//! included; after a failure the server gets no call until it has taken a trial of all scripts. A
//! script of which it is unknown whether it ran is not sent again. Does not: decide what becomes of
//! a call without a server.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::{ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dial::{self, Link};
use super::script::{Invocation, Scripts};
use super::table::{Node, Table};
use super::trial;
use crate::config::policy::{RedisAddress, RedisOptions};
use crate::lock::lock;
use crate::metrics::Metrics;

/// How often a server that is away is tried again.
const RECONNECT_EVERY: Duration = Duration::from_millis(200);
/// The wait before a script is sent again whose slot is just moving.
const MOVING_WAIT: Duration = Duration::from_millis(5);
/// Redirections, and waits for a moving slot, of one script.
const TRIES_MAX: usize = 64;

/// A script has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// It did not run.
    Refused,
    /// It is unknown whether it ran.
    Unknown,
}

/// The servers.
pub struct Servers {
    pub options: RedisOptions,
    pub scripts: Scripts,
    table: ArcSwap<Table>,
    /// A server redirected calls: these slots are at these addresses.
    pub hints: Mutex<HashMap<u16, RedisAddress>>,
    /// The cluster is to be looked at now.
    pub look: Notify,
    /// How many times it has been looked at.
    pub looked: watch::Sender<u64>,
    /// Every server was up for the first time, or was waited for long enough.
    pub started: CancellationToken,
    metrics: Arc<Metrics>,
}

/// Where a script is sent next.
enum Next {
    To(Arc<Node>, bool),
    Again,
    LookFirst,
    Fail,
}

impl Servers {
    /// Servers that are not connected yet.
    pub fn new(options: RedisOptions, metrics: Arc<Metrics>) -> Servers {
        Servers {
            options,
            scripts: Scripts::default(),
            table: ArcSwap::from_pointee(Table::of_one(None)),
            hints: Mutex::default(),
            look: Notify::new(),
            looked: watch::Sender::new(0),
            started: CancellationToken::new(),
            metrics,
        }
    }

    /// The servers that count now.
    pub fn table(&self) -> Arc<Table> {
        self.table.load_full()
    }

    /// Whether every key has a server that can be asked.
    pub fn is_up(&self) -> bool {
        self.table.load().is_whole()
    }

    /// Puts a new table in force. Servers that are in it already keep their connections, those that
    /// are new get one, those that are missing lose theirs at once.
    pub fn replace(self: &Arc<Servers>, table: Table, keepers: &mut JoinSet<()>) {
        while keepers.try_join_next().is_some() {}
        let before = self.table.swap(Arc::new(table));
        let now = self.table.load();
        let has = |list: &[Arc<Node>], node: &Arc<Node>| list.iter().any(|n| Arc::ptr_eq(n, node));
        for node in now.nodes.iter().filter(|node| !has(&before.nodes, node)) {
            keepers.spawn(Arc::clone(self).keep(Arc::clone(node)));
        }
        before.nodes.iter().filter(|node| !has(&now.nodes, node)).for_each(|node| node.retire());
        self.note();
    }

    /// Tells the metric, and the calls that wait for the start.
    pub fn note(&self) {
        let is_up = self.is_up();
        self.metrics.limits_store_up.set(i64::from(is_up));
        if is_up {
            self.started.cancel();
        }
    }

    /// Connects a server and tries it, again and again, until it does not count any more.
    async fn keep(self: Arc<Servers>, node: Arc<Node>) {
        tokio::select! {
            () = node.gone.cancelled() => {}
            () = self.keep_connected(&node) => {}
        }
    }

    async fn keep_connected(&self, node: &Arc<Node>) {
        let mut told = false;
        loop {
            match self.connect(node).await {
                Ok(link) => {
                    told = false;
                    let link = node.connected(link);
                    let since = Instant::now();
                    node.tried.cancel();
                    self.note();
                    tracing::info!(
                        event = "limits_store_connected",
                        server = %node.address, "the limits store is connected");
                    self.until_broken(node, &link).await;
                    if since.elapsed() > RECONNECT_EVERY {
                        continue;
                    }
                }
                Err(reason) if !told => {
                    told = true;
                    self.tell(node, &reason);
                }
                Err(_) => {}
            }
            node.tried.cancel();
            tokio::time::sleep(RECONNECT_EVERY).await;
        }
    }

    /// Waits until the connection has failed. One that the server closes while no call uses it is
    /// replaced before the next call.
    async fn until_broken(&self, node: &Arc<Node>, link: &Arc<Link>) {
        tokio::select! {
            () = node.broken.notified() => {}
            () = link.ended() => {
                self.broke(node, link, "the server closed the connection");
                // It was told of just now, here or by a call.
                node.broken.notified().await;
            }
        }
    }

    fn tell(&self, node: &Node, reason: &str) {
        let server = &node.address;
        if self.started.is_cancelled() {
            tracing::warn!(
                event = "limits_store_away",
                %server,
                reason,
                "the limits store cannot be reached; limits.fail of the policy applies"
            );
        } else {
            tracing::warn!(
                event = "limits_store_waited_for",
                %server,
                reason,
                "the limits store cannot be reached; calls wait for it"
            );
        }
    }

    /// A connection to a server that has taken a trial of all scripts.
    async fn connect(&self, node: &Arc<Node>) -> Result<Link, String> {
        let options = &self.options;
        let connecting = async {
            let link = dial::dial(&node.address, &options.servers, options.database).await?;
            // A server that takes connections but is full, a replica, and one that lets the user do
            // nothing cannot count.
            if let Some(tag) = self.table.load().tag_of(node) {
                let tried = trial::run(&self.scripts, &tag, &mut link.connection()).await;
                tried.map_err(|error| dial::first_reason(&error, &options.servers))?;
            }
            Ok(link)
        };
        // Connecting, greeting and each script have a time-out; a name that is not resolved has
        // none.
        let patience = options.timeout.saturating_mul(4);
        tokio::time::timeout(patience, connecting).await.map_err(|_| "no answer".to_owned())?
    }

    /// Runs a script at the server that has its keys.
    ///
    /// # Errors
    /// The server is away, or fails; or the time-out is over.
    pub async fn run<T: FromRedisValue>(&self, script: &Invocation<'_>) -> Result<T, Failed> {
        let until = Instant::now() + self.options.timeout;
        let key = script.first_key();
        let (mut at, mut asking) = (self.node_of(key)?, false);
        for _ in 0..TRIES_MAX {
            if !at.tried.is_cancelled() {
                // It has just been found, and is being connected.
                let trying = tokio::time::timeout_at(until, at.tried.cancelled());
                trying.await.map_err(|_| Failed::Refused)?;
            }
            let link = at.link().ok_or(Failed::Refused)?;
            let began = Instant::now();
            let mut connection = link.connection();
            let sent = tokio::time::timeout_at(until, script.send(&mut connection, asking)).await;
            let error = match sent {
                Ok(Ok(value)) => {
                    return T::from_redis_value(value).map_err(|_| {
                        self.broke(&at, &link, "an answer in an unknown form");
                        Failed::Unknown
                    });
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    // It had little time if others used up the rest.
                    if until.saturating_duration_since(began) * 2 >= self.options.timeout {
                        self.broke(&at, &link, "no answer within the time-out");
                    }
                    return Err(Failed::Unknown);
                }
            };
            match self.next(&at, &error) {
                Next::To(node, ask) => (at, asking) = (node, ask),
                Next::Again => {
                    tokio::time::timeout_at(until, tokio::time::sleep(MOVING_WAIT))
                        .await
                        .map_err(|_| Failed::Refused)?;
                }
                Next::LookFirst => {
                    let mut looked = self.looked.subscribe();
                    self.look.notify_one();
                    let _ = tokio::time::timeout_at(until, looked.changed())
                        .await
                        .map_err(|_| Failed::Refused)?;
                    (at, asking) = (self.node_of(key)?, false);
                }
                Next::Fail => return Err(self.failed(&at, &link, &error)),
            }
        }
        Err(Failed::Refused)
    }

    fn node_of(&self, key: &[u8]) -> Result<Arc<Node>, Failed> {
        self.table.load().node_of(key).cloned().ok_or(Failed::Refused)
    }

    /// The next step after an error of a cluster; anything else fails the script.
    fn next(&self, at: &Node, error: &RedisError) -> Next {
        let moved = match error.kind() {
            ErrorKind::Server(ServerErrorKind::TryAgain) => return Next::Again,
            ErrorKind::Server(ServerErrorKind::Moved) => true,
            ErrorKind::Server(ServerErrorKind::Ask) => false,
            _ => return Next::Fail,
        };
        let Some((address, slot)) = error.redirect_node() else { return Next::Fail };
        let Some(address) = address_of(address, &at.address.host) else { return Next::Fail };
        let node = self.table.load().at(&address).cloned();
        if moved || node.is_none() {
            lock(&self.hints).insert(slot, address);
            self.look.notify_one();
        }
        match node {
            Some(node) => Next::To(node, !moved),
            None => Next::LookFirst,
        }
    }

    /// A script failed for good.
    fn failed(&self, node: &Arc<Node>, link: &Arc<Link>, error: &RedisError) -> Failed {
        let reason = dial::reason(error, &self.options.servers);
        if dial::lacks_right(error) {
            // The server is well. A user that it does not know any more is greeted anew below.
            if !node.told.swap(true, Ordering::Relaxed) {
                let server = &node.address;
                tracing::error!(
                    event = "limits_store_refuses",
                    %server, reason, "the limits store refuses; limits.fail applies");
            }
            return Failed::Refused;
        }
        self.broke(node, link, &reason);
        if error.is_io_error() { Failed::Unknown } else { Failed::Refused }
    }

    /// A server failed: it is not asked again until it has been connected and tried.
    fn broke(&self, node: &Arc<Node>, link: &Arc<Link>, reason: &str) {
        if node.drop_link(link) {
            self.note();
            self.look.notify_one();
            tracing::warn!(
                event = "limits_store_away",
                server = %node.address,
                reason,
                "the limits store is unavailable; limits.fail of the policy applies"
            );
        }
    }
}

/// `host:port` of a redirection; without a host it is the server's own.
pub fn address_of(text: &str, own_host: &str) -> Option<RedisAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { own_host } else { host };
    (host != "?").then_some(RedisAddress { host: host.to_owned(), port: port.parse().ok()? })
}
