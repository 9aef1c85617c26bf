//! A command resolves only the secrets that it uses: variables that are not set elsewhere in the
//! configuration do not matter to it.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::{Provider, step, tollgate};

/// A configuration in which every secret, and a whole address, comes from a variable.
fn folder(provider: &Provider) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    let write = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    write(
        "gateway.yaml",
        "admin_listen: 127.0.0.1:1\n\
         data_dir: \"${TEST_DATA:-data}\"\n\
         limits_store: \"${TEST_REDIS}\"\n\
         store: \"${TEST_STORE:-embedded}\"\n\
         clickhouse: {url: \"http://127.0.0.1:1\", password: \"${TEST_CLICKHOUSE}\"}\n"
            .to_owned(),
    );
    write(
        "policies/all.yaml",
        format!(
            "auth: {{accept: [jwt], jwt: {{secret: \"${{TEST_JWT}}\"}}}}\n\
             providers:\n  \
               asked: {{kind: openai, base_url: \"http://{}/v1\", \
               api_key: \"${{TEST_ASKED}}\"}}\n  \
               other: {{kind: openai, base_url: \"${{TEST_URL:-http://127.0.0.1:1/v1}}\", \
                        api_key: \"${{TEST_OTHER}}\"}}\n\
             routing: {{default: [other]}}\n\
             intent: {{provider: asked}}\n",
            provider.address
        ),
    );
    folder
}

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    tollgate()
        .args(arguments)
        .args(["--config", &folder.display().to_string()])
        .envs(variables.iter().copied())
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("run")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Tickets for `intent eval`.
fn tickets(folder: &Path) -> String {
    let file = folder.join("tickets.csv");
    fs::write(&file, "title,body,category,priority\nCharged twice,Please refund,billing,high\n")
        .unwrap();
    file.display().to_string()
}

#[test]
fn a_command_needs_no_secret_that_it_does_not_use() {
    let provider = Provider::start();
    let folder = folder(&provider);
    let day = ["--from", "2026-01-01", "--to", "2026-01-02"];
    for (arguments, good) in [
        // There is no log yet, and nothing listens.
        (&["report"][..], None),
        (&[&["reprice"][..], &day].concat()[..], None),
        (&["healthcheck"][..], None),
        (&["redact"][..], Some("")),
        (&["prices", "list"][..], Some("gpt-4o")),
        (&["clickhouse", "print"][..], Some("CREATE TABLE")),
    ] {
        let output = run(folder.path(), arguments, &[]);
        let printed = text(&output);
        assert!(!printed.contains("is not set"), "{arguments:?}: {printed}");
        match good {
            Some(expected) => assert!(
                output.status.success() && printed.contains(expected),
                "{arguments:?}: {printed}"
            ),
            None => assert_ne!(output.status.code(), Some(70), "{arguments:?}: {printed}"),
        }
    }
    // An address without a default is missing, and no command of these sends anything there.
    let policy = folder.path().join("policies/all.yaml");
    let without = fs::read_to_string(&policy).unwrap().replace(":-http://127.0.0.1:1/v1", "");
    fs::write(&policy, without).unwrap();
    let output = run(folder.path(), &["redact"], &[]);
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_secret_that_a_command_uses_is_asked_for_by_name() {
    let provider = Provider::start();
    let folder = folder(&provider);
    let tickets = tickets(folder.path());
    for (arguments, variables, named) in [
        (&["report"][..], &[("TEST_STORE", "clickhouse")][..], "TEST_CLICKHOUSE"),
        (&["clickhouse", "apply"], &[], "TEST_CLICKHOUSE"),
        (&["token", "--org", "acme"], &[], "TEST_JWT"),
        (&["intent", "eval", &tickets], &[], "TEST_ASKED"),
        (&["check"], &[], "TEST_OTHER"),
    ] {
        let output = run(folder.path(), arguments, variables);
        let printed = text(&output);
        let asked = format!("environment variable {named} is not set");
        assert!(
            output.status.code() == Some(1) && printed.contains(&asked),
            "{arguments:?}: {printed}"
        );
        // And for no other, unless all of it is used.
        let all = printed.matches("is not set").count();
        assert!(all == 1 || arguments[0] == "check", "{arguments:?}: {printed}");
    }
    let secret = [("TEST_JWT", "a-secret-of-the-tests-with-32-bytes-")];
    let token = run(folder.path(), &["token", "--org", "acme"], &secret);
    assert!(token.status.success(), "{}", text(&token));
}

#[test]
fn tickets_are_judged_with_the_key_of_their_provider_alone() {
    let provider = Provider::start();
    provider.always(step::chat(r#"{"category":"billing","priority":"high","confidence":0.9}"#));
    let folder = folder(&provider);
    let tickets = tickets(folder.path());
    let output = run(folder.path(), &["intent", "eval", &tickets], &[("TEST_ASKED", "sk-asked")]);
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(provider.only().header("authorization"), Some("Bearer sk-asked"));
}
