//! The meaning of a configuration, in a form that can be kept on disk.
//!
//! Values are masked. A masked value has a mark, so that a change of it is noticed: an HMAC-SHA256
//! of its text under a random salt, which is as secret as the file that keeps both.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::Effective;
use crate::digest::hex;

/// The values of a configuration and its named entries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meaning {
    pub(crate) items: Vec<Held>,
    pub(crate) entries: Vec<Vec<String>>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) path: Vec<String>,
    pub(crate) value: Json,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_secret: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_given: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_ordered: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl Effective {
    /// Its meaning, with marks under `salt`.
    pub(crate) fn meaning(&self, salt: &[u8]) -> Meaning {
        let key = hmac::Key::new(hmac::HMAC_SHA256, salt);
        let items = self.items.iter().map(|item| Held {
            path: item.path.clone(),
            value: item.value.clone(),
            mark: item
                .exact
                .as_ref()
                .map(|exact| hex(hmac::sign(&key, exact.0.as_bytes()).as_ref())),
            is_secret: item.is_secret,
            is_given: item.is_given,
            is_ordered: item.is_ordered,
        });
        Meaning { items: items.collect(), entries: self.entries.clone() }
    }
}
