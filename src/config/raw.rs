//! The configuration as operators write it: every section, every key, its default and its meaning.
//!
//! The one truth for reading (`load`), for editors (`schema`) and for `/api/config`. Nothing here has been checked beyond
//! its kind; that is `check`. Defaults are YAML, read by the same code as the files.

use std::path::PathBuf;
use std::time::Duration;

use tollgate_wire::ProviderKind;
use tollgate_wire::usage::ServiceTier;

use super::place::Problems;
use super::policy::{Accept, Durability, Fail, StoredObjects};
use super::shape::{
    At, Cap, Entries, Hidden, Named, PerOrg, Section, SectionSchema, Shape, Size, Usd, key_name, scalar, section, word,
    words,
};
use super::yaml::{Name, Node, Value};
use crate::ids::{OrgId, Secret};
use crate::redact::Attachments;

/// `store` in `gateway.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Store {
    Embedded,
    ClickHouse,
}

/// `log.format` in `gateway.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogFormat {
    Text,
    Json,
}

words!(Store { "embedded" => Store::Embedded, "clickhouse" => Store::ClickHouse });
words!(LogFormat { "text" => LogFormat::Text, "json" => LogFormat::Json });
words!(ProviderKind = ProviderKind::ALL);
words!(Attachments { "drop" => Attachments::Drop, "reject" => Attachments::Reject, "allow" => Attachments::Allow });
words!(StoredObjects {
    "own" => StoredObjects::Own,
    "refuse" => StoredObjects::Refuse,
    "allow" => StoredObjects::Allow,
});
words!(Accept {
    "jwt" => Accept::Jwt,
    "key" => Accept::Key,
    "passthrough" => Accept::Passthrough,
    "anonymous" => Accept::Anonymous,
});
words!(Durability { "process" => Durability::Process, "power" => Durability::Power });
words!(Fail { "local" => Fail::Local, "open" => Fail::Open, "closed" => Fail::Closed });
words!(ServiceTier {
    "standard" => ServiceTier::Standard,
    "flex" => ServiceTier::Flex,
    "priority" => ServiceTier::Priority,
    "scale" => ServiceTier::Scale,
    "batch" => ServiceTier::Batch,
});
words!(jsonwebtoken::Algorithm {
    "HS256" => jsonwebtoken::Algorithm::HS256,
    "HS384" => jsonwebtoken::Algorithm::HS384,
    "HS512" => jsonwebtoken::Algorithm::HS512,
    "RS256" => jsonwebtoken::Algorithm::RS256,
    "RS384" => jsonwebtoken::Algorithm::RS384,
    "RS512" => jsonwebtoken::Algorithm::RS512,
    "PS256" => jsonwebtoken::Algorithm::PS256,
    "PS384" => jsonwebtoken::Algorithm::PS384,
    "PS512" => jsonwebtoken::Algorithm::PS512,
    "ES256" => jsonwebtoken::Algorithm::ES256,
    "ES384" => jsonwebtoken::Algorithm::ES384,
    "EdDSA" => jsonwebtoken::Algorithm::EdDSA,
});

section! {
    /// `gateway.yaml`: read once, at start.
    RawGateway {
        /// The applications' side: address and port.
        listen: String = "127.0.0.1:8080";
        /// The operators' side (dashboard, metrics, health): address and port.
        admin_listen: String = "127.0.0.1:9090";
        /// Folder of the write-ahead log and the embedded store.
        data_dir: PathBuf = "./data";
        /// TLS on the applications' side; null for plain HTTP.
        tls: Option<RawTls> = "null";
        /// A longer request body is answered with 413.
        max_body_bytes: Size = "100MiB";
        /// How long calls may go on after SIGTERM.
        shutdown_grace: Duration = "30s";
        /// Where rows are kept: embedded (SQLite in data_dir) or clickhouse.
        store: Store = "embedded";
        /// How to reach ClickHouse, for `store: clickhouse` and `tollgate clickhouse`.
        clickhouse: RawClickHouse = "{}";
        /// Where limits are counted: memory, or redis://[user:password@]host:port[/database] to share them between replicas.
        limits_store: String = "memory";
        /// How long a call may wait for a shared store; then the policy's limits.fail holds.
        limits_store_timeout: Duration = "250ms";
        /// What the gateway may hold at once: `tollgate check` says what memory that may take.
        bounds: RawBounds = "{}";
        /// The gateway's own log on stderr.
        log: RawLog = "{}";
    }
}
section! {
    /// What the gateway may hold at once. Above it callers get 503 overloaded; health is answered all the same.
    RawBounds {
        /// Open connections of applications; fewer where the system gives too few descriptors.
        connections: u64 = "10000";
        /// Calls being worked on.
        calls_in_flight: u64 = "8192";
        /// Bytes that calls may hold, all together, beyond 64 KiB each; at most half of them for another attempt.
        held_bytes: Size = "512MiB";
        /// Bytes of rows that wait on disk for their store. Above it the newest rows are dropped and counted, calls go on.
        log_backlog_bytes: Size = "4GiB";
    }
}
section! {
    /// PEM files, read again when they change.
    RawTls {
        /// Certificate chain.
        cert_file: PathBuf;
        /// Private key.
        key_file: PathBuf;
        /// Where given, clients must show a certificate signed by one of these.
        client_ca_file: Option<PathBuf> = "null";
    }
}
section! {
    /// ClickHouse over HTTP.
    RawClickHouse {
        /// http://host:port or https://host:port.
        url: String = "http://127.0.0.1:8123";
        /// Letters, digits and `_`.
        database: String = "tollgate";
        /// User name.
        user: String = "default";
        /// Password; better ${CLICKHOUSE_PASSWORD:-} than the password itself.
        password: Secret = "''";
    }
}
section! {
    /// The gateway's own log.
    RawLog {
        /// error, warn, info, debug or trace; also per room: `tollgate=debug,info`.
        level: String = "info";
        /// text for people, json for collectors.
        format: LogFormat = "text";
    }
}
section! {
    /// `policies/*.yaml`: hot.
    RawPolicy {
        /// Who may call.
        auth: RawAuth = "jwt: {secret: '${TOLLGATE_JWT_SECRET:-}'}";
        /// Where calls go: a name, and what stands behind it.
        providers: Named<RawProvider> =
            "openai: {kind: openai, base_url: 'https://api.openai.com/v1', api_key: '${OPENAI_API_KEY:-}'}";
        /// Which provider gets a call.
        routing: RawRouting = "{}";
        /// When and how often a failed call is sent again.
        retry: RawRetry = "{}";
        /// How long each part of a call may take.
        timeouts: RawTimeouts = "{}";
        /// When a failing provider is left alone, for each provider.
        breaker: RawBreaker = "{}";
        /// What is taken out of requests.
        redaction: PerOrg<RawRules> = "{}";
        /// How much each organisation may call.
        limits: PerOrg<RawLimits> = "{}";
        /// Feature flags.
        features: PerOrg<RawFeatures> = "{}";
        /// The ticket endpoint, POST /api/ai/intent.
        intent: RawIntent = "{}";
        /// What a row of the AILog keeps.
        ailog: RawAiLog = "{}";
        /// USD per million tokens; these lines come before the built-in list.
        prices: Vec<At<RawPrice>> = "[]";
    }
}
section! {
    /// Who may call.
    RawAuth {
        /// Ways of saying who calls, tried in this order: jwt (needs a secret or a key set), key, passthrough (anyone who shows
        /// any provider key may call), anonymous (anyone may call, at the gateway's cost).
        accept: Vec<At<Accept>> = "[jwt, key]";
        /// What a JWT has to be.
        jwt: RawJwt = "{}";
        /// The gateway's own keys; they begin with `tg-` and are kept only as SHA-256.
        keys: Vec<At<RawKey>> = "[]";
    }
}
section! {
    /// What a JWT has to be. Where `accept` names jwt, a secret or a key set is needed.
    RawJwt {
        /// Signature algorithms that are accepted.
        algorithms: Vec<At<jsonwebtoken::Algorithm>> = "[HS256]";
        /// Shared secret of the HS algorithms; better ${JWT_SECRET} than the secret itself.
        secret: Secret = "''";
        /// A JWK set: a file (watched) or a URL (asked again for an unknown kid, at most every 30 s).
        jwks: String = "''";
        /// `iss` has to be exactly this; empty: not checked.
        issuer: String = "''";
        /// `aud` has to be or to hold exactly this; empty: not checked.
        audience: String = "''";
        /// The claim that names the organisation; dots lead into objects: app.org.
        org_claim: String = "org_id";
        /// The claim that names the user: the `caller` of rows, and whom limits.each_user counts; dots as above.
        user_claim: String = "sub";
        /// How far clocks may differ.
        leeway: Duration = "30s";
    }
}
section! {
    /// One of the gateway's own keys.
    RawKey {
        /// Who holds it; the `caller` of its rows.
        name: String;
        /// SHA-256 of the whole key, 64 hex digits: printf %s "$KEY" | sha256sum.
        sha256: String;
        /// Its organisation.
        org: OrgId;
        /// From when on it is refused: a day (2027-01-31, 00:00 UTC) or a moment (2027-01-31T12:00:00Z); never, where left out.
        expires: Option<String> = "null";
        /// Models that it may be used for, `*` for any run of characters; all, where empty.
        models: Vec<At<String>> = "[]";
        /// Paths that it may be used for, e.g. /v1/chat/completions, `*` for any run of characters; all, where empty.
        endpoints: Vec<At<String>> = "[]";
    }
}
section! {
    /// A provider.
    RawProvider {
        /// The provider's API: openai (and every server like it) or anthropic.
        kind: ProviderKind = "openai";
        /// http(s)://host[:port]/path, up to and with the version; where left out, the public address of its kind.
        base_url: Option<String> = "null";
        /// The gateway's own key there; better a ${REFERENCE}. Empty: only callers' own keys are sent.
        api_key: Secret = "''";
        /// Request headers passed on besides the common ones.
        forward_headers: Vec<At<String>> = "[]";
    }
}
section! {
    /// Which provider gets a call.
    RawRouting {
        /// For models that no rule matches; [] answers them with 404 model_not_found. As `models[].to`.
        default: Vec<At<RawTo>> = "[openai]";
        /// For `default`, as `models[].sticky`.
        sticky: bool = "false";
        /// More paths to open, e.g. "POST /v1/batches"; `*` stands for one segment.
        endpoints: Vec<At<String>> = "[]";
        /// Stored objects that a body may name under the gateway's own key (previous_response_id, conversations, files, vector
        /// stores, containers, prompts …): own (those that answers to the organisation have named), refuse, or allow.
        stored_objects: StoredObjects = "own";
        /// Whether chat/completions and responses are sent with store: false, whatever the body says, so that providers keep no answers.
        force_store_false: bool = "false";
        /// Ids of objects that every organisation may name, e.g. a prompt for all; `*` for any run of characters: pmpt_68b….
        shared_objects: Vec<At<String>> = "[]";
        /// Rules by model; the first match wins.
        models: Vec<At<RawModelRule>> = "[]";
    }
}
section! {
    /// Models of this form go to these providers.
    RawModelRule {
        /// A model, `*` for any run of characters: claude-*.
        r#match: String;
        /// Providers, tried in this order; or, once one of them has a `weight`, each with its share of the calls.
        to: Vec<At<RawTo>>;
        /// With weights: true keeps an organisation at one provider while that is well, for its prompt cache.
        sticky: bool = "false";
    }
}
section! {
    /// A provider, and how it is used here. Its name alone is enough.
    RawTarget {
        /// The provider's name.
        provider: String;
        /// Its share of the calls, 0 to 1000000: 3 gets three times as many as 1, and 0 only what the others failed at. Equal
        /// weights: whoever has the fewest calls. Where one target has a weight, a target without one has 1.
        weight: Option<u64> = "null";
        /// The model's name there, in the place of the one that the call names.
        model: Option<String> = "null";
        /// Instead of the policy's `timeouts`.
        timeouts: RawTargetTimeouts = "{}";
    }
}
section! {
    /// Timeouts of one target; what is left out is as in `timeouts`.
    RawTargetTimeouts {
        /// Until the connection to the provider stands.
        connect: Option<Duration> = "null";
        /// From the request sent to the head of the answer.
        first_byte: Option<Duration> = "null";
        /// Between two pieces of the answer.
        idle: Option<Duration> = "null";
        /// How often a client hears of a stream that is silent; `off`: never.
        keep_alive: Option<Cap<Duration>> = "null";
    }
}

/// A provider's name, or a [`RawTarget`].
#[derive(Clone, Debug)]
pub(super) struct RawTo(pub(super) RawTarget);

impl Shape for RawTo {
    fn read(node: &Node, problems: &mut Problems) -> Option<RawTo> {
        if matches!(node.value, Value::Map(_)) {
            return RawTarget::read(node, problems).map(RawTo);
        }
        scalar(node, "a provider's name", problems)?;
        let name = Name { text: "provider".to_owned(), at: node.at.clone() };
        let node = Node { at: node.at.clone(), value: Value::Map(vec![(name, node.clone())]) };
        RawTarget::read(&node, problems).map(RawTo)
    }
    fn json(&self) -> serde_json::Value {
        let RawTarget { provider, weight, model, timeouts } = &self.0;
        if weight.given || model.given || timeouts.given { self.0.json() } else { provider.value.json() }
    }
    fn schema() -> serde_json::Value {
        serde_json::json!({"anyOf": [{"type": "string"}, RawTarget::schema()]})
    }
}
section! {
    /// When and how often a failed call is sent again.
    RawRetry {
        /// Attempts beyond the first, 0 to 10.
        max_retries: u64 = "2";
        /// Longest wait before the first retry; it doubles with each, and a random part of it is waited.
        base_delay: Duration = "500ms";
        /// Longest wait before any retry.
        max_delay: Duration = "8s";
        /// Retries per hundred calls of a caller over 10 s (0 to 1000), never under its share of 10 a second.
        budget_percent: u64 = "20";
        /// A redacted body up to this size is kept for another attempt; a larger one is sent once.
        replay_bytes: Size = "1MiB";
    }
}
section! {
    /// How long each part of a call may take.
    RawTimeouts {
        /// Until the connection to the provider stands.
        connect: Duration = "5s";
        /// From the request sent to the head of the answer.
        first_byte: Duration = "60s";
        /// Between two pieces of a body, either way.
        idle: Duration = "60s";
        /// The whole call, all attempts together.
        total: Duration = "10m";
        /// While a stream is silent its client gets a comment (`: keep-alive`) this often, between events; `off`: never. It does
        /// not prolong `idle`.
        keep_alive: Cap<Duration> = "off";
    }
}
section! {
    /// When a failing provider is left alone.
    RawBreaker {
        /// Failures of a caller in a row that open its circuit; a client's 4xx never counts.
        consecutive_failures: u64 = "10";
        /// More failures than this share of the calls of `window` open it too, 1 to 100.
        error_percent: u64 = "50";
        /// Calls within `window` from which on shares are looked at; where left out 20, or twice consecutive_failures if that is more.
        min_calls: Option<u64> = "null";
        /// The time over which shares are counted.
        window: Duration = "30s";
        /// How long it stays open before one call may try again.
        open_for: Duration = "15s";
    }
}
section! {
    /// What is taken out of requests.
    RawRules {
        /// email, phone, credit_card, iban, us_ssn, ip, api_key.
        entities: Vec<At<String>> = "[email, phone]";
        /// Images, audio, files: drop (a note stays), reject (415) or allow.
        attachments: Attachments = "drop";
        /// true: placeholders have numbers, and the caller's answer has the values in their place.
        restore: bool = "false";
        /// With restore: in the arguments of tool calls, too. A model that was talked into it can send values out that way.
        restore_arguments: bool = "false";
        /// Values that may stay: support@example.com, @example.com (all of a domain), a number.
        allow: Hidden<Vec<At<String>>> = "[]";
        /// Patterns of your own.
        custom: Vec<At<RawCustom>> = "[]";
        /// Word lists of your own.
        terms: Vec<At<RawTerms>> = "[]";
    }
}
section! {
    /// A pattern of your own.
    RawCustom {
        /// Letters, digits, `_` and `-`; the kind that is counted.
        name: String;
        /// A regular expression (Rust's regex syntax; no look-around, so linear time).
        pattern: Hidden<String>;
        /// What stands in its place; where left out, [REDACTED_NAME].
        replacement: Option<String> = "null";
    }
}
section! {
    /// A word list of your own.
    RawTerms {
        /// Letters, digits, `_` and `-`; the kind that is counted.
        name: String;
        /// Words and phrases, found in any case.
        words: Hidden<Vec<At<String>>>;
        /// What stands in their place; where left out, [REDACTED_NAME].
        replacement: Option<String> = "null";
    }
}
section! {
    /// How much each organisation may use. A limit that is `off` is none.
    RawLimits {
        /// Calls a minute; the bucket refills evenly.
        requests_per_minute: u64 = "60";
        /// Calls that an idle organisation may make at once: what the bucket holds.
        burst: u64 = "60";
        /// true: never more than requests_per_minute in any 60 s.
        strict: bool = "false";
        /// Tokens a minute, in and out: estimated when a call begins, settled when it ends. What is over is owed.
        tokens_per_minute: Cap<u64> = "off";
        /// Calls being worked on at once.
        calls_in_flight: Cap<u64> = "off";
        /// USD in a calendar day (UTC).
        usd_per_day: Cap<Usd> = "off";
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> = "off";
        /// What each gateway key may use, within all that.
        each_key: RawCaps = "{}";
        /// What each user may use (see auth.jwt.user_claim), within all that.
        each_user: RawCaps = "{}";
        /// What calls may use by model, within all that; the first match counts.
        models: Vec<At<RawModelCaps>> = "[]";
        /// With a shared limits_store, while it is away: local (each gateway by itself), open (no limits), closed (503).
        fail: Fail = "local";
        /// With a shared limits_store: how much of `burst` gateways may hold unspent, all together, so that not every call
        /// asks the store (0 to 10 percent); so many calls may pass too many. Not for strict.
        lease_percent: f64 = "0";
    }
}
section! {
    /// Limits within an organisation's own.
    RawCaps {
        /// Calls a minute, and at once.
        requests_per_minute: Cap<u64> = "off";
        /// Tokens a minute, in and out.
        tokens_per_minute: Cap<u64> = "off";
        /// Calls being worked on at once.
        calls_in_flight: Cap<u64> = "off";
        /// USD in a calendar day (UTC).
        usd_per_day: Cap<Usd> = "off";
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> = "off";
    }
}
section! {
    /// Limits of the models of a form, together.
    RawModelCaps {
        /// A model, `*` for any run of characters: gpt-4o*.
        r#match: String;
        /// Calls a minute, and at once.
        requests_per_minute: Cap<u64> = "off";
        /// Tokens a minute, in and out.
        tokens_per_minute: Cap<u64> = "off";
        /// Calls being worked on at once.
        calls_in_flight: Cap<u64> = "off";
        /// USD in a calendar day (UTC).
        usd_per_day: Cap<Usd> = "off";
        /// USD in a calendar month (UTC).
        usd_per_month: Cap<Usd> = "off";
    }
}
section! {
    /// Feature flags.
    RawFeatures {
        /// The ticket endpoint; off, it answers 403 feature_disabled.
        ai_intent_enabled: bool = "${AI_INTENT_ENABLED:-true}";
    }
}
section! {
    /// The ticket endpoint.
    RawIntent {
        /// The provider that is asked.
        provider: String = "openai";
        /// Its model.
        model: String = "gpt-4o-mini";
        /// 0 to 2.
        temperature: f64 = "0.2";
        /// What a ticket may be about.
        categories: Vec<At<String>> = "[billing, technical, account, other]";
        /// How urgent it may be.
        priorities: Vec<At<String>> = "[low, medium, high, vip]";
        /// The caller gets an answer by then; the work goes on behind it.
        deadline: Duration = "20s";
        /// The same for all tickets of a batch together.
        batch_deadline: Duration = "60s";
        /// What the instructions begin with; the form of the answer and the allowed words follow it in any case.
        prompt: String = "You classify support tickets.";
        /// One line for the model about a category: {billing: Invoices and refunds}.
        category_descriptions: Named<String> = "{}";
        /// One line for the model about a priority.
        priority_descriptions: Named<String> = "{}";
        /// Other words that an answer may use for a category: {technical: [bug, incident]}.
        category_synonyms: Named<Vec<At<String>>> = "{}";
        /// Other words that an answer may use for a priority.
        priority_synonyms: Named<Vec<At<String>>> = "{}";
        /// Tickets with their right answers, shown to the model.
        examples: Vec<At<RawExample>> = "[]";
        /// The answer has a `reason`, too: one sentence of the model.
        reason: bool = "false";
        /// An answer without any JSON is asked for once more, within the retries.
        repair: bool = "false";
    }
}
section! {
    /// A ticket with its right answer.
    RawExample {
        /// Its title.
        title: String = "''";
        /// Its text.
        body: String = "''";
        /// One of the categories; where left out, none fits.
        category: Option<String> = "null";
        /// One of the priorities; where left out, none fits.
        priority: Option<String> = "null";
        /// Shown for tickets of this organisation only; where left out, for all.
        org: Option<OrgId> = "null";
    }
}
section! {
    /// What a row of the AILog keeps.
    RawAiLog {
        /// Keep the redacted request.
        capture_request: bool = "true";
        /// Keep the redacted answer.
        capture_response: bool = "true";
        /// Each of the two is cut here.
        capture_bytes: Size = "16KiB";
        /// Rows are dropped after so many days.
        retention_days: u64 = "90";
        /// What a row survives when its answer is complete: process (also kill -9) or power (also a power cut: answers wait for the disk).
        durability: Durability = "process";
    }
}
section! {
    /// Prices of a model, USD per million tokens. Lines of the same provider and model belong together.
    RawPrice {
        /// A provider's name; where left out, any.
        provider: Option<String> = "null";
        /// A model, `*` for any run of characters.
        model: String;
        /// The line is for calls with more prompt tokens than this, for all tokens of such a call.
        above: u64 = "0";
        /// The line is for calls that the provider served so: flex, priority, scale, batch or standard.
        tier: Option<ServiceTier> = "null";
        /// The line is for calls from this day on (UTC), until a later line takes its place: 2027-01-01.
        from: Option<String> = "null";
        /// Prompt tokens.
        input: Usd;
        /// Prompt tokens from the provider's cache; where left out, as `input`.
        cached_input: Option<Usd> = "null";
        /// Prompt tokens written to the provider's cache; where left out, as `input`.
        cache_write: Option<Usd> = "null";
        /// Prompt tokens written to the provider's cache for an hour; where left out, as `cache_write`.
        cache_write_1h: Option<Usd> = "null";
        /// Answer tokens.
        output: Usd;
        /// Prompt tokens of sound; where left out, a call with such has no price.
        audio_input: Option<Usd> = "null";
        /// Answer tokens of sound; where left out, a call with such has no price.
        audio_output: Option<Usd> = "null";
    }
}
