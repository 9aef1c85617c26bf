//! `deploy/` and the Dockerfile, held by the tools of the field: Helm's SDK, the schemas of
//! Kubernetes, the schema of compose files, hadolint and systemd-analyze. The work is done by
//! `tests/deploy/*.py`.
//!
//! Ignored by a plain `cargo test`; `scripts/test` installs the packages. The image is built and
//! run by hand, because buildah and podman take long to install (CONTRIBUTING.md).

use std::process::{Command, Stdio};

use crate::sdk::root;

/// Runs a script with the program under test, and panics with all that it says.
fn run(python: &str, script: &str) {
    let output = Command::new(python)
        .arg(root().join("tests/deploy").join(script))
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{python}: {error}: run scripts/test"));
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
}

#[test]
#[ignore = "needs Helm's SDK and hadolint; run by scripts/test"]
fn the_chart_the_compose_file_the_image_and_the_units_are_valid() {
    let python = root().join(".venv/bin/python");
    run(python.to_str().expect("text"), "checks.py");
}

#[test]
#[ignore = "needs buildah and podman; run by hand"]
fn by_hand_the_image_is_built_and_serves_a_redacted_call() {
    run("python3", "image.py");
}
