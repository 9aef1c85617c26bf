//! The result of a ticket for its caller and for its row.
//!
//! Guarantees: a classification is in the row before its caller can have it. Does not make a
//! response.

use serde_json::{Map, Value};

use super::flights::Classification;
use super::ticket::{IntentResponse, TicketId};
use crate::ailog::row::Outcome;
use crate::pipeline::record::Record;

/// The reply to the caller of a ticket.
pub enum Reply {
    /// The classification.
    Done(Classification),
    /// The id under which the result can be fetched.
    Pending(String),
}

/// The answer to a ticket: its own id, if it has one, and the classification.
pub fn body_of(intent: &IntentResponse, id: Option<&TicketId>) -> Map<String, Value> {
    let mut body = Map::new();
    if let Some(id) = id {
        body.insert("id".to_owned(), id.to_json());
    }
    if let Ok(Value::Object(mut intent)) = serde_json::to_value(intent) {
        body.append(&mut intent);
    }
    body
}

/// Writes a classification into the row and closes it; returns the body of the answer.
pub fn close(
    record: &mut Record,
    classification: &Classification,
    id: Option<&TicketId>,
) -> Vec<u8> {
    let body = serde_json::to_vec(&body_of(&classification.intent, id)).unwrap_or_default();
    let row = record.row();
    row.response_bytes = body.len() as u64;
    // The record knows no provider if the work was done under another record.
    if row.provider.is_empty() {
        row.provider = classification.provider.clone();
        row.response_model.clone_from(&classification.response_model);
    }
    let IntentResponse { category, priority, confidence, .. } = &classification.intent;
    row.category.clone_from(category);
    row.priority.clone_from(priority);
    row.confidence = Some(*confidence);
    record.close(200, Outcome::Ok, None);
    body
}
