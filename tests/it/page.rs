//! The dashboard in Chromium: `tests/page/walk.py` holds each figure against the rows of the log,
//! walks every page in light, dark and on a phone with the rules of axe, by keyboard, and as each
//! role.
//!
//! Ignored by a plain `cargo test`; `scripts/test` installs Chromium and axe-core.

use std::path::Path;
use std::process::{Command, Stdio};

use rusqlite::Connection as Database;
use serde_json::{Value, json};

use crate::access::sha256;
use crate::sdk::Mock;
use crate::support::{Gateway, Setup, eventually, jwt};

/// Name, role and organisations on the operators' side.
const PRINCIPALS: [(&str, &str, &str); 4] = [
    ("viewer", "viewer", "[]"),
    ("auditor", "auditor", "[]"),
    ("operator", "operator", "[]"),
    ("of-acme", "viewer", "[acme]"),
];
/// A text of globex alone.
const SECRET: &str = "the merger of autumn";

fn token(name: &str) -> String {
    format!("token of {name}")
}

fn gateway(mock: &Mock) -> Gateway {
    let principal = |(name, role, orgs): &(&str, &str, &str)| {
        let sha = sha256(&token(name));
        format!("{{name: {name}, role: {role}, orgs: {orgs}, sha256: {sha}}}")
    };
    let tokens: Vec<String> = PRINCIPALS.iter().map(principal).collect();
    Setup::towards(mock.address)
        .setting("admin", &format!("{{access: {{tokens: [{}]}}}}", tokens.join(", ")))
        .section("ailog", "{capture_bytes: 4096}")
        .section(
            "limits",
            "{requests_per_minute: 60000, burst: 60000, orgs: {limited: {requests_per_minute: 2, \
             burst: 2}}}",
        )
        .start()
}

/// Calls of all kinds; returns the number of their rows.
fn calls(gateway: &Gateway) -> usize {
    let chat = |model: &str, text: &str, stream: bool| {
        json!({
            "model": model,
            "stream": stream,
            "messages": [{"role": "user", "content": text}],
        })
    };
    for n in 0..56 {
        let org = ["acme", "globex", "initech"][n % 3];
        let model = ["gpt-4o-mini", "gpt-4o", "gpt-4.1"][n % 2 + usize::from(n % 5 == 0)];
        let text = match n {
            _ if n % 13 == 7 => format!("[[mock:status=503,times=1]] saved {n}"),
            _ if n % 17 == 5 => format!("[[mock:status=503]] call {n}"),
            _ if n % 7 == 1 => format!("{SECRET}: mail to {n}@example.com"),
            _ => format!("call {n}"),
        };
        let text = if org == "globex" { text } else { text.replace(SECRET, "hello") };
        gateway.post("/v1/chat/completions", &jwt(org), &chat(model, &text, n % 4 == 0));
    }
    for _ in 0..3 {
        let answer =
            gateway.post("/v1/chat/completions", &jwt("limited"), &chat("gpt-4o-mini", "x", false));
        assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
    }
    59
}

#[test]
#[ignore = "needs Chromium; run by scripts/test"]
fn pages_have_the_figures_of_the_rows_for_everybody() {
    let mock = Mock::start();
    let gateway = gateway(&mock);
    let bearer = [("authorization", "Bearer token of operator")];
    let ask = |path: &str| gateway.ask_operators("GET", path, &bearer, "");
    // A candidate that refuses, lets pass and reroutes.
    crate::shadow::write(
        &gateway,
        "candidate",
        "limits: {requests_per_minute: 60000, burst: 60000, orgs: {globex: {requests_per_minute: 2, \
         burst: 2}}}\n\
         routing: {models: [{match: gpt-4.1, to: [{provider: openai, model: gpt-4o-mini}]}], \
         default: [openai]}\n",
    );
    eventually("the candidate", || {
        ask("/api/config").ok().json()["shadow"]["version"].is_string().then_some(())
    });
    let count = calls(&gateway);
    assert_eq!(gateway.rows(count).len(), count);
    let config: Value = ask("/api/config").ok().json();
    let setup = json!({
        "operators": gateway.operators.to_string(),
        "apps": gateway.apps.to_string(),
        "bearer": jwt("acme"),
        "database": gateway.database(),
        "tokens": PRINCIPALS.iter().map(|(name, ..)| (*name, token(name)))
            .collect::<std::collections::BTreeMap<_, _>>(),
        "secret": SECRET,
        "shadow": gateway.folder().join("shadow"),
        "policy_version": config["policy_version"],
    });
    let file = gateway.folder().join("walk.json");
    std::fs::write(&file, setup.to_string()).expect("written");
    agree(&gateway, ask("/metrics").ok().text(), &ask("/api/summary?by=total").ok().json());
    let rules = root().join("tests/page/node_modules/axe-core/axe.min.js");
    assert!(rules.exists(), "{} is missing: run scripts/test", rules.display());
    let mut python = Command::new("python3");
    passes(python.arg(root().join("tests/page/walk.py")).arg(&file), 11);
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a script that prints a line for each of its checks.
fn passes(script: &mut Command, checks: usize) {
    let output = script.stdin(Stdio::null()).output().expect("python3");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let passed = out.lines().filter(|line| line.starts_with("ok: ")).count();
    assert!(output.status.success() && passed == checks, "{passed} checks\n{out}\n{err}");
}

/// From the page alone a newcomer finds which organisation cost most yesterday, why calls failed,
/// and which limit will be hit next.
#[test]
#[ignore = "needs Chromium; run by scripts/test"]
fn a_newcomer_finds_the_dearest_organisation_the_reasons_and_the_next_limit() {
    let mock = Mock::start();
    let mut gateway = Setup::towards(mock.address)
        .section(
            "limits",
            "{requests_per_minute: 60000, burst: 60000, orgs: {acme: {usd_per_month: 1000}, \
             globex: {requests_per_minute: 1, burst: 20}}}",
        )
        .section("breaker", "{consecutive_failures: 1000, error_percent: 100, min_calls: 1000}")
        .start();
    let call = |gateway: &Gateway, org: &str, text: &str| {
        let body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": text}]});
        gateway.post("/v1/chat/completions", &jwt(org), &body).status
    };
    for n in 0..6 {
        let few = format!("[[mock:input=50,output=50]] {n}");
        assert_eq!(call(&gateway, "acme", &few), 200);
        assert_eq!(call(&gateway, "globex", &few), 200);
    }
    assert_eq!(call(&gateway, "initech", "[[mock:input=9000,output=9000]] one long call"), 200);
    for n in 0..3 {
        assert_eq!(call(&gateway, "acme", &format!("[[mock:status=503]] {n}")), 503);
    }
    assert_eq!(call(&gateway, "globex", "[[mock:status=400]]"), 400);
    // These calls become those of yesterday.
    let rows = gateway.stop();
    assert_eq!(rows.len(), 17);
    let file = Database::open(gateway.database()).expect("the store");
    file.execute_batch(
        "UPDATE ai_rows SET created_at = date(created_at, '-1 day') || substr(created_at, 11); \
         UPDATE ai_hourly SET day = date(day, '-1 day'); UPDATE ai_daily SET day = date(day, '-1 \
         day');",
    )
    .expect("moved by a day");
    drop(file);
    let gateway = gateway.start_again();
    for n in 0..15 {
        assert_eq!(call(&gateway, "globex", &format!("today {n}")), 200);
    }
    assert_eq!(call(&gateway, "acme", "[[mock:input=90000,output=9000]] dear today"), 200);
    let reasons = |row: &serde_json::Map<String, Value>| {
        let code = row["error_code"].as_str().filter(|code| !code.is_empty()).unwrap_or("–");
        (row["outcome"] != "ok").then(|| (row["outcome"].to_string(), code.to_owned()))
    };
    let mut why = std::collections::BTreeMap::new();
    for reason in rows.iter().filter_map(reasons) {
        *why.entry(reason).or_insert(0) += 1;
    }
    let why: Vec<(&str, u32)> = why.iter().map(|((_, code), n)| (code.as_str(), *n)).collect();
    assert_eq!(why.iter().map(|(_, n)| n).sum::<u32>(), 4);
    let setup = json!({
        "operators": gateway.operators.to_string(),
        "dearest": "initech",
        "why": why,
        "limit": ["globex", "requests per minute"],
    });
    let file = gateway.folder().join("newcomer.json");
    std::fs::write(&file, setup.to_string()).expect("written");
    let mut python = Command::new("python3");
    passes(python.arg(root().join("tests/page/newcomer.py")).arg(&file), 3);
}

/// The sums of `/api/summary`, `/metrics` and `tollgate report` are the same.
fn agree(gateway: &Gateway, metrics: &str, summary: &Value) {
    let sum = |name: &str, label: &str| {
        let lines = metrics.lines().filter(|line| line.starts_with(name) && line.contains(label));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>()
    };
    let line = &summary["rows"][0];
    let number = |name: &str| line[name].as_f64().expect(name);
    assert!((number("cost_usd") - sum("tollgate_cost_usd_total", "")).abs() < 1e-9);
    for (figure, name, label) in [
        ("calls", "tollgate_requests_total{", ""),
        ("input_tokens", "tollgate_tokens_total{", "direction=\"input\""),
        ("output_tokens", "tollgate_tokens_total{", "direction=\"output\""),
        ("rate_limited", "tollgate_requests_total{", "outcome=\"rate_limited\""),
        ("redactions", "tollgate_redactions_total{", ""),
    ] {
        assert_eq!(number(figure), sum(name, label), "{figure}");
    }
    let report = crate::support::tollgate()
        .args(["report", "--format", "json", "--by", "org", "--config"])
        .arg(gateway.folder())
        .output()
        .expect("report");
    let report: Vec<Value> = serde_json::from_slice(&report.stdout).expect("JSON");
    for figure in ["calls", "errors", "input_tokens", "output_tokens", "redactions", "cost_usd"] {
        let total: f64 = report.iter().map(|line| line[figure].as_f64().expect("a number")).sum();
        assert!((total - number(figure)).abs() < 1e-9, "{figure}: {total}");
    }
}
