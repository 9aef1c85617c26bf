//! JSON Schema of the configuration, for editors: completion, documentation, and marks while one
//! types.
//!
//! Made from the declarations in `raw`, the same that read the files, so the two cannot disagree
//! about keys, kinds and defaults. It is a help, not the judge: rules between keys are only in
//! `check`.

use serde_json::{Value as Json, json};

use super::reader::shape::Shape;
use super::sections::{RawGateway, RawPolicy};

/// One schema for `gateway.yaml`, for every policy file, and for one file that holds everything.
pub(crate) fn json_schema() -> Json {
    let mut properties = serde_json::Map::new();
    for mut section in [RawGateway::schema(), RawPolicy::schema()] {
        if let Some(keys) = section["properties"].as_object_mut() {
            properties.append(keys);
        }
    }
    // `orgs: null`, or a section of which every line is a comment, is the default as well.
    for section in properties.values_mut() {
        allow_null(section);
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tollgate configuration",
        "type": ["object", "null"],
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Lets every key that has a default be null, which means just that default.
fn allow_null(schema: &mut Json) {
    let Some(object) = schema.as_object_mut() else { return };
    for inner in ["properties", "items", "additionalProperties", "anyOf"] {
        match object.get_mut(inner) {
            Some(Json::Object(keys)) if inner == "properties" => {
                keys.values_mut().for_each(allow_null)
            }
            Some(Json::Array(choices)) => choices.iter_mut().for_each(allow_null),
            Some(one @ Json::Object(_)) => allow_null(one),
            _ => {}
        }
    }
    if !object.contains_key("default") {
        return;
    }
    if let Some(words) = object.get_mut("enum").and_then(Json::as_array_mut) {
        words.push(Json::Null);
    } else if let Some(choices) = object.get_mut("anyOf").and_then(Json::as_array_mut) {
        if !choices.iter().any(|c| c["type"] == "null") {
            choices.push(json!({"type": "null"}));
        }
    } else if let Some(kind) = object.get_mut("type") {
        let mut kinds = match kind.take() {
            Json::Array(kinds) => kinds,
            one => vec![one],
        };
        kinds.push(json!("null"));
        *kind = Json::Array(kinds);
    }
}
