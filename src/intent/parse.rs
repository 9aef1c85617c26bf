//! A model's answer to an intent: read tolerantly, checked strictly.
//!
//! Pure. Models wrap JSON in fences and prose, quote numbers, write percentages and change case. Promises: every answer
//! has a reading; a category or priority that is not configured is `None`; the confidence is in 0..1; an answer without
//! a JSON object is all `None` and 0.0. Does not: guess.

use serde_json::{Map, Value};

use super::ticket::Intent;

/// Reads an answer.
pub fn parse(text: &str, categories: &[String], priorities: &[String]) -> Intent {
    let Some(object) = find_object(text) else { return Intent::default() };
    let field = |name: &str| {
        object.iter().find(|(key, _)| key.trim().eq_ignore_ascii_case(name)).map_or(&Value::Null, |(_, value)| value)
    };
    Intent {
        category: configured(field("category"), categories),
        priority: configured(field("priority"), priorities),
        confidence: confidence(field("confidence")),
    }
}

/// The first JSON object in the text that says something we asked for, else the first one.
fn find_object(text: &str) -> Option<Map<String, Value>> {
    let asked = ["category", "priority", "confidence"];
    let mut first = None;
    let mut from = 0;
    // Every `{` may begin it; each try ends at the first error, and an object that is read is skipped whole.
    for _ in 0..OBJECTS_MAX {
        let at = from + text.get(from..)?.find('{')?;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(object))) => {
                if object.keys().any(|key| asked.iter().any(|a| key.trim().eq_ignore_ascii_case(a))) {
                    return Some(object);
                }
                // {"result": {"category": …}}
                if let Some(inner) =
                    object.values().find_map(|v| v.as_object().filter(|o| asked.iter().any(|a| o.contains_key(*a))))
                {
                    return Some(inner.clone());
                }
                from = at + values.byte_offset().max(1);
                first = first.or(Some(object));
            }
            _ => from = at + 1,
        }
        if from >= text.len() || !text[from..].contains('{') {
            break;
        }
    }
    first
}

/// Opening braces that are tried.
const OBJECTS_MAX: usize = 64;

fn configured(value: &Value, names: &[String]) -> Option<String> {
    let text = value.as_str()?.trim().trim_matches(['"', '\'', '`', '.']).trim();
    names.iter().find(|name| name.to_lowercase() == text.to_lowercase()).cloned()
}

fn confidence(value: &Value) -> f64 {
    let number = match value {
        Value::Number(n) => n.as_f64(),
        Value::String(text) => {
            let text = text.trim();
            match text.strip_suffix('%') {
                Some(percent) => percent.trim().parse::<f64>().ok().map(|p| p / 100.0),
                None => text.replace(',', ".").parse().ok(),
            }
        }
        _ => None,
    };
    number.filter(|n| !n.is_nan()).unwrap_or(0.0).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let names = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let intent = parse(text, &names(&["billing", "technical"]), &names(&["low", "vip"]));
        let show = |o: Option<String>| o.unwrap_or_else(|| "-".into());
        format!("{} {} {}", show(intent.category), show(intent.priority), intent.confidence)
    }

    #[test]
    fn odd_answers() {
        let table = [
            (r#"{"category":"billing","priority":"low","confidence":0.9}"#, "billing low 0.9"),
            ("```json\n{\"category\":\"billing\",\"priority\":\"low\",\"confidence\":0.9}\n```", "billing low 0.9"),
            (
                "Sure! Here it is: {\"category\":\"technical\",\"priority\":\"vip\",\"confidence\":1} Anything else?",
                "technical vip 1",
            ),
            ("I use {curly} words. {\"category\":\"billing\",\"priority\":null,\"confidence\":0.5}", "billing - 0.5"),
            (r#"{"Category":" Billing ","PRIORITY":"VIP","confidence":"0.75"}"#, "billing vip 0.75"),
            (r#"{"category":"billing","priority":"low","confidence":"75%"}"#, "billing low 0.75"),
            (r#"{"category":"billing","priority":"low","confidence":"0,8"}"#, "billing low 0.8"),
            (r#"{"category":"billing","priority":"low","confidence":7}"#, "billing low 1"),
            (r#"{"category":"billing","priority":"low","confidence":-3}"#, "billing low 0"),
            (r#"{"category":"billing","priority":"low","confidence":"NaN"}"#, "billing low 0"),
            (r#"{"category":"billing","priority":"low","confidence":"inf"}"#, "billing low 1"),
            (r#"{"category":"billing","priority":"low","confidence":null}"#, "billing low 0"),
            (r#"{"category":"billing","priority":"low"}"#, "billing low 0"),
            (r#"{"category":"refunds","priority":"urgent","confidence":0.9}"#, "- - 0.9"),
            (r#"{"category":["billing"],"priority":{"a":1},"confidence":[1]}"#, "- - 0"),
            (r#"{"thoughts":"hm"} {"category":"billing","priority":"low","confidence":0.4}"#, "billing low 0.4"),
            (r#"{"result":{"category":"billing","priority":"low","confidence":0.4}}"#, "billing low 0.4"),
            (r#"[{"category":"billing","priority":"low","confidence":0.4}]"#, "billing low 0.4"),
            (r#"{"category":"billing","priority":"low","confidence":0.4"#, "- - 0"),
            ("I think it is billing.", "- - 0"),
            ("", "- - 0"),
            ("null", "- - 0"),
            ("{{{{{{", "- - 0"),
        ];
        for (text, expected) in table {
            assert_eq!(read(text), expected, "{text}");
        }
        assert_eq!(read(&"{".repeat(100_000)), "- - 0");
    }
}
