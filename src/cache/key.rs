//! The key of an answer: a digest of everything that the answer follows from.
//!
//! Pure. Two bodies have one key if they are the same JSON: blanks between values, the order of the
//! members of an object and the escapes of a text make no difference. The members of `properties`,
//! `input`, `args` and `arguments` keep their order, in which a model reads and writes them.
//!
//! Guarantees: every part counts with its length, so parts cannot run into each other; numbers
//! count as they are written; the key of one organisation is never the key of another one. Does
//! not: read bodies that are nested deeper than the redactor allows.

use std::ops::Range;

use aws_lc_rs::digest::{Context, SHA256};

use crate::digest::hex;
use crate::ids::OrgId;

/// Nesting beyond which a body has no key.
const DEPTH_MAX: usize = 130;
/// Objects whose members keep their order, by the name of the member that they are the value of.
const ORDERED: [&[u8]; 4] = [b"\"properties\"", b"\"input\"", b"\"args\"", b"\"arguments\""];

/// The key of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub [u8; 32]);

impl Key {
    /// The name of the file.
    pub fn name(&self) -> String {
        hex(&self.0)
    }
}

/// Everything that decides an answer.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub org: &'a OrgId,
    pub policy_version: &'a str,
    /// The canonical path, and the path below the provider's address with its query.
    pub endpoint: (&'a str, &'a str),
    /// Redacted JSON.
    pub body: &'a [u8],
    /// The gateway asked for the usage of a stream, which its caller must not see.
    pub drops_usage: bool,
}

impl Question<'_> {
    /// Its key, with that of `headers` (names and values) that change an answer; `None` if the body
    /// is no JSON.
    pub fn key<'h>(&self, headers: impl Iterator<Item = (&'h [u8], &'h [u8])>) -> Option<Key> {
        let body = canonical(self.body)?;
        let mut context = Context::new(&SHA256);
        let mut part = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_be_bytes());
            context.update(bytes);
        };
        part(b"tollgate cache 1");
        part(self.org.as_str().as_bytes());
        part(self.policy_version.as_bytes());
        part(self.endpoint.0.as_bytes());
        part(self.endpoint.1.as_bytes());
        part(&[u8::from(self.drops_usage)]);
        part(&body);
        for (name, value) in headers {
            part(name);
            part(value);
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.finish().as_ref());
        Some(Key(key))
    }
}

/// The same JSON in the one way in which it is hashed; `None` if it is none.
fn canonical(json: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(json.len());
    let mut reader = Reader { json, at: 0 };
    reader.value(&mut out, false, 0)?;
    reader.blanks();
    (reader.at == json.len()).then_some(out)
}

struct Reader<'j> {
    json: &'j [u8],
    at: usize,
}

/// Where a member stands in what has been written.
struct Member {
    name: Range<usize>,
    whole: Range<usize>,
}

impl Reader<'_> {
    fn blanks(&mut self) {
        while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.json.get(self.at).copied()
    }

    /// Takes this byte, if it is the next one behind blanks.
    fn take(&mut self, byte: u8) -> bool {
        self.blanks();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn value(&mut self, out: &mut Vec<u8>, is_ordered: bool, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        self.blanks();
        match self.peek()? {
            b'{' => self.object(out, is_ordered, depth),
            b'[' => self.array(out, depth),
            b'"' => self.text(out),
            _ => {
                let rest = &self.json[self.at..];
                let end = rest.iter().position(|b| b",]} \t\r\n:\"[{".contains(b));
                let scalar = &rest[..end.unwrap_or(rest.len())];
                self.at += scalar.len();
                out.extend_from_slice(scalar);
                (!scalar.is_empty()).then_some(())
            }
        }
    }

    fn array(&mut self, out: &mut Vec<u8>, depth: usize) -> Option<()> {
        self.take(b'[');
        out.push(b'[');
        if self.take(b']') {
            out.push(b']');
            return Some(());
        }
        loop {
            self.value(out, false, depth + 1)?;
            if self.take(b']') {
                out.push(b']');
                return Some(());
            }
            self.take(b',').then(|| out.push(b','))?;
        }
    }

    fn object(&mut self, out: &mut Vec<u8>, is_ordered: bool, depth: usize) -> Option<()> {
        self.take(b'{');
        out.push(b'{');
        if self.take(b'}') {
            out.push(b'}');
            return Some(());
        }
        let (begin, mut members) = (out.len(), Vec::new());
        loop {
            self.blanks();
            let start = out.len();
            self.text(out)?;
            let name = start..out.len();
            self.take(b':').then(|| out.push(b':'))?;
            let keeps_order = ORDERED.contains(&&out[name.clone()]);
            self.value(out, keeps_order, depth + 1)?;
            // Each member with a comma behind it, so that they can change places.
            out.push(b',');
            members.push(Member { name, whole: start..out.len() });
            if self.take(b'}') {
                break;
            }
            self.take(b',').then_some(())?;
        }
        if !is_ordered && !members.is_sorted_by(|a, b| out[a.name.clone()] <= out[b.name.clone()]) {
            // Of two members of one name the order counts: the sort is stable.
            members.sort_by(|a, b| out[a.name.clone()].cmp(&out[b.name.clone()]));
            let sorted: Vec<u8> =
                members.iter().flat_map(|member| out[member.whole.clone()].to_vec()).collect();
            out.truncate(begin);
            out.extend_from_slice(&sorted);
        }
        out.push(b'}');
        Some(())
    }

    fn text(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let begin = self.at;
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut has_escapes = false;
        loop {
            let next = memchr::memchr2(b'"', b'\\', &self.json[self.at..])?;
            self.at += next + 1;
            if self.json[self.at - 1] == b'"' {
                break;
            }
            has_escapes = true;
            self.at += 1;
            if self.at > self.json.len() {
                return None;
            }
        }
        let raw = &self.json[begin..self.at];
        // Half a pair of surrogates is no text; it counts as it is written.
        match has_escapes.then(|| serde_json::from_slice::<String>(raw)) {
            Some(Ok(text)) => serde_json::to_writer(out, &text).ok()?,
            _ => out.extend_from_slice(raw),
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(org: &str, body: &str) -> Option<Key> {
        let org = OrgId::new(org).expect("name");
        let question = Question {
            org: &org,
            policy_version: "v",
            endpoint: ("/v1/chat/completions", "/chat/completions"),
            body: body.as_bytes(),
            drops_usage: false,
        };
        question.key(std::iter::empty())
    }

    #[test]
    fn the_same_json_has_one_form() {
        for (json, expected) in [
            (r#" { "b" : 1 , "a" : [ 1.0, true , null ] } "#, r#"{"a":[1.0,true,null],"b":1,}"#),
            (r#"{"a":{},"b":[]}"#, r#"{"a":{},"b":[],}"#),
            (r#"{"a":"\u00e9\n\"","b":"\ud800"}"#, "{\"a\":\"é\\n\\\"\",\"b\":\"\\ud800\",}"),
            // Order is kept where a model writes in it, and sorted again below.
            (
                r#"{"properties":{"z":{"type":1,"a":2},"b":1},"a":{"z":1,"b":2}}"#,
                r#"{"a":{"b":2,"z":1,},"properties":{"z":{"a":2,"type":1,},"b":1,},}"#,
            ),
            (r#"{"a":2,"a":1}"#, r#"{"a":2,"a":1,}"#),
            ("1e400", "1e400"),
        ] {
            let found = canonical(json.as_bytes()).expect(json);
            assert_eq!(String::from_utf8(found).expect("UTF-8"), expected, "{json}");
        }
        for wrong in ["", "{", "[1", "{\"a\"}", "{\"a\":}", "[1 2]", "\"a", "\"\\", "{1:2}", "1 2"]
        {
            assert_eq!(canonical(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(canonical("[".repeat(500).as_bytes()), None);
    }

    #[test]
    fn every_part_of_a_question_counts() {
        let body = r#"{"a":1}"#;
        let org = OrgId::new("acme").expect("name");
        let one = Question {
            org: &org,
            policy_version: "v",
            endpoint: ("/v1/x", "/x"),
            body: body.as_bytes(),
            drops_usage: false,
        };
        let other = OrgId::new("acmev").expect("name");
        let plain = |question: Question<'_>| question.key(std::iter::empty());
        let keys = [
            plain(one),
            plain(Question { org: &other, policy_version: "", ..one }),
            plain(Question { policy_version: "w", ..one }),
            plain(Question { endpoint: ("/v1/y", "/x"), ..one }),
            plain(Question { endpoint: ("/v1/x", "/x?a=1"), ..one }),
            plain(Question { drops_usage: true, ..one }),
            plain(Question { body: b"{\"a\":2}", ..one }),
            plain(Question { body: b"{\"a\":1.0}", ..one }),
            one.key([(&b"anthropic-beta"[..], &b"x"[..])].into_iter()),
        ];
        for (i, key) in keys.iter().enumerate() {
            assert!(key.is_some() && !keys[..i].contains(key), "{i}");
        }
        assert_eq!(key("a", "{\"x\":1,\"y\":2}"), key("a", "{ \"y\":2, \"x\":1 }"));
        assert_ne!(key("a", body), key("b", body));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            any::<i64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
            any::<bool>().prop_map(Into::into)
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::hash_map(".{0,4}", inner, 0..6)
                    .prop_map(|map| map.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        /// However it is written, and nothing else has its form.
        #[test]
        fn the_form_follows_from_the_value(a in any_json(), b in any_json()) {
            let compact = canonical(a.to_string().as_bytes());
            let pretty = serde_json::to_vec_pretty(&a).expect("JSON");
            prop_assert!(compact.is_some());
            prop_assert_eq!(&compact, &canonical(&pretty));
            prop_assert_eq!(a == b, compact == canonical(b.to_string().as_bytes()));
        }
    }
}
