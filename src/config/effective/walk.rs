//! The walk over declarations, values and files.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{KeyInfo, Kind, SectionInfo};
use super::super::reader::yaml;
use super::{Effective, Exact, From, Item, Setting};

/// Lists whose order has a meaning, by their last name.
const ORDERED: &[&str] = &["accept", "default", "to", "models", "secrets", "urls", "examples"];

pub(crate) struct Walk<'a> {
    problems: &'a Problems,
    /// The organisation that is asked for.
    org: Option<&'a str>,
    pub(crate) out: Effective,
}

/// Where the walk is.
#[derive(Clone)]
struct Spot {
    /// With indices.
    key: String,
    /// With the names of entries.
    path: Vec<String>,
    /// Inside a list that is compared as a whole.
    is_covered: bool,
}

impl Spot {
    fn at(&self, name: &str) -> Spot {
        let key =
            if self.key.is_empty() { name.to_owned() } else { format!("{}.{name}", self.key) };
        let mut path = self.path.clone();
        path.push(name.to_owned());
        Spot { key, path, is_covered: self.is_covered }
    }

    /// An entry of a list.
    fn entry(&self, index: usize, name: Option<String>) -> Spot {
        let mut path = self.path.clone();
        let is_covered = self.is_covered || name.is_none();
        path.extend(name);
        Spot { key: format!("{}[{index}]", self.key), path, is_covered }
    }
}

impl<'a> Walk<'a> {
    pub(crate) fn new(problems: &'a Problems, org: Option<&'a str>) -> Walk<'a> {
        Walk { problems, org, out: Effective::default() }
    }

    /// One half of the configuration.
    pub(crate) fn top(&mut self, info: &SectionInfo, json: &Json, node: &Node) {
        let spot = Spot { key: String::new(), path: Vec::new(), is_covered: false };
        self.section(info, json, Some(node), &spot);
    }

    fn section(&mut self, info: &SectionInfo, json: &Json, node: Option<&Node>, spot: &Spot) {
        info.keys.iter().for_each(|key| self.key(key, json, node, spot));
    }

    /// A key of a section, as given or by default.
    fn key(&mut self, key: &KeyInfo, json: &Json, node: Option<&Node>, spot: &Spot) {
        let default;
        let node = match node.and_then(|node| given(node, key.name)) {
            Some(node) => Some(node),
            None => {
                default = key.default.and_then(|text| self.default(text));
                default.as_ref()
            }
        };
        self.value(&key.kind, &json[key.name], node, &spot.at(key.name));
    }

    /// A default as a tree without a file.
    fn default(&self, text: &str) -> Option<Node> {
        yaml::parse(text, None, &mut self.problems.apart())
    }

    fn value(&mut self, kind: &Kind, json: &Json, node: Option<&Node>, spot: &Spot) {
        match (kind, json) {
            (Kind::Or(_, inner), _) => self.value(inner, json, node, spot),
            (Kind::Section(info), Json::Object(_)) => self.section(info, json, node, spot),
            (Kind::PerOrg(info), Json::Object(_)) => self.per_org(info, json, node, spot),
            (Kind::Named(inner), Json::Object(entries)) if !entries.is_empty() => {
                for (name, json) in entries {
                    let spot = spot.at(name);
                    if !spot.is_covered {
                        self.out.entries.push(spot.path.clone());
                    }
                    self.value(inner, json, node.and_then(|node| given(node, name)), &spot);
                }
            }
            (Kind::List(inner), Json::Array(entries))
                if inner.section().is_some() && entries.iter().any(Json::is_object) =>
            {
                self.list(inner, entries, node, spot);
            }
            _ => self.leaf(kind, json, node, spot),
        }
    }

    /// A list of sections. Its entries are compared by name, where they have one.
    fn list(&mut self, inner: &Kind, entries: &[Json], node: Option<&Node>, spot: &Spot) {
        let names = names(entries);
        if names.is_none() && !spot.is_covered {
            let exact = node.filter(|_| is_masked(&json!(entries))).map(exact);
            self.item(spot, &json!(entries), exact, is_given(node));
        }
        for (index, json) in entries.iter().enumerate() {
            let node = match node.map(|node| &node.value) {
                Some(Value::List(nodes)) => nodes.get(index),
                _ => None,
            };
            let spot = spot.entry(index, names.as_ref().map(|names| names[index].clone()));
            if !spot.is_covered {
                self.out.entries.push(spot.path.clone());
            }
            self.value(inner, json, node, &spot);
        }
    }

    /// A section, with what organisations have of their own.
    fn per_org(&mut self, info: &SectionInfo, json: &Json, node: Option<&Node>, spot: &Spot) {
        let orgs = node.and_then(|node| given(node, "orgs"));
        let own = |org: &str| orgs.and_then(|orgs| given(orgs, org));
        match self.org.filter(|org| json["orgs"].get(org).is_some()) {
            None => self.section(info, json, node, spot),
            Some(org) => {
                // Each key from the organisation, where it has its own.
                for key in &info.keys {
                    let own = own(org).filter(|own| given(own, key.name).is_some());
                    self.key(key, &json["orgs"][org], own.or(node), spot);
                }
            }
        }
        let spot = spot.at("orgs");
        let Some(entries) = json["orgs"].as_object().filter(|entries| !entries.is_empty()) else {
            return self.leaf(&Kind::Scalar("mapping"), &json!({}), orgs, &spot);
        };
        for (org, json) in entries {
            let (spot, own) = (spot.at(org), own(org));
            self.out.entries.push(spot.path.clone());
            for key in &info.keys {
                if let Some(node) = own.and_then(|own| given(own, key.name)) {
                    self.value(&key.kind, &json[key.name], Some(node), &spot.at(key.name));
                }
            }
        }
    }

    fn leaf(&mut self, kind: &Kind, json: &Json, node: Option<&Node>, spot: &Spot) {
        let kind_is_secret = matches!(kind, Kind::Scalar(name) if name.starts_with("secret"));
        let is_secret = kind_is_secret || json.as_str().is_some_and(|text| text.starts_with("***"));
        let (from, place) = self.source(kind_is_secret, node);
        self.out.settings.push(Setting {
            key: spot.key.clone(),
            value: json.clone(),
            from,
            place,
            is_secret,
            is_credential: kind_is_secret,
        });
        if !spot.is_covered {
            let exact = node.filter(|_| is_secret || is_masked(json)).map(exact);
            self.item(spot, json, exact, is_given(node));
        }
    }

    fn item(&mut self, spot: &Spot, json: &Json, exact: Option<Exact>, is_given: bool) {
        let is_ordered = spot.path.last().is_some_and(|name| ORDERED.contains(&name.as_str()));
        let (path, value) = (spot.path.clone(), json.clone());
        let is_secret = exact.is_some() && json.as_str().is_none_or(|text| !text.contains("://"));
        self.out.items.push(Item { path, value, exact, is_secret, is_given, is_ordered });
    }

    fn source(&self, is_secret: bool, node: Option<&Node>) -> (From, Option<(Arc<str>, u32, u32)>) {
        let Some(node) = node else { return (From::Default, None) };
        let place = node.at.file.and_then(|file| self.problems.name(file));
        let place = place.map(|file| (Arc::from(file), node.at.line, node.at.column));
        if let (true, Some(Node { value: Value::Scalar(path), .. })) =
            (is_secret, given(node, "base64").or(Some(node)).and_then(|node| given(node, "file")))
        {
            return (From::SecretFile(path.text.clone()), place);
        }
        let variable = match &node.value {
            Value::Scalar(scalar) => {
                scalar.reference.as_deref().and_then(|text| variable(text, self.problems))
            }
            Value::Failed => self.problems.unset_variable(&node.at.path),
            _ => None,
        };
        match (variable, &place) {
            (Some(name), _) => (From::Environment(name), place),
            (None, Some(_)) => (From::File, place),
            (None, None) => (From::Default, None),
        }
    }
}

/// The first variable of a reference that has a value.
fn variable(text: &str, problems: &Problems) -> Option<String> {
    let names = text.split("${").skip(1).filter_map(|rest| {
        let inside = rest.split('}').next()?;
        Some(inside.split_once(":-").map_or((inside, false), |(name, _)| (name, true)))
    });
    let is_set = |name: &str, has_default: bool| {
        (problems.env)(name).is_some_and(|value| !has_default || !value.is_empty())
    };
    let mut set = names.filter(|(name, has_default)| is_set(name, *has_default));
    set.next().map(|(name, _)| name.to_owned())
}

/// The value of a name in a mapping, unless it is null.
fn given<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Value::Map(entries) = &node.value else { return None };
    let found = entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node);
    found.filter(|node| !matches!(node.value, Value::Null))
}

fn is_given(node: Option<&Node>) -> bool {
    node.is_some_and(|node| node.at.file.is_some())
}

/// Whether a part of it is masked.
fn is_masked(json: &Json) -> bool {
    match json {
        Json::String(text) => text.contains("***"),
        Json::Array(list) => list.iter().any(is_masked),
        Json::Object(map) => map.values().any(is_masked),
        _ => false,
    }
}

/// The text of a value. The order of a list that is masked has no meaning.
fn exact(node: &Node) -> Exact {
    let mut parts: Vec<String> = match &node.value {
        Value::List(nodes) => nodes.iter().map(written).collect(),
        _ => vec![written(node)],
    };
    parts.sort_unstable();
    Exact(parts.join("\n"))
}

fn written(node: &Node) -> String {
    let mut out = String::new();
    node.write(&mut out);
    out
}

/// The names of entries, where all have one; a name that comes again has a number.
fn names(entries: &[Json]) -> Option<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries {
        let text = |key: &str| entry[key].as_str().filter(|text| !text.is_empty());
        let price = || {
            let mut name = text("model").filter(|_| entry.get("input").is_some())?.to_owned();
            for part in ["provider", "tier", "from"] {
                if let Some(text) = text(part) {
                    name.push_str(&format!(" {part} {text}"));
                }
            }
            if let Some(above) = entry["above"].as_u64().filter(|above| *above > 0) {
                name.push_str(&format!(" above {above}"));
            }
            Some(name)
        };
        names.push(text("name").or(text("match")).map(str::to_owned).or_else(price)?);
    }
    let mut count = std::collections::HashMap::new();
    for name in &mut names {
        let seen: &mut usize = count.entry(name.clone()).or_default();
        *seen += 1;
        if *seen > 1 {
            name.push_str(&format!(" #{seen}"));
        }
    }
    Some(names)
}
