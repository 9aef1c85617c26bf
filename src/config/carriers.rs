//! Names of headers that carry a credential or a cookie.
//!
//! A leaf. Pure. Does not: look at values.

/// Parts of a header's name that tell of a credential.
const CREDENTIAL_PARTS: &[&str] = &[
    "cookie",
    "token",
    "secret",
    "passw",
    "session",
    "credential",
    "apikey",
    "jwt",
    "authoriz",
    "authent",
    "assertion",
    "bearer",
];
/// Whole words of one.
const CREDENTIAL_WORDS: &[&str] =
    &["auth", "oauth", "key", "sid", "csrf", "xsrf", "signature", "saml"];

/// Whether a header of this name, in lower case, carries a credential or a cookie.
pub(crate) fn tells_of_credential(name: &str) -> bool {
    CREDENTIAL_PARTS.iter().any(|part| name.contains(part))
        || name.split(['-', '_', '.']).any(|word| CREDENTIAL_WORDS.contains(&word))
}
