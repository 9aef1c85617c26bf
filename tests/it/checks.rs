//! `tollgate check` and the start tell what callers would suffer from later: problems are refused,
//! risks are warnings.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use crate::support::{Provider, Setup, eventually, tollgate};

const AUTH: &str = "auth: {accept: [key]}\n";
const PROVIDERS: &str = "providers: {openai: {base_url: 'https://x.example/v1', api_key: k}}\n";

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    tollgate().args(arguments).current_dir(folder).stdin(Stdio::null()).output().expect("run")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// What `check` says of one file with these sections in it.
fn check(more: &str) -> (Option<i32>, String) {
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkw\n-----END PUBLIC KEY-----\n";
    let folder = folder(&[
        ("all.yaml", more),
        ("key.pem", pem),
        ("none.json", "{\"keys\": [{\"kty\": \"RSA\", \"use\": \"enc\"}]}"),
        ("file", ""),
    ]);
    let output = run(folder.path(), &["check", "--config", "all.yaml"]);
    (output.status.code(), text(&output))
}

#[test]
fn problems_are_refused_with_their_place() {
    let jwks = |file: &str| {
        format!("auth: {{accept: [jwt], jwt: {{jwks: {file}, algorithms: [RS256]}}}}\n{PROVIDERS}")
    };
    for (yaml, place, words) in [
        (
            format!("{AUTH}providers: {{openai: {{kind: openai, api_key: k}}}}\n"),
            "all.yaml:2:21: providers.openai.base_url: ",
            "missing; give the server's address, e.g. https://api.openai.com/v1",
        ),
        (
            format!("{AUTH}providers: {{a: {{kind: anthropic, api_key: k}}}}\n"),
            "all.yaml:2:",
            "e.g. https://api.anthropic.com/v1",
        ),
        (jwks("key.pem"), "all.yaml:1:", "`key.pem` is not a usable key set: a PEM file"),
        (jwks("none.json"), "all.yaml:1:", "no key that can be used"),
        (format!("{AUTH}{PROVIDERS}data_dir: file/data\n"), "data_dir: ", "cannot be made"),
        (format!("{AUTH}{PROVIDERS}data_dir: /proc/data\n"), "data_dir: ", "cannot be made"),
        (
            "retry:\n  max_retries: 2\n\tbase_delay: 1s\n".to_owned(),
            "all.yaml:3:1: ",
            "a tab indents this line; use spaces",
        ),
        ("retry:\n\tmax_retries: 2\n".to_owned(), "all.yaml:2:1: ", "a tab indents this line"),
    ] {
        let (code, said) = check(&yaml);
        assert!(code == Some(1) && said.contains(place) && said.contains(words), "{yaml}: {said}");
        assert_eq!(said.matches("all.yaml:").count().max(1), 1, "one problem: {said}");
    }
}

#[test]
fn risks_are_warnings() {
    let with = |more: &str| format!("auth: {{accept: [jwt], jwt: {{{more}}}}}\n{PROVIDERS}");
    let provider = |more: &str| format!("{AUTH}providers: {{openai: {{{more}}}}}\n");
    for (yaml, words) in [
        (provider("base_url: 'https://x.example/v1'"), "only callers with their own key"),
        (provider("base_url: 'https://x.example', api_key: k"), "base_url: has no path"),
        (
            provider("base_url: 'https://x.example/v1/chat/completions', api_key: k"),
            "base_url: ends with",
        ),
        (with("secret: q8Zt3LxW0pVnR5yK"), "shorter than the 32 bytes that RFC 7518 asks for"),
        (
            with("secret: q8Zt3LxW0pVnR5yKd7Hc1Mf9Jb4Gs6Tu, algorithms: [HS512]"),
            "shorter than the 64 bytes that RFC 7518 asks for",
        ),
        (
            format!(
                "{AUTH}{PROVIDERS}routing: {{models: [{{match: '^gpt-4o.*$', to: [openai]}}]}}\n"
            ),
            "looks like a regular expression",
        ),
    ] {
        let (code, said) = check(&yaml);
        assert!(
            code == Some(0) && said.contains("warning: ") && said.contains(words),
            "{yaml}: {said}"
        );
    }
}

#[test]
fn a_folder_without_a_policy_is_refused_where_it_is_named() {
    for (files, config) in [
        (&[("config/gateway.yaml", "")][..], "config"),
        (&[("config/policies/a.txt", "")], "config"),
    ] {
        let folder = folder(files);
        for command in ["check", "serve"] {
            let output = run(folder.path(), &[command, "--config", config]);
            let said = text(&output);
            assert!(
                output.status.code() == Some(1) && said.contains("there is no policy file"),
                "{command}: {said}"
            );
        }
    }
    // In the usual place it is the built-in configuration, and that is said.
    for files in [&[][..], &[("config/gateway.yaml", "")]] {
        let folder = folder(files);
        let mut command = tollgate();
        command.arg("check").current_dir(folder.path()).stdin(Stdio::null());
        command.env("TOLLGATE_JWT_SECRET", "a-secret-of-the-tests-with-32-bytes-");
        let output = command.output().unwrap();
        let said = text(&output);
        assert!(
            output.status.success() && said.contains("warning: policies: there is no policy file"),
            "{said}"
        );
    }
}

#[test]
fn a_key_set_without_a_usable_key_is_not_ready() {
    let provider = Provider::start();
    let keys = folder(&[("keys.json", "{\"keys\": []}")]);
    let file = keys.path().join("keys.json");
    let gateway = Setup::new(&provider)
        .section("auth", &format!("jwt: {{jwks: \"{}\", algorithms: [EdDSA]}}", file.display()))
        .start();
    let reply = gateway.operators("/readyz");
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("auth.jwt.jwks"), "{}", reply.text());
    eventually("the reason in the log", || {
        gateway.printed().contains("no key that can be used").then_some(())
    });
    // A good one is taken up when it is there.
    // The public key of RFC 8037, appendix A.2.
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let set = format!("{{\"keys\": [{{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"{x}\"}}]}}");
    fs::write(&file, set).unwrap();
    eventually("a key", || (gateway.operators("/readyz").status == 200).then_some(()));
}
