//! A policy that is imported from a LiteLLM configuration passes `check` and serves a call.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::{Gateway, Provider, chat, tollgate};

fn run(folder: &Path, arguments: &[&str]) -> Output {
    tollgate()
        .args(arguments)
        .env("UPSTREAM_KEY", "sk-of-the-upstream")
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("run")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_imported_configuration_serves_a_call() {
    let provider = Provider::start();
    let folder = tempfile::tempdir().expect("folder");
    let source = format!(
        "model_list:\n  - model_name: assistant\n    litellm_params:\n      model: \
            openai/gpt-4o-mini\n      \
         api_base: http://{}/v1\n      api_key: os.environ/UPSTREAM_KEY\n      rpm: \
         10\nrouter_settings:\n  \
         num_retries: 1\ngeneral_settings:\n  max_request_size_mb: 1\n",
        provider.address
    );
    fs::write(folder.path().join("litellm.yaml"), source).unwrap();
    let import = ["import", "litellm", "litellm.yaml", "--output", "made"];
    let made = run(folder.path(), &import);
    assert!(made.status.success(), "{}", text(&made));
    let said = text(&made);
    assert!(
        said.contains("exact        model_list[0].model_name (line 2) → routing.models[].match"),
        "{said}"
    );
    assert!(said.contains("unsupported  model_list[0].litellm_params.rpm (line 7): "), "{said}");
    // The folder is not free any more.
    let again = run(folder.path(), &import);
    assert!(again.status.code() == Some(1) && text(&again).contains("--force"), "{}", text(&again));
    let json = run(
        folder.path(),
        &[&import[..], &["--force", "--format", "json", "--exit-code"]].concat(),
    );
    assert_eq!(json.status.code(), Some(1), "a key is unsupported");
    let document: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!((&document["version"], &document["source"]), (&json!(1), &json!("litellm.yaml")));
    assert!(String::from_utf8_lossy(&json.stdout).starts_with("{\"version\":1,"));
    let checked = run(folder.path(), &["check", "--config", "made"]);
    assert!(checked.status.success(), "{}", text(&checked));

    // LiteLLM's keys are in its database; a new one is made here.
    let key = format!("tg-{}", "k".repeat(43));
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key.as_bytes());
    let sum: String = sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let access = folder.path().join("made/policies/access.yaml");
    let policy = fs::read_to_string(&access).unwrap();
    fs::write(&access, format!("{policy}  keys: [{{name: ci, org: acme, sha256: {sum}}}]\n"))
        .unwrap();
    let settings = folder.path().join("made/gateway.yaml");
    let gateway = fs::read_to_string(&settings).unwrap();
    let data = folder.path().join("data");
    let addresses = format!(
        "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\ndata_dir: \"{}\"\n",
        data.display()
    );
    fs::write(&settings, gateway + &addresses).unwrap();
    let served = tempfile::tempdir().expect("folder");
    fs::create_dir(served.path().join("policies")).unwrap();
    for name in ["gateway.yaml", "policies/access.yaml", "policies/providers.yaml"] {
        fs::copy(folder.path().join("made").join(name), served.path().join(name)).unwrap();
    }
    let gateway = Gateway::serve(served, &[("UPSTREAM_KEY", "sk-of-the-upstream")]);
    let mut call = chat("hi");
    call["model"] = json!("assistant");
    gateway.post("/v1/chat/completions", &key, &call).ok();
    let seen = provider.take_seen();
    assert_eq!(seen[0].json()["model"], json!("gpt-4o-mini"));
    assert_eq!(seen[0].header("authorization"), Some("Bearer sk-of-the-upstream"));
    call["model"] = json!("another");
    gateway.post("/v1/chat/completions", &key, &call).refused(404, "model_not_found");
}

#[test]
fn what_is_no_configuration_of_litellm_is_refused_with_its_place() {
    let folder = tempfile::tempdir().expect("folder");
    for (text_of_file, message) in [
        ("a: [1\nb: 2\n", "in.yaml:2:"),
        ("general_settings: {}\n", "in.yaml:1:1: model_list: missing or empty"),
        ("model_list: []\n", "model_list: missing or empty"),
    ] {
        fs::write(folder.path().join("in.yaml"), text_of_file).unwrap();
        let output = run(folder.path(), &["import", "litellm", "in.yaml", "--output", "made"]);
        let said = text(&output);
        assert!(output.status.code() == Some(1) && said.contains(message), "{said}");
        assert!(!folder.path().join("made").exists());
    }
}
