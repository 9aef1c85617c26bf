//! The checked configuration: the types that the rooms work with.
//!
//! Level 2 of the map. Immutable; a value of these types has passed `check`, so it cannot hold a
//! wrong value, and no `Option` here means "default". Values that are used as given are in structs
//! that `sections` declares beside the keys, and that are exported here; the types of this file
//! have one of them in `options`, and beside it the values that `check` has made of others. Does
//! not know YAML or files. A reload makes a new [`Policy`] and swaps it as a whole.

mod alerts;
mod auth;
mod credentials;
mod settings;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Uri};
use tollgate_wire::ProviderKind;
use tollgate_wire::translate::model::Overrides;

pub use super::reader::shape::ByOrg;
pub use super::sections::{
    Accept, AiLogPolicy, Algorithm, AuthOptions, CacheMode, CacheOptions, Durability, Fail,
    Features, IntentOptions, KeyOptions, LimitOptions, LogFormat, LogOptions, ProviderOptions,
    RedisMode, Role, RoutingOptions, Semconv, StoredObjects, Timeouts, Tls,
};
use crate::cost::PriceList;
use crate::egress::Egress;
use crate::glob::Glob;
use crate::ids::OrgId;
use crate::intent::prompt::Question;
use crate::limit::bucket::Quota;
use crate::limit::caps::{Caps, Scope};
use crate::redact::Rules;
use crate::upstream::breaker::BreakerOptions;
use crate::upstream::retry::RetryOptions;
pub use alerts::{AlertRule, AlertRules, Condition, Webhook};
pub use auth::{AuthPolicy, GatewayKey, JwksSource, JwtPolicy};
pub use credentials::{
    AuthSource, AwsKeys, AwsSource, ContainerProof, EntraProof, EntraSource, GcpSource,
    ProviderAuth,
};
pub use settings::{
    Access, ClickHouseOptions, LimitsStore, OidcOptions, Otlp, Principal, RedisAccess,
    RedisAddress, RedisOptions, Settings, StoreKind,
};

/// The rights that a value of the role claim gives.
#[derive(Clone, Debug)]
pub struct Grant {
    pub role: Role,
    pub orgs: GrantedOrgs,
}

/// The organisations of a [`Grant`].
#[derive(Clone, Debug)]
pub enum GrantedOrgs {
    All,
    These(Vec<OrgId>),
    /// Those that a claim names, by the names that lead to it.
    Claim(Vec<String>),
}

/// `policies/*.yaml`: hot.
#[derive(Debug)]
pub struct Policy {
    /// Twelve hex digits of the SHA-256 of the files; on every row.
    pub version: Arc<str>,
    /// Milliseconds since 1970 when it was loaded.
    pub loaded_at_ms: i64,
    /// How everything but providers is reached.
    pub egress: Arc<Egress>,
    pub auth: AuthPolicy,
    /// All providers, in the order of their names' first mention.
    pub providers: Vec<Arc<Provider>>,
    pub routing: Routing,
    pub retry: RetryOptions,
    pub timeouts: Timeouts,
    pub breaker: BreakerOptions,
    /// The rules of redaction.
    pub redaction: ByOrg<Arc<Rules>>,
    /// Pages of other origins that may call.
    pub cors: Cors,
    pub limits: Limits,
    /// `None`: off for every organisation.
    pub cache: Option<Box<CacheRules>>,
    pub features: ByOrg<Features>,
    pub intent: IntentPolicy,
    pub ailog: AiLogPolicy,
    /// `None`: nothing is watched.
    pub alerts: Option<Box<AlertRules>>,
    /// The tags of a row.
    pub tags: Vec<TagRule>,
    pub prices: PriceList,
}

/// The exact cache.
#[derive(Debug)]
pub struct CacheRules {
    pub orgs: ByOrg<CachePolicy>,
    /// Room on disk for all organisations together.
    pub bytes_max: u64,
}

/// The exact cache of an organisation.
#[derive(Debug)]
pub struct CachePolicy {
    /// Canonical paths whose answers are kept; empty: all.
    pub endpoints: Vec<Glob>,
    pub options: CacheOptions,
}

impl CachePolicy {
    /// Whether answers of an endpoint are kept, by its canonical path.
    pub fn keeps(&self, endpoint: &str) -> bool {
        self.options.mode == CacheMode::Exact
            && (self.endpoints.is_empty() || self.endpoints.iter().any(|g| g.matches(endpoint)))
    }
}

/// A tag of each row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagRule {
    pub name: Arc<str>,
    pub source: TagSource,
}

/// Where the value of a tag is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSource {
    Header(HeaderName),
    /// Path of names in the claims of a JWT.
    Claim(Vec<String>),
    /// A text in `metadata` of the body.
    Metadata(String),
}

/// Pages of other origins that may call.
#[derive(Debug)]
pub struct Cors {
    /// As browsers write them, or `*` alone; empty: none.
    pub origins: Vec<String>,
    /// Request headers besides those of the SDKs.
    pub headers: Vec<HeaderName>,
    /// How long a browser may remember the answer to its question.
    pub max_age: Duration,
}

impl Cors {
    /// Whether pages of this origin may call.
    pub fn allows(&self, origin: &HeaderValue) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    }
}

/// A provider as configured.
#[derive(Debug)]
pub struct Provider {
    pub name: Arc<str>,
    /// `http` or `https`, with authority, the path without a trailing slash, no query.
    pub base_url: Uri,
    /// Request headers that are forwarded besides the common ones.
    pub forward_headers: Vec<HeaderName>,
    /// How it is reached.
    pub egress: Arc<Egress>,
    /// The credential of a cloud, in place of `api_key`.
    pub auth: Option<ProviderAuth>,
    pub options: ProviderOptions,
}

impl Provider {
    /// The date of the API of an Azure resource; `None` for its v1 API and for other kinds.
    pub fn dated_api(&self) -> Option<&str> {
        let version = self.options.api_version.as_str();
        (self.options.kind == ProviderKind::AzureOpenAi && version != "v1").then_some(version)
    }
}

/// The provider of each call.
#[derive(Debug)]
pub struct Routing {
    /// Targets of models that no rule matches. Empty: such calls get a 404.
    pub default: Targets,
    /// Further paths that are open.
    pub endpoints: Vec<(Method, String)>,
    /// Ids of the stored objects that every organisation may name.
    pub shared_objects: Vec<Glob>,
    /// The first match wins.
    pub models: Vec<ModelRule>,
    /// A target has a name of its own for a model, so bodies have to be rewritten.
    pub renames: bool,
    /// A target takes the model in its path, so it must be known before a call is sent.
    pub model_in_path: bool,
    pub options: RoutingOptions,
}

/// The targets of the models that match a pattern.
#[derive(Debug)]
pub struct ModelRule {
    pub pattern: Glob,
    /// Not empty.
    pub to: Targets,
}

/// A list of targets, and the way in which calls are spread over them.
#[derive(Clone, Debug)]
pub struct Targets {
    /// In the order of the file.
    pub list: Vec<Target>,
    pub spread: Spread,
    /// Calls of one organisation go to the same target while it is healthy.
    pub sticky: bool,
}

impl Targets {
    /// One provider, under the policy's own timeouts.
    pub fn only(provider: Arc<Provider>, timeouts: Timeouts) -> Targets {
        let list = vec![Target {
            provider,
            weight: 1,
            model: None,
            timeouts,
            facts: Overrides::default(),
        }];
        Targets { list, spread: Spread::InOrder, sticky: false }
    }
}

/// The first target of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The first.
    InOrder,
    /// One of those with a weight, by their weights.
    ByWeight,
    /// Of those with a weight, if all weights are equal: the one with the fewest calls in flight.
    LeastLoaded,
}

/// A provider in one list of targets.
#[derive(Clone, Debug)]
pub struct Target {
    pub provider: Arc<Provider>,
    /// Its share of the calls; 0: only calls that failed at others.
    pub weight: u32,
    /// The model's name there; `None`: the name in the call.
    pub model: Option<Arc<str>>,
    /// Those of the target, and for the rest those of the policy.
    pub timeouts: Timeouts,
    /// The abilities of its models, where the policy names them.
    pub facts: Overrides,
}

/// Limits of each organisation.
#[derive(Debug)]
pub struct Limits {
    pub requests: ByOrg<RequestLimits>,
    /// `None` if only requests of organisations are limited, so that other limits cost nothing.
    pub more: Option<Box<ByOrg<OrgLimits>>>,
}

impl Limits {
    /// Whether money is limited anywhere, so that the use before the start matters.
    pub fn have_budgets(&self) -> bool {
        self.more.iter().flat_map(|more| more.all()).any(OrgLimits::has_budget)
    }
}

/// The limit of an organisation's requests, and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    pub quota: Quota,
    /// The part of a burst that gateways may hold unspent, in thousandths of a percent; 0: every
    /// call asks the store.
    pub lease_millipercent: u32,
    pub options: LimitOptions,
}

impl RequestLimits {
    /// The number of calls that all gateways together may hold unspent of a bucket.
    pub fn allowance(&self) -> u32 {
        let calls = u64::from(self.quota.burst()) * u64::from(self.lease_millipercent) / 100_000;
        u32::try_from(calls).unwrap_or(u32::MAX)
    }
}

/// Limits of one organisation beyond its requests.
#[derive(Debug, Default)]
pub struct OrgLimits {
    /// Of all its calls together; without requests, which are in [`RequestLimits`].
    pub all: Caps,
    /// Of each gateway key.
    pub each_key: Caps,
    /// Of each user of its JWTs.
    pub each_user: Caps,
    /// Of calls by model; the first match counts.
    pub models: Vec<ModelLimits>,
    /// The model for calls over a budget; `None`: they are refused.
    pub downgrade: Option<Arc<str>>,
}

impl OrgLimits {
    /// Whether any of them needs an estimate of a call's use.
    pub fn need_estimate(&self) -> bool {
        !self.models.is_empty()
            || [&self.all, &self.each_key, &self.each_user].into_iter().any(Caps::need_estimate)
    }

    /// The limits of a part of the organisation; `None` if it has none any more.
    pub fn caps_of(&self, scope: &Scope) -> Option<&Caps> {
        match scope {
            Scope::Org => Some(&self.all),
            Scope::Key(_) => Some(&self.each_key),
            Scope::User(_) => Some(&self.each_user),
            Scope::Model(name) => {
                self.models.iter().find(|limits| limits.name == *name).map(|limits| &limits.caps)
            }
        }
    }

    /// Whether any of them is about money.
    pub fn has_budget(&self) -> bool {
        let models = self.models.iter().map(|limits| &limits.caps);
        [&self.all, &self.each_key, &self.each_user].into_iter().chain(models).any(Caps::has_budget)
    }
}

/// Limits of all models that match a pattern, together.
#[derive(Debug)]
pub struct ModelLimits {
    pub pattern: Glob,
    /// The pattern as written: its name in messages and in the store.
    pub name: Arc<str>,
    pub caps: Caps,
}

/// The ticket endpoint.
#[derive(Debug)]
pub struct IntentPolicy {
    /// Index into [`Policy::providers`].
    pub provider: usize,
    /// The question to the model.
    pub question: Arc<Question>,
    /// SHA-256 over the provider and the question: an answer to another question is not reused.
    pub fingerprint: [u8; 32],
    pub options: IntentOptions,
}
