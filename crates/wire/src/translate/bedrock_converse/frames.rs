//! The binary frames of a stream (`application/vnd.amazon.eventstream`): lengths, checksums and
//! headers around the JSON of each event.
//!
//! Guarantees: every chunking gives the same events; a length is checked before anything is held
//! for it, and at most one frame is held; both checksums are checked. Our own because the crates
//! for it bring the types of a whole SDK, and because the bounds are ours: it is this one file.
//!
//! An event is told under its `:event-type`. An exception, and an error without a type, is told
//! under the name [`EXCEPTION`], as `{"type", "payload"}` or `{"type", "message"}`.

use bytes::Bytes;
use flate2::Crc;

use crate::translate::error::Invalid;
use crate::translate::framing::{Each, Framing};
use crate::translate::json::JsonObject;

/// The name under which an exception is told.
pub(crate) const EXCEPTION: &[u8] = b"exception";

/// Two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The prelude, and the checksum at the end.
const AROUND_BYTES: usize = PRELUDE_BYTES + 4;
/// Bytes of all headers.
const HEADER_BYTES_MAX: usize = 128 << 10;
/// Bytes of a payload.
const PAYLOAD_BYTES_MAX: usize = 24 << 20;
/// Headers of a frame.
const HEADERS_MAX: usize = 32;

/// A framing whose payloads have at most so many bytes.
pub(crate) fn boxed(event_bytes_max: usize) -> Box<dyn Framing> {
    let payload_bytes_max = event_bytes_max.min(PAYLOAD_BYTES_MAX);
    Box::new(Frames { held: Vec::new(), payload_bytes_max })
}

struct Frames {
    /// The beginning of a frame.
    held: Vec<u8>,
    payload_bytes_max: usize,
}

impl Framing for Frames {
    fn push(&mut self, chunk: Bytes, each: &mut Each<'_>) -> Result<(), Invalid> {
        let mut rest: &[u8] = &chunk;
        while !rest.is_empty() {
            if self.held.is_empty()
                && let Some(lengths) = self.lengths(rest)?
                && let Some((frame, after)) = rest.split_at_checked(lengths.total)
            {
                tell(frame, lengths.headers, each)?;
                rest = after;
                continue;
            }
            let missing = match self.lengths(&self.held)? {
                Some(lengths) => lengths.total - self.held.len(),
                None => PRELUDE_BYTES - self.held.len(),
            };
            let (taken, after) = rest.split_at(missing.min(rest.len()));
            self.held.extend_from_slice(taken);
            rest = after;
            if let Some(lengths) = self.lengths(&self.held)?
                && lengths.total == self.held.len()
            {
                let told = tell(&self.held, lengths.headers, each);
                self.held.clear();
                told?;
            }
        }
        Ok(())
    }

    /// A frame that is cut off is none: the reader knows whether the answer is complete.
    fn end(&mut self, _: &mut Each<'_>) -> Result<(), Invalid> {
        Ok(())
    }
}

/// The lengths in the prelude.
#[derive(Clone, Copy)]
struct Lengths {
    total: usize,
    headers: usize,
}

impl Frames {
    /// The lengths of the frame that begins here; `None` if its prelude is not whole.
    fn lengths(&self, bytes: &[u8]) -> Result<Option<Lengths>, Invalid> {
        let Some(prelude) = bytes.first_chunk::<PRELUDE_BYTES>() else { return Ok(None) };
        let [a, b, c, d, e, f, g, h, sum @ ..] = *prelude;
        if checksum(&prelude[..8]) != u32::from_be_bytes(sum) {
            return Err(Invalid::new("the beginning of a frame has a wrong checksum"));
        }
        let length = |bytes| usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
        let (total, headers) = (length([a, b, c, d]), length([e, f, g, h]));
        let payload = total.checked_sub(AROUND_BYTES).and_then(|rest| rest.checked_sub(headers));
        match payload {
            Some(payload) if headers <= HEADER_BYTES_MAX && payload <= self.payload_bytes_max => {
                Ok(Some(Lengths { total, headers }))
            }
            Some(_) => Err(Invalid::new("a frame of the stream is too long")),
            None => Err(Invalid::new("a frame of the stream has lengths that contradict")),
        }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Tells the event in a whole frame.
fn tell(frame: &[u8], header_bytes: usize, each: &mut Each<'_>) -> Result<(), Invalid> {
    let Some((content, sum)) = frame.split_last_chunk::<4>() else {
        return Err(Invalid::new("a frame of the stream is too short"));
    };
    if checksum(content) != u32::from_be_bytes(*sum) {
        return Err(Invalid::new("a frame of the stream has a wrong checksum"));
    }
    let after_prelude = content.get(PRELUDE_BYTES..).unwrap_or_default();
    let Some((headers, payload)) = after_prelude.split_at_checked(header_bytes) else {
        return Err(Invalid::new("a frame of the stream is too short"));
    };
    let headers = Headers::read(headers)?;
    match headers.text(b":message-type") {
        b"event" => each(headers.text(b":event-type"), payload),
        b"exception" => {
            let payload = std::str::from_utf8(payload).unwrap_or_default();
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(payload).is_ok();
            exception(headers.text(b":exception-type"), each, |object| {
                object.json("payload", if is_json { payload } else { "null" });
            })
        }
        b"error" => {
            let message = String::from_utf8_lossy(headers.text(b":error-message"));
            exception(headers.text(b":error-code"), each, |object| object.str("message", &message))
        }
        _ => Err(Invalid::new("a frame of the stream has no known type")),
    }
}

fn exception(
    kind: &[u8],
    each: &mut Each<'_>,
    rest: impl FnOnce(&mut JsonObject<'_>),
) -> Result<(), Invalid> {
    let mut data = Vec::new();
    {
        let mut object = JsonObject::new(&mut data);
        object.str("type", &String::from_utf8_lossy(kind));
        rest(&mut object);
    }
    each(EXCEPTION, &data)
}

/// The headers whose values are strings.
struct Headers<'h> {
    names: [&'h [u8]; HEADERS_MAX],
    values: [&'h [u8]; HEADERS_MAX],
    count: usize,
}

impl<'h> Headers<'h> {
    fn read(bytes: &'h [u8]) -> Result<Headers<'h>, Invalid> {
        let mut headers =
            Headers { names: [b""; HEADERS_MAX], values: [b""; HEADERS_MAX], count: 0 };
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((name, value, after)) = header(rest) else {
                return Err(Invalid::new("a frame of the stream has a header that is cut off"));
            };
            let is_twice = headers.names[..headers.count].contains(&name);
            if is_twice || headers.count == HEADERS_MAX {
                return Err(Invalid::new("a frame of the stream has a header twice, or too many"));
            }
            headers.names[headers.count] = name;
            headers.values[headers.count] = value;
            headers.count += 1;
            rest = after;
        }
        Ok(headers)
    }

    /// The text of a header; empty if there is none.
    fn text(&self, name: &[u8]) -> &'h [u8] {
        let at = self.names[..self.count].iter().position(|known| *known == name);
        at.map_or(b"", |at| self.values[at])
    }
}

/// The name and the text of the next header, and the bytes after it. Values of other types are
/// stepped over and have no text.
fn header(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    if name.is_empty() {
        return None;
    }
    let (kind, rest) = rest.split_first()?;
    let (is_text, length, rest) = match kind {
        0 | 1 => (false, 0, rest),
        2 => (false, 1, rest),
        3 => (false, 2, rest),
        4 => (false, 4, rest),
        5 | 8 => (false, 8, rest),
        9 => (false, 16, rest),
        6 | 7 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (*kind == 7, usize::from(u16::from_be_bytes(*length)), rest)
        }
        _ => return None,
    };
    let (value, rest) = rest.split_at_checked(length)?;
    Some((name, if is_text { value } else { b"" }, rest))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn with_sum(mut bytes: Vec<u8>) -> Vec<u8> {
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// A frame with these bytes as headers.
    pub(crate) fn frame_of(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = u32::try_from(AROUND_BYTES + headers.len() + payload.len()).expect("short");
        let length = u32::try_from(headers.len()).expect("short");
        let prelude = with_sum([total.to_be_bytes(), length.to_be_bytes()].concat());
        with_sum([&prelude, headers, payload].concat())
    }

    fn text(name: &str, value: &str) -> Vec<u8> {
        let length = u16::try_from(value.len()).expect("short").to_be_bytes();
        let name_length = u8::try_from(name.len()).expect("short");
        [&[name_length], name.as_bytes(), &[7], &length, value.as_bytes()].concat()
    }

    /// A frame with texts as headers.
    pub(crate) fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let headers: Vec<u8> = headers.iter().flat_map(|(name, value)| text(name, value)).collect();
        frame_of(&headers, payload.as_bytes())
    }

    /// The frame of an event.
    pub(crate) fn event(kind: &str, payload: &str) -> Vec<u8> {
        let json = (":content-type", "application/json");
        frame(&[(":event-type", kind), json, (":message-type", "event")], payload)
    }

    /// What is told of these bytes, in pieces of this size; and the bytes that are held.
    fn told(bytes: &[u8], piece_bytes: usize) -> (Result<(), Invalid>, Vec<(String, String)>) {
        let mut frames = Frames { held: Vec::new(), payload_bytes_max: 1000 };
        let mut seen = Vec::new();
        let mut each = |name: &[u8], data: &[u8]| {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            seen.push((text(name), text(data)));
            Ok(())
        };
        let mut pieces = bytes.chunks(piece_bytes).map(Bytes::copy_from_slice);
        let result = pieces.try_for_each(|piece| frames.push(piece, &mut each));
        let result = result.and_then(|()| frames.end(&mut each));
        assert!(frames.held.capacity() <= 4096, "{} bytes are held", frames.held.capacity());
        (result, seen)
    }

    /// A frame that botocore's tests have: an empty one, and one with a header and a payload.
    #[test]
    fn frames_of_another_implementation() {
        let empty = [0, 0, 0, 16, 0, 0, 0, 0, 5, 194, 72, 235, 125, 152, 200, 255];
        assert_eq!(frame_of(b"", b""), empty);
        let payload = b"{'foo':'bar'}";
        let with_payload = [
            0, 0, 0, 29, 0, 0, 0, 0, 253, 82, 140, 90, 123, 39, 102, 111, 111, 39, 58, 39, 98, 97,
            114, 39, 125, 195, 101, 57, 54,
        ];
        assert_eq!(frame_of(b"", payload), with_payload);
    }

    #[test]
    fn events_of_any_chunking() {
        let other_types = [
            &b"\x01a\x00\x01b\x01\x01c\x02\x07\x01d\x03\x00\x07\x01e\x04\x00\x00\x00\x07"[..],
            b"\x01f\x05\x00\x00\x00\x00\x00\x00\x00\x07\x01g\x06\x00\x02\xff\xff",
            b"\x01h\x08\x00\x00\x00\x00\x00\x00\x00\x07\x01i\x090123456789abcdef",
            &text(":message-type", "event"),
            &text(":event-type", "z"),
        ];
        let bytes = [
            event("messageStart", r#"{"role":"assistant"}"#),
            frame_of(&other_types.concat(), b"{}"),
            event("empty", ""),
            frame(
                &[(":message-type", "exception"), (":exception-type", "throttlingException")],
                r#"{"message":"slow"}"#,
            ),
            frame(&[(":message-type", "exception"), (":exception-type", "x")], "no JSON"),
            frame(
                &[(":message-type", "error"), (":error-code", "E\""), (":error-message", "m")],
                "",
            ),
        ];
        let bytes = bytes.concat();
        let expected = [
            ("messageStart", r#"{"role":"assistant"}"#),
            ("z", "{}"),
            ("empty", ""),
            ("exception", r#"{"type":"throttlingException","payload":{"message":"slow"}}"#),
            ("exception", r#"{"type":"x","payload":null}"#),
            ("exception", r#"{"type":"E\"","message":"m"}"#),
        ];
        let expected = expected.map(|(name, data)| (name.to_owned(), data.to_owned()));
        for piece_bytes in 1..=bytes.len() {
            let (result, seen) = told(&bytes, piece_bytes);
            assert_eq!((result, &seen[..]), (Ok(()), &expected[..]), "{piece_bytes}");
        }
        for length in 0..bytes.len() {
            let (result, seen) = told(&bytes[..length], 5);
            assert!(result.is_ok() && seen.len() < expected.len(), "cut at {length}");
            assert_eq!(seen, expected[..seen.len()]);
        }
    }

    /// One wrong bit anywhere is noticed.
    #[test]
    fn wrong_bits() {
        let bytes = event("messageStop", r#"{"stopReason":"end_turn"}"#);
        for bit in 0..bytes.len() * 8 {
            let mut wrong = bytes.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            for piece_bytes in [1, 13, wrong.len()] {
                assert!(told(&wrong, piece_bytes).0.is_err(), "bit {bit}");
            }
        }
    }

    #[test]
    fn lengths_are_checked_before_anything_is_held() {
        let prelude = |total: u32, headers: u32| {
            let mut bytes = with_sum([total.to_be_bytes(), headers.to_be_bytes()].concat());
            bytes.extend_from_slice(&[0; 64]);
            bytes
        };
        for (total, headers) in [
            (u32::MAX, 0),
            (u32::MAX, u32::MAX),
            (u32::MAX, u32::MAX - 16),
            (16 + 1001, 0),
            (24 << 20, 0),
            (16 + (129 << 10), 129 << 10),
            (15, 0),
            (0, 0),
            (20, 5),
            (16, u32::MAX),
        ] {
            for piece_bytes in [1, 12, 100] {
                let (result, seen) = told(&prelude(total, headers), piece_bytes);
                assert!(result.is_err() && seen.is_empty(), "{total} {headers}");
            }
        }
    }

    #[test]
    fn odd_headers() {
        let many: Vec<u8> = (0..40).flat_map(|n| text(&format!("h{n}"), "")).collect();
        let kind = text(":message-type", "event");
        for headers in [
            [kind.clone(), kind.clone()].concat(),
            [kind.clone(), text("a", "1"), text("a", "2")].concat(),
            many,
            kind[..kind.len() - 1].to_vec(),
            b"\x00\x00".to_vec(),
            b"\x01".to_vec(),
            b"\x01a".to_vec(),
            b"\x01a\x0a".to_vec(),
            b"\x01a\x07\xff".to_vec(),
            b"\x01a\x07\xff\xffx".to_vec(),
            b"\x01a\x09short".to_vec(),
            vec![],
            text(":message-type", "other"),
        ] {
            let (result, seen) = told(&frame_of(&headers, b"{}"), 7);
            assert!(result.is_err() && seen.is_empty(), "{headers:?}");
        }
    }
}
