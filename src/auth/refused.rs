//! Refused credentials, as operators see them: how many by reason, and the latest of each.
//!
//! Guarantees: at most [`LINES_MAX`] log lines for each reason in a minute, whatever callers send;
//! memory is one entry for each reason; no part of a token is kept but its key id and issuer, cut
//! and made visible. Does not: count on metrics or write lines (see `pipeline/walk`).

use std::sync::{Mutex, MutexGuard};

use super::error::Reason;
use crate::lock::lock;

/// Log lines for one reason within [`WINDOW_MS`].
const LINES_MAX: u32 = 5;
const WINDOW_MS: i64 = 60_000;

/// All refusals since the start.
#[derive(Debug)]
pub struct Refused(Vec<Mutex<Entry>>);

/// The refusals of one reason.
#[derive(Clone, Debug, Default)]
struct Entry {
    count: u64,
    window_at_ms: i64,
    lines: u32,
    unlogged: u64,
    latest: Option<Latest>,
}

/// A refused credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latest {
    /// Wall time in milliseconds.
    pub at_ms: i64,
    /// The key id that the token names; empty where there is none.
    pub kid: String,
    /// The issuer that it names.
    pub iss: String,
    /// The id of the refused call.
    pub request_id: String,
}

impl Default for Refused {
    fn default() -> Refused {
        Refused(Reason::ALL.iter().map(|_| Mutex::default()).collect())
    }
}

impl Refused {
    /// Counts a refusal. Returns how many refusals had no log line since the last one, if this one
    /// may have a line.
    pub fn count(&self, reason: Reason, now_ms: i64) -> Option<u64> {
        let mut entry = self.entry(reason);
        entry.count += 1;
        if entry.lines == 0 || now_ms.abs_diff(entry.window_at_ms) >= WINDOW_MS.unsigned_abs() {
            (entry.window_at_ms, entry.lines) = (now_ms, 0);
        }
        if entry.lines == LINES_MAX {
            entry.unlogged += 1;
            return None;
        }
        entry.lines += 1;
        Some(std::mem::take(&mut entry.unlogged))
    }

    /// Keeps the refusal that was logged last.
    pub fn keep(&self, reason: Reason, latest: Latest) {
        self.entry(reason).latest = Some(latest);
    }

    /// Every reason that occurred, how often, and the latest that was logged.
    pub fn list(&self) -> Vec<(Reason, u64, Option<Latest>)> {
        let of = |reason: &Reason| {
            let entry = self.entry(*reason).clone();
            (*reason, entry.count, entry.latest)
        };
        Reason::ALL.iter().map(of).filter(|(_, count, _)| *count > 0).collect()
    }

    fn entry(&self, reason: Reason) -> MutexGuard<'_, Entry> {
        lock(&self.0[reason as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_few_and_say_how_many_were_left_out() {
        let refused = Refused::default();
        let lines: Vec<_> = (0..7).map(|ms| refused.count(Reason::Audience, ms)).collect();
        assert_eq!(lines, [Some(0), Some(0), Some(0), Some(0), Some(0), None, None]);
        // Another reason has lines of its own.
        assert_eq!(refused.count(Reason::Expired, 7), Some(0));
        assert_eq!(refused.count(Reason::Audience, WINDOW_MS - 1), None);
        assert_eq!(refused.count(Reason::Audience, WINDOW_MS), Some(3));
        assert_eq!(refused.count(Reason::Audience, WINDOW_MS), Some(0));
        let latest =
            Latest { at_ms: 1, kid: "k".into(), iss: String::new(), request_id: "r".into() };
        refused.keep(Reason::Expired, latest.clone());
        assert_eq!(
            refused.list(),
            [(Reason::Expired, 1, Some(latest)), (Reason::Audience, 10, None)]
        );
    }
}
