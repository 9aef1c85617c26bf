//! From sections to the policy: the rules beyond the type and range of a single key.
//!
//! Level 2 of the map. No clock, and no file but a service account's key. Each check adds its
//! problem and continues, so that all problems are found in one run; the policy is made only if
//! there is none.

mod admin;
mod ailog;
mod alerts;
pub(crate) mod auth;
mod cache;
mod calls;
mod cors;
mod credentials;
mod egress;
mod gateway;
mod intent;
mod limits;
mod redis;
mod targets;
mod telemetry;

use std::sync::Arc;

pub(crate) use credentials::files as credential_files;
pub(crate) use gateway::settings;

use super::policy::Policy;
use super::reader::place::{Place, Problems};
use super::reader::shape::{At, Plain as _, Shape};
use super::sections::RawPolicy;
use super::words::WordFiles;
use crate::glob::Glob;

/// The checked policy; `None` if there is any problem.
pub(crate) fn policy(
    raw: &RawPolicy,
    words: &WordFiles,
    version: Arc<str>,
    loaded_at_ms: i64,
    problems: &mut Problems,
) -> Option<Policy> {
    let before = problems.count();
    let tags = ailog::tags(&raw.ailog, problems);
    let claims = ailog::claims(&tags);
    let auth = auth::auth(&raw.auth, claims, problems);
    let environment = egress::Environment::read(problems);
    let providers = targets::providers(&raw.providers, &environment, problems);
    let names = targets::Names::of(&raw.providers);
    let timeouts = calls::timeouts(&raw.timeouts, problems);
    let routing = targets::routing(&raw.routing, &names, &providers, timeouts, problems);
    let retry = calls::retry(&raw.retry, problems);
    let breaker = raw.breaker.plain();
    let redaction = limits::redaction(&raw.redaction, words, problems);
    let cors = cors::cors(&raw.cors, problems);
    let limits = limits::limits(&raw.limits, problems);
    if let Some(routing) = &routing {
        limits::downgrades(&raw.limits, routing, problems);
    }
    let cache = cache::cache(&raw.cache, problems);
    let features = raw.features.plain();
    let intent = intent::intent(&raw.intent, &names, problems);
    let ailog = raw.ailog.plain();
    let alerts = alerts::alerts(&raw.alerts, problems);
    let prices = targets::prices(&raw.prices, &names, problems);
    let policy = Policy {
        version,
        loaded_at_ms,
        egress: environment.egress(),
        auth: auth?,
        providers,
        routing: routing?,
        retry,
        timeouts,
        breaker,
        redaction: redaction?,
        cors,
        limits: limits?,
        cache: cache?,
        features,
        intent: intent?,
        ailog,
        alerts,
        tags,
        prices,
    };
    (problems.count() == before).then_some(policy)
}

/// Checks that each accepted way of authentication can succeed.
pub(crate) fn ways_in(raw: &RawPolicy, problems: &mut Problems) {
    auth::ways_in(&raw.auth, problems);
}

/// Patterns, each of which fits and is given once; else `reason` is the problem.
fn globs(
    given: &[At<String>],
    fits: impl Fn(&str) -> bool,
    reason: &str,
    problems: &mut Problems,
) -> Vec<Glob> {
    distinct(given, problems);
    let glob = |text: &At<String>| {
        if !fits(text.trim()) {
            problems.add(&text.at, reason);
        }
        Glob::new(text.trim())
    };
    given.iter().map(glob).collect()
}

/// A list without repetitions; each repetition is a problem.
fn distinct<T: Shape + PartialEq>(list: &[At<T>], problems: &mut Problems) {
    for (i, entry) in list.iter().enumerate() {
        if list[..i].iter().any(|earlier| earlier.value == entry.value) {
            problems.add(&entry.at, "given twice; keep one");
        }
    }
}

/// A name that is used in headers, metrics and reports: 1 to 64 of `A-Z a-z 0-9 _ . -`.
fn label(text: &str, at: &Place, problems: &mut Problems) -> bool {
    let fits = (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !fits {
        problems.add(at, "not a usable name; give 1 to 64 of A-Z a-z 0-9 _ . -");
    }
    fits
}

/// Whether the port is missing or valid. The URL parser accepts any digits, and then reports no
/// port.
fn port_fits(uri: &http::Uri) -> bool {
    uri.authority().is_none_or(|authority| {
        let (_, host_and_port) =
            authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
        host_and_port == authority.host() || authority.port_u16().is_some_and(|port| port != 0)
    })
}
