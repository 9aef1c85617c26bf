//! How a failure is told inside a stream that has already begun, in the words of each wire format.
//!
//! Pure. SDKs take a stream that merely ends for a success, so a cut stream is always closed by one of these, and never
//! by `[DONE]`.
//!
//! # Source
//! openai-python and openai-node raise on `data.error` of a chat stream and yield `type: error` of a responses stream;
//! anthropic-python raises on `event: error`. Seen in their sources, August 2026.

use serde_json::json;

use super::Wire;
use crate::code::Code;

/// The error event, complete with its blank line. `sequence_number` counts the events of a responses stream. `None` where the wire format has no such event: then the connection
/// is cut.
pub fn stream_event(wire: Wire, code: Code, message: &str, sequence_number: u64) -> Option<String> {
    match wire {
        Wire::Chat | Wire::Completions => {
            let data =
                json!({"error": {"message": message, "type": code.kind(), "param": null, "code": code.as_str()}});
            Some(format!("data: {data}\n\n"))
        }
        Wire::Responses => {
            let data = json!({"type": "error", "code": code.as_str(), "message": message, "param": null, "sequence_number": sequence_number});
            Some(format!("event: error\ndata: {data}\n\n"))
        }
        Wire::Messages => {
            let data = json!({"type": "error", "error": {"type": "api_error", "message": message}});
            Some(format!("event: error\ndata: {data}\n\n"))
        }
        Wire::Other | Wire::Stored => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wire_has_its_own_error() {
        let event = |wire| stream_event(wire, Code::ProviderUnavailable, "gone", 7);
        assert_eq!(
            event(Wire::Chat).as_deref(),
            Some(
                "data: {\"error\":{\"code\":\"provider_unavailable\",\"message\":\"gone\",\"param\":null,\"type\":\"service_unavailable_error\"}}\n\n"
            )
        );
        assert!(event(Wire::Responses).is_some_and(
            |e| e.starts_with("event: error\ndata: {") && e.contains("\"sequence_number\":7,\"type\":\"error\"")
        ));
        assert!(
            event(Wire::Messages)
                .is_some_and(|e| e.contains("\"error\":{\"message\":\"gone\",\"type\":\"api_error\"}"))
        );
        assert_eq!(event(Wire::Other), None);
    }
}
