//! The way out to a provider, checked: proxy, exceptions, TLS files.
//!
//! Guarantees: a variable or an address of a proxy that cannot be used is a problem, and never a
//! direct connection; no message quotes a proxy's credentials.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::reader::place::{Place, Problems};
use super::super::reader::shape::At;
use super::super::sections::{ProxySource, RawProvider, RawProxy};
use crate::egress::Egress;
use crate::egress::rules::{NoProxy, Proxies, ProxyAccess, ProxyAddress, WrongVariable};
use crate::egress::trust::{ClientTls, TlsFiles};

/// The proxies that the environment names.
pub(crate) struct Environment {
    proxies: Result<Proxies, WrongVariable>,
}

impl Environment {
    /// Reads the variables.
    pub(crate) fn read(problems: &Problems) -> Environment {
        Environment { proxies: Proxies::from_environment(&problems.env) }
    }

    /// The way out of everything that has no settings of its own.
    pub(crate) fn egress(&self) -> Arc<Egress> {
        let proxies = self.proxies.clone().unwrap_or_default();
        Arc::new(Egress::new(proxies, ClientTls::machine()))
    }
}

/// The way out to a provider.
pub(crate) fn of(
    given: &RawProvider,
    environment: &Environment,
    problems: &mut Problems,
) -> Arc<Egress> {
    let list: Vec<String> = given.no_proxy.iter().map(|entry| entry.value.clone()).collect();
    for entry in given.no_proxy.iter() {
        if entry.trim().is_empty() || entry.contains([',', ' ', '\t']) {
            let text = "not one entry; give a domain, an address or a network, e.g. 10.0.0.0/8";
            problems.add(&entry.at, text);
        }
    }
    let proxies = proxies(&given.proxy, NoProxy::of(&list), environment, problems);
    let files = [&given.ca_file, &given.client_cert_file, &given.client_key_file];
    Arc::new(Egress::new(proxies, tls(files, problems)))
}

/// The proxies of a destination.
pub(crate) fn proxies(
    given: &At<ProxySource>,
    except: NoProxy,
    environment: &Environment,
    problems: &mut Problems,
) -> Proxies {
    let text = match &given.value {
        ProxySource::Text(text) => text.trim(),
        ProxySource::Apart(raw) => return apart(raw, except, problems),
    };
    match text {
        "none" => Proxies::default(),
        "env" => by_environment(&given.at, environment, except, problems),
        address if address.contains("://") => match ProxyAddress::parse(address) {
            Ok(proxy) => Proxies::only(proxy, except),
            Err(reason) => wrong(&given.at, reason, problems),
        },
        _ => wrong(
            &given.at,
            "neither env, none nor a URL; give one of them, e.g. http://proxy.example:3128",
            problems,
        ),
    }
}

/// A proxy whose user and password are not in its address.
fn apart(raw: &RawProxy, except: NoProxy, problems: &mut Problems) -> Proxies {
    let mut proxy = match ProxyAddress::parse(&raw.url) {
        Ok(proxy) => proxy,
        Err(reason) => return wrong(&raw.url.at, reason, problems),
    };
    if !proxy.access.is_empty() {
        let text = "has a user; give it by `username` and `password`";
        return wrong(&raw.url.at, text, problems);
    }
    match ProxyAccess::new(&raw.username, raw.password.value.clone()) {
        Ok(access) => proxy.access = access,
        Err(reason) => return wrong(&raw.username.at, reason, problems),
    }
    Proxies::only(proxy, except)
}

fn wrong(at: &Place, reason: &str, problems: &mut Problems) -> Proxies {
    problems.add(at, reason);
    Proxies::default()
}

fn by_environment(
    at: &Place,
    environment: &Environment,
    more: NoProxy,
    problems: &mut Problems,
) -> Proxies {
    match &environment.proxies {
        Ok(proxies) => proxies.clone().without(more),
        Err(WrongVariable { name, reason }) => {
            // A command that calls no provider does not need it.
            problems.unresolved(at, format!("the environment variable {name} is {reason}"));
            Proxies::default()
        }
    }
}

/// The TLS of connections with these files: authorities, a certificate of the gateway's, its key.
pub(crate) fn tls(
    [ca, certificate, key]: [&At<Option<PathBuf>>; 3],
    problems: &mut Problems,
) -> ClientTls {
    let found = |path: &At<Option<PathBuf>>, problems: &Problems| {
        path.value.as_deref().map(|path| problems.find(path))
    };
    let client = match (found(certificate, problems), found(key, problems)) {
        (Some(chain), Some(key)) => Some((chain, key)),
        (None, None) => None,
        (chain, _) => {
            let at = if chain.is_some() { &certificate.at } else { &key.at };
            let text = "one of `client_cert_file` and `client_key_file`; give both, or neither";
            problems.add(at, text);
            None
        }
    };
    let files = TlsFiles { ca: found(ca, problems), client };
    ClientTls::of(&problems.live, &files).unwrap_or_else(|reason| {
        let at = if ca.given && files.ca.is_some() && blames(&reason, &files) {
            &ca.at
        } else {
            &certificate.at
        };
        problems.unresolved(at, reason);
        ClientTls::machine()
    })
}

/// Whether a reason is about the authorities.
fn blames(reason: &str, files: &TlsFiles) -> bool {
    let name = |path: &PathBuf| format!("`{}`", path.display());
    files.ca.as_ref().is_some_and(|ca| reason.starts_with(&name(ca)))
}
