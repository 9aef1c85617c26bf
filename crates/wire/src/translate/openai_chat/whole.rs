//! Whether the text of a JSON object, which arrives in pieces, is whole.

use crate::translate::json::JsonText;

/// Follows brackets and strings. Does not check the rest of the grammar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whole {
    depth: u32,
    is_in_string: bool,
    is_escaped: bool,
    has_begun: bool,
    /// A character that is not white space stands outside of the object.
    is_odd: bool,
}

impl Whole {
    /// Takes the next piece of the text.
    pub(crate) fn push(&mut self, piece: &JsonText<'_>) {
        let escaped = piece.escaped();
        if memchr::memchr(b'\\', escaped.as_bytes()).is_none() {
            escaped.bytes().for_each(|byte| self.byte(byte));
        } else {
            piece.plain().bytes().for_each(|byte| self.byte(byte));
        }
    }

    fn byte(&mut self, byte: u8) {
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' if self.is_in_string => self.is_escaped = true,
            b'"' if self.depth > 0 => self.is_in_string = !self.is_in_string,
            _ if self.is_in_string => {}
            b'{' | b'[' if self.depth > 0 || !self.has_begun => {
                self.has_begun = true;
                self.depth += 1;
            }
            b'}' | b']' if self.depth > 0 => self.depth -= 1,
            byte if self.depth == 0 && !byte.is_ascii_whitespace() => self.is_odd = true,
            _ => {}
        }
    }

    /// Whether the object has begun and ended.
    pub(crate) fn is_whole(&self) -> bool {
        self.has_begun && self.depth == 0 && !self.is_odd
    }

    /// Whether there was nothing but white space.
    pub(crate) fn is_blank(&self) -> bool {
        !self.has_begun && !self.is_odd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_in_any_pieces() {
        for (text, is_whole, is_blank) in [
            (r#"{"a":"}\"{","b":[{}]}"#, true, false),
            (r#" {"a":1} "#, true, false),
            (r#"{"a":"\\"}"#, true, false),
            (r#"{"a":"\"}"#, false, false),
            (r#"{"a":1"#, false, false),
            ("{}{}", false, false),
            ("12", false, false),
            (" ", false, true),
            ("", false, true),
        ] {
            for chunk in 1..=text.len().max(1) {
                let mut whole = Whole::default();
                for piece in text.as_bytes().chunks(chunk) {
                    let piece = std::str::from_utf8(piece).expect("ASCII");
                    whole.push(&JsonText::from_plain(piece));
                }
                assert_eq!((whole.is_whole(), whole.is_blank()), (is_whole, is_blank), "{text}");
            }
        }
    }
}
