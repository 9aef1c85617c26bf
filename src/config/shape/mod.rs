//! What a key may hold: how it is read, shown, and described to editors. One truth for all three.
//!
//! A [`Shape`] is a kind of value; a section is a mapping with a fixed set of keys, declared with `section!` in `raw`.
//! Reading never stops at the first problem: a key whose value cannot be read takes its default and the walk goes on, so
//! that every problem of every file is found in one run. A reading with problems is never used.

mod kinds;

use serde_json::{Value as Json, json};

pub(super) use kinds::{Cap, Hidden, Named, PerOrg, Size, Usd, scalar, shown};

use super::place::{Place, Problems, suggest};
use super::yaml::{Name, Node, Value};

/// A kind of value.
pub(super) trait Shape: Clone {
    /// Reads a value; `None` where that cannot be done, with the reason in `problems`.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;
    /// The value for people: secrets masked.
    fn json(&self) -> Json;
    /// Its JSON Schema.
    fn schema() -> Json;
}

/// A mapping with a fixed set of keys.
pub(super) trait Section: Shape {
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// Reads it; keys that are not given are taken from `base`, else from their defaults. `also` are keys that are read
    /// elsewhere.
    fn read_over(node: &Node, base: Option<&Self>, also: &[&str], problems: &mut Problems) -> Option<Self>;
}

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Place,
    /// Whether it was given at all; if not, the value is the default and the place that of the section.
    pub(super) given: bool,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// The entries of a mapping, while a section is read.
pub(super) struct Entries<'a> {
    at: &'a Place,
    list: &'a [(Name, Node)],
    known: &'static [&'static str],
}

impl<'a> Entries<'a> {
    /// The entries of `node`; `None` (with a problem) if it is no mapping.
    pub(super) fn of(node: &'a Node, known: &'static [&'static str], problems: &mut Problems) -> Option<Entries<'a>> {
        let list: &[(Name, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Failed => return None,
            _ => {
                problems.add(&node.at, format!("a mapping is needed here, with keys of {}", known.join(", ")));
                return None;
            }
        };
        Some(Entries { at: &node.at, list, known })
    }

    /// One key: as given, else as in `base`, else its `default` (YAML text); `None` where it is needed and missing.
    pub(super) fn key<T: Shape>(
        &self,
        name: &'static str,
        base: Option<&At<T>>,
        default: Option<&'static str>,
        problems: &mut Problems,
    ) -> Option<At<T>> {
        let given = self.list.iter().find(|(key, _)| key.text == name);
        let value = match given.map(|(_, node)| node) {
            Some(Node { value: Value::Null, .. }) | None if base.is_none() && default.is_none() => {
                problems.add(given.map_or(self.at, |(key, _)| &key.at), format!("`{name}` is missing"));
                return None;
            }
            Some(Node { value: Value::Null | Value::Failed, .. }) | None => None,
            Some(node) => T::read(node, problems).map(|value| At { value, at: node.at.clone(), given: true }),
        };
        value.or_else(|| base.cloned()).or_else(|| match given {
            // A value that cannot be read has been reported; its default only lets the walk go on.
            Some((_, node)) if !matches!(node.value, Value::Null) => {
                built_in(default?, self.at.key(name), &mut problems.apart())
            }
            _ => built_in(default?, self.at.key(name), problems),
        })
    }

    /// Reports the keys that are not known.
    pub(super) fn finish(&self, also: &[&str], problems: &mut Problems) {
        for (key, _) in self.list {
            let known = || self.known.iter().copied().chain(also.iter().copied());
            if !known().any(|k| k == key.text) {
                problems.add(&key.at, format!("unknown key; {}", suggest(&key.text, known())));
            }
        }
    }
}

/// A default, read from YAML text as if it stood at `at`. Can fail only where it refers to the environment.
pub(super) fn built_in<T: Shape>(text: &str, at: Place, problems: &mut Problems) -> Option<At<T>> {
    let node = super::yaml::parse(text, None, problems)?;
    let value = T::read(&Node { at: at.clone(), ..node }, problems)?;
    Some(At { value, at, given: false })
}

/// A default as JSON, for editors; references to the environment stay as they are written.
pub(super) fn default_json(text: &str) -> Json {
    fn plain(node: &Node) -> Json {
        match &node.value {
            Value::Null | Value::Failed => Json::Null,
            Value::List(nodes) => nodes.iter().map(plain).collect(),
            Value::Map(entries) => entries.iter().map(|(k, v)| (k.text.clone(), plain(v))).collect(),
            Value::Scalar(scalar) => {
                let shown = scalar.reference.as_deref().unwrap_or(&scalar.text);
                match serde_json::from_str::<Json>(shown) {
                    Ok(value) if value.is_number() || value.is_boolean() => value,
                    _ => json!(shown),
                }
            }
        }
    }
    let mut problems = Problems::default();
    problems.env = |_| Some(String::new());
    super::yaml::parse(text, None, &mut problems).map_or(Json::Null, |node| plain(&node))
}

/// Declares a section: its keys, what they hold, their defaults (as YAML), and what they mean.
macro_rules! section {
    ($(#[doc = $about:literal])* $name:ident { $( $(#[doc = $doc:literal])* $key:ident : $ty:ty $(= $default:literal)? ; )* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub(super) struct $name { $( $(#[doc = $doc])* pub(super) $key: At<$ty>, )* }

        impl Section for $name {
            const KEYS: &'static [&'static str] = &[ $( key_name(stringify!($key)) ),* ];

            fn read_over(node: &Node, base: Option<&Self>, also: &[&str], problems: &mut Problems) -> Option<Self> {
                let entries = Entries::of(node, Self::KEYS, problems)?;
                $( let $key = entries.key::<$ty>(
                    key_name(stringify!($key)),
                    base.map(|b| &b.$key),
                    None::<&'static str>$(.or(Some($default)))?,
                    problems,
                ); )*
                entries.finish(also, problems);
                Some($name { $( $key: $key?, )* })
            }
        }

        impl Shape for $name {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                Self::read_over(node, None, &[], problems)
            }

            fn json(&self) -> serde_json::Value {
                let mut map = serde_json::Map::new();
                $( map.insert(key_name(stringify!($key)).to_owned(), self.$key.value.json()); )*
                serde_json::Value::Object(map)
            }

            fn schema() -> serde_json::Value {
                let mut section = SectionSchema::new(concat!($($about, "\n"),*));
                $( section.key(
                    key_name(stringify!($key)),
                    <$ty as Shape>::schema(),
                    concat!($($doc, "\n"),*),
                    None::<&'static str>$(.or(Some($default)))?,
                ); )*
                section.finish()
            }
        }
    };
}

/// Declares the words of an enumeration, or takes them from a list of values that have a `name`.
macro_rules! words {
    ($ty:ty = $all:path) => {
        impl Shape for $ty {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                word(node, $all.iter().map(|value| (value.name(), *value)), problems)
            }
            fn json(&self) -> serde_json::Value {
                serde_json::json!(self.name())
            }
            fn schema() -> serde_json::Value {
                let words: Vec<&str> = $all.iter().map(|value| value.name()).collect();
                serde_json::json!({"enum": words})
            }
        }
    };
    ($ty:ty { $($word:literal => $value:path),* $(,)? }) => {
        impl Shape for $ty {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                word(node, [$(($word, $value)),*].into_iter(), problems)
            }
            fn json(&self) -> serde_json::Value {
                $( if matches!(self, $value) { return serde_json::json!($word); } )*
                serde_json::Value::Null
            }
            fn schema() -> serde_json::Value {
                serde_json::json!({"enum": [$($word),*]})
            }
        }
    };
}
pub(super) use {section, words};

/// The value whose word stands in `node`; a problem with a suggestion if there is none.
pub(super) fn word<T>(
    node: &Node,
    known: impl Iterator<Item = (&'static str, T)> + Clone,
    problems: &mut Problems,
) -> Option<T> {
    let scalar = scalar(node, "a word", problems)?;
    if let Some((_, value)) = known.clone().find(|(word, _)| *word == scalar.text) {
        return Some(value);
    }
    let hint = suggest(&scalar.text, known.map(|(word, _)| word));
    problems.add(&node.at, format!("{} is not known here; {hint}", shown(scalar)));
    None
}

/// `r#match` is the key `match`.
pub(super) const fn key_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// The schema of a section while it is put together.
pub(super) struct SectionSchema {
    about: &'static str,
    properties: serde_json::Map<String, Json>,
    required: Vec<&'static str>,
}

impl SectionSchema {
    /// `about`: what the section is for.
    pub(super) fn new(about: &'static str) -> SectionSchema {
        SectionSchema { about, properties: serde_json::Map::new(), required: Vec::new() }
    }

    /// Adds a key.
    pub(super) fn key(&mut self, name: &'static str, mut schema: Json, about: &str, default: Option<&'static str>) {
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), json!(about.trim().replace("\n ", "\n")));
            match default {
                Some(text) => drop(object.insert("default".to_owned(), default_json(text))),
                None => self.required.push(name),
            }
        }
        self.properties.insert(name.to_owned(), schema);
    }

    /// The schema.
    pub(super) fn finish(self) -> Json {
        json!({
            "type": "object",
            "description": self.about.trim().replace("\n ", "\n"),
            "properties": self.properties,
            "required": self.required,
            "additionalProperties": false,
        })
    }
}
