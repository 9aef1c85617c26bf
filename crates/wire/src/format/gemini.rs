//! Gemini's `generateContent`: a provider's format only; no application calls the gateway in it.
//!
//! Usage is in `usageMetadata`. A stream has unnamed events and ends after the one with a
//! `finishReason`.
//!
//! # Source
//! Gemini API reference, read November 2026.

use super::{Spec, other};

pub(crate) const SPEC: Spec = Spec { name: "gemini", is_generated: true, ..other::SPEC };
