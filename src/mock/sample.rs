//! A value that satisfies a JSON Schema, with words of a text where a string is wanted.
//!
//! Pure and deterministic. Knows `enum`, `const`, `$ref` to definitions of the same schema,
//! `anyOf`, `oneOf`, `allOf`, lists of types, formats of strings, and the bounds of numbers,
//! lengths and lists. Does not know `pattern`, `not` and conditions.

use serde_json::{Map, Value, json};

/// Deeper schemas are cut off with null.
const DEPTH_MAX: usize = 16;
/// Entries of a list, and characters of a string, that a bound asks for.
const LEAST_MAX: u64 = 1_000;

/// A value of this schema.
pub(crate) fn sample(schema: &Value, text: &str) -> Value {
    Sampler { root: schema, text }.value(schema, 0)
}

struct Sampler<'s> {
    root: &'s Value,
    text: &'s str,
}

impl Sampler<'_> {
    fn value(&self, schema: &Value, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(first) = schema["enum"].get(0).or(schema.get("const")) {
            return first.clone();
        }
        if let Some(target) = schema["$ref"].as_str() {
            let found = target.strip_prefix('#').and_then(|path| self.root.pointer(path));
            return found.map_or(Value::Null, |found| self.value(found, depth + 1));
        }
        for key in ["anyOf", "oneOf"] {
            if let Some(first) = schema[key].get(0) {
                return self.value(first, depth + 1);
            }
        }
        if let Some(all) = schema["allOf"].as_array() {
            return self.all(all, schema, depth);
        }
        match schema["type"].as_str().or(schema["type"][0].as_str()) {
            Some("string") => Value::String(self.string(schema)),
            Some("integer" | "number") => number(schema),
            Some("boolean") => json!(true),
            Some("array") => self.array(schema, depth),
            Some("object") | None => self.object(schema, depth),
            Some(_) => Value::Null,
        }
    }

    /// Objects are merged; of other values the first counts.
    fn all(&self, all: &[Value], schema: &Value, depth: usize) -> Value {
        let mut merged = Map::new();
        if let Value::Object(own) = self.object(schema, depth) {
            merged.extend(own);
        }
        for part in all {
            match self.value(part, depth + 1) {
                Value::Object(fields) => merged.extend(fields),
                other => return other,
            }
        }
        Value::Object(merged)
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let fields = schema["properties"].as_object().into_iter().flatten();
        let fields = fields.map(|(name, field)| (name.clone(), self.value(field, depth + 1)));
        Value::Object(fields.collect())
    }

    fn array(&self, schema: &Value, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(1).min(LEAST_MAX);
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let count = least.max(1).min(most);
        match schema.get("items") {
            Some(items) => (0..count).map(|_| self.value(items, depth + 1)).collect(),
            None => json!([]),
        }
    }

    fn string(&self, schema: &Value) -> String {
        let of_format = match schema["format"].as_str() {
            Some("date-time") => Some("2026-01-02T03:04:05Z"),
            Some("date") => Some("2026-01-02"),
            Some("time") => Some("03:04:05Z"),
            Some("duration") => Some("PT1H"),
            Some("email") => Some("someone@example.org"),
            Some("hostname") => Some("example.org"),
            Some("uri") => Some("https://example.org/"),
            Some("ipv4") => Some("192.0.2.1"),
            Some("ipv6") => Some("2001:db8::1"),
            Some("uuid") => Some("00000000-0000-4000-8000-000000000000"),
            _ => None,
        };
        if let Some(of_format) = of_format {
            return of_format.to_owned();
        }
        let mut text = noun(self.text);
        let bound = |name: &str| {
            schema[name].as_u64().map(|n| usize::try_from(n.min(LEAST_MAX)).unwrap_or_default())
        };
        if let Some(most) = bound("maxLength") {
            text = text.chars().take(most).collect();
        }
        let missing = bound("minLength").unwrap_or(0).saturating_sub(text.chars().count());
        text.extend(std::iter::repeat_n('x', missing));
        text
    }
}

/// 1, or the number next to it within the bounds.
fn number(schema: &Value) -> Value {
    let bound = |name: &str| schema[name].as_i64();
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|n| n.saturating_add(1)));
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|n| n.saturating_sub(1)));
    let step = bound("multipleOf").filter(|step| *step > 0).unwrap_or(1);
    let wanted = 1.max(least.unwrap_or(i64::MIN)).min(most.unwrap_or(i64::MAX));
    let rest = wanted.rem_euclid(step);
    json!(if rest == 0 { wanted } else { wanted.saturating_add(step - rest) })
}

/// The last capitalised word of a text, else its last word: of "What is the weather in Paris?" it
/// is "Paris".
pub(crate) fn noun(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    let all: Vec<&str> = words.collect();
    let named = all.iter().skip(1).rev().find(|word| word.starts_with(char::is_uppercase));
    named.or(all.last()).map_or_else(String::new, |word| (*word).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_satisfy_their_schema() {
        for (schema, expected) in [
            (json!({"type": "string"}), json!("Paris")),
            (json!({"type": "string", "minLength": 8}), json!("Parisxxx")),
            (json!({"type": "string", "maxLength": 2}), json!("Pa")),
            (json!({"type": "string", "format": "date"}), json!("2026-01-02")),
            (json!({"type": ["integer", "null"], "minimum": 5}), json!(5)),
            (json!({"type": "number", "exclusiveMaximum": 0}), json!(-1)),
            (json!({"type": "integer", "multipleOf": 4}), json!(4)),
            (json!({"enum": ["a", "b"]}), json!("a")),
            (json!({"const": 7}), json!(7)),
            (json!({"anyOf": [{"type": "null"}, {"type": "string"}]}), Value::Null),
            (
                json!({"type": "array", "items": {"type": "boolean"}, "minItems": 2}),
                json!([true, true]),
            ),
            (json!({"type": "array", "items": {"type": "boolean"}, "maxItems": 0}), json!([])),
            (
                json!({"$defs": {"x": {"type": "boolean"}}, "type": "object",
                    "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"$ref": "#/$defs/none"}}}),
                json!({"a": true, "b": null}),
            ),
            (
                json!({"allOf": [{"properties": {"a": {"const": 1}}}, {"properties": {"b": {"const": 2}}}]}),
                json!({"a": 1, "b": 2}),
            ),
        ] {
            assert_eq!(sample(&schema, "The weather in Paris"), expected, "{schema}");
        }
        // A schema that holds itself ends.
        let tree = json!({"type": "object", "properties": {"next": {"$ref": "#"}}});
        assert!(sample(&tree, "x").to_string().contains("null"));
    }
}
