//! A forwarder between a gateway and its ClickHouse: it keeps its address while servers come and go
//! behind it, and does with inserts what networks and busy servers do.

use std::collections::VecDeque;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::provider::{Seen, read_request};
use super::{Connection, DEADLINE, eventually};

/// What happens to one insert.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It is stored, and the connection is closed before the answer.
    LostAck,
    /// It takes so long.
    Slow(Duration),
    /// Half of it arrives, then the connection breaks.
    HalfSent,
    /// The server is overloaded, and says so.
    Busy,
}

/// The forwarder. It ends with the process of the tests.
pub struct Between {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    /// None: nobody is there.
    server: Mutex<Option<SocketAddr>>,
    faults: Mutex<VecDeque<Fault>>,
    calls: AtomicUsize,
    /// Settings that the server does not know.
    unknown: &'static [&'static str],
}

impl Between {
    /// In front of a server. Settings in `unknown` are left out of what it gets.
    pub fn new(server: SocketAddr, unknown: &'static [&'static str]) -> Between {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            server: Mutex::new(Some(server)),
            faults: Mutex::default(),
            calls: AtomicUsize::new(0),
            unknown,
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || shared.serve(client));
            }
        });
        Between { address, shared }
    }

    /// From now on calls go there, or nowhere.
    pub fn towards(&self, server: Option<SocketAddr>) {
        *self.shared.server.lock().unwrap() = server;
    }

    /// What happens to the next inserts, in order. Those of before are forgotten.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        *self.shared.faults.lock().unwrap() = faults.into_iter().collect();
    }

    /// The same, and waits until no more than `left` of them are still to come.
    pub fn script_and_wait(&self, faults: impl IntoIterator<Item = Fault>, left: usize) {
        self.script(faults);
        eventually("inserts", || (self.shared.faults.lock().unwrap().len() <= left).then_some(()));
    }

    /// Waits until a call has come since now, and was sent on or turned away.
    pub fn wait_for_a_call(&self) {
        let before = self.shared.calls.load(Ordering::SeqCst);
        eventually("a call", || (self.shared.calls.load(Ordering::SeqCst) > before).then_some(()));
    }
}

impl Shared {
    fn serve(&self, mut client: TcpStream) {
        let _ = client.set_read_timeout(Some(10 * DEADLINE));
        let mut read = vec![];
        while let Some(seen) = read_request(&mut client, &mut read) {
            if !seen.complete || self.forward(&mut client, &seen).is_none() {
                break;
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }

    /// Nothing: the connection is of no more use.
    fn forward(&self, client: &mut TcpStream, seen: &Seen) -> Option<()> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let fault = if seen.target.contains("INSERT") {
            self.faults.lock().unwrap().pop_front()
        } else {
            None
        };
        if let Some(Fault::Busy) = fault {
            client.write_all(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n").ok()?;
            return Some(());
        }
        if let Some(Fault::Slow(time)) = fault {
            std::thread::sleep(time);
        }
        let server = (*self.server.lock().unwrap())?;
        let mut server = Connection::try_open(server)?;
        let mut bytes = self.head(seen).into_bytes();
        bytes.extend(&seen.body);
        if let Some(Fault::HalfSent) = fault {
            server.send(&bytes[..bytes.len() - seen.body.len() / 2]);
            return None;
        }
        server.send(&bytes);
        let mut reply = server.head()?;
        server.body(&mut reply);
        if !reply.complete || matches!(fault, Some(Fault::LostAck)) {
            return None;
        }
        let mut answer =
            format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
        for (name, value) in reply.headers.iter().filter(|(name, _)| !is_framing(name)) {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        client.write_all((answer + "\r\n").as_bytes()).ok()?;
        client.write_all(&reply.body).ok()
    }

    fn head(&self, seen: &Seen) -> String {
        let (path, query) = seen.target.split_once('?').unwrap_or((&seen.target, ""));
        let known =
            |part: &&str| !self.unknown.contains(&part.split('=').next().unwrap_or_default());
        let query: Vec<&str> = query.split('&').filter(known).collect();
        let mut head =
            format!("{} {path}?{} HTTP/1.1\r\nhost: clickhouse\r\n", seen.method, query.join("&"));
        for (name, value) in
            seen.headers.iter().filter(|(name, _)| !is_framing(name) && name != "host")
        {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head + &format!("content-length: {}\r\n\r\n", seen.body.len())
    }
}

fn is_framing(name: &str) -> bool {
    ["content-length", "transfer-encoding", "connection", "keep-alive"].contains(&name)
}
