//! The keys of `gateway.yaml`.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{
    At, Kind, Shape, Size, Written, masked, of_file, secret_schema, section, words, written,
};
use super::admin::RawAdmin;
use super::telemetry::{RawMetrics, RawTelemetry};
use super::tls::RawTls;
use super::{DAY, HOUR, MS, SECOND};
use crate::ids::{Secret, SecretBytes};
use crate::secrets;

words! {
    /// Where rows are stored.
    Store {
        /// SQLite in `data_dir`.
        "embedded" => Embedded,
        /// ClickHouse over HTTP.
        "clickhouse" => ClickHouse,
    }
}
words! {
    /// Format of the gateway's own log.
    LogFormat {
        /// Lines for people.
        "text" => Text,
        /// One JSON object in each line.
        "json" => Json,
    }
}

words! {
    /// Servers of a shared limits store.
    RedisMode {
        /// One server.
        "single" => Single,
        /// Several masters, each with a part of the keys.
        "cluster" => Cluster,
        /// A master and its replicas, whose roles sentinels assign.
        "sentinel" => Sentinel,
    }
}

/// `memory`, the URL of a Redis server, or a [`RawShared`].
#[derive(Clone, Debug)]
pub enum LimitsStoreSource {
    /// A word or a URL.
    Text(String),
    /// The mapping.
    Shared(Box<RawShared>),
}

impl Shape for LimitsStoreSource {
    fn read(node: &Node, problems: &mut Problems) -> Option<LimitsStoreSource> {
        if matches!(node.value, Value::Map(_)) {
            return RawShared::read(node, problems).map(Box::new).map(LimitsStoreSource::Shared);
        }
        String::read(node, problems).map(LimitsStoreSource::Text)
    }
    fn json(&self) -> Json {
        match self {
            LimitsStoreSource::Text(text) => text.json(),
            LimitsStoreSource::Shared(shared) => shared.json(),
        }
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "string"}, RawShared::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("memory", Box::new(Kind::Or("redis://…", Box::new(RawShared::kind()))))
    }
}

/// The secret of stable placeholders: text, or any bytes in a file.
#[derive(Clone, Debug)]
pub struct PlaceholderSecret(pub(crate) SecretBytes);

impl Shape for PlaceholderSecret {
    fn read(node: &Node, problems: &mut Problems) -> Option<PlaceholderSecret> {
        Some(PlaceholderSecret(match written(node, problems)? {
            Written::Text(text) => SecretBytes::new(text.as_bytes()),
            Written::File(path) => {
                of_file(node, SecretBytes::of_file(&problems.live, &secrets::KEY, path), problems)
            }
        }))
    }
    fn json(&self) -> Json {
        masked(self.0.file(), self.0.is_empty())
    }
    fn schema() -> Json {
        secret_schema()
    }
    fn kind() -> Kind {
        Secret::kind()
    }
}

section! {
    /// `gateway.yaml` is read once, at start.
    RawGateway => struct GatewayOptions: Clone {
        /// Address of the applications' side, IP:PORT; 0.0.0.0:8080 accepts calls of other
        /// machines.
        listen: String => check = "127.0.0.1:8080";
        /// Address of the operators' side (dashboard, metrics, health), IP:PORT.
        admin_listen: String => check = "127.0.0.1:9090";
        /// Access to the operators' side.
        admin: RawAdmin => check = "{}";
        /// Folder of the write-ahead log and of the embedded store.
        data_dir: PathBuf = "./data";
        /// Secret from which the letters of stable placeholders follow (`redaction.placeholders`): at
        /// least 32 bytes, as text or as `{file: PATH}`, which is watched. Replicas need the same one.
        /// Without it, a random one is kept in `data_dir`.
        placeholder_key: PlaceholderSecret => check = "''";
        /// TLS on the applications' side; null for plain HTTP.
        tls: Option<RawTls> = "null", eg "{cert_file: /etc/tollgate/tls.crt, key_file: \
            /etc/tollgate/tls.key}";
        /// Longest request body; a longer one gets a 413.
        max_body_bytes: Size = "100MiB" in 1..=64 << 30;
        /// Time after SIGTERM in which `/readyz` fails while calls are still taken, so that load
        /// balancers stop sending them; a second SIGTERM ends it.
        drain_delay: Duration = "0s" in Duration::ZERO..=HOUR;
        /// Time that calls have to finish after SIGTERM, once `drain_delay` is over.
        shutdown_grace: Duration = "30s" in Duration::ZERO..=DAY;
        /// Store of the AILog: embedded (SQLite in `data_dir`) or clickhouse.
        store: Store => check = "embedded";
        /// ClickHouse, for `store: clickhouse` and for `tollgate clickhouse`.
        clickhouse: RawClickHouse => check = "{password: '${CLICKHOUSE_PASSWORD:-}'}";
        /// Store of the limits' counters: memory, or a store that replicas share, Redis or Valkey:
        /// redis://[user:password@]host:port[/database], rediss://… for TLS, or the mapping
        /// {redis: …} for TLS files, clusters and sentinels.
        limits_store: LimitsStoreSource => check = "memory";
        /// Time that a call may wait for a shared store; after it, `limits.fail` decides.
        limits_store_timeout: Duration => check = "250ms" in MS..=10 * SECOND;
        /// Bounds of the gateway. `tollgate check` prints the memory that they allow.
        bounds: RawBounds = "{}";
        /// The metrics of the operators' side.
        metrics: RawMetrics = "{}";
        /// Data about calls that the gateway sends to other systems.
        telemetry: RawTelemetry => check = "{}";
        /// The gateway's own log, on stderr. It never has user text or credentials.
        log: RawLog = "{}";
    }
}
section! {
    /// Bounds of the gateway. At a bound, callers get 503 `overloaded`; health checks are still
    /// answered. An organisation, or all callers without one, may use at most three times the free
    /// part of a bound: three quarters of it, if it is alone. A caller at its share gets a 503
    /// while others are served. Bounds under 4 are not shared.
    RawBounds => struct HeldBounds: Clone, Copy, PartialEq, Eq {
        /// Open connections of applications. The bound is lower if the system gives too few
        /// descriptors.
        connections: usize = "10000" in 1..=1_000_000;
        /// Calls in flight. The bodies of as many further calls may be read at the same time.
        calls_in_flight: usize = "8192" in 1..=1_000_000;
        /// Memory that all calls together may hold beyond 64 KiB each: bodies kept for a retry (at
        /// most half of it) and long answers. Decoders of compressed bodies may use a quarter as
        /// much in addition, at least 16MiB.
        held_bytes: Size<usize> = "512MiB" in 4 << 20..=1 << 40;
        /// Disk space of rows that wait for their store. Above it, the newest rows are dropped and
        /// counted; calls continue.
        log_backlog_bytes: Size = "4GiB" in 16 << 20..=1 << 44;
    }
}
section! {
    /// A limits store that replicas share.
    RawShared {
        /// Redis or Valkey.
        redis: RawRedis;
    }
}
section! {
    /// Redis or Valkey as the store of the limits' counters.
    RawRedis {
        /// single: one server; cluster: a Redis Cluster; sentinel: a master that sentinels name.
        mode: RedisMode = "single";
        /// The server; some nodes of the cluster, which name the others; the sentinels.
        /// redis://host:port, or rediss://host:port for TLS.
        urls: Vec<At<String>>;
        /// With sentinels: their name of the master.
        master: String = "''";
        /// User of an access control list; without one, the user `default`.
        username: String = "''";
        /// Password of the servers.
        password: Secret = "''";
        /// Database; a cluster has only 0.
        database: u32 = "0";
        /// With sentinels: whether the master and its replicas speak TLS; null: as the sentinels do.
        tls: Option<bool> = "null";
        /// PEM file with the authorities of the servers' certificates, instead of the machine's.
        ca_file: Option<PathBuf> = "null";
        /// PEM file with the gateway's certificate, for servers that ask for one.
        client_cert_file: Option<PathBuf> = "null";
        /// PEM file with the key of that certificate.
        client_key_file: Option<PathBuf> = "null";
        /// Access to the sentinels, which have users and certificates of their own.
        sentinel: RawSentinel = "{}";
    }
}
section! {
    /// Access to sentinels. Files that are not given are those of the servers.
    RawSentinel {
        /// User of the sentinels' access control list; without one, the user `default`.
        username: String = "''";
        /// Password of the sentinels.
        password: Secret = "''";
        /// PEM file with the authorities of the sentinels' certificates.
        ca_file: Option<PathBuf> = "null";
        /// PEM file with the gateway's certificate for the sentinels.
        client_cert_file: Option<PathBuf> = "null";
        /// PEM file with the key of that certificate.
        client_key_file: Option<PathBuf> = "null";
    }
}
section! {
    /// ClickHouse over HTTP.
    RawClickHouse {
        /// http://host:port or https://host:port, without a path.
        url: String = "http://127.0.0.1:8123";
        /// Several servers with the same replicated tables, in place of `url`, such as
        /// [https://a.example.com:8443, https://b.example.com:8443]. They are tried in turn; a
        /// server that failed is left alone for 10 to 60 s.
        urls: Vec<At<String>> = "[]";
        /// Cluster of `tollgate clickhouse` without `--cluster`: tables are replicated on it, and
        /// reports read all its shards. Empty: no cluster.
        cluster: String = "''";
        /// Database; letters, digits and `_`.
        database: String = "tollgate";
        /// User name.
        user: String = "default";
        /// PEM file with the authorities of the servers' certificates, instead of the machine's.
        ca_file: Option<PathBuf> = "null";
        /// PEM file with the gateway's certificate, for servers that ask for one.
        client_cert_file: Option<PathBuf> = "null";
        /// PEM file with the key of that certificate.
        client_key_file: Option<PathBuf> = "null";
        /// Password; best a reference to the environment or `{file: PATH}`, which is watched.
        password: Secret = "''";
    }
}
section! {
    /// The gateway's own log.
    RawLog => struct LogOptions: Clone {
        /// error, warn, info, debug or trace; by room: `tollgate=debug,info`.
        level: String = "info";
        /// text for people, json for log collectors.
        format: LogFormat = "text";
    }
}
