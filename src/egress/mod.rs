//! The way out: proxies, trusted roots and client certificates of everything that the gateway
//! connects to.
//!
//! Below the rooms that connect. `rules` says which proxy a target has (pure), `trust` reads roots
//! and client certificates, `connector` makes a connection (`tunnel`: through a proxy; `stream`:
//! the bytes), `pools` keeps connections (`kept`: those over HTTP/1), `outbound` sends small
//! requests of the gateway's own, `classify` says why there was no answer (`fault`; `alert`: TLS),
//! `used` whether a connection was used before, `issuer` which authority signed a certificate.
//!
//! Guarantees: a proxy never gets more than the name of an https target and its own credentials; a
//! proxy that fails is told apart from a target that fails; TLS is always verified. Does not: know
//! providers, policies or retries.

mod alert;
mod classify;
pub mod connector;
pub mod fault;
mod issuer;
mod kept;
pub mod outbound;
pub mod pools;
pub mod rules;
mod stream;
pub mod trust;
mod tunnel;
mod used;

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use http::uri::Scheme;
use http::{StatusCode, Uri};

pub use classify::fault as fault_of;
use fault::{Fault, ProxyFault};
use rules::Proxies;
use trust::ClientTls;

/// How the connections to a destination are made. Shared by all requests to it.
#[derive(Clone, Debug)]
pub struct Egress {
    proxies: Proxies,
    tls: ClientTls,
    /// SHA-256 of all that tells it from others.
    identity: [u8; 32],
}

impl Egress {
    /// Through these proxies, with this TLS.
    pub fn new(proxies: Proxies, tls: ClientTls) -> Egress {
        let mut context = Context::new(&SHA256);
        let mut tell = |bytes: &[u8]| {
            // Lengths first, so that no two sets look alike.
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        proxies.identity(&mut tell);
        tell(tls.kind().as_bytes());
        for path in tls.paths() {
            tell(path.as_os_str().as_encoded_bytes());
        }
        let mut identity = [0; 32];
        identity.copy_from_slice(context.finish().as_ref());
        Egress { proxies, tls, identity }
    }

    /// Without a proxy, with the machine's roots.
    pub fn direct() -> Egress {
        Egress::new(Proxies::default(), ClientTls::machine())
    }

    /// The proxies.
    pub fn proxies(&self) -> &Proxies {
        &self.proxies
    }

    /// The TLS.
    pub fn tls(&self) -> &ClientTls {
        &self.tls
    }

    /// SHA-256 of all that tells it from others.
    pub fn identity(&self) -> &[u8; 32] {
        &self.identity
    }

    /// Whether it is the same way out, perhaps of another policy.
    pub fn is(&self, other: &Egress) -> bool {
        self.identity == other.identity
    }

    /// Whether a proxy gets whole requests to this target, and forwards them.
    pub fn forwards(&self, target: &Uri) -> bool {
        target.scheme() == Some(&Scheme::HTTP) && self.proxies.of(target).is_some()
    }

    /// The refusal of a proxy that forwards, by the status of its answer. Other statuses of its own
    /// cannot be told from those of the target.
    pub fn refusal(is_forwarded: bool, status: StatusCode) -> Option<Fault> {
        let is_auth = is_forwarded && status == StatusCode::PROXY_AUTHENTICATION_REQUIRED;
        is_auth.then_some(Fault::Proxy(ProxyFault::Auth))
    }
}

impl Default for Egress {
    fn default() -> Egress {
        Egress::direct()
    }
}

/// Reads the machine's roots now, so that no request waits for that.
pub fn prepare() -> Arc<rustls::RootCertStore> {
    trust::machine_roots()
}
