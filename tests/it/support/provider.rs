//! A provider that follows a script, on plain sockets: it can break HTTP in ways that no HTTP
//! library would.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::step::{self, Act, Step};
use super::{DEADLINE, eventually};

/// Between two writes of [`Act::Again`].
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    /// Names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// Without the chunked framing.
    pub body: Vec<u8>,
    /// The body ended as its framing says.
    pub complete: bool,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// A provider on a port of its own. It ends with the test.
pub struct Provider {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<Step>>,
    /// Played when the script is at its end.
    default: Mutex<Step>,
    seen: Mutex<Vec<Seen>>,
    closed_by_peer: AtomicUsize,
    stopped: AtomicBool,
}

impl Shared {
    /// The next step, if it is played before the body is read.
    fn early_step(&self) -> Option<Step> {
        let mut script = self.script.lock().unwrap();
        matches!(script.front()?.first(), Some(Act::AtHead)).then(|| script.pop_front())?
    }
}

impl Provider {
    /// Answers every call with a chat completion, unless told otherwise.
    pub fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().unwrap();
        let shared =
            Arc::new(Shared { default: Mutex::new(step::chat("hello")), ..Shared::default() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if accepting.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || serve(stream, &shared));
            }
        });
        Provider { address, shared }
    }

    /// What to do with the next calls, in order; then the default again.
    pub fn script(&self, steps: impl IntoIterator<Item = Step>) {
        self.shared.script.lock().unwrap().extend(steps);
    }

    /// What to do with every call that has no step.
    pub fn always(&self, step: Step) {
        *self.shared.default.lock().unwrap() = step;
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// The requests so far, forgotten afterwards.
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.seen.lock().unwrap())
    }

    /// The only request so far.
    pub fn only(&self) -> Seen {
        let seen = self.seen();
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Waits until there were `count` requests.
    pub fn wait_for(&self, count: usize) -> Vec<Seen> {
        eventually(&format!("{count} requests at the provider"), || {
            Some(self.seen()).filter(|s| s.len() >= count)
        })
    }

    /// Connections that were closed by the caller while an answer was being held or written.
    pub fn closed_by_peer(&self) -> usize {
        self.shared.closed_by_peer.load(Ordering::SeqCst)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // The accepting thread wakes up and sees it.
        let _ = TcpStream::connect(self.address);
    }
}

/// An address where nobody listens.
pub fn refused_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().unwrap()
}

fn serve(mut stream: TcpStream, shared: &Shared) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(10 * DEADLINE));
    let mut read = vec![];
    while let Some(mut seen) = read_head(&mut stream, &mut read) {
        let early = shared.early_step();
        if early.is_none() {
            read_body(&mut stream, &mut read, &mut seen);
        }
        let step = (early.is_some() || seen.complete).then(|| {
            let next = early.or_else(|| shared.script.lock().unwrap().pop_front());
            next.unwrap_or_else(|| shared.default.lock().unwrap().clone())
        });
        // Seen only when its step is chosen: a test that has waited for it may then give steps to
        // later ones.
        shared.seen.lock().unwrap().push(seen.clone());
        let Some(step) = step else { return };
        if !play(&mut stream, step, &seen, shared) {
            return;
        }
    }
}

/// Plays a step; whether the connection is still of use.
fn play(stream: &mut TcpStream, step: Step, seen: &Seen, shared: &Shared) -> bool {
    for act in step {
        let act = if let Act::Reply(make) = act { Act::Send(make(seen)) } else { act };
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    shared.closed_by_peer.fetch_add(1, Ordering::SeqCst);
                    return false;
                }
            }
            Act::Reply(_) => unreachable!("made to bytes above"),
            Act::Again(bytes) => {
                while stream.write_all(&bytes).is_ok() {
                    std::thread::sleep(AGAIN_AFTER);
                }
                shared.closed_by_peer.fetch_add(1, Ordering::SeqCst);
                return false;
            }
            Act::AtHead => {}
            Act::Take(length) => {
                if stream.read_exact(&mut vec![0; length]).is_err() {
                    shared.closed_by_peer.fetch_add(1, Ordering::SeqCst);
                    return false;
                }
            }
            Act::Wait(gate) => {
                let _ = gate.lock().unwrap().recv_timeout(DEADLINE);
            }
            Act::Hold => {
                let mut piece = [0; 1024];
                while matches!(stream.read(&mut piece), Ok(read) if read > 0) {}
                shared.closed_by_peer.fetch_add(1, Ordering::SeqCst);
                return false;
            }
            Act::Reset => {
                // Linger of zero makes the system send a reset instead of an orderly end.
                let socket = socket2::SockRef::from(&*stream);
                let _ = socket.set_linger(Some(Duration::ZERO));
                return false;
            }
            Act::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return false;
            }
        }
    }
    true
}

/// The next request of a connection; nothing at its end.
pub(super) fn read_request(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Seen> {
    let mut seen = read_head(stream, read)?;
    read_body(stream, read, &mut seen);
    Some(seen)
}

/// The head of the next request. That its body is missing is not complete.
fn read_head(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Seen> {
    let head = take_to(stream, read, b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&head).into_owned();
    let mut lines = head.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let header = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        (name.to_ascii_lowercase(), value.trim().to_owned())
    };
    Some(Seen {
        method,
        target,
        headers: lines.map(header).collect(),
        body: vec![],
        complete: false,
    })
}

fn read_body(stream: &mut TcpStream, read: &mut Vec<u8>, seen: &mut Seen) {
    if seen.header("transfer-encoding").is_some() {
        seen.complete = read_chunks(stream, read, &mut seen.body).is_some();
    } else if let Some(length) = seen.header("content-length").and_then(|value| value.parse().ok())
    {
        let body = take(stream, read, length);
        seen.complete = body.is_some();
        seen.body = body.unwrap_or_else(|| std::mem::take(read));
    } else {
        seen.complete = true;
    }
}

fn read_chunks(stream: &mut TcpStream, read: &mut Vec<u8>, body: &mut Vec<u8>) -> Option<()> {
    loop {
        let line = take_to(stream, read, b"\r\n")?;
        let size = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).ok()?;
        body.extend(take(stream, read, size)?);
        take(stream, read, 2)?;
        if size == 0 {
            return Some(());
        }
    }
}

fn take_to(stream: &mut TcpStream, read: &mut Vec<u8>, end: &[u8]) -> Option<Vec<u8>> {
    loop {
        if let Some(at) = read.windows(end.len()).position(|window| window == end) {
            return Some(read.drain(..at + end.len()).collect());
        }
        more(stream, read)?;
    }
}

fn take(stream: &mut TcpStream, read: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while read.len() < length {
        more(stream, read)?;
    }
    Some(read.drain(..length).collect())
}

fn more(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let mut piece = [0; 64 << 10];
    match stream.read(&mut piece) {
        Ok(0) | Err(_) => None,
        Ok(length) => {
            read.extend_from_slice(&piece[..length]);
            Some(())
        }
    }
}
