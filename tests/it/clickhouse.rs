//! The whole gateway with `store: clickhouse`, against a real ClickHouse engine.
//!
//! The engine is the Python package that `scripts/test` installs, behind the HTTP interface of
//! `tests/clickhouse/chdb_http.py`; faults are asked for there, too.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use serde_json::Value;

use crate::support::{Connection, Gateway, Provider, Setup, eventually, request, step, tollgate};

/// An engine on a port of its own; it ends with the test.
struct Engine {
    process: Child,
    /// The engine ends when this is closed, whatever happens to the test.
    _alive: Option<ChildStdin>,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Engine {
    fn start() -> Engine {
        let folder = tempfile::tempdir().unwrap();
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let python =
            std::env::var_os("TOLLGATE_TEST_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        assert!(python.exists(), "{} is missing: run scripts/test", python.display());
        let port_file = folder.path().join("port");
        let errors = File::create(folder.path().join("errors")).unwrap();
        let mut process = Command::new(python)
            .arg(root.join("tests/clickhouse/chdb_http.py"))
            .arg("--path")
            .arg(folder.path().join("engine"))
            .arg("--port-file")
            .arg(&port_file)
            .arg("--until-eof")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .expect("start");
        let port: u16 = eventually("the engine's port", || {
            if let Ok(Some(status)) = process.try_wait() {
                panic!("{status}: {:?}", std::fs::read_to_string(folder.path().join("errors")));
            }
            std::fs::read_to_string(&port_file).ok()?.trim().parse().ok()
        });
        let alive = process.stdin.take();
        Engine { process, _alive: alive, address: SocketAddr::from(([127, 0, 0, 1], port)), folder }
    }

    /// Asks with a query; the rows as JSON.
    fn query(&self, sql: &str) -> Vec<Value> {
        let sql = format!("{sql} FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers=0");
        let reply = Connection::open(self.address).send(&request("POST", "/", &[], sql.as_bytes())).reply();
        assert_eq!(reply.status, 200, "{sql}: {}", reply.text());
        reply.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
    }

    fn rows(&self) -> Vec<Value> {
        self.query("SELECT * FROM tollgate.ai_log ORDER BY created_at, id")
    }

    fn fault(&self, fault: &str) {
        Connection::open(self.address).send(&request("POST", &format!("/_fault?{fault}"), &[], b"")).reply().ok();
    }

    fn gateway(&self, provider: &Provider) -> Gateway {
        Setup::new(provider)
            .setting("store", "clickhouse")
            .setting("clickhouse", &format!("{{url: \"http://{}\"}}", self.address))
            .start()
    }

    fn apply(&self, folder: &Path) {
        std::fs::write(
            folder.join("gateway.yaml"),
            format!("store: clickhouse\nclickhouse: {{url: \"http://{}\"}}\n", self.address),
        )
        .unwrap();
        // Twice: it may be run again.
        for _ in 0..2 {
            let applied = tollgate().args(["clickhouse", "apply", "--config"]).arg(folder).output().unwrap();
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

fn close(a: &Value, b: f64) {
    let a = a.as_f64().or_else(|| a.as_str()?.parse().ok()).unwrap_or_else(|| panic!("{a} is no number"));
    assert!((a - b).abs() < 1e-9, "{a} is not {b}");
}

#[test]
fn rows_and_the_daily_summary_are_in_clickhouse() {
    let (engine, provider) = (Engine::start(), Provider::start());
    engine.apply(engine.folder.path());
    let mut gateway = engine.gateway(&provider);
    provider.script((0..3).map(|_| step::error(503, "x")));
    for _ in 0..4 {
        gateway.chat("acme", "mail jane@example.com");
    }
    gateway.chat("other", "hi").ok();
    let rows = eventually("five rows", || Some(engine.rows()).filter(|rows| rows.len() >= 5));
    assert_eq!(rows.len(), 5, "{rows:?}");
    assert_eq!((&rows[0]["outcome"], &rows[0]["attempts"]), (&"provider_error".into(), &3.into()));
    assert_eq!((&rows[1]["org_id"], &rows[1]["redacted_emails"]), (&"acme".into(), &1.into()));
    assert!(!format!("{rows:?}").contains("jane"));
    close(&rows[1]["cost_usd"], 5.55e-6);
    let summary = engine.query("SELECT * FROM tollgate.daily_summary ORDER BY org_id, calls");
    let of = |org: &str, column: &str| -> f64 {
        summary.iter().filter(|row| row["org_id"] == org).map(|row| row[column].as_f64().unwrap_or_default()).sum()
    };
    close(&of("acme", "calls").into(), 4.0);
    close(&of("acme", "errors").into(), 1.0);
    close(&of("acme", "input_tokens").into(), 33.0);
    close(&of("other", "output_tokens").into(), 7.0);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    assert_eq!(engine.rows().len(), 5);
}

#[test]
fn calls_go_on_while_clickhouse_is_away_and_no_row_is_lost_or_doubled() {
    let (engine, provider) = (Engine::start(), Provider::start());
    // Nothing is applied yet: there is no table, and calls are taken all the same.
    let gateway = engine.gateway(&provider);
    gateway.operators("/readyz").ok();
    for _ in 0..20 {
        gateway.chat("acme", "hi").ok();
    }
    engine.apply(engine.folder.path());
    // The first inserts fail, and then one is stored with its acknowledgement lost.
    engine.fault("mode=status&status=503&count=2");
    engine.fault("mode=drop_after&count=1");
    let gateway = gateway.kill_and_restart();
    for _ in 0..20 {
        gateway.chat("acme", "hi").ok();
    }
    eventually("forty rows", || Some(engine.rows().len()).filter(|count| *count >= 40));
    let ids = engine.query("SELECT count() AS n, uniqExact(id) AS ids FROM tollgate.ai_log");
    assert_eq!((&ids[0]["n"], &ids[0]["ids"]), (&40.into(), &40.into()), "{ids:?}");
}
