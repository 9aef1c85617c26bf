//! The ticket endpoint's own knowledge: the prompt, the reading of the answer, and answers that came late.
//!
//! Its walk is in `pipeline/intent`. `prompt` and `parse` are pure; `background` keeps finished work for a while.

pub mod background;
pub mod parse;
pub mod prompt;

/// A ticket as sent by the help desk. Other fields are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub title: String,
    pub body: String,
}

/// What a ticket is about.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Intent {
    /// One of the configured categories.
    pub category: Option<String>,
    /// One of the configured priorities.
    pub priority: Option<String>,
    /// 0 to 1.
    pub confidence: f64,
}
