//! Standard output that cannot be written: a reader that has left ends a command without a word, a
//! full disk is said and is exit code 1. Neither is ever a bug (70) or a panic (101).

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use serde_json::json;

use crate::support::{Provider, step, tollgate};

/// Every command that prints, with a configuration and the files that it needs.
fn commands(provider: &Provider) -> (tempfile::TempDir, Vec<Vec<&'static str>>) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "all.yaml",
        &format!(
            "data_dir: data\nauth: {{jwt: {{secret: a-secret-of-the-tests-with-32-bytes-}}}}\n\
             providers: {{openai: {{base_url: \"http://{}/v1\", api_key: sk-a}}}}\n",
            provider.address
        ),
    );
    write("wrong.yaml", "limits: {burst: 0}\n");
    write("text", &"mail jane@example.com\n".repeat(20_000));
    write(
        "tickets.csv",
        "title,body,category,priority\nCharged twice,Please refund,billing,high\n",
    );
    let day = "2026-01-01";
    let commands = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["report", "--help"],
        vec!["schema"],
        vec!["completions", "bash"],
        vec!["check", "--config", "all.yaml"],
        vec!["report", "--config", "all.yaml"],
        vec!["report", "--config", "all.yaml", "--format", "json"],
        vec!["report", "--config", "all.yaml", "--daily"],
        vec!["prices", "list", "--config", "all.yaml"],
        vec!["reprice", "--config", "all.yaml", "--from", day, "--to", day],
        vec!["redact", "--text", "--config", "all.yaml", "text"],
        vec!["clickhouse", "print", "--config", "all.yaml"],
        vec!["token", "--org", "acme", "--config", "all.yaml"],
        vec!["key", "new", "--name", "a", "--org", "acme"],
        vec!["intent", "eval", "tickets.csv", "--config", "all.yaml"],
        vec!["demo", "--exit", "--requests", "20"],
    ];
    (folder, commands)
}

fn run(folder: &tempfile::TempDir, arguments: &[&str], stdout: impl Into<Stdio>) -> Output {
    let mut command: Command = tollgate();
    command.args(arguments).current_dir(folder.path()).stdin(Stdio::null());
    command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

fn provider() -> Provider {
    let provider = Provider::start();
    provider.always(step::chat(
        &json!({"category": "billing", "priority": "high", "confidence": 0.9}).to_string(),
    ));
    provider
}

#[test]
fn a_reader_that_has_left_ends_every_command_without_a_word() {
    let provider = provider();
    let (folder, commands) = commands(&provider);
    for arguments in &commands {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = run(&folder, arguments, writer);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
        // `redact` counts on standard error, `key` explains; neither speaks of the reader.
        assert!(!said.contains("ipe") && !said.contains("written"), "{arguments:?}: {said}");
    }
}

#[test]
fn a_full_disk_is_said_by_every_command() {
    let provider = provider();
    let (folder, mut commands) = commands(&provider);
    commands.push(vec!["mock", "--listen", "127.0.0.1:0"]);
    commands.push(vec!["check", "--config", "wrong.yaml"]);
    for arguments in &commands {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = run(&folder, arguments, full);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(
            said.contains("standard output cannot be written: No space left on device"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_is_no_bug() {
    let folder = tempfile::tempdir().unwrap();
    // A folder is missing in it.
    let written = run(&folder, &["schema", "--write", "nowhere"], Stdio::null());
    assert_eq!(written.status.code(), Some(1), "{written:?}");
    let said = String::from_utf8_lossy(&written.stderr);
    assert!(said.contains("cannot be written") && !said.contains("bug"), "{said}");
}
