//! The official SDKs, unmodified, with only the base URL and a token set: gateway in the middle,
//! simulated provider behind it.
//!
//! These tests are ignored by a plain `cargo test`. `scripts/test` installs the SDKs and runs them;
//! without an SDK its test fails and says so.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Gateway, Setup, jwt, tollgate};

/// `tollgate mock` as a process of its own.
pub struct Mock {
    process: Child,
    pub address: SocketAddr,
}

impl Mock {
    pub fn start() -> Mock {
        let mut process = tollgate()
            .args(["mock", "--listen", "127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start");
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        Mock { address: address.parse().unwrap(), process }
    }

    /// A gateway in front of it.
    pub fn gateway(&self) -> Gateway {
        Setup::towards(self.address)
            .section(
                "limits",
                "{requests_per_minute: 60000, burst: 60000, orgs: {limited: {requests_per_minute: \
                    1, burst: 1}}}",
            )
            .section("redaction", "{attachments: allow}")
            .start()
    }
}

impl Drop for Mock {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a test program of `tests/sdk`; it prints one line for each check, beginning with `ok`.
fn run(program: &Path, script: &str, checks: usize) -> Gateway {
    assert!(
        program.exists() || program.components().count() == 1,
        "{} is missing: run scripts/test",
        program.display()
    );
    let mock = Mock::start();
    let gateway = mock.gateway();
    let output = Command::new(program)
        .arg(root().join("tests/sdk").join(script))
        .env("OPENAI_BASE_URL", format!("http://{}/v1", gateway.apps))
        .env("OPENAI_API_KEY", jwt("acme"))
        .env("LIMITED_API_KEY", jwt("limited"))
        .env("BAD_API_KEY", "tg-unknown")
        .env_remove("OPENAI_ORG_ID")
        .env_remove("OPENAI_PROJECT_ID")
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}:\n{out}\n{err}");
    let passed = out.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(passed, checks, "{out}\n{err}");
    gateway
}

/// Runs the checks of an SDK, and looks at the rows of its calls.
fn works(program: &Path, script: &str, checks: usize) {
    let rows = run(program, script, checks).rows(checks);
    assert!(
        rows.iter().any(|row| row["stream"] == 1 && row["usage_source"] == "provider"),
        "{rows:?}"
    );
}

#[test]
#[ignore = "needs the Python SDK; run by scripts/test"]
fn the_python_sdk_works_unmodified() {
    works(&root().join(".venv/bin/python"), "python_sdk.py", 11);
}

#[test]
#[ignore = "needs the Python SDK; run by scripts/test"]
fn the_python_sdk_sees_every_refusal_of_a_long_body() {
    run(&root().join(".venv/bin/python"), "refusals.py", 5);
}

#[test]
#[ignore = "needs the Node SDK; run by scripts/test"]
fn the_node_sdk_works_unmodified() {
    assert!(
        root().join("tests/sdk/node_modules/openai").exists(),
        "tests/sdk/node_modules is missing: run scripts/test"
    );
    works(Path::new("node"), "node_sdk.mjs", 11);
}

#[test]
#[ignore = "needs the Node SDK; run by scripts/test"]
fn the_node_sdk_sees_every_refusal_of_a_long_body() {
    run(Path::new("node"), "refusals.mjs", 5);
}

#[test]
#[ignore = "needs curl; run by scripts/test"]
fn curl_sees_every_refusal_of_a_long_body() {
    let mock = Mock::start();
    let gateway = mock.gateway();
    let folder = tempfile::tempdir().unwrap();
    for size in [1 << 10, 1 << 20, 4 << 20, 50 << 20] {
        let file = folder.path().join("body");
        std::fs::write(&file, vec![b'x'; size]).unwrap();
        for (path, body, status) in [
            (
                "/v1/chat/completions",
                ["--data-binary".to_owned(), format!("@{}", file.display())],
                "401",
            ),
            ("/v1/files", ["--form".to_owned(), format!("file=@{}", file.display())], "401"),
        ] {
            for expects in ["expect:", "expect: 100-continue"] {
                let output = Command::new("curl")
                    .args(["--silent", "--show-error", "--write-out", "\n%{http_code}"])
                    .args(["--header", expects, "--header", "authorization: Bearer tg-unknown"])
                    .args(&body)
                    .arg(format!("http://{}{path}", gateway.apps))
                    .output()
                    .expect("curl");
                let (out, err) = (
                    String::from_utf8_lossy(&output.stdout),
                    String::from_utf8_lossy(&output.stderr),
                );
                assert!(output.status.success(), "{path}, {size}, {expects}: {out}{err}");
                let (answer, code) = out.rsplit_once('\n').expect("a status");
                assert!(code == status && answer.contains("invalid_token"), "{path}: {out}");
            }
        }
    }
}
