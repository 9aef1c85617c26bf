//! Values of JSON that may have any type: a value of an unexpected type is "unknown", never an
//! error.
//!
//! Providers send null, numbers as strings and objects in place of numbers. A derived reader would
//! fail on the whole answer then; these types skip the odd value and keep the rest. Lists keep at
//! most [`PARTS_MAX`] entries.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// The arms that all lenient visitors share: a value of another type is skipped.
macro_rules! forget {
    (scalars $value:expr, $($scalar:ident: $type:ty),*) => {
        $(fn $scalar<E>(self, _: $type) -> Result<Self::Value, E> { Ok($value) })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($value) }
    };
    (map $value:expr) => {
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
    ($value:expr, $($scalar:ident: $type:ty),*) => {
        forget!(scalars $value, $($scalar: $type),*);
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok($value)
        }
    };
}

/// Entries that are kept of a list: choices of an answer, tool calls of a choice.
pub(crate) const PARTS_MAX: usize = 128;

/// A count of tokens; unknown unless it is a whole number of 0 or more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count(pub(crate) Option<u64>);

impl Count {
    pub(crate) fn or_zero(self) -> u64 {
        self.0.unwrap_or(0)
    }
}

/// A string; borrowed if it holds no escape.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text<'a>(pub(crate) Option<Cow<'a, str>>);

/// An object of the form `T`. A malformed field *within* it still fails the parse, so its own
/// fields are lenient, too.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lenient<T>(pub(crate) Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Lenient(None)
    }
}

/// Folds the entries of a list, one after the other.
pub(crate) trait Take<'de>: Default {
    type Item: Deserialize<'de>;
    fn take(&mut self, item: Self::Item);
}

/// The result of folding a list; unknown if the value is not a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Each<S>(pub(crate) Option<S>);

impl<S> Default for Each<S> {
    fn default() -> Self {
        Each(None)
    }
}

impl<'de, S: Take<'de>> Visitor<'de> for Each<S> {
    type Value = Each<S>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Each<S>, A::Error> {
        let mut taken = S::default();
        while let Some(item) = list.next_element()? {
            taken.take(item);
        }
        Ok(Each(Some(taken)))
    }
    forget!(scalars Each(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    forget!(map Each(None));
}

impl<'de, S: Take<'de>> Deserialize<'de> for Each<S> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(Each(None))
    }
}

/// The first [`PARTS_MAX`] entries of a list; the others are skipped.
#[derive(Clone, Debug)]
pub(crate) struct Few<T>(pub(crate) Vec<T>);

struct FewVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for FewVisitor<T> {
    type Value = Few<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few<T>, A::Error> {
        let mut few = Vec::new();
        while few.len() < PARTS_MAX {
            let Some(item) = list.next_element()? else { return Ok(Few(few)) };
            few.push(item);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(few))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Few<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_seq(FewVisitor(std::marker::PhantomData))
    }
}

struct CountVisitor;
struct TextVisitor;
struct LenientVisitor<T>(std::marker::PhantomData<T>);

impl<'de> Visitor<'de> for CountVisitor {
    type Value = Count;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a count")
    }
    fn visit_u64<E>(self, v: u64) -> Result<Count, E> {
        Ok(Count(Some(v)))
    }
    forget!(Count(None), visit_bool: bool, visit_i64: i64, visit_f64: f64, visit_str: &str);
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Count, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Count(None))
    }
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text")
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Borrowed(v))))
    }
    fn visit_str<E>(self, v: &str) -> Result<Text<'de>, E> {
        Ok(Text(Some(Cow::Owned(v.to_owned()))))
    }
    forget!(Text(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for LenientVisitor<T> {
    type Value = Lenient<T>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Lenient<T>, A::Error> {
        T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(|v| Lenient(Some(v)))
    }
    forget!(Lenient(None), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(CountVisitor)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(TextVisitor)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(LenientVisitor(std::marker::PhantomData))
    }
}

/// A string, or the texts of a list of parts, joined; any other value is empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content(pub(crate) String);

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or parts")
    }
    fn visit_str<E>(self, v: &str) -> Result<Content, E> {
        Ok(Content(v.to_owned()))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content, A::Error> {
        #[derive(serde::Deserialize)]
        struct Part<'a> {
            #[serde(borrow, default)]
            text: Text<'a>,
        }
        let mut joined = String::new();
        while let Some(Lenient(part)) = parts.next_element::<Lenient<Part<'de>>>()? {
            joined.extend(part.and_then(|part| part.text.0));
        }
        Ok(Content(joined))
    }
    forget!(scalars Content::default(), visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    forget!(map Content::default());
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(ContentVisitor)
    }
}
