//! The kinds of values: scalars with and without a unit, lists, names of the operator's own, sections per organisation.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::place::Problems;
use super::super::values;
use super::super::yaml::{Name, Node, Scalar, Value};
use super::{At, Section, Shape};
use crate::ids::{OrgId, Secret};
use crate::money::decimal;

/// The scalar in a node; a problem where it is something else.
pub(in crate::config) fn scalar<'a>(node: &'a Node, what: &str, problems: &mut Problems) -> Option<&'a Scalar> {
    match &node.value {
        Value::Scalar(scalar) => return Some(scalar),
        Value::Failed => {}
        Value::Null => problems.add(&node.at, format!("{what} is missing here")),
        Value::List(_) => problems.add(&node.at, format!("{what} is needed here, not a list")),
        Value::Map(_) => problems.add(&node.at, format!("{what} is needed here, not a mapping")),
    }
    None
}

/// A scalar as messages may show it: what the file says, never what the environment holds.
pub(in crate::config) fn shown(scalar: &Scalar) -> String {
    let text: String = scalar.reference.as_deref().unwrap_or(&scalar.text).chars().take(80).collect();
    if scalar.reference.is_some() { format!("the value of `{text}`") } else { format!("`{text}`") }
}

/// Reads a scalar with a function that tells what is wrong.
fn parsed<T>(node: &Node, what: &str, problems: &mut Problems, read: impl Fn(&str) -> Result<T, String>) -> Option<T> {
    let scalar = scalar(node, what, problems)?;
    read(scalar.text.trim()).map_err(|reason| problems.add(&node.at, format!("{}: {reason}", shown(scalar)))).ok()
}

impl Shape for bool {
    fn read(node: &Node, problems: &mut Problems) -> Option<bool> {
        let from_env = matches!(&node.value, Value::Scalar(scalar) if scalar.reference.is_some());
        parsed(node, "`true` or `false`", problems, |text| match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            // The words people set variables to.
            "1" | "yes" | "on" if from_env => Ok(true),
            "0" | "no" | "off" if from_env => Ok(false),
            _ => Err("not a yes or no; write true or false".to_owned()),
        })
    }
    fn json(&self) -> Json {
        json!(self)
    }
    fn schema() -> Json {
        // A reference to the environment is text to an editor.
        json!({"anyOf": [{"type": "boolean"}, {"type": "string"}]})
    }
}

impl Shape for u64 {
    fn read(node: &Node, problems: &mut Problems) -> Option<u64> {
        parsed(node, "a whole number", problems, |text| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            let reason = if digits { "too large" } else { "not a whole number of 0 or more" };
            values::whole(text).ok_or_else(|| reason.to_owned())
        })
    }
    fn json(&self) -> Json {
        json!(self)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "\\$\\{"}]})
    }
}

impl Shape for f64 {
    fn read(node: &Node, problems: &mut Problems) -> Option<f64> {
        parsed(node, "a number", problems, |text| {
            let plain = text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
            text.parse().ok().filter(|n: &f64| plain && n.is_finite()).ok_or_else(|| "not a number".to_owned())
        })
    }
    fn json(&self) -> Json {
        json!(self)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "number"}, {"type": "string", "pattern": "\\$\\{"}]})
    }
}

impl Shape for String {
    fn read(node: &Node, problems: &mut Problems) -> Option<String> {
        Some(scalar(node, "text", problems)?.text.clone())
    }
    fn json(&self) -> Json {
        json!(mask_url(self))
    }
    fn schema() -> Json {
        // Numbers are taken as the text they are written as: `org: 4711`.
        json!({"type": ["string", "number", "boolean"]})
    }
}

/// The password of a URL, masked.
fn mask_url(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let authority = &rest[..rest.find('/').unwrap_or(rest.len())];
    match authority.rfind('@') {
        Some(at) => format!("{scheme}://***{}", &rest[at..]),
        None => text.to_owned(),
    }
}

impl Shape for Secret {
    fn read(node: &Node, problems: &mut Problems) -> Option<Secret> {
        Some(Secret::new(&scalar(node, "text", problems)?.text))
    }
    fn json(&self) -> Json {
        json!(if self.is_empty() { "" } else { "***" })
    }
    fn schema() -> Json {
        json!({"type": ["string", "number"]})
    }
}

/// A value that says what is looked for in people's text (names of customers and projects), so that it is counted and not
/// shown.
#[derive(Clone, Debug)]
pub(in crate::config) struct Hidden<T>(pub(in crate::config) T);

impl<T> std::ops::Deref for Hidden<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Shape> Shape for Hidden<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Hidden<T>> {
        T::read(node, problems).map(Hidden)
    }
    fn json(&self) -> Json {
        match self.0.json() {
            Json::Array(list) if list.is_empty() => json!([]),
            Json::Array(list) => json!(format!("*** ({})", list.len())),
            _ => json!("***"),
        }
    }
    fn schema() -> Json {
        T::schema()
    }
}

impl Shape for PathBuf {
    fn read(node: &Node, problems: &mut Problems) -> Option<PathBuf> {
        parsed(node, "a path", problems, |text| match text {
            "" => Err("empty; give a path".to_owned()),
            _ => Ok(PathBuf::from(text)),
        })
    }
    fn json(&self) -> Json {
        json!(self.to_string_lossy())
    }
    fn schema() -> Json {
        json!({"type": "string"})
    }
}

impl Shape for Duration {
    fn read(node: &Node, problems: &mut Problems) -> Option<Duration> {
        parsed(node, "a duration", problems, values::duration)
    }
    fn json(&self) -> Json {
        json!(values::show_duration(*self))
    }
    fn schema() -> Json {
        json!({"type": "string", "pattern": "^[0-9_]+ ?(ms|s|m|min|h|d)$|\\$\\{"})
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) u64);

impl Shape for Size {
    fn read(node: &Node, problems: &mut Problems) -> Option<Size> {
        parsed(node, "a size", problems, values::size).map(Size)
    }
    fn json(&self) -> Json {
        json!(values::show_size(self.0))
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "string", "pattern": "^[0-9_]+ ?(B|[KMG]iB|[kKMG]B)?$|\\$\\{"}, {"type": "integer", "minimum": 0}]})
    }
}

/// USD (for prices: per million tokens), in units of 10⁻⁹.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Usd(pub(in crate::config) u64);

impl Shape for Usd {
    fn read(node: &Node, problems: &mut Problems) -> Option<Usd> {
        parsed(node, "an amount of USD", problems, values::nano).map(Usd)
    }
    fn json(&self) -> Json {
        json!(decimal(self.0))
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
    }
}

/// A limit, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::config) struct Cap<T>(pub(in crate::config) Option<T>);

impl<T: Shape> Shape for Cap<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Cap<T>> {
        match &node.value {
            Value::Scalar(scalar) if scalar.text.trim() == "off" => Some(Cap(None)),
            Value::Scalar(scalar) if scalar.text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                problems.add(&node.at, format!("{}: give a number, or `off`", shown(scalar)));
                None
            }
            _ => T::read(node, problems).map(|value| Cap(Some(value))),
        }
    }
    fn json(&self) -> Json {
        self.0.as_ref().map_or(json!("off"), Shape::json)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"const": "off"}, T::schema()]})
    }
}

impl Shape for OrgId {
    fn read(node: &Node, problems: &mut Problems) -> Option<OrgId> {
        parsed(node, "an organisation", problems, |text| OrgId::new(text).ok_or_else(|| ORG_RULE.to_owned()))
    }
    fn json(&self) -> Json {
        json!(self.as_str())
    }
    fn schema() -> Json {
        json!({"type": ["string", "integer"]})
    }
}

const ORG_RULE: &str = "no name of an organisation: 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -";

/// `null` or a value.
impl<T: Shape> Shape for Option<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Option<T>> {
        if matches!(node.value, Value::Null) { Some(None) } else { T::read(node, problems).map(Some) }
    }
    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Shape::json)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "null"}, T::schema()]})
    }
}

/// A list; entries that cannot be read are left out (and reported), unless that leaves nothing to check.
impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::List(nodes) => {
                let entry = |n: &Node| Some(At { value: T::read(n, problems)?, at: n.at.clone(), given: true });
                let list: Vec<At<T>> = nodes.iter().filter_map(entry).collect();
                (!list.is_empty() || nodes.is_empty()).then_some(list)
            }
            Value::Failed => None,
            _ => {
                problems.add(&node.at, "a list is needed here: [a, b], or lines that begin with `- `");
                None
            }
        }
    }
    fn json(&self) -> Json {
        self.iter().map(|entry| entry.value.json()).collect()
    }
    fn schema() -> Json {
        json!({"type": "array", "items": T::schema()})
    }
}

/// A mapping with names of the operator's own, in the order of the file.
#[derive(Clone, Debug)]
pub(in crate::config) struct Named<T>(pub(in crate::config) Vec<(At<String>, At<T>)>);

impl<T: Shape> Shape for Named<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Named<T>> {
        let Value::Map(entries) = &node.value else {
            if !matches!(node.value, Value::Failed) {
                problems.add(&node.at, "a mapping is needed here: a name, a colon, and what it stands for");
            }
            return None;
        };
        let read = |(key, value): &(Name, Node)| {
            let name = At { value: key.text.clone(), at: key.at.clone(), given: true };
            Some((name, At { value: T::read(value, problems)?, at: value.at.clone(), given: true }))
        };
        Some(Named(entries.iter().filter_map(read).collect()))
    }
    fn json(&self) -> Json {
        self.0.iter().map(|(name, value)| (name.value.clone(), value.value.json())).collect()
    }
    fn schema() -> Json {
        json!({"type": "object", "additionalProperties": T::schema()})
    }
}

/// A section that organisations may have their own version of: `orgs` takes the same keys and inherits the rest.
#[derive(Clone, Debug)]
pub(in crate::config) struct PerOrg<T> {
    pub(in crate::config) base: T,
    pub(in crate::config) orgs: Vec<(OrgId, At<T>)>,
}

impl<T: Section> Shape for PerOrg<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<PerOrg<T>> {
        let base = T::read_over(node, None, &["orgs"], problems)?;
        let mut orgs = Vec::new();
        let given = match &node.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.text == "orgs"),
            _ => None,
        };
        match given.map(|(_, node)| (&node.value, node)) {
            None | Some((Value::Null | Value::Failed, _)) => {}
            Some((Value::Map(entries), _)) => {
                for (key, value) in entries {
                    let org = OrgId::new(&key.text);
                    if org.is_none() {
                        problems.add(&key.at, ORG_RULE);
                    }
                    let own = T::read_over(value, Some(&base), &[], problems);
                    if let (Some(org), Some(own)) = (org, own) {
                        orgs.push((org, At { value: own, at: value.at.clone(), given: true }));
                    }
                }
            }
            Some((_, node)) => {
                problems.add(&node.at, "a mapping is needed here: an organisation, a colon, and its keys")
            }
        }
        Some(PerOrg { base, orgs })
    }
    fn json(&self) -> Json {
        let mut json = self.base.json();
        json["orgs"] = self.orgs.iter().map(|(org, own)| (org.as_str().to_owned(), own.value.json())).collect();
        json
    }
    fn schema() -> Json {
        let mut schema = T::schema();
        let mut own = T::schema();
        // Defaults are those of the section, not of the gateway.
        if let Some(properties) = own["properties"].as_object_mut() {
            properties.values_mut().filter_map(Json::as_object_mut).for_each(|key| drop(key.remove("default")));
        }
        schema["properties"]["orgs"] = json!({
            "type": "object",
            "description": "Per organisation: the same keys; what is not given is inherited.",
            "default": {},
            "additionalProperties": own,
        });
        schema
    }
}
