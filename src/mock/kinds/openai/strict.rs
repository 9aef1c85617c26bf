//! The subset of JSON Schema that OpenAI takes with `strict: true`.

use serde_json::Value;

/// Keywords that are not taken.
const REFUSED: [&str; 8] = [
    "oneOf",
    "allOf",
    "not",
    "dependentRequired",
    "dependentSchemas",
    "if",
    "patternProperties",
    "unevaluatedProperties",
];

/// Why a schema is not taken; `None` if it is.
pub(crate) fn problem(schema: &Value) -> Option<String> {
    if schema["type"] != "object" {
        return Some("schema must be a JSON Schema of 'type: \"object\"'".into());
    }
    within(schema)
}

fn within(schema: &Value) -> Option<String> {
    let fields = schema.as_object()?;
    if let Some(key) = REFUSED.iter().find(|key| fields.contains_key(**key)) {
        return Some(format!("'{key}' is not permitted"));
    }
    if schema["type"] == "object" {
        if schema["additionalProperties"] != false {
            return Some(
                "'additionalProperties' is required to be supplied and to be false".into(),
            );
        }
        let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
        let names = schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name);
        if let Some(missing) = names.into_iter().find(|name| !required.iter().any(|r| r == *name)) {
            return Some(format!(
                "'required' is required to be supplied and to be an array including every key in \
                 properties. Missing '{missing}'"
            ));
        }
    }
    let inner = ["properties", "$defs", "definitions"];
    let named = inner.iter().filter_map(|key| fields.get(*key)?.as_object());
    let mut below: Vec<&Value> = named.flat_map(|map| map.values()).collect();
    below.extend(fields.get("items"));
    below.extend(fields.get("anyOf").and_then(Value::as_array).into_iter().flatten());
    below.into_iter().find_map(within)
}
