//! Budgets that guide: which calls may ask for a cheaper model, and what answers say about budgets.
//!
//! Stages 4 and 11 of the walk. Guarantees: a model that the caller may not use is never asked.
//! Callers with their own provider key, tickets, and endpoints whose answer is no text of a model
//! are not guided. Does not: choose targets or reserve (see `downgrade`).

use std::fmt::Write as _;
use std::sync::Arc;

use crate::auth::Caller;
use crate::config::policy::Policy;
use crate::judge::limits;
use crate::limit::caps::{Over, Used};
use crate::route::table::Endpoint;

/// The state of a call's budgets.
#[derive(Debug, Default)]
pub struct Guided {
    /// The model that may be asked in place of the caller's; see [`cheaper`].
    pub cheaper: Option<Arc<str>>,
    /// A budget that is used up.
    pub exhausted: Option<Over>,
    /// The model that is asked because of it, if it is another one than the caller's.
    pub to: Option<Arc<str>>,
    /// The caller's budgets as this call found them.
    pub used: Vec<Used>,
}

impl Guided {
    /// The value of `x-tollgate-downgrade`.
    pub fn downgrade(&self) -> Option<String> {
        let (to, over) = (self.to.as_ref()?, self.exhausted.as_ref()?);
        Some(format!("{to}; limit=\"{}\"", over.name()))
    }

    /// The value of `x-tollgate-budget`, with the cost of this call, as far as that is known.
    pub fn budgets(&self, cost_nano_usd: Option<i64>) -> Option<String> {
        let cost = u64::try_from(cost_nano_usd.unwrap_or(0)).unwrap_or(0);
        budgets(&self.used, cost)
    }
}

/// The value of `x-tollgate-budget`; `cost` of a call comes on top.
pub fn budgets(used: &[Used], cost: u64) -> Option<String> {
    let mut text = String::new();
    for Used { which, scope, nano_usd, limit } in used {
        let percent = u128::from(nano_usd.saturating_add(cost)) * 100 / u128::from(*limit).max(1);
        let comma = if text.is_empty() { "" } else { ", " };
        let (whole, rest) = (percent / 100, percent % 100);
        // Writing to a string does not fail.
        let _ = write!(text, "{comma}{}; used={whole}.{rest:02}", which.as_str());
        if *scope != "org" {
            let _ = write!(text, "; scope={scope}");
        }
    }
    (!text.is_empty()).then_some(text)
}

/// The model for this caller's calls once a budget is used up; `None` if they are refused then.
pub fn cheaper<'p>(
    policy: &'p Policy,
    endpoint: &Endpoint,
    caller: &Caller,
) -> Option<&'p Arc<str>> {
    let (key, own_key) = (caller.key.as_deref(), caller.upstream_key.is_some());
    limits::cheaper(&policy.limits, endpoint, &caller.org, key, own_key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::caps::{Scope, Which};

    #[test]
    fn headers_say_what_is_used_and_what_was_done() {
        let used = |which, scope, nano_usd, limit| Used { which, scope, nano_usd, limit };
        let mut guided = Guided {
            used: vec![
                used(Which::UsdPerDay, "org", 83_900, 100_000),
                used(Which::UsdPerMonth, "user", 0, 3_000_000_000),
                used(Which::UsdPerDay, "model", u64::MAX, 1),
            ],
            ..Guided::default()
        };
        let expected = "usd_per_day; used=0.83, usd_per_month; used=0.00; scope=user, \
            usd_per_day; used=18446744073709551615.00; scope=model";
        assert_eq!(guided.budgets(None).as_deref(), Some(expected));
        guided.used.truncate(1);
        assert_eq!(guided.budgets(Some(16_100)).as_deref(), Some("usd_per_day; used=1.00"));
        assert_eq!((Guided::default().budgets(Some(1)), guided.downgrade()), (None, None));
        guided.to = Some("small".into());
        let scope = Scope::User("ann".into());
        guided.exhausted = Some(Over { which: Which::UsdPerDay, scope, limit: 1, wait: None });
        assert_eq!(guided.downgrade().as_deref(), Some("small; limit=\"user:usd_per_day\""));
    }
}
