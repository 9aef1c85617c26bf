//! JSON that means one thing: like `serde_json::Value`, but a name that is given twice in one
//! object is an error.
//!
//! Pure. Two readers of `{"org": "a", "org": "b"}` may see different organisations (RFC 8725 §2.4);
//! here it is no token.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Values of one token's part or key set. With more it is no token and no key set.
const VALUES_MAX: u32 = 4_096;

/// Parses one JSON object and nothing after it. Nesting is bounded by serde_json (128), the number
/// of values by [`VALUES_MAX`]: unused members are kept, too, and a value takes many times the
/// bytes of its text.
pub fn object(text: &[u8]) -> Option<Map<String, Value>> {
    let left = Cell::new(VALUES_MAX);
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = Strict { left: &left }.deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    match value {
        Value::Object(map) => Some(map),
        _ => None,
    }
}

/// Reads a value. `left`: how many more there may be.
#[derive(Clone, Copy)]
struct Strict<'l> {
    left: &'l Cell<u32>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let left =
            self.left.get().checked_sub(1).ok_or_else(|| D::Error::custom("too many values"))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated names")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self)?;
            if map.insert(name, value).is_some() {
                return Err(A::Error::custom("repeated name"));
            }
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_refused_at_every_depth() {
        assert!(
            object(br#"{"a": [1, {"b": null}], "c": "x", "d": 1.5, "e": -1, "f": true}"#).is_some()
        );
        for bad in [
            r#"{"a":1,"a":1}"#,
            r#"{"x":{"a":1,"b":2,"a":3}}"#,
            r#"[{"a":1}]"#,
            r#"{"x":[{"a":1,"\u0061":2}]}"#,
        ] {
            assert!(object(bad.as_bytes()).is_none(), "{bad}");
        }
        let many = |n: usize| format!("{{\"a\":[{}]}}", vec!["0"; n].join(","));
        assert!(
            object(many(4_000).as_bytes()).is_some() && object(many(4_096).as_bytes()).is_none()
        );
        for bad in [
            "",
            "1",
            "{} {}",
            "{",
            "nul",
            &format!("{{\"a\":{}1{}}}", "[".repeat(5_000), "]".repeat(5_000)),
        ] {
            assert!(object(bad.as_bytes()).is_none(), "{bad:.20}");
        }
    }
}
