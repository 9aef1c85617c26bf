//! A flow between its two halves: kept by the browser, sealed.
//!
//! Guarantees: only this process opens what it has sealed, for ten minutes; no flow takes memory
//! here, so strangers cannot use up a bound by beginning flows. Does not: know whether a flow has
//! been finished.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

/// Time that a person has to sign in at the issuer.
pub(crate) const LASTS_MS: i64 = 600_000;
/// Keeps what is sealed here apart from anything else.
const PURPOSE: &[u8] = b"tollgate oidc flow v1";
/// Longest sealed flow that is opened.
const SEALED_BYTES_MAX: usize = 4096;

/// The secrets of a flow, and where it comes back to.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Flow {
    pub(crate) state: String,
    pub(crate) nonce: String,
    /// PKCE's `code_verifier`.
    pub(crate) verifier: String,
    pub(crate) redirect_uri: String,
    ends_ms: i64,
}

impl Flow {
    pub(crate) fn new(
        state: String,
        nonce: String,
        verifier: String,
        redirect_uri: &str,
        now_ms: i64,
    ) -> Flow {
        let ends_ms = now_ms.saturating_add(LASTS_MS);
        Flow { state, nonce, verifier, redirect_uri: redirect_uri.to_owned(), ends_ms }
    }
}

/// A key of this process.
pub(crate) struct Seal(RandomizedNonceKey);

impl Seal {
    /// A new key; nothing if the system gives no random numbers.
    pub(crate) fn new() -> Option<Seal> {
        let mut key = [0; 32];
        rand::fill(&mut key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).ok().map(Seal)
    }

    /// The flow as text for a cookie.
    pub(crate) fn close(&self, flow: &Flow) -> Option<String> {
        let mut sealed = serde_json::to_vec(flow).ok()?;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(PURPOSE), &mut sealed).ok()?;
        Some(URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat()))
    }

    /// The flow in a text, if this process has sealed it and it is not over.
    pub(crate) fn open(&self, text: &str, now_ms: i64) -> Option<Flow> {
        if text.len() > SEALED_BYTES_MAX {
            return None;
        }
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(PURPOSE), sealed).ok()?;
        let flow: Flow = serde_json::from_slice(plain).ok()?;
        // A clock that was set back ends it, too.
        let is_over = flow.ends_ms <= now_ms || flow.ends_ms > now_ms.saturating_add(LASTS_MS);
        (!is_over).then_some(flow)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow() -> Flow {
        let text = |text: &str| text.to_owned();
        Flow::new(text("s"), text("n"), text("v"), "http://127.0.0.1/sign-in/callback", 1_000)
    }

    #[test]
    fn a_flow_is_opened_by_its_process_while_it_lasts() {
        let seal = Seal::new().expect("a key");
        let text = seal.close(&flow()).expect("sealed");
        assert_eq!(seal.open(&text, 1_000), Some(flow()));
        assert_eq!(seal.open(&text, 1_000 + LASTS_MS - 1), Some(flow()));
        assert_eq!(seal.open(&text, 1_000 + LASTS_MS), None, "over");
        assert_eq!(seal.open(&text, 999), None, "the clock was set back");
        assert_eq!(Seal::new().expect("a key").open(&text, 1_000), None, "another process");
        assert_ne!(seal.close(&flow()), Some(text), "never the same twice");
    }

    #[test]
    fn no_changed_text_is_opened() {
        let seal = Seal::new().expect("a key");
        let text = seal.close(&flow()).expect("sealed");
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(seal.open(&changed, 1_000), None, "{at}");
        }
        for wrong in ["", "AAAA", "%", &"A".repeat(SEALED_BYTES_MAX + 1)] {
            assert_eq!(seal.open(wrong, 1_000), None);
        }
    }
}
