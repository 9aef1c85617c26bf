//! What the integration tests stand on: a real gateway process, a scripted provider, a client that
//! speaks raw bytes.
//!
//! Everything goes over real sockets on loopback; ports are chosen by the system; waits are polls
//! with a deadline. No test reads a clock or the memory of a process: `within` is the only reader
//! of time, and a test that needs a duration takes it from the gateway's rows (`span`,
//! `latency_ms`).

pub mod between;
mod client;
pub mod collector;
pub mod engine;
pub mod fault;
pub mod frames;
pub mod gateway;
mod jwt;
pub mod limits_user;
pub mod load;
pub mod prometheus;
mod provider;
pub mod proxy;
mod redis;
pub mod redis_set;
pub mod replicas;
pub mod secure;
pub mod server;
pub mod step;

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Map, Value};

pub use client::{Connection, Reply, chunked, post, request};
pub use gateway::{Gateway, Setup, chat, tollgate};
pub use jwt::{SECRET, jwt, sign};
pub use provider::{Provider, Seen, refused_address};
pub use proxy::{Manner, Proxy};
pub use redis::Redis;

/// The longest that anything is waited for. Only a failing test waits this long; it is less than
/// the gateway's usual patience with a silent provider, so that what comes within it was not a
/// timeout.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`DEADLINE`]; `what` says what did not happen.
pub fn eventually<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    within(DEADLINE, ask).unwrap_or_else(|| panic!("waited {DEADLINE:?} for: {what}"))
}

/// Asks again and again until there is an answer, at most for so long.
pub fn within<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begun.elapsed() >= patience {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The first processor that this test may use.
pub fn a_processor() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let allowed =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
    allowed.split([',', '-']).next().unwrap().to_owned()
}

/// Sends a signal by the system call, so that no program `kill` is needed.
pub fn signal(process: &Child, signal: Signal) {
    kill_process(Pid::from_child(process), signal).expect("a process that runs");
}

/// The time between the first and the last of these rows, by the gateway's own clock.
pub fn span(rows: &[&Map<String, Value>]) -> Duration {
    let at = |row: &&Map<String, Value>| {
        row["created_at"].as_str().unwrap().parse::<jiff::Timestamp>().expect("a time")
    };
    let (first, last) = (rows.iter().map(at).min(), rows.iter().map(at).max());
    first
        .zip(last)
        .map_or(Duration::ZERO, |(first, last)| last.duration_since(first).unsigned_abs())
}
