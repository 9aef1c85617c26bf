//! The masters of a Redis Cluster and their slots, followed as they change.
//!
//! Every connected master is asked (`CLUSTER SLOTS`), and the answer that most of them give holds;
//! where none is connected, the configured addresses and all nodes seen before are asked. Slots
//! that a server redirected since then are at the server that it named. The cluster is looked at
//! when a server fails or redirects, five times a second while any slot is without a server, and
//! now and then otherwise.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, RedisError, Value};
use tokio::task::JoinSet;

use super::dial::{self, Link};
use super::servers::Servers;
use super::table::{Node, SLOTS, Table, UNOWNED};
use crate::config::policy::RedisAddress;
use crate::lock::lock;

/// How often the cluster is looked at while a server is away.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// How often it is looked at otherwise.
const LOOK_SELDOM: Duration = Duration::from_secs(5);
/// The shortest time between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);
/// Nodes of a cluster, replicas among them, that are remembered.
const NODES_MAX: usize = 1_024;

/// A stretch of slots, its master, and the addresses of the replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stretch {
    pub from: u16,
    pub to: u16,
    pub master: RedisAddress,
    replicas: Vec<RedisAddress>,
}

/// Follows the cluster; never returns.
pub async fn follow(servers: &Arc<Servers>, keepers: &mut JoinSet<()>) {
    let mut known = servers.options.contacts.clone();
    let mut told = false;
    loop {
        // Redirections of before this look are in it, or hold over it.
        let hints = std::mem::take(&mut *lock(&servers.hints));
        match look(servers, &known).await {
            Some(view) => {
                told = false;
                remember(&mut known, &view);
                install(servers, &view, &hints, keepers);
            }
            None if !told => {
                told = true;
                tracing::warn!(
                    event = "limits_cluster_away",
                    "no node of the limits store's cluster answers"
                );
            }
            None => {}
        }
        servers.looked.send_modify(|looked| *looked += 1);
        tokio::time::sleep(LOOK_PAUSE).await;
        let pause = if servers.is_up() { LOOK_SELDOM } else { LOOK_EVERY };
        let _ = tokio::time::timeout(pause, servers.look.notified()).await;
    }
}

/// The answer of most masters, else of most of the nodes that were seen before.
async fn look(servers: &Arc<Servers>, known: &[RedisAddress]) -> Option<Vec<Stretch>> {
    let table = servers.table();
    let mut asked: FuturesUnordered<_> = table
        .nodes
        .iter()
        .filter_map(|node| Some((node.address.host.clone(), node.link()?.connection())))
        .map(|(host, connection)| ask(servers, host, connection))
        .collect();
    let mut views = Vec::new();
    while let Some(view) = asked.next().await {
        views.extend(view);
    }
    if views.is_empty() {
        let mut dialled: FuturesUnordered<_> =
            known.iter().map(|address| ask_anew(servers, address)).collect();
        while let Some(view) = dialled.next().await {
            views.extend(view);
        }
    }
    most_frequent(views)
}

async fn ask_anew(servers: &Servers, address: &RedisAddress) -> Option<Vec<Stretch>> {
    let dialling = dial::dial(address, &servers.options.servers, 0);
    let patience = servers.options.timeout.saturating_mul(2);
    let link = match tokio::time::timeout(patience, dialling).await {
        Ok(Ok(link)) => link,
        Ok(Err(no_link)) => {
            let reason = no_link.reason;
            tracing::debug!(
                event = "limits_node_away",
                server = %address, reason, "a node of the cluster is away");
            return None;
        }
        Err(_) => return None,
    };
    ask(servers, address.host.clone(), link.connection()).await
}

async fn ask(
    servers: &Servers,
    host: String,
    connection: MultiplexedConnection,
) -> Option<Vec<Stretch>> {
    match slots_of(connection, &host, servers.options.timeout).await {
        Ok(slots) => Some(slots),
        Err(Some(error)) => {
            let reason = dial::reason(&error, &servers.options.servers);
            tracing::warn!(
                event = "limits_slots_untold",
                server = host,
                reason,
                "a node does not tell the cluster's slots"
            );
            None
        }
        Err(None) => None,
    }
}

/// The slots as a node tells them.
///
/// # Errors
/// Its error; `None` if it does not answer in time, or in an unknown form.
pub async fn slots(
    link: &Link,
    own_host: &str,
    patience: Duration,
) -> Result<Vec<Stretch>, Option<RedisError>> {
    slots_of(link.connection(), own_host, patience).await
}

async fn slots_of(
    mut connection: MultiplexedConnection,
    own_host: &str,
    patience: Duration,
) -> Result<Vec<Stretch>, Option<RedisError>> {
    let mut command = redis::cmd("CLUSTER");
    command.arg("SLOTS");
    let asking = command.query_async::<Value>(&mut connection);
    match tokio::time::timeout(patience, asking).await {
        Ok(Ok(answer)) => stretches(answer, own_host).ok_or(None),
        Ok(Err(error)) => Err(Some(error)),
        Err(_) => Err(None),
    }
}

/// `CLUSTER SLOTS`: from, to, master, replicas …; each of them host, port, id, ….
fn stretches(answer: Value, own_host: &str) -> Option<Vec<Stretch>> {
    let rows = Vec::<Vec<Value>>::from_redis_value(answer).ok()?;
    let node = |value: &Value| {
        let parts = Vec::<Value>::from_redis_value_ref(value).ok()?;
        let host = match parts.first()? {
            Value::Nil => own_host.to_owned(),
            host => String::from_redis_value_ref(host).ok()?,
        };
        let host = if host.is_empty() { own_host.to_owned() } else { host };
        let port = u16::from_redis_value_ref(parts.get(1)?).ok()?;
        (host != "?").then_some(RedisAddress { host, port })
    };
    let row = |row: &Vec<Value>| {
        let [from, to, master, replicas @ ..] = row.as_slice() else { return None };
        let slot = |value: &Value| {
            u16::from_redis_value_ref(value).ok().filter(|slot| usize::from(*slot) < SLOTS)
        };
        Some(Stretch {
            from: slot(from)?,
            to: slot(to)?,
            master: node(master)?,
            replicas: replicas.iter().filter_map(node).collect(),
        })
    };
    let mut list: Vec<Stretch> = rows.iter().filter_map(row).collect();
    list.sort_by_key(|stretch| stretch.from);
    (!list.is_empty()).then_some(list)
}

fn most_frequent(views: Vec<Vec<Stretch>>) -> Option<Vec<Stretch>> {
    let owners = |view: &[Stretch]| -> Vec<(u16, u16, RedisAddress)> {
        view.iter().map(|part| (part.from, part.to, part.master.clone())).collect()
    };
    let mut counts = HashMap::new();
    views.iter().for_each(|view| *counts.entry(owners(view)).or_insert(0_usize) += 1);
    views.into_iter().max_by_key(|view| counts.get(&owners(view)).copied())
}

fn remember(known: &mut Vec<RedisAddress>, view: &[Stretch]) {
    let seen = view.iter().flat_map(|part| std::iter::once(&part.master).chain(&part.replicas));
    for address in seen {
        if known.len() < NODES_MAX && !known.contains(address) {
            known.push(address.clone());
        }
    }
}

/// Puts a view in force, with the redirections since.
fn install(
    servers: &Arc<Servers>,
    view: &[Stretch],
    hints: &HashMap<u16, RedisAddress>,
    keepers: &mut JoinSet<()>,
) {
    let before = servers.table();
    let mut nodes: Vec<Arc<Node>> = Vec::new();
    let mut place = |address: &RedisAddress| {
        let at = nodes.iter().position(|node| node.address == *address).unwrap_or_else(|| {
            let kept = before.at(address).cloned();
            nodes.push(kept.unwrap_or_else(|| Node::new(address.clone())));
            nodes.len() - 1
        });
        u16::try_from(at).unwrap_or(UNOWNED)
    };
    let mut owners = Box::new([UNOWNED; SLOTS]);
    for part in view {
        let at = place(&part.master);
        if part.from <= part.to {
            owners[usize::from(part.from)..=usize::from(part.to)].fill(at);
        }
    }
    for (slot, address) in hints {
        let at = place(address);
        if let Some(owner) = owners.get_mut(usize::from(*slot)) {
            *owner = at;
        }
    }
    servers.replace(Table::of_slots(nodes, owners), keepers);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(parts: &[(u16, u16, u16)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let number = |number: u16| Value::Int(i64::from(number));
        let node = |host, port| Value::Array(vec![text(host), number(port), text("id")]);
        let row = |(from, to, port): &(u16, u16, u16)| {
            let nodes = [node("", *port), node("10.0.0.9", *port + 1000)];
            Value::Array([number(*from), number(*to)].into_iter().chain(nodes).collect())
        };
        Value::Array(parts.iter().map(row).collect())
    }

    #[test]
    fn the_slots_are_read_and_most_nodes_are_right() {
        let old = stretches(view(&[(0, 99, 1), (100, 16_383, 2)]), "h").expect("slots");
        let new = stretches(view(&[(0, 99, 3), (100, 16_383, 2)]), "h").expect("slots");
        assert_eq!((old[0].master.to_string().as_str(), old[1].to), ("h:1", 16_383));
        let found = most_frequent(vec![old.clone(), new.clone(), new.clone()]).expect("a view");
        assert_eq!(found[0].master, new[0].master);
        let mut known = Vec::new();
        remember(&mut known, &old);
        assert_eq!(known.len(), 4);
        assert_eq!(stretches(view(&[]), "h"), None);
        assert_eq!(stretches(Value::Nil, "h"), None);
    }
}
