//! Limits shared by replicas, through Redis or Valkey: one server, a cluster, or a master that
//! sentinels name.
//!
//! Stage 4 of the walk, with `limits_store: redis://…`. One script decides on all limits of a call
//! at once (`decide.lua`), by the server's own clock, so that replicas need not agree on the time.
//! Reservations are settled later, in the background (`settle.lua`). Where the policy allows an
//! error, a gateway takes several calls at once and spends them without asking again (`lease.lua`,
//! `lease`). `servers` keeps the servers connected and sends the scripts; `cluster` and `sentinel`
//! find out which servers count.
//!
//! Guarantees: while the servers keep what they acknowledged, no limit is exceeded without leases,
//! for any number of gateways, and with leases by what the policy allows; a master that dies takes
//! the calls of its last moments with it. A call waits for the time-out at most; when a server goes
//! away, the calls under way wait, and later ones get [`Away`] at once until it is back (the policy
//! decides whether such calls pass); after a start, calls wait for the first connection for
//! [`LIMITS_STORE_START_MAX`] at most. Keys expire by themselves. Does not: restore counts after a
//! server without persistence has been restarted.
//!
//! One connection to a server carries all decisions, pipelined; a second would only split the
//! pipeline.

mod cluster;
mod diagnosis;
mod dial;
mod items;
mod lease;
mod outbox;
mod script;
mod sentinel;
mod servers;
mod table;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::bucket::{Decision, Quota};
use super::caps::{Ask, Over, Scope, Used, Want};
use super::meter::Moment;
use crate::bounds::{LEASE_LASTS, LIMITS_STORE_START_MAX};
use crate::clock::{Clock, Nanos};
use crate::config::policy::{RedisMode, RedisOptions};
use crate::digest::{hex, sha256};
use crate::ids::OrgId;
use crate::metrics::Metrics;
pub use diagnosis::diagnose;
pub use dial::{Cause, NoLink};
use items::{After, Item, Part};
use lease::{Leases, Look};
pub use outbox::Outbox;
use outbox::Settlement;
use script::Invocation;
use servers::Servers;
use table::{Node, Table};

/// How often leases that have run out are given back, and settlements are tried again.
const RETURN_EVERY: Duration = Duration::from_millis(250);

/// The store cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

/// The shared store, as the walk sees it.
pub struct Shared {
    servers: Arc<Servers>,
    /// This gateway among the others.
    name: String,
    leases: Leases,
    outbox: mpsc::Sender<Settlement>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// The request of a call to the store, granted as a whole or not at all.
#[derive(Clone, Copy)]
pub struct Question<'q> {
    /// The caller's organisation.
    pub org: &'q OrgId,
    /// The quota of the organisation's requests, where one is asked for.
    pub quota: Option<&'q Quota>,
    /// The requests to other subjects.
    pub groups: &'q [(&'q [Want], Ask)],
    /// When.
    pub at: Moment,
}

/// The store's answer to a call.
#[derive(Debug)]
pub struct Answer {
    /// The organisation's requests, where they were asked for.
    pub decision: Decision,
    /// The limit that refuses, if one does.
    pub over: Option<Over>,
    /// The parts that are held until the call is over.
    pub held: Option<Held>,
    /// The budgets that were asked for, if the call passes.
    pub used: Vec<Used>,
}

/// The parts of limits that a call holds in the store. Dropping it releases them.
pub struct Held {
    shared: Arc<Shared>,
    parts: Vec<Part>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.parts).finish()
    }
}

impl Held {
    /// Takes over the parts of another one of the same call.
    pub fn absorb(&mut self, mut other: Held) {
        self.parts.append(&mut other.parts);
    }

    /// The call is over and used so many tokens and 10⁻⁹ USD; `None`: the estimate.
    pub fn settle(mut self, used: Option<(u64, u64)>) {
        self.send(used);
    }

    fn send(&mut self, used: Option<(u64, u64)>) {
        let parts = std::mem::take(&mut self.parts);
        let at = self.shared.clock.now();
        if !parts.is_empty() && self.shared.outbox.try_send(Settlement { parts, used, at }).is_err()
        {
            // The reservation stays used, and places in flight expire by themselves.
            self.shared.metrics.bound("limits_settlements");
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.send(Some((0, 0)));
    }
}

impl Shared {
    /// A store that is not connected yet; [`Shared::run`] does that.
    pub fn new(
        options: &RedisOptions,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> (Arc<Shared>, Outbox) {
        let (sender, outbox) = Outbox::new();
        let shared = Shared {
            servers: Arc::new(Servers::new(options.clone(), Arc::clone(&metrics))),
            name: format!("{:016x}", fastrand::u64(..)),
            leases: Leases::default(),
            outbox: sender,
            metrics,
            clock,
        };
        (Arc::new(shared), outbox)
    }

    /// Whether all servers can be asked.
    pub fn is_up(&self) -> bool {
        self.servers.is_up()
    }

    /// Whether calls are decided: the servers were there, or were waited for long enough.
    pub fn has_started(&self) -> bool {
        self.servers.started.is_cancelled()
    }

    /// Asks all of it at once. `call_lasts`: a place in flight frees itself after that, should this
    /// gateway be gone.
    ///
    /// # Errors
    /// The store is away.
    ///
    /// # Cancel safety
    /// A place in flight that was taken for a call that is dropped meanwhile is freed.
    pub async fn ask(
        self: &Arc<Shared>,
        question: &Question<'_>,
        call_lasts: Duration,
    ) -> Result<Answer, Away> {
        let Question { org, quota, groups, at } = *question;
        let call = format!("{:016x}", fastrand::u64(..));
        let mut list: Vec<Item> =
            quota.iter().map(|quota| items::requests(org, &Scope::Org, quota)).collect();
        let lasts_ms = u64::try_from(call_lasts.as_millis()).unwrap_or(u64::MAX);
        for (wants, ask) in groups {
            wants.iter().for_each(|want| items::items(want, *ask, at, lasts_ms, &mut list));
        }
        let mut invocation = self.servers.scripts.decide.prepare();
        list.iter().for_each(|item| item.write(&call, &mut invocation));
        // Only places can be freed without knowing whether they were taken.
        let places = list.iter().filter_map(|item| item.place(&call)).collect();
        let mut held = Held { shared: Arc::clone(self), parts: places };
        let (failed, wait, remaining, reset, after): (i64, i64, i64, i64, Vec<u64>) =
            self.run_script(&invocation).await?;
        let decision = |wait| Decision {
            wait,
            limit: quota.map_or(0, Quota::requests_per_minute),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: micros(reset),
        };
        let Some(item) = usize::try_from(failed).ok().and_then(|n| list.get(n.checked_sub(1)?))
        else {
            let used =
                list.iter().zip(&after).filter_map(|(item, used)| item.used(*used)).collect();
            let after = after.into_iter().map(|used| After { used, at: Nanos(at.now_ns) });
            held.parts.extend(list.iter().zip(after).filter_map(|(item, after)| item.part(after)));
            let held = Some(held).filter(|held| !held.parts.is_empty());
            return Ok(Answer { decision: decision(None), over: None, held, used });
        };
        held.parts.clear();
        let of_requests = quota.is_some() && failed == 1;
        let over = item.over(micros(wait));
        let mut decision = decision(over.wait.filter(|_| of_requests));
        if !of_requests {
            // The script counted this call before another limit refused it.
            decision.remaining = decision.remaining.saturating_add(1);
        }
        Ok(Answer { decision, over: Some(over), held: None, used: Vec::new() })
    }

    /// Asks for a call of an organisation that has no other limits. At most `allowance` calls may
    /// be leased by all gateways together; under 2 the store is asked for every call.
    ///
    /// # Errors
    /// The store is away, and there is no lease.
    pub async fn ask_request(
        self: &Arc<Shared>,
        org: &OrgId,
        quota: &Quota,
        allowance: u32,
        at: Moment,
    ) -> Result<Decision, Away> {
        let question = Question { org, quota: Some(quota), groups: &[], at };
        let alone = async || self.ask(&question, Duration::ZERO).await;
        let alone = async || alone().await.map(|answer| answer.decision);
        if allowance < 2 || quota.is_strict() {
            return alone().await;
        }
        let now = Nanos(at.now_ns);
        let unspent = match self.leases.take(org, now, self.servers.options.timeout) {
            Look::Pass(decision) => {
                self.metrics.limits_decisions.with_label_values(&["leased"]).inc();
                return Ok(decision);
            }
            Look::Alone => return alone().await,
            Look::Ask { unspent } => unspent,
        };
        // Half of the allowance, so that another gateway gets a share.
        let [granted, wait, remaining, reset] =
            self.lease(org, quota, allowance / 2 + 1, allowance, unspent).await?;
        let decision = Decision {
            wait: (granted == 0).then(|| micros(wait)),
            limit: quota.requests_per_minute(),
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            reset: micros(reset),
        };
        let left = u32::try_from(granted.saturating_sub(1)).unwrap_or(0);
        self.leases.granted(org, left, decision, now);
        Ok(Decision { remaining: decision.remaining.saturating_add(left), ..decision })
    }

    async fn lease(
        &self,
        org: &OrgId,
        quota: &Quota,
        wanted: u32,
        allowance: u32,
        unspent: u32,
    ) -> Result<[i64; 4], Away> {
        let [bucket, window] = items::request_keys(org);
        let mut invocation = self.servers.scripts.lease.prepare();
        invocation
            .key(&bucket)
            .key(&window)
            .arg(quota.requests_per_minute())
            .arg(quota.burst())
            .arg(wanted);
        let lasts_ms = u64::try_from(LEASE_LASTS.as_millis()).unwrap_or(u64::MAX);
        invocation.arg(allowance).arg(lasts_ms).arg(&self.name).arg(unspent);
        self.run_script(&invocation).await
    }

    /// The money that calls of an organisation have spent at all gateways in this day and month, in
    /// 10⁻⁹ USD, without those that are not over. Only what has a budget is counted.
    ///
    /// # Errors
    /// The store is away.
    pub async fn settled(&self, org: &OrgId, at: Moment) -> Result<(u64, u64), Away> {
        let mut invocation = self.servers.scripts.settled.prepare();
        for key in items::settled_keys(org, at) {
            invocation.key(&key);
        }
        let [day, month]: [u64; 2] = self.servers.run(&invocation).await.map_err(|_| Away)?;
        Ok((day, month))
    }

    /// Whether something of an organisation is claimed by `id`, now or from before. The claim is
    /// kept for so many seconds.
    ///
    /// # Errors
    /// The store is away.
    pub async fn claim(
        &self,
        org: &OrgId,
        claim: &str,
        id: &str,
        seconds: u64,
    ) -> Result<bool, Away> {
        let mut invocation = self.servers.scripts.claim.prepare();
        let name = hex(&sha256(claim.as_bytes()));
        invocation.key(&format!("tollgate:{{{org}}}:a:{name}")).arg(id).arg(seconds);
        let is_ours: i64 = self.servers.run(&invocation).await.map_err(|_| Away)?;
        Ok(is_ours == 1)
    }

    /// Writes records of gateway keys, and reads all if their version is not `known`. Returns the
    /// version, and fields and values in turn.
    ///
    /// # Errors
    /// The store is away.
    pub async fn keys(
        &self,
        known: i64,
        written: &[(String, String)],
    ) -> Result<(i64, Vec<String>), Away> {
        let mut invocation = self.servers.scripts.keys.prepare();
        invocation.key("tollgate:{keys}").key("tollgate:{keys}:version").arg(known);
        for (field, value) in written {
            invocation.arg(field).arg(value);
        }
        self.servers.run(&invocation).await.map_err(|_| Away)
    }

    async fn run_script<T: FromRedisValue>(&self, script: &Invocation<'_>) -> Result<T, Away> {
        if !self.has_started() {
            self.servers.started.cancelled().await;
        }
        let numbers = self.servers.run(script).await.map_err(|_| Away)?;
        self.metrics.limits_decisions.with_label_values(&["shared"]).inc();
        Ok(numbers)
    }

    /// Connects, reconnects, settles calls and gives back leases, until `stop`. Settlements that
    /// are queued by then are sent first.
    pub async fn run(self: Arc<Shared>, outbox: Outbox, stop: CancellationToken) {
        let waiting = async {
            tokio::time::sleep(LIMITS_STORE_START_MAX).await;
            if !self.has_started() {
                let waited = LIMITS_STORE_START_MAX.as_secs();
                tracing::warn!(
                    event = "limits_store_late",
                    waited_seconds = waited,
                    "the limits store was not reached at the start; limits.fail of the policy \
                        applies"
                );
                self.servers.started.cancel();
            }
            std::future::pending::<()>().await;
        };
        // Dropping it ends the connections.
        let mut keepers = JoinSet::new();
        tokio::select! {
            () = waiting => {}
            () = self.follow(&mut keepers) => {}
            () = self.work(outbox, stop) => {}
        }
    }

    /// Keeps to the servers that count; never returns.
    async fn follow(&self, keepers: &mut JoinSet<()>) {
        let servers = &self.servers;
        match servers.options.mode {
            RedisMode::Single => {
                let node = servers.options.contacts.first().cloned().map(Node::new);
                servers.replace(Table::of_one(node), keepers);
            }
            RedisMode::Cluster => cluster::follow(servers, keepers).await,
            RedisMode::Sentinel => sentinel::follow(servers, keepers).await,
        }
        std::future::pending::<()>().await;
    }

    /// Settles calls and gives back leases.
    async fn work(&self, mut outbox: Outbox, stop: CancellationToken) {
        let (servers, metrics) = (&self.servers, &self.metrics);
        let mut tick = tokio::time::interval(RETURN_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(first) = outbox.queue.recv(), if outbox.has_room() => {
                    outbox.settle(first, servers, metrics).await;
                }
                _ = tick.tick() => {
                    outbox.retry(servers, metrics).await;
                    self.give_back_leases().await;
                }
            }
        }
        // The last calls end as the gateway does.
        while let Ok(settlement) = outbox.queue.try_recv() {
            outbox.settle(settlement, servers, metrics).await;
        }
        outbox.retry(servers, metrics).await;
    }

    /// Gives the rest of expired leases back to their buckets.
    async fn give_back_leases(&self) {
        let ended = self.leases.ended(self.clock.now());
        let key = |org: &OrgId| {
            let [bucket, _] = items::request_keys(org);
            bucket
        };
        let ended: Vec<(String, u32, u32)> = ended
            .into_iter()
            .map(|(org, left, per_minute)| (key(&org), left, per_minute))
            .collect();
        for some in ended.chunks(outbox::SETTLED_AT_ONCE) {
            outbox::give_back(some, &self.servers, &self.metrics).await;
        }
    }
}

fn micros(number: i64) -> Duration {
    Duration::from_micros(u64::try_from(number).unwrap_or(0))
}
