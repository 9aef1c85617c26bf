//! A JWT, by a strict profile.
//!
//! Pure. The form of a token is decided here, the cryptography is in `signature`. Three parts of
//! canonical base64url (so one token has one spelling), headers and claims without repeated names,
//! `crit`, `b64` and `zip` refused, keys inside the token ignored, `typ` a JWT's or none, and the
//! algorithm both configured and fit for the key that verifies it: the key decides the algorithm,
//! not the token.
//!
//! # Source
//! RFC 7515 §4.1, RFC 7519 §4.1, RFC 8725 §3, RFC 9068 §2.1 (`at+jwt`).

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::{AuthError, Reason};
use super::jwks::KeySet;
use super::signature::hmac_key;
use super::{Caller, json};
use crate::bounds::BEARER_BYTES_MAX;
use crate::config::policy::{Accept, Algorithm, JwtPolicy};
use crate::ids::{OrgId, SecretBytes};

/// A key id is a name to look up, not a document.
const KID_BYTES_MAX: usize = 256;
/// A subject is kept in each row.
const SUBJECT_CHARS_MAX: usize = 128;
/// A key id or an issuer as operators see it.
const NAMED_CHARS_MAX: usize = 128;
/// Keys that are tried for a token without a key id.
const KEYS_TRIED_MAX: usize = 8;
/// 9999-12-31: later dates are mistakes (often milliseconds).
const SECONDS_MAX: f64 = 253_402_300_799.0;

/// The claims of a token with a valid signature.
#[derive(Clone, Debug)]
pub struct Claims {
    org: Option<OrgId>,
    subject: Arc<str>,
    /// Seconds since 1970.
    expires: f64,
    not_before: Option<f64>,
    issued: Option<f64>,
    tags: Option<Arc<[Option<String>]>>,
}

impl Claims {
    /// Whether the token is valid at this moment.
    ///
    /// # Errors
    /// It has expired, or is not valid yet.
    pub fn still_valid(&self, policy: &JwtPolicy, now_ms: i64) -> Result<(), AuthError> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds since 1970 fit a double exactly"
        )]
        let now = now_ms as f64 / 1000.0;
        let leeway = Duration::as_secs_f64(&policy.options.leeway);
        if now - leeway >= self.expires {
            return Err(AuthError::invalid(
                Reason::Expired,
                "the token has expired; get a new one",
            ));
        }
        if [self.not_before, self.issued].into_iter().flatten().any(|from| from > now + leeway) {
            return Err(AuthError::invalid(
                Reason::NotYetValid,
                "the token is not valid yet; check the clocks",
            ));
        }
        Ok(())
    }

    /// The caller that the token speaks for.
    ///
    /// # Errors
    /// It names no organisation.
    pub fn caller(&self) -> Result<Caller, AuthError> {
        let org = self.org.clone().ok_or(AuthError::no_org())?;
        Ok(Caller {
            org,
            name: self.subject.clone(),
            via: Accept::Jwt,
            upstream_key: None,
            key: None,
            tags: self.tags.clone(),
        })
    }

    #[cfg(test)]
    pub fn for_test() -> Claims {
        Claims {
            org: None,
            subject: Arc::from(""),
            expires: 0.0,
            not_before: None,
            issued: None,
            tags: None,
        }
    }
}

/// Whether a text has the looks of a JWT or an encrypted one (JWE), however broken: it begins with
/// a JSON object in base64url, once or twice encoded, or has three or five parts of base64url (no
/// provider's key has), or holds such a text behind a prefix (`jwt:`, `token=`).
pub fn has_form(text: &str) -> bool {
    // `{"`, and the same in base64 once more.
    if text.starts_with("eyJ") || text.starts_with("ZXlK") {
        return true;
    }
    let inside = |b: char| b.is_ascii_alphanumeric() || matches!(b, '-' | '_' | '=' | '.');
    text.split(|b| !inside(b)).any(piece_has_form)
}

/// The same for a text of base64url and dots only.
fn piece_has_form(piece: &str) -> bool {
    let first = piece.split('.').next().unwrap_or_default().trim_end_matches('=').as_bytes();
    let dots = piece.bytes().filter(|b| *b == b'.').count();
    let begins = |length: usize| {
        let decoded = URL_SAFE_NO_PAD.decode(&first[..length]).ok()?;
        let rest = decoded.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
        // Without a dot the letters may have another meaning, so a name has to follow the brace.
        Some(dots > 0 || rest.first() == Some(&b'"'))
    };
    // Whole groups of four letters decode by themselves; where the whole does not, its beginning
    // may.
    let object =
        || [first.len(), first.len() & !3, first.len().min(16) & !3].into_iter().find_map(begins);
    let header_inside = || {
        let letter_before = |at: usize| at > 0 && piece.as_bytes()[at - 1].is_ascii_alphanumeric();
        piece.match_indices("eyJ").any(|(at, _)| !letter_before(at))
    };
    // A JWE has an empty second part where its key is agreed on before; a signature may have been
    // cut off.
    let compact = || matches!(dots, 2 | 4) && !first.is_empty();
    compact() || (dots > 0 && header_inside()) || object() == Some(true)
}

/// Checks form and signature, and everything of the claims that does not depend on the time.
///
/// # Errors
/// The reason. [`Reason::UnknownKid`] and [`Reason::NoKeySet`] may pass with another key set.
pub fn verify(policy: &JwtPolicy, keys: Option<&KeySet>, token: &str) -> Result<Claims, Reason> {
    if token.len() > BEARER_BYTES_MAX {
        return Err(Reason::Malformed);
    }
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed);
    };
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed);
    let (header_bytes, payload_bytes) = (decode(header)?, decode(payload)?);
    let signature = decode(signature)?;
    if signature.is_empty() {
        return Err(Reason::Malformed);
    }
    let head = Head::read(&header_bytes)?;
    if !policy.options.algorithms.contains(&head.algorithm) {
        return Err(Reason::Algorithm);
    }
    let message = &token.as_bytes()[..header.len() + 1 + payload.len()];
    check_signature(policy, keys, &head, message, &signature)?;
    claims(policy, &payload_bytes)
}

/// The key id and the issuer that a token names, unverified; empty where there is none.
pub fn named_by(token: &str) -> (String, String) {
    if token.len() > BEARER_BYTES_MAX {
        return Default::default();
    }
    let mut parts = token.split('.').map(|part| json::object(&URL_SAFE_NO_PAD.decode(part).ok()?));
    let mut named = |name: &str| match parts.next().flatten()?.get(name)? {
        Value::String(text) => Some(text.chars().take(NAMED_CHARS_MAX).collect::<String>()),
        _ => None,
    };
    (named("kid").unwrap_or_default(), named("iss").unwrap_or_default())
}

/// The header, as far as it counts.
pub(super) struct Head {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Result<Head, Reason> {
        let mut header = json::object(bytes).ok_or(Reason::Malformed)?;
        // Extensions that would change the meaning of the rest, and none of which is understood
        // here.
        if ["crit", "b64", "zip", "enc"].iter().any(|name| header.contains_key(*name)) {
            return Err(Reason::Malformed);
        }
        let typ = header.get("typ").map(|typ| typ.as_str().map(str::to_ascii_lowercase));
        if !matches!(typ.as_ref().map(Option::as_deref), None | Some(Some("jwt" | "at+jwt"))) {
            return Err(Reason::Malformed);
        }
        let algorithm = header.get("alg").and_then(Value::as_str).ok_or(Reason::Malformed)?;
        let algorithm = Algorithm::named(algorithm).ok_or(Reason::Algorithm)?;
        let kid = match header.remove("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid),
            Some(_) => return Err(Reason::Malformed),
        };
        Ok(Head { algorithm, kid })
    }
}

fn check_signature(
    policy: &JwtPolicy,
    keys: Option<&KeySet>,
    head: &Head,
    message: &[u8],
    signature: &[u8],
) -> Result<(), Reason> {
    if head.algorithm.is_hs() {
        // Only the configured secrets; a key set is public and can never hold one.
        let verifies = |secret: &SecretBytes| {
            let key = hmac_key(head.algorithm, &secret.reveal());
            key.is_some_and(|key| hmac::verify(&key, message, signature).is_ok())
        };
        return match policy.secrets.as_slice() {
            [] => Err(Reason::Algorithm),
            secrets if secrets.iter().any(verifies) => Ok(()),
            _ => Err(Reason::Signature),
        };
    }
    let Some(keys) = keys else { return Err(Reason::Algorithm) };
    if keys.is_empty() {
        return Err(Reason::NoKeySet);
    }
    let mut known = false;
    for key in keys.fitting(head.kid.as_deref(), head.algorithm).take(KEYS_TRIED_MAX) {
        known = true;
        if key.verifies(head.algorithm, message, signature) {
            return Ok(());
        }
    }
    // Without a key id it may be a key that has not been seen yet.
    Err(if known && head.kid.is_some() { Reason::Signature } else { Reason::UnknownKid })
}

/// The claims, if each that is there has the type and value it must have.
fn claims(policy: &JwtPolicy, payload: &[u8]) -> Result<Claims, Reason> {
    let claims = json::object(payload).ok_or(Reason::Malformed)?;
    let date = |name: &str| match claims.get(name) {
        None => Some(None),
        Some(value) => value.as_f64().filter(|s| (0.0..=SECONDS_MAX).contains(s)).map(Some),
    };
    let issuer = claims.get("iss").map(Value::as_str);
    if issuer == Some(None) {
        return Err(Reason::Claims);
    }
    if !policy.options.issuer.is_empty() && issuer.flatten() != Some(&policy.options.issuer) {
        return Err(Reason::Issuer);
    }
    let audience = claims.get("aud");
    if !policy.options.audience.is_empty()
        && !audience.is_some_and(|aud| is_for(&policy.options.audience, aud))
    {
        return Err(Reason::Audience);
    }
    let read = || {
        // `sub` has to be a text or a number wherever the user's name comes from.
        subject(claims.get("sub"))?;
        let user = at_end(&policy.user_claim, &claims);
        Some(Claims {
            org: organization(&policy.org_claim, &claims),
            subject: Arc::from(subject(user)?),
            expires: date("exp")??,
            not_before: date("nbf")?,
            issued: date("iat")?,
            tags: tags(policy, &claims),
        })
    };
    read().ok_or(Reason::Claims)
}

/// The claims that are tags: texts, cut, and numbers.
fn tags(policy: &JwtPolicy, claims: &Map<String, Value>) -> Option<Arc<[Option<String>]>> {
    let text = |path: &Vec<String>| subject(Some(at_end(path, claims)?));
    let paths = &policy.tag_claims;
    (!paths.is_empty()).then(|| paths.iter().map(text).collect())
}

/// `aud` is this audience, or a list of texts that holds it.
fn is_for(audience: &str, aud: &Value) -> bool {
    match aud {
        Value::String(one) => one == audience,
        Value::Array(list) => {
            list.iter().all(Value::is_string)
                && list.iter().any(|one| one.as_str() == Some(audience))
        }
        _ => false,
    }
}

/// A user's name: a text, cut, or a number as its digits; empty where there is none.
fn subject(claim: Option<&Value>) -> Option<String> {
    match claim {
        None => Some(String::new()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(value) => Some(
            value.as_str()?.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARS_MAX).collect(),
        ),
    }
}

/// The claim at the end of a path.
fn at_end<'c>(path: &[String], claims: &'c Map<String, Value>) -> Option<&'c Value> {
    let (last, outer) = path.split_last()?;
    outer.iter().try_fold(claims, |object, name| object.get(name)?.as_object())?.get(last)
}

/// The organisation at the end of the path: a name, or a whole number as its digits. Not one of the
/// names that the gateway gives to callers without an organisation: a token that names one would
/// share their limits and rows.
fn organization(path: &[String], claims: &Map<String, Value>) -> Option<OrgId> {
    let org = match at_end(path, claims)? {
        Value::String(name) => OrgId::new(name),
        Value::Number(number) if number.is_u64() => OrgId::new(&number.to_string()),
        _ => None,
    };
    org.filter(|org| !org.is_reserved())
}
