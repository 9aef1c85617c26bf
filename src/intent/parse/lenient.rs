//! Almost JSON, as models write it: single or typographic quotes, bare keys, trailing or missing
//! commas, comments, `None`, `True`, line ends in strings.
//!
//! Pure. Bounded: nesting to [`DEPTH_MAX`], one pass over the text. Promises: an object that is not
//! closed is none; a bare value is one word, so that a form like `{"category": string or null}` is
//! no object. Does not: accept prose.

use std::iter::Peekable;
use std::str::Chars;

use serde_json::{Map, Value, json};

/// Objects and lists in each other.
const DEPTH_MAX: usize = 16;

/// The object that the text begins with.
pub(crate) fn object(text: &str) -> Option<Map<String, Value>> {
    let mut reader = Reader { rest: text.chars().peekable() };
    match reader.value(DEPTH_MAX)? {
        Value::Object(object) => Some(object),
        _ => None,
    }
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Option<Value> {
        self.skip();
        match self.rest.peek()? {
            '{' => self.members(depth.checked_sub(1)?).map(Value::Object),
            '[' => self.list(depth.checked_sub(1)?).map(Value::Array),
            c if quotes(*c).is_some() => self.string().map(Value::String),
            _ => self.bare(),
        }
    }

    fn members(&mut self, depth: usize) -> Option<Map<String, Value>> {
        self.rest.next();
        let mut members = Map::new();
        loop {
            self.skip_commas();
            match self.rest.peek()? {
                '}' => {
                    self.rest.next();
                    return Some(members);
                }
                c if quotes(*c).is_some() => {
                    let key = self.string()?;
                    self.member(key, &mut members, depth)?;
                }
                _ => {
                    let key = self.word()?;
                    self.member(key, &mut members, depth)?;
                }
            }
        }
    }

    fn member(
        &mut self,
        key: String,
        members: &mut Map<String, Value>,
        depth: usize,
    ) -> Option<()> {
        self.skip();
        self.rest.next_if(|c| matches!(c, ':' | '='))?;
        let value = self.value(depth)?;
        members.insert(key, value);
        // A bare word that goes on is prose.
        self.skip();
        let next = *self.rest.peek()?;
        (matches!(next, ',' | '}') || quotes(next).is_some()).then_some(())
    }

    fn list(&mut self, depth: usize) -> Option<Vec<Value>> {
        self.rest.next();
        let mut list = Vec::new();
        loop {
            self.skip_commas();
            if self.rest.next_if_eq(&']').is_some() {
                return Some(list);
            }
            list.push(self.value(depth)?);
        }
    }

    fn string(&mut self) -> Option<String> {
        let ends = quotes(self.rest.next()?)?;
        let mut text = String::new();
        loop {
            match self.rest.next()? {
                c if ends.contains(&c) => return Some(text),
                '\\' => match self.rest.next()? {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    // An escape that JSON does not know stands for its character; code points are
                    // not put together.
                    c => text.push(c),
                },
                c => text.push(c),
            }
        }
    }

    fn word(&mut self) -> Option<String> {
        let mut word = String::new();
        while let Some(c) = self.rest.next_if(|c| c.is_alphanumeric() || "_-+.%/".contains(*c)) {
            word.push(c);
        }
        (!word.is_empty()).then_some(word)
    }

    fn bare(&mut self) -> Option<Value> {
        let word = self.word()?;
        Some(match word.as_str() {
            "null" | "None" | "undefined" => Value::Null,
            "true" | "True" => json!(true),
            "false" | "False" => json!(false),
            // Numbers stay text; `number` reads more forms of them than JSON has.
            _ => Value::String(word),
        })
    }

    fn skip_commas(&mut self) {
        self.skip();
        while self.rest.next_if_eq(&',').is_some() {
            self.skip();
        }
    }

    /// White space and comments.
    fn skip(&mut self) {
        loop {
            while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
            let mut ahead = self.rest.clone();
            match (ahead.next(), ahead.next()) {
                (Some('/'), Some('/')) => while self.rest.next_if(|c| *c != '\n').is_some() {},
                (Some('/'), Some('*')) => {
                    self.rest = ahead;
                    let mut last = ' ';
                    for c in self.rest.by_ref() {
                        if last == '*' && c == '/' {
                            break;
                        }
                        last = c;
                    }
                }
                _ => return,
            }
        }
    }
}

/// The end of a string that begins so.
fn quotes(open: char) -> Option<&'static [char]> {
    Some(match open {
        '"' => &['"'],
        '\'' => &['\''],
        '`' => &['`'],
        '“' | '”' | '„' => &['“', '”'],
        '‘' | '’' => &['’'],
        '«' => &['»'],
        _ => return None,
    })
}
