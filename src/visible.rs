//! Text from outside, made fit to be shown: on a terminal, in a spreadsheet, in an operator's
//! browser.
//!
//! A leaf. Names of models and callers, values of configuration files and messages of providers may
//! hold characters that move a cursor, change colours, turn the direction of writing or take no
//! room. Does not: judge letters that look alike.

use std::borrow::Cow;

/// Whether a character steers instead of being seen: controls, marks of direction, and what takes
/// no room.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// The text with a replacement character for each that is hidden.
pub fn visible(text: &str) -> Cow<'_, str> {
    shown(text, |_| false)
}

/// The same for a text of several lines: its line ends and tabs stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    shown(text, |c| matches!(c, '\n' | '\t'))
}

/// JSON that says the same: where a hidden character stands, which is only within strings, its
/// escape does.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| is_hidden(c) && !c.is_ascii()) {
        return Cow::Borrowed(json);
    }
    let mut text = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if is_hidden(c) && !c.is_ascii() {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    Cow::Owned(text)
}

fn shown(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |c: char| is_hidden(c) && !stays(c);
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(
        text.chars().map(|c| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_reader() {
        for (text, expected) in [
            ("gpt-4o", "gpt-4o"),
            ("Müller 東京 ¥", "Müller 東京 ¥"),
            ("\u{1b}]0;pwned\u{7}", "\u{fffd}]0;pwned\u{fffd}"),
            ("\u{9b}2J", "\u{fffd}2J"),
            (
                "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{ad}",
                "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e\u{fffd}",
            ),
            ("a\u{e0041}\u{fe0f}", "a\u{fffd}\u{fffd}"),
            ("a\r\nb\tc", "a\u{fffd}\u{fffd}b\u{fffd}c"),
        ] {
            assert_eq!(visible(text), expected);
        }
        assert_eq!(visible_lines("a\n\tb\rc\u{1b}\u{2029}"), "a\n\tb\u{fffd}c\u{fffd}\u{fffd}");
        let json = serde_json::json!({"m\u{202e}": "a\u{1b}\n\u{e0041}é"}).to_string();
        let shown = visible_json(&json);
        assert!(!shown.chars().any(is_hidden) && shown.contains("é"), "{shown}");
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"),
            serde_json::from_str::<serde_json::Value>(&json).expect("JSON")
        );
    }
}
