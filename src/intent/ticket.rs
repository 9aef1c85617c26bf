//! A ticket, and what it is about: the values of the ticket endpoint. Data only.

use serde_json::{Number, Value};

use crate::ids::OrgId;

/// The caller's own id of a ticket: a text or a whole number. Its answer repeats it; it is sent to
/// no provider and is not logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TicketId(Value);

impl TicketId {
    /// A text, as it was sent.
    pub fn of_text(text: String) -> TicketId {
        TicketId(Value::String(text))
    }

    /// A number as it stands in JSON; `None` if it is not whole, or too large. `7.0` is whole.
    pub fn of_number(text: &str) -> Option<TicketId> {
        let number: Number = text.parse().ok()?;
        // An integer beyond 64 bits is read as the number next to it.
        let fits_64 = |n: f64| n > i64::MIN as f64 && n < u64::MAX as f64;
        let is_whole = |n: f64| n.fract() == 0.0 && fits_64(n);
        let fits = !number.is_f64() || number.as_f64().is_some_and(is_whole);
        fits.then_some(TicketId(Value::Number(number)))
    }

    /// As it was sent.
    pub fn to_json(&self) -> Value {
        self.0.clone()
    }
}

/// A ticket as sent by the help desk, and whose it is. Other fields are never read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentRequest {
    pub title: String,
    pub body: String,
    pub org_id: OrgId,
}

/// The subject of a ticket.
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
