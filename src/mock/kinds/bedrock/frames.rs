//! Frames of `application/vnd.amazon.eventstream`, written.
//!
//! # Source
//! The event stream encoding of AWS, as read in November 2026.

use bytes::Bytes;
use flate2::Crc;
use serde_json::Value;

/// The type of a stream of frames.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";
/// A header whose value is a string.
const STRING: u8 = 7;

/// The frame of an event.
pub(crate) fn event(name: &str, payload: &Value) -> Bytes {
    frame(
        &[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")],
        payload,
    )
}

/// The frame of an exception.
pub(crate) fn exception(name: &str, payload: &Value) -> Bytes {
    frame(
        &[
            (":exception-type", name),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        payload,
    )
}

/// Two lengths and their checksum, headers, payload, and the checksum of all that.
fn frame(headers: &[(&str, &str)], payload: &Value) -> Bytes {
    let mut written = vec![];
    for (name, value) in headers {
        written.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        written.extend(name.bytes());
        written.push(STRING);
        written.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        written.extend(value.bytes());
    }
    let payload = payload.to_string();
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes();
    let mut frame = vec![];
    frame.extend(length(16 + written.len() + payload.len()));
    frame.extend(length(written.len()));
    frame.extend(checksum(&frame));
    frame.extend(written);
    frame.extend(payload.bytes());
    frame.extend(checksum(&frame));
    frame.into()
}

fn checksum(bytes: &[u8]) -> [u8; 4] {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum().to_be_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The bytes as an independent program (Python's `struct` and `zlib`) makes them.
    #[test]
    fn a_frame_has_its_lengths_and_checksums() {
        let frame = event("messageStop", &json!({"stopReason": "end_turn"}));
        let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
        let expected = [
            "0000007a00000051ca2c46650b3a6576656e742d7479706507000b6d65737361676553746f700d3a",
            "636f6e74656e742d747970650700106170706c69636174696f6e2f6a736f6e0d3a6d657373616765",
            "2d747970650700056576656e747b2273746f70526561736f6e223a22656e645f7475726e227d5fbf",
            "09fc",
        ];
        assert_eq!(hex, expected.concat());
    }
}
