//! Everything that is counted to keep callers to their limits, and the message of a refusal.
//!
//! Stage 4 of the walk. Does not decide (see `admission`).

use std::collections::HashMap;
use std::sync::Arc;

use crate::bounds::{METERS_MAX, ORGS_MAX};
use crate::clock::Nanos;
use crate::config::policy::Policy;
use crate::ids::OrgId;
use crate::limit::caps::{Over, Scope, Subject, Which};
use crate::limit::meter::Moment;
use crate::limit::meters::{Meters, moment};
use crate::limit::redis::Shared;
use crate::limit::sketch::Sketch;
use crate::limit::store::Limiter;
use crate::money::decimal;
use crate::report::Spent;

/// Everything that is counted to keep callers to their limits.
pub struct Counters {
    /// Requests of organisations.
    pub limiter: Limiter,
    /// Everything else.
    pub meters: Arc<Meters>,
    /// Where replicas count together.
    pub shared: Option<Arc<Shared>>,
    /// The subjects refused most.
    pub refused: Sketch,
}

impl Counters {
    /// Nothing counted yet. `shared`: the store of all replicas, if there is one.
    pub fn new(shared: Option<Arc<Shared>>) -> Counters {
        Counters {
            limiter: Limiter::new(ORGS_MAX),
            meters: Arc::new(Meters::new(METERS_MAX)),
            shared,
            refused: Sketch::default(),
        }
    }

    /// Forgets what says no more than nothing would.
    pub fn forget_idle(&self, now: Nanos, wall_ms: i64) {
        self.limiter.forget_idle(now);
        self.meters.forget_idle(moment(now, wall_ms));
    }
}

impl Counters {
    /// Goes on counting budgets where an earlier process left off: what its calls spent in this day
    /// and in this month, by organisation, caller and model.
    pub fn spent_before(&self, policy: &Policy, at: Moment, day: &[Spent], month: &[Spent]) {
        let mut sums: HashMap<Subject, (u64, u64)> = HashMap::new();
        for (spent, is_day) in day.iter().map(|s| (s, true)).chain(month.iter().map(|s| (s, false)))
        {
            let Some(org) = OrgId::new(&spent.org) else { continue };
            let caller = Arc::<str>::from(spent.caller.as_str());
            let is_key =
                policy.auth.keys.values().any(|key| key.options.org == org && key.name == caller);
            let caller = if is_key { Scope::Key(caller) } else { Scope::User(caller) };
            let models = policy.limits.more.as_ref().map(|more| &more.of(&org).models);
            let model =
                models.into_iter().flatten().find(|limits| limits.pattern.matches(&spent.model));
            let model = model.map(|limits| Scope::Model(Arc::clone(&limits.name)));
            for scope in [Scope::Org, caller].into_iter().chain(model) {
                let sum = sums.entry(Subject { org: org.clone(), scope }).or_default();
                let part = if is_day { &mut sum.0 } else { &mut sum.1 };
                *part = part.saturating_add(spent.nano_usd);
            }
        }
        for (subject, (day, month)) in sums {
            if self.meters.spent_before(&subject, at, day, month).is_err() {
                tracing::warn!(
                    event = "spending_forgotten",
                    "more subjects have spent money than can be counted; some begin at zero again"
                );
                return;
            }
        }
    }
}

/// Which limit was hit, for a person.
pub fn message(over: &Over) -> String {
    let whose = match &over.scope {
        Scope::Org => "your organization".to_owned(),
        Scope::Key(name) => format!("your key {name}"),
        Scope::User(_) => "each user of your organization".to_owned(),
        Scope::Model(name) => format!("your organization, with models {name},"),
    };
    let seconds = over.wait.unwrap_or_default().as_secs_f64();
    let limit = over.limit;
    match over.which {
        Which::Requests => format!(
            "{whose} may make {limit} calls a minute; the next one is free in {seconds:.1} s"
        ),
        Which::Tokens => {
            format!("{whose} may use {limit} tokens a minute; enough are free in {seconds:.1} s")
        }
        Which::CallsInFlight => {
            format!("{whose} may have {limit} calls in flight; wait for one of them to end")
        }
        Which::UsdPerDay => {
            format!(
                "{whose} may spend {} USD a day; the next day begins at 00:00 UTC. {HELD}",
                decimal(limit)
            )
        }
        Which::UsdPerMonth => {
            format!(
                "{whose} may spend {} USD a month; the next month begins on the first, 00:00 \
                    UTC. {HELD}",
                decimal(limit)
            )
        }
    }
}

/// Further advice near the end of a budget.
const HELD: &str =
    "Calls in flight count with their highest cost: wait for them, or send a smaller `max_tokens`";

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_refusal_names_its_limit() {
        let over = |which, scope, limit| {
            message(&Over { which, scope, limit, wait: Some(Duration::from_millis(1_250)) })
        };
        for (text, expected) in [
            (
                over(Which::Requests, Scope::Org, 60),
                "your organization may make 60 calls a minute; the next one is free in 1.2 s",
            ),
            (
                over(Which::Tokens, Scope::Key("ci".into()), 9),
                "your key ci may use 9 tokens a minute; enough are free in 1.2 s",
            ),
            (
                over(Which::CallsInFlight, Scope::Model("gpt-*".into()), 2),
                "your organization, with models gpt-*, may have 2 calls in flight; wait for one of \
                    them to end",
            ),
            (
                over(Which::UsdPerDay, Scope::User("ann".into()), 2_500_000_000),
                "each user of your organization may spend 2.5 USD a day; the next day begins at \
                    00:00 UTC. Calls in flight count with their highest cost: wait for them, or \
                    send a smaller `max_tokens`",
            ),
            (
                over(Which::UsdPerMonth, Scope::Org, 1),
                "your organization may spend 0.000000001 USD a month; the next month begins on the \
                    first, 00:00 UTC. Calls in flight count with their highest cost: wait for \
                    them, or send a smaller `max_tokens`",
            ),
        ] {
            assert_eq!(text, expected);
        }
    }
}
