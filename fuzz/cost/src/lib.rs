//! The redactor, without the gateway around it: it needs nothing but the two leaves.

#[path = "../../../src/bounds.rs"]
pub mod bounds;
#[path = "../../../src/lock.rs"]
pub mod lock;
#[path = "../../../src/redact/mod.rs"]
pub mod redact;
