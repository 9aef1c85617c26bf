//! Values made of others: optional and hidden values, lists, mappings with names of the operator's
//! own, and sections that organisations may override.

use serde_json::{Value as Json, json};

use super::super::node::{Name, Node, Value};
use super::super::place::Problems;
use super::scalars::{ORG_RULE, shown};
use super::{At, Kind, Section, Shape};
use crate::ids::OrgId;

/// A value that says what is looked for in people's text (names of customers and projects), so that
/// it is counted and not shown.
#[derive(Clone, Debug)]
pub struct Hidden<T>(pub(crate) T);

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
    fn kind() -> Kind {
        T::kind()
    }
}

/// A limit, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap<T>(pub(crate) Option<T>);

impl<T: Shape> Shape for Cap<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Cap<T>> {
        match &node.value {
            Value::Scalar(scalar) if scalar.text.trim() == "off" => Some(Cap(None)),
            Value::Scalar(scalar) if scalar.text.starts_with(|c: char| c.is_ascii_alphabetic()) => {
                let kind = T::kind().words();
                let article = if kind.starts_with('a') { "an" } else { "a" };
                let reason = format!("is not {article} {kind}; give {article} {kind}, or `off`");
                problems.add(&node.at, format!("{} {reason}", shown(scalar)));
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
    fn kind() -> Kind {
        Kind::Or("off", Box::new(T::kind()))
    }
}

/// The description of `orgs`.
pub const ORGS: &str =
    "Overrides by organisation. Each takes the same keys and inherits the others.";

/// `null` or a value.
impl<T: Shape> Shape for Option<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Option<T>> {
        if matches!(node.value, Value::Null) {
            Some(None)
        } else {
            T::read(node, problems).map(Some)
        }
    }
    fn json(&self) -> Json {
        self.as_ref().map_or(Json::Null, Shape::json)
    }
    fn schema() -> Json {
        json!({"anyOf": [{"type": "null"}, T::schema()]})
    }
    fn kind() -> Kind {
        Kind::Or("null", Box::new(T::kind()))
    }
}

/// A list; entries that cannot be read are left out (and reported), unless that leaves nothing to
/// check.
impl<T: Shape> Shape for Vec<At<T>> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::List(nodes) => {
                let entry = |n: &Node| {
                    Some(At { value: T::read(n, problems)?, at: n.at.clone(), given: true })
                };
                let list: Vec<At<T>> = nodes.iter().filter_map(entry).collect();
                (!list.is_empty() || nodes.is_empty()).then_some(list)
            }
            Value::Failed => None,
            _ => {
                problems.add(&node.at, "not a list; write [a, b], or lines that begin with `- `");
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
    fn kind() -> Kind {
        Kind::List(Box::new(T::kind()))
    }
}

/// A mapping with names of the operator's own, in the order of the file.
#[derive(Clone, Debug)]
pub struct Named<T>(pub(crate) Vec<(At<String>, At<T>)>);

impl<T: Shape> Shape for Named<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Named<T>> {
        let Value::Map(entries) = &node.value else {
            if !matches!(node.value, Value::Failed) {
                problems.add(&node.at, "not a mapping; write a name, a colon and its value");
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
    fn kind() -> Kind {
        Kind::Named(Box::new(T::kind()))
    }
}

/// A section that organisations may have their own version of: `orgs` takes the same keys and
/// inherits the rest.
#[derive(Clone, Debug)]
pub struct PerOrg<T> {
    pub base: T,
    pub orgs: Vec<(OrgId, At<T>)>,
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
                problems.add(&node.at, "not a mapping; write an organisation, a colon and its keys")
            }
        }
        Some(PerOrg { base, orgs })
    }
    fn json(&self) -> Json {
        let mut json = self.base.json();
        json["orgs"] = self
            .orgs
            .iter()
            .map(|(org, own)| (org.as_str().to_owned(), own.value.json()))
            .collect();
        json
    }
    fn schema() -> Json {
        let mut schema = T::schema();
        let mut own = T::schema();
        // Defaults are those of the section, not of the gateway.
        if let Some(properties) = own["properties"].as_object_mut() {
            for key in properties.values_mut().filter_map(Json::as_object_mut) {
                key.remove("default");
            }
        }
        schema["properties"]["orgs"] = json!({
            "type": "object",
            "description": ORGS,
            "default": {},
            "additionalProperties": own,
        });
        schema
    }
    fn kind() -> Kind {
        Kind::PerOrg(T::info())
    }
}
