//! Events of a stream that differ in their text alone.
//!
//! Most events of a stream repeat its id, its model and its form, and bring a few letters of text.
//! Such an event is not parsed again: it is compared with the event before.
//!
//! Pure. Guarantees: an event is found alike only if a parse of it would find the same fields and
//! this text; at most [`KEPT_BYTES_MAX`] bytes are kept. Does not: know a format.

use memchr::memchr2;

/// Longer events are not kept.
const KEPT_BYTES_MAX: usize = 2 << 10;

/// The last event that was parsed, if it had nothing but text to tell.
#[derive(Debug, Default)]
pub(crate) struct Alike {
    /// Its bytes up to the quotation mark before the text; empty if there is no such event.
    before: Vec<u8>,
    /// Its bytes from the quotation mark behind the text on.
    after: Vec<u8>,
    /// The choice to which the text belongs.
    index: u64,
}

impl Alike {
    /// Keeps an event in which `text` is a string without escapes, borrowed from `data`.
    pub(crate) fn keep(&mut self, data: &[u8], text: &str, index: u64) {
        self.forget();
        let at = text.as_ptr().addr().wrapping_sub(data.as_ptr().addr());
        let end = at.saturating_add(text.len());
        let (Some(before), Some(after)) = (data.get(..at), data.get(end..)) else { return };
        let is_quoted = before.ends_with(b"\"") && after.starts_with(b"\"");
        if is_quoted && before.len() + after.len() <= KEPT_BYTES_MAX {
            self.before.extend_from_slice(before);
            self.after.extend_from_slice(after);
            self.index = index;
        }
    }

    /// The event before was another one.
    pub(crate) fn forget(&mut self) {
        self.before.clear();
        self.after.clear();
    }

    /// The choice and the text of an event that is alike; `None` if it has to be parsed.
    pub(crate) fn text<'d>(&self, data: &'d [u8]) -> Option<(u64, &'d str)> {
        if self.before.is_empty() {
            return None;
        }
        let text = data.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        if memchr2(b'"', b'\\', text).is_some() || text.iter().any(|byte| *byte < 0x20) {
            return None;
        }
        Some((self.index, std::str::from_utf8(text).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_may_differ() {
        let whole = r#"{"id":"c","delta":{"content":"Hi"},"end":null}"#;
        let (event, at) = (whole.as_bytes(), whole.find("Hi").expect("a text"));
        let mut alike = Alike::default();
        assert_eq!(alike.text(event), None);
        alike.keep(event, &whole[at..at + 2], 3);
        for (other, expected) in [
            (event, Some((3, "Hi"))),
            (br#"{"id":"c","delta":{"content":""},"end":null}"#, Some((3, ""))),
            (r#"{"id":"c","delta":{"content":"é {}"},"end":null}"#.as_bytes(), Some((3, "é {}"))),
            (br#"{"id":"d","delta":{"content":"Hi"},"end":null}"#, None),
            (br#"{"id":"c","delta":{"content":"Hi"},"end":"x"}"#, None),
            (br#"{"id":"c","delta":{"content":"\n"},"end":null}"#, None),
            (br#"{"id":"c","delta":{"content":"a","a":"b"},"end":null}"#, None),
            (b"{\"id\":\"c\",\"delta\":{\"content\":\"\n\"},\"end\":null}", None),
            (b"{\"id\":\"c\",\"delta\":{\"content\":\"\xff\"},\"end\":null}", None),
            (br#"{"id":"c","delta":{"content":"},"end":null}"#, None),
            (br#""#, None),
        ] {
            assert_eq!(alike.text(other), expected, "{}", String::from_utf8_lossy(other));
        }
        alike.forget();
        assert_eq!(alike.text(event), None);
        let long = format!(r#"{{"a":"{}","content":"x"}}"#, "a".repeat(KEPT_BYTES_MAX));
        alike.keep(long.as_bytes(), &long[long.len() - 3..long.len() - 2], 0);
        assert_eq!(alike.text(long.as_bytes()), None);
        // A text from elsewhere.
        alike.keep(event, "Hi", 0);
        assert_eq!(alike.text(event), None);
    }
}
