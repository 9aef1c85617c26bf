use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::findings::{Finding, Status};
use super::output::Output;
use super::tree::At;
use super::{litellm, output};
use crate::config::effective::Effective;
use crate::config::{Loaded, Problems, Purpose, Source, read_yaml};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import/litellm")
}

fn import(name: &str) -> (Output, Vec<Finding>) {
    let text = std::fs::read_to_string(folder().join(format!("{name}.yaml"))).expect("a fixture");
    litellm::import(&read_yaml(name, &text).expect("YAML")).expect("models")
}

/// A variable of the environment, as the fixtures use them.
fn variable(name: &str) -> Option<String> {
    Some(match name {
        "AZURE_API_BASE" => "https://env.openai.azure.com".to_owned(),
        "AZURE_TENANT_ID" | "AZURE_CLIENT_ID" => "11111111-2222-3333-4444-555555555555".to_owned(),
        "AWS_REGION" => "eu-central-1".to_owned(),
        name if ["KEY", "SECRET", "PASSWORD", "ONE", "TWO"]
            .iter()
            .any(|end| name.ends_with(end)) =>
        {
            format!("value-of-{name}")
        }
        "VERTEXAI_PROJECT" | "VERTEXAI_LOCATION" | "AWS_ACCESS_KEY_ID" => {
            format!("value-of-{name}")
        }
        _ => return None,
    })
}

/// The configuration that `check` takes.
fn loaded(output: &Output) -> Loaded {
    let dir = tempfile::tempdir().expect("folder");
    for (name, text, has_secret) in output.files("fixture") {
        output::write(&dir.path().join(name), &text, has_secret).expect("written");
    }
    let mut problems = Problems::default();
    problems.env = variable;
    let source = Source::Folder(dir.path().to_owned());
    source.load_in(1_790_000_000_000, Purpose::Serve, problems).unwrap_or_else(|problems| {
        let files: Vec<String> = output.files("fixture").into_iter().map(|file| file.1).collect();
        panic!("{problems}\n{}", files.join("\n"))
    })
}

fn value(effective: &Effective, key: &str) -> Json {
    let mut found = effective.settings.iter().filter(|setting| setting.key == key);
    found.next().unwrap_or_else(|| panic!("{key} is missing")).value.clone()
}

/// Status and target of the findings with this path.
fn of<'f>(findings: &'f [Finding], path: &str) -> Vec<(Status, Option<&'f str>)> {
    let here = findings.iter().filter(|finding| finding.path == path);
    here.map(|finding| (finding.status, finding.to.as_deref())).collect()
}

fn keys(at: &At<'_>, found: &mut BTreeSet<String>) {
    for (_, at) in at.entries() {
        found.insert(at.path.clone());
        keys(&at, found);
    }
    at.list().iter().for_each(|at| keys(at, found));
}

/// Keys whose one finding stands for what is below.
const UNITS: &[&str] = &[
    "fallbacks",
    "default_fallbacks",
    "mode",
    "presidio_phrase_allow_list",
    "allowed_routes",
    "public_routes",
];

#[test]
fn every_key_has_a_finding_and_every_policy_is_taken() {
    let mut count = 0;
    for entry in std::fs::read_dir(folder()).expect("fixtures").flatten() {
        count += 1;
        let name = entry.path().file_stem().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(entry.path()).expect("a fixture");
        let node = read_yaml(&name, &text).expect("YAML");
        let (output, findings) = litellm::import(&node).expect("models");
        let mut all = BTreeSet::new();
        keys(&At::top(&node), &mut all);
        for path in &all {
            let is_over = |finding: &Finding| {
                let below = path.strip_prefix(&finding.path);
                let is_below = below.is_some_and(|rest| rest.starts_with(['.', '[']));
                let last = finding.path.rsplit('.').next().unwrap_or_default();
                finding.path == *path
                    || is_below && (finding.status == Status::Unsupported || UNITS.contains(&last))
            };
            assert!(findings.iter().any(is_over), "{name}: {path} has no finding");
        }
        for finding in &findings {
            assert!(
                finding.line > 0
                    && (finding.status == Status::Exact || !finding.message.is_empty()),
                "{finding:?}"
            );
        }
        loaded(&output);
    }
    assert!(count >= 12, "{count} fixtures");
}

#[test]
fn models_become_providers_and_rules() {
    let (output, findings) = import("vendors");
    let policy = loaded(&output).origin.effective;
    assert_eq!(value(&policy, "providers.openai.api_key"), json!("***"));
    assert_eq!(value(&policy, "providers.groq.base_url"), json!("https://api.groq.com/openai/v1"));
    assert_eq!(value(&policy, "providers.ollama.base_url"), json!("http://localhost:11434/v1"));
    assert_eq!(
        value(&policy, "providers.anthropic-2.base_url"),
        json!("https://anthropic.example.com/v1")
    );
    assert_eq!(value(&policy, "routing.models[0].to[0].model"), json!("gpt-4o-mini"));
    assert_eq!(of(&findings, "model_list[9]"), [(Status::Unsupported, None)]);
    assert!(
        !policy.settings.iter().any(|s| s.value == json!("unknown")),
        "a model that is left out"
    );

    let (output, findings) = import("azure");
    let policy = loaded(&output).origin.effective;
    assert_eq!(value(&policy, "providers.azure.base_url"), json!("https://res.openai.azure.com"));
    assert_eq!(value(&policy, "providers.azure-3.auth.type"), json!("entra"));
    assert_eq!(value(&policy, "routing.models[0].to[0].weight"), json!(60));
    assert_eq!(value(&policy, "routing.models[0].to[1].weight"), json!(180));
    let rpm = of(&findings, "model_list[0].litellm_params.rpm");
    assert_eq!(rpm, [(Status::Approximate, Some("routing.models[].to[].weight"))]);
    let token = of(&findings, "model_list[3].litellm_params.azure_ad_token");
    assert_eq!(token, [(Status::Unsupported, None)]);

    let policy = loaded(&import("clouds").0).origin.effective;
    assert_eq!(value(&policy, "providers.bedrock.auth.region"), json!("eu-central-1"));
    let url = "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global/\
        publishers/anthropic";
    assert_eq!(value(&policy, "providers.vertex-ai-2.base_url"), json!(url));
    assert_eq!(value(&policy, "providers.vertex-ai-2.kind"), json!("anthropic"));

    let (output, findings) = import("credentials");
    let policy = loaded(&output).origin.effective;
    let target = |rule: usize| value(&policy, &format!("routing.models[{rule}].to[0].provider"));
    assert_eq!((target(0), target(1)), (json!("team-openai"), json!("team-openai")));
    assert_ne!(target(2), json!("team-openai"));
    let name = |at: usize| {
        of(&findings, &format!("model_list[{at}].litellm_params.litellm_credential_name"))[0].0
    };
    assert_eq!(
        [0, 2, 3, 4].map(name),
        [Status::Exact, Status::Approximate, Status::Unsupported, Status::Unsupported]
    );
}

#[test]
fn routing_and_settings_are_carried_over() {
    let (output, findings) = import("routing");
    let loaded_policy = loaded(&output);
    let policy = &loaded_policy.origin.effective;
    let rules: Vec<String> = (0..6)
        .map(|i| value(policy, &format!("routing.models[{i}].match")).as_str().unwrap().to_owned())
        .collect();
    assert_eq!(rules, ["big", "small", "huge", "secret", "*", "gpt-*"]);
    assert_eq!(value(policy, "routing.models[0].to[0].weight"), json!(3));
    assert_eq!(value(policy, "routing.models[0].to[0].timeouts.first_byte"), json!("5500ms"));
    // The fallback of `big`: both targets of `small`, only for calls that failed.
    assert_eq!(value(policy, "routing.models[0].to[2].weight"), json!(0));
    assert_eq!(value(policy, "routing.models[1].to[1].weight"), json!(0));
    assert_eq!(value(policy, "retry.max_retries"), json!(3));
    assert_eq!(value(policy, "retry.base_delay"), json!("2s"));
    assert_eq!(value(policy, "timeouts.total"), json!("90s"));
    assert_eq!(value(policy, "breaker.consecutive_failures"), json!(4));
    assert_eq!(of(&findings, "litellm_settings.num_retries"), [(Status::Unsupported, None)]);
    assert_eq!(of(&findings, "model_list[2]"), [(Status::Unsupported, None)]);
    assert_eq!(of(&findings, "model_list[3]"), [(Status::Unsupported, None)]);
    assert_eq!(of(&findings, "router_settings.model_group_alias.huge")[0].0, Status::Exact);
    assert_eq!(of(&findings, "router_settings.model_group_alias.wrong")[0].0, Status::Unsupported);

    let policy = loaded(&import("redis").0).origin.effective;
    assert_eq!(value(&policy, "limits_store"), json!("redis://***@redis.internal:6380/2"));
    let (output, findings) = import("settings");
    let policy = loaded(&output).origin.effective;
    assert_eq!(value(&policy, "limits.each_user.usd_per_month"), json!("5"));
    assert_eq!(value(&policy, "limits.each_user.usd_per_day"), json!("1"));
    assert_eq!(value(&policy, "max_body_bytes"), json!("10MiB"));
    assert_eq!(value(&policy, "ailog.retention_days"), json!(30));
    assert_eq!(value(&policy, "auth.accept"), json!(["key"]));
    assert_eq!(of(&findings, "general_settings.master_key"), [(Status::Unsupported, None)]);
    assert_eq!(of(&findings, "general_settings.allowed_routes")[0].0, Status::Approximate);
    let policy = loaded(&import("jwt").0).origin.effective;
    assert_eq!(value(&policy, "auth.accept"), json!(["jwt"]));
    assert_eq!(value(&policy, "auth.jwt.jwks"), json!("https://login.example.com/keys"));
    assert_eq!(value(&policy, "auth.jwt.org_claim"), json!("client_id"));
}

#[test]
fn prices_and_redaction_are_carried_over() {
    let (output, findings) = import("prices");
    let policy = loaded(&output).origin.effective;
    assert_eq!(value(&policy, "prices[0].input"), json!("2.5"));
    assert_eq!(value(&policy, "prices[0].output"), json!("10"));
    assert_eq!(value(&policy, "prices[0].cached_input"), json!("1.25"));
    assert_eq!(value(&policy, "prices[1].model"), json!("my-4o"));
    assert_eq!(of(&findings, "model_list[2].model_info.base_model")[0].0, Status::Unsupported);
    let (output, findings) = import("guardrails");
    let policy = loaded(&output).origin.effective;
    assert_eq!(value(&policy, "redaction.entities"), json!(["email", "iban", "ip", "us_ssn"]));
    assert_eq!(value(&policy, "redaction.restore"), json!(true));
    assert_eq!(value(&policy, "redaction.answers"), json!("mask"));
    let blocked = "guardrails[0].litellm_params.pii_entities_config.CREDIT_CARD";
    assert_eq!(of(&findings, blocked), [(Status::Unsupported, None)]);
    assert_eq!(of(&findings, "guardrails[2]"), [(Status::Unsupported, None)]);
    let policy = loaded(&import("presidio_plain").0).origin.effective;
    assert_eq!(value(&policy, "redaction.entities"), json!(["email", "phone"]));
    assert_eq!(value(&policy, "routing.on_loss"), json!("refuse"));
}

#[test]
fn a_literal_secret_stays_as_it_is_in_a_file_of_its_owner() {
    use std::os::unix::fs::PermissionsExt as _;
    let (output, _) = import("literal");
    let files = output.files("fixture");
    let (_, text, has_secret) =
        files.iter().find(|f| f.0 == "policies/providers.yaml").expect("a file");
    assert!(*has_secret && text.contains("sk-literal-$${not-a-variable}-key"), "{text}");
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("policies/providers.yaml");
    output::write(&path, text, *has_secret).expect("written");
    assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
    loaded(&output);
}
