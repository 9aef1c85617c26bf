//! Level 2 of the map: the configuration, read and checked.
//!
//! `reader` is the library that reads YAML into typed values. `sections` declares every key with
//! its type, default, range and description; `schema` and `reference` turn the declarations into
//! the JSON Schema, the shipped files and the documentation. `check` makes the types of `policy`
//! from the sections, `effective` lists every value with its source and compares configurations,
//! `load` finds and joins the files, `uses` says which values a command needs, `warn` reports risky
//! settings and `doubts` pointless ones, `diagnosis` shows all of it, `shadow` reads the candidate
//! policy, and `watch` (the one part with a thread) reloads both.
//!
//! Guarantees: every problem of every file is reported in one run, as `file:line:column: key:
//! reason and remedy`; a configuration with a problem is refused as a whole; a value from the
//! environment cannot become YAML structure and is never quoted.

pub mod policy;

mod carriers;
mod check;
pub(crate) mod diagnosis;
mod doubts;
pub(crate) mod effective;
mod load;
mod reader;
mod reference;
mod schema;
pub(crate) mod sections;
pub(crate) mod shadow;
mod uses;
mod warn;
pub(crate) mod watch;
mod words;

#[cfg(test)]
mod tests;

pub(crate) use check::auth::{is_api_path, moment_ms};
pub(crate) use diagnosis::{Diagnosis, diagnoses, told};
pub(crate) use load::{Loaded, Origin, OtherFile, load, load_to_read, load_to_show, read_yaml};
#[cfg(test)]
pub(crate) use load::{Purpose, Source};
pub(crate) use reader::node::{Node, Value};
#[cfg(test)]
pub(crate) use reader::place::Problems;
pub(crate) use reader::place::suggest;
#[cfg(test)]
pub(crate) use reader::shape::options;
pub(crate) use reader::values::duration;
pub(crate) use reference::files;
pub(crate) use schema::json_schema;
pub(crate) use shadow::{Candidate, candidate, policy_in};
pub(crate) use uses::Uses;
pub(crate) use warn::{warnings, without_policy};
