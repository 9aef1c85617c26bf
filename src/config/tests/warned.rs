//! Values that are taken with a warning.

use super::{folder, load, sha256};
use crate::config::load::Source;

/// Configurations, and their warnings by key and a few of their words.
#[test]
fn what_an_operator_should_know_is_told() {
    let told = |yaml: &str| {
        let dir = folder(&[("all.yaml", yaml)]);
        let loaded = load(&Source::File(dir.path().join("all.yaml"))).expect(yaml);
        crate::config::warnings(&loaded.settings, &loaded.policy, &loaded.origin.live)
    };
    let digest = "a1".repeat(32);
    let base = format!(
        "data_dir: /nowhere/at/all\nauth: {{accept: [key], keys: [{{name: a, org: b, sha256: \
            {digest}}}]}}\n\
         providers: {{a: {{base_url: 'https://x.example/v1', api_key: sk-1}}}}\n"
    );
    let auth = |auth: &str| {
        format!(
            "data_dir: /nowhere\nproviders: {{a: {{base_url: 'https://x.example/v1', api_key: \
                k}}}}\nauth: {auth}\n"
        )
    };
    let provider = |provider: &str| {
        format!(
            "data_dir: /nowhere\nauth: {{accept: [key], keys: [{{name: a, org: b, sha256: \
                {digest}}}]}}\nproviders: {{a: {provider}}}\n"
        )
    };
    let secret = |secret: &str, more: &str| {
        auth(&format!("{{accept: [jwt], jwt: {{secret: '{secret}'{more}}}}}"))
    };
    let random = "f3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(told(&base), [""; 0]);
    assert_eq!(told(&secret(&random[..32], "")), [""; 0]);
    assert_eq!(told(&secret(random, ", algorithms: [HS512, HS256]")), [""; 0]);
    assert_eq!(told(&provider("{base_url: 'http://127.0.0.1:9/v1', api_key: k}")), [""; 0]);
    assert_eq!(told(&provider("{base_url: 'http://10.1.2.3/v1'}")), [""; 0]);
    assert_eq!(
        told(&provider(
            "{base_url: 'https://x.example/v1', api_key: k, forward_headers: [x-trace, x-author]}"
        )),
        [""; 0]
    );
    let table: &[(String, &[&str])] = &[
        (auth("{accept: [anonymous]}"), &["auth.accept: `anonymous`"]),
        (auth("{accept: [passthrough]}"), &["auth.accept: `passthrough`"]),
        (
            auth("{accept: [passthrough, anonymous]}"),
            &["auth.accept: `anonymous`", "auth.accept: `passthrough`"],
        ),
        (auth("{accept: [key]}"), &["auth.keys: there is no key"]),
        // printf %s tg-secret | sha256sum
        (
            auth("{accept: [key], keys: [{name: ci, org: a, sha256: TG_SECRET}]}")
                .replace("TG_SECRET", &sha256("tg-secret")),
            &["auth.keys: the key of `ci` can be guessed"],
        ),
        (secret("a", ""), &["auth.jwt.secret: "]),
        (secret("secret", ""), &["auth.jwt.secret: it can be guessed"]),
        (secret("changeme", ""), &["auth.jwt.secret: it can be guessed"]),
        (secret("Change-Me-123", ""), &["auth.jwt.secret: it can be guessed"]),
        (secret(&"secret".repeat(9), ""), &["auth.jwt.secret: it can be guessed"]),
        (secret(&random[..31], ""), &["auth.jwt.secret: it is shorter than the 32 bytes"]),
        (
            auth("{accept: [jwt], jwt: {secret: {base64: AP+AIAEC/w==}}}"),
            &["auth.jwt.secret: it is shorter than the 32 bytes"],
        ),
        (
            secret(&random[..47], ", algorithms: [HS384]"),
            &["auth.jwt.secret: it is shorter than the 48 bytes"],
        ),
        (
            secret(&random[..63], ", algorithms: [HS256, HS512]"),
            &["auth.jwt.secret: it is shorter than the 64 bytes"],
        ),
        (
            auth("{accept: [jwt], jwt: {jwks: 'http://id.example/jwks', algorithms: [RS256]}}"),
            &["auth.jwt.jwks: http: a machine on the way"],
        ),
        (
            format!("{base}admin_listen: 0.0.0.0:9090\nadmin: {{access: insecure}}\n"),
            &["admin_listen: the operators' side has no sign-in"],
        ),
        (
            format!("{base}admin_listen: '[::]:9090'\nadmin: {{access: insecure}}\n"),
            &["admin_listen: the operators' side has no sign-in"],
        ),
        (
            format!("{base}admin_listen: 10.0.0.1:9090\nadmin: {{access: insecure}}\n"),
            &["admin_listen: the operators' side has no sign-in"],
        ),
        (
            format!("{base}listen: 0.0.0.0:8080\n"),
            &["listen: 0.0.0.0:8080 is open to other machines without TLS"],
        ),
        (format!("{base}listen: 0.0.0.0:8080\ntls: {{cert_file: a, key_file: b}}\n"), &[]),
        (format!("{base}redaction: {{entities: []}}\n"), &["redaction.entities: empty"]),
        (
            format!(
                "{base}redaction: {{orgs: {{acme: {{entities: []}}, beta: {{entities: []}}, good: \
                    {{}}}}}}\n"
            ),
            &["redaction.orgs.acme.entities: empty", "redaction.orgs.beta.entities: empty"],
        ),
        (
            provider("{base_url: 'http://x.example/v1', api_key: k}"),
            &["providers.a.base_url: http: the key and the prompts cross"],
        ),
        (
            provider("{base_url: 'http://93.184.216.34/v1', api_key: k}"),
            &["providers.a.base_url: http: the key"],
        ),
        (
            provider("{base_url: 'http://10.1.2.3/v1', api_key: k}"),
            &["providers.a.base_url: http: the key"],
        ),
        (
            provider("{base_url: 'http://x.example/v1'}"),
            &["providers.a.base_url: http: prompts", "providers.a.api_key: empty"],
        ),
        (provider("{base_url: 'https://x.example/v1'}"), &["providers.a.api_key: empty"]),
        (
            provider("{base_url: 'https://x.example/v1/chat/completions', api_key: k}"),
            &["providers.a.base_url: ends with"],
        ),
        (
            provider("{base_url: 'https://x.example', api_key: k}"),
            &["providers.a.base_url: has no path"],
        ),
        (
            provider(
                "{base_url: 'https://x.example/v1', api_key: k, forward_headers: [Cookie, x-auth, \
                    x-session-id, x-goog-iap-jwt-assertion, x-amz-security-token]}",
            ),
            &[
                "`cookie`",
                "`x-auth`",
                "`x-session-id`",
                "`x-goog-iap-jwt-assertion`",
                "`x-amz-security-token`",
            ],
        ),
        (
            format!("{base}routing: {{models: [{{match: 'gpt-.*', to: [a]}}]}}\n"),
            &["routing.models[0].match: `gpt-.*` looks like a regular"],
        ),
        (
            format!("{base}store: clickhouse\nclickhouse: {{url: 'http://db.example:8123'}}\n"),
            &["clickhouse.url: http"],
        ),
        // The folder of the test is for its owner alone; this one is for everybody.
        (
            base.replace("/nowhere/at/all", "/tmp"),
            &["data_dir: other users of this machine may enter /tmp"],
        ),
    ];
    for (yaml, expected) in table {
        let found = told(yaml);
        assert_eq!(found.len(), expected.len(), "{yaml}: {found:#?}");
        for (found, expected) in found.iter().zip(*expected) {
            assert!(found.contains(expected), "{yaml}: {found:#?}");
        }
        assert!(
            !found.iter().any(|text| text.contains("hangeme") || text.contains(&random[..31])),
            "{found:#?}"
        );
    }
}

#[test]
fn a_pattern_that_looks_like_a_regular_expression_is_told_by_its_place() {
    let yaml = format!(
        "data_dir: /nowhere\nauth: {{accept: [key], keys: [{{name: a, org: b, sha256: {}}}]}}\n\
         providers: {{a: {{base_url: 'https://x.example/v1', api_key: k}}}}\n\
         routing: {{models: [{{match: 'anthropic.*', to: [a]}}, {{match: 'us.meta.*', to: [a]}}, \
         {{match: 'gpt-4.*', to: [a]}}]}}\n",
        "a1".repeat(32)
    );
    let dir = folder(&[("all.yaml", &yaml)]);
    let loaded = load(&Source::File(dir.path().join("all.yaml"))).expect("good");
    let all = crate::config::warnings(&loaded.settings, &loaded.policy, &loaded.origin.live);
    let found: Vec<_> = all.iter().filter(|text| text.contains("regular expression")).collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with("routing.models[2].match: `gpt-4.*` "), "{found:#?}");
}
