//! Raw to checked: every rule that a value must keep beyond its kind.
//!
//! Level 2 of the map. Pure: no file, no clock. Each check notes its problem and goes on, so that all of them are found in
//! one run; the checked value is made only if there was none.

mod auth;
mod calls;
mod gateway;
mod intent;
mod limits;
mod targets;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

pub(super) use gateway::settings;

use super::place::{Place, Problems};
use super::policy::Policy;
use super::raw::RawPolicy;
use super::shape::{At, Shape, Size};
use super::values;

/// The checked policy; `None` if there is any problem.
pub(super) fn policy(raw: &RawPolicy, version: Arc<str>, loaded_at_ms: i64, problems: &mut Problems) -> Option<Policy> {
    let before = problems.count();
    let auth = auth::auth(&raw.auth, problems);
    let providers = targets::providers(&raw.providers, problems);
    let names = targets::Names::of(&raw.providers);
    let timeouts = calls::timeouts(&raw.timeouts, problems);
    let routing = targets::routing(&raw.routing, &names, &providers, timeouts, problems);
    let retry = calls::retry(&raw.retry, problems);
    let breaker = calls::breaker(&raw.breaker, problems);
    let redaction = limits::redaction(&raw.redaction, problems);
    let limits = limits::limits(&raw.limits, problems);
    let features = limits::features(&raw.features);
    let intent = intent::intent(&raw.intent, &names, problems);
    let ailog = calls::ailog(&raw.ailog, problems);
    let prices = targets::prices(&raw.prices, &names, problems);
    let policy = Policy {
        version,
        loaded_at_ms,
        auth: auth?,
        providers,
        routing: routing?,
        retry: retry?,
        timeouts,
        breaker: breaker?,
        redaction: redaction?,
        limits: limits?,
        features,
        intent: intent?,
        ailog: ailog?,
        prices,
    };
    (problems.count() == before).then_some(policy)
}

/// That each way of saying who calls, which the policy accepts, is one that somebody could be known by.
pub(super) fn ways_in(raw: &RawPolicy, problems: &mut Problems) {
    auth::ways_in(&raw.auth, problems);
}

/// A number in a range; a problem with the range where it is not.
fn in_range(given: &At<u64>, range: RangeInclusive<u64>, problems: &mut Problems) -> Option<u32> {
    if range.contains(&given.value) {
        return u32::try_from(given.value).ok();
    }
    refuse(&given.at, given.value, format!("give {} to {}", range.start(), range.end()), problems);
    None
}

/// A duration in a range.
fn lasting(given: &At<Duration>, range: RangeInclusive<Duration>, problems: &mut Problems) -> Duration {
    if !range.contains(&given.value) {
        let remedy =
            format!("give {} to {}", values::show_duration(*range.start()), values::show_duration(*range.end()));
        refuse(&given.at, values::show_duration(given.value), remedy, problems);
    }
    given.value
}

/// A size in a range.
fn sized(given: &At<Size>, range: RangeInclusive<u64>, problems: &mut Problems) -> u64 {
    if !range.contains(&given.value.0) {
        let remedy = format!("give {} to {}", values::show_size(*range.start()), values::show_size(*range.end()));
        refuse(&given.at, values::show_size(given.value.0), remedy, problems);
    }
    given.value.0
}

fn refuse(at: &Place, value: impl Display, remedy: impl Display, problems: &mut Problems) {
    problems.add(at, format!("{value} is not allowed; {remedy}"));
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
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
    if !fits {
        problems.add(at, "a name is 1 to 64 of A-Z a-z 0-9 _ . -");
    }
    fits
}

/// Whether the port, if one is written, is one. The parser of URLs takes any digits there and then knows of no port.
fn port_fits(uri: &http::Uri) -> bool {
    uri.authority().is_none_or(|authority| {
        let (_, host_and_port) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
        host_and_port == authority.host() || authority.port_u16().is_some_and(|port| port != 0)
    })
}
