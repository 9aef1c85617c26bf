//! The service manager: it learns when the gateway is ready, reloads, stops and is alive.
//!
//! Guarantees: without a manager (`NOTIFY_SOCKET` is not set) nothing is sent; a manager that
//! cannot be reached is logged once and never stops the gateway. The watchdog's signs of life come
//! from the runtime that serves calls. Does not: start or stop anything.
//!
//! # Source
//! systemd's man pages sd_notify(3) and systemd.service(5), read November 2026:
//! `Type=notify-reload` needs `RELOADING=1` and `MONOTONIC_USEC` in one message, and `READY=1`
//! after each reload.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

/// Longest text of a state.
const STATUS_BYTES_MAX: usize = 512;
/// Time beyond the announced one that an end may take: open files, the rest of the log.
const END_SLACK: Duration = Duration::from_secs(20);

/// Both listeners are open and the policy is in force.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// The policy files are being read.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(
            event = "manager_unreachable",
            %error, "the service manager got no notice of a reload"),
    }
}

/// The policy files have been read. `refused`: why the policy in force stays.
pub(crate) fn reloaded(refused: Option<&str>) {
    let status = match refused {
        None => "serving".to_owned(),
        Some(problems) => {
            let first = problems.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            let mut status = format!("serving; the edited policy was refused: {first}");
            status.truncate(status.floor_char_boundary(STATUS_BYTES_MAX));
            status
        }
    };
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The end has begun, and takes at most so long.
pub(crate) fn stopping(within: Duration) {
    let within = (within + END_SLACK).as_micros();
    let within = NotifyState::ExtendTimeoutUsec(u32::try_from(within).unwrap_or(u32::MAX));
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing open calls"), within]);
}

/// Signs of life until `stop`, if the manager waits for them.
pub(crate) async fn watchdog(stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    loop {
        tell(&[NotifyState::Watchdog]);
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(limit / 2) => {}
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    static FAILED: AtomicBool = AtomicBool::new(false);
    if let Err(error) = sd_notify::notify(states)
        && !FAILED.swap(true, Ordering::Relaxed)
    {
        tracing::warn!(
            event = "manager_unreachable",
            %error, "the service manager cannot be reached (NOTIFY_SOCKET)");
    }
}
