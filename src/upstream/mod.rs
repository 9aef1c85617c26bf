//! Stage 7 of the walk: the redacted call goes to a provider.

pub mod breaker;
pub mod retry;
