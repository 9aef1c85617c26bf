//! A record of the audit: its bytes, and the chain of hashes.
//!
//! Pure. A record is one line of JSON. Its hash is the SHA-256 of a prefix that nothing else is
//! hashed with, the hash of the record before, and the JSON as it is written, without the member
//! `hash`. Nothing is brought into a canonical form: both copies hold those very bytes.

use aws_lc_rs::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::effective::Change;
use crate::digest::{from_hex, hex};

/// The prefix of what is hashed.
const DOMAIN: &[u8] = b"tollgate-audit-v1\0";
/// The member that ends a line, before its 64 digits.
const HASH: &str = ",\"hash\":\"";

/// Why something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// `start`, `file`, `sighup` or `api`.
    pub kind: Kind,
    /// The operator, where one has signed in.
    pub principal: Option<String>,
}

/// The way in which something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The gateway began.
    Start,
    /// A file changed.
    File,
    /// The signal.
    Sighup,
    /// A request of an operator.
    Api,
}

impl By {
    /// Without an operator who is known.
    pub fn kind(kind: Kind) -> By {
        By { kind, principal: None }
    }

    /// By a request of this operator.
    pub fn api(principal: &str) -> By {
        By { kind: Kind::Api, principal: Some(principal.to_owned()) }
    }
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// A policy came into force.
    PolicyAccepted,
    /// An edit was refused.
    PolicyRejected,
    /// Calls are judged by a candidate.
    ShadowAccepted,
    /// A candidate was refused.
    ShadowRejected,
    /// A candidate has gone with its files.
    ShadowRemoved,
    /// An operator made a gateway key.
    KeyMade,
    /// An operator revoked a gateway key.
    KeyRevoked,
    /// An operator signed in.
    SignedIn,
    /// An operator made the cache forget answers.
    CachePurged,
    /// An operator sent a test to webhooks.
    AlertTested,
}

/// A file of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSum {
    pub(crate) name: String,
    pub(crate) sha256: String,
}

/// A record without its hash; the members are written in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    /// RFC 3339, in UTC.
    pub(crate) at: String,
    pub(crate) event: Event,
    pub(crate) by: By,
    /// The policy in force or, of an edit, its own.
    pub(crate) version: Option<String>,
    pub(crate) previous_version: Option<String>,
    pub(crate) files: Vec<FileSum>,
    pub(crate) diff: Vec<Change>,
    /// Differences that the record has no room for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) more_changes: usize,
    pub(crate) problems: Vec<String>,
    /// The key, for events of keys; the object of another action of an operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<Json>,
    pub(crate) prev: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// The fields of a record that the chain needs.
#[derive(Deserialize)]
struct Link {
    seq: u64,
    at: String,
    prev: String,
}

/// A record as a copy holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) seq: u64,
    pub(crate) at: String,
    pub(crate) prev: [u8; 32],
    /// As it is written.
    pub(crate) hash: [u8; 32],
    /// Whether the hash is that of the content.
    pub(crate) is_intact: bool,
}

/// The hash of a record: its bytes without the member `hash`, behind a record with this hash.
pub(crate) fn hash(prev: &[u8; 32], record: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [DOMAIN, prev, record] {
        context.update(part);
    }
    let mut sum = [0; 32];
    sum.copy_from_slice(context.finish().as_ref());
    sum
}

/// The line of a record, without its end.
pub(crate) fn line(record: &str, hash: &[u8; 32]) -> String {
    let open = record.strip_suffix('}').unwrap_or(record);
    format!("{open}{HASH}{}\"}}", hex(hash))
}

/// The record and the hash of a line.
pub(crate) fn divided(line: &str) -> Option<(String, &str)> {
    let (open, rest) = line.rsplit_once(HASH)?;
    Some((format!("{open}}}"), rest.strip_suffix("\"}")?))
}

/// A record as a copy holds it; `None` if it is none.
pub(crate) fn entry(record: &str, hash_text: &str) -> Option<Entry> {
    let link: Link = serde_json::from_str(record).ok()?;
    let (prev, stored) = (from_hex(&link.prev)?, from_hex(hash_text)?);
    let is_intact = hash(&prev, record.as_bytes()) == stored;
    Some(Entry { seq: link.seq, at: link.at, prev, hash: stored, is_intact })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_the_record_and_its_hash() {
        let record = r#"{"seq":1,"at":"2026-11-29T00:00:00.000Z","x":",\"hash\":\"","prev":"P"}"#
            .replace('P', &"0".repeat(64));
        let sum = hash(&[0; 32], record.as_bytes());
        let text = line(&record, &sum);
        assert!(text.ends_with(&format!("\",\"hash\":\"{}\"}}", hex(&sum))), "{text}");
        let (back, digits) = divided(&text).expect("a line");
        assert_eq!((back.as_str(), digits), (record.as_str(), hex(&sum).as_str()));
        let found = entry(&back, digits).expect("an entry");
        assert!(found.is_intact && found.seq == 1 && found.hash == sum);
        let altered = entry(&back.replace("2026", "2025"), digits).expect("an entry");
        assert!(!altered.is_intact);
        assert_ne!(hash(&[1; 32], record.as_bytes()), sum, "the record before counts");
        for wrong in
            ["", "{}", "x", &text[..text.len() - 1], &text.replace("\"seq\":1", "\"seq\":-1")]
        {
            let found = divided(wrong).and_then(|(record, hash)| entry(&record, hash));
            assert!(found.is_none(), "{wrong}");
        }
    }
}
