//! Writes JSON into a buffer: objects and lists that close themselves.

use super::text::{JsonText, escape_into, needs_escape};
use super::value::{Number, Raw, compact};

/// An object that is being written. It is closed when it is dropped. Names of fields are those of
/// the formats, so that they need no escapes.
///
/// ```
/// use tollgate_wire::translate::json::JsonObject;
/// let mut out = Vec::new();
/// {
///     let mut object = JsonObject::new(&mut out);
///     object.str("role", "user");
///     object.list("content").object().number("n", 1);
/// }
/// assert_eq!(out, br#"{"role":"user","content":[{"n":1}]}"#);
/// ```
#[derive(Debug)]
pub struct JsonObject<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

/// A list that is being written. It is closed when it is dropped.
#[derive(Debug)]
pub struct JsonList<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> JsonObject<'o> {
    /// Begins an object.
    pub fn new(out: &'o mut Vec<u8>) -> JsonObject<'o> {
        out.push(b'{');
        JsonObject { out, is_first: true }
    }

    /// Goes on with an object whose first fields are written already.
    pub fn continued(out: &'o mut Vec<u8>) -> JsonObject<'o> {
        JsonObject { out, is_first: false }
    }

    /// A field whose value is a string of plain text.
    pub fn str(&mut self, name: &str, value: &str) {
        self.key(name);
        self.out.push(b'"');
        escape_into(value, self.out);
        self.out.push(b'"');
    }

    /// A field whose value is a string that is escaped already.
    pub fn text(&mut self, name: &str, value: &JsonText<'_>) {
        self.key(name);
        push_text(self.out, value);
    }

    /// A field whose value is a string made of several.
    pub fn joined(&mut self, name: &str, values: &[&JsonText<'_>]) {
        self.key(name);
        self.out.push(b'"');
        for value in values {
            self.out.extend_from_slice(value.escaped().as_bytes());
        }
        self.out.push(b'"');
    }

    /// A field whose value is a string that holds compact JSON.
    pub fn json_in_string(&mut self, name: &str, json: &str) {
        self.key(name);
        self.out.push(b'"');
        escape_into(&compact(json), self.out);
        self.out.push(b'"');
    }

    /// A field whose value is carried.
    pub fn raw(&mut self, name: &str, value: &Raw<'_>) {
        self.json(name, value.json());
    }

    /// A field whose value is this JSON.
    pub fn json(&mut self, name: &str, json: &str) {
        self.key(name);
        self.out.extend_from_slice(json.as_bytes());
    }

    /// A field whose value is a number that is carried.
    pub fn carried_number(&mut self, name: &str, number: &Number<'_>) {
        self.json(name, number.json());
    }

    /// A field whose value is a whole number.
    pub fn number(&mut self, name: &str, number: u64) {
        self.key(name);
        push_number(self.out, number);
    }

    /// A field whose value is true or false.
    pub fn bool(&mut self, name: &str, value: bool) {
        self.json(name, if value { "true" } else { "false" });
    }

    /// A field whose value is null.
    pub fn null(&mut self, name: &str) {
        self.json(name, "null");
    }

    /// A field whose value is an object.
    pub fn object(&mut self, name: &str) -> JsonObject<'_> {
        self.key(name);
        JsonObject::new(self.out)
    }

    /// A field whose value is a list.
    pub fn list(&mut self, name: &str) -> JsonList<'_> {
        self.key(name);
        JsonList::new(self.out)
    }

    fn key(&mut self, name: &str) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
        debug_assert!(!name.bytes().any(needs_escape), "{name:?} needs escapes");
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }
}

impl<'o> JsonList<'o> {
    /// Begins a list.
    pub fn new(out: &'o mut Vec<u8>) -> JsonList<'o> {
        out.push(b'[');
        JsonList { out, is_first: true }
    }

    /// An entry that is an object.
    pub fn object(&mut self) -> JsonObject<'_> {
        self.comma();
        JsonObject::new(self.out)
    }

    /// An entry that is a string of plain text.
    pub fn str(&mut self, value: &str) {
        self.comma();
        self.out.push(b'"');
        escape_into(value, self.out);
        self.out.push(b'"');
    }

    /// An entry that is a string that is escaped already.
    pub fn text(&mut self, value: &JsonText<'_>) {
        self.comma();
        push_text(self.out, value);
    }

    /// An entry that is carried.
    pub fn raw(&mut self, value: &Raw<'_>) {
        self.comma();
        self.out.extend_from_slice(value.json().as_bytes());
    }

    /// An entry that is this JSON.
    pub fn json(&mut self, json: &[u8]) {
        self.comma();
        self.out.extend_from_slice(json);
    }

    fn comma(&mut self) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
    }
}

impl Drop for JsonObject<'_> {
    fn drop(&mut self) {
        self.out.push(b'}');
    }
}

impl Drop for JsonList<'_> {
    fn drop(&mut self) {
        self.out.push(b']');
    }
}

fn push_text(out: &mut Vec<u8>, text: &JsonText<'_>) {
    out.push(b'"');
    out.extend_from_slice(text.escaped().as_bytes());
    out.push(b'"');
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}
