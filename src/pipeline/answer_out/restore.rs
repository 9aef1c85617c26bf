//! Values put back into a provider's answer for the caller, where the policy of the organisation
//! says so.
//!
//! Stage 11 of the walk, between the events that the tee has read (and noted for usage and log,
//! placeholders and all) and the client. Promises: only what changes is written anew; without
//! values nothing is looked at. Does not: find placeholders (`redact` does), or touch what the log
//! keeps. An event too long to be held passes as it is.

use bytes::{Bytes, BytesMut};
use tollgate_wire::sse;

use crate::redact::{EventRestorer, Extra, Values};

/// The events of one stream, restored.
pub struct Events(EventRestorer);

impl Events {
    /// Restores these values.
    pub fn new(values: &Values) -> Events {
        Events(EventRestorer::new(values))
    }

    /// The bytes that the caller gets for a whole event.
    pub fn event(&mut self, event: &Bytes) -> Vec<Bytes> {
        let parsed = sse::parse(event);
        if parsed.data.is_empty() {
            return vec![event.clone()];
        }
        let restored = self.0.event(parsed.name, &parsed.data);
        let mut out: Vec<Bytes> = restored.before.iter().map(extra).collect();
        out.push(restored.data.map_or_else(|| event.clone(), |data| with_data(event, &data)));
        out
    }

    /// The stream is over: what was held back, in events of its own.
    pub fn end(&mut self) -> Vec<Bytes> {
        self.0.end().iter().map(extra).collect()
    }
}

fn extra(extra: &Extra) -> Bytes {
    let mut out = BytesMut::new();
    if !extra.name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(&extra.name);
        out.extend_from_slice(b"\n");
    }
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(&extra.data);
    out.extend_from_slice(b"\n\n");
    out.freeze()
}

/// The event with other data, which are one line; its other lines and its line ends stay.
fn with_data(event: &[u8], data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(event.len() + data.len());
    let mut written = false;
    for line in event.split_inclusive(|b| *b == b'\n' || *b == b'\r') {
        let text = line.len() - usize::from(matches!(line.last(), Some(b'\n' | b'\r')));
        let is_data = line.starts_with(b"data:") || &line[..text] == b"data";
        if !is_data {
            // The line feed of a CRLF travels with its carriage return.
            out.extend_from_slice(line);
        } else if !written {
            written = true;
            out.extend_from_slice(b"data: ");
            for part in data.split(|b| *b == b'\n') {
                out.extend_from_slice(part);
            }
            out.extend_from_slice(&line[text..]);
        }
    }
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_other_lines() {
        for (event, expected) in [
            ("data: 1\n\n", "data: 22\n\n"),
            ("event: a\r\ndata:1\r\nid: 3\r\n\r\n", "event: a\r\ndata: 22\r\nid: 3\r\n\r\n"),
            (": c\rdata: 1\r\r", ": c\rdata: 22\r\r"),
            ("data: 1\ndata: 2\nid: 1\n\n", "data: 22\nid: 1\n\n"),
        ] {
            assert_eq!(with_data(event.as_bytes(), b"22"), expected.as_bytes(), "{event:?}");
        }
        assert_eq!(
            extra(&Extra { name: b"a".to_vec(), data: b"{}".to_vec() }),
            &b"event: a\ndata: {}\n\n"[..]
        );
        assert_eq!(extra(&Extra { name: Vec::new(), data: b"{}".to_vec() }), &b"data: {}\n\n"[..]);
    }
}
