//! Cuts a provider's stream into events, wherever its chunks end.

use bytes::Bytes;

use super::error::Invalid;
use crate::sse::{self, EventReader, Piece};

/// Takes an event: its name (empty if there is none) and its data.
pub(crate) type Each<'e> = dyn FnMut(&[u8], &[u8]) -> Result<(), Invalid> + 'e;

/// Cuts bytes into events. Every chunking of a stream gives the same events.
pub(crate) trait Framing: Send {
    /// Takes the next bytes, and calls `each` with every event that is now whole.
    fn push(&mut self, chunk: Bytes, each: &mut Each<'_>) -> Result<(), Invalid>;

    /// The stream has ended. Calls `each` with a last event that lacks only the mark of its end.
    fn end(&mut self, each: &mut Each<'_>) -> Result<(), Invalid>;
}

const TOO_LONG: Invalid = Invalid::new("an event of the stream is too long");

/// Server-sent events. A line of JSON without `data:` counts as data: Gemini reports errors so.
pub(crate) struct Sse {
    reader: EventReader,
    event_bytes_max: usize,
    pieces: Vec<Piece>,
}

impl Sse {
    /// Holds at most `event_bytes_max` bytes; a longer event is an error.
    pub(crate) fn boxed(event_bytes_max: usize) -> Box<dyn Framing> {
        let reader = EventReader::new(event_bytes_max);
        Box::new(Sse { reader, event_bytes_max, pieces: Vec::new() })
    }
}

impl Framing for Sse {
    fn push(&mut self, chunk: Bytes, each: &mut Each<'_>) -> Result<(), Invalid> {
        self.reader.push(chunk, &mut self.pieces);
        for piece in self.pieces.drain(..) {
            match piece {
                // In one chunk as in several.
                Piece::Event(event) if event.len() > self.event_bytes_max => return Err(TOO_LONG),
                Piece::Event(event) => tell(&event, each)?,
                Piece::Part(_) => return Err(TOO_LONG),
            }
        }
        Ok(())
    }

    fn end(&mut self, each: &mut Each<'_>) -> Result<(), Invalid> {
        let rest = self.reader.rest();
        let event = sse::parse(&rest);
        let data: &[u8] = if event.data.is_empty() { &rest } else { &event.data };
        let data = data.trim_ascii();
        let is_whole =
            data == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
        if is_whole { tell(&rest, each) } else { Ok(()) }
    }
}

fn tell(bytes: &[u8], each: &mut Each<'_>) -> Result<(), Invalid> {
    let event = sse::parse(bytes);
    if !event.data.is_empty() {
        return each(event.name, &event.data);
    }
    let bare = bytes.trim_ascii();
    if bare.starts_with(b"{") || bare.starts_with(b"[") { each(event.name, bare) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(text: &str, chunk_bytes: usize) -> Result<Vec<(String, String)>, Invalid> {
        let mut framing = Sse::boxed(100);
        let mut seen = Vec::new();
        let mut each = |name: &[u8], data: &[u8]| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((text(name), text(data)));
            Ok(())
        };
        for chunk in text.as_bytes().chunks(chunk_bytes) {
            framing.push(Bytes::copy_from_slice(chunk), &mut each)?;
        }
        framing.end(&mut each)?;
        Ok(seen)
    }

    #[test]
    fn events_of_any_chunking() {
        let text =
            ": comment\n\nevent: a\ndata: {}\n\n{\"error\":\n{}}\n\ndata:x\r\n\r\ndata: [DONE]";
        let expected = [("a", "{}"), ("", "{\"error\":\n{}}"), ("", "x"), ("", "[DONE]")];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for chunk_bytes in 1..text.len() {
            assert_eq!(events(text, chunk_bytes).expect("short events"), expected);
        }
    }

    #[test]
    fn a_cut_event_is_none_and_a_long_one_an_error() {
        assert_eq!(events("data: {\"a\":", 3), Ok(vec![]));
        for chunk_bytes in [7, 1000] {
            let long = format!("data: {}\n\n", "x".repeat(200));
            assert!(events(&long, chunk_bytes).is_err());
        }
        assert_eq!(events("[{\"error\":", 3), Ok(vec![]));
        let bare = "{\"error\":{}}";
        assert_eq!(events(bare, 3), Ok(vec![(String::new(), bare.to_owned())]));
    }
}
