//! Server-sent events: cuts a byte stream into whole events, wherever its chunks end.
//!
//! Pure: no I/O, no clock. Works on bytes; only whole events are read.
//!
//! Guarantees: the pieces put together are the bytes that came in; every chunking of a stream gives
//! the same events; at most `event_bytes_max` bytes wait. A longer event is passed on in parts and
//! not read. Does not interpret `id:` or `retry:`, and does not reconnect.
//!
//! # Source
//! WHATWG HTML, "Server-sent events", 9.2.5 and 9.2.6: lines end with CRLF, LF or CR; a blank line
//! ends an event.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};

/// A piece of the stream, as an [`EventReader`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A whole event with the blank line that ends it.
    Event(Bytes),
    /// A part of an event that is too long to hold.
    Part(Bytes),
}

impl Piece {
    /// The bytes, unchanged.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Piece::Event(bytes) | Piece::Part(bytes) => bytes,
        }
    }
}

/// The reader's position in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// At the start of a line; the event is still empty or ends with a line end.
    LineStart,
    /// After a CR that ended a line: an LF here belongs to it.
    AfterCr,
    /// After a CR that ended a *blank* line: an LF here belongs to it, and to the event that has
    /// ended.
    AfterBlankCr,
    InLine,
}

/// Cuts a byte stream into events.
#[derive(Debug)]
pub struct EventReader {
    held: BytesMut,
    at: At,
    /// A part of the current event has been passed on.
    passing: bool,
    event_bytes_max: usize,
}

impl EventReader {
    /// A reader that holds at most `event_bytes_max` bytes.
    pub fn new(event_bytes_max: usize) -> EventReader {
        EventReader { held: BytesMut::new(), at: At::LineStart, passing: false, event_bytes_max }
    }

    /// Takes the next bytes and appends the events that are now whole to `out`. An event within one
    /// chunk is a slice of it.
    pub fn push(&mut self, mut chunk: Bytes, out: &mut Vec<Piece>) {
        while let Some(end) = self.event_end(&chunk) {
            let tail = chunk.split_to(end);
            self.emit(tail, out);
        }
        if chunk.is_empty() {
            return;
        }
        if self.passing || self.held.len() + chunk.len() > self.event_bytes_max {
            self.passing = true;
            if !self.held.is_empty() {
                out.push(Piece::Part(self.held.split().freeze()));
            }
            out.push(Piece::Part(chunk));
        } else {
            self.held.extend_from_slice(&chunk);
        }
    }

    /// Bytes that are held of an event that has not ended yet.
    pub fn held_bytes(&self) -> usize {
        self.held.len()
    }

    /// Whether a part of the current event has been passed on: nothing may be inserted here.
    pub fn is_mid_event(&self) -> bool {
        self.passing
    }

    /// Releases the part of the current event that is held; the rest follows in parts, as for an
    /// event that is too long.
    pub fn flush_partial(&mut self, out: &mut Vec<Piece>) {
        if !self.held.is_empty() {
            self.passing = true;
            out.push(Piece::Part(self.held.split().freeze()));
        }
    }

    /// The held bytes of an event that never ended; empty if the stream ended between events.
    pub fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    fn emit(&mut self, tail: Bytes, out: &mut Vec<Piece>) {
        if self.passing {
            self.passing = false;
            out.push(Piece::Part(tail));
        } else if self.held.is_empty() {
            out.push(Piece::Event(tail));
        } else {
            self.held.extend_from_slice(&tail);
            out.push(Piece::Event(self.held.split().freeze()));
        }
    }

    /// Length of `chunk` up to and including the blank line that ends the event, if it has one;
    /// advances the state.
    fn event_end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut i = 0;
        while i < chunk.len() {
            let byte = chunk[i];
            match (self.at, byte) {
                (At::InLine, _) => match memchr::memchr2(b'\n', b'\r', &chunk[i..]) {
                    None => return None,
                    Some(skip) => {
                        i += skip;
                        self.at = if chunk[i] == b'\r' { At::AfterCr } else { At::LineStart };
                    }
                },
                (At::AfterCr, b'\n') => self.at = At::LineStart,
                (At::AfterBlankCr, b'\n') => {
                    // The LF of a CRLF that was cut apart belongs to the next event.
                    self.at = At::LineStart;
                }
                (_, b'\n') => {
                    self.at = At::LineStart;
                    return Some(i + 1);
                }
                (_, b'\r') => {
                    // A blank line that ends with CR, or with CRLF.
                    if chunk.get(i + 1) == Some(&b'\n') {
                        self.at = At::LineStart;
                        return Some(i + 2);
                    }
                    self.at = if i + 1 == chunk.len() { At::AfterBlankCr } else { At::LineStart };
                    return Some(i + 1);
                }
                (_, _) => self.at = At::InLine,
            }
            i += 1;
        }
        None
    }
}

/// The fields of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` field; empty if it is missing.
    pub name: &'a [u8],
    /// The `data:` lines, joined with LF.
    pub data: Cow<'a, [u8]>,
}

/// Reads the fields of a whole event. Comments and other fields are skipped.
///
/// ```
/// let event = tollgate_wire::sse::parse(b"event: ping\ndata: {}\n\n");
/// assert_eq!((event.name, &*event.data), (&b"ping"[..], &b"{}"[..]));
/// ```
pub fn parse(event: &[u8]) -> Event<'_> {
    let event = event.strip_prefix(b"\xef\xbb\xbf").unwrap_or(event);
    let (mut name, mut data): (&[u8], Option<Cow<'_, [u8]>>) = (b"", None);
    let mut rest = Some(event);
    while let Some(lines) = rest {
        let (line, after) = match memchr::memchr2(b'\n', b'\r', lines) {
            Some(at) => (&lines[..at], Some(&lines[at + 1..])),
            None => (lines, None),
        };
        rest = after;
        if let Some(value) = field(line, b"data") {
            data = Some(match data {
                None => Cow::Borrowed(value),
                Some(before) => {
                    let mut joined = before.into_owned();
                    joined.push(b'\n');
                    joined.extend_from_slice(value);
                    Cow::Owned(joined)
                }
            });
        } else if let Some(value) = field(line, b"event") {
            name = value;
        }
    }
    Event { name, data: data.unwrap_or_default() }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = line.strip_prefix(name)?;
    match rest.strip_prefix(b":") {
        Some(value) => Some(value.strip_prefix(b" ").unwrap_or(value)),
        None => rest.is_empty().then_some(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The events as (name, data), and all bytes put together again.
    fn read(chunks: &[&[u8]], max: usize) -> (Vec<(String, String)>, Vec<u8>) {
        let (mut reader, mut out) = (EventReader::new(max), Vec::new());
        for chunk in chunks {
            reader.push(Bytes::copy_from_slice(chunk), &mut out);
        }
        let mut bytes = Vec::new();
        let mut events = Vec::new();
        for piece in out {
            if let Piece::Event(event) = &piece {
                let e = parse(event);
                if !e.data.is_empty() || !e.name.is_empty() {
                    let text = |b: &[u8]| {
                        String::from_utf8(b.to_vec()).expect("whole events are whole text")
                    };
                    events.push((text(e.name), text(&e.data)));
                }
            }
            bytes.extend_from_slice(&piece.into_bytes());
        }
        bytes.extend_from_slice(&reader.rest());
        (events, bytes)
    }

    #[test]
    fn events_in_every_line_ending() {
        for end in ["\n", "\r\n", "\r"] {
            let text = [
                "event: a",
                "data: {\"ä\":1}",
                "",
                ": ping",
                "",
                "data:x",
                "data: y",
                "id: 3",
                "",
                "data",
            ]
            .join(end);
            let text = text + end + end;
            let (events, bytes) = read(&[text.as_bytes()], 1 << 20);
            let expected = [("a", "{\"ä\":1}"), ("", "x\ny")];
            let expected: Vec<(String, String)> =
                expected.iter().map(|(n, d)| ((*n).into(), (*d).into())).collect();
            assert_eq!(events, expected, "{end:?}");
            assert_eq!(bytes, text.as_bytes());
        }
    }

    #[test]
    fn a_long_event_is_passed_on_in_parts() {
        let text = b"data: 0123456789abcdef0123456789\n\ndata: x\n\n";
        let chunks: Vec<&[u8]> = text.chunks(5).collect();
        let (events, bytes) = read(&chunks, 16);
        assert_eq!(bytes, text);
        assert_eq!(events, [(String::new(), "x".to_owned())]);
    }

    #[test]
    fn an_unfinished_event_is_no_event() {
        let (events, bytes) = read(&[b"data: 1\n\ndata: 2\n"], 1 << 20);
        assert_eq!(events.len(), 1);
        assert_eq!(bytes, b"data: 1\n\ndata: 2\n");
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_events(
            text in "(data: [a-zäöü]{0,6}|event: [a-z]{1,3}|: c|id: 1|)(\n|\r\n|\r)((data: \
                [a-zäöü]{0,6}|event: [a-z]{1,3}|: c|)(\n|\r\n|\r)){0,12}",
            cuts in proptest::collection::vec(0usize..200, 0..20),
        ) {
            let whole = read(&[text.as_bytes()], 1 << 20);
            let mut at: Vec<usize> = cuts.into_iter().map(|c| c % (text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let cut = read(&chunks, 1 << 20);
            prop_assert_eq!(&whole, &cut);
            prop_assert_eq!(whole.1, text.into_bytes());
        }
    }
}
