//! The types of configuration values: how a value is read, shown, and described.
//!
//! A [`Shape`] is a type of value. A [`Section`] is a mapping with a fixed set of keys, declared
//! with `section!`. Reading does not stop at the first problem: a key whose value cannot be read
//! takes its default, so that every problem of every file is found in one run. A configuration with
//! problems is never used.

mod composites;
mod plain;
mod range;
mod scalars;
mod section;
mod words;

use serde_json::Value as Json;

pub use composites::{Cap, Hidden, Named, ORGS, PerOrg};
#[cfg(test)]
pub use plain::options;
pub use plain::{ByOrg, Plain};
pub use range::{Limits, refusal};
pub use scalars::{Size, Usd, Written, masked, of_file, scalar, secret_schema, shown, written};
pub(crate) use section::section;
pub use section::{Entries, KeyInfo, SectionInfo, default_json, doc, key_name, section_schema};
pub use words::word;
pub(crate) use words::words;

use super::node::Node;
use super::place::{Place, Problems};

/// A type of configuration value.
pub trait Shape: Clone {
    /// Reads a value. If that is impossible, returns `None` and adds the reason to `problems`.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;
    /// The value as operators may see it: secrets are masked.
    fn json(&self) -> Json;
    /// The JSON Schema of the type.
    fn schema() -> Json;
    /// The type, for the documentation.
    fn kind() -> Kind;
}

/// A mapping with a fixed set of keys.
pub trait Section: Shape {
    /// Its keys.
    const KEYS: &'static [&'static str];
    /// Reads it. Keys that are missing are taken from `base`, else from their defaults. `also` are
    /// further keys that the caller reads.
    fn read_over(
        node: &Node,
        base: Option<&Self>,
        also: &[&str],
        problems: &mut Problems,
    ) -> Option<Self>;
    /// Its declaration.
    fn info() -> SectionInfo;
}

/// A value and its place.
#[derive(Clone, Debug)]
pub struct At<T> {
    pub value: T,
    pub at: Place,
    /// Whether a file gives the value. If not, it is the default, and the place is the section's.
    pub given: bool,
}

impl<T> std::ops::Deref for At<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

/// A type of value, for the documentation and the shipped files.
#[derive(Debug)]
pub enum Kind {
    /// A scalar, by the name of its type.
    Scalar(&'static str),
    /// One of these words.
    Words(Vec<&'static str>),
    Section(SectionInfo),
    /// A section, and the same keys below `orgs.NAME`.
    PerOrg(SectionInfo),
    List(Box<Kind>),
    /// Names of the operator's own, each with such a value.
    Named(Box<Kind>),
    /// Such a value, or this word.
    Or(&'static str, Box<Kind>),
}

impl Kind {
    /// The type in words: `list of text`.
    pub fn words(&self) -> String {
        match self {
            Kind::Scalar(name) => (*name).to_owned(),
            Kind::Words(words) => words.join(", "),
            Kind::Section(_) | Kind::PerOrg(_) => "mapping".to_owned(),
            Kind::List(entry) => format!("list of {}", entry.plural()),
            Kind::Named(value) => format!("mapping of names to {}", value.plural()),
            Kind::Or(word, value) => format!("{} or `{word}`", value.words()),
        }
    }

    fn plural(&self) -> String {
        match self {
            Kind::Scalar("text") => "text".to_owned(),
            Kind::Scalar("amount of USD") => "amounts of USD".to_owned(),
            Kind::Words(words) => format!("words ({})", words.join(", ")),
            Kind::List(_) => "lists".to_owned(),
            Kind::Or(word, value) => format!("{} or `{word}`", value.plural()),
            _ => format!("{}s", self.words()),
        }
    }

    /// The section whose keys such a value has, in a list or behind a name, too.
    pub fn section(&self) -> Option<&SectionInfo> {
        match self {
            Kind::Section(info) | Kind::PerOrg(info) => Some(info),
            Kind::List(inner) | Kind::Named(inner) | Kind::Or(_, inner) => inner.section(),
            Kind::Scalar(_) | Kind::Words(_) => None,
        }
    }
}
