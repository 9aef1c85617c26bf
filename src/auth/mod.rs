//! Stage 3 of the walk: turns the bearer token into a [`Caller`].
//!
//! A caller sends a JWT or a gateway key as its bearer token (that is all an application has to
//! set), or either in `x-tollgate-token`, alone or beside a bearer that is its own provider key. If
//! the policy allows it, a bearer that is neither passes through to the provider, and a call
//! without any is anonymous. Ways are tried in the order of `auth.accept`; but a call with a
//! gateway credential is judged by that credential, so that a wrong one is never taken for another
//! kind.
//!
//! Guarantees: a gateway credential never ends up as an upstream key, whether or not the policy
//! accepts its kind: a bearer in the form of a JWT or of a gateway key is verified or refused,
//! never passed on; a token is not decoded before its length is checked, and its claims are not
//! used before its signature is verified; no message quotes a credential; the organisation comes
//! from the credential alone, and is never a name that the gateway uses itself. A token that was
//! verified once costs a hash and a look-up until it expires, the policy's rules for JWTs change,
//! or the key set does.
//!
//! Bounds: `BEARER_BYTES_MAX`, `VERIFIED_TOKENS_MAX`, `JWKS_*`. Does not: read bodies, or fetch a
//! key set itself (see [`KeySetFetch`]).
//!
//! # Source
//! RFC 6750 (bearer), RFC 7515 and 7519 (JWS, JWT), RFC 8725 (JWT best current practices).

mod bearer;
mod error;
mod json;
mod jwks;
mod jwt;
mod key;
pub mod oidc;
mod refused;
mod signature;
mod verified;

use std::sync::Arc;

use http::{HeaderMap, Uri};

pub use error::{AuthError, Reason};
pub use jwks::{FetchError, KeySetFetch};
pub use refused::{Latest, Refused};
pub use signature::hmac_key;

use crate::config::policy::GatewayKey;
use crate::config::policy::JwksSource;
pub use crate::config::policy::{Accept, AuthOptions, AuthPolicy, JwtPolicy};
use crate::ids::{OrgId, Secret};
use crate::keys::Keys;

/// An authenticated caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The organisation to which the call is counted.
    pub org: OrgId,
    /// Name of the gateway key, or subject of the JWT; may be empty.
    pub name: Arc<str>,
    /// The kind of credential.
    pub via: Accept,
    /// The caller's own provider key, which is used instead of the gateway's.
    pub upstream_key: Option<Secret>,
    /// The gateway key, if its use is restricted.
    pub key: Option<Arc<GatewayKey>>,
    /// The claims that are tags, in the order of the policy; not redacted.
    pub tags: Option<Arc<[Option<String>]>>,
}

const MISSING: AuthError = AuthError::missing(
    "no API key was given; send a JWT or a gateway key as the bearer token (in an SDK: as the API \
     key)",
);
const KEY_MISSING: AuthError = AuthError::missing(
    "no API key was given; send a gateway key as the bearer token (in an SDK: as the API key)",
);
const JWT_MISSING: AuthError =
    AuthError::missing("no token was given; send a JWT as the bearer token");
const OWN_KEY_MISSING: AuthError = AuthError::missing(
    "no API key was given; send your provider's key as the bearer token (in an SDK: as the API key)",
);
const NOT_ACCEPTED: AuthError =
    AuthError::invalid(Reason::NotAccepted, "this kind of API key is not accepted here");
const UNKNOWN_KEY: AuthError = AuthError::invalid(
    Reason::UnknownKey,
    "this gateway key is not known; check that it was copied whole",
);
/// A bearer that is neither a JWT nor a gateway key, where no such bearer is accepted.
const FOREIGN: AuthError = AuthError::unverified(Reason::NotAccepted);
const TWO_CREDENTIALS: AuthError = AuthError::invalid(
    Reason::TwoCredentials,
    "two gateway credentials were sent; beside x-tollgate-token the bearer has to be a provider's \
     own key",
);
const JWT_NEEDED: AuthError =
    AuthError::invalid(Reason::JwtNeeded, "this endpoint needs a JWT as its bearer token");

/// The error without any credential: it names those that are taken.
fn missing(policy: &AuthPolicy, require_jwt: bool) -> AuthError {
    let takes = |way| policy.options.accept.contains(&way);
    match (require_jwt, takes(Accept::Jwt), takes(Accept::Key)) {
        (true, ..) | (false, true, false) => JWT_MISSING,
        (false, true, true) => MISSING,
        (false, false, true) => KEY_MISSING,
        (false, false, false) => OWN_KEY_MISSING,
    }
}

/// The result of a look at the headers.
#[derive(Debug)]
enum Identified {
    Done(Result<Caller, AuthError>),
    /// The token names a key that is not in the set; the set may have to be fetched from this
    /// address. If the key is still unknown then, this is the error.
    NeedsKeySet(Uri, AuthError),
}

/// Knows the tokens that were verified and the key sets that were read. Outlives policy reloads.
#[derive(Debug, Default)]
pub struct Authenticator {
    verified: verified::Verified,
    key_sets: jwks::KeySets,
    /// The credentials that were refused, for operators.
    pub refused: Refused,
    /// Gateway keys that were made at run time.
    pub(crate) keys: Arc<Keys>,
}

/// The content of one of the two places of a credential.
enum Shown<'a> {
    /// A text in the form of a gateway key.
    Key(Option<Result<Caller, AuthError>>),
    /// In the form of a JWT, whether or not JWTs are checked here.
    Jwt(&'a str),
    /// Neither.
    Foreign(&'a str),
}

/// Why a text is no usable key set, if it is none.
pub(crate) fn key_set_fault(bytes: &[u8]) -> Option<&'static str> {
    jwks::KeySet::read(bytes).err()
}

impl Authenticator {
    /// One that also knows these keys.
    pub(crate) fn with(keys: Keys) -> Authenticator {
        Authenticator { keys: Arc::new(keys), ..Authenticator::default() }
    }

    /// Whether there is a key for each way to verify JWTs. A key set at an address is fetched when
    /// a token needs it, so only a file counts.
    pub(crate) fn has_keys(&self, policy: &AuthPolicy, now_ms: i64) -> bool {
        let source = policy.jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref());
        match source {
            Some(source @ JwksSource::File(_)) if policy.options.accept.contains(&Accept::Jwt) => {
                !self.key_sets.current(source, now_ms).keys.is_empty()
            }
            _ => true,
        }
    }

    /// Authenticates a call. `require_jwt`: only a JWT is accepted.
    ///
    /// Waits only if a JWK set has to be fetched: at the first token that needs it, at an unknown
    /// key id (at most once in 30 s), and when the set has grown old.
    ///
    /// # Errors
    /// See [`AuthError`].
    ///
    /// # Cancel safety
    /// A later call repeats a fetch that is dropped.
    pub async fn authenticate(
        &self,
        policy: &AuthPolicy,
        headers: &HeaderMap,
        now_ms: i64,
        require_jwt: bool,
        fetch: &impl KeySetFetch,
    ) -> Result<Caller, AuthError> {
        let source = policy.jwt.as_ref().and_then(|jwt| jwt.jwks.as_ref());
        if let Some(address) = source.and_then(|source| self.key_sets.is_old(source, now_ms)) {
            // Boxed here and below: seldom needed, and large beside all else that a call holds
            // while it waits.
            Box::pin(self.key_sets.renew(&address, now_ms, fetch)).await;
        }
        let address = match self.identify(policy, headers, now_ms, require_jwt) {
            Identified::Done(result) => return result,
            Identified::NeedsKeySet(address, _) => address,
        };
        Box::pin(self.key_sets.refresh(&address, now_ms, fetch)).await;
        match self.identify(policy, headers, now_ms, require_jwt) {
            Identified::Done(result) => result,
            Identified::NeedsKeySet(_, error) => Err(error),
        }
    }

    /// The result of [`Authenticator::authenticate`] as far as it is known without waiting; `None`
    /// if a key set would have to be fetched.
    pub fn look_at(
        &self,
        policy: &AuthPolicy,
        headers: &HeaderMap,
        now_ms: i64,
        require_jwt: bool,
    ) -> Option<Result<Caller, AuthError>> {
        match self.identify(policy, headers, now_ms, require_jwt) {
            Identified::Done(result) => Some(result),
            Identified::NeedsKeySet(..) => None,
        }
    }

    fn identify(
        &self,
        policy: &AuthPolicy,
        headers: &HeaderMap,
        now_ms: i64,
        require_jwt: bool,
    ) -> Identified {
        let found = match bearer::find(headers) {
            Ok(found) => found,
            Err(error) => return Identified::Done(Err(error)),
        };
        match (found.gateway, found.bearer) {
            (Some(token), bearer) => {
                self.gateway_header(policy, token, bearer, now_ms, require_jwt)
            }
            (None, Some(bearer)) => self.bearer(policy, bearer, now_ms, require_jwt),
            (None, None) if policy.options.accept.contains(&Accept::Anonymous) && !require_jwt => {
                Identified::Done(Ok(key::anonymous()))
            }
            (None, None) => Identified::Done(Err(missing(policy, require_jwt))),
        }
    }

    /// `x-tollgate-token`, alone or beside the caller's own provider key.
    fn gateway_header(
        &self,
        policy: &AuthPolicy,
        token: &str,
        bearer: Option<&str>,
        now_ms: i64,
        require_jwt: bool,
    ) -> Identified {
        let upstream_key = match bearer.map(|bearer| self.look(policy, bearer, now_ms)) {
            None => None,
            Some(Shown::Key(_) | Shown::Jwt(_)) => return Identified::Done(Err(TWO_CREDENTIALS)),
            Some(Shown::Foreign(key)) => {
                policy.options.accept.contains(&Accept::Passthrough).then(|| Secret::new(key))
            }
        };
        let identified = match self.look(policy, token, now_ms) {
            Shown::Foreign(_) if require_jwt => Identified::Done(Err(JWT_NEEDED)),
            Shown::Foreign(_) => Identified::Done(Err(FOREIGN)),
            shown => self.credential(policy, shown, now_ms, require_jwt),
        };
        match identified {
            Identified::Done(Ok(caller)) => Identified::Done(Ok(Caller { upstream_key, ..caller })),
            other => other,
        }
    }

    /// A bearer on its own.
    fn bearer(
        &self,
        policy: &AuthPolicy,
        bearer: &str,
        now_ms: i64,
        require_jwt: bool,
    ) -> Identified {
        let key = match self.look(policy, bearer, now_ms) {
            Shown::Foreign(key) => key,
            shown => return self.credential(policy, shown, now_ms, require_jwt),
        };
        if require_jwt {
            return Identified::Done(Err(JWT_NEEDED));
        }
        let way = policy
            .options
            .accept
            .iter()
            .find(|way| matches!(way, Accept::Passthrough | Accept::Anonymous));
        Identified::Done(match way {
            Some(Accept::Passthrough) => Ok(key::passthrough(key)),
            Some(_) => Ok(key::anonymous()),
            None => Err(FOREIGN),
        })
    }

    /// A gateway key or a JWT, wherever it was.
    fn credential(
        &self,
        policy: &AuthPolicy,
        shown: Shown<'_>,
        now_ms: i64,
        require_jwt: bool,
    ) -> Identified {
        match shown {
            Shown::Jwt(token) => match &policy.jwt {
                Some(jwt) if policy.options.accept.contains(&Accept::Jwt) => {
                    self.jwt(jwt, token, now_ms)
                }
                _ => Identified::Done(Err(NOT_ACCEPTED)),
            },
            _ if require_jwt => Identified::Done(Err(JWT_NEEDED)),
            Shown::Key(Some(_)) if !policy.options.accept.contains(&Accept::Key) => {
                Identified::Done(Err(NOT_ACCEPTED))
            }
            Shown::Key(Some(caller)) => Identified::Done(caller),
            Shown::Key(None) | Shown::Foreign(_) => Identified::Done(Err(UNKNOWN_KEY)),
        }
    }

    /// The kind of a credential, by its form and by the known keys. The form does not depend on the
    /// configuration, so that a missing secret cannot turn a JWT into a provider's key.
    fn look<'a>(&self, policy: &AuthPolicy, text: &'a str, now_ms: i64) -> Shown<'a> {
        if jwt::has_form(text) {
            return Shown::Jwt(text);
        }
        match key::find(policy, &self.keys, text, now_ms) {
            Some(caller) => Shown::Key(Some(caller)),
            None if key::has_form(text) => Shown::Key(None),
            None => Shown::Foreign(text),
        }
    }

    fn jwt(&self, policy: &JwtPolicy, token: &str, now_ms: i64) -> Identified {
        let keys = policy.jwks.as_ref().map(|source| self.key_sets.current(source, now_ms));
        let digest = verified::digest(policy, keys.as_ref().map(|k| &k.keys.digest), token);
        if let Some(claims) = self.verified.get(&digest) {
            return Identified::Done(
                claims.still_valid(policy, now_ms).and_then(|()| claims.caller()),
            );
        }
        let claims = match jwt::verify(policy, keys.as_ref().map(|k| &*k.keys), token) {
            Ok(claims) => Arc::new(claims),
            // Another set may hold the key: once more with it, if it may be asked for now.
            Err(reason @ (Reason::UnknownKid | Reason::NoKeySet)) => {
                let error = AuthError::unverified(reason);
                let address = keys.and_then(|k| k.may_ask);
                return address.map_or(Identified::Done(Err(error)), |address| {
                    Identified::NeedsKeySet(address, error)
                });
            }
            Err(reason) => return Identified::Done(Err(AuthError::unverified(reason))),
        };
        let result = claims.still_valid(policy, now_ms).and_then(|()| claims.caller());
        if result.is_ok() {
            self.verified.put(digest, claims);
        }
        Identified::Done(result)
    }
}

/// The key id and the issuer that the JWT of a head names, unverified, for an operator who looks
/// for the reason of a refusal; empty where there is none. No other part of the token is returned.
pub fn named_by(headers: &HeaderMap) -> (String, String) {
    let Ok(found) = bearer::find(headers) else { return Default::default() };
    let is_jwt = |text: &&str| jwt::has_form(text);
    let token = found.gateway.filter(is_jwt).or(found.bearer.filter(is_jwt));
    token.map(jwt::named_by).unwrap_or_default()
}

#[cfg(test)]
mod tests;
