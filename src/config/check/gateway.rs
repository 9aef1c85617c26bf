//! `gateway.yaml`: addresses, and the rules between keys.

use std::net::SocketAddr;

use super::super::policy::{ClickHouseOptions, Settings, StoreKind};
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Plain as _};
use super::super::sections::{PlaceholderSecret, RawClickHouse, RawGateway, Store};
use super::admin::{access, oidc, public_url};
use super::port_fits;
use crate::bounds::PLACEHOLDER_KEY_BYTES_MIN;
use crate::ids::SecretBytes;

/// The checked settings, and the options of ClickHouse, which `tollgate clickhouse` also needs with
/// the embedded store. `None` if there is any problem.
pub(crate) fn settings(
    raw: &RawGateway,
    problems: &mut Problems,
) -> Option<(Settings, ClickHouseOptions)> {
    let before = problems.count();
    let listen = address(&raw.listen, problems);
    let admin_listen = address(&raw.admin_listen, problems);
    if let (Some(a), Some(b)) = (listen, admin_listen)
        && a.port() != 0
        && a.port() == b.port()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
    {
        let at = if raw.admin_listen.given { &raw.admin_listen.at } else { &raw.listen.at };
        problems.add(
            at,
            "`listen` and `admin_listen` are the same address; give the operators' side another \
             port",
        );
    }
    let clickhouse = clickhouse(&raw.clickhouse, problems);
    let store = match raw.store.value {
        Store::Embedded => StoreKind::Embedded,
        Store::ClickHouse => StoreKind::ClickHouse(clickhouse.clone()),
    };
    let limits_store =
        super::redis::limits_store(&raw.limits_store, raw.limits_store_timeout.value, problems);
    if !is_filter(&raw.log.level) {
        problems.add(
            &raw.log.level.at,
            "not a log filter; give error, warn, info, debug or trace, or `tollgate=debug,info`",
        );
    }
    let placeholder_key = placeholder_key(&raw.placeholder_key, problems);
    let mut admin_hosts = hosts(&raw.admin.allowed_hosts, problems);
    let access = access(&raw.admin, admin_listen, &raw.admin_listen, problems);
    let oidc = oidc(&raw.admin, admin_listen, problems);
    let admin_url = public_url(&raw.admin, problems);
    let public = admin_url.as_deref().and_then(|url| url.parse::<http::Uri>().ok());
    admin_hosts.extend(public.and_then(|uri| uri.host().map(str::to_ascii_lowercase)));
    let settings = Settings {
        listen: listen?,
        admin_listen: admin_listen?,
        admin_hosts,
        access,
        oidc,
        admin_url,
        admin_tls: raw.admin.tls.value.as_ref().map(|tls| tls.plain()),
        metrics_open: raw.admin.metrics_open.value,
        store,
        limits_store: limits_store?,
        placeholder_key,
        otlp: super::telemetry::otlp(&raw.telemetry, problems),
        options: raw.plain(),
    };
    (problems.count() == before).then_some((settings, clickhouse))
}

/// The secret of stable placeholders: long enough that nobody can try all.
fn placeholder_key(given: &At<PlaceholderSecret>, problems: &mut Problems) -> Option<SecretBytes> {
    let secret = &given.value.0;
    if secret.is_empty() {
        return None;
    }
    if secret.reveal().len() < PLACEHOLDER_KEY_BYTES_MIN {
        let text = format!("too short; give at least {PLACEHOLDER_KEY_BYTES_MIN} bytes");
        problems.add(&given.at, text);
    }
    Some(secret.clone())
}

/// Host names, in lower case.
fn hosts(given: &[At<String>], problems: &mut Problems) -> Vec<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    for host in given {
        if host.value.len() > 253 || !host.value.split('.').all(label) {
            problems
                .add(&host.at, "not a host name; give a name without port, e.g. tollgate.internal");
        }
    }
    given.iter().map(|host| host.value.to_ascii_lowercase()).collect()
}

/// `info`, or rooms with their own level: `tollgate=debug,info`.
fn is_filter(text: &str) -> bool {
    let level = |word: &str| {
        ["off", "error", "warn", "info", "debug", "trace"].contains(&word.to_lowercase().as_str())
    };
    let room = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_:".contains(&b))
    };
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
        problems.add(
            &given.at,
            "not a socket address; give IP:PORT, e.g. 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080",
        );
    }
    address
}

fn clickhouse(raw: &RawClickHouse, problems: &mut Problems) -> ClickHouseOptions {
    if raw.url.given && !raw.urls.is_empty() {
        problems.add(&raw.url.at, "`urls` is given, too; give one of them");
    }
    let given = if raw.urls.value.is_empty() {
        std::slice::from_ref(&raw.url)
    } else {
        raw.urls.value.as_slice()
    };
    for url in given {
        if !is_clickhouse(&url.value) {
            problems.add(
                &url.at,
                "not the address of a ClickHouse server; give http://host:port or \
                 https://host:port",
            );
        }
    }
    let database = &raw.database.value;
    let name = (1..=64).contains(&database.len())
        && database.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !name {
        problems.add(&raw.database.at, "not the name of a database; give 1 to 64 of A-Z a-z 0-9 _");
    }
    let cluster = &raw.cluster.value;
    if !cluster.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        problems.add(&raw.cluster.at, "not the name of a cluster; give A-Z a-z 0-9 _ -");
    }
    let files = [&raw.ca_file, &raw.client_cert_file, &raw.client_key_file];
    ClickHouseOptions {
        urls: given.iter().map(|url| url.value.trim_end_matches('/').to_owned()).collect(),
        cluster: cluster.clone(),
        database: database.clone(),
        user: raw.user.value.clone(),
        password: raw.password.value.clone(),
        tls: super::egress::tls(files, problems),
    }
}

fn is_clickhouse(url: &str) -> bool {
    url.parse::<http::Uri>().is_ok_and(|uri| {
        matches!(uri.scheme_str(), Some("http" | "https"))
            && port_fits(&uri)
            && uri.authority().is_some_and(|a| !a.as_str().contains('@'))
            && uri.path_and_query().is_none_or(|p| p.as_str() == "/")
    })
}
