//! A proxy between a gateway and its provider, with tunnels and with absolute form, that can fail
//! in every way. It remembers every byte that it got.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the proxy does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It opens a tunnel, or forwards.
    Serves,
    /// The same, and its answer to `CONNECT` comes byte by byte.
    ServesSlowly,
    /// It answers with this status.
    Answers(u16),
    /// It says nothing.
    Hangs,
    /// It closes the connection.
    Closes,
    /// Its answer is no HTTP.
    Babbles,
}

/// A proxy on a port of its own. Every target is the same address, whatever its name, or the one
/// that was asked for.
pub struct Proxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    manner: Mutex<Manner>,
    /// None: the one that a client asks for.
    target: Option<SocketAddr>,
    /// The heads of requests to the proxy itself.
    heads: Mutex<Vec<String>>,
    /// All that its clients have sent.
    sent: Mutex<Vec<u8>>,
    /// Connections that hang.
    open: Mutex<Vec<TcpStream>>,
}

impl Proxy {
    /// A proxy that serves, and whose only target this is.
    pub fn towards(target: SocketAddr) -> Proxy {
        Proxy::start(Some(target))
    }

    /// A proxy that serves, and whose targets are addresses that its clients ask for.
    pub fn to_all() -> Proxy {
        Proxy::start(None)
    }

    fn start(target: Option<SocketAddr>) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            manner: Mutex::new(Manner::Serves),
            target,
            heads: Mutex::default(),
            sent: Mutex::default(),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Proxy { address, shared }
    }

    /// From now on.
    pub fn behaves(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Heads of the requests to the proxy itself so far.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// Whether any client has sent these bytes.
    pub fn has_seen(&self, text: &str) -> bool {
        let sent = self.shared.sent.lock().unwrap();
        sent.windows(text.len()).any(|window| window == text.as_bytes())
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) -> Option<()> {
        let mut read = Vec::new();
        let end = loop {
            let mut buffer = [0; 4096];
            let count = client.read(&mut buffer).ok().filter(|count| *count > 0)?;
            self.sent.lock().unwrap().extend(&buffer[..count]);
            read.extend(&buffer[..count]);
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        self.heads.lock().unwrap().push(head.clone());
        let manner = *self.manner.lock().unwrap();
        match manner {
            Manner::Serves | Manner::ServesSlowly => {}
            Manner::Answers(status) => {
                let answer = format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n");
                return client.write_all(answer.as_bytes()).ok();
            }
            Manner::Hangs => {
                self.open.lock().unwrap().push(client);
                return None;
            }
            Manner::Closes => return None,
            Manner::Babbles => return client.write_all(b"220 mail.example ready\r\n").ok(),
        }
        let mut server = TcpStream::connect(self.target.or_else(|| asked(&head))?).ok()?;
        if head.starts_with("CONNECT ") {
            let answer = b"HTTP/1.1 200 Connection established\r\nproxy-agent: double\r\n\r\n";
            let piece = if manner == Manner::ServesSlowly { 1 } else { answer.len() };
            client.set_nodelay(true).ok()?;
            for piece in answer.chunks(piece) {
                client.write_all(piece).ok()?;
            }
        } else {
            // To the form that a server gets.
            let (method, rest) = head.split_once(" http://")?;
            let path = rest.find('/')?;
            server.write_all(format!("{method} {}", &rest[path..]).as_bytes()).ok()?;
            server.write_all(&read[end..]).ok()?;
        }
        let (mut from, mut to) = (server.try_clone().ok()?, client.try_clone().ok()?);
        std::thread::spawn(move || {
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let mut buffer = [0; 16 << 10];
        while let Ok(count @ 1..) = client.read(&mut buffer) {
            self.sent.lock().unwrap().extend(&buffer[..count]);
            server.write_all(&buffer[..count]).ok()?;
        }
        server.shutdown(Shutdown::Write).ok()
    }
}

/// The address in the first line of a request.
fn asked(head: &str) -> Option<SocketAddr> {
    let target = head.split(' ').nth(1)?;
    let authority = target.strip_prefix("http://").unwrap_or(target);
    authority.split('/').next()?.parse().ok()
}
