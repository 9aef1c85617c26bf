//! The configuration to import, as a tree with paths and lines.
//!
//! Pure. References to the environment in LiteLLM's form (`os.environ/NAME`) become those of a
//! policy (`${NAME}`); text that only looks like one is escaped.

use crate::config::{Node, Value};

/// A value with the path that leads to it.
#[derive(Clone, Debug)]
pub(crate) struct At<'n> {
    pub(crate) node: &'n Node,
    pub(crate) path: String,
    /// Of its key.
    pub(crate) line: u32,
}

impl<'n> At<'n> {
    /// The whole document.
    pub(crate) fn top(node: &'n Node) -> At<'n> {
        At { node, path: String::new(), line: node.at.line }
    }

    /// The keys of a mapping, with their values.
    pub(crate) fn entries(&self) -> Vec<(&'n str, At<'n>)> {
        let Value::Map(entries) = &self.node.value else { return Vec::new() };
        let at = |name: &str| match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        let entry = entries.iter().map(|(name, node)| {
            (name.text.as_str(), At { node, path: at(&name.text), line: name.at.line })
        });
        entry.collect()
    }

    /// The value of a key, unless it is null.
    pub(crate) fn get(&self, name: &str) -> Option<At<'n>> {
        let found = self.entries().into_iter().find(|(key, _)| *key == name).map(|(_, at)| at);
        found.filter(|at| !at.is_null())
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Null)
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The entries of a list.
    pub(crate) fn list(&self) -> Vec<At<'n>> {
        let Value::List(nodes) = &self.node.value else { return Vec::new() };
        let entry = |(index, node): (usize, &'n Node)| At {
            node,
            path: format!("{}[{index}]", self.path),
            line: node.at.line,
        };
        nodes.iter().enumerate().map(entry).collect()
    }

    /// A scalar as it is written.
    pub(crate) fn raw(&self) -> Option<&'n str> {
        match &self.node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// A scalar as a policy writes it.
    pub(crate) fn text(&self) -> Option<String> {
        let raw = self.raw()?;
        let Some(name) = raw.strip_prefix("os.environ/") else {
            return Some(raw.replace("${", "$${"));
        };
        let is_name = !name.is_empty()
            && !name.as_bytes()[0].is_ascii_digit()
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        Some(if is_name { format!("${{{name}}}") } else { raw.to_owned() })
    }

    pub(crate) fn number(&self) -> Option<f64> {
        self.raw()?.trim().parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0)
    }

    /// `true` or `false`.
    pub(crate) fn switch(&self) -> Option<bool> {
        match self.raw()?.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A number of seconds as a duration, from a millisecond to a day.
    pub(crate) fn seconds(&self) -> Option<String> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "in a range")]
        let ms = (self.number()?.clamp(0.001, 86_400.0) * 1_000.0).round() as u64;
        Some(if ms.is_multiple_of(1_000) { format!("{}s", ms / 1_000) } else { format!("{ms}ms") })
    }

    /// The texts of a list, or the only one.
    pub(crate) fn texts(&self) -> Vec<String> {
        match self.raw() {
            Some(_) => self.text().into_iter().collect(),
            None => self.list().iter().filter_map(At::text).collect(),
        }
    }
}
