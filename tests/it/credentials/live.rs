//! `tollgate check --live` and the forms of `check`.

use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::token;
use crate::support::step::{self, Act};
use crate::support::{Provider, Seen, refused_address, tollgate};

/// `tollgate check` of a file with this text.
fn check(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    check_in(folder.path(), arguments)
}

fn check_in(folder: &Path, arguments: &[&str]) -> Output {
    tollgate()
        .args(["check", "--config", "all.yaml"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("run")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&out(output)).unwrap_or_else(|error| panic!("{error}: {}", out(output)))
}

/// The members of each result that do not depend on time.
fn told(output: &Output) -> Vec<Value> {
    let live = json_of(output)["live"].as_array().expect("live").clone();
    live.iter()
        .map(|live| {
            assert!(live["ms"].is_u64(), "{live}");
            assert!(live["detail"].is_string(), "{live}");
            json!([live["kind"], live["name"], live["ok"], live["code"]])
        })
        .collect()
}

#[test]
fn every_server_that_is_used_is_asked_once_for_something_free() {
    let [good, bad, gemini, bedrock, azure, entra, unused] = [(); 7].map(|()| Provider::start());
    let list = step::json(200, &json!({"object": "list", "data": []}));
    good.always(list.clone());
    bad.always(step::error(401, "invalid_api_key"));
    gemini.always(list);
    // A signed call without messages.
    bedrock.always(step::json(400, &json!({"message": "no messages"})));
    entra.always(step::json(401, &json!({"error": "invalid_client", "error_codes": [7_000_215]})));
    let text = format!(
        "auth: {{accept: [key]}}\nproviders:\n\
         \x20 good: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-good}}\n\
         \x20 bad: {{kind: anthropic, base_url: \"http://{}/v1\", api_key: sk-bad}}\n\
         \x20 gemini: {{kind: gemini, base_url: \"http://{}/v1beta\", api_key: sk-gemini}}\n\
         \x20 bedrock: {{kind: bedrock, base_url: \"http://{}\", auth: {{type: aws, region: x-1, \
         access_key_id: AKIA, secret_access_key: s}}}}\n\
         \x20 azure: {{kind: azure_openai, base_url: \"http://{}\", auth: {{type: entra, \
         tenant_id: t, \
         client_id: c, client_secret: sk-entra, token_url: \"http://{}/\"}}}}\n\
         \x20 gone: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-gone}}\n\
         \x20 keyless: {{kind: openai, base_url: \"http://{}/v1\"}}\n\
         \x20 unused: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-unused}}\n\
         routing: {{default: [good, bad, gemini, {{provider: bedrock, model: m-1}}, azure, gone, \
         keyless]}}\n\
         intent: {{provider: good}}\n",
        good.address,
        bad.address,
        gemini.address,
        bedrock.address,
        azure.address,
        entra.address,
        refused_address(),
        good.address,
        unused.address,
    );
    let output = check(&text, &["--live", "--format", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        told(&output),
        [
            json!(["provider", "good", true, "ok"]),
            json!(["provider", "bad", false, "key_refused"]),
            json!(["provider", "gemini", true, "ok"]),
            json!(["provider", "bedrock", true, "ok"]),
            json!(["provider", "azure", false, "key_refused"]),
            json!(["provider", "gone", false, "connect"]),
            json!(["provider", "keyless", null, "skipped"]),
        ]
    );
    assert_eq!(json_of(&output)["ok"], false);
    let asked = |double: &Provider| format!("{} {}", double.only().method, double.only().target);
    assert_eq!(asked(&good), "GET /v1/models");
    assert_eq!(asked(&bad), "GET /v1/models?limit=1");
    assert_eq!(asked(&gemini), "GET /v1beta/models?pageSize=1");
    assert_eq!(asked(&bedrock), "POST /model/m-1/converse");
    assert_eq!((bedrock.only().text(), entra.seen().len()), ("{}", 1));
    assert!(bedrock.only().header("authorization").unwrap().starts_with("AWS4-HMAC-SHA256 "));
    assert!(unused.seen().is_empty() && azure.seen().is_empty());
    let keys = |seen: &Seen| format!("{:?}", seen.headers);
    assert!(keys(&good.only()).contains("sk-good") && !keys(&good.only()).contains("sk-bad"));
    assert!(!out(&output).contains("sk-"), "{}", out(&output));

    // The same for people, and beside the lines of the file.
    let printed = out(&check(&text, &["--live"]));
    assert!(printed.contains("\nprovider bad: key refused (status 401)\n"), "{printed}");
    assert!(printed.contains("\nprovider gone: connect (no answer"), "{printed}");
    let printed = out(&check(&text, &["--live", "--format", "github"]));
    let line = "::error file=all.yaml,line=4,col=36,endColumn=";
    let line = printed.lines().find(|printed| printed.starts_with(line)).expect(&printed);
    assert!(
        line.ends_with(",title=providers.bad.base_url::provider bad: key refused (status 401)"),
        "{line}"
    );
}

#[test]
fn a_token_is_fetched_and_shown_and_a_server_that_hangs_is_left() {
    let [azure, entra, keys, hangs] = [(); 4].map(|()| Provider::start());
    azure.always(step::json(200, &json!({"object": "list", "data": []})));
    entra.always(token("tok-live", 3600));
    keys.always(step::json(404, &json!({})));
    hangs.always(vec![Act::Hold]);
    let text = format!(
        "auth: {{accept: [jwt], jwt: {{jwks: 'http://{}/keys', algorithms: \
            [RS256]}}}}\nproviders:\n\
         \x20 azure: {{kind: azure_openai, base_url: \"http://{}\", auth: {{type: entra, \
         tenant_id: t, \
         client_id: c, client_secret: s, token_url: \"http://{}/\"}}}}\n\
         \x20 hangs: {{kind: openai, base_url: \"http://{}/v1\", api_key: sk-1}}\n\
         routing: {{default: [azure, hangs]}}\n",
        keys.address, azure.address, entra.address, hangs.address
    );
    let output = check(&text, &["--live", "--format", "json"]);
    assert_eq!(
        told(&output),
        [
            json!(["provider", "azure", true, "ok"]),
            json!(["provider", "hangs", false, "timeout"]),
            json!(["jwks", "jwks", false, "not_found"]),
        ]
    );
    assert_eq!(azure.only().target, "/openai/v1/models");
    assert_eq!(azure.only().header("authorization"), Some("Bearer tok-live"));
}

#[test]
fn problems_have_the_same_places_in_every_form() {
    let text = "auth: {accept: [key]}\nlimits: {burst: 0, brust: 1}\nproviders: {a: {base_url: \
        'http://x/v1'}}\n";
    let lines = out(&check(text, &[]));
    let output = check(text, &["--format", "json"]);
    assert!(out(&output).starts_with("{\"version\":1,"), "{}", out(&output));
    assert_eq!(output.status.code(), Some(1));
    let told = json_of(&output);
    assert_eq!(
        [&told["version"], &told["ok"], &told["policy_version"], &told["live"]],
        [&json!(1), &json!(false), &Value::Null, &Value::Null]
    );
    let problems = told["problems"].as_array().unwrap();
    let again: Vec<String> = problems
        .iter()
        .map(|p| {
            let part = |name: &str| p[name].as_str().unwrap_or_default().to_owned();
            format!(
                "{}:{}:{}: {}: {}; {}",
                part("file"),
                p["line"],
                p["column"],
                part("key"),
                part("message"),
                part("help")
            )
        })
        .collect();
    // Below each problem stands its line of the file.
    let told_in_text: Vec<&str> = lines.lines().filter(|line| !line.starts_with("  ")).collect();
    assert_eq!(again, told_in_text);
    assert_eq!(problems[0]["end_column"], json!(18), "{}", problems[0]);
    let codes: Vec<&Value> = problems.iter().map(|problem| &problem["code"]).collect();
    assert!(
        codes.contains(&&json!("unknown_key")) && codes.contains(&&json!("invalid_value")),
        "{codes:?}"
    );
    let github = out(&check(text, &["--format", "github"]));
    assert_eq!(github.lines().count(), problems.len());
    assert!(
        github.starts_with(
            "::error file=all.yaml,line=2,col=17,endColumn=18,\
            title=limits.burst::0 is not allowed; "
        ),
        "{github}"
    );
}

#[test]
fn warnings_have_the_place_of_their_key_and_are_no_failure() {
    let text = "auth: {accept: [key]}\nproviders:\n  a: {base_url: 'http://x.example/v1', \
        api_key: k}\n\
                routing: {default: [a]}\n";
    let output = check(text, &["--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let told = json_of(&output);
    assert_eq!(
        (&told["ok"], told["policy_version"].as_str().map(str::len)),
        (&json!(true), Some(12))
    );
    let warning =
        told["problems"].as_array().unwrap().iter().find(|p| p["key"] == "providers.a.base_url");
    let warning = warning.unwrap_or_else(|| panic!("{told}"));
    assert_eq!([&warning["severity"], &warning["line"]], [&json!("warning"), &json!(3)]);
}
