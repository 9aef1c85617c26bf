//! `words!`: values that are one of a few words.

use super::super::node::Node;
use super::super::place::{Problems, suggest};
use super::{scalar, shown};

/// Declares an enumeration and its words; or the words of one that is declared elsewhere: one by
/// one, from a list of values that have a `name`, or from names that the type parses.
macro_rules! words {
    ($(#[doc = $about:literal])* $ty:ident { $( $(#[doc = $doc:literal])* $word:literal => $value:ident, )* }) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $ty { $( $(#[doc = $doc])* $value, )* }
        impl $ty {
            /// The values with their words.
            pub const WORDS: &'static [(&'static str, $ty)] = &[$(($word, $ty::$value)),*];
        }
        words!(
            @shape $ty,
            |value: &$ty| $ty::WORDS.iter().find(|(_, v)| v == value).map(|(word, _)| *word),
            $ty::WORDS.iter().copied()
        );
    };
    ($ty:ty: $($word:literal => $value:path),*) => {
        // A value without a word cannot be configured.
        words!(
            @shape $ty,
            |value: &$ty| -> Option<&'static str> {
                $( if matches!(value, $value) { return Some($word); } )*
                None
            },
            [$(($word, $value)),*]
        );
    };
    ($ty:ty = $all:path) => {
        words!(@shape $ty, |value: &$ty| value.name(), $all.iter().map(|value| (value.name(), *value)));
    };
    ($ty:ty => $names:path) => {
        words!(
            @shape $ty,
            |value: &$ty| format!("{value:?}"),
            $names.iter().filter_map(|name| Some((*name, name.parse::<$ty>().ok()?)))
        );
    };
    (@shape $ty:ty, $name:expr, $all:expr) => {
        impl Shape for $ty {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                $crate::config::reader::shape::word(node, $all.into_iter(), problems)
            }
            fn json(&self) -> serde_json::Value {
                let name = $name;
                serde_json::json!(name(self))
            }
            fn schema() -> serde_json::Value {
                let words: Vec<&str> = $all.into_iter().map(|(word, _)| word).collect();
                serde_json::json!({"enum": words})
            }
            fn kind() -> $crate::config::reader::shape::Kind {
                $crate::config::reader::shape::Kind::Words($all.into_iter().map(|(word, _)| word).collect())
            }
        }
        impl $crate::config::reader::shape::Plain for $ty {
            type Plain = $ty;
            fn plain(&self) -> $ty {
                *self
            }
        }
    };
}
pub(crate) use words;

/// The value that the word in `node` names; a problem with a suggestion if it names none.
pub fn word<T>(
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
