//! The sections of several files, joined to one configuration.
//!
//! Level 2 of the map. Pure. Guarantees: each section stands in one file; a second one is a problem
//! with both places. Does not: check values.

use std::collections::HashMap;

use serde_json::{Value as Json, json};

use super::files::{Holds, SourceFile};
use crate::config::reader::node::{Name, Node, Value};
use crate::config::reader::place::{Place, Problems, suggest};
use crate::config::reader::shape::{Section, Shape};
use crate::config::reader::yaml;
use crate::config::sections::{RawGateway, RawPolicy};

/// The top-level keys of all files, sorted into the two halves of the configuration.
pub(crate) struct Joined {
    pub(crate) gateway: Node,
    pub(crate) policy: Node,
    pub(crate) sections: Vec<(String, String)>,
    /// Every file is YAML.
    pub(crate) is_whole: bool,
}

impl Joined {
    /// Whether a file holds a section of the policy.
    pub(crate) fn has_policy(&self, file: &str) -> bool {
        self.sections
            .iter()
            .any(|(key, name)| name == file && RawPolicy::KEYS.contains(&key.as_str()))
    }
}

pub(crate) fn join(
    files: &[SourceFile],
    wanted: &dyn Fn(&str) -> bool,
    problems: &mut Problems,
) -> Joined {
    let mut gateway: Vec<(Name, Node)> = Vec::new();
    let mut policy: Vec<(Name, Node)> = Vec::new();
    let mut sections = Vec::new();
    let mut is_whole = true;
    for file in files {
        let Some(root) = yaml::parse(&file.text, Some(file.file), problems) else {
            is_whole = false;
            continue;
        };
        let entries = match root.value {
            Value::Map(entries) => entries,
            Value::Null | Value::Failed => Vec::new(),
            Value::Scalar(_) | Value::List(_) => {
                is_whole = false;
                problems.add(
                    &root.at,
                    "not a mapping; write the name of a section, a colon and its keys",
                );
                continue;
            }
        };
        for (name, node) in entries {
            let half = if RawPolicy::KEYS.contains(&name.text.as_str()) {
                &mut policy
            } else if !RawGateway::KEYS.contains(&name.text.as_str()) {
                let known = RawGateway::KEYS
                    .iter()
                    .filter(|_| file.holds != Holds::Policy)
                    .chain(RawPolicy::KEYS)
                    .copied();
                problems.add(&name.at, format!("unknown key; {}", suggest(&name.text, known)));
                continue;
            } else if file.holds == Holds::Policy {
                problems.add(
                    &name.at,
                    "belongs in gateway.yaml, because it is read only at start; move it there",
                );
                continue;
            } else {
                &mut gateway
            };
            if let Some((first, _)) = half.iter().find(|(known, _)| known.text == name.text) {
                let first = problems.show(&first.at);
                problems.add(
                    &name.at,
                    format!("this section is already in {first}; keep one of the two"),
                );
                continue;
            }
            if !wanted(&name.text) {
                continue;
            }
            sections.push((name.text.clone(), file.name.clone()));
            half.push((name, node));
        }
    }
    let at = Place { file: files.first().map(|f| f.file), ..Place::built_in() };
    let node = |entries| Node { at: at.clone(), value: Value::Map(entries) };
    Joined { gateway: node(gateway), policy: node(policy), sections, is_whole }
}

/// The place of each value that a file has.
pub(crate) fn places(nodes: &[&Node], files: &[SourceFile]) -> HashMap<String, (String, u32, u32)> {
    let mut places = HashMap::new();
    let mut left: Vec<&Node> = nodes.to_vec();
    while let Some(node) = left.pop() {
        let file = files.iter().find(|file| Some(file.file) == node.at.file);
        if let Some(file) = file.filter(|_| !node.at.path.is_empty()) {
            let place = (file.name.clone(), node.at.line, node.at.column);
            places.insert(node.at.path.to_string(), place);
        }
        match &node.value {
            Value::Map(entries) => left.extend(entries.iter().map(|(_, node)| node)),
            Value::List(nodes) => left.extend(nodes),
            Value::Scalar(_) | Value::Null | Value::Failed => {}
        }
    }
    places
}

pub(crate) fn shown(gateway: Option<&RawGateway>, policy: Option<&RawPolicy>) -> Json {
    json!({ "gateway": gateway.map(Shape::json), "policy": policy.map(Shape::json) })
}
