//! A real Prometheus (Debian's package) that scrapes a gateway every second, with the rules that
//! are shipped; and `promtool`.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Connection, within};

/// Ports are looked for and then taken, so another process may be quicker.
const TRIES: usize = 10;
/// A server that answers does so by then.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

pub struct Prometheus {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Scrapes the operators' side of a gateway.
    pub fn start(target: SocketAddr) -> Prometheus {
        let folder = tempfile::tempdir().expect("folder");
        let rules: Vec<String> =
            rules().iter().map(|path| format!("\"{}\"", path.display())).collect();
        let config = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
             rule_files: [{}]\n\
             scrape_configs: [{{job_name: tollgate, static_configs: [{{targets: \
             [\"{target}\"]}}]}}]\n",
            rules.join(", ")
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
        for _ in 0..TRIES {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            let address = free.local_addr().expect("its address");
            drop(free);
            let mut process = run(folder.path(), address);
            let is_up = within(STARTS_WITHIN, || {
                if process.try_wait().expect("wait").is_some() {
                    return Some(false);
                }
                let mut connection = Connection::try_open(address)?;
                let request = "GET /-/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
                (connection.send(request.as_bytes()).reply().status == 200).then_some(true)
            });
            if is_up == Some(true) {
                return Prometheus { process, address, _folder: folder };
            }
            let _ = process.kill();
            let _ = process.wait();
        }
        let said = std::fs::read_to_string(folder.path().join("errors")).unwrap_or_default();
        panic!("prometheus does not start (Debian's package prometheus; scripts/test): {said}");
    }

    /// The answer of its API.
    pub fn api(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let body = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect::<Vec<_>>()
            .join("&");
        let method = if parameters.is_empty() { "GET" } else { "POST" };
        let request = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let reply = Connection::open(self.address).send(request.as_bytes()).reply();
        let answer = reply.json();
        assert_eq!(answer["status"], "success", "{path} {parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// The result of a query at this moment.
    pub fn query(&self, expr: &str) -> Vec<Value> {
        self.api("query", &[("query", expr)])["result"].as_array().expect("a result").clone()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The shipped files with rules.
pub fn rules() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prometheus");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    files
}

/// Runs `promtool`.
pub fn promtool(arguments: &[&str], input: Option<&Path>) -> Output {
    let input = input.map_or_else(Stdio::null, |path| File::open(path).expect("input").into());
    Command::new("promtool")
        .args(arguments)
        .stdin(input)
        .output()
        .expect("promtool: Debian's package prometheus; scripts/test installs it")
}

fn run(folder: &Path, address: SocketAddr) -> Child {
    Command::new("prometheus")
        .arg("--config.file")
        .arg(folder.join("prometheus.yml"))
        .arg("--storage.tsdb.path")
        .arg(folder.join("data"))
        .arg(format!("--web.listen-address={address}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(folder.join("errors")).expect("a file"))
        .spawn()
        .expect("prometheus: Debian's package prometheus; scripts/test installs it")
}

fn encoded(text: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    text.bytes().map(byte).collect()
}
