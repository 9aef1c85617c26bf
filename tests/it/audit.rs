//! The audit: edits, keys and sign-ins are records; whatever is done to one of them is named.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::engine::Engine;
use crate::support::{Gateway, Provider, SECRET, Setup, eventually, tollgate};

/// Runs `tollgate audit …` for the folder of a gateway; the exit code and both outputs.
fn audit(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = tollgate()
        .arg("audit")
        .args(arguments)
        .args(["--config", "."])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().expect("a code"), text)
}

fn records(folder: &Path) -> Vec<Value> {
    let (code, text) = audit(folder, &["list", "--format", "json"]);
    assert_eq!(code, 0, "{text}");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    assert!(text.starts_with("{\"version\":1,"), "{text}");
    document["records"].as_array().expect("a list").clone()
}

fn event(record: &Value) -> (&str, &str) {
    (record["event"].as_str().unwrap_or("-"), record["by"]["kind"].as_str().unwrap_or("-"))
}

/// A gateway with an accepted edit, a rejected one, a key and a repair.
fn with_history(provider: &Provider) -> Gateway {
    let auth = format!("accept: [jwt, key]\njwt: {{secret: \"{SECRET}\"}}");
    let gateway = Setup::new(provider).section("auth", &auth).start();
    gateway.edit_and_wait("limits", "{requests_per_minute: 60000, burst: 59000}");
    gateway.edit("limits", "{requests_per_minute: 60000, burst: 0}");
    eventually("the refusal", || {
        gateway.config()["last_edit_refused"].as_bool().filter(|refused| *refused)
    });
    let json = [("content-type", "application/json")];
    let wanted = json!({"name": "ci", "org": "acme"}).to_string();
    assert_eq!(gateway.ask_operators("POST", "/api/keys", &json, &wanted).status, 201);
    gateway.edit("limits", "{requests_per_minute: 60000, burst: 58000}");
    eventually("the repair", || {
        (gateway.config()["last_edit_refused"] == json!(false)).then_some(())
    });
    gateway
}

#[test]
fn edits_and_keys_are_records_of_one_chain() {
    let provider = Provider::start();
    let mut gateway = with_history(&provider);
    let found = records(gateway.folder());
    assert_eq!(
        found.iter().map(event).collect::<Vec<_>>(),
        [
            ("policy_accepted", "start"),
            ("policy_accepted", "file"),
            ("policy_rejected", "file"),
            ("key_made", "api"),
            ("policy_accepted", "file"),
        ]
    );
    assert_eq!(found[1]["version"], found[2]["previous_version"]);
    let change = &found[1]["diff"][0];
    assert_eq!(
        (&change["key"], &change["old"], &change["new"]),
        (&json!("limits.burst"), &json!(60000), &json!(59000))
    );
    let problems = found[2]["problems"].to_string();
    assert!(problems.contains("limits.burst: 0 is not allowed"), "{problems}");
    assert!(!json!(found).to_string().contains(SECRET));
    let (code, text) = audit(gateway.folder(), &["list"]);
    assert!(code == 0 && text.contains("limits.burst: 60000 → 59000"), "{text}");
    // Beside the gateway, whose store follows.
    let (code, text) = audit(gateway.folder(), &["verify"]);
    assert!(code == 0 && text.starts_with("ok: 5 records, "), "{text}");
    let head = text.trim().rsplit("head ").next().expect("a head").to_owned();
    let (code, text) = audit(gateway.folder(), &["verify", "--head", &head, "--format", "json"]);
    let verified: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &verified["ok"], &verified["records"]), (0, &json!(true), &json!(5)));
    let (seq, hash) = head.split_once(':').expect("a head");
    let state = &gateway.config()["audit"];
    assert_eq!((&state["head"]["hash"], &state["broken"]), (&json!(hash), &json!(null)));
    assert_eq!(state["head"]["seq"].to_string(), seq);
    let other = format!("4:{hash}");
    let (code, text) = audit(gateway.folder(), &["verify", "--head", &other]);
    assert!(code == 1 && text.contains("record 4 does not have the hash of --head"), "{text}");
    let page = gateway.operators("/api/audit?limit=2&before=5").ok().json();
    let numbers: Vec<&Value> =
        page["records"].as_array().expect("a list").iter().map(|r| &r["seq"]).collect();
    assert_eq!(numbers, [&json!(4), &json!(3)]);
    assert_eq!(gateway.operators("/api/audit?limit=x").status, 400);
    // The same content read again is no record, and neither is a start with it.
    gateway.ask_operators("POST", "/api/reload", &[], "").ok();
    gateway.stop();
    let gateway = gateway.start_again();
    assert_eq!(records(gateway.folder()).len(), 5);
    let printed = gateway.printed();
    assert!(printed.contains(&format!("head=\"{head}\"")), "{printed}");
}

#[test]
fn what_was_done_to_a_record_is_named_in_either_copy() {
    let provider = Provider::start();
    let mut gateway = with_history(&provider);
    let folder = gateway.folder().to_owned();
    gateway.stop();
    let (file, database) = (folder.join("data/audit.jsonl"), folder.join("data/tollgate.db"));
    let whole = fs::read_to_string(&file).expect("file");
    let lines: Vec<&str> = whole.lines().collect();
    let broken = |what: &str, message: &str| {
        let (code, text) = audit(&folder, &["verify"]);
        assert!(code == 1 && text.contains(message), "{what}: {text}");
        let (code, text) = audit(&folder, &["verify", "--format", "json"]);
        let verified: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((code, &verified["ok"]), (1, &json!(false)), "{what}");
    };
    let is_whole = || {
        let (code, text) = audit(&folder, &["verify"]);
        assert!(code == 0, "{text}");
    };
    let write = |lines: &[&str]| fs::write(&file, lines.join("\n") + "\n").expect("written");
    is_whole();
    let altered = lines[1].replace("59000", "60000");
    write(&[lines[0], &altered, lines[2], lines[3], lines[4]]);
    broken("altered", "data/audit.jsonl: record 2: its content does not match its hash");
    write(&[lines[0], lines[1], lines[3], lines[4]]);
    broken("removed", "data/audit.jsonl: record 3 is missing: record 4 follows record 2");
    write(&[lines[0], lines[1], lines[3], lines[2], lines[4]]);
    broken("moved", "data/audit.jsonl: record 4 stands where record 3 should");
    write(&lines[..3]);
    broken("cut", "record 4 is in the store, not in audit.jsonl");
    fs::remove_file(&file).expect("removed");
    broken("gone", "record 1 is in the store, not in audit.jsonl");
    write(&lines);
    is_whole();

    let store = Connection::open(&database).expect("store");
    let in_store = |sql: &str, message: &str| {
        store
            .execute_batch(&format!("CREATE TEMP TABLE kept AS SELECT * FROM policy_audit; {sql}"))
            .expect(sql);
        broken(sql, message);
        store
            .execute_batch(
                "DELETE FROM policy_audit; INSERT INTO policy_audit SELECT * FROM kept; DROP \
                    TABLE kept",
            )
            .expect("restored");
        is_whole();
    };
    for (sql, message) in [
        (
            "UPDATE policy_audit SET record = replace(record, '59000', '1') WHERE seq = 2",
            "store: record 2: its content does not match its hash",
        ),
        (
            "UPDATE policy_audit SET hash = replace(hash, 'a', 'b') WHERE seq = 4",
            "store: record 4: ",
        ),
        ("DELETE FROM policy_audit WHERE seq = 3", "store: record 3 is missing: record 4 follows"),
        (
            "UPDATE policy_audit SET seq = CASE seq WHEN 3 THEN 4 ELSE 3 END WHERE seq IN (3, 4)",
            "store: record 3: it is not a record",
        ),
        ("UPDATE policy_audit SET seq = 9 WHERE seq = 5", "store: record 5: it is not a record"),
        ("DELETE FROM policy_audit", "record 1 is in audit.jsonl, not in the store"),
    ] {
        in_store(sql, message);
    }
    // The newest records of a gateway that runs may be on their way, so a moment is waited for
    // them.
    in_store(
        "DELETE FROM policy_audit WHERE seq = 5",
        "record 5 is in audit.jsonl, not in the store",
    );

    // A gateway that starts on a broken chain says so, and goes on behind the last line.
    write(&[lines[0], &altered, lines[2], lines[3], lines[4]]);
    drop(store);
    let gateway = gateway.start_again();
    let broken = gateway.config()["audit"]["broken"].clone();
    assert_eq!(broken, json!("audit.jsonl: record 2: its content does not match its hash"));
    assert!(gateway.metric("tollgate_audit_chain_intact") == 0.0);
    gateway.prints("the chain of audit records is broken");
    gateway.edit_and_wait("limits", "{requests_per_minute: 60000, burst: 57000}");
    gateway.chat("acme", "hi").ok();
    let last = records(&folder).pop().expect("a record");
    assert_eq!((&last["seq"], &last["event"]), (&json!(6), &json!("policy_accepted")));
}

#[test]
#[ignore = "needs the ClickHouse engine; run by scripts/test"]
fn clickhouse_has_the_second_copy() {
    let (engine, provider) = (Engine::start(), Provider::start());
    engine.apply(engine.folder.path());
    let mut gateway = engine.gateway(&provider);
    gateway.edit_and_wait("limits", "{requests_per_minute: 60000, burst: 59000}");
    gateway.edit_and_wait("limits", "{requests_per_minute: 60000, burst: 58000}");
    let (code, text) = audit(gateway.folder(), &["verify"]);
    assert!(code == 0 && text.starts_with("ok: 3 records, "), "{text}");
    // A start hands its records over once more, and none is doubled.
    end(&mut gateway);
    let mut gateway = gateway.start_again();
    gateway.edit_and_wait("limits", "{requests_per_minute: 60000, burst: 57000}");
    let (code, text) = audit(gateway.folder(), &["verify"]);
    assert!(code == 0 && text.starts_with("ok: 4 records, "), "{text}");
    end(&mut gateway);
    let kept = "tollgate.policy_audit";
    let with = |settings: &str| format!("{settings} SETTINGS mutations_sync = 2");
    engine.execute(&with(&format!(
        "ALTER TABLE {kept} UPDATE record = replaceAll(record, '59000', '1') WHERE seq = 2"
    )));
    let (code, text) = audit(gateway.folder(), &["verify"]);
    let message = "store: record 2: its content does not match its hash";
    assert!(code == 1 && text.contains(message), "{text}");
    engine.execute(&with(&format!("ALTER TABLE {kept} DELETE WHERE seq = 2")));
    let (code, text) = audit(gateway.folder(), &["verify"]);
    assert!(code == 1 && text.contains("store: record 2 is missing: record 3 follows"), "{text}");
    engine.execute(&with(&format!("ALTER TABLE {kept} DELETE WHERE seq IN (2, 3, 4)")));
    let (code, text) = audit(gateway.folder(), &["verify"]);
    assert!(code == 1 && text.contains("record 2 is in audit.jsonl, not in the store"), "{text}");
}

/// Ends a gateway whose rows are in ClickHouse.
fn end(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success(), "{}", gateway.printed());
}
