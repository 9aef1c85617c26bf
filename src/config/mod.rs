//! Level 2 of the map: what operators write in YAML, checked.

pub mod policy;
