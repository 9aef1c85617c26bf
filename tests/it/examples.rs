//! The examples: complete configurations, and programs that call a gateway.
//!
//! The programs run against `tollgate mock` behind a gateway, as the page of the examples says.
//! Those that need packages are ignored by a plain `cargo test`; `scripts/test` installs the
//! packages and runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::sdk::{Mock, root};
use crate::support::{jwt, tollgate};

fn examples() -> PathBuf {
    root().join("examples")
}

/// The names of the files in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("folder").map(|entry| entry.expect("entry"));
    let files = entries.filter(|entry| entry.path().is_file());
    let mut names: Vec<String> =
        files.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What `tollgate check` prints for a configuration of `examples/`, whose variables are set.
fn checked(config: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let tls = root().join("tests/it/tls");
    for (from, to) in [("first.pem", "tls.crt"), ("first.key", "tls.key")] {
        fs::copy(tls.join(from), folder.path().join(to)).unwrap();
    }
    let output = tollgate()
        .args(["check", "--config"])
        .arg(examples().join(config))
        .env("TOLLGATE_TLS_DIR", folder.path())
        .env("TOLLGATE_DATA_DIR", folder.path().join("data"))
        .env("TOLLGATE_JWT_SECRET", "71f0b6ad8e3c4925a0d8e6b9c2f4a1d7")
        .env("OPENAI_API_KEY", "sk-example")
        .env("ANTHROPIC_API_KEY", "sk-ant-example")
        .env("CHECKOUT_KEY_SHA256", "a1".repeat(32))
        .env("NIGHTLY_REPORT_KEY_SHA256", "b2".repeat(32))
        .env("REDIS_PASSWORD", "letters0and1digits")
        .env("CLICKHOUSE_PASSWORD", "letters0and1digits")
        .current_dir(folder.path())
        .output()
        .expect("start");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{config}: {out}{err}");
    out.into_owned()
}

#[test]
fn each_complete_configuration_passes_the_check() {
    let folders: Vec<PathBuf> = fs::read_dir(examples().join("config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    assert_eq!(folders.len(), 3, "{folders:?}");
    // The warning about a side without TLS is meant: the pod's network is private.
    for (config, warnings, providers) in [
        ("config/sidecar/tollgate.yaml", 0, "openai\n"),
        ("config/company", 0, "openai, anthropic\n"),
        ("config/kubernetes", 1, "openai, vllm\n"),
        ("offline.yaml", 0, "openai, anthropic\n"),
    ] {
        let said = checked(config);
        assert!(said.contains(&format!("providers  {providers}")), "{config}: {said}");
        assert_eq!(said.matches("warning: ").count(), warnings, "{config}: {said}");
    }
}

/// A policy file that a manifest forgets would not be in force.
#[test]
fn the_manifests_mount_each_policy_file() {
    let folder = examples().join("config/kubernetes");
    let policies = names(&folder.join("policies"));
    assert!(policies.len() >= 3, "{policies:?}");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    for policy in policies {
        assert!(read("kustomization.yaml").contains(&format!("policies/{policy}")), "{policy}");
        for manifest in ["statefulset.yaml", "schema-job.yaml"] {
            let mount = format!("{{key: {policy}, path: policies/{policy}}}");
            assert!(read(manifest).contains(&mount), "{manifest} does not mount {policy}");
        }
    }
}

#[test]
fn each_program_begins_with_three_lines_about_it_and_is_on_the_page() {
    let page = fs::read_to_string(examples().join("README.md")).unwrap();
    let mut programs = 0;
    for name in names(&examples()) {
        if name == "README.md" {
            continue;
        }
        assert!(page.contains(&format!("`{name}`")), "{name} is not in examples/README.md");
        let mark = match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("py" | "sh") => "# ",
            Some("mjs") => "// ",
            _ => continue,
        };
        let text = fs::read_to_string(examples().join(&name)).unwrap();
        let comments = text.lines().skip_while(|line| line.starts_with("#!"));
        let count = comments.take_while(|line| line.starts_with(mark)).count();
        assert_eq!(count, 3, "{name}");
        programs += 1;
    }
    assert!(programs >= 6, "only {programs} programs");
}

/// Runs an example as its reader would; what it printed.
fn run(command: &mut Command) -> String {
    let mock = Mock::start();
    let gateway = mock.gateway();
    let output = command
        .env("OPENAI_BASE_URL", format!("http://{}/v1", gateway.apps))
        .env("OPENAI_API_KEY", jwt("acme"))
        // Nothing but the gateway is called.
        .env("LANGSMITH_TRACING", "false")
        .env("AI_SDK_LOG_WARNINGS", "false")
        .output()
        .expect("run");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    out
}

#[track_caller]
fn is_answered_and_redacted(printed: &str) {
    assert!(printed.contains("simulated answer") && !printed.contains("jane"), "{printed}");
}

/// A Python example with the packages of `.venv`.
fn python(name: &str) -> String {
    run(Command::new(root().join(".venv/bin/python")).arg(examples().join(name)))
}

/// A Node example. It is read from standard input, so that the packages beside the test programs
/// are found.
fn node(name: &str) -> String {
    let source = fs::File::open(examples().join(name)).unwrap();
    run(Command::new("node")
        .args(["--input-type=module", "-"])
        .current_dir(root().join("tests/sdk"))
        .stdin(Stdio::from(source)))
}

#[test]
#[ignore = "needs curl; run by scripts/test"]
fn the_curl_example_runs() {
    let printed = run(Command::new("bash").arg(examples().join("curl.sh")));
    for expected in ["chat.completion", "data: [DONE]", "\"billing\"", "invalid_json"] {
        assert!(printed.contains(expected), "{expected} is not in {printed}");
    }
    is_answered_and_redacted(&printed);
}

#[test]
#[ignore = "needs the Python SDK; run by scripts/test"]
fn the_python_example_runs() {
    is_answered_and_redacted(&python("chat.py"));
}

#[test]
#[ignore = "needs the Node SDK; run by scripts/test"]
fn the_node_example_runs() {
    is_answered_and_redacted(&node("chat.mjs"));
}

#[test]
#[ignore = "needs LangChain; run by scripts/test"]
fn the_langchain_example_runs() {
    let printed = python("langchain.py");
    is_answered_and_redacted(&printed);
    assert!(printed.contains("1536 dimensions"), "{printed}");
}

/// CONTRIBUTING.md says how to install the packages, which takes too long for `scripts/test`.
#[test]
#[ignore = "needs LlamaIndex; run by hand"]
fn by_hand_the_llamaindex_example_runs() {
    let python = root().join(".venv-llamaindex/bin/python");
    is_answered_and_redacted(&run(Command::new(python).arg(examples().join("llamaindex.py"))));
}

#[test]
#[ignore = "needs the Vercel AI SDK; run by scripts/test"]
fn the_vercel_example_runs() {
    is_answered_and_redacted(&node("vercel-ai.mjs"));
}
