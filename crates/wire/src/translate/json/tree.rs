//! A JSON value as a tree that keeps the order of keys and the form of every scalar. For schemas,
//! which are small; bodies are never read into it.

/// A value that borrows from its JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tree<'j> {
    /// Keys, as they were escaped, and values.
    Object(Vec<(&'j str, Tree<'j>)>),
    List(Vec<Tree<'j>>),
    /// A string with its quotes, a number, `true`, `false` or `null`.
    Scalar(&'j str),
}

/// Levels of nesting.
const DEPTH_MAX: u32 = 64;

impl<'j> Tree<'j> {
    /// The tree of valid JSON; `None` if it is nested too deeply.
    pub(crate) fn of(json: &'j str) -> Option<Tree<'j>> {
        Reader { json, at: 0 }.value(0)
    }

    /// The value of a key of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Tree<'j>> {
        match self {
            Tree::Object(fields) => {
                fields.iter().find(|(name, _)| *name == key).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// The text of a string, as it was escaped.
    pub(crate) fn as_text(&self) -> Option<&'j str> {
        match self {
            Tree::Scalar(scalar) => {
                scalar.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'))
            }
            _ => None,
        }
    }

    /// Whether it is this scalar: `true`, `"object"`.
    pub(crate) fn is(&self, json: &str) -> bool {
        matches!(self, Tree::Scalar(scalar) if *scalar == json)
    }

    /// Appends the JSON, without white space.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Tree::Scalar(scalar) => out.push_str(scalar),
            Tree::List(entries) => {
                out.push('[');
                for (at, entry) in entries.iter().enumerate() {
                    if at > 0 {
                        out.push(',');
                    }
                    entry.write(out);
                }
                out.push(']');
            }
            Tree::Object(fields) => {
                out.push('{');
                for (at, (key, value)) in fields.iter().enumerate() {
                    out.push_str(if at > 0 { ",\"" } else { "\"" });
                    out.push_str(key);
                    out.push_str("\":");
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

/// Walks over JSON that is known to be valid.
struct Reader<'j> {
    json: &'j str,
    at: usize,
}

impl<'j> Reader<'j> {
    fn value(&mut self, depth: u32) -> Option<Tree<'j>> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.skip_space();
        match self.byte()? {
            b'{' => {
                self.at += 1;
                let mut fields = Vec::new();
                while self.has_entry(b'}')? {
                    let key = self.string()?;
                    self.skip_space();
                    // The colon.
                    self.at += 1;
                    fields.push((key.get(1..key.len() - 1)?, self.value(depth + 1)?));
                }
                Some(Tree::Object(fields))
            }
            b'[' => {
                self.at += 1;
                let mut entries = Vec::new();
                while self.has_entry(b']')? {
                    entries.push(self.value(depth + 1)?);
                }
                Some(Tree::List(entries))
            }
            b'"' => self.string().map(Tree::Scalar),
            _ => {
                let from = self.at;
                while self
                    .byte()
                    .is_some_and(|b| !matches!(b, b',' | b'}' | b']') && !b.is_ascii_whitespace())
                {
                    self.at += 1;
                }
                self.json.get(from..self.at).map(Tree::Scalar)
            }
        }
    }

    /// Steps to the next entry, or over the end of the object or list.
    fn has_entry(&mut self, end: u8) -> Option<bool> {
        self.skip_space();
        if self.byte()? == b',' {
            self.at += 1;
            self.skip_space();
        }
        let has_ended = self.byte()? == end;
        self.at += usize::from(has_ended);
        Some(!has_ended)
    }

    fn string(&mut self) -> Option<&'j str> {
        let from = self.at;
        self.at += 1;
        loop {
            match self.byte()? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.json.get(from..self.at)
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::json::compact;

    #[test]
    fn a_tree_is_written_as_it_was() {
        for json in [
            r#"{"b": [1e400, -0, "x\"]}", {}, []], "a" : null , "b":true}"#,
            "[]",
            " {} ",
            r#""a""#,
            "12",
        ] {
            let mut written = String::new();
            Tree::of(json).expect(json).write(&mut written);
            assert_eq!(written, compact(json.trim()), "{json}");
        }
        assert_eq!(Tree::of(&["[".repeat(100), "]".repeat(100)].concat()), None);
    }

    /// Of anything else it makes something, and does not panic.
    #[test]
    fn what_is_no_json() {
        for json in ["", "{", "{\"a\"", "{\"a\":", "[1", "\"", "\"\\", "{]", "é", "{é"] {
            let _ = Tree::of(json);
        }
    }
}
