//! The shipped files and the reference page, generated from the declarations in `sections`.
//!
//! `tollgate schema --write FOLDER` writes them into a checkout; a test compares them with the
//! committed files. Pure: the files are made as text.

use std::fmt::Write as _;

use serde_json::Value as Json;

use super::reader::shape::{KeyInfo, Kind, ORGS, Section, SectionInfo, default_json};
use super::schema::json_schema;
use super::sections::{RawGateway, RawPolicy};

/// Width of the generated files.
const COLUMNS: usize = 100;

/// Policy files and their sections.
const POLICIES: &[(&str, &[&str])] = &[
    ("access", &["auth", "cors", "limits", "cache", "features"]),
    ("alerts", &["alerts"]),
    ("intent", &["intent"]),
    ("log", &["ailog"]),
    ("prices", &["prices"]),
    ("providers", &["providers", "routing", "retry", "timeouts", "breaker"]),
    ("redaction", &["redaction"]),
];

/// Every generated file: its path in the checkout, and its text.
pub(crate) fn files() -> Vec<(String, String)> {
    let (gateway, policy) = (RawGateway::info(), RawPolicy::info());
    let mut files = vec![
        ("config/tollgate.schema.json".to_owned(), format!("{:#}\n", json_schema())),
        (
            "config/gateway.yaml".to_owned(),
            yaml("tollgate.schema.json", &gateway.about, gateway.keys.iter()),
        ),
        ("docs/configuration.md".to_owned(), page(&gateway, &policy)),
    ];
    for (name, sections) in POLICIES {
        let keys =
            sections.iter().filter_map(|name| policy.keys.iter().find(|key| key.name == *name));
        files.push((
            format!("config/policies/{name}.yaml"),
            yaml("../tollgate.schema.json", &policy.about, keys),
        ));
    }
    files
}

// ---- the shipped files --------------------------------------------------------------------------

fn yaml<'a>(schema: &str, about: &str, keys: impl Iterator<Item = &'a KeyInfo>) -> String {
    let mut out = format!("# yaml-language-server: $schema={schema}\n");
    let general = "Each key has its default here; a key without a value is empty or off. Remove \
        the `# ` of an example to use it. `${NAME}` and `${NAME:-default}` read the environment.";
    comment(&mut out, 0, &format!("{about} {general}"));
    for key in keys {
        out.push('\n');
        entry(&mut out, 0, key, None);
    }
    out
}

/// One key with its comment. `given` replaces the default.
fn entry(out: &mut String, depth: usize, key: &KeyInfo, given: Option<&Json>) {
    comment(out, depth, &key.text());
    let default = given.cloned().or_else(|| key.default.map(default_json)).unwrap_or(Json::Null);
    let margin = "  ".repeat(depth);
    match &key.kind {
        // A section with an example is long, and repeats keys that stand elsewhere.
        Kind::Section(info) if key.example.is_none() => {
            let _ = writeln!(out, "{margin}{}:", key.name);
            inside(out, depth + 1, info, &default);
        }
        Kind::PerOrg(info) => {
            let _ = writeln!(out, "{margin}{}:", key.name);
            inside(out, depth + 1, info, &default);
            comment(out, depth + 1, ORGS);
            let _ = writeln!(out, "{margin}  orgs:");
            example(out, depth + 2, key);
        }
        Kind::Named(value) if default.as_object().is_some_and(|map| !map.is_empty()) => {
            let _ = writeln!(out, "{margin}{}:", key.name);
            for (name, value_given) in default.as_object().into_iter().flatten() {
                let _ = writeln!(out, "{margin}  {name}:");
                if let Some(info) = value.section() {
                    inside(out, depth + 2, info, value_given);
                }
            }
            example(out, depth + 1, key);
        }
        _ => {
            let value = match given {
                Some(value) => flow(value),
                None => key.default.map_or_else(String::new, quoted),
            };
            // The example can take the place of nothing, but not of a value.
            let nothing = key.example.is_some() && matches!(&*value, "[]" | "{}" | "null");
            let value = if nothing { String::new() } else { format!(" {value}") };
            let _ = writeln!(out, "{margin}{}:{value}", key.name);
            example(out, depth + 1, key);
        }
    }
}

/// The keys of a section. `given` has values that replace their defaults.
fn inside(out: &mut String, depth: usize, info: &SectionInfo, given: &Json) {
    for key in &info.keys {
        entry(out, depth, key, given.get(key.name));
    }
}

/// An example as a comment, which becomes a line of the file without its `# `.
fn example(out: &mut String, depth: usize, key: &KeyInfo) {
    let Some(example) = key.example else { return };
    let margin = "  ".repeat(depth.saturating_sub(1));
    let _ = match &key.kind {
        Kind::List(_) => writeln!(out, "{margin}# - {example}"),
        _ => writeln!(out, "{margin}#   {example}"),
    };
}

/// Appends a comment, wrapped.
fn comment(out: &mut String, depth: usize, text: &str) {
    let margin = format!("{}#", "  ".repeat(depth));
    let mut line = margin.clone();
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > COLUMNS && line != margin {
            let _ = writeln!(out, "{line}");
            line.clone_from(&margin);
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(out, "{line}");
}

/// A default as YAML. Text with a reference or a URL is quoted, as an editor would do it.
fn quoted(default: &str) -> String {
    match default_json(default) {
        Json::String(text) if text.contains("${") || text.contains("://") || text.is_empty() => {
            format!("\"{text}\"")
        }
        _ => default.to_owned(),
    }
}

/// A value in flow style.
fn flow(value: &Json) -> String {
    match value {
        Json::String(text) if text.contains(['$', ':', '*']) || text.is_empty() => {
            format!("\"{text}\"")
        }
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

// ---- the reference page -------------------------------------------------------------------------

/// A small whole configuration at the top of the page.
const EXAMPLE: &str = "\
listen: 127.0.0.1:8080
auth:
  jwt: {secret: \"${TOLLGATE_JWT_SECRET}\"}
providers:
  openai: {base_url: \"https://api.openai.com/v1\", api_key: \"${OPENAI_API_KEY:-}\"}
limits:
  requests_per_minute: 60
  orgs:
    acme: {requests_per_minute: 600, usd_per_day: 50}
";

fn page(gateway: &SectionInfo, policy: &SectionInfo) -> String {
    let mut out = String::from(
        "# Configuration\n\n\
         Check a configuration; every problem is reported with its file, line and column:\n\n\
         ```sh\ntollgate check --config config\n```\n\n\
         A configuration is a folder with `gateway.yaml` and `policies/*.yaml`, or one file with \
         everything, such as\n\n```yaml\n",
    );
    out.push_str(EXAMPLE);
    out.push_str(
        "```\n\n\
         `gateway.yaml` is read at start. Files in `policies/` are read again when they change: an \
         edit is in force within\n\
         a second, and an edit with a problem is refused as a whole, so the former policy stays in \
         force. The sections of\n\
         the policy may be spread over any files in `policies/`; each section is in one of them. A \
         key that is missing or\n\
         null has its default. `${NAME}` and `${NAME:-default}` read the environment. Durations \
         are `500ms`, `5s`, `10m`,\n\
         `1h` or `2d`; sizes are `16KiB`, `1MiB` or a number of bytes. `tollgate schema` prints a \
         JSON Schema for editors.\n\n\
         The rest of this page has every key. It is generated from the program (`tollgate schema \
         --write .`).\n",
    );
    let _ = write!(out, "\n## `gateway.yaml`\n\n{}\n", gateway.about);
    table(&mut out, "", &gateway.keys);
    nested(&mut out, "", &gateway.keys);
    let _ = write!(out, "\n## `policies/*.yaml`\n\n{}\n", policy.about);
    nested(&mut out, "", &policy.keys);
    out
}

/// The sections among `keys`, each with a table of its keys, and the sections in it.
fn nested(out: &mut String, path: &str, keys: &[KeyInfo]) {
    for key in keys {
        let path = format!("{path}{}{}", key.name, suffix(&key.kind));
        let Some(info) = key.kind.section() else {
            continue;
        };
        let _ = write!(out, "\n### `{path}`\n\n{}", key.about);
        // The section and its key often begin with the same sentence.
        let first = key.about.split_inclusive(". ").next().unwrap_or_default().trim_end();
        let more = info.about.strip_prefix(first).unwrap_or(&info.about).trim();
        if !more.is_empty() && !key.about.starts_with(more.trim_end_matches('.')) {
            let _ = write!(out, " {more}");
        }
        out.push('\n');
        if let Some(text) = key.example {
            let bullet = if matches!(key.kind, Kind::List(_)) { "- " } else { "" };
            let orgs = matches!(key.kind, Kind::PerOrg(_));
            let (name, margin) = if orgs {
                (format!("{}:\n  orgs", key.name), "    ")
            } else {
                (key.name.to_owned(), "  ")
            };
            let _ = write!(out, "\n```yaml\n{name}:\n{margin}{bullet}{text}\n```\n");
        }
        let prefix = format!("{path}.");
        table(out, &prefix, &info.keys);
        if matches!(key.kind, Kind::PerOrg(_)) {
            let _ = write!(out, "\n`{prefix}orgs`: {ORGS}\n");
        }
        nested(out, &prefix, &info.keys);
    }
}

/// The part of a path that stands for any entry.
fn suffix(kind: &Kind) -> &'static str {
    match kind {
        Kind::List(_) => "[]",
        Kind::Named(_) => ".NAME",
        Kind::Or(_, inner) => suffix(inner),
        _ => "",
    }
}

fn table(out: &mut String, prefix: &str, keys: &[KeyInfo]) {
    out.push_str("\n| key | type | default | description |\n|---|---|---|---|\n");
    for key in keys {
        let mut kind = key.kind.words();
        if let Some(limits) = &key.limits {
            let _ = write!(kind, "; {}", limits.text);
        }
        let default = match key.default {
            Some(default) => format!("`{}`", quoted(default)),
            None => "required".to_owned(),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{prefix}{}` | {} | {} | {} |",
            key.name,
            cell(&kind),
            cell(&default),
            cell(&key.about)
        );
    }
}
