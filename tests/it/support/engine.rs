//! A real ClickHouse engine in a process of its own, that can be killed and started again on its
//! data.
//!
//! The engine is the Python package that `scripts/test` installs, behind the HTTP interface of
//! `tests/clickhouse/chdb_http.py`; faults are asked for there, too.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use super::{Connection, Gateway, Provider, Setup, eventually, request, tollgate};

/// An engine on a port of its own; it ends with the test.
pub struct Engine {
    process: Child,
    /// The engine ends when this is closed, whatever happens to the test.
    _alive: Option<ChildStdin>,
    /// Another one after each start.
    pub address: SocketAddr,
    pub folder: tempfile::TempDir,
}

impl Engine {
    pub fn start() -> Engine {
        Engine::start_with(&[])
    }

    /// With more arguments of its HTTP interface.
    pub fn start_with(arguments: &[&str]) -> Engine {
        let folder = tempfile::tempdir().unwrap();
        let (process, alive, address) = run(folder.path(), arguments);
        Engine { process, _alive: alive, address, folder }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
    }

    /// Starts a killed engine on the same data, at another address.
    pub fn start_again(&mut self) {
        (self.process, self._alive, self.address) = run(self.folder.path(), &[]);
    }

    /// Asks with a query; the rows as JSON.
    pub fn query(&self, sql: &str) -> Vec<Value> {
        let sql =
            format!("{sql} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers=0");
        let reply =
            Connection::open(self.address).send(&request("POST", "/", &[], sql.as_bytes())).reply();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    /// Runs a statement that has no rows to show.
    pub fn execute(&self, sql: &str) {
        Connection::open(self.address)
            .send(&request("POST", "/", &[], sql.as_bytes()))
            .reply()
            .ok();
    }

    /// The same for a user with a password (`user:password`).
    pub fn execute_as(&self, access: &str, sql: &str) {
        let (user, password) = access.split_once(':').unwrap();
        let headers = [("x-clickhouse-user", user), ("x-clickhouse-key", password)];
        Connection::open(self.address)
            .send(&request("POST", "/", &headers, sql.as_bytes()))
            .reply()
            .ok();
    }

    pub fn rows(&self) -> Vec<Value> {
        self.query("SELECT * FROM tollgate.ai_log ORDER BY created_at, id")
    }

    pub fn fault(&self, fault: &str) {
        Connection::open(self.address)
            .send(&request("POST", &format!("/_fault?{fault}"), &[], b""))
            .reply()
            .ok();
    }

    pub fn gateway(&self, provider: &Provider) -> Gateway {
        Setup::new(provider)
            .setting("store", "clickhouse")
            .setting("clickhouse", &format!("{{url: \"http://{}\"}}", self.address))
            .start()
    }

    pub fn apply(&self, folder: &Path) {
        std::fs::write(
            folder.join("gateway.yaml"),
            format!("store: clickhouse\nclickhouse: {{url: \"http://{}\"}}\n", self.address),
        )
        .unwrap();
        // Twice: it may be run again.
        for _ in 0..2 {
            let applied =
                tollgate().args(["clickhouse", "apply", "--config"]).arg(folder).output().unwrap();
            assert!(applied.status.success(), "{applied:?}");
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn run(folder: &Path, arguments: &[&str]) -> (Child, Option<ChildStdin>, SocketAddr) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("TOLLGATE_TEST_PYTHON")
        .map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
    assert!(python.exists(), "{} is missing: run scripts/test", python.display());
    let (port_file, errors) = (folder.join("port"), folder.join("errors"));
    let _ = std::fs::remove_file(&port_file);
    let mut process = Command::new(python)
        .arg(root.join("tests/clickhouse/chdb_http.py"))
        .arg("--path")
        .arg(folder.join("engine"))
        .arg("--port-file")
        .arg(&port_file)
        .arg("--until-eof")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(File::create(&errors).unwrap())
        .spawn()
        .expect("start");
    let port: u16 = eventually("the engine's port", || {
        if let Ok(Some(status)) = process.try_wait() {
            panic!("{status}: {:?}", std::fs::read_to_string(&errors));
        }
        std::fs::read_to_string(&port_file).ok()?.trim().parse().ok()
    });
    let alive = process.stdin.take();
    (process, alive, SocketAddr::from(([127, 0, 0, 1], port)))
}
