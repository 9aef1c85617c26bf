//! The official SDKs as callers of every kind of provider: one program for each SDK, unmodified
//! across kinds, whose results must be the same whatever answers.
//!
//! Between the gateway and `tollgate mock`, which refuses what a provider would refuse, stands a
//! wire that keeps the bytes of all requests. Ignored by a plain `cargo test`; `scripts/test`
//! installs the SDKs and runs them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use crate::sdk::{Mock, root};
use crate::support::{Gateway, Setup, jwt};

/// A wire that keeps all that goes towards the provider.
struct Wire {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    fn towards(provider: SocketAddr) -> Wire {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().unwrap();
        let sent: Arc<Mutex<Vec<u8>>> = Arc::default();
        let kept = Arc::clone(&sent);
        std::thread::spawn(move || {
            for gateway in listener.incoming().flatten() {
                let provider = TcpStream::connect(provider).expect("the provider");
                let (back, answers) = (gateway.try_clone().unwrap(), provider.try_clone().unwrap());
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || {
                    copy(gateway, provider, |bytes| kept.lock().unwrap().extend(bytes));
                });
                std::thread::spawn(move || copy(answers, back, |_| ()));
            }
        });
        Wire { address, sent }
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock().unwrap()).into_owned()
    }
}

/// Copies until either side ends; each piece is seen before it is sent on.
fn copy(mut from: TcpStream, mut to: TcpStream, see: impl Fn(&[u8])) {
    let mut piece = [0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        see(&piece[..read]);
        if to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = to.shutdown(Shutdown::Write);
}

/// A kind of provider, the path of its API, and a model of it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    path: &'static str,
    model: &'static str,
}

const KINDS: [Kind; 5] = [
    Kind { name: "openai", path: "/v1", model: "gpt-5.1" },
    Kind { name: "azure_openai", path: "", model: "my-gpt" },
    Kind { name: "anthropic", path: "/v1", model: "claude-opus-4-8" },
    Kind { name: "gemini", path: "/v1beta", model: "gemini-3-flash-preview" },
    Kind { name: "bedrock", path: "", model: "us.anthropic.claude-opus-4-8-v1:0" },
];

fn gateway(kind: Kind, provider: SocketAddr) -> Gateway {
    let Kind { name, path, model } = kind;
    let providers =
        format!("{name}: {{kind: {name}, base_url: \"http://{provider}{path}\", api_key: sk-own}}");
    Setup::towards(provider)
        .section("providers", &providers)
        .section("routing", &format!("default: [{{provider: {name}, model: \"{model}\"}}]"))
        .section("intent", &format!("{{provider: {name}}}"))
        .section("redaction", "{attachments: allow}")
        .section("prices", "- {model: \"*\", input: 1, cached_input: 0.1, output: 2}")
        .start()
}

/// The results of a program against one kind of provider, after the rows of its calls have been
/// checked.
fn run(program: &Path, script: &str, kind: Kind) -> Value {
    let (mock, name) = (Mock::start(), kind.name);
    let wire = Wire::towards(mock.address);
    let gateway = gateway(kind, wire.address);
    let output = Command::new(program)
        .arg(root().join("tests/sdk").join(script))
        .env("OPENAI_BASE_URL", format!("http://{}/v1", gateway.apps))
        .env("OPENAI_API_KEY", jwt("acme"))
        .env("ANTHROPIC_BASE_URL", format!("http://{}", gateway.apps))
        .env("ANTHROPIC_AUTH_TOKEN", jwt("acme"))
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("OPENAI_ORG_ID")
        .env_remove("OPENAI_PROJECT_ID")
        .stdin(Stdio::null())
        .output()
        .expect("run");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script} against {name}:\n{out}\n{err}");
    let mut told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}\n{err}"));
    let count = |field: &str| usize::try_from(told[field].as_u64().unwrap()).unwrap();
    let (calls, counts) = (count("calls"), count("counts"));
    let rows = gateway.rows(calls + counts);
    assert_eq!(rows.len(), calls + counts, "{name}");
    rows.iter().for_each(|row| is_exact(row, kind));
    // Personal data stayed here, and each prompt went out.
    let sent = wire.sent();
    assert!(!sent.contains("jane.doe") && !sent.contains("415 555"), "{name}: personal data");
    assert!(sent.matches("[REDACTED_EMAIL]").count() >= calls, "{name}");
    told["results"].take()
}

/// The usage that the provider reported, and its cost: 40 tokens at 1, 60 at 0.1 and 40 at 2 USD
/// per million.
fn is_exact(row: &Map<String, Value>, kind: Kind) {
    assert_eq!([&row["outcome"], &row["provider"]], ["ok", kind.name], "{row:?}");
    let is_count = row["endpoint"].as_str().is_some_and(|endpoint| endpoint.contains("count"));
    if is_count {
        return;
    }
    let told = ["input_tokens", "cached_tokens", "output_tokens"].map(|name| &row[name]);
    assert_eq!(told, [100, 60, 40], "{row:?}");
    assert_eq!(row["usage_source"], "provider", "{row:?}");
    assert_eq!(row["cost_usd"], json!(0.000_126), "{row:?}");
}

/// Runs a program against all kinds; their results are the same but for the fields that are said
/// to be lost.
fn matrix(program: &Path, script: &str, feature: &str, lost: [&str; 5]) {
    let mut first: Option<Value> = None;
    for (kind, lost) in KINDS.into_iter().zip(lost) {
        let mut results = run(program, script, kind);
        let told = results[feature]["lost"].take();
        assert_eq!(told, lost, "{script} against {}", kind.name);
        match &first {
            None => first = Some(results),
            Some(first) => {
                for (feature, expected) in first.as_object().unwrap() {
                    assert_eq!(&results[feature], expected, "{feature} against {}", kind.name);
                }
            }
        }
    }
    let results = first.unwrap();
    let features = results.as_object().unwrap();
    for (feature, result) in features {
        is_right(feature, result);
    }
    assert!(features.len() >= 9, "{features:?}");
}

/// The result of a feature, whatever answers.
fn is_right(feature: &str, result: &Value) {
    const ANSWER: &str = "This is a simulated answer. You wrote: ";
    let calls = json!([["get_weather", {"city": "Paris"}], ["get_time", {"city": "Tokyo"}]]);
    let text = result["text"].as_str().or(result.as_str()).unwrap_or_default();
    if feature.contains("tools") {
        assert_eq!(result["calls"], calls, "{feature}");
        assert_eq!(text, "The tools answered: result 0; result 1", "{feature}");
    } else if feature.contains("structured") {
        assert_eq!(result, &json!({"city": "Rome", "kind": "Rome", "tags": ["Rome"]}), "{feature}");
    } else if feature.contains("vision") {
        assert!(text.starts_with(&format!("I was sent image/png. {ANSWER}What is")), "{text}");
    } else if feature == "forced" {
        assert_eq!(result, &json!(["get_time"]));
    } else if feature == "count_tokens" {
        assert_eq!(result, 100);
    } else {
        let expected = format!("{ANSWER}I am [REDACTED_EMAIL], call me at [REDACTED_PHONE].");
        assert_eq!(text, expected, "{feature}: {result}");
    }
}

fn python() -> PathBuf {
    let python = root().join(".venv/bin/python");
    assert!(python.exists(), "{} is missing: run scripts/test", python.display());
    python
}

#[test]
#[ignore = "needs the Python SDK; run by scripts/test"]
fn the_openai_sdk_gets_the_same_from_every_kind() {
    let lost = [
        "",
        "",
        "chat>anthropic; dropped=\"seed\"",
        "chat>gemini",
        "chat>bedrock; dropped=\"seed\"",
    ];
    matrix(&python(), "matrix_openai.py", "chat", lost);
}

#[test]
#[ignore = "needs the Node SDK; run by scripts/test"]
fn the_openai_sdk_for_node_gets_the_same_from_every_kind() {
    let lost = [
        "",
        "",
        "chat>anthropic; dropped=\"seed\"",
        "chat>gemini",
        "chat>bedrock; dropped=\"seed\"",
    ];
    matrix(Path::new("node"), "matrix_openai.mjs", "chat", lost);
}

#[test]
#[ignore = "needs Anthropic's Python SDK; run by scripts/test"]
fn the_anthropic_sdk_gets_the_same_from_every_kind() {
    let lost =
        ["messages>openai", "messages>azure_openai", "", "messages>gemini", "messages>bedrock"];
    matrix(&python(), "matrix_anthropic.py", "whole", lost);
}

/// Runs a coding agent in an empty folder of its own; what it printed, and what the provider got.
fn agent(name: &str, kind: Kind, prepare: impl Fn(&mut Command, &Path, &Gateway)) -> [String; 2] {
    let program = root().join("tests/agents/node_modules/.bin").join(name);
    assert!(program.exists(), "{} is missing: see CONTRIBUTING.md", program.display());
    let (mock, folder) = (Mock::start(), tempfile::tempdir().unwrap());
    let wire = Wire::towards(mock.address);
    let gateway = gateway(kind, wire.address);
    let mut command = Command::new(program);
    command
        .env("HOME", folder.path())
        .env("OPENAI_API_KEY", jwt("acme"))
        .env("ANTHROPIC_AUTH_TOKEN", jwt("acme"))
        .env_remove("ANTHROPIC_API_KEY")
        .current_dir(folder.path())
        .stdin(Stdio::null());
    prepare(&mut command, folder.path(), &gateway);
    let output = command.output().expect("run");
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    for row in gateway.rows(1) {
        assert_eq!(row["outcome"], "ok", "{row:?}");
    }
    let sent = wire.sent();
    assert!(!sent.contains("jane.doe") && sent.contains("[REDACTED_EMAIL]"), "{out}");
    [out, sent]
}

/// CONTRIBUTING.md says how to install the agents, which take too much room for `scripts/test`.
#[test]
#[ignore = "needs Claude Code; run by hand"]
fn by_hand_claude_code_works_with_gemini() {
    let ask = |question: &str, tools: &[&str]| {
        agent("claude", KINDS[3], |command, _, gateway| {
            command
                .env("ANTHROPIC_BASE_URL", format!("http://{}", gateway.apps))
                .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
                .args(["-p", question])
                .args(tools);
        })
    };
    let [out, sent] = ask("Write a short note to jane.doe@example.com", &["--tools", ""]);
    assert!(out.contains("This is a simulated answer"), "{out}");
    assert!(sent.contains(":streamGenerateContent?alt=sse"));
    // A tool is called and its result sent back.
    let [out, sent] = ask("Use Glob to find the files of jane.doe@example.com", &[]);
    assert!(out.contains("answered") && sent.contains("functionResponse"), "{out}");
}

#[test]
#[ignore = "needs Codex; run by hand"]
fn by_hand_codex_works_with_anthropic() {
    let [out, sent] = agent("codex", KINDS[2], |command, folder, gateway| {
        let config = format!(
            "model = \"gpt-5.1\"\nmodel_provider = \"tollgate\"\n\n[model_providers.tollgate]\n\
             name = \"Tollgate\"\nbase_url = \"http://{}/v1\"\nenv_key = \"OPENAI_API_KEY\"\n\
             wire_api = \"responses\"\n",
            gateway.apps
        );
        std::fs::write(folder.join("config.toml"), config).unwrap();
        command.env("CODEX_HOME", folder).args([
            "exec",
            "--skip-git-repo-check",
            "Write a short note to jane.doe@example.com",
        ]);
    });
    assert!(out.contains("simulated answer") || out.contains("answered"), "{out}");
    assert!(sent.contains("POST /v1/messages"));
}
