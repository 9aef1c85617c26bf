//! A JSON string in its escaped form, without its quotes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use serde_json::value::RawValue;

/// The text of a JSON string as it was escaped, without the quotes. Moved from one document to
/// another it is neither read nor written again, so every character survives, also a lone
/// surrogate, of which no `str` can be made.
///
/// ```
/// use tollgate_wire::translate::json::JsonText;
/// let text: JsonText<'_> = serde_json::from_str(r#""caf\u00e9 \ud83d""#).expect("a string");
/// assert_eq!(text.escaped(), r"caf\u00e9 \ud83d");
/// assert_eq!(text.plain(), "café \u{fffd}");
/// assert_eq!(JsonText::from_plain("a \"b\"").escaped(), r#"a \"b\""#);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct JsonText<'a>(Cow<'a, str>);

impl<'a> JsonText<'a> {
    /// The text of a constant that needs no escapes.
    ///
    /// # Panics
    /// In debug builds, if it needs some.
    pub fn literal(text: &'a str) -> JsonText<'a> {
        debug_assert!(!text.bytes().any(needs_escape), "{text:?} needs escapes");
        JsonText(Cow::Borrowed(text))
    }

    /// Escapes plain text; borrowed if nothing is to be escaped.
    pub fn from_plain(text: impl Into<Cow<'a, str>>) -> JsonText<'a> {
        let text = text.into();
        if !text.bytes().any(needs_escape) {
            return JsonText(text);
        }
        let mut escaped = Vec::with_capacity(text.len() + text.len() / 8 + 8);
        escape_into(&text, &mut escaped);
        JsonText(Cow::Owned(into_string(escaped)))
    }

    /// The escaped text.
    pub fn escaped(&self) -> &str {
        &self.0
    }

    /// The plain text; a lone surrogate becomes U+FFFD.
    pub fn plain(&self) -> Cow<'_, str> {
        if self.has_no_escape() { Cow::Borrowed(&self.0) } else { Cow::Owned(unescape(&self.0)) }
    }

    /// As [`JsonText::plain`], without a copy of text that is borrowed and has no escapes.
    pub fn into_plain(self) -> Cow<'a, str> {
        if self.has_no_escape() { self.0 } else { Cow::Owned(unescape(&self.0)) }
    }

    fn has_no_escape(&self) -> bool {
        memchr::memchr(b'\\', self.0.as_bytes()).is_none()
    }

    /// Whether there is no character.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is nothing but white space.
    pub fn is_blank(&self) -> bool {
        // An ordinary text is decided at its first character.
        match self.0.as_bytes().first() {
            None => true,
            Some(first) if first.is_ascii_graphic() && *first != b'\\' => false,
            Some(_) => self.plain().trim().is_empty(),
        }
    }

    /// Whether the plain text is `text`.
    pub fn is(&self, text: &str) -> bool {
        self.0 == text || (!self.has_no_escape() && self.plain() == text)
    }

    /// Bytes of the escaped text.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends a text.
    pub fn push(&mut self, text: &JsonText<'_>) {
        if !text.is_empty() {
            self.0.to_mut().push_str(&text.0);
        }
    }

    /// Texts with a newline between them; one text is borrowed from where it was.
    pub fn lines<'t>(texts: impl IntoIterator<Item = &'t JsonText<'a>>) -> JsonText<'a>
    where
        'a: 't,
    {
        let mut texts = texts.into_iter();
        let mut joined = texts.next().cloned().unwrap_or_default();
        for text in texts {
            let joined = joined.0.to_mut();
            joined.push_str("\\n");
            joined.push_str(&text.0);
        }
        joined
    }

    /// The same text, borrowed from this one.
    pub fn borrow(&self) -> JsonText<'_> {
        JsonText(Cow::Borrowed(&self.0))
    }

    /// The same text with storage of its own.
    pub fn into_owned(self) -> JsonText<'static> {
        JsonText(Cow::Owned(self.0.into_owned()))
    }

    /// The texts before and after the first comma.
    pub fn split_at_comma(&self) -> Option<(&str, JsonText<'a>)> {
        let at = memchr::memchr(b',', self.0.as_bytes())?;
        let after = match &self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(&text[at + 1..]),
            Cow::Owned(text) => Cow::Owned(text[at + 1..].to_owned()),
        };
        Some((&self.0[..at], JsonText(after)))
    }

    /// Without white space at its end.
    pub fn trim_end(self) -> JsonText<'a> {
        let is_trimmed = match self.0.as_bytes() {
            [.., b'\\', _] => false,
            // The end of `\u0020`, or a character that is white space in Unicode.
            [.., last] => {
                last.is_ascii_graphic() && memchr::memmem::rfind(tail(&self.0), b"\\u").is_none()
            }
            [] => true,
        };
        if is_trimmed {
            return self;
        }
        let plain = self.plain();
        let trimmed = plain.trim_end();
        if trimmed.len() == plain.len() {
            return self.clone();
        }
        JsonText::from_plain(trimmed.to_owned())
    }

    /// Without any white space: for base64.
    pub fn without_space(self) -> JsonText<'a> {
        let is_space = |byte: u8| byte == b'\\' || byte.is_ascii_whitespace();
        if !self.0.bytes().any(is_space) {
            return self;
        }
        let plain: String = self.plain().chars().filter(|c| !c.is_whitespace()).collect();
        JsonText::from_plain(plain)
    }
}

/// The last bytes, enough for one escape.
fn tail(text: &str) -> &[u8] {
    &text.as_bytes()[text.len().saturating_sub(6)..]
}

impl fmt::Debug for JsonText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<JsonText<'a>, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        match raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(escaped) => Ok(JsonText(Cow::Borrowed(escaped))),
            None => Err(D::Error::custom("expected a string")),
        }
    }
}

pub(crate) fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Appends plain text in escaped form.
pub(crate) fn escape_into(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !needs_escape(*byte) {
            continue;
        }
        out.extend_from_slice(&bytes[written..at]);
        written = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
    }
    out.extend_from_slice(&bytes[written..]);
}

/// Text that was put together of whole characters.
pub(crate) fn into_string(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into())
}

fn unescape(escaped: &str) -> String {
    let mut plain = String::with_capacity(escaped.len());
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(kind) = rest.bytes().next() else { break };
        // An escape is ASCII; anything else has been refused when the document was read.
        rest = rest.get(1..).unwrap_or_default();
        match kind {
            b'n' => plain.push('\n'),
            b't' => plain.push('\t'),
            b'r' => plain.push('\r'),
            b'b' => plain.push('\u{8}'),
            b'f' => plain.push('\u{c}'),
            b'u' => rest = unicode_escape(rest, &mut plain),
            other => plain.push(char::from(other)),
        }
    }
    plain.push_str(rest);
    plain
}

/// Appends the character whose `\u` has been read, and returns the text after it.
fn unicode_escape<'t>(rest: &'t str, plain: &mut String) -> &'t str {
    let unit = |text: &str| text.get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
    let Some(first) = unit(rest) else { return rest };
    let rest = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(low) = rest.strip_prefix("\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&low)
    {
        let pair = 0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        plain.push(char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER));
        return &rest[6..];
    }
    plain.push(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
    rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn blank_and_trimmed_texts() {
        let text = |escaped: &'static str| JsonText(Cow::Borrowed(escaped));
        for blank in ["", " ", r"\n", r" \t\u0020", "\u{a0}"] {
            assert!(text(blank).is_blank(), "{blank:?}");
        }
        for full in ["a", r"\n.", r"\u0041", " é"] {
            assert!(!text(full).is_blank(), "{full:?}");
        }
        for (before, after) in [
            ("a ", "a"),
            (r"a\n", "a"),
            (r"a\u0020", "a"),
            ("a\u{a0}", "a"),
            (r"a\\", r"a\\"),
            (r"a\u00e9", r"a\u00e9"),
            ("a", "a"),
            ("", ""),
        ] {
            assert_eq!(text(before).trim_end().escaped(), after, "{before:?}");
        }
        assert_eq!(text(r"QU\nJD RA==").without_space().escaped(), "QUJDRA==");
    }

    proptest! {
        #[test]
        fn plain_text_survives(plain in "\\PC{0,20}|[\\x00-\\x7f]{0,20}") {
            let text = JsonText::from_plain(plain.as_str());
            let as_serde: String = serde_json::from_str(&format!("\"{}\"", text.escaped())).expect("a string");
            prop_assert_eq!(&as_serde, &plain);
            prop_assert_eq!(text.plain(), plain.as_str());
            prop_assert!(text.is(&plain));
        }

        #[test]
        fn escapes_are_read_as_serde_json_reads_them(units in proptest::collection::vec(0u16.., 0..6)) {
            let escaped: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let text = JsonText(Cow::Borrowed(escaped.as_str()));
            prop_assert_eq!(text.plain(), String::from_utf16_lossy(&units));
        }
    }
}
