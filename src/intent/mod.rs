//! The ticket endpoint: the question to the provider, the reading of its answer, and the results that are kept.
//!
//! Its walk is in `pipeline/intent`. `reader`, `prompt` and `parse` are pure; `provider` is the interface that puts them
//! together; `flights` has the work in progress and `results` the answers that are fetched later.

pub mod flights;
pub mod parse;
pub mod prompt;
pub mod provider;
pub mod reader;
pub mod results;
pub mod ticket;
