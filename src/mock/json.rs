//! Reading a request's JSON as tolerantly as a provider does.

use serde_json::Value;

/// Parses a body. A lone surrogate (an emoji that an application cut in two) becomes U+FFFD instead
/// of an error.
pub(crate) fn parse(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body)
        .ok()
        .or_else(|| serde_json::from_slice(&without_lone_surrogates(body)?).ok())
}

fn without_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut out = body.to_vec();
    let mut at = 0;
    let mut replaced = false;
    while at + 1 < out.len() {
        if out[at] != b'\\' {
            at += 1;
            continue;
        }
        match unit(&out, at) {
            None => at += 2,
            Some(0xD800..=0xDBFF) if matches!(unit(&out, at + 6), Some(0xDC00..=0xDFFF)) => {
                at += 12
            }
            Some(0xD800..=0xDFFF) => {
                out[at + 2..at + 6].copy_from_slice(b"fffd");
                replaced = true;
                at += 6;
            }
            Some(_) => at += 6,
        }
    }
    replaced.then_some(out)
}

/// The code unit of the escape `\uXXXX` at `at`.
fn unit(text: &[u8], at: usize) -> Option<u16> {
    let escape = text.get(at..at + 6)?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(digits, 16).ok()
}

/// Calls `each` with every string of `value`, keys left out.
pub(crate) fn each_string<'v>(value: &'v Value, each: &mut impl FnMut(&'v str)) {
    match value {
        Value::String(text) => each(text),
        Value::Array(items) => items.iter().for_each(|item| each_string(item, each)),
        Value::Object(fields) => fields.values().for_each(|field| each_string(field, each)),
        _ => {}
    }
}

/// The text of a message's `content`: a string, or the text parts of a list.
pub(crate) fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<String> =
                parts.iter().map(part_text).filter(|text| !text.is_empty()).collect();
            texts.join("\n")
        }
        _ => String::new(),
    }
}

fn part_text(part: &Value) -> String {
    match part {
        Value::String(text) => text.clone(),
        _ => match &part["text"] {
            Value::String(text) => text.clone(),
            // Anthropic's tool results carry their text one level deeper.
            _ => text_of(&part["content"]),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_are_tolerated() {
        let table = [
            (r#""a\ud83d""#, Some("a\u{fffd}")),
            (r#""\ud83d\ude00""#, Some("😀")),
            (r#""\udc00x""#, Some("\u{fffd}x")),
            (r#""\\ud83d""#, Some("\\ud83d")),
            (r#""\ud83"#, None),
            ("{", None),
        ];
        for (json, expected) in table {
            assert_eq!(parse(json.as_bytes()).as_ref().and_then(Value::as_str), expected, "{json}");
        }
    }
}
