//! What may be limited, for whom, and how a refusal is named: the words that all parts of this room share.
//!
//! Pure. Does not: count anything (see `bucket` and `meter`).

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Arc;
use std::time::Duration;

use super::bucket::Quota;
use crate::ids::OrgId;

/// A limit, by the name of its key in the policy. A closed set: it is a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Calls in a minute.
    Requests,
    /// Tokens in a minute.
    Tokens,
    /// Calls being worked on.
    CallsInFlight,
    /// Money in a day.
    UsdPerDay,
    /// Money in a month.
    UsdPerMonth,
}

impl Which {
    /// The key in the policy.
    pub const fn as_str(self) -> &'static str {
        match self {
            Which::Requests => "requests_per_minute",
            Which::Tokens => "tokens_per_minute",
            Which::CallsInFlight => "calls_in_flight",
            Which::UsdPerDay => "usd_per_day",
            Which::UsdPerMonth => "usd_per_month",
        }
    }
}

/// Who is counted together, within an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of it.
    Org,
    /// The gateway key of this name.
    Key(Arc<str>),
    /// The user of this name, from a JWT.
    User(Arc<str>),
    /// The models that this pattern fits.
    Model(Arc<str>),
}

impl Scope {
    /// A closed set: it is a label of the metrics.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Scope::Org => "org",
            Scope::Key(_) => "key",
            Scope::User(_) => "user",
            Scope::Model(_) => "model",
        }
    }

    /// The name within its kind.
    pub fn name(&self) -> &str {
        match self {
            Scope::Org => "",
            Scope::Key(name) | Scope::User(name) | Scope::Model(name) => name,
        }
    }
}

/// Whose use is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its organisation.
    pub org: OrgId,
    /// Which part of that.
    pub scope: Scope,
}

/// What a subject may use. `None`: not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Calls.
    pub requests: Option<Quota>,
    /// A bucket that holds one minute's worth.
    pub tokens_per_minute: Option<NonZeroU64>,
    /// Calls being worked on at once.
    pub calls_in_flight: Option<NonZeroU32>,
    /// 10⁻⁹ USD in a calendar day, UTC.
    pub nano_usd_per_day: Option<NonZeroU64>,
    /// 10⁻⁹ USD in a calendar month, UTC.
    pub nano_usd_per_month: Option<NonZeroU64>,
}

impl Caps {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Caps::default()
    }

    /// Whether it takes an estimate of the call to decide.
    pub fn need_estimate(&self) -> bool {
        self.tokens_per_minute.is_some() || self.has_budget()
    }

    /// Whether money is limited.
    pub fn has_budget(&self) -> bool {
        self.nano_usd_per_day.is_some() || self.nano_usd_per_month.is_some()
    }
}

/// What a call asks of a subject, all of it or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// One call: counted as a request, and as in flight until it ends.
    pub call: bool,
    /// What it will use; absent: tokens and money are only asked whether any is left, and nothing is held of them.
    pub estimate: Option<Estimate>,
}

/// What a call will use, about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// In and out.
    pub tokens: u64,
    /// 10⁻⁹ USD, at most.
    pub nano_usd: u64,
    /// The call sets no bound to its answer, so that the money is what the model's longest answer costs. It passes if any
    /// money is left, and what it may cost beyond that is held, too: meanwhile nothing else passes.
    pub assumed: bool,
}

impl Ask {
    /// One call of which nothing is known yet.
    pub const CALL: Ask = Ask { call: true, estimate: None };
}

/// A limit that refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// Which one.
    pub which: Which,
    /// Whose.
    pub scope: Scope,
    /// What the policy allows; 10⁻⁹ USD where it is money.
    pub limit: u64,
    /// When it may pass if nobody else calls; nothing where that cannot be known (calls in flight).
    pub wait: Option<Duration>,
}
/// A subject, and its limits.
pub type Want = (Subject, Caps);
