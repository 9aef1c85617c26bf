//! `config/openapi.yaml`: served as it stands, and true of the running gateway.
//!
//! Schemathesis (installed by `scripts/test`) makes good and bad requests from the document and
//! looks at every answer: no 5xx, no status, field or header that the document does not have. Its
//! default run, with a fixed seed.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::sdk::Mock;
use crate::support::{Gateway, Provider, jwt};

const DOCUMENT: &str = include_str!("../../config/openapi.yaml");

#[test]
fn operators_can_read_the_document() {
    let gateway = Gateway::start(&Provider::start());
    let reply = gateway.operators("/openapi.yaml");
    assert_eq!(
        (reply.ok().text(), reply.header("content-type")),
        (DOCUMENT, Some("application/yaml"))
    );
    // It is nobody's business on the applications' side.
    assert_eq!(gateway.send("GET", "/openapi.yaml", &[], b"").status, 404);
}

/// Schemathesis' run with these arguments, which has to find nothing.
fn schemathesis(gateway: &Gateway, arguments: &[&str]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(".venv/bin/schemathesis");
    assert!(program.exists(), "{} is missing: run scripts/test", program.display());
    let output = Command::new(program)
        .arg("run")
        .arg(root.join("config/openapi.yaml"))
        .args(["--seed", "7", "--generation-database", "none", "--no-color"])
        // A busy machine is no finding.
        .args(["--suppress-health-check", "too_slow"])
        .args(arguments)
        .env("PYTHONHASHSEED", "0")
        .current_dir(gateway.folder())
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("No issues found"), "{out}\n{err}");
}

#[test]
#[ignore = "needs schemathesis; run by scripts/test"]
fn no_answer_to_applications_is_outside_the_document() {
    let mock = Mock::start();
    let gateway = mock.gateway();
    let (url, bearer) =
        (format!("http://{}", gateway.apps), format!("Authorization: Bearer {}", jwt("acme")));
    let all = ["--url", &url, "--header", &bearer, "--exclude-tag", "operators"];
    let models = "^/v1/models";
    schemathesis(&gateway, &[&all[..], &["--exclude-path-regex", models]].concat());
    // SDKs add query parameters of their own, which are ignored there; `after_id` and `before_id`
    // exclude each other, which the document cannot say; and another bearer is a caller's own
    // provider key, under the policy of these tests.
    let not = "negative_data_rejection,positive_data_acceptance,ignored_auth";
    let phases = ["--phases", "coverage,fuzzing"];
    let more = ["--include-path-regex", models, "--exclude-checks", not, phases[0], phases[1]];
    schemathesis(&gateway, &[&all[..], &more].concat());
    // And it was not all refused at the door.
    let rows = gateway.rows(100);
    for (column, value) in [("status", 200), ("status", 202), ("status", 400)] {
        assert!(rows.iter().any(|row| row[column] == value), "no row with {column} {value}");
    }
    assert!(
        rows.iter().any(|row| row["endpoint"] == "/api/ai/intent/batch" && row["outcome"] == "ok")
    );
    assert!(rows.iter().all(|row| row["status"].as_i64().unwrap() < 500));
}

#[test]
#[ignore = "needs schemathesis; run by scripts/test"]
fn no_answer_to_operators_is_outside_the_document() {
    let mock = Mock::start();
    let gateway = mock.gateway();
    for n in 0..3 {
        let ticket = json!({"title": n.to_string(), "body": "refund"});
        gateway.post("/api/ai/intent", &jwt("acme"), &ticket).ok();
    }
    gateway.rows(3);
    let url = format!("http://{}", gateway.operators);
    // There are no links between these, so nothing to follow.
    let phases = "examples,coverage,fuzzing";
    let all = ["--url", &url, "--include-tag", "operators", "--phases", phases];
    let keys = "^/api/(keys|alerts)";
    schemathesis(&gateway, &[&all[..], &["--exclude-path-regex", keys]].concat());
    // The document cannot say that a day lies in the future, or that a name is free.
    // Nor does it know the id of a key or the name of a webhook, so each that is asked for is not
    // there.
    let not = "positive_data_acceptance";
    let more = ["--include-path-regex", keys, "--exclude-checks", not, "--warnings", "off"];
    schemathesis(&gateway, &[&all[..], &more].concat());
}
