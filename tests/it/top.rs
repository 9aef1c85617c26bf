//! `tollgate top`: once without a terminal, and live in a terminal (`tests/terminal/top.py`).

use std::process::{Command, Output, Stdio};

use crate::sdk::root;
use crate::support::{Gateway, Provider, Setup, tollgate};

fn gateway(provider: &Provider) -> Gateway {
    let gateway = Setup::new(provider)
        .section("limits", "{requests_per_minute: 600, burst: 600, orgs: {late: {burst: 1}}}")
        .start();
    for (org, calls) in [("acme", 3), ("globex", 1), ("late", 3)] {
        for _ in 0..calls {
            let _ = gateway.chat(org, "hi").status;
        }
    }
    // The second refused call is folded, and comes later.
    gateway.rows(6);
    gateway
}

fn once(arguments: &[&str]) -> Output {
    let mut command = tollgate();
    command.args(["top", "--once"]).args(arguments).env_remove("TOLLGATE_TOKEN");
    command.stdin(Stdio::null()).output().expect("run")
}

#[test]
fn one_table_shows_organisations_providers_and_limits() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    let url = format!("http://{}", gateway.operators);
    let output = once(&["--url", &url]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    for line in ["acme", "globex", "late", "PROVIDER", "openai", "log   embedded"] {
        assert!(text.lines().any(|l| l.starts_with(line)), "{line}:\n{text}");
    }
    let acme: Vec<&str> =
        text.lines().find(|line| line.starts_with("acme")).unwrap().split_whitespace().collect();
    assert_eq!(acme[1], "3", "calls: {text}");
    assert!(text.contains("refused most since the start: late 2"), "{text}");
    assert!(!text.contains('\u{1b}'), "no terminal, no control characters");
}

#[test]
fn a_gateway_that_is_away_or_wants_a_token_is_told() {
    let away = once(&["--url", "http://127.0.0.1:1"]);
    let text = String::from_utf8_lossy(&away.stderr).into_owned();
    assert_eq!(away.status.code(), Some(1), "{text}");
    assert!(text.contains("http://127.0.0.1:1 is not reachable"), "{text}");
    let wrong = once(&["--url", "localhost"]);
    let text = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(1), "{text}");
    assert!(text.contains("--url http://127.0.0.1:9090"), "{text}");
    let provider = Provider::start();
    let closed = Setup::new(&provider)
        .setting(
            "admin",
            "{access: {tokens: [{name: a, role: viewer, sha256: \
             5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}]}}",
        )
        .start();
    let refused = once(&["--url", &format!("http://{}", closed.operators), "--token", "wrong"]);
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    assert!(text.contains("TOLLGATE_TOKEN") && !text.contains("wrong"), "{text}");
}

#[test]
#[ignore = "needs Python; run by scripts/test"]
fn in_a_terminal_keys_and_sizes_count_and_it_is_left_as_it_was() {
    let provider = Provider::start();
    let gateway = gateway(&provider);
    for end in ["q", "term"] {
        let output = Command::new("python3")
            .arg(root().join("tests/terminal/top.py"))
            .args([env!("CARGO_BIN_EXE_tollgate"), &format!("http://{}", gateway.operators), end])
            .stdin(Stdio::null())
            .output()
            .expect("python3");
        assert!(output.status.success(), "{end}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
