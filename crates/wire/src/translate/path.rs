//! Names of models in the path of a request.

/// A name as one segment of a path: everything but letters, digits and `-._~` is escaped, so no
/// name reaches another path.
pub fn segment(name: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            escaped.push(char::from(HEX[usize::from(byte >> 4)]));
            escaped.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    // A client would resolve these.
    match escaped.as_str() {
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_their_segment() {
        for (name, expected) in [
            ("gemini-2.5-pro", "gemini-2.5-pro"),
            ("eu.anthropic.claude-opus-4-6-v1:0", "eu.anthropic.claude-opus-4-6-v1%3A0"),
            ("arn:aws:bedrock:a/b", "arn%3Aaws%3Abedrock%3Aa%2Fb"),
            ("../x?y#z é", "..%2Fx%3Fy%23z%20%C3%A9"),
            ("..", "%2E%2E"),
            ("%2e", "%252e"),
        ] {
            assert_eq!(segment(name), expected);
        }
    }
}
