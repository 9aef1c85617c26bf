//! The gateway's own keys, and the organisation of a provider's key that passes through.
//!
//! Pure. Keys are known only by their SHA-256, so neither the policy nor memory holds one.

use std::sync::Arc;

use subtle::ConstantTimeEq;

use super::Caller;
use super::error::{AuthError, Reason};
use crate::config::policy::{Accept, AuthPolicy};
use crate::digest::sha256;
use crate::ids::{OrgId, Secret};
use crate::keys::Keys;

/// How gateway keys begin.
const PREFIX: &[u8] = b"tg-";

/// Whether a text has the looks of a gateway key, so that one that is not known is never taken for
/// a provider's: it begins like one in any case, also behind a prefix (`key:tg-…`).
pub fn has_form(text: &str) -> bool {
    let mark = |b: u8| !(b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let mut before = None;
    text.as_bytes().windows(PREFIX.len()).any(|window| {
        let begins = before.replace(window[0]).is_none_or(mark);
        begins && window.eq_ignore_ascii_case(PREFIX)
    })
}

/// The caller that holds this key; an error where the key is known and has expired. `made`: keys
/// that were made at run time.
pub fn find(
    policy: &AuthPolicy,
    made: &Keys,
    key: &str,
    now_ms: i64,
) -> Option<Result<Caller, AuthError>> {
    let may_be_made = key.as_bytes().starts_with(PREFIX) && !made.is_empty();
    if policy.keys.is_empty() && !may_be_made {
        return None;
    }
    let digest = sha256(key.as_bytes());
    // The look-up is by a digest under a random hash; the comparison that decides takes the same
    // time for every key.
    let known = policy.keys.get_key_value(&digest);
    let known = known.filter(|(known, _)| bool::from(known.ct_eq(&digest)));
    let holder = match known {
        Some((_, holder)) => Arc::clone(holder),
        None if may_be_made => made.find(&digest)?,
        None => return None,
    };
    if holder.expires_ms.is_some_and(|expires| now_ms >= expires) {
        return Some(Err(AuthError::invalid(
            Reason::Expired,
            "this gateway key has expired; ask for a new one",
        )));
    }
    Some(Ok(Caller {
        org: holder.options.org.clone(),
        name: holder.name.clone(),
        via: Accept::Key,
        upstream_key: None,
        key: holder.is_restricted().then_some(holder),
        tags: None,
    }))
}

/// The caller behind a provider's own key.
pub fn passthrough(key: &str) -> Caller {
    Caller {
        org: organization(key),
        name: Arc::from(""),
        via: Accept::Passthrough,
        upstream_key: Some(Secret::new(key)),
        key: None,
        tags: None,
    }
}

/// The caller that says nothing of itself.
pub fn anonymous() -> Caller {
    Caller {
        org: OrgId::anonymous(),
        name: Arc::from(""),
        via: Accept::Anonymous,
        upstream_key: None,
        key: None,
        tags: None,
    }
}

/// The same key gives the same organisation; the key cannot be derived from its name.
fn organization(key: &str) -> OrgId {
    OrgId::of_provider_key(&sha256(key.as_bytes()))
}
