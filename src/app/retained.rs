//! Tells the log of the policy in force: how long it keeps its parts, and the limits on money with
//! which the view `budget_used` compares spending. Makes the metrics of its providers.
//!
//! At the start and after each reload.

use std::sync::Arc;

use crate::ailog::{LimitInForce, Retention};
use crate::config::policy::{AiLogPolicy, OrgLimits, Policy};
use crate::limit::caps::Caps;
use crate::pipeline::gateway::Gateway;

/// The times of a policy.
pub(crate) fn retention(policy: &AiLogPolicy) -> Retention {
    Retention {
        rows: policy.rows_days(),
        captures: policy.captures_days(),
        hourly: policy.hourly_days(),
    }
}

/// Tells log and metrics of the policy, unless they were told of this version already.
pub(crate) fn tell(gateway: &Gateway, told: &mut Option<Arc<str>>) {
    let policy = gateway.policy.load();
    if told.as_deref() == Some(&*policy.version) {
        return;
    }
    gateway.log.set_retention(retention(&policy.ailog));
    gateway.log.set_limits(limits(&policy));
    gateway.metrics.announce_providers(policy.providers.iter().map(|provider| &*provider.name));
    *told = Some(Arc::clone(&policy.version));
}

/// The limits on money. An organisation with limits of its own has a line for each, also for one
/// that it lifts, which is zero then. So has a pattern of models without a limit on money: it keeps
/// its models from the patterns behind it.
fn limits(policy: &Policy) -> Vec<LimitInForce> {
    let Some(more) = &policy.limits.more else { return Vec::new() };
    let mut lines = Vec::new();
    of_org("*", &more.default, &mut lines);
    for (org, limits) in &more.orgs {
        of_org(org.as_str(), limits, &mut lines);
    }
    for key in policy.auth.keys.values() {
        let org = &key.options.org;
        add(org.as_str(), "key", &key.name, &more.of(org).each_key, &mut lines);
    }
    lines.sort_unstable_by(|a, b| {
        (&a.org, a.scope, &a.name, a.period).cmp(&(&b.org, b.scope, &b.name, b.period))
    });
    lines
}

fn of_org(org: &str, limits: &OrgLimits, lines: &mut Vec<LimitInForce>) {
    add(org, "org", "", &limits.all, lines);
    add(org, "user", "*", &limits.each_user, lines);
    for (place, model) in (0..).zip(&limits.models) {
        let begin = lines.len();
        add(org, "model", &model.name, &model.caps, lines);
        lines[begin..].iter_mut().for_each(|line| line.place = place);
    }
}

fn add(org: &str, scope: &'static str, name: &str, caps: &Caps, lines: &mut Vec<LimitInForce>) {
    for (period, limit) in [("day", caps.nano_usd_per_day), ("month", caps.nano_usd_per_month)] {
        lines.push(LimitInForce {
            org: org.to_owned(),
            scope,
            name: name.to_owned(),
            place: 0,
            period,
            nano_usd: limit.map_or(0, std::num::NonZero::get),
        });
    }
}
