//! `limits_store`: the URL, or the mapping `{redis: …}`, becomes addresses and access.
//!
//! Guarantees: at least one address, all of them with or all without TLS; a client
//! certificate has its key; credentials stand in one place. Does not: connect.

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::super::policy::{LimitsStore, RedisAccess, RedisAddress, RedisMode, RedisOptions};
use super::super::reader::place::{Place, Problems};
use super::super::reader::shape::At;
use super::super::sections::{LimitsStoreSource, RawRedis};
use super::port_fits;
use crate::egress::trust::ClientTls;
use crate::ids::Secret;

/// The ports that are meant where an address names none.
const SERVER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// Addresses of one store.
const URLS_MAX: usize = 32;

/// The store; `None` if there is a problem.
pub(crate) fn limits_store(
    given: &At<LimitsStoreSource>,
    timeout: Duration,
    problems: &mut Problems,
) -> Option<LimitsStore> {
    match &given.value {
        LimitsStoreSource::Text(text) if text.trim() == "memory" => Some(LimitsStore::Memory),
        LimitsStoreSource::Text(text) => {
            let Some(url) = url(text.trim(), SERVER_PORT) else {
                problems.add(
                    &given.at,
                    "not a store for limits; give `memory`, redis://host:port or \
                     rediss://host:port",
                );
                return None;
            };
            let tls = url.tls.then(ClientTls::machine);
            let servers = RedisAccess { username: url.username, password: url.password, tls };
            Some(LimitsStore::Redis(Box::new(RedisOptions {
                mode: RedisMode::Single,
                contacts: vec![url.address],
                master: String::new(),
                database: url.database.unwrap_or(0),
                servers,
                sentinels: RedisAccess::default(),
                timeout,
            })))
        }
        LimitsStoreSource::Shared(shared) => {
            let before = problems.count();
            let options = redis(&shared.redis.value, timeout, problems)?;
            (problems.count() == before).then_some(LimitsStore::Redis(Box::new(options)))
        }
    }
}

/// The mapping.
fn redis(raw: &RawRedis, timeout: Duration, problems: &mut Problems) -> Option<RedisOptions> {
    let mode = raw.mode.value;
    let urls = urls(raw, problems)?;
    let (first, at) = urls.first()?;
    for (url, at) in &urls[1..] {
        if url.tls != first.tls {
            problems.add(at, "another scheme than the first; give all with redis, or with rediss");
        }
    }
    rules(raw, problems);
    let of_sentinels = &raw.sentinel.value;
    let files = [&raw.ca_file, &raw.client_cert_file, &raw.client_key_file];
    let own =
        [&of_sentinels.ca_file, &of_sentinels.client_cert_file, &of_sentinels.client_key_file];
    let is_sentinel = mode == RedisMode::Sentinel;
    let tls = if is_sentinel { raw.tls.value.unwrap_or(first.tls) } else { first.tls };
    if !tls && !first.tls && files.iter().chain(&own).any(|file| file.value.is_some()) {
        problems.add(at, "the files of certificates need TLS; give rediss://host:port");
        return None;
    }
    let tls = tls.then(|| super::egress::tls(files, problems));
    // Files that are not given are those of the servers.
    let own: [_; 3] =
        std::array::from_fn(|n| if own[n].value.is_some() { own[n] } else { files[n] });
    let of_sentinels_tls = (is_sentinel && first.tls).then(|| super::egress::tls(own, problems));
    let keys = |username: &str, password: &Secret| (username.to_owned(), password.clone());
    let in_url = (first.username.clone(), first.password.clone());
    let with_url = |(username, password): (String, Secret)| {
        if first.has_credentials() { in_url.clone() } else { (username, password) }
    };
    let of_servers = keys(&raw.username.value, &raw.password.value);
    let sentinel_keys = keys(&of_sentinels.username.value, &of_sentinels.password.value);
    // The credentials of a URL are those of the server that it names.
    let ((username, password), for_sentinels) = if is_sentinel {
        (of_servers, with_url(sentinel_keys))
    } else {
        (with_url(of_servers), sentinel_keys)
    };
    Some(RedisOptions {
        mode,
        contacts: urls.iter().map(|(url, _)| url.address.clone()).collect(),
        master: raw.master.value.clone(),
        database: first.database.unwrap_or(raw.database.value),
        servers: RedisAccess { username, password, tls },
        sentinels: RedisAccess {
            username: for_sentinels.0,
            password: for_sentinels.1,
            tls: of_sentinels_tls,
        },
        timeout,
    })
}

/// The addresses with their places.
fn urls<'r>(raw: &'r RawRedis, problems: &mut Problems) -> Option<Vec<(Url, &'r Place)>> {
    let mode = raw.mode.value;
    let port = if mode == RedisMode::Sentinel { SENTINEL_PORT } else { SERVER_PORT };
    let count = raw.urls.value.len();
    if count == 0 || count > URLS_MAX {
        let reason = format!("{count} addresses; give 1 to {URLS_MAX}");
        problems.add(&raw.urls.at, reason);
        return None;
    }
    if mode == RedisMode::Single && count > 1 {
        problems.add(
            &raw.urls.at,
            "several addresses of one server; give one, or `mode: cluster` or `mode: sentinel`",
        );
    }
    let mut urls = Vec::with_capacity(count);
    for given in &raw.urls.value {
        match url(given.value.trim(), port) {
            Some(url) if url.database.is_some() && mode != RedisMode::Single => {
                problems.add(&given.at, "a database in this address; remove it");
            }
            Some(url) => {
                let keys = if mode == RedisMode::Sentinel {
                    (&raw.sentinel.value.username, &raw.sentinel.value.password)
                } else {
                    (&raw.username, &raw.password)
                };
                if url.has_credentials() && (keys.0.given || keys.1.given) {
                    problems.add(
                        &given.at,
                        "user and password also stand in keys of their own; give them once",
                    );
                }
                urls.push((url, &given.at));
            }
            None => problems.add(
                &given.at,
                "not the address of a Redis server; give redis://host:port or rediss://host:port",
            ),
        }
    }
    Some(urls)
}

/// Keys that belong to another mode.
fn rules(raw: &RawRedis, problems: &mut Problems) {
    let mode = raw.mode.value;
    let is_sentinel = mode == RedisMode::Sentinel;
    if is_sentinel && raw.master.value.trim().is_empty() {
        let at = if raw.master.given { &raw.master.at } else { &raw.mode.at };
        problems.add(at, "sentinels need `master`; give the name that they monitor");
    }
    if !is_sentinel {
        for (given, at) in [
            (raw.master.given, &raw.master.at),
            (raw.tls.given && raw.tls.value.is_some(), &raw.tls.at),
            (raw.sentinel.given, &raw.sentinel.at),
        ] {
            if given {
                problems.add(at, "a key for sentinels; give `mode: sentinel`, or remove it");
            }
        }
    }
    if mode == RedisMode::Cluster && raw.database.value != 0 {
        problems.add(&raw.database.at, "a cluster has only database 0; remove this key");
    }
}

/// An address as it is written.
struct Url {
    address: RedisAddress,
    tls: bool,
    username: String,
    password: Secret,
    database: Option<u32>,
}

impl Url {
    fn has_credentials(&self) -> bool {
        !self.username.is_empty() || !self.password.is_empty()
    }
}

/// `redis[s]://[user:password@]host[:port][/database]`
fn url(text: &str, port: u16) -> Option<Url> {
    let uri = text.parse::<http::Uri>().ok()?;
    let tls = match uri.scheme_str()? {
        "redis" => false,
        "rediss" => true,
        _ => return None,
    };
    let host = uri.host().filter(|host| !host.is_empty())?;
    let path = uri.path().trim_start_matches('/');
    if !port_fits(&uri) || uri.query().is_some() || !path.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let database = if path.is_empty() { None } else { Some(path.parse().ok()?) };
    let decoded =
        |text: &str| percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned);
    let authority = uri.authority()?.as_str();
    let (username, password) = match authority.rsplit_once('@') {
        None => (String::new(), String::new()),
        Some((user, _)) => {
            let (username, password) = user.split_once(':').unwrap_or((user, ""));
            (decoded(username)?, decoded(password)?)
        }
    };
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let address = RedisAddress { host, port: uri.port_u16().unwrap_or(port) };
    Some(Url { address, tls, username, password: Secret::new(&password), database })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let parts = |text: &str| {
            url(text, SERVER_PORT).map(|url| {
                let Url { address, tls, username, password, database } = url;
                (address.to_string(), tls, username, password.reveal().to_owned(), database)
            })
        };
        let own = str::to_owned;
        for (text, address, tls, username, password, database) in [
            ("redis://h", "h:6379", false, "", "", None),
            ("redis://h:1/3", "h:1", false, "", "", Some(3)),
            ("rediss://gateway:p%40s%2Fs@h:1", "h:1", true, "gateway", "p@s/s", None),
            ("redis://:secret@[::1]:7/0", "[::1]:7", false, "", "secret", Some(0)),
        ] {
            let expected = (own(address), tls, own(username), own(password), database);
            assert_eq!(parts(text), Some(expected), "{text}");
        }
        for text in
            ["redis", "http://h:1", "redis://", "redis://h:0", "redis://h/x", "redis://h?a=1"]
        {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
