//! The few parts of protobuf that OTLP needs: written by hand, because the messages are few, and
//! their field numbers are stable.
//!
//! Pure. Guarantees: any bytes are read or refused, never a panic. Does not: know messages (see
//! `span`).
//!
//! # Source
//! protobuf.dev, "Encoding", read in November 2026.

/// Wire types.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const BYTES: u64 = 2;
const FIXED_32: u64 = 5;

fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push((n & 0x7f) as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_tag(out: &mut Vec<u8>, field: u64, wire: u64) {
    put_varint(out, field << 3 | wire);
}

/// Appends a number.
pub(crate) fn put_int(out: &mut Vec<u8>, field: u64, n: u64) {
    put_tag(out, field, VARINT);
    put_varint(out, n);
}

/// Appends a number of eight bytes.
pub(crate) fn put_fixed64(out: &mut Vec<u8>, field: u64, n: u64) {
    put_tag(out, field, FIXED_64);
    out.extend_from_slice(&n.to_le_bytes());
}

/// Appends a number of four bytes.
pub(crate) fn put_fixed32(out: &mut Vec<u8>, field: u64, n: u32) {
    put_tag(out, field, FIXED_32);
    out.extend_from_slice(&n.to_le_bytes());
}

/// Appends bytes or text.
pub(crate) fn put_bytes(out: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_tag(out, field, BYTES);
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a message that `write` fills.
pub(crate) fn put_message(out: &mut Vec<u8>, field: u64, write: impl FnOnce(&mut Vec<u8>)) {
    put_tag(out, field, BYTES);
    let begin = out.len();
    write(out);
    let length = out.len() - begin;
    // The length stands before the content, and takes more than one byte if that is long.
    put_varint(out, length as u64);
    let prefix = out.len() - begin - length;
    out[begin..].rotate_right(prefix);
}

/// A field of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    Int(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Reads the first field of a message: its number, its value, and the bytes after it.
pub(crate) fn field(bytes: &[u8]) -> Option<(u64, Field<'_>, &[u8])> {
    let (tag, rest) = varint(bytes)?;
    let (value, rest) = match tag & 7 {
        VARINT => varint(rest).map(|(n, rest)| (Field::Int(n), rest))?,
        FIXED_64 => (Field::Other, rest.get(8..)?),
        BYTES => {
            let (length, rest) = varint(rest)?;
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Field::Bytes(value), rest)
        }
        FIXED_32 => (Field::Other, rest.get(4..)?),
        _ => return None,
    };
    Some((tag >> 3, value, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut n = 0;
    for (at, byte) in bytes.iter().enumerate().take(10) {
        n |= u64::from(byte & 0x7f) << (7 * at);
        if *byte < 0x80 {
            return Some((n, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_messages_are_written_as_the_standard_says() {
        let mut out = Vec::new();
        put_int(&mut out, 1, 150);
        assert_eq!(out, [0x08, 0x96, 0x01]);
        out.clear();
        put_bytes(&mut out, 2, b"testing");
        assert_eq!(out, b"\x12\x07testing");
        for length in [0, 1, 127, 128, 16_383, 16_384, 100_000] {
            let mut message = Vec::new();
            put_message(&mut message, 4, |out| out.extend(vec![7; length]));
            let mut bytes = Vec::new();
            put_bytes(&mut bytes, 4, &vec![7; length]);
            assert_eq!(message, bytes, "{length}");
        }
    }

    #[test]
    fn fields_are_read_and_wrong_bytes_refused() {
        let mut out = Vec::new();
        put_int(&mut out, 1, u64::MAX);
        put_fixed64(&mut out, 2, 3);
        put_fixed32(&mut out, 3, 4);
        put_bytes(&mut out, 16, b"end");
        let mut rest = out.as_slice();
        for expected in [
            (1, Field::Int(u64::MAX)),
            (2, Field::Other),
            (3, Field::Other),
            (16, Field::Bytes(b"end")),
        ] {
            let (number, value, after) = field(rest).expect("a field");
            assert_eq!((number, value), expected);
            rest = after;
        }
        assert!(rest.is_empty());
        for wrong in [
            &b""[..],
            b"\x08",
            b"\x0b",
            b"\x12\x05abc",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x09\x01",
        ] {
            assert_eq!(field(wrong), None, "{wrong:?}");
        }
    }
}
