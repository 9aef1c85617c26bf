//! HTTP/2 as frames, and a client that sends a body no faster than it is asked to.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::DEADLINE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const PROTOCOL_ERROR: u32 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block of plain literals (RFC 7541, section 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |out: &mut Vec<u8>, text: &str| {
        let mut rest = text.len();
        if rest < 127 {
            out.push(u8::try_from(rest).unwrap());
        } else {
            out.push(127);
            rest -= 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128 + 128).unwrap());
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
        out.extend(text.as_bytes());
    };
    let mut out = vec![];
    for (name, value) in fields {
        out.push(0);
        text(&mut out, name);
        text(&mut out, value);
    }
    out
}

/// How a stream's answer ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Complete,
    /// With this error.
    Reset(u32),
}

/// A client with flow control.
pub struct Client {
    stream: TcpStream,
    /// Bytes that may still be sent on a new stream, on each, and on all together.
    initial: i64,
    windows: BTreeMap<u32, i64>,
    all: i64,
    complete: Vec<u32>,
    reset: BTreeMap<u32, u32>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, b"")).unwrap();
        let mut client = Client {
            stream,
            initial: 65_535,
            windows: BTreeMap::new(),
            all: 65_535,
            complete: vec![],
            reset: BTreeMap::new(),
        };
        // The settings come first.
        client.read();
        client
    }

    /// Begins a call, without its body.
    pub fn open(&mut self, stream: u32, path: &str, bearer: &str) {
        let head = block(&[
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "gateway.test"),
            (":path", path),
            ("authorization", bearer),
            ("content-type", "application/json"),
        ]);
        self.windows.insert(stream, self.initial);
        self.stream.write_all(&frame(HEADERS, END_HEADERS, stream, &head)).unwrap();
    }

    /// Sends bytes without a look at the windows.
    pub fn data(&mut self, stream: u32, bytes: &[u8], last: bool) {
        let flags = if last { END_STREAM } else { 0 };
        self.stream.write_all(&frame(DATA, flags, stream, bytes)).unwrap();
    }

    /// Reads until the stream has its answer.
    pub fn answer(&mut self, stream: u32) -> Answer {
        loop {
            if self.complete.contains(&stream) {
                return Answer::Complete;
            }
            if let Some(error) = self.reset.get(&stream) {
                return Answer::Reset(*error);
            }
            self.read();
        }
    }

    /// Sends so many bytes; the error if the stream is reset meanwhile.
    pub fn send(&mut self, stream: u32, bytes: usize, last: bool) -> Option<u32> {
        let (mut left, piece) = (bytes, vec![b'x'; 16 << 10]);
        while left > 0 {
            if let Some(error) = self.reset.get(&stream) {
                return Some(*error);
            }
            let window = self.all.min(self.windows[&stream]);
            let some = left.min(piece.len()).min(usize::try_from(window).unwrap_or(0));
            if some == 0 {
                self.read();
                continue;
            }
            left -= some;
            self.data(stream, &piece[..some], last && left == 0);
            let sent = i64::try_from(some).unwrap();
            self.all -= sent;
            *self.windows.get_mut(&stream).unwrap() -= sent;
        }
        // What is on its way comes before the answer to a question.
        self.stream.write_all(&frame(PING, 0, 0, &[7; 8])).unwrap();
        while self.read() != PING {}
        self.reset.get(&stream).copied()
    }

    /// The next frame.
    fn read(&mut self) -> u8 {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut payload).expect("its payload");
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().unwrap());
        match head[3] {
            SETTINGS if head[4] == 0 => {
                for setting in payload.chunks(6).filter(|setting| setting[..2] == [0, 4]) {
                    self.initial = u32::from_be_bytes(setting[2..].try_into().unwrap()).into();
                }
                self.stream.write_all(&frame(SETTINGS, 1, 0, b"")).unwrap();
            }
            WINDOW_UPDATE if stream == 0 => self.all += i64::from(number(0)),
            WINDOW_UPDATE => *self.windows.entry(stream).or_default() += i64::from(number(0)),
            RST_STREAM => drop(self.reset.insert(stream, number(0))),
            HEADERS | DATA if head[4] & END_STREAM != 0 => self.complete.push(stream),
            GOAWAY => panic!("the connection is closed: {payload:?}"),
            _ => {}
        }
        head[3]
    }
}
