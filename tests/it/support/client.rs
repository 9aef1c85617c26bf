//! A client that writes exactly the bytes it is told and reads exactly what comes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::DEADLINE;

/// An answer as it arrived.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Without the chunked framing.
    pub body: Vec<u8>,
    /// The body ended as its framing says, and not with the connection.
    pub complete: bool,
}

impl Reply {
    /// A header's only value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values =
            self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none(), "{name} twice: {:?}", self.headers);
        value
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The code of an error in OpenAI's shape, or in Anthropic's; the shape itself is checked too.
    pub fn error_code(&self) -> String {
        let error = &self.json()["error"];
        let keys: Vec<&String> =
            error.as_object().unwrap_or_else(|| panic!("{}", self.text())).keys().collect();
        let is_anthropic = self.json()["type"] == "error";
        let expected = ["code", "message", "param", "type"];
        let expected = expected.into_iter().filter(|key| !is_anthropic || *key != "param");
        assert!(keys.into_iter().eq(expected), "{}", self.text());
        assert!(
            error["message"].as_str().is_some_and(|message| message.len() > 10),
            "{}",
            self.text()
        );
        assert!(
            error["type"].is_string() && (error["param"].is_string() || error["param"].is_null())
        );
        assert!(self.header("x-request-id").is_some(), "{:?}", self.headers);
        error["code"].as_str().unwrap_or_else(|| panic!("no code: {}", self.text())).to_owned()
    }

    /// Asserts status and code of an error.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.error_code().as_str()), (status, code), "{}", self.text());
    }

    /// Asserts 200.
    #[track_caller]
    pub fn ok(&self) -> &Reply {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        self
    }
}

/// One connection to a server.
pub struct Connection {
    stream: TcpStream,
    /// Read, but not yet taken.
    read: Vec<u8>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        Connection::try_open(address).expect("connect")
    }

    /// Nothing where nobody listens.
    pub fn try_open(address: SocketAddr) -> Option<Connection> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Some(Connection { stream, read: vec![] })
    }

    /// Writes bytes as they are. An error is left for the reading side to show.
    pub fn send(&mut self, bytes: &[u8]) -> &mut Connection {
        let _ = self.stream.write_all(bytes).and_then(|()| self.stream.flush());
        self
    }

    /// More bytes; none at the end, or at an error of the connection.
    fn more(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => false,
            Ok(read) => {
                self.read.extend_from_slice(&piece[..read]);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("no byte within {DEADLINE:?}")
            }
            Err(_) => false,
        }
    }

    /// Reads until what has been read holds `end`, and takes all up to it.
    fn take_to(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Some(self.read.drain(..at + end.len()).collect());
            }
            if !self.more() {
                return None;
            }
        }
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.read.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.read.drain(..length).collect())
    }

    /// The next line, of a protocol that has lines.
    pub fn line(&mut self) -> String {
        let line = self.take_to(b"\r\n").expect("a line");
        String::from_utf8(line).expect("UTF-8").trim_end().to_owned()
    }

    /// The head of the next answer; interim answers (1xx) are passed over. Nothing if the
    /// connection ends first.
    pub fn head(&mut self) -> Option<Reply> {
        self.next_head().map(|(_, head)| head)
    }

    /// The status of what comes back, where that is HTTP at all; nothing for anything else, or a
    /// closed connection.
    pub fn head_or_rubbish(&mut self) -> Option<u16> {
        let head = String::from_utf8(self.take_to(b"\r\n\r\n")?).ok()?;
        head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()
    }

    /// The status of the next answer, which has to be an interim one.
    pub fn interim(&mut self) -> u16 {
        let status = self.head_or_rubbish().expect("an interim answer");
        assert!((100..200).contains(&status), "{status}");
        status
    }

    /// How many interim answers came, and the head behind them.
    ///
    /// # Panics
    /// If the connection ends before.
    pub fn head_and_interim(&mut self) -> (usize, Reply) {
        self.next_head().expect("an answer, but the connection was closed")
    }

    fn next_head(&mut self) -> Option<(usize, Reply)> {
        for interim in 0.. {
            let head = String::from_utf8(self.take_to(b"\r\n\r\n")?).expect("ASCII head");
            let mut lines = head.trim_end().split("\r\n");
            let status_line = lines.next().unwrap();
            let status = status_line
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .expect(status_line);
            let header = |line: &str| {
                let (name, value) = line.split_once(':').expect("header");
                (name.to_ascii_lowercase(), value.trim().to_owned())
            };
            if status >= 200 {
                let headers = lines.map(header).collect();
                return Some((interim, Reply { status, headers, body: vec![], complete: false }));
            }
        }
        None
    }

    /// The next piece of a chunked body; empty at its end, nothing if the connection ended before.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        let line = String::from_utf8(self.take_to(b"\r\n")?).expect("chunk size");
        let size = usize::from_str_radix(line.trim_end(), 16).expect("chunk size");
        let chunk = self.take(size)?;
        assert_eq!(self.take(2)?, b"\r\n");
        Some(chunk)
    }

    /// Reads chunks until their bytes hold `text`; what was read.
    pub fn chunks_until(&mut self, text: &str) -> String {
        let mut seen = vec![];
        loop {
            let chunk = self
                .chunk()
                .unwrap_or_else(|| panic!("cut after {}", String::from_utf8_lossy(&seen)));
            assert!(!chunk.is_empty(), "ended after {}", String::from_utf8_lossy(&seen));
            seen.extend(chunk);
            if String::from_utf8_lossy(&seen).contains(text) {
                return String::from_utf8(seen).expect("UTF-8");
            }
        }
    }

    /// The body that belongs to a head.
    pub fn body(&mut self, head: &mut Reply) {
        let bodyless = matches!(head.status, 204 | 304);
        if head.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk() {
                if chunk.is_empty() {
                    head.complete = true;
                    return;
                }
                head.body.extend(chunk);
            }
        } else if let Some(length) =
            head.header("content-length").map(|value| value.parse().expect("length"))
        {
            let body = self.take(length);
            head.complete = body.is_some();
            head.body = body.unwrap_or_else(|| std::mem::take(&mut self.read));
        } else if bodyless {
            head.complete = true;
        } else {
            while self.more() {}
            head.body = std::mem::take(&mut self.read);
        }
    }

    /// The next answer, whole.
    ///
    /// # Panics
    /// If the connection ends before a head.
    pub fn reply(&mut self) -> Reply {
        let mut reply = self.head().expect("an answer, but the connection was closed");
        self.body(&mut reply);
        reply
    }
}

/// The bytes of a request with `content-length`.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = head(method, path, headers);
    if method != "GET" || !body.is_empty() {
        bytes.extend(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend(b"\r\n");
    bytes.extend(body);
    bytes
}

/// The bytes of a request whose body is cut into chunks.
pub fn chunked(path: &str, headers: &[(&str, &str)], pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = head("POST", path, headers);
    bytes.extend(b"transfer-encoding: chunked\r\n\r\n");
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        bytes.extend(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend(*piece);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\n\r\n");
    bytes
}

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: gateway.test\r\n");
    let is_typed = headers.iter().any(|(name, _)| *name == "content-type");
    if method != "GET" && !is_typed {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.into_bytes()
}

/// One call on a connection of its own.
pub fn post(address: SocketAddr, path: &str, bearer: &str, body: &Value) -> Reply {
    let bearer = format!("Bearer {bearer}");
    let bytes = request("POST", path, &[("authorization", &bearer)], body.to_string().as_bytes());
    Connection::open(address).send(&bytes).reply()
}
