//! The keys of the configuration: one line of `section!` for each.
//!
//! A line has the key's name, type, default (as YAML, read by the same code as the files), range
//! and description. From it come the reader, the range check, the JSON Schema, the files in
//! `config/`, `docs/configuration.md` and the view of operators. Rules between keys are in `check`;
//! the types that the rest of the program works with are in `policy`.

mod admin;
mod ailog;
mod alerts;
mod auth;
mod cache;
mod cors;
mod credentials;
mod egress;
mod gateway;
mod intent;
mod limits;
mod providers;
mod redaction;
mod telemetry;
mod tls;
mod upstream;

use std::time::Duration;

pub use admin::Role;
pub(crate) use admin::{OpenAccess, RawAccess, RawAdmin, RawGrant, RawOidc};
pub(crate) use ailog::RawAiLog;
pub use ailog::{AiLogPolicy, Durability};
pub(crate) use alerts::{AlertOn, RawAlertRule, RawAlerts};
pub use auth::{Accept, Algorithm, AuthOptions, JwtOptions, KeyOptions};
pub use cache::{CacheMode, CacheOptions};
pub use gateway::{GatewayOptions, LogFormat, LogOptions, RedisMode};
pub use intent::{Example, IntentOptions};
pub use limits::{Fail, Features, LimitOptions};
pub use providers::{MaxTokensField, OnLoss, ProviderOptions, RoutingOptions, StoredObjects};
pub use telemetry::{OtlpOptions, Semconv};
pub use tls::Tls;
pub use upstream::Timeouts;

pub(crate) use ailog::RawPrice;
pub(crate) use auth::{RawAuth, RawJwt, RawKey};
pub(crate) use cache::RawCache;
pub(crate) use cors::RawCors;
pub(crate) use credentials::{AuthCredentials, AuthType, RawProviderAuth};
pub(crate) use egress::{ProxySource, RawProxy};
pub(crate) use gateway::{
    LimitsStoreSource, PlaceholderSecret, RawClickHouse, RawGateway, RawRedis, Store,
};
pub(crate) use intent::{RawExample, RawIntent};
pub(crate) use limits::{RawFeatures, RawLimits};
pub(crate) use providers::{RawProvider, RawRouting, RawTarget, RawTo};
pub(crate) use redaction::{EntityName, RawRules, RawTerms};
pub(crate) use telemetry::RawTelemetry;
pub(crate) use upstream::{RawRetry, RawTargetTimeouts, RawTimeouts};

use upstream::RawBreaker;

use super::reader::node::Node;
use super::reader::place::Problems;
use super::reader::shape::{At, Named, PerOrg, Shape, section};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

section! {
    /// Files in `policies/`. An edit is in force within a second; an edit with a problem is refused
    /// as a whole.
    RawPolicy {
        /// Authentication: the organisation of a call.
        auth: RawAuth = "jwt: {secret: '${TOLLGATE_JWT_SECRET:-}'}";
        /// The providers that calls are sent to, each with a name of your own; at most 1,024.
        providers: Named<RawProvider> =
            "openai: {kind: openai, base_url: 'https://api.openai.com/v1', api_key: \
             '${OPENAI_API_KEY:-}'}",
            eg "anthropic: {kind: anthropic, base_url: 'https://api.anthropic.com/v1', \
                api_key: '${ANTHROPIC_API_KEY:-}'}";
        /// Routing: the provider of each call.
        routing: RawRouting = "{}";
        /// Retries of failed calls.
        retry: RawRetry = "{}";
        /// Time limits for the parts of a call.
        timeouts: RawTimeouts = "{}";
        /// Circuit breaker: pauses calls of a caller to a provider that keeps failing.
        breaker: RawBreaker = "{}";
        /// Redaction: the personal data and secrets that are removed from requests before they are
        /// sent. `tollgate redact FILE` shows the result for a file.
        redaction: PerOrg<RawRules> = "{}",
            eg "acme: {entities: [email, phone, iban], attachments: reject}";
        /// Calls from pages of other origins (CORS).
        cors: RawCors = "{}";
        /// Limits of each organisation. Money is reserved for the highest possible cost of a call
        /// when it begins, tokens for their likely number; both are settled when it ends. A call
        /// without `max_tokens` reserves the longest answer of its model. A stream is never cut;
        /// use beyond a limit counts against later calls.
        limits: PerOrg<RawLimits> = "{}", eg "acme: {requests_per_minute: 600, burst: 100, \
            usd_per_month: 500}";
        /// The exact cache: calls that say the same as an earlier call of their organisation get its
        /// answer again.
        cache: PerOrg<RawCache> = "{}", eg "acme: {mode: exact, ttl: 10m}";
        /// Feature flags.
        features: PerOrg<RawFeatures> = "{}", eg "acme: {ai_intent_enabled: false}";
        /// The ticket endpoint, `POST /api/ai/intent`. `tollgate intent eval FILE.csv` tests a
        /// change with labelled tickets.
        intent: RawIntent = "{}";
        /// The log of calls.
        ailog: RawAiLog = "{}";
        /// Alerts: budgets, errors and the gateway's own troubles, told to webhooks.
        alerts: RawAlerts = "{}";
        /// Prices in USD per million tokens. They take precedence over the built-in prices.
        /// `tollgate prices list` prints all prices; `tollgate prices import FILE --output PATH`
        /// writes this file.
        prices: Vec<At<RawPrice>> = "[]",
            eg "{provider: openai, model: gpt-4o-mini, input: 0.15, cached_input: 0.075, output: \
                0.60}";
    }
}
