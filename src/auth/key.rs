//! The gateway's own keys, and the organisation of a provider's key that passes through.
//!
//! Pure. Keys are known only by their SHA-256, so neither the policy nor memory holds one.

use std::fmt::Write as _;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::{AuthError, Caller};
use crate::config::policy::{Accept, AuthPolicy};
use crate::ids::{OrgId, Secret};

/// How gateway keys begin, so that one that is not known is never taken for a provider's.
pub(super) const PREFIX: &str = "tg-";

/// The caller that holds this key; an error where the key is known and has expired.
pub(super) fn find(policy: &AuthPolicy, key: &str, now_ms: i64) -> Option<Result<Caller, AuthError>> {
    if policy.keys.is_empty() {
        return None;
    }
    let digest = sha256(key);
    // The look-up is by a digest under a random hash; the comparison that decides takes the same time for every key.
    let (known, holder) = policy.keys.get_key_value(&digest)?;
    if !bool::from(known.ct_eq(&digest)) {
        return None;
    }
    if holder.expires_ms.is_some_and(|expires| now_ms >= expires) {
        return Some(Err(AuthError::Invalid("this gateway key has expired; ask for a new one")));
    }
    Some(Ok(Caller {
        org: holder.org.clone(),
        name: holder.name.clone(),
        via: Accept::Key,
        upstream_key: None,
        key: holder.is_restricted().then(|| Arc::clone(holder)),
    }))
}

/// The caller behind a provider's own key.
pub(super) fn passthrough(key: &str) -> Caller {
    Caller {
        org: organization(key),
        name: Arc::from(""),
        via: Accept::Passthrough,
        upstream_key: Some(Secret::new(key)),
        key: None,
    }
}

/// The caller that says nothing of itself.
#[expect(clippy::expect_used, reason = "a constant that fits the rule of names")]
pub(super) fn anonymous() -> Caller {
    let org = OrgId::new("anonymous").expect("plain name");
    Caller { org, name: Arc::from(""), via: Accept::Anonymous, upstream_key: None, key: None }
}

/// `key-` and twelve hex digits of the SHA-256: the same key is the same organisation, and tells nothing of the key.
#[expect(clippy::expect_used, reason = "hex digits after `key-` fit the rule of names")]
fn organization(key: &str) -> OrgId {
    let mut name = "key-".to_owned();
    for byte in &sha256(key)[..6] {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    OrgId::new(&name).expect("plain name")
}

fn sha256(text: &str) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
    out
}
