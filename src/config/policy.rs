//! The checked configuration: the types that the rooms work with.
//!
//! Level 2 of the map. Immutable; a value of these types has passed `check`, so it cannot hold a
//! wrong value, and no `Option` here means "default". A section whose values are used as given has
//! its struct in `sections`, beside its keys; those structs are exported here. Does not know YAML
//! or files. A reload makes a new [`Policy`] and swaps it as a whole.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, Uri};
use tollgate_wire::ProviderKind;

pub use super::sections::{
    Accept, AiLogPolicy, Algorithm, ClickHouseOptions, Durability, Fail, HeldBounds, LogFormat,
    LogOptions, StoredObjects, Timeouts, Tls,
};
use crate::cost::PriceList;
use crate::glob::Glob;
use crate::ids::{OrgId, Secret, SecretBytes};
use crate::intent::prompt::Question;
use crate::limit::bucket::Quota;
use crate::limit::caps::Caps;
use crate::redact::Rules;
use crate::upstream::breaker::BreakerOptions;
use crate::upstream::retry::RetryOptions;

/// `gateway.yaml`: what is read once, at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The applications' side.
    pub listen: SocketAddr,
    /// The operators' side.
    pub admin_listen: SocketAddr,
    /// Host names to which the operators' side answers, in lower case; besides `localhost`.
    pub admin_hosts: Vec<String>,
    /// Write-ahead log and embedded store.
    pub data_dir: PathBuf,
    /// TLS on the applications' side.
    pub tls: Option<Tls>,
    /// Longest request body, in bytes.
    pub max_body_bytes: u64,
    /// How long calls may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// Where rows are stored.
    pub store: StoreKind,
    /// Where limits are counted.
    pub limits_store: LimitsStore,
    pub bounds: HeldBounds,
    /// The gateway's own log.
    pub log: LogOptions,
}

/// Where rows are stored.
#[derive(Clone, Debug)]
pub enum StoreKind {
    /// SQLite, `data_dir/tollgate.db`.
    Embedded,
    /// A ClickHouse server.
    ClickHouse(ClickHouseOptions),
}

/// Where limits are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitsStore {
    Memory,
    /// Shared by replicas.
    Redis(RedisOptions),
}

/// How to reach Redis or Valkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisOptions {
    /// `redis://[user:password@]host[:port][/database]`
    pub url: Secret,
    /// How long a decision may wait for it.
    pub timeout: Duration,
}

/// `policies/*.yaml`: hot.
#[derive(Debug)]
pub struct Policy {
    /// Twelve hex digits of the SHA-256 of the files; on every row.
    pub version: Arc<str>,
    /// Milliseconds since 1970 when it was loaded.
    pub loaded_at_ms: i64,
    pub auth: AuthPolicy,
    /// All providers, in the order of their names' first mention.
    pub providers: Vec<Arc<Provider>>,
    pub routing: Routing,
    pub retry: RetryOptions,
    pub timeouts: Timeouts,
    pub breaker: BreakerOptions,
    pub redaction: RedactionPolicy,
    pub limits: Limits,
    pub features: Features,
    pub intent: IntentPolicy,
    pub ailog: AiLogPolicy,
    pub prices: PriceList,
}

/// Who may call.
#[derive(Debug)]
pub struct AuthPolicy {
    /// Tried in this order; not empty.
    pub accept: Vec<Accept>,
    /// Present where a secret or a key set is configured.
    pub jwt: Option<JwtPolicy>,
    /// By SHA-256 of the key.
    pub keys: HashMap<[u8; 32], Arc<GatewayKey>>,
}

/// What a JWT has to be.
#[derive(Debug)]
pub struct JwtPolicy {
    /// Not empty.
    pub algorithms: Vec<Algorithm>,
    /// For the HS family; empty if only a key set is used.
    pub secret: SecretBytes,
    /// The key set of the other families.
    pub jwks: Option<JwksSource>,
    /// Exact; empty: not checked.
    pub issuer: String,
    /// Exact; empty: not checked.
    pub audience: String,
    /// Path of names to the organisation, e.g. `["org_id"]` or `["app", "org"]` for `app.org`.
    pub org_claim: Vec<String>,
    /// Path of names to the user.
    pub user_claim: Vec<String>,
    /// Tolerance for the clocks of issuers.
    pub leeway: Duration,
    /// SHA-256 over all of the above: what was verified under other rules is verified anew.
    pub fingerprint: [u8; 32],
}

impl JwtPolicy {
    /// The rules that hold where a policy names nothing but its secret. Rules that differ need
    /// fingerprints that do.
    pub fn of_secret(secret: SecretBytes, fingerprint: [u8; 32]) -> JwtPolicy {
        JwtPolicy {
            algorithms: vec![Algorithm::HS256],
            secret,
            jwks: None,
            issuer: String::new(),
            audience: String::new(),
            org_claim: vec!["org_id".to_owned()],
            user_claim: vec!["sub".to_owned()],
            leeway: Duration::from_secs(30),
            fingerprint,
        }
    }
}

/// Where a JWK set comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// Watched.
    File(PathBuf),
    /// Asked again for an unknown `kid`, at most every 30 s.
    Url(Uri),
}

impl JwksSource {
    /// The source as operators see it: without credentials or a query.
    pub fn shown(&self) -> String {
        match self {
            JwksSource::File(path) => path.display().to_string(),
            JwksSource::Url(address) => {
                let host = address.authority().map_or("", |a| a.as_str());
                let host = host.rsplit('@').next().unwrap_or_default();
                format!("{}://{host}{}", address.scheme_str().unwrap_or("http"), address.path())
            }
        }
    }
}

/// A key of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayKey {
    pub name: Arc<str>,
    pub org: OrgId,
    /// Milliseconds since 1970 from when on it is refused.
    pub expires_ms: Option<i64>,
    /// Models it may be used for; empty: all.
    pub models: Vec<Glob>,
    /// Canonical paths it may be used for; empty: all.
    pub endpoints: Vec<Glob>,
}

impl GatewayKey {
    /// Whether it may not be used for everything that its organisation may do.
    pub fn is_restricted(&self) -> bool {
        !(self.models.is_empty() && self.endpoints.is_empty())
    }

    /// Whether it may be used for an endpoint, by its canonical path.
    pub fn may_call(&self, endpoint: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|glob| glob.matches(endpoint))
    }

    /// Whether it may be used for a model. A call that names none is not known to be allowed.
    pub fn may_use(&self, model: Option<&str>) -> bool {
        self.models.is_empty()
            || model.is_some_and(|model| self.models.iter().any(|glob| glob.matches(model)))
    }
}

/// A provider as configured.
#[derive(Debug)]
pub struct Provider {
    pub name: Arc<str>,
    pub kind: ProviderKind,
    /// `http` or `https`, with authority, the path without a trailing slash, no query.
    pub base_url: Uri,
    /// Empty: calls without a key of the caller's own go without one.
    pub api_key: Secret,
    /// Request headers passed on besides the common ones.
    pub forward_headers: Vec<HeaderName>,
}

/// Which provider gets a call.
#[derive(Debug)]
pub struct Routing {
    /// Empty: an unmatched model is 404.
    pub default: Targets,
    /// More paths that are open.
    pub endpoints: Vec<(Method, String)>,
    /// Whether a body may name stored objects under the gateway's own key.
    pub stored_objects: StoredObjects,
    /// `store` of a body becomes `false`.
    pub force_store_false: bool,
    /// Those that every organisation may name.
    pub shared_objects: Vec<Glob>,
    /// First match wins.
    pub models: Vec<ModelRule>,
    /// Some target has a model's name of its own, so that bodies are to be rewritten.
    pub renames: bool,
}

/// Models of this form go to these providers.
#[derive(Debug)]
pub struct ModelRule {
    pub pattern: Glob,
    /// Not empty.
    pub to: Targets,
}

/// Where calls may go, and how they are spread over it.
#[derive(Debug)]
pub struct Targets {
    /// In the order of the file.
    pub list: Vec<Target>,
    pub spread: Spread,
    /// Calls of one organisation go to the same target while it is well.
    pub sticky: bool,
}

impl Targets {
    /// One provider, under the policy's own timeouts.
    pub fn only(provider: Arc<Provider>, timeouts: Timeouts) -> Targets {
        let list = vec![Target { provider, weight: 1, model: None, timeouts }];
        Targets { list, spread: Spread::InOrder, sticky: false }
    }
}

/// Which target of a list a call is sent to first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// The first.
    InOrder,
    /// One of those with a weight, by their weights.
    ByWeight,
    /// One of those with a weight, which all weigh the same: the one with the fewest calls.
    LeastLoaded,
}

/// A provider in one list of targets.
#[derive(Debug)]
pub struct Target {
    pub provider: Arc<Provider>,
    /// Its share of the calls; 0: only what the others failed at.
    pub weight: u32,
    /// The model's name there; where absent, the one that the call names.
    pub model: Option<Arc<str>>,
    /// The policy's, where the target has none of its own.
    pub timeouts: Timeouts,
}

/// What is taken out, per organisation.
#[derive(Debug)]
pub struct RedactionPolicy {
    pub default: Arc<Rules>,
    pub orgs: HashMap<OrgId, Arc<Rules>>,
}

impl RedactionPolicy {
    /// The rules of an organisation.
    pub fn of(&self, org: &OrgId) -> &Arc<Rules> {
        self.orgs.get(org).unwrap_or(&self.default)
    }
}

/// How much each organisation may use.
#[derive(Debug)]
pub struct Limits {
    pub default: Quota,
    pub orgs: HashMap<OrgId, Quota>,
    /// Absent where nothing but an organisation's requests is limited, for anyone: then nobody pays
    /// for looking.
    pub more: Option<Box<MoreLimits>>,
    /// What holds where `limits_store` is shared.
    pub shared: SharedLimits,
    pub shared_orgs: HashMap<OrgId, SharedLimits>,
}

impl Limits {
    /// The quota of an organisation.
    pub fn of(&self, org: &OrgId) -> Quota {
        self.orgs.get(org).copied().unwrap_or(self.default)
    }

    /// How an organisation is counted in a shared store.
    pub fn shared_of(&self, org: &OrgId) -> SharedLimits {
        self.shared_orgs.get(org).copied().unwrap_or(self.shared)
    }
}

/// Limits beyond an organisation's requests.
#[derive(Debug)]
pub struct MoreLimits {
    pub default: OrgLimits,
    pub orgs: HashMap<OrgId, OrgLimits>,
}

impl MoreLimits {
    /// Those of an organisation.
    pub fn of(&self, org: &OrgId) -> &OrgLimits {
        self.orgs.get(org).unwrap_or(&self.default)
    }

    /// Whether money is limited anywhere, so that what was spent before the start matters.
    pub fn have_budgets(&self) -> bool {
        std::iter::once(&self.default).chain(self.orgs.values()).any(|limits| {
            let models = limits.models.iter().map(|model| &model.caps);
            [&limits.all, &limits.each_key, &limits.each_user]
                .into_iter()
                .chain(models)
                .any(Caps::has_budget)
        })
    }
}

/// Limits of one organisation beyond its requests.
#[derive(Debug, Default)]
pub struct OrgLimits {
    /// Of all its calls together; without requests, which have a quota of their own.
    pub all: Caps,
    /// Of each gateway key.
    pub each_key: Caps,
    /// Of each user of its JWTs.
    pub each_user: Caps,
    /// Of calls by model; the first that fits counts.
    pub models: Vec<ModelLimits>,
}

impl OrgLimits {
    /// Whether any of them needs to know what a call will use.
    pub fn need_estimate(&self) -> bool {
        !self.models.is_empty()
            || [&self.all, &self.each_key, &self.each_user].into_iter().any(Caps::need_estimate)
    }

    /// Whether any of them is about money.
    pub fn has_budget(&self) -> bool {
        let models = self.models.iter().map(|limits| &limits.caps);
        [&self.all, &self.each_key, &self.each_user].into_iter().chain(models).any(Caps::has_budget)
    }
}

/// Limits of the models of a form, together.
#[derive(Debug)]
pub struct ModelLimits {
    pub pattern: Glob,
    /// The pattern as written: its name in messages and in the store.
    pub name: Arc<str>,
    pub caps: Caps,
}

/// How a shared store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharedLimits {
    pub fail: Fail,
    /// The part of a burst that gateways may hold unspent, in thousandths of a percent; 0: every
    /// call asks the store.
    pub lease_millipercent: u32,
}

impl SharedLimits {
    /// Calls that all gateways together may hold unspent of a bucket.
    pub fn allowance(self, quota: &Quota) -> u32 {
        let calls = u64::from(quota.burst()) * u64::from(self.lease_millipercent) / 100_000;
        u32::try_from(calls).unwrap_or(u32::MAX)
    }
}

/// Feature flags.
#[derive(Debug)]
pub struct Features {
    pub ai_intent_enabled: bool,
    pub ai_intent_orgs: HashMap<OrgId, bool>,
}

impl Features {
    /// Whether intents are on for an organisation.
    pub fn ai_intent(&self, org: &OrgId) -> bool {
        self.ai_intent_orgs.get(org).copied().unwrap_or(self.ai_intent_enabled)
    }
}

/// The ticket endpoint.
#[derive(Debug)]
pub struct IntentPolicy {
    /// Index into [`Policy::providers`].
    pub provider: usize,
    /// What the model is asked.
    pub question: Arc<Question>,
    /// SHA-256 over who is asked and what: an answer to another question is no answer to this one.
    pub fingerprint: [u8; 32],
    pub deadline: Duration,
    /// For all tickets of a batch together.
    pub batch_deadline: Duration,
}
