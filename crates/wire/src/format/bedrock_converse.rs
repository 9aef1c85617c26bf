//! Bedrock's `converse`: a provider's format only; no application calls the gateway in it.
//!
//! A stream has binary frames, which only the translation reads.
//!
//! # Source
//! botocore 1.44, `bedrock-runtime/2023-09-30`, read November 2026.

use super::{Spec, other};

pub(crate) const SPEC: Spec = Spec { name: "bedrock_converse", is_generated: true, ..other::SPEC };
