//! The keys of `auth`.

use std::time::Duration;

use super::super::reader::node::Node;
use super::super::reader::place::Problems;
use super::super::reader::shape::{At, Shape, section, words};
use super::MINUTE;
use crate::ids::{OrgId, Secret};

words! {
    /// One way of authentication.
    Accept {
        /// A JWT.
        "jwt" => Jwt,
        /// A key of the gateway's own.
        "key" => Key,
        /// The caller's own provider key, which is not verified.
        "passthrough" => Passthrough,
        /// Nothing.
        "anonymous" => Anonymous,
    }
}

/// Signature algorithms that JWTs may have.
const ALGORITHMS: &[&str] = &[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256",
    "ES384", "EdDSA",
];
words!(jsonwebtoken::Algorithm => ALGORITHMS);

section! {
    /// Authentication.
    RawAuth {
        /// Ways of authentication, tried in this order: jwt (needs a secret or a key set), key (a
        /// gateway key), passthrough (the caller's own provider key; anyone with any key may call),
        /// anonymous (anyone may call, at the gateway's cost). A JWT or a gateway key never reaches
        /// a provider.
        accept: Vec<At<Accept>> = "[jwt, key]";
        /// JWTs.
        jwt: RawJwt = "{}";
        /// Gateway keys. They begin with `tg-`; only their SHA-256 is kept.
        keys: Vec<At<RawKey>> = "[]", eg "{name: ci, org: acme, expires: 2027-01-31, models: [gpt-4o-mini*], \
            sha256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}";
    }
}
section! {
    /// JWTs. If `accept` has jwt, a secret or a key set is needed.
    RawJwt {
        /// Accepted signature algorithms.
        algorithms: Vec<At<jsonwebtoken::Algorithm>> = "[HS256]";
        /// Shared secret of the HS algorithms, 32 random bytes or more (`openssl rand -hex 32`);
        /// best given as a reference to the environment.
        secret: Secret = "''";
        /// JWK set of the other algorithms: a file, which is watched, or a URL, which is read again
        /// for an unknown `kid`, at most every 30 s.
        jwks: String = "''";
        /// Required value of `iss`; empty: not checked.
        issuer: String = "''";
        /// Value that `aud` must be or contain; empty: not checked.
        audience: String = "''";
        /// Claim with the organisation. Dots lead into objects: app.org.
        org_claim: String = "org_id";
        /// Claim with the user: the `caller` of rows, and the subject of `limits.each_user`.
        user_claim: String = "sub";
        /// Accepted difference between clocks.
        leeway: Duration = "30s" in Duration::ZERO..=10 * MINUTE;
    }
}
section! {
    /// A gateway key; `tollgate key new` makes one.
    RawKey {
        /// Name of the holder: the `caller` of its rows.
        name: String;
        /// SHA-256 of the whole key, 64 hex digits: `printf %s "$KEY" | sha256sum`.
        sha256: String;
        /// Organisation of the key.
        org: OrgId;
        /// Day (2027-01-31, from 00:00 UTC) or moment (2027-01-31T12:00:00Z) from which the key is
        /// refused. Without it, the key does not expire.
        expires: Option<String> = "null";
        /// Models that the key may be used for; `*` stands for any run of characters. Empty: all
        /// models.
        models: Vec<At<String>> = "[]";
        /// Paths that the key may be used for, such as /v1/chat/completions; `*` stands for any run
        /// of characters. Empty: all paths.
        endpoints: Vec<At<String>> = "[]";
    }
}
