//! Names that travel with a call: organisation, caller, request id, secret.
//!
//! A leaf. Cheap to clone (one reference count). A value of these types has been checked where it
//! was made.

use std::fmt::{self, Write as _};
use std::sync::Arc;

pub use crate::secrets::{Secret, SecretBytes};

/// The organisation of calls that show no credential.
const ANONYMOUS: &str = "anonymous";
/// How organisations of providers' own keys begin.
const KEY_PREFIX: &str = "key-";

/// An organisation. Invariant: 1 to 128 bytes of `A-Z a-z 0-9 . _ : @ + = / -`, so it is safe in a
/// log and a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgId(Arc<str>);

impl OrgId {
    /// The organisation of that name, or nothing if the name is empty, too long or has another
    /// character.
    pub fn new(name: &str) -> Option<OrgId> {
        let fits = !name.is_empty()
            && name.len() <= crate::bounds::ORG_BYTES_MAX
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:@+=/-".contains(&b));
        fits.then(|| OrgId(Arc::from(name)))
    }

    /// The organisation of calls that show no credential.
    pub fn anonymous() -> OrgId {
        OrgId(Arc::from(ANONYMOUS))
    }

    /// The organisation of a provider's own key, by the SHA-256 of the key: `key-` and twelve hex
    /// digits.
    pub fn of_provider_key(sha256: &[u8; 32]) -> OrgId {
        let mut name = KEY_PREFIX.to_owned();
        for byte in &sha256[..6] {
            // Writing to a string cannot fail.
            let _ = write!(name, "{byte:02x}");
        }
        OrgId(Arc::from(name))
    }

    /// Whether the name is one that only the gateway itself gives: `anonymous`, `passthrough`, and
    /// all that begin with `key-`, in any case. No JWT and no gateway key may speak for such an
    /// organisation.
    pub fn is_reserved(&self) -> bool {
        let begins = self.0.as_bytes().get(..KEY_PREFIX.len());
        begins.is_some_and(|begin| begin.eq_ignore_ascii_case(KEY_PREFIX.as_bytes()))
            || [ANONYMOUS, "passthrough"].iter().any(|name| self.0.eq_ignore_ascii_case(name))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for OrgId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OrgId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of one call: the caller's own if it sent a sane one, else made here. 1 to 128 bytes of
/// `A-Z a-z 0-9 . _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// Takes the caller's id if it is sane.
    pub fn from_client(value: &[u8]) -> Option<RequestId> {
        let fits = (1..=128).contains(&value.len())
            && value.iter().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(b));
        let text = std::str::from_utf8(value).ok()?;
        fits.then(|| RequestId(Arc::from(text)))
    }

    /// Makes one: `req_` and 24 random letters and digits.
    pub fn random() -> RequestId {
        let mut id = *b"req_000000000000000000000000";
        for b in &mut id[4..] {
            *b = fastrand::alphanumeric() as u8;
        }
        RequestId(Arc::from(std::str::from_utf8(&id).unwrap_or("req_")))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn org_names_are_plain() {
        for good in [
            "a",
            "acme",
            "4711",
            "key-0123456789ab",
            "team/a.b_c",
            "auth0|x".replace('|', ":").as_str(),
        ] {
            assert!(OrgId::new(good).is_some(), "{good}");
        }
        for bad in ["", " ", "a b", "a\nb", "ä", "{}", &"x".repeat(129)] {
            assert!(OrgId::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn names_of_the_gateway_s_own_are_reserved() {
        assert_eq!(OrgId::of_provider_key(&[0xab; 32]).as_str(), "key-abababababab");
        let reserved = |name: &str| OrgId::new(name).expect("name").is_reserved();
        for name in [
            "anonymous",
            "Anonymous",
            "ANONYMOUS",
            "passthrough",
            "key-",
            "key-0123456789ab",
            "KEY-x",
            "Key-acme",
        ] {
            assert!(reserved(name), "{name}");
        }
        for name in ["acme", "key", "keys-acme", "monkey-1", "anonymous-inc", "a/anonymous", "1"] {
            assert!(!reserved(name), "{name}");
        }
        assert!(OrgId::anonymous().is_reserved() && OrgId::of_provider_key(&[0; 32]).is_reserved());
    }

    #[test]
    fn request_ids_of_clients_are_taken_only_when_sane() {
        assert_eq!(
            RequestId::from_client(b"abc-1.2_3").map(|r| r.as_str().to_owned()),
            Some("abc-1.2_3".into())
        );
        for bad in [&b""[..], b"a b", b"a\nb", b"\xff", &[b'a'; 129]] {
            assert!(RequestId::from_client(bad).is_none());
        }
        assert!(RequestId::from_client(RequestId::random().as_str().as_bytes()).is_some());
    }
}
