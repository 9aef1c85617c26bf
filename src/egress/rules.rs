//! The proxy of a target: addresses of proxies, the environment, exceptions.
//!
//! Pure. Guarantees: an address that cannot be used is an error, never a direct connection;
//! metadata services of clouds are reached directly whatever is configured; credentials are shown
//! nowhere. Exceptions follow curl's rules: names match their subdomains, addresses match addresses
//! and networks literally, nothing is resolved. Does not: read the environment or connect.
//!
//! # Source
//! curl, `lib/noproxy.c` and the manual's `NO_PROXY`, read November 2026.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::ids::Secret;

const CONTROL: &str = "a proxy whose user or password has a control character; give text";

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyAddress {
    /// TLS is spoken with the proxy itself.
    pub is_tls: bool,
    /// A name or an address; IPv6 in brackets.
    pub host: String,
    pub port: u16,
    pub access: ProxyAccess,
}

/// The user at a proxy. Without one, both are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyAccess {
    /// It has no colon.
    user: String,
    /// Its text may change while it is in use.
    password: Secret,
}

/// The targets that are reached without a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoProxy {
    is_all: bool,
    entries: Vec<String>,
}

/// The proxies of a destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    https: Option<Arc<ProxyAddress>>,
    http: Option<Arc<ProxyAddress>>,
    no_proxy: NoProxy,
}

/// A variable of the environment that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongVariable {
    pub name: &'static str,
    /// `reason; remedy`
    pub reason: &'static str,
}

/// Reads a variable of the environment.
type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

impl ProxyAddress {
    /// Reads `[http://|https://][user[:password]@]host[:port]`. The port is 80 or 443 without one.
    ///
    /// # Errors
    /// `reason; remedy`, without any part of the text.
    pub fn parse(text: &str) -> Result<ProxyAddress, &'static str> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("no http or https proxy; give http://host:port or https://host:port"),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        let wrong = "not the address of a proxy; give http://host:port, with a user and password \
            percent-encoded as in http://user:p%40ss@host:port";
        if authority.contains(['/', '?', '#', ' ', '@', '\\'])
            || user.is_some_and(|user| user.contains(['/', '@', ' ']))
        {
            return Err(wrong);
        }
        let authority: http::uri::Authority = authority.parse().map_err(|_| wrong)?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            Some("") => Some(if is_tls { 443 } else { 80 }),
            _ => authority.port_u16().filter(|port| *port != 0),
        };
        let port = port.ok_or("a proxy with an invalid port; give 1 to 65535")?;
        if host.is_empty() || (host.starts_with('[') && address(host).is_none()) {
            return Err(wrong);
        }
        let access = user.map(ProxyAccess::parse).transpose()?.unwrap_or_default();
        Ok(ProxyAddress { is_tls, host: host.to_owned(), port, access })
    }

    /// The address without user and password.
    pub fn shown(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}:{}", self.host, self.port)
    }
}

impl ProxyAccess {
    /// A user with a password, neither of them encoded.
    ///
    /// # Errors
    /// `reason; remedy`, without any part of the text.
    pub fn new(user: &str, password: Secret) -> Result<ProxyAccess, &'static str> {
        if user.contains(':') {
            return Err(
                "a proxy whose user has a colon, which HTTP cannot carry; give another user",
            );
        }
        if user.contains(char::is_control) {
            return Err(CONTROL);
        }
        Ok(ProxyAccess { user: user.to_owned(), password })
    }

    /// Reads `user[:password]`, in their form in a URL.
    fn parse(text: &str) -> Result<ProxyAccess, &'static str> {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            let text =
                text.map_err(|_| "a proxy whose user or password is not UTF-8; give UTF-8")?;
            if text.contains(char::is_control) { Err(CONTROL) } else { Ok(text.into_owned()) }
        };
        ProxyAccess::new(&decoded(user)?, Secret::new(&decoded(password)?))
    }

    /// Whether there is neither a user nor a password.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.password.is_empty()
    }

    /// The value of `Proxy-Authorization` with the password of now; empty without a user.
    pub fn authorization(&self) -> Zeroizing<String> {
        if self.is_empty() {
            return Zeroizing::default();
        }
        let both = Zeroizing::new([&self.user, ":", &*self.password.reveal()].concat());
        Zeroizing::new(["Basic ", &Zeroizing::new(STANDARD.encode(&*both))].concat())
    }

    /// All that tells it from others: another content of a file is the same access.
    fn identity(&self, mut tell: impl FnMut(&[u8])) {
        tell(self.user.as_bytes());
        match self.password.file() {
            Some(path) => tell(path.as_os_str().as_encoded_bytes()),
            None => tell(self.password.reveal().as_bytes()),
        }
    }
}

impl NoProxy {
    /// Reads a list with commas, as the variable `NO_PROXY` has it.
    pub fn parse(text: &str) -> NoProxy {
        let mut entries = Vec::new();
        for part in text.split(',') {
            let mut words = part.split_ascii_whitespace();
            entries.extend(words.next().map(str::to_owned));
            // A blank is no separator: as in curl, the list ends there.
            if words.next().is_some() {
                break;
            }
        }
        NoProxy { is_all: text == "*", entries }
    }

    /// The entries of a list.
    pub fn of(entries: &[String]) -> NoProxy {
        NoProxy::parse(&entries.join(","))
    }

    /// Whether a host is reached without a proxy.
    pub fn has(&self, host: &str) -> bool {
        if self.is_all {
            return true;
        }
        if let Some(ip) = address(host) {
            return self.entries.iter().any(|entry| has_address(entry, ip));
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        self.entries.iter().any(|entry| has_name(entry, host))
    }

    /// The entries that match nothing, although they look as if they did.
    pub fn without_effect(&self) -> impl Iterator<Item = &str> {
        let is_odd = |entry: &&String| {
            let has_port = || {
                let (host, port) = entry.rsplit_once(':')?;
                let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
                Some(is_port && (!host.contains(':') || host.starts_with('[')))
            };
            (!self.is_all && entry.contains('*')) || has_port() == Some(true)
        };
        self.entries.iter().filter(is_odd).map(String::as_str)
    }

    fn and(mut self, other: NoProxy) -> NoProxy {
        self.is_all |= other.is_all;
        self.entries.extend(other.entries);
        self
    }
}

/// The address that a host is, if it is one.
fn address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Whether an entry names the domain of a host, or the host itself.
fn has_name(entry: &str, host: &str) -> bool {
    let entry = entry.strip_suffix('.').unwrap_or(entry);
    let entry = entry.strip_prefix('.').unwrap_or(entry).as_bytes();
    let host = host.as_bytes();
    let Some(before) = host.len().checked_sub(entry.len()) else { return false };
    !entry.is_empty()
        && host[before..].eq_ignore_ascii_case(entry)
        && (before == 0 || host[before - 1] == b'.')
}

/// Whether an entry is an address or a network with this address. As in curl, `/0` is no network.
fn has_address(entry: &str, ip: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (entry, Some(0)),
    };
    let Some(bits) = bits else { return false };
    match (ip, address(network)) {
        (IpAddr::V4(ip), Some(IpAddr::V4(network))) => {
            let bits = if bits == 0 { 32 } else { bits };
            bits <= 32 && (ip.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
        }
        (IpAddr::V6(ip), Some(IpAddr::V6(network))) => {
            let bits = if bits == 0 { 128 } else { bits };
            bits <= 128 && (ip.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// Whether it is the metadata service of a cloud, or hands out a container's credentials.
fn is_metadata(host: &str) -> bool {
    let link_local = |ip: Ipv4Addr| ip.is_link_local();
    match address(host) {
        Some(IpAddr::V4(ip)) => link_local(ip),
        // fd00:ec2::/32 is Amazon's.
        Some(IpAddr::V6(ip)) => {
            ip.to_ipv4_mapped().is_some_and(link_local) || ip.segments()[..2] == [0xfd00, 0x0ec2]
        }
        None => {
            let host = host.strip_suffix('.').unwrap_or(host);
            host.eq_ignore_ascii_case("metadata.google.internal")
        }
    }
}

impl Proxies {
    /// One proxy for all targets but these.
    pub fn only(proxy: ProxyAddress, no_proxy: NoProxy) -> Proxies {
        let proxy = Some(Arc::new(proxy));
        Proxies { https: proxy.clone(), http: proxy, no_proxy }
    }

    /// The proxies that the environment names, in upper or lower case; lower case has precedence,
    /// and an empty value is none. `more`: further exceptions.
    ///
    /// # Errors
    /// A variable cannot be used.
    pub fn from_environment(environment: Environment<'_>) -> Result<Proxies, WrongVariable> {
        let value = |names: [&'static str; 2]| {
            let set = |name| environment(name).filter(|text| !text.trim().is_empty());
            names.into_iter().find_map(|name| Some((name, set(name)?)))
        };
        let proxy = |names| match value(names) {
            None => Ok(None),
            Some((name, text)) => match ProxyAddress::parse(&text) {
                Ok(proxy) => Ok(Some(Arc::new(proxy))),
                Err(reason) => Err(WrongVariable { name, reason }),
            },
        };
        let all = proxy(["all_proxy", "ALL_PROXY"])?;
        let https = proxy(["https_proxy", "HTTPS_PROXY"])?.or_else(|| all.clone());
        let http = proxy(["http_proxy", "HTTP_PROXY"])?.or(all);
        let list = value(["no_proxy", "NO_PROXY"]).map(|(_, text)| NoProxy::parse(text.trim()));
        Ok(Proxies { https, http, no_proxy: list.unwrap_or_default() })
    }

    /// The same with further exceptions.
    pub fn without(self, more: NoProxy) -> Proxies {
        Proxies { no_proxy: self.no_proxy.and(more), ..self }
    }

    /// The proxy through which a target is reached.
    pub fn of(&self, target: &Uri) -> Option<&Arc<ProxyAddress>> {
        let is_tls = target.scheme() == Some(&http::uri::Scheme::HTTPS);
        let proxy = if is_tls { self.https.as_ref() } else { self.http.as_ref() }?;
        let host = target.host().unwrap_or_default();
        (!self.no_proxy.has(host) && !is_metadata(host)).then_some(proxy)
    }

    /// The exceptions.
    pub fn no_proxy(&self) -> &NoProxy {
        &self.no_proxy
    }

    /// All that tells these proxies from others, credentials included.
    pub(crate) fn identity(&self, mut tell: impl FnMut(&[u8])) {
        for proxy in [&self.https, &self.http] {
            let Some(proxy) = proxy else {
                tell(b"-");
                continue;
            };
            tell(proxy.shown().as_bytes());
            proxy.access.identity(&mut tell);
        }
        tell(if self.no_proxy.is_all { b"*" } else { b"" });
        tell(self.no_proxy.entries.join(",").as_bytes());
    }
}

#[cfg(test)]
mod tests;
