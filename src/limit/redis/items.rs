//! Limits as the scripts take them: keys, numbers, and parts to settle later.
//!
//! Names of keys are `tollgate:{ORG}:SCOPE:LIMIT`; the braces keep all keys of an organisation
//! together where a server shares them out by name.

use super::script::Invocation;
use crate::clock::Nanos;
use crate::ids::OrgId;
use crate::limit::bucket::Quota;
use crate::limit::caps::{Ask, Estimate, Over, Scope, Subject, Used, Want, Which};
use crate::limit::meter::Moment;

/// One limit of one subject, and the request of a call to it.
#[derive(Clone, Debug)]
pub struct Item {
    key: String,
    twin: Option<String>,
    of: Of,
    which: Which,
    scope: Scope,
    /// A part of it is held until the call is over.
    holds: bool,
}

#[derive(Clone, Debug)]
enum Of {
    Bucket { per_minute: u64, holds: u64, cost: u64 },
    Window { most: u64 },
    InFlight { most: u64, lasts_ms: u64 },
    Spent { most: u64, cost: u64, assumed: bool, forget_s: u64, left_us: u64 },
}

/// The part of a limit that is held until a call is over.
#[derive(Clone, Debug)]
pub enum Part {
    Tokens {
        key: String,
        per_minute: u64,
        reserved: u64,
        after: After,
    },
    /// `forget_s`: its settled sum is kept besides, for so many seconds.
    Spent {
        key: String,
        reserved: u64,
        forget_s: Option<u64>,
    },
    InFlight {
        key: String,
        call: String,
    },
}

/// A bucket as a call left it.
#[derive(Clone, Copy, Debug)]
pub struct After {
    /// The used amount at that time.
    pub used: u64,
    /// The time, by this gateway's clock.
    pub at: Nanos,
}

impl After {
    /// The amount that has not been refilled since.
    fn left(&self, per_minute: u64, now: Nanos) -> u64 {
        let gained =
            u128::from(now.0.saturating_sub(self.at.0)) * u128::from(per_minute) / 60_000_000_000;
        self.used.saturating_sub(u64::try_from(gained).unwrap_or(u64::MAX))
    }
}

/// The keys of the money that calls of an organisation have spent in this day and month, without
/// those that are not over.
pub fn settled_keys(org: &OrgId, at: Moment) -> [String; 2] {
    let base = base(org, &Scope::Org);
    let budgets = [day_key(&base, at), month_key(&base, at)];
    budgets.map(|budget| settled_key(&budget))
}

fn settled_key(budget: &str) -> String {
    format!("{budget}:p")
}

fn day_key(base: &str, at: Moment) -> String {
    format!("{base}:d:{}", at.date.day)
}

fn month_key(base: &str, at: Moment) -> String {
    format!("{base}:m:{}", at.date.month)
}

/// The keys of an organisation's quota of requests, as bucket and as window.
pub fn request_keys(org: &OrgId) -> [String; 2] {
    let base = base(org, &Scope::Org);
    [format!("{base}:r"), format!("{base}:w")]
}

fn base(org: &OrgId, scope: &Scope) -> String {
    match scope {
        Scope::Org => format!("tollgate:{{{org}}}:o"),
        Scope::Key(name) => format!("tollgate:{{{org}}}:k:{name}"),
        Scope::User(name) => format!("tollgate:{{{org}}}:u:{name}"),
        Scope::Model(name) => format!("tollgate:{{{org}}}:m:{name}"),
    }
}

/// The quota of requests of a subject.
pub fn requests(org: &OrgId, scope: &Scope, quota: &Quota) -> Item {
    let base = base(org, scope);
    let (bucket, window) = (format!("{base}:r"), format!("{base}:w"));
    let most = u64::from(quota.requests_per_minute());
    let (key, twin, of) = if quota.is_strict() {
        (window, bucket, Of::Window { most })
    } else {
        (bucket, window, Of::Bucket { per_minute: most, holds: u64::from(quota.burst()), cost: 1 })
    };
    Item { key, twin: Some(twin), of, which: Which::Requests, scope: scope.clone(), holds: false }
}

/// All requests of a call to a subject.
pub fn items(
    (subject, caps): &Want,
    ask: Ask,
    at: Moment,
    call_lasts_ms: u64,
    items: &mut Vec<Item>,
) {
    let Subject { org, scope } = subject;
    let base = base(org, scope);
    let Estimate { tokens, nano_usd, assumed } = ask.estimate.unwrap_or_default();
    let holds = ask.estimate.is_some();
    let mut add = |key: String, which: Which, of: Of| {
        items.push(Item {
            key,
            twin: None,
            of,
            which,
            scope: scope.clone(),
            holds: holds || which == Which::CallsInFlight,
        });
    };
    if let Some(most) = caps.calls_in_flight.filter(|_| ask.call) {
        let most = u64::from(most.get());
        add(
            format!("{base}:f"),
            Which::CallsInFlight,
            Of::InFlight { most, lasts_ms: call_lasts_ms },
        );
    }
    if let Some(rate) = caps.tokens_per_minute {
        let cost = tokens.min(rate.get());
        add(
            format!("{base}:t"),
            Which::Tokens,
            Of::Bucket { per_minute: rate.get(), holds: rate.get(), cost },
        );
    }
    let us = |left: std::time::Duration| u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
    if let Some(most) = caps.nano_usd_per_day {
        let (most, left_us) = (most.get(), us(at.date.day_left));
        let of = Of::Spent { most, cost: nano_usd, assumed, forget_s: 2 * 86_400, left_us };
        add(day_key(&base, at), Which::UsdPerDay, of);
    }
    if let Some(most) = caps.nano_usd_per_month {
        let (most, left_us) = (most.get(), us(at.date.month_left));
        let of = Of::Spent { most, cost: nano_usd, assumed, forget_s: 40 * 86_400, left_us };
        add(month_key(&base, at), Which::UsdPerMonth, of);
    }
    if let Some(quota) = caps.requests.filter(|_| ask.call) {
        items.push(requests(org, scope, &quota));
    }
}

impl Item {
    /// Adds this limit to a call of `decide.lua`.
    pub fn write(&self, call: &str, to: &mut Invocation<'_>) {
        to.key(&self.key).key(self.twin.as_ref().unwrap_or(&self.key));
        match self.of {
            Of::Bucket { per_minute, holds, cost } => {
                to.arg("b").arg(per_minute).arg(holds).arg(cost).arg("")
            }
            Of::Window { most } => to.arg("w").arg(most).arg(0).arg(0).arg(call),
            Of::InFlight { most, lasts_ms } => to.arg("f").arg(most).arg(lasts_ms).arg(0).arg(call),
            Of::Spent { most, cost, assumed, forget_s, left_us } => to
                .arg(if assumed { "a" } else { "s" })
                .arg(most)
                .arg(cost)
                .arg(forget_s)
                .arg(left_us),
        };
    }

    /// The refusal, if this is the limit that refuses.
    pub fn over(&self, wait: std::time::Duration) -> Over {
        let limit = match self.of {
            Of::Bucket { per_minute, .. } => per_minute,
            Of::Window { most } | Of::InFlight { most, .. } | Of::Spent { most, .. } => most,
        };
        Over { which: self.which, scope: self.scope.clone(), limit, wait: Some(wait) }
    }

    /// The budget, if it is one, of which so much was spent before.
    pub fn used(&self, nano_usd: u64) -> Option<Used> {
        let Of::Spent { most, .. } = self.of else { return None };
        Some(Used { which: self.which, scope: self.scope.as_str(), nano_usd, limit: most })
    }

    /// The place that it takes. A place can be freed even if it is unknown whether it was taken.
    pub fn place(&self, call: &str) -> Option<Part> {
        let key = || self.key.clone();
        matches!(self.of, Of::InFlight { .. })
            .then(|| Part::InFlight { key: key(), call: call.to_owned() })
    }

    /// The other part that is held once the call has passed; `None` for a request, which is spent.
    pub fn part(&self, after: After) -> Option<Part> {
        if !self.holds {
            return None;
        }
        let key = self.key.clone();
        match self.of {
            Of::Bucket { per_minute, cost, .. } => {
                Some(Part::Tokens { key, per_minute, reserved: cost, after })
            }
            Of::Window { .. } | Of::InFlight { .. } => None,
            Of::Spent { cost, forget_s, .. } => {
                // Alerts watch the budgets of organisations.
                let forget_s = (self.scope == Scope::Org).then_some(forget_s);
                Some(Part::Spent { key, reserved: cost, forget_s })
            }
        }
    }
}

impl Part {
    /// The key that it changes.
    pub fn key(&self) -> &str {
        match self {
            Part::Tokens { key, .. } | Part::Spent { key, .. } | Part::InFlight { key, .. } => key,
        }
    }

    /// Adds the use of the call to a run of `settle.lua`; `None`: the estimate stands. Returns
    /// whether anything changes. Unused tokens are given back, except those that have been refilled
    /// by `now`, when the call was over.
    pub fn write(&self, used: Option<(u64, u64)>, now: Nanos, to: &mut Invocation<'_>) -> bool {
        let more = |used: u64, reserved: u64| i128::from(used) - i128::from(reserved);
        match self {
            Part::InFlight { key, call } => drop(to.key(key).arg("f").arg(call).arg("")),
            Part::Tokens { key, per_minute, reserved, after } => {
                let more = used.map_or(0, |(tokens, _)| more(tokens, *reserved));
                let more = more.max(-i128::from(after.left(*per_minute, now)));
                if more == 0 {
                    return false;
                }
                to.key(key).arg("b").arg(*per_minute).arg(more.to_string());
            }
            Part::Spent { key, reserved, forget_s } => {
                let spent = used.map_or(*reserved, |(_, nano_usd)| nano_usd);
                let more = more(spent, *reserved);
                if more != 0 {
                    to.key(key).arg("s").arg(more.to_string()).arg("");
                }
                let settled = forget_s.filter(|_| spent != 0);
                if let Some(forget_s) = settled {
                    to.key(&settled_key(key)).arg("p").arg(spent).arg(forget_s);
                }
                return more != 0 || settled.is_some();
            }
        }
        true
    }
}
