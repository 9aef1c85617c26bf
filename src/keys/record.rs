//! One key that was made at run time, as it is kept, shared and shown.
//!
//! Pure. The key itself is nowhere: a record has its SHA-256. Two records of the same key are
//! merged in any order to the same record, and one that is revoked stays revoked.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::policy::{GatewayKey, KeyOptions};
use crate::config::{is_api_path, moment_ms};
use crate::digest;
use crate::glob::Glob;
use crate::ids::OrgId;

/// Models, and endpoints, that one key may name.
const ENTRIES_MAX: usize = 64;
/// Longest name of a key, a model or a path, in bytes.
const TEXT_BYTES_MAX: usize = 128;

/// A key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub id: String,
    /// 64 hexadecimal digits.
    pub sha256: String,
    pub name: String,
    pub org: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// Milliseconds since 1970, as are the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    pub created_ms: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<i64>,
}

/// The request for a new key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    pub name: String,
    pub org: String,
    #[serde(default)]
    pub models: Vec<String>,
    #[serde(default)]
    pub endpoints: Vec<String>,
    /// A day (from 00:00 UTC) or a time.
    #[serde(default)]
    pub expires: Option<String>,
}

impl Wanted {
    /// The record of the key with this SHA-256.
    ///
    /// # Errors
    /// The field that cannot be used, and the remedy.
    pub fn record(self, id: String, sha256: [u8; 32], now_ms: i64) -> Result<Record, String> {
        let is_line = |text: &str| {
            !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control)
        };
        if !is_line(&self.name) {
            return Err("`name` is not usable; give 1 to 128 bytes of text on one line".to_owned());
        }
        let org = OrgId::new(&self.org).ok_or(
            "`org` is not the name of an organisation; give 1 to 128 of A-Z a-z 0-9 . _ : @ + = / -",
        )?;
        if org.is_reserved() {
            return Err(format!(
                "`org`: `{org}` is reserved for callers without an organisation; give another name"
            ));
        }
        for (field, list) in [("models", &self.models), ("endpoints", &self.endpoints)] {
            if list.len() > ENTRIES_MAX || !list.iter().all(|text| is_line(text)) {
                return Err(format!(
                    "`{field}` takes at most {ENTRIES_MAX} texts of 1 to 128 bytes"
                ));
            }
        }
        if let Some(path) = self.endpoints.iter().find(|path| !is_api_path(path)) {
            return Err(format!(
                "`endpoints`: `{path}` is not a path of the API; give e.g. /v1/chat/completions"
            ));
        }
        let expires_ms = self
            .expires
            .as_deref()
            .map(|text| {
                moment_ms(text.trim()).filter(|at| *at > now_ms).ok_or(
                    "`expires` is not a day or a time in the future; give e.g. 2027-01-31 or \
                     2027-01-31T12:00:00Z",
                )
            })
            .transpose()?;
        Ok(Record {
            id,
            sha256: digest::hex(&sha256),
            name: self.name,
            org: self.org,
            models: self.models,
            endpoints: self.endpoints,
            expires_ms,
            created_ms: now_ms,
            revoked_ms: None,
        })
    }
}

impl Record {
    /// The key as calls are checked with it, by its SHA-256; nothing if it is revoked or cannot be
    /// one.
    pub fn in_force(&self) -> Option<([u8; 32], Arc<GatewayKey>)> {
        if self.revoked_ms.is_some() {
            return None;
        }
        // The shared store may hold anything.
        let org = OrgId::new(&self.org).filter(|org| !org.is_reserved())?;
        let globs = |list: &[String]| list.iter().map(|text| Glob::new(text)).collect();
        let key = GatewayKey {
            name: Arc::from(self.name.as_str()),
            expires_ms: self.expires_ms,
            models: globs(&self.models),
            endpoints: globs(&self.endpoints),
            options: KeyOptions { org },
        };
        Some((digest::from_hex(&self.sha256)?, Arc::new(key)))
    }

    /// Whether it is of no use any more since that time.
    pub fn is_over(&self, since_ms: i64) -> bool {
        self.revoked_ms.is_some_and(|at| at < since_ms)
            || self.expires_ms.is_some_and(|at| at < since_ms)
    }

    /// Takes over what another record of the same key knows; whether that changed anything.
    pub fn merge(&mut self, other: &Record) -> bool {
        let revoked = match (self.revoked_ms, other.revoked_ms) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        std::mem::replace(&mut self.revoked_ms, revoked) != revoked
    }

    /// As operators see it.
    pub fn shown(&self) -> Value {
        let time = |ms: i64| {
            jiff::Timestamp::from_millisecond(ms).map(|at| at.to_string()).unwrap_or_default()
        };
        json!({
            "id": self.id,
            "name": self.name,
            "org": self.org,
            "models": self.models,
            "endpoints": self.endpoints,
            "created_at": time(self.created_ms),
            "expires_at": self.expires_ms.map(time),
            "revoked_at": self.revoked_ms.map(time),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(change: impl FnOnce(&mut Wanted)) -> Result<Record, String> {
        let mut wanted = Wanted {
            name: "ci".to_owned(),
            org: "acme".to_owned(),
            models: vec!["gpt-4o*".to_owned()],
            endpoints: vec!["/v1/embeddings".to_owned()],
            expires: Some("2027-01-31".to_owned()),
        };
        change(&mut wanted);
        wanted.record("key_1".to_owned(), [7; 32], 1_790_000_000_000)
    }

    #[test]
    fn a_record_is_the_key_that_was_asked_for() {
        let record = wanted(|_| {}).expect("a record");
        let (digest, key) = record.in_force().expect("in force");
        assert_eq!((digest, &*key.name, key.options.org.as_str()), ([7; 32], "ci", "acme"));
        assert_eq!(key.expires_ms, Some(1_801_353_600_000));
        assert!(key.may_use(Some("gpt-4o-mini")) && !key.may_use(Some("o3")));
        assert!(key.may_call("/v1/embeddings") && !key.may_call("/v1/responses"));
        let text = serde_json::to_string(&record).expect("JSON");
        assert_eq!(serde_json::from_str::<Record>(&text).expect("JSON"), record);
        let reserved = Record { org: "anonymous".to_owned(), ..record };
        assert!(reserved.in_force().is_none(), "a key for callers without an organisation");
    }

    #[test]
    fn a_wrong_field_is_named() {
        type Change = fn(&mut Wanted);
        let cases: [(Change, &str); 8] = [
            (|w| w.name.clear(), "`name`"),
            (|w| w.name = "a\nb".to_owned(), "`name`"),
            (|w| w.org = "no spaces".to_owned(), "`org`"),
            (|w| w.org = "anonymous".to_owned(), "reserved"),
            (|w| w.models = vec![String::new()], "`models`"),
            (|w| w.endpoints = vec!["chat".to_owned()], "`endpoints`: `chat`"),
            (|w| w.expires = Some("soon".to_owned()), "`expires`"),
            (|w| w.expires = Some("2020-01-01".to_owned()), "in the future"),
        ];
        for (change, word) in cases {
            let message = wanted(change).expect_err(word);
            assert!(message.contains(word), "{message}");
        }
    }

    #[test]
    fn merged_in_any_order_a_revoked_key_stays_revoked() {
        let made = wanted(|_| {}).expect("a record");
        let revoked = |at| Record { revoked_ms: Some(at), ..made.clone() };
        for (one, other, at) in [
            (made.clone(), made.clone(), None),
            (made.clone(), revoked(5), Some(5)),
            (revoked(9), revoked(5), Some(5)),
        ] {
            for (mut into, from) in [(one.clone(), &other), (other.clone(), &one)] {
                let before = into.clone();
                assert_eq!(into.merge(from), into != before);
                assert_eq!(into.revoked_ms, at);
                assert_eq!(into.in_force().is_none(), at.is_some());
            }
        }
    }
}
