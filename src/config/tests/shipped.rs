//! The shipped and generated files say the same as the program.

use std::fs;
use std::path::Path;

use super::{folder, load};
use crate::config::load::Source;
use crate::config::reader::shape::{KeyInfo, Kind, Section as _};
use crate::config::sections::{RawGateway, RawPolicy};

/// An operator removes the `# ` of one example, or of several.
#[test]
fn the_examples_of_the_shipped_files_take_effect_without_their_mark() {
    let shipped = crate::config::files();
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
    for (name, text) in crate::config::files() {
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
    let schema = crate::config::json_schema();
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
