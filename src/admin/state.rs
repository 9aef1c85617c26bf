//! The state of this process for operators: limits in use, providers, the log and its store, the
//! principal of the session.
//!
//! Guarantees: numbers are those of `/metrics` and of the counters themselves. Does not: decide who
//! may see them (see the module above), or read the log's rows.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use prometheus::core::Collector;
use serde_json::{Map, Value, json};

use super::access::Asker;
use super::{Admin, REFUSED_SHOWN, Unanswered, iso};
use crate::ailog::store::sqlite::FILE;
use crate::bounds::CLOSEST_LIMITS_MAX;
use crate::clock::wall_ms;
use crate::config::policy::{Access, AuthSource, Provider, StoreKind};
use crate::pipeline::admission::closest::Used;

/// Off the runtime's threads.
async fn apart<T: Send + 'static>(
    admin: &Arc<Admin>,
    work: impl FnOnce(&Admin) -> T + Send + 'static,
) -> Result<T, Unanswered> {
    let admin = Arc::clone(admin);
    let done = tokio::task::spawn_blocking(move || work(&admin)).await;
    let failed = || "the state could not be read".to_owned();
    done.map_err(|_| Unanswered(StatusCode::INTERNAL_SERVER_ERROR, failed()))
}

/// The subjects of limits, those closest to exhaustion, and those refused most.
pub(crate) async fn limits(admin: &Arc<Admin>) -> Result<Value, Unanswered> {
    apart(admin, |admin| {
        let (counters, clock) = (&admin.gateway.counters, admin.gateway.clock);
        let policy = admin.gateway.policy.load();
        let closest = counters.closest(&policy, clock.now(), wall_ms(), CLOSEST_LIMITS_MAX);
        let refused = counters.refused.top(REFUSED_SHOWN);
        let refused = refused.into_iter().map(|c| {
            json!({
                "org_id": c.org.as_str(),
                "refused": c.refused,
                "at_least": c.refused - c.error,
            })
        });
        let state = |is_up: bool| if is_up { "up" } else { "away" };
        json!({
            "organizations": counters.limiter.len(),
            "subjects": counters.meters.len(),
            "shared_store": counters.shared.as_ref().map(|shared| state(shared.is_up())),
            "closest": closest.iter().map(used).collect::<Vec<_>>(),
            "most_refused": refused.collect::<Vec<_>>(),
        })
    })
    .await
}

fn used(limit: &Used) -> Value {
    let amount = |n: u64| if limit.is_money() { json!(n as f64 / 1e9) } else { json!(n) };
    json!({
        "org_id": limit.org.as_str(),
        "scope": limit.scope.as_str(),
        "name": limit.scope.name(),
        "limit": limit.limit(),
        "used": amount(limit.used),
        "most": amount(limit.most),
        "used_percent": (limit.share() * 1000.0).round() / 10.0,
    })
}

/// The series of a counter or a gauge: the values of its labels, and its own.
fn series(metric: &impl Collector) -> Vec<(Vec<String>, f64)> {
    let families = metric.collect();
    let metrics = families.iter().flat_map(|family| family.get_metric());
    metrics
        .map(|metric| {
            let labels = metric.get_label().iter().map(|label| label.value().to_owned());
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            (labels.collect(), value)
        })
        .collect()
}

/// The series with this value of their first label, by their second one. Labels are in the order of
/// their names.
fn of_first(all: &[(Vec<String>, f64)], first: usize, value: &str) -> Map<String, Value> {
    let mut found = BTreeMap::new();
    for (labels, number) in all {
        if labels.get(first).is_some_and(|label| label == value) {
            let other = labels.get(1 - first).cloned().unwrap_or_default();
            found.insert(other, json!(*number as u64));
        }
    }
    found.into_iter().collect()
}

/// The providers of the policy in force, and how they are.
pub(crate) fn providers(admin: &Admin) -> Value {
    let (policy, metrics) = (admin.gateway.policy.load(), &admin.gateway.metrics);
    // The label `provider` stands behind `outcome` and before `reason`.
    let (attempts, retries) = (series(&metrics.upstream_attempts), series(&metrics.retries));
    let (open, refused) = (series(&metrics.breaker_open), series(&metrics.provider_key_refused));
    let expires = series(&metrics.provider_credential_expires);
    let one = |all: &[(Vec<String>, f64)], name: &str| {
        let found = all.iter().find(|(labels, _)| labels.first().is_some_and(|l| l == name));
        found.map(|(_, value)| *value)
    };
    let state = |provider: &Arc<Provider>| {
        let name = &*provider.name;
        json!({
            "name": name,
            "kind": provider.options.kind.name(),
            "address": provider.base_url.to_string(),
            "circuit": if one(&open, name) == Some(1.0) { "open" } else { "closed" },
            "attempts": of_first(&attempts, 1, name),
            "retries": of_first(&retries, 0, name),
            "key_refused": one(&refused, name).unwrap_or(0.0) as u64,
            "credential": credential(provider),
            "credential_expires_in_s": one(&expires, name).map(|s| s.floor() as i64),
        })
    };
    json!({ "providers": policy.providers.iter().map(state).collect::<Vec<_>>() })
}

/// The kind of a provider's credential.
fn credential(provider: &Provider) -> &'static str {
    match &provider.auth {
        Some(auth) if matches!(auth.source, AuthSource::Aws { .. }) => "aws",
        Some(_) => "token",
        None if provider.options.api_key.reveal().is_empty() => "none",
        None => "key",
    }
}

/// The write-ahead log, the store behind it, and what has become of the rows.
pub(crate) async fn store(admin: &Arc<Admin>) -> Result<Value, Unanswered> {
    apart(admin, |admin| {
        let backlog = admin.log.backlog();
        let (kind, place, bytes) = match &admin.settings.store {
            StoreKind::Embedded => {
                let path = admin.settings.options.data_dir.join(FILE);
                let bytes = std::fs::metadata(&path).map(|file| file.len()).ok();
                ("embedded", path.display().to_string(), bytes)
            }
            StoreKind::ClickHouse(options) => ("clickhouse", options.urls.join(", "), None),
        };
        let rows = series(&admin.gateway.metrics.log_rows);
        let rows: Map<String, Value> =
            rows.into_iter().map(|(labels, n)| (labels.concat(), json!(n as u64))).collect();
        let kinds = series(&admin.gateway.metrics.redactions);
        let kinds: Map<String, Value> =
            kinds.into_iter().map(|(labels, n)| (labels.concat(), json!(n as u64))).collect();
        let bounds = series(&admin.gateway.metrics.bounds_reached);
        let bounds: Map<String, Value> =
            bounds.into_iter().map(|(labels, n)| (labels.concat(), json!(n as u64))).collect();
        json!({
            "store": kind,
            "place": place,
            "bytes": bytes,
            "unstored_bytes": backlog.bytes,
            "oldest_unstored_at": backlog.oldest_ms.map(iso),
            "lost_rows": backlog.lost,
            "trouble": backlog.trouble,
            "rows": rows,
            "redactions": kinds,
            "bounds_reached": bounds,
        })
    })
    .await
}

/// The principal of the request, so that the page shows what it may ask for.
pub(crate) fn session(admin: &Admin, asker: &Asker) -> Value {
    json!({
        "name": asker.name(),
        "role": asker.role_name(),
        "orgs": asker.orgs().collect::<Vec<_>>(),
        "signed_in": asker.has_signed_in,
        "access": matches!(admin.settings.access, Access::Tokens(_)),
        "sees_texts": asker.sees_texts(),
        "version": env!("CARGO_PKG_VERSION"),
    })
}
