//! A model's answer about a ticket: read tolerantly, checked strictly.
//!
//! Pure. Models wrap JSON in fences and prose, think aloud before it, quote it as a string, write
//! it as Python would, quote numbers or spell them out, write percentages, change case and use
//! words of their own. Promises, and `tests` has a table of them:
//!
//! - the first object that has a `category`, `priority` or `confidence` counts, also inside other
//!   objects and lists; what stands in `<think>` at the beginning does not;
//! - a category or priority that is not configured, nor a synonym of one, is `None`; case, `_`,
//!   `-`, surrounding quotes and punctuation make no difference;
//! - the confidence is in 0..1: `0.9`, `"0,9"`, `"90 %"`, `"9/10"`, `"ninety percent"`; what is no
//!   number is 0;
//! - an answer without any JSON object, or with one that is cut off, is `None` as a whole.
//!
//! Does not: guess.

mod lenient;
mod number;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use super::prompt::{Choice, Question};
use super::ticket::IntentResponse;

/// Opening braces that are tried.
const OBJECTS_MAX: usize = 64;
/// Of an answer so much is read; a longer one has said what it had to say, or never will.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// How deep in other objects the answer may stand.
const DEPTH_MAX: usize = 4;
/// Characters of a reason; the rest is cut.
const REASON_CHARS_MAX: usize = 280;
const ASKED: [&str; 3] = ["category", "priority", "confidence"];

/// Reads an answer; `None` where it holds no JSON object at all.
pub fn parse(text: &str, question: &Question) -> Option<IntentResponse> {
    let text = beginning(after_thoughts(text));
    // {"category": …} as the text of a JSON string.
    let inner = serde_json::from_str::<String>(text).ok();
    let object = find_object(inner.as_deref().unwrap_or(text))?;
    Some(IntentResponse {
        category: configured(field(&object, "category"), &question.categories),
        priority: configured(field(&object, "priority"), &question.priorities),
        confidence: number::share(field(&object, "confidence")),
        reason: if question.options.reason { reason(field(&object, "reason")) } else { None },
    })
}

/// As much of the text as is read.
fn beginning(text: &str) -> &str {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The text behind what a model thought aloud.
fn after_thoughts(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    for (begin, end) in [("<think>", "</think>"), ("<thinking>", "</thinking>")] {
        if let Some((_, rest)) = text.strip_prefix(begin).and_then(|rest| rest.split_once(end)) {
            return rest;
        }
    }
    text
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> &'a Value {
    object
        .iter()
        .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
        .map_or(&Value::Null, |(_, value)| value)
}

fn is_asked(object: &Map<String, Value>) -> bool {
    object.keys().any(|key| ASKED.iter().any(|asked| key.trim().eq_ignore_ascii_case(asked)))
}

/// The first JSON object in the text that says something we asked for, else the first one.
fn find_object(text: &str) -> Option<Map<String, Value>> {
    let mut first = None;
    let mut from = 0;
    // Every `{` may begin it; each try ends at the first error, and an object that is read is
    // skipped whole.
    for _ in 0..OBJECTS_MAX {
        let Some(at) = text.get(from..).and_then(|rest| rest.find('{')) else { break };
        let at = from + at;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(value)) => {
                if let Some(answer) = within(&value, DEPTH_MAX) {
                    return Some(answer.clone());
                }
                from = at + values.byte_offset().max(1);
                if let Value::Object(object) = value {
                    first = first.or(Some(object));
                }
            }
            _ => {
                // Almost JSON counts only where it says what was asked: prose has braces, too.
                let almost = lenient::object(&text[at..]).map(Value::Object);
                if let Some(answer) = almost.as_ref().and_then(|value| within(value, DEPTH_MAX)) {
                    return Some(answer.clone());
                }
                from = at + 1;
            }
        }
    }
    first
}

/// The object that says what was asked, in `value` or inside it.
fn within(value: &Value, depth: usize) -> Option<&Map<String, Value>> {
    if let Value::Object(object) = value
        && is_asked(object)
    {
        return Some(object);
    }
    if depth == 0 {
        return None;
    }
    match value {
        Value::Object(object) => object.values().find_map(|inner| within(inner, depth - 1)),
        Value::Array(list) => list.iter().find_map(|inner| within(inner, depth - 1)),
        _ => None,
    }
}

/// The configured name that a value stands for.
fn configured(value: &Value, choices: &[Choice]) -> Option<String> {
    let text = value.as_str()?.trim();
    let bare =
        text.trim_matches(|c: char| c.is_whitespace() || "\"'`.,;:!*_[]()<>“”„‘’«»".contains(c));
    let find = |word: &str| {
        let word = folded(word);
        let named = choices.iter().find(|choice| folded(&choice.name) == word);
        named.or_else(|| {
            choices.iter().find(|c| c.synonyms.iter().any(|synonym| folded(synonym) == word))
        })
    };
    find(text).or_else(|| find(bare)).map(|choice| choice.name.clone())
}

/// One form for what differs only in case and in how words are joined.
fn folded(word: &str) -> String {
    word.trim().to_lowercase().replace(['_', '-'], " ")
}

fn reason(value: &Value) -> Option<String> {
    let text = value.as_str()?.trim();
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    Some(plain.take(REASON_CHARS_MAX).collect()).filter(|reason: &String| !reason.is_empty())
}
