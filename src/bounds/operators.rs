//! Bounds of the operators' side, of alerts and of the exact cache.
//!
//! A part of the leaf `bounds`: constants only. Each names the behaviour when it is reached.

use std::time::Duration;

// ---- the operators' side ------------------------------------------------------------------------

/// Open connections on the operators' side. Above it the one that has been silent for longest is
/// closed.
pub const ADMIN_CONNECTIONS_MAX: usize = 256;
/// Waiting for a request head there, and an idle connection: then it is closed.
pub const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client there may take nothing of its answer: then the connection is closed.
pub const ADMIN_WRITE_STALL_MAX: Duration = Duration::from_secs(10);
/// The same while connections are short.
pub const ADMIN_WRITE_STALL_MIN: Duration = Duration::from_secs(1);
/// How long a client there may take for the whole of an answer: then the connection is closed.
pub const ADMIN_ANSWER_TIME_MAX: Duration = Duration::from_secs(60);
/// Bytes that hyper may hold of one connection's input or output there.
pub const ADMIN_BUFFER_BYTES_MAX: usize = 16 << 10;
/// A piece of an answer, and the longest answer that needs no place.
pub const ADMIN_PIECE_BYTES: usize = 64 << 10;
/// Longer answers at once. Above it one waits for [`ADMIN_WAIT_MAX`]; then it is 503.
pub const ADMIN_ANSWERS_MAX: usize = 4;
/// An answer on the operators' side, in bytes; the last row may go beyond. A longer one is cut
/// between rows, and says so.
pub const ADMIN_ANSWER_BYTES_MAX: usize = 8 << 20;
/// Text of the rows that are read from the log at once.
pub const ADMIN_BATCH_BYTES_MAX: usize = 512 << 10;
/// Longest line of `audit.jsonl`, in bytes. Of a longer record the number of further differences is
/// kept.
pub const AUDIT_LINE_BYTES_MAX: usize = 1 << 20;
/// Records of the audit that a start hands to the store once more.
pub const AUDIT_RESENT_MAX: usize = 1_000;
/// Records of the audit that wait for the store. At the bound the oldest waits for the next start.
pub const AUDIT_WAITING_MAX: usize = 2_000;
/// Records in one answer of `/api/audit`.
pub const AUDIT_PAGE_MAX: usize = 1_000;
/// Gateway keys that are made at run time. At the bound a new one is refused.
pub const KEYS_MAX: usize = 10_000;
/// How long a key that is revoked or has expired is kept at the bound, in milliseconds.
pub const KEY_OVER_KEPT_MS: i64 = 30 * 24 * 3600 * 1000;
/// Longest request body of an operator. A longer one is 413.
pub const ADMIN_BODY_BYTES_MAX: usize = 64 << 10;
/// How long the body of an operator's request may take.
pub const ADMIN_BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Queries of the log at once. Above it one waits for [`ADMIN_WAIT_MAX`]; then it is 503.
pub const ADMIN_QUERIES_MAX: usize = 4;
/// Rows that a search of the log looks through at once.
pub const SEARCH_WINDOW_ROWS: usize = 10_000;
/// How long a search of the log goes on. Then it has what it found, and says how far it came.
pub const SEARCH_TIME_MAX: Duration = Duration::from_millis(600);
/// Characters of the text that is searched for. A longer one is 400.
pub const SEARCH_TEXT_MAX: usize = 200;
/// Subjects in the list of limits that are closest to exhaustion.
pub const CLOSEST_LIMITS_MAX: usize = 100;
/// How long a query or a long answer waits for its place.
pub const ADMIN_WAIT_MAX: Duration = Duration::from_secs(3);

// ---- alerts -------------------------------------------------------------------------------------

/// Webhooks of a policy. More are refused with it.
pub const WEBHOOKS_MAX: usize = 16;
/// Rules of a policy. More are refused with it.
pub const ALERT_RULES_MAX: usize = 256;
/// Organisations whose errors are counted, and whose budgets are looked at. Of the former the one
/// that was silent for the longest time is forgotten for a newcomer; of the latter others wait.
pub const ALERT_ORGS_MAX: usize = 4_096;
/// Notifications that wait for one webhook. A further one is dropped.
pub const ALERTS_QUEUED_MAX: i64 = 1_000;
/// Milliseconds for which a notification is tried. Then it is given up.
pub const ALERT_TRIED_FOR_MS: i64 = 3 * 86_400_000;
/// Milliseconds for which it is remembered that a threshold was told: longer than a month.
pub const ALERT_CLAIMS_KEPT_MS: i64 = 70 * 86_400_000;
/// The longest pause between two tries.
pub const ALERT_WAIT_MAX: Duration = Duration::from_secs(86_400);
/// The answer of a webhook, which is not looked at. With a longer one the try has failed.
pub const ALERT_ANSWER_BYTES_MAX: usize = 1 << 20;

// ---- the exact cache ----------------------------------------------------------------------------

/// A longer answer is not kept.
pub const CACHE_ANSWER_BYTES_MAX: usize = 1 << 20;
/// Headers and facts of a kept answer. One with more is not kept.
pub const CACHE_HEAD_BYTES_MAX: usize = 16 << 10;
/// So much is read of a file at most; a longer one is no answer.
pub const CACHE_FILE_BYTES_MAX: u64 = 2 << 20;
/// Kept answers. Above it the organisation that keeps most loses the one it used least lately.
pub const CACHE_ENTRIES_MAX: usize = 65_536;
/// Answers in memory, in bytes. Above it the one used least lately is on disk alone.
pub const CACHE_MEMORY_BYTES_MAX: usize = 32 << 20;
/// Answers on their way to the disk. A further one is not kept.
pub const CACHE_QUEUED_MAX: usize = 32;
/// Bytes that the cache holds at its bounds, if it is on.
pub const CACHE_BYTES_MAX: usize =
    CACHE_MEMORY_BYTES_MAX + CACHE_QUEUED_MAX * CACHE_ANSWER_BYTES_MAX + CACHE_ENTRIES_MAX * 512;
