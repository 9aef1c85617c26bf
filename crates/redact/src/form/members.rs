//! Reads the members of a flat JSON object while it arrives.
//!
//! Pure. The JSON has passed the redactor: names, and strings or scalars under them.
//! Guarantees: any cut gives the same; nothing but a name is kept. Does not: read objects and lists.

/// A listener to the members.
pub(crate) trait Listener {
    /// A name; its value follows.
    fn name(&mut self, name: &str);
    /// A piece of the value: text of a string, or a scalar as it is written.
    fn value(&mut self, piece: &[u8]);
    /// The value has ended.
    fn end(&mut self);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before a name.
    #[default]
    Between,
    Name,
    /// Before a value.
    Colon,
    Text,
    Scalar,
}

/// Reads the members of one object.
#[derive(Debug, Default)]
pub(crate) struct Members {
    place: Place,
    name: Vec<u8>,
    /// An escape that has begun.
    escape: Vec<u8>,
}

/// The JSON is not of the form that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable;

impl Members {
    /// Takes the next bytes.
    pub(crate) fn push(
        &mut self,
        mut json: &[u8],
        listener: &mut impl Listener,
    ) -> Result<(), Unreadable> {
        while let Some(&b) = json.first() {
            match self.place {
                Place::Text | Place::Name if !self.escape.is_empty() => {
                    json = &json[1..];
                    self.escape.push(b);
                    if let Some(c) = unescaped(&self.escape)? {
                        self.text(c.encode_utf8(&mut [0; 4]).as_bytes(), listener);
                        self.escape.clear();
                    }
                }
                Place::Text | Place::Name => {
                    let end = memchr::memchr2(b'"', b'\\', json).unwrap_or(json.len());
                    if end > 0 {
                        self.text(&json[..end], listener);
                    }
                    match json.get(end) {
                        Some(b'\\') => self.escape.push(b'\\'),
                        Some(_) => self.string_end(listener)?,
                        None => {}
                    }
                    json = &json[json.len().min(end + 1)..];
                }
                Place::Scalar => {
                    let end = memchr::memchr2(b',', b'}', json).unwrap_or(json.len());
                    listener.value(&json[..end]);
                    if end < json.len() {
                        listener.end();
                        self.place = Place::Between;
                    }
                    json = &json[end..];
                }
                Place::Between | Place::Colon => {
                    self.begin(b)?;
                    json = &json[usize::from(self.place != Place::Scalar)..];
                }
            }
        }
        Ok(())
    }

    /// Bytes that are kept.
    pub(crate) fn held_bytes(&self) -> usize {
        self.name.len()
    }

    fn begin(&mut self, b: u8) -> Result<(), Unreadable> {
        self.place = match (self.place, b) {
            (Place::Between, b'{' | b'}' | b',') => Place::Between,
            (Place::Between, b'"') => Place::Name,
            (Place::Colon, b':') => Place::Colon,
            (Place::Colon, b'"') => Place::Text,
            (Place::Colon, b'a'..=b'z' | b'0'..=b'9' | b'-') => Place::Scalar,
            _ => return Err(Unreadable),
        };
        Ok(())
    }

    fn text(&mut self, text: &[u8], listener: &mut impl Listener) {
        if self.place == Place::Name {
            self.name.extend_from_slice(text);
        } else {
            listener.value(text);
        }
    }

    fn string_end(&mut self, listener: &mut impl Listener) -> Result<(), Unreadable> {
        if self.place == Place::Text {
            listener.end();
            self.place = Place::Between;
            return Ok(());
        }
        listener.name(std::str::from_utf8(&self.name).map_err(|_| Unreadable)?);
        self.name.clear();
        self.place = Place::Colon;
        Ok(())
    }
}

/// The character of an escape, once it is whole. Surrogates are not written by a JSON writer for
/// UTF-8.
fn unescaped(escape: &[u8]) -> Result<Option<char>, Unreadable> {
    Ok(Some(match escape {
        [b'\\', b'u', hex @ ..] if hex.len() < 4 => return Ok(None),
        [b'\\', b'u', hex @ ..] => {
            let hex = std::str::from_utf8(hex).map_err(|_| Unreadable)?;
            let unit = u32::from_str_radix(hex, 16).map_err(|_| Unreadable)?;
            char::from_u32(unit).ok_or(Unreadable)?
        }
        [b'\\', b'n'] => '\n',
        [b'\\', b'r'] => '\r',
        [b'\\', b't'] => '\t',
        [b'\\', b'b'] => '\u{8}',
        [b'\\', b'f'] => '\u{c}',
        [b'\\', c @ (b'"' | b'\\' | b'/')] => char::from(*c),
        _ => return Err(Unreadable),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Seen(String);

    impl Listener for Seen {
        fn name(&mut self, name: &str) {
            self.0.push_str(&format!("<{name}>"));
        }
        fn value(&mut self, piece: &[u8]) {
            self.0.push_str(&String::from_utf8_lossy(piece));
        }
        fn end(&mut self) {
            self.0.push(';');
        }
    }

    #[test]
    fn members_are_told_however_they_are_cut() {
        let json = "{\"a\":\"x\\\"y\\\\\\n\\u0001\",\"b\\\"\":12,\"c\":true,\"\":\"\",\"d\":null}";
        let expected = "<a>x\"y\\\n\u{1};<b\">12;<c>true;<>;<d>null;";
        for size in 1..json.len() {
            let (mut members, mut seen) = (Members::default(), Seen::default());
            for piece in json.as_bytes().chunks(size) {
                members.push(piece, &mut seen).expect("members");
            }
            assert_eq!(seen.0, expected, "{size}");
        }
        for json in
            ["{\"a\":[", "{\"a\":{", "{\"a\":\"\\q", "{\"a\":\"\\ud83d", "x", "{\"a\":\u{1}"]
        {
            let read = Members::default().push(json.as_bytes(), &mut Seen::default());
            assert_eq!(read, Err(Unreadable), "{json}");
        }
    }
}
