//! The meaning of the keys: defaults, inheritance, targets, secrets, words.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{folder, load, org, policy};
use crate::config::load::Source;
use crate::config::policy::{
    Accept, Fail, JwksSource, LimitsStore, Spread, StoreKind, Targets, Timeouts,
};

#[test]
fn nothing_configured_is_the_documented_default() {
    let loaded = load(&Source::BuiltIn).expect("defaults");
    let (settings, policy) = (&loaded.settings, &loaded.policy);
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.admin_listen.to_string(), "127.0.0.1:9090");
    assert_eq!(settings.options.data_dir, Path::new("./data"));
    assert!(settings.options.tls.is_none() && matches!(settings.store, StoreKind::Embedded));
    assert_eq!(settings.options.max_body_bytes, 100 << 20);
    assert_eq!(settings.options.shutdown_grace, Duration::from_secs(30));
    assert!(matches!(settings.limits_store, LimitsStore::Memory));
    assert_eq!(policy.auth.options.accept, [Accept::Jwt, Accept::Key]);
    assert!(policy.auth.jwt.is_none() && policy.auth.keys.is_empty());
    assert_eq!(policy.providers.len(), 1);
    assert_eq!(policy.providers[0].base_url.to_string(), "https://api.openai.com/v1");
    assert_eq!(names(&policy.routing.default), ["openai"]);
    assert_eq!(
        (policy.retry.max_retries, policy.retry.budget_percent, policy.retry.replay_bytes),
        (2, 20, 1 << 20)
    );
    assert_eq!(policy.timeouts.total, Duration::from_secs(600));
    assert_eq!(policy.breaker.consecutive_failures, 10);
    assert_eq!(policy.limits.requests.default.quota.requests_per_minute(), 60);
    assert!(policy.features.of(&org("any")).ai_intent_enabled);
    let priorities = policy.intent.question.priorities.iter().map(|p| p.name.as_str());
    assert_eq!(priorities.collect::<Vec<_>>(), ["low", "medium", "high", "vip"]);
    assert_eq!(
        (policy.ailog.capture_bytes(), policy.ailog.rows_days(), policy.ailog.captures_days()),
        (16 << 10, 400, 30)
    );
    assert_eq!((policy.version.len(), policy.loaded_at_ms), (12, 1_700_000_000_123));
}

#[test]
fn limits_are_inherited_and_lifted() {
    let policy = policy(
        "limits:\n  tokens_per_minute: 100\n  usd_per_day: 1.50\n  each_key: {requests_per_minute: \
            5}\n  lease_percent: 0.5\n  \
         orgs:\n    acme: {tokens_per_minute: off, fail: closed}\n    big: {burst: 1000, each_key: \
         {calls_in_flight: 2}}\n",
    );
    let limits = &policy.limits;
    let more = limits.more.as_ref().expect("more limits");
    let requests = |name: &str| *limits.requests.of(&org(name));
    let (any, acme, big) = (more.of(&org("any")), more.of(&org("acme")), more.of(&org("big")));
    assert_eq!(any.all.tokens_per_minute.map(std::num::NonZeroU64::get), Some(100));
    assert_eq!(acme.all.tokens_per_minute, None);
    assert_eq!(acme.all.nano_usd_per_day.map(std::num::NonZeroU64::get), Some(1_500_000_000));
    assert_eq!(
        acme.each_key.requests.map(|quota| (quota.requests_per_minute(), quota.burst())),
        Some((5, 5))
    );
    assert!(big.each_key.requests.is_none() && big.each_key.calls_in_flight.is_some());
    assert_eq!(
        (requests("any").options.fail, requests("acme").options.fail),
        (Fail::Local, Fail::Closed)
    );
    // Half a percent of 60 is none, of 1000 it is five.
    let allowance = |name: &str| requests(name).allowance();
    assert_eq!((allowance("any"), allowance("big")), (0, 5));
    assert!(limits.have_budgets());
    assert!(self::policy("limits: {orgs: {acme: {tokens_per_minute: off}}}").limits.more.is_none());
}

/// A secret that is no text is given in base64, of either alphabet, with or without padding.
#[test]
fn a_secret_may_be_bytes_in_base64() {
    let read = |secret: &str| {
        let yaml = format!("auth: {{accept: [jwt], jwt: {{secret: {secret}}}}}");
        let dir = folder(&[("p.yaml", &yaml)]);
        let loaded = load(&Source::File(dir.path().join("p.yaml")));
        match loaded {
            Ok(loaded) => Ok(loaded.policy.auth.jwt.expect("jwt").secrets[0].reveal().to_vec()),
            Err(problems) => Err(problems.lines().join("\n")),
        }
    };
    let bytes = vec![0xff, 0xef, 0, 1];
    for text in ["/+8AAQ==", "/+8AAQ", "_-8AAQ==", "' _-8AAQ '"] {
        assert_eq!(read(&format!("{{base64: {text}}}")), Ok(bytes.clone()), "{text}");
    }
    assert_eq!(read("/+8AAQ=="), Ok(b"/+8AAQ==".to_vec()), "a text is not decoded");
    for (secret, told) in [
        ("{base64: 'a b'}", "auth.jwt.secret.base64: not base64; write"),
        ("{base64: ''}", "openssl rand -base64 32"),
        ("{base64: [a]}", "auth.jwt.secret.base64: "),
        ("{hex: '00'}", "auth.jwt.secret.hex: unknown key; write `base64` or `file`"),
        ("{}", "not a single key; write {file: PATH}, {base64: …}"),
        ("[a]", "auth.jwt.secret: "),
    ] {
        let problems = read(secret).expect_err(secret);
        assert!(problems.contains(told), "{secret}: {problems}");
    }
}

#[test]
fn a_policy_that_says_everything() {
    let digest = "a1".repeat(32);
    let policy = policy(&format!(
        r#"
listen: localhost:0
auth:
  accept: [key, anonymous]
  jwt: {{algorithms: [RS256, ES256], jwks: "https://id.example/jwks", org_claim: app.org, leeway: 5s}}
  keys: [{{name: ci, sha256: {digest}, org: 4711}}]
providers:
  local: {{base_url: "http://127.0.0.1:9/v1/", api_key: "${{KEY}}", forward_headers: [X-Trace]}}
  claude: {{kind: anthropic, base_url: 'https://api.anthropic.com/v1'}}
routing:
  endpoints: ["post /v1/batches"]
  models: [{{match: "claude-*", to: [claude, local]}}]
redaction:
  entities: [email]
  orgs: {{acme: {{attachments: reject}}}}
limits:
  requests_per_minute: ${{FIVE}}
  orgs:
    acme: {{burst: 7}}
    big: {{requests_per_minute: 1_000, strict: true}}
features:
  ai_intent_enabled: "${{OFF:-true}}"
  orgs: {{acme: {{ai_intent_enabled: true}}}}
intent: {{categories: [a, no]}}
prices: [{{model: "x*", input: 0.15, output: 2}}]
"#
    ));
    assert_eq!(policy.auth.options.accept, [Accept::Key, Accept::Anonymous]);
    let jwt = policy.auth.jwt.as_ref().expect("jwt");
    assert_eq!(jwt.org_claim, ["app", "org"]);
    assert!(matches!(&jwt.jwks, Some(JwksSource::Url(uri)) if uri.path() == "/jwks"));
    let key = &policy.auth.keys[&[0xa1; 32]];
    assert_eq!((&*key.name, key.options.org.as_str()), ("ci", "4711"));
    let local = &policy.providers[0];
    assert_eq!(
        (local.base_url.path(), &*local.options.api_key.reveal()),
        ("/v1", "sk-from-the-environment")
    );
    assert_eq!(policy.providers[1].base_url.to_string(), "https://api.anthropic.com/v1");
    assert!(policy.providers[1].options.api_key.is_empty());
    // Neither was given, and there is no `openai`: the first provider.
    assert_eq!((names(&policy.routing.default), policy.intent.provider), (vec!["local"], 0));
    assert_eq!(names(&policy.routing.models[0].to), ["claude", "local"]);
    assert!(policy.routing.models[0].to.spread == Spread::InOrder && !policy.routing.renames);
    assert_eq!(policy.routing.endpoints, [(http::Method::POST, "/v1/batches".to_owned())]);
    assert!(!Arc::ptr_eq(policy.redaction.of(&org("acme")), policy.redaction.of(&org("other"))));
    assert_eq!(policy.limits.requests.of(&org("acme")).quota.requests_per_minute(), 5);
    assert_eq!(policy.limits.requests.of(&org("big")).quota.requests_per_minute(), 1000);
    assert_eq!(policy.limits.requests.of(&org("other")).quota.requests_per_minute(), 5);
    assert!(
        !policy.features.of(&org("other")).ai_intent_enabled
            && policy.features.of(&org("acme")).ai_intent_enabled
    );
    let categories = policy.intent.question.categories.iter().map(|c| c.name.as_str());
    assert_eq!(categories.collect::<Vec<_>>(), ["a", "no"]);
}

fn names(targets: &Targets) -> Vec<&str> {
    targets.list.iter().map(|target| &*target.provider.name).collect()
}

#[test]
fn targets_have_weights_models_and_timeouts_of_their_own() {
    let policy = policy(
        r#"
providers: {openai: {base_url: "http://127.0.0.1:7/v1"}, azure: {base_url: "http://127.0.0.1:9/v1"}, spare: {base_url: "http://127.0.0.1:8/v1"}}
timeouts: {connect: 2s, idle: 7s, keep_alive: 3s}
breaker: {consecutive_failures: 30}
routing:
  default: [{provider: openai, weight: 2}, {provider: azure, weight: 2}]
  models:
    - match: gpt-4o
      sticky: true
      to:
        - openai
        - {provider: azure, weight: 3, model: my-deployment, timeouts: {first_byte: 20s, connect: 300ms, keep_alive: off}}
        - {provider: spare, weight: 0}
        - {provider: azure, model: another}
    - {match: "*", to: [{provider: spare, timeouts: {idle: 1s}}]}
"#,
    );
    let routing = &policy.routing;
    assert!(routing.renames && routing.models[0].to.sticky && !routing.default.sticky);
    assert_eq!(routing.default.spread, Spread::LeastLoaded);
    let to = &routing.models[0].to;
    assert_eq!(
        (names(to), to.spread),
        (vec!["openai", "azure", "spare", "azure"], Spread::ByWeight)
    );
    assert_eq!(to.list.iter().map(|target| target.weight).collect::<Vec<_>>(), [1, 3, 0, 1]);
    assert_eq!(
        to.list.iter().map(|target| target.model.as_deref()).collect::<Vec<_>>(),
        [None, Some("my-deployment"), None, Some("another")]
    );
    let seconds = |timeouts: Timeouts| {
        (timeouts.connect.as_secs_f64(), timeouts.first_byte.as_secs(), timeouts.idle.as_secs())
    };
    assert_eq!(seconds(to.list[0].timeouts), (2.0, 60, 7));
    assert_eq!(seconds(to.list[1].timeouts), (0.3, 20, 7));
    assert_eq!(seconds(routing.models[1].to.list[0].timeouts), (2.0, 60, 1));
    let told = |at: usize| to.list[at].timeouts.keep_alive.map(|every| every.as_secs());
    assert_eq!((told(0), told(1)), (Some(3), None));
    // The share of failures does not overrule who allows more of them in a row.
    assert_eq!((policy.breaker.error_percent, policy.breaker.min_calls()), (50, 60));
}

#[test]
fn secrets_are_neither_shown_nor_quoted() {
    let yaml = "limits_store: 'redis://:hunter2@h:1'\nclickhouse: {password: hunter2}\nauth: {jwt: \
        {secret: hunter2hunter2hunter2}}\nproviders: {a: {base_url: 'http://127.0.0.1:1/v1', \
        api_key: hunter2}}\n";
    let dir = folder(&[("all.yaml", yaml)]);
    let loaded = load(&Source::File(dir.path().join("all.yaml"))).expect("good");
    let shown = loaded.origin.masked().to_string();
    assert!(
        !shown.contains("hunter2") && shown.contains("***") && shown.contains("redis://***@h:1"),
        "{shown}"
    );
    assert!(!format!("{:?}", loaded.policy).contains("hunter2"));
    // The value of a variable is not quoted, wherever it stands.
    for yaml in [
        "limits: {burst: '${KEY}'}",
        "store: '${KEY}'",
        "retry: {base_delay: '${KEY}'}",
        "listen: '${KEY}'",
    ] {
        let dir = folder(&[("all.yaml", yaml)]);
        let problems =
            load(&Source::File(dir.path().join("all.yaml"))).expect_err("wrong").to_string();
        assert!(!problems.contains("sk-from"), "{problems}");
    }
}

/// Organisations share rules only if their words are compared in the same way.
#[test]
fn words_are_found_inside_longer_words_where_the_list_says_so() {
    let list =
        |whole_words: &str| format!("{{terms: [{{name: project, words: [Falcon]{whole_words}}}]}}");
    let policy = policy(&format!(
        "redaction:\n  orgs:\n    acme: {}\n    other: {}\n    same: {}\n    whole: {}\n",
        list(", whole_words: false"),
        list(", whole_words: false, case: true"),
        list(", whole_words: false"),
        list(", whole_words: true"),
    ));
    let rules = |name: &str| policy.redaction.of(&org(name));
    for (name, expected) in [
        ("acme", "[REDACTED_PROJECT]ry [REDACTED_PROJECT]ry [REDACTED_PROJECT]"),
        ("other", "[REDACTED_PROJECT]ry falconry [REDACTED_PROJECT]"),
        ("whole", "Falconry falconry [REDACTED_PROJECT]"),
    ] {
        let (out, _) = crate::redact::text(rules(name), "Falconry falconry Falcon");
        assert_eq!(String::from_utf8_lossy(out.as_bytes()), expected, "{name}");
    }
    assert!(Arc::ptr_eq(rules("acme"), rules("same")));
    assert!(!Arc::ptr_eq(rules("acme"), rules("whole")));
}

/// Names of customers and projects are counted, not shown.
#[test]
fn words_that_are_looked_for_are_not_shown() {
    let yaml = "redaction:\n  allow: [falcon@example.com, '@falcon.example']\n  custom: [{name: \
        ticket, pattern: 'FALCON-[0-9]+'}]\n  \
                terms: [{name: project, words: [Falcon, 'Blue Falcon'], replacement: '[P]'}]\n  \
                orgs:\n    acme: {terms: [{name: vip, words: \
                [Jane Falcon]}], allow: [falcon]}\n";
    let dir = folder(&[("all.yaml", yaml)]);
    let loaded = load(&Source::File(dir.path().join("all.yaml"))).expect("good");
    let shown = loaded.origin.masked();
    assert!(!shown.to_string().to_lowercase().contains("falcon"), "{shown}");
    let redaction = &shown["policy"]["redaction"];
    assert_eq!(
        (&redaction["allow"], &redaction["custom"][0]["pattern"], &redaction["terms"][0]["words"]),
        (&"*** (2)".into(), &"***".into(), &"*** (2)".into())
    );
    assert_eq!(
        (&redaction["terms"][0]["name"], &redaction["orgs"]["acme"]["allow"]),
        (&"project".into(), &"*** (1)".into())
    );
    assert_eq!(
        load(&Source::BuiltIn).expect("good").origin.masked()["policy"]["redaction"]["allow"],
        serde_json::json!([])
    );
}

#[test]
fn sections_without_keys_are_defaults() {
    let policy = policy("limits:\nprices:\nredaction:\n  custom:\n  # - nothing\n  orgs:\n");
    assert_eq!(policy.limits.requests.default.quota.requests_per_minute(), 60);
}

#[test]
fn the_version_is_that_of_the_policy_files() {
    let version = |files: &[(&str, &str)]| {
        let dir = folder(files);
        load(&Source::Folder(dir.path().to_owned())).expect("good").policy.version
    };
    let one = version(&[("policies/a.yaml", "limits: {burst: 1}\n")]);
    assert_eq!(
        one,
        version(&[
            ("gateway.yaml", "listen: 127.0.0.1:1\n"),
            ("policies/a.yaml", "limits: {burst: 1}\n")
        ])
    );
    assert_ne!(one, version(&[("policies/a.yaml", "limits: {burst: 2}\n")]));
    // Policy sections in gateway.yaml count as well.
    assert_ne!(
        one,
        version(&[("gateway.yaml", "retry: {}\n"), ("policies/a.yaml", "limits: {burst: 1}\n")])
    );
}

#[test]
fn organisations_that_say_the_same_share_their_rules() {
    let policy =
        policy("redaction: {orgs: {a: {attachments: reject}, b: {attachments: reject}, c: {}}}");
    let rules = |name: &str| policy.redaction.of(&org(name)).clone();
    assert!(Arc::ptr_eq(&rules("a"), &rules("b")) && Arc::ptr_eq(&rules("c"), &rules("other")));
    assert!(!Arc::ptr_eq(&rules("a"), &rules("c")));
}
