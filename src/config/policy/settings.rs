//! `gateway.yaml` in the checked configuration: listeners, access, stores.
//!
//! Level 2 of the map. Immutable, checked; read once, at start. Does not: open sockets or stores.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Uri};

use super::Grant;
use crate::config::sections::{GatewayOptions, OtlpOptions, RedisMode, Role, Tls};
use crate::egress::Egress;
use crate::egress::trust::ClientTls;
use crate::ids::{OrgId, Secret, SecretBytes};

/// `gateway.yaml`, which is read once, at start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Address of the applications' side.
    pub listen: SocketAddr,
    /// Address of the operators' side.
    pub admin_listen: SocketAddr,
    /// Host names to which the operators' side answers, in lower case; besides `localhost`.
    pub admin_hosts: Vec<String>,
    /// How operators sign in.
    pub access: Access,
    /// The OpenID provider by which people sign in, with [`Access::Tokens`].
    pub oidc: Option<Arc<OidcOptions>>,
    /// Address at which browsers reach the operators' side, without a slash at its end.
    pub admin_url: Option<Arc<str>>,
    /// TLS on the operators' side.
    pub admin_tls: Option<Tls>,
    /// `/metrics` needs no sign-in.
    pub metrics_open: bool,
    /// The store of rows.
    pub store: StoreKind,
    /// The store of the limits' counters.
    pub limits_store: LimitsStore,
    /// The secret of stable placeholders; without one, `data_dir` keeps a random one.
    pub placeholder_key: Option<SecretBytes>,
    /// The collector of traces.
    pub otlp: Option<Otlp>,
    pub options: GatewayOptions,
}

impl Settings {
    /// The scheme by which browsers reach the operators' side.
    pub fn admin_scheme(&self) -> &'static str {
        let is_https = match &self.admin_url {
            Some(url) => url.starts_with("https://"),
            None => self.admin_tls.is_some(),
        };
        if is_https { "https" } else { "http" }
    }

    /// Whether they reach it by https, so that its cookies are `Secure`.
    pub fn admin_is_https(&self) -> bool {
        self.admin_scheme() == "https"
    }
}

/// A collector of traces.
#[derive(Clone, Debug)]
pub struct Otlp {
    /// With the path of traces.
    pub endpoint: Uri,
    /// Headers of each request.
    pub headers: Vec<(HeaderName, Secret)>,
    /// How it is reached.
    pub egress: Arc<Egress>,
    pub options: OtlpOptions,
}

/// How operators sign in.
#[derive(Clone, Debug)]
pub enum Access {
    /// They need not: only this machine reaches their side.
    Local,
    /// They need not, although other machines reach their side.
    Insecure,
    /// With one of these tokens, by its SHA-256.
    Tokens(Arc<HashMap<[u8; 32], Arc<Principal>>>),
}

/// An OpenID provider, and the roles that it gives.
#[derive(Debug)]
pub struct OidcOptions {
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub scopes: Vec<String>,
    /// The names that lead to the claim.
    pub role_claim: Vec<String>,
    /// Values of the claim with their rights.
    pub roles: Vec<(String, Grant)>,
    pub egress: Arc<Egress>,
}

/// A person or a program on the operators' side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub name: Arc<str>,
    pub role: Role,
    /// The organisations that it sees; empty: all.
    pub orgs: Vec<OrgId>,
}

/// The store of rows.
#[derive(Clone, Debug)]
pub enum StoreKind {
    /// SQLite, `data_dir/tollgate.db`.
    Embedded,
    /// A ClickHouse server.
    ClickHouse(ClickHouseOptions),
}

/// ClickHouse over HTTP.
#[derive(Clone, Debug)]
pub struct ClickHouseOptions {
    /// `http[s]://host:port`, at least one; they are tried in turn.
    pub urls: Vec<String>,
    /// Cluster of the replicated tables; empty for none.
    pub cluster: String,
    /// Letters, digits and `_`.
    pub database: String,
    /// Name of the user.
    pub user: String,
    /// Its password.
    pub password: Secret,
    /// Authorities and a certificate of the gateway's.
    pub tls: ClientTls,
}

impl ClickHouseOptions {
    /// A database at one server, with the user `default` and the machine's authorities.
    pub fn at(url: &str, database: &str) -> ClickHouseOptions {
        ClickHouseOptions {
            urls: vec![url.to_owned()],
            cluster: String::new(),
            database: database.to_owned(),
            user: "default".to_owned(),
            password: Secret::default(),
            tls: ClientTls::machine(),
        }
    }
}

/// The store of the limits' counters.
#[derive(Clone, Debug)]
pub enum LimitsStore {
    Memory,
    /// Shared by replicas.
    Redis(Box<RedisOptions>),
}

/// Redis or Valkey, and the patience with it.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    pub mode: RedisMode,
    /// The server, some nodes of the cluster, or the sentinels; at least one.
    pub contacts: Vec<RedisAddress>,
    /// The sentinels' name of the master.
    pub master: String,
    pub database: u32,
    /// Access to the servers that count.
    pub servers: RedisAccess,
    /// Access to the sentinels.
    pub sentinels: RedisAccess,
    /// Longest time that a decision waits for it.
    pub timeout: Duration,
}

/// The address of a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RedisAddress {
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

impl std::fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let RedisAddress { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// How a server is greeted.
#[derive(Clone, Debug, Default)]
pub struct RedisAccess {
    /// Empty: the user `default`.
    pub username: String,
    pub password: Secret,
    /// `None`: plain TCP.
    pub tls: Option<ClientTls>,
}
