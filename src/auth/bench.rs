//! What `benches/limit.rs` measures of this room: a token that is seen for the first time, and again. Not part of the
//! gateway.

use std::collections::HashMap;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue, header};

use super::{Authenticator, Identified};
use crate::config::policy::{Accept, AuthPolicy, JwtPolicy};
use crate::ids::Secret;

const SECRET: &str = "benchmark-secret-of-enough-bytes";
const NOW_MS: i64 = 1_800_000_000_000;

/// A policy, and a call that shows a JWT.
pub struct Work {
    policy: AuthPolicy,
    headers: HeaderMap,
    known: Authenticator,
}

impl Default for Work {
    #[expect(clippy::expect_used, reason = "base64 is a header's value")]
    fn default() -> Work {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let claims = r#"{"org_id":"acme","sub":"ann","iat":1799999990,"exp":1800003600}"#;
        let signed = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), signed.as_bytes());
        let bearer = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(tag));
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_str(&bearer).expect("plain"));
        let jwt = JwtPolicy::of_secret(Secret::new(SECRET), [1; 32]);
        let policy = AuthPolicy { accept: vec![Accept::Jwt], jwt: Some(jwt), keys: HashMap::new() };
        Work { policy, headers, known: Authenticator::default() }
    }
}

impl Work {
    /// A token that was verified before.
    pub fn again(&self, _: u64) {
        identify(&self.known, &self.policy, &self.headers);
    }

    /// A token that nobody has seen yet, signed with HMAC: the signature is checked.
    pub fn first(&self, _: u64) {
        identify(&Authenticator::default(), &self.policy, &self.headers);
    }
}

fn identify(authenticator: &Authenticator, policy: &AuthPolicy, headers: &HeaderMap) {
    let identified = authenticator.identify(policy, headers, NOW_MS, false);
    assert!(matches!(identified, Identified::Done(Ok(caller)) if caller.org.as_str() == "acme"));
}
