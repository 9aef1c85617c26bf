//! `gateway.yaml`, checked.

use std::net::SocketAddr;
use std::time::Duration;

use super::super::place::Problems;
use super::super::policy::{
    ClickHouseOptions, HeldBounds, LimitsStore, LogOptions, RedisOptions, Settings, StoreKind, Tls,
};
use super::super::raw::{LogFormat, RawBounds, RawClickHouse, RawGateway, Store};
use super::super::shape::At;
use super::{in_range, lasting, port_fits, sized};
use crate::ids::Secret;

/// Longer, and a store that hangs would look like a gateway that does.
const STORE_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// Room for some of the longest rows.
const LOG_BACKLOG_BYTES_MIN: u64 = 16 << 20;
const DAY: Duration = Duration::from_secs(86_400);

/// The checked settings, and how to reach ClickHouse (also where the embedded store is used, for the commands that
/// prepare a change). `None` if there is any problem.
pub(in super::super) fn settings(raw: &RawGateway, problems: &mut Problems) -> Option<(Settings, ClickHouseOptions)> {
    let before = problems.count();
    let listen = address(&raw.listen, problems);
    let admin_listen = address(&raw.admin_listen, problems);
    if let (Some(a), Some(b)) = (listen, admin_listen)
        && a.port() != 0
        && a.port() == b.port()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
    {
        let at = if raw.admin_listen.given { &raw.admin_listen.at } else { &raw.listen.at };
        problems.add(at, "`listen` and `admin_listen` are the same address; the operators' side needs its own port");
    }
    let clickhouse = clickhouse(&raw.clickhouse, problems);
    let store = match raw.store.value {
        Store::Embedded => StoreKind::Embedded,
        Store::ClickHouse => StoreKind::ClickHouse(clickhouse.clone()),
    };
    let timeout = lasting(&raw.limits_store_timeout, Duration::from_millis(1)..=STORE_TIMEOUT_MAX, problems);
    let limits_store = limits_store(&raw.limits_store, timeout, problems);
    if !is_filter(&raw.log.level) {
        problems
            .add(&raw.log.level.at, "no log filter; give error, warn, info, debug or trace, or `tollgate=debug,info`");
    }
    let bounds = held_bounds(&raw.bounds, problems);
    let settings = Settings {
        listen: listen?,
        admin_listen: admin_listen?,
        data_dir: raw.data_dir.value.clone(),
        tls: raw.tls.value.as_ref().map(|tls| Tls {
            cert_file: tls.cert_file.value.clone(),
            key_file: tls.key_file.value.clone(),
            client_ca_file: tls.client_ca_file.value.clone(),
        }),
        max_body_bytes: sized(&raw.max_body_bytes, 1..=64 << 30, problems),
        shutdown_grace: lasting(&raw.shutdown_grace, Duration::ZERO..=DAY, problems),
        store,
        limits_store: limits_store?,
        bounds: bounds?,
        log: LogOptions { level: raw.log.level.value.clone(), json: raw.log.format.value == LogFormat::Json },
    };
    (problems.count() == before).then_some((settings, clickhouse))
}

/// `info`, or rooms with their own level: `tollgate=debug,info`.
fn is_filter(text: &str) -> bool {
    let level = |word: &str| ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str());
    let room = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b));
    text.split(',').map(str::trim).all(|part| match part.split_once('=') {
        Some((name, word)) => room(name) && level(word),
        None => level(part),
    })
}

fn address(given: &At<String>, problems: &mut Problems) -> Option<SocketAddr> {
    // `localhost:8080` and `:8080` are what people write first.
    let text = given.value.trim();
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let address = text.parse().ok();
    if address.is_none() {
        problems
            .add(&given.at, "no address to listen on; give IP:PORT, e.g. 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080");
    }
    address
}

fn clickhouse(raw: &RawClickHouse, problems: &mut Problems) -> ClickHouseOptions {
    let uri = raw.url.value.parse::<http::Uri>().ok();
    let plain = uri.as_ref().is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && port_fits(uri)
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|p| p.as_str() == "/")
    });
    if !plain {
        problems.add(
            &raw.url.at,
            "no address of a ClickHouse; give http://host:port or https://host:port and nothing more",
        );
    }
    let database = &raw.database.value;
    let name = (1..=64).contains(&database.len()) && database.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !name {
        problems.add(&raw.database.at, "a database's name is 1 to 64 of A-Z a-z 0-9 _");
    }
    ClickHouseOptions {
        url: raw.url.value.trim_end_matches('/').to_owned(),
        database: database.clone(),
        user: raw.user.value.clone(),
        password: raw.password.value.clone(),
    }
}

fn held_bounds(raw: &RawBounds, problems: &mut Problems) -> Option<HeldBounds> {
    let connections = in_range(&raw.connections, 1..=1_000_000, problems);
    let calls_in_flight = in_range(&raw.calls_in_flight, 1..=1_000_000, problems);
    let held_bytes = sized(&raw.held_bytes, 4 << 20..=1 << 40, problems);
    Some(HeldBounds {
        connections: usize::try_from(connections?).ok()?,
        calls_in_flight: usize::try_from(calls_in_flight?).ok()?,
        held_bytes: usize::try_from(held_bytes).ok()?,
        log_backlog_bytes: sized(&raw.log_backlog_bytes, LOG_BACKLOG_BYTES_MIN..=1 << 44, problems),
    })
}

fn limits_store(given: &At<String>, timeout: Duration, problems: &mut Problems) -> Option<LimitsStore> {
    let text = given.value.trim();
    if text == "memory" {
        return Some(LimitsStore::Memory);
    }
    let uri = text.parse::<http::Uri>().ok().filter(|uri| {
        matches!(uri.scheme_str(), Some("redis" | "rediss"))
            && uri.host().is_some_and(|h| !h.is_empty())
            && port_fits(uri)
            && uri.query().is_none()
            && uri.path().trim_start_matches('/').bytes().all(|b| b.is_ascii_digit())
    });
    let Some(uri) = uri else {
        problems.add(&given.at, "no store for limits; give `memory` or redis://host:port");
        return None;
    };
    if uri.scheme_str() == Some("rediss") {
        let reason = "TLS to the limits store is not in this version; give redis://host:port in a private network or \
                      through a TLS tunnel";
        problems.add(&given.at, reason);
        return None;
    }
    Some(LimitsStore::Redis(RedisOptions { url: Secret::new(text), timeout }))
}
