//! Refused values: the message names the place and the remedy.

use std::fs;
use std::path::Path;

use super::{env, folder, load, policy, problems};
use crate::config::load::{Purpose, Source};
use crate::config::reader::place::Problems;
use crate::config::uses::Uses;

#[test]
fn every_problem_of_every_file_is_told_in_order_with_its_place() {
    let found = problems(&[
        ("gateway.yaml", "listen: here\nmax_body_byte: 1MiB\nlog: {level: loud, format: xml}\n"),
        (
            "policies/a.yaml",
            "limits:\n  requests_per_minute: 0\n  burst: many\n  orgs:\n    'a b': {}\n    acme: \
                {strikt: true}\n",
        ),
        (
            "policies/b.yml",
            "limits: {}\nredaction:\n  entities: [email, phones]\nlisten: 127.0.0.1:1\n",
        ),
        ("policies/c.yaml", "retry: {max_retries: [1]}\ntimeouts: 5s\n"),
        ("policies/ignored.txt", "nonsense: true\n"),
    ]);
    let expected = [
        "gateway.yaml:1:9: listen: not a socket address; give IP:PORT, e.g. 127.0.0.1:8080, \
            0.0.0.0:8080 or [::]:8080",
        "gateway.yaml:2:1: max_body_byte: unknown key; did you mean `max_body_bytes`?",
        "gateway.yaml:3:14: log.level: not a log filter; give error, warn, info, debug or \
            trace, or \
            `tollgate=debug,info`",
        "gateway.yaml:3:28: log.format: `xml` is not known here; choose from text, json",
        "policies/a.yaml:2:24: limits.requests_per_minute: 0 is not allowed; give 1 to 10000000",
        "policies/a.yaml:3:10: limits.burst: `many` is not a whole number; write 0 or more",
        "policies/a.yaml:5:5: limits.orgs.a b: not the name of an organisation; give 1 to 128 of \
            A-Z a-z 0-9 . _ : @ + = / -",
        "policies/a.yaml:6:12: limits.orgs.acme.strikt: unknown key; did you mean `strict`?",
        "policies/b.yml:1:1: limits: this section is already in policies/a.yaml:1:1; keep one of \
            the two",
        "policies/b.yml:3:21: redaction.entities[1]: unknown entity; did you mean `phone`?",
        "policies/b.yml:4:1: listen: belongs in gateway.yaml, because it is read only at start; \
            move it there",
        "policies/c.yaml:1:22: retry.max_retries: a list; give a whole number instead",
        "policies/c.yaml:2:11: timeouts: not a mapping; write `key: value`, with keys of connect, \
            first_byte, idle, total, keep_alive",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

/// Mistakes in the YAML itself, and at bounds that no table above reaches; [`problems`] holds the
/// form of each line.
#[test]
fn mistakes_in_the_yaml_have_a_place_and_a_remedy() {
    let words = format!("redaction: {{terms: [{{name: x, words: ['{}']}}]}}", "w".repeat(3_000));
    let patterns = format!("redaction: {{custom: [{}]}}", "{name: x, pattern: y}, ".repeat(200));
    let deep = format!("a: {}{}\n", "[".repeat(60), "]".repeat(60));
    let table = [
        ("limits:\n\tburst: 5\n", "a tab indents this line; use spaces"),
        ("limits: {burst: 1\n", "not valid YAML: "),
        ("limits: {}\n---\nretry: {}\n", "a second document in this file; remove the `---`"),
        ("limits: !!python/object x\n", "YAML tags"),
        ("limits: *none\n", "not valid YAML: "),
        ("a: &a [*a]\n", "no anchor of this name ends before the alias; define it above"),
        ("limits: {<<: 5}\n", "`<<` without a mapping; give it a mapping"),
        ("limits: {[a]: 5}\n", "not a plain key; write a name and a colon"),
        (deep.as_str(), "nested too deeply; use at most 32 levels"),
        ("limits: {burst: '${KEY'}\n", "`${` is not closed; write"),
        ("limits: {burst: '${A B}'}\n", "`${A B}` is not a reference; write"),
        ("limits: {burst: 99999999999}\n", "is too large; write at most 4294967295"),
        ("limits: {burst: {a: 1}}\n", "a mapping; give a whole number instead"),
        ("limits: {usd_per_day: 0.1234567891}\n", "is finer than 10⁻⁹ USD; write"),
        ("limits: {orgs: [acme]}\n", "not a mapping; write an organisation, a colon and its keys"),
        ("limits: {models: gpt-4o}\n", "not a list; write [a, b]"),
        ("providers: [openai]\n", "not a mapping; write a name, a colon and its value"),
        ("timeouts: {connect: 40000d}\n", "is longer than a hundred years; write"),
        ("ailog: {capture_bytes: 1TiB}\n", "is not a size; write"),
        ("intent: {temperature: warm}\n", "is not a number; write"),
        ("intent: {categories: ['']}\n", "not a usable word; give"),
        ("providers: {a: {base_url: 'http://x/v1', api_key: 'a b'}}\n", "give the key alone"),
        ("providers: {a: {base_url: 'http://x/a//b'}}\n", "a path with `.`, `..` or `//`; give"),
        ("redaction: {custom: [{name: x, pattern: 'a*'}]}\n", "matches empty text; write"),
        ("redaction: {terms: [{name: x, words: []}]}\n", "list of words is empty; give both"),
        (words.as_str(), "a word of 3000 bytes; give 1 to"),
        (patterns.as_str(), "give another name"),
    ];
    for (yaml, expected) in table {
        let found = problems(&[("policies/p.yaml", yaml)]);
        assert!(found.iter().any(|line| line.contains(expected)), "{yaml:.200}: {found:#?}");
    }
}

/// A policy that accepts JWTs needs something to verify them with, wherever that is missing; other
/// commands do not.
#[test]
fn a_policy_that_accepts_jwts_can_verify_them_or_is_refused() {
    let serve = |yaml: &str| {
        let dir = folder(&[("policies/p.yaml", yaml)]);
        let mut problems = Problems::default();
        problems.env = env;
        let prefix = format!("{}/", dir.path().display());
        let source = Source::Folder(dir.path().to_owned());
        let found = source.load_in(0, Purpose::Serve, problems).err();
        let found = found.map_or(Vec::new(), |p| {
            p.lines().iter().map(|line| line.replace(&prefix, "")).collect()
        });
        assert_eq!(load(&source).is_ok(), !yaml.contains("secret: ' '"), "{yaml}");
        found
    };
    let refused: [(&str, &str, &str); 12] = [
        ("", "policies/p.yaml:1:1: auth: ", "`accept: [key]`"),
        ("limits: {}", "policies/p.yaml:1:1: auth: ", "export TOLLGATE_JWT_SECRET"),
        ("auth:\n", "policies/p.yaml:1:1: auth: ", "openssl rand -hex 32"),
        ("auth: {}", "policies/p.yaml:1:7: auth.accept", "openssl rand -hex 32"),
        ("auth: {accept: [jwt]}", "policies/p.yaml:1:17: auth.accept[0]: ", "`accept: [key]`"),
        (
            "auth: {accept: [key, jwt, anonymous]}",
            "policies/p.yaml:1:22: auth.accept[1]: ",
            "`accept: [key, anonymous]`",
        ),
        (
            "auth: {accept: [passthrough, jwt]}",
            "policies/p.yaml:1:30: auth.accept[1]: ",
            "`accept: [passthrough]`",
        ),
        (
            "auth: {jwt: {secret: ''}}",
            "policies/p.yaml:1:22: auth.jwt.secret: ",
            "secret: \"${TOLLGATE_JWT_SECRET}\"",
        ),
        (
            "auth: {jwt: {secret: '${TYPO:-}'}}",
            "policies/p.yaml:1:22: auth.jwt.secret: ",
            "neither a secret nor a key set",
        ),
        (
            "auth: {jwt: {issuer: me}}",
            "policies/p.yaml:1:7: auth.accept",
            "neither a secret nor a key set",
        ),
        (
            "auth: {jwt: {jwks: ' '}}",
            "policies/p.yaml:1:7: auth.accept",
            "neither a secret nor a key set",
        ),
        ("auth: {jwt: {secret: ' '}}", "policies/p.yaml:1:22: auth.jwt.secret: ", ""),
    ];
    for (yaml, place, words) in refused {
        let found = serve(yaml);
        let told = found.iter().any(|line| line.starts_with(place) && line.contains(words));
        assert!(told && found.len() <= 2, "{yaml}: {found:#?}");
    }
    // One that is given fits no algorithm that is accepted.
    for yaml in [
        "auth: {jwt: {secret: 0123456789abcdef0123456789abcdef, algorithms: [RS256]}}",
        "auth: {jwt: {jwks: a.json}}",
        "auth: {jwt: {jwks: a.json, algorithms: [HS256, HS512]}}",
    ] {
        let dir = folder(&[("policies/p.yaml", yaml)]);
        assert!(Source::Folder(dir.path().to_owned()).load(0).is_err(), "{yaml}");
    }
    for yaml in [
        "auth: {accept: [key]}",
        "auth: {accept: [passthrough, anonymous], jwt: {secret: ''}}",
        "auth: {jwt: {secret: 0123456789abcdef0123456789abcdef}}",
        "auth: {jwt: {secret: '${KEY}'}}",
    ] {
        assert_eq!(serve(yaml), [""; 0], "{yaml}");
    }
    let dir = folder(&[("p.yaml", "auth: {jwt: {jwks: a.json, algorithms: [RS256]}}")]);
    assert!(Source::File(dir.path().join("p.yaml")).load(0).is_ok());
}

/// The default of the flag reads the same variable, and would say the same mistake again at the
/// section and at the file.
#[test]
fn a_wrong_variable_is_told_once_and_where_it_is_named() {
    let dir =
        folder(&[("p.yaml", "features:\n  ai_intent_enabled: '${AI_INTENT_ENABLED:-true}'\n")]);
    let mut problems = Problems::default();
    problems.env = |name| (name == "AI_INTENT_ENABLED").then(|| "maybe".to_owned());
    let found = Source::File(dir.path().join("p.yaml"))
        .load_in(0, Purpose::Read(Uses::Everything), problems)
        .expect_err("maybe")
        .lines();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("p.yaml:2:22: features.ai_intent_enabled: "), "{found:#?}");
}

#[test]
fn rules_of_the_gateway() {
    let table = [
        ("listen: '8080'", "1:9: listen: ", "IP:PORT"),
        ("listen: 0.0.0.0:9090", "1:9: listen: ", "another port"),
        ("tls: {cert_file: a}", "1:6: tls: ", "`key_file` is missing"),
        ("max_body_bytes: 0", "1:17: max_body_bytes: ", "give 1B to 64GiB"),
        ("store: mysql", "1:8: store: ", "choose from embedded, clickhouse"),
        ("clickhouse: {url: 'clickhouse:9000'}", "1:19: clickhouse.url: ", "http://host:port"),
        (
            "clickhouse: {urls: ['http://a:1', 'b']}",
            "1:35: clickhouse.urls[1]: ",
            "http://host:port",
        ),
        (
            "clickhouse: {url: 'http://a', urls: ['http://b']}",
            "1:19: clickhouse.url: ",
            "one of them",
        ),
        ("clickhouse: {cluster: \"a'b\"}", "1:23: clickhouse.cluster: ", "A-Z a-z 0-9 _ -"),
        (
            "clickhouse: {client_cert_file: a.pem}",
            "1:32: clickhouse.client_cert_file: ",
            "give both",
        ),
        ("clickhouse: {database: 'a; drop'}", "1:24: clickhouse.database: ", "A-Z a-z 0-9 _"),
        ("placeholder_key: short", "1:18: placeholder_key: ", "too short; give at least 32 bytes"),
        ("placeholder_key: {path: x}", "1:19: placeholder_key.path: ", "write {file: PATH}"),
        ("limits_store: redis", "1:15: limits_store: ", "redis://host:port"),
        ("limits_store: 'redis://h:99999'", "1:15: limits_store: ", "redis://host:port"),
        ("clickhouse: {url: 'http://h:99999'}", "1:19: clickhouse.url: ", "http://host:port"),
        ("limits_store: 'redis://h:1/zero'", "1:15: limits_store: ", "redis://host:port"),
        ("limits_store: {redis: {urls: []}}", "1:30: limits_store.redis.urls: ", "give 1 to 32"),
        (
            "limits_store: {redis: {urls: ['h:1']}}",
            "1:31: limits_store.redis.urls[0]: ",
            "rediss://",
        ),
        (
            "limits_store: {redis: {urls: ['redis://a', 'redis://b']}}",
            "1:30: limits_store.redis.urls: ",
            "mode: cluster",
        ),
        (
            "limits_store: {redis: {mode: cluster, urls: ['redis://a', 'rediss://b']}}",
            "1:59: limits_store.redis.urls[1]: ",
            "another scheme",
        ),
        (
            "limits_store: {redis: {mode: cluster, urls: ['redis://a/1']}}",
            "1:46: limits_store.redis.urls[0]: ",
            "remove it",
        ),
        (
            "limits_store: {redis: {mode: cluster, urls: ['redis://a'], database: 1}}",
            "1:70: limits_store.redis.database: ",
            "only database 0",
        ),
        (
            "limits_store: {redis: {mode: sentinel, urls: ['redis://a']}}",
            "1:30: limits_store.redis.mode: ",
            "need `master`",
        ),
        (
            "limits_store: {redis: {urls: ['redis://a'], master: m}}",
            "1:53: limits_store.redis.master: ",
            "mode: sentinel",
        ),
        (
            "limits_store: {redis: {urls: ['redis://u:p@a'], password: p}}",
            "1:31: limits_store.redis.urls[0]: ",
            "give them once",
        ),
        (
            "limits_store: {redis: {urls: ['redis://a'], ca_file: ca.pem}}",
            "1:31: limits_store.redis.urls[0]: ",
            "need TLS",
        ),
        (
            "limits_store: {redis: {urls: ['rediss://a'], client_key_file: a.key}}",
            "1:63: limits_store.redis.client_key_file: ",
            "client_cert_file",
        ),
        ("limits_store_timeout: 1m", "1:23: limits_store_timeout: ", "give 1ms to 10s"),
        ("log: {format: yaml}", "1:15: log.format: ", "choose from text, json"),
    ];
    for (yaml, place, words) in table {
        let found = problems(&[("gateway.yaml", yaml)]);
        assert_eq!(found.len(), 1, "{yaml}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("gateway.yaml:{place}")) && found[0].contains(words),
            "{yaml}: {found:#?}"
        );
    }
}

#[test]
fn a_variable_cannot_become_structure() {
    let policy = policy("intent: {model: '${EVIL}'}\n");
    assert_eq!(policy.intent.question.model, "x\nlimits: {strict: true}");
    assert_eq!(policy.limits.requests.default.quota.requests_per_minute(), 60);
}

#[test]
fn what_cannot_be_read_is_told() {
    let dir = folder(&[("policies/latin.yaml", "")]);
    fs::write(dir.path().join("policies/latin.yaml"), b"limits: {}\n# caf\xe9\n").expect("write");
    let text = load(&Source::Folder(dir.path().to_owned())).expect_err("wrong").to_string();
    assert!(text.ends_with("latin.yaml:2:6: not UTF-8; save the file as UTF-8"), "{text}");
    let text = Source::find(Some(Path::new("/nowhere/at/all"))).expect_err("wrong").to_string();
    assert!(text.starts_with("/nowhere/at/all:1:1: cannot be read: "), "{text}");
    fs::write(dir.path().join("policies/latin.yaml"), "#".repeat(5 << 20)).expect("write");
    let text = load(&Source::Folder(dir.path().to_owned())).expect_err("wrong").to_string();
    assert!(text.contains("cannot be read: larger than 4 MiB; give a regular file"), "{text}");
}

#[test]
fn a_sign_in_that_was_given_wrongly_is_not_told_as_missing() {
    let (missing, digest) = ("no sign-in is possible", "a1".repeat(32));
    let told = |access: &str| {
        let gateway = format!("admin: {{access: {access}}}\n");
        problems(&[("gateway.yaml", &gateway), ("policies/a.yaml", "retry: {max_retries: 1}\n")])
    };
    assert!(told("{tokens: []}").iter().any(|text| text.contains(missing)));
    for access in [
        &format!("{{tokens: [{{name: a, role: emperor, sha256: {digest}}}]}}"),
        "{tokens: [{name: a, role: viewer, sha256: [x]}]}",
        "{oidc: {issuer: 'https://login.example.com', client_id: tollgate}}",
    ] {
        let found = told(access);
        assert!(!found.is_empty() && !found.iter().any(|t| t.contains(missing)), "{found:#?}");
    }
}
