//! Callers in the checked configuration: JWTs, key sets and the gateway's own keys.
//!
//! Level 2 of the map. Immutable, checked. Does not: verify a credential (see `auth`).

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::Uri;

use crate::config::sections::{Algorithm, AuthOptions, JwtOptions, KeyOptions};
use crate::glob::Glob;
use crate::ids::SecretBytes;

/// Authentication.
#[derive(Debug)]
pub struct AuthPolicy {
    /// `None` if neither a secret nor a key set is configured.
    pub jwt: Option<JwtPolicy>,
    /// Gateway keys, by the SHA-256 of the key.
    pub keys: HashMap<[u8; 32], Arc<GatewayKey>>,
    /// Its `accept` is not empty.
    pub options: AuthOptions,
}

/// The requirements of JWTs.
#[derive(Debug)]
pub struct JwtPolicy {
    /// The key set of all algorithms but those of the HS family.
    pub jwks: Option<JwksSource>,
    /// Path of names to the organisation, e.g. `["org_id"]` or `["app", "org"]` for `app.org`.
    pub org_claim: Vec<String>,
    /// Path of names to the user.
    pub user_claim: Vec<String>,
    /// Paths of names to the values of tags.
    pub tag_claims: Vec<Vec<String>>,
    /// Those of the HS algorithms: all of them verify, the first signs. None is empty.
    pub secrets: Vec<SecretBytes>,
    /// Its `algorithms` are not empty.
    pub options: JwtOptions,
    /// SHA-256 over all of the above, but for secrets in files: a JWT that was verified under other
    /// rules is verified anew.
    pub fingerprint: [u8; 32],
}

impl JwtPolicy {
    /// The first configured algorithm that signs with the shared secret.
    pub fn hs_algorithm(&self) -> Option<Algorithm> {
        self.options.algorithms.iter().copied().find(|algorithm| algorithm.is_hs())
    }

    /// The rules of a policy that gives only a secret. Rules that differ need fingerprints that
    /// differ.
    pub fn of_secret(secret: SecretBytes, fingerprint: [u8; 32]) -> JwtPolicy {
        JwtPolicy {
            jwks: None,
            org_claim: vec!["org_id".to_owned()],
            user_claim: vec!["sub".to_owned()],
            tag_claims: Vec::new(),
            secrets: vec![secret],
            options: JwtOptions::hs256(),
            fingerprint,
        }
    }
}

/// The source of a JWK set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// Watched.
    File(PathBuf),
    /// Asked again for an unknown `kid`, at most every 30 s.
    Url(Uri),
}

impl JwksSource {
    /// The source as operators see it: without credentials or a query.
    pub fn shown(&self) -> String {
        match self {
            JwksSource::File(path) => path.display().to_string(),
            JwksSource::Url(address) => {
                let host = address.authority().map_or("", |a| a.as_str());
                let host = host.rsplit('@').next().unwrap_or_default();
                format!("{}://{host}{}", address.scheme_str().unwrap_or("http"), address.path())
            }
        }
    }
}

/// A key of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayKey {
    pub name: Arc<str>,
    /// Time, in milliseconds since 1970, from which it is refused.
    pub expires_ms: Option<i64>,
    /// Models that it may be used for; empty: all.
    pub models: Vec<Glob>,
    /// Canonical paths that it may be used for; empty: all.
    pub endpoints: Vec<Glob>,
    pub options: KeyOptions,
}

impl GatewayKey {
    /// Whether it may not be used for everything that its organisation may do.
    pub fn is_restricted(&self) -> bool {
        !(self.models.is_empty() && self.endpoints.is_empty())
    }

    /// Whether it may be used for an endpoint, by its canonical path.
    pub fn may_call(&self, endpoint: &str) -> bool {
        self.endpoints.is_empty() || self.endpoints.iter().any(|glob| glob.matches(endpoint))
    }

    /// Whether it may be used for a model. A call that names none is not known to be allowed.
    pub fn may_use(&self, model: Option<&str>) -> bool {
        self.models.is_empty()
            || model.is_some_and(|model| self.models.iter().any(|glob| glob.matches(model)))
    }
}
