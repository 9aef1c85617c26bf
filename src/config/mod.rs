//! Level 2 of the map: what operators write in YAML, read and checked.
//!
//! `yaml` makes a tree in which every value knows its place, `raw` declares every key with its default and meaning
//! (through `shape`), `check` turns that into the types of `policy`, `load` finds and joins the files, `schema` describes
//! the keys to editors, `warn` says what an operator should know of it, `watch` (the one part with a thread) keeps the policy in force up to date.
//!
//! Promises: every problem of every file in one run, each as `file:line:column: key: reason and remedy`; nothing is taken
//! from a configuration that has one; a value from the environment can never become structure and is never quoted.

pub mod policy;

mod check;
mod env;
mod load;
mod place;
mod raw;
mod schema;
mod shape;
mod values;
mod warn;
pub(crate) mod watch;
mod yaml;

#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use load::Source;
pub(crate) use load::{Loaded, OtherFile, load, load_to_read};
pub(crate) use place::suggest;
pub(crate) use schema::json_schema;
pub(crate) use values::duration;
pub(crate) use warn::warnings;
