//! Limits shared by replicas, through Redis or Valkey.
//!
//! Stage 4 of the walk, with `limits_store: redis://…`. One script decides on all limits of a call
//! at once (`decide.lua`), by the server's own clock, so that replicas need not agree on the time.
//! Reservations are settled later, in the background (`settle.lua`). Where the policy allows an
//! error, a gateway takes several calls at once and spends them without asking again (`lease.lua`,
//! `lease`).
//!
//! Guarantees: without leases no limit is exceeded, for any number of gateways; with leases the
//! excess is bounded by the policy; when a server goes away, calls wait for the time-out once at
//! most, and then get [`Away`] at once until it is back (the policy decides whether such calls
//! pass); after a start, calls wait for the first connection for [`LIMITS_STORE_START_MAX`] at
//! most. Keys expire by themselves. Does not: speak TLS, support clusters, or restore counts after
//! a server without persistence has been restarted.
//!
//! One connection carries all decisions, pipelined; a second would only split the pipeline.

mod items;
mod lease;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Script};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::bucket::{Decision, Quota};
use super::caps::{Ask, Over, Scope, Want};
use super::meter::Moment;
use crate::bounds::{LEASE_LASTS, LIMITS_STORE_START_MAX, SETTLEMENTS_MAX};
use crate::clock::{Clock, Nanos};
use crate::config::policy::RedisOptions;
use crate::ids::OrgId;
use crate::metrics::Metrics;
use items::{After, Item, Part};
use lease::{Leases, Look};

/// How often a server that is away is tried again.
const RECONNECT_EVERY: Duration = Duration::from_millis(200);
/// How long the key stays that is written to see whether a server takes writes.
const TRIAL_LASTS_MS: u64 = 60_000;
/// How often leases that have run out are given back.
const RETURN_EVERY: Duration = Duration::from_millis(250);
/// Calls settled by one run of the script.
const SETTLED_AT_ONCE: usize = 64;

/// The store cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Away;

/// The shared store, as the walk sees it.
pub struct Shared {
    client: Client,
    timeout: Duration,
    /// This gateway among the others.
    name: String,
    /// Absent while the server is away.
    connection: ArcSwapOption<MultiplexedConnection>,
    broken: Notify,
    /// The first connection was there, or was waited for long enough.
    started: CancellationToken,
    decide: Script,
    settle: Script,
    lease: Script,
    leases: Leases,
    outbox: mpsc::Sender<Settlement>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

/// Settlements of calls on their way to the store.
pub struct Outbox(mpsc::Receiver<Settlement>);

struct Settlement {
    parts: Vec<Part>,
    used: Option<(u64, u64)>,
    /// When the call was over.
    at: Nanos,
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
    ///
    /// # Errors
    /// The address is none.
    pub fn new(
        options: &RedisOptions,
        metrics: Arc<Metrics>,
        clock: Clock,
    ) -> Result<(Arc<Shared>, Outbox), String> {
        let client = Client::open(options.url.reveal()).map_err(|error| error.to_string())?;
        let (outbox, receiver) = mpsc::channel(SETTLEMENTS_MAX);
        let shared = Shared {
            client,
            timeout: options.timeout,
            name: format!("{:016x}", fastrand::u64(..)),
            connection: ArcSwapOption::empty(),
            broken: Notify::new(),
            started: CancellationToken::new(),
            decide: Script::new(include_str!("decide.lua")),
            settle: Script::new(include_str!("settle.lua")),
            lease: Script::new(include_str!("lease.lua")),
            leases: Leases::default(),
            outbox,
            metrics,
            clock,
        };
        Ok((Arc::new(shared), Outbox(receiver)))
    }

    /// Whether the server can be asked.
    pub fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Whether calls are decided: the first connection was there, or was waited for long enough.
    pub fn has_started(&self) -> bool {
        self.started.is_cancelled()
    }

    /// The connection, which is waited for when the gateway starts.
    async fn connection(&self) -> Result<Arc<MultiplexedConnection>, Away> {
        if !self.has_started() {
            self.started.cancelled().await;
        }
        self.connection.load_full().ok_or(Away)
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
        let mut invocation = self.decide.prepare_invoke();
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
            let after = after.into_iter().map(|used| After { used, at: Nanos(at.now_ns) });
            held.parts.extend(list.iter().zip(after).filter_map(|(item, after)| item.part(after)));
            let held = Some(held).filter(|held| !held.parts.is_empty());
            return Ok(Answer { decision: decision(None), over: None, held });
        };
        held.parts.clear();
        let of_requests = quota.is_some() && failed == 1;
        let over = item.over(micros(wait));
        let mut decision = decision(over.wait.filter(|_| of_requests));
        if !of_requests {
            // The script counted this call before another limit refused it.
            decision.remaining = decision.remaining.saturating_add(1);
        }
        Ok(Answer { decision, over: Some(over), held: None })
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
        let unspent = match self.leases.take(org, now, self.timeout) {
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
        let mut invocation = self.lease.prepare_invoke();
        invocation
            .key(bucket)
            .key(window)
            .arg(quota.requests_per_minute())
            .arg(quota.burst())
            .arg(wanted);
        let lasts_ms = u64::try_from(LEASE_LASTS.as_millis()).unwrap_or(u64::MAX);
        invocation.arg(allowance).arg(lasts_ms).arg(&self.name).arg(unspent);
        self.run_script(&invocation).await
    }

    async fn run_script<T: FromRedisValue>(
        &self,
        script: &redis::ScriptInvocation<'_>,
    ) -> Result<T, Away> {
        let connection = self.connection().await?;
        let mut pipe = MultiplexedConnection::clone(&connection);
        match tokio::time::timeout(self.timeout, script.invoke_async::<T>(&mut pipe)).await {
            Ok(Ok(numbers)) => {
                self.metrics.limits_decisions.with_label_values(&["shared"]).inc();
                Ok(numbers)
            }
            Ok(Err(error)) => {
                self.broke(&connection, &error.to_string());
                Err(Away)
            }
            Err(_) => {
                self.broke(&connection, "no answer within the time-out");
                Err(Away)
            }
        }
    }

    /// A request failed: the store is not asked again until `run` has seen an answer of the server.
    fn broke(&self, connection: &Arc<MultiplexedConnection>, reason: &str) {
        let current = self.connection.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, connection)) {
            drop(self.connection.compare_and_swap(&*current, None));
            self.metrics.limits_store_up.set(0);
            tracing::warn!(
                reason,
                "the limits store is unavailable; limits.fail of the policy applies"
            );
            self.broken.notify_one();
        }
    }

    /// Connects, reconnects, settles calls and gives back leases, until `stop`. Settlements that
    /// are queued by then are sent first.
    pub async fn run(self: Arc<Shared>, outbox: Outbox, stop: CancellationToken) {
        let waiting = async {
            tokio::time::sleep(LIMITS_STORE_START_MAX).await;
            if !self.has_started() {
                let waited = LIMITS_STORE_START_MAX.as_secs();
                tracing::warn!(
                    waited_seconds = waited,
                    "the limits store was not reached at the start; limits.fail of the policy \
                        applies"
                );
                self.started.cancel();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = waiting => {}
            () = self.serve(outbox, stop) => {}
        }
    }

    async fn serve(&self, mut outbox: Outbox, stop: CancellationToken) {
        let mut told = false;
        loop {
            match self.connect().await {
                Ok(()) => {
                    told = false;
                    self.work(&mut outbox.0, &stop).await;
                }
                Err(reason) if !told => {
                    told = true;
                    if self.has_started() {
                        tracing::warn!(
                            reason,
                            "the limits store cannot be reached; limits.fail of the policy applies"
                        );
                    } else {
                        tracing::warn!(
                            reason,
                            "the limits store cannot be reached; calls wait for it"
                        );
                    }
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RECONNECT_EVERY) => {}
            }
        }
        // The last calls end as the gateway does.
        while let Ok(settlement) = outbox.0.try_recv() {
            if self.settle_all(vec![settlement], &mut outbox.0).await.is_err() {
                break;
            }
        }
    }

    async fn connect(&self) -> Result<(), String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        let connecting = async {
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await?;
            // A server that takes connections but is full, or a read-only replica, cannot count. So
            // it is a write that is tried, and one that takes memory, as a decision does.
            let mut trial = redis::cmd("SET");
            trial.arg("tollgate:{}:trial").arg(&self.name).arg("PX").arg(TRIAL_LASTS_MS);
            trial.query_async::<()>(&mut connection).await?;
            Ok::<_, redis::RedisError>(connection)
        };
        // Connecting, greeting and the trial have a time-out each; a name that is not resolved has
        // none.
        let connection = tokio::time::timeout(self.timeout.saturating_mul(4), connecting).await;
        let connection =
            connection.map_err(|_| "no answer".to_owned())?.map_err(|error| error.to_string())?;
        self.connection.store(Some(Arc::new(connection)));
        self.metrics.limits_store_up.set(1);
        self.started.cancel();
        tracing::info!("the limits store is connected");
        Ok(())
    }

    /// While the connection holds.
    async fn work(&self, outbox: &mut mpsc::Receiver<Settlement>, stop: &CancellationToken) {
        let mut tick = tokio::time::interval(RETURN_EVERY);
        while self.is_up() {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.broken.notified() => {}
                // Failures are counted at their source.
                Some(first) = outbox.recv() => { let _ = self.settle_all(vec![first], outbox).await; }
                _ = tick.tick() => self.give_back_leases().await,
            }
        }
    }

    /// Settles these calls and others that wait, at most [`SETTLED_AT_ONCE`]. Sent once: a second
    /// time could free twice.
    async fn settle_all(
        &self,
        mut batch: Vec<Settlement>,
        outbox: &mut mpsc::Receiver<Settlement>,
    ) -> Result<(), Away> {
        while batch.len() < SETTLED_AT_ONCE
            && let Ok(next) = outbox.try_recv()
        {
            batch.push(next);
        }
        let mut invocation = self.settle.prepare_invoke();
        let mut changes = 0;
        for settlement in &batch {
            for part in &settlement.parts {
                changes += usize::from(part.write(settlement.used, settlement.at, &mut invocation));
            }
        }
        if changes == 0 {
            return Ok(());
        }
        self.run_settle(&invocation).await
    }

    async fn run_settle(&self, script: &redis::ScriptInvocation<'_>) -> Result<(), Away> {
        let connection = self.connection.load_full().ok_or(Away)?;
        let mut pipe = MultiplexedConnection::clone(&connection);
        match tokio::time::timeout(self.timeout, script.invoke_async::<i64>(&mut pipe)).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) => self.broke(&connection, &error.to_string()),
            Err(_) => self.broke(&connection, "no answer within the time-out"),
        }
        self.metrics.bound("limits_settlements");
        Err(Away)
    }

    /// Gives the rest of expired leases back to their buckets.
    async fn give_back_leases(&self) {
        let ended = self.leases.ended(self.clock.now());
        for some in ended.chunks(SETTLED_AT_ONCE) {
            let mut invocation = self.settle.prepare_invoke();
            for (org, left, per_minute) in some {
                let [bucket, _] = items::request_keys(org);
                invocation.key(bucket).arg("b").arg(*per_minute).arg(-i64::from(*left));
            }
            let _ = self.run_settle(&invocation).await;
        }
    }
}

fn micros(number: i64) -> Duration {
    Duration::from_micros(u64::try_from(number).unwrap_or(0))
}
