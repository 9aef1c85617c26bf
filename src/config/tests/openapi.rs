//! `config/openapi.yaml` has each endpoint that the gateway itself serves, and no other.

use std::collections::BTreeSet;

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::yaml;
use crate::route::table::{INTENT_RESULTS, LISTS, OWN};

const DOCUMENT: &str = include_str!("../../../config/openapi.yaml");
/// The operators' side, as text: its endpoints are the arms of a `match`.
const ADMIN: &str = include_str!("../../admin/mod.rs");

fn entries(node: &Node) -> &[(super::super::reader::node::Name, Node)] {
    match &node.value {
        Value::Map(entries) => entries,
        _ => &[],
    }
}

fn entry<'n>(node: &'n Node, name: &str) -> &'n Node {
    let found = entries(node).iter().find(|(key, _)| key.text == name);
    &found.unwrap_or_else(|| panic!("no `{name}`")).1
}

/// `GET /v1/models` and so on, as the document has them.
fn documented() -> BTreeSet<String> {
    let mut problems = Problems::default();
    let document = yaml::parse(DOCUMENT, None, &mut problems).expect("YAML");
    let paths = entries(entry(&document, "paths"));
    let operations = paths.iter().flat_map(|(path, operations)| {
        let methods = entries(operations).iter().map(|(name, _)| name.text.to_uppercase());
        let methods =
            methods.filter(|name| ["GET", "HEAD", "POST", "DELETE"].contains(&name.as_str()));
        methods.map(|method| format!("{method} {}", path.text))
    });
    operations.collect()
}

/// The same, as the program serves them.
fn served() -> BTreeSet<String> {
    let own = OWN.iter().flat_map(|(path, methods, _)| {
        methods.split(", ").map(move |method| format!("{method} {path}"))
    });
    let lists = LISTS.iter().map(|(_, name)| format!("GET {name}"));
    let results = [format!("GET {INTENT_RESULTS}{{id}}")];
    let arms = ADMIN.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "));
    let admin: Vec<&str> =
        arms.map(|(path, _)| path).filter(|path| path.starts_with('/')).collect();
    assert!(admin.contains(&"/metrics") && admin.contains(&"/api/logs"), "{admin:?}");
    let admin = admin.into_iter().map(|path| format!("GET {path}"));
    let changes = [
        "GET /api/keys",
        "POST /api/keys",
        "DELETE /api/keys/{id}",
        "POST /api/reload",
        "POST /api/alerts/test",
        "POST /api/cache/purge",
    ];
    own.chain(lists).chain(results).chain(admin).chain(changes.map(str::to_owned)).collect()
}

#[test]
fn the_document_has_each_endpoint() {
    assert_eq!(documented(), served());
}
