//! The policy that is made, and its files.
//!
//! Pure but for `write`. Guarantees: a file with a secret in clear has mode 0600.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use serde_json::{Map, Value as Json};

/// Files and their sections.
const FILES: &[(&str, &[&str])] = &[
    ("policies/access.yaml", &["auth", "limits"]),
    ("policies/providers.yaml", &["providers", "routing", "retry", "timeouts", "breaker"]),
    ("policies/redaction.yaml", &["redaction"]),
    ("policies/log.yaml", &["ailog"]),
    ("policies/prices.yaml", &["prices"]),
    ("gateway.yaml", &["max_body_bytes", "limits_store", "bounds", "log"]),
];
/// Keys of secrets.
const SECRETS: &[&str] = &[
    "api_key",
    "client_secret",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "limits_store",
];

/// The sections that were made.
#[derive(Debug, Default)]
pub(crate) struct Output {
    sections: Map<String, Json>,
}

impl Output {
    /// Sets a key: `retry.max_retries`.
    pub(crate) fn set(&mut self, path: &str, value: impl Into<Json>) {
        match path.split_once('.') {
            None => drop(self.sections.insert(path.to_owned(), value.into())),
            Some((section, key)) => {
                let section = self.sections.entry(section).or_insert_with(|| Map::new().into());
                put(section, key, value.into());
            }
        }
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        let mut names = path.split('.');
        let first = names.next().and_then(|name| self.sections.get(name));
        names.try_fold(first, |at, name| at.map(|at| at.get(name))).flatten().is_some()
    }

    /// The text of each file that has something in it, and whether a secret stands in clear there.
    pub(crate) fn files(&self, source: &str) -> Vec<(&'static str, String, bool)> {
        let mut files = Vec::new();
        for (name, sections) in FILES {
            let mut text = format!(
                "# Made by `tollgate import litellm` from {}.\n",
                source.replace('\n', " ")
            );
            let mut secret = false;
            let start = text.len();
            for section in *sections {
                if let Some(value) = self.sections.get(*section) {
                    secret |= has_secret(section, value);
                    text.push('\n');
                    entry(&mut text, section, value, 0);
                }
            }
            if text.len() > start {
                files.push((*name, text, secret));
            }
        }
        files
    }
}

fn put(at: &mut Json, path: &str, value: Json) {
    let Some(map) = at.as_object_mut() else { return };
    match path.split_once('.') {
        None => drop(map.insert(path.to_owned(), value)),
        Some((name, rest)) => {
            put(map.entry(name).or_insert_with(|| Map::new().into()), rest, value)
        }
    }
}

/// Writes a file.
///
/// # Errors
/// It cannot be written.
pub(crate) fn write(path: &Path, text: &str, has_secret: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if has_secret {
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    if has_secret {
        // It may have been there before.
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    file.write_all(text.as_bytes())
}

fn has_secret(key: &str, value: &Json) -> bool {
    match value {
        Json::String(text) if SECRETS.contains(&key) => {
            !text.is_empty()
                && !text.starts_with("${")
                && (key != "limits_store" || text.contains('@'))
        }
        Json::Object(map) => map.iter().any(|(key, value)| has_secret(key, value)),
        Json::Array(list) => list.iter().any(|value| has_secret(key, value)),
        _ => false,
    }
}

/// A key with its value, in lines.
fn entry(out: &mut String, key: &str, value: &Json, depth: usize) {
    let margin = "  ".repeat(depth);
    let key = scalar(&Json::from(key));
    match value {
        Json::Object(map) if !map.is_empty() => {
            out.push_str(&format!("{margin}{key}:\n"));
            for (key, value) in map {
                entry(out, key, value, depth + 1);
            }
        }
        Json::Array(list) if list.iter().any(|value| value.is_object()) => {
            out.push_str(&format!("{margin}{key}:\n"));
            for value in list {
                out.push_str(&format!("{margin}  - {}\n", flow(value)));
            }
        }
        value => out.push_str(&format!("{margin}{key}: {}\n", flow(value))),
    }
}

/// A value on one line.
fn flow(value: &Json) -> String {
    match value {
        Json::Object(map) => {
            let parts: Vec<String> = map
                .iter()
                .map(|(key, value)| {
                    format!("{}: {}", scalar(&Json::from(key.as_str())), flow(value))
                })
                .collect();
            format!("{{{}}}", parts.join(", "))
        }
        Json::Array(list) => format!("[{}]", list.iter().map(flow).collect::<Vec<_>>().join(", ")),
        value => scalar(value),
    }
}

/// Text is quoted, unless it is a plain word.
fn scalar(value: &Json) -> String {
    match value {
        Json::String(text) => {
            let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
                && !matches!(
                    text.to_ascii_lowercase().as_str(),
                    "null" | "true" | "false" | "yes" | "no"
                );
            // A JSON text is a text in YAML's double quotes.
            if is_word { text.clone() } else { value.to_string() }
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sections_are_written_as_yaml_that_says_the_same() {
        let mut output = Output::default();
        output.set("retry.max_retries", 3);
        output.set(
            "providers.main",
            json!({"api_key": "${KEY}", "base_url": "https://x/v1", "no": "a: b #"}),
        );
        output.set("routing.models", json!([{"match": "*", "to": ["main"]}]));
        output.set("routing.default", json!([]));
        let files = output.files("a\nb.yaml");
        assert_eq!(files.len(), 1);
        let (name, text, secret) = &files[0];
        assert_eq!((*name, *secret), ("policies/providers.yaml", false));
        assert_eq!(
            text,
            "# Made by `tollgate import litellm` from a b.yaml.\n\nproviders:\n  main:\n    \
                api_key: \
             \"${KEY}\"\n    base_url: \"https://x/v1\"\n    \"no\": \"a: b #\"\n\nrouting:\n  \
             default: \
             []\n  models:\n    - {match: \"*\", to: [main]}\n\nretry:\n  max_retries: 3\n"
        );
        assert!(output.has("retry.max_retries") && !output.has("retry.base_delay"));
        output.set("providers.main.api_key", "sk-1");
        assert!(output.files("x")[0].2);
    }
}
