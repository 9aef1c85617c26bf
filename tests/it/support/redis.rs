//! A Redis server of a test's own, that can be stopped, started anew and made to hang.
//!
//! The server listens on a socket in the test's folder, and the gateways reach it through a
//! forwarder on a port that the test keeps: so a server that is started anew is found at the same
//! address, and no port is ever guessed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use super::{DEADLINE, eventually, signal};

pub struct Redis {
    process: Child,
    /// Where gateways connect.
    pub address: SocketAddr,
    folder: TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        let folder = tempfile::tempdir().expect("folder");
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().unwrap();
        let socket = folder.path().join("socket");
        let process = server(folder.path());
        let towards = socket.clone();
        // Ends with the process of the tests; a connection that finds no server is closed.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = UnixStream::connect(&towards) {
                    forward(client, server);
                }
            }
        });
        let redis = Redis { process, address, folder };
        redis.wait_until_up();
        redis
    }

    /// `redis://…` of the forwarder.
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn wait_until_up(&self) {
        eventually("the Redis server", || {
            let mut stream = UnixStream::connect(self.socket()).ok()?;
            stream.set_read_timeout(Some(DEADLINE)).ok()?;
            stream.write_all(b"PING\r\n").ok()?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer).ok()?;
            (&answer == b"+PONG\r\n").then_some(())
        });
    }

    pub fn kill(&mut self) {
        self.process.kill().expect("kill");
        self.process.wait().expect("wait");
        std::fs::remove_file(self.socket()).ok();
    }

    /// Starts a killed server again; it remembers nothing.
    pub fn start_again(&mut self) {
        self.process = server(self.folder.path());
        self.wait_until_up();
    }

    /// From now on it takes connections and answers nothing.
    pub fn hang(&self) {
        signal(&self.process, Signal::STOP);
    }

    pub fn go_on(&self) {
        signal(&self.process, Signal::CONT);
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn server(folder: &Path) -> Child {
    Command::new("redis-server")
        .args(["--port", "0", "--unixsocket"])
        .arg(folder.join("socket"))
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("redis-server; scripts/test installs it")
}

fn forward(client: TcpStream, server: UnixStream) {
    client.set_nodelay(true).ok();
    let (mut from_client, mut to_server) =
        (client.try_clone().unwrap(), server.try_clone().unwrap());
    let (mut from_server, mut to_client) = (server, client);
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Both);
    });
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from_server, &mut to_client);
        let _ = to_client.shutdown(Shutdown::Both);
    });
}
