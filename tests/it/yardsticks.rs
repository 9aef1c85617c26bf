//! The scripts that measure: the load generator of `benches/yardstick`, the arguments and reports of
//! `scripts/bench`, and the drawings of committed figures. The work is done by
//! `tests/bench/checks.py`, which builds the load generator.
//!
//! Ignored by a plain `cargo test`; `scripts/test` installs Python. Measures no gateway.

use std::process::{Command, Stdio};

use crate::sdk::root;

#[test]
#[ignore = "needs Python; run by scripts/test"]
fn stalls_show_and_drawings_follow_from_their_data() {
    let output = Command::new("python3")
        .arg(root().join("tests/bench/checks.py"))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("python3: {error}: run scripts/test"));
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{errors}");
}
