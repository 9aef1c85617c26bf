//! An answer about an object that the provider stores, such as `GET /v1/responses/{id}`.
//!
//! Its usage is that of the call that made the object and was counted then, so none is read.

use super::{Spec, other};

pub(crate) const SPEC: Spec = Spec { name: "stored_object", usage: None, ..other::SPEC };
