//! The configuration reader: YAML text to typed values, with every problem placed.
//!
//! A library that knows no key of Tollgate. `yaml` parses a file into a tree of `node`s, `env`
//! resolves references to the environment, `values` parses values with a unit, `place` collects
//! problems, and `shape` turns nodes into typed values, their JSON Schema and their documentation.
//! The keys themselves are declared in [`sections`](super::sections).
//!
//! Guarantees: every problem of every file is reported in one run; a value from the environment
//! cannot become YAML structure and is never quoted. Does not open files.

pub(crate) mod env;
pub(crate) mod node;
pub(crate) mod place;
pub(crate) mod shape;
pub(crate) mod values;
pub(crate) mod yaml;
