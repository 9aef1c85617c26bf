//! `section!`: the one declaration of each key of the configuration.
//!
//! A line is a key: its name, the type of its value, its default (as YAML), the range
//! of allowed values, an example, and its description. Reading, defaults, range checks, the JSON
//! Schema, the shipped files, the documentation and the field of the checked struct all come from
//! that line.

use serde_json::{Value as Json, json};

use super::super::node::{Name, Node, Value};
use super::super::place::{Place, Problems, suggest};
use super::{At, Kind, Limits, Shape};

/// The declaration of a section.
#[derive(Debug)]
pub struct SectionInfo {
    /// One or more sentences.
    pub about: String,
    pub keys: Vec<KeyInfo>,
}

/// The declaration of a key.
#[derive(Debug)]
pub struct KeyInfo {
    pub name: &'static str,
    /// One or more sentences.
    pub about: String,
    pub kind: Kind,
    /// YAML; `None` for a key that has to be given.
    pub default: Option<&'static str>,
    pub limits: Option<Limits>,
    /// YAML: a value, or an entry of the list or mapping.
    pub example: Option<&'static str>,
}

/// The entries of a mapping, while a section is read.
pub struct Entries<'a> {
    at: &'a Place,
    list: &'a [(Name, Node)],
    known: &'static [&'static str],
}

impl<'a> Entries<'a> {
    /// The entries of `node`; `None`, and a problem, if it is not a mapping.
    pub fn of(
        node: &'a Node,
        known: &'static [&'static str],
        problems: &mut Problems,
    ) -> Option<Entries<'a>> {
        let list: &[(Name, Node)] = match &node.value {
            Value::Map(entries) => entries,
            Value::Null => &[],
            Value::Failed => return None,
            _ => {
                problems.add(
                    &node.at,
                    format!("not a mapping; write `key: value`, with keys of {}", known.join(", ")),
                );
                return None;
            }
        };
        Some(Entries { at: &node.at, list, known })
    }

    /// One key: as given, else as in `base`, else its `default` (YAML text). `None` if it has no
    /// default and is missing. `refusal` gives the reason why a value is not allowed.
    pub fn key<T: Shape>(
        &self,
        name: &'static str,
        base: Option<&At<T>>,
        default: Option<&'static str>,
        refusal: fn(&T) -> Option<String>,
        problems: &mut Problems,
    ) -> Option<At<T>> {
        let given = self.list.iter().find(|(key, _)| key.text == name);
        let value = match given.map(|(_, node)| node) {
            Some(Node { value: Value::Null, .. }) | None if base.is_none() && default.is_none() => {
                let at = given.map_or(self.at, |(key, _)| &key.at);
                problems.add(at, format!("`{name}` is missing; give it a value"));
                return None;
            }
            Some(Node { value: Value::Null | Value::Failed, .. }) | None => None,
            Some(node) => T::read(node, problems)
                .filter(|value| match refusal(value) {
                    Some(reason) => {
                        problems.add(&node.at, reason);
                        false
                    }
                    None => true,
                })
                .map(|value| At { value, at: node.at.clone(), given: true }),
        };
        value.or_else(|| base.cloned()).or_else(|| match given {
            // A wrong value has been reported; its default only lets the reading continue.
            Some((_, node)) if !matches!(node.value, Value::Null) => {
                built_in(default?, self.at.key(name), &mut problems.apart())
            }
            _ => built_in(default?, self.at.key(name), problems),
        })
    }

    /// Reports unknown keys.
    pub fn finish(&self, also: &[&str], problems: &mut Problems) {
        for (key, _) in self.list {
            let known = || self.known.iter().copied().chain(also.iter().copied());
            if !known().any(|k| k == key.text) {
                problems.add(&key.at, format!("unknown key; {}", suggest(&key.text, known())));
            }
        }
    }
}

/// A default, read from YAML text as if it stood at `at`. Fails only if it refers to the
/// environment.
pub fn built_in<T: Shape>(text: &str, at: Place, problems: &mut Problems) -> Option<At<T>> {
    let node = super::super::yaml::parse(text, None, problems)?;
    let value = T::read(&Node { at: at.clone(), ..node }, problems)?;
    Some(At { value, at, given: false })
}

/// A default as JSON. References to the environment stay as they are written.
pub fn default_json(text: &str) -> Json {
    fn plain(node: &Node) -> Json {
        match &node.value {
            Value::Null | Value::Failed => Json::Null,
            Value::List(nodes) => nodes.iter().map(plain).collect(),
            Value::Map(entries) => {
                entries.iter().map(|(k, v)| (k.text.clone(), plain(v))).collect()
            }
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
    super::super::yaml::parse(text, None, &mut problems).map_or(Json::Null, |node| plain(&node))
}

/// Declares a section:
///
/// ```text
/// section! {
///     /// Description of the section.
///     RawRetry => RetryOptions {
///         /// Description of the key.
///         max_retries: u32 = "2" in 0..=10;
///         /// A key without a default has to be given.
///         name: String;
///         /// A list with an example of an entry.
///         keys: Vec<At<RawKey>> = "[]", eg "{name: ci}";
///         /// A value that `check` turns into something else.
///         url: String => check = "''";
///     }
/// }
/// ```
///
/// This makes the struct `RawRetry`, whose fields know their places. The checked struct has a field
/// for each key but those with `=> check`:
///
/// - `=> struct Timeouts: Clone, Copy` declares it, and `RawTimeouts::plain` makes it;
/// - `=> RetryOptions` is one with the same fields that is declared elsewhere; with
///   `=> RetryOptions, ..default` it may have further fields, which get their defaults;
/// - `=> over Timeouts` is one that is declared elsewhere and has all values already; the optional
///   keys that are given replace theirs (`RawTargetTimeouts::over`).
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident => struct $plain:ident: $($derive:ident),+ { $($keys:tt)* }
    ) => {
        section! { @used (struct [$($about),*] $plain [$($derive),+]) [] { $($keys)* } }
        section! { @used (plain $name $plain []) [] { $($keys)* } }
        section! { @raw $(#[doc = $about])* $name { $($keys)* } }
    };
    (
        $(#[doc = $about:literal])*
        $name:ident => over $plain:ident { $($keys:tt)* }
    ) => {
        section! { @used (over $name $plain) [] { $($keys)* } }
        section! { @raw $(#[doc = $about])* $name { $($keys)* } }
    };
    (
        $(#[doc = $about:literal])*
        $name:ident => $plain:ident, ..default { $($keys:tt)* }
    ) => {
        section! { @used (plain $name $plain [..$plain::default()]) [] { $($keys)* } }
        section! { @raw $(#[doc = $about])* $name { $($keys)* } }
    };
    (
        $(#[doc = $about:literal])*
        $name:ident => $plain:ident { $($keys:tt)* }
    ) => {
        section! { @used (plain $name $plain []) [] { $($keys)* } }
        section! { @raw $(#[doc = $about])* $name { $($keys)* } }
    };
    ($(#[doc = $about:literal])* $name:ident { $($keys:tt)* }) => {
        section! { @raw $(#[doc = $about])* $name { $($keys)* } }
    };

    // The keys without `=> check`, one by one, into the list in brackets.
    (@used $for:tt [$($used:tt)*] {
        $(#[doc = $doc:literal])* $key:ident : $ty:ty => check
        $(= $default:literal $(in $range:expr)? $(, eg $example:literal)?)? ; $($rest:tt)*
    }) => {
        section! { @used $for [$($used)*] { $($rest)* } }
    };
    (@used $for:tt [$($used:tt)*] {
        $(#[doc = $doc:literal])* $key:ident : $ty:ty
        $(= $default:literal $(in $range:expr)? $(, eg $example:literal)?)? ; $($rest:tt)*
    }) => {
        section! { @used $for [$($used)* ($($doc)* | $key $ty)] { $($rest)* } }
    };
    (@used (struct [$($about:literal),*] $plain:ident [$($derive:ident),+])
        [$(($($doc:literal)* | $key:ident $ty:ty))*] {}
    ) => {
        $(#[doc = $about])*
        #[derive(Debug, $($derive),+)]
        pub struct $plain {
            $( $(#[doc = $doc])* pub $key: <$ty as $crate::config::reader::shape::Plain>::Plain, )*
        }
    };
    (@used (plain $name:ident $plain:ident [$($others:tt)*])
        [$(($($doc:literal)* | $key:ident $ty:ty))*] {}
    ) => {
        impl $crate::config::reader::shape::Plain for $name {
            type Plain = $plain;
            fn plain(&self) -> $plain {
                $plain {
                    $( $key: $crate::config::reader::shape::Plain::plain(&self.$key.value), )*
                    $($others)*
                }
            }
        }
    };
    (@used (over $name:ident $plain:ident) [$(($($doc:literal)* | $key:ident $ty:ty))*] {}) => {
        impl $name {
            /// `base`, with the values that are given here.
            pub(crate) fn over(&self, mut base: $plain) -> $plain {
                $( if let Some(given) = &self.$key.value {
                    base.$key = $crate::config::reader::shape::Plain::plain(given);
                } )*
                base
            }
        }
    };

    (@refusal $ty:ty) => { |_: &$ty| None };
    (@refusal $ty:ty, $range:expr) => {
        |value: &$ty| $crate::config::reader::shape::refusal(value, &($range))
    };
    (@limits $ty:ty) => { None };
    (@limits $ty:ty, $range:expr) => {
        Some($crate::config::reader::shape::Limits::of::<$ty>(&($range)))
    };
    (@raw $(#[doc = $about:literal])* $name:ident { $(
        $(#[doc = $doc:literal])* $key:ident : $ty:ty $(=> $check:ident)?
        $(= $default:literal $(in $range:expr)? $(, eg $example:literal)?)? ;
    )* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name { $( $(#[doc = $doc])* pub(crate) $key: At<$ty>, )* }

        impl $crate::config::reader::shape::Section for $name {
            const KEYS: &'static [&'static str] =
                &[ $( $crate::config::reader::shape::key_name(stringify!($key)) ),* ];

            fn read_over(
                node: &Node,
                base: Option<&Self>,
                also: &[&str],
                problems: &mut Problems,
            ) -> Option<Self> {
                let entries =
                    $crate::config::reader::shape::Entries::of(node, Self::KEYS, problems)?;
                $( let $key = entries.key::<$ty>(
                    $crate::config::reader::shape::key_name(stringify!($key)),
                    base.map(|b| &b.$key),
                    None::<&'static str>$(.or(Some($default)))?,
                    section!(@refusal $ty $($(, $range)?)?),
                    problems,
                ); )*
                entries.finish(also, problems);
                Some($name { $( $key: $key?, )* })
            }

            fn info() -> $crate::config::reader::shape::SectionInfo {
                $crate::config::reader::shape::SectionInfo {
                    about: $crate::config::reader::shape::doc(concat!($($about, "\n"),*)),
                    keys: vec![ $( $crate::config::reader::shape::KeyInfo {
                        name: $crate::config::reader::shape::key_name(stringify!($key)),
                        about: $crate::config::reader::shape::doc(concat!($($doc, "\n"),*)),
                        kind: <$ty as Shape>::kind(),
                        default: None::<&'static str>$(.or(Some($default)))?,
                        limits: section!(@limits $ty $($(, $range)?)?),
                        example: None::<&'static str>$($(.or(Some($example)))?)?,
                    }, )* ],
                }
            }
        }

        impl Shape for $name {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                $crate::config::reader::shape::Section::read_over(node, None, &[], problems)
            }

            fn json(&self) -> serde_json::Value {
                let mut map = serde_json::Map::new();
                $( map.insert(
                    $crate::config::reader::shape::key_name(stringify!($key)).to_owned(),
                    self.$key.value.json(),
                ); )*
                serde_json::Value::Object(map)
            }

            fn schema() -> serde_json::Value {
                let info = <Self as $crate::config::reader::shape::Section>::info();
                $crate::config::reader::shape::section_schema(info, vec![$( <$ty as Shape>::schema() ),*])
            }

            fn kind() -> $crate::config::reader::shape::Kind {
                $crate::config::reader::shape::Kind::Section(
                    <Self as $crate::config::reader::shape::Section>::info(),
                )
            }
        }
    };
}

pub(crate) use section;

/// `r#match` is the key `match`.
pub const fn key_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

/// A description without the line breaks and the margin of doc comments.
pub fn doc(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schema of a section; `schemas` are those of its keys, in their order.
pub fn section_schema(info: SectionInfo, schemas: Vec<Json>) -> Json {
    let mut properties = serde_json::Map::new();
    let mut required = Vec::new();
    for (key, mut schema) in info.keys.into_iter().zip(schemas) {
        if let Some(limits) = &key.limits {
            limits.limit(&mut schema);
        }
        if let Some(object) = schema.as_object_mut() {
            object.insert("description".to_owned(), json!(key.text()));
            match key.default {
                Some(text) => {
                    object.insert("default".to_owned(), default_json(text));
                }
                None => required.push(key.name),
            }
        }
        properties.insert(key.name.to_owned(), schema);
    }
    json!({
        "type": "object",
        "description": info.about,
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

impl KeyInfo {
    /// The description, with the range.
    pub fn text(&self) -> String {
        match &self.limits {
            Some(limits) => format!("{} Range: {}.", self.about, limits.text),
            None => self.about.clone(),
        }
    }
}
