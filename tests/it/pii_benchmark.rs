//! The public `pii-leak-benchmark`: its profile of requests, and its profile of answers, in which
//! values that the call has not sent are cut at every place.
//!
//! Ignored by a plain `cargo test`; `scripts/test` installs the package. The benchmark is the
//! provider and the client.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sdk::root;
use crate::support::{Gateway, Setup, jwt};

/// A gateway in front of a port at which the benchmark will listen.
fn gateway() -> (Gateway, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("its address");
    let gateway = Setup::towards(address)
        .section("limits", "{requests_per_minute: 60000, burst: 60000}")
        .section(
            "redaction",
            "{entities: [email, phone, credit_card, us_ssn], restore: true, answers: mask}",
        )
        .start();
    (gateway, address.port())
}

/// Runs a module of the package, and returns what it wrote into the file `out`.
fn run(module: &str, arguments: &[String], out: &std::path::Path) -> Value {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/test", python.display());
    let output = Command::new(python)
        .args(["-m", module])
        .args(arguments)
        .env("CONFORMANCE_TARGET_API_KEY", jwt("acme"))
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = std::fs::read(out).unwrap_or_else(|e| panic!("{e}\n{said}\n{errors}"));
    assert!(output.status.success(), "{module}:\n{said}\n{errors}");
    serde_json::from_slice(&report).expect("JSON")
}

fn text(value: impl ToString) -> String {
    value.to_string()
}

#[test]
#[ignore = "needs pii-leak-benchmark; run by scripts/test"]
fn requests_pass_the_pii_leak_benchmark() {
    let (gateway, port) = gateway();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("report.json");
    let url = format!("http://{}/v1", gateway.apps);
    let arguments = [
        "--target-base-url".to_owned(),
        url,
        "--capture-port".to_owned(),
        text(port),
        "--target-name".to_owned(),
        "tollgate".to_owned(),
        "--json-out".to_owned(),
        text(out.display()),
    ];
    let report = run("pii_leak_benchmark.cli", &arguments, &out);
    assert_eq!(report["passed"], true, "{report}");
}

#[test]
#[ignore = "needs pii-leak-benchmark; run by scripts/test"]
fn answers_pass_the_pii_leak_benchmark() {
    let (gateway, port) = gateway();
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("summary.json");
    let mut arguments: Vec<String> = ["--only", "tollgate", "--seed", "a1b2c3d4e5f60001"]
        .into_iter()
        .chain(["--exhaustive-splits", "--partial-emission"])
        .map(str::to_owned)
        .collect();
    for (name, value) in [
        ("--gateway-url", format!("http://{}/v1/chat/completions", gateway.apps)),
        ("--upstream-port", text(port)),
        ("--out", text(folder.path().display())),
        ("--json-out", text(out.display())),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    let summary = run("pii_leak_benchmark.v2_cli", &arguments, &out);
    assert_eq!(summary["rows"][0]["outcome"], "pass", "{summary}");
    let partial = std::fs::read(folder.path().join("tollgate.partial-emission.json"));
    let partial: Value = serde_json::from_slice(&partial.expect("a report")).expect("JSON");
    let rate = &partial["metrics"]["partial_emission_rate"]["overall"];
    assert_eq!(rate.as_f64(), Some(0.0), "{partial}");
}
