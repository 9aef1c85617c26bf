//! The heads of HTTP/1 requests, inspected before hyper reads them.
//!
//! Stage 1 of the walk. hyper turns an ambiguous head into an unambiguous request (it drops
//! `content-length` if there is `transfer-encoding` too). A gateway should refuse a head that
//! another server might read differently. Guarantees: the first ambiguous head of a connection is
//! found for every cut of the bytes; a few bytes of state per connection and at most
//! [`LINE_BYTES_MAX`] bytes of a line are held. Does not: parse heads that hyper refuses anyway
//! (then the scanner stops), or look into HTTP/2.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::code::Code;
use crate::pipeline::refusal::Refusal;

/// The verdict on one head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Clear,
    Ambiguous(Why),
}

/// Why a head is ambiguous.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    LengthAndCoding,
    UnknownCoding,
}

/// The 400 for an ambiguous head.
pub fn refusal(why: Why) -> Refusal {
    let message = match why {
        Why::LengthAndCoding => "the request has both Content-Length and Transfer-Encoding",
        Why::UnknownCoding => "the only supported transfer coding is `chunked`",
    };
    Refusal::new(Code::InvalidRequest, message).closing()
}

/// Shared between the stream of a connection and its service: the number of the first ambiguous
/// head, and the reason.
#[derive(Debug)]
pub struct Heads(AtomicU64);

/// No head is ambiguous so far.
const NONE: u64 = u64::MAX;

impl Default for Heads {
    fn default() -> Heads {
        Heads(AtomicU64::new(NONE))
    }
}

impl Heads {
    /// The verdict on the `n`th head of the connection. Nothing is read after an ambiguous one.
    pub fn verdict(&self, n: u64) -> Verdict {
        match self.0.load(Ordering::Acquire) {
            NONE => Verdict::Clear,
            marked if n < marked >> 1 => Verdict::Clear,
            marked if marked & 1 == 0 => Verdict::Ambiguous(Why::LengthAndCoding),
            _ => Verdict::Ambiguous(Why::UnknownCoding),
        }
    }

    fn mark(&self, n: u64, why: Why) {
        self.0.store(n << 1 | u64::from(why == Why::UnknownCoding), Ordering::Release);
    }
}

/// Longest part of a header line that is held; the rest of a longer line does not matter.
const LINE_BYTES_MAX: usize = 128;

/// Follows the framing of a connection just closely enough to know where each head begins.
#[derive(Debug)]
pub struct Scanner {
    at: At,
    /// The beginning of the line being read.
    line: Vec<u8>,
    /// Heads that have ended.
    head: u64,
    first_line: bool,
    length: Option<u64>,
    coding: bool,
    other_coding: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Head,
    /// This many bytes of a body are left.
    Body(u64),
    ChunkSize,
    /// A chunk and its line end.
    Chunk(u64),
    Trailer,
    /// The rest of the connection is not inspected: HTTP/2, or input that hyper will refuse.
    Blind,
}

impl Default for Scanner {
    fn default() -> Scanner {
        Scanner {
            at: At::Head,
            line: Vec::new(),
            head: 0,
            first_line: true,
            length: None,
            coding: false,
            other_coding: false,
        }
    }
}

impl Scanner {
    /// Inspects the next bytes of the connection, and marks the first ambiguous head in `heads`.
    pub fn scan(&mut self, mut bytes: &[u8], heads: &Heads) {
        while !bytes.is_empty() {
            match self.at {
                At::Blind => return,
                At::Body(left) | At::Chunk(left) => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = &bytes[usize::try_from(taken).unwrap_or(bytes.len())..];
                    self.at = match (self.at, left - taken) {
                        (At::Body(_), 0) => At::Head,
                        (At::Body(_), rest) => At::Body(rest),
                        (_, 0) => At::ChunkSize,
                        (_, rest) => At::Chunk(rest),
                    };
                }
                At::Head | At::ChunkSize | At::Trailer => {
                    let end = memchr::memchr(b'\n', bytes);
                    let part = &bytes[..end.unwrap_or(bytes.len())];
                    let room = LINE_BYTES_MAX.saturating_sub(self.line.len()).min(part.len());
                    self.line.extend_from_slice(&part[..room]);
                    let Some(end) = end else { return };
                    bytes = &bytes[end + 1..];
                    let line = std::mem::take(&mut self.line);
                    self.end_of_line(line.strip_suffix(b"\r").unwrap_or(&line), heads);
                    self.line = line;
                    self.line.clear();
                }
            }
        }
    }

    fn end_of_line(&mut self, line: &[u8], heads: &Heads) {
        match self.at {
            At::ChunkSize => {
                let digits = line.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
                let size =
                    std::str::from_utf8(digits).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
                self.at = match size {
                    Some(0) => At::Trailer,
                    // The chunk is followed by a line end; hyper refuses anything but CRLF.
                    Some(size) if size < u64::MAX - 2 => At::Chunk(size + 2),
                    _ => At::Blind,
                };
            }
            At::Trailer if line.is_empty() => self.at = At::Head,
            At::Head if self.first_line => {
                // hyper ignores empty lines before a request line.
                if line.starts_with(b"PRI ") {
                    self.at = At::Blind;
                } else if !line.is_empty() {
                    self.first_line = false;
                }
            }
            At::Head if line.is_empty() => self.end_of_head(heads),
            At::Head => self.field(line),
            _ => {}
        }
    }

    fn field(&mut self, line: &[u8]) {
        let Some(colon) = memchr::memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let length = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            self.length = Some(length.unwrap_or(0));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.coding = true;
            self.other_coding |= !value.eq_ignore_ascii_case(b"chunked");
        }
    }

    fn end_of_head(&mut self, heads: &Heads) {
        let n = self.head;
        self.head += 1;
        self.first_line = true;
        let (length, coding) = (self.length.take(), std::mem::take(&mut self.coding));
        let why = match (length, coding, std::mem::take(&mut self.other_coding)) {
            (Some(_), true, _) => Some(Why::LengthAndCoding),
            (None, true, true) => Some(Why::UnknownCoding),
            _ => None,
        };
        self.at = match (why, length, coding) {
            (Some(why), ..) => {
                heads.mark(n, why);
                At::Blind
            }
            (None, _, true) => At::ChunkSize,
            (None, Some(length), false) if length > 0 => At::Body(length),
            _ => At::Head,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first ambiguous head, in every cut into two and byte by byte.
    fn look(bytes: &[u8]) -> Option<(u64, Why)> {
        let run = |chunks: &[&[u8]]| {
            let (heads, mut scanner) = (Heads::default(), Scanner::default());
            chunks.iter().for_each(|c| scanner.scan(c, &heads));
            (0..20).find_map(|n| match heads.verdict(n) {
                Verdict::Ambiguous(why) => Some((n, why)),
                _ => None,
            })
        };
        let whole = run(&[bytes]);
        for cut in 0..bytes.len() {
            assert_eq!(run(&[&bytes[..cut], &bytes[cut..]]), whole, "cut at {cut}");
        }
        assert_eq!(run(&bytes.chunks(1).collect::<Vec<_>>()), whole);
        whole
    }

    #[test]
    fn ambiguous_heads_are_found_wherever_they_stand() {
        use Why::*;
        let good = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n\r\nabc";
        let chunked = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \
            chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: 1\r\n\r\n";
        let get = "GET /b HTTP/1.1\nHost: a\n\n";
        let both =
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        let htob = "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\nX: \
            1\r\nCONTENT-LENGTH:5\r\n\r\n0\r\n\r\n";
        let gzip = "POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
        let quoted = "POST /a HTTP/1.1\r\nContent-Length: 49\r\n\r\nA: b\r\nContent-Length: \
            5\r\nTransfer-Encoding: gzip\r\n";
        let long = format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "Transfer-Encoding: ".repeat(100));
        let table: &[(String, Option<(u64, Why)>)] = &[
            ([good, get, chunked, good].concat(), None),
            (quoted.to_owned() + good, None),
            (long.clone() + get, None),
            (both.to_owned(), Some((0, LengthAndCoding))),
            (htob.to_owned(), Some((0, LengthAndCoding))),
            (gzip.to_owned(), Some((0, UnknownCoding))),
            ([good, chunked, get, both].concat(), Some((3, LengthAndCoding))),
            (format!("\r\n{both}"), Some((0, LengthAndCoding))),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned() + both, None),
        ];
        for (bytes, expected) in table {
            assert_eq!(look(bytes.as_bytes()), *expected, "{bytes:?}");
        }
    }

    #[test]
    fn calls_before_the_ambiguous_one_are_served() {
        let heads = Heads::default();
        heads.mark(2, Why::UnknownCoding);
        let verdicts: Vec<bool> = (0..4).map(|n| heads.verdict(n) == Verdict::Clear).collect();
        assert_eq!(verdicts, [true, true, false, false]);
    }
}
