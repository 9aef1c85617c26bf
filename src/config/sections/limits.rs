//! The keys of `limits` and `features`.

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Cap, Kind, Section as _, Shape, Usd, section, words};

words! {
    /// The behaviour while the shared limits store is unavailable.
    Fail {
        /// Each gateway counts by itself.
        "local" => Local,
        /// Calls pass without limits.
        "open" => Open,
        /// Calls get 503 `overloaded`.
        "closed" => Closed,
    }
}

/// Calls a minute.
const REQUESTS_MAX: u32 = 10_000_000;
const TOKENS_MAX: u64 = 1_000_000_000_000;
const CALLS_IN_FLIGHT_MAX: u32 = 1_000_000;
/// The smallest amount.
const USD_MIN: Usd = Usd(1);
/// Up to this amount a shared store, whose scripts count in doubles, is exact to 10⁻⁹ USD.
const USD_MAX: Usd = Usd(9_000_000_000_000_000);

section! {
    /// Limits of each organisation. `off` means no limit.
    RawLimits => struct LimitOptions: Clone, Copy, PartialEq, Eq {
        /// Calls a minute. The bucket refills evenly.
        requests_per_minute: u32 => check = "60" in 1..=REQUESTS_MAX;
        /// Calls that an idle organisation may make at once: the size of the bucket. With 60 and
        /// 60, an idle organisation can make 119 calls in its first minute.
        burst: u32 => check = "60" in 1..=REQUESTS_MAX;
        /// If true, never more than `requests_per_minute` in any 60 s; at most 10000.
        strict: bool => check = "false";
        /// Tokens a minute, in and out: estimated when a call begins, settled when it ends. Use
        /// beyond the limit counts against later calls.
        tokens_per_minute: Cap<u64> => check = "off" in 1..=TOKENS_MAX;
        /// Calls in flight.
        calls_in_flight: Cap<u32> => check = "off" in 1..=CALLS_IN_FLIGHT_MAX;
        /// USD in a calendar day (UTC). A call without a price costs nothing here.
        usd_per_day: Cap<Usd> => check = "off" in USD_MIN..=USD_MAX;
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> => check = "off" in USD_MIN..=USD_MAX;
        /// Limits of each gateway key, within the organisation's.
        each_key: RawCaps => check = "{}", eg "{requests_per_minute: 30, usd_per_day: 5}";
        /// Limits of each user (`auth.jwt.user_claim`), within the organisation's.
        each_user: RawCaps => check = "{}", eg "{requests_per_minute: 10}";
        /// Limits by model, within the organisation's; the first match counts.
        models: Vec<At<RawModelCaps>> => check = "[]", eg "{match: gpt-4o*, tokens_per_minute: \
            100000, usd_per_day: 25}";
        /// With money used up (`usd_per_day`, `usd_per_month`): refuse (429), or {downgrade: {model:
        /// NAME}}: calls for text ask for that model instead, whose own `models` limits hold.
        on_exhausted: OnExhausted => check = "refuse";
        /// With a shared `limits_store`, while it is unavailable: local (each gateway counts by
        /// itself), open (no limits) or closed (503).
        fail: Fail = "local";
        /// With a shared `limits_store`: part of `burst`, in percent, that all gateways together
        /// may lease and spend without asking the store. The limit can be exceeded by at most this
        /// number of calls. Not with `strict`.
        lease_percent: f64 => check = "0" in 0.0..=10.0;
    }
}
section! {
    /// A cheaper model for calls over a budget.
    RawDowngrade {
        /// The model that is asked instead.
        model: String;
    }
}
section! {
    /// In place of a refusal.
    RawGuide {
        /// A cheaper model for calls over a budget.
        downgrade: RawDowngrade;
    }
}

/// `refuse`, or a [`RawGuide`].
#[derive(Clone, Debug)]
pub(crate) struct OnExhausted(pub(crate) Option<RawGuide>);

impl Shape for OnExhausted {
    fn read(node: &Node, problems: &mut Problems) -> Option<OnExhausted> {
        match &node.value {
            Value::Map(_) => RawGuide::read(node, problems).map(|guide| OnExhausted(Some(guide))),
            Value::Scalar(scalar) if scalar.text.trim() == "refuse" => Some(OnExhausted(None)),
            Value::Failed => None,
            _ => {
                let reason = "neither `refuse` nor a cheaper model; give refuse, or {downgrade: \
                    {model: NAME}}";
                problems.add(&node.at, reason);
                None
            }
        }
    }
    fn json(&self) -> serde_json::Value {
        self.0.as_ref().map_or("refuse".into(), Shape::json)
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"anyOf": [{"const": "refuse"}, RawGuide::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("refuse", Box::new(Kind::Section(RawGuide::info())))
    }
}
section! {
    /// Limits within those of an organisation.
    RawCaps {
        /// Calls a minute, and at once.
        requests_per_minute: Cap<u32> = "off" in 1..=REQUESTS_MAX;
        /// Tokens a minute, in and out.
        tokens_per_minute: Cap<u64> = "off" in 1..=TOKENS_MAX;
        /// Calls in flight.
        calls_in_flight: Cap<u32> = "off" in 1..=CALLS_IN_FLIGHT_MAX;
        /// USD in a calendar day (UTC).
        usd_per_day: Cap<Usd> = "off" in USD_MIN..=USD_MAX;
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> = "off" in USD_MIN..=USD_MAX;
    }
}
section! {
    /// Limits of all models that match, together.
    RawModelCaps {
        /// A model; `*` stands for any run of characters: gpt-4o*.
        r#match: String;
        /// Calls a minute, and at once.
        requests_per_minute: Cap<u32> = "off" in 1..=REQUESTS_MAX;
        /// Tokens a minute, in and out.
        tokens_per_minute: Cap<u64> = "off" in 1..=TOKENS_MAX;
        /// Calls in flight.
        calls_in_flight: Cap<u32> = "off" in 1..=CALLS_IN_FLIGHT_MAX;
        /// USD in a calendar day (UTC).
        usd_per_day: Cap<Usd> = "off" in USD_MIN..=USD_MAX;
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> = "off" in USD_MIN..=USD_MAX;
    }
}
section! {
    /// Feature flags.
    RawFeatures => struct Features: Clone, Copy {
        /// The ticket endpoint. If false, it answers 403 `feature_disabled`.
        ai_intent_enabled: bool = "${AI_INTENT_ENABLED:-true}";
    }
}
