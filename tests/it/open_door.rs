//! Who gets in where a secret is missing: nobody, and no gateway credential goes to a provider.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;

use crate::support::{Gateway, Provider, SECRET, Setup, chat, eventually, jwt, sign, tollgate};

/// A command in an empty folder with this configuration, and without a secret in its environment.
fn run(config: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tollgate();
    command.args(arguments).arg("--config").arg(config).current_dir(folder.path());
    let Output { status, stdout, stderr } =
        command.envs(environment.iter().copied()).output().expect("start");
    (status.code(), String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned())
}

/// The configuration as it is shipped, with addresses that are free.
fn shipped(folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    fs::create_dir_all(folder.join("policies")).unwrap();
    for file in fs::read_dir(from.join("policies")).unwrap().flatten() {
        fs::copy(file.path(), folder.join("policies").join(file.file_name())).unwrap();
    }
    let gateway = fs::read_to_string(from.join("gateway.yaml")).unwrap();
    let gateway =
        gateway.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0");
    fs::write(folder.join("gateway.yaml"), gateway).unwrap();
}

#[test]
fn without_the_secret_a_gateway_does_not_start_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    shipped(folder.path());
    for environment in [&[][..], &[("TOLLGATE_JWT_SECRET", "")], &[("TOLLGATE_JWT_SECRET", "  ")]] {
        for command in ["check", "serve"] {
            let (code, told) = run(folder.path(), &[command], environment);
            assert_eq!(code, Some(1), "{command} {environment:?}: {told}");
            assert!(told.contains("access.yaml:") && told.contains("auth.jwt.secret: "), "{told}");
            assert!(told.contains("openssl rand -hex 32"), "the line to write: {told}");
        }
    }
    let secret = [("TOLLGATE_JWT_SECRET", SECRET)];
    let (code, told) = run(folder.path(), &["check"], &secret);
    assert_eq!(code, Some(0), "{told}");
    // Commands that take no calls need no callers' secret.
    for command in [&["report"][..], &["prices", "list"], &["clickhouse", "print"]] {
        let (code, told) = run(folder.path(), command, &[]);
        assert_eq!(code, Some(0), "{command:?}: {told}");
    }
    // A misspelt variable.
    let access = folder.path().join("policies/access.yaml");
    fs::write(&access, "auth: {accept: [key, jwt], jwt: {secret: \"${TOLLGATE_JWT_SECERT:-}\"}}\n")
        .unwrap();
    let (code, told) = run(folder.path(), &["serve"], &secret);
    assert!(code == Some(1) && told.contains("access.yaml:1:42: auth.jwt.secret: "), "{told}");
    // Nothing configured at all.
    let empty = folder.path().join("empty.yaml");
    fs::write(&empty, "").unwrap();
    assert_eq!(run(&empty, &["check"], &[]).0, Some(1));
    assert_eq!(run(&empty, &["check"], &secret).0, Some(0));
}

/// Each place where a client may put a credential.
const PLACES: &[&str] = &[
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "proxy-authorization",
    "x-auth-token",
    "cookie",
    "x-tollgate-token",
];

fn ask(gateway: &Gateway, headers: &[(&str, &str)]) -> u16 {
    gateway.send("POST", "/v1/chat/completions", headers, chat("hi").to_string().as_bytes()).status
}

#[test]
fn no_gateway_credential_reaches_a_provider_whatever_is_accepted() {
    let other = "another-secret-of-enough-bytes-for-a-token";
    let claims = json!({"org_id": "acme", "exp": 4_000_000_000_u64});
    let tokens = [
        jwt("acme"),
        sign(&json!({"alg": "HS256"}), &claims, other),
        sign(&json!({"alg": "none"}), &claims, SECRET),
        format!("{}..aXY.Y2lwaGVy.dGFn", jwt("acme").split('.').next().unwrap()),
        format!("jwt:{}", jwt("acme")),
        "tg-0123456789abcdef".to_owned(),
        "TG-0123456789ABCDEF".to_owned(),
    ];
    for auth in [
        "accept: [passthrough]",
        "accept: [passthrough, anonymous]",
        "accept: [key, anonymous]\njwt: {secret: \"\"}",
    ] {
        let provider = Provider::start();
        let gateway = Setup::new(&provider).section("auth", auth).start();
        let anonymous = auth.contains("anonymous");
        let own = if auth.contains("passthrough") { 200 } else { 0 };
        for token in &tokens {
            let bearer = format!("Bearer {token}");
            assert_eq!(ask(&gateway, &[("authorization", &bearer)]), 401, "{auth} {token}");
            assert_eq!(ask(&gateway, &[("x-api-key", token)]), 401, "{auth} {token}");
            for place in PLACES {
                let status = ask(&gateway, &[(place, token)]);
                let refused = [401, 400].contains(&status);
                assert!(refused || anonymous && status == 200, "{auth} {place} {token}: {status}");
                // Beside a key that may pass: the token is not looked at, and stays here.
                if *place != "authorization" {
                    let status = ask(
                        &gateway,
                        &[("authorization", "Bearer sk-own-key-123"), (place, token)],
                    );
                    assert!(
                        [own, 401, 400].contains(&status) || anonymous,
                        "{auth} {place} {token}: {status}"
                    );
                }
            }
        }
        for seen in provider.seen() {
            let told = format!("{seen:?}");
            for token in &tokens {
                assert!(
                    !told.contains(token.as_str()),
                    "{auth}: {token} went to the provider: {told}"
                );
            }
        }
    }
}

#[test]
fn a_secret_that_an_edit_empties_stays_in_force() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider).start();
    let before = gateway.policy_version();
    for edit in [
        "accept: [jwt, key, passthrough]",
        "jwt: {secret: \"${NO_SUCH_SECRET:-}\"}",
        "jwt: {secret: \"\"}",
    ] {
        let former = gateway.config()["last_refused"].clone();
        gateway.edit("auth", edit);
        let told = eventually("the refused edit", || {
            let refused = gateway.config()["last_refused"].clone();
            (refused != former).then(|| refused.to_string())
        });
        assert!(
            told.contains("auth.yaml:2:") && told.contains("neither a secret nor a key set"),
            "{told}"
        );
        assert_eq!(gateway.policy_version(), before);
        gateway.chat("acme", "hi").ok();
        let forged = sign(
            &json!({"alg": "HS256"}),
            &json!({"org_id": "acme", "exp": 4_000_000_000_u64}),
            "",
        );
        gateway.post("/v1/chat/completions", &forged, &chat("hi")).refused(401, "invalid_token");
    }
    assert!(
        provider
            .seen()
            .iter()
            .all(|seen| seen.header("authorization") == Some("Bearer sk-gateway-own-key"))
    );
}

#[test]
fn by_default_a_foreign_key_is_no_identity() {
    let provider = Provider::start();
    let gateway =
        Setup::new(&provider).section("auth", &format!("jwt: {{secret: \"{SECRET}\"}}")).start();
    for key in ["sk-foreign", "sk-ant-1", "x"] {
        gateway.post("/v1/chat/completions", key, &chat("hi")).refused(401, "invalid_token");
    }
    assert_eq!(ask(&gateway, &[]), 401);
    gateway.chat("acme", "hi").ok();
    assert_eq!(provider.seen().len(), 1);
}

#[test]
fn a_token_cannot_name_an_organisation_of_the_gateway_s_own() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section(
            "auth",
            &format!("accept: [jwt, passthrough, anonymous]\njwt: {{secret: \"{SECRET}\"}}"),
        )
        .start();
    for org in ["anonymous", "ANONYMOUS", "key-0123456789ab", "Key-acme", "passthrough"] {
        gateway.chat(org, "hi").refused(403, "org_missing");
    }
    assert_eq!(provider.seen().len(), 0);
    gateway.chat("keys", "hi").ok();
}

#[test]
fn open_doors_are_told_by_check_at_the_start_and_to_operators() {
    let provider = Provider::start();
    let gateway = Setup::new(&provider)
        .section("auth", "accept: [jwt, anonymous]\njwt: {secret: changeme}")
        .section("redaction", "{entities: [], terms: [{name: vip, words: [Jane Falcon]}]}")
        .start();
    let expected = [
        "auth.accept: `anonymous`",
        "auth.jwt.secret: it can be guessed",
        "redaction.entities: empty",
        "auth.jwt.secret: the secret stands in clear",
    ];
    let (code, told) = run(gateway.folder(), &["check"], &[]);
    assert_eq!(code, Some(0), "{told}");
    let shown = gateway.config();
    let warnings: Vec<&str> =
        shown["warnings"].as_array().unwrap().iter().map(|w| w.as_str().unwrap()).collect();
    assert_eq!(warnings.len(), expected.len(), "{warnings:?}");
    for (warning, expected) in warnings.iter().zip(expected) {
        assert!(warning.starts_with(expected), "{warnings:?}");
        assert!(told.contains(&format!("warning: {warning}")), "{told}");
        let printed = gateway.printed();
        assert_eq!(printed.matches(warning).count(), 1, "{warning}: {printed}");
    }
    assert!(
        !shown.to_string().contains("Falcon") && !gateway.printed().contains("Falcon"),
        "{shown}"
    );
    // A door that an edit opens is told as well, and one that it shuts is not told any more.
    gateway.edit_and_wait(
        "auth",
        &format!("accept: [jwt, passthrough]\njwt: {{secret: \"{SECRET}\"}}"),
    );
    let shown = gateway.config()["warnings"].to_string();
    assert!(
        shown.contains("`passthrough`")
            && !shown.contains("`anonymous`")
            && !shown.contains("it can be guessed"),
        "{shown}"
    );
    eventually("the warning in the log", || {
        gateway.printed().contains("`passthrough`").then_some(())
    });
    assert_eq!(gateway.printed().matches("redaction.entities: empty").count(), 1);
    // The page of the policy shows them.
    let script = gateway.operators("/assets/policy.js");
    assert!(script.text().contains(".warnings"), "{}", script.text());
}
