//! `config/openapi.yaml`: served as it stands, and true of the running gateway.
//!
//! Schemathesis (installed by `scripts/test`) makes good and bad requests from the document and looks at every answer: no
//! 5xx, no status, field or header that the document does not have. Its default run, with a fixed seed.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::sdk::Mock;
use crate::support::{Gateway, Provider, jwt};

const DOCUMENT: &str = include_str!("../../config/openapi.yaml");

#[test]
fn operators_can_read_the_document() {
    let gateway = Gateway::start(&Provider::start());
    let reply = gateway.operators("/openapi.yaml");
    assert_eq!((reply.ok().text(), reply.header("content-type")), (DOCUMENT, Some("application/yaml")));
    // It is nobody's business on the applications' side.
    assert_eq!(gateway.send("GET", "/openapi.yaml", &[], b"").status, 404);
}

#[test]
fn no_answer_is_outside_the_document() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join(".venv/bin/schemathesis");
    assert!(program.exists(), "{} is missing: run scripts/test", program.display());
    let mock = Mock::start();
    let gateway = mock.gateway();
    let output = Command::new(program)
        .arg("run")
        .arg(root.join("config/openapi.yaml"))
        .args([
            "--url",
            &format!("http://{}", gateway.apps),
            "--header",
            &format!("Authorization: Bearer {}", jwt("acme")),
        ])
        .args(["--seed", "7", "--generation-database", "none", "--no-color"])
        .env("PYTHONHASHSEED", "0")
        .current_dir(gateway.folder())
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("No issues found"), "{out}\n{err}");
    // And it was not all refused at the door.
    let rows = gateway.rows(100);
    for (column, value) in [("status", 200), ("status", 202), ("status", 400)] {
        assert!(rows.iter().any(|row| row[column] == value), "no row with {column} {value}");
    }
    assert!(rows.iter().any(|row| row["endpoint"] == "/api/ai/intent/batch" && row["outcome"] == "ok"));
    assert!(rows.iter().all(|row| row["status"].as_i64().unwrap() < 500));
}
