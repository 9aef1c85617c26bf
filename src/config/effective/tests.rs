use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::{Change, From, Setting, differences};
use crate::config::{json_schema, load_to_show};

/// The effective configuration of a file with this text.
fn effective(text: &str, org: Option<&str>) -> std::sync::Arc<super::Effective> {
    let dir = tempfile::tempdir().expect("folder");
    let path = dir.path().join("all.yaml");
    std::fs::write(&path, text).expect("file");
    load_to_show(Some(&path), org).expect("good").origin.effective
}

fn find(settings: &[Setting], key: &str) -> Setting {
    let mut found = settings.iter().filter(|setting| setting.key == key);
    let first = found.next().unwrap_or_else(|| panic!("{key} is missing")).clone();
    assert!(found.next().is_none(), "{key} is there twice");
    first
}

/// `:line:column` and source of a key.
fn told(settings: &[Setting], key: &str) -> (Json, From, Option<(u32, u32)>) {
    let found = find(settings, key);
    (found.value, found.from, found.place.map(|(_, line, column)| (line, column)))
}

fn changes(a: &str, b: &str) -> Vec<Change> {
    let salt = b"salt";
    differences(&effective(a, None).meaning(salt), &effective(b, None).meaning(salt))
}

fn sentences(a: &str, b: &str) -> Vec<String> {
    changes(a, b).iter().map(Change::sentence).collect()
}

/// The keys of a schema; `{}` and lists end a path.
fn schema_keys(schema: &Json, path: &str, keys: &mut BTreeSet<String>) {
    let sections = [Some(schema), schema["anyOf"].as_array().and_then(|any| any.last())];
    let properties = sections.into_iter().flatten().find_map(|s| s["properties"].as_object());
    let nullable = schema["default"].is_null() || schema["default"].is_string();
    match properties.filter(|_| !nullable || path.is_empty()) {
        Some(properties) => {
            for (name, schema) in properties {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                schema_keys(schema, &path, keys);
            }
        }
        None => drop(keys.insert(path.to_owned())),
    }
}

#[test]
fn every_key_of_the_schema_is_shown() {
    let mut expected = BTreeSet::new();
    schema_keys(&json_schema(), "", &mut expected);
    assert!(expected.len() > 100 && expected.contains("limits.each_key.usd_per_day"));
    let settings = &effective("{}", None).settings;
    let shown: BTreeSet<String> = settings.iter().map(|setting| setting.key.clone()).collect();
    assert_eq!(shown.len(), settings.len(), "a key twice");
    for key in &expected {
        let is_shown = shown.contains(key)
            || shown.iter().any(|shown| {
                shown.starts_with(&format!("{key}.")) || shown.starts_with(&format!("{key}["))
            });
        assert!(is_shown, "{key} is missing");
    }
}

#[test]
fn each_value_has_its_source_and_no_secret_is_shown() {
    let text = "limits:\n  requests_per_minute: 60\n  orgs:\n    acme: {burst: 7}\n\
        limits_store: redis://bob:hunter2@h:1\n\
        providers:\n  main: {base_url: 'https://x.example/v1', api_key: hunter2}\n  \
        other: {base_url: 'https://y.example/v1', api_key: \"${TOLLGATE_TEST_UNSET}\"}\n\
        routing: {default: [main]}\nretry:\n  max_retries: ${TOLLGATE_TEST_UNSET:-3}\n\
        ailog: {retention: {rows: 24h}}\nlog: {level: \"${CARGO_PKG_NAME}=debug\"}\n";
    let all = effective(text, None);
    let settings = &all.settings;
    let file = |line, column| (From::File, Some((line, column)));
    for (key, value, (from, place)) in [
        ("limits.requests_per_minute", json!(60), file(2, 24)),
        ("limits.burst", json!(60), (From::Default, None)),
        ("limits.orgs.acme.burst", json!(7), file(4, 19)),
        ("limits_store", json!("redis://bob:***@h:1"), file(5, 15)),
        ("providers.main.api_key", json!("***"), file(7, 53)),
        ("retry.max_retries", json!(3), file(11, 16)),
        ("ailog.retention.rows", json!("1d"), file(12, 27)),
        ("routing.default", json!(["main"]), file(9, 20)),
        ("auth.keys", json!([]), (From::Default, None)),
        ("tls", json!(null), (From::Default, None)),
    ] {
        assert_eq!(told(settings, key), (value, from, place), "{key}");
    }
    let unset = told(settings, "providers.other.api_key");
    let name = From::Environment("TOLLGATE_TEST_UNSET".to_owned());
    assert_eq!(unset, (json!(""), name, Some((8, 54))));
    if std::env::var_os("CARGO_PKG_NAME").is_some() {
        let level = find(settings, "log.level");
        assert_eq!(level.from, From::Environment("CARGO_PKG_NAME".to_owned()));
        assert!(level.line().contains("   # ${CARGO_PKG_NAME} at "), "{}", level.line());
    }
    let lines: Vec<String> = settings.iter().map(Setting::line).collect();
    assert!(!lines.join("\n").contains("hunter2"));
    let json: Vec<Json> = settings.iter().map(Setting::json).collect();
    assert!(!json!(json).to_string().contains("hunter2"));
    assert!(find(settings, "providers.main.api_key").is_secret);
    assert!(!find(settings, "limits_store").is_secret);
    let in_clear: Vec<&str> = all.secrets_in_clear().map(|s| s.key.as_str()).collect();
    assert_eq!(in_clear, ["providers.main.api_key"]);
}

#[test]
fn an_organisation_has_its_own_and_inherits_the_rest() {
    let text = "limits:\n  requests_per_minute: 90\n  orgs:\n    acme: {burst: 7}\n";
    let (all, acme) = (effective(text, None), effective(text, Some("acme")));
    let keys = |e: &super::Effective| e.settings.iter().map(|s| s.key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&all), keys(&acme));
    let settings = &acme.settings;
    assert_eq!(told(settings, "limits.burst"), (json!(7), From::File, Some((4, 19))));
    assert_eq!(
        told(settings, "limits.requests_per_minute"),
        (json!(90), From::File, Some((2, 24)))
    );
    let other = effective(text, Some("globex"));
    assert_eq!(told(&other.settings, "limits.burst"), (json!(60), From::Default, None));
}

#[test]
fn a_secret_of_a_file_names_it() {
    let dir = tempfile::tempdir().expect("folder");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("file");
    write("key", "hunter2");
    write(
        "all.yaml",
        "providers: {a: {base_url: 'https://x.example/v1', api_key: {file: key}}}\nrouting: \
            {default: [a]}\n",
    );
    let loaded = load_to_show(Some(Path::new(&dir.path().join("all.yaml"))), None).expect("good");
    let found = find(&loaded.origin.effective.settings, "providers.a.api_key");
    assert!(found.is_secret && found.from == From::SecretFile("key".to_owned()), "{found:?}");
    assert!(found.line().starts_with("providers.a.api_key: ***   # secret file key"));
    assert_eq!(found.json()["source"], "secret_file");
}

#[test]
fn form_and_order_make_no_difference() {
    for (a, b) in [
        ("{}", "limits: {requests_per_minute: 60}\n"),
        ("timeouts: {total: 1m}\n", "# a comment\ntimeouts:\n  total: 60s\n"),
        ("redaction: {entities: [email, phone]}", "redaction: {entities: [phone, email]}"),
        (
            "redaction: {allow: [a@x.example, b@x.example]}",
            "redaction: {allow: [b@x.example, a@x.example]}",
        ),
        ("limits: {orgs: {acme: {burst: 60}}}", "limits: {orgs: {acme: {}}}"),
        ("limits: {orgs: {acme: {}}}", "{}"),
        (
            "max_body_bytes: 1MiB\nretry: {max_retries: 1}",
            "retry: {max_retries: 1}\nmax_body_bytes: 1048576",
        ),
        ("prices: []", "{}"),
    ] {
        assert_eq!(sentences(a, b), Vec::<String>::new(), "{a} and {b}");
        assert_eq!(sentences(b, a), Vec::<String>::new(), "{b} and {a}");
    }
}

#[test]
fn changes_are_told_in_sentences() {
    let models = |order: [&str; 3]| {
        let rule = |name: &&str| format!("{{match: '{name}', to: [openai]}}");
        format!("routing: {{models: [{}]}}", order.iter().map(rule).collect::<Vec<_>>().join(", "))
    };
    let key = |name: &str, org: &str, digit: char| {
        format!("{{name: {name}, org: {org}, sha256: '{}'}}", digit.to_string().repeat(64))
    };
    let keys = |list: &[String]| format!("auth: {{keys: [{}]}}", list.join(", "));
    let price = |model: &str, input: &str| format!("{{model: {model}, input: {input}, output: 1}}");
    let provider =
        |more: &str| format!("providers: {{openai: {{base_url: 'https://x.example/v1'{more}}}}}");
    for (a, b, expected) in [
        (
            "{}".to_owned(),
            "limits: {requests_per_minute: 120}".to_owned(),
            vec!["limits.requests_per_minute: 60 → 120"],
        ),
        (
            "{}".into(),
            "limits: {orgs: {globex: {burst: 5}}}".into(),
            vec!["limits.orgs.globex: added (burst 5)"],
        ),
        (
            "limits: {orgs: {globex: {burst: 5}}}".into(),
            "{}".into(),
            vec!["limits.orgs.globex: removed"],
        ),
        (
            "limits: {burst: 9, orgs: {acme: {burst: 5, requests_per_minute: 7}}}".into(),
            "limits: {burst: 9, orgs: {acme: {requests_per_minute: 7}}}".into(),
            vec!["limits.orgs.acme.burst: 5 → 9"],
        ),
        (
            models(["gpt-4o*", "claude-*", "o1"]),
            models(["claude-*", "gpt-4o*", "o1"]),
            vec!["routing.models: claude-* now comes before gpt-4o*"],
        ),
        (
            models(["a", "b", "c"]),
            models(["b", "c", "a"]),
            vec!["routing.models: a now comes last"],
        ),
        (
            "auth: {accept: [jwt, key]}".into(),
            "auth: {accept: [key, jwt]}".into(),
            vec!["auth.accept: key now comes before jwt"],
        ),
        (
            provider(", api_key: one"),
            provider(", api_key: two"),
            vec!["providers.openai.api_key: changed (secret)"],
        ),
        (
            provider(""),
            provider(", api_key: two"),
            vec!["providers.openai.api_key: changed (secret)"],
        ),
        (
            "limits_store: 'redis://:a@h:1'".into(),
            "limits_store: 'redis://:b@h:1'".into(),
            vec!["limits_store: changed (secret) (needs a restart)"],
        ),
        (
            "{}".into(),
            "listen: 127.0.0.1:9999".into(),
            vec!["listen: 127.0.0.1:8080 → 127.0.0.1:9999 (needs a restart)"],
        ),
        (
            keys(&[key("ci", "acme", '1'), key("web", "acme", '2')]),
            keys(&[key("web", "acme", '2'), key("ci", "globex", '1')]),
            vec!["auth.keys.ci.org: acme → globex"],
        ),
        (
            format!("prices: [{}]", price("a", "1")),
            format!("prices: [{}, {}]", price("b", "2"), price("a", "1.5")),
            vec!["prices.b: added (input 2, model b, output 1)", "prices.a.input: 1 → 1.5"],
        ),
        (
            "redaction: {entities: [email]}".into(),
            "redaction: {entities: [email, iban]}".into(),
            vec!["redaction.entities: [email] → [email, iban]"],
        ),
        (
            "redaction: {allow: [a@x.example]}".into(),
            "redaction: {allow: [b@x.example]}".into(),
            vec!["redaction.allow: changed (secret)"],
        ),
        (
            "{}".into(),
            "admin: {access: {tokens: [{name: al, role: viewer, sha256: \
                1111111111111111111111111111111111111111111111111111111111111111}]}}"
                .into(),
            vec![],
        ),
    ] {
        let found = sentences(&a, &b);
        if expected.is_empty() {
            assert!(
                found.len() == 1 && found[0].starts_with("admin.access: none → {"),
                "{found:?}"
            );
        } else {
            assert_eq!(found, expected, "{a} to {b}");
        }
        assert!(sentences(&b, &b).is_empty(), "{b} and itself");
        assert!(!sentences(&b, &a).is_empty(), "{b} to {a}");
    }
}

#[test]
fn a_change_is_an_object_that_can_be_read_back() {
    let changes = changes(
        "{}",
        "limits: {burst: 5}\nproviders: {a: {base_url: 'https://x.example/v1', api_key: \
            hunter2}}\nrouting: {default: [a]}",
    );
    let json = serde_json::to_value(&changes).expect("JSON");
    assert!(!json.to_string().contains("hunter2"), "{json}");
    let burst = json.as_array().expect("list").iter().find(|c| c["key"] == "limits.burst");
    let burst = burst.expect("the limit");
    assert_eq!(
        (&burst["kind"], &burst["old"], &burst["new"]),
        (&json!("changed"), &json!(60), &json!(5))
    );
    assert_eq!(burst["secret"], json!(false));
    assert_eq!(serde_json::from_value::<Vec<Change>>(json).expect("back"), changes);
}
