use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

use super::{Audit, By, Edit, Event, Kind, Stored, entries, path, verify};
use crate::config::Origin;
use crate::metrics::Metrics;

/// A policy with this text.
fn origin(text: &str) -> Origin {
    let dir = tempfile::tempdir().expect("folder");
    let file = dir.path().join("all.yaml");
    std::fs::write(&file, text).expect("file");
    crate::config::load_to_show(Some(&file), None).expect("good").origin
}

fn accept(audit: &Audit, kind: Kind, version: &str, text: &str) {
    let origin = origin(text);
    let edit = Edit { version, files: vec![("all.yaml", text)], effective: &origin.effective };
    audit.accepted(&By::kind(kind), &edit).expect("a record");
}

fn open(dir: &Path) -> Audit {
    Audit::open(dir, Metrics::new()).expect("audit")
}

fn records(dir: &Path) -> Vec<Json> {
    let text = std::fs::read_to_string(path(dir)).expect("file");
    text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
}

const SECRET: &str =
    "providers: {a: {base_url: 'https://x.example/v1', api_key: KEY}}\nrouting: {default: [a]}\n";

#[test]
fn edits_and_actions_are_records_in_one_chain() {
    let dir = tempfile::tempdir().expect("folder");
    let audit = open(dir.path());
    accept(&audit, Kind::Start, "v1", &SECRET.replace("KEY", "hunter2"));
    // The same content again is no record.
    accept(&audit, Kind::Sighup, "v1", &SECRET.replace("KEY", "hunter2"));
    let two = format!("{}limits: {{burst: 5}}\n", SECRET.replace("KEY", "hunter3"));
    accept(&audit, Kind::File, "v2", &two);
    let problem = || vec!["all.yaml:1:1: limits.burst: 0 is not allowed; give 1".to_owned()];
    let by = By::api("alice");
    audit.rejected(&by, &[("all.yaml", "limits: {burst: 0}")], problem());
    audit.rejected(&by, &[("all.yaml", "limits: {burst: 0}")], problem());
    audit.action(Event::KeyMade, &by, Some(json!({"id": "key_1", "org": "acme", "name": "ci"})));
    // Back to what is in force, and then the same mistake again.
    accept(&audit, Kind::File, "v2", &two);
    audit.rejected(&by, &[("all.yaml", "limits: {burst: 0}")], problem());
    drop(audit);
    // An edit made while the gateway was down.
    let audit = open(dir.path());
    accept(&audit, Kind::Start, "v2", &two);
    accept(&audit, Kind::Start, "v3", &SECRET.replace("KEY", "hunter4"));

    let found = records(dir.path());
    let told: Vec<(u64, &str, &str)> = found
        .iter()
        .map(|r| {
            (
                r["seq"].as_u64().unwrap(),
                r["event"].as_str().unwrap(),
                r["by"]["kind"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            (1, "policy_accepted", "start"),
            (2, "policy_accepted", "file"),
            (3, "policy_rejected", "api"),
            (4, "key_made", "api"),
            (5, "policy_rejected", "api"),
            (6, "policy_accepted", "start"),
        ]
    );
    assert_eq!(found[0]["prev"], json!("0".repeat(64)));
    assert_eq!(found[1]["prev"], found[0]["hash"]);
    assert_eq!((&found[0]["diff"], &found[0]["previous_version"]), (&json!([]), &json!(null)));
    assert_eq!((&found[1]["version"], &found[1]["previous_version"]), (&json!("v2"), &json!("v1")));
    let keys = |record: &Json| -> Vec<String> {
        let diff = record["diff"].as_array().unwrap().iter();
        diff.map(|change| change["key"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(keys(&found[1]), ["providers.a.api_key", "limits.burst"]);
    assert_eq!(found[1]["diff"][0]["secret"], json!(true));
    // The difference is against the last policy of the run before, secrets too.
    assert_eq!(keys(&found[5]), ["providers.a.api_key", "limits.burst"]);
    assert_eq!(found[2]["by"]["principal"], json!("alice"));
    assert_eq!(found[2]["problems"].as_array().unwrap().len(), 1);
    assert_eq!(found[3]["subject"]["name"], json!("ci"));
    for file in std::fs::read_dir(dir.path()).expect("folder").flatten() {
        let text = std::fs::read_to_string(file.path()).expect("file");
        assert!(!text.contains("hunter"), "{}", file.path().display());
        let mode = file.metadata().expect("file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.path().display());
    }
    assert_eq!(verify::check(&entries(dir.path()).expect("file"), None), None);
    let newest: Vec<u64> =
        audit.newest(6, 2).expect("file").iter().filter_map(|r| r["seq"].as_u64()).collect();
    assert_eq!(newest, [5, 4]);
}

#[test]
fn the_store_gets_the_bytes_that_are_hashed() {
    let dir = tempfile::tempdir().expect("folder");
    let audit = open(dir.path());
    accept(&audit, Kind::Start, "v1", "{}");
    let got: Arc<Mutex<Vec<Stored>>> = Arc::default();
    let here = Arc::clone(&got);
    audit.send_to(Box::new(move |stored| here.lock().unwrap().push(stored))).expect("sent");
    accept(&audit, Kind::File, "v2", "limits: {burst: 5}");
    let got = got.lock().unwrap();
    assert_eq!(got.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [1, 2]);
    let lines = records(dir.path());
    for (stored, line) in got.iter().zip(&lines) {
        assert_eq!((&json!(stored.hash), stored.chain.as_str()), (&line["hash"], audit.chain()));
        let entry = super::stored_entry(stored.seq, &stored.record, &stored.hash);
        assert!(entry.is_some_and(|entry| entry.is_intact));
        assert!(super::stored_entry(stored.seq + 1, &stored.record, &stored.hash).is_none());
    }
}

#[test]
fn a_broken_chain_is_told_and_goes_on() {
    let dir = tempfile::tempdir().expect("folder");
    let audit = open(dir.path());
    for version in 1..=4 {
        accept(
            &audit,
            Kind::File,
            &format!("v{version}"),
            &format!("limits: {{burst: {version}}}"),
        );
    }
    assert_eq!(audit.status().broken, None);
    let chain = audit.status().chain;
    drop(audit);
    let text = std::fs::read_to_string(path(dir.path())).expect("file");
    std::fs::write(path(dir.path()), text.replace("\"v2\"", "\"v9\"")).expect("file");
    let metrics = Metrics::new();
    let audit = Audit::open(dir.path(), Arc::clone(&metrics)).expect("audit");
    let status = audit.status();
    assert_eq!(status.chain, chain);
    let broken = "audit.jsonl: record 2: its content does not match its hash";
    assert_eq!(status.broken.as_deref(), Some(broken));
    assert!(metrics.text().contains("tollgate_audit_chain_intact 0"));
    assert_eq!(status.head.map(|(seq, _)| seq), Some(4));
    accept(&audit, Kind::File, "v5", "{}");
    let last = records(dir.path()).pop().expect("a record");
    assert_eq!((&last["seq"], &last["previous_version"]), (&json!(5), &json!("v4")));
}

#[test]
fn a_line_without_its_end_is_removed() {
    let dir = tempfile::tempdir().expect("folder");
    let audit = open(dir.path());
    accept(&audit, Kind::Start, "v1", "{}");
    drop(audit);
    let whole = std::fs::read_to_string(path(dir.path())).expect("file");
    std::fs::write(path(dir.path()), format!("{whole}{{\"seq\":2,\"at\"")).expect("file");
    let audit = open(dir.path());
    assert_eq!(audit.status().broken, None);
    assert_eq!(std::fs::read_to_string(path(dir.path())).expect("file"), whole);
    accept(&audit, Kind::File, "v2", "limits: {burst: 5}");
    assert_eq!(verify::check(&entries(dir.path()).expect("file"), None), None);
    assert_eq!(records(dir.path()).len(), 2);
}

#[test]
fn a_long_difference_is_cut_and_counted() {
    let dir = tempfile::tempdir().expect("folder");
    let audit = open(dir.path());
    accept(&audit, Kind::Start, "v1", "{}");
    let price = |i: usize| format!("{{model: model-{i}-{}, input: 1, output: 2}}", "x".repeat(100));
    let prices: Vec<String> = (0..4_000).map(price).collect();
    accept(&audit, Kind::File, "v2", &format!("prices: [{}]", prices.join(", ")));
    let last = records(dir.path()).pop().expect("a record");
    let kept = last["diff"].as_array().expect("list").len();
    assert!(kept > 0 && kept < 4_000);
    assert_eq!(last["more_changes"].as_u64(), Some(4_000 - kept as u64));
    assert_eq!(verify::check(&entries(dir.path()).expect("file"), None), None);
}
