//! `tollgate check --live`: whether everything that a configuration names can be reached.
//!
//! Guarantees: all targets are asked at once, each for at most [`PROBE_MAX`], all of them for at
//! most [`PROBES_MAX`]; nothing is asked that costs money; what is not configured or not used is
//! not asked; a key goes to its own provider only. Does not: change anything.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::{Value as Json, json};
use tokio_util::sync::CancellationToken;

use crate::ailog::store::clickhouse;
use crate::auth::key_set_fault;
use crate::bounds::{JWKS_BYTES_MAX, PROBE_MAX, PROBES_MAX};
use crate::clock::Clock;
use crate::config::Loaded;
use crate::config::policy::{
    Accept, ClickHouseOptions, JwksSource, LimitsStore, Policy, Provider, RedisOptions, StoreKind,
};
use crate::egress::Egress;
use crate::limit::redis::{self, NoLink, Shared};
use crate::metrics::Metrics;
use crate::upstream::Upstream;
use crate::upstream::probe::Probe;

/// How often a store is looked at while it is connected.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The result of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    kind: &'static str,
    name: String,
    /// The key of the configuration that has its address.
    pub(crate) key: String,
    probe: Probe,
    ms: u64,
}

/// A server to ask.
#[derive(Clone)]
enum Target {
    Provider(Arc<Provider>, Option<Arc<str>>),
    ClickHouse(ClickHouseOptions),
    Limits(Box<RedisOptions>),
    KeySet(http::Uri, Arc<Egress>),
}

impl Live {
    /// Whether it cannot be used.
    pub(crate) fn has_failed(&self) -> bool {
        !matches!(self.probe.code, "ok" | "skipped")
    }

    /// One line for people: `provider openai: key refused (status 401)`.
    pub(crate) fn text(&self) -> String {
        let name = if self.name == self.kind { String::new() } else { format!(" {}", self.name) };
        let detail = match &*self.probe.detail {
            "" => String::new(),
            detail => format!(" ({detail})"),
        };
        let code = self.probe.code.replace('_', " ");
        format!("{}{name}: {code}{detail}", self.kind.replace('_', " "))
    }

    pub(crate) fn json(&self) -> Json {
        let is_ok = match self.probe.code {
            "ok" => Some(true),
            "skipped" => None,
            _ => Some(false),
        };
        json!({
            "kind": self.kind,
            "name": self.name,
            "ok": is_ok,
            "code": self.probe.code,
            "detail": self.probe.detail,
            "ms": self.ms,
        })
    }
}

/// Asks everything that a configuration uses.
pub(crate) async fn all(loaded: &Loaded) -> Vec<Live> {
    let clock = Clock::start();
    let metrics = Metrics::new();
    let upstream = Arc::new(Upstream::new(Arc::clone(&metrics), clock));
    let targets = targets(loaded);
    let mut asked: FuturesUnordered<_> = targets
        .iter()
        .enumerate()
        .map(|(at, target)| {
            let (upstream, metrics) = (Arc::clone(&upstream), Arc::clone(&metrics));
            async move {
                let begun = clock.now();
                let probe =
                    tokio::time::timeout(PROBE_MAX, probe(target, &upstream, metrics, clock));
                let probe =
                    probe.await.unwrap_or_else(|_| Probe::new("timeout", "no answer in time"));
                (at, probe, clock.now().since(begun))
            }
        })
        .collect();
    let mut results: Vec<Option<(Probe, Duration)>> = vec![None; targets.len()];
    let all = async {
        while let Some((at, probe, took)) = asked.next().await {
            results[at] = Some((probe, took));
        }
    };
    // Those that are not asked by then have timed out.
    drop(tokio::time::timeout(PROBES_MAX, all).await);
    let late = || (Probe::new("timeout", "no answer in time"), PROBES_MAX);
    let told = targets.iter().zip(results).map(|(target, result)| {
        let (probe, took) = result.unwrap_or_else(late);
        let (kind, name, key) = named(target);
        Live { kind, name, key, probe, ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) }
    });
    told.collect()
}

fn targets(loaded: &Loaded) -> Vec<Target> {
    let policy = &loaded.policy;
    let mut targets: Vec<Target> = used(policy)
        .into_iter()
        .map(|provider| {
            let model = model_at(policy, &provider);
            Target::Provider(provider, model)
        })
        .collect();
    if let StoreKind::ClickHouse(options) = &loaded.settings.store {
        targets.push(Target::ClickHouse(options.clone()));
    }
    if let LimitsStore::Redis(options) = &loaded.settings.limits_store {
        targets.push(Target::Limits(options.clone()));
    }
    let jwks = policy.auth.jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref());
    if let Some(JwksSource::Url(address)) = jwks
        && policy.auth.options.accept.contains(&Accept::Jwt)
    {
        targets.push(Target::KeySet(address.clone(), Arc::clone(&policy.egress)));
    }
    targets
}

/// The providers that calls or tickets can reach.
fn used(policy: &Policy) -> Vec<Arc<Provider>> {
    let lists = std::iter::once(&policy.routing.default)
        .chain(policy.routing.models.iter().map(|rule| &rule.to));
    let routed: Vec<&str> =
        lists.flat_map(|to| &to.list).map(|target| &*target.provider.name).collect();
    let of_tickets = policy.providers.get(policy.intent.provider).map(|provider| &*provider.name);
    let is_used = |provider: &&Arc<Provider>| {
        routed.contains(&&*provider.name) || of_tickets == Some(&*provider.name)
    };
    policy.providers.iter().filter(is_used).cloned().collect()
}

/// A model that routing names at a provider.
fn model_at(policy: &Policy, provider: &Provider) -> Option<Arc<str>> {
    let lists = policy.routing.models.iter().map(|rule| &rule.to);
    let mut targets = lists.chain([&policy.routing.default]).flat_map(|to| &to.list);
    targets
        .find_map(|target| target.model.clone().filter(|_| target.provider.name == provider.name))
}

/// Its kind, its name, and the key that has its address.
fn named(target: &Target) -> (&'static str, String, String) {
    match target {
        Target::Provider(provider, _) => {
            let name = provider.name.to_string();
            let key = format!("providers.{name}.base_url");
            ("provider", name, key)
        }
        Target::ClickHouse(_) => {
            ("clickhouse", "clickhouse".to_owned(), "clickhouse.url".to_owned())
        }
        Target::Limits(_) => ("limits_store", "limits_store".to_owned(), "limits_store".to_owned()),
        Target::KeySet(..) => ("jwks", "jwks".to_owned(), "auth.jwt.jwks".to_owned()),
    }
}

async fn probe(
    target: &Target,
    upstream: &Arc<Upstream>,
    metrics: Arc<Metrics>,
    clock: Clock,
) -> Probe {
    match target {
        Target::Provider(provider, model) => upstream.probe(provider, model.as_deref()).await,
        Target::ClickHouse(options) => rows(options).await,
        Target::Limits(options) => limits(options, metrics, clock).await,
        Target::KeySet(address, egress) => {
            match upstream.fetch(egress, address, JWKS_BYTES_MAX).await {
                Ok(document) => match key_set_fault(&document) {
                    None => Probe::new("ok", ""),
                    Some(fault) => Probe::new("protocol", fault),
                },
                Err(reason) if reason == "status 404" => Probe::new("not_found", reason),
                Err(reason) if reason.starts_with("no answer") => Probe::new("connect", reason),
                Err(reason) => Probe::new("protocol", reason),
            }
        }
    }
}

/// Whether the servers of ClickHouse can be used, as gateways and reports use them.
async fn rows(options: &ClickHouseOptions) -> Probe {
    use clickhouse::trial::{Cause, Unusable, trial};
    match trial(options).await {
        Ok(warning) => Probe::new("ok", warning),
        Err(Unusable { cause, reason }) => {
            let code = match cause {
                Cause::Connect => "connect",
                Cause::Tls => "tls",
                Cause::Late => "timeout",
                Cause::User => "key_refused",
                Cause::Schema => "schema_missing",
                Cause::Server => "protocol",
            };
            Probe::new(code, reason)
        }
    }
}

/// Whether the store of limits can be used, as a gateway uses it.
async fn limits(options: &RedisOptions, metrics: Arc<Metrics>, clock: Clock) -> Probe {
    if let Err(NoLink { cause, reason }) = redis::diagnose(options).await {
        let code = match cause {
            redis::Cause::Connect => "connect",
            redis::Cause::Tls => "tls",
            redis::Cause::Late => "timeout",
            redis::Cause::User => "key_refused",
            redis::Cause::Server => "protocol",
        };
        return Probe::new(code, reason);
    }
    let (shared, outbox) = Shared::new(options, metrics, clock);
    let stop = CancellationToken::new();
    let run = Arc::clone(&shared).run(outbox, stop.clone());
    let is_up = async {
        while !shared.is_up() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    // A little less than the whole time, so that the reason is told.
    let is_up = tokio::time::timeout(PROBE_MAX.mul_f32(0.6), is_up);
    tokio::select! {
        () = run => Probe::new("connect", "the connection ended"),
        is_up = is_up => match is_up {
            Ok(()) => Probe::new("ok", ""),
            Err(_) => Probe::new("connect", "not every slot of the cluster has a master that can \
                be asked"),
        },
    }
}
