//! What the integration tests stand on: a real gateway process, a scripted provider, a client that
//! speaks raw bytes.
//!
//! Everything goes over real sockets on loopback; ports are chosen by the system; waits are polls
//! with a deadline.

pub mod between;
mod client;
pub mod engine;
pub mod fault;
pub mod frames;
pub mod gateway;
mod jwt;
pub mod load;
mod provider;
mod redis;
pub mod secure;
pub mod server;
pub mod step;

use std::time::{Duration, Instant};

pub use client::{Connection, Reply, chunked, post, request};
pub use gateway::{Gateway, Setup, chat, tollgate};
pub use jwt::{SECRET, jwt, sign};
pub use provider::{Provider, Seen, refused_address};
pub use redis::Redis;

/// The longest that anything is waited for. Only a failing test waits this long; it is less than
/// the gateway's usual patience with a silent provider, so that what comes within it was not a
/// timeout.
pub const DEADLINE: Duration = Duration::from_secs(45);

/// Asks again and again until there is an answer.
///
/// # Panics
/// After [`DEADLINE`]; `what` says what did not happen.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < DEADLINE, "waited {DEADLINE:?} for: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
