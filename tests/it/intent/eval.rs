//! `tollgate intent eval`: labelled tickets in, a judgement out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::sdk::Mock;
use crate::support::{Provider, step, tollgate};

/// A configuration for a provider, with whatever must not count in an evaluation.
fn config(provider: &str, more: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("folder");
    let yaml = format!(
        "data_dir: \"{}\"\nproviders: {{openai: {{base_url: \"http://{provider}/v1\"}}}}\n\
         limits: {{requests_per_minute: 1, burst: 1}}\nfeatures: {{ai_intent_enabled: false}}\n\
         retry: {{max_retries: 0}}\n{more}",
        folder.path().join("data").display()
    );
    fs::write(folder.path().join("all.yaml"), yaml).unwrap();
    folder
}

fn eval(config: &Path, file: &Path, arguments: &[&str]) -> Output {
    let mut command = tollgate();
    command
        .args(["intent", "eval"])
        .arg(file)
        .arg("--config")
        .arg(config.join("all.yaml"))
        .args(arguments);
    command.output().expect("run")
}

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tickets.csv")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[test]
fn the_sample_tickets_are_judged() {
    let mock = Mock::start();
    let config = config(&mock.address.to_string(), "");
    let output = eval(config.path(), &sample(), &["--format", "json", "--at-once", "8"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let result: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&result["tickets"], &result["answered"], &result["failed"]),
        (&json!(200), &json!(200), &json!({}))
    );
    for what in ["category", "priority"] {
        let counts = result["confusion"][what]["counts"].as_array().unwrap();
        let all = counts
            .iter()
            .flat_map(|row| row.as_array().unwrap())
            .map(|n| n.as_u64().unwrap())
            .sum::<u64>();
        assert_eq!(all, 200, "{what}");
        // The simulated model knows a few English words, and no more.
        let accuracy = result["accuracy"][what].as_f64().unwrap();
        assert!((0.2..1.0).contains(&accuracy), "{accuracy}");
    }
    let bins = result["calibration"]["bins"].as_array().unwrap();
    assert_eq!(bins.iter().map(|bin| bin["tickets"].as_u64().unwrap()).sum::<u64>(), 200);
    assert!(
        result["cost_usd"].as_f64().unwrap() > 0.0
            && result["tokens"]["input"].as_u64().unwrap() > 0
    );
    assert!(!config.path().join("data").exists(), "the gateway's own log is not touched");
}

#[test]
fn a_judgement_for_people_tells_failures_apart() {
    let provider = Provider::start();
    let config =
        config(&provider.address.to_string(), "intent: {categories: [a, b], priorities: [c]}\n");
    let file = config.path().join("tickets.csv");
    fs::write(&file, "title,body,category,priority\n1,x,a,c\n2,x,b,c\n3,x,,\n").unwrap();
    provider.script([
        step::chat(r#"{"category":"a","priority":"c","confidence":0.95}"#),
        step::error(500, "x"),
        step::chat(r#"{"category":"b","priority":null,"confidence":0.4}"#),
    ]);
    let output = eval(config.path(), &file, &["--at-once", "1"]);
    let out = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for expected in [
        "3 tickets, 2 answered, 1 failed (provider_unavailable 1)",
        "category      50.0 % right   1 of 2",
        "priority     100.0 % right   2 of 2",
        "0.9 to 1.0          1    0.95    1.00",
        "calibration error",
        "22 input and 14 output tokens",
        "latency  p50",
    ] {
        assert!(out.contains(expected), "{expected} is not in\n{out}");
    }
}

/// For a pipeline: the exit code says whether the prompt is good enough, and the list says where it
/// is not.
#[test]
fn misjudged_tickets_are_listed_and_a_low_accuracy_fails() {
    let provider = Provider::start();
    let config =
        config(&provider.address.to_string(), "intent: {categories: [a, b], priorities: [c]}\n");
    let file = config.path().join("tickets.csv");
    fs::write(&file, "title,body,category,priority\nfirst,x,a,c\nsecond,x,b,c\n").unwrap();
    provider.always(step::chat(r#"{"category":"a","priority":"c","confidence":0.9}"#));
    let run = |arguments: &[&str]| {
        let output = eval(config.path(), &file, arguments);
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, _) = run(&["--min-accuracy", "50", "--wrong"]);
    assert_eq!(code, Some(0));
    assert!(
        out.contains("1 tickets misjudged\nline 3: second: expected b, c, answered a, c (0.90)"),
        "{out}"
    );
    assert!(!out.contains("first"), "{out}");
    for share in ["0.6", "60", "60%"] {
        let (code, out, told) = run(&["--min-accuracy", share]);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("50.0 %") && told.contains("60.0 %"), "{told}");
        assert!(out.contains("2 tickets, 2 answered") && !out.contains("misjudged"), "{out}");
    }
    let (code, out, _) = run(&["--format", "json", "--wrong", "--min-accuracy", "0.5"]);
    let json: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, json["wrong"].as_array().map(Vec::len)), (Some(0), Some(1)));
    assert_eq!(json["wrong"][0]["expected"], json!({"category": "b", "priority": "c"}));
    for wrong in ["-1", "101", "x", "120%"] {
        assert_eq!(run(&[&format!("--min-accuracy={wrong}")]).0, Some(2), "{wrong}");
    }
}

#[test]
fn mistakes_of_a_file_are_told_with_their_lines_and_cost_nothing() {
    let provider = Provider::start();
    let config = config(&provider.address.to_string(), "");
    let file = config.path().join("tickets.csv");
    fs::write(&file, "title,body,category,priority\na,b,biling,low\nc,d\n").unwrap();
    let output = eval(config.path(), &file, &[]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("tickets.csv:2: category `biling`")
            && told.contains("did you mean `billing`?"),
        "{told}"
    );
    assert!(told.contains("tickets.csv:3: 2 fields"), "{told}");
    let output = eval(config.path(), Path::new("/nowhere.csv"), &[]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(provider.seen().len(), 0);
}
