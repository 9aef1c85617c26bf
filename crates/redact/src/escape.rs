//! Text as it stands in a JSON string.

/// Escapes `text` for a JSON string, `times` over.
pub(crate) fn escape(text: &str, times: u8) -> String {
    let mut text = text.to_owned();
    for _ in 0..times {
        let quoted = serde_json::Value::String(text).to_string();
        text = quoted[1..quoted.len() - 1].to_owned();
    }
    text
}
