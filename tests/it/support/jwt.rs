//! Tokens, made without the library that the gateway checks them with.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// The secret of the test policies.
pub const SECRET: &str = "integration-test-secret-of-enough-bytes";

/// A valid token of an organisation, for an hour.
pub fn jwt(org: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    sign(
        &json!({"alg": "HS256", "typ": "JWT"}),
        &json!({"org_id": org, "sub": "tests", "exp": now + 3600}),
        SECRET,
    )
}

/// Any header and claims, signed with HMAC-SHA-256.
pub fn sign(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}
