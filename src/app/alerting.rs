//! The facts that alerts are made of, gathered once a second while the policy has rules.
//!
//! Promises: without rules it costs a look at the policy; budgets that a shared store counts are
//! asked there, for organisations whose spending here has changed, and each threshold is told by
//! one gateway (`SET NX`); while that store is away they wait. Does not: judge (`alerts/rules`) or
//! deliver (`alerts`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::ailog::AiLog;
use crate::alerts::rules::{self, Budget, Facts};
use crate::bounds::ALERT_ORGS_MAX;
use crate::config::policy::{AlertRules, Condition, Policy};
use crate::config::watch::Watcher;
use crate::ids::OrgId;
use crate::limit::caps::Which;
use crate::limit::meters::moment;
use crate::limit::redis::Shared;
use crate::pipeline::gateway::Gateway;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the shared store is asked again after spending here has changed: the use of a call
/// comes there a moment after its end.
const ASKS_AFTER_CHANGE: u8 = 5;
/// How long a claim of a day and of a month is kept in the shared store, in seconds.
const DAY_KEPT_S: u64 = 2 * 86_400;
const MONTH_KEPT_S: u64 = 40 * 86_400;

/// The previous state.
#[derive(Default)]
struct Seen {
    lost_rows: u64,
    /// Refused keys of providers.
    refused_keys: HashMap<Arc<str>, u64>,
    spent: HashMap<OrgId, Known>,
}

/// Money that an organisation has spent: here, and in the shared store.
struct Known {
    here: Spent,
    in_store: Spent,
    /// The store is asked so many times more although nothing changes here.
    asks_left: u8,
}

/// Money in 10⁻⁹ USD, in a day and in a month.
type Spent = (u64, u64);

/// Looks until `stop`.
pub(crate) async fn follow(
    gateway: Arc<Gateway>,
    log: AiLog,
    watcher: Arc<Watcher>,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut seen = Seen { lost_rows: log.backlog().lost, ..Seen::default() };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        let policy = gateway.policy.load_full();
        let Some(rules) = policy.alerts.as_deref() else {
            gateway.alerts.pulse.clear();
            continue;
        };
        let facts = facts(&gateway, &policy, rules, (&log, &watcher), &mut seen).await;
        note(&gateway, &policy, facts).await;
        gateway.alerts.deliver(rules, &policy.egress, &tasks, &stop);
    }
}

/// Judges the facts, and decides with the shared store what is this gateway's to tell.
async fn note(gateway: &Arc<Gateway>, policy: &Arc<Policy>, facts: Facts) {
    let (alerts, policy) = (Arc::clone(&gateway.alerts), Arc::clone(policy));
    let is_shared = gateway.counters.shared.is_some();
    let noted = tokio::task::spawn_blocking(move || {
        let Some(rules) = policy.alerts.as_deref() else { return Vec::new() };
        alerts.note(&rules::judge(rules, &facts), is_shared, facts.now_ms);
        alerts.tend(rules, facts.now_ms);
        alerts.held()
    });
    let held = noted.await.unwrap_or_default();
    for (claim, id) in held {
        let is_ours = match &gateway.counters.shared {
            None => true,
            Some(shared) => match claimed(shared, &claim, &id).await {
                Some(is_ours) => is_ours,
                // Away: asked again with the next look.
                None => return,
            },
        };
        let alerts = Arc::clone(&gateway.alerts);
        drop(tokio::task::spawn_blocking(move || alerts.decided(&claim, is_ours)).await);
    }
}

/// Whether this gateway is the first one with a claim; `None` if the store is away.
async fn claimed(shared: &Arc<Shared>, claim: &str, id: &str) -> Option<bool> {
    let mut parts = claim.split('|').skip(2);
    let (org, limit) = (parts.next().and_then(OrgId::new), parts.next());
    let Some(org) = org else { return Some(true) };
    let kept = if limit == Some(Which::UsdPerDay.as_str()) { DAY_KEPT_S } else { MONTH_KEPT_S };
    shared.claim(&org, claim, id, kept).await.ok()
}

async fn facts(
    gateway: &Arc<Gateway>,
    policy: &Policy,
    rules: &AlertRules,
    (log, watcher): (&AiLog, &Watcher),
    seen: &mut Seen,
) -> Facts {
    let now_ms = gateway.clock.wall_ms();
    let backlog = log.backlog();
    let lost_rows = backlog.lost.saturating_sub(seen.lost_rows);
    seen.lost_rows = backlog.lost;
    let mut rates = Vec::new();
    if let Some(longest) = rules.windows().max() {
        for window in rules.windows() {
            if rates.iter().all(|(of, _)| *of != window) {
                rates.push((window, gateway.alerts.pulse.rates(now_ms, window, longest)));
            }
        }
    }
    let watches_budgets = rules.watches(|on| matches!(on, Condition::Budget { .. }));
    Facts {
        now_ms,
        budgets: if watches_budgets { budgets(gateway, policy, seen).await } else { Vec::new() },
        rates,
        breakers: breakers(gateway, policy, rules),
        credentials: credentials(gateway, policy, rules, seen),
        policy_rejected: rules.watches(|on| *on == Condition::PolicyRejected)
            && watcher.status().refused,
        backlog_bytes: backlog.bytes,
        lost_rows,
        audit_head: watcher.audit_head(),
    }
}

fn breakers(gateway: &Gateway, policy: &Policy, rules: &AlertRules) -> Vec<(String, bool)> {
    if !rules.watches(|on| *on == Condition::BreakerOpen) {
        return Vec::new();
    }
    let is_open = |name: &str| gateway.metrics.breaker_open.with_label_values(&[name]).get() > 0.0;
    policy.providers.iter().map(|p| (p.name.to_string(), is_open(&p.name))).collect()
}

/// Providers whose fetched credential cannot be renewed, or that have refused the gateway's key
/// since the last look.
fn credentials(
    gateway: &Gateway,
    policy: &Policy,
    rules: &AlertRules,
    seen: &mut Seen,
) -> Vec<(String, bool)> {
    if !rules.watches(|on| *on == Condition::CredentialFailing) {
        return Vec::new();
    }
    let metrics = &gateway.metrics;
    let mut fails = |name: &Arc<str>| {
        let refused = metrics.provider_key_refused.with_label_values(&[&**name]).get();
        let before = seen.refused_keys.insert(Arc::clone(name), refused).unwrap_or(0);
        refused > before
    };
    let failing =
        |name: &str| metrics.provider_credential_failing.with_label_values(&[name]).get() > 0.0;
    policy
        .providers
        .iter()
        .map(|p| (p.name.to_string(), fails(&p.name) || failing(&p.name)))
        .collect()
}

/// The budgets of organisations that have spent anything.
async fn budgets(gateway: &Arc<Gateway>, policy: &Policy, seen: &mut Seen) -> Vec<Budget> {
    let Some(more) = &policy.limits.more else { return Vec::new() };
    let at = moment(gateway.clock.now(), gateway.clock.wall_ms());
    let mut spent_here: HashMap<OrgId, Spent> = HashMap::new();
    gateway.counters.meters.each_org(at, |org, spent| {
        if more.of(org).all.has_budget() && spent_here.len() < ALERT_ORGS_MAX {
            spent_here.insert(org.clone(), spent);
        }
    });
    seen.spent.retain(|org, _| spent_here.contains_key(org));
    let mut budgets = Vec::new();
    for (org, here) in spent_here {
        let caps = &more.of(&org).all;
        let spent = match &gateway.counters.shared {
            None => here,
            Some(shared) => match seen.spent.get(&org).filter(|known| known.here == here) {
                Some(known) if known.asks_left == 0 => known.in_store,
                known => {
                    let asks_left = known.map_or(ASKS_AFTER_CHANGE, |known| known.asks_left - 1);
                    // Away: asked again with the next look.
                    let Ok(in_store) = shared.settled(&org, at).await else { continue };
                    // The latest calls of this gateway may be on their way there.
                    let in_store = (in_store.0.max(here.0), in_store.1.max(here.1));
                    seen.spent.insert(org.clone(), Known { here, in_store, asks_left });
                    in_store
                }
            },
        };
        let (day, month) = at.date.names();
        for (limit, period, spent_nano_usd, most) in [
            (Which::UsdPerDay, day, spent.0, caps.nano_usd_per_day),
            (Which::UsdPerMonth, month, spent.1, caps.nano_usd_per_month),
        ] {
            budgets.extend(most.map(|most| Budget {
                org: org.clone(),
                limit: limit.as_str(),
                period,
                spent_nano_usd,
                limit_nano_usd: most.get(),
            }));
        }
    }
    budgets
}
