//! Debian's `clickhouse-server` (18.16): a real server process, to be stopped, killed, filled up
//! and started again.
//!
//! Its dialect is eight years old: no deduplication tokens, no codecs. The table is made of the
//! public schema's column names with the types it knows, as `ReplacingMergeTree` by id, which is
//! how one counts once without tokens. Does not: stand for what `tollgate clickhouse apply` makes;
//! that is tested with a current engine.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::{Connection, eventually, request, signal, tollgate, within};

/// Where Debian puts it.
const PROGRAM: &str = "/usr/sbin/clickhouse-server";
/// A server that is asked to stop may finish its queries for so long; then it is killed.
const STOPS_WITHIN: Duration = Duration::from_secs(5);
/// Ports are looked for and then taken, so another process may be quicker.
const TRIES: usize = 10;

/// Settings of a gateway's insert that it does not know.
pub const UNKNOWN: &[&str] = &[
    "insert_deduplication_token",
    "async_insert",
    "deduplicate_blocks_in_dependent_materialized_views",
];

/// A server in a folder of its own; it ends with the test.
pub struct Server {
    process: Child,
    /// Another one after each start.
    pub address: SocketAddr,
    folder: tempfile::TempDir,
    small: Option<SmallDisk>,
    /// Further elements of its configuration.
    more: String,
}

impl Server {
    /// A server without tables, whose configuration has these elements, too.
    pub fn with(more: &str) -> Server {
        let folder = tempfile::tempdir().expect("folder");
        fs::create_dir(folder.path().join("data")).expect("folder");
        let (process, address) = run(folder.path(), more);
        Server { process, address, folder, small: None, more: more.to_owned() }
    }

    /// A server with the table in it. Its data are on a disk of so many MiB where the system lets
    /// us make one.
    pub fn start(mebibytes: u32) -> Server {
        assert!(
            Path::new(PROGRAM).exists(),
            "{PROGRAM} is missing: run scripts/test or install Debian's package clickhouse-server"
        );
        let folder = tempfile::tempdir().expect("folder");
        let small = SmallDisk::mount(folder.path(), mebibytes);
        let (process, address) = run(folder.path(), "");
        let server = Server { process, address, folder, small, more: String::new() };
        server.ask("CREATE DATABASE tollgate");
        for table in tables("", |_| {
            "ReplacingMergeTree() ORDER BY id SETTINGS parts_to_delay_insert = 11, \
             parts_to_throw_insert = 12"
                .to_owned()
        }) {
            server.ask(&table);
        }
        server
    }

    /// As an operator does.
    pub fn stop(&mut self) {
        signal(&self.process, Signal::TERM);
        within(STOPS_WITHIN, || self.process.try_wait().expect("wait"));
        self.kill();
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        self.process.wait().expect("wait");
    }

    /// On the same data, at another address.
    pub fn start_again(&mut self) {
        (self.process, self.address) = run(self.folder.path(), &self.more);
    }

    /// The answer to a query, as tab-separated text.
    pub fn ask(&self, sql: &str) -> String {
        let reply =
            Connection::open(self.address).send(&request("POST", "/", &[], sql.as_bytes())).reply();
        assert_eq!(reply.status, 200, "{sql}: {}", String::from_utf8_lossy(&reply.body));
        reply.text().to_owned()
    }

    /// Whether it has a disk of its own.
    pub fn has_small_disk(&self) -> bool {
        self.small.is_some()
    }

    /// Fills its disk up to the last byte.
    pub fn fill_disk(&self) {
        let Some(small) = &self.small else { return };
        let mut ballast = File::create(small.ballast()).expect("ballast");
        for piece in [1 << 20, 4 << 10, 1] {
            while std::io::Write::write_all(&mut ballast, &vec![7; piece]).is_ok() {}
        }
    }

    pub fn empty_disk(&self) {
        if let Some(small) = &self.small {
            fs::remove_file(small.ballast()).expect("removed");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The tables that a gateway writes to, with types of that time. `on`: a cluster; `engine`: that of
/// a table.
pub fn tables(on: &str, engine: impl Fn(&str) -> String) -> [String; 2] {
    let printed = tollgate().args(["clickhouse", "print"]).output().expect("print");
    let script = String::from_utf8(printed.stdout).expect("UTF-8");
    let column = |line: &str| {
        let (definition, _) =
            line.trim().trim_start_matches("ADD COLUMN IF NOT EXISTS ").split_once(" COMMENT '")?;
        let (name, of) = definition.split_once(' ')?;
        let of = of.trim().replace("DateTime64(3, 'UTC')", "Int64").replace("Bool", "UInt8");
        // There are no maps, and an array of tuples would become several columns. Calls have no
        // tags here, and one attempt each.
        let of = match of.as_str() {
            of if of.starts_with("Map(") => "UInt8".to_owned(),
            of if of.starts_with("Array(Tuple(") => {
                "Tuple(UInt8, String, UInt16, String, UInt32)".to_owned()
            }
            of => match of.strip_prefix("LowCardinality(") {
                Some(inner) => inner.strip_suffix(')')?.to_owned(),
                None => of.to_owned(),
            },
        };
        name.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            .then(|| format!("{name} {of}"))
    };
    let mut columns: Vec<String> = Vec::new();
    for column in script.lines().filter_map(column) {
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    assert!(columns.len() >= 38, "{columns:?}");
    let is_captured = |column: &String| {
        ["request ", "response ", "prompt ", "answer "].iter().any(|name| column.starts_with(name))
    };
    let (mut captured, rows): (Vec<String>, Vec<String>) =
        columns.into_iter().partition(is_captured);
    captured.extend(["id UUID".to_owned(), "created_at Int64".to_owned()]);
    [("ai_rows", rows), ("ai_captures", captured)].map(|(table, columns)| {
        let (columns, engine) = (columns.join(", "), engine(table));
        format!("CREATE TABLE tollgate.{table} {on} ({columns}) ENGINE = {engine}")
    })
}

fn run(folder: &Path, more: &str) -> (Child, SocketAddr) {
    let mut told = String::new();
    for _ in 0..TRIES {
        let address = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().unwrap();
        let config = config(&folder.display().to_string(), address.port(), more);
        fs::write(folder.join("config.xml"), config).unwrap();
        fs::write(folder.join("users.xml"), USERS).unwrap();
        let mut process = Command::new(PROGRAM)
            .arg(format!("--config-file={}", folder.join("config.xml").display()))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("start");
        let up = eventually("the server", || {
            if process.try_wait().expect("wait").is_some() {
                return Some(false);
            }
            let mut connection = Connection::try_open(address)?;
            let reply = connection.send(&request("GET", "/ping", &[], b"")).head()?;
            (reply.status == 200).then_some(true)
        });
        if up && process.try_wait().expect("wait").is_none() {
            return (process, address);
        }
        told = fs::read_to_string(folder.join("log/errors")).unwrap_or_default();
    }
    panic!("the server does not start:\n{told}")
}

fn config(folder: &str, port: u16, more: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?>
<yandex>
  <logger><level>warning</level><log>{folder}/log/log</log><errorlog>{folder}/log/errors</\
  errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <path>{folder}/data/</path>
  <tmp_path>{folder}/data/tmp/</tmp_path>
  <users_config>{folder}/users.xml</users_config>
  <default_profile>default</default_profile>
  <default_database>default</default_database>
  <mark_cache_size>67108864</mark_cache_size>
  <mlock_executable>false</mlock_executable>
  <timezone>UTC</timezone>
  {more}
</yandex>
"
    )
}

const USERS: &str = "<?xml version=\"1.0\"?>
<yandex>
  <profiles><default><max_memory_usage>2000000000</max_memory_usage><max_threads>2</max_threads></\
  default></profiles>
  <users><default><password></password><networks><ip>127.0.0.1</ip></networks><profile>default</\
  profile>
    <quota>default</quota></default></users>
  <quotas><default><interval><duration>3600</duration><queries>0</queries><errors>0</\
  errors><result_rows>0</result_rows>
    <read_rows>0</read_rows><execution_time>0</execution_time></interval></default></quotas>
</yandex>
";

/// A file system in memory, mounted as the server's `data`. Only root may make one, and not in
/// every container.
struct SmallDisk(std::path::PathBuf);

impl SmallDisk {
    fn mount(folder: &Path, mebibytes: u32) -> Option<SmallDisk> {
        let data = folder.join("data");
        fs::create_dir_all(&data).expect("folder");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "none"])
            .arg(&data)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(SmallDisk(data))
    }

    fn ballast(&self) -> std::path::PathBuf {
        self.0.join("ballast")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server that uses it is being killed.
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
