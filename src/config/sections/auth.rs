//! The keys of `auth`.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::super::reader::node::{Node, Value};
use super::super::reader::place::Problems;
use super::super::reader::shape::{
    At, Kind, Plain, Shape, Written, masked, of_file, secret_schema, section, words, written,
};
use super::MINUTE;
use crate::ids::{OrgId, SecretBytes};
use crate::live::Kind as LiveKind;
use crate::secrets::{self, FromFile};

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

words! {
    /// A signature algorithm of JWTs (RFC 7518 section 3.1, RFC 8037).
    Algorithm {
        /// HMAC with SHA-256.
        "HS256" => HS256,
        /// HMAC with SHA-384.
        "HS384" => HS384,
        /// HMAC with SHA-512.
        "HS512" => HS512,
        /// RSA PKCS #1 v1.5 with SHA-256.
        "RS256" => RS256,
        /// RSA PKCS #1 v1.5 with SHA-384.
        "RS384" => RS384,
        /// RSA PKCS #1 v1.5 with SHA-512.
        "RS512" => RS512,
        /// RSA PSS with SHA-256.
        "PS256" => PS256,
        /// RSA PSS with SHA-384.
        "PS384" => PS384,
        /// RSA PSS with SHA-512.
        "PS512" => PS512,
        /// ECDSA on P-256 with SHA-256.
        "ES256" => ES256,
        /// ECDSA on P-384 with SHA-384.
        "ES384" => ES384,
        /// ECDSA on P-521 with SHA-512.
        "ES512" => ES512,
        /// Ed25519.
        "EdDSA" => EdDSA,
    }
}

impl Algorithm {
    /// The algorithm with this name in a token's header.
    pub fn named(name: &str) -> Option<Algorithm> {
        Algorithm::WORDS.iter().find(|(word, _)| *word == name).map(|(_, algorithm)| *algorithm)
    }

    /// Whether it needs a shared secret.
    pub fn is_hs(self) -> bool {
        matches!(self, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
    }
}

/// The shared secret of the HS algorithms: a text, whose bytes are the key, or any bytes in base64.
#[derive(Clone, Debug)]
pub struct HsSecret(pub(crate) SecretBytes);

impl Plain for HsSecret {
    type Plain = SecretBytes;
    fn plain(&self) -> SecretBytes {
        self.0.clone()
    }
}

impl Shape for HsSecret {
    fn read(node: &Node, problems: &mut Problems) -> Option<HsSecret> {
        let entry = match &node.value {
            Value::Map(entries) => match entries.as_slice() {
                [(name, value)] => Some((name, value)),
                _ => None,
            },
            _ => None,
        };
        match entry {
            Some((name, value)) if name.text == "base64" => in_base64(value, problems),
            Some((name, _)) if name.text != "file" => {
                problems.add(&name.at, "unknown key; write `base64` or `file`");
                None
            }
            None if matches!(node.value, Value::Map(_)) => {
                let text =
                    "not a single key; write {file: PATH}, {base64: …}, or the secret as text";
                problems.add(&node.at, text);
                None
            }
            _ => of_kind(node, &secrets::TEXT, problems, |text| {
                Ok(SecretBytes::new(text.as_bytes()))
            }),
        }
    }
    fn json(&self) -> Json {
        masked(self.0.file(), self.0.is_empty())
    }
    fn schema() -> Json {
        json!({"anyOf": [
            {"type": ["string", "number"]},
            {"type": "object", "required": ["base64"], "additionalProperties": false,
             "properties": {"base64": secret_schema()}},
            {"type": "object", "required": ["file"], "additionalProperties": false,
             "properties": {"file": {"type": "string"}}},
        ]})
    }
    fn kind() -> Kind {
        Kind::Scalar("secret, `{file: PATH}` or `{base64: …}`")
    }
}

/// A secret as text, which `read` takes, or in a file of this kind.
fn of_kind(
    node: &Node,
    kind: &'static LiveKind<FromFile>,
    problems: &mut Problems,
    read: impl FnOnce(&str) -> Result<SecretBytes, &'static str>,
) -> Option<HsSecret> {
    let secret = match written(node, problems)? {
        Written::Text(text) => read(text).map_err(|reason| problems.add(&node.at, reason)).ok()?,
        Written::File(path) => {
            of_file(node, SecretBytes::of_file(&problems.live, kind, path), problems)
        }
    };
    Some(HsSecret(secret))
}

fn in_base64(value: &Node, problems: &mut Problems) -> Option<HsSecret> {
    of_kind(value, &secrets::BASE64, problems, |text| {
        let bytes = secrets::decode(text.trim()).filter(|bytes| !bytes.is_empty());
        bytes.map(|bytes| SecretBytes::new(&bytes)).ok_or(if text.trim().is_empty() {
            "empty; set a random secret: openssl rand -base64 32"
        } else {
            "not base64; write the bytes in base64, as `openssl rand -base64 32` does"
        })
    })
}

section! {
    /// Authentication.
    RawAuth => struct AuthOptions: Clone {
        /// Ways of authentication, tried in this order: jwt (needs a secret or a key set), key (a
        /// gateway key), passthrough (the caller's own provider key; anyone with any key may call),
        /// anonymous (anyone may call, at the gateway's cost). A JWT or a gateway key never reaches
        /// a provider.
        accept: Vec<At<Accept>> = "[jwt, key]";
        /// JWTs.
        jwt: RawJwt => check = "{}";
        /// Gateway keys. They begin with `tg-`; only their SHA-256 is kept.
        keys: Vec<At<RawKey>> => check = "[]", eg "{name: ci, org: acme, expires: 2027-01-31, \
            models: [gpt-4o-mini*], \
            sha256: 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef}";
    }
}
section! {
    /// JWTs. If `accept` has jwt, a secret or a key set is needed.
    RawJwt => struct JwtOptions: Clone {
        /// Accepted signature algorithms.
        algorithms: Vec<At<Algorithm>> = "[HS256]";
        /// Shared secret of the HS algorithms, 32 random bytes or more (`openssl rand -hex 32`);
        /// best a reference to the environment. Text is used as it is written; other bytes are
        /// given in base64: `{base64: "${TOLLGATE_JWT_SECRET}"}`. Also `{file: PATH}`, which is
        /// watched, or `{base64: {file: PATH}}`.
        secret: HsSecret => check = "''";
        /// Several such secrets at once, at most 8, in place of `secret`: all of them verify, the
        /// first signs (`tollgate token`). For rotation: [new, old], then the issuers change, then
        /// [new].
        secrets: Vec<At<HsSecret>> => check = "[]", eg "{file: /run/secrets/jwt}";
        /// JWK set of the other algorithms: a file, which is watched, or a URL, which is read again
        /// for an unknown `kid`, at most every 30 s.
        jwks: String => check = "''";
        /// Required value of `iss`; if empty, `iss` is not checked.
        issuer: String = "''";
        /// Value that `aud` must be or contain; if empty, `aud` is not checked.
        audience: String = "''";
        /// Claim with the organisation. Dots lead into objects: app.org. A name has 1 to 128
        /// letters, digits or characters of `._:@+=/-`.
        org_claim: String => check = "org_id";
        /// Claim with the user: the `caller` of rows, and the subject of `limits.each_user`.
        user_claim: String => check = "sub";
        /// Accepted difference between clocks.
        leeway: Duration = "30s" in Duration::ZERO..=10 * MINUTE;
    }
}
section! {
    /// A gateway key; `tollgate key new` makes one.
    RawKey => struct KeyOptions: Clone, PartialEq, Eq {
        /// Name of the holder: the `caller` of its rows.
        name: String => check;
        /// SHA-256 of the whole key, 64 hex digits: `printf %s "$KEY" | sha256sum`.
        sha256: String => check;
        /// Organisation of the key.
        org: OrgId;
        /// Day (2027-01-31, from 00:00 UTC) or moment (2027-01-31T12:00:00Z) from which the key is
        /// refused. Without it, the key does not expire.
        expires: Option<String> => check = "null";
        /// Models that the key may be used for; `*` stands for any run of characters. Empty: all
        /// models.
        models: Vec<At<String>> => check = "[]";
        /// Paths that the key may be used for, such as /v1/chat/completions; `*` stands for any run
        /// of characters. Empty: all paths.
        endpoints: Vec<At<String>> => check = "[]";
    }
}

impl AuthOptions {
    /// The defaults, with these ways of authentication.
    pub fn accepting(accept: Vec<Accept>) -> AuthOptions {
        AuthOptions { accept }
    }
}

impl JwtOptions {
    /// The defaults.
    pub fn hs256() -> JwtOptions {
        JwtOptions {
            algorithms: vec![Algorithm::HS256],
            issuer: String::new(),
            audience: String::new(),
            leeway: Duration::from_secs(30),
        }
    }
}
