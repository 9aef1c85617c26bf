//! A ticket, and what it is about: the values of the ticket endpoint. Data only.

use crate::ids::OrgId;

/// A ticket as sent by the help desk, and whose it is. Other fields are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRequest {
    pub title: String,
    pub body: String,
    pub org_id: OrgId,
}

/// What a ticket is about.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct IntentResponse {
    /// One of the configured categories.
    pub category: Option<String>,
    /// One of the configured priorities.
    pub priority: Option<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Why, in the model's words. Only where the policy asks for it; else the answer has no such
    /// field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
