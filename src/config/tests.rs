//! The configuration from outside: files in, policy or problems out.

mod credentials;
mod diagnoses;
mod documentation;
mod openapi;

use std::fs;
use std::path::Path;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use proptest::prelude::*;
use tempfile::TempDir;

use super::load::{Loaded, Purpose, Source};
use super::policy::{
    Accept, Fail, JwksSource, LimitsStore, Policy, Spread, StoreKind, Targets, Timeouts,
};
use super::reader::place::Problems;
use super::reader::shape::{KeyInfo, Kind, Section as _};
use super::sections::{RawGateway, RawPolicy};
use super::uses::Uses;
use super::watch::{Folders, Signal, Status, Watcher};
use crate::clock::Clock;
use crate::ids::OrgId;
use crate::metrics::Metrics;

fn env(name: &str) -> Option<String> {
    match name {
        "KEY" => Some("sk-from-the-environment".to_owned()),
        "OFF" => Some("False".to_owned()),
        "FIVE" => Some("5".to_owned()),
        "AZURE_CLIENT_SECRET"
        | "AWS_SECRET_ACCESS_KEY"
        | "AWS_ROLE_ARN"
        | "AZURE_TENANT_ID"
        | "AZURE_CLIENT_ID"
        | "AZURE_FEDERATED_TOKEN_FILE" => Some("of-docs".to_owned()),
        "AWS_WEB_IDENTITY_TOKEN_FILE" => Some("/var/run/secrets/token".to_owned()),
        "EVIL" => Some("x\nlimits: {strict: true}".to_owned()),
        _ => None,
    }
}

fn load(source: &Source) -> Result<Loaded, Problems> {
    let mut problems = Problems::default();
    problems.env = env;
    source.load_in(1_700_000_000_123, Purpose::Read(Uses::Everything), problems)
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let dir = TempDir::new().expect("folder");
    for (name, text) in files {
        write(dir.path(), name, text);
    }
    dir
}

fn write(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().expect("parent")).expect("folder");
    fs::write(path, text).expect("file");
}

/// The problems of these files, with the folder's name taken out.
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let dir = folder(files);
    let prefix = format!("{}/", dir.path().display());
    match load(&Source::Folder(dir.path().to_owned())) {
        Ok(_) => Vec::new(),
        Err(problems) => problems
            .lines()
            .iter()
            .map(|line| line.replace(&prefix, ""))
            .inspect(|line| assert!(has_the_form(line), "{line}"))
            .collect(),
    }
}

/// Words that begin a remedy.
const REMEDIES: [&str; 20] = [
    "accept",
    "add",
    "choose",
    "close",
    "configure",
    "correct",
    "define",
    "did you mean",
    "give",
    "keep",
    "make",
    "move",
    "name",
    "put",
    "remove",
    "run",
    "save",
    "set",
    "use",
    "write",
];

/// Whether a problem is `file:line:column: key: problem; remedy`. Only a problem with a whole file
/// has no key.
fn has_the_form(line: &str) -> bool {
    let mut place = line.splitn(4, ':');
    let (Some(file), Some(number), Some(column), Some(rest)) =
        (place.next(), place.next(), place.next(), place.next())
    else {
        return false;
    };
    let numbered = |text: &str| text.parse::<u32>().is_ok_and(|number| number > 0);
    // Behind the last semicolon, but not one inside a value that is quoted.
    let Some((problem, remedy)) = rest.split_once("; ") else { return false };
    !file.is_empty()
        && numbered(number)
        && numbered(column)
        && problem.starts_with(' ')
        && !problem.contains(". ")
        && REMEDIES.iter().any(|word| remedy.starts_with(word))
        && !remedy.ends_with('.')
}

fn policy(yaml: &str) -> Policy {
    let dir = folder(&[("all.yaml", yaml)]);
    load(&Source::File(dir.path().join("all.yaml"))).expect("good").policy
}

fn sha256(text: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn org(name: &str) -> OrgId {
    OrgId::new(name).expect("org")
}

/// An operator removes the `# ` of one example, or of several.
#[test]
fn the_examples_of_the_shipped_files_take_effect_without_their_mark() {
    let shipped = super::files();
    let yaml: Vec<(&str, &str)> = shipped
        .iter()
        .filter_map(|(path, text)| Some((path.strip_prefix("config/")?, text.as_str())))
        .filter(|(path, _)| path.ends_with(".yaml"))
        .collect();
    let is_example = |line: &str| {
        let comment = line.trim_start().strip_prefix('#').unwrap_or_default();
        comment.starts_with(" - ") || comment.starts_with("   ")
    };
    let mut tried = 0;
    for (path, text) in &yaml {
        for (n, example) in text.lines().enumerate().filter(|(_, line)| is_example(line)) {
            tried += 1;
            let lines = text
                .lines()
                .enumerate()
                .map(|(i, line)| if i == n { line.replacen("# ", "", 1) } else { line.to_owned() });
            let edited = lines.collect::<Vec<_>>().join("\n");
            let files: Vec<(&str, &str)> = yaml
                .iter()
                .map(|(name, text)| (*name, if name == path { edited.as_str() } else { *text }))
                .collect();
            let (before, after) = (folder(&yaml), folder(&files));
            let [before, after] =
                [before.path(), after.path()].map(|dir| load(&Source::Folder(dir.to_owned())));
            let before = before.expect("the shipped files");
            match after {
                Ok(after) => assert_ne!(
                    before.origin.masked(),
                    after.origin.masked(),
                    "{path}:{}: without effect: {example}",
                    n + 1
                ),
                // Certificates and secrets of the example are not on this machine.
                Err(problems) => {
                    let lines = problems.lines();
                    let elsewhere = ["/etc/tollgate/tls.", "/run/secrets/"];
                    assert!(
                        lines.iter().all(|line| elsewhere.iter().any(|at| line.contains(at))),
                        "{path}:{}: {example}: {lines:#?}",
                        n + 1
                    );
                }
            }
        }
    }
    assert!(tried > 20, "only {tried} examples");
}

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

#[test]
fn the_shipped_files_say_the_defaults_and_nothing_else() {
    let shipped = load(&Source::Folder(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")))
        .expect("shipped");
    let defaults = load(&Source::BuiltIn).expect("defaults");
    assert_eq!(shipped.origin.masked(), defaults.origin.masked());
    // And each key of the configuration is shown in them.
    let sections: Vec<&str> =
        shipped.origin.snapshot.sections.iter().map(|(key, _)| key.as_str()).collect();
    for half in ["gateway", "policy"] {
        for key in defaults.origin.masked()[half].as_object().expect("mapping").keys() {
            assert!(sections.contains(&key.as_str()), "{key} is not in the shipped files");
        }
    }
}

#[test]
fn the_generated_files_are_current() {
    for (name, text) in super::files() {
        let committed = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&name))
            .unwrap_or_default();
        assert!(committed == text, "{name} is out of date; run `cargo run -- schema --write .`");
    }
}

/// Adds a configuration for each example among `keys`: the keys that lead to it, and the example.
fn examples(keys: &[KeyInfo], path: &[&str], found: &mut Vec<String>) {
    for key in keys {
        let path = [path, &[key.name]].concat();
        if let Some(example) = key.example {
            let orgs: &[&str] = if matches!(key.kind, Kind::PerOrg(_)) { &["orgs"] } else { &[] };
            let path = [&path[..], orgs].concat();
            let bullet = if matches!(key.kind, Kind::List(_)) { "- " } else { "" };
            let mut yaml = String::new();
            for (depth, name) in path.iter().enumerate() {
                yaml.push_str(&format!("{}{name}:\n", "  ".repeat(depth)));
            }
            found.push(format!("{yaml}{}{bullet}{example}\n", "  ".repeat(path.len())));
        }
        if let Kind::Section(info) | Kind::PerOrg(info) = &key.kind {
            examples(&info.keys, &path, found);
        }
    }
}

#[test]
fn every_example_is_valid() {
    let mut found = Vec::new();
    examples(&RawGateway::info().keys, &[], &mut found);
    examples(&RawPolicy::info().keys, &[], &mut found);
    assert!(found.len() > 15, "{} examples", found.len());
    for yaml in found {
        let yaml = yaml.replace("/run/secrets/", "");
        let dir = folder(&[("all.yaml", &yaml), ("jwt", "a-secret-of-enough-bytes")]);
        if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
            panic!("{yaml}{problems}");
        }
    }
}

#[test]
fn the_schema_knows_every_key_that_is_read() {
    fn keys(json: &serde_json::Value, path: &str, schema: &serde_json::Value, seen: &mut usize) {
        let Some(map) = json.as_object() else { return };
        for (key, value) in map {
            let known = &schema["properties"][key];
            assert!(known.is_object(), "{path}.{key} is not in the schema");
            assert!(
                known["description"].as_str().is_some_and(|d| !d.is_empty()),
                "{path}.{key} has no description"
            );
            *seen += 1;
            keys(value, &format!("{path}.{key}"), known, seen);
        }
    }
    let defaults = load(&Source::BuiltIn).expect("defaults");
    let schema = super::json_schema();
    let mut seen = 0;
    for half in ["gateway", "policy"] {
        let mut json = defaults.origin.masked()[half].clone();
        json.as_object_mut().expect("mapping").remove("providers");
        keys(&json, half, &schema, &mut seen);
    }
    assert!(seen > 60, "{seen} keys");
    assert_eq!(
        schema["properties"]["features"]["properties"]["ai_intent_enabled"]["default"],
        "${AI_INTENT_ENABLED:-true}"
    );
    assert_eq!(schema["properties"]["limits"]["properties"]["requests_per_minute"]["default"], 60);
}

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

/// One policy text, one place and the words its problem has to hold.
#[test]
fn rules_of_the_policy() {
    let table = [
        ("auth: {accept: []}", "1:16: auth.accept: ", "no call is accepted"),
        ("auth: {accept: [jwt, jwt]}", "1:22: auth.accept[1]: ", "given twice"),
        (
            "auth: {accept: [token]}",
            "1:17: auth.accept[0]: ",
            "choose from jwt, key, passthrough, anonymous",
        ),
        (
            "redaction: {restore_arguments: true}",
            "1:32: redaction.restore_arguments: ",
            "without `restore: true`",
        ),
        (
            "redaction: {restore: true, placeholders: plain}",
            "1:42: redaction.placeholders: ",
            "plain placeholders cannot be restored; give numbered or stable",
        ),
        ("redaction: {allow: [a@b.de, '+ ']}", "1:29: redaction.allow[1]: ", "can match nothing"),
        (
            "auth: {jwt: {algorithms: [none]}}",
            "1:27: auth.jwt.algorithms[0]: ",
            "`none` is not known here",
        ),
        ("auth: {jwt: {jwks: keys.json}}", "1:20: auth.jwt.jwks: ", "only HS algorithms"),
        (
            "auth: {jwt: {jwks: 'ftp://x/y', algorithms: [RS256]}}",
            "1:20: auth.jwt.jwks: ",
            "not the address of a key set",
        ),
        ("auth: {jwt: {leeway: 1h}}", "1:22: auth.jwt.leeway: ", "give 0s to 10m"),
        ("auth: {jwt: {org_claim: a..b}}", "1:25: auth.jwt.org_claim: ", "not the name of a claim"),
        (
            "auth: {keys: [{name: a, sha256: 12, org: b}]}",
            "1:33: auth.keys[0].sha256: ",
            "64 hex digits",
        ),
        (
            "auth: {keys: [{name: a, org: b, expires: soon, sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:42: auth.keys[0].expires: ",
            "2027-01-31",
        ),
        (
            "auth: {keys: [{name: a, org: b, models: [''], sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:42: auth.keys[0].models[0]: ",
            "give a model",
        ),
        (
            "auth: {keys: [{name: a, org: b, endpoints: [chat], sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:45: auth.keys[0].endpoints[0]: ",
            "/v1/",
        ),
        (
            "auth: {keys: [{name: a, org: anonymous, sha256: \
                0000000000000000000000000000000000000000000000000000000000000000}]}",
            "1:30: auth.keys[0].org: ",
            "give another name",
        ),
        (
            "auth: {keys: [{name: a, org: b, sha256: \
                e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855}]}",
            "1:41: auth.keys[0].sha256: ",
            "tollgate key new",
        ),
        (
            "auth: {keys: [{name: a, org: b, sha256: \
                01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b}]}",
            "1:41: auth.keys[0].sha256: ",
            "tollgate key new",
        ),
        ("auth: {keys: [{name: a, org: b}]}", "1:15: auth.keys[0]: ", "`sha256` is missing"),
        (
            "auth: {keys: [{name: a, sha256: ~, org: b}]}",
            "1:25: auth.keys[0].sha256: ",
            "`sha256` is missing",
        ),
        ("providers: {}", "1:12: providers: ", "at least one"),
        ("providers: {a: {base_url: 'ftp://x'}}", "1:27: providers.a.base_url: ", "http or https"),
        (
            "providers: {a: {kind: azure_openai, api_version: '2024', base_url: 'http://x'}}",
            "1:50: providers.a.api_version: ",
            "give v1 or a date",
        ),
        (
            "providers: {a: {api_version: '2024-10-21', base_url: 'http://x/v1'}}",
            "1:30: providers.a.api_version: ",
            "only a provider of kind azure_openai",
        ),
        (
            "providers: {a: {kind: anthropic, base_url: 'https://aiplatform.googleapis.com/v1/p'}}",
            "1:44: providers.a.base_url: ",
            "/publishers/anthropic",
        ),
        ("providers: {a: {base_url: 'http://x/v1?k=1'}}", "1:27: providers.a.base_url: ", "query"),
        ("providers: {a: {base_url: 'http://u:p@x/v1'}}", "1:27: providers.a.base_url: ", "a user"),
        (
            "providers: {a: {base_url: 'http://x:99999/v1'}}",
            "1:27: providers.a.base_url: ",
            "1 to 65535",
        ),
        (
            "providers: {a: {base_url: 'http://[::1]:0/v1'}}",
            "1:27: providers.a.base_url: ",
            "1 to 65535",
        ),
        (
            "auth: {jwt: {jwks: 'http://x:99999/y', algorithms: [RS256]}}",
            "1:20: auth.jwt.jwks: ",
            "not the address of a key set",
        ),
        (
            "providers: {a: {kind: openapi, base_url: 'http://a/v1'}}",
            "1:23: providers.a.kind: ",
            "did you mean `openai`?",
        ),
        (
            "providers: {a: {forward_headers: [Authorization], base_url: 'http://a/v1'}}",
            "1:35: providers.a.forward_headers[0]: ",
            "never forwarded",
        ),
        (
            "providers: {'a b': {base_url: 'https://a.example/v1'}}",
            "1:13: providers.a b: ",
            "not a usable name",
        ),
        ("cors: {origins: [app.example.com]}", "1:18: cors.origins[0]: ", "not an origin"),
        ("cors: {origins: ['https://x.y/']}", "1:18: cors.origins[0]: ", "without a path"),
        ("cors: {origins: ['https://X.y']}", "1:18: cors.origins[0]: ", "not an origin"),
        ("cors: {origins: ['http://a:1', '*']}", "1:32: cors.origins[1]: ", "give it alone"),
        ("cors: {headers: ['a b']}", "1:18: cors.headers[0]: ", "not the name of a header"),
        (
            "routing: {default: [nobody]}",
            "1:21: routing.default[0]: ",
            "there is no provider of this name; choose from openai",
        ),
        (
            "routing: {models: [{match: 'x*', to: []}]}",
            "1:38: routing.models[0].to: ",
            "at least one provider",
        ),
        (
            "routing: {models: [{match: 'x*', to: [opnai]}]}",
            "1:39: routing.models[0].to[0]: ",
            "did you mean `openai`?",
        ),
        ("routing: {default: [openai, openai]}", "1:29: routing.default[1]: ", "given twice"),
        (
            "routing: {default: [{weight: 2}]}",
            "1:21: routing.default[0]: ",
            "`provider` is missing",
        ),
        (
            "routing: {default: [{provider: openai, weigth: 2}]}",
            "1:40: routing.default[0].weigth: ",
            "did you mean `weight`?",
        ),
        (
            "routing: {default: [{provider: openai, weight: 1000001}]}",
            "1:48: routing.default[0].weight: ",
            "give 0 to 1000000",
        ),
        (
            "routing: {default: [{provider: openai, weight: 0}]}",
            "1:21: routing.default[0]: ",
            "every weight is 0",
        ),
        (
            "routing: {default: [{provider: openai, model: ''}]}",
            "1:47: routing.default[0].model: ",
            "not the name of a model",
        ),
        (
            "routing: {default: [{provider: openai, timeouts: {idle: 0s}}]}",
            "1:57: routing.default[0].timeouts.idle: ",
            "0s is not allowed",
        ),
        ("routing: {default: [openai], sticky: true}", "1:38: routing.sticky: ", "without weights"),
        ("breaker: {error_percent: 101}", "1:26: breaker.error_percent: ", "give 1 to 100"),
        ("breaker: {min_calls: 0}", "1:22: breaker.min_calls: ", "give 1 to"),
        ("routing: {endpoints: ['FETCH /v1/x']}", "1:23: routing.endpoints[0]: ", "unknown method"),
        ("routing: {endpoints: ['GET /v1/../x']}", "1:23: routing.endpoints[0]: ", "no path has"),
        (
            "routing: {endpoints: ['POST /v1/batches/{id}']}",
            "1:23: routing.endpoints[0]: ",
            "use `*` for one segment",
        ),
        (
            "routing: {endpoints: ['GET /v1/batches/x*']}",
            "1:23: routing.endpoints[0]: ",
            "for a whole segment",
        ),
        ("routing: {endpoints: ['GET /v1/a(b)']}", "1:23: routing.endpoints[0]: ", "no path has"),
        ("retry: {max_retries: 11}", "1:22: retry.max_retries: ", "give 0 to 10"),
        ("retry: {max_delay: 1ms}", "1:20: retry.max_delay: ", "shorter than `base_delay`"),
        ("retry: {budget_percent: 1001}", "1:25: retry.budget_percent: ", "give 0 to 1000"),
        ("timeouts: {keep_alive: 0s}", "1:24: timeouts.keep_alive: ", "0s is not allowed"),
        (
            "timeouts: {keep_alive: never}",
            "1:24: timeouts.keep_alive: ",
            "give a duration, or \
            `off`",
        ),
        ("timeouts: {keep_alive: 60s}", "1:24: timeouts.keep_alive: ", "not shorter than `idle`"),
        (
            "routing: {default: [{provider: openai, timeouts: {idle: 5s, keep_alive: 5s}}]}",
            "1:73: routing.default[0].timeouts.keep_alive: ",
            "not shorter than `idle`",
        ),
        ("timeouts: {connect: 0s}", "1:21: timeouts.connect: ", "0s is not allowed"),
        ("timeouts: {connect: 5}", "1:21: timeouts.connect: ", "has no unit"),
        (
            "breaker: {consecutive_failures: 0}",
            "1:33: breaker.consecutive_failures: ",
            "0 is not allowed",
        ),
        (
            "redaction: {attachments: keep}",
            "1:26: redaction.attachments: ",
            "choose from drop, reject, allow",
        ),
        (
            "redaction: {custom: [{name: email, pattern: x}]}",
            "1:29: redaction.custom[0].name: ",
            "give another name",
        ),
        (
            "redaction: {custom: [{name: x, pattern: '[a'}]}",
            "1:41: redaction.custom[0].pattern: ",
            "pattern: not a usable pattern: unclosed character class",
        ),
        (
            "redaction: {orgs: {acme: {orgs: {}}}}",
            "1:27: redaction.orgs.acme.orgs: ",
            "unknown key",
        ),
        (
            "limits: {orgs: {acme: {burst: 0}}}",
            "1:31: limits.orgs.acme.burst: ",
            "0 is not allowed",
        ),
        (
            "limits: {strict: true, requests_per_minute: 10001}",
            "1:45: limits.requests_per_minute: ",
            "give 1 to 10000",
        ),
        ("limits: {strict: yes}", "1:18: limits.strict: ", "neither true nor false"),
        ("limits: [1]", "1:9: limits: ", "not a mapping"),
        (
            "limits: {tokens_per_minute: 0}",
            "1:29: limits.tokens_per_minute: ",
            "give 1 to 1000000000000, or `off`",
        ),
        (
            "limits: {usd_per_day: 0}",
            "1:23: limits.usd_per_day: ",
            "0 is not allowed; give 0.000000001 to 9000000, or `off`",
        ),
        (
            "limits: {usd_per_month: lots}",
            "1:25: limits.usd_per_month: ",
            "give an amount of USD, or `off`",
        ),
        (
            "limits: {each_user: {calls_in_flight: 0}}",
            "1:39: limits.each_user.calls_in_flight: ",
            "or `off`",
        ),
        ("limits: {models: [{match: a}]}", "1:19: limits.models[0]: ", "limits nothing"),
        (
            "limits: {lease_percent: 11}",
            "1:25: limits.lease_percent: ",
            "11 is not allowed; give 0 to 10",
        ),
        (
            "limits: {lease_percent: 1, strict: true}",
            "1:25: limits.lease_percent: ",
            "nothing can be leased",
        ),
        ("limits: {fail: never}", "1:16: limits.fail: ", "not known here"),
        ("cache: {mode: on}", "1:15: cache.mode: ", "choose from off, exact"),
        (
            "cache: {mode: exact, endpoints: [chat]}",
            "1:34: cache.endpoints[0]: ",
            "not a path of the API",
        ),
        (
            "cache: {max_bytes: 1MiB, orgs: {a: {max_bytes: 2MiB}}}",
            "1:48: cache.orgs.a.max_bytes: ",
            "the room of all organisations",
        ),
        (
            "limits: {on_exhausted: stop}",
            "1:24: limits.on_exhausted: ",
            "give refuse, or {downgrade: {model: NAME}}",
        ),
        (
            "limits: {on_exhausted: {downgrade: {model: ' '}}}",
            "1:44: limits.on_exhausted.downgrade.model: ",
            "empty; give the name of a model",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'ftp://h', secret: s}}}",
            "1:32: alerts.webhooks.ops.url: ",
            "not the address of a webhook",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: ''}}}",
            "1:54: alerts.webhooks.ops.secret: ",
            "the secret that signs requests",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, to: [oops]}]}",
            "1:96: alerts.rules[0].to[0]: ",
            "`ops`",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, to: []}]}",
            "1:95: alerts.rules[0].to: ",
            "names no webhook",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                log_loss, org: a, to: [ops]}]}",
            "1:96: alerts.rules[0].org: ",
            "says nothing to this condition",
        ),
        (
            "alerts: {webhooks: {ops: {url: 'http://h/x', secret: s}}, rules: [{name: n, on: \
                budget, at_percent: [0], to: [ops]}]}",
            "1:102: alerts.rules[0].at_percent[0]: ",
            "give 1 to 1000 percent",
        ),
        (
            "features: {ai_intent_enabled: maybe}",
            "1:31: features.ai_intent_enabled: ",
            "neither true nor false",
        ),
        (
            "intent: {provider: other}",
            "1:20: intent.provider: ",
            "there is no provider of this name",
        ),
        ("intent: {temperature: 2.5}", "1:23: intent.temperature: ", "give 0 to 2"),
        (
            "intent: {categories: []}",
            "1:22: intent.categories: ",
            "has 0 entries; give 1 to 64 entries",
        ),
        ("intent: {priorities: [low, Low]}", "1:28: intent.priorities[1]: ", "given twice"),
        ("intent: {prompt: ' '}", "1:18: intent.prompt: ", "has 0 bytes; give 1 to 16384 bytes"),
        (
            "intent: {category_descriptions: {biling: x}}",
            "1:34: intent.category_descriptions.biling: ",
            "`billing`",
        ),
        (
            "intent: {priority_descriptions: {low: ''}}",
            "1:39: intent.priority_descriptions.low: ",
            "one line",
        ),
        (
            "intent: {category_synonyms: {other: [Billing]}}",
            "1:38: intent.category_synonyms.other[0]: ",
            "already",
        ),
        (
            "intent: {priority_synonyms: {hi: [x]}}",
            "1:30: intent.priority_synonyms.hi: ",
            "not one of",
        ),
        (
            "intent: {examples: [{category: billing}]}",
            "1:21: intent.examples[0].body: ",
            "a title or a body",
        ),
        (
            "intent: {examples: [{title: x, priority: hgh}]}",
            "1:42: intent.examples[0].priority: ",
            "`high`",
        ),
        ("ailog: {capture_bytes: 1GiB}", "1:24: ailog.capture_bytes: ", "give 0B to 1MiB"),
        ("ailog: {tags: {a: x-a}}", "1:19: ailog.tags.a: ", "no source"),
        ("ailog: {tags: {a: 'header:cookie'}}", "1:19: ailog.tags.a: ", "a credential or a cookie"),
        (
            "ailog: {tags: {a: 'header:x-api-key'}}",
            "1:19: ailog.tags.a: ",
            "a credential or a cookie",
        ),
        ("ailog: {tags: {'a b': 'claim:x'}}", "1:16: ailog.tags.a b: ", "not a usable name"),
        ("ailog: {capture: {keep: tail}}", "1:25: ailog.capture.keep: ", "head_and_tail"),
        ("ailog: {retention_days: 0}", "1:25: ailog.retention_days: ", "0 is not allowed"),
        ("prices: [{model: m, input: -1, output: 1}]", "1:28: prices[0].input: ", "not negative"),
        (
            "prices: [{provider: x, model: m, input: 1, output: 1}]",
            "1:21: prices[0].provider: ",
            "there is no provider",
        ),
        ("prices: [{model: m, input: 1}]", "1:10: prices[0]: ", "`output` is missing"),
        (
            "prices: [{model: m, input: 1, output: 1, tier: flx}]",
            "1:48: prices[0].tier: ",
            "`flex`",
        ),
        (
            "prices: [{model: m, input: 1, output: 1, from: soon}]",
            "1:48: prices[0].from: ",
            "2027-01-01",
        ),
        (
            "prices: [{model: m, input: 1, output: 1, above: -1}]",
            "1:49: prices[0].above: ",
            "negative",
        ),
        ("limit: {}", "1:1: limit: ", "did you mean `limits`?"),
        ("- a", "1:1: ", "not a mapping"),
        ("a: b: c", "1:", "not valid YAML"),
        ("limits: {burst: '${UNSET}'}", "1:17: limits.burst: ", "UNSET is not set"),
        ("limits: {burst: ${UNSET}}", "1:", "put quotes around a ${…}"),
        ("limits: {burst: 1, burst: 2}", "1:20: limits.burst: ", "given twice"),
    ];
    for (yaml, place, words) in table {
        let found = problems(&[("policies/p.yaml", yaml)]);
        assert_eq!(found.len(), 1, "{yaml}: {found:#?}");
        assert!(
            found[0].starts_with(&format!("policies/p.yaml:{place}")) && found[0].contains(words),
            "{yaml}: {found:#?}"
        );
    }
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

/// Configurations, and their warnings by key and a few of their words.
#[test]
fn what_an_operator_should_know_is_told() {
    let told = |yaml: &str| {
        let dir = folder(&[("all.yaml", yaml)]);
        let loaded = load(&Source::File(dir.path().join("all.yaml"))).expect(yaml);
        super::warnings(&loaded.settings, &loaded.policy, &loaded.origin.live)
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
            &["routing.models: `gpt-.*` looks like a regular"],
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
fn a_variable_cannot_become_structure() {
    let policy = policy("intent: {model: '${EVIL}'}\n");
    assert_eq!(policy.intent.question.model, "x\nlimits: {strict: true}");
    assert_eq!(policy.limits.requests.default.quota.requests_per_minute(), 60);
}

#[test]
fn sections_without_keys_are_defaults() {
    let policy = policy("limits:\nprices:\nredaction:\n  custom:\n  # - nothing\n  orgs:\n");
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

/// The names that lead to each value that is no mapping.
fn leaves(json: &serde_json::Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match json.as_object().filter(|map| !map.is_empty()) {
        None => found.push(path.clone()),
        Some(map) => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
    }
}

proptest! {
    /// For any content of a file there is a configuration or a reason with a place.
    #[test]
    fn any_text_loads_or_says_why(text in "([a-z_]{0,8}[:{}\\[\\],&*!|>'\"#%@$\\-\t\n \
        ]{1,3}){0,40}|\\PC{0,200}") {
        let dir = folder(&[("all.yaml", &text)]);
        if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
            let lines = problems.lines();
            prop_assert!(!lines.is_empty());
            for line in lines {
                let place = line.split("all.yaml:").nth(1).unwrap_or_default();
                let mut numbers = place.split(':').map(str::parse::<u32>);
                prop_assert!(matches!((numbers.next(), numbers.next()), (Some(Ok(1..)), Some(Ok(1..)))), "{}", line);
            }
        }
    }

    /// Any value under any key: taken, or refused at its place and nowhere else.
    #[test]
    fn any_value_of_any_key_is_taken_or_refused_there(
        pick: prop::sample::Index,
        value in prop_oneof![
            prop::sample::select(vec![
                "0", "1", "-1", "1.5", "99999999999999999999", "1e400", "true", "null", "''", "' '", "[]", "{}", "[[]]",
                "[{}]", "{a: {}}", "[null]", "500ms", "36500d", "18446744073709551615GiB", "'${'", "'${KEY}'", "openai",
                "jwt", "'[::]:0'", "'http://x/'", "'redis://x'", "'\\0'", "\"\\u0000\"", "[openai, openai]",
            ]).prop_map(str::to_owned),
            "'[ -&(-~]{0,40}'",
        ],
    ) {
        let defaults = load(&Source::BuiltIn).expect("defaults");
        let mut paths = Vec::new();
        leaves(&defaults.origin.masked()["gateway"], &mut Vec::new(), &mut paths);
        leaves(&defaults.origin.masked()["policy"], &mut Vec::new(), &mut paths);
        let path = pick.get(&paths);
        let yaml = path.iter().rev().fold(value.clone(), |inner, key| format!("{{{key}: {inner}}}"));
        let dir = folder(&[("all.yaml", &yaml)]);
        if let Err(problems) = load(&Source::File(dir.path().join("all.yaml"))) {
            for line in problems.lines() {
                prop_assert!(line.contains("all.yaml:1:"), "{}: {}", yaml, line);
                // The path of a file is no secret, and its message names it.
                let names_file = path.last().is_some_and(|key| key.ends_with("_file"));
                prop_assert!(names_file || !line.contains("sk-from"), "{}", line);
            }
        }
    }

    /// A shipped file with a piece cut out of it: the same.
    #[test]
    fn a_file_that_lost_a_piece_loads_or_says_why(from in 0usize..2500, length in 1usize..80) {
        let text = include_str!("../../config/policies/access.yaml");
        let (from, to) = (from.min(text.len()), (from + length).min(text.len()));
        let cut = [&text.as_bytes()[..from], &text.as_bytes()[to..]].concat();
        let cut = String::from_utf8_lossy(&cut).into_owned();
        let dir = folder(&[("policies/access.yaml", &cut)]);
        if let Err(problems) = load(&Source::Folder(dir.path().to_owned())) {
            prop_assert!(problems.lines().iter().all(|line| line.contains("access.yaml:")), "{}", problems);
        }
    }
}

// ---- watching -----------------------------------------------------------------------------------------------------

struct Watched {
    dir: TempDir,
    policy: Arc<ArcSwap<Policy>>,
    metrics: Arc<Metrics>,
    watcher: Watcher,
}

fn watched(files: &[(&str, &str)]) -> Watched {
    watched_by(Folders::new, files)
}

fn watched_by(folders: fn(SyncSender<Signal>) -> Folders, files: &[(&str, &str)]) -> Watched {
    let dir = folder(files);
    write(dir.path(), "policies/access.yaml", "auth: {accept: [key]}\n");
    let loaded = Source::Folder(dir.path().to_owned()).load(1).expect("good");
    let (policy, metrics) = (Arc::new(ArcSwap::from_pointee(loaded.policy)), Metrics::new());
    let watcher =
        Watcher::start_with(folders, &loaded.origin, policy.clone(), None, metrics.clone())
            .expect("thread");
    Watched { dir, policy, metrics, watcher }
}

impl Watched {
    fn rpm(&self) -> u32 {
        self.policy.load().limits.requests.default.quota.requests_per_minute()
    }

    /// Waits until the status is as wanted; a test that waits in vain fails after a minute.
    fn until(&self, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
        let shared = self.watcher.shared();
        let state = shared.lock();
        let (state, timeout) = shared
            .changed
            .wait_timeout_while(state, Duration::from_secs(60), |state| !wanted(&state.status))
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "{what}: {:?}", state.status);
        state.status.clone()
    }
}

#[test]
fn edits_are_taken_and_bad_ones_refused() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")]);
    let first = w.watcher.status();
    assert_eq!(w.metrics.config_last_reload_successful.get(), 1);

    write(w.dir.path(), "policies/limits.yaml", "limits: {requests_per_minute: 10}\n");
    let second = w.until("edit", |s| s.version != first.version);
    assert_eq!(w.rpm(), 10);
    assert!(second.loaded_at_ms > first.loaded_at_ms);

    write(w.dir.path(), "policies/limits.yaml", "limits:\n  requests_per_minute: 0\n");
    let refused = w.until("bad edit", |s| s.refused).last_refused.expect("refused");
    assert!(
        refused.problems[0]
            .contains("limits.yaml:2:24: limits.requests_per_minute: 0 is not allowed"),
        "{refused:?}"
    );
    assert_eq!((w.rpm(), w.metrics.config_last_reload_successful.get()), (10, 0));
    assert_eq!(w.watcher.status().config["policy"]["limits"]["requests_per_minute"], 10);

    // Put back as it was: nothing is refused any more.
    write(w.dir.path(), "policies/limits.yaml", "limits: {requests_per_minute: 10}\n");
    let repaired = w.until("repaired", |s| !s.refused);
    assert_eq!(
        (repaired.version, w.rpm(), w.metrics.config_last_reload_successful.get()),
        (second.version, 10, 1)
    );
    assert!(repaired.last_refused.is_some());
}

/// A secret that an edit empties leaves the former one in force.
#[test]
fn an_edit_that_empties_the_secret_is_refused() {
    let w = watched(&[]);
    let good = "auth: {jwt: {secret: 0123456789abcdef0123456789abcdef}}\n";
    let before = w.watcher.status().version;
    write(w.dir.path(), "policies/access.yaml", good);
    let version = w.until("secret", |s| s.version != before).version;
    let edits = [
        "auth: {jwt: {secret: ''}}\n",
        "auth: {jwt: {secret: '${TOLLGATE_NO_SUCH_SECRET:-}'}}\n",
        "auth: {accept: [jwt, passthrough]}\n",
        "auth: {}\n",
    ];
    for edit in edits {
        write(w.dir.path(), "policies/access.yaml", edit);
        let wanted = |s: &Status| {
            s.last_refused.as_ref().is_some_and(|r| r.problems[0].contains("neither a secret"))
        };
        w.until(edit, |s| s.refused && wanted(s));
        assert!(w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).is_err());
        let policy = w.policy.load();
        assert_eq!((&policy.version, policy.auth.jwt.is_some()), (&version, true));
        write(w.dir.path(), "policies/access.yaml", good);
        w.until("put back", |s| !s.refused);
    }
}

/// A file that cannot be read is not a file that is not there.
#[test]
fn new_files_that_cannot_be_read_are_told() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")]);
    let path = w.dir.path().join("policies/more.yaml");
    fs::write(&path, b"retry: {max_retries: 1} # \xff\n").expect("write");
    let refused = w.until("bad file", |s| s.refused).last_refused.expect("refused");
    assert!(refused.problems[0].contains("more.yaml:1:27: not UTF-8"), "{refused:?}");
    assert_eq!((w.rpm(), w.metrics.config_last_reload_successful.get()), (60, 0));
    fs::remove_file(&path).expect("remove");
    w.until("repaired", |s| !s.refused);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere", &path).expect("link");
        let refused = w.until("dangling link", |s| s.refused).last_refused.expect("refused");
        assert!(refused.problems[0].contains("more.yaml:1:1: cannot be read"), "{refused:?}");
    }
}

#[test]
fn edits_are_soon_taken_where_the_system_tells_nothing() {
    let w = watched_by(
        Folders::untold,
        &[("policies/limits.yaml", "limits: {requests_per_minute: 60}\n")],
    );
    let clock = Clock::start();
    let begun = clock.now();
    for rpm in 1..4 {
        let before = w.watcher.status().version;
        write(
            w.dir.path(),
            "policies/limits.yaml",
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        w.until("edit", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
    // A look every 15 s would take 45.
    let took = clock.now().0 - begun.0;
    assert!(took < 40_000_000_000, "{took}");
}

#[test]
fn files_are_replaced_by_renaming_again_and_again() {
    let w = watched(&[("policies/limits.yaml", "limits: {}\n")]);
    for rpm in 1..4 {
        let before = w.watcher.status().version;
        write(
            w.dir.path(),
            "policies/.limits.tmp",
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        fs::rename(
            w.dir.path().join("policies/.limits.tmp"),
            w.dir.path().join("policies/limits.yaml"),
        )
        .expect("rename");
        w.until("rename", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
}

#[cfg(unix)]
#[test]
fn mounted_config_maps_are_followed() {
    use std::os::unix::fs::symlink;
    let dir = folder(&[("policies/..v0/limits.yaml", "limits: {requests_per_minute: 100}\n")]);
    let policies = dir.path().join("policies");
    write(&policies, "access.yaml", "auth: {accept: [key]}\n");
    symlink("..v0", policies.join("..data")).expect("link");
    symlink("..data/limits.yaml", policies.join("limits.yaml")).expect("link");
    let loaded = Source::Folder(dir.path().to_owned()).load(1).expect("good");
    let (policy, metrics) = (Arc::new(ArcSwap::from_pointee(loaded.policy)), Metrics::new());
    let watcher =
        Watcher::start(&loaded.origin, policy.clone(), None, metrics.clone()).expect("thread");
    let w = Watched { dir, policy, metrics, watcher };
    for rpm in 1..4_u32 {
        let before = w.watcher.status().version;
        write(
            &policies,
            &format!("..v{rpm}/limits.yaml"),
            &format!("limits: {{requests_per_minute: {rpm}}}\n"),
        );
        symlink(format!("..v{rpm}"), policies.join("..data_tmp")).expect("link");
        fs::rename(policies.join("..data_tmp"), policies.join("..data")).expect("swap");
        fs::remove_dir_all(policies.join(format!("..v{}", rpm - 1))).expect("old version");
        w.until("swap", |s| s.version != before);
        assert_eq!(w.rpm(), rpm);
    }
}

#[test]
fn a_file_that_vanishes_or_is_emptied_does_not_loosen_the_rules() {
    let w = watched(&[
        ("policies/limits.yaml", "limits: {requests_per_minute: 5}\n"),
        ("policies/b.yaml", "retry: {}\n"),
    ]);
    fs::remove_file(w.dir.path().join("policies/limits.yaml")).expect("remove");
    let refused = w.until("removed", |s| s.refused).last_refused.expect("refused");
    assert!(
        refused.problems[0].contains("limits.yaml:1:1: limits: the file is gone"),
        "{refused:?}"
    );
    assert_eq!(w.rpm(), 5);

    write(w.dir.path(), "policies/limits.yaml", "");
    w.until("emptied", |s| {
        s.last_refused.as_ref().is_some_and(|r| r.problems[0].contains("the file is empty"))
    });
    assert_eq!(w.rpm(), 5);

    // The section moves to another file: taken.
    write(w.dir.path(), "policies/b.yaml", "retry: {}\nlimits: {requests_per_minute: 6}\n");
    w.until("moved", |s| !s.refused);
    assert_eq!(w.rpm(), 6);

    // Taken out of a file that is still there: meant.
    write(w.dir.path(), "policies/b.yaml", "retry: {}\n");
    let version = w.watcher.status().version;
    w.until("taken out", |s| s.version != version || s.files.len() == 3 && w.rpm() == 60);
    assert_eq!(w.rpm(), 60);
}

#[test]
fn an_operator_may_insist_and_the_gateway_file_waits_for_a_restart() {
    let w = watched(&[("policies/limits.yaml", "limits: {requests_per_minute: 5}\n")]);
    fs::remove_file(w.dir.path().join("policies/limits.yaml")).expect("remove");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("meant");
    assert_eq!(w.rpm(), 60);
    write(w.dir.path(), "gateway.yaml", "listen: 127.0.0.1:1\n");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("good");
    assert!(w.watcher.status().restart_needed);
    write(w.dir.path(), "gateway.yaml", "listen: wrong\n");
    assert!(w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).is_err());
    assert!(w.watcher.status().refused);
    fs::remove_file(w.dir.path().join("gateway.yaml")).expect("remove");
    w.watcher.reload_now(&crate::audit::By::kind(crate::audit::Kind::Sighup)).expect("good");
    assert!(!w.watcher.status().restart_needed);
}
