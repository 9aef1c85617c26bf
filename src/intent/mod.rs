//! The ticket endpoint's own knowledge: who is asked and how, what the answer says, and what of it is kept.
//!
//! Its walk is in `pipeline/intent`. `reader`, `prompt`, `dialect` and `parse` are pure; `provider` is the interface that puts them
//! together; `flights` and `results` keep what is at work and what came late.

pub mod dialect;
pub mod flights;
pub mod parse;
pub mod prompt;
pub mod provider;
pub mod reader;
pub mod results;
pub mod ticket;
