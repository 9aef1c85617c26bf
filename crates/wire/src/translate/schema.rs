//! Subsets of JSON Schema: whether a schema fits into one, and what of a schema an answer can be
//! held to.
//!
//! A caller's schema of a tool is never rewritten: arguments that are valid for another schema may
//! break the caller's own code. Only the schema of an answer is, and that is announced.
//!
//! # Source
//! OpenAI, structured outputs (supported schemas); anthropic-python 2.14, `transform_schema`.

use std::fmt::Write;

use super::json::{JsonText, Raw, Tree};

/// A subset of JSON Schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI's `strict`.
    OpenAiStrict,
    /// Anthropic's `strict` tools and `output_config.format`; also Claude on Bedrock.
    Anthropic,
}

/// Whether a schema lies inside a subset, so that a model can be held to it as it is.
///
/// ```
/// use tollgate_wire::translate::schema::{Dialect, fits};
/// let open = r#"{"type":"object","properties":{"a":{"type":"string"}}}"#;
/// let closed = r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#;
/// assert!(!fits(open, Dialect::OpenAiStrict) && fits(closed, Dialect::OpenAiStrict));
/// assert!(!fits(open, Dialect::Anthropic) && fits(closed, Dialect::Anthropic));
/// ```
pub fn fits(schema: &str, dialect: Dialect) -> bool {
    let Some(tree) = Tree::of(schema) else { return false };
    match dialect {
        Dialect::OpenAiStrict => {
            tree.get("type").is_some_and(|kind| kind.is("\"object\"")) && fits_openai(&tree)
        }
        Dialect::Anthropic => matches!(anthropic_output_of(&tree), Some((_, false))),
    }
}

/// A schema of an answer for Anthropic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<'a> {
    /// As it is.
    Same(Raw<'a>),
    /// Keywords that are not taken have become text of the description, and objects are closed.
    Changed(Raw<'static>),
    /// It has objects with keys that it does not name, which cannot be expressed.
    Open,
}

/// The schema of an answer in Anthropic's subset.
pub fn anthropic_output<'a>(schema: &'a Raw<'_>) -> Output<'a> {
    let Some((tree, is_changed)) = Tree::of(schema.json()).as_ref().and_then(anthropic_output_of)
    else {
        return Output::Open;
    };
    if is_changed { Output::Changed(Raw::trusted(tree)) } else { Output::Same(schema.borrow()) }
}

// ---- OpenAI's strict ----------------------------------------------------------------------------

/// Keywords that strict schemas may have.
const OPENAI_KEYWORDS: [&str; 24] = [
    "type",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "prefixItems",
    "anyOf",
    "enum",
    "const",
    "$ref",
    "$defs",
    "definitions",
    "title",
    "description",
    "$schema",
    "pattern",
    "format",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
];

fn fits_openai(schema: &Tree<'_>) -> bool {
    let Tree::Object(fields) = schema else { return false };
    fields.iter().all(|(key, value)| {
        OPENAI_KEYWORDS.contains(key)
            && match (*key, value) {
                ("properties" | "$defs" | "definitions", Tree::Object(schemas)) => {
                    schemas.iter().all(|(_, schema)| fits_openai(schema))
                }
                ("anyOf" | "prefixItems", Tree::List(schemas)) => schemas.iter().all(fits_openai),
                ("items", schema) => fits_openai(schema),
                ("additionalProperties", value) => value.is("false"),
                _ => true,
            }
    }) && (!is_object(schema) || is_closed(schema))
}

/// Whether the schema is one of objects: alone, or in a list of types.
fn is_object(schema: &Tree<'_>) -> bool {
    match schema.get("type") {
        Some(Tree::List(kinds)) => kinds.iter().any(|kind| kind.is("\"object\"")),
        Some(kind) => kind.is("\"object\""),
        None => schema.get("properties").is_some(),
    }
}

/// Whether an object has the keys that it names and no others, all required.
fn is_closed(schema: &Tree<'_>) -> bool {
    let required: Vec<&str> = match schema.get("required") {
        Some(Tree::List(names)) => names.iter().filter_map(Tree::as_text).collect(),
        _ => Vec::new(),
    };
    let all_required = match schema.get("properties") {
        Some(Tree::Object(fields)) => fields.iter().all(|(name, _)| required.contains(name)),
        _ => true,
    };
    all_required && schema.get("additionalProperties").is_some_and(|more| more.is("false"))
}

// ---- Anthropic's --------------------------------------------------------------------------------

const ANTHROPIC_FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema in Anthropic's subset, and whether it differs; `None` if it has open objects.
fn anthropic_output_of(schema: &Tree<'_>) -> Option<(String, bool)> {
    let mut out = String::new();
    let mut is_changed = false;
    write_anthropic(schema, &mut out, &mut is_changed)?;
    Some((out, is_changed))
}

/// Writes a schema; `None` if it has open objects.
fn write_anthropic(schema: &Tree<'_>, out: &mut String, is_changed: &mut bool) -> Option<()> {
    let Tree::Object(fields) = schema else { return None };
    if let Some(Tree::List(kinds)) = schema.get("type")
        && schema.get("enum").is_none()
    {
        *is_changed = true;
        return write_variants(fields, kinds, out, is_changed);
    }
    let mut written = Fields::new(out);
    let mut moved = String::new();
    for (key, value) in fields {
        match (*key, value) {
            ("$ref", value) if fields.len() > 1 => {
                // Stands alone, but for definitions.
                *is_changed |= fields.iter().any(|(key, _)| !matches!(*key, "$ref" | "$defs"));
                written.field("$ref", value);
            }
            ("$defs" | "definitions" | "properties", Tree::Object(schemas)) => {
                written.key(key);
                let mut inner = Fields::new(written.out);
                for (name, schema) in schemas {
                    inner.key(name);
                    write_anthropic(schema, inner.out, is_changed)?;
                }
                inner.close();
            }
            ("anyOf" | "oneOf" | "allOf", Tree::List(schemas)) => {
                *is_changed |= *key == "oneOf";
                written.key(if *key == "oneOf" { "anyOf" } else { key });
                written.out.push('[');
                for (at, schema) in schemas.iter().enumerate() {
                    if at > 0 {
                        written.out.push(',');
                    }
                    write_anthropic(schema, written.out, is_changed)?;
                }
                written.out.push(']');
            }
            ("items", schema @ Tree::Object(_)) => {
                written.key("items");
                write_anthropic(schema, written.out, is_changed)?;
            }
            ("additionalProperties", more) if more.is("false") => written.field(key, more),
            // Open, or a map.
            ("additionalProperties", _) => return None,
            // Written at the end, with what is moved there.
            ("description", _) | ("$schema", _) => {}
            // The values say it.
            ("type", Tree::List(_)) => *is_changed = true,
            (key, value) if is_anthropic_keyword(key, value) => written.field(key, value),
            (key, value) => {
                *is_changed = true;
                moved.push_str(if moved.is_empty() { "{" } else { ", " });
                let _ = write!(moved, "{key}: ");
                value.write(&mut moved);
            }
        }
    }
    close_object(schema, &mut written, is_changed)?;
    write_description(schema, &moved, &mut written);
    written.close();
    Some(())
}

/// Forces objects to be closed.
fn close_object(schema: &Tree<'_>, written: &mut Fields<'_>, is_changed: &mut bool) -> Option<()> {
    if schema.get("additionalProperties").is_some() || !is_object(schema) {
        return Some(());
    }
    // Without a name of a key it is open: any object.
    schema.get("properties")?;
    *is_changed = true;
    written.key("additionalProperties");
    written.out.push_str("false");
    Some(())
}

fn write_description(schema: &Tree<'_>, moved: &str, written: &mut Fields<'_>) {
    let description = schema.get("description").and_then(Tree::as_text);
    if description.is_none() && moved.is_empty() {
        return;
    }
    written.key("description");
    written.out.push('"');
    written.out.push_str(description.unwrap_or_default());
    if !moved.is_empty() {
        written.out.push_str(if description.is_some() { "\\n\\n" } else { "" });
        written.out.push_str(JsonText::from_plain([moved, "}"].concat()).escaped());
    }
    written.out.push('"');
}

/// A list of types as alternatives: `["string","null"]` is `anyOf` of the two.
fn write_variants(
    fields: &[(&str, Tree<'_>)],
    kinds: &[Tree<'_>],
    out: &mut String,
    is_changed: &mut bool,
) -> Option<()> {
    let is_outer = |key: &str| matches!(key, "description" | "title" | "$defs");
    let mut written = Fields::new(out);
    for (key, value) in fields.iter().filter(|(key, _)| is_outer(key)) {
        written.field(key, value);
    }
    written.key("anyOf");
    written.out.push('[');
    for (at, kind) in kinds.iter().enumerate() {
        if at > 0 {
            written.out.push(',');
        }
        let mut variant = vec![("type", kind.clone())];
        if !kind.is("\"null\"") {
            let own = fields.iter().filter(|(key, _)| *key != "type" && !is_outer(key));
            variant.extend(own.map(|(key, value)| (*key, value.clone())));
        }
        write_anthropic(&Tree::Object(variant), written.out, is_changed)?;
    }
    written.out.push(']');
    written.close();
    Some(())
}

fn is_anthropic_keyword(key: &str, value: &Tree<'_>) -> bool {
    match key {
        "$ref" | "type" | "enum" | "const" | "title" | "required" => true,
        "format" => value.as_text().is_some_and(|name| ANTHROPIC_FORMATS.contains(&name)),
        "minItems" => value.is("0") || value.is("1"),
        _ => false,
    }
}

/// An object that is being written.
struct Fields<'o> {
    out: &'o mut String,
    is_first: bool,
}

impl<'o> Fields<'o> {
    fn new(out: &'o mut String) -> Fields<'o> {
        out.push('{');
        Fields { out, is_first: true }
    }

    /// A key, as it was escaped.
    fn key(&mut self, key: &str) {
        self.out.push_str(if self.is_first { "\"" } else { ",\"" });
        self.is_first = false;
        self.out.push_str(key);
        self.out.push_str("\":");
    }

    fn field(&mut self, key: &str, value: &Tree<'_>) {
        self.key(key);
        value.write(self.out);
    }

    fn close(self) {
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_strict() {
        for (schema, expected) in [
            (
                r#"{"type":"object","properties":{},"required":[],"additionalProperties":false}"#,
                true,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
                true,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false}"#,
                false,
            ),
            (r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#, false),
            (
                r#"{"type":"object","properties":{"a":{"oneOf":[{"type":"string"}]}},"required":["a"],"additionalProperties":false}"#,
                false,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":["object","null"],"properties":{}}},"required":["a"],"additionalProperties":false}"#,
                false,
            ),
            (
                r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/x"}},"required":["a"],"additionalProperties":false,"$defs":{"x":{"type":"number","minimum":0}}}"##,
                true,
            ),
            (r#"{"type":"string"}"#, false),
            ("true", false),
        ] {
            assert_eq!(fits(schema, Dialect::OpenAiStrict), expected, "{schema}");
        }
    }

    #[test]
    fn anthropic_outputs() {
        let closed = r#""additionalProperties":false"#;
        for (schema, expected) in [
            (
                format!(r#"{{"type":"object","properties":{{"b":{{"type":"string"}},"a":{{"type":"integer"}}}},{closed}}}"#),
                None,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"integer","minimum":1,"maximum":10,"description":"A \"n\""}}}"#.to_owned(),
                Some(format!(
                    r#"{{"type":"object","properties":{{"a":{{"type":"integer","description":"A \"n\"\n\n{{minimum: 1, maximum: 10}}"}}}},{closed}}}"#
                )),
            ),
            (
                format!(r#"{{"type":"object","properties":{{"a":{{"type":["string","null"],"pattern":"^\"x"}}}},{closed}}}"#),
                Some(format!(
                    r#"{{"type":"object","properties":{{"a":{{"anyOf":[{{"type":"string","description":"{{pattern: \"^\\\"x\"}}"}},{{"type":"null"}}]}}}},{closed}}}"#
                )),
            ),
            (
                r#"{"oneOf":[{"type":"string","format":"uuid"},{"type":"string","format":"phone"}]}"#.to_owned(),
                Some(r#"{"anyOf":[{"type":"string","format":"uuid"},{"type":"string","description":"{format: \"phone\"}"}]}"#.to_owned()),
            ),
            (
                r#"{"type":"array","items":{"type":"string"},"minItems":2}"#.to_owned(),
                Some(r#"{"type":"array","items":{"type":"string"},"description":"{minItems: 2}"}"#.to_owned()),
            ),
        ] {
            let schema = Raw::trusted(schema);
            let output = anthropic_output(&schema);
            match expected {
                None => assert_eq!(output, Output::Same(schema.borrow())),
                Some(expected) => assert_eq!(output, Output::Changed(Raw::trusted(expected))),
            }
        }
        for open in [
            r#"{"type":"object"}"#,
            r#"{"type":"object","properties":{"a":{"type":"object"}},"additionalProperties":false}"#,
            r#"{"type":"object","properties":{},"additionalProperties":true}"#,
            r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
            "true",
        ] {
            assert_eq!(anthropic_output(&Raw::trusted(open)), Output::Open, "{open}");
        }
    }
}
