//! A ticket, and what it is about: the two values of the ticket endpoint. Data only.

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
