//! Limits, subjects and refusals: the types that all parts of this room share.
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
    /// Whether it is a budget of money.
    pub const fn is_money(self) -> bool {
        matches!(self, Which::UsdPerDay | Which::UsdPerMonth)
    }

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

/// The calls that are counted together within an organisation.
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

/// A subject whose use is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject {
    /// Its organisation.
    pub org: OrgId,
    /// Which part of that.
    pub scope: Scope,
}

/// The limits of a subject. `None`: not limited.
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

/// More money than is ever spent.
const COUNTED_MAX: NonZeroU64 = NonZeroU64::MAX;

/// A subject and its caps.
pub type Want = (Subject, Caps);

impl Caps {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Caps::default()
    }

    /// Whether it takes an estimate of the call to decide.
    pub fn need_estimate(&self) -> bool {
        self.tokens_per_minute.is_some() || self.has_budget()
    }

    /// The same, but money is counted and never refuses.
    pub fn counting(self) -> Caps {
        Caps {
            nano_usd_per_day: self.nano_usd_per_day.map(|_| COUNTED_MAX),
            nano_usd_per_month: self.nano_usd_per_month.map(|_| COUNTED_MAX),
            ..self
        }
    }

    /// Whether money is limited.
    pub fn has_budget(&self) -> bool {
        self.nano_usd_per_day.is_some() || self.nano_usd_per_month.is_some()
    }
}

/// The request of a call to a subject, granted as a whole or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// One call: counted as a request, and as in flight until it ends.
    pub call: bool,
    /// The estimated use; absent: tokens and money are only asked whether any is left, and nothing
    /// is held of them.
    pub estimate: Option<Estimate>,
}

/// The estimated use of a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// In and out.
    pub tokens: u64,
    /// 10⁻⁹ USD, at most.
    pub nano_usd: u64,
    /// The call sets no bound to its answer, so the money is the cost of the model's longest
    /// answer. The call passes if any money is left, and its full cost is held: meanwhile no other
    /// call passes.
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
    /// Its scope.
    pub scope: Scope,
    /// The limit of the policy; in 10⁻⁹ USD if it is money.
    pub limit: u64,
    /// The wait after which it may pass if there are no other calls; `None` if that cannot be known
    /// (calls in flight).
    pub wait: Option<Duration>,
}

impl Over {
    /// `org:usd_per_day`
    pub fn name(&self) -> String {
        [self.scope.as_str(), ":", self.which.as_str()].concat()
    }
}

/// A budget of money as a call found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    /// Its period.
    pub which: Which,
    /// The kind of its subject.
    pub scope: &'static str,
    /// Spent and reserved by other calls, in 10⁻⁹ USD.
    pub nano_usd: u64,
    /// The limit of the policy, in 10⁻⁹ USD.
    pub limit: u64,
}
