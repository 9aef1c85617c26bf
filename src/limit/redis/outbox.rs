//! The use of calls that are over, on its way to the store.
//!
//! Guarantees: a settlement is sent once, as a second time could free twice; one whose server is
//! away waits, at most [`SETTLEMENTS_MAX`] of them; one script has calls of one organisation where
//! a cluster keeps organisations apart. Does not: keep a settlement of which it is unknown whether
//! it was taken; the reservation stays used then, and places in flight expire.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::mpsc;

use super::items::Part;
use super::script::Invocation;
use super::servers::{Failed, Servers};
use crate::bounds::SETTLEMENTS_MAX;
use crate::clock::Nanos;
use crate::metrics::Metrics;

/// Calls settled by one run of the script.
pub const SETTLED_AT_ONCE: usize = 64;

/// Settlements of calls on their way to the store.
pub struct Outbox {
    /// Those that have just ended.
    pub queue: mpsc::Receiver<Settlement>,
    /// Those whose server is away.
    waiting: Vec<Settlement>,
}

/// A call that is over.
pub struct Settlement {
    /// Its entries.
    pub parts: Vec<Part>,
    /// The tokens and 10⁻⁹ USD that it used; `None`: as estimated.
    pub used: Option<(u64, u64)>,
    /// When the call was over.
    pub at: Nanos,
}

impl Settlement {
    fn key(&self) -> &[u8] {
        self.parts.first().map_or(&[], |part| part.key().as_bytes())
    }
}

impl Outbox {
    /// An outbox, and the way into it.
    pub fn new() -> (mpsc::Sender<Settlement>, Outbox) {
        let (sender, queue) = mpsc::channel(SETTLEMENTS_MAX);
        (sender, Outbox { queue, waiting: Vec::new() })
    }

    /// Whether another settlement may be taken from the queue.
    pub fn has_room(&self) -> bool {
        self.waiting.len() < SETTLEMENTS_MAX
    }

    /// Settles this call and others of the queue, at most `SETTLED_AT_ONCE`.
    pub async fn settle(&mut self, first: Settlement, servers: &Servers, metrics: &Metrics) {
        let mut batch = vec![first];
        while batch.len() < SETTLED_AT_ONCE
            && let Ok(next) = self.queue.try_recv()
        {
            batch.push(next);
        }
        self.send(batch, servers, metrics).await;
    }

    /// Sends those whose server was away, if it is back. Returns whether any is left.
    pub async fn retry(&mut self, servers: &Servers, metrics: &Metrics) -> bool {
        let table = servers.table();
        let is_up = |settlement: &mut Settlement| {
            table.node_of(settlement.key()).is_some_and(|node| node.is_up())
        };
        let back: Vec<Settlement> = self.waiting.extract_if(.., is_up).collect();
        let mut back = back.into_iter().peekable();
        while back.peek().is_some() {
            let some = back.by_ref().take(SETTLED_AT_ONCE).collect();
            self.send(some, servers, metrics).await;
        }
        !self.waiting.is_empty()
    }

    async fn send(&mut self, batch: Vec<Settlement>, servers: &Servers, metrics: &Metrics) {
        let table = servers.table();
        let mut groups: BTreeMap<u16, Vec<Settlement>> = BTreeMap::new();
        for settlement in batch {
            groups.entry(table.group(settlement.key())).or_default().push(settlement);
        }
        let sent = groups.into_values().map(|group| async {
            let mut invocation = servers.scripts.settle.prepare();
            let mut changes = 0;
            for Settlement { parts, used, at } in &group {
                for part in parts {
                    changes += usize::from(part.write(*used, *at, &mut invocation));
                }
            }
            let result = if changes == 0 { Ok(()) } else { run(&invocation, servers).await };
            (group, result)
        });
        for (mut group, result) in join_all(sent).await {
            match result {
                Ok(()) => {}
                Err(Failed::Refused) if self.waiting.len() + group.len() <= SETTLEMENTS_MAX => {
                    self.waiting.append(&mut group);
                }
                Err(_) => metrics.bound("limits_settlements"),
            }
        }
    }
}

/// Runs a settlement whose result says nothing.
async fn run(invocation: &Invocation<'_>, servers: &Servers) -> Result<(), Failed> {
    servers.run::<i64>(invocation).await.map(|_| ())
}

/// Gives calls of leases back to their buckets: key, how many, and of how many a minute.
pub async fn give_back(leases: &[(String, u32, u32)], servers: &Arc<Servers>, metrics: &Metrics) {
    let table = servers.table();
    let mut groups: BTreeMap<u16, Vec<&(String, u32, u32)>> = BTreeMap::new();
    for lease in leases {
        groups.entry(table.group(lease.0.as_bytes())).or_default().push(lease);
    }
    let given = groups.into_values().map(|group| async move {
        let mut invocation = servers.scripts.settle.prepare();
        for (key, left, per_minute) in group {
            invocation.key(key).arg("b").arg(*per_minute).arg(-i64::from(*left));
        }
        run(&invocation, servers).await
    });
    for result in join_all(given).await {
        if result == Err(Failed::Unknown) {
            metrics.bound("limits_settlements");
        }
    }
}
