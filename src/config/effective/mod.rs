//! The effective configuration: every key with its value, and where that value comes from.
//!
//! Level 2 of the map. Pure. One walk over the declarations of `sections`, the values as read and
//! the tree of the files makes both the list that `tollgate config show` prints and the `meaning`
//! that `diff` compares. `text` writes values and changes for people.
//!
//! Guarantees: every key of the JSON Schema is in the list (an empty mapping or list stands for its
//! content); secrets are masked as on the operators' side. Secrets as they are stay in memory here,
//! because a change of one has to be noticed; they are never printed. Does not: check anything.

mod diff;
mod meaning;
mod text;
mod walk;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::reader::node::Node;
use super::reader::place::Problems;
use super::reader::shape::Section;
use super::sections::{RawGateway, RawPolicy};

#[cfg(test)]
pub(crate) use diff::ChangeKind;
pub(crate) use diff::{Change, differences};
pub(crate) use meaning::Meaning;
pub(crate) use text::shown_value;

/// A key with its value.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Names and indices: `auth.keys[0].org`.
    pub(crate) key: String,
    /// As operators may see it.
    pub(crate) value: Json,
    pub(crate) from: From,
    /// File, line and column of the value, where a file gives it.
    pub(crate) place: Option<(Arc<str>, u32, u32)>,
    pub(crate) is_secret: bool,
    /// It is a secret, not only masked.
    is_credential: bool,
}

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum From {
    Default,
    File,
    /// A variable, named in a file or in a default.
    Environment(String),
    /// A file with the secret alone.
    SecretFile(String),
}

/// A value as `diff` sees it.
#[derive(Clone, Debug)]
struct Item {
    /// Names; entries of a list have their own name instead of an index.
    path: Vec<String>,
    value: Json,
    /// The text of a masked value.
    exact: Option<Exact>,
    is_secret: bool,
    /// Whether a file gives it.
    is_given: bool,
    /// A list whose order has a meaning.
    is_ordered: bool,
}

/// Text that is not shown.
#[derive(Clone)]
struct Exact(String);

impl fmt::Debug for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A configuration as it takes effect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Effective {
    /// In the order of the schema.
    pub(crate) settings: Vec<Setting>,
    items: Vec<Item>,
    /// Entries that have a name: providers, organisations, keys, rules.
    entries: Vec<Vec<String>>,
}

/// The input of a walk.
pub(crate) struct Read<'a> {
    pub(crate) gateway: (&'a Node, &'a RawGateway),
    pub(crate) policy: (&'a Node, &'a RawPolicy),
    pub(crate) problems: &'a Problems,
}

impl Effective {
    /// The effective configuration, or that of one organisation.
    pub(crate) fn of(read: &Read<'_>, org: Option<&str>) -> Effective {
        use super::reader::shape::Shape as _;
        let mut walk = walk::Walk::new(read.problems, org);
        walk.top(&RawGateway::info(), &read.gateway.1.json(), read.gateway.0);
        walk.top(&RawPolicy::info(), &read.policy.1.json(), read.policy.0);
        walk.out
    }

    /// The same of a policy alone.
    pub(crate) fn of_policy((node, raw): (&Node, &RawPolicy), problems: &Problems) -> Effective {
        use super::reader::shape::Shape as _;
        let mut walk = walk::Walk::new(problems, None);
        walk.top(&RawPolicy::info(), &raw.json(), node);
        walk.out
    }

    /// The secrets that stand in clear in a file.
    pub(crate) fn secrets_in_clear(&self) -> impl Iterator<Item = &Setting> {
        self.settings.iter().filter(|setting| {
            setting.is_credential && setting.from == From::File && setting.value == json!("***")
        })
    }
}

impl Setting {
    /// One object of `config show --format json`.
    pub(crate) fn json(&self) -> Json {
        let (file, line, column) = match &self.place {
            Some((file, line, column)) => (json!(&**file), json!(line), json!(column)),
            None => (Json::Null, Json::Null, Json::Null),
        };
        let (source, variable) = match &self.from {
            From::Default => ("default", None),
            From::File => ("file", None),
            From::Environment(name) => ("environment", Some(name)),
            From::SecretFile(_) => ("secret_file", None),
        };
        json!({
            "key": self.key,
            "value": self.value,
            "source": source,
            "file": file,
            "line": line,
            "column": column,
            "variable": variable,
            "secret": self.is_secret,
        })
    }

    /// One line of `config show`.
    pub(crate) fn line(&self) -> String {
        let place =
            self.place.as_ref().map(|(file, line, column)| format!("{file}:{line}:{column}"));
        let source = match (&self.from, place) {
            (From::File, Some(place)) => place,
            (From::Environment(name), Some(place)) => format!("${{{name}}} at {place}"),
            (From::Environment(name), None) => format!("${{{name}}}"),
            (From::SecretFile(path), _) => format!("secret file {path}"),
            (From::Default | From::File, _) => "default".to_owned(),
        };
        let value = match &self.from {
            From::SecretFile(_) => "***".to_owned(),
            _ => shown_value(&self.value),
        };
        format!("{}: {value}   # {source}", self.key)
    }
}
