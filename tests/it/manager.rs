//! The service manager, and the time between its signal and the end: messages of systemd's
//! protocol,
//! `drain_delay`, and calls that come after SIGTERM.

use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Gateway, Provider, Setup, eventually};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    _folder: tempfile::TempDir,
    path: String,
}

impl Manager {
    fn start() -> Manager {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("socket");
        socket.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        Manager { socket, path: path.display().to_string(), _folder: folder }
    }

    /// The next message but signs of life, as its lines.
    fn next(&self) -> Vec<String> {
        loop {
            let lines = self.any();
            if lines != ["WATCHDOG=1"] {
                return lines;
            }
        }
    }

    fn any(&self) -> Vec<String> {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).expect("a message");
        let text = std::str::from_utf8(&message[..length]).expect("text");
        text.lines().map(str::to_owned).collect()
    }
}

fn ready(gateway: &Gateway) -> u16 {
    gateway.send("GET", "/readyz", &[], b"").status
}

#[test]
fn the_manager_learns_of_the_start_of_reloads_and_of_the_end() {
    let (provider, manager) = (Provider::start(), Manager::start());
    let mut gateway = Setup::new(&provider)
        .environment("NOTIFY_SOCKET", &manager.path)
        .setting("drain_delay", "3s")
        .setting("shutdown_grace", "7s")
        .start();
    assert_eq!(manager.next(), ["READY=1", "STATUS=serving"]);
    gateway.chat("acme", "hi").ok();
    for (yaml, status) in [
        ("requests_per_minute: 7", "STATUS=serving"),
        ("requests_per_minute: no", "STATUS=serving; the edited policy was refused: "),
    ] {
        gateway.edit("limits", yaml);
        gateway.signal(Signal::HUP);
        let reloading = manager.next();
        assert_eq!(reloading[0], "RELOADING=1", "{reloading:?}");
        let now = reloading[1].strip_prefix("MONOTONIC_USEC=").expect("a time");
        assert!(now.parse::<u64>().expect("a number") > 0);
        let reloaded = manager.next();
        assert_eq!(reloaded[0], "READY=1");
        assert!(reloaded[1].starts_with(status), "{reloaded:?}");
    }
    gateway.signal(Signal::TERM);
    let stopping = manager.next();
    assert_eq!(stopping[0], "STOPPING=1");
    // The delay, the grace, and twenty seconds for the log.
    assert!(stopping.contains(&"EXTEND_TIMEOUT_USEC=30000000".to_owned()), "{stopping:?}");
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
}

#[test]
fn the_manager_gets_signs_of_life_if_it_asks_for_them() {
    let (provider, manager) = (Provider::start(), Manager::start());
    let gateway = Setup::new(&provider)
        .environment("NOTIFY_SOCKET", &manager.path)
        .environment("WATCHDOG_USEC", "200000")
        .start();
    let mut signs = 0;
    while signs < 3 {
        signs += usize::from(manager.any() == ["WATCHDOG=1"]);
    }
    gateway.chat("acme", "hi").ok();
}

#[test]
fn a_manager_that_is_away_stops_nothing() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).environment("NOTIFY_SOCKET", "/nowhere/notify").start();
    gateway.chat("acme", "hi").ok();
    gateway.signal(Signal::HUP);
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    let printed = gateway.printed();
    assert_eq!(printed.matches("service manager cannot be reached").count(), 1, "{printed}");
}

#[test]
fn during_the_delay_calls_are_served_and_the_gateway_is_not_ready() {
    let provider = Provider::start();
    let mut gateway = Setup::new(&provider).setting("drain_delay", "10m").start();
    assert_eq!(ready(&gateway), 200);
    let mut kept = gateway.connect();
    gateway.signal(Signal::TERM);
    eventually("not ready", || (ready(&gateway) == 503).then_some(()));
    // New connections and old ones, and reloads.
    gateway.chat("acme", "hi").ok();
    let health = crate::support::request("GET", "/healthz", &[], b"");
    assert_eq!(kept.send(&health).reply().status, 200);
    let version = gateway.policy_version();
    gateway.edit("limits", "requests_per_minute: 7");
    gateway.signal(Signal::HUP);
    eventually("the edit in force", || (gateway.policy_version() != version).then_some(()));
    // A second signal ends the delay, and the rest is as without one.
    gateway.signal(Signal::TERM);
    assert!(gateway.wait().success());
    assert!(TcpStream::connect(gateway.apps).is_err());
    assert_eq!(gateway.rows(1).len(), 1);
}
